"""The bot's own log: one line an event, with its facts and without secrets, as text for people or JSON for programs."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

from fastdeploy_bot.masking import Masker
from fastdeploy_bot.words import LogFormat

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}

_encoder: Final = json.JSONEncoder(default=str)

_scope: Final[ContextVar[dict[str, object] | None]] = ContextVar("facts", default=None)

_hidden: frozenset[str] = frozenset()
_masker = Masker(())


def hide(secrets: Iterable[str]) -> None:
    """From now on, show these in no line, nor in an exception's text; what was hidden before may be shown again."""
    global _hidden, _masker
    _hidden = frozenset(secrets)
    _masker = Masker(_hidden)


def hide_too(secrets: Iterable[str]) -> None:
    """From now on, show these neither."""
    if not _hidden.issuperset(secrets):
        hide(_hidden.union(secrets))


def masked(text: str) -> str:
    """A text for the log, or for whoever starts the bot, without what is to be hidden."""
    return _masker.text(text)


def configuration(log_format: LogFormat) -> dict[str, Any]:
    """How a process logs, for `logging.config.dictConfig`."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {"()": "fastdeploy_bot.facts.TextFormatter"},
            "json": {"()": "fastdeploy_bot.facts.JsonFormatter"},
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": log_format}},
        "root": {"level": "INFO", "handlers": ["stderr"]},
    }


@contextlib.contextmanager
def about(**facts: object) -> Iterator[dict[str, object]]:
    """Let every line that this thread logs meanwhile carry these facts; answers them, for `add` to grow."""
    scope = (_scope.get() or {}) | facts
    token = _scope.set(scope)
    try:
        yield scope
    finally:
        _scope.reset(token)


def add(**facts: object) -> None:
    """Let the lines of what goes on now carry these facts, too."""
    scope = _scope.get()
    if scope is not None:
        scope.update(facts)


def of(record: logging.LogRecord) -> dict[str, object]:
    """What an event was logged with (`extra={…}`), and what it belongs to."""
    own = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
    return own | {name: value for name, value in (_scope.get() or {}).items() if name not in own}


class TextFormatter(logging.Formatter):
    """One line for people: the facts stand behind the message, as `name=value`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The line, and a traceback behind it where there is one."""
        return masked(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line, with the record's facts."""
        facts = [f"{name}={json.dumps(value, default=str, ensure_ascii=False)}" for name, value in of(record).items()]
        return " ".join([super().formatMessage(record), *facts])


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, the facts, and `exception` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; a fact never takes the place of one of the four."""
        told: dict[str, object] = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        told = told | {name: value for name, value in of(record).items() if name not in told}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            told["stack"] = self.formatStack(record.stack_info)
        return masked(_encoder.encode(told))


def _moment(record: logging.LogRecord) -> str:
    """When it happened: RFC 3339, UTC, milliseconds."""
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
