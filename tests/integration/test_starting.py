"""Starting, stopping and trying again by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from callers import (
    REPOSITORY,
    SOON,
    Auth,
    GitHub,
    Host,
    ServiceFiles,
    sha,
    states,
)
from fastdeploy_bot.store.models import Deployment
from fastdeploy_bot.words import DeploymentState

PATH = "/api/v1/deployments"

pytestmark = pytest.mark.usefixtures("two_services")


# --- what is started ---


def test_a_commit_is_deployed(start: Any) -> None:
    """201 with the deployment; whoever asked is its actor."""
    response = start(sha=sha(9), ref="main")

    told = response.get_json()
    assert 201 == response.status_code
    assert ("shop", "queued", sha(9)) == (told["service"], told["state"], told["sha"])
    assert ("refs/heads/main", "deployer", "manual") == (told["ref"], told["actor"], told["origin"])
    assert [("shop", "queued")] == states()


def test_a_service_token_starts_its_own_service(client: FlaskClient, auth: Auth) -> None:
    """It need not name it."""
    response = client.post(PATH, json={"sha": sha(9)}, headers=auth.service("shop"))

    assert 201 == response.status_code
    assert ("shop", "api") == (response.get_json()["service"], response.get_json()["origin"])


def test_a_service_token_cannot_name_another_service(client: FlaskClient, auth: Auth) -> None:
    """403, whether there is such a service or not."""
    for name in ("other", "none"):
        response = client.post(PATH, json={"service": name, "sha": sha(9)}, headers=auth.service("shop"))
        assert 403 == response.status_code

    assert [] == states()


def test_a_user_must_say_which_service(client: FlaskClient, auth: Auth) -> None:
    """422 without one, 404 for one that is not there."""
    nameless = client.post(PATH, json={"sha": sha(9)}, headers=auth("deployer"))
    unknown = client.post(PATH, json={"service": "none", "sha": sha(9)}, headers=auth("deployer"))

    assert (422, 404) == (nameless.status_code, unknown.status_code)


def test_a_sha_in_capitals_is_the_same_commit(start: Any) -> None:
    """It is kept in lower case, as git writes it."""
    assert "ab" * 20 == start(sha="AB" * 20).get_json()["sha"]


@pytest.mark.parametrize("given", ["", "main", "abc123", "g" * 40, "a" * 39, "a" * 41, sha(9) + "\n", "0" * 40])
def test_what_is_no_commit_is_refused(start: Any, given: str) -> None:
    """40 hex digits, and not the zeros that stand for no commit."""
    response = start(sha=given)

    assert 422 == response.status_code
    assert "sha" in response.get_json()["detail"]
    assert [] == states()


@pytest.mark.parametrize("given", ["wip", "refs/tags/v1", "refs/heads/wip", "", "release/1/2"])
def test_a_ref_that_the_service_does_not_deploy_is_refused(start: Any, given: str) -> None:
    """422, with a sha as well as without."""
    assert 422 == start(ref=given).status_code
    assert 422 == start(ref=given, sha=sha(9)).status_code
    assert [] == states()


@pytest.mark.parametrize("given", ["", "refs/heads/", "a\0b", "a\nb", "a\x1b[2Jb", "x" * 2_000])
def test_what_is_no_ref_is_refused_where_any_would_do(start: Any, service: ServiceFiles, given: str) -> None:
    """A ref goes into the script's environment and onto screens: control characters have no place there."""
    service("shop", branches=["**"])

    assert 422 == start(ref=given, sha=sha(9)).status_code


def test_the_head_is_what_the_last_push_said(start: Any, github: GitHub) -> None:
    """Without a sha, the newest commit of the ref, or of the ref pushed last."""
    github.push(ref="refs/heads/main", after=sha(2), pushed_at=SOON)
    github.push(ref="refs/heads/release/1", after=sha(3), pushed_at=SOON + 2)
    github.push(ref="refs/heads/wip", after=sha(4), pushed_at=SOON + 3)

    assert (sha(2), "refs/heads/main") == head(start(ref="main"))
    assert (sha(3), "refs/heads/release/1") == head(start())


def test_a_stale_push_does_not_move_the_head(start: Any, github: GitHub) -> None:
    """What comes late says what the ref was, not what it is."""
    github.push(after=sha(3), before=sha(2), pushed_at=SOON)
    github.push(after=sha(2), before=sha(1), pushed_at=SOON)

    assert sha(3) == start(ref="main").get_json()["sha"]


def test_the_head_of_the_first_push_is_known(
    client: FlaskClient, auth: Auth, github: GitHub, service: ServiceFiles
) -> None:
    """Also of a service that had no row before."""
    service("fresh", repository="octo-org/fresh")
    github.push(repository="octo-org/fresh", repository_id=99, after=sha(7))

    response = client.post(PATH, json={"service": "fresh"}, headers=auth("deployer"))

    assert (201, sha(7)) == (response.status_code, response.get_json()["sha"])


def test_a_head_that_nobody_told_is_an_error(start: Any, github: GitHub) -> None:
    """422: the caller can give the sha."""
    assert 422 == start().status_code
    github.push(ref="refs/heads/main")
    assert 422 == start(ref="release/1").status_code


def test_a_deleted_branch_has_no_head(start: Any, github: GitHub) -> None:
    """422, not a deployment of nothing."""
    github.push(after=sha(2), pushed_at=SOON)
    github.push(before=sha(2), after=sha(0), pushed_at=SOON + 1)

    assert 422 == start(ref="main").status_code


def test_the_context_is_kept_for_the_script(start: Any, client: FlaskClient, auth: Auth) -> None:
    """As it was given; it is not shown."""
    context = {"why": "ünfall", "nested": {"a": [1, None, True]}}

    number = start(sha=sha(9), context=context).get_json()["id"]

    assert context == json.loads(Deployment.get_by_id(number).context)
    assert "ünfall" not in client.get(f"{PATH}/{number}", headers=auth("viewer")).get_data(as_text=True)


def test_a_huge_context_is_refused(start: Any) -> None:
    """It goes into the script's environment, which the system bounds."""
    assert 201 == start(sha=sha(9), context={"a": "x" * 60_000}).status_code
    assert 422 == start(sha=sha(9), context={"a": "x" * 70_000}).status_code


@pytest.mark.parametrize(("opening", "closing"), [('{"a":', "}"), ("[", "]")])
def test_a_deep_context_is_refused(client: FlaskClient, auth: Auth, opening: str, closing: str) -> None:
    """Before whoever has to write it anew fails: what can just be read is deeper than what can be written."""

    def status(levels: int) -> int:
        inner = opening * (levels - 1) + "1" + closing * (levels - 1)
        body = f'{{"service": "shop", "sha": "{sha(9)}", "context": {{"a": {inner}}}}}'
        answer = client.post(PATH, data=body, content_type="application/json", headers=auth("deployer"))
        return answer.status_code

    assert [201, 422] == [status(100), status(101)]
    assert {400, 422} >= {status(levels) for levels in range(700, 1_030, 3)}


def test_a_bad_service_file_starts_nothing(start: Any, service: ServiceFiles) -> None:
    """409 with what is wrong with it."""
    service.text("shop", f'repository = "{REPOSITORY}"\ntimeout = "soon"\n')

    response = start(sha=sha(9))

    assert 409 == response.status_code
    assert "services/shop/service.toml: timeout" in response.get_json()["detail"]


def test_a_removed_service_starts_nothing(start: Any, service: ServiceFiles) -> None:
    """404 as soon as the file is gone."""
    service.remove("shop")

    assert 404 == start(sha=sha(9)).status_code


# --- stopping ---


def test_a_queued_deployment_is_cancelled_at_once(start: Any, client: FlaskClient, auth: Auth) -> None:
    """202; the reason says who did it."""
    start(sha=sha(9))

    response = client.post(f"{PATH}/1/cancel", headers=auth("admin"))

    told = response.get_json()
    assert (202, "cancelled") == (response.status_code, told["state"])
    assert "admin" in told["reason"]
    assert told["finished"].endswith("Z")


def test_a_running_deployment_is_asked_to_stop(start: Any, client: FlaskClient, auth: Auth, host: Host) -> None:
    """202; it runs until its script has ended. Asking twice changes nothing."""
    start(sha=sha(9))
    host.begin(1)

    for role in ("admin", "deployer"):
        response = client.post(f"{PATH}/1/cancel", headers=auth(role))
        assert (202, "running", True) == (
            response.status_code,
            response.get_json()["state"],
            response.get_json()["cancelling"],
        )

    assert "admin" == Deployment.get().cancelled_by


@pytest.mark.parametrize("outcome", ["success", "failure", "cancelled", "lost"])
def test_a_final_deployment_cannot_be_cancelled(
    start: Any, client: FlaskClient, auth: Auth, host: Host, outcome: str
) -> None:
    """409: final is final."""
    start(sha=sha(9))
    host.begin(1)
    host.end(1, DeploymentState(outcome))

    assert 409 == client.post(f"{PATH}/1/cancel", headers=auth("deployer")).status_code
    assert [("shop", outcome)] == states()


# --- trying again ---


def test_a_retry_deploys_the_same_commit(start: Any, client: FlaskClient, auth: Auth, host: Host) -> None:
    """201; it names what it retries, and carries its context."""
    start(sha=sha(9), ref="release/1", context={"a": 1})
    host.begin(1)
    host.end(1, DeploymentState.FAILURE, exit_status=3)

    response = client.post(f"{PATH}/1/retry", headers=auth("admin"))

    told = response.get_json()
    assert (201, 1, "retry", "admin") == (response.status_code, told["parent"], told["origin"], told["actor"])
    assert (sha(9), "refs/heads/release/1") == head(response)
    assert '{"a":1}' == Deployment.get_by_id(2).context


def test_what_has_not_ended_cannot_be_retried(start: Any, client: FlaskClient, auth: Auth) -> None:
    """409."""
    start(sha=sha(9))

    assert 409 == client.post(f"{PATH}/1/retry", headers=auth("deployer")).status_code


def head(response: TestResponse) -> tuple[str, str]:
    """The commit and the ref of a deployment."""
    told = response.get_json()
    return told["sha"], told["ref"]
