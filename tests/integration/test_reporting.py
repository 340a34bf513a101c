"""Reporting: what a running script says of its steps and its end, and what is kept of its output."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from callers import Auth, GitHub, Host, ServiceFiles, sha, sync
from fastdeploy_bot import store
from fastdeploy_bot.core.deploying import progress, steps
from fastdeploy_bot.core.deploying.progress import Progress, StepEntry
from fastdeploy_bot.core.files import secrets
from fastdeploy_bot.core.output import logs
from fastdeploy_bot.masking import Masker
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Deployment, Step
from fastdeploy_bot.words import DeploymentState, StepState

PATH = "/api/v1/deployments/1"
LIMIT = 1_000


@pytest.fixture
def queued(app: Flask, service: ServiceFiles, github: GitHub) -> int:
    """A deployment that has not begun."""
    service("shop")
    sync(app)
    number: int = github.push().get_json()["verdicts"][0]["deployment"]
    return number


class Script:
    """A running deployment's script."""

    def __init__(self, client: FlaskClient, headers: dict[str, str]) -> None:
        self.client = client
        self.headers = headers

    def step(self, name: Any, state: Any = "running", **more: Any) -> TestResponse:
        """Report a step."""
        return self.client.post(f"{PATH}/steps", json={"name": name, "state": state} | more, headers=self.headers)

    def finish(self, state: Any, **more: Any) -> TestResponse:
        """Report the end."""
        return self.client.post(f"{PATH}/finish", json={"state": state} | more, headers=self.headers)


@pytest.fixture
def script(queued: int, client: FlaskClient, host: Host) -> Script:
    """The script of a service that names the steps Build and Restart, and lets its script report the end."""
    return Script(client, host.begin(queued, steps=["Build", "Restart"], definition={"finish": "report"}))


def shown(client: FlaskClient, auth: Auth) -> list[tuple[str, str]]:
    """The deployment's steps as a viewer sees them."""
    told = client.get(PATH, headers=auth("viewer")).get_json()
    return [(step["name"], step["state"]) for step in told["steps"]]


# --- steps ---


@pytest.mark.usefixtures("script")
def test_expected_steps_are_pending(client: FlaskClient, auth: Auth) -> None:
    """What the service file names is shown from the beginning."""
    assert [("Build", "pending"), ("Restart", "pending")] == shown(client, auth)


def test_a_step_is_answered_as_it_is_kept(script: Script) -> None:
    """The shape that is promised; times in UTC with milliseconds."""
    response = script.step("Build", "running", message="compiling")

    told = response.get_json()
    assert 200 == response.status_code
    assert {"name", "state", "position", "started", "finished", "message"} == told.keys()
    assert ("Build", "running", 1, None, "compiling") == (
        told["name"],
        told["state"],
        told["position"],
        told["finished"],
        told["message"],
    )
    assert told["started"].endswith("Z")
    assert len("2024-01-01T00:00:00.000Z") == len(told["started"])


def test_the_same_name_is_an_update(script: Script, client: FlaskClient, auth: Auth) -> None:
    """It keeps its place and its start."""
    begun = script.step("Build", "running").get_json()

    ended = script.step("Build", "success").get_json()

    assert (begun["position"], begun["started"]) == (ended["position"], ended["started"])
    assert ended["finished"] is not None
    assert [("Build", "success"), ("Restart", "pending")] == shown(client, auth)


def test_a_new_name_is_a_new_step_at_the_end(script: Script, client: FlaskClient, auth: Auth) -> None:
    """Steps need not be known before."""
    assert 3 == script.step("Größe prüfen 🚀", "success").get_json()["position"]
    assert [("Build", "pending"), ("Restart", "pending"), ("Größe prüfen 🚀", "success")] == shown(client, auth)


def test_the_same_report_twice_changes_nothing(script: Script) -> None:
    """A script that is not sure whether it was heard may say it again."""
    for state in ("running", "success"):
        assert script.step("Build", state).get_json() == script.step("Build", state).get_json()


def test_a_step_may_be_done_again(script: Script) -> None:
    """A step that failed can be tried once more: it runs again, and has not ended."""
    script.step("Build", "failure", message="no network")

    again = script.step("Build", "running").get_json()

    assert ("running", None, "") == (again["state"], again["finished"], again["message"])


def test_a_message_stays_until_the_state_changes_or_a_new_one_comes(script: Script) -> None:
    """Saying less does not take back what was said."""
    script.step("Build", "running", message="1 of 2")

    assert "1 of 2" == script.step("Build", "running").get_json()["message"]
    assert "2 of 2" == script.step("Build", "running", message="2 of 2").get_json()["message"]
    assert "" == script.step("Build", "success").get_json()["message"]


def test_a_step_that_only_ends_has_both_times(script: Script) -> None:
    """It is over at the moment it is told of."""
    told = script.step("Build", "failure").get_json()

    assert told["started"] == told["finished"] is not None


def test_a_long_message_is_cut(script: Script) -> None:
    """Its beginning says most; the log has it all."""
    told = script.step("Build", "failure", message="x" * (steps.LONGEST_MESSAGE + 1)).get_json()

    assert steps.LONGEST_MESSAGE == len(told["message"])


@pytest.mark.parametrize(
    "body",
    [
        {"name": "Build"},
        {"state": "running"},
        {"name": "Build", "state": "done"},
        {"name": "Build", "state": "RUNNING"},
        {"name": 7, "state": "running"},
        {"name": None, "state": "running"},
        {"name": "", "state": "running"},
        {"name": "  ", "state": "running"},
        {"name": "a\0b", "state": "running"},
        {"name": "x" * 201, "state": "running"},
        {"name": "Build", "state": "running", "message": 7},
        [],
        "Build",
        None,
    ],
)
def test_a_report_that_cannot_be_kept_is_refused(script: Script, client: FlaskClient, auth: Auth, body: Any) -> None:
    """422, and nothing has changed."""
    response = client.post(f"{PATH}/steps", json=body, headers=script.headers)

    assert 422 == response.status_code
    assert "application/problem+json" == response.mimetype
    assert [("Build", "pending"), ("Restart", "pending")] == shown(client, auth)


def test_keys_nobody_knows_are_passed_over(script: Script) -> None:
    """Other scripts say more than is needed."""
    assert 200 == script.step("Build", "running", error_message="", started="2024").status_code


def test_steps_have_a_bound(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script in a loop cannot fill the database: 409 for one more, but known ones go on."""
    monkeypatch.setattr(steps, "MOST_STEPS", 20)
    entries = [StepEntry(name=f"step {number}", state=StepState.SUCCESS, at=5) for number in range(20)]
    progress.absorb(1, Progress(offset=0, output=b"", steps=entries, steps_read=10), log_limit=LIMIT)

    assert 409 == script.step("one more").status_code
    assert 200 == script.step("step 7").status_code


@pytest.mark.parametrize(
    ("outcome", "running"),
    [("success", "success"), ("failure", "failure"), ("cancelled", "failure"), ("lost", "failure")],
)
def test_at_the_end_no_step_is_left_open(
    script: Script, client: FlaskClient, auth: Auth, host: Host, outcome: str, running: str
) -> None:
    """One still running takes the outcome, one never reached is skipped."""
    script.step("Build", "running")

    host.end(1, DeploymentState(outcome))

    assert [("Build", running), ("Restart", "skipped")] == shown(client, auth)


def test_the_steps_of_the_last_success_are_expected_next(
    script: Script, client: FlaskClient, auth: Auth, host: Host, github: GitHub
) -> None:
    """Behind those that the file names, without those that were skipped."""
    script.step("Extra", "success")
    script.step("Build", "success")
    host.end(1)
    github.push(before=sha(2), after=sha(3))

    host.begin(2, steps=["Build"])

    told = client.get("/api/v1/deployments/2", headers=auth("viewer")).get_json()["steps"]
    assert [("Build", 1, "pending"), ("Extra", 2, "pending")] == [
        (step["name"], step["position"], step["state"]) for step in told
    ]


def test_a_cancelled_one_in_the_queue_learns_nothing(queued: int, client: FlaskClient, auth: Auth) -> None:
    """A deployment that never began has no steps."""
    client.post(f"{PATH}/cancel", headers=auth("deployer"))

    assert 1 == queued
    assert [] == shown(client, auth)


# --- the end ---


@pytest.mark.parametrize("state", ["success", "failure"])
def test_a_script_may_report_the_end(script: Script, state: str) -> None:
    """It runs on until the engine has seen its process end; the word is kept."""
    response = script.finish(state, message="all good")

    assert (200, "running") == (response.status_code, response.get_json()["state"])
    row = Deployment.get()
    assert (state, "all good") == (row.reported_state, row.reported_message)


def test_the_first_word_about_the_end_stands(script: Script) -> None:
    """Saying it again is fine, changing it is not."""
    assert 200 == script.finish("success").status_code
    assert 200 == script.finish("success").status_code
    assert 409 == script.finish("failure").status_code
    assert "success" == Deployment.get().reported_state


@pytest.mark.parametrize("definition", [{}, {"finish": "exit"}])
def test_where_the_exit_status_decides_the_end_cannot_be_reported(
    queued: int, client: FlaskClient, host: Host, definition: dict[str, str]
) -> None:
    """409, with what to set."""
    script = Script(client, host.begin(queued, definition=definition))

    response = script.finish("success")

    assert 409 == response.status_code
    assert 'finish = "report"' in response.get_json()["detail"]
    assert Deployment.get().reported_state is None


@pytest.mark.parametrize("state", ["cancelled", "lost", "running", "done", None, 1])
def test_only_success_and_failure_are_ends(script: Script, state: Any) -> None:
    """422 for everything else."""
    assert 422 == script.finish(state).status_code
    assert Deployment.get().reported_state is None


# --- the log ---


def keep(offset: int, data: bytes, *, limit: int = LIMIT) -> None:
    """Take over output as the engine does."""
    progress.absorb(1, Progress(offset=offset, output=data, steps=[], steps_read=0), log_limit=limit)


@pytest.mark.usefixtures("queued")
def test_a_log_that_is_empty_is_empty(client: FlaskClient, auth: Auth) -> None:
    """200 and nothing, also before it has begun."""
    response = client.get(f"{PATH}/log", headers=auth("viewer"))

    assert (200, b"", "0") == (response.status_code, response.data, response.headers["X-Log-End"])
    assert "X-Log-Gap" not in response.headers


@pytest.mark.usefixtures("queued")
def test_the_log_is_the_bytes_as_they_came(client: FlaskClient, auth: Auth) -> None:
    """Neither decoded nor interpreted: a browser that is shown it must not guess either."""
    output = b"\xff\xfe <script>alert(1)</script>\r\n\0 \xc3\xbc"
    keep(0, output[:5])
    keep(5, output[5:])

    response = client.get(f"{PATH}/log", headers=auth("viewer"))

    assert output == response.data
    assert "text/plain" == response.mimetype
    assert "nosniff" == response.headers["X-Content-Type-Options"]


@pytest.mark.usefixtures("queued")
@pytest.mark.parametrize(("offset", "rest"), [(0, b"0123456789"), (4, b"456789"), (9, b"9"), (10, b""), (99, b"")])
def test_the_log_is_read_on_from_an_offset(client: FlaskClient, auth: Auth, offset: int, rest: bytes) -> None:
    """As the one who follows it asks for what is new."""
    keep(0, b"01234")
    keep(5, b"56789")

    response = client.get(f"{PATH}/log?offset={offset}", headers=auth("viewer"))

    assert (rest, "10") == (response.data, response.headers["X-Log-End"])


@pytest.mark.usefixtures("queued")
@pytest.mark.parametrize("offset", ["-1", "x", "", "1.5", "9" * 30, "\uff11"])
def test_an_offset_that_is_none_is_refused(client: FlaskClient, auth: Auth, offset: str) -> None:
    """422."""
    assert 422 == client.get(f"{PATH}/log", query_string={"offset": offset}, headers=auth("viewer")).status_code


@pytest.mark.usefixtures("queued")
def test_an_offset_inside_the_gap_is_answered_from_its_end(client: FlaskClient, auth: Auth) -> None:
    """The header says which bytes are not there; behind the gap it is absent."""
    head, tail = b"h" * 500, b"t" * 500
    keep(0, head)
    keep(3_000, tail)

    answers = {
        offset: client.get(f"{PATH}/log?offset={offset}", headers=auth("viewer"))
        for offset in (0, 499, 500, 2_999, 3_000)
    }

    assert {0: head + tail, 499: b"h" + tail, 500: tail, 2_999: tail, 3_000: tail} == {
        offset: answer.data for offset, answer in answers.items()
    }
    assert {0: "500-3000", 499: "500-3000", 500: "500-3000", 2_999: "500-3000", 3_000: None} == {
        offset: answer.headers.get("X-Log-Gap") for offset, answer in answers.items()
    }


@pytest.mark.usefixtures("queued")
def test_a_service_token_reads_its_log(client: FlaskClient, auth: Auth) -> None:
    """Whoever may start it may see what came of it."""
    keep(0, b"done\n")

    assert b"done\n" == client.get(f"{PATH}/log", headers=auth.service("shop")).data


@pytest.mark.usefixtures("script")
def test_what_could_not_begin_says_so_in_its_log(client: FlaskClient, auth: Auth) -> None:
    """The reason stands where one looks for it."""
    progress.fail(1, "there is no ./deploy.sh", Masker([]), now=1, log_limit=LIMIT)

    told = client.get(PATH, headers=auth("viewer")).get_json()
    assert ("failure", "there is no ./deploy.sh") == (told["state"], told["reason"])
    assert b"there is no ./deploy.sh" in client.get(f"{PATH}/log", headers=auth("viewer")).data


@pytest.mark.usefixtures("script")
def test_progress_that_comes_twice_is_taken_once() -> None:
    """After a restart the engine may read again what it has read."""
    entry = StepEntry(name="Build", state=StepState.SUCCESS, at=7_000, started=5_000)
    told = Progress(offset=0, output=b"abc", steps=[entry], steps_read=40)

    for _ in range(2):
        progress.absorb(1, told, log_limit=LIMIT)

    assert b"abc" == logs.read(1).data
    build = Step.get(Step.deployment == 1, Step.name == "Build")
    assert (5_000, 7_000) == (build.started, build.finished)


@pytest.mark.usefixtures("script")
def test_progress_is_taken_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in its middle leaves nothing behind: it is read again."""
    told = Progress(
        offset=0, output=b"abc", steps=[StepEntry(name="Build", state=StepState.SUCCESS, at=1)], steps_read=40
    )

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(steps, "report", broken)
        with pytest.raises(RuntimeError, match="broken"):
            progress.absorb(1, told, log_limit=LIMIT)

    assert b"" == logs.read(1).data
    assert 0 == store.write(lambda: Deployment.get().steps_read)


@pytest.mark.usefixtures("script")
def test_a_step_that_cannot_be_kept_does_not_hold_up_the_rest(client: FlaskClient, auth: Auth) -> None:
    """What a script appends to its steps file is not checked before."""
    bad, good = StepEntry(name="", state=StepState.RUNNING, at=1), StepEntry(name="B", state=StepState.RUNNING, at=2)

    progress.absorb(1, Progress(offset=0, output=b"", steps=[bad, good], steps_read=9), log_limit=LIMIT)

    assert ("B", "running") == shown(client, auth)[-1]


# --- secrets ---


def test_secrets_in_a_report_are_hidden_before_they_are_kept(
    queued: int, client: FlaskClient, host: Host, settings: Settings
) -> None:
    """Those that the deployment's own definition names, and its token; one that cannot be read hides no other."""
    for name, value in (("PASSWORD", "hunter2!"), ("SHORT", "ab/def"), ("OTHER", "not given")):
        secrets.put(settings.secrets_dir, "shop", name, value)
    headers = host.begin(queued, definition={"finish": "report", "secrets": ["GONE", "PASSWORD", "SHORT"]})
    token = headers["Authorization"].removeprefix("Bearer ")
    script = Script(client, headers)

    answers = [
        script.step("Log in with hunter2!", "running", message=f"curl -H 'Authorization: Bearer {token}'"),
        script.step("ab/def" * 33, "success", message="m" * 4_092 + "hunter2!"),
        script.step("not given", "success", message='{"path": "ab\\/def", "auth": "dXNlcjpodW50ZXIyIQ=="}'),
        script.finish("failure", message="no login with hunter2!"),
    ]

    assert [200] * 4 == [answer.status_code for answer in answers]
    assert not any(value in answer.text for answer in answers for value in ("hunter2", "ab/def", token))
    assert [
        ("Log in with ********", "curl -H 'Authorization: Bearer ********'"),
        ("*" * 200, "m" * 4_092 + "****"),
        ("not given", '{"path": "********", "auth": "dXNlcjp********"}'),
    ] == [(step.name, step.message) for step in Step.select().order_by(Step.position)]
    assert "no login with ********" == Deployment.get_by_id(queued).reported_message


def test_secret_that_was_replaced_is_hidden_by_its_new_value(
    queued: int, client: FlaskClient, host: Host, settings: Settings
) -> None:
    """What is kept for the next report is asked for by the values themselves."""
    script = Script(client, host.begin(queued, definition={"secrets": ["PASSWORD"]}))

    for value in ("hunter2!", "hunter3!"):
        secrets.put(settings.secrets_dir, "shop", "PASSWORD", value)
        assert "********" == script.step(value).get_json()["name"]
