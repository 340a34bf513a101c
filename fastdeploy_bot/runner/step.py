"""`fastdeploy step NAME -- CMD…`: run a command as a step, and say when it begins and how it ends.

Run as `python -I -S step.py`, it needs the standard library only: a script may have many steps, and each should
start at once. Steps go into the steps file, where nothing is lost while the bot is away.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import sys
import termios
import time

USAGE = 'usage: fastdeploy step NAME -- COMMAND…   for example: fastdeploy step "Migrate" -- ./manage.py migrate'
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
"""A command would inherit that, and for example write on into a closed pipe."""
LOOKS, BETWEEN_LOOKS = 50, 0.0002
"""How often, and after how many seconds, it is looked again how much was read, where that changes at the moment."""


def main(argv: list[str]) -> int:
    """Run the command; answers its exit status, or ends by the signal that ended it."""
    if len(argv) < 3 or argv[1] != "--" or not argv[0].strip():
        sys.stderr.write(f"fastdeploy step: expected a name, --, and a command\n{USAGE}\n")
        return 2
    name, command = argv[0], argv[2:]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)  # until there is a command to hand them on to
    _report(name, "running", "")
    status, message = _run(command, mask)
    _report(name, "success" if status == 0 else "failure", message)
    return status if status >= 0 else _die_by(-status)


def _run(command: list[str], mask: set[int | signal.Signals]) -> tuple[int, str]:
    """The command's exit status, or the negative number of the signal that ended it, and that in words."""
    try:
        pid = os.posix_spawnp(command[0], command, os.environ, setsigmask=mask, setsigdef=IGNORED_BY_PYTHON)
    except FileNotFoundError:
        return 127, _complaint(f"{command[0]}: no such program")
    except OSError as error:
        return 126, _complaint(f"{command[0]}: {error.strerror}")
    for number in FORWARDED:
        signal.signal(number, lambda received, _frame: _hand_on(pid, received))
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, _described(status)


def _hand_on(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it has ended, and so does the step


def _complaint(why: str) -> str:
    sys.stderr.write(f"fastdeploy step: {why}\n")
    return why


def _report(name: str, state: str, message: str) -> None:
    """Append one line; outside a deployment there is nobody to tell. A step that cannot be told still runs."""
    path = os.environ.get("FASTDEPLOY_STEPS_FILE")
    if not path:
        return
    place = _place(os.path.join(os.path.dirname(path), "pipe"))
    told = {"name": name, "state": state, "message": message} | ({} if place is None else {"output_bytes": place})
    line = json.dumps(told) + "\n"
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.write(file, line.encode())
        os.close(file)
    except OSError as error:
        sys.stderr.write(f"fastdeploy step: cannot report {name!r}: {error.strerror}\n")


def _place(path: str) -> int | None:
    """How much the deployment has printed by now: what was read of it, and what still waits in the pipe to be read.

    None where our output goes elsewhere, or nobody says how much was read.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        output = _output(_number(file, 0))
        return None if output is None else _printed(file, output)
    except OSError:
        return None
    finally:
        os.close(file)


def _printed(file: int, output: int) -> int | None:
    for _ in range(LOOKS):
        read, waits = _number(file, 8), _waiting(output)
        if read >= 0 and read == _number(file, 8):
            return read + waits
        time.sleep(BETWEEN_LOOKS)
    return None


def _number(file: int, place: int) -> int:
    return int.from_bytes(os.pread(file, 8, place), "little", signed=True)


def _output(inode: int) -> int | None:
    """Which of our own descriptors writes into the pipe with that inode."""
    for number in (1, 2):
        try:
            about = os.fstat(number)
        except OSError:
            continue
        if stat.S_ISFIFO(about.st_mode) and about.st_ino == inode:
            return number
    return None


def _waiting(output: int) -> int:
    """How many bytes are in a pipe."""
    return int.from_bytes(fcntl.ioctl(output, termios.FIONREAD, bytes(4)), sys.byteorder)


def _described(status: int) -> str:
    if status == 0:
        return ""
    return f"exit status {status}" if status > 0 else f"killed by {_name(-status)}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _die_by(number: int) -> int:
    """End by the same signal as the command, so that whoever waits sees what happened; else answers what shells do."""
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
