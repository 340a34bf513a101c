"""Comparing: asks GitHub what a push changed since the commits that count for a service, and has it decided."""

from __future__ import annotations

from typing import Final

import msgspec

from fastdeploy_bot.core import resuming
from fastdeploy_bot.core.deciding import Asked
from fastdeploy_bot.engine.inquiries import Entries, Further
from fastdeploy_bot.engine.line import Line
from fastdeploy_bot.forge.github.api import compare
from fastdeploy_bot.forge.github.api.compare import Comparison, Relation
from fastdeploy_bot.forge.github.client import Client
from fastdeploy_bot.store.models import Question

CUT: Final = f"it lists at most {compare.MOST_FILES} files"


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
            asked = _with(asked, base, _compare(line, question, base, head, now))
        elif asked.apart:
            base = asked.apart[0]
            asked = _joined(asked, base, _compare(line, question, head, base, now))
        return dict(asked.ahead) if _complete(asked) else Further(asked)

    def act(self, question: Question, found: object, entries: Entries, *, now: int) -> None:
        """Decide the push; inside a write."""
        answers = msgspec.convert(found, dict[str, tuple[str, ...] | None])
        cut = None in answers.values()
        resuming.resume(question, answers, entries, why=CUT if cut else "", now=now)

    def give_up(self, question: Question, why: str, entries: Entries, *, now: int) -> None:
        """Decide the push as if all had changed; inside a write."""
        resuming.resume(question, {}, entries, why=why, now=now)


def _compare(line: Line, question: Question, base: str, head: str, now: int) -> Comparison:
    def call(client: Client, token: str) -> Comparison:
        return compare.commits(client, token, question.repository, base, head)

    return line.ask(question.repository, compare.READS, call, attempt=question.attempts, now=now)


def _with(asked: Asked, base: str, found: Comparison) -> Asked:
    """What is known now that the push was compared with a base."""
    ahead = {**asked.ahead, base: found.files}
    whole = found.relation in (Relation.IDENTICAL, Relation.AHEAD) or found.files is None
    return msgspec.structs.replace(asked, ahead=ahead, apart=asked.apart if whole else (*asked.apart, base))


def _joined(asked: Asked, base: str, found: Comparison) -> Asked:
    """What is known now that a base was compared with the push as well."""
    known = asked.ahead[base]
    both = None if known is None or found.files is None else tuple(sorted({*known, *found.files}))
    apart = tuple(each for each in asked.apart if each != base)
    return msgspec.structs.replace(asked, ahead={**asked.ahead, base: both}, apart=apart)


def _complete(asked: Asked) -> bool:
    return not asked.apart and asked.ahead.keys() >= set(asked.bases)
