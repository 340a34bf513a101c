"""gunicorn, told to do as the app does: its own refusals are problems, and its access lines have facts."""

from __future__ import annotations

import re
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

import msgspec
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker

from fastdeploy_bot.web import request_ids
from fastdeploy_bot.web.answers import Problem

# gunicorn ships no types: what it hands over here is Any.

_STATUS: Final = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
REFUSED: Final = "the request is not well-formed HTTP, or exceeds what the server takes"
FAULT: Final = "this is a fault of the bot; its own log says more"


class Worker(ThreadWorker):  # type: ignore[misc]
    """A worker that answers what gunicorn cannot read as RFC 9457 says, not with a page of gunicorn's."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Let gunicorn judge, log and answer; the answer is put into our words on its way."""
        super().handle_error(req, _Connection(client), addr, exc)


class AccessLogger(Logger):  # type: ignore[misc]
    """A logger whose access lines are events like any other."""

    def access(self, resp: Any, _req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """Log a request that was answered; without its query: a token put there by mistake stays out of the log."""
        told = {
            "peer": environ.get("REMOTE_ADDR"),
            "method": environ.get("REQUEST_METHOD"),
            "path": environ.get("PATH_INFO"),
            "status": int(str(resp.status).split(maxsplit=1)[0]),
            "bytes": getattr(resp, "sent", None),
            "seconds": round(request_time.total_seconds(), 6),
        }
        self.access_log.info("request answered", extra=told | request_ids.facts_of(environ))


class _Connection:
    """A client's socket, on which an answer becomes a problem."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def sendall(self, data: bytes) -> None:
        """Send the answer that stands for gunicorn's."""
        found = _STATUS.match(data)
        self._client.sendall(_problem(HTTPStatus(int(found[1]))) if found else data)


def _problem(status: HTTPStatus) -> bytes:
    detail = FAULT if status is HTTPStatus.INTERNAL_SERVER_ERROR else REFUSED
    body = msgspec.json.encode(Problem("about:blank", status.phrase, status, detail))
    head = f"HTTP/1.1 {status} {status.phrase}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body
