"""Launching the script: what happens between the fork and the exec."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import time

BUSY_SECONDS = 2.0
"""How long a script that is still open for writing somewhere is waited for."""

NOT_FOUND, NOT_RUNNABLE = 127, 126
"""The exit statuses that shells use for the same."""

_REASONS = {
    errno.ENOENT: "the interpreter that its first line names is not there",
    errno.EACCES: "it is not executable; try chmod +x",
    errno.ENOEXEC: "it is not a program; begin it with a line such as #!/bin/sh",
}
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


class Launched:
    """A script on its way."""

    __slots__ = ("errors", "output", "pid")

    def __init__(self, pid: int, output: int, errors: int) -> None:
        self.pid = pid
        self.output = output
        """What it prints, on both of its streams."""
        self.errors = errors
        """Ends empty once the script runs, else holds the number of the error."""


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def launch(argv: list[str], cwd: str, env: dict[str, str]) -> Launched:
    """Run a script in a session of its own; it dies with this process. Raises OSError where the host has no room."""
    output, output_in = os.pipe()
    errors, errors_in = os.pipe()
    parent = os.getpid()
    # A signal for the script that comes before there is one waits: this process's handlers would swallow it.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _become(argv, cwd, env, parent, output_in, errors_in)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.close(output_in)
    os.close(errors_in)
    return Launched(pid, output, errors)


def explain(number: int, argv: list[str], cwd: str) -> tuple[int, str]:
    """What a shell would give as exit status, why the script could not be run, and what to do about it."""
    program = os.path.join(cwd, argv[0])
    missing = number == errno.ENOENT and not ("/" in argv[0] and os.path.exists(program))
    if not os.path.isdir(cwd):
        why = f"its folder {cwd} is not there"
    elif missing:
        where = "no such program in PATH" if "/" not in argv[0] else "no such file"
        where += f" in {cwd}" if "/" in argv[0] and not os.path.isabs(argv[0]) else ""
        why = f"{where}; check `command` in service.toml"
    elif os.path.isdir(program):
        why = "it is a folder; check `command` in service.toml"
    else:
        why = _REASONS.get(number, os.strerror(number))
    return NOT_FOUND if missing else NOT_RUNNABLE, f"cannot run {argv[0]}: {why}"


def _become(argv: list[str], cwd: str, env: dict[str, str], parent: int, output: int, errors: int) -> None:
    """Turn this forked process into the script, or end."""
    number = errno.EINVAL
    try:
        os.setsid()
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            return
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        _reset_signals()
        os.umask(0o022)
        os.chdir(cwd)
        _exec(argv, env)
    except OSError as error:
        number = error.errno or number
    finally:
        os.write(errors, b"%d" % number)
        os._exit(NOT_FOUND)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) is not None:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _exec(argv: list[str], env: dict[str, str]) -> None:
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            os.execve(_found(argv[0], env), argv, env)  # noqa: S606 - argv as it stands, no shell
        except OSError as error:
            if error.errno != errno.ETXTBSY or time.monotonic() > give_up:
                raise
        time.sleep(0.01)


def _found(program: str, env: dict[str, str]) -> str:
    """A path as it is; a bare name where the script's own PATH finds it."""
    if "/" in program:
        return program
    for folder in env.get("PATH", os.defpath).split(":"):
        candidate = os.path.join(folder, program)
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    raise FileNotFoundError(errno.ENOENT, "not found", program)
