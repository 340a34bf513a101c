"""Starting children and signalling them: the one place that starts processes."""

from __future__ import annotations

import contextlib
import os
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
from fastdeploy_bot.runner.folder import FORMAT, RunFolder

CHILD: Final = Path(__file__).with_name("child.py")
STEP: Final = Path(__file__).with_name("step.py")
SWEEP_SECONDS: Final = 5.0

_children: Final[list[subprocess.Popen[bytes]]] = []
_children_lock: Final = threading.Lock()


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
    config: dict[str, Any] | None
    """What ephes/fastdeploy scripts find in DEPLOY_CONFIG_FILE."""
    finish: str
    step_source: str
    limits: Limits


def start(job: Job) -> None:
    """Start a detached child and hand it its job.

    Raises OSError where no process can be made, ValueError for a job that is no JSON.
    """
    message = msgspec.json.encode(job)
    reap()
    with open(RunFolder(job.folder).file("child.err"), "ab") as complaints:
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            cwd="/",
            env={"PATH": os.defpath, "LANG": "C.UTF-8"},
            start_new_session=True,
        )
    with _children_lock:
        _children.append(child)
    with contextlib.suppress(BrokenPipeError), cast("IO[bytes]", child.stdin) as job_in:
        job_in.write(message)


def reap() -> None:
    """Take ended children out of the process table."""
    with _children_lock:
        _children[:] = [child for child in _children if child.poll() is None]


def nudge(folder: RunFolder) -> None:
    """Let the child look at its folder now. A child that is gone, or another process in its place, is left alone."""
    claimed = folder.claimed() or {}
    pid = claimed.get("pid")
    if isinstance(pid, int) and folder.alive() and tree.start_time(pid) == claimed.get("start_time"):
        tree.send(pid, signal.SIGTERM)


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
