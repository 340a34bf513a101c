"""Launching the script: what happens between the fork and the exec.

The process that becomes the script is there before it is known which, and gets ready before it may.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
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
_GO = b"go\n"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


class Standby:
    """A process in a session of its own that becomes a script, once it is told which and let; it dies with this one."""

    __slots__ = ("errors", "orders", "output", "pid")

    def __init__(self, pid: int, orders: int, output: int, errors: int) -> None:
        self.pid = pid
        self.orders = orders
        """Where it is told what to become, and that it may; at the end of it, it ends."""
        self.output = output
        """What it prints, on both of its streams."""
        self.errors = errors
        """Ends empty once the script runs, else holds the number of the error."""


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def stand_by() -> Standby:
    """Have a process wait that will become a script. Raises OSError where the host has no room."""
    orders_out, orders = os.pipe()
    output, output_in = os.pipe()
    errors, errors_in = os.pipe()
    parent = os.getpid()
    # A signal for the script that comes before there is one waits: this process's handlers would swallow it.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            os.close(orders)
            _become(parent, orders_out, output_in, errors_in)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for each in (orders_out, output_in, errors_in):
        os.close(each)
    return Standby(pid, orders, output, errors)


def tell(standby: Standby, argv: list[str], cwd: str, env: dict[str, str]) -> None:
    """Say what it is to become. What is wrong with that is told in `errors`."""
    _say(standby, json.dumps([argv, cwd, env]).encode() + b"\n")


def launch(standby: Standby) -> None:
    """Let it become that now."""
    _say(standby, _GO)
    os.close(standby.orders)


def _say(standby: Standby, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # one that has ended has told why
        while data:
            data = data[os.write(standby.orders, data) :]


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


def _become(parent: int, orders: int, output: int, errors: int) -> None:
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
        with open(orders, "rb") as told:
            if not (line := told.readline()):
                return
            argv, cwd, env = json.loads(line)
            _drop_strays(parent)
            os.chdir(cwd)
            if told.read() != _GO:
                return
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        _exec(argv, env)
    except OSError as error:
        number = error.errno or number
    finally:
        with contextlib.suppress(OSError):  # nobody waits for it any more
            os.write(errors, b"%d" % number)
        os._exit(NOT_FOUND)


def _drop_strays(parent: int) -> None:
    """Drop the signals that came while there was nothing to end, but for the parent's, who may be ahead of us."""
    meant = set()
    while (found := signal.sigtimedwait(signal.valid_signals(), 0)) is not None:
        if found.si_pid == parent:
            meant.add(found.si_signo)
    for number in meant:
        os.kill(os.getpid(), number)  # they wait until there is a script


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) is not None:
            signal.signal(number, signal.SIG_DFL)


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
