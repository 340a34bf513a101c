"""Commits: what pushes bring, how far what is live is behind, and why the newest push is not live."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient

from callers import SOON, Auth, Browser, GitHub, Host, ServiceFiles, document, sha, verdicts
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import between, deliveries
from fastdeploy_bot.core.deploying import locking, rollbacks
from fastdeploy_bot.core.deploying.locking import Wish
from fastdeploy_bot.forge.github.payloads import Author, Commit
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Delivery, Deployment
from fastdeploy_bot.web.context import EXTENSION
from fastdeploy_bot.words import LOCAL, DeploymentState, WebhookSecret
from reading import text

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
def test_a_commit_has_its_title_however_it_was_asked_for(
    push: Pushes, client: FlaskClient, auth: Auth, deployer: Browser
) -> None:
    """By a token, by its sha, once more: as a push brought it, as its head or below that."""
    push(1, 2, 3)
    assert f"Deploy {sha(3)} “Change 3”, the head of main" in text(deployer, "/services/shop")

    titles = {}
    for wish in ({"sha": sha(2)}, {"sha": sha(3)}, {}, {"sha": sha(9)}):
        told = client.post("/api/v1/deployments", json=wish, headers=auth.service("shop")).get_json()
        titles[told["id"]] = told["title"]
    shown = text(deployer, "/")

    assert ["Change 2", "Change 3", "Change 3", ""] == list(titles.values())
    assert f"{sha(2)[:7]} “Change 2”" in shown
    first = min(titles)
    store.write(lambda: Deployment.update(title="").where(Deployment.sha == sha(2)).execute())
    deployer.post(f"/deployments/{first}/cancel")
    again = deployer.post(f"/deployments/{first}/retry", nonce="n").location
    assert f"{sha(2)[:7]} “Change 2”" in text(deployer, again)


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


# --- why the newest push is not live ----------------------------------------------------------------------


def told(browser: Browser, path: str = "/services/shop") -> str:
    """The sentence on the newest push, without when it was pushed."""
    found = text(browser, path, 'id="newest"').partition(" repository ")[0]
    return re.sub(r", pushed .*? ago: ", ": ", found)


def entries(app: Flask) -> Any:  # a mapping
    """The service files as they are now."""
    return app.extensions[EXTENSION].catalogue.entries()


@pytest.mark.usefixtures("live")
def test_it_waits_for_its_turn_and_runs(push: Pushes, deployer: Browser, host: Host) -> None:
    """The sentence leads to the deployment."""
    push(1, 2)
    assert told(deployer).startswith("main is at 0002000: queued")
    assert 'href="/deployments/2">queued' in deployer.get("/services/shop").text

    host.begin(2)
    assert told(deployer).startswith("main is at 0002000: being deployed")


@pytest.mark.usefixtures("live")
def test_it_waits_for_checks(push: Pushes, service: ServiceFiles, deployer: Browser, app: Flask) -> None:
    """Which ones is said."""
    app.extensions[EXTENSION].catalogue._tells = lambda: True
    service("shop", wait_for=["ci/test"])
    push(1, 2)

    assert told(deployer).startswith("main is at 0002000: waits for checks: ci/test")


@pytest.mark.usefixtures("live")
def test_it_waits_for_a_lock(push: Pushes, deployer: Browser, app: Flask) -> None:
    """Whose, and why."""
    locking.lock("shop", entries(app), Wish(reason="freeze"), by=LOCAL, now=clock.now())
    push(1, 2)

    assert told(deployer).startswith("main is at 0002000: waits, locked by local: freeze")


@pytest.mark.usefixtures("live")
def test_it_failed(push: Pushes, deployer: Browser, host: Host) -> None:
    """When, and why where that is known; a retry takes its place."""
    push(1, 2)
    ship(host, FAILURE)
    assert re.match(r"main is at 0002000: failure (just now|\d+ s ago)", told(deployer))

    assert 303 == deployer.post("/deployments/2/retry", nonce="a-form-of-its-own").status_code
    assert told(deployer).startswith("main is at 0002000: queued")


@pytest.mark.usefixtures("live")
def test_it_was_cancelled(push: Pushes, deployer: Browser) -> None:
    """By whom."""
    push(1, 2)
    assert 303 == deployer.post("/deployments/2/cancel", nonce="a-form-of-its-own").status_code

    assert re.match(r"main is at 0002000: cancelled .*: cancelled by deployer before it began", told(deployer))


@pytest.mark.usefixtures("live")
def test_it_was_rolled_back(push: Pushes, deployer: Browser, host: Host, app: Flask) -> None:
    """And is held back; the page says so where the rollback is all that the row tells, too."""
    push(1, 2)
    ship(host)
    store.write(lambda: rollbacks.roll_back("shop", entries(app), by=LOCAL, now=clock.now()))
    ship(host)

    assert told(deployer).startswith("main is at 0002000: rolled back by local, and held back since")
    assert "rolled back by local, and held back since" in text(deployer, "/")
    assert "1 commit behind" in text(deployer, "/")


@pytest.mark.usefixtures("live")
def test_another_commit_went_live_since(push: Pushes, deployer: Browser, host: Host) -> None:
    """By somebody's own wish."""
    push(1, 2)
    ship(host)
    assert 303 == deployer.post("/deployments/1/retry", nonce="a-form-of-its-own").status_code
    ship(host)

    assert re.match(r"main is at 0002000: deployed .*; since then 0001000 went live", told(deployer))


@pytest.mark.parametrize(
    ("keys", "fields", "expected"),
    [
        ({"auto": False}, {}, "ignored: its service file lets deployments start by hand only (auto = false)"),
        ({"paths": ["api/**"]}, {}, "ignored: 1 file changed since 0001000, none matches paths (api/**)"),
        ({}, {"listed": [Commit(id=sha(2), message="[skip ci]")]}, "ignored: the message of 0002000 says [skip ci]"),
        ({"wait_for": ["test"]}, {}, "refused: wait_for: the bot has no credentials to ask GitHub for checks"),
    ],
)
@pytest.mark.usefixtures("live")
def test_it_was_not_wanted(
    keys: dict[str, Any],
    fields: dict[str, Any],
    expected: str,
    push: Pushes,
    service: ServiceFiles,
    deployer: Browser,
) -> None:
    """The sentence leads to the delivery, and stands on the overview as well."""
    service("shop", **keys)
    push(1, 2, **fields)

    assert told(deployer).startswith(f"main is at 0002000: {expected}")
    assert expected in text(deployer, "/")
    assert re.search(r'href="/deliveries/guid-2">(ignored|refused)<', deployer.get("/").text)


@pytest.mark.usefixtures("live")
def test_it_was_refused_with_a_bad_file(push: Pushes, service: ServiceFiles, deployer: Browser) -> None:
    """Pushes of a ref that was deployed before tell of it, and no others."""
    service.text("shop", "tiemout = 1")
    push(1, 2)
    push(2, 3, ref="refs/heads/feature")

    assert "main is at 0002000: refused: services/shop/service.toml" in told(deployer)


@pytest.mark.usefixtures("live")
def test_other_branches_do_not_count(push: Pushes, deployer: Browser) -> None:
    """What is not deployed is not the newest push of what is."""
    push(1, 2, ref="refs/heads/feature")

    assert "main = live" in text(deployer, "/services/shop")


@pytest.mark.usefixtures("live")
def test_a_late_push_is_not_the_newest(push: Pushes, deployer: Browser, host: Host) -> None:
    """It is stale; the sentence is about the one that it came after."""
    push(2, 3, pushed_at=SOON + 50)
    ship(host)
    assert {"shop": "stale"} == push(1, 2, pushed_at=SOON + 10)

    assert "main = live" in text(deployer, "/services/shop")


class TestForgedPushes:
    """Somebody whose secret is bound to their own repositories."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        """One secret of ours, one of theirs."""
        secrets = (*settings.webhook_secrets, WebhookSecret("theirs", ("theirs/*",)))
        return msgspec.structs.replace(settings, webhook_secrets=secrets)

    @pytest.mark.usefixtures("live")
    def test_they_are_not_the_newest(self, github: GitHub, deployer: Browser) -> None:
        """Whoever may not sign for a repository has no say on its service's page."""
        forged = github.push(secret="theirs", repository="theirs/shop", before=sha(1), after=sha(2), pushed_at=SOON + 9)

        assert {"shop": "refused"} == verdicts(forged)
        assert "main = live" in text(deployer, "/services/shop")


@pytest.mark.usefixtures("live")
def test_a_branch_that_was_deleted_says_so(deployer: Browser, github: GitHub) -> None:
    """There is no commit that could be live."""
    github.push(before=sha(1), after="0" * 40, pushed_at=SOON + 90)

    assert re.match(r"main was deleted .* ago: ignored: branch main was deleted", told(deployer))
    assert "behind" not in text(deployer, "/")


# --- who sees how much ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("live")
def test_visitors_see_commits_but_no_names(app: Flask, push: Pushes, service: ServiceFiles) -> None:
    """Of a public service: how far and what, but no reasons, as these may name people."""
    push(1, 2, 3)
    service("shop", visibility="public")
    locking.lock("shop", entries(app), Wish(reason="freeze"), by=LOCAL, now=clock.now())
    visitor = Browser(app)

    page = text(visitor, "/services/shop", 'id="newest"')
    assert "main is at 0003000" in page
    assert ": waits" in page
    assert "2 commits behind" in text(visitor, "/")
    for path in ("/", "/services/shop", "/deployments/2"):
        assert not re.search("local|freeze|Ada|/deliveries/", visitor.get(path).text.partition("<main")[2])


@pytest.mark.usefixtures("live")
def test_visitors_who_see_states_see_no_pushes(app: Flask, push: Pushes, service: ServiceFiles) -> None:
    """Neither commits nor how many."""
    push(1, 2)
    service("shop", visibility="status")

    for path in ("/", "/services/shop"):
        page = Browser(app).get(path).text
        assert not re.search("behind|= live|newest push|0002000", page)


# --- what a deployment brought ----------------------------------------------------------------------------


@pytest.mark.usefixtures("live")
def test_a_deployment_lists_what_it_brought(push: Pushes, deployer: Browser, host: Host, app: Flask) -> None:
    """Seen from what was live before; of a rollback, what it takes back."""
    push(1, 2, 3)
    ship(host)
    store.write(lambda: rollbacks.roll_back("shop", entries(app), by=LOCAL, now=clock.now()))

    facts = text(deployer, "/deployments/2", 'id="facts"')
    assert "brought2 commits 0003000 Change 3 by Ada 0002000 Change 2 by Ada" in facts
    assert "bringstakes 2 commits back 0003000 Change 3" in text(deployer, "/deployments/3", 'id="facts"')
    assert "brought" not in text(deployer, "/deployments/1", 'id="facts"')


@pytest.mark.usefixtures("live")
def test_a_rollback_asks_with_what_it_takes_back(push: Pushes, deployer: Browser, host: Host) -> None:
    """And names the whole commit that it goes to."""
    push(1, 2, 3)
    ship(host)

    form = text(deployer, "/services/shop", 'id="rollback-ask"')
    assert f"Deploy {sha(1)}" in form
    assert "It rolls back 2 commits: 0003000 Change 3 by Ada" in form


# --- deliveries -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("live")
def test_each_verdict_is_a_sentence(push: Pushes, service: ServiceFiles, deployer: Browser) -> None:
    """With the word for it, the deployment and the reason."""
    service("docs", branches=["gh-pages"])
    push(1, 2)

    page = text(deployer, "/deliveries")
    assert "shop deploys it #2: branch main is now 0002000" in page
    assert "docs ignores it: branch main is not wanted: only gh-pages" in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("service=shop", ["guid-1", "guid-2"]),
        ("service=other", ["guid-3"]),
        (f"q={sha(2)[:7].upper()}", ["guid-2"]),
        ("q=feature", ["guid-3"]),
        ("q=octo-org/other&service=other", ["guid-3"]),
        ("q=octo-org/other&service=shop", []),
        ("q=%25", []),
        ("service=nobody", []),
    ],
)
@pytest.mark.usefixtures("live")
def test_deliveries_are_found(
    query: str, found: list[str], push: Pushes, service: ServiceFiles, deployer: Browser
) -> None:
    """By the service, by the beginning of a commit, and by part of a ref or repository."""
    push(1, 2)
    service("other", repository="octo-org/other", branches=["feature/*"])
    push(5, 6, repository="octo-org/other", repository_id=9, ref="refs/heads/feature/x")

    page = deployer.get(f"/deliveries?{query}").text

    assert found == sorted(set(re.findall(r'href="/deliveries/(guid-\d)"', page)))
    assert bool(found) != ("None of the last 200 is like that" in page)


@pytest.mark.usefixtures("live")
def test_only_the_last_deliveries_are_looked_through(
    push: Pushes, deployer: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are kept."""
    monkeypatch.setattr(deliveries, "SHOWN", 2)
    push(1, 2)
    push(2, 3)

    assert "None of the last 2" in text(deployer, f"/deliveries?q={sha(1)}")
    assert "guid-2" in deployer.get(f"/deliveries?q={sha(2)}").text


@pytest.mark.usefixtures("live")
def test_a_delivery_lists_its_commits(push: Pushes, deployer: Browser) -> None:
    """Of an earlier version's it does not know them."""
    push(1, 2, 3)
    assert "0003000 Change 3 by Ada 0002000 Change 2 by Ada" in text(deployer, "/deliveries/guid-2")

    Delivery.update(commits=None, size=None).execute()
    assert "Change 3" not in text(deployer, "/deliveries/guid-2")
    assert "main is at 0003000" in text(deployer, "/services/shop")
    assert "behind" not in text(deployer, "/services/shop")
    assert "Which commits go live by that is not known." in text(deployer, "/services/shop")


# --- the API ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("live")
def test_the_api_says_how_many_commits_it_is_behind(push: Pushes, client: FlaskClient, auth: Auth, host: Host) -> None:
    """0 where it is live, null where nobody knows."""

    def behind() -> object:
        return client.get("/api/v1/services/shop", headers=auth("viewer")).get_json()["behind"]

    assert 0 == behind()
    push(1, 2, 3)
    assert 2 == behind()
    push(7, 8)
    assert behind() is None
    ship(host)
    assert 0 == behind()
