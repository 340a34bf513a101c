"""Policy: each way in which GitHub does not do what it was asked to, and what is done about it."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from fastdeploy_bot.forge.github import policy
from fastdeploy_bot.forge.github.policy import Judgement, Refusal, Remedy

NOW = 1_700_000_000
"""Unix seconds."""
PAUSE, RETRY, GIVE_UP = Remedy.PAUSE, Remedy.RETRY, Remedy.GIVE_UP
SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."


def date(seconds: float) -> str:
    """A moment as a header has it."""
    return formatdate(seconds, usegmt=True)


def judge(status: int | None, headers: dict[str, str] | None = None, message: str = "", attempt: int = 0) -> Judgement:
    """The judgement on such an answer."""
    return policy.judge(Refusal(status, message, headers or {}), attempt=attempt, now=NOW * 1_000)


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize(
    ("seconds", "headers"),
    [
        (30, {"retry-after": "30"}),
        (30, {"retry-after": " 30 "}),
        (1, {"retry-after": "0"}),
        (86_400, {"retry-after": "999999999"}),
        (90, {"retry-after": date(NOW + 90)}),
        (90, {"retry-after": date(NOW + 90 + 500), "date": date(NOW + 500)}),
        (1, {"retry-after": date(NOW - 90)}),
        (86_400, {"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}),
        (30, {"retry-after": "30", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOW + 999)}),
        (120, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOW + 120)}),
        (120, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOW + 620), "date": date(NOW + 500)}),
        (1, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOW - 5)}),
        (60, {"retry-after": "soon"}),
        (60, {"retry-after": "-5"}),
        (60, {"x-ratelimit-remaining": "0"}),
        (60, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "later"}),
    ],
)
def test_a_limit_is_obeyed_as_it_says(status: int, seconds: float, headers: dict[str, str]) -> None:
    """Retry-After first, then the reset, both by GitHub's own clock where it tells it; what is unclear is a minute."""
    assert Judgement(PAUSE, seconds) == judge(status, headers)


@pytest.mark.parametrize(("seconds", "attempt"), [(60, 0), (120, 1), (240, 2), (1_920, 5), (3_600, 6), (3_600, 5_000)])
@pytest.mark.parametrize(("status", "message"), [(403, SECONDARY), (429, SECONDARY), (429, "")])
def test_a_limit_that_says_nothing_is_waited_out_for_longer_each_time(
    status: int, message: str, seconds: float, attempt: int
) -> None:
    """A minute, then double, an hour at most."""
    remaining = {"x-ratelimit-remaining": "4000", "x-ratelimit-reset": str(NOW + 5)}

    assert Judgement(PAUSE, seconds) == judge(status, {}, message, attempt)
    assert Judgement(PAUSE, seconds) == judge(status, remaining, message, attempt)


@pytest.mark.parametrize("status", [300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 405, 409, 410, 415, 422, 451])
def test_what_would_be_refused_again_is_given_up(status: int) -> None:
    """Also a 403 that is no limit."""
    said = "Resource not accessible by integration"

    assert Judgement(GIVE_UP) == judge(status, {}, said)
    assert Judgement(GIVE_UP) == judge(status, {"x-ratelimit-remaining": "4999"}, said, attempt=3)
    assert policy.is_permanent(Refusal(status, said))


@pytest.mark.parametrize(("seconds", "attempt"), [(1, 0), (2, 1), (4, 2), (512, 9), (600, 10), (600, 5_000)])
@pytest.mark.parametrize("status", [None, 200, 202, 408, 500, 502, 503, 504, 599])
def test_what_may_pass_is_tried_again_later_each_time(status: int | None, seconds: float, attempt: int) -> None:
    """No answer, one that makes no sense, or one that says that GitHub is unwell: ten minutes at most."""
    assert Judgement(RETRY, seconds) == judge(status, {"date": date(NOW)}, attempt=attempt)
    assert not policy.is_permanent(Refusal(status, ""))


@pytest.mark.parametrize("status", [408, 500, 503])
def test_who_is_unwell_may_say_for_how_long(status: int) -> None:
    """Then everything waits."""
    assert Judgement(PAUSE, 17) == judge(status, {"retry-after": "17"})


def test_a_good_answer_may_be_the_last_for_a_while() -> None:
    """The next call would be one too many."""
    last = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOW + 60)}

    assert 60 == policy.rest(last, now=NOW * 1_000)
    assert policy.rest({"x-ratelimit-remaining": "1", "x-ratelimit-reset": str(NOW + 60)}, now=NOW * 1_000) is None


@pytest.mark.parametrize("text", ["", "yesterday", "Mon, 99 Foo 2026 25:61:61 GMT", "99999999999999999999"])
def test_what_is_no_date_is_none(text: str) -> None:
    """A proxy may have written it."""
    assert policy.date({"date": text}) is None
