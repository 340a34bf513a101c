"""The socket that systemd hands over, as far as it takes no descriptor 3; the rest is shown by real servers."""

from __future__ import annotations

import os

import pytest

from fastdeploy_bot import inherited


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": "1"},
        {"LISTEN_PID": str(os.getpid())},
        {"LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid())},
    ],
)
def test_what_was_handed_to_somebody_else_is_not_ours(environ: dict[str, str]) -> None:
    """A service's variables reach its scripts, and their children; only the process that they name has the socket."""
    assert inherited.address(environ) is None
