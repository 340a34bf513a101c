"""Reconciling: what a repository's refs name now is held against what was decided of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import deliveries, heads
from fastdeploy_bot.core.deploying import services
from fastdeploy_bot.core.files import globs
from fastdeploy_bot.core.files.catalogue import Entry
from fastdeploy_bot.core.files.servicefile import ServiceFile
from fastdeploy_bot.core.pushes import intake
from fastdeploy_bot.core.pushes.intake import Receipt
from fastdeploy_bot.core.pushes.matching import SHORT, Decision
from fastdeploy_bot.store.models import Delivery, Lease, Recovery, Service, Verdict, Watch
from fastdeploy_bot.words import ZERO_SHA, VerdictKind, Webhook

MOST_PREFIXES: Final = 4
"""For how many beginnings of names a repository's refs are asked for; beyond that, for all of them."""
TOGETHER: Final = 60 * clock.SECOND
"""What is recovered within such a time is told as one."""
LOOKED: Final = 60 * clock.SECOND
"""How often is written down that a repository was looked at."""
AWAKE: Final = "awake"
"""The lease whose end says when somebody last looked after this."""

OLDER: Final = (VerdictKind.STALE, VerdictKind.DUPLICATE)
"""Verdicts of pushes that are not the newest of their ref; what was seen there was the newest, whatever came of it."""
_NEWEST: Final = store.Prepared[Delivery](
    deliveries.of_ref(
        *(Delivery.id, Delivery.guid, Delivery.after, Delivery.pushed_at),
        told=Verdict.verdict.not_in(OLDER) | Delivery.reconciled,
        most=1,
    )
)


class Target(msgspec.Struct, frozen=True):
    """A repository to look at, and for whom."""

    repository: str
    """`owner/name`, in lower case."""
    files: Mapping[str, ServiceFile]
    """The usable files of its services, by their names."""

    @property
    def wants(self) -> tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]:
        """What changes when a service is added, or wants other refs."""
        return tuple((name, file.branches, file.tags) for name, file in sorted(self.files.items()))


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A repository as it was seen."""

    repository_id: int
    repository: str
    """`owner/name` as GitHub spells it now."""
    default_branch: str | None
    pushed_at: int | None
    """Unix seconds: when any ref was pushed last."""
    heads: Mapping[str, str]
    """What each ref names; of branches a commit, of tags maybe a tag."""
    empty: bool = False
    """Whether nothing was ever pushed there, or nothing is known of that."""


class Watched(msgspec.Struct, frozen=True):
    """The refs that a service wanted when its repository was looked at last, as its row keeps it."""

    repository_id: int
    default_branch: str | None
    branches: tuple[str, ...]
    tags: tuple[str, ...]


class Standing(msgspec.Struct, frozen=True):
    """The newest push that was decided of a ref for a service."""

    delivery: int
    guid: str
    after: str
    pushed_at: int | None


Standings = Mapping[str, Standing | None]
"""By service; None where no push of the ref was ever decided for it."""


class Missed(msgspec.Struct, frozen=True, kw_only=True):
    """A ref that names something else than what was decided last."""

    repository_id: int
    ref: str
    before: str
    after: str
    pushed_at: int
    settled: Mapping[str, Decision]
    """What needs no deciding, by service."""
    standings: Standings
    """What it was held against."""

    @property
    def is_first_sight(self) -> bool:
        """Whether there is nothing to deploy: nobody watched the ref before."""
        return len(self.settled) == len(self.standings)


def targets(entries: Mapping[str, Entry]) -> list[Target]:
    """The repositories of all services whose files can be used."""
    files: dict[str, dict[str, ServiceFile]] = {}
    for name, entry in entries.items():
        if entry.file is not None:
            files.setdefault(entry.file.repository.lower(), {})[name] = entry.file
    return [Target(repository, of) for repository, of in sorted(files.items())]


def spelling(target: Target) -> str:
    """`owner/name` as GitHub spelt it last for the pinned id: a renamed repository is asked for by its new name."""
    pinned = next((row.repository_id for row in _rows(target).values() if row.repository_id is not None), None)
    told = Delivery.select(Delivery.repository).where(Delivery.repository_id == pinned)
    last = told.where(Delivery.repository.is_null(False)).order_by(Delivery.id.desc()).first() if pinned else None
    return target.repository if last is None else str(last.repository)


def prefixes(target: Target, default_branch: str | None) -> list[str]:
    """With what the names of all refs begin that its services want, without `refs/`."""
    found: set[str] = set()
    for file in target.files.values():
        branches = file.branches if file.branches or file.tags else (default_branch or "",)
        found |= {f"heads/{text}" for text in _beginnings(branches)}
        found |= {f"tags/{text}" for text in _beginnings(file.tags)}
    if len(found) > MOST_PREFIXES:
        found = {f"{prefix.partition('/')[0]}/" for prefix in found}
    return sorted(each for each in found if not any(each != other and each.startswith(other) for other in found))


def foreign(target: Target, seen: Seen) -> str:
    """Why a repository is not the one that its services are of; empty where it is."""
    pinned = {row.repository_id for row in _rows(target).values() if row.repository_id is not None}
    if not pinned - {seen.repository_id}:
        return ""
    ids = ", ".join(map(str, sorted(pinned)))
    return f"{seen.repository} is another repository now: its id is {seen.repository_id}, pinned is {ids}"


def compare(target: Target, seen: Seen) -> list[Missed]:
    """The refs that name something else than what was decided last, and those that are seen for the first time."""
    rows = _rows(target)
    refs = [] if seen.empty else sorted({*seen.heads, *_pushed_refs(seen.repository_id)})
    found = (_missed(target, seen, rows, ref) for ref in refs)
    return [each for each in found if each is not None]


def decide(
    missed: Missed, webhook: Webhook, target: Target, entries: Mapping[str, Entry], *, away: int | None, now: int
) -> Receipt | None:
    """Decide a missed push as if this webhook had come; None where a push of the ref was decided meanwhile.

    `away` is for how many milliseconds nobody had looked; None where nobody needs to hear of it.
    """

    def unless_decided() -> Receipt | None:
        for name in target.files:
            services.of(entries[name], now=now)
        services.pin(target.repository, missed.repository_id)
        if _standings(missed.standings, _rows(target), missed.repository_id, missed.ref) != missed.standings:
            return None
        if away is not None and not missed.is_first_sight:
            note_recovered(pushes=1, away=away, now=now)
        return intake.reconcile(webhook, entries, missed.settled, now=now)

    return store.write(unless_decided)


def note_watched(target: Target, seen: Seen) -> None:
    """From now on a ref that appears is a push that was missed, where these services want it."""
    rows = _rows(target)
    fresh = {
        name: msgspec.json.encode(Watched(seen.repository_id, seen.default_branch, file.branches, file.tags)).decode()
        for name, file in target.files.items()
    }
    changed = {name: watched for name, watched in fresh.items() if name in rows and rows[name].watched != watched}

    def write() -> None:
        for name, watched in changed.items():
            Service.update(watched=watched).where(Service.name == name).execute()

    if changed:
        store.write(write)


def note_look(repository: str, problem: str, *, deaf: str, now: int) -> None:
    """Somebody looked at a repository; `problem` says why that was in vain, or is empty.

    `deaf` says why its failed deliveries cannot be asked for, or is empty.
    """
    found = Watch.get_or_none(Watch.repository == repository)
    told = {"problem": problem, "deaf": deaf}
    if (
        found is not None
        and told == {"problem": found.problem, "deaf": found.deaf}
        and 0 <= now - found.looked < LOOKED
    ):
        return

    def write() -> None:
        fields = told if problem else {**told, "looked": now}
        if not Watch.update(fields).where(Watch.repository == repository).execute():
            Watch.create(**({"repository": repository, "looked": 0} | fields))

    store.write(write)


def forget_others(repositories: Iterable[str]) -> None:
    """Nobody looks at any other repository any more."""
    others = Watch.repository.not_in(list(repositories))
    if Watch.select().where(others).exists():
        store.write(lambda: Watch.delete().where(others).execute())


def note_recovered(*, pushes: int = 0, redelivered: int = 0, away: int, now: int) -> None:
    """So many were missed and found; what comes shortly after another is told together with it.

    To be called inside a write.
    """
    last = Recovery.select().order_by(Recovery.id.desc()).first()
    if last is None or not 0 <= now - last.at < TOGETHER:
        Recovery.create(at=now, away=away, pushes=pushes, redelivered=redelivered)
        return
    last.at, last.away = now, max(away, last.away)
    last.pushes, last.redelivered = last.pushes + pushes, last.redelivered + redelivered
    last.save()


def last_recovery(*, since: int) -> Recovery | None:
    """What was recovered last, where that was after then."""
    found: Recovery | None = Recovery.select().where(Recovery.at >= since).order_by(Recovery.id.desc()).first()
    return found


def watches() -> list[Watch]:
    """What is known of the last look at each repository."""
    return list(Watch.select().order_by(Watch.repository))


def watch(repository: str) -> Watch | None:
    """What is known of the last look at a repository; None where nobody looks at it."""
    found: Watch | None = Watch.get_or_none(Watch.repository == repository)
    return found


def awake(*, now: int) -> int | None:
    """Say that somebody is there; answers for how many milliseconds nobody had said so, None where nobody ever had."""

    def write() -> int | None:
        last = Lease.get_or_none(Lease.name == AWAKE)
        if last is None:
            Lease.create(name=AWAKE, holder="", until=now)
            return None
        Lease.update(until=now).where(Lease.name == AWAKE).execute()
        return max(0, now - int(last.until))

    return store.write(write)


def _rows(target: Target) -> dict[str, Service]:
    names = list(target.files)
    return {row.name: row for row in Service.select().where(Service.name.in_(names), Service.removed.is_null())}


def _beginnings(patterns: Iterable[str]) -> set[str]:
    """With what everything begins that the patterns want."""
    listed = list(patterns)
    wanted = [pattern for pattern in listed if not pattern.startswith("!")]
    return {globs.beginning(pattern) for pattern in wanted} if wanted or not listed else {""}


def _pushed_refs(repository_id: int) -> set[str]:
    """Every ref that a push was ever received of."""
    pushed = Delivery.repository_id == repository_id, Delivery.ref.is_null(False)
    return {row.ref for row in Delivery.select(Delivery.ref).where(*pushed).distinct() if row.ref}


def _missed(target: Target, seen: Seen, rows: Mapping[str, Service], ref: str) -> Missed | None:
    after = seen.heads.get(ref, ZERO_SHA)
    wanting = [name for name, file in target.files.items() if heads.mapped(file, ref, seen.default_branch)]
    standings = _standings(wanting, rows, seen.repository_id, ref)
    settled: dict[str, Decision] = {}
    news: list[Standing | None] = []
    for name, last in standings.items():
        watched = last is not None or _was_watched(rows.get(name), ref, seen.repository_id)
        decision = _settled(name, last, after, watched=watched)
        if decision is None:
            news.append(last)
        else:
            settled[name] = decision
    if not news and all(each.verdict is VerdictKind.DUPLICATE for each in settled.values()):
        return None
    known = [each for each in news if each is not None]
    before = max(known, key=lambda each: (each.pushed_at or 0, each.delivery)).after if known else ZERO_SHA
    times = [seen.pushed_at, *(each.pushed_at for each in standings.values() if each is not None)]
    return Missed(
        repository_id=seen.repository_id,
        ref=ref,
        before=before,
        after=after,
        pushed_at=max(time or 0 for time in times),
        settled=settled,
        standings=standings,
    )


def _settled(name: str, last: Standing | None, after: str, *, watched: bool) -> Decision | None:
    """What is decided of a ref for a service without its push; None where the push decides."""
    if last is not None and last.after == after:
        return Decision(name, VerdictKind.DUPLICATE, f"this push was received before, as delivery {last.guid}")
    if last is None and after == ZERO_SHA:
        return Decision(name, VerdictKind.DUPLICATE, "no push of it was ever received")
    if last is None and not watched:
        reason = f"first seen at {after[:SHORT]}: only later pushes are deployed"
        return Decision(name, VerdictKind.IGNORE, reason, counts=True, newest=True)
    return None


def _standings(names: Iterable[str], rows: Mapping[str, Service], repository_id: int, ref: str) -> Standings:
    return {name: _standing(rows.get(name), repository_id, ref) for name in names}


def _standing(service: Service | None, repository_id: int, ref: str) -> Standing | None:
    if service is None:
        return None
    found = _NEWEST.tuples(repository_id, ref, service.id)
    return Standing(*found[0]) if found else None


def _was_watched(service: Service | None, ref: str, repository_id: int) -> bool:
    """Whether the service wanted the ref when the repository was looked at last."""
    if service is None or service.watched is None:
        return False
    watched = msgspec.json.decode(service.watched, type=Watched)
    file = ServiceFile(repository=service.repository, branches=watched.branches, tags=watched.tags)
    return watched.repository_id == repository_id and heads.mapped(file, ref, watched.default_branch)
