"""Answers: JSON from typed values, and RFC 9457 problems from errors."""

from __future__ import annotations

import contextlib
import logging
from functools import partial
from http import HTTPStatus
from typing import IO, ClassVar, Final, Generic, TypeVar

import msgspec
from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException

from fastdeploy_bot import store
from fastdeploy_bot.errors import FastdeployError, Unauthenticated, Unavailable
from fastdeploy_bot.web import request_ids
from fastdeploy_bot.web.drawing import faults

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_DRAINED: Final = 64 * 1024 * 1024
"""How much of a refused body is read and thrown away, so that the sender can hear the answer."""

_encoder: Final = msgspec.json.Encoder()


class Problem(msgspec.Struct, frozen=True):
    """An error's body. Source: RFC 9457."""

    type: str
    title: str
    status: int
    detail: str


class Answer(Response, Generic[T]):
    """An answer whose JSON body is a T."""

    media: ClassVar[str | None] = "application/json"


class Text(Response):
    """An answer that is plain text."""

    media: ClassVar[str | None] = "text/plain"


class Html(Response):
    """An answer that is a page."""

    media: ClassVar[str | None] = "text/html"


class Nothing(Response):
    """An answer without a body."""

    media: ClassVar[str | None] = None


def as_json(value: T, status: int = HTTPStatus.OK) -> Answer[T]:
    """An answer with a JSON body."""
    return Answer(_encoder.encode(value), status, mimetype=Answer.media)


def page(
    template: str, error: FastdeployError | None = None, *, status: int = HTTPStatus.OK, **values: object
) -> Response:
    """A page; with the error that it tells of, that one's status."""
    drawn = render_template(template, error=error, **values)
    answer = Response(drawn, status if error is None else error.status, mimetype="text/html")
    if error is not None:
        _say_when(answer, error.retry_after)
    return answer


def asked_again(answer: Response) -> Response:
    """An answer that may be kept, but is asked for anew each time: 304 while it is the same.

    GitHub keeps a picture that says nothing of that, and asks anew for one that is `no-cache`.
    """
    answer.headers["Cache-Control"] = "no-cache"
    answer.headers["Vary"] = "Cookie"
    if answer.status_code != HTTPStatus.OK:
        return answer
    answer.add_etag()
    made: Response = answer.make_conditional(request)  # type: ignore[assignment]  # it answers itself
    return made


def problem(status: int, title: str, detail: str, *, retry_after: int | None = None) -> Response:
    """An error's answer: a page for browsers, problem+json for everyone else."""
    if _is_browser():
        number = request_ids.facts_of(request.environ).get("request", "")
        told = faults.told(status, title, detail, retry_after=retry_after)
        answer = Response(render_template("error.html", told=told, number=number), status, mimetype="text/html")
    else:
        body = _encoder.encode(Problem("about:blank", title, status, detail))
        answer = Response(body, status, mimetype="application/problem+json")
    _say_when(answer, retry_after)
    return answer


def register(app: Flask) -> None:
    """Answer every error of the app as a problem."""
    app.register_error_handler(FastdeployError, _mendable)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(store.DatabaseError, _database)
    app.register_error_handler(Exception, _bug)


def _is_browser() -> bool:
    programs = request.path.startswith(("/api/", "/webhooks/"))
    best = request.accept_mimetypes.best_match(["application/problem+json", "application/json", "text/html"])
    return not programs and best == "text/html"


def _mendable(error: FastdeployError) -> Response:
    answer = problem(error.status, error.title, str(error), retry_after=error.retry_after)
    if isinstance(error, Unauthenticated):
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _say_when(answer: Response, retry_after: int | None) -> None:
    if retry_after is not None:
        answer.headers["Retry-After"] = str(retry_after)


def _http(error: HTTPException) -> Response:
    detail = f"there is nothing at {request.path}" if error.code == HTTPStatus.NOT_FOUND else error.description
    answer = problem(error.code or 500, error.name, detail or error.name)
    for name, value in error.get_headers(request.environ):
        if name.lower() in {"allow", "retry-after", "location"}:
            answer.headers[name] = value
    if error.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        answer.call_on_close(partial(_drain, request.environ["wsgi.input"]))
    return answer


def _database(error: Exception) -> Response:
    log.error("database unavailable", exc_info=error)
    status, wait = HTTPStatus.SERVICE_UNAVAILABLE, Unavailable.retry_after
    return problem(status, "The database is not available", "try again shortly", retry_after=wait)


def _bug(error: Exception) -> Response:
    log.error("request failed", exc_info=error, extra={"method": request.method, "path": request.path})
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Internal error",
        "this is a fault of the bot; its own log says more",
    )


def _drain(stream: IO[bytes]) -> None:
    """Read what the sender still sends: a connection closed before that would hide the answer from it."""
    left = MOST_DRAINED
    with contextlib.suppress(ValueError):
        while left > 0 and (data := stream.read(min(left, 1024 * 1024))):
            left -= len(data)
