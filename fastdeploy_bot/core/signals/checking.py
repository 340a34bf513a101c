"""Checking: what deployments wait for checks, when GitHub is to be asked about them, and what follows from its answer.

An event only says that there is news: what GitHub answers when it is asked decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace
from peewee import ModelSelect

from fastdeploy_bot import store, values
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import deployments, gates, waiting
from fastdeploy_bot.core.deploying.gates import Gate
from fastdeploy_bot.core.deploying.waiting import Wanted
from fastdeploy_bot.core.signals.notices import Notice
from fastdeploy_bot.store.models import Deployment, Service
from fastdeploy_bot.words import (
    OWN_PREFIXES,
    PUSH_ORIGINS,
    CheckRun,
    CheckSuite,
    CommitStatus,
    DeploymentState,
    Origin,
    StatusCheck,
)

FIRST: Final = 5 * clock.SECOND
"""After how long GitHub is asked again at first; then after twice as long each time."""
USUAL: Final = 60 * clock.SECOND
"""Between two looks at a commit of which nobody says that there is news."""
EACH: Final = 3 * clock.SECOND
"""With many commits, so much for each of them: no more than 1,200 looks an hour."""
SLOW: Final = 600 * clock.SECOND
"""After how long to ask again, at the longest, where GitHub refuses to answer."""
SOONEST: Final = 2 * clock.SECOND
"""Between two looks at a commit, whatever the news: jobs often end together."""
QUIET: Final = 20 * clock.SECOND
"""With `*`, how long nothing may be missing: further checks may not have been made yet."""
SILENCE: Final = 60 * clock.SECOND
"""How long nobody says that a check was not reported: it takes a while after a push."""
FURTHEST: Final = 3_600 * clock.SECOND
"""How long nothing is put off for; what is put off beyond that was so before a clock was set."""
SKEW: Final = 600 * clock.SECOND
"""How far apart clocks of hosts may be."""
_WAITING: Final = store.Prepared[Deployment](lambda: Deployment.select(Deployment.wanted).where(*_for_checks()))
_OF_COMMIT: Final = store.Prepared[Deployment](
    lambda sha, repository: (
        Deployment.select(Deployment.id, Deployment.wanted)
        .join(Service)
        .where(*_for_checks(), Deployment.sha == sha, Service.repository_id == repository)
    )
)
"""Asked at each event about a check, of which most concern nobody."""


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """A commit that GitHub is to be asked about, and the deployments of it that wait, as they were then."""

    repository: str
    sha: str
    waiting: dict[int, Wanted]
    """By the deployment's id."""
    others: int
    """How many other commits there are."""

    @property
    def key(self) -> tuple[str, str]:
        """The same for all that is asked about it."""
        return self.repository.lower(), self.sha

    @property
    def all(self) -> bool:
        """Whether somebody waits for all checks."""
        return any(gates.ALL in wanted.names for wanted in self.waiting.values())

    @property
    def attempts(self) -> int:
        """How often it was asked about in vain."""
        return max(wanted.attempts for wanted in self.waiting.values())

    @property
    def due(self) -> int:
        """The moment from which GitHub may be asked."""
        return min(wanted.due for wanted in self.waiting.values())


def commits() -> list[Commit]:
    """All that deployments wait for the checks of."""
    found: dict[tuple[str, str], dict[int, Wanted]] = {}
    spelt: dict[str, str] = {}
    for row, wanted in _all():
        spelt[row.repository.lower()] = row.repository
        found.setdefault((row.repository.lower(), row.sha), {})[row.id] = wanted
    return [
        Commit(repository=spelt[repository], sha=sha, waiting=those, others=len(found) - 1)
        for (repository, sha), those in found.items()
    ]


def is_due(commit: Commit, *, now: int) -> bool:
    """Whether GitHub may be asked about it by now. Nothing is put off for long: that was a clock that was set since."""
    return not now < commit.due <= now + FURTHEST


def hear(notice: Notice) -> str:
    """Somebody says that there is news of a commit's checks: GitHub is asked at once. Inside a write.

    Where one check's name is told, only for those who wait for it.
    """
    told = notice.webhook
    if told.sha is None or told.repository_id is None or _says_nothing(told.about):
        return f"event {told.event} is kept; nothing acts on it"
    here = [(row, waiting.of(row)) for row in _OF_COMMIT.all(told.sha, told.repository_id)]
    concerned = [(row, wanted) for row, wanted in here if wanted and _wants(wanted, told.about, notice.ours)]
    for row, wanted in concerned:
        if not wanted.attempts:  # where GitHub does not answer, asking more often is of no use
            _note(row, replace(wanted, due=notice.now, looks=0))
    if not concerned:
        return f"no deployment waits for the checks of {told.sha[:7]}"
    store.at_end(("checks", told.sha), lambda: None)
    return f"GitHub is asked for the checks of {told.sha[:7]}: {len(concerned)} wait for them"


def settle(commit: Commit, found: Sequence[StatusCheck], *, whole: bool, now: int) -> bool:
    """Do what follows from GitHub's answer: let those begin whose checks succeeded, end those whose checks failed.

    Answers whether any waits no more.
    """

    def write() -> bool:
        done = [_settle(row, commit, found, whole, now) for row in _again(commit)]
        return any(done)

    return store.write(write)


def after_refusal(commit: Commit, *, now: int) -> int:
    """When to ask again about a commit where GitHub refused to: soon at first, as it may not know a new commit yet."""
    return now + min(FIRST << min(commit.attempts, 20), SLOW)


def postpone(commit: Commit, problem: str, *, due: int, told: bool) -> None:
    """This try was in vain, the next one is due then; where people are `told`, they read why."""

    def write() -> None:
        for row in _again(commit):
            wanted = waiting.of(row)
            if wanted is not None:
                missed = replace(wanted, attempts=wanted.attempts + 1, due=due, last=f"{_names(wanted)} ({problem})")
                deployments.want(row, replace(missed, note=problem) if told else missed)

    store.write(write)


def expire(limit: float, *, now: int) -> None:
    """End those that have waited for longer than `limit` seconds, whether or not GitHub can be asked."""
    waits = filter(None, map(waiting.of, _WAITING.all()))
    if any(_over(wanted, limit, now) or wanted.since > now + SKEW for wanted in waits):
        store.write(lambda: _expire(limit, now))


def _expire(limit: float, now: int) -> None:
    for row, wanted in _all():
        if _over(wanted, limit, now):
            why = f"waited {values.spell_duration(limit)} for checks: {wanted.last or _names(wanted)}"
            deployments.stop(row, why=why, now=now)
        elif wanted.since > now + SKEW:  # the clock was set back: nobody knows for how long it has waited
            _note(row, replace(wanted, since=now))


def _over(wanted: Wanted, limit: float, now: int) -> bool:
    return now - wanted.since >= limit * clock.SECOND


def _settle(row: Deployment, commit: Commit, found: Sequence[StatusCheck], whole: bool, now: int) -> bool:
    """Whether it waits no more."""
    wanted = waiting.of(row)
    if wanted is None:
        return False
    judgement = gates.judge(wanted.names, found, whole=whole)
    if judgement.gate is Gate.SHUT:
        deployments.stop(row, why=judgement.reason, now=now)
        return True
    if judgement.gate is Gate.OPEN and _quiet(wanted, now):
        _open(row, now)
        return True
    seen = commit.waiting[row.id]
    new = replace(
        wanted,
        attempts=0,
        last=judgement.reason or _names(wanted),
        note=judgement.unheard if now - wanted.since >= SILENCE else "",
        green=_green(wanted, now) if judgement.gate is Gate.OPEN else None,
    )
    if wanted.due == seen.due:  # else there were news while GitHub was asked: it is to be asked once more
        new = replace(new, looks=wanted.looks + 1, due=_next(new, commit, now))
    deployments.want(row, new)
    return False


def _open(row: Deployment, now: int) -> None:
    """Nothing is to be waited for any more. Unless something newer of its ref has begun: then it comes too late.

    Newer is a later push, also where somebody had it tried again.
    """
    pushed = Deployment.alias()
    newer_push = pushed.select(pushed.delivery).where(
        pushed.service == row.service_id, pushed.id > row.id, pushed.origin.in_(list(PUSH_ORIGINS))
    )
    newer = Deployment.select().where(
        Deployment.service == row.service_id,
        Deployment.ref == row.ref,
        Deployment.id > row.id,
        Deployment.origin.in_([*PUSH_ORIGINS, Origin.RETRY]),
        Deployment.delivery.in_(newer_push),
        Deployment.started.is_null(False),
    )
    begun = newer.order_by(Deployment.id.desc()).first()
    if begun is not None:
        deployments.give_way(row, begun, now=now)
    else:
        deployments.want(row, None)


def _quiet(wanted: Wanted, now: int) -> bool:
    """Whether it has been so for long enough that nobody will report a further check."""
    return gates.ALL not in wanted.names or now - _green(wanted, now) >= QUIET


def _green(wanted: Wanted, now: int) -> int:
    """Since when nothing is missing; a clock that was set back counts as now."""
    return now if wanted.green is None or wanted.green > now else wanted.green


def _next(wanted: Wanted, commit: Commit, now: int) -> int:
    """When to ask again."""
    if wanted.green is not None:
        return wanted.green + QUIET
    usual = max(USUAL, EACH * (commit.others + 1))
    return now + int(min(usual, FIRST * 2.0 ** min(wanted.looks, 20)))


def _note(row: Deployment, wanted: Wanted) -> None:
    """Write down what nobody is told of."""
    mine = (Deployment.id == row.id) & (Deployment.state == DeploymentState.WAITING)
    Deployment.update(wanted=waiting.written(wanted)).where(mine).execute()


def _says_nothing(about: object) -> bool:
    return isinstance(about, CommitStatus) and about.state == "pending"


def _wants(wanted: Wanted, about: object, ours: frozenset[str]) -> bool:
    """Whether an event that is about that can be of use to whoever wants these: by its name, where it tells one."""
    if isinstance(about, CheckRun | CommitStatus):
        own = about.name.lower().startswith(OWN_PREFIXES) or (isinstance(about, CheckRun) and bool(about.app & ours))
        named = any(gates.same(each, about.name) for each in wanted.names)
        return named or (gates.ALL in wanted.names and not own)
    return not (isinstance(about, CheckSuite) and about.app & ours)


def _names(wanted: Wanted) -> str:
    return gates.told(wanted.names).removeprefix("waits for ").removeprefix("checks: ")


def _again(commit: Commit) -> list[Deployment]:
    """Those of its deployments that still wait, as they are now; oldest first."""
    return list(_waiting(Deployment.id.in_(list(commit.waiting))))


def _all() -> list[tuple[Deployment, Wanted]]:
    """All that wait for checks."""
    return [(row, wanted) for row in _waiting() if (wanted := waiting.of(row)) is not None]


def _waiting(*conditions: Any) -> ModelSelect[Deployment]:
    rows = Deployment.select(Deployment, Service).join(Service)
    return rows.where(*_for_checks(), *conditions).order_by(Deployment.id)


def _for_checks() -> tuple[Any, ...]:
    """What is so of all that waits for checks, locked or not (Any: peewee's expressions)."""
    return Deployment.state == DeploymentState.WAITING, Deployment.wanted.is_null(False)
