"""The kill matrix: whatever dies, and wherever, every accepted push ends in its true state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

import kills
from bots import Bot, BotMaker, wait_for
from databases import SQLITE, Raw, Server
from fakehub import FakeHub
from kills import Push, Rig
from points import IN_MIGRATION, IN_RECOVERY, POINTS, Point

CELLS = {f"{point.name}, {victim}": (point, victim) for point in POINTS for victim in point.ends}
NOT_STARTED, _ = CELLS["row running, child not started, group"]
ON_POSTGRES = (
    "verified, not stored, worker",
    "run folder written, row not running, group",
    "row running, child not started, worker",
    "in the middle of output, group",
    "step received, not committed, master",
    "exit record there, not read, worker",
)
"""Where a transaction is cut off in its middle, or a run is taken over from another process."""


@pytest.fixture(scope="module")
def hub() -> Iterator[FakeHub]:
    """A GitHub, to which nothing wrong may have been said in the end."""
    with FakeHub() as made:
        yield made
    assert [] == made.wrongs


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, hub: FakeHub) -> Iterator[Rig]:
    """A bot for all cells, each of which has a service of its own and in the end nothing is left."""
    with closing(Bot(tmp_path_factory.mktemp("bot"), **kills.settings(hub))) as bot:
        yield (made := Rig(bot, hub))
        made.stop()


@pytest.fixture(scope="module")
def rig_on_postgres(tmp_path_factory: pytest.TempPathFactory, hub: FakeHub, postgres: Server) -> Iterator[Rig]:
    """The same of two processes, with rows in PostgreSQL."""
    settings = kills.settings(hub) | {
        "FASTDEPLOY_DATABASE_URL": postgres.empty(),
        "FASTDEPLOY_WEB_PROCESSES": "2",
    }
    with closing(Bot(tmp_path_factory.mktemp("bot"), **settings)) as bot:
        yield (made := Rig(bot, hub))
        made.stop()


@pytest.mark.parametrize(("point", "victim"), CELLS.values(), ids=CELLS)
def test_whoever_is_killed_where_a_push_ends_in_its_true_state(rig: Rig, point: Point, victim: str) -> None:
    """Its script was run once, its log and steps are whole, and GitHub knows; or it is said that nobody can know."""
    outcome = rig.run(point, victim)

    assert kills.expected(point, victim) == outcome.truth


@pytest.mark.parametrize("then", [IN_RECOVERY, NOT_STARTED], ids=lambda point: point.name)
def test_whoever_is_killed_while_beginning_a_run_again_is_made_up_for(rig: Rig, then: Point) -> None:
    """Nobody can tell a recovery from a beginning, and neither runs a script twice."""
    outcome = rig.run(NOT_STARTED, "group", then)

    assert kills.expected(NOT_STARTED, "group") == outcome.truth


@pytest.mark.parametrize(("point", "victim"), [CELLS[name] for name in ON_POSTGRES], ids=ON_POSTGRES)
def test_the_same_holds_on_postgres_with_two_processes(rig_on_postgres: Rig, point: Point, victim: str) -> None:
    """Its server notices that a process is gone, and gives the turn to write to the next one."""
    outcome = rig_on_postgres.run(point, victim)

    assert kills.expected(point, victim) == outcome.truth


@pytest.mark.parametrize("victim", IN_MIGRATION.ends)
def test_a_migration_that_is_killed_is_made_up_for_by_the_next_start(
    make_bot: BotMaker, hub: FakeHub, victim: str
) -> None:
    """None of it stays behind, and a push is deployed as if nothing had been."""
    rig = Rig(bot := make_bot(**kills.settings(hub)), hub)
    for file in bot.home.glob("fastdeploy.db*"):
        file.unlink()
    bot.service("shop", "#!/bin/sh\n")

    rig.kill_migration(victim)
    with closing(Raw(f"{SQLITE}{bot.home}/fastdeploy.db")) as raw:
        applied = raw.execute("SELECT name FROM schema_migration")
        rig.start()
        push = Push(bot, "shop", 1)
        push.rest.set()
        push.accepted()

        wait_for(lambda: raw.execute("SELECT state FROM deployment") == [("success",)])
        assert [("0001_initial",)] == applied
