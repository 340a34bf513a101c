"""The frame of `make bench`: its arithmetic, its order, its table; no figure of it."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import __main__ as bench
from bench import drawing, lines, runs, table
from bench.drawing import Panel
from bench.peers import PeerMissing
from bench.runs import Plan
from bench.table import Figures, Judged, Line, Measured, Row, Run, Side, Verdict, at_least, at_most

SVG = "{http://www.w3.org/2000/svg}"
OURS = Side("ours", lambda _: {"pushes/s": 3.0})
THEIRS = Side("theirs", lambda _: {"pushes/s": 2.0})
OTHERS = Side("others", lambda _: {"pushes/s": 4.0})
ROW = Row("accepted", "pushes/s", OURS, THEIRS, must=at_least(1.0), goal=at_least(2.0))
LINE = Line(1, (ROW,))


def chance(seed: int = 1) -> random.Random:
    """What shuffles."""
    return random.Random(seed)  # noqa: S311 - an order, no secret


def judged(*, ours: float | None, theirs: float | None, row: Row = ROW) -> Judged:
    """A row whose sides came to that."""
    return Judged(1, row, ours, theirs, (0.0, 0.0))


def runs_of(side: Side, *figures: float) -> list[Measured]:
    """Runs of a side that came to that."""
    return [Measured(side.name, {"pushes/s": figure}, 0.5, 1.5) for figure in figures]


def test_a_ratio_is_that_of_the_medians_of_all_runs() -> None:
    """A run that something else of the machine has spoiled does not tell."""
    [row] = table.judge([LINE], {"ours": runs_of(OURS, 3, 0.1, 4), "theirs": runs_of(THEIRS, 2, 2, 200)})

    assert 1.5 == row.ratio
    assert (0.5, 1.5) == row.load


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [(1.9, Verdict.MISSED), (2.0, Verdict.MUST), (3.9, Verdict.MUST), (4.0, Verdict.GOAL), (None, Verdict.UNKNOWN)],
)
def test_a_row_is_judged_by_its_bounds_which_hold_at_their_limit(ours: float | None, verdict: Verdict) -> None:
    """Met and missed are told by the ratio; without one nothing is."""
    assert verdict == judged(ours=ours, theirs=2.0).verdict


def test_less_is_better_where_the_row_says_so() -> None:
    """A bound knows its direction."""
    row = ROW._replace(must=at_most(1.0), goal=at_most(0.5))

    verdicts = [judged(ours=ours, theirs=2.0, row=row).verdict for ours in (1.0, 2.0, 2.1)]

    assert [Verdict.GOAL, Verdict.MUST, Verdict.MISSED] == verdicts


def test_a_row_without_a_bound_is_only_told_and_one_without_a_goal_meets_its_must() -> None:
    """Nothing is judged by what was not asked."""
    assert Verdict.TOLD == judged(ours=1.0, theirs=2.0, row=ROW._replace(must=None, goal=None)).verdict
    assert Verdict.MUST == judged(ours=9.0, theirs=2.0, row=ROW._replace(goal=None)).verdict


def test_what_was_missed_or_not_measured_does_not_hold() -> None:
    """A must that nobody measured is not met."""
    good, bad, unknown = (judged(ours=ours, theirs=2.0) for ours in (2.0, 1.0, None))

    assert [True, False, False] == [table.held(rows) for rows in ([good], [good, bad], [good, unknown])]


def test_lines_that_have_a_side_in_common_are_measured_together_and_each_side_once() -> None:
    """Nothing is measured twice for one table."""
    third = Line(3, (ROW._replace(ours=THEIRS, theirs=OTHERS),))
    alone = Side("alone", lambda _: {})

    groups = runs.together([LINE, Line(2, (ROW._replace(ours=alone, theirs=alone),)), third])

    assert [["alone"], ["ours", "theirs", "others"]] == [[side.name for side in group] for group in groups]


def test_sides_come_in_rounds_of_an_order_that_the_seed_decides() -> None:
    """Other work of the machine tells in all sides alike, and an order can be had again."""
    sides = [OURS, THEIRS, OTHERS]

    orders = [runs.order(sides, 20, chance(seed)) for seed in (1, 1, 2)]

    rounds = [orders[0][at : at + 3] for at in range(0, 60, 3)]
    assert orders[0] == orders[1] != orders[2]
    assert all(set(each) == set(sides) for each in rounds)
    assert len({tuple(side.name for side in each) for each in rounds}) > 1


@pytest.mark.parametrize(
    ("figure", "text"),
    [(None, "–"), (0.2834, "0.283"), (1.0, "1"), (29.77, "29.8"), (446.2, "446"), (1574.4, "1,574")],
)
def test_figures_are_shown_with_three_digits_that_count(figure: float | None, text: str) -> None:
    """Neither digits that are noise nor a ratio without any."""
    assert text == table.shown(figure)


def test_the_table_names_both_sides_the_ratio_and_what_became_of_it() -> None:
    """A line can be read alone."""
    *_, line = table.markdown([judged(ours=3.0, theirs=2.0)]).splitlines()

    assert "| 1 | accepted | 3 pushes/s | theirs: 2 | 1.5 × | ≥ 1 × | ≥ 2 × | must met | 0.0–0.0 |" == line


def test_a_page_gets_the_table_in_place_of_its_last() -> None:
    """What stands around it stays, and a page without a place for it is not written."""
    page = f"# Fast\n{table.BEGIN}\nold\n{table.END}\nrest\n"

    assert page.replace("old", "new") == table.put(page, "new")
    with pytest.raises(ValueError, match="unpack"):
        table.put("# Fast\n", "new")


def test_a_side_that_fails_is_said_and_the_others_are_measured(capfd: pytest.CaptureFixture[str]) -> None:
    """One peer that is absent does not cost the table."""

    def fail(_run: Run) -> Figures:
        raise OSError("no such peer")

    found = runs.measure([OURS, Side("broken", fail)], Plan(2, 0.0, quick=True), chance())

    assert {"ours": "", "broken": "OSError: no such peer"} == {each.side: each.problem for each in found}
    assert [{"pushes/s": 3.0}] * 2 == [each.figures for each in found if each.figures]
    assert "OSError: no such peer" in capfd.readouterr().err


def test_a_peer_that_is_absent_is_told_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    """That is no fault of the bench's: nobody needs to see where it was noticed."""

    def fail(_run: Run) -> Figures:
        raise PeerMissing("probot is absent")

    [found] = runs.measure([Side("probot", fail)], Plan(1, 0.0, quick=True), chance())

    assert "probot is absent" == found.problem
    assert "Traceback" not in capfd.readouterr().err


def test_a_side_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole ends by itself."""

    def wait(_run: Run) -> Figures:
        while True:
            pass

    monkeypatch.setattr(runs, "LONGEST", 0.05)

    [found] = runs.measure([Side("endless", wait)], Plan(1, 0.0, quick=True), chance())

    assert "TimeoutError: no end after 0.05 s" == found.problem


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGHUP])
def test_who_is_told_to_end_ends_what_it_started(told: signal.Signals) -> None:
    """By an exception, as Ctrl-C is one; but not where nohup has it go on."""
    set_before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        signal.signal(told, signal.SIG_DFL)
        runs.end_when_told()
        with pytest.raises(SystemExit, match=f"{128 + told}"):
            signal.raise_signal(told)
        signal.signal(told, signal.SIG_IGN)
        runs.end_when_told()
        signal.raise_signal(told)
    finally:
        for each, handler in set_before.items():
            signal.signal(each, handler)


def test_a_run_has_a_folder_of_its_own_and_one_for_all_that_are_measured_together() -> None:
    """Nothing of one run is left to the next but what was kept on purpose, and nothing at the end."""
    seen: list[Run] = []

    def look(run: Run) -> Figures:
        assert [] == list(run.folder.iterdir())
        (run.folder / "mess").touch()
        (run.kept / f"{len(seen)}").touch()
        seen.append(run)
        return {}

    runs.measure([Side("looks", look)], Plan(2, 7.0, quick=False), chance())

    assert [7.0, 7.0] == [run.seconds for run in seen]
    assert 2 == len({run.folder for run in seen})
    assert 1 == len({run.kept for run in seen})
    assert not any(folder.exists() for run in seen for folder in (run.folder, run.kept))


@pytest.mark.parametrize(("arguments", "status"), [((), 1), (("--quick",), 0), (("2",), 0)])
def test_a_missed_must_ends_a_full_run_with_1(
    arguments: tuple[str, ...],
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Only what was measured in full is judged, and only the lines that were asked for."""
    met = Line(2, (ROW._replace(ours=OTHERS),))
    missed = Line(1, (ROW._replace(must=at_least(9.0)),))
    monkeypatch.setattr(lines, "every", lambda: [missed, met])

    ended = bench.main([*arguments, "--json", str(tmp_path / "found.json"), "--seed", "7"])

    found = json.loads((tmp_path / "found.json").read_text())
    said = capsys.readouterr()
    assert status == ended
    assert "seed 7" in said.err
    assert "| 2 | accepted | 4 pushes/s | theirs: 2 | 2 × |" in said.out
    assert "seed 7" in said.out
    assert {"side", "figures", "load_before", "load_after", "problem"} == found["runs"]["others"][0].keys()
    assert "goal" == found["rows"][-1]["verdict"]
    assert ("--quick" in arguments) == found["plan"]["quick"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(("4", "99"), "no line 99"), (("4", "--into", "page.md"), "whole table"), (("--quick", "--into", "a"), "in full")],
)
def test_what_would_leave_a_table_with_less_in_it_than_it_says_is_refused(
    arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line that is not there, and a page whose table would lose the others."""
    with pytest.raises(SystemExit, match="2"):
        bench.main(arguments)

    assert told in capsys.readouterr().err


@pytest.mark.parametrize(("load", "said"), [(0.3, False), (12.4, True)])
def test_a_machine_that_was_not_quiet_is_told_of_under_the_table(load: float, said: bool) -> None:
    """Nobody is to take such figures for more than they are."""
    report = bench.report([judged(ours=3.0, theirs=2.0)], {"Python": "3.11"}, runs.FULL, load)

    assert said == ("**The machine was not quiet**: its load was 12.4 before" in report)
    assert "Medians of 5 runs of 5 s" in report


def test_every_line_of_the_table_is_there_and_judged() -> None:
    """By what the issue of the table asks of each: the first row of a line has a must."""
    every = lines.every()

    assert len({line.number for line in every}) == len(every)
    assert all(line.rows[0].must for line in every)


def test_curves_are_drawn_on_one_scale_with_their_figures_and_names() -> None:
    """The highest value stands highest, 0 would stand on the line at the bottom, and names are only text."""
    panels = [Panel("by <rows>", [("1", 400.0), ("1,000", 200.0)]), Panel("by connections", [("16", 0.0)])]

    root = ElementTree.fromstring(drawing.drawn("Pushes & more", "load < 1", panels))

    texts = [element.text for element in root.iter(f"{SVG}text")]
    heights = [float(element.get("cy", "")) for element in root.iter(f"{SVG}circle")]
    bottom = max(float(element.get("y1", "")) for element in root.iter(f"{SVG}line"))
    assert {"load < 1", "by <rows>", "by connections", "400", "200", "1,000", "16", "500"} <= set(texts)
    assert [bottom - heights[0], bottom] == pytest.approx([2 * (bottom - heights[1]), heights[2]], abs=2)
    assert "Pushes & more" == root.findtext(f"{SVG}title")


@pytest.mark.parametrize(("value", "top"), [(1, 1), (3, 5), (5, 5), (420, 500), (501, 1_000), (1_100, 2_000)])
def test_a_scale_ends_at_a_round_number(value: float, top: float) -> None:
    """So that its half is one, too."""
    assert top == drawing.rounded_up(value)
