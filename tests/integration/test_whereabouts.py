"""Search by sha: is this commit live, where, since when; and if not, why."""

from __future__ import annotations

import pytest
from flask import Flask

from callers import Browser, GitHub, Host, ServiceFiles, sha
from fastdeploy_bot.forge.github.payloads import Commit
from fastdeploy_bot.store.models import Deployment, Service
from fastdeploy_bot.words import DeploymentState
from reading import text


def commits_of(name: str) -> list[str]:
    """The commits that were deployed to a service, newest first."""
    rows = Deployment.select().join(Service).where(Service.name == name).order_by(Deployment.id.desc())
    return [row.sha for row in rows]


def answer(browser: Browser, query: str) -> str:
    """What the page says of a commit, above all else."""
    return text(browser, f"/?q={query}").partition(" Deployments when")[0]


@pytest.mark.parametrize("digits", [7, 12, 40])
def test_a_commit_that_is_live_is_told_with_where_and_since(
    viewer: Browser, scene: dict[str, int], digits: int
) -> None:
    """By its first digits as well as by all."""
    assert scene
    newest = commits_of("docs")[0]

    assert f"{newest[:7]} is live on docs since 9 h ago" in answer(viewer, newest[:digits])


def test_a_commit_that_was_live_is_told_until_when(viewer: Browser, scene: dict[str, int]) -> None:
    """Another one took its place."""
    assert scene
    earlier = commits_of("docs")[1]

    assert f"{earlier[:7]} was live on docs from 3 d ago to 9 h ago" in answer(viewer, earlier)


@pytest.mark.usefixtures("two_services")
def test_a_commit_that_is_live_and_failed_since_is_told_in_one_sentence(
    viewer: Browser, github: GitHub, host: Host, deployer: Browser
) -> None:
    """Both, as a sentence is written."""
    github.push()
    host.begin(1)
    host.end(1)
    deployer.post("/deployments/1/retry", nonce="1")
    host.begin(2)
    host.end(2, DeploymentState.FAILURE, exit_status=1)

    assert "is live on shop since just now; its last deployment failed just now" in answer(viewer, sha(2))


def test_a_commit_that_is_not_live_is_told_as_it_stands(viewer: Browser, scene: dict[str, int]) -> None:
    """Failed, running, waiting."""
    shas = {name: Deployment.get_by_id(number).sha for name, number in scene.items()}

    assert "failed on shop 3 min ago" in answer(viewer, shas["shop"])
    assert "is being deployed to blog" in answer(viewer, shas["blog"])
    assert "waits for search: 4 of 4 run" in answer(viewer, shas["search"])


def test_a_commit_that_was_pushed_and_not_deployed_is_told_why(
    viewer: Browser, service: ServiceFiles, github: GitHub
) -> None:
    """By the verdict of its push."""
    service("shop", branches=["release"])
    github.push(after=sha(7))

    assert "was never deployed to shop: its push was ignored" in answer(viewer, sha(7))


def test_a_commit_below_the_head_of_a_push_is_found_by_it(
    viewer: Browser, service: ServiceFiles, github: GitHub
) -> None:
    """It shipped with the head."""
    service("shop", branches=["main"])
    github.push(after=sha(7), listed=[Commit(id=sha(6), message="Half of it"), Commit(id=sha(7), message="All of it")])
    row = Deployment.get()
    assert row.state == DeploymentState.QUEUED

    assert f"{sha(6)[:7]} shipped with {sha(7)[:7]}, which waits for shop" in answer(viewer, sha(6))


def test_a_commit_of_which_nobody_has_heard_is_told_so(viewer: Browser, scene: dict[str, int]) -> None:
    """In one sentence."""
    assert scene

    assert "No deployment here and no push is known of a commit that begins with abcdef12" in answer(viewer, "abcdef12")


def test_visitors_are_told_of_what_they_may_see(app: Flask, scene: dict[str, int]) -> None:
    """Of public services alone."""
    assert scene
    visitor = Browser(app)
    hidden, public = commits_of("shop")[0], commits_of("docs")[0]

    assert "is live on docs" in answer(visitor, public)
    assert "shop" not in answer(visitor, hidden)


def test_words_are_found_in_titles(viewer: Browser, scene: dict[str, int]) -> None:
    """Also one of which each letter is a digit of a sha."""
    assert scene

    page = text(viewer, "/?q=feed")

    assert "“Fix the dates of the feed”" in page
    assert "No deployment here" not in page
