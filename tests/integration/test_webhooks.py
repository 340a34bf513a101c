"""Webhooks: what is let in, in which order the rest is refused, and what is answered."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from flask.testing import FlaskClient

import githubevents
from callers import (
    REPOSITORY,
    REPOSITORY_ID,
    SECRET,
    SOON,
    Auth,
    GitHub,
    ServiceFiles,
    document,
    is_problem,
    sha,
    states,
    verdicts,
)
from databases import Raw
from fastdeploy_bot.forge.github import signatures
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Delivery, Deployment, Question, Verdict
from fastdeploy_bot.web import hooks
from fastdeploy_bot.words import WebhookSecret

FORM = "application/x-www-form-urlencoded"
OVERSIZED = b"x" * (hooks.LARGEST + 1)
NOT_JSON = b'{"ref": '


def nothing_kept() -> bool:
    """Whether the database is as empty as before."""
    return not (Delivery.select().exists() or Verdict.select().exists() or Deployment.select().exists())


def test_too_large_is_refused_before_anything_else_is_looked_at(github: GitHub) -> None:
    """413 comes first: unsigned, of a wrong type and no JSON besides."""
    response = github.deliver(OVERSIZED, secret=None, content_type="text/plain", headers={"X-GitHub-Event": None})

    assert is_problem(response, 413)
    assert nothing_kept()


def test_a_body_of_exactly_the_largest_size_is_read(github: GitHub) -> None:
    """The bound itself is allowed: what is refused is only what is wrong in it."""
    response = github.deliver(OVERSIZED[1:])

    assert is_problem(response, 400)


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "sha256=",
        "sha256=" + "0" * 64,
        "sha1=" + "0" * 40,
        "SHA256=" + signatures.sign(SECRET, NOT_JSON).removeprefix("sha256="),
        signatures.sign("guessed", NOT_JSON),
        signatures.sign(SECRET, NOT_JSON).upper(),
        "sha256=ü",
    ],
)
def test_a_wrong_signature_is_refused_before_type_and_content(github: GitHub, signature: str | None) -> None:
    """401 comes second: of a wrong type and no JSON besides."""
    response = github.deliver(
        NOT_JSON,
        secret=None,
        content_type="text/plain",
        headers={"X-Hub-Signature-256": signature, "X-GitHub-Event": None},
    )

    assert is_problem(response, 401)
    assert nothing_kept()


def test_the_old_signature_alone_is_not_enough(github: GitHub) -> None:
    """SHA-1 is legacy: a request that carries nothing better counts as unsigned."""
    response = github.deliver(document(), secret=None, headers={"X-Hub-Signature": "sha1=" + "0" * 40})

    assert is_problem(response, 401)


def test_a_signature_of_another_body_is_refused(github: GitHub, service: ServiceFiles) -> None:
    """The bytes count: the same JSON written otherwise is another body."""
    service()
    body = document()
    rewritten = json.dumps(json.loads(body), indent=1).encode()

    response = github.deliver(rewritten, secret=None, headers={"X-Hub-Signature-256": signatures.sign(SECRET, body)})

    assert is_problem(response, 401)
    assert nothing_kept()


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/jsonx", "multipart/form-data"])
def test_another_content_type_is_refused_before_the_content(github: GitHub, content_type: str | None) -> None:
    """415 comes third: no JSON and no event besides."""
    response = github.deliver(NOT_JSON, content_type=content_type, headers={"X-GitHub-Event": None})

    assert is_problem(response, 415)
    assert nothing_kept()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        NOT_JSON,
        b"null",
        b"[]",
        b'"push"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"ref": "refs/heads/main"}',
    ],
)
def test_malformed_content_is_refused_last(github: GitHub, body: bytes) -> None:
    """400 for what is signed and of the right type, but no push."""
    response = github.deliver(body)

    assert is_problem(response, 400)
    assert nothing_kept()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ref", 7),
        ("ref", None),
        ("ref", "main"),
        ("ref", "refs/heads/a\0b"),
        ("before", "not a sha"),
        ("after", sha(2)[:39]),
        ("after", sha(2).replace("2", "G")),
        ("repository", "octo-org/shop"),
        ("repository", {"full_name": REPOSITORY}),
        ("repository", {"id": "4711", "full_name": REPOSITORY}),
        ("repository", {"id": 2**70, "full_name": REPOSITORY}),
        ("repository", {"id": -1, "full_name": REPOSITORY}),
        ("repository", {"id": 4711, "full_name": "../../etc/passwd"}),
        ("deleted", "yes"),
        ("commits", {"added": []}),
    ],
)
def test_a_push_with_a_wrong_type_is_refused(github: GitHub, service: ServiceFiles, key: str, value: Any) -> None:
    """What decides must be what GitHub says it is; the answer names the key."""
    service()
    push = json.loads(document()) | {key: value}

    response = github.deliver(json.dumps(push).encode())

    assert is_problem(response, 400)
    assert nothing_kept()


@pytest.mark.parametrize("name", ["X-GitHub-Event", "X-GitHub-Delivery"])
@pytest.mark.parametrize("value", [None, "", " ", "a b", "../x", "<script>", "x" * 101])
def test_a_missing_or_garbled_header_is_refused(github: GitHub, name: str, value: str | None) -> None:
    """Without its event and its GUID a delivery can be neither read nor told apart."""
    response = github.deliver(document(), headers={name: value})

    assert is_problem(response, 400)
    assert name in response.get_json()["detail"]
    assert nothing_kept()


@pytest.mark.parametrize("absent", ["created", "deleted", "forced", "commits", "head_commit", "pusher", "sender"])
def test_an_optional_key_may_be_absent(github: GitHub, service: ServiceFiles, absent: str) -> None:
    """Only ref, before, after and the repository decide; the rest is really absent at times."""
    service()
    push = {key: value for key, value in json.loads(document()).items() if key != absent}

    response = github.deliver(json.dumps(push).encode())

    assert 202 == response.status_code
    assert {"shop": "deploy"} == verdicts(response)


def test_a_push_is_accepted_with_a_verdict(github: GitHub, service: ServiceFiles) -> None:
    """The answer has the shape that is promised."""
    service("shop")

    response = github.push(guid="72d3162e")

    assert 202 == response.status_code
    assert {
        "delivery": "72d3162e",
        "duplicate": False,
        "reason": "",
        "verdicts": [
            {
                "service": "shop",
                "verdict": "deploy",
                "reason": f"branch main is now {sha(2)[:7]}",
                "deployment": 1,
            }
        ],
    } == response.get_json()


def test_a_form_is_read_like_json(github: GitHub, service: ServiceFiles) -> None:
    """Of a form, the signature covers the encoded body, and the field `payload` holds the JSON."""
    service()
    body = urlencode({"payload": document(title="50% off & more + ü").decode()}).encode()

    response = github.deliver(body, content_type=FORM)

    assert 202 == response.status_code
    assert "50% off & more + ü" == Deployment.get().title


@pytest.mark.parametrize("body", [b"", b"other=1", b"payload=", b"payload=%7B", b"payload=%ff", b"a=1&" * 20])
def test_a_form_without_a_readable_payload_is_refused(github: GitHub, body: bytes) -> None:
    """400 for every form that holds no push."""
    response = github.deliver(body, content_type=FORM)

    assert is_problem(response, 400)
    assert nothing_kept()


def test_a_charset_behind_the_content_type_is_fine(github: GitHub) -> None:
    """`application/json; charset=utf-8` is JSON."""
    response = github.deliver(document(), content_type="application/json; charset=utf-8")

    assert 202 == response.status_code


def test_a_ping_is_answered_with_200(github: GitHub) -> None:
    """The event GitHub sends when a webhook is made; it is kept and starts nothing."""
    response = github.deliver(b'{"zen": "Keep it logically awesome."}', event="ping", guid="p-1")

    assert 200 == response.status_code
    assert "p-1" == response.get_json()["delivery"]
    assert [] == response.get_json()["verdicts"]
    assert "ping" == Delivery.get().event
    assert not Deployment.select().exists()


def test_a_ping_must_be_signed_too(github: GitHub) -> None:
    """A wrong secret shows when the webhook is set up, not with the first push."""
    response = github.deliver(b"{}", event="ping", secret="guessed")

    assert is_problem(response, 401)
    assert nothing_kept()


@pytest.mark.parametrize(
    "body",
    [
        {"action": "created", "repository": {"id": REPOSITORY_ID, "full_name": REPOSITORY}},
        {"action": 7, "repository": "odd"},
        {"repository": {"id": "x"}},
        {},
    ],
)
def test_an_event_nobody_acts_on_is_kept_with_the_reason(
    github: GitHub, service: ServiceFiles, body: dict[str, Any]
) -> None:
    """202, whatever is in it: GitHub may send events and keys that are not known yet."""
    service()

    response = github.deliver(json.dumps(body).encode(), event="projects_v2_item", guid="e-1")

    assert 202 == response.status_code
    assert "projects_v2_item" in response.get_json()["reason"]
    assert [] == response.get_json()["verdicts"]
    assert "projects_v2_item" in Delivery.get(Delivery.guid == "e-1").reason


def test_a_repository_nobody_is_mapped_to_is_kept_with_the_reason(github: GitHub, service: ServiceFiles) -> None:
    """202 with no verdict, and the answer says why."""
    service(repository="octo-org/other")

    response = github.push()

    assert 202 == response.status_code
    assert [] == response.get_json()["verdicts"]
    assert REPOSITORY in response.get_json()["reason"]
    assert response.get_json()["reason"] == Delivery.get().reason


def test_a_bad_service_file_refuses_its_own_service_only(
    github: GitHub, service: ServiceFiles, auth: Auth, client: FlaskClient
) -> None:
    """The verdict says what is wrong with the file; the neighbour on the same repository deploys."""
    service("good")
    path = service("bad")
    github.push(before=sha(1), after=sha(2), pushed_at=1)
    path.write_text(f'repository = "{REPOSITORY}"\nbranchs = ["main"]\n')

    response = github.push(before=sha(2), after=sha(3), pushed_at=2)

    assert {"good": "deploy", "bad": "refused"} == verdicts(response)
    reasons = {each["service"]: each["reason"] for each in response.get_json()["verdicts"]}
    assert "services/bad/service.toml: branchs: unknown key" in reasons["bad"]
    shown = client.get("/api/v1/services/bad", headers=auth("viewer")).get_json()
    assert "branchs" in shown["problem"]


def test_202_means_that_the_row_is_on_disk(github: GitHub, service: ServiceFiles, raw: Raw) -> None:
    """Another connection reads the delivery, its verdict and its deployment as soon as it is answered."""
    service()

    response = github.push(guid="g-1")

    assert 202 == response.status_code
    query = "SELECT v.verdict, d.state FROM delivery JOIN verdict v ON v.delivery_id = delivery.id "
    rows = raw.execute(query + "JOIN deployment d ON d.id = v.deployment_id WHERE guid = 'g-1'")
    assert [("deploy", "queued")] == rows


def test_headers_are_kept_without_the_signature(github: GitHub, auth: Auth, client: FlaskClient) -> None:
    """What is kept of a request can be shown: nothing in it lets anybody sign or sign in."""
    github.deliver(
        document(), guid="g-1", headers={"Cookie": "a=b", "Authorization": "Bearer x", "X-GitHub-Hook-ID": "7"}
    )

    kept = client.get("/api/v1/deliveries/g-1", headers=auth("viewer")).get_json()["headers"]

    names = {name.lower() for name in kept}
    assert {"x-github-event", "x-github-delivery", "x-github-hook-id", "content-type"} <= names
    assert not names & {"x-hub-signature-256", "x-hub-signature", "cookie", "authorization"}


class TestSeveralSecrets:
    """Some secrets sign for everything, some are bound to repositories."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        """One secret for all, a second one for all, and one for an organisation."""
        secrets = (WebhookSecret("old"), WebhookSecret("new"), WebhookSecret("bound", ("Octo-Org/*",)))
        return msgspec.structs.replace(settings, webhook_secrets=secrets)

    @pytest.mark.parametrize("secret", ["old", "new", "bound"])
    def test_any_may_match(self, github: GitHub, secret: str) -> None:
        """While a secret is exchanged both the old and the new one are valid."""
        assert 202 == github.push(secret=secret).status_code

    def test_a_bound_one_signs_for_its_repositories_only(self, github: GitHub) -> None:
        """Who knows a team's secret cannot push in another team's name."""
        response = github.push(secret="bound", repository="other-org/shop")

        assert is_problem(response, 401)
        assert nothing_kept()

    def test_a_bound_one_is_held_against_other_events_too(self, github: GitHub) -> None:
        """Not only pushes name a repository."""
        body = json.dumps({"repository": {"id": 5, "full_name": "other-org/shop"}}).encode()

        assert is_problem(github.deliver(body, event="release", secret="bound"), 401)
        assert 202 == github.deliver(body, event="release", secret="new").status_code

    def test_a_bound_one_cannot_borrow_another_repositorys_id(self, github: GitHub, service: ServiceFiles) -> None:
        """An id in a payload is only what its sender says: for each service, the secret must cover its own name."""
        service("other", repository="other-org/shop")
        github.push(secret="new", repository="other-org/shop", repository_id=5)

        response = github.push(secret="bound", repository="octo-org/mine", repository_id=5, after=sha(3))

        (told,) = response.get_json()["verdicts"]
        assert ("other", "refused", None) == (told["service"], told["verdict"], told["deployment"])
        assert [("other", "queued")] == states()

    def test_a_bound_one_cannot_make_another_repositorys_push_known(
        self, github: GitHub, service: ServiceFiles
    ) -> None:
        """Who sends a colleague's push first, in their own name, does not turn the true one into a duplicate."""
        service("other", repository="other-org/shop")
        github.push(secret="new", repository="other-org/shop", repository_id=5)
        key: dict[str, Any] = {"repository_id": 5, "before": sha(2), "after": sha(3), "pushed_at": SOON + 1}
        github.push(secret="bound", repository="octo-org/mine", **key)

        genuine = github.push(secret="new", repository="other-org/shop", **key)

        assert {"other": "deploy"} == verdicts(genuine)

    def test_a_foreign_pin_does_not_lock_the_owner_out(self, github: GitHub, service: ServiceFiles) -> None:
        """Another service that claims the same id takes nothing away from the one whose repository it is."""
        service("mine", repository="octo-org/mine")
        service("other", repository="other-org/shop")
        github.push(secret="bound", repository="octo-org/mine", repository_id=5, after=sha(3))

        response = github.push(secret="new", repository="other-org/shop", repository_id=5, after=sha(4))

        assert "deploy" == {told["service"]: told["verdict"] for told in response.get_json()["verdicts"]}["other"]


def test_refs_with_anything_git_allows_are_taken_as_they_are(github: GitHub, service: ServiceFiles) -> None:
    """Slashes, quotes, backticks and options in a name are just a name."""
    names = ["feature/a/b", "$(reboot)", "a;b", "`id`", "it's", '"q"', "<b>", "--upload-pack=x", "ü/🚀"]
    service(branches=["**"], supersede=False)

    for number, name in enumerate(names, start=1):
        response = github.push(ref=f"refs/heads/{name}", before=sha(0), after=sha(number))
        assert {"shop": "deploy"} == verdicts(response)

    assert [f"refs/heads/{name}" for name in names] == [row.ref for row in Deployment.select().order_by(Deployment.id)]
    assert [("shop", "queued")] * len(names) == states()


def test_other_methods_are_told_which_one_is_right(client: FlaskClient) -> None:
    """405 as a problem, with the method that is allowed."""
    response = client.get("/webhooks/github")

    assert is_problem(response, 405)
    assert "POST" in response.headers["Allow"]


def test_a_bot_without_an_app_has_no_check_runs(github: GitHub) -> None:
    """Whatever is pressed is not meant for it, and there is nobody to ask."""
    told = githubevents.check_run("requested_action", 1, sha(2), identifier="cancel")

    answer = github.deliver(githubevents.as_body(told), event="check_run")

    assert 202 == answer.status_code
    assert "nothing is done: this bot has no GitHub App, so the check run is another's" == answer.get_json()["reason"]
    assert not Question.select().exists()
