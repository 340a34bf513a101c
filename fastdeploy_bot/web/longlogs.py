"""Long logs: sent to few at once, as each holds one of the server's threads until the last byte is taken."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from fastdeploy_bot.core.output import logs
from fastdeploy_bot.core.people.few import Few
from fastdeploy_bot.web.answers import Text

LONG: Final = 256 * 1024
"""From how many bytes on a log is a long one."""
AT_ONCE: Final = 8
"""To how many a process sends long logs at the same time, as pages and as bytes together."""

seats: Final = Few(AT_ONCE, "others are being sent long logs at this moment: try again shortly")


def is_long(number: int, offset: int) -> bool:
    """Whether what is kept of a deployment's log from the offset on is much."""
    return logs.end(number) - offset > LONG


def raw(number: int, offset: int = 0) -> Text:
    """What is kept of a log from the offset on, as bytes; `X-Log-Gap` says what was not kept of it. Raises Busy."""
    with ExitStack() as seat:
        if is_long(number, offset):
            seat.enter_context(seats)
        excerpt = logs.read(number, offset)
        answer = Text(excerpt.data, mimetype=Text.media)
        answer.headers["X-Log-End"] = str(excerpt.end)
        if excerpt.gap is not None:
            answer.headers["X-Log-Gap"] = f"{excerpt.gap[0]}-{excerpt.gap[1]}"
        answer.call_on_close(seat.pop_all().close)
    return answer
