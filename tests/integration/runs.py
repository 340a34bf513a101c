"""Runs for the tests: real scripts under a real child, and a bounded wait for what they do."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import pytest

from fastdeploy_bot.runner import folder as run_folder
from fastdeploy_bot.runner import process, tree
from fastdeploy_bot.runner.folder import RunFolder
from fastdeploy_bot.runner.process import Job, Limits

T = TypeVar("T")

PATIENCE: Final = 40.0
"""Seconds after which a test stops waiting; a loaded machine needs a few of them, a working one hardly any."""


def eventually(look: Callable[[], T | None], what: str = "") -> T:
    """The first true thing that `look` answers; fails the test where there is none for long."""
    give_up = time.monotonic() + PATIENCE
    while not (found := look()):
        if time.monotonic() > give_up:
            pytest.fail(f"waited {PATIENCE:g} s in vain for {what or look}")
        time.sleep(0.01)
    return found


def gone(pid: int) -> bool:
    """Whether a process has ended; one that only waits to be reaped counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def children() -> list[int]:
    """The living processes that this one started itself; not what waits beside them to become a script."""
    return [pid for pid in tree.descendants(os.getpid()) if _parent(pid) == os.getpid() and not gone(pid)]


def _parent(pid: int) -> int:
    fields = _content(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def no_child_left() -> bool:
    """Whether every child that this process started has ended; those that have are reaped, and none waits."""
    process.dismiss_spare()
    process.reap()
    return not any(_may_be_child(pid) for pid in tree.descendants(os.getpid()))


def _may_be_child(pid: int) -> bool:
    """A process that was started just now has no command for a moment, though it lives already."""
    command = _content(Path(f"/proc/{pid}/cmdline"))
    return process.CHILD.name.encode() in command or not (command or gone(pid))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def number_in(path: Path) -> int:
    """The number that a script writes into a file, as soon as it is there."""
    return int(eventually(lambda: _content(path).strip(), f"a number in {path.name}"))


class Run:
    """One run on its way."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    @property
    def child(self) -> int:
        """The child's process id."""
        pid = eventually(lambda: (self.folder.claimed() or {}).get("pid"), "the claim")
        assert isinstance(pid, int)
        return pid

    @property
    def steps(self) -> list[tuple[object, object, object]]:
        """Name, state and message of every step told so far."""
        entries, _ = self.folder.read_steps(0)
        return [(entry["name"], entry["state"], entry["message"]) for entry in entries]

    @property
    def log(self) -> bytes:
        """What the script has printed so far; fails where bytes are missing between the head and the tail."""
        pieces = self.pieces()
        assert len(pieces) <= 1, f"the log has gaps: {[(start, len(data)) for start, data in pieces]}"
        return pieces[0][1] if pieces else b""

    def pieces(self) -> list[tuple[int, bytes]]:
        """What is kept of the output: each stretch without a gap, with its offset."""
        pieces: list[tuple[int, bytes]] = []
        offset = 0
        while True:
            start, data = self.folder.read_log(offset, 64 * 1024)
            if not data:
                return pieces
            if pieces and start == offset:
                pieces[-1] = (pieces[-1][0], pieces[-1][1] + data)
            else:
                pieces.append((start, data))
            offset = start + len(data)

    def end(self) -> dict[str, Any]:
        """The exit record, waited for until the child is gone as well."""
        over = (run_folder.ENDED, run_folder.LOST)
        eventually(lambda: self.folder.judge() in over and not self.folder.alive(), "the end of the run")
        record = self.folder.exit_record()
        assert record is not None, f"no exit record: {self.complaints()}"
        return record

    def complaints(self) -> str:
        """What the child itself had to complain of."""
        return Path(self.folder.file("child.err")).read_text()

    def ask(self, name: str, **details: object) -> None:
        """Leave a request and let the child know, as the supervisor does."""
        self.folder.request(name, details)
        process.nudge(self.folder)


class Stage:
    """A service's folder, and a place for the folders of its runs."""

    def __init__(self, root: Path) -> None:
        self.service = root / "service"
        self.service.mkdir()
        self.runs: list[Run] = []
        self._root = root / "runs"

    def script(self, text: str, *, name: str = "deploy.sh", first: str = "#!/bin/sh") -> Path:
        """Write an executable script into the service's folder."""
        path = self.service / name
        path.write_text(f"{first}\n{text}\n")
        path.chmod(0o755)
        return path

    def folder(self) -> Run:
        """A run folder that no child has taken yet."""
        number = len(self.runs) + 1
        folder = RunFolder(str(self._root / f"{number}-{time.monotonic_ns():x}"))
        folder.create(number)
        self.runs.append(Run(folder))
        return self.runs[-1]

    def job(self, run: Run, **changes: Any) -> Job:
        """A job for a run of `./deploy.sh`; limits are changed by their own names."""
        limits: dict[str, Any] = {
            "timeout": 60.0,
            "silence_timeout": None,
            "kill_grace": 30.0,
            "log_limit": 8 << 20,
        }
        own = {name: changes.pop(name, value) for name, value in limits.items()}
        job = Job(
            deployment=1,
            folder=run.folder.path,
            argv=["./deploy.sh"],
            cwd=str(self.service),
            env={"PATH": "/usr/bin:/bin", "FASTDEPLOY_STEPS_FILE": run.folder.file("steps")},
            secrets=[],
            config=None,
            finish="exit",
            step_source="api",
            limits=Limits(**own),
        )
        return msgspec.structs.replace(job, **changes)

    def begin(self, text: str | None = None, **changes: Any) -> Run:
        """Start a run, of a script with that text."""
        if text is not None:
            self.script(text)
        run = self.folder()
        process.start(self.job(run, **changes))
        return run

    def play(self, text: str | None = None, **changes: Any) -> tuple[Run, dict[str, Any]]:
        """Start a run and wait for its exit record."""
        run = self.begin(text, **changes)
        return run, run.end()


def stage(root: Path) -> Iterator[Stage]:
    """For fixtures: a stage, cleared at the end."""
    made = Stage(root)
    yield made
    clear([run.folder for run in made.runs])


def clear(folders: Sequence[RunFolder]) -> None:
    """End whatever is left of these runs."""
    for folder in folders:
        eventually(partial(_ended, folder), "the end of a run")
        process.end_tree(folder.name)
    eventually(no_child_left, "the children's end")


def _ended(folder: RunFolder) -> bool:
    """Make sure that a run has ended, or that it never begins."""
    if folder.take_claim() or not folder.alive():
        return True
    pid = (folder.claimed() or {}).get("pid")
    if isinstance(pid, int):
        tree.send(pid, signal.SIGKILL)
    return False
