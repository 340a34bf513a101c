"""Comparing: asks GitHub what a push changed since the commits that count for a service, and has it decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from fastdeploy_bot.core.commits.between import Between
from fastdeploy_bot.core.pushes import gaps, resuming
from fastdeploy_bot.core.pushes.deciding import Asked
from fastdeploy_bot.engine.inquiries import Entries, Further
from fastdeploy_bot.engine.line import Line
from fastdeploy_bot.forge.github.api import compare
from fastdeploy_bot.forge.github.api.compare import Comparison, Relation
from fastdeploy_bot.forge.github.client import Client
from fastdeploy_bot.store.models import Question

CUT: Final = f"it lists at most {compare.MOST_FILES} files"


class Found(msgspec.Struct, frozen=True):
    """What GitHub said of a push, by the commits that it was compared with."""

    files: Mapping[str, tuple[str, ...] | None]
    between: Mapping[str, Between]


class Comparing:
    """An inquirer.

    GitHub lists what a head changed since it left its base. Where the base has commits of its own, which a forced push
    took away or a rollback left behind, it is asked the other way round, too: all that may differ is in the two lists.
    """

    def ask(self, line: Line, question: Question, *, now: int) -> object:
        """Every file that may differ from each base, once all of them are compared. Raises Unheard."""
        asked = msgspec.json.decode(question.data, type=Asked)
        head = asked.push.commit
        base = next((each for each in asked.bases if each not in asked.ahead), None)
        if base is not None:
            asked = _with(asked, base, compared(line, question, base, head, now=now))
        elif asked.apart:
            base = asked.apart[0]
            asked = _joined(asked, base, compared(line, question, head, base, now=now))
        return Found(asked.ahead, asked.between) if _complete(asked) else Further(asked)

    def act(self, question: Question, found: object, entries: Entries, *, now: int) -> None:
        """Decide the push; inside a write."""
        told = msgspec.convert(found, Found, from_attributes=True)
        cut = None in told.files.values()
        resuming.resume(question, told.files, entries, why=CUT if cut else "", now=now)
        gaps.note(question, told.between)

    def give_up(self, question: Question, why: str, entries: Entries, *, now: int) -> None:
        """Decide the push as if all had changed; inside a write."""
        resuming.resume(question, {}, entries, why=why, now=now)


def compared(line: Line, question: Question, base: str, head: str, *, now: int) -> Comparison:
    """How GitHub compares two commits of the question's repository. Raises Unheard."""

    def call(client: Client, token: str) -> Comparison:
        return compare.commits(client, token, question.repository, base, head)

    return line.ask(question.repository, compare.READS, call, attempt=question.attempts, now=now)


def between(found: Comparison) -> Between | None:
    """How a base differs from its head; None where GitHub does not say."""
    if found.ahead is None or found.behind is None:
        return None
    return Between(found.ahead, found.behind, found.commits[::-1])


def _with(asked: Asked, base: str, found: Comparison) -> Asked:
    """What is known now that the push was compared with a base."""
    ahead = {**asked.ahead, base: found.files}
    whole = found.relation in (Relation.IDENTICAL, Relation.AHEAD) or found.files is None
    told = between(found)
    known = asked.between if told is None else {**asked.between, base: told}
    apart = asked.apart if whole else (*asked.apart, base)
    return msgspec.structs.replace(asked, ahead=ahead, apart=apart, between=known)


def _joined(asked: Asked, base: str, found: Comparison) -> Asked:
    """What is known now that a base was compared with the push as well."""
    known = asked.ahead[base]
    both = None if known is None or found.files is None else tuple(sorted({*known, *found.files}))
    apart = tuple(each for each in asked.apart if each != base)
    return msgspec.structs.replace(asked, ahead={**asked.ahead, base: both}, apart=apart)


def _complete(asked: Asked) -> bool:
    return not asked.apart and asked.ahead.keys() >= set(asked.bases)
