"""Commands about a bot elsewhere: by its address and a token they do and print what they do on its host."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
from collections.abc import Callable
from contextlib import closing

import pytest

from bots import Bot, free_port, wait_for
from fastdeploy_bot.cli import ears
from fastdeploy_bot.cli.client import Client
from listeners import Answers, listening

NUMBERS = itertools.count(1)

SHA = "2" * 40

HELD = "until [ -e go ]; do sleep 0.02; done\n"
"""Waits for the file `go` in the service's folder."""

everywhere = pytest.mark.parametrize("by_url", [False, True], ids=["on the host", "by url"])


@pytest.fixture
def name() -> str:
    """A service's name of the test's own."""
    return f"remote{next(NUMBERS)}"


@pytest.fixture
def ended(bot: Bot, name: str) -> int:
    """A deployment that a push started, and that has ended; its delivery is named as its service."""
    bot.service(name, "#!/bin/sh\necho hello\nfastdeploy step Build -- true\n", description="A “shop”")
    pushed = {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": SHA,
        "repository": {"id": next(NUMBERS) + 9000, "full_name": f"octo-org/{name}", "default_branch": "main"},
        "head_commit": {"id": SHA, "message": "Mend the shop"},
    }
    answer = bot.deliver(json.dumps(pushed).encode(), guid=name).json()
    number: int = answer["verdicts"][0]["deployment"]
    bot.wait_end(number)
    return number


def said(done: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    """All that a caller notices of a command."""
    return done.returncode, done.stdout, done.stderr


# --- alike


@pytest.mark.parametrize(
    "arguments",
    [
        "services",
        "services --json",
        "status",
        "status NAME",
        "status NAME --json",
        "logs ID",
        "logs ID -f",
        "logs ID --json",
        "sync",
        "deliveries --limit 3",
        "deliveries --json",
        "deliveries show NAME",
        "deliveries show NAME --json",
        "token list NAME",
        "token list NAME --json",
    ],
)
def test_what_is_read_elsewhere_is_what_is_read_on_the_host(bot: Bot, name: str, ended: int, arguments: str) -> None:
    """Word for word."""
    words = arguments.replace("NAME", name).replace("ID", str(ended)).split()

    here, there = bot.run(*words, expect=0), bot.run(*words, by_url=True, expect=0)

    assert said(here) == said(there)
    assert here.stdout


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ("status no-such", 2),
        ("deploy no-such", 2),
        ("deploy NAME --sha main", 2),
        ("deploy NAME --context []", 2),
        ("logs 999999", 2),
        ("logs 999999 -f", 2),
        ("cancel 999999", 2),
        ("cancel ID", 1),
        ("retry 999999", 2),
        ("rollback no-such", 2),
        ("rollback NAME", 1),
        ("rollback NAME --to 999999", 2),
        ("lock no-such -m why", 2),
        ("lock NAME -m why --until 400d", 2),
        ("unlock no-such", 2),
        ("deliveries show no-such", 2),
        ("deliveries replay no-such", 2),
        ("deliveries --limit 0", 2),
        ("token create no-such", 2),
        ("token create NAME --days 0", 2),
        ("token list no-such", 2),
        ("token revoke NAME 999999", 2),
    ],
)
def test_what_is_refused_elsewhere_is_refused_alike_on_the_host(
    bot: Bot, name: str, ended: int, arguments: str, status: int
) -> None:
    """One line that says what is wrong, the same exit status, nothing on standard output."""
    words = arguments.replace("NAME", name).replace("ID", str(ended)).split()

    here, there = bot.run(*words), bot.run(*words, by_url=True)

    assert said(here) == said(there)
    assert (status, "") == (here.returncode, here.stdout)
    assert "Traceback" not in here.stderr


@pytest.mark.parametrize(("script", "status", "state"), [("exit 0", 0, "success"), ("exit 8", 1, "failure")])
def test_deploy_wait_ends_as_the_deployment_did(bot: Bot, name: str, script: str, status: int, state: str) -> None:
    """From elsewhere, too: each step, then the outcome, how long it took and where the page is."""
    bot.service(name, f"#!/bin/sh\nfastdeploy step Build -- true\n{script}\n")

    done = bot.run("deploy", name, "--sha", SHA, "--wait", by_url=True, expect=status)

    last = bot.deployments(name)[-1]
    assert (state, "admin", SHA) == (last["state"], last["actor"], last["sha"])
    lines = done.stdout.splitlines()
    assert f"Deployment {last['id']} of {name}" in lines[0]
    assert any(line.startswith("  ✓ Build success ") for line in lines)
    assert f"{name} #{last['id']} {state}" in lines[-2]
    assert " · took " in lines[-2]
    assert f"  {last['url']}" == lines[-1]


@everywhere
def test_a_deployment_is_cancelled_and_tried_again(bot: Bot, name: str, by_url: bool) -> None:
    """Who waits ends with 3; the second one runs by its own number."""
    bot.service(name, f'#!/bin/sh\n[ -n "$FASTDEPLOY_RUN" ] && [ -e once ] && exit 0\ntouch once\n{HELD}')
    waiting = bot.begin("deploy", name, "--sha", SHA, "--wait", by_url=by_url)
    [number] = wait_for(lambda: [row["id"] for row in bot.deployments(name) if row["state"] == "running"])
    wait_for((bot.home / "services" / name / "once").exists)

    bot.run("cancel", str(number), by_url=by_url, expect=0)
    output, _ = waiting.communicate(timeout=60)
    again = bot.run("retry", str(number), "--wait", "--json", by_url=by_url, expect=0)

    assert 3 == waiting.returncode, output
    assert (number, "success") == (json.loads(again.stdout)["parent"], json.loads(again.stdout)["state"])


@everywhere
def test_a_locked_service_waits_and_says_why(bot: Bot, name: str, by_url: bool) -> None:
    """Who waits is told once what for, and hears of the end when somebody unlocks."""
    bot.service(name, "#!/bin/sh\n")
    who = "admin" if by_url else "local"
    why = f"locked by {who}: the database moves"

    locked = bot.run("lock", name, "-m", "the database moves", "--until", "2h", by_url=by_url, expect=0).stdout
    waiting = bot.begin("deploy", name, "--sha", SHA, "--wait", by_url=by_url)
    wait_for(lambda: [row for row in bot.deployments(name) if row["state"] == "waiting"])
    status = bot.run("status", name, by_url=by_url, expect=0).stdout
    unlocked = [bot.run("unlock", name, by_url=by_url, expect=0).stdout for _ in range(2)]
    output, _ = waiting.communicate(timeout=60)

    assert locked.startswith(f"{name} {why} (until 2")
    assert why in status
    assert unlocked[0].startswith(f"{name} is unlocked; it was {why}")
    assert f"{name} was not locked\n" == unlocked[1]
    assert 0 == waiting.returncode, output
    assert output.count(f"⧖ waiting · {why}") <= 1


@everywhere
def test_a_rollback_deploys_the_commit_before_again(bot: Bot, name: str, by_url: bool) -> None:
    """As a deployment that names the one it repeats; the commit that was left is shown as held back."""
    bot.service(name, '#!/bin/sh\necho "$FASTDEPLOY_SHA"\n')
    first, second = (bot.run_service(name, sha=each, ref="main") for each in (SHA, "3" * 40))

    done = bot.run("rollback", name, "--wait", by_url=by_url, expect=0).stdout
    named = bot.run("rollback", name, "--to", str(second["id"]), "--wait", "--json", by_url=by_url, expect=0).stdout

    *_, back, forward = bot.deployments(name)
    assert f"{name} #{back['id']} success {SHA[:7]} · refs/heads/main · rollback to #{first['id']}" in done
    assert f"{SHA}\n".encode() == bot.log(back["id"])
    assert (second["id"], "3" * 40) == (forward["parent"], json.loads(named)["sha"])
    assert f"{SHA[:7]} held back by" in bot.run("status", name, by_url=by_url, expect=0).stdout


@everywhere
def test_deliveries_say_why_a_push_was_not_deployed_and_replay_decides_again(bot: Bot, name: str, by_url: bool) -> None:
    """By the service files as they are then."""
    bot.service(name, "#!/bin/sh\n", branches=["release"])
    pushed = {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": SHA,
        "repository": {"id": next(NUMBERS) + 9000, "full_name": f"octo-org/{name}", "default_branch": "main"},
    }
    bot.deliver(json.dumps(pushed).encode(), guid=name)

    before = bot.run("deliveries", "--limit", "1", by_url=by_url, expect=0).stdout
    bot.write_toml(name, repository=f"octo-org/{name}", command=["./deploy"], branches=["main"])
    replayed = bot.run("deliveries", "replay", name, by_url=by_url, expect=0).stdout

    assert f"octo-org/{name} · refs/heads/main · {SHA[:7]}" in before
    assert f"  ignore {name}: branch main is not wanted: only release" in before
    [row] = bot.wait_idle(name)
    assert f"  deploy {name} · #{row['id']}" in replayed
    assert ("replay", "success") == (row["origin"], row["state"])


@everywhere
def test_a_ping_cannot_be_replayed(bot: Bot, name: str, by_url: bool) -> None:
    """1, and what can."""
    bot.deliver(b'{"zen": "Keep it logically awesome."}', event="ping", guid=name)

    done = bot.run("deliveries", "replay", name, by_url=by_url, expect=1)

    assert "only pushes can be replayed" in done.stderr


# --- tokens


def test_a_service_token_may_what_it_may(bot: Bot, name: str) -> None:
    """Made from elsewhere, it deploys and reads its own service by the same commands, and steers nothing."""
    bot.service(name, "#!/bin/sh\necho hello\n")
    bot.service(f"{name}-other", "#!/bin/sh\n")
    made = bot.run("token", "create", name, "--days", "2", by_url=True, expect=0).stdout.strip()
    mine = {"FASTDEPLOY_USER_TOKEN": made}

    bot.run("deploy", name, "--sha", SHA, "--wait", by_url=True, env=mine, expect=0)
    [row] = bot.deployments(name)
    status = bot.run("status", by_url=True, env=mine, expect=0).stdout
    log = bot.run("logs", str(row["id"]), "-f", by_url=True, env=mine, expect=0).stdout
    cancelled = bot.run("cancel", str(row["id"]), by_url=True, env=mine, expect=1)
    other = bot.run("deploy", f"{name}-other", "--sha", SHA, by_url=True, env=mine, expect=1)

    assert made.startswith("fds_")
    assert "hello\n" == log
    assert name in status
    assert f"{name}-other" not in status
    assert "may not" in cancelled.stderr
    assert "may not" in other.stderr


def test_a_token_is_listed_and_revoked_from_elsewhere(bot: Bot, name: str) -> None:
    """What it opened is shut."""
    bot.service(name, "#!/bin/sh\n")
    made = bot.run("token", "create", name, by_url=True, expect=0).stdout.strip()
    [listed] = bot.read("token", "list", name, by_url=True)

    bot.run("token", "revoke", name, str(listed["id"]), by_url=True, expect=0)

    refused = bot.run("status", by_url=True, env={"FASTDEPLOY_USER_TOKEN": made}, expect=1)
    assert "revoked" in refused.stderr
    assert made not in refused.stderr


def test_login_prints_a_user_token_alone(bot: Bot) -> None:
    """`export FASTDEPLOY_USER_TOKEN=$(fastdeploy login …)` is all there is to it."""
    made = bot.run("login", "admin", "--password-stdin", by_url=True, stdin="correct horse battery\n", expect=0).stdout

    assert made.startswith("fdu_")
    assert 1 == len(made.split())
    bot.run("status", by_url=True, env={"FASTDEPLOY_USER_TOKEN": made}, expect=0)


def test_login_with_a_wrong_password_prints_no_token(bot: Bot) -> None:
    """1, as everything that is refused."""
    done = bot.run("login", "admin", "--password-stdin", by_url=True, stdin="guessed it\n", expect=1)

    assert "" == done.stdout
    assert "wrong" in done.stderr


@pytest.mark.parametrize(("token", "why"), [("fdu_guessed", "not known"), ("", "not set"), ("two words", "spaces")])
def test_a_token_that_is_none_is_refused_and_not_shown(bot: Bot, token: str, why: str) -> None:
    """What is wrong, never the token itself."""
    done = bot.run("status", by_url=True, env={"FASTDEPLOY_USER_TOKEN": token})

    assert done.returncode in (1, 2)
    assert why in done.stderr
    assert not token or token not in done.stderr


# --- addresses


def test_where_no_bot_answers_the_status_is_69(bot: Bot) -> None:
    """And the address that was tried is named."""
    nowhere = f"http://127.0.0.1:{free_port()}"

    for command in (["status"], ["deploy", "shop", "--wait"], ["logs", "1", "-f"], ["deliveries"]):
        done = bot.run(*command, "--url", nowhere, by_url=True, expect=69)

        assert nowhere in done.stderr
        assert 1 == len(done.stderr.splitlines())


def test_what_answers_and_is_no_bot_is_69_too(bot: Bot) -> None:
    """A proxy whose bot is away, or any other server."""

    class Gateway(Answers):
        def do_GET(self) -> None:
            self.answer(502, b"<h1>Bad Gateway</h1>", "text/html")

    with listening(Gateway) as url:
        done = bot.run("status", "--url", url, by_url=True, expect=69)

    assert "502" in done.stderr


def test_a_redirect_is_not_followed_with_the_token(bot: Bot) -> None:
    """The token goes to the address that it was given for; the other one is named."""
    asked: list[str] = []

    class Elsewhere(Answers):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.answer(200, b"{}")

    with listening(Elsewhere) as other:

        class Moved(Answers):
            def do_GET(self) -> None:
                self.answer(307, b"", Location=f"{other}{self.path}")

        with listening(Moved) as url:
            done = bot.run("status", "--url", url, by_url=True, expect=69)

    assert [] == asked
    assert other in done.stderr


def test_a_lost_answer_is_asked_for_again_and_nothing_starts_twice(bot: Bot) -> None:
    """The second request carries the first one's Idempotency-Key."""
    keys: list[str | None] = []

    class Hiccup(Answers):
        def do_POST(self) -> None:
            keys.append(self.headers["Idempotency-Key"])
            if len(keys) > 1:
                self.answer(409, b'{"detail": "no more"}', "application/problem+json")

    with listening(Hiccup) as url:
        done = bot.run("deploy", "shop", "--url", url, by_url=True, expect=1)

    first, second = keys
    assert first == second
    assert first
    assert "fastdeploy: no more\n" == done.stderr


@pytest.mark.parametrize("arguments", [["status"], ["login", "admin"]])
def test_no_token_goes_over_plain_http_unless_told_so(bot: Bot, arguments: list[str]) -> None:
    """Loopback is another thing: nobody listens there who could not anyway."""
    done = bot.run(*arguments, "--url", "http://deploy.invalid", by_url=True, expect=2)
    told = bot.run("status", "--url", "http://deploy.invalid", "--plain-http", by_url=True, expect=69)

    assert "https" in done.stderr
    assert "deploy.invalid" in told.stderr


@pytest.mark.parametrize(
    "arguments", ["init", "serve", "migrate", "check", "secret list shop", "user list", "simulate x", "step x -- true"]
)
def test_what_needs_the_host_says_so(bot: Bot, arguments: str) -> None:
    """It is not done to the wrong bot, nor silently here."""
    done = bot.run(*arguments.split(), by_url=True, expect=2)

    assert "works on the bot's own host only" in done.stderr


@pytest.mark.parametrize("arguments", ["init", "check", "secret list shop", "user list"])
def test_what_needs_the_host_says_so_of_its_own_option_too(bot: Bot, arguments: str) -> None:
    """Where users may well put it."""
    done = bot.run(*arguments.split(), "--url", bot.url, expect=2)

    assert "works on the bot's own host only" in done.stderr


def test_an_address_is_one_of_a_bot(bot: Bot) -> None:
    """The page's address is not, and the message shows what is."""
    done = bot.run("status", "--url", f"{bot.url}/deployments/1", by_url=True, expect=2)

    assert "https://deploy.example" in done.stderr


def test_one_bot_at_a_time(bot: Bot) -> None:
    """`--home` and `--url` name two."""
    done = bot.run("status", "--url", bot.url, expect=2)

    assert "--home" in done.stderr
    assert "--url" in done.stderr


# --- following


def stop(bot: Bot) -> None:
    """End the server as systemd does."""
    bot.stop()


def crash(bot: Bot) -> None:
    """End the server as the kernel does."""
    bot.kill()


@everywhere
@pytest.mark.parametrize("end", [stop, crash])
def test_following_outlives_a_restart_of_the_bot(own_bot: Bot, by_url: bool, end: Callable[[Bot], None]) -> None:
    """Each byte of the log once, each step once, and the true outcome."""
    one, two = "fastdeploy step One -- true\n", "fastdeploy step Two -- true\n"
    folder = own_bot.service("shop", f"#!/bin/sh\nseq 1000\n{one}{HELD}{two}seq 1001 2000\nexit 5\n")
    own_bot.start()
    waiting = own_bot.begin("deploy", "shop", "--sha", SHA, "--wait", by_url=by_url)
    [number] = wait_for(lambda: [row["id"] for row in own_bot.deployments("shop") if row["steps"]])
    following = own_bot.begin("logs", str(number), "-f", by_url=by_url)
    assert following.stdout is not None
    first = following.stdout.readline()

    end(own_bot)
    (folder / "go").touch()
    own_bot.start()
    with following.stdout as output:
        rest = output.read()
    told, _ = waiting.communicate(timeout=60)

    numbers = [line for line in (first + rest).splitlines() if line.isdigit()]
    assert [str(each) for each in range(1, 2001)] == numbers
    assert (0, 1) == (following.wait(), waiting.returncode), told
    assert [1, 1] == [told.count("✓ One success"), told.count("✓ Two success")]


def test_following_hears_by_the_feed(bot: Bot, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody looks by the clock, the bot's own word is what tells of more output and of the end."""
    monkeypatch.setattr(ears, "HEARING_SECONDS", 3_600.0)
    monkeypatch.setattr(ears, "DEAF_SECONDS", 3_600.0)
    folder = bot.service(name, f"#!/bin/sh\n{HELD}echo over\n")
    number = bot.deploy(name)
    bot.wait_state(number, "running")

    with closing(ears.RemoteEars(Client(bot.url, bot.token()), number)) as hearing:
        wait_for(lambda: hearing.wait(0.05))  # it is connected
        (folder / "go").touch()
        wait_for(lambda: hearing.wait(0.05) and bot.log(number) == b"over\n")
        wait_for(lambda: hearing.wait(0.05) and bot.deployment(number)["state"] == "success")


@everywhere
def test_ctrl_c_detaches_and_says_how_to_come_back(bot: Bot, name: str, by_url: bool) -> None:
    """The deployment goes on; the command that is named follows it."""
    folder = bot.service(name, f"#!/bin/sh\n{HELD}echo over\n")
    waiting = bot.begin("deploy", name, "--sha", SHA, "--wait", by_url=by_url)
    assert waiting.stdout is not None
    waiting.stdout.readline()
    [number] = wait_for(lambda: [row["id"] for row in bot.deployments(name) if row["state"] == "running"])

    waiting.send_signal(signal.SIGINT)
    with waiting.stdout as output:
        told = output.read()
    running = bot.deployment(number)["state"]
    (folder / "go").touch()

    where = f"--url {bot.url}" if by_url else f"--home {bot.home}"
    assert (130, "running") == (waiting.wait(), running)
    assert f"`fastdeploy {where} logs {number} -f`" in told
    assert "success" == bot.wait_end(number)["state"]


# --- the terminal


def test_on_a_terminal_there_is_one_line_per_step_and_it_is_rewritten(bot: Bot, name: str) -> None:
    """The running step is the last line until it has ended."""
    bot.service(name, "#!/bin/sh\nfastdeploy step Build -- sleep 0.6\nfastdeploy step Migrate -- sleep 0.6\n")

    status, screen = bot.terminal("deploy", name, "--sha", SHA, "--wait")

    lines = [line.rpartition("\x1b[K")[2] for line in screen.split("\r\n")]
    assert 0 == status
    assert ["  \x1b[32m✓\x1b[0m Build success", "  \x1b[32m✓\x1b[0m Migrate success"] == [
        line.rpartition(" ")[0] for line in lines[1:3]
    ]
    assert 6 == len(lines)
    assert "\x1b[K  \x1b[36m◐\x1b[0m Build 0s" in screen


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_had_without(bot: Bot, ended: int, environment: dict[str, str]) -> None:
    """Source: https://no-color.org."""
    assert ended

    _, screen = bot.terminal("status", env=environment)
    _, coloured = bot.terminal("status")

    assert "\x1b[3" not in screen
    assert "\x1b[32m✓" in coloured


@everywhere
def test_nothing_from_outside_steers_the_terminal(bot: Bot, name: str, by_url: bool) -> None:
    """A step's name and message are shown without what they carry of control characters, in JSON too."""
    bot.service(
        name,
        "#!/bin/sh\n"
        'echo \'{"name": "\\u001b[2JGo\\u009b31m", "state": "success", "message": "\\u001b]0;mine\\u0007\\u202e"}\''
        ' >> "$FASTDEPLOY_STEPS_FILE"\n',
    )

    done = bot.run("deploy", name, "--sha", SHA, "--wait", by_url=by_url, expect=0)
    as_json = bot.run("status", name, "--json", by_url=by_url, expect=0)

    assert "Go" in done.stdout
    for each in "\x1b\x9b\x07\u202e":
        assert each not in done.stdout
        assert each not in as_json.stdout
    assert "\x1b[2JGo\x9b31m" == json.loads(as_json.stdout)["deployments"][0]["steps"][0]["name"]


def test_a_table_too_wide_for_the_terminal_becomes_paragraphs(bot: Bot, name: str, ended: int) -> None:
    """Nothing is cut, and every fact has its name."""
    assert ended

    _, wide = bot.terminal("services", columns=250)
    _, narrow = bot.terminal("services", columns=40)

    assert "SERVICE" in wide
    assert f"{name}\r\n  repository: octo-org/{name}\r\n  live: {SHA[:7]} since " in narrow
