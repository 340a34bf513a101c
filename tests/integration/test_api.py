"""The API: the shapes of its answers, its lists, and its errors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from callers import (
    REPOSITORY,
    SOON,
    Auth,
    GitHub,
    Host,
    ServiceFiles,
    be_patient,
    bearer,
    is_problem,
    on_sqlite,
    sha,
    sync,
)
from databases import Raw
from fastdeploy_bot import store
from fastdeploy_bot.app import create_app
from fastdeploy_bot.settings import Settings
from reading import queries

V1 = "/api/v1"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture(autouse=True)
def shop(service: ServiceFiles, app: Flask) -> ServiceFiles:
    """A service that the bot knows."""
    service("shop", description="The web shop", supersede=False)
    sync(app)
    return service


@pytest.fixture
def get(client: FlaskClient, auth: Auth) -> Any:  # a function with query parameters of every kind
    """Read something as a viewer."""

    def call(path: str, **query: Any) -> TestResponse:
        return client.get(f"{V1}{path}", query_string=query, headers=auth("viewer"))

    return call


@pytest.fixture
def five(github: GitHub) -> None:
    """Five pushes, each with a deployment."""
    for number in range(1, 6):
        github.push(guid=f"g-{number}", before=sha(number), after=sha(number + 1), pushed_at=SOON + number)


# --- shapes ---


def test_a_deployment_has_the_shape_that_is_promised(get: Any, github: GitHub, host: Host) -> None:
    """Every key is there at every time; what is not known yet is null."""
    github.push(guid="g-1", title="Fix the till", actor="octocat")
    queued = get("/deployments/1").get_json()
    host.begin(1, steps=["Build"])
    host.end(1, exit_status=0)

    ended = get("/deployments/1").get_json()

    assert queued.keys() == ended.keys()
    assert {
        "id": 1,
        "service": "shop",
        "state": "queued",
        "sha": sha(2),
        "ref": "refs/heads/main",
        "before": sha(1),
        "repository": REPOSITORY,
        "title": "Fix the till",
        "actor": "octocat",
        "origin": "push",
        "started": None,
        "finished": None,
        "exit_status": None,
        "signal": None,
        "reason": "",
        "waits_for": None,
        "eta": None,
        "progress": None,
        "longer": False,
        "parent": None,
        "taken_over_by": None,
        "delivery": "g-1",
        "cancelling": False,
        "steps": [],
        "report": None,
        "reports": [],
        "url": "http://127.0.0.1:8000/deployments/1",
    } == {key: value for key, value in queued.items() if key != "created"}
    assert ("success", 0) == (ended["state"], ended["exit_status"])
    assert all(TIME.fullmatch(ended[key]) for key in ("created", "started", "finished"))
    assert [("Build", "skipped")] == [(step["name"], step["state"]) for step in ended["steps"]]


def test_a_service_shows_what_is_live_last_and_queued(get: Any, github: GitHub, host: Host) -> None:
    """Live is the last success, whatever came after it."""
    for number in (1, 2, 3):
        github.push(before=sha(number), after=sha(number + 1), pushed_at=SOON + number)
    host.begin(1)
    host.end(1)

    told = get("/services/shop").get_json()

    assert ("shop", "The web shop", REPOSITORY) == (told["name"], told["description"], told["repository"])
    assert (sha(2), 1) == (told["live"]["sha"], told["live"]["deployment"])
    assert TIME.fullmatch(told["live"]["since"])
    assert (3, "queued") == (told["last"]["id"], told["state"])
    assert [2, 3] == told["queue"]
    assert (None, "", None) == (told["lock"], told["problem"], told["removed"])


def test_a_service_that_never_deployed_has_nothing_to_show(get: Any) -> None:
    """The same keys, empty."""
    told = get("/services/shop").get_json()

    assert (None, None, None, []) == (told["state"], told["live"], told["last"], told["queue"])


def test_a_delivery_has_the_shape_that_is_promised(get: Any, github: GitHub) -> None:
    """What came, from where, and what was decided."""
    github.push(guid="g-1")

    told = get("/deliveries/g-1").get_json()

    assert ("g-1", "push", REPOSITORY, "refs/heads/main") == (
        told["guid"],
        told["event"],
        told["repository"],
        told["ref"],
    )
    assert (sha(1), sha(2), "127.0.0.1", True) == (told["before"], told["after"], told["peer"], told["replayable"])
    assert TIME.fullmatch(told["received"])
    assert [{"service", "verdict", "reason", "deployment"}] == [verdict.keys() for verdict in told["verdicts"]]
    assert "body" not in told


# --- lists ---


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize(("path", "key"), [("/deployments", "id"), ("/deliveries", "guid")])
def test_lists_are_read_page_by_page_newest_first(get: Any, path: str, key: str) -> None:
    """`next` leads on, and is null at the end."""
    pages: list[list[str]] = []
    before: dict[str, int] = {}
    while len(pages) < 9:
        page = get(path, limit=2, **before).get_json()
        assert {"items", "next"} == page.keys()
        pages.append([str(item[key]).removeprefix("g-") for item in page["items"]])
        if page["next"] is None:
            break
        before = {"before": page["next"]}

    assert [["5", "4"], ["3", "2"], ["1"]] == pages


@pytest.mark.usefixtures("five")
def test_a_page_that_is_just_full_is_the_last(get: Any) -> None:
    """No empty page comes behind it."""
    page = get("/deployments", limit=5).get_json()

    assert (5, None) == (len(page["items"]), page["next"])


@pytest.mark.parametrize("path", ["/deployments", "/deliveries"])
@pytest.mark.parametrize("name", ["limit", "before"])
@pytest.mark.parametrize("value", ["0", "-1", "x", "", "1.5", "1e3", "9" * 30, "\uff12", "1 "])
def test_a_bad_page_is_refused(get: Any, path: str, name: str, value: str) -> None:
    """422, naming the parameter."""
    response = get(path, **{name: value})

    assert is_problem(response, 422)
    assert name in response.get_json()["detail"]


def test_a_page_has_at_most_200_items(get: Any) -> None:
    """More is refused, not silently cut."""
    assert 200 == get("/deployments", limit=200).status_code
    assert 422 == get("/deployments", limit=201).status_code


def test_lists_that_are_empty_are_lists(get: Any) -> None:
    """200 with no items."""
    for path in ("/deployments", "/deliveries"):
        assert {"items": [], "next": None} == get(path).get_json()


def test_services_are_listed_by_name(get: Any, shop: ServiceFiles, app: Flask) -> None:
    """Without those that were removed."""
    shop("api", repository="octo-org/api")
    shop("gone", repository="octo-org/gone")
    sync(app)
    shop.remove("gone")
    sync(app)

    assert ["api", "shop"] == [each["name"] for each in get("/services").get_json()["items"]]


@pytest.mark.parametrize("path", ["/services", "/deployments"])
def test_a_list_costs_the_same_for_many(get: Any, github: GitHub, service: ServiceFiles, app: Flask, path: str) -> None:
    """Of services and of deployments, however many there are."""
    counts = []
    for many in (1, 12):
        for number in range(many):
            service(f"service-{number}", repository=f"octo-org/{number}")
        sync(app)
        for number in range(many):
            github.push(repository=f"octo-org/{number}", repository_id=number + 1, after=sha(100 * many + number))
        get(path)  # that the token was used is noted once
        with queries() as seen:
            found = get(path).json["items"]
        counts.append(len(seen))

    assert len(found) >= 12
    assert counts[0] == counts[1] <= 20


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({"service": "shop"}, [5, 4, 3, 2, 1]),
        ({"service": "none"}, []),
        ({"state": "queued"}, [5, 4, 3, 2]),
        ({"state": "running"}, [1]),
        ({"state": "success"}, []),
        ({"sha": sha(3)}, [2]),
        ({"sha": sha(12).upper()}, []),
        ({"sha": sha(3), "state": "running"}, []),
        ({"service": "shop", "state": "queued", "limit": 1, "before": 4}, [3]),
    ],
)
def test_deployments_are_filtered(get: Any, host: Host, filters: dict[str, Any], ids: list[int]) -> None:
    """By service, state and sha, each alone and together."""
    host.begin(1)

    assert ids == [each["id"] for each in get("/deployments", **filters).get_json()["items"]]


def test_a_state_that_is_none_is_refused(get: Any) -> None:
    """422: an empty list would hide the slip."""
    assert is_problem(get("/deployments", state="succes"), 422)


# --- errors ---


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"a": }', b'{"days": "7"', b"[1] 2", b"nul", b"[" * 100_000])
@pytest.mark.parametrize("path", ["/deployments", "/services/shop/tokens", "/token"])
def test_malformed_json_is_refused(client: FlaskClient, auth: Auth, path: str, body: bytes) -> None:
    """400: it cannot be read at all."""
    response = client.post(V1 + path, data=body, headers=auth("admin"))

    assert is_problem(response, 400)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/deployments", []),
        ("/deployments", {"service": 7}),
        ("/deployments", {"service": "shop", "sha": sha(2), "shaa": sha(3)}),
        ("/deployments", {"service": "shop", "sha": 7}),
        ("/deployments", {"service": "shop", "ref": ["main"]}),
        ("/deployments", {"service": "shop", "sha": sha(2), "context": "x"}),
        ("/deployments", {"service": "shop", "sha": sha(2), "context": [1]}),
        ("/services/shop/tokens", {"days": "7"}),
        ("/services/shop/tokens", {"days": 0}),
        ("/services/shop/tokens", {"days": 367}),
        ("/services/shop/tokens", {"days": 2**80}),
        ("/token", {}),
        ("/token", {"username": "a"}),
        ("/token", {"username": 1, "password": "x"}),
        ("/token", "x"),
    ],
)
def test_wrong_types_and_values_are_refused(client: FlaskClient, auth: Auth, path: str, body: Any) -> None:
    """422: it was read, but cannot be used."""
    assert is_problem(client.post(V1 + path, json=body, headers=auth("admin")), 422)


def test_a_body_that_no_call_needs_is_refused(client: FlaskClient, auth: Auth) -> None:
    """413, before it is read into memory."""
    response = client.post(f"{V1}/deployments", data=b" " * (1024 * 1024 + 1), headers=auth("admin"))

    assert is_problem(response, 413)


@pytest.mark.parametrize(
    "path", ["/api/", "/api/v1", "/api/v1/", "/api/v1/none", "/api/v2/services", "/webhooks/gitlab"]
)
def test_a_path_that_is_none_is_a_problem(client: FlaskClient, path: str) -> None:
    """404 as problem+json, also for a program that says it takes HTML."""
    assert is_problem(client.get(path, headers={"Accept": "text/html"}), 404)


@pytest.mark.parametrize("number", ["99", "0", "-1", "1.0", "x", str(2**63 - 1), str(2**63), "9" * 40])
def test_a_deployment_that_is_none_is_not_found(get: Any, number: str) -> None:
    """404 for every number and for what is none."""
    assert is_problem(get(f"/deployments/{number}"), 404)
    assert is_problem(get(f"/deployments/{number}/log"), 404)


@pytest.mark.parametrize("name", ["none", "SHOP", "..", "%00", "%ff", "a%2fb", "x" * 5_000, "shop%20", "'--"])
def test_a_service_that_is_none_is_not_found(get: Any, name: str) -> None:
    """404 for every name, however odd."""
    assert is_problem(get(f"/services/{name}"), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/deployments", {"GET", "POST"}),
        ("GET", "/deployments/1/cancel", {"POST"}),
        ("PUT", "/services/shop", {"GET"}),
        ("GET", "/token", {"POST"}),
    ],
)
def test_a_wrong_method_is_told_which_are_right(client: FlaskClient, method: str, path: str, allowed: set[str]) -> None:
    """405 as problem+json with Allow."""
    response = client.open(V1 + path, method=method)

    assert is_problem(response, 405)
    assert allowed == set(re.split(r",\s*", response.headers["Allow"])) - {"HEAD", "OPTIONS"}


def test_a_browser_is_shown_a_page(client: FlaskClient) -> None:
    """Outside the API an error is for eyes, and nothing in the address becomes markup."""
    accept = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}

    response = client.get("/<script>alert(1)</script>", headers=accept)

    assert (404, "text/html") == (response.status_code, response.mimetype)
    assert "404" in response.text
    assert "<script>alert" not in response.text


def test_anyone_else_is_told_a_problem(client: FlaskClient) -> None:
    """Also outside the API, and without any Accept."""
    assert is_problem(client.get("/none"), 404)
    assert is_problem(client.get("/none", headers={"Accept": "*/*"}), 404)


def test_a_fault_of_the_bot_tells_nothing_of_its_inside(
    get: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 as problem+json; what happened stands in the bot's own log."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the secret key")

    with monkeypatch.context() as patch:
        patch.setattr("fastdeploy_bot.core.looks.listing.service", broken)
        response = get("/services/shop")

    assert is_problem(response, 500)
    assert "the secret key" not in response.text
    assert "the secret key" in caplog.text


def test_a_database_that_is_locked_is_told_to_come_again(
    auth: Auth, settings: Settings, raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 with Retry-After; once the lock is gone all goes on."""
    headers, wish = auth("deployer"), {"service": "shop", "sha": sha(2)}
    store.disconnect()
    be_patient(monkeypatch, 0.05)
    app = create_app(settings)
    impatient = app.test_client()
    raw.begin_writing()

    refused = impatient.post(f"{V1}/deployments", json=wish, headers=headers)
    reading = impatient.get(f"{V1}/deployments", headers=headers)
    raw.execute("ROLLBACK")

    assert is_problem(refused, 503)
    assert int(refused.headers["Retry-After"]) > 0
    assert 200 == reading.status_code
    assert 201 == impatient.post(f"{V1}/deployments", json=wish, headers=headers).status_code


@on_sqlite
def test_a_database_that_is_gone_is_told_so(client: FlaskClient, home: Path) -> None:
    """503 with Retry-After from readyz and from every read; the process itself is well."""
    store.disconnect()
    for path in home.glob("fastdeploy.db*"):
        path.unlink()

    ready = client.get("/readyz")
    read = client.get(f"{V1}/services", headers=bearer("fdu_x"))

    assert is_problem(ready, 503)
    assert "fastdeploy migrate" in ready.get_json()["detail"]
    assert is_problem(read, 503)
    assert {"5"} == {answer.headers["Retry-After"] for answer in (ready, read)}
    assert 200 == client.get("/healthz").status_code


def test_readyz_is_ready(client: FlaskClient) -> None:
    """200 where the database can be written."""
    assert 200 == client.get("/readyz").status_code
    assert 200 == client.get("/healthz").status_code


def test_sync_tells_what_it_found(client: FlaskClient, auth: Auth, shop: ServiceFiles) -> None:
    """What was added, changed, removed and refused."""
    shop("added", repository="octo-org/added")
    shop("shop", repository="octo-org/store")
    shop.text("bad", "repository = 7\n")

    told = client.post(f"{V1}/services/sync", headers=auth("admin")).get_json()

    assert (["added", "bad"], ["shop"], []) == (told["added"], told["changed"], told["removed"])
    assert ["bad"] == list(told["refused"])
    assert "services/bad/service.toml: repository" in told["refused"]["bad"]
