"""The words everyone speaks: states and their edges, and the frozen values that travel between rooms.

Nothing here reads or writes anything. The same words stand in the rows, the API, the command line and the docs.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

ZERO_SHA: Final = "0" * 40
"""What GitHub sends as `before` of a new ref and as `after` of a deleted one."""


OWN_PREFIXES: Final = ("fastdeploy/", "fastdeploy / ")
"""How the names begin under which this bot, and every other one like it, reports to GitHub."""


class DeploymentState(StrEnum):
    """Where a deployment is on its way."""

    QUEUED = "queued"
    WAITING = "waiting"
    RUNNING = "running"
    SUCCESS = "success"
    FAILURE = "failure"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    LOST = "lost"

    @property
    def final(self) -> bool:
        """Whether nothing leaves this state any more."""
        return not EDGES[self]


EDGES: Final[dict[DeploymentState, frozenset[DeploymentState]]] = {
    DeploymentState.QUEUED: frozenset(
        {
            DeploymentState.WAITING,
            DeploymentState.RUNNING,
            DeploymentState.CANCELLED,
            DeploymentState.SUPERSEDED,
        }
    ),
    DeploymentState.WAITING: frozenset({DeploymentState.QUEUED, DeploymentState.CANCELLED, DeploymentState.SUPERSEDED}),
    DeploymentState.RUNNING: frozenset(
        {
            DeploymentState.SUCCESS,
            DeploymentState.FAILURE,
            DeploymentState.CANCELLED,
            DeploymentState.LOST,
        }
    ),
    DeploymentState.SUCCESS: frozenset(),
    DeploymentState.FAILURE: frozenset(),
    DeploymentState.CANCELLED: frozenset(),
    DeploymentState.SUPERSEDED: frozenset(),
    DeploymentState.LOST: frozenset(),
}
"""Every change of state that may happen; the rest is a bug."""


class WaitsFor(StrEnum):
    """What a waiting deployment waits for."""

    LOCK = "lock"
    """The end of its service's lock."""
    CHECKS = "checks"
    """The success of other checks and statuses of its commit."""


class CheckState(StrEnum):
    """What a check or a commit status says of its commit."""

    PENDING = "pending"
    PASSED = "passed"
    """Also where it was skipped, or is neutral: GitHub takes those for a success of what is required."""
    FAILED = "failed"


OPEN_STATES: Final = (DeploymentState.QUEUED, DeploymentState.WAITING)
"""The states of what has not begun."""
UNDER_WAY: Final = (DeploymentState.RUNNING, *OPEN_STATES)
"""The states of what has not ended."""


class StepState(StrEnum):
    """Where a step of a deployment is."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    FAILURE = "failure"
    SKIPPED = "skipped"


GLYPHS: Final = {
    "pending": "◌", "queued": "◌", "waiting": "⧖", "running": "◐", "success": "✓", "failure": "✗",
    "cancelled": "⊘", "superseded": "⇥", "lost": "?", "skipped": "⊘",
}  # fmt: skip
"""One glyph for each state, of deployments and of steps: never colour alone."""


class VerdictKind(StrEnum):
    """What was decided about a delivery for one service."""

    DEPLOY = "deploy"
    WAIT = "wait"
    DUPLICATE = "duplicate"
    STALE = "stale"
    IGNORE = "ignore"
    REFUSED = "refused"


class Origin(StrEnum):
    """What started a deployment."""

    PUSH = "push"
    REPLAY = "replay"
    API = "api"
    MANUAL = "manual"
    RETRY = "retry"
    ROLLBACK = "rollback"
    RECONCILED = "reconciled"
    """A push that no webhook told of, seen by a look at the repository."""


PUSH_ORIGINS: Final = frozenset({Origin.PUSH, Origin.REPLAY, Origin.RECONCILED})
"""Origins that a newer push may supersede; what a person or the API started stays."""


class Role(StrEnum):
    """What a user may do; each role may do all that the earlier ones may."""

    VIEWER = "viewer"
    DEPLOYER = "deployer"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """The higher, the more they may."""
        return list(Role).index(self)


class EventType(StrEnum):
    """What an event of the feed tells of."""

    DEPLOYMENT = "deployment"
    STEP = "step"
    SERVICE = "service"
    DELIVERY = "delivery"


class ReportKind(StrEnum):
    """What GitHub is told of a deployment."""

    STATUS = "status"
    """A commit status."""
    DEPLOYMENT = "deployment"
    """One of the repository's deployments, with statuses of its own."""
    CHECK = "check"
    """A check run; of a GitHub App only."""


class QuestionKind(StrEnum):
    """What GitHub is asked on behalf of somebody who may not do so."""

    CHANGED = "changed"
    """Which files differ between two commits."""
    BETWEEN = "between"
    """Which commits are between two."""
    REACHABLE = "reachable"
    """Whether a commit is part of what mapped refs name: GitHub knows the commits of forks, too."""
    MAY_WRITE = "may-write"
    """Whether somebody may write to a repository."""
    INSTALLED = "installed"
    """What our GitHub App may do where, now that this has changed."""


class PrincipalKind(StrEnum):
    """How somebody showed who they are."""

    USER = "user"
    SERVICE = "service"
    DEPLOYMENT = "deployment"
    VISITOR = "visitor"
    """Not at all."""


class Principal(msgspec.Struct, frozen=True):
    """Who asks, as the token (or the host's command line) showed."""

    kind: PrincipalKind
    name: str
    """The user's name, the service's name, or the deployment's id as text; empty for a visitor."""
    role: Role | None = None
    """Of a user; None for the other kinds."""
    service: str | None = None
    """The one service a service or deployment token speaks for."""
    deployment: int | None = None
    """The one deployment a deployment token speaks for."""
    running: bool = True
    """Whether that deployment still runs; a finished one's token may do nothing."""
    peer: str = ""
    """From where they ask: an address, or `host` for commands on the bot's own host."""


LOCAL: Final = Principal(kind=PrincipalKind.USER, name="local", role=Role.ADMIN, peer="host")
"""Whoever runs commands on the bot's own host: they can read the database anyway."""


BOT: Final = Principal(kind=PrincipalKind.USER, name="fastdeploy", peer="host")
"""The bot itself, where it does unasked what people may do as well; it has no role."""


class Commit(msgspec.Struct, frozen=True):
    """A commit as it is shown: never by an e-mail address."""

    sha: str
    title: str = ""
    """The first line of its message."""
    author: str = ""
    """By name."""


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """A push as GitHub told it, reduced to what decides.

    Source: https://docs.github.com/en/webhooks/webhook-events-and-payloads#push
    """

    repository_id: int
    repository: str
    """`owner/name` as GitHub spells it now."""
    default_branch: str | None
    ref: str
    """`refs/heads/…` or `refs/tags/…`; only ever shown and matched, never run."""
    before: str
    after: str
    """What the ref named before and after; all zeros where it named nothing."""
    commit: str
    """The commit to deploy: `after`, or what an annotated tag points at."""
    created: bool = False
    deleted: bool = False
    forced: bool = False
    pushed_at: int | None = None
    """Unix seconds, by GitHub's clock."""
    actor: str = ""
    title: str = ""
    """The first line of the head commit's message."""
    skip: str = ""
    """The phrase by which that message asks for no deployment; empty where it does not."""
    paths: tuple[str, ...] | None = None
    """Every file the push touched; None where the payload cannot say."""
    commits: tuple[Commit, ...] = ()
    """The newest of the commits that it brought, oldest first."""
    size: int | None = None
    """How many commits it put on top of `before`; None where that cannot be said, as where it took any away."""

    @property
    def branch(self) -> str | None:
        """The branch's name, slashes and all; None for a tag."""
        return self.ref.removeprefix("refs/heads/") if self.ref.startswith("refs/heads/") else None

    @property
    def tag(self) -> str | None:
        """The tag's name; None for a branch."""
        return self.ref.removeprefix("refs/tags/") if self.ref.startswith("refs/tags/") else None

    @property
    def key(self) -> str:
        """The push key: the same for every delivery of this push, through whichever hook it comes."""
        return f"{self.repository_id} {self.before} {self.after} {self.pushed_at} {self.ref}"


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Who caused an event, as GitHub says: the sender, and never whom a commit names."""

    id: int
    login: str
    bot: bool
    """Whether it is none, but a program: a GitHub App, for example ours."""


class CheckRun(msgspec.Struct, frozen=True, kw_only=True):
    """A check run that something happened to."""

    id: int
    name: str
    external_id: str
    """What its App called it; of ours, a deployment's id."""
    app: frozenset[str]
    """What its App is called: by its id, its client id, or both."""
    pressed: str = ""
    """With the action `requested_action`: which of its buttons, by its identifier."""


class CheckSuite(msgspec.Struct, frozen=True):
    """All check runs of one App for one commit; something happened to them."""

    app: frozenset[str]


class CommitStatus(msgspec.Struct, frozen=True):
    """A commit status that somebody reported."""

    name: str
    """Its context."""
    state: str
    """By GitHub's words."""


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """A GitHub App as it is installed in an account; something happened to it."""

    account: str
    app: frozenset[str]
    repositories: tuple[str, ...] = ()
    """`owner/name` of those that it was given, or that were taken from it."""


class StatusCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody reported of a commit: a check run, a commit status, or a check suite as a whole."""

    name: str
    state: CheckState
    told: str
    """How it stands, in words that go on from its name: `failed`, `is in progress`."""
    said: str = ""
    """What its reporter says of that, in one line."""
    own: bool = False
    """Whether the bot itself, or another one like it, reported it."""
    suite: bool = False
    """Whether it is a suite: only who waits for all checks minds those."""


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A signed webhook as it arrived: what `core.pushes.intake` keeps as a delivery."""

    guid: str
    event: str
    action: str | None
    repository_id: int | None
    repository: str | None
    headers: dict[str, str]
    """The headers worth keeping; never a signature or a cookie."""
    body: bytes
    """The JSON document (of a form, its `payload`)."""
    push: Push | None
    """Only for `push` events."""
    sender: Person | None = None
    """Of events that are no push; None where GitHub does not say."""
    sha: str | None = None
    """The commit that an event is about which is no push: of a check run, a check suite, a status or a workflow run."""
    about: CheckRun | CheckSuite | CommitStatus | Installation | None = None
    """What an event is about that has more to say; None where it says too little to act upon."""


class StepReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a script says of one of its steps; the same name again is an update."""

    name: str
    state: StepState
    message: str = ""


class LogFormat(StrEnum):
    """How the bot writes its own log."""

    TEXT = "text"
    JSON = "json"


class WebhookSecret(msgspec.Struct, frozen=True):
    """A secret that webhooks may be signed with."""

    secret: str
    repositories: tuple[str, ...] | None = None
    """Globs on `owner/name`, where it may sign for those only."""

    def __repr__(self) -> str:
        return f"WebhookSecret('********', {self.repositories!r})"
