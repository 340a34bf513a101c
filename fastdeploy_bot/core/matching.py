"""Matching: what a push means for a service. Pure: values in, a verdict out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from fastdeploy_bot.core import globs, servicefile
from fastdeploy_bot.core.servicefile import ServiceFile
from fastdeploy_bot.words import Push, VerdictKind

SHORT: Final = 7


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
    """The decided pushes of this ref with the newest `pushed_at`."""


class Decision(msgspec.Struct, frozen=True):
    """A verdict and its reason in one sentence."""

    service: str
    verdict: VerdictKind
    reason: str
    counts: bool = False
    """Whether older pushes of the same ref are stale from now on."""


def decide(push: Push, services: Iterable[Candidate]) -> list[Decision]:
    """The verdict of every service that is mapped to the push's repository, in the order given."""
    return [_decide(push, service) for service in services if _mapped(push, service)]


def _mapped(push: Push, service: Candidate) -> bool:
    return service.repository_id == push.repository_id or service.repository == push.repository.lower()


def _decide(push: Push, service: Candidate) -> Decision:
    def verdict(kind: VerdictKind, reason: str, *, counts: bool = False) -> Decision:
        return Decision(service.name, kind, reason, counts)

    if refusal := _refusal(push, service):
        return verdict(VerdictKind.REFUSED, refusal)
    if service.file is None:
        return verdict(VerdictKind.REFUSED, service.problem)
    if not _wanted(push, service.file):
        return verdict(VerdictKind.IGNORE, f"{_named(push)} is not wanted: {_wants(push, service.file)}")
    if (newer := _newer(push, service.newest)) is not None:
        reason = f"a newer push of {_named(push)}, {newer.after[:SHORT]}, was decided before"
        return verdict(VerdictKind.STALE, reason, counts=True)
    if push.deleted:
        return verdict(VerdictKind.IGNORE, f"{_named(push)} was deleted: there is nothing to deploy", counts=True)
    return _judge(push, service, service.file)


def _refusal(push: Push, service: Candidate) -> str:
    """Why the push is not believed; empty where it is."""
    if service.repository_id not in (None, push.repository_id):
        return (
            f"{push.repository} is another repository now: "
            f"its id is {push.repository_id}, pinned is {service.repository_id}"
        )
    return "" if service.signed else f"the webhook's secret may not sign for {service.repository}"


def _judge(push: Push, service: Candidate, file: ServiceFile) -> Decision:
    """What becomes of the newest push of a ref that the service deploys."""

    def verdict(kind: VerdictKind, reason: str, *, counts: bool = True) -> Decision:
        return Decision(service.name, kind, reason, counts)

    if push.skip:
        return verdict(VerdictKind.IGNORE, f"the message of {push.commit[:SHORT]} says {push.skip}", counts=False)
    if not _touches(push, file):
        return verdict(VerdictKind.IGNORE, f"no changed file matches paths ({', '.join(file.paths)})", counts=False)
    if not file.auto:
        return verdict(VerdictKind.IGNORE, "auto = false: deployments start by hand")
    if push.commit == service.held_back:
        return verdict(VerdictKind.IGNORE, service.held_back_why)
    news = f"{_named(push)} is now {push.commit[:SHORT]}"
    if service.lock:
        return verdict(VerdictKind.WAIT, f"{news}; the service is {service.lock}")
    return verdict(VerdictKind.DEPLOY, news)


def _wanted(push: Push, file: ServiceFile) -> bool:
    return servicefile.ref_wanted(file, branch=push.branch, tag=push.tag, default_branch=push.default_branch)


def _touches(push: Push, file: ServiceFile) -> bool:
    """Whether the push concerns the service's paths; where that cannot be known, it does."""
    return not file.paths or push.paths is None or globs.any_path(file.paths, push.paths)


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
        return f"only the default branch, {push.default_branch}, is deployed"
    patterns = [*file.branches, *(f"tag {tag}" for tag in file.tags)]
    return f"only {', '.join(patterns)}"
