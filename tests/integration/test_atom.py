"""Atom: what a service's feed tells, to whom, and that every feed reader can read it."""

from __future__ import annotations

import re
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
from flask import Flask

import hostile
from callers import SOON, Browser, GitHub, Host, ServiceFiles, sha, sync
from fastdeploy_bot.core.looks.standing import Run, Sight
from fastdeploy_bot.store.models import Service
from fastdeploy_bot.web import atom
from fastdeploy_bot.web.atom import Site
from fastdeploy_bot.web.drawing import markup
from fastdeploy_bot.words import DeploymentState

ATOM: Final = "{http://www.w3.org/2005/Atom}"
URL: Final = "http://127.0.0.1:8000"
TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def read(browser: Browser, name: str = "shop") -> Element:
    """A service's feed, as a feed reader takes it."""
    answer = browser.get(f"/services/{name}.atom")
    assert (200, "application/atom+xml") == (answer.status_code, answer.mimetype), answer.text
    return ElementTree.fromstring(answer.data)


def entries(feed: Element) -> list[dict[str, str]]:
    """The entries of a feed: each element's text by its name, each link's address by its kind."""
    found = []
    for entry in feed.iter(f"{ATOM}entry"):
        told = {each.tag.removeprefix(ATOM): each.text or "" for each in entry}
        told |= {link.get("rel", ""): link.get("href", "") for link in entry.iter(f"{ATOM}link")}
        found.append(told)
    return found


def run(
    github: GitHub,
    host: Host,
    number: int,
    state: DeploymentState = DeploymentState.SUCCESS,
    *,
    title: str = "",
    actor: str = "",
) -> None:
    """A push, deployed to its end."""
    github.push(before=sha(number), after=sha(number + 1), pushed_at=SOON + number, title=title, actor=actor)
    host.begin(number)
    host.end(number, state)


def check(feed: Element) -> None:
    """What RFC 4287 asks of every feed: sections 4.1.1, 4.1.2, 4.2.6, 4.2.7, 3.3."""
    for each in (feed, *feed.iter(f"{ATOM}entry")):
        names = [part.tag.removeprefix(ATOM) for part in each]
        assert all(names.count(name) == 1 for name in ("id", "title", "updated")), names
        assert re.fullmatch(r"tag:[a-z0-9.-]+,\d{4}-\d\d-\d\d:[\w/.-]+", each.findtext(f"{ATOM}id", ""))
        assert TIME.fullmatch(each.findtext(f"{ATOM}updated", ""))
        links = [link.get("href", "") for link in each.findall(f"{ATOM}link")]
        assert all(re.match("https?://", link) for link in links), links
        assert 1 == sum(link.get("rel") == "alternate" for link in each.findall(f"{ATOM}link"))
    assert feed.find(f"{ATOM}author/{ATOM}name") is not None
    assert 1 == sum(link.get("rel") == "self" for link in feed.findall(f"{ATOM}link"))
    ids = [each.text for each in feed.iter(f"{ATOM}id")]
    assert len(ids) == len(set(ids))


def test_a_public_feed_tells_of_each_deployment_as_it_ended(
    app: Flask, visitor: Browser, service: ServiceFiles, github: GitHub, host: Host
) -> None:
    """Newest first, with commit and links; of what has not ended it tells nothing."""
    service("shop", branches=["main"], visibility="public")
    sync(app)
    run(github, host, 1, title="Fix <the> feed & more", actor="anna")
    run(github, host, 2, DeploymentState.FAILURE, title="Break it")
    github.push(before=sha(3), after=sha(4), pushed_at=SOON + 9)

    feed = read(visitor)

    check(feed)
    assert ["✗ shop: failure 0003000 “Break it”", "✓ shop: success 0002000 “Fix <the> feed & more”"] == [
        each["title"] for each in entries(feed)
    ]
    assert f"{URL}/deployments/2" == entries(feed)[0]["alternate"]
    assert entries(feed)[0]["related"].startswith("https://github.com/octo-org/shop/compare/")
    assert entries(feed)[0]["summary"].startswith(f"main at {sha(3)}. Ended as failure, after ")
    assert feed.findtext(f"{ATOM}updated") == entries(feed)[0]["updated"]
    assert "anna" not in visitor.get("/services/shop.atom").text


def test_a_feed_of_states_tells_states_alone(
    app: Flask, visitor: Browser, service: ServiceFiles, github: GitHub, host: Host
) -> None:
    """No commit, title or person; not even how many deployments this bot has had."""
    service("shop", branches=["main"], visibility="status")
    sync(app)
    run(github, host, 1, title="Secret plans", actor="anna")

    feed = read(visitor)

    check(feed)
    assert ["✓ shop: success"] == [each["title"] for each in entries(feed)]
    assert [f"{URL}/services/shop"] == [each["alternate"] for each in entries(feed)]
    text = visitor.get("/services/shop.atom").text
    assert not re.search(r"anna|Secret|0002|deployments/|refs/|main|github", text)


def test_a_private_feed_is_for_those_who_have_signed_in(
    app: Flask, visitor: Browser, viewer: Browser, service: ServiceFiles, github: GitHub, host: Host
) -> None:
    """Others are asked to sign in, as for what does not exist; it is not kept."""
    service("shop", branches=["main"])
    sync(app)
    run(github, host, 1, title="Fix it", actor="anna")

    private, missing = visitor.get("/services/shop.atom"), visitor.get("/services/none.atom")
    feed = read(viewer)

    assert (303, 303) == (private.status_code, missing.status_code)
    assert private.location.replace("shop", "none") == missing.location
    assert "no-store" == viewer.get("/services/shop.atom").headers["Cache-Control"]
    check(feed)
    assert "anna" == feed.findtext(f"{ATOM}entry/{ATOM}author/{ATOM}name")


def test_a_feed_stays_valid_while_there_is_nothing_in_it(visitor: Browser, service: ServiceFiles) -> None:
    """Also before the rows know of the service."""
    service("shop", visibility="public")

    check(read(visitor))


def test_a_feed_holds_the_last_twenty_and_each_keeps_its_name(
    app: Flask, visitor: Browser, service: ServiceFiles, github: GitHub, host: Host
) -> None:
    """A feed reader shows each once."""
    service("shop", branches=["main"], visibility="public")
    sync(app)
    for number in range(1, 23):
        run(github, host, number)
    before = [each["id"] for each in entries(read(visitor))]

    run(github, host, 23)
    after = [each["id"] for each in entries(read(visitor))]

    assert 20 == len(before) == len(after)
    assert before[:19] == after[1:]


def test_a_feed_is_sent_only_where_it_has_changed(
    app: Flask, visitor: Browser, service: ServiceFiles, github: GitHub, host: Host
) -> None:
    """304 else."""
    service("shop", branches=["main"], visibility="public")
    sync(app)
    run(github, host, 1)
    tag = {"If-None-Match": visitor.get("/services/shop.atom").headers["ETag"]}

    same = visitor.get("/services/shop.atom", headers=tag).status_code
    run(github, host, 2)

    assert (304, 200) == (same, visitor.get("/services/shop.atom", headers=tag).status_code)


def test_the_service_page_names_its_feed_and_its_badge(
    viewer: Browser, visitor: Browser, service: ServiceFiles
) -> None:
    """By a link that browsers find, and a line to copy."""
    service("shop", visibility="status")

    shown, others = viewer.get("/services/shop").text, visitor.get("/services/shop").text

    link = '<link rel="alternate" type="application/atom+xml" title="Deployments of shop" href="/services/shop.atom">'
    assert link in shown
    assert link in others
    assert f"[![shop]({URL}/badges/shop.svg)]({URL}/services/shop)" in shown
    assert "badges" not in others


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://deploy.example", "tag:deploy.example,2023-11-14:services/shop"),
        ("https://deploy.example/", "tag:deploy.example,2023-11-14:services/shop"),
        ("http://127.0.0.1:8000", "tag:127.0.0.1,2023-11-14:8000/services/shop"),
        ("http://[::1]:8000", "tag:--1,2023-11-14:8000/services/shop"),
    ],
)
def test_a_tag_is_named_by_the_place_and_the_day(url: str, authority: str) -> None:
    """Two bots on one host have tags of their own."""
    assert authority == Site(url, "https://github.com").tag(1_700_000_000_000, "services/shop")


@pytest.mark.parametrize(
    "text", [*hostile.TEXTS, "lone \ud800 surrogate"], ids=lambda text: text.encode(errors="replace")[:40]
)
def test_whatever_a_row_holds_the_feed_can_be_read(text: str) -> None:
    """Nothing in it becomes an element; what XML cannot hold is replaced."""
    state = DeploymentState.SUCCESS
    ended = Run(
        id=1, service="shop", state=state, created=1, started=1, finished=2, sight=Sight.ALL, title=text, actor=text
    )

    told = markup.document(atom.feed(Service(name="shop"), [ended], Site(URL, URL)))

    feed = ElementTree.fromstring(told)
    check(feed)
    shown = hostile.parsed(markup.fit(text))
    assert f"✓ shop: success “{shown}”" == entries(feed)[0]["title"]
    assert shown == feed.findtext(f"{ATOM}entry/{ATOM}author/{ATOM}name")
    names = {each.tag.removeprefix(ATOM) for each in feed.iter()}
    assert names <= {"feed", "entry", "id", "title", "published", "updated", "author", "name", "link", "summary"}
    assert {key for each in feed.iter() for key in each.attrib} <= {"rel", "type", "href"}


def test_what_xml_forbids_is_replaced() -> None:
    """And what turns the direction of what comes after it."""
    assert "a\ufffdb\ufffd[31m\ufffd\ufffd\ufffd]]>" == markup.fit("a\x00b\x1b[31m\ufffe\ud800\u202e]]>")
    assert "tab\tline\n\xe9\U0001f468" == markup.fit("tab\tline\n\xe9\U0001f468")
