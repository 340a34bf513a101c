"""Subjects: what events that are no pushes are about, however much of it there is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import octokit
from fastdeploy_bot.forge.github import payloads
from fastdeploy_bot.words import CheckRun, CheckSuite, CommitStatus, Installation, Person, Webhook
from githubevents import BOT, OCTOCAT, OURS, check_run, check_suite, installation

SHA = "5f" * 20
APP = frozenset({"1234", "Iv23fakehub"})
LISTED = [{"id": 1, "full_name": "octo-org/shop"}, {"id": 2, "full_name": "octo-org/api"}]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def parse(event: str, told: object) -> Webhook:
    """A webhook with that payload."""
    return payloads.parse(json.dumps(told).encode(), {"X-GitHub-Event": event, "X-GitHub-Delivery": "g-1"})


def test_a_pressed_button_names_deployment_commit_and_person() -> None:
    """And the App whose check run it is, by both its names."""
    webhook = parse("check_run", check_run("requested_action", 7, SHA, identifier="cancel"))

    assert CheckRun(id=9_001, name="fastdeploy / shop", external_id="7", app=APP, pressed="cancel") == webhook.about
    assert Person(id=583231, login="octocat", bot=False) == webhook.sender
    assert (SHA, "requested_action", 4711) == (webhook.sha, webhook.action, webhook.repository_id)


def test_a_check_run_that_is_to_run_again_has_no_button() -> None:
    """It is GitHub's own."""
    about = parse("check_run", check_run("rerequested", 7, SHA)).about

    assert isinstance(about, CheckRun)
    assert "" == about.pressed


def test_a_check_suite_is_an_apps_and_a_commits() -> None:
    """It has no other name."""
    webhook = parse("check_suite", check_suite("rerequested", SHA))

    assert (CheckSuite(APP), SHA) == (webhook.about, webhook.sha)


def test_an_old_server_names_an_app_by_its_number() -> None:
    """Client ids came later."""
    about = parse("check_run", check_run("rerequested", 7, SHA, app={"id": 1234})).about

    assert isinstance(about, CheckRun)
    assert frozenset({"1234"}) == about.app


def test_a_bot_is_no_person() -> None:
    """Whatever is not a user is one."""
    for kind, expected in (("User", False), ("Bot", True), ("Organization", True), ("Mannequin", True)):
        sender = parse("check_run", check_run("rerequested", 7, SHA, sender=OCTOCAT | {"type": kind})).sender
        assert sender is not None
        assert expected == sender.bot

    told = parse("check_run", check_run("rerequested", 7, SHA, sender=BOT)).sender
    assert "fastdeploy[bot]" == (told and told.login)


@pytest.mark.parametrize("login", ["octocat", "octo-cat", "o", "hubot_acme", "a" * 100])
def test_names_of_people(login: str) -> None:
    """With an underscore: of an enterprise's own users."""
    sender = parse("check_run", check_run("rerequested", 7, SHA, sender=OCTOCAT | {"login": login})).sender

    assert login == (sender and sender.login)


@pytest.mark.parametrize("login", ["", "../x", "a/b", "a b", "a\n", "é", "-a", 7, None, "a" * 300])
def test_no_names_of_people(login: object) -> None:
    """What GitHub gives nobody as a name is nobody's."""
    assert parse("check_run", check_run("rerequested", 7, SHA, sender=OCTOCAT | {"login": login})).sender is None


def test_whoever_a_commit_names_is_nobody() -> None:
    """Only the sender counts: anybody may write any name into a commit."""
    told = check_run("rerequested", 7, SHA, sender=None)
    told["check_run"]["head_commit"] = {"author": {"name": "octocat"}}

    webhook = parse("check_run", told | {"pusher": {"name": "octocat"}, "commit": {"committer": OCTOCAT}})

    assert webhook.sender is None


def test_a_status_and_a_workflow_run_are_about_a_commit() -> None:
    """Each says so in a place of its own."""
    assert SHA == parse("status", {"sha": SHA}).sha
    assert SHA == parse("workflow_run", {"workflow_run": {"head_sha": SHA}}).sha
    assert parse("issues", {"sha": SHA}).sha is None


def test_a_status_has_a_context_and_a_state() -> None:
    """Where it lacks one of them, nothing is said of what it is about."""
    told = {"sha": SHA, "context": "ci/circleci", "state": "success"}

    assert CommitStatus("ci/circleci", "success") == parse("status", told).about
    assert parse("status", told | {"context": 7}).about is None
    assert parse("status", {"sha": SHA, "context": "ci/circleci"}).about is None


def test_an_installation_has_an_account_and_an_app() -> None:
    """And the repositories that it was given, or that were taken from it."""
    given_it = installation("added", repositories_added=LISTED[:1], repositories_removed=LISTED[1:])

    whole = parse("installation", installation("deleted")).about
    part = parse("installation_repositories", given_it).about

    assert Installation(account="octo-org", app=APP) == whole
    assert Installation(account="octo-org", app=APP, repositories=("octo-org/shop", "octo-org/api")) == part


@pytest.mark.parametrize("event", ["check_run", "check_suite", "installation", "installation_repositories"])
@given(told=ANYTHING, place=st.sampled_from(["id", "name", "external_id", "app", "head_sha", "account", "app_id"]))
def test_no_value_is_an_error(event: str, told: Any, place: str) -> None:
    """What it cannot be read from is about nothing."""
    part = {"id": 1, "head_sha": SHA, "app": OURS, "account": {"login": "octo-org"}, place: told}

    webhook = parse(event, {"action": told, event.removesuffix("_repositories"): part, "sender": told})

    assert webhook.about is None or isinstance(webhook.about, CheckRun | CheckSuite | Installation)


def test_githubs_own_examples_are_understood() -> None:
    """Every check run, check suite and installation of them is about something, and every one has a sender."""
    octokit.require()
    about: dict[str, type] = {"check_run": CheckRun, "check_suite": CheckSuite, "installation": Installation}
    for example in octokit.examples():
        kind = about.get(example.event.removesuffix("_repositories"))
        if kind is not None:
            webhook = parse(example.event, json.loads(example.text))
            assert isinstance(webhook.about, kind), example.name
            assert webhook.sender is not None, example.name
            assert webhook.sha is not None or kind is Installation, example.name
