"""Gates: whether what others reported of a commit lets a deployment of it begin. Pure: values in, a judgement out.

GitHub's own rules for required checks hold. Source:
https://docs.github.com/en/pull-requests/how-tos/merge-and-close-pull-requests/troubleshooting-required-status-checks
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from fastdeploy_bot.words import CheckState, StatusCheck

ALL: Final = "*"
"""In the place of a name: every check and status that the bot did not report itself."""
SHOWN: Final = 5
"""How many names a sentence has; of more it says how many there are."""


class Gate(StrEnum):
    """What a deployment may do."""

    OPEN = "open"
    SHUT = "shut"
    """Never: what it waits for has failed."""
    WAIT = "wait"


class Judgement(msgspec.Struct, frozen=True):
    """What is to become of a deployment, and why."""

    gate: Gate
    reason: str = ""
    """In words that go on from `waited 2h for checks: `, or that say what failed; empty where it may begin."""
    unheard: str = ""
    """Which of the names nobody has reported, in a sentence; empty where all are there."""


def judge(wanted: Sequence[str], found: Sequence[StatusCheck], *, whole: bool = True) -> Judgement:
    """What `found`, all that was reported of a commit, means for a deployment that wants these names to succeed.

    Where a check and a status have the same name, or several suites a check of that name, all of them have to succeed.
    `whole` says whether `found` is all that there is: of a part nobody can say that nothing failed.
    """
    concerned = [check for check in found if _concerns(check, wanted)]
    if failed := [check for check in concerned if check.state is CheckState.FAILED]:
        return Judgement(Gate.SHUT, _failed(failed))
    missing = _missing(wanted, concerned)
    pending = [f"{check.name} {check.told}" for check in concerned if check.state is CheckState.PENDING]
    unheard = _unheard(missing, found)
    if not whole:
        return Judgement(Gate.WAIT, "more were reported than are looked at", unheard)
    if missing or pending:
        return Judgement(Gate.WAIT, listed([*filter(None, [unheard]), *pending], "; "), unheard)
    return Judgement(Gate.OPEN)


def told(wanted: Sequence[str]) -> str:
    """What a deployment that wants these names waits for."""
    named = [name for name in wanted if name != ALL]
    if ALL not in wanted:
        return f"waits for checks: {listed(named)}"
    return f"waits for all checks{', also ' if named else ''}{listed(named)}"


def listed(texts: Sequence[str], between: str = ", ") -> str:
    """The first few of these, and how many more there are."""
    rest = len(texts) - SHOWN
    shown = between.join(texts[:SHOWN])
    return f"{shown} and {rest} more" if rest > 0 else shown


def same(name: str, other: str) -> bool:
    """Whether two names are one: GitHub takes contexts of statuses in any case."""
    return name.casefold() == other.casefold()


def _concerns(check: StatusCheck, wanted: Sequence[str]) -> bool:
    if ALL in wanted and not check.own:
        return True
    return not check.suite and any(same(check.name, name) for name in wanted)


def _missing(wanted: Sequence[str], concerned: Sequence[StatusCheck]) -> list[str]:
    """The names that nobody has reported; `*` stands for one at least."""
    heard = [check for check in concerned if not check.suite]
    return [name for name in wanted if not (heard if name == ALL else any(same(name, each.name) for each in heard))]


def _unheard(missing: Sequence[str], found: Sequence[StatusCheck]) -> str:
    if not missing:
        return ""
    named = [name for name in missing if name != ALL]
    if not named:
        return "no check has been reported yet"
    others = sorted({check.name for check in found if not check.own and not check.suite})
    there = f"; there are: {listed(others)}" if others else ""
    return f"{listed(named)} {'has' if len(named) == 1 else 'have'} not been reported{there}"


def _failed(failed: Sequence[StatusCheck]) -> str:
    first = failed[0]
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    said = f": {first.said}" if first.said else ""
    return f"{'' if first.suite else 'check '}{first.name} {first.told}{more}{said}"
