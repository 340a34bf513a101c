"""The rows. Times are Unix milliseconds (UTC), texts that hold JSON say so."""

from __future__ import annotations

from typing import Any, Final

import peewee

proxy: Final = peewee.DatabaseProxy()
"""The process's database; `store.connect` puts the real one in its place."""


class _Row(peewee.Model):
    id = peewee.AutoField()

    class Meta:
        database = proxy
        legacy_table_names = False


class Service(_Row):
    """What is deployed. Its definition lives in its file; the row keeps what must outlive the file."""

    name = peewee.TextField(unique=True)
    repository = peewee.TextField()
    """`owner/name` in lower case, as the file said when the id was pinned or the file last read."""
    repository_id = peewee.BigIntegerField(null=True)
    """GitHub's id, pinned when the repository was first seen."""
    problem = peewee.TextField(default="")
    """Why the file cannot be used; empty when it can."""
    created = peewee.BigIntegerField()
    removed = peewee.BigIntegerField(null=True)


class Delivery(_Row):
    """One accepted webhook."""

    guid = peewee.TextField(unique=True)
    push_key = peewee.TextField(unique=True, null=True)
    """Only on the first delivery of a push."""
    event = peewee.TextField()
    action = peewee.TextField(null=True)
    repository_id = peewee.BigIntegerField(null=True)
    repository = peewee.TextField(null=True)
    default_branch = peewee.TextField(null=True)
    ref = peewee.TextField(null=True)
    before = peewee.TextField(null=True)
    after = peewee.TextField(null=True)
    commit = peewee.TextField(null=True)
    pushed_at = peewee.BigIntegerField(null=True)
    """Unix seconds, by GitHub's clock."""
    duplicate_of: peewee.ForeignKeyField[Any] = peewee.ForeignKeyField("self", null=True)
    duplicate_of_id: int | None
    reason = peewee.TextField(default="")
    """What was decided about the delivery as a whole."""
    peer = peewee.TextField(default="")
    headers = peewee.TextField(default="{}")
    """JSON."""
    body = peewee.BlobField(null=True)
    """The JSON document; empty once it is too old to keep."""
    received = peewee.BigIntegerField()


class Deployment(_Row):
    """One run of a service's deploy command for one commit."""

    service = peewee.ForeignKeyField(Service)
    service_id: int
    state = peewee.TextField()
    origin = peewee.TextField()
    sha = peewee.TextField()
    ref = peewee.TextField()
    before = peewee.TextField(default="")
    repository = peewee.TextField()
    actor = peewee.TextField()
    title = peewee.TextField(default="")
    context = peewee.TextField(default="{}")
    """JSON, as given by whoever asked for the deployment."""
    delivery: peewee.ForeignKeyField[Any] = peewee.ForeignKeyField(Delivery, null=True)
    delivery_id: int | None
    parent: peewee.ForeignKeyField[Any] = peewee.ForeignKeyField("self", null=True)
    parent_id: int | None
    """The deployment this one retries."""
    taken_over_by: peewee.ForeignKeyField[Any] = peewee.ForeignKeyField("self", null=True)
    taken_over_by_id: int | None
    """The deployment that superseded this one."""
    created = peewee.BigIntegerField()
    started = peewee.BigIntegerField(null=True)
    finished = peewee.BigIntegerField(null=True)
    exit_status = peewee.IntegerField(null=True)
    signal = peewee.IntegerField(null=True)
    reason = peewee.TextField(default="")
    host = peewee.TextField(null=True)
    """The host that runs it, by its host id."""
    run = peewee.TextField(null=True)
    """The name of its run folder on that host."""
    definition = peewee.TextField(null=True)
    """JSON: the service file's values that were read when it was claimed."""
    token_hash = peewee.TextField(null=True)
    cancelled_by = peewee.TextField(null=True)
    """Who asked a running deployment to stop."""
    reported_state = peewee.TextField(null=True)
    """With `finish = "report"`: how the script says it ended."""
    reported_message = peewee.TextField(default="")
    steps_read = peewee.BigIntegerField(default=0)
    """How much of the run folder's step journal is in rows."""
    report = peewee.TextField(default="[]")
    """JSON: the kinds of reports that GitHub is owed of it."""


class Step(_Row):
    """A named part of a deployment."""

    deployment = peewee.ForeignKeyField(Deployment)
    deployment_id: int
    name = peewee.TextField()
    position = peewee.IntegerField()
    state = peewee.TextField()
    started = peewee.BigIntegerField(null=True)
    finished = peewee.BigIntegerField(null=True)
    message = peewee.TextField(default="")


class Verdict(_Row):
    """What was decided about a delivery for one service."""

    delivery = peewee.ForeignKeyField(Delivery)
    service = peewee.ForeignKeyField(Service)
    verdict = peewee.TextField()
    reason = peewee.TextField()
    counts = peewee.BooleanField()
    """Whether a push older than this one is stale for the service."""
    deployment: peewee.ForeignKeyField[Any] = peewee.ForeignKeyField(Deployment, null=True)
    deployment_id: int | None
    decided = peewee.BigIntegerField()


class LogChunk(_Row):
    """Output of a deployment; `offset` is the place of its first byte in the whole stream."""

    deployment = peewee.ForeignKeyField(Deployment)
    offset = peewee.BigIntegerField()
    data = peewee.BlobField()


class User(_Row):
    """Somebody who may sign in."""

    username = peewee.TextField(unique=True)
    password = peewee.TextField()
    """werkzeug's scrypt hash."""
    role = peewee.TextField()
    created = peewee.BigIntegerField()


class Token(_Row):
    """A user or service token, known by its SHA-256 only."""

    hash = peewee.TextField(unique=True)
    kind = peewee.TextField()
    user: peewee.ForeignKeyField[Any] = peewee.ForeignKeyField(User, null=True)
    service: peewee.ForeignKeyField[Any] = peewee.ForeignKeyField(Service, null=True)
    created = peewee.BigIntegerField()
    expires = peewee.BigIntegerField()
    revoked = peewee.BigIntegerField(null=True)


class Answer(_Row):
    """The answer to a request that came with an Idempotency-Key, kept for a day and sealed."""

    principal = peewee.TextField()
    key = peewee.TextField()
    fingerprint = peewee.TextField()
    status = peewee.IntegerField()
    body = peewee.BlobField()
    created = peewee.BigIntegerField()


class Event(_Row):
    """A line of the feed: what had changed at the end of a transaction. Ids ascend in the order of the commits."""

    type = peewee.TextField()
    service = peewee.TextField(null=True)
    """The service it is about; None where it is about more than one."""
    deployment_id = peewee.BigIntegerField(null=True)
    data = peewee.TextField()
    """JSON: the object as users see it."""
    created = peewee.BigIntegerField()


class Report(_Row):
    """What GitHub is told of a commit under one context; owed while `changes` is more than `told`."""

    repository = peewee.TextField()
    """`owner/name` as GitHub spelt it."""
    sha = peewee.TextField()
    context = peewee.TextField()
    deployment = peewee.ForeignKeyField(Deployment)
    deployment_id: int
    """The deployment that changed last."""
    changes = peewee.BigIntegerField(default=1)
    """How many changes there were to tell."""
    told = peewee.BigIntegerField(default=0)
    """How many of those had come when GitHub was told last."""
    due = peewee.BigIntegerField()
    """The moment before which GitHub is not to be asked."""
    attempts = peewee.IntegerField(default=0)
    """How often the present change was tried in vain."""
    state = peewee.TextField(null=True)
    description = peewee.TextField(null=True)
    """What GitHub was told last."""
    told_at = peewee.BigIntegerField(null=True)
    problem = peewee.TextField(default="")
    """Why the last try was in vain; empty when it was not."""


class Lease(_Row):
    """A duty that one process at a time has, wherever it runs."""

    name = peewee.TextField(unique=True)
    holder = peewee.TextField()
    until = peewee.BigIntegerField()


class Session(_Row):
    """A browser that signed in, known by its cookie's SHA-256 only."""

    hash = peewee.TextField(unique=True)
    user = peewee.ForeignKeyField(User)
    created = peewee.BigIntegerField()
    expires = peewee.BigIntegerField()
    ended = peewee.BigIntegerField(null=True)
    peer = peewee.TextField()
    agent = peewee.TextField()


class Attempt(_Row):
    """A sign-in that failed, by whom or from where."""

    key = peewee.TextField()
    at = peewee.BigIntegerField()


class Audit(_Row):
    """Who did what, to what, when and from where."""

    at = peewee.BigIntegerField()
    who = peewee.TextField()
    action = peewee.TextField()
    object = peewee.TextField()
    detail = peewee.TextField(default="")
    peer = peewee.TextField()


class Refusal(_Row):
    """A webhook that came with a signature and was refused."""

    at = peewee.BigIntegerField()
    peer = peewee.TextField()
    event = peewee.TextField()
    reason = peewee.TextField()
