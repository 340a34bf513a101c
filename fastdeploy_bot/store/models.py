"""The rows. Times are Unix milliseconds (UTC), texts that hold JSON say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import peewee

proxy: Final = peewee.DatabaseProxy()
"""The process's database; `store.connect` puts the real one in its place."""


if TYPE_CHECKING:
    Text = peewee.TextField  # its stubs tell a nullable text by this name alone
else:

    class Text(peewee.TextField):
        """A text that every engine can keep: PostgreSQL takes no NUL, so the replacement character stands for it."""

        def adapt(self, value: object) -> str:
            """The text as it is written and compared."""
            return super().adapt(value).replace("\0", "\N{REPLACEMENT CHARACTER}")


class _Row(peewee.Model):
    id = peewee.AutoField()

    class Meta:
        database = proxy
        legacy_table_names = False


class Service(_Row):
    """What is deployed. Its definition lives in its file; the row keeps what must outlive the file."""

    name = Text(unique=True)
    repository = Text()
    """`owner/name` in lower case, as the file said when the id was pinned or the file last read."""
    repository_id = peewee.BigIntegerField(null=True)
    """GitHub's id, pinned when the repository was first seen."""
    problem = Text(default="")
    """Why the file cannot be used; empty when it can."""
    created = peewee.BigIntegerField()
    removed = peewee.BigIntegerField(null=True)
    locked = peewee.BigIntegerField(null=True)
    """Since when it is locked; None while it is not."""
    locked_by = Text(null=True)
    lock_reason = Text(null=True)
    lock_until = peewee.BigIntegerField(null=True)
    """When the lock ends by itself."""
    held_back = Text(null=True)
    """The commit that it was rolled back from, until a newer push comes."""
    held_back_by = Text(null=True)
    newest = peewee.BigIntegerField(null=True)
    """The verdict, by its id, on the newest push of a ref that it deploys; None while there was none."""
    gap = Text(null=True)
    """JSON: what GitHub said of two commits, one of them live, where the pushes do not tell what is between them."""
    watched = Text(null=True)
    """JSON: the branches and tags that its file wanted when its repository was looked at last."""


class Delivery(_Row):
    """One accepted webhook."""

    guid = Text(unique=True)
    push_key = Text(unique=True, null=True)
    """Only on the first delivery of a push."""
    event = Text()
    action = Text(null=True)
    repository_id = peewee.BigIntegerField(null=True)
    repository = Text(null=True)
    default_branch = Text(null=True)
    ref = Text(null=True)
    before = Text(null=True)
    after = Text(null=True)
    commit = Text(null=True)
    pushed_at = peewee.BigIntegerField(null=True)
    """Unix seconds, by GitHub's clock."""
    duplicate_of: peewee.ForeignKeyField[Any] = peewee.ForeignKeyField("self", null=True)
    duplicate_of_id: int | None
    reason = Text(default="")
    """What was decided about the delivery as a whole."""
    peer = Text(default="")
    headers = Text(default="{}")
    """JSON."""
    body = peewee.BlobField(null=True)
    """The JSON document; empty once it is too old to keep."""
    received = peewee.BigIntegerField()
    reconciled = peewee.BooleanField(default=False)
    """Whether no webhook told of it: it was seen by a look at the repository."""
    paths = Text(null=True)
    """JSON: every file that the push touched; None where that is not known."""
    commits = Text(null=True)
    """JSON: the newest of the push's commits, oldest first; None where they are not known."""
    size = peewee.IntegerField(null=True)
    """How many commits the push brought; None where that is not known."""


WITHOUT_BODY: Final = tuple(field for field in Delivery._meta.sorted_fields if field.name != "body")
"""All of a delivery but what is large."""


class Deployment(_Row):
    """One run of a service's deploy command for one commit."""

    service = peewee.ForeignKeyField(Service)
    service_id: int
    state = Text()
    origin = Text()
    sha = Text()
    ref = Text()
    before = Text(default="")
    repository = Text()
    actor = Text()
    title = Text(default="")
    context = Text(default="{}")
    """JSON, as given by whoever asked for the deployment."""
    delivery: peewee.ForeignKeyField[Any] = peewee.ForeignKeyField(Delivery, null=True)
    delivery_id: int | None
    parent: peewee.ForeignKeyField[Any] = peewee.ForeignKeyField("self", null=True)
    parent_id: int | None
    """The deployment whose commit this one deploys again: a retry, or a rollback."""
    taken_over_by: peewee.ForeignKeyField[Any] = peewee.ForeignKeyField("self", null=True)
    taken_over_by_id: int | None
    """The deployment that superseded this one."""
    created = peewee.BigIntegerField()
    started = peewee.BigIntegerField(null=True)
    finished = peewee.BigIntegerField(null=True)
    exit_status = peewee.IntegerField(null=True)
    signal = peewee.IntegerField(null=True)
    reason = Text(default="")
    waits_for = Text(null=True)
    """What it waits for while it is `waiting`."""
    wanted = Text(null=True)
    """JSON: the checks that have to succeed before it begins; None where none has to any more."""
    host = Text(null=True)
    """The host that runs it, by its host id."""
    run = Text(null=True)
    """The name of its run folder on that host."""
    definition = Text(null=True)
    """JSON: the service file's values that were read when it was claimed."""
    token_hash = Text(null=True)
    cancelled_by = Text(null=True)
    """Who asked a running deployment to stop."""
    reported_state = Text(null=True)
    """With `finish = "report"`: how the script says it ended."""
    reported_message = Text(default="")
    steps_read = peewee.BigIntegerField(default=0)
    """How much of the run folder's step journal is in rows."""
    report = Text(default="[]")
    """JSON: the kinds of reports that GitHub is owed of it."""


class Step(_Row):
    """A named part of a deployment."""

    deployment = peewee.ForeignKeyField(Deployment)
    deployment_id: int
    name = Text()
    position = peewee.IntegerField()
    state = Text()
    started = peewee.BigIntegerField(null=True)
    finished = peewee.BigIntegerField(null=True)
    message = Text(default="")
    log_from = peewee.BigIntegerField(null=True)
    """How much output there was when it began; None where nobody can tell but by the times."""
    log_to = peewee.BigIntegerField(null=True)
    """The same of its end."""


class Verdict(_Row):
    """What was decided about a delivery for one service."""

    delivery = peewee.ForeignKeyField(Delivery)
    delivery_id: int
    service = peewee.ForeignKeyField(Service)
    verdict = Text()
    reason = Text()
    counts = peewee.BooleanField()
    """Whether a push older than this one is stale for the service."""
    deployment: peewee.ForeignKeyField[Any] = peewee.ForeignKeyField(Deployment, null=True)
    deployment_id: int | None
    decided = peewee.BigIntegerField()


class LogChunk(_Row):
    """Output of a deployment; `offset` is the place of its first byte in the whole stream."""

    deployment = peewee.ForeignKeyField(Deployment)
    deployment_id: int
    offset = peewee.BigIntegerField()
    data = peewee.BlobField()
    times = Text(default="[]")
    """JSON: pairs of an offset and the Unix milliseconds at which the bytes from there on were written, ascending.

    The first is of the chunk's own first byte, where that is known; empty where nobody noted the time.
    """


class User(_Row):
    """Somebody who may sign in."""

    username = Text(unique=True)
    password = Text()
    """werkzeug's scrypt hash; empty for those who sign in by GitHub alone."""
    role = Text()
    created = peewee.BigIntegerField()
    github_id = peewee.BigIntegerField(null=True)
    """GitHub's id of the account that signs in as this user; logins may be given to somebody else."""
    github_login = Text(null=True)
    """What that account was called when it signed in last."""


class Token(_Row):
    """A user or service token, known by its SHA-256 only."""

    hash = Text(unique=True)
    kind = Text()
    user: peewee.ForeignKeyField[Any] = peewee.ForeignKeyField(User, null=True)
    service: peewee.ForeignKeyField[Any] = peewee.ForeignKeyField(Service, null=True)
    created = peewee.BigIntegerField()
    expires = peewee.BigIntegerField()
    revoked = peewee.BigIntegerField(null=True)
    name = Text(default="")
    """What its maker calls it."""
    used = peewee.BigIntegerField(null=True)
    """When it was shown last, give or take a minute; None while it never was."""


class Answer(_Row):
    """The answer to a request that came with an Idempotency-Key, kept for a day and sealed."""

    principal = Text()
    key = Text()
    fingerprint = Text()
    status = peewee.IntegerField()
    body = peewee.BlobField()
    created = peewee.BigIntegerField()


class Event(_Row):
    """A line of the feed: what had changed at the end of a transaction. Ids ascend in the order of the commits."""

    type = Text()
    service = Text(null=True)
    """The service it is about; None where it is about more than one."""
    deployment_id = peewee.BigIntegerField(null=True)
    data = Text()
    """JSON: the object as users see it."""
    created = peewee.BigIntegerField()


class Report(_Row):
    """What GitHub is told; owed while `changes` is more than `told`.

    A commit status is one a commit and context, whichever deployments it had; of the other kinds there is one a
    deployment.
    """

    kind = Text(default="status")
    external = peewee.BigIntegerField(null=True)
    """GitHub's id of what was made there; None before, and of commit statuses; 0 while nobody knows."""
    repository = Text()
    """`owner/name` as GitHub spelt it."""
    sha = Text()
    context = Text()
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
    state = Text(null=True)
    description = Text(null=True)
    """What GitHub was told last."""
    told_at = peewee.BigIntegerField(null=True)
    problem = Text(default="")
    """Why the last try was in vain; empty when it was not."""
    refused = Text(null=True)
    """The state that GitHub does not want to hear of, and that it is not told again."""


class Lease(_Row):
    """A duty that one process at a time has, wherever it runs."""

    name = Text(unique=True)
    holder = Text()
    until = peewee.BigIntegerField()


class Session(_Row):
    """A browser that signed in, known by its cookie's SHA-256 only."""

    hash = Text(unique=True)
    user = peewee.ForeignKeyField(User)
    created = peewee.BigIntegerField()
    expires = peewee.BigIntegerField()
    ended = peewee.BigIntegerField(null=True)
    peer = Text()
    agent = Text()
    setup = peewee.BigIntegerField(null=True)
    """When the last way to GitHub's page began from which it has come back with a new App."""


class Attempt(_Row):
    """A sign-in that failed, by whom or from where."""

    key = Text()
    at = peewee.BigIntegerField()


class Audit(_Row):
    """Who did what, to what, when and from where."""

    at = peewee.BigIntegerField()
    who = Text()
    action = Text()
    object = Text()
    detail = Text(default="")
    peer = Text()


class Refusal(_Row):
    """A webhook that came with a signature and was refused."""

    at = peewee.BigIntegerField()
    peer = Text()
    event = Text()
    reason = Text()


class Question(_Row):
    """Something that GitHub is to be asked on behalf of somebody who may not do so, and its answer."""

    kind = Text()
    repository = Text()
    service: peewee.ForeignKeyField[Any] = peewee.ForeignKeyField(Service, null=True)
    service_id: int | None
    delivery: peewee.ForeignKeyField[Any] = peewee.ForeignKeyField(Delivery, null=True)
    delivery_id: int | None
    deployment: peewee.ForeignKeyField[Any] = peewee.ForeignKeyField(Deployment, null=True)
    deployment_id: int | None
    data = Text(default="{}")
    """JSON: what the kind needs to know."""
    asked = peewee.BigIntegerField()
    due = peewee.BigIntegerField()
    """The moment before which GitHub is not to be asked."""
    until = peewee.BigIntegerField(null=True)
    """The moment from which an answer is of no use any more; None: there is no such moment."""
    attempts = peewee.IntegerField(default=0)
    """How often that was tried in vain."""
    answered = peewee.BigIntegerField(null=True)
    answer = Text(null=True)
    """JSON, as the kind has it."""
    problem = Text(default="")
    """Why the last try was in vain; empty when it was not."""


class Watch(_Row):
    """A repository that is looked at for pushes that no webhook told of."""

    repository = Text(unique=True)
    """`owner/name`, in lower case."""
    looked = peewee.BigIntegerField()
    problem = Text(default="")
    """Why the last look was in vain; empty when it was not."""
    deaf = Text(default="")
    """Why its failed deliveries cannot be asked for; empty when they can."""


class Recovery(_Row):
    """Pushes that were missed and found."""

    at = peewee.BigIntegerField()
    away = peewee.BigIntegerField()
    """For how many milliseconds nobody had looked."""
    pushes = peewee.IntegerField()
    redelivered = peewee.IntegerField()
    """How many deliveries GitHub was asked to repeat."""
