"""The audit's page: sentences, the newest first, and only what somebody asks for."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime

import pytest
from flask import Flask

from callers import Browser, GitHub, Host, ServiceFiles, sha, sync
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.store.models import Audit

AUDIT = "/settings/audit"


def wrote(**fields: object) -> None:
    """A row as somebody's deed left it."""
    row: dict[str, object] = {"at": 1, "who": "anna", "action": "cancel", "object": "deployment 1", "peer": ""}
    store.write(lambda: Audit.create(**(row | fields)))


def shown(page: str) -> list[str]:
    """What the page tells, row by row."""
    cells = re.findall(r"</td><td>(.*?)</td><td>", page, re.DOTALL)
    return [html.unescape(re.sub(r"<[^>]*>", "", cell)) for cell in cells]


def test_what_was_done_stands_there_in_sentences(app: Flask, service: ServiceFiles, github: GitHub, host: Host) -> None:
    """With the thing's page, the moment and the address."""
    service("shop", branches=["main"])
    sync(app)
    github.push()
    host.begin(1)
    Browser(app).signed_in("deployer", name="anna").post("/deployments/1/cancel")

    page = Browser(app).signed_in("admin").get(AUDIT).text

    assert ["anna cancelled deployment 1 of shop"] == shown(page)
    assert '<a href="/deployments/1"><bdi>deployment 1</bdi></a>' in page
    assert "<td>127.0.0.1</td>" in page
    assert 1 == page.count("<time ")


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({}, [6, 5, 4, 3, 2, 1]),
        ({"who": "anna"}, [4, 3, 1]),
        ({"who": "service shop"}, [5]),
        ({"who": "ann"}, []),
        ({"action": "lock"}, [4, 2]),
        ({"about": "deployment 1"}, [1]),
        ({"about": "1"}, [1]),
        ({"about": "shop"}, [5, 4, 1]),
        ({"about": "service shop"}, [5, 4, 1]),
        ({"about": "%"}, []),
        ({"about": "_hop"}, []),
        ({"since": "2026-11-28"}, [6, 5]),
        ({"since": ""}, [6, 5, 4, 3, 2, 1]),
        ({"who": "anna", "action": "lock", "about": "shop"}, [4]),
        ({"who": " anna "}, [4, 3, 1]),
    ],
)
def test_only_what_is_asked_for_is_shown(app: Flask, asked: dict[str, str], numbers: list[int]) -> None:
    """By who did it, what it was, to what or for which service, and since when; names are taken literally."""
    later = int(datetime(2026, 11, 28, tzinfo=UTC).timestamp()) * clock.SECOND
    wrote(object="deployment 1", detail="service shop", peer="row1")
    wrote(who="ben", action="lock", object="service shopping", peer="row2")
    wrote(object="deployment 21", detail="service shopping, abc", peer="row3")
    wrote(action="lock", object="service shop", at=later - 1, peer="row4")
    wrote(
        who="service shop",
        action="start",
        object="deployment 7",
        detail=f"service shop, {sha(1)}",
        at=later,
        peer="row5",
    )
    wrote(who="local", object="delivery x", at=later, peer="row6")

    page = Browser(app).signed_in("admin").get(AUDIT, query_string=asked).text

    assert numbers == [int(number) for number in re.findall(r"<td>row(\d)</td>", page)]


def test_older_rows_are_asked_for_alike(app: Flask) -> None:
    """A hundred rows a page; the link keeps what was asked for, and so does the form."""
    store.write(
        lambda: Audit.insert_many(
            [
                {
                    "at": number,
                    "who": f"w{number % 2}",
                    "action": "act",
                    "object": f"<b>{number}",
                    "detail": "",
                    "peer": "",
                }
                for number in range(1, 301)
            ]
        ).execute()
    )
    admin = Browser(app).signed_in("admin")

    first = admin.get(AUDIT, query_string={"who": "w0", "about": ""}).text
    older = re.search(r'href="(/settings/audit\?[^"]*)">older', first)
    assert older is not None
    second = admin.get(html.unescape(older[1])).text

    numbers = [[int(number) for number in re.findall(r"<b>(\d+)", " ".join(shown(page)))] for page in (first, second)]
    assert [list(range(300, 100, -2)), list(range(100, 0, -2))] == numbers
    assert "<b>" not in first
    assert ">older<" not in second
    assert 'name="who" value="w0"' in second


def test_what_is_asked_for_stays_text(app: Flask) -> None:
    """In the fields and in the link."""
    for _ in range(2):
        store.write(
            lambda: Audit.insert_many(
                [{"at": 1, "who": '"><b>', "action": "act", "object": "x", "detail": "", "peer": ""}] * 60
            ).execute()
        )

    page = Browser(app).signed_in("admin").get(AUDIT, query_string={"who": '"><b>'}).text

    assert "<b>" not in page
    assert "?who=%22%3E%3Cb%3E&amp;before=" in page


def test_an_empty_trail_says_what_will_be_there(app: Flask) -> None:
    """And another sentence where only nothing was found."""
    admin = Browser(app).signed_in("admin")

    assert "Nothing was done yet." in admin.get(AUDIT).text
    assert "Nothing that was written down is like that." in admin.get(AUDIT, query_string={"who": "x"}).text


@pytest.mark.parametrize("since", ["no day", "2026-13-01", "-1", "<b>", "😀"])
def test_a_day_that_is_none_is_told(app: Flask, since: str) -> None:
    """Nobody is to take all rows for those since then."""
    answer = Browser(app).signed_in("admin").get(AUDIT, query_string={"since": since}, headers={"Accept": "text/html"})

    assert (422, True) == (answer.status_code, "expected a day, such as 2026-11-28" in answer.text)
    assert "<b>" not in answer.text


@pytest.mark.parametrize("before", ["x", "-1", "9" * 30, "²", ""])
def test_a_strange_place_in_the_trail_is_its_beginning(app: Flask, before: str) -> None:
    """No error, and nothing of what was asked in the page."""
    admin = Browser(app).signed_in("admin")

    assert 200 == admin.get(AUDIT, query_string={"before": before}).status_code
