"""Bodies: bounded in time, and never the cause of an internal error."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

STALL_SECONDS: Final = 10
"""How long a sender may send nothing in the middle of a body, before its thread is given to somebody else."""


def bounded(app: WSGIApplication) -> WSGIApplication:
    """The app, reading bodies through `Body`."""

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if (sock := environ.get("gunicorn.socket")) is not None:
            sock.settimeout(STALL_SECONDS)
        environ["wsgi.input"] = Body(environ["wsgi.input"])
        return app(environ, start_response)

    return serve


class Body:
    """A request's body; one that cannot be read to its end is a ValueError, whatever the server calls it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes; none at the end."""
        try:
            return self._stream.read(size)
        except Exception as error:
            raise ValueError("the body cannot be read to its end") from error
