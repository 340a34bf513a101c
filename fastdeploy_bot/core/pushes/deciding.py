"""Deciding: what a push means for each service, written down with the deployment or the question that it asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core import clock, locks
from fastdeploy_bot.core.commits import deliveries, drift, questions
from fastdeploy_bot.core.commits.between import Between
from fastdeploy_bot.core.commits.deliveries import ToldVerdict
from fastdeploy_bot.core.commits.drift import Drift, Paths
from fastdeploy_bot.core.deploying import deployments, holdbacks, services
from fastdeploy_bot.core.deploying.deployments import Order
from fastdeploy_bot.core.files.catalogue import Entry
from fastdeploy_bot.core.files.servicefile import ServiceFile
from fastdeploy_bot.core.pushes import matching, newest
from fastdeploy_bot.core.pushes.matching import Candidate, Decision, Known
from fastdeploy_bot.store.models import Delivery, Service, Verdict
from fastdeploy_bot.words import Origin, Push, QuestionKind, VerdictKind

NEWEST = 20
"""How many of a ref's newest decided pushes are held against a new one."""
PATIENCE: Final = 10 * clock.MINUTE
"""How long GitHub is asked what changed: after that, the push is deployed as if all had."""

_JUDGE: Final = store.Insert(Verdict, "delivery", "service", "verdict", "reason", "counts", "deployment", "decided")
_KNOWN: Final = deliveries.of_ref(
    *(Delivery.pushed_at, Delivery.id, Delivery.before, Delivery.after), told=Verdict.counts, most=NEWEST
)
_NEWEST: Final = store.Prepared[Delivery](_KNOWN)
_LATER: Final = store.Prepared[Delivery](
    # In most cases none. To find that in all of the newest ones would take four times as long.
    lambda repository, ref, service, moment: _each(
        _KNOWN(repository, ref, service).where(Delivery.pushed_at >= moment)
    ).union_all(_each(_KNOWN(repository, ref, service).where(Delivery.pushed_at.is_null()).limit(1)))
)
"""Of a ref's newest pushes those from that moment on, and one of those that tell no time, if there are any."""
_ANY: Final = store.Prepared[Delivery](deliveries.of_ref(Delivery.id, told=Verdict.counts, most=1))

_QUEUED = (VerdictKind.DEPLOY, VerdictKind.WAIT)
"""The verdicts that make a deployment."""

MISSING = "its service.toml is away just now: replay this delivery when it is back"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A push that is to be decided now."""

    delivery: Delivery
    push: Push
    entries: Mapping[str, Entry]
    """The service files as they are now."""
    covers: Callable[[str], bool]
    origin: Origin
    actor: str
    now: int
    settled: Mapping[str, Decision] = {}
    """What needs no deciding, by service."""
    answers: Mapping[str, Paths] | None = None
    """What GitHub said of each commit that it was to compare the push with; None before it was asked."""
    unanswered: str = ""
    """Why it said nothing."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be known when GitHub has said what a push changed: the data of a question of that kind."""

    verdict: int
    push: Push
    origin: Origin
    actor: str
    bases: tuple[str, ...]
    """The commits to compare the push with."""
    ahead: Mapping[str, Paths] = {}
    """What the push changed since it left a base, by those that GitHub compared it with; None: not known."""
    apart: tuple[str, ...] = ()
    """Those of them that have commits of their own, which the push lacks: what these changed is yet to be asked."""
    between: Mapping[str, Between] = {}
    """How a base differs from the push, by those of which GitHub said so."""


def decide(case: Case) -> list[ToldVerdict]:
    """Decide a push for every service that is mapped to its repository. To be called inside a write."""
    mapped = services.mapped_to(case.push.repository, case.push.repository_id, case.entries, now=case.now)
    candidates = [_candidate(case, service) for service in mapped]
    rows = {service.name: service for service in mapped}
    found = matching.decide(case.push, candidates)
    decisions = [case.settled.get(decision.service, decision) for decision in found]
    told = [_act(case, rows[decision.service], decision) for decision in decisions]
    if not all(candidate.signed for candidate in candidates):
        # Whoever may not speak for a service's repository cannot make its pushes known either.
        Delivery.update(push_key=None).where(Delivery.id == case.delivery.id).execute()
    return told


def decide_for(case: Case, service: Service) -> Decision:
    """What a push means for one service alone; nothing is written."""
    decided = matching.decide(case.push, [_candidate(case, service)])
    unmapped = f"service {service.name} is of another repository now"
    return decided[0] if decided else Decision(service.name, VerdictKind.IGNORE, unmapped)


def write_down(delivery: Delivery, service: Service, decision: Decision, deployment: int | None, *, now: int) -> int:
    """A decision as a verdict's row, which is named by its id. To be called inside a write."""
    return _JUDGE.number(
        delivery=delivery.id,
        service=service.id,
        verdict=decision.verdict,
        reason=decision.reason,
        counts=decision.counts,
        deployment=deployment,
        decided=now,
    )


def _candidate(case: Case, service: Service) -> Candidate:
    entry = case.entries.get(service.name, Entry(service.name, None, MISSING))
    lock = locks.of(service)
    return Candidate(
        name=service.name,
        file=entry.file,
        problem=entry.problem,
        signed=case.covers(service.repository),
        repository=service.repository,
        repository_id=service.repository_id,
        lock="" if lock is None else lock.told,
        held_back=service.held_back,
        held_back_why=holdbacks.why(service),
        newest=_newest(service, case.push),
        usual=_usual(service, entry.file, case.push),
        drift=drift.of(service, case.push, case.answers or {}) if entry.file and entry.file.paths else Drift(),
        deaf=not entry.asks,
        asks=entry.asks and case.answers is None,
        unanswered=case.unanswered,
    )


def _newest(service: Service, push: Push) -> tuple[Known, ...]:
    """Of the newest pushes of a ref, those that are not known to be older than this one."""
    place, moment = (push.repository_id, push.ref, service.id), push.pushed_at or 0
    rows = _LATER.tuples(*place, moment)
    if any(pushed_at is None for pushed_at, *_ in rows):  # whether it is one of the newest, all of these tell
        rows = [row for row in _NEWEST.tuples(*place) if row[0] is None or row[0] >= moment]
    else:
        rows.sort(reverse=True)
    return tuple(Known(before, after, pushed_at) for pushed_at, _, before, after in rows)


def _each(query: Any) -> Any:
    """All that a query finds, with its limit, as a part of another one. Any: peewee's queries."""
    return query.select_from(*(getattr(query.c, name) for name in ("pushed_at", "id", "before", "after")))


def _usual(service: Service, file: ServiceFile | None, push: Push) -> bool:
    """Whether a push of its ref was decided for a service before; not looked for where its file tells what it wants."""
    if file is not None and service.repository_id in (None, push.repository_id):
        return False
    return bool(_ANY.tuples(push.repository_id, push.ref, service.id))


def _act(case: Case, service: Service, decision: Decision) -> ToldVerdict:
    """Write down a decision, with the deployment or the question that it asks for."""
    replayed = _replayed(case, service, decision)
    if replayed is not None:
        reason = f"this delivery is being replayed already, as deployment {replayed}"
        decision = Decision(service.name, VerdictKind.DUPLICATE, reason)
    deployment = replayed or deployment_of(case, service, decision)
    if case.push.deleted and decision.counts and decision.verdict is VerdictKind.IGNORE:
        deployments.stop_unchecked(service, ref=case.push.ref, why=decision.reason, now=case.now)
    verdict = write_down(case.delivery, service, decision, deployment, now=case.now)
    if decision.newest:
        newest.note(verdict, service.id, case.push.pushed_at)
    if decision.ask:
        _ask(case, service, decision, verdict)
    return ToldVerdict(service.name, decision.verdict, decision.reason, deployment)


def _replayed(case: Case, service: Service, decision: Decision) -> int | None:
    """The deployment of the same replay, where that is under way and nothing was asked for since."""
    if case.origin is not Origin.REPLAY or decision.verdict not in _QUEUED or decision.ask:
        return None
    last = deployments.last_word(service.id)
    same = last is not None and (last.origin, last.delivery_id) == (Origin.REPLAY, case.delivery.id)
    return last.id if same and last is not None else None


def deployment_of(case: Case, service: Service, decision: Decision) -> int | None:
    """The deployment that a decision asks for, if it does."""
    return _queue(case, service) if decision.verdict in _QUEUED and not decision.ask else None


def _ask(case: Case, service: Service, decision: Decision, verdict: int) -> None:
    """Let GitHub be asked what the push changed."""
    asked = Asked(verdict=verdict, push=case.push, origin=case.origin, actor=case.actor, bases=decision.ask)
    about = {"service": service.id, "delivery": case.delivery.id}
    until = case.now + PATIENCE
    questions.ask(QuestionKind.CHANGED, case.push.repository, asked, until=until, now=case.now, **about)


def _queue(case: Case, service: Service) -> int:
    push, entry = case.push, case.entries[service.name]
    order = Order(
        origin=case.origin,
        sha=push.commit,
        ref=push.ref,
        before=push.before,
        repository=push.repository,
        actor=case.actor,
        title=push.title,
        delivery=case.delivery,
        report=entry.report,
        wait_for=() if entry.file is None else entry.file.wait_for,
    )
    deployment = deployments.queue(service, order, now=case.now)
    if locks.of(service) is not None or (entry.file is not None and entry.file.supersede):
        # Of what waits for a lock the newest is kept: all of it would begin at once at the lock's end.
        deployments.supersede(deployment, now=case.now)
    return deployment.id
