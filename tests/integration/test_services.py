"""Services: the files are the source of truth, the rows outlive them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from callers import REPOSITORY, REPOSITORY_ID, Auth, GitHub, Host, ServiceFiles, bearer, issue_for_service, sha, states
from callers import sync as look
from fastdeploy_bot.core.deploying import services
from fastdeploy_bot.core.deploying.services import Sync
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.errors import NotFound
from fastdeploy_bot.store.models import Deployment, Service, Token

NOTHING = Sync(added=[], changed=[], removed=[], refused={})


# --- the files ---


def test_where_there_is_no_folder_there_is_no_service(catalogue: Catalogue) -> None:
    """A home that was just made has none yet."""
    assert {} == catalogue.entries()
    assert catalogue.get("shop") is None


def test_what_is_no_service_is_passed_over(catalogue: Catalogue, service: ServiceFiles) -> None:
    """Files beside the folders, and folders without a service file."""
    service("shop")
    (service.folder / "README").write_text("hello")
    (service.folder / "drafts").mkdir()

    assert ["shop"] == list(catalogue.entries())


def test_a_changed_file_is_read_again(catalogue: Catalogue, service: ServiceFiles) -> None:
    """Without a restart, also when its size and its time of change stay the same."""
    path = service("shop", description="aaa")
    assert "aaa" == description(catalogue)
    before = path.stat()

    service("shop", description="bbb")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert "bbb" == description(catalogue)


def test_a_file_that_was_replaced_is_read_again(catalogue: Catalogue, service: ServiceFiles, tmp_path: Path) -> None:
    """As editors do: a new file in its place."""
    path = service("shop", description="aaa")
    assert "aaa" == description(catalogue)

    new = tmp_path / "new.toml"
    new.write_text(path.read_text().replace("aaa", "bbb"))
    new.rename(path)

    assert "bbb" == description(catalogue)


def test_an_unchanged_file_is_not_read_again(catalogue: Catalogue, service: ServiceFiles) -> None:
    """A push costs one look at each file, not one reading of it."""
    service("shop")

    assert catalogue.get("shop") is catalogue.get("shop")


def test_one_bad_file_stops_one_service(catalogue: Catalogue, service: ServiceFiles) -> None:
    """Each bad one says what is wrong as `file: key: what`; the good one stands."""
    service("good")
    service.text("syntax", "repository = \n")
    service.text("unknown", f'repository = "{REPOSITORY}"\ntimeot = "5m"\n')
    service.text("empty", "")
    service("Bad_Name")
    (service.folder / "binary").mkdir()
    (service.folder / "binary" / "service.toml").write_bytes(b"\xff\xfe\0")
    (service.folder / "folder" / "service.toml").mkdir(parents=True)
    (service.folder / "loop").symlink_to("loop")

    entries = catalogue.entries()

    assert ["good"] == [name for name, entry in entries.items() if entry.file is not None]
    assert all(entry.problem.startswith(f"services/{name}") for name, entry in entries.items() if name != "good")
    assert "services/unknown/service.toml: timeot: unknown key" in entries["unknown"].problem
    assert "repository: missing" in entries["empty"].problem


def test_a_file_that_was_mended_is_good_again(catalogue: Catalogue, service: ServiceFiles) -> None:
    """Nothing else needs to be done."""
    service.text("shop", "oops")
    entry = catalogue.get("shop")
    assert entry is not None
    assert entry.file is None

    service("shop")

    assert "" == description(catalogue)


def test_a_name_that_is_no_text_stops_only_itself(app: Flask, service: ServiceFiles, github: GitHub) -> None:
    """A folder's name may be any bytes; the other services go on."""
    service("shop")
    folder = os.fsencode(service.folder) + b"/caf\xe9"
    os.mkdir(folder)  # noqa: PTH102 - bytes
    Path(os.fsdecode(folder), "service.toml").write_text(f'repository = "{REPOSITORY}"\n')

    found = look(app)

    assert "shop" in found.added
    assert 1 == len(found.refused)
    assert 202 == github.push().status_code
    assert [("shop", "queued")] == states()


def description(catalogue: Catalogue) -> str:
    """The description of shop as its file says now."""
    entry = catalogue.get("shop")
    assert entry is not None
    assert entry.file is not None
    return entry.file.description


# --- the rows ---


def test_a_new_file_is_a_new_service(app: Flask, service: ServiceFiles) -> None:
    """Told once; the second look finds nothing."""
    service("shop")

    assert ["shop"] == look(app).added
    assert NOTHING == look(app)
    assert not NOTHING


def test_a_repository_is_known_without_case(app: Flask, service: ServiceFiles) -> None:
    """Writing it otherwise is no change."""
    service("shop", repository="Octo-Org/Shop")
    look(app)
    service("shop", repository="octo-org/shop")

    assert NOTHING == look(app)
    assert "octo-org/shop" == services.find("shop").repository


def test_a_bad_file_is_a_service_with_a_problem(app: Flask, service: ServiceFiles) -> None:
    """It is shown with what is wrong; when it is mended, the problem is gone, and its id is still pinned."""
    path = service("shop")
    good = path.read_text()
    look(app)
    Service.update(repository_id=REPOSITORY_ID).execute()

    path.write_text("oops")
    broken = look(app)
    problem = services.find("shop").problem
    path.write_text(good)
    mended = look(app)

    assert (["shop"], ["shop"]) == (broken.changed, list(broken.refused))
    assert problem.startswith("services/shop/service.toml: ")
    assert (["shop"], {}) == (mended.changed, mended.refused)
    assert ("", REPOSITORY_ID) == (services.find("shop").problem, services.find("shop").repository_id)


def test_a_removed_service_loses_its_queue_and_its_tokens(app: Flask, service: ServiceFiles, github: GitHub) -> None:
    """What is queued is cancelled with the reason; every token is revoked."""
    service("shop", supersede=False)
    github.push()
    github.push(before=sha(2), after=sha(3))
    issue_for_service("shop")
    service.remove("shop")

    found = look(app)

    assert ["shop"] == found.removed
    assert [("shop", "cancelled")] * 2 == states()
    assert {"service shop was removed"} == {row.reason for row in Deployment.select()}
    assert all(row.finished for row in Deployment.select())
    assert all(row.revoked for row in Token.select())


def test_a_removed_services_running_deployment_runs_on(
    app: Flask, service: ServiceFiles, github: GitHub, host: Host
) -> None:
    """A script is not torn off in its middle because a file is gone."""
    service("shop")
    github.push()
    script = host.begin(1)
    service.remove("shop")

    look(app)
    step = app.test_client().post(
        "/api/v1/deployments/1/steps", json={"name": "Build", "state": "running"}, headers=script
    )
    host.end(1)

    assert 200 == step.status_code
    assert [("shop", "success")] == states()


def test_a_removed_service_keeps_its_history(
    app: Flask, client: FlaskClient, service: ServiceFiles, github: GitHub, host: Host, auth: Auth
) -> None:
    """It can still be read, with the moment of its removal; it is not listed."""
    service("shop")
    github.push(guid="g-1")
    host.begin(1)
    host.end(1)
    service.remove("shop")
    look(app)

    shown = client.get("/api/v1/services/shop", headers=auth("viewer"))
    listed = client.get("/api/v1/services", headers=auth("viewer")).get_json()["items"]
    old = client.get("/api/v1/deployments?service=shop", headers=auth("viewer")).get_json()["items"]

    assert 200 == shown.status_code
    assert shown.get_json()["removed"].endswith("Z")
    assert 1 == shown.get_json()["live"]["deployment"]
    assert [] == listed
    assert [1] == [each["id"] for each in old]
    assert "shop" == client.get("/api/v1/deliveries/g-1", headers=auth("viewer")).get_json()["verdicts"][0]["service"]


@pytest.mark.parametrize("looked", [False, True])
def test_a_push_of_a_service_whose_file_was_never_good_is_refused(
    app: Flask, service: ServiceFiles, github: GitHub, looked: bool
) -> None:
    """What is wrong with the file is the reason, where the file says at least which repository it is about."""
    service("shop", repository="Octo-Org/Shop", tiemout="5m")
    if looked:
        look(app)

    (told,) = github.push().get_json()["verdicts"]

    assert ("shop", "refused", None) == (told["service"], told["verdict"], told["deployment"])
    assert "tiemout" in told["reason"]
    assert "octo-org/shop" == services.find("shop").repository


def test_a_bad_file_maps_a_known_service_to_no_other_repository(app: Flask, service: ServiceFiles) -> None:
    """It may be half written: what was known before stands until the file is good."""
    service("shop", repository="octo-org/shop")
    look(app)

    service("shop", repository="octo-org/blog", tiemout="5m")
    look(app)

    assert "octo-org/shop" == services.find("shop").repository


def test_a_removed_service_gets_no_verdict_and_no_token(
    app: Flask, client: FlaskClient, service: ServiceFiles, github: GitHub, auth: Auth
) -> None:
    """Nothing starts it until its file is back."""
    service("shop")
    look(app)
    service.remove("shop")
    look(app)

    push = github.push()
    token = client.post("/api/v1/services/shop/tokens", headers=auth("admin"))

    assert [] == push.get_json()["verdicts"]
    assert 404 == token.status_code


def test_a_push_after_the_removal_starts_nothing_before_anyone_looked(
    app: Flask, service: ServiceFiles, github: GitHub
) -> None:
    """The file decides at the moment of the push; that it is away is told, since editors put files back."""
    service("shop")
    look(app)
    service.remove("shop")

    (told,) = github.push().get_json()["verdicts"]
    assert ("shop", "refused", None) == (told["service"], told["verdict"], told["deployment"])


def test_a_service_that_is_back_goes_on_where_it_was(
    app: Flask, client: FlaskClient, service: ServiceFiles, github: GitHub, host: Host
) -> None:
    """The same row with its history and its pinned id; old tokens stay dead."""
    service("shop")
    github.push()
    host.begin(1)
    host.end(1)
    token = issue_for_service("shop")
    service.remove("shop")
    look(app)

    service("shop")
    back = look(app)

    assert ["shop"] == back.added
    assert (1, None, REPOSITORY_ID) == (
        Service.select().count(),
        services.find("shop").removed,
        services.find("shop").repository_id,
    )
    assert 401 == client.get("/api/v1/services", headers=bearer(token)).status_code
    assert "deploy" == github.push(before=sha(2), after=sha(3)).get_json()["verdicts"][0]["verdict"]


@pytest.mark.usefixtures("database")
def test_a_service_nobody_knows_is_not_found() -> None:
    """The message says how to see those that there are."""
    with pytest.raises(NotFound, match="fastdeploy services"):
        services.find("none")


def test_a_service_file_counts_before_its_row_is_there(client: FlaskClient, service: ServiceFiles, auth: Auth) -> None:
    """Whoever reads is told what the files say at this moment; nothing is written."""
    service("shop", description="The web shop")

    listed = client.get("/api/v1/services", headers=auth("viewer")).get_json()
    shown = client.get("/api/v1/services/shop", headers=auth("viewer")).get_json()

    assert ["The web shop"] == [each["description"] for each in listed["items"]]
    assert "The web shop" == shown["description"]
    assert 0 == Service.select().count()
