"""Links: the pushes of a ref as the links of a chain, and the way along it from one commit to another."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final, Protocol, TypeVar

from fastdeploy_bot import store
from fastdeploy_bot.core.commits import deliveries
from fastdeploy_bot.store.models import Delivery, Verdict
from fastdeploy_bot.words import VerdictKind

LOOK_BACK: Final = 100
"""How many of a ref's newest pushes are looked at for a way."""
NO_LINKS: Final = (VerdictKind.REFUSED, VerdictKind.DUPLICATE)
"""Verdicts of pushes that are not believed, or told already."""


class Link(Protocol):
    """A push of a ref: from where to where."""

    @property
    def before(self) -> str:
        """The commit that the ref named before it."""

    @property
    def after(self) -> str:
        """The one that it named then."""


L = TypeVar("L", bound=Link)


def pushes(*columns: Any) -> store.Prepared[Delivery]:  # Any: peewee's fields, each of its own type
    """The question for those columns of the newest pushes, by repository, ref and the service they were decided for."""
    return store.Prepared(deliveries.of_ref(*columns, told=Verdict.verdict.not_in(NO_LINKS), most=LOOK_BACK))


def way(base: str, head: str, links: Iterable[L]) -> list[L] | None:
    """The pushes that led from one commit to another, newest first; the fewest, where there are several ways.

    Going back from `head`, each one's `before` has to be another one's `after`, until `base` is reached; None where
    that does not happen.
    """
    arriving: dict[str, list[L]] = {}
    for link in links:
        arriving.setdefault(link.after, []).append(link)
    line = deque[tuple[str, list[L]]]([(head, [])])
    seen = {head}
    while line:
        sha, taken = line.popleft()
        if sha == base:
            return taken
        for link in arriving.get(sha, ()):
            if link.before not in seen:
                seen.add(link.before)
                line.append((link.before, [*taken, link]))
    return None
