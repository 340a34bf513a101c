"""What the server's worker leaves behind, where a real server cannot show it."""

from __future__ import annotations

import os
from pathlib import Path

from fastdeploy_bot.web.server import _Calls


def test_a_call_after_the_end_writes_into_nobody_s_file(tmp_path: Path) -> None:
    """A late thread reports to the main thread by a descriptor, whose number must not be another file's by then."""
    calls = _Calls()
    calls.init()
    calls.close()
    files = [os.open(tmp_path / f"file{number}", os.O_RDWR | os.O_CREAT) for number in range(4)]

    calls.defer(print)

    assert [0] * 4 == [os.fstat(file).st_size for file in files]
    for file in (*files, *(calls._read_fd, calls._write_fd)):
        os.close(file)
