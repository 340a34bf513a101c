"""Observing: what a running server logs, what it answers to what is no HTTP, and its metrics."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
import requests

from bots import PATIENCE, Bot, BotMaker, wait_for


def logged(bot: Bot) -> list[dict[str, Any]]:
    """What the server has logged, each line read as JSON."""
    return [json.loads(line) for line in bot.output().splitlines()]


def test_a_push_can_be_followed_through_the_log(own_bot: Bot) -> None:
    """Every line is one JSON object; request, delivery and deployment tie them together."""
    own_bot.service("shop", "#!/bin/sh\ntrue\n", branches=["main"])
    own_bot.start()

    answer = own_bot.deliver(push("shop"), guid="g-1")
    number = answer.json()["verdicts"][0]["deployment"]
    own_bot.wait_end(number)
    lines = wait_for(lambda: found if (found := logged(own_bot)) and has_access_line(found, "g-1") else None)

    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    [access] = [line for line in lines if line.get("delivery") == "g-1"]
    assert ("request answered", answer.headers["X-Request-Id"]) == (access["message"], access["request"])
    assert ("POST", "/webhooks/github", 202) == (access["method"], access["path"], access["status"])
    assert ("push", {"shop": "deploy"}) == (access["event"], access["verdicts"])
    [begun] = [line for line in lines if line["message"] == "deployment begun"]
    assert (number, "shop") == (begun["deployment"], begun["service"])
    assert own_bot.secret not in own_bot.output()
    assert own_bot.token() not in own_bot.output()


def push(service: str) -> bytes:
    """A push to the service's repository."""
    repository = {"id": 1, "full_name": f"octo-org/{service}", "default_branch": "main", "pushed_at": 1_700_000_000}
    document = {"ref": "refs/heads/main", "before": "1" * 40, "after": "2" * 40, "repository": repository}
    return json.dumps({**document, "created": False, "deleted": False, "forced": False}).encode()


def has_access_line(lines: list[dict[str, Any]], guid: str) -> bool:
    """Whether the delivery's request has been logged: that comes after its answer."""
    return any(line["logger"] == "gunicorn.access" and line.get("delivery") == guid for line in lines)


def test_a_log_for_people_is_text(make_bot: BotMaker) -> None:
    """With the facts behind each message."""
    bot = make_bot(FASTDEPLOY_LOG_FORMAT="text")
    bot.start()

    answer = bot.http("GET", "/healthz?token=mistake", token="")

    line = wait_for(lambda: next((each for each in bot.output().splitlines() if "/healthz" in each), None))
    assert 'INFO gunicorn.access: request answered peer="127.0.0.1" method="GET" path="/healthz" status=200' in line
    assert f'request="{answer.headers["X-Request-Id"]}"' in line
    assert "mistake" not in bot.output()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /healthz HTTP/9.9\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 10_000 + b"\r\n\r\n", 431),
    ],
)
def test_what_is_no_http_is_answered_with_a_problem(bot: Bot, sent: bytes, status: int) -> None:
    """RFC 9457, though the app never sees it; nothing of what was sent comes back."""
    with socket.create_connection(("127.0.0.1", bot.port), PATIENCE) as connection:
        connection.sendall(sent)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))

    head, _, body = answer.partition(b"\r\n\r\n")
    told = json.loads(body)
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Content-Type: application/problem+json" in head
    assert {"type", "title", "status", "detail"} == told.keys()
    assert status == told["status"]
    assert b"xxx" not in body


def test_metrics_are_for_this_host_until_there_is_a_token(own_bot: Bot) -> None:
    """A proxy on this host does not open them to everyone."""
    own_bot.start()

    direct = own_bot.http("GET", "/metrics", token="")
    passed_on = own_bot.http("GET", "/metrics", token="", headers={"X-Forwarded-For": "203.0.113.7"})

    assert (200, 403) == (direct.status_code, passed_on.status_code)
    assert "fastdeploy_build_info{" in direct.text


def test_metrics_with_a_token(make_bot: BotMaker) -> None:
    """From a file, as every secret may be."""
    bot = make_bot(FASTDEPLOY_METRICS_TOKEN="of the monitoring")
    bot.start()

    statuses = [
        requests.get(f"{bot.url}/metrics", headers=headers, timeout=PATIENCE).status_code
        for headers in ({}, {"Authorization": "Bearer of the monitoring"}, {"Authorization": "Bearer other"})
    ]

    assert [401, 200, 401] == statuses
