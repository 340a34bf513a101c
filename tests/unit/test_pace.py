"""Pace: GitHub is told things as fast as it takes them, and no faster."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fastdeploy_bot.forge.github.pace import BURST, HOUR, HOURLY, NEWS, SECOND, Pace

START = 1_800_000_000_000


def made(pace: Pace, moments: list[int]) -> list[int]:
    """When calls are made by whoever wants to at these moments."""
    calls = []
    for now in moments:
        if pace.wait(now=now) == 0:
            pace.note(now=now)
            calls.append(now)
    return calls


def test_some_calls_go_at_once_and_the_others_a_second_apart() -> None:
    """After a silence a burst may go again."""
    eager = [START + tenth * 100 for tenth in range(200)]

    calls = made(pace := Pace(), eager)

    assert BURST == len([call for call in calls if call < START + 1_000])
    assert BURST + 19 == len(calls)
    assert BURST == len(made(pace, [START + 60_000] * 20))


def test_the_time_to_wait_is_told() -> None:
    """To the moment at which a call may be made."""
    pace = Pace()
    made(pace, [START] * BURST)

    assert 1.0 == pace.wait(now=START)
    assert 0.25 == pace.wait(now=START + 750)
    assert 0.0 == pace.wait(now=START + 1_000)


@given(st.lists(st.integers(0, 2_000), min_size=1, max_size=900))
def test_no_minute_has_more_than_eighty_calls_and_no_hour_more_than_five_hundred(gaps: list[int]) -> None:
    """Whenever calls are wanted."""
    moments = [START + sum(gaps[:place]) for place in range(len(gaps))]

    calls = made(Pace(), moments)

    for place, call in enumerate(calls):
        assert len([each for each in calls[place:] if each < call + 60 * SECOND]) <= 80
        assert len([each for each in calls[place:] if each < call + HOUR]) <= 500


def test_an_hour_that_is_used_up_is_waited_out() -> None:
    """Until the call after the oldest would be the one too many."""
    pace = Pace(START + second * SECOND for second in range(HOURLY))
    now = START + HOURLY * SECOND

    seconds = pace.wait(now=now)

    assert (HOUR - HOURLY * SECOND) / SECOND == seconds
    assert 0.0 == pace.wait(now=now + int(seconds * SECOND))


def test_what_is_left_of_an_hour_is_for_changes_of_state() -> None:
    """News has to wait for a better one."""
    pace = Pace(START + second * SECOND for second in range(NEWS - 1))
    now = START + NEWS * SECOND

    assert pace.takes_news(now=now)
    pace.note(now=now)
    assert not pace.takes_news(now=now)
    assert 0.0 == pace.wait(now=now)


def test_a_clock_that_is_set_makes_nobody_wait() -> None:
    """Calls of a time to come are those of a clock that was set back."""
    pace = Pace(START + second * SECOND for second in range(HOURLY))

    assert 0.0 == pace.wait(now=START - HOUR)
    assert 0.0 == pace.wait(now=START + 3 * HOUR)
