"""Starting children and signalling them: the one place that starts processes."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any, Final, cast

import msgspec

from fastdeploy_bot.runner import tree
from fastdeploy_bot.runner.folder import BEGIN, FORMAT, RunFolder
from fastdeploy_bot.runner.spare import Spare

CHILD: Final = Path(__file__).with_name("child.py")
STEP: Final = Path(__file__).with_name("step.py")
SWEEP_SECONDS: Final = 5.0

_children: Final[list[subprocess.Popen[bytes]]] = []
_told: Final[dict[str, tuple[subprocess.Popen[bytes], bytes]]] = {}
"""Jobs that a child knows, by their run folders, until it has claimed them."""
_lock: Final = threading.Lock()
_spare: Final = Spare(lambda: _spawn(subprocess.DEVNULL))


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a run may take: seconds and bytes."""

    timeout: float
    silence_timeout: float | None
    kill_grace: float
    log_limit: int


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a child is to do; it is told on its standard input, never by argv, file or environment."""

    format: int = FORMAT
    deployment: int
    folder: str
    argv: list[str]
    cwd: str
    env: dict[str, str]
    secrets: list[str]
    """What is to be hidden in all that the child writes."""
    config: dict[str, Any] | None
    """What ephes/fastdeploy scripts find in DEPLOY_CONFIG_FILE."""
    finish: str
    step_source: str
    limits: Limits


def tell(job: Job) -> subprocess.Popen[bytes]:
    """Have a child know a job, the one that waits or a fresh one: it gets ready, and begins when `start` says so.

    Raises OSError where no process can be made, ValueError for a job that is no JSON.
    """
    message = msgspec.json.encode(job) + b"\n"
    child = _spare.take() or _fresh(job.folder)
    with _lock:
        _told[job.folder] = (child, message)
        _children.append(child)
    _write(child, message)
    return child


def start(job: Job) -> None:
    """Have a job begun by the child that knows it; it runs detached. Raises what `tell` raises, where none does yet."""
    child = _ready(job.folder) or tell(job)
    _write(child, BEGIN, last=True)


def withdraw(folder: RunFolder) -> None:
    """Have the child that knows this folder's job end without it, unless it was started."""
    child = _ready(folder.path)
    if child is not None:
        with _lock:
            del _told[folder.path]
        _write(child, b"", last=True)


def stand_in(folder: RunFolder) -> None:
    """Begin a run by another child where the one that took its job died before it could claim it; once.

    For the run's follower alone: nobody else may take the folder away meanwhile. Raises OSError where no process can
    be made; the next call tries again.
    """
    with _lock:
        child, message = _told.get(folder.path, (None, b""))
    if child is None or child.poll() is None or folder.claimed() is not None:
        return
    another = _fresh(folder.path)
    with _lock:
        _told.pop(folder.path, None)
        _children.append(another)
    _write(another, message + BEGIN, last=True)


def keep_spare() -> None:
    """Have a child wait for the next job; where the host has no room for one, a later look tries again."""
    with contextlib.suppress(OSError):
        _spare.keep()


def dismiss_spare() -> None:
    """Have no child wait any more."""
    _spare.dismiss()


def reap() -> None:
    """Take ended children out of the process table, and forget the jobs that have been claimed."""
    with _lock:
        _children[:] = [child for child in _children if child.poll() is None]
        for path in [path for path in _told if _is_settled(RunFolder(path))]:
            del _told[path]


def _ready(folder: str) -> subprocess.Popen[bytes] | None:
    """The child that knows this folder's job, and was not told to begin."""
    with _lock:
        child, _ = _told.get(folder, (None, b""))
    return None if child is None or _input(child).closed else child


def _is_settled(folder: RunFolder) -> bool:
    return folder.claimed() is not None or not os.path.isdir(folder.path)


def _fresh(folder: str) -> subprocess.Popen[bytes]:
    with open(RunFolder(folder).file("child.err"), "ab") as complaints:
        return _spawn(complaints)


def _spawn(complaints: int | IO[bytes]) -> subprocess.Popen[bytes]:
    """A child that waits for its job, and ends if none comes: this process alone holds the other end."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=complaints,
        cwd="/",
        env={"PATH": os.defpath, "LANG": "C.UTF-8"},
        start_new_session=True,
    )


def _write(child: subprocess.Popen[bytes], message: bytes, *, last: bool = False) -> None:
    """Tell a child something; one that is gone already is noticed by who follows the run."""
    with contextlib.suppress(BrokenPipeError):
        _input(child).write(message)
        _input(child).flush()
    with contextlib.suppress(BrokenPipeError):  # what it did not take is tried once more
        if last:
            _input(child).close()


def _input(child: subprocess.Popen[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", child.stdin)


def nudge(folder: RunFolder) -> None:
    """Let the child look at its folder now. A child that is gone, or another process in its place, is left alone."""
    child = _child(folder)
    if child is not None:
        tree.send(child, signal.SIGTERM)


def await_end(folder: RunFolder, seconds: float) -> bool:
    """Wait for the child's end, so long at most; answers at once, with False, where there is none to wait for."""
    child = _child(folder)
    if child is None:
        return False
    try:
        watched = os.pidfd_open(child)
    except OSError:  # it has just ended, or the host has no such thing
        return False
    try:
        ends = select.poll()
        ends.register(watched, select.POLLIN)
        ends.poll(seconds * 1000)
    finally:
        os.close(watched)
    return True


def _child(folder: RunFolder) -> int | None:
    """The process id of the folder's child, if that lives."""
    claimed = folder.claimed() or {}
    pid = claimed.get("pid")
    if isinstance(pid, int) and folder.alive() and tree.start_time(pid) == claimed.get("start_time"):
        return pid
    return None


def end_tree(cookie: str) -> bool:
    """Kill every process of a run whose child is gone; answers whether none is left."""
    give_up = time.monotonic() + SWEEP_SECONDS
    while left := tree.carrying(cookie):
        for pid in left:
            tree.send(pid, signal.SIGKILL)
        if time.monotonic() > give_up:
            return False
        time.sleep(0.02)
    return True


def write_shim(folder: Path) -> None:
    """Put a `fastdeploy` into `folder` that starts `fastdeploy step` without loading more than that needs."""
    python, package = shlex.quote(sys.executable), shlex.quote(str(Path(__file__).parents[2]))
    text = (
        "#!/bin/sh\n"
        'if [ "$1" = step ]; then\n'
        "    shift\n"
        f'    exec {python} -I -S {shlex.quote(str(STEP))} "$@"\n'
        "fi\n"
        f'PYTHONPATH={package}${{PYTHONPATH:+:$PYTHONPATH}} exec {python} -m fastdeploy_bot "$@"\n'
    )
    shim = folder / "fastdeploy"
    if shim.exists() and shim.read_text() == text:
        return
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    draft = folder / f"fastdeploy.{os.getpid()}"
    draft.write_text(text)
    draft.chmod(0o755)
    draft.rename(shim)
