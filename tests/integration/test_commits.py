"""Commits: what pushes bring, how far what is live is behind, and why the newest push is not live."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from flask import Flask

from callers import SOON, Browser, GitHub, Host, ServiceFiles, document, sha, verdicts
from fastdeploy_bot.core import between
from fastdeploy_bot.forge.github.payloads import Author, Commit
from fastdeploy_bot.store.models import Delivery, Deployment
from fastdeploy_bot.words import DeploymentState

FAILURE = DeploymentState.FAILURE


class Pushes:
    """Pushes to `main`, one second after the other; commit N is titled `Change N`."""

    def __init__(self, github: GitHub) -> None:
        self._github = github
        self._at = SOON

    def __call__(self, before: int, *commits: int, **fields: Any) -> dict[str, str]:
        """From one commit to the last of these; answers the verdicts."""
        self._at += 1
        listed = [
            Commit(id=sha(each), message=f"Change {each}\n\nat length", author=Author("Ada"), modified=(f"file{each}",))
            for each in commits
        ]
        told = {"before": sha(before), "after": sha(commits[-1]), "pushed_at": self._at, "listed": listed}
        return verdicts(self._github.deliver(document(**(told | fields))))


@pytest.fixture
def push(github: GitHub) -> Pushes:
    """Pushes, and answers the verdicts."""
    return Pushes(github)


@pytest.fixture
def deployer(app: Flask) -> Browser:
    """A deployer's browser."""
    return Browser(app).signed_in("deployer")


@pytest.fixture
def live(push: Pushes, service: ServiceFiles, host: Host) -> None:
    """Service shop, with commit 1 live."""
    service("shop")
    assert {"shop": "deploy"} == push(0, 1)
    ship(host)


def ship(host: Host, state: DeploymentState = DeploymentState.SUCCESS) -> int:
    """Let the newest deployment run, and end; answers its id."""
    newest = Deployment.select().order_by(Deployment.id.desc()).get()
    host.begin(newest.id)
    host.end(newest.id, state)
    return int(newest.id)


def text(browser: Browser, path: str, place: str = "<main") -> str:
    """What is read of a page from that place on."""
    answer = browser.get(path)
    assert 200 == answer.status_code, answer.text
    assert place in answer.text, f"no {place} on {path}"
    body = re.sub(r"<[^>]*>", "", answer.text.partition(place)[2].partition(">")[2])
    return " ".join(html.unescape(body).split())


# --- what a push brought ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("live")
def test_a_delivery_keeps_its_commits(push: Pushes) -> None:
    """Sha, title and the author's name, oldest first, and how many there were."""
    push(1, 2, 3)

    row = Delivery.select().order_by(Delivery.id.desc()).get()
    assert 2 == row.size
    assert [(sha(2), "Change 2", "Ada"), (sha(3), "Change 3", "Ada")] == [
        (each.sha, each.title, each.author) for each in between.read(row.commits)
    ]


@pytest.mark.usefixtures("live")
def test_the_page_says_how_far_what_is_live_is_behind(push: Pushes, host: Host, deployer: Browser) -> None:
    """On the overview and on the service's own page, until it is live."""
    assert "main = live" in text(deployer, "/")
    push(1, 2, 3)
    push(3, 4)

    assert "3 commits behind" in text(deployer, "/")
    assert "3 commits behind" in text(deployer, "/services/shop")
    ship(host)
    assert "main = live" in text(deployer, "/services/shop")
    assert "behind" not in text(deployer, "/")


@pytest.mark.usefixtures("live")
def test_the_form_to_deploy_lists_what_goes_live(push: Pushes, deployer: Browser) -> None:
    """The newest first, of many the first ten."""
    push(1, *range(2, 10))
    push(9, *range(10, 16))

    form = text(deployer, "/services/shop", 'id="deploy-ask"')
    assert "14 commits go live: 000f000 Change 15 by Ada 000e000 Change 14 by Ada" in form
    assert "Change 6 by Ada and 4 more" in form
    assert "Change 5" not in form
