"""Questions: what GitHub is to be asked, and what it answered. Whoever needs to know writes one; the engine asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from functools import cache
from typing import Any, Final

import msgspec
from peewee import ModelSelect

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.store.models import Question
from fastdeploy_bot.words import QuestionKind

LOOK_SECONDS: Final = 0.05
KEPT: Final = 7 * clock.DAY
"""Answers are acted upon at once; later they only say what went wrong."""
SHOWN: Final = 5


def ask(
    kind: QuestionKind, repository: str, data: object, *, until: int | None = None, now: int, **about: int | None
) -> Question:
    """A new question; `data` is what the kind needs to know, `about` its service, delivery or deployment by id.

    It is given up at the moment `until`, where there is one. To be called inside a write.
    """
    written = msgspec.json.encode(data).decode()
    fields = {"kind": kind, "repository": repository, "data": written, "asked": now, "due": now, "until": until}
    question: Question = Question.create(**fields, **about)
    store.at_end(("question", question.id), lambda: None)
    return question


def next_due(kinds: Collection[QuestionKind], *, now: int) -> Question | None:
    """The oldest open question of these kinds that may be asked by now."""
    found: Question | None = _open(kinds).where(Question.due <= now).order_by(Question.due, Question.id).first()
    return found


def next_late(kinds: Collection[QuestionKind], *, now: int) -> Question | None:
    """An open question of these kinds whose answer is of no use any more."""
    return _late(tuple(kinds)).first(now)


def too_late(question: Question) -> str:
    """Why GitHub did not answer a question that is not asked any more."""
    return f"it was not heard of in time; {question.problem or 'nobody could ask it'}"


def find(number: int) -> Question | None:
    """The question of that id, answered or not; None where it was pruned."""
    found: Question | None = Question.get_or_none(Question.id == number)
    return found


def wait(number: int, *, seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
    """Wait until a question is answered, at most so many seconds. No transaction is held meanwhile."""
    deadline = time.monotonic() + seconds
    while _is_open(number) and time.monotonic() < deadline:
        store.release()
        sleep(LOOK_SECONDS)


def _is_open(number: int) -> bool:
    return Question.select().where(Question.id == number, Question.answered.is_null()).exists()


def answer(question: Question, found: object, *, problem: str = "", now: int) -> bool:
    """Write an answer down; False where there is one already. To be called inside a write.

    `problem` says why there is none, where GitHub will not give any.
    """
    fields: dict[str, Any] = {"answered": now, "answer": msgspec.json.encode(found).decode(), "problem": problem}
    still_open = (Question.id == question.id) & Question.answered.is_null()
    done = bool(Question.update(fields).where(still_open).execute())
    if done:
        store.at_end(("question", question.id), lambda: None)
    return done


def go_on(question: Question, data: object) -> None:
    """Part of what the kind needs to know is known now: `data` says which; the question stays open."""
    written = msgspec.json.encode(data).decode()
    store.write(lambda: Question.update(data=written).where(Question.id == question.id).execute())


def postpone(question: Question, problem: str, *, due: int) -> None:
    """This try was in vain; the next one is due then."""
    fields = {"attempts": Question.attempts + 1, "due": min(due, clock.now() + clock.DAY), "problem": problem}
    store.write(lambda: Question.update(fields).where(Question.id == question.id).execute())


def troubled(service: int | None = None) -> list[Question]:
    """The newest questions that GitHub did not answer the last time, or would not; of one service the open ones."""
    asked = Question.select().where(Question.problem != "")
    if service is not None:
        asked = asked.where(Question.service == service, Question.answered.is_null())
    return list(asked.order_by(Question.id.desc()).limit(SHOWN))


def old(now: int) -> Any:
    """Which rows are kept no longer, answered or not. Any: peewee's."""
    return Question.asked < now - KEPT


@cache
def _late(kinds: tuple[QuestionKind, ...]) -> store.Prepared[Question]:
    """Asked at every tick, and by few."""
    return store.Prepared(lambda now: _open(kinds).where(Question.until <= now).order_by(Question.id).limit(1))


def _open(kinds: Collection[QuestionKind]) -> ModelSelect[Question]:
    return Question.select().where(Question.answered.is_null(), Question.kind.in_(list(kinds)))
