"""Telling GitHub: from a push to the commit's status, whatever happens to GitHub or to the bot meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import appkeys
import fakehub
from bots import Bot, BotMaker, wait_for
from fakehub import FakeHub
from fastdeploy_bot.forge.github.payloads import push_document

WAITS = """#!/bin/sh
echo '{"name": "Migrate", "state": "running"}' >> "$FASTDEPLOY_STEPS_FILE"
touch begun
until [ -e go ]; do sleep 0.02; done
exit $(cat go)
"""
"""Waits for the file `go`, which holds its exit status."""

REPOSITORY = "octo-org/shop"
COMMITS = [f"{number:040x}" for number in range(0xA0, 0xA4)]


@pytest.fixture
def told_bot(make_bot: BotMaker, hub: FakeHub) -> Bot:
    """A bot with a token for that GitHub, not started."""
    return make_bot(FASTDEPLOY_GITHUB_API_URL=hub.url, FASTDEPLOY_GITHUB_TOKEN=fakehub.TOKEN)


def push(bot: Bot, number: int = 1) -> int:
    """Push one commit after the other to main, and answer the deployment that it starts."""
    body = push_document(
        repository=REPOSITORY,
        repository_id=fakehub.MOVED,
        before=COMMITS[number - 1],
        after=COMMITS[number],
        pushed_at=1_700_000_000 + number,
    )
    [verdict] = bot.deliver(body).json()["verdicts"]
    assert "deploy" == verdict["verdict"], verdict
    started: int = verdict["deployment"]
    return started


def let_go(folder: Path, status: int = 0) -> None:
    """Let the script go on, to end with this status."""
    wait_for((folder / "begun").exists)
    (folder / "go.new").write_text(str(status))
    (folder / "go.new").rename(folder / "go")


def wait_told(hub: FakeHub, commit: str, state: str) -> fakehub.Status:
    """The newest status of a commit, once it is in that state."""
    wait_for(lambda: [state] == hub.states(commit)[-1:])
    return hub.told(commit)[-1]


@pytest.mark.parametrize(("status", "outcome"), [(0, "success"), (3, "failure")])
def test_a_push_is_told_from_pending_to_its_outcome(told_bot: Bot, hub: FakeHub, status: int, outcome: str) -> None:
    """With the step that it failed at, and a link to its page."""
    folder = told_bot.service("shop", WAITS)
    told_bot.start()

    number = push(told_bot)
    pending = wait_told(hub, COMMITS[1], "pending")
    let_go(folder, status)
    told = wait_told(hub, COMMITS[1], outcome)

    assert {pending.target_url, told.target_url} == {f"{told_bot.url}/deployments/{number}"}
    assert told.description.startswith("Failed at Migrate · exit status 3" if status else "Deployed in ")
    wait_for(lambda: not told_bot.deployment(number)["report"]["owed"])
    report = told_bot.deployment(number)["report"]
    assert ("fastdeploy/shop", outcome, "") == (report["context"], report["state"], report["problem"])
    assert fakehub.TOKEN not in told_bot.output()


def test_a_github_app_tells_with_a_token_of_its_own(make_bot: BotMaker, hub: FakeHub, tmp_path: Path) -> None:
    """Its key lies in a file; neither key nor token is in the log."""
    (tmp_path / "app.pem").write_text(appkeys.pem())
    bot = make_bot(
        FASTDEPLOY_GITHUB_API_URL=hub.url,
        FASTDEPLOY_GITHUB_CLIENT_ID=fakehub.CLIENT_ID,
        FASTDEPLOY_GITHUB_PRIVATE_KEY_FILE=str(tmp_path / "app.pem"),
    )
    bot.service("shop", "#!/bin/sh\n")
    bot.start()

    push(bot)
    wait_told(hub, COMMITS[1], "success")

    writing = [token for token, what in hub.tokens.items() if "statuses" in what.permissions]
    assert {f"Bearer {token}" for token in writing} == {
        call.headers["authorization"] for call in hub.calls if "/statuses/" in call.path
    }
    assert not [token for token in hub.tokens if token in bot.output()]
    assert "PRIVATE KEY" not in bot.output()


def test_what_is_superseded_gets_the_state_of_what_took_its_place(told_bot: Bot, hub: FakeHub) -> None:
    """Three commits are pushed, two of them are deployed, and all three are told."""
    folder = told_bot.service("shop", WAITS)
    told_bot.start()

    push(told_bot, 1)
    wait_for((folder / "begun").exists)
    push(told_bot, 2)
    push(told_bot, 3)
    wait_for(lambda: f"ships with {COMMITS[3][:7]}" in [status.description for status in hub.told(COMMITS[2])])
    let_go(folder)

    for commit in COMMITS[1:]:
        wait_told(hub, commit, "success")
    assert hub.told(COMMITS[2])[-1].description.startswith(f"shipped with {COMMITS[3][:7]}: Deployed in ")


def test_a_github_that_is_down_holds_nothing_up_and_is_told_later(told_bot: Bot, hub: FakeHub) -> None:
    """The deployment begins and ends; what is true by then is told when GitHub is back."""
    told_bot.service("shop", "#!/bin/sh\n")
    told_bot.start()
    hub.down = True

    number = push(told_bot)
    ended = told_bot.wait_end(number)
    wait_for(lambda: told_bot.deployment(number)["report"]["problem"])
    report = told_bot.deployment(number)["report"]
    hub.down = False
    wait_told(hub, COMMITS[1], "success")

    assert "success" == ended["state"]
    assert (True, "GitHub cannot be reached: the connection failed") == (report["owed"], report["problem"])
    assert ["success"] == hub.states(COMMITS[1])


def test_a_bot_that_is_killed_tells_the_end_after_its_next_start(told_bot: Bot, hub: FakeHub) -> None:
    """Of a deployment that ended while nobody was there, and in the middle of another call."""
    folder = told_bot.service("shop", WAITS)
    told_bot.start()
    number = push(told_bot)
    wait_told(hub, COMMITS[1], "pending")
    wait_for((folder / "begun").exists)

    told_bot.kill()
    let_go(folder)
    told_bot.start()
    wait_told(hub, COMMITS[1], "success")

    assert "success" == told_bot.deployment(number)["state"]
    assert ["pending", "success"] == hub.states(COMMITS[1])


def test_a_bot_that_is_killed_while_it_tells_tells_again(told_bot: Bot, hub: FakeHub) -> None:
    """Nobody can know whether that call arrived."""
    told_bot.service("shop", "#!/bin/sh\n")
    told_bot.start()
    hub.fail(fakehub.Fault(hold=(patience := threading.Event())))
    number = push(told_bot)
    assert hub.held.wait(30)
    told_bot.wait_end(number)

    told_bot.kill()
    told_bot.start()
    told = wait_told(hub, COMMITS[1], "success")
    patience.set()

    assert told.description.startswith("Deployed in ")


def test_several_processes_of_a_bot_tell_everything_once(make_bot: BotMaker, hub: FakeHub) -> None:
    """One of them has the duty."""
    bot = make_bot(
        FASTDEPLOY_GITHUB_API_URL=hub.url,
        FASTDEPLOY_GITHUB_TOKEN=fakehub.TOKEN,
        FASTDEPLOY_WEB_PROCESSES="3",
    )
    folder = bot.service("shop", WAITS)
    bot.start()

    number = push(bot)
    wait_told(hub, COMMITS[1], "pending")
    let_go(folder)
    wait_told(hub, COMMITS[1], "success")
    wait_for(lambda: not bot.deployment(number)["report"]["owed"])

    told = hub.told(COMMITS[1])
    assert len(set(told)) == len(told)


def test_stopping_does_not_wait_for_a_slow_github(told_bot: Bot, hub: FakeHub) -> None:
    """And a stop in the middle of a call loses nothing."""
    told_bot.service("shop", "#!/bin/sh\n")
    told_bot.start()
    hub.fail(fakehub.Fault(hold=(patience := threading.Event())))
    push(told_bot)
    assert hub.held.wait(30)

    status = told_bot.stop(seconds=20)
    patience.set()
    told_bot.start()

    assert 0 == status
    wait_told(hub, COMMITS[1], "success")


def test_without_credentials_nothing_is_owed_and_nothing_asked_for(make_bot: BotMaker, hub: FakeHub) -> None:
    """GitHub does not hear of the bot."""
    bot = make_bot(FASTDEPLOY_GITHUB_API_URL=hub.url)
    bot.service("shop", "#!/bin/sh\n")
    bot.start()

    ended = bot.wait_end(push(bot))

    assert ("success", None) == (ended["state"], ended["report"])
    assert [] == hub.calls


@pytest.mark.parametrize("command", [("check",), ("serve",)])
def test_a_private_key_that_is_none_is_told_at_the_start(make_bot: BotMaker, command: tuple[str, ...]) -> None:
    """By the setting's name, without what stands there."""
    bot = make_bot()

    done = bot.run(
        *command, env={"FASTDEPLOY_GITHUB_APP_ID": "7", "FASTDEPLOY_GITHUB_PRIVATE_KEY": "hunter2"}, expect=1
    )

    assert "FASTDEPLOY_GITHUB_PRIVATE_KEY: expected an RSA private key" in done.stderr + done.stdout
    assert "hunter2" not in done.stderr + done.stdout


# --- deployments and check runs


@pytest.fixture
def app_bot(make_bot: BotMaker, hub: FakeHub, tmp_path: Path) -> Bot:
    """A bot that is a GitHub App there, not started."""
    (tmp_path / "app.pem").write_text(appkeys.pem())
    return make_bot(
        FASTDEPLOY_GITHUB_API_URL=hub.url,
        FASTDEPLOY_GITHUB_CLIENT_ID=fakehub.CLIENT_ID,
        FASTDEPLOY_GITHUB_PRIVATE_KEY_FILE=str(tmp_path / "app.pem"),
    )


def wait_all_told(bot: Bot, number: int) -> dict[str, str]:
    """The state of all that GitHub was told of a deployment, by kind, once nothing is owed."""
    wait_for(lambda: not any(each["owed"] for each in bot.deployment(number)["reports"]))
    return {each["kind"]: each["state"] for each in bot.deployment(number)["reports"]}


@pytest.mark.parametrize(("status", "outcome"), [(0, "success"), (3, "failure")])
def test_a_push_becomes_a_deployment_and_a_check_run(app_bot: Bot, hub: FakeHub, status: int, outcome: str) -> None:
    """Beside its status, in six calls: the second push makes the first deployment inactive, too."""
    script = WAITS.replace("exit", "echo 'api/views.py:12: no such till'\nexit")
    folder = app_bot.service("shop", script, report=ALL, **PRODUCTION)
    app_bot.start()
    (folder / "go").write_text("0")
    wait_all_told(app_bot, push(app_bot))
    before = len(told(hub))

    (folder / "go").write_text(str(status))
    number = push(app_bot, 2)
    app_bot.wait_end(number)
    reports = wait_all_told(app_bot, number)

    assert {"status": outcome, "deployment": outcome, "check": outcome} == reports
    earlier, deployment = hub.deployments
    assert (["success", "inactive"] if outcome == "success" else ["success"]) == earlier.states
    assert (COMMITS[2], "production", [outcome]) == (deployment.sha, deployment.environment, deployment.states)
    assert "https://shop.example" == deployment.statuses[-1].environment_url
    run = hub.check_runs[-1]
    assert ("fastdeploy / shop", COMMITS[2], outcome) == (run["name"], run["head_sha"], run["conclusion"])
    assert "| <code>Migrate</code> |" in run["output"]["summary"]
    places = [(each["path"], each["start_line"]) for each in run["annotations"]]
    assert ([("api/views.py", 12)] if outcome == "failure" else []) == places
    assert len(told(hub)) - before <= 6, told(hub)[before:]


ALL = ["status", "deployment", "check"]
PRODUCTION = {"environment": "production", "url": "https://shop.example"}


def told(hub: FakeHub) -> list[str]:
    """What GitHub was asked for, without tokens."""
    return [path for path in hub.paths() if not path.endswith(("/installation", "/access_tokens"))]


@pytest.mark.parametrize("place", ["/deployments", "/check-runs"])
def test_a_bot_that_is_killed_while_something_is_made_makes_nothing_twice(
    app_bot: Bot, hub: FakeHub, place: str
) -> None:
    """It looks for it after its next start."""
    folder = app_bot.service("shop", WAITS, report=ALL)
    app_bot.start()
    hub.fail(fakehub.Fault(hold=(patience := threading.Event())), on=place)
    number = push(app_bot)
    assert hub.held.wait(30)
    app_bot.kill()
    patience.set()
    wait_for(lambda: [path for path in told(hub) if path.endswith(place)])
    app_bot.start()
    let_go(folder)
    app_bot.wait_end(number)

    assert {"status": "success", "deployment": "success", "check": "success"} == wait_all_told(app_bot, number)
    assert (1, 1) == (len(hub.deployments), len(hub.check_runs))
