"""What a deploy script is given, what its end means, and how many run at once."""

from __future__ import annotations

import itertools
import json
import os
import pwd
import sys
from pathlib import Path

import pytest

from bots import Bot, BotMaker, Toml, wait_for

NUMBERS = itertools.count(1)

HELD = "#!/bin/sh\nuntil [ -e go ]; do sleep 0.02; done\n"
"""Ends once the file `go` stands in the service's folder."""

SLEEP = "#!/bin/sh\nsleep 60\n"

DUMP = f"""#!{sys.executable}
import json, os
with open("environment", "w") as dump:
    json.dump(dict(os.environ), dump)
"""
"""Writes its environment into a file: secrets and tokens are hidden in what it prints."""

ALWAYS = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TMPDIR"}
FACTS = (
    {"FASTDEPLOY_DEPLOYMENT", "FASTDEPLOY_SERVICE", "FASTDEPLOY_REPOSITORY", "FASTDEPLOY_REF", "FASTDEPLOY_BRANCH"}
    | {"FASTDEPLOY_TAG", "FASTDEPLOY_SHA", "FASTDEPLOY_BEFORE", "FASTDEPLOY_ACTOR", "FASTDEPLOY_ENVIRONMENT"}
    | {"FASTDEPLOY_CONTEXT", "FASTDEPLOY_SERVICE_DIR", "FASTDEPLOY_CHECKOUT", "FASTDEPLOY_URL"}
    | {"FASTDEPLOY_STEPS_URL", "FASTDEPLOY_STEPS_FILE", "FASTDEPLOY_TOKEN", "FASTDEPLOY_RUN", "FASTDEPLOY_CLONE_URL"}
)
"""`RUN` is how the bot finds the processes of a run again."""
FOR_EPHES = {"STEPS_URL", "ACCESS_TOKEN", "CONTEXT", "DEPLOY_CONFIG_FILE"}


@pytest.fixture
def name() -> str:
    """A service's name of the test's own."""
    return f"script{next(NUMBERS)}"


# --- what it is given


def test_the_environment_is_what_was_promised_and_nothing_else(make_bot: BotMaker) -> None:
    """Nothing of the bot's own environment reaches a script that was not given it."""
    bot = make_bot(
        FASTDEPLOY_SECRET_KEY="key-of-the-bot-" + 32 * "k",
        FASTDEPLOY_WEBHOOK_SECRETS="webhook-secret-of-the-bot",
        DATABASE_PASSWORD="password-of-the-bot",
        SSH_AUTH_SOCK="/run/agent",
        TMPDIR="/var/tmp",
    ).start()
    folder = bot.service(
        "shop", DUMP, env={"APP_ENV": "production"}, secrets=["DB_PASSWORD"], pass_env=["SSH_AUTH_SOCK"]
    )
    bot.run("secret", "set", "shop", "DB_PASSWORD", stdin="correct horse", expect=0)

    bot.run_service("shop")

    environment = json.loads((folder / "environment").read_text())
    given = {
        "APP_ENV": "production",
        "DB_PASSWORD": "correct horse",
        "SSH_AUTH_SOCK": "/run/agent",
        "TMPDIR": "/var/tmp",
    }
    known = "XDG_RUNTIME_DIR" in bot.environment or Path(f"/run/user/{os.getuid()}").is_dir()
    bots_own = {"XDG_RUNTIME_DIR"} if known else set()
    assert ALWAYS | FACTS | FOR_EPHES | given.keys() | bots_own == environment.keys()
    assert given == {key: environment[key] for key in given}
    assert not [key for key, value in environment.items() if "of-the-bot" in value]
    assert bot.secret not in environment.values()


def test_the_facts_of_the_deployment_are_in_the_environment(bot: Bot, name: str) -> None:
    """Each variable says what the row says."""
    folder = bot.service(name, DUMP, environment="production")
    sha = "7" * 40

    ended = bot.run_service(name, sha=sha, ref="refs/heads/main", context={"ticket": 7})

    environment = json.loads((folder / "environment").read_text())
    expected = {
        "DEPLOYMENT": str(ended["id"]),
        "SERVICE": name,
        "REPOSITORY": f"octo-org/{name}",
        "REF": "refs/heads/main",
        "BRANCH": "main",
        "TAG": "",
        "SHA": sha,
        "ACTOR": "admin",
        "ENVIRONMENT": "production",
        "SERVICE_DIR": str(folder),
        "CHECKOUT": "",
        "URL": ended["url"],
        "STEPS_URL": f"{bot.url}/api/v1/deployments/{ended['id']}/steps",
    }
    assert expected == {key: environment[f"FASTDEPLOY_{key}"] for key in expected}
    assert {"ticket": 7} == json.loads(environment["FASTDEPLOY_CONTEXT"])
    assert environment["CONTEXT"] == environment["FASTDEPLOY_CONTEXT"]
    assert environment["ACCESS_TOKEN"] == environment["FASTDEPLOY_TOKEN"]
    assert pwd.getpwuid(os.getuid()).pw_dir == environment["HOME"]


def test_it_runs_in_its_folder_in_a_session_of_its_own_with_nothing_to_read(bot: Bot, name: str) -> None:
    """Working directory, session, standard input and the first entry of PATH, as the script sees them."""
    folder = bot.service(
        name,
        f"""#!{sys.executable}
import os, shutil, sys
print(os.getcwd())
print(os.getsid(0) == os.getpid())
print(repr(sys.stdin.read()))
print(shutil.which("fastdeploy"))
print(os.environ["PATH"].split(":")[0])
""",
    )

    ended = bot.run_service(name)

    bin_folder = bot.home / "bin"
    expected = [str(folder), "True", "''", str(bin_folder / "fastdeploy"), str(bin_folder)]
    assert expected == bot.log(ended["id"]).decode().splitlines()


def test_a_command_is_an_argument_list_and_never_a_shell_string(bot: Bot, name: str) -> None:
    """Arguments arrive as they stand in the service file."""
    bot.service(name, "#!/bin/sh\nprintf '[%s]' \"$@\"\n", command=["./deploy", "$(id)", "a b", ";", ""])

    ended = bot.run_service(name)

    assert b"[$(id)][a b][;][]" == bot.log(ended["id"])


def test_a_program_of_the_host_can_be_the_command(bot: Bot, name: str) -> None:
    """A name without a slash is looked up in PATH."""
    bot.service(name, None, command=["echo", "hello"])

    ended = bot.run_service(name)

    assert ("success", b"hello\n") == (ended["state"], bot.log(ended["id"]))


def test_a_changed_service_file_counts_for_the_next_deployment(bot: Bot, name: str) -> None:
    """Command and environment are read when the deployment is claimed."""
    bot.service(name, None, command=["echo", "before"])
    first = bot.run_service(name)

    bot.write_toml(name, repository=f"octo-org/{name}", command=["echo", "after"])
    second = bot.run_service(name)

    assert (b"before\n", b"after\n") == (bot.log(first["id"]), bot.log(second["id"]))


# --- what its end means


@pytest.mark.parametrize(
    ("script", "keys", "exit_status", "words"),
    [
        pytest.param("#!/bin/sh\nexit 3\n", {}, 3, ["exit status 3"], id="status"),
        pytest.param("#!/bin/sh\nkill -KILL $$\n", {}, None, ["SIGKILL"], id="killed"),
        pytest.param("#!/bin/sh\nkill -SEGV $$\n", {}, None, ["SIGSEGV"], id="crash"),
        pytest.param(SLEEP, {"timeout": "1s"}, None, ["timeout", "1s"], id="timeout"),
        pytest.param(SLEEP, {"timeout": "1m", "silence_timeout": "1s"}, None, ["silence", "1s"], id="silence"),
        pytest.param(None, {}, 127, ["./deploy", "no such file"], id="missing"),
        pytest.param(None, {"command": ["no-such-program"]}, 127, ["no-such-program"], id="unknown program"),
        pytest.param("#!/no/such/interpreter\n", {}, 126, ["./deploy", "interpreter"], id="interpreter"),
        pytest.param("echo without a first line\n", {}, 126, ["./deploy", "#!/bin/sh"], id="no first line"),
        pytest.param("#!/bin/sh\n", {"secrets": ["NEVER_SET"]}, None, ["NEVER_SET"], id="secret"),
    ],
)
def test_a_failure_says_why_in_row_and_log(
    bot: Bot, name: str, script: str | None, keys: dict[str, Toml], exit_status: int | None, words: list[str]
) -> None:
    """Whatever ended it, the reason can be read without asking the host."""
    bot.service(name, script, **keys)

    ended = bot.run_service(name)

    assert ("failure", exit_status) == (ended["state"], ended["exit_status"])
    assert [word for word in words if word in ended["reason"]] == words, ended["reason"]
    if not ended["reason"].startswith(("exit status", "killed by")):
        assert ended["reason"] in bot.log(ended["id"]).decode()


def test_a_script_that_is_not_executable_fails_with_the_reason(bot: Bot, name: str) -> None:
    """Root may do a lot, but runs no file without the bit either."""
    folder = bot.service(name, "#!/bin/sh\n")
    (folder / "deploy").chmod(0o644)

    ended = bot.run_service(name)

    assert "failure" == ended["state"]
    assert "not executable" in ended["reason"]
    assert ended["reason"] in bot.log(ended["id"]).decode()


def test_output_and_steps_keep_a_script_from_being_silent(bot: Bot, name: str) -> None:
    """`silence_timeout` counts from the last sign of life."""
    bot.service(
        name,
        "#!/bin/sh\nfor number in 1 2 3; do sleep 0.6; echo $number; done\n"
        "for number in 1 2 3; do sleep 0.6; fastdeploy step $number -- true; done\n",
        silence_timeout="2s",
    )

    ended = bot.run_service(name)

    assert "success" == ended["state"], ended["reason"]


def test_a_daemon_that_keeps_the_output_open_does_not_hold_the_end_back(bot: Bot, name: str) -> None:
    """What a script leaves running on purpose may go on; the deployment has ended."""
    bot.service(name, "#!/bin/sh\nsleep 50.5 &\necho started\n")

    ended = bot.run_service(name)

    assert ("success", b"started\n") == (ended["state"], bot.log(ended["id"]))


# --- finish = "report"


def reporting(bot: Bot, name: str, script: str, **keys: Toml) -> tuple[int, str]:
    """Start a deployment whose end is to be reported; answers its number and its token."""
    save = '#!/bin/sh\nprintf %s "$FASTDEPLOY_TOKEN" > token.new\nmv token.new token\n'
    folder = bot.service(name, save + script, finish="report", **keys)
    number = bot.deploy(name)
    wait_for((folder / "token").exists)
    return number, (folder / "token").read_text()


@pytest.mark.parametrize("outcome", ["success", "failure"])
def test_a_reported_end_is_the_deployments_end(bot: Bot, name: str, outcome: str) -> None:
    """Exit 0 leaves it running; steps still count; the report decides."""
    number, token = reporting(bot, name, "touch ended\n")
    wait_for((bot.home / "services" / name / "ended").exists)

    step = {"name": "Elsewhere", "state": "running"}
    bot.post(f"/deployments/{number}/steps", step, token=token)
    before = bot.deployment(number)["state"]
    bot.post(f"/deployments/{number}/finish", {"state": outcome, "message": "three hosts"}, token=token)
    ended = bot.wait_end(number)

    assert ("running", outcome) == (before, ended["state"])
    assert "three hosts" == ended["reason"]
    assert [("Elsewhere", outcome)] == [(step["name"], step["state"]) for step in ended["steps"]]


def test_a_bad_exit_status_fails_at_once_though_the_end_was_to_be_reported(bot: Bot, name: str) -> None:
    """Nobody has to wait for a report that will not come."""
    number, _ = reporting(bot, name, "exit 5\n")

    ended = bot.wait_end(number)

    assert ("failure", 5) == (ended["state"], ended["exit_status"])


def test_an_end_that_is_never_reported_is_a_timeout(bot: Bot, name: str) -> None:
    """The time limit goes on after the script's own end."""
    number, _ = reporting(bot, name, "exit 0\n", timeout="1s")

    ended = bot.wait_end(number)

    assert "failure" == ended["state"]
    assert "timeout" in ended["reason"]


def test_where_the_exit_status_decides_no_end_can_be_reported(bot: Bot, name: str) -> None:
    """POST …/finish is a conflict, and changes nothing."""
    folder = bot.service(name, '#!/bin/sh\nprintf %s "$FASTDEPLOY_TOKEN" > new\nmv new token\n' + HELD)
    number = bot.deploy(name)
    wait_for((folder / "token").exists)

    bot.post(f"/deployments/{number}/finish", {"state": "failure"}, expect=409, token=(folder / "token").read_text())
    (folder / "go").touch()

    assert "success" == bot.wait_end(number)["state"]


# --- how many at once


def test_a_service_runs_one_deployment_at_a_time_in_order(bot: Bot, name: str) -> None:
    """What a person starts waits for its turn, and is superseded by nothing."""
    folder = bot.service(
        name,
        "#!/bin/sh\nmkdir alone || exit 9\nsleep 0.1\nrmdir alone\necho $FASTDEPLOY_DEPLOYMENT >> order\n",
    )

    started = [bot.deploy(name) for _ in range(4)]
    ended = bot.wait_idle(name)

    assert ["success"] * 4 == [row["state"] for row in ended]
    assert started == [int(number) for number in (folder / "order").read_text().split()]


def test_no_more_than_max_running_run_at_once(make_bot: BotMaker) -> None:
    """The next one begins when a place is free, without anybody asking."""
    bot = make_bot(FASTDEPLOY_MAX_RUNNING="2").start()
    folders = [bot.service(f"shop{number}", HELD) for number in range(3)]
    started = [bot.deploy(f"shop{number}") for number in range(3)]
    for number in started[:2]:
        bot.wait_state(number, "running")

    waiting = bot.deployment(started[2])["state"]
    (folders[0] / "go").touch()
    bot.wait_state(started[2], "running")
    for folder in folders:
        (folder / "go").touch()

    assert "queued" == waiting
    assert ["success"] * 3 == [bot.wait_end(number)["state"] for number in started]
