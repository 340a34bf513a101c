"""Deadlines: an answer has to be there, from its first line to its last byte, within a time, however slow it is."""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any, Final

SECONDS: Final = 30.0
"""How long an answer may take in all, from when the request was sent."""


class Answer(http.client.HTTPResponse):
    """An answer that ends by TimeoutError where it takes longer."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:  # Any: passed on as they are
        super().__init__(sock, *args, **options)
        self.fp.close()
        self.fp = io.BufferedReader(_Hurried(sock, SECONDS))


class _Hurried(io.RawIOBase):
    """What a socket brings until then."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._raw = sock.makefile("rb", buffering=0)
        self._sock = sock
        self._end = time.monotonic() + seconds
        self._patience = sock.gettimeout()

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any, /) -> int | None:  # Any: whatever memory the reader has
        """The next bytes, waited for no longer than is left. Raises TimeoutError."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        self._sock.settimeout(left if self._patience is None else min(left, self._patience))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Let go of the socket."""
        self._raw.close()
        super().close()
