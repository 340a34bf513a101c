"""Regions: what open pages ask for again is drawn once for all who see the same, and is each reader's own."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from callers import Browser
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import deployments
from fastdeploy_bot.core.telling import feed
from fastdeploy_bot.errors import Unavailable
from fastdeploy_bot.store.models import Deployment
from fastdeploy_bot.web import assets, browser
from fastdeploy_bot.web.drawing import display
from fastdeploy_bot.web.pages import regions, shared
from fastdeploy_bot.web.pages.regions import Drawings
from fastdeploy_bot.words import LOCAL


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The template of each page that is drawn; on a slow machine, too, no drawing grows too old meanwhile."""
    monkeypatch.setattr(regions, "KEPT_SECONDS", 60.0)
    seen: list[str] = []
    draw = shared.page

    def page(template: str, **facts: object) -> str:
        seen.append(template)
        return draw(template, **facts)

    monkeypatch.setattr(shared, "page", page)
    return seen


def again(reader: Browser, path: str = "/", *, drawn_for: str = "user", **headers: object) -> TestResponse:
    """What the script of that page gets; the headers' names are written with underscores."""
    more = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    return reader.get(path, headers={"Live-Regions": drawn_for, **more})


def numbers(answer: TestResponse, name: str) -> Sequence[str]:
    """The hidden fields of that name."""
    return re.findall(rf'name="{name}" value="([^"]*)"', answer.text)


def test_everything_that_is_kept_fresh_is_in_it_and_nothing_else(app: Flask, scene: dict[str, int]) -> None:
    """The same regions, the title and the icon; neither the header nor the log."""
    admin = Browser(app).signed_in("admin")
    for path in ("/", "/services/shop", f"/deployments/{scene['shop']}", "/deliveries"):
        whole, part = admin.get(path), again(admin, path)

        ids = [re.findall(r'<[^>]*\bid="([^"]+)"[^>]*\bdata-live', each.text) for each in (whole, part)]
        assert ids[0] == ids[1], path
        assert whole.text.partition("<title>")[2].partition("<")[0] in part.text
        assert 'rel="icon"' in part.text
        assert "<header" not in part.text
        assert 'id="log"' not in part.text
        assert assets.version() == part.headers["Live-Version"]


def test_many_readers_of_one_role_cost_one_drawing(app: Flask, scene: dict[str, int], drawn: list[str]) -> None:
    """However many ask at the same moment; others see something else, and it is drawn for them."""
    assert scene
    readers = [Browser(app).signed_in("viewer", name=f"viewer{number}") for number in range(3)]

    for reader in readers:
        assert 200 == again(reader).status_code
    again(Browser(app).signed_in("deployer"))
    again(readers[0], "/deliveries")

    assert ["overview.html", "overview.html", "deliveries.html"] == drawn


def test_each_reader_gets_forms_of_their_own(app: Flask, scene: dict[str, int], drawn: list[str]) -> None:
    """The form token of their session, and for every form a number that no other form has; and these act."""
    readers = [Browser(app).signed_in("deployer", name=name) for name in ("anna", "ben")]

    answers = [again(reader, "/services/shop") for reader in readers]

    assert ["service.html"] == drawn
    tokens = [set(numbers(answer, "form_token")) for answer in answers]
    assert [1, 1] == [len(each) for each in tokens]
    nonces = [nonce for answer in answers for nonce in numbers(answer, "nonce")]
    assert len(nonces) == len(set(nonces)) >= 4
    sent = [
        reader.post(f"/deployments/{scene['shop']}/retry", nonce=nonces[0], form_token=token)
        for reader, (token,) in [*zip(readers, tokens, strict=True), *zip(readers, reversed(tokens), strict=True)]
    ]
    assert [303, 303, 403, 403] == [answer.status_code for answer in sent]


def test_a_reader_has_no_name_where_something_is_drawn_for_several(
    app: Flask, scene: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that nothing of one can be shown to another."""
    assert scene
    names: list[str] = []
    headline = display.headline

    def asked(*args: object, **options: object) -> str:
        names.append(browser.reader().name)
        return headline(*args, **options)  # type: ignore[arg-type]  # whatever the page gave

    monkeypatch.setattr(display, "headline", asked)
    anna = Browser(app).signed_in("admin", name="anna")

    anna.get("/")
    again(anna)

    assert ["anna", ""] == names


def test_what_a_reader_has_heard_of_is_in_what_they_get(app: Flask, scene: dict[str, int], drawn: list[str]) -> None:
    """A drawing of before is not given to whoever has heard of more; it is to those who have not."""
    viewer = Browser(app).signed_in("viewer")
    assert "queued" in again(viewer, f"/deployments/{scene['search']}").text
    deployments.cancel(scene["search"], by=LOCAL, now=clock.now())

    before = again(viewer, f"/deployments/{scene['search']}")
    after = again(viewer, f"/deployments/{scene['search']}", Live_Since=feed.newest())

    assert "queued" in before.text
    assert "cancelled" in after.text
    assert 2 == len(drawn)


def test_nothing_comes_twice(app: Flask, scene: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has it already is told so, without a body."""
    assert scene
    moment = clock.now()
    monkeypatch.setattr(clock, "now", lambda: moment)
    viewer = Browser(app).signed_in("viewer")

    first = again(viewer)
    second = again(viewer, If_None_Match=first.headers["ETag"])

    assert (304, b"") == (second.status_code, second.data)
    assert assets.version() == second.headers["Live-Version"]


def test_a_page_of_somebody_who_is_signed_out_is_told_so(app: Flask, scene: dict[str, int]) -> None:
    """401, neither the card to sign in with nor what visitors see; a visitor is led on as ever."""
    assert scene
    visitor = Browser(app)

    assert 401 == again(visitor).status_code
    assert 303 == again(visitor, "/deliveries", drawn_for="visitor").status_code


def test_refusals_are_everyones_own(app: Flask, scene: dict[str, int]) -> None:
    """What is missing is missing for whoever asks, and asked for anew."""
    assert scene
    viewer = Browser(app).signed_in("viewer")

    assert [404, 404] == [again(viewer, "/deployments/999").status_code for _ in range(2)]


@pytest.mark.parametrize("since", ["-1", "x", "1" * 30, "٣", ""])
def test_a_strange_event_is_none(app: Flask, scene: dict[str, int], since: str) -> None:
    """Whatever the header says."""
    assert scene
    assert 200 == again(Browser(app).signed_in("viewer"), Live_Since=since.encode().decode("latin-1")).status_code


def test_those_who_come_while_it_is_drawn_wait_for_it(database: object) -> None:
    """One draws, the others get the same."""
    assert database is not None
    drawings, begun, go = Drawings(), threading.Event(), threading.Event()
    count: list[int] = []

    def draw() -> str:
        count.append(1)
        begun.set()
        assert go.wait(10)
        return f"drawing {len(count)}"

    def ask() -> str:
        try:
            return drawings.get("/", "viewer", 0, draw).text
        finally:
            store.disconnect()

    texts: list[str] = []
    threads = [threading.Thread(target=lambda: texts.append(ask())) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    go.set()
    for thread in threads:
        thread.join(10)

    assert ["drawing 1"] * 4 == texts
    assert 1 == len(count)


def test_who_waits_too_long_for_it_is_told_to_come_again(database: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the database is away each drawing is long in failing, and all who ask would wait one after the other."""
    assert database is not None
    monkeypatch.setattr(regions, "PATIENCE", 0.01)
    drawings, begun, go = Drawings(), threading.Event(), threading.Event()

    def draw() -> str:
        begun.set()
        assert go.wait(10)
        return ""

    def ask() -> None:
        drawings.get("/", "viewer", 0, draw)
        store.disconnect()

    first = threading.Thread(target=ask)
    first.start()
    try:
        assert begun.wait(10)
        with pytest.raises(Unavailable):
            drawings.get("/", "viewer", 0, draw)
    finally:
        go.set()
        first.join(10)


def test_only_so_many_are_kept(database: object) -> None:
    """Whatever paths are asked for."""
    assert database is not None
    drawings = Drawings()

    for number in range(regions.MOST + 10):
        drawings.get(f"/{number}", "viewer", 0, lambda: "")

    assert regions.MOST == len(drawings._places)


def test_the_rows_say_whose_they_are(app: Flask, scene: dict[str, int]) -> None:
    """An id for each, so that no row is ever taken for another."""
    text = again(Browser(app).signed_in("viewer")).text

    assert {f"service-{name}" for name in scene} <= set(re.findall(r'<li id="([^"]+)"', text))
    newest = Deployment.select().order_by(Deployment.id.desc()).first()
    assert f'<tr id="run-{newest.id}"' in text
