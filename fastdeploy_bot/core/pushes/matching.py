"""Matching: what a push means for a service. Pure: values in, a verdict out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from fastdeploy_bot.core.commits.drift import Base, Drift
from fastdeploy_bot.core.deploying import gates
from fastdeploy_bot.core.files import globs, servicefile
from fastdeploy_bot.core.files.servicefile import ServiceFile
from fastdeploy_bot.words import Push, VerdictKind

SHORT: Final = 7
MOST_ASKED: Final = 4
"""How many commits GitHub is asked to compare a push with; where it were more, the push is deployed."""
LONGEST_PATH: Final = 100
"""Characters of a path in a reason."""
DEAF: Final = (
    "wait_for: the bot has no credentials to ask GitHub for checks: "
    "set github_token or a GitHub App, then replay this delivery"
)


class Known(msgspec.Struct, frozen=True):
    """A push that was already decided for the same service and ref."""

    before: str
    after: str
    pushed_at: int | None


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A service as it stands when a push is decided."""

    name: str
    file: ServiceFile | None
    """None while the file cannot be used; `problem` says why."""
    problem: str = ""
    repository: str
    """`owner/name`, in lower case."""
    repository_id: int | None
    """The id pinned for that repository; None before it was first seen."""
    signed: bool = True
    """Whether the webhook's signer may speak for that repository."""
    lock: str = ""
    """By whom and why it is locked; empty while it is not."""
    held_back: str | None = None
    """The commit that it was rolled back from; `held_back_why` says by whom."""
    held_back_why: str = ""
    newest: tuple[Known, ...] = ()
    """The decided pushes of this ref with the newest `pushed_at`; those that came before this one need not be there."""
    usual: bool = False
    """Whether pushes of this ref were decided before; needed where the file does not tell what is wanted."""
    deaf: bool = False
    """Whether there are no credentials to ask GitHub with."""
    drift: Drift = Drift()
    """What the push is compared with; needed where the file has `paths`."""
    asks: bool = False
    """Whether GitHub can be asked what differs where the rows do not tell."""
    unanswered: str = ""
    """Why GitHub did not tell; empty where it was not asked, or did."""


class Decision(msgspec.Struct, frozen=True):
    """A verdict and its reason in one sentence."""

    service: str
    verdict: VerdictKind
    reason: str
    counts: bool = False
    """Whether older pushes of the same ref are stale from now on."""
    ask: tuple[str, ...] = ()
    """The commits that GitHub is to compare the push with: its answer decides, and until then nothing is queued."""
    newest: bool = False
    """Whether the push is the newest one of what the service deploys, whatever comes of it."""


def decide(push: Push, services: Iterable[Candidate]) -> list[Decision]:
    """The verdict of every service that is mapped to the push's repository, in the order given."""
    return [_decide(push, service) for service in services if _mapped(push, service)]


def _mapped(push: Push, service: Candidate) -> bool:
    return service.repository_id == push.repository_id or service.repository == push.repository.lower()


def _decide(push: Push, service: Candidate) -> Decision:
    def verdict(kind: VerdictKind, reason: str, *, counts: bool = False, newest: bool = False) -> Decision:
        return Decision(service.name, kind, reason, counts, newest=newest)

    if refusal := _refusal(push, service):
        return verdict(VerdictKind.REFUSED, refusal, newest=service.signed and _usual(push, service))
    if service.file is None:
        return verdict(VerdictKind.REFUSED, service.problem, newest=_usual(push, service))
    if not _wanted(push, service.file):
        return verdict(VerdictKind.IGNORE, f"{_named(push)} is not wanted: {_wants(push, service.file)}")
    if (newer := _newer(push, service.newest)) is not None:
        reason = f"a newer push of {_named(push)}, {newer.after[:SHORT]}, was decided before"
        return verdict(VerdictKind.STALE, reason, counts=True)
    if push.deleted:
        return verdict(
            VerdictKind.IGNORE, f"{_named(push)} was deleted: there is nothing to deploy", counts=True, newest=True
        )
    return _judge(push, service, service.file)


def _refusal(push: Push, service: Candidate) -> str:
    """Why the push is not believed; empty where it is."""
    if service.repository_id not in (None, push.repository_id):
        return (
            f"{push.repository} is another repository now: "
            f"its id is {push.repository_id}, pinned is {service.repository_id}"
        )
    return "" if service.signed else f"the webhook's secret may not sign for {service.repository}"


def _usual(push: Push, service: Candidate) -> bool:
    """Whether its ref seems to be one that the service deploys, where its file does not tell."""
    return service.usual or (push.branch is not None and push.branch == push.default_branch)


def _judge(push: Push, service: Candidate, file: ServiceFile) -> Decision:
    """What becomes of the newest push of a ref that the service deploys."""

    def verdict(kind: VerdictKind, reason: str, *, counts: bool = True, ask: tuple[str, ...] = ()) -> Decision:
        return Decision(service.name, kind, reason, counts, ask, newest=True)

    if push.skip:
        return verdict(VerdictKind.IGNORE, f"the message of {push.commit[:SHORT]} says {push.skip}", counts=False)
    look = _look(service, file)
    if look.unconcerned:
        return verdict(VerdictKind.IGNORE, look.unconcerned)
    if not file.auto:
        return verdict(VerdictKind.IGNORE, "its service file lets deployments start by hand only (auto = false)")
    if push.commit == service.held_back:
        return verdict(VerdictKind.IGNORE, service.held_back_why)
    if file.wait_for and service.deaf:
        return verdict(VerdictKind.REFUSED, DEAF, counts=False)
    if look.ask:
        asked = " and ".join(sha[:SHORT] for sha in look.ask)
        return verdict(VerdictKind.WAIT, f"what changed since {asked} is asked of GitHub", ask=look.ask)
    return verdict(*_now(service, file, f"{_named(push)} is now {push.commit[:SHORT]}{look.told}"))


def _now(service: Candidate, file: ServiceFile, news: str) -> tuple[VerdictKind, str]:
    """Whether a push that is to be deployed waits before it is, and what for."""
    checks = gates.told(file.wait_for) if file.wait_for else ""
    if service.lock:
        return VerdictKind.WAIT, f"{news}; the service is {service.lock}{checks and f'; it also {checks}'}"
    return (VerdictKind.WAIT, f"{news}; it {checks}") if checks else (VerdictKind.DEPLOY, news)


class _Look(msgspec.Struct, frozen=True):
    """What a service's `paths` say of a push."""

    unconcerned: str = ""
    """Why it is of no concern; empty where it is, or may be."""
    ask: tuple[str, ...] = ()
    told: str = ""
    """What to add to the reason to deploy."""


def _look(service: Candidate, file: ServiceFile) -> _Look:
    """Compare with what is live, and with whatever may be by the time the push is deployed; unknown means concerned.

    What was rolled back stays away while nothing of concern is new since: other people's files do not bring it back.
    """
    bases, held_back = service.drift.bases, service.drift.held_back
    if not file.paths:
        return _Look()
    if not bases:
        return _Look(told="; nothing was live before")
    if held_back is not None and _touched(held_back, file) == "":
        return _Look(unconcerned=f"{_unconcerned(held_back, file)}; {service.held_back_why}")
    touched = [_touched(base, file) for base in bases]
    if not any(each != "" for each in touched):
        return _Look(unconcerned=_unconcerned(bases[0], file))
    deciding = (held_back,) if any(touched) else (*bases, held_back)
    unknown = dict.fromkeys(base.sha for base in deciding if base is not None and base.paths is None)
    if service.asks and 1 <= len(unknown) <= MOST_ASKED:
        return _Look(ask=tuple(unknown))
    return _Look(told=_told(bases, touched, service.unanswered))


def _touched(base: Base, file: ServiceFile) -> str | None:
    """A file of concern that differs from a commit; empty where there is none, None where that is not known."""
    if base.paths is None:
        return None
    return next((path for path in base.paths if globs.last_match(file.paths, path)), "")


def _unconcerned(base: Base, file: ServiceFile) -> str:
    count = len(base.paths or ())
    since = f"changed since {base.sha[:SHORT]}"
    if not count:
        return f"no file {since}"
    return f"{count} file{'s' * (count > 1)} {since}, none matches paths ({', '.join(file.paths)})"


def _told(bases: Iterable[Base], touched: Iterable[str | None], unanswered: str) -> str:
    """A file of concern, or that none is known."""
    looked = list(zip(bases, touched, strict=True))
    for base, path in looked:
        if path:
            shown = path if len(path) <= LONGEST_PATH else f"{path[:LONGEST_PATH]}…"
            return f"; {shown} changed since {base.sha[:SHORT]}"
    since = next(base.sha for base, path in looked if path is None)[:SHORT]
    if unanswered:
        return f"; GitHub did not say what changed since {since}: {unanswered}"
    return f"; what changed since {since} is not known"


def _wanted(push: Push, file: ServiceFile) -> bool:
    return servicefile.ref_wanted(file, branch=push.branch, tag=push.tag, default_branch=push.default_branch)


def _newer(push: Push, decided: Iterable[Known]) -> Known | None:
    """The decided push that is newer than this one, if any: by `pushed_at`, then by chain; a tie is won by arrival.

    `decided` is newest first. A push that begins where one of those ended comes after it, even where it leads back
    to a commit that an earlier one began with.
    """
    came_from: set[str] = set()
    for known in decided:
        if _differ_in_time(push, known):
            if (push.pushed_at or 0) < (known.pushed_at or 0):
                return known
            continue
        came_from.add(known.after)
        if push.after == known.before and push.before not in came_from:
            return known
    return None


def _differ_in_time(push: Push, known: Known) -> bool:
    return None not in (push.pushed_at, known.pushed_at) and push.pushed_at != known.pushed_at


def _named(push: Push) -> str:
    if push.branch is not None:
        return f"branch {push.branch}"
    return f"tag {push.tag}" if push.tag is not None else push.ref


def _wants(push: Push, file: ServiceFile) -> str:
    if not file.branches and not file.tags:
        if push.default_branch is None:
            return "only the default branch is deployed, and the push does not say which that is: name it in branches"
        return f"only the default branch, {push.default_branch}, is deployed"
    patterns = [*file.branches, *(f"tag {tag}" for tag in file.tags)]
    return f"only {', '.join(patterns)}"
