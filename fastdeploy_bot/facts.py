"""The bot's own log: one line an event, with its facts behind it."""

from __future__ import annotations

import json
import logging
from typing import Final

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


class FactsFormatter(logging.Formatter):
    """Puts what an event was logged with (`extra={…}`) behind its message, as `name=value`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line, with the record's own facts."""
        facts = [
            f"{name}={json.dumps(value, default=str, ensure_ascii=False)}"
            for name, value in record.__dict__.items()
            if name not in _STANDARD
        ]
        return " ".join([super().formatMessage(record), *facts])
