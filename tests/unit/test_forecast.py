"""The forecast: how far a deployment has come, from what its service's runs usually take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fastdeploy_bot.core.telling.forecast import FULLEST, Habit, Outlook, Slow, outlook, slow
from fastdeploy_bot.store.models import Deployment, Step
from fastdeploy_bot.words import DeploymentState, StepState

HABIT = Habit(usual=60.0, slow=90.0, steps={"Fetch": 10.0, "Build": 40.0})
"""Ten seconds of the sixty are spent beside the steps."""


def running(*, state: str = "running") -> Deployment:
    """A deployment that began at 0."""
    return Deployment(state=DeploymentState(state), started=0)


def steps(*states: str, started: int | None = None) -> list[Step]:
    """Fetch, Build and a step that nobody knows, in these states; those that run began at `started` seconds."""
    named = zip(("Fetch", "Build", "Warm up"), states, strict=False)
    return [
        Step(name=name, position=position, state=StepState(state), started=None if started is None else started * 1000)
        for position, (name, state) in enumerate(named, start=1)
    ]


def test_each_step_weighs_what_it_usually_takes() -> None:
    """Of sixty seconds, ten for Fetch are behind, and a fifth of what comes beside the steps."""
    told = outlook(HABIT, running(), steps("success", "pending"), now=10_000)

    assert Outlook(eta=48.0, progress=0.2) == told


def test_a_running_step_counts_for_its_time_so_far() -> None:
    """Half of Build is behind."""
    told = outlook(HABIT, running(), steps("success", "running", started=12), now=32_000)

    assert Outlook(eta=24.0, progress=0.6) == told


def test_a_step_that_takes_long_counts_for_no_more_than_usual() -> None:
    """The bar waits; it never runs ahead."""
    told = outlook(HABIT, running(), steps("running", "pending", started=0), now=59_000)

    assert Outlook(eta=48.0, progress=0.2) == told


def test_longer_than_usual_foretells_nothing() -> None:
    """Beyond the 90th percentile nobody knows when it ends."""
    told = outlook(HABIT, running(), steps("success", "running", started=12), now=91_000)

    assert (None, FULLEST, True) == (told.eta, told.progress, told.longer)


def test_without_steps_the_time_so_far_tells() -> None:
    """A script that reports nothing is judged as a whole."""
    told = outlook(Habit(usual=60.0, slow=90.0), running(), [], now=45_000)

    assert Outlook(eta=15.0, progress=0.75) == told


def test_too_few_runs_foretell_nothing() -> None:
    """Nor does one that has not begun, or has ended."""
    assert Outlook() == outlook(Habit(), running(), [], now=1)
    for state in ("queued", "waiting", "success", "failure", "cancelled", "lost"):
        assert Outlook() == outlook(HABIT, running(state=state), [], now=1)


ORDER = ("pending", "running", "success")


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(ORDER), st.integers(0, 40)), max_size=20))
def test_the_bar_never_goes_back(reports: list[tuple[int, str, int]]) -> None:
    """Whatever a script says of its steps, as long as time passes: not even where it begins an earlier one again."""
    rows = steps("pending", "pending", "pending")
    now, before = 0, 0.0
    for index, state, seconds in reports:
        now += seconds * 1000
        furthest = max((row.position for row in rows if row.state != "pending"), default=0)
        if state == "pending" or (index + 1 == furthest and rows[index].state == "success"):
            continue
        if state == "running" and rows[index].state != "running":
            rows[index].started = now
        rows[index].state = state
        progress = outlook(HABIT, running(), rows, now=now).progress
        assert progress is not None
        assert before <= progress <= FULLEST
        before = progress


def step(name: str, state: str, started: int, finished: int | None = None) -> Step:
    """A step that began and perhaps ended at these seconds."""
    ended = None if finished is None else finished * 1_000
    return Step(name=name, position=1, state=StepState(state), started=started * 1_000, finished=ended)


def test_a_step_that_takes_much_longer_is_told_while_it_runs_and_when_it_has_ended() -> None:
    """Those that lost most time first."""
    told = slow(HABIT, [step("Fetch", "success", 0, 30), step("Build", "running", 30)], now=130_000)

    assert [Slow("Build", 40.0, 100.0), Slow("Fetch", 10.0, 30.0)] == told


def test_a_little_longer_is_no_news() -> None:
    """Neither less than twice as long, nor a few seconds of what takes an instant; nor what nobody knows."""
    habit = Habit(steps={"Build": 40.0, "Link": 0.5})
    steps = [step("Build", "success", 0, 79), step("Link", "failure", 79, 84), step("Warm up", "success", 84, 999)]

    assert [] == slow(habit, steps, now=999_000)
    assert [Slow("Build", 40.0, 80.0)] == slow(habit, [step("Build", "running", 0)], now=80_000)
