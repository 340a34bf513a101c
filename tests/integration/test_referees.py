"""Referees: programs that know GitHub, and share no code with ours, agree with our client and our GitHub of tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import github
import pytest

import appkeys
import fakehub
import githubapi
import octokit
from fakehub import FakeHub
from fastdeploy_bot.core import clock
from fastdeploy_bot.forge.github import check_texts, deployment_texts
from fastdeploy_bot.forge.github.api import (
    apps,
    checks,
    collaborators,
    compare,
    deployments,
    git,
    hooks,
    people,
    repositories,
    statuses,
)
from fastdeploy_bot.forge.github.api.compare import Relation
from fastdeploy_bot.forge.github.app_auth import AppTokens
from fastdeploy_bot.forge.github.check_texts import StepFacts
from fastdeploy_bot.forge.github.client import CallFailed, Client
from fastdeploy_bot.forge.github.texts import Facts, Status, StatusState
from fastdeploy_bot.settings import OAuthApp
from fastdeploy_bot.words import DeploymentState, StepState

REPOSITORY = "octo-org/shop"
SHA = "a" * 40
PAGE = "https://deploy.example/deployments/7"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A GitHub that clients of others call, to which nothing wrong may have been said in the end."""
    with FakeHub() as made:
        made.strangers = True
        yield made
    assert [] == made.wrongs


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a server that knows GitHub by its description alone, and refuses what is not as described there."""
    octokit.require()
    with (
        octokit.prism(githubapi.OPERATIONS, tmp_path_factory.mktemp("prism")) as url,
        closing(Client(url, fakehub.VERSION)) as client,
    ):
        yield client


# --- what GitHub's description says of our requests, and whether we can read its examples of answers -------


def test_a_referee_refuses_what_is_not_as_described(described: Client) -> None:
    """Or else its silence would prove nothing."""
    with pytest.raises(CallFailed) as caught:
        described.call("POST", f"/repos/{REPOSITORY}/statuses/{SHA}", "t", expected={201}, body={"state": "maybe"})

    assert caught.value.refusal.status in (400, 422, 500)


def test_a_commit_status_is_as_described(described: Client) -> None:
    """With all that we say of it."""
    status = Status(StatusState.PENDING, "Migrate · ≈ 40 s left")

    statuses.create(described, "t", REPOSITORY, SHA, status, context="fastdeploy/shop", url=PAGE)


def test_an_apps_sign_in_is_as_described(described: Client) -> None:
    """Finding its installation, and getting a token there."""
    number = apps.installation_of(described, "jwt", REPOSITORY)
    token = apps.installation_token(described, "jwt", number, REPOSITORY, statuses.WRITES.named)

    assert number > 0
    assert token.token


@pytest.mark.parametrize("state", list(DeploymentState))
def test_a_check_run_is_as_described(described: Client, state: DeploymentState) -> None:
    """Created, updated and found again, in every state, with all that one can have."""
    facts = Facts(state=state, step="Migrate", reason="exit status 3", took=3.2)
    run = check_texts.run(
        check_texts.Subject(
            number=7,
            name="fastdeploy / shop",
            sha=SHA,
            page=PAGE,
            facts=facts,
            steps=[StepFacts("Build", StepState.SUCCESS, 1.5), StepFacts("Migrate | <b>", StepState.FAILURE, None)],
            log=b"src/app.py:7: error: no such table\n",
            begun=1_700_000_000_000,
            ended=1_700_000_003_200,
        )
    )
    number = checks.create(described, "t", REPOSITORY, run)

    assert number > 0
    assert checks.update(described, "t", REPOSITORY, number, run) >= 0
    assert checks.find(described, "t", REPOSITORY, run) is None


def test_a_deployment_is_as_described(described: Client) -> None:
    """Created, found again, and told in every state."""
    subject = deployment_texts.Subject(
        number=7, service="shop", sha=SHA, environment="production", title="Mend the shop", page=PAGE
    )
    number = deployments.create(described, "t", REPOSITORY, subject)

    assert number > 0
    assert deployments.find(described, "t", REPOSITORY, subject) is None
    for stage in set(deployment_texts.Stage) - {deployment_texts.Stage.CREATED}:
        status = deployment_texts.Status(
            state=stage, description="Migrate", log_url=PAGE, environment_url="", auto_inactive=True
        )
        deployments.tell(described, "t", REPOSITORY, number, status)


def test_what_somebody_may_do_is_as_described(described: Client) -> None:
    """By their name."""
    assert collaborators.permission(described, "t", REPOSITORY, "octocat").permission in ("admin", "write", "read")


def test_who_somebody_is_is_as_described(described: Client) -> None:
    """By their own token, which is ended by the App's secret."""
    assert ("octocat", 1) == (people.me(described, "t").login, people.me(described, "t").id)
    people.end_token(described, OAuthApp(fakehub.CLIENT_ID, "secret"), "t")


def test_a_repository_is_as_described(described: Client) -> None:
    """With what somebody may do in it, and what decides about its pushes."""
    assert repositories.may_push(described, "t", REPOSITORY) in (True, False)
    assert repositories.get(described, "t", REPOSITORY).found.id > 0


def test_what_refs_name_is_as_described(described: Client) -> None:
    """Refs, tags that are objects, and what a commit says of itself."""
    assert git.matching_refs(described, "t", REPOSITORY, "heads").found
    assert git.tagged(described, "t", REPOSITORY, SHA).sha
    assert git.message(described, "t", REPOSITORY, SHA)


def test_a_comparison_is_as_described(described: Client) -> None:
    """With its files, and without."""
    assert compare.commits(described, "t", REPOSITORY, SHA, "b" * 40).files
    assert compare.relation(described, "t", REPOSITORY, "main", SHA) in Relation


def test_what_others_say_of_a_commit_is_as_described(described: Client) -> None:
    """Their check runs, suites and statuses."""
    for read in (checks.runs, checks.suites, statuses.latest):
        page = read(described, "t", REPOSITORY, SHA, page=1, before=None)

        assert page.found.items


def test_webhooks_and_what_they_delivered_are_as_described(described: Client) -> None:
    """Those of the App and of a repository; and what failed is delivered again."""
    of_app = hooks.of_app(described, "jwt").found
    of_repository = hooks.of_repository(described, "t", REPOSITORY).found

    for hook in (*of_app.values(), *of_repository.values()):
        assert hooks.attempts(described, "t", hook).found.attempts
        hooks.repeat(described, "t", hook, 7)


def test_an_app_itself_is_as_described(described: Client) -> None:
    """Its permissions, its installations and their repositories, and the secret of its webhook."""
    assert apps.permissions(described, "jwt")
    assert apps.installations(described, "jwt")
    assert apps.repositories(described, "t")
    apps.set_webhook_secret(described, "jwt", "It's a Secret to Everybody")


# --- clients of others, against the GitHub of our tests -----------------------------------------------------


def test_pygithub_signs_in_and_tells_as_we_do(hub: FakeHub) -> None:
    """As the App, and then with its installation's token."""
    auth = github.Auth.AppAuth(fakehub.CLIENT_ID, appkeys.pem())
    integration = github.GithubIntegration(auth=auth, base_url=hub.url)
    number = integration.get_repo_installation(*REPOSITORY.split("/")).id
    theirs = integration.get_access_token(number, {"statuses": "write", "metadata": "read"})
    shop = github.Github(auth=github.Auth.Token(theirs.token), base_url=hub.url, lazy=True).get_repo(REPOSITORY)
    shop.get_commit(SHA).create_status("success", PAGE, "Deployed in 1m 12s", "fastdeploy/shop")

    assert fakehub.INSTALLATION == number
    assert [fakehub.Status("success", "Deployed in 1m 12s", PAGE)] == hub.told(SHA)


def test_octokits_app_auth_gets_what_we_get(hub: FakeHub) -> None:
    """A JWT that is believed, and a token with the same permissions."""
    octokit.require()
    theirs = octokit.sign_in(
        hub.url, app_id=fakehub.CLIENT_ID, private_key=appkeys.pem(), installation=fakehub.INSTALLATION
    )
    with closing(Client(hub.url, fakehub.VERSION)) as client:
        ours = AppTokens(client, fakehub.CLIENT_ID, appkeys.pem()).token(REPOSITORY, statuses.WRITES, now=clock.now())

    assert {"statuses": "write"} == theirs["permissions"]
    assert {theirs["token"], ours} == set(hub.tokens)
