"""The socket that whoever started the bot listens on for it, as systemd does, so that no connection is refused."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

from fastdeploy_bot.errors import SettingsError

FIRST: Final = 3
"""The descriptor of the first one. Source: sd_listen_fds(3)."""


def address(environ: Mapping[str, str] = os.environ) -> tuple[str, int] | None:
    """Host and port of the socket that this process was handed; None where it has to listen itself.

    Raises SettingsError where that socket is of another kind.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()) or environ.get("LISTEN_FDS", "0") == "0":
        return None
    with socket.socket(fileno=os.dup(FIRST)) as found:
        if found.family not in (socket.AF_INET, socket.AF_INET6) or found.type != socket.SOCK_STREAM:
            raise SettingsError(
                "the socket that was handed over is not one for HTTP: in its unit write ListenStream=127.0.0.1:8000"
            )
        host, port = found.getsockname()[:2]
    return host, port
