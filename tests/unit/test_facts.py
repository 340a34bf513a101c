"""The bot's own log: what stands in a line, as text and as JSON."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from fastdeploy_bot import facts
from fastdeploy_bot.facts import JsonFormatter, TextFormatter
from fastdeploy_bot.masking import MASK, Masker
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.words import WebhookSecret


def record(message: str = "deployment begun", *args: object, **extra: Any) -> Any:
    """An event as logging hands it to a formatter."""
    made = logging.makeLogRecord({"name": "fastdeploy_bot.engine", "levelname": "INFO", "msg": message, "args": args})
    made.created = 1_700_000_000.25
    made.__dict__.update(extra)
    return made


def as_json(*args: Any, **extra: Any) -> dict[str, Any]:
    """The one line that an event becomes, read again."""
    line = JsonFormatter().format(record(*args, **extra))
    assert "\n" not in line
    read: dict[str, Any] = json.loads(line)
    return read


def test_a_json_line_tells_when_what_and_the_facts() -> None:
    """The time is RFC 3339 in UTC with milliseconds."""
    assert {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "info",
        "logger": "fastdeploy_bot.engine",
        "message": "deployment begun",
        "deployment": 7,
        "service": "shop",
    } == as_json(deployment=7, service="shop")


def test_a_text_line_has_the_facts_behind_the_message() -> None:
    """As `name=value`, each value as JSON."""
    line = TextFormatter().format(record(deployment=7, service="the shop"))

    assert line.endswith('INFO fastdeploy_bot.engine: deployment begun deployment=7 service="the shop"')


def test_a_message_is_put_together_with_its_arguments() -> None:
    """As other libraries log."""
    assert "serving on http://127.0.0.1:8000" == as_json("serving on %s", "http://127.0.0.1:8000")["message"]


def test_whatever_was_logged_stays_one_line_of_json() -> None:
    """Line ends, quotes, bytes that are no text, and what JSON does not know."""
    odd = 'one\r\ntwo\u2028"three"\udcff'

    told = as_json(odd, path=Path("/x"), why=odd)

    assert (odd, odd, "/x") == (told["message"], told["why"], told["path"])


def test_an_exception_stands_in_the_line() -> None:
    """With its traceback."""
    try:
        Path("/proc/none/of/these").read_text()
    except FileNotFoundError:
        error = sys.exc_info()

    told = as_json(exc_info=error)

    assert "Traceback" in told["exception"]
    assert "FileNotFoundError: " in told["exception"]


@pytest.mark.parametrize("name", ["time", "level", "logger"])
def test_a_fact_never_takes_the_place_of_what_every_line_has(name: str) -> None:
    """A library may log with any name."""
    assert "mine" != as_json(**{name: "mine"})[name]


def test_what_goes_on_stands_on_each_line() -> None:
    """Scopes lie in one another; what the event itself says comes first."""
    with facts.about(request="r-1"):
        facts.add(delivery="g-1")
        with facts.about(deployment=7):
            inner = as_json(delivery="g-2")
        outer = as_json()

    assert ("r-1", "g-2", 7) == (inner["request"], inner["delivery"], inner["deployment"])
    assert ("r-1", "g-1") == (outer["request"], outer["delivery"])
    assert "deployment" not in outer
    assert not {"request", "delivery"} & as_json().keys()


def test_another_thread_has_lines_of_its_own() -> None:
    """What one request is about is none of another's."""
    seen: list[dict[str, Any]] = []

    with facts.about(request="r-1"):
        thread = Thread(target=lambda: seen.append(as_json()))
        thread.start()
        thread.join()

    assert "request" not in seen[0]


def test_outside_of_all_that_goes_on_nothing_is_kept() -> None:
    """A fact that nobody would take back is dropped."""
    facts.add(delivery="g-1")

    assert "delivery" not in as_json()


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_no_line_shows_a_secret_of_the_bot(formatter: logging.Formatter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in its message, nor in a fact, nor in the text of an exception."""
    monkeypatch.setattr(facts, "_masker", Masker([]))
    monkeypatch.setattr(facts, "_hidden", frozenset())
    secrets = [
        "of a webhook",
        "k" * 32,
        "the key before",
        "ghp_of_a_user",
        "for metrics",
        "p@ss word",
        "MIIEvQIBADANBgkq",
    ]
    settings = Settings(
        webhook_secrets=(WebhookSecret(secrets[0]),),
        secret_key=secrets[1],
        secret_key_fallbacks=(secrets[2],),
        github_token=secrets[3],
        metrics_token=secrets[4],
        database_url="postgresql://bot:p%40ss%20word@db/bot",
        github_private_key=f"-----BEGIN PRIVATE KEY-----\n{secrets[6]}\n-----END PRIVATE KEY-----\n",
    )

    facts.hide(settings.own_secrets)

    for secret in secrets:
        try:
            raise ValueError(f"no such thing: {secret}")  # noqa: TRY301 - an exception as libraries raise them
        except ValueError:
            line = formatter.format(record("tried %s", secret, why=secret, exc_info=sys.exc_info()))
        assert secret not in line
        assert "ValueError: no such thing: ********" in line
    assert f"at {MASK}@db" == facts.masked("at p%40ss%20word@db")
