"""Kills: bring a push to a point of the matrix, kill there, start again, and look at what is true in the end."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
import zlib
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

import requests

import fakehub
from bots import FINAL, PATIENCE, ROOT, Bot, Json, is_alive, processes_naming, signature, states, wait_for
from fakehub import FakeHub
from fastdeploy_bot.forge.github.payloads import push_document
from points import IN_BOT, IN_CHILD, IN_MIGRATION, IN_SCRIPT, Point

HERE: Final = Path(__file__).resolve().parent
LINES: Final = 20_000
HALF: Final = "".join(f"{number}\n" for number in range(1, LINES + 1)).encode()
FULL: Final = "".join(f"{number}\n" for number in range(1, 2 * LINES + 1)).encode()
CANCELLED: Final = b"fastdeploy: cancelled by admin\n"
SCRIPT: Final = """#!/bin/sh
trap 'echo $$ > {folder}/reached' TERM
echo $FASTDEPLOY_SHA $PPID >> ledger
seq {lines}
echo '{{"name": "First", "state": "success"}}' >> "$FASTDEPLOY_STEPS_FILE"
until [ -e go-$FASTDEPLOY_SHA ]; do sleep 0.02; done 2> /dev/null
fastdeploy step Second -- seq {more} {most}
if [ -e tell ]; then exec ./tell; fi
"""
"""Writes itself down in the ledger, says the first half, waits to be let go, and says the second."""
TELL: Final = f"""#!{sys.executable} -IS
import json, os, time, urllib.request
step = json.dumps({{"name": "Told", "state": "success"}}).encode()
told = urllib.request.Request(os.environ["FASTDEPLOY_STEPS_URL"], step)
told.add_header("Authorization", "Bearer " + os.environ["FASTDEPLOY_TOKEN"])
while True:
    try:
        urllib.request.urlopen(told, timeout=5)
        break
    except OSError:
        time.sleep(0.05)
"""
"""Tells a step by HTTP, again and again until that was taken."""
TOLD_BY_HTTP: Final = "step received, not committed"
HALF_SENT: Final = "body half received"
UNANSWERED: Final = frozenset({HALF_SENT, "verified, not stored", "stored, not answered"})
"""Where the webhook's own request is stopped."""
IN_ITS_MIDDLE: Final = frozenset({"in the middle of output", *(point.name for point in IN_SCRIPT)})
"""Where the script waits while others are killed."""
GITHUB: Final = {"success": "success", "failure": "failure", "cancelled": "error", "lost": "error"}
"""The commit's status, by the deployment's state."""
OF_THE_BOT: Final = frozenset({"master", "group", "host"})
"""Whose death somebody has to answer by starting the bot again."""


SERVER: Final = (sys.executable, "-m", "gunicorn", "--config", str(HERE / "armed.py"))
MIGRATE: Final = """
import os, pathlib, failpoints, points
from fastdeploy_bot.cli import main
failpoints.arm([points.IN_MIGRATION], pathlib.Path(os.environ["FAILPOINTS"]))
main()
"""
"""`fastdeploy migrate`, armed."""


class Log(NamedTuple):
    """What was printed, short enough for whoever reads that it is another than it should be."""

    size: int
    checksum: int
    end: bytes


class Truth(NamedTuple):
    """What is true of a push in the end."""

    state: str
    runs: int
    """How often its script was run, by the script's own ledger."""
    log: Log
    steps: list[tuple[str, str]]
    github: str


class Outcome(NamedTuple):
    """What came of a push, and how soon after the restart."""

    truth: Truth
    seconds: float
    """Until the deployment's state was true."""
    told: float
    """Until GitHub knew it."""


def expected(point: Point, victim: str) -> Truth:
    """What has to be true of a push when this victim was killed at this point."""
    state = point.ends[victim]
    log, named = FULL, ["First", "Second"]
    if state != "success" and point.name in IN_ITS_MIDDLE:
        log, named = HALF, ["First"]
    if point in IN_SCRIPT:
        log += CANCELLED
    if point.name == TOLD_BY_HTTP:
        named.append("Told")
    runs = 1
    if state == "lost" and point.name == "claimed, not executed":
        log, named, runs = b"", [], 0
    return Truth(state, runs, summary(log), [(name, "success") for name in named], GITHUB[state])


def summary(log: bytes) -> Log:
    """A log in short."""
    return Log(len(log), zlib.crc32(log), log[-80:])


class Push:
    """A push on its way: sent by a thread, as GitHub sends it, half of its body first."""

    def __init__(self, bot: Bot, service: str, number: int) -> None:
        self.sha = f"{number:040x}"
        self.guid = str(uuid.uuid4())
        self.rest = threading.Event()
        """Says that the other half may follow."""
        self.receipt: Json | None = None
        self._bot = bot
        self._body = push_document(
            repository=f"octo-org/{service}",
            repository_id=sum(service.encode()),
            before=f"{number - 1:040x}",
            after=self.sha,
            pushed_at=1_700_000_000 + number,
        )
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    @property
    def number(self) -> int:
        """The deployment that it started; it has been accepted."""
        assert self.receipt is not None
        [verdict] = self.receipt["verdicts"]
        started: int = verdict["deployment"]
        return started

    def accepted(self) -> None:
        """Wait until it has been, and deliver it again where it never was, as a person does on GitHub's page."""
        self._thread.join(PATIENCE)
        if self.receipt is None:
            wait_for(self._redeliver)

    def _send(self) -> None:
        half = len(self._body) // 2
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            socket.create_connection(("127.0.0.1", self._bot.port), PATIENCE) as connection,
        ):
            connection.sendall(self._head() + self._body[:half])
            self.rest.wait(PATIENCE)
            connection.sendall(self._body[half:])
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            self._note(answer.status, answer.read())

    def _redeliver(self) -> bool:
        with contextlib.suppress(requests.ConnectionError):
            answer = self._bot.deliver(self._body, guid=self.guid)
            self._note(answer.status_code, answer.content)
        return self.receipt is not None

    def _note(self, status: int, body: bytes) -> None:
        if status == 202:
            self.receipt = json.loads(body)

    def _head(self) -> bytes:
        headers = {
            "Host": f"127.0.0.1:{self._bot.port}",
            "Connection": "close",
            "Content-Type": "application/json",
            "Content-Length": str(len(self._body)),
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": self.guid,
            "X-Hub-Signature-256": signature(self._bot.secret, self._body),
        }
        lines = ["POST /webhooks/github HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode()


class Rig:
    """A bot with failpoints, and what it takes to kill and to judge it."""

    def __init__(self, bot: Bot, hub: FakeHub) -> None:
        """The bot is not started yet; the hub is the GitHub that its settings name."""
        self.bot = bot
        self.hub = hub
        self.folder = bot.home / "failpoints"
        self.folder.mkdir()
        (self.folder / "child.py").symlink_to(HERE / "armed_child.py")
        bot.environment |= arming(self.folder) | {"FASTDEPLOY_HOME": str(bot.home), "FASTDEPLOY_PORT": str(bot.port)}
        self._numbers = count(1)

    def start(self) -> None:
        """Start the bot, and wait until it is ready."""
        self.bot.launch(*SERVER)

    def stop(self) -> None:
        """Stop the bot; nothing that any of them started may be left: no spare, no child, no script."""
        assert self.bot.server is not None
        if self.bot.server.poll() is None:
            self.bot.stop()
        wait_for(lambda: not processes_naming(str(self.bot.home)))

    def run(self, point: Point, victim: str, *then: Point) -> Outcome:
        """Kill this victim at this point; answers what is true once everything has come to rest.

        Where more points follow, the bot that is started after that is killed at the first of them, and so on.
        """
        if self.bot.server is None or self.bot.server.poll() is not None:
            self.start()
        push, folder = self._begin(point, victim)
        workers = self.bot.workers()
        since = self._kill(point, victim, push)
        for each in then:
            self._arm(each)
            self.start()
            wait_for(self.reached)
            self.bot.kill()
        (self.folder / "go").touch()
        if "success" == point.ends[victim]:
            (folder / f"go-{push.sha}").touch()
        push.rest.set()
        if victim in OF_THE_BOT:
            since = time.monotonic()
            self.start()
        push.accepted()
        row = wait_for(lambda: self._ended(push.number))
        seconds = time.monotonic() - since
        github = wait_for(lambda: self._told(push, folder.name, GITHUB[row["state"]]))
        told = time.monotonic() - since
        if victim in OF_THE_BOT | {"reload"}:
            wait_for(lambda: not any(is_alive(pid) for pid in workers))
        runs = self._ledger(folder).count(push.sha)
        # What is told by HTTP may be heard before what stands in the steps file: of both, each has its own order.
        steps = sorted(states(row["steps"]), key=lambda step: step[0] == "Told")
        return Outcome(Truth(row["state"], runs, self._log(push.number), steps, github), seconds, told)

    def kill_migration(self, victim: str) -> None:
        """Kill whoever brings the schema up to date, in the middle of that: the bot's master, or a command."""
        self._arm(IN_MIGRATION)
        command = SERVER if victim == "master" else (sys.executable, "-c", MIGRATE, "migrate")
        with (
            self.bot.output_file.open("ab") as output,
            subprocess.Popen(command, env=self.bot.environment, stdout=output, stderr=output) as migrating,
        ):
            try:
                wait_for(self.reached)
            finally:
                migrating.kill()

    def reached(self) -> int | None:
        """The process that has come to the point."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int((self.folder / "reached").read_text())
        return None

    # --- to the point

    def _arm(self, point: Point) -> None:
        for name in ("armed", "reached", "go"):
            (self.folder / name).unlink(missing_ok=True)
        if point not in IN_SCRIPT:
            (self.folder / "armed").write_text(point.name)

    def _begin(self, point: Point, victim: str) -> tuple[Push, Path]:
        """A push that has come to the point, and its service's folder."""
        folder = self._service(point, victim)
        self._arm(point)
        push = Push(self.bot, folder.name, next(self._numbers))
        if point.name not in IN_ITS_MIDDLE:
            (folder / f"go-{push.sha}").touch()
        if point.name != HALF_SENT:
            push.rest.set()
        if point.name not in UNANSWERED:
            push.accepted()
        if point.name in IN_ITS_MIDDLE:
            wait_for(lambda: self._run_file(push.number, "steps.log"))
        if point in IN_SCRIPT:
            self.bot.post(f"/deployments/{push.number}/cancel", expect=202)
        wait_for(self.reached)
        return push, folder

    def _service(self, point: Point, victim: str) -> Path:
        name = "".join(letter if letter.isalnum() else "-" for letter in f"{point.name}-{victim}".lower())
        folder = self.bot.home / "services" / name
        if not folder.exists():
            script = SCRIPT.format(folder=self.folder, lines=LINES, more=LINES + 1, most=2 * LINES)
            self.bot.service(name, script)
            if point.name == TOLD_BY_HTTP:
                (folder / "tell").write_text(TELL)
                (folder / "tell").chmod(0o755)
        return folder

    # --- killing

    def _kill(self, point: Point, victim: str, push: Push) -> float:
        """Kill, and answer when that was."""
        assert self.bot.server is not None
        since = time.monotonic()
        match victim:
            case "worker":
                workers = self.bot.workers()
                pid = self.reached()
                os.kill(pid if pid in workers else workers[0], signal.SIGKILL)
            case "master":
                self.bot.server.kill()
                self.bot.server.wait()
            case "group":
                self.bot.kill()
            case "child":
                os.kill(self._child(point, push), signal.SIGKILL)
            case "host":
                self._reboot(point, push)
            case "reload":
                self.bot.server.send_signal(signal.SIGHUP)
        return since

    def _child(self, point: Point, push: Push) -> int:
        pid = self.reached() if point in IN_CHILD else None
        if pid is None:
            pid = int(json.loads(self._run_file(push.number, "claim"))["pid"])
        return pid

    def _reboot(self, point: Point, push: Push) -> None:
        """Kill everything, and let the claim be of another boot."""
        self.bot.kill()
        if point not in IN_BOT or self._run_file(push.number, "claim"):
            child = self._child(point, push)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            wait_for(lambda: not is_alive(child))
        for claim in self.bot.home.glob(f"runs/{push.number}-*/claim"):
            claim.write_text(json.dumps(json.loads(claim.read_text()) | {"boot": "another"}))

    # --- judging

    def _ended(self, number: int) -> Json | None:
        """The deployment, once it has ended; None also while the bot is away."""
        with contextlib.suppress(requests.ConnectionError):
            answer = self.bot.http("GET", f"/api/v1/deployments/{number}")
            row: Json = answer.json()
            if answer.status_code == 200 and row["state"] in FINAL:
                return row
        return None

    def _told(self, push: Push, service: str, wanted: str) -> str:
        """The commit's status on GitHub, once it is the one that is wanted."""
        told = self.hub.told(push.sha, f"fastdeploy/{service}", f"octo-org/{service}")
        return wanted if told and told[-1].state == wanted else ""

    def _log(self, number: int) -> Log:
        return summary(wait_for(lambda: _patient(lambda: self.bot.log_answer(number))).content)

    def _ledger(self, folder: Path) -> list[str]:
        ledger = folder / "ledger"
        return [line.split()[0] for line in ledger.read_text().splitlines()] if ledger.exists() else []

    def _run_file(self, number: int, name: str) -> str:
        """A file of the deployment's run folder; empty where there is none."""
        found = [path.read_text() for path in self.bot.home.glob(f"runs/{number}-*/{name}")]
        return found[-1] if found else ""


def _patient(ask: Callable[[], requests.Response]) -> requests.Response | None:
    """An answer; None while the bot is away."""
    with contextlib.suppress(requests.ConnectionError):
        return ask()
    return None


def arming(folder: Path) -> dict[str, str]:
    """What a process is told in its environment, to be armed for points in that folder."""
    return {"FAILPOINTS": str(folder), "PYTHONPATH": os.pathsep.join((str(ROOT), str(HERE)))}


def settings(hub: FakeHub) -> dict[str, str]:
    """The settings of a bot for a rig."""
    return {
        "FASTDEPLOY_GITHUB_API_URL": hub.url,
        "FASTDEPLOY_GITHUB_TOKEN": fakehub.TOKEN,
        "FASTDEPLOY_KILL_GRACE": "1s",
    }
