"""What must hold, whatever comes in whatever order: pushes, people, scripts, kills and clocks, chosen by hypothesis.

Two hosts over a real database and real run folders, with simulated children. It looks at the same examples at each run;
with STATE_MACHINE_EXAMPLES=2000, at that many others.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import types
from collections.abc import Sequence
from contextlib import closing, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeVar

import hypothesis
import msgspec
import pytest
from hypothesis import Phase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from callers import KEY, REPOSITORY, REPOSITORY_ID
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import deployments, locking, progress, retries, rollbacks, services, starting
from fastdeploy_bot.core.deploying.starting import Wish
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.core.output import logs
from fastdeploy_bot.core.people import tokens
from fastdeploy_bot.core.pushes import intake
from fastdeploy_bot.core.pushes.intake import Receipt
from fastdeploy_bot.core.signals import checking
from fastdeploy_bot.core.signals.checking import Commit
from fastdeploy_bot.engine import supervisor
from fastdeploy_bot.engine.janitor import remove_leftovers
from fastdeploy_bot.errors import Conflict
from fastdeploy_bot.masking import Masker
from fastdeploy_bot.runner import process
from fastdeploy_bot.runner.folder import RunFolder
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store import sqlite
from fastdeploy_bot.store.models import Delivery, Deployment, Step, Verdict
from fastdeploy_bot.words import (
    EDGES,
    LOCAL,
    OPEN_STATES,
    PUSH_ORIGINS,
    ZERO_SHA,
    CheckState,
    DeploymentState,
    Origin,
    Push,
    StatusCheck,
    StepReport,
    StepState,
    WaitsFor,
    Webhook,
)
from simulated import ALIVE, GONE, HOSTS, NO_ROOM, NOT_STARTED, Child, Clocks, Hosts, Killed
from witness import Witness

T = TypeVar("T")

EXAMPLES: Final = int(os.environ.get("STATE_MACHINE_EXAMPLES", "0"))
SERVICES: Final = {
    "shop": 'branches = ["main"]',
    "site": 'branches = ["main", "next"]\nsupersede = false\nwait_for = ["test"]',
    "docs": 'branches = ["next"]\nsteps = ["Build"]\non_lost = "hold"',
}
REFS: Final = ("refs/heads/main", "refs/heads/next")
MAX_RUNNING: Final = 1
ROUNDS: Final = 200
"""After so many rounds without new events a host that still has something to do will never come to rest."""
GIVEN_UP: Final = "the script could not be started: "
GITHUB: Final = (
    *("somebody_pushes", "somebody_pushes", "a_push_is_delivered", "a_push_is_delivered", "a_push_is_delivered"),
    *("a_delivery_comes_again", "github_is_asked", "github_answers", "github_answers"),
    *("a_branch_is_deleted", "letters_are_written", "a_letter_is_sent", "a_letter_is_sent"),
)
PEOPLE: Final = (
    *("a_person_replays", "a_person_deploys", "a_person_cancels", "a_person_cancels", "a_person_retries"),
    *("a_person_locks", "a_person_unlocks", "a_person_unlocks", "a_person_rolls_back"),
    *("a_person_edits_a_file", "a_person_edits_a_file"),
)
ENGINES: Final = (
    *("an_engine_ticks", "an_engine_ticks", "an_engine_ticks", "an_engine_looks", "an_engine_looks"),
    *("an_engine_is_killed", "another_process_serves"),
)
CHILDREN: Final = (
    *("a_child_comes_up", "a_child_comes_up", "a_child_comes_up", "a_script_ends", "a_script_ends"),
    *("a_script_prints", "a_script_writes_a_step", "a_script_reports_a_step", "a_child_looks_for_requests"),
    "a_child_is_killed",
)
NAMES: Final = tuple(SERVICES)
MEANWHILE: Final = (
    *("all_others_go_on", "all_others_go_on", "an_engine_ticks", "an_engine_looks", "a_script_ends"),
    *("a_push_is_delivered", "a_person_cancels", "a_person_locks"),
)
"""What others do between an engine's look and what it does about that."""
ALL: Final = ("all_go_on", "all_go_on", "all_go_on", "time_passes", "the_host_is_started_anew")
WATCH: Final = """
CREATE TABLE moved (id INTEGER, old TEXT, new TEXT);
CREATE TRIGGER moves AFTER UPDATE OF state ON deployment BEGIN
    INSERT INTO moved VALUES (old.id, old.state, new.state);
END;
CREATE TRIGGER stays BEFORE UPDATE ON deployment
WHEN old.state IN ('success', 'failure', 'cancelled', 'superseded', 'lost') AND (
    new.state IS NOT old.state OR new.reason IS NOT old.reason OR new.exit_status IS NOT old.exit_status
    OR new.signal IS NOT old.signal OR new.started IS NOT old.started OR new.finished IS NOT old.finished
    OR new.host IS NOT old.host OR new.run IS NOT old.run OR new.taken_over_by_id IS NOT old.taken_over_by_id
) BEGIN
    SELECT RAISE(ABORT, 'final is final');
END;
CREATE TRIGGER same BEFORE UPDATE OF service_id, sha, ref, repository, origin, created, delivery_id ON deployment BEGIN
    SELECT RAISE(ABORT, 'what is deployed stays the same');
END;
CREATE TRIGGER closed BEFORE UPDATE OF state ON deployment
WHEN new.state = 'running' AND (SELECT locked FROM service WHERE id = new.service_id) IS NOT NULL BEGIN
    SELECT RAISE(ABORT, 'the service is locked');
END;
CREATE TRIGGER keeps BEFORE DELETE ON deployment BEGIN
    SELECT RAISE(ABORT, 'history is kept');
END;
"""
"""What the database itself is to see: every change of a state, none after the end, and no beginning under a lock."""


LOOK: Final = """
SELECT d.id, d.parent_id, d.service_id, d.state, d.origin, d.sha, d.ref, d.reason, d.waits_for, d.wanted, d.host,
    lower(d.repository) AS repository, s.repository AS belongs, s.removed, s.name, s.locked, s.locked_by,
    s.lock_reason, s.held_back
FROM deployment d JOIN service s ON s.id = d.service_id ORDER BY d.id
"""


class Nobody(Exception):
    """There is nobody to do it, or nothing to do it to."""


class Faults(logging.Handler):
    """What the bot logs as an error: it is made not to fall over its own faults, and here they count."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.records.append(f"{record.getMessage()}: {record.exc_info}")


class Machine(RuleBasedStateMachine):
    """One bot on one host, and all that can happen to it."""

    def __init__(self, home: Path, clocks: Clocks) -> None:
        super().__init__()
        self.clocks = clocks
        self.settings = Settings(home=home, secret_key=KEY, max_running=MAX_RUNNING)
        self.catalogue = Catalogue(self.settings.services_dir, tells=lambda: True)
        for name in SERVICES:
            (self.settings.services_dir / name).mkdir(parents=True)
            self.write_file(name)
        self.settings.runs_dir.mkdir()
        store.connect(self.settings.effective_database_url)
        services.sync(self.catalogue.entries(), now=clocks.now)
        self.hosts = Hosts([self.settings, self._elsewhere()], self.note_run)
        self.faults = Faults()
        logging.getLogger("fastdeploy_bot").addHandler(self.faults)

        self.pushes: list[Push] = []
        """All that GitHub knows of, in its own order."""
        self.delivered: list[tuple[str, Push]] = []
        self.github_second = 1_700_000_000
        self.guids = count(1)
        self.ran: dict[int, Child] = {}
        """Which child ran a deployment's script."""
        self.told: dict[tuple[int, str], str] = {}
        """What was said of steps by HTTP."""
        self.asked: list[Commit] = []
        """The commits whose checks GitHub was asked for last, as they were then."""
        self.succeeded: set[str] = set()
        """The commits whose checks GitHub once said to have succeeded."""
        self.raw = sqlite3.connect(home / "fastdeploy.db")
        self.raw.row_factory = sqlite3.Row
        self.witness = Witness(self.raw)
        self.rows: list[sqlite3.Row] = []
        """Every deployment, oldest first."""
        self.seen_until = 0
        self.moves_seen = 0

    def _elsewhere(self) -> Settings:
        """Another host's settings: the same services, and run folders of its own."""
        there = msgspec.structs.replace(self.settings, home=self.settings.home / "elsewhere")
        there.runs_dir.mkdir(parents=True)
        there.services_dir.symlink_to(self.settings.services_dir)
        return there

    def note_run(self, child: Child) -> None:
        """A script begins."""
        assert child.deployment not in self.ran, f"the script of deployment {child.deployment} runs twice"
        self.ran[child.deployment] = child
        row = deployments.find(child.deployment)
        if row.service.name == "site" and row.origin in PUSH_ORIGINS:
            assert row.sha in self.succeeded, f"deployment {row.id} begins unchecked"
        who = tokens.principal(child.token, keys=self.settings.keys, now=self.clocks.now)
        assert (row.id, True) == (who.deployment, who.running), "a script cannot tell its steps"

    # --- what happens: who does something, what, and to which of those that are there

    @initialize()
    def there_is_a_history(self) -> None:
        """Two commits of each branch have been deployed."""
        for number in range(4):
            self.somebody_pushes(number)
            self.a_push_is_delivered(0)
            self.settle()

    @rule(
        what=st.sampled_from((*GITHUB, *PEOPLE, *ENGINES, *CHILDREN, *ALL)),
        number=st.integers(0, 99),
        meanwhile=st.lists(st.sampled_from(MEANWHILE), max_size=3),
    )
    def happens(self, what: str, number: int, meanwhile: list[str]) -> None:
        """One thing, if there is somebody to do it; `meanwhile` it is overtaken, where an engine is about to claim.

        All of it is one rule: hypothesis leaves rules out of an example, and most of these make sense together only.
        """
        self.hosts.meanwhile = partial(self.others_do, meanwhile, number)
        with suppress(Nobody):
            getattr(self, what)(number)
        self.hosts.meanwhile = None

    def others_do(self, things: Sequence[str], number: int) -> None:
        """These things, one after the other."""
        for what in things:
            self.look()
            with suppress(Nobody):
                getattr(self, what)(number)

    # --- GitHub

    def somebody_pushes(self, number: int) -> None:
        """GitHub sees a push; two of a ref may come within one of its seconds, which their chain tells apart.

        Not three: where the first comes last, nothing tells it from the third before the second is known.
        """
        ref = pick(REFS, number)
        same = [push for push in self.pushes if push.ref == ref and push.pushed_at == self.github_second]
        self.github_second += max(number // 2 % 3, len(same) - 1, *(push.deleted for push in same))
        self.push(ref, f"{len(self.pushes) + 1:040x}")

    def a_branch_is_deleted(self, number: int) -> None:
        """In a second of its own: what is pushed next has no chain to what was before."""
        ref = pick(REFS, number)
        if pick([push for push in self.pushes if push.ref == ref], -1).deleted:
            raise Nobody
        self.github_second += 1
        self.push(ref, ZERO_SHA)

    def push(self, ref: str, after: str) -> None:
        """GitHub sees that the ref names that now."""
        earlier = [push.after for push in self.pushes if push.ref == ref]
        self.pushes.append(
            Push(
                repository_id=REPOSITORY_ID,
                repository=REPOSITORY,
                default_branch="main",
                ref=ref,
                before=earlier[-1] if earlier else f"{ref.encode().hex()[-40:]:0>40}",
                after=after,
                commit=after,
                deleted=after == ZERO_SHA,
                pushed_at=self.github_second,
            )
        )

    def a_push_is_delivered(self, number: int) -> None:
        """One of the newest, in whatever order; perhaps for the second time, through another webhook."""
        self.deliver(f"guid-{next(self.guids)}", pick(self.pushes[:-5:-1], number))

    def a_delivery_comes_again(self, number: int) -> None:
        """GitHub, or a person there, sends it once more."""
        self.deliver(*pick(self.delivered[::-1], number))

    def deliver(self, guid: str, push: Push) -> None:
        """Deliver a push; whether it is a duplicate is known beforehand."""
        known = any(push.key == other.key for _, other in self.delivered)
        webhook = Webhook(
            guid=guid,
            event="push",
            action=None,
            repository_id=push.repository_id,
            repository=push.repository,
            headers={},
            body=b"{}",
            push=push,
        )
        received = intake.receive(webhook, self.catalogue, covers=lambda _: True, peer="", now=self.clocks.now)
        receipt = received.answer()
        self.delivered.append((guid, push))
        assert known == receipt.duplicate
        self.it_is_on_disk(receipt)

    def it_is_on_disk(self, receipt: Receipt) -> None:
        """When a push is answered, all that the answer says is there for everybody; a branch that is gone waits not."""
        self.look()
        rows = {row["id"]: row for row in self.rows}
        for told in receipt.verdicts:
            assert told.deployment is None or rows[told.deployment]["name"] == told.service
            if told.verdict == "ignore" and "was deleted" in told.reason:
                ref = next(push.ref for guid, push in self.delivered if guid == receipt.delivery)
                waiting = [row for row in self.rows if (row["name"], row["ref"]) == (told.service, ref)]
                assert all(row["wanted"] is None for row in waiting)

    def github_is_asked(self, _number: int) -> None:
        """How the checks stand of all that waits; what it answers may come late."""
        self.asked = checking.commits()

    def github_answers(self, number: int) -> None:
        """For one of the commits, perhaps as it was a while ago: success, failure, not yet, or not at all."""
        commit = pick(checking.commits() if number % 3 else self.asked, number // 3)
        state = pick((*CheckState, CheckState.PASSED, CheckState.PASSED, None), number // 2)
        if state is None:
            checking.postpone(commit, "no answer", due=self.clocks.now, told=number % 2 == 0)
        else:
            self.checks_are(commit, state)

    def checks_are(self, commit: Commit, state: CheckState) -> None:
        """GitHub says so of a commit's checks."""
        if state is CheckState.PASSED:
            self.succeeded.add(commit.sha)
        found = [StatusCheck(name="test", state=state, told="is so")]
        checking.settle(commit, found, whole=True, now=self.clocks.now)

    def letters_are_written(self, _number: int) -> None:
        """Of all that GitHub is owed; they may arrive late."""
        self.witness.write_letters(now=self.clocks.now)

    def a_letter_is_sent(self, number: int) -> None:
        """GitHub is told one thing, as it was when the letter was written."""
        if not self.witness.letters:
            raise Nobody
        self.witness.send(number, now=self.clocks.now)

    # --- people

    def a_person_replays(self, number: int) -> None:
        """A delivery is decided again; a newer push still makes it stale."""
        guid, push = pick(self.delivered[::-1], number)
        entries = self.catalogue.entries()
        delivery = Delivery.get(Delivery.guid == guid)
        store.write(lambda: intake.replay(delivery, push, entries, by=LOCAL, now=self.clocks.now))

    def a_person_deploys(self, number: int) -> None:
        """By hand, whatever commit; GitHub is not asked where it comes from."""
        found = self.catalogue.get(pick(NAMES, number))
        if found is None:
            raise Nobody
        entry = msgspec.structs.replace(found, asks=False)
        wish = Wish(sha=f"{number + 1:040x}", ref=None if entry.file is None else entry.file.branches[0])
        with refused(entry.file is None):
            store.write(lambda: starting.start(entry, wish, by=LOCAL, now=self.clocks.now))

    def a_person_cancels(self, number: int) -> None:
        """What has ended cannot be cancelled; mostly somebody wants what has not."""
        row = pick(
            [row for row in self.rows if not DeploymentState(row["state"]).final or number % 4 == 0][-10:], number
        )
        with refused(DeploymentState(row["state"]).final):
            deployments.cancel(row["id"], by=LOCAL, now=self.clocks.now)

    def a_person_retries(self, number: int) -> None:
        """What has not ended cannot be tried again."""
        row = self.recent(number)
        entries = self.catalogue.entries()
        last = deployments.last_word(row["service_id"])
        twice = last is not None and last.parent_id == row["id"]
        with refused(twice or not DeploymentState(row["state"]).final or row["removed"] is not None):
            again = store.write(lambda: retries.retry(row["id"], entries, by=LOCAL, now=self.clocks.now))
            assert row["sha"] == again.sha
            assert again.parent_id in (row["id"], row["parent_id"])

    def a_person_locks(self, number: int) -> None:
        """A service, for a while or until somebody unlocks it."""
        seconds = pick((None, 30, 7_200), number // 3)
        until = None if seconds is None else self.clocks.now + seconds * 1_000
        wish = locking.Wish(reason="the database moves", until=until)
        name, entries = pick(NAMES, number), self.catalogue.entries()
        with refused(name not in entries and services.find(name).removed is not None):
            locking.lock(name, entries, wish, by=LOCAL, now=self.clocks.now)

    def a_person_unlocks(self, number: int) -> None:
        """A service, whoever locked it."""
        locking.unlock(pick(NAMES, number), self.catalogue.entries(), by=LOCAL, now=self.clocks.now)

    def a_person_rolls_back(self, number: int) -> None:
        """To exactly the commit that is offered; where none is, to nothing."""
        name = pick(NAMES, number)
        service = services.find(name)
        goal = rollbacks.offer(service)
        entries = self.catalogue.entries()
        last = deployments.last_word(service.id)
        twice = last is not None and last.origin == Origin.ROLLBACK and goal is not None and last.sha == goal.sha
        with refused(twice or goal is None or service.removed is not None):
            row = store.write(lambda: rollbacks.roll_back(name, entries, by=LOCAL, now=self.clocks.now))
            assert goal is not None
            assert (goal.sha, goal.id) == (row.sha, row.parent_id)

    def a_person_edits_a_file(self, number: int) -> None:
        """So that it is bad, away, or of another repository; and then as it was."""
        name = pick(NAMES, number)
        entry = self.catalogue.get(name)
        spoilt = entry is None or entry.file is None or entry.file.repository != REPOSITORY
        self.write_file(name, "good" if spoilt else pick(("left", "bad", "away"), number // 3))

    def write_file(self, name: str, kind: str = "good") -> None:
        """A service's file."""
        path = self.settings.services_dir / name / "service.toml"
        repository = "octo-org/elsewhere" if kind == "left" else REPOSITORY
        path.write_text(f'repository = "{repository}"\ncommand = ["true"]\n{SERVICES[name]}\n')
        if kind == "bad":
            path.write_text("[")
        elif kind == "away":
            path.unlink()

    # --- engines

    def an_engine_ticks(self, number: int) -> None:
        """And may be killed while it starts a child, or find no room for one."""
        self.clocks.pass_on(1)
        self.hosts.fate = pick((None, None, "killed before", "killed after", "no room"), number)
        self.hosts.tick(pick(self.hosts.idle, number), now=self.clocks.now)

    def an_engine_looks(self, number: int) -> None:
        """At a run that it follows; it may be killed just before or just after it writes the end down."""
        engine = pick(self.hosts.idle, number)
        follower = pick(engine.followers, number // 2)
        self.clocks.pass_on(0.1)
        with pytest.MonkeyPatch.context() as patch:
            if number % 5 == 3:
                patch.setattr(progress, "conclude", killed)
            elif number % 5 == 4:
                patch.setattr(RunFolder, "remove", killed)
            self.hosts.look(engine, follower, now=self.clocks.now)

    def an_engine_is_killed(self, number: int) -> None:
        """And another one started."""
        self.hosts.replace(pick(self.hosts.engines, number))

    def another_process_serves(self, number: int) -> None:
        """On either host; each has an engine, four are enough."""
        if len(self.hosts.engines) < 4:
            self.hosts.serve(pick(HOSTS, number))

    # --- children

    def a_child_comes_up(self, number: int) -> None:
        """And claims its run."""
        self.hosts.come_up(pick(self.hosts.living(NOT_STARTED), number))

    def a_script_prints(self, number: int) -> None:
        """Every byte is to be in the log."""
        pick(self.hosts.living(ALIVE), number).say(f"{number}\n\0\r".encode())

    def a_script_writes_a_step(self, number: int) -> None:
        """Into its file."""
        child = pick(self.hosts.living(ALIVE), number)
        child.tell(pick(("Build", "Migrate"), number // 2), pick(list(StepState), number // 4), now=self.clocks.now)

    def a_script_reports_a_step(self, number: int) -> None:
        """By HTTP; only what runs may."""
        row, state = self.recent(number), pick(list(StepState), number // 10)
        with refused(row["state"] != DeploymentState.RUNNING):
            report = StepReport(name="Restart", state=state)
            deployments.report_step(row["id"], report, Masker([]), at=self.clocks.now).answer()
            self.told[row["id"], "Restart"] = state

    def a_script_ends(self, number: int) -> None:
        """By itself."""
        pick(self.hosts.living(ALIVE), number).end(pick((0, 0, 3), number // 2))

    def a_child_looks_for_requests(self, number: int) -> None:
        """And ends where it is asked to."""
        pick(self.hosts.living(ALIVE), number).obey()

    def a_child_is_killed(self, number: int) -> None:
        """Before or after its claim."""
        pick(self.hosts.living(ALIVE) + self.hosts.living(NOT_STARTED), number).die()

    # --- all of them

    def all_go_on(self, _number: int) -> None:
        """Without anything in their way."""
        self.clocks.pass_on(1)
        for engine in list(self.hosts.engines):
            if engine in self.hosts.engines:  # it may be killed while another one ticks
                self.hosts.tick(engine, now=self.clocks.now)
        for child in self.hosts.living(NOT_STARTED):
            self.hosts.come_up(child)

    def all_others_go_on(self, _number: int) -> None:
        """All checks succeed, and every engine ticks that is not in the middle of that."""
        for commit in checking.commits():
            self.checks_are(commit, CheckState.PASSED)
        for engine in self.hosts.idle:
            self.hosts.tick(engine, now=self.clocks.now)

    def time_passes(self, number: int) -> None:
        """More than a child may take to come up; or the clock is set by an hour, either way."""
        match number % 3:
            case 0:
                self.clocks.pass_on(supervisor.START_SECONDS + 1)
            case 1:
                self.clocks.set(3_600)
            case _:
                self.clocks.set(-3_600)

    def the_host_is_started_anew(self, _number: int) -> None:
        """Nothing that lived does."""
        for child in self.hosts.children:
            child.die()
        for engine in list(self.hosts.engines):
            self.hosts.replace(engine)

    # --- what must hold at every moment

    @invariant()
    def it_holds(self) -> None:
        """Looked at past the bot's own code."""
        self.look()
        self.states_change_along_the_edges()
        self.one_deployment_of_a_service_runs_and_few_of_the_host()
        self.ids_are_never_used_again()
        self.a_push_is_decided_once()
        self.what_waits_says_what_for()
        self.the_newest_push_supersedes()
        self.witness.feed_tells(self.rows)
        assert [] == self.faults.records, "what a tick survives is still a fault"

    def look(self) -> None:
        """How all deployments stand."""
        self.rows = self.raw.execute(LOOK).fetchall()

    def states_change_along_the_edges(self) -> None:
        """As the database itself saw it."""
        moves = self.raw.execute("SELECT id, old, new FROM moved WHERE rowid > ?", [self.moves_seen]).fetchall()
        self.moves_seen += len(moves)
        for number, old, new in moves:
            assert new in EDGES[DeploymentState(old)], f"deployment {number} went from {old} to {new}"

    def one_deployment_of_a_service_runs_and_few_of_the_host(self) -> None:
        """In rows, and in scripts that live."""
        running = [row["service_id"] for row in self.rows if row["state"] == DeploymentState.RUNNING]
        hosts = [row["host"] for row in self.rows if row["state"] == DeploymentState.RUNNING]
        scripts = [self.rows[child.deployment - 1]["service_id"] for child in self.hosts.living(ALIVE)]
        assert len(set(running)) == len(running)
        assert all(hosts.count(host) <= MAX_RUNNING for host in HOSTS)
        assert len(set(scripts)) == len(scripts)

    def ids_are_never_used_again(self) -> None:
        """A new one is greater than all that were ever seen."""
        assert list(range(1, len(self.rows) + 1)) == [row["id"] for row in self.rows]
        assert self.seen_until <= len(self.rows)
        self.seen_until = len(self.rows)

    def a_push_is_decided_once(self) -> None:
        """However often it came, each service deployed it once, unless a person had it replayed."""
        by_push = [(row["service_id"], row["sha"]) for row in self.rows if row["origin"] == Origin.PUSH]
        assert len(set(by_push)) == len(by_push)
        [(deliveries,)] = self.raw.execute("SELECT count(*) FROM delivery").fetchall()
        assert len({guid for guid, _ in self.delivered}) == deliveries

    def what_waits_says_what_for(self) -> None:
        """A lock comes before checks; without either it is queued. What was rolled back from stays away."""
        for row in self.rows:
            assert row["wanted"] is None or (row["state"], row["name"]) == (DeploymentState.WAITING, "site")
            assert row["wanted"] is None or row["repository"] == row["belongs"]
            if row["state"] in OPEN_STATES:
                assert row["removed"] is None
                self.it_says_what_for(row)
                assert row["origin"] not in PUSH_ORIGINS or row["sha"] != row["held_back"]

    def it_says_what_for(self, row: sqlite3.Row) -> None:
        """One that has not begun."""
        waits = row["state"] == DeploymentState.WAITING
        if row["locked"] is not None:
            why = f"locked by {row['locked_by']}: {row['lock_reason']}"
            assert (True, WaitsFor.LOCK, why) == (waits, row["waits_for"], row["reason"])
        elif row["wanted"] is not None:
            assert (True, WaitsFor.CHECKS) == (waits, row["waits_for"])
            assert row["reason"].startswith("waits for checks: test")
        else:
            assert (False, None) == (waits, row["waits_for"])

    def the_newest_push_supersedes(self) -> None:
        """No two pushes of a ref are open, where the service's file does not want that."""
        pushes = [row for row in self.rows if row["state"] in OPEN_STATES and row["origin"] in PUSH_ORIGINS]
        once = [(row["name"], row["ref"]) for row in pushes if "supersede = false" not in SERVICES[row["name"]]]
        assert len(set(once)) == len(once)

    # --- what must hold at the end

    def teardown(self) -> None:
        """Let the host come to rest, and judge."""
        try:
            for name in SERVICES:
                self.write_file(name)
            self.settle()
            for _ in SERVICES:  # a loss that is found only now locks a service, too
                for name in SERVICES:
                    locking.unlock(name, self.catalogue.entries(), by=LOCAL, now=self.clocks.now)
                self.settle()
            assert not Deployment.select().where(Deployment.state.in_(OPEN_STATES)).exists()
            self.it_holds()
            for row in Deployment.select():
                self.ended_truly(row)
            self.the_newest_push_has_won()
            self.witness.github_knows(now=self.clocks.now)
            self.nothing_is_left()
        finally:
            logging.getLogger("fastdeploy_bot").removeHandler(self.faults)
            self.hosts.stop()
            self.raw.close()
            store.disconnect()

    def settle(self) -> None:
        """Nothing new happens; what is under way goes on until there is nothing to do."""
        for _ in range(ROUNDS):
            self.it_holds()
            if not self.unfinished():
                return
            self.one_round()
        raise AssertionError(f"never comes to rest: {[tuple(row) for row in self.unfinished()]}")

    def one_round(self) -> None:
        """A second of everybody's work; all checks succeed, and letters take until the next one."""
        self.clocks.pass_on(1)
        while self.witness.letters:
            self.witness.send(0, now=self.clocks.now)
        self.witness.write_letters(now=self.clocks.now)
        for commit in checking.commits():
            self.checks_are(commit, CheckState.PASSED)
        for engine in list(self.hosts.engines):
            self.hosts.tick(engine, now=self.clocks.now)
            for follower in engine.followers:
                self.hosts.look(engine, follower, now=self.clocks.now)
        for child in self.hosts.living(NOT_STARTED):
            self.hosts.come_up(child)
        for child in self.hosts.living(ALIVE):
            row = deployments.find(child.deployment)
            assert row.cancelled_by is None or child.folder.requested("cancel"), f"{row.id} is not told to stop"
            child.obey()
        for child in self.hosts.living(ALIVE):
            child.end(0)

    def unfinished(self) -> list[sqlite3.Row]:
        """What has not ended, and does not wait for a lock either."""
        rows = [row for row in self.rows if not DeploymentState(row["state"]).final]
        return [row for row in rows if row["state"] != DeploymentState.WAITING or row["locked"] is None]

    def ended_truly(self, row: Deployment) -> None:
        """As its script did; lost only where the child died with it; else it never ran, and that is said."""
        child = self.ran.get(row.id)
        if child is None:
            why = f"deployment {row.id} is {row.state} ({row.reason}), and its script never ran"
            assert row.state in ("cancelled", "superseded", "failure"), why
            assert row.state != "failure" or row.reason.startswith(GIVEN_UP) or NO_ROOM in row.reason, why
            return
        assert (child.outcome or "lost") == row.state, f"deployment {row.id}: {child.outcome} became {row.state}"
        assert child.status == row.exit_status
        assert not tokens.principal(child.token, keys=self.settings.keys, now=self.clocks.now).running
        assert child.output == logs.read(row.id).data
        found = {step.name: step.state for step in Step.select().where(Step.deployment == row)}
        known = child.steps | {name: state for (number, name), state in self.told.items() if number == row.id}
        assert {name: at_the_end(state, row.state) for name, state in known.items()} == {
            name: state for name, state in found.items() if name in known
        }

    def the_newest_push_has_won(self) -> None:
        """For each service and ref: what was deployed last is older than no push that was decided."""
        for service in {row.service_id for row in Deployment.select(Deployment.service)}:
            ran = [row for row in map(deployments.find, self.ran) if row.service_id == service]
            for ref in REFS:
                self.in_order([row.id for row in ran if row.ref == ref and row.origin in PUSH_ORIGINS])
            if service != services.find("site").id:  # where what waits for checks holds nothing else up
                self.in_order([row.id for row in ran])
            for ref in REFS:
                self.newest_of(service, ref)

    def in_order(self, ran: Sequence[int]) -> None:
        """As they were made."""
        assert sorted(ran) == list(ran), "a younger deployment ran before an older one"

    def newest_of(self, service: int, ref: str) -> None:
        """The last deployment by push of a service and ref."""
        mine = (Deployment.service == service) & (Deployment.ref == ref)
        rows = list(Deployment.select().where(mine, Deployment.origin.in_(list(PUSH_ORIGINS))).order_by(Deployment.id))
        if not rows:
            return
        told = [
            (row.delivery.after, row.verdict)
            for row in Verdict.select(Verdict, Delivery).join(Delivery).where(Verdict.service == service)
        ]
        ignored = {after for after, verdict in told if verdict in ("ignore", "refused")} - {rows[-1].sha}
        known = {after for after, _ in told} - ignored
        decided = [push for _, push in self.delivered if push.ref == ref and push.after in known]
        [last] = {push.key: push for push in decided if push.after == rows[-1].sha}.values()
        newer = [push.after for push in decided if is_newer(push, last)]
        assert not newer, f"deployed {last.after} last, though {newer} had been pushed after it"
        assert rows[-1].state != DeploymentState.SUPERSEDED

    def nothing_is_left(self) -> None:
        """Neither folders nor locks; what an engine left that died between two steps goes when the next one starts."""
        for child in self.hosts.living(NOT_STARTED):
            self.hosts.come_up(child)
        assert not [child for child in self.hosts.children if child.state != GONE]
        assert not [follower for engine in self.hosts.engines for follower in engine.followers]
        for settings in self.hosts.settings.values():
            remove_leftovers(settings.runs_dir, now=2 * self.clocks.now)
            assert [] == os.listdir(settings.runs_dir)

    # --- inside

    def recent(self, number: int) -> sqlite3.Row:
        """One of the newest deployments."""
        return pick(self.rows[:-11:-1], number)


def is_newer(push: Push, other: Push) -> bool:
    """Whether a push of the same ref is newer: by the time of the push, then by chain."""
    assert push.pushed_at is not None
    assert other.pushed_at is not None
    if push.pushed_at != other.pushed_at:
        return push.pushed_at > other.pushed_at
    return push.before == other.after


def at_the_end(state: str, outcome: str) -> str:
    """What a step's state becomes when its deployment ends so."""
    if state == StepState.RUNNING:
        return StepState.SUCCESS if outcome == DeploymentState.SUCCESS else StepState.FAILURE
    return StepState.SKIPPED if state == StepState.PENDING else state


def pick(things: Sequence[T], number: int) -> T:
    """One of them; the number may be any. Raises Nobody where there are none."""
    if not things:
        raise Nobody
    return things[number % len(things)]


def refused(expected: bool) -> Any:  # a context manager of either kind
    """What is done within is a Conflict, or is not."""
    return pytest.raises(Conflict) if expected else pytest.MonkeyPatch.context()


def killed(*_: object, **__: object) -> None:
    """In the place of a function before which the process is killed."""
    raise Killed


def profile() -> hypothesis.settings:
    """The same examples at each run, for as long as a test may take; with STATE_MACHINE_EXAMPLES, others and more."""
    return hypothesis.settings(
        max_examples=EXAMPLES or 45,
        stateful_step_count=100 if EXAMPLES else 50,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
        report_multiple_bugs=False,
        print_blob=bool(EXAMPLES),
        suppress_health_check=list(hypothesis.HealthCheck),
    )


@pytest.mark.timeout(0 if EXAMPLES else 600)
def test_what_must_hold_holds(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whatever order whatever happens."""
    clocks = Clocks()
    machines: list[Machine] = []
    homes = count(1)
    watched = tmp_path / "watched.db"
    shutil.copy(template, watched)
    with closing(sqlite3.connect(watched)) as raw:
        raw.executescript(WATCH)
    monkeypatch.setitem(sqlite.PRAGMAS, "synchronous", "off")
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(clock, "now", lambda: clocks.now)
    monkeypatch.setattr(supervisor, "time", types.SimpleNamespace(monotonic=clocks.monotonic))
    monkeypatch.setattr(process, "tell", lambda _: None)
    monkeypatch.setattr(process, "start", lambda job: machines[-1].hosts.start(job))
    monkeypatch.setattr(process, "stand_in", lambda folder: machines[-1].hosts.stand_in(folder))
    monkeypatch.setattr(process, "keep_spare", lambda: None)
    monkeypatch.setattr(process, "end_tree", lambda _: True)

    def machine() -> Machine:
        home = tmp_path / str(next(homes))
        home.mkdir()
        shutil.copy(watched, home / "fastdeploy.db")
        machines[:] = [Machine(home, clocks)]
        return machines[-1]

    run_state_machine_as_test(machine, settings=profile())  # type: ignore[arg-type]  # any factory will do
