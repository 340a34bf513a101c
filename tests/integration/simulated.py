"""Simulated hosts: children that speak the run folder's protocol, engines whose runs a test follows look by look."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core.deploying import deployments
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.core.files.servicefile import ServiceFile
from fastdeploy_bot.engine.dispatcher import Dispatcher
from fastdeploy_bot.engine.supervisor import Supervisor
from fastdeploy_bot.runner.checkout import Checkout
from fastdeploy_bot.runner.folder import RunFolder
from fastdeploy_bot.runner.process import Job
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Deployment

HOSTS: Final = ("this-host", "other-host")
NO_ROOM: Final = "no process can be made"
NOT_STARTED, ALIVE, GONE = "not started", "alive", "gone"


class Killed(BaseException):
    """The engine's process is killed at this very point."""


class Child:
    """What `runner.child` is to its run folder, without a process: it does its next thing when it is told to."""

    def __init__(self, job: Job) -> None:
        self.deployment = job.deployment
        self.folder = RunFolder(job.folder)
        self.token = job.env["FASTDEPLOY_TOKEN"]
        self.state = NOT_STARTED
        self.outcome: str | None = None
        """What its exit record says."""
        self.status: int | None = None
        self.output = b""
        self.steps: dict[str, str] = {}
        self._lock = -1

    def come_up(self) -> bool:
        """Claim the run; whether its script runs by that."""
        if self.folder.claimed() is not None or not Path(self.folder.path).is_dir():
            self.state = GONE
            return False
        lock = self.folder.hold("lock")
        if lock is None:
            return False  # somebody looks just now
        self._lock = lock
        if not self.folder.claim({"pid": -1, "start_time": 0}):
            self.die()
            return False
        self.state = ALIVE
        return True

    def say(self, text: bytes) -> None:
        """Its script prints something."""
        self._append(self.folder.segment(0), text)
        self.output += text

    def tell(self, step: str, state: str, *, now: int) -> None:
        """Its script says something of a step."""
        entry = {"at": now, "started": None, "name": step, "state": state, "message": ""}
        self._append(self.folder.file("steps.log"), json.dumps(entry).encode() + b"\n")
        self.steps[step] = state

    def end(self, status: int) -> None:
        """Its script ends by itself."""
        self._record("failure" if status else "success", exit_status=status)

    def obey(self) -> None:
        """Look for a request to cancel, and end by it if there is one."""
        if self.folder.requested("cancel") is not None:
            self._record("cancelled", exit_status=None)

    def die(self) -> None:
        """Be killed."""
        self.state = GONE
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _record(self, outcome: str, *, exit_status: int | None) -> None:
        record = {"outcome": outcome, "reason": "", "exit_status": exit_status, "signal": None}
        with suppress(FileNotFoundError):  # a folder that was taken away takes no record
            self.folder.write_exit({"format": 1, **record})
        self.outcome, self.status = outcome, exit_status
        self.die()

    def _append(self, path: str, data: bytes) -> None:
        with open(path, "ab") as file:
            file.write(data)


class Follower(threading.Thread):
    """What a worker thread of the dispatcher is to its run; never started, it looks when it is told to."""

    def __init__(self, supervisor: Supervisor, lock: int | None) -> None:
        super().__init__()
        self.supervisor = supervisor
        self.over = False
        self._lock = lock

    def is_alive(self) -> bool:
        """Whether the run is still followed."""
        return not self.over

    def look(self, *, now: int) -> None:
        """Look once; at the run's end, take its folder away."""
        if self.supervisor.tick(now=now):
            self.supervisor.folder.remove()
            self.let_go()

    def let_go(self) -> None:
        """Follow no more."""
        self.over = True
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class Engine(Dispatcher):
    """One process's engine; `meanwhile` is what others do between its look and what it does about that."""

    def __init__(self, settings: Settings, host: str, meanwhile: Callable[[], None]) -> None:
        catalogue = Catalogue(settings.services_dir, tells=lambda: True)
        super().__init__(settings, catalogue, Bell(settings.bell_dir), host)
        self.meanwhile = meanwhile

    @property
    def followers(self) -> list[Follower]:
        """The runs that it follows."""
        return [each for each in self._following.values() if isinstance(each, Follower) and each.is_alive()]

    def die(self) -> None:
        """Be killed: the kernel lets go of its locks, and nothing else happens."""
        for follower in self.followers:
            follower.let_go()

    def _run(
        self, deployment: Deployment, file: ServiceFile, claim: Callable[[str, str], bool], made: Checkout
    ) -> None:
        def late(run: str, token_hash: str) -> bool:
            self.meanwhile()
            return claim(run, token_hash)

        super()._run(deployment, file, late, made)

    def _follow(self, number: int, folder: RunFolder, lock: int | None) -> None:
        supervisor = Supervisor(deployments.find(number), folder, self.settings)
        self._following[folder.name] = Follower(supervisor, lock)


class Clocks:
    """The host's clock, which people set, and the one that only goes on."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000
        self.going = 0.0

    def pass_on(self, seconds: float) -> None:
        """Let time pass."""
        self.now += int(seconds * 1_000)
        self.going += seconds

    def set(self, seconds: float) -> None:
        """Set the host's clock by so much."""
        self.now += int(seconds * 1_000)

    def monotonic(self) -> float:
        """Seconds that have passed."""
        return self.going


class Hosts:
    """Children and engines of hosts with one database; `fate` is what happens to an engine while it starts a child."""

    def __init__(self, settings: Sequence[Settings], ran: Callable[[Child], None]) -> None:
        """The settings of each host."""
        self.settings = dict(zip(HOSTS, settings, strict=True))
        self.children: list[Child] = []
        self.engines: list[Engine] = []
        self.fate: str | None = None
        self.meanwhile: Callable[[], None] | None = None
        """What others do once while an engine ticks, between its look and its claim."""
        self._jobs: dict[str, tuple[Child, Job]] = {}
        """What an engine remembers of the children that it started."""
        self._ran = ran
        self._ticking: list[Engine] = []
        for host in (*HOSTS, HOSTS[0]):
            self.serve(host)

    @property
    def idle(self) -> list[Engine]:
        """The engines that are not in the middle of a tick."""
        return [engine for engine in self.engines if engine not in self._ticking]

    def serve(self, host: str) -> None:
        """One more process of that host."""
        self.engines.append(self._engine(host))

    def start(self, job: Job) -> None:
        """In the place of `runner.process.start`."""
        fate, self.fate = self.fate, None
        if fate == "killed before":
            raise Killed
        if fate == "no room":
            raise OSError(NO_ROOM)
        self.children.append(Child(job))
        if fate == "killed after":
            raise Killed
        self._jobs[job.folder] = (self.children[-1], job)

    def stand_in(self, folder: RunFolder) -> None:
        """In the place of `runner.process.stand_in`."""
        child, job = self._jobs.get(folder.path, (None, None))
        if child is not None and job is not None and child.state == GONE and folder.claimed() is None:
            del self._jobs[folder.path]
            self.children.append(Child(job))

    def come_up(self, child: Child) -> None:
        """Let a child claim its run."""
        if child.come_up():
            self._ran(child)

    def tick(self, engine: Engine, *, now: int) -> None:
        """One tick of an engine; one that is killed in it is replaced."""
        self._ticking.append(engine)
        try:
            engine.tick(now=now)
        except Killed:
            self.replace(engine)
        self._ticking.remove(engine)
        self.fate = self.meanwhile = None

    def look(self, engine: Engine, follower: Follower, *, now: int) -> None:
        """One look of an engine at a run; if it is killed in it, it is replaced."""
        try:
            follower.look(now=now)
        except Killed:
            self.replace(engine)

    def replace(self, engine: Engine) -> None:
        """Kill an engine, and start another one, which knows nothing."""
        for follower in engine.followers:
            self._jobs.pop(follower.supervisor.folder.path, None)
        engine.die()
        self.engines[self.engines.index(engine)] = self._engine(engine.host)

    def _engine(self, host: str) -> Engine:
        return Engine(self.settings[host], host, self._interrupt)

    def _interrupt(self) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()

    def living(self, state: str) -> list[Child]:
        """The children in that state."""
        return [child for child in self.children if child.state == state]

    def stop(self) -> None:
        """End all of it."""
        for child in self.children:
            child.die()
        for engine in self.engines:
            engine.die()
