"""Later: answers that are made when the server comes to send them, so that it may ask for others before.

What several requests want written shares a commit then, though one thread has them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask, Response, current_app

from fastdeploy_bot import store
from fastdeploy_bot.web.answers import Answer

T = TypeVar("T")


class Later(Answer[T]):
    """An answer that is yet to be made."""

    def __init__(self, make: Callable[[], Answer[T]], forget: Callable[[], object]) -> None:
        """`make` makes it, without a request at hand; what it raises is answered as a view's error would be.

        `forget` is called in its place where nobody wants the answer any more.
        """
        super().__init__()
        self.make = make
        self._forget = forget
        self._app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # as Flask says to

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """What the server sends; the answer is made when it asks for the first part."""
        return _Body(lambda: self._made(environ)(environ, start_response), self._forget, self.close)

    def _made(self, environ: WSGIEnvironment) -> Response:
        try:
            return self.make()
        except Exception as error:  # noqa: BLE001 - it is the app's to answer
            with self._app.request_context(environ):
                return self._app.finalize_request(self._app.handle_user_exception(error))
        finally:
            store.release()


class _Body:
    """The parts of an answer that begins when the first one is asked for."""

    def __init__(
        self, begin: Callable[[], Iterable[bytes]], forget: Callable[[], object], close: Callable[[], object]
    ) -> None:
        self._begin = begin
        self._end = forget
        self._close = close

    def __iter__(self) -> Iterator[bytes]:
        parts = self._begin()
        self._end = getattr(parts, "close", lambda: None)
        return iter(parts)

    def close(self) -> None:
        """Nothing more is wanted."""
        self._end()
        self._close()
