"""The wire: a websocket's connection, written to by one thread at a time, each time wholly or never again."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from threading import Lock, Thread
from typing import Final

import msgspec
from simple_websocket import ConnectionClosed
from wsproto.frame_protocol import FrameProtocol

SEND_SECONDS: Final = 10.0
"""How long a peer may take for one write, before it is given up."""
SEND_BUFFER: Final = 128 * 1024
"""What the kernel keeps for a peer that reads slowly; left to itself it would keep megabytes."""
HEARD: Final = 16 * 1024
HEARD_PER_SECOND: Final = 512
"""Bytes that a peer may send: so many at once, and so many more in each second."""
DRAINED: Final = 64 * 1024


class Budget:
    """So much at once, and so much more in each second."""

    def __init__(self, most: float, per_second: float) -> None:
        self._most = most
        self._per_second = per_second
        self._left = most
        self._at = time.monotonic()

    def spend(self, amount: float) -> bool:
        """Whether there was enough left."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._per_second) - amount
        self._at = now
        return self._left >= 0


class Wire:
    """What simple-websocket takes for the socket.

    That library sends from two threads with `send`, which may send a part: here every write is whole, and the others
    wait for it; what was offered and went in part is made whole by the next one. It also closes the socket, which is
    the server's to close.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._writing = Lock()
        self._rest = b""
        """What was offered and not sent yet."""
        self._takes_offers = type(sock) is socket.socket
        """Whether what is written to its descriptor is what the peer gets; until the last frame is to be sent."""
        self._heard = Budget(HEARD, HEARD_PER_SECOND)
        self.flooded = False
        """Whether the peer has sent more than it may."""
        self.on_end: Callable[[], object] = lambda: None
        sock.settimeout(SEND_SECONDS)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    def fileno(self) -> int:
        """For those who wait until there is something to receive."""
        return self._sock.fileno()

    def recv(self, size: int) -> bytes:
        """What came, at most so many bytes; none at the end, which is also reached by a peer that sends too much."""
        data = self._sock.recv(size)
        self.flooded = self.flooded or not self._heard.spend(len(data))
        return b"" if self.flooded else data

    def send(self, data: bytes) -> None:
        """Send all of it, or cut the connection. Raises OSError."""
        with self._writing:
            data, self._rest = self._rest + data, b""
            try:
                self._sock.sendall(data)
            except OSError:
                self.cut()
                raise

    def offer(self, data: bytes) -> int:
        """Send what the kernel takes at once; answers how many bytes that was.

        Where that was a part, the rest goes before all else, by `flush` at the latest.
        """
        if not self._writing.acquire(blocking=False):
            return 0
        try:
            if self._rest or not self._takes_offers:
                return 0
            sent = os.write(self._sock.fileno(), data)  # it has a timeout, so this blocks nobody
            self._rest = data[sent:]
        except OSError:  # no room; or gone, which its own threads will see
            return 0
        finally:
            self._writing.release()
        return sent

    def flush(self) -> None:
        """Send what was offered and has not gone yet. Raises OSError."""
        if self._rest:
            self.send(b"")

    def close(self) -> None:
        """Tell that nothing will be received any more; the server closes its connections itself, and counts them."""
        self.on_end()

    def hurry(self, seconds: float) -> None:
        """From now on give up on the peer after so much time, and take no offers: nothing follows a closing frame."""
        self._takes_offers = False
        self._sock.settimeout(seconds)

    def cut(self) -> None:
        """End the connection for both sides; whoever waits for it is woken."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def linger(self, seconds: float) -> None:
        """End the connection, the peer having a moment to hear what was said."""
        linger(self._sock, seconds)


def linger(sock: socket.socket, seconds: float) -> None:
    """End a connection: say that nothing follows, and give the peer a moment to hear what was said.

    A connection that is closed while something is unread takes that away from the peer.
    """
    deadline = time.monotonic() + seconds
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        left = DRAINED
        while left > 0 and (patience := deadline - time.monotonic()) > 0:
            sock.settimeout(patience)
            if not (data := sock.recv(4096)):
                break
            left -= len(data)
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def frame(value: object) -> bytes:
    """A text message of the value as JSON, as servers send it; the same bytes for every peer."""
    return text_frame(msgspec.json.encode(value).decode())


def text_frame(text: str) -> bytes:
    """A text message, as servers send it; the same bytes for every peer."""
    return bytes(FrameProtocol(client=False, extensions=[]).send_data(text))


def closing_frame(code: int, reason: str) -> bytes:
    """The last thing to be sent."""
    return bytes(FrameProtocol(client=False, extensions=[]).close(code, reason))


def receiving(target: Callable[[], None]) -> Thread:
    """The thread in which simple-websocket receives; it keeps no process from ending."""
    return Thread(target=_until_closed, args=(target,), daemon=True)


def _until_closed(target: Callable[[], None]) -> None:
    # It would close what another thread has just closed, and fall over that.
    with contextlib.suppress(ConnectionClosed):
        target()
