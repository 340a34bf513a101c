"""Servers to measure: started on a loopback port, looked at from outside, and ended with all they started."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from bots import is_alive, resident, wait_for


@contextmanager
def serving(
    command: Sequence[str],
    port: int,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    *,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that listens on this port, as long as it is needed; its log is in the folder, where it also runs.

    The environment is added to ours, and `cwd` is another place to run in.
    """
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command,
            cwd=cwd or folder,
            env=os.environ | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(lambda: _listens(port, server, folder))
        yield server
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def worked(pids: Iterable[int]) -> float:
    """The processor time that these processes took so far, in seconds; that of what they started is not among it."""
    return sum(map(_ticks, pids)) / os.sysconf("SC_CLK_TCK")


def memory(pids: Iterable[int]) -> float:
    """MiB that these processes have together; what they share is counted once."""
    return sum(map(resident, pids))


def asked(database: Path, question: str) -> int:
    """The number that an SQLite file of a server's answers with."""
    with closing(sqlite3.connect(database)) as rows:
        [(number,)] = rows.execute(question)
    return int(number)


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return int(fields[11]) + int(fields[12])


def _listens(port: int, server: subprocess.Popen[bytes], folder: Path) -> bool:
    assert is_alive(server.pid), (folder / "server.log").read_text()  # noqa: S101 - nothing can be measured
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
