"""Policy: what it means for a call that GitHub did not do what it was asked to. Pure: facts in, a remedy out.

Source: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz
from enum import StrEnum
from typing import Final

import msgspec

DECIDING: Final = ("retry-after", "x-ratelimit-remaining", "x-ratelimit-reset", "date")
"""The headers of an answer that say how to go on, in lower case."""

FIRST_RETRY: Final = 1.0
LONGEST_RETRY: Final = 600.0
FIRST_PAUSE: Final = 60.0
"""Where GitHub limits us and does not say until when, it wants a minute at least."""
LONGEST_PAUSE: Final = 3_600.0
LONGEST_WAIT: Final = 86_400.0
"""What GitHub says itself is obeyed up to here; more is a mistake of somebody's."""

_LIMITED: Final = frozenset({403, 429})
_LIMIT_WORDS: Final = ("rate limit", "abuse detection")


class Remedy(StrEnum):
    """How to go on."""

    PAUSE = "pause"
    """Ask GitHub for nothing for so long; then this again."""
    RETRY = "retry"
    """Try this call again after so long; others may go on."""
    GIVE_UP = "give up"
    """Asking again would be answered alike."""


class Refusal(msgspec.Struct, frozen=True):
    """What came instead of what was asked for."""

    status: int | None
    """None: no answer came, or only part of one."""
    message: str
    headers: Mapping[str, str] = {}
    """Those of `DECIDING` that came, in lower case."""
    final: bool = False
    """Whether the same would come again, though the status does not tell."""


class Judgement(msgspec.Struct, frozen=True):
    """What to do about a refusal."""

    remedy: Remedy
    seconds: float = 0.0


def judge(refusal: Refusal, *, attempt: int, now: int) -> Judgement:
    """What to do after the call was tried in vain `attempt` times before this one; `now` in Unix milliseconds."""
    if is_permanent(refusal):
        return Judgement(Remedy.GIVE_UP)
    if (seconds := rest(refusal.headers, now=now)) is not None:
        return Judgement(Remedy.PAUSE, seconds)
    if refusal.status in _LIMITED:
        return Judgement(Remedy.PAUSE, _doubled(FIRST_PAUSE, attempt, LONGEST_PAUSE))
    return Judgement(Remedy.RETRY, _doubled(FIRST_RETRY, attempt, LONGEST_RETRY))


def is_permanent(refusal: Refusal) -> bool:
    """Whether the same call would be refused again."""
    status = refusal.status
    if refusal.final:
        return True
    if status in _LIMITED:
        return not _is_limit(refusal)
    return status is not None and 300 <= status < 500 and status != 408


def rest(headers: Mapping[str, str], *, now: int) -> float | None:
    """For how many seconds an answer's headers forbid to ask for anything; None where they do not."""
    if "retry-after" in headers:
        return _until(headers["retry-after"], headers, now)
    if headers.get("x-ratelimit-remaining") == "0" and (reset := _number(headers.get("x-ratelimit-reset"))) is not None:
        return _bounded(reset - _moment(headers, now))
    return None


def date(headers: Mapping[str, str]) -> float | None:
    """The answer's own time in Unix seconds; None where it tells none."""
    return _http_date(headers.get("date", ""))


def _until(text: str, headers: Mapping[str, str], now: int) -> float | None:
    """Seconds, or a date, as RFC 9110 has them; None where it is neither."""
    if (seconds := _number(text)) is not None:
        return _bounded(seconds)
    moment = _http_date(text)
    return None if moment is None else _bounded(moment - _moment(headers, now))


def _moment(headers: Mapping[str, str], now: int) -> float:
    """This moment by GitHub's clock, which its times count by."""
    told = date(headers)
    return now / 1_000 if told is None else told


def _http_date(text: str) -> float | None:
    parts = parsedate_tz(text)
    try:
        return None if parts is None else float(mktime_tz(parts))
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    text = (text or "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 1.0), LONGEST_WAIT)


def _doubled(first: float, attempt: int, longest: float) -> float:
    return min(first * 2.0 ** min(attempt, 20), longest)


def _is_limit(refusal: Refusal) -> bool:
    """Whether GitHub limits us, though it may not say until when."""
    said = refusal.message.lower()
    told = "retry-after" in refusal.headers or refusal.headers.get("x-ratelimit-remaining") == "0"
    return refusal.status == 429 or told or any(words in said for words in _LIMIT_WORDS)
