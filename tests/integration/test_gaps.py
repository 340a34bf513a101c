"""Gaps: GitHub is asked what is between what is live and the newest push, where the pushes do not tell."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from flask import Flask

import signed_in
from askers import Asker
from callers import SOON, Browser, GitHub, Host, ServiceFiles, document, sha, verdicts
from fakehub import FakeHub
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import between
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.core.pushes import gaps
from fastdeploy_bot.engine import line
from fastdeploy_bot.engine.gaps import Gaps
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Delivery, Deployment, Event, Question, Service
from fastdeploy_bot.web.context import EXTENSION

MAIN = "refs/heads/main"


@pytest.fixture
def settings(settings: Settings, hub: FakeHub) -> Settings:
    """A bot that can ask this GitHub."""
    return signed_in.by_token(settings, hub)


class Clerks:
    """Those who look for gaps and who ask of them, in the test's time."""

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        self.line = line.of(settings, "host-1")
        self.asker = Asker(self.line, catalogue)
        self.gaps = Gaps(self.line, catalogue)

    def settle(self, *, later: float = 30.0) -> None:
        """After so many seconds look, and ask what is to be asked."""
        self.asker.tick(later)
        self.gaps.tick(now=self.asker.now)
        self.asker.settle()


@pytest.fixture
def clerks(settings: Settings, catalogue: Catalogue) -> Any:  # a generator of them
    """The clerks of this host."""
    catalogue._tells = lambda: True
    made = Clerks(settings, catalogue)
    yield made
    made.line.end()


@pytest.fixture
def live(github: GitHub, service: ServiceFiles, host: Host, hub: FakeHub) -> None:
    """Service shop with commit 1 live; GitHub knows commits 1 to 4 of main, and 5, which left it after 1."""
    service("shop")
    push(github, 0, 1)
    ship(host)
    for number in (1, 2, 3, 4):
        hub.history.add(sha(number), *([sha(number - 1)] if number > 1 else []), ref=MAIN, a=str(number))
    hub.history.add(sha(5), sha(1), ref="refs/heads/other", b="5")


def push(github: GitHub, before: int, after: int, **fields: Any) -> None:
    """A push to main that lists no commits, as one that was seen by a look at the repository."""
    told = {"before": sha(before), "after": sha(after), "pushed_at": SOON + after}
    assert verdicts(github.deliver(document(**(told | fields))))


def ship(host: Host) -> None:
    """Let the newest deployment succeed."""
    newest = Deployment.select().order_by(Deployment.id.desc()).get()
    host.begin(newest.id)
    host.end(newest.id)


def page(app: Flask) -> str:
    """The overview, as it is read."""
    return re.sub(r"<[^>]*>", "", Browser(app).signed_in("viewer").get("/").text)


def compared(hub: FakeHub) -> list[str]:
    """What GitHub was asked to compare."""
    return [path.partition("/compare/")[2].replace("0", "") for path in hub.paths() if "/compare/" in path]


@pytest.mark.usefixtures("live")
def test_github_fills_what_the_pushes_do_not_tell(github: GitHub, clerks: Clerks, hub: FakeHub, app: Flask) -> None:
    """Once; the page hears of it, and the push has its commits from then on."""
    push(github, 1, 4)
    assert "behind" not in page(app)
    events = Event.select().count()

    clerks.settle()
    clerks.settle(later=60.0)

    assert "3 commits behind" in page(app)
    assert 1 == len(compared(hub))
    assert events < Event.select().count()
    row = Delivery.select().order_by(Delivery.id.desc()).get()
    assert (3, [sha(2), sha(3), sha(4)]) == (row.size, [each.sha for each in between.read(row.commits)])
    assert ["Change 0002", "Ada"] == [between.read(row.commits)[0].title, between.read(row.commits)[0].author]
    assert "example.org" not in (row.commits or "")


@pytest.mark.usefixtures("live")
def test_a_forced_push_is_told_in_both_directions(github: GitHub, clerks: Clerks, host: Host, app: Flask) -> None:
    """What is live has commits that the newest push lacks."""
    push(github, 1, 4)
    ship(host)
    forced = json.loads(document(before=sha(4), after=sha(5), pushed_at=SOON + 5)) | {"forced": True}
    github.deliver(json.dumps(forced).encode())

    clerks.settle()

    assert "1 commit behind, 3 ahead" in page(app)


@pytest.mark.usefixtures("live")
def test_what_the_pushes_tell_is_not_asked(github: GitHub, clerks: Clerks, hub: FakeHub, app: Flask) -> None:
    """Neither is a push that may be live in a moment."""
    commit = {"id": sha(2), "message": "One", "author": {"name": "Ada"}}
    told = json.loads(document(before=sha(1), after=sha(2), pushed_at=SOON + 2)) | {"commits": [commit]}
    github.deliver(json.dumps(told).encode())
    clerks.settle()
    assert "1 commit behind" in page(app)

    push(github, 2, 3, pushed_at=clock.now() // 1_000)
    clerks.settle(later=0)
    assert [] == compared(hub)


@pytest.mark.usefixtures("live")
def test_what_github_does_not_know_is_asked_once(github: GitHub, clerks: Clerks, hub: FakeHub, app: Flask) -> None:
    """The page goes on saying nothing."""
    push(github, 1, 9)

    clerks.settle()
    clerks.settle(later=60.0)

    assert 1 == len(compared(hub))
    assert "behind" not in page(app)
    assert Service.get().gap is not None


@pytest.mark.usefixtures("live")
def test_what_is_asked_already_is_only_looked_at(
    github: GitHub, clerks: Clerks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While GitHub does not answer, nobody's write waits for a look that comes every few seconds."""
    push(github, 1, 9)
    clerks.gaps.tick(now=clerks.asker.now + 30 * clock.SECOND)
    asked = Question.select().count()
    writes: list[object] = []
    monkeypatch.setattr(gaps, "_ask", lambda *facts: writes.append(facts))

    clerks.gaps.tick(now=clerks.asker.now + 60 * clock.SECOND)

    assert (1, []) == (asked, writes)


@pytest.mark.usefixtures("live")
def test_without_credentials_nobody_is_asked(github: GitHub, app: Flask) -> None:
    """Nothing would come of it."""
    app.extensions[EXTENSION].catalogue._tells = lambda: False
    push(github, 1, 4)

    gaps.ask(app.extensions[EXTENSION].catalogue.entries(), now=clock.now() + gaps.PATIENCE)

    assert not Question.select().exists()


@pytest.mark.usefixtures("live")
def test_what_is_asked_for_paths_tells_of_commits_too(
    github: GitHub, clerks: Clerks, hub: FakeHub, service: ServiceFiles, app: Flask
) -> None:
    """By the same call."""
    service("shop", paths=["a"])
    push(github, 1, 4)
    clerks.asker.settle()

    clerks.settle()

    assert "3 commits behind" in page(app)
    assert 1 == len(compared(hub))
