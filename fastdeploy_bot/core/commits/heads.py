"""Heads: what a service's refs name now, as far as the pushes told."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core.commits import deliveries
from fastdeploy_bot.core.files import servicefile
from fastdeploy_bot.core.files.servicefile import ServiceFile
from fastdeploy_bot.errors import Invalid
from fastdeploy_bot.store.models import Delivery, Service, Verdict
from fastdeploy_bot.words import ZERO_SHA, VerdictKind

LONGEST_REF: Final = 1_024
_REF: Final = re.compile(r"refs/(heads|tags)/[^\x00-\x1f\x7f-\x9f]+")
LOOK_BACK: Final = 200
"""How many pushes are looked at for the newest one of a mapped ref."""


class Head(msgspec.Struct, frozen=True):
    """A ref and the commit it names."""

    ref: str
    sha: str


UNTOLD: Final = (VerdictKind.STALE, VerdictKind.REFUSED, VerdictKind.DUPLICATE)
"""Verdicts whose pushes say nothing about what a ref names now."""
_TELLING: Final = [kind for kind in VerdictKind if kind not in UNTOLD]
_LAST: Final = store.Prepared[Delivery](
    # Of one ref they came in the order of their times: what came late was stale.
    lambda service: (
        Delivery.select(Delivery.ref, Delivery.after, Delivery.commit, Delivery.default_branch)
        .join(Verdict)
        .where(Verdict.id.in_(deliveries.last_verdicts(service, _TELLING, most=LOOK_BACK)))
        .order_by(*deliveries.NEWEST_FIRST)
        .limit(LOOK_BACK)
    )
)


class Told(msgspec.Struct, frozen=True):
    """What a push said of a ref."""

    ref: str
    after: str
    commit: str
    default_branch: str | None


def full_ref(ref: str) -> str:
    """A ref in full: a bare name is a branch. Raises Invalid for what can be none."""
    full = ref if ref.startswith("refs/") else f"refs/heads/{ref}"
    if len(full) > LONGEST_REF or not _REF.fullmatch(full):
        raise Invalid(f"ref: expected a branch, or refs/heads/… or refs/tags/…, got {ref[:60]!r}")
    return full


def newest(service: Service, file: ServiceFile, *, ref: str | None = None) -> Head:
    """The head of the ref, or of the mapped ref pushed last. Raises Invalid where no push told."""
    last: dict[str, Told] = {}
    for told in _pushes(service):
        if ref in (None, told.ref) and mapped(file, told.ref, told.default_branch):
            last.setdefault(told.ref, told)
    for told in last.values():
        if told.after != ZERO_SHA:
            return Head(told.ref, told.commit)
    raise Invalid(f"sha: the head of {ref or 'a mapped branch'} is not known yet: give the sha, 40 hex digits")


def check(service: Service, file: ServiceFile, ref: str) -> None:
    """Raise Invalid for a ref that the service does not deploy, where that is known."""
    default = default_branch(service)
    unknowable = not file.branches and not file.tags and default is None
    if not unknowable and not mapped(file, ref, default):
        raise Invalid(f"ref: {ref} is none that service {service.name} deploys")


def ref_of(service: Service, file: ServiceFile, sha: str) -> str:
    """The ref to name for a sha that came without one: that of its push, else the service's one plain branch.

    Empty where nothing tells.
    """
    pushes = _pushes(service)
    pushed = next((told.ref for told in pushes if told.commit == sha), None)
    if pushed is not None:
        return pushed
    default = next((told.default_branch for told in pushes if told.default_branch), None)
    branches = file.branches if file.branches or file.tags else (default,)
    plain = [branch for branch in branches if branch and not set(branch) & set("*?[!")]
    return full_ref(plain[0]) if len(plain) == 1 else ""


def mapped(file: ServiceFile, ref: str, default_branch: str | None) -> bool:
    """Whether the service deploys the ref."""
    branch = ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else None
    tag = ref.removeprefix("refs/tags/") if ref.startswith("refs/tags/") else None
    return servicefile.ref_wanted(file, branch=branch, tag=tag, default_branch=default_branch)


def default_branch(service: Service) -> str | None:
    """The repository's default branch, as the newest push told it; None where none has yet."""
    return next((told.default_branch for told in _pushes(service) if told.default_branch), None)


def _pushes(service: Service) -> list[Told]:
    """What the pushes told that were decided for the service, newest first; stale ones tell nothing of now."""
    rows = _LAST.tuples(service.id)
    return [Told(ref or "", after or "", commit or "", default_branch) for ref, after, commit, default_branch in rows]
