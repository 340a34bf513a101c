"""Request ids: made or taken over, sent back, and on every line that is logged."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import msgspec
import pytest
from flask import Flask, Response

from described import the_document
from fastdeploy_bot import store
from fastdeploy_bot.app import create_app
from fastdeploy_bot.facts import JsonFormatter
from fastdeploy_bot.settings import Settings

MADE = re.compile(r"[0-9a-f]{16}")


@pytest.fixture
def proxied(settings: Settings, database: str) -> Iterator[Flask]:
    """The app behind a proxy on this host."""
    assert database
    store.disconnect()
    yield create_app(msgspec.structs.replace(settings, trusted_proxies=("127.0.0.1/32",)))
    store.disconnect()


class Lines(logging.Handler):
    """What is logged, line by line."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.told: list[dict[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.told.append(msgspec.json.decode(self.format(record)))


@pytest.fixture
def lines() -> Iterator[Lines]:
    """All that the bot logs during the test."""
    handler, logger = Lines(), logging.getLogger("fastdeploy_bot")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.mark.parametrize("path", ["/healthz", "/api/v1/services", "/none"])
def test_every_answer_has_an_id_of_its_own(app: Flask, path: str) -> None:
    """Errors, too."""
    client = app.test_client()

    ids = [client.get(path).headers["X-Request-Id"] for _ in range(3)]

    assert 3 == len(set(ids))
    assert all(MADE.fullmatch(each) for each in ids)


def test_an_id_is_taken_over_from_a_trusted_proxy(proxied: Flask) -> None:
    """So that its log and ours can be read together."""
    answer = proxied.test_client().get("/healthz", headers={"X-Request-Id": "edge-1.2_3"})

    assert ["edge-1.2_3"] == answer.headers.getlist("X-Request-Id")


@pytest.mark.parametrize("given", ["", "a b", "a;b", "ü", "x" * 65, 'a"b'])
def test_an_id_that_is_none_is_replaced(proxied: Flask, given: str) -> None:
    """Whoever comes through the proxy chose it, perhaps."""
    answer = proxied.test_client().get("/healthz", headers={"X-Request-Id": given})

    assert MADE.fullmatch(answer.headers["X-Request-Id"])


def test_nobody_else_chooses_an_id(app: Flask, proxied: Flask) -> None:
    """Neither without a trusted proxy nor from beside it."""
    sent = {"X-Request-Id": "mine"}

    answers = [
        app.test_client().get("/healthz", headers=sent),
        proxied.test_client().get("/healthz", headers=sent, environ_overrides={"REMOTE_ADDR": "203.0.113.7"}),
    ]

    assert all(MADE.fullmatch(answer.headers["X-Request-Id"]) for answer in answers)


def test_a_fault_is_logged_with_its_request(app: Flask, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was answered 500 can name the line that says why."""

    def broken(*_: object) -> None:
        raise RuntimeError("no")

    the_document()  # by which the tests judge every answer, and which is made once
    monkeypatch.setattr("fastdeploy_bot.web.openapi.document", broken)
    answer = app.test_client().get("/api/openapi.json")

    [line] = lines.told
    assert (500, answer.headers["X-Request-Id"]) == (answer.status_code, line["request"])
    assert "RuntimeError: no" in str(line["exception"])


def test_what_is_done_after_the_answer_is_of_the_request_too(app: Flask, lines: Lines) -> None:
    """A refused webhook is kept once it was answered."""

    @app.get("/later")
    def later() -> Response:
        answer = Response("soon")
        answer.call_on_close(lambda: logging.getLogger("fastdeploy_bot").info("done"))
        return answer

    with app.test_client().get("/later") as answer:
        pass

    assert [("done", answer.headers["X-Request-Id"])] == [(each["message"], each["request"]) for each in lines.told]
