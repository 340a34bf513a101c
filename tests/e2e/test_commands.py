"""The command line beside a running bot: what each command prints, and what it ends with."""

from __future__ import annotations

import itertools
import json
import re
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from bots import Bot, BotMaker, wait_for
from fastdeploy_bot.cli.root import cli

NUMBERS = itertools.count(1)

SHA = "1" * 40

HELD = "#!/bin/sh\nuntil [ -e go ]; do sleep 0.02; done\n"
"""Ends once the file `go` stands in the service's folder."""


@pytest.fixture
def name() -> str:
    """A service's name of the test's own."""
    return f"command{next(NUMBERS)}"


# --- deploy


@pytest.mark.parametrize(("script", "status", "state"), [("exit 0", 0, "success"), ("exit 8", 1, "failure")])
def test_deploy_wait_ends_as_the_deployment_did(bot: Bot, name: str, script: str, status: int, state: str) -> None:
    """0 for a success and 1 for a failure, and the row as JSON."""
    bot.service(name, f"#!/bin/sh\n{script}\n")

    done = bot.run("deploy", name, "--sha", SHA, "--wait", "--json", expect=status)

    row = json.loads(done.stdout)
    assert (state, SHA, "local") == (row["state"], row["sha"], row["actor"])


def test_deploy_wait_ends_with_three_when_it_is_cancelled(bot: Bot, name: str) -> None:
    """Somebody else ended it."""
    bot.service(name, HELD)
    waiting = bot.begin("deploy", name, "--sha", SHA, "--wait")
    [number] = wait_for(lambda: [row["id"] for row in bot.deployments(name) if row["state"] == "running"])

    told = bot.run("cancel", str(number), expect=0).stdout

    said, _ = waiting.communicate(timeout=60)
    assert 3 == waiting.returncode, said
    assert 1 == told.count("asked to stop")
    assert "cancelled by local" == bot.wait_end(number)["reason"]


def test_deploy_without_waiting_answers_at_once_and_the_server_deploys(bot: Bot, name: str) -> None:
    """The command writes a row, and the running bot sees it without being asked."""
    bot.service(name, "#!/bin/sh\n")

    number = json.loads(bot.run("deploy", name, "--sha", SHA, "--json", expect=0).stdout)["id"]

    assert "success" == bot.wait_end(number)["state"]


def test_deploy_takes_a_context_and_a_ref(bot: Bot, name: str) -> None:
    """The script gets both."""
    bot.service(name, "#!/bin/sh\necho $FASTDEPLOY_REF $FASTDEPLOY_CONTEXT\n", tags=["v*"])

    done = bot.run(
        "deploy", name, "--sha", SHA, "--ref", "refs/tags/v1", "--context", '{"a":1}', "--wait", "--json", expect=0
    )

    ref, _, context = bot.log(json.loads(done.stdout)["id"]).partition(b" ")
    assert (b"refs/tags/v1", {"a": 1}) == (ref, json.loads(context))


@pytest.mark.parametrize(
    "arguments",
    [
        ["deploy"],
        ["deploy", "no-such-service", "--sha", SHA],
        ["deploy", "SERVICE"],
        ["deploy", "SERVICE", "--sha", "main; true"],
        ["deploy", "SERVICE", "--sha", SHA, "--context", "{"],
        ["deploy", "SERVICE", "--frobnicate"],
        ["logs", "999999"],
        ["cancel", "999999"],
        ["retry", "x"],
        ["rollback", "SERVICE", "--to", "x"],
        ["lock", "SERVICE"],
        ["lock", "SERVICE", "-m", " "],
        ["lock", "SERVICE", "-m", "freeze", "--until", "tomorrow"],
        ["lock", "SERVICE", "-m", "freeze", "--until", "2001-01-01T00:00:00Z"],
        ["unlock", "no-such-service"],
        ["status", "no-such-service"],
        ["token", "create", "no-such-service"],
        ["token", "create", "SERVICE", "--days", "367"],
        ["secret", "set", "SERVICE", "../../escape"],
        ["user", "add", "king", "--role", "king"],
        ["simulate", "/no/such/payload.json"],
        ["no-such-command"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_asked_for_is_a_usage_error(bot: Bot, name: str, arguments: list[str]) -> None:
    """Exit status 2, something to read on standard error, and never a traceback."""
    bot.service(name, "#!/bin/sh\n")

    done = bot.run(*[name if part == "SERVICE" else part for part in arguments], expect=2)

    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
    assert "" == done.stdout


# --- reading


def test_status_and_services_tell_the_same_as_the_api(bot: Bot, name: str) -> None:
    """One set of words, on the page, in the API and here."""
    bot.service(name, "#!/bin/sh\n")
    row = bot.run_service(name)

    status, services = bot.read("status", name), bot.read("services")

    assert row == next(item for item in status["deployments"] if item["id"] == row["id"])
    shown = next(item for item in services if item["name"] == name)
    assert shown == bot.get(f"/services/{name}")
    assert (row["sha"], "success") == (shown["live"]["sha"], shown["state"])
    assert name in bot.run("status", expect=0).stdout
    assert name in bot.run("services", expect=0).stdout


def test_logs_prints_the_log_alone(bot: Bot, name: str) -> None:
    """So that it can be piped."""
    bot.service(name, "#!/bin/sh\necho hello\n")
    number = bot.run_service(name)["id"]

    assert "hello\n" == bot.run("logs", str(number), expect=0).stdout


def test_logs_follow_goes_on_until_the_end(bot: Bot, name: str) -> None:
    """It prints what comes, and ends when the deployment does."""
    folder = bot.service(name, "#!/bin/sh\necho first\n" + HELD.partition("\n")[2] + "echo second\n")
    following = bot.begin("logs", "-f", str(bot.deploy(name)))
    assert following.stdout is not None
    assert "first\n" == following.stdout.readline()

    (folder / "go").touch()
    rest, _ = following.communicate(timeout=60)

    assert (0, "second\n") == (following.returncode, rest)


# --- cancel, retry


def test_cancel_after_the_end_says_so(bot: Bot, name: str) -> None:
    """The command ends with 1, and names the state."""
    bot.service(name, "#!/bin/sh\n")
    number = bot.run_service(name)["id"]

    done = bot.run("cancel", str(number), expect=1)

    assert "success" in done.stderr


def test_retry_deploys_the_same_commit_again(bot: Bot, name: str) -> None:
    """A new deployment, which names the old one."""
    bot.service(name, "#!/bin/sh\ntest -e mended\n")
    first = bot.run_service(name)
    (bot.home / "services" / name / "mended").touch()

    bot.run("retry", str(first["id"]), expect=0)
    again = bot.wait_idle(name)[-1]

    assert ("success", first["id"], first["sha"]) == (again["state"], again["parent"], again["sha"])


# --- tokens


def test_token_create_prints_the_token_alone_and_it_starts_its_service(bot: Bot, name: str) -> None:
    """`TOKEN=$(fastdeploy token create shop)` is all that a CI needs."""
    bot.service(name, "#!/bin/sh\n")
    bot.service(f"{name}-other", "#!/bin/sh\n")
    printed = bot.run("token", "create", name, expect=0).stdout
    token = printed.removesuffix("\n")

    own = bot.http("POST", "/api/v1/deployments", token=token, json={"sha": SHA})
    other = bot.http("POST", "/api/v1/deployments", token=token, json={"sha": SHA, "service": f"{name}-other"})

    assert token.startswith("fds_")
    assert token.split() == [token]
    assert (201, name) == (own.status_code, own.json()["service"])
    assert 403 == other.status_code


def test_a_revoked_token_is_good_for_nothing(bot: Bot, name: str) -> None:
    """`token list` shows the tokens without their text, `token revoke` ends one; none is an answer, too."""
    bot.service(name, "#!/bin/sh\n")
    before = bot.read("token", "list", name)
    token = bot.run("token", "create", name, "--days", "2", expect=0).stdout.strip()
    [listed] = bot.read("token", "list", name)

    bot.run("token", "revoke", name, str(listed["id"]), expect=0)

    assert 401 == bot.http("GET", f"/api/v1/services/{name}", token=token).status_code
    assert [] == before
    assert token not in json.dumps(listed)
    assert bot.read("token", "list", name)[0]["revoked"]


# --- secrets


def test_secrets_are_kept_for_the_bots_user_alone(bot: Bot, name: str) -> None:
    """Set, listed by name only, given to the script, removed; files 0600 in folders 0700."""
    bot.service(name, '#!/bin/sh\n[ "$DB_PASSWORD" = "correct horse" ]\n', secrets=["DB_PASSWORD"])

    bot.run("secret", "set", name, "DB_PASSWORD", stdin="correct horse\n", expect=0)

    kept = bot.home / "secrets" / name / "DB_PASSWORD"
    assert (0o600, 0o700) == (stat.S_IMODE(kept.stat().st_mode), stat.S_IMODE(kept.parent.stat().st_mode))
    assert ["DB_PASSWORD"] == bot.read("secret", "list", name)
    assert "success" == bot.run_service(name)["state"]
    bot.run("secret", "rm", name, "DB_PASSWORD", expect=0)
    assert [] == bot.read("secret", "list", name)
    assert "failure" == bot.run_service(name)["state"]


def test_a_secret_too_short_to_be_masked_is_refused(bot: Bot, name: str) -> None:
    """Fewer than six bytes could not be told from ordinary output."""
    bot.service(name, "#!/bin/sh\n")

    done = bot.run("secret", "set", name, "PIN", stdin="12345\n", expect=2)

    assert "6" in done.stderr
    assert "12345" not in done.stderr
    assert [] == bot.read("secret", "list", name)


# --- users


def test_a_user_may_do_what_the_role_says(bot: Bot, name: str) -> None:
    """A viewer made on the command line signs in, reads, and starts nothing."""
    bot.service(name, "#!/bin/sh\n")
    bot.run("user", "add", name, "--role", "viewer", "--password-stdin", stdin="a long password\n", expect=0)

    signed_in = bot.http("POST", "/api/v1/token", token="", json={"username": name, "password": "a long password"})
    token = signed_in.json()["token"]

    assert token.startswith("fdu_")
    assert (name, "viewer") in [(user["username"], user["role"]) for user in bot.read("user", "list")]
    assert 200 == bot.http("GET", "/api/v1/deployments", token=token).status_code
    refused = bot.http("POST", "/api/v1/deployments", token=token, json={"service": name, "sha": SHA})
    assert 403 == refused.status_code


def test_a_password_can_be_changed(bot: Bot, name: str) -> None:
    """The old one opens nothing any more; the new one may come from the environment too."""
    bot.run("user", "add", name, "--role", "deployer", "--password-stdin", stdin="a long password\n", expect=0)

    bot.run("user", "passwd", name, env={"FASTDEPLOY_PASSWORD": "another password"}, expect=0)

    answers = [
        bot.http("POST", "/api/v1/token", token="", json={"username": name, "password": password}).status_code
        for password in ("a long password", "another password")
    ]
    assert [401, 200] == answers


# --- simulate


def push_of(repository: str, **more: object) -> dict[str, object]:
    """A push of a commit to `main`, as small as GitHub never sends it."""
    return {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": SHA,
        "repository": {"id": next(NUMBERS) + 5000, "full_name": repository, "default_branch": "main"},
        **more,
    }


def test_simulate_delivers_the_file_signed_as_github_would(bot: Bot, name: str, tmp_path: Path) -> None:
    """The answer is the bot's own, with its verdicts, and the push deploys."""
    bot.service(name, "#!/bin/sh\n")
    payload = tmp_path / "push.json"
    payload.write_text(json.dumps(push_of(f"octo-org/{name}")))

    answer = json.loads(bot.run("simulate", str(payload), expect=0).stdout)

    assert "deploy" == answer["verdicts"][0]["verdict"]
    assert "success" == bot.wait_end(answer["verdicts"][0]["deployment"])["state"]


def test_simulate_takes_other_events(bot: Bot, tmp_path: Path) -> None:
    """A ping is answered, and starts nothing."""
    payload = tmp_path / "ping.json"
    payload.write_text('{"zen": "Keep it logically awesome.", "hook_id": 1}')

    answer = json.loads(bot.run("simulate", str(payload), "--event", "ping", expect=0).stdout)

    assert [] == answer["verdicts"]


def test_simulate_says_why_a_payload_is_refused(bot: Bot, tmp_path: Path) -> None:
    """In one sentence, as the bot has it."""
    payload = tmp_path / "push.json"
    payload.write_text("{")

    said = bot.run("simulate", str(payload), expect=1).stderr

    assert "the bot refused it: 400 the payload cannot be read" in said
    assert '"title"' not in said


def test_simulate_says_when_no_bot_can_be_reached(own_bot: Bot, tmp_path: Path) -> None:
    """69, and the address that was tried."""
    payload = tmp_path / "push.json"
    payload.write_text(json.dumps(push_of("octo-org/shop")))

    done = own_bot.run("simulate", str(payload), expect=69)

    assert str(own_bot.port) in done.stderr
    assert "--url" in done.stderr


# --- check, sync, migrate


def test_check_shows_each_setting_with_its_origin_and_no_secret(own_bot: Bot) -> None:
    """Values that are in force, wherever they come from; secrets masked."""
    done = own_bot.run("check", env={"FASTDEPLOY_MAX_RUNNING": "7"}, expect=0)

    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert "FASTDEPLOY_MAX_RUNNING" in lines["max_running"]
    assert "7" in lines["max_running"].split()
    assert "fastdeploy.toml" in lines["secret_key"]
    assert "default" in lines["kill_grace"]
    assert own_bot.secret not in done.stdout


def test_check_names_every_wrong_service_file(own_bot: Bot) -> None:
    """`file: key: what is wrong`, all of them, and 1."""
    own_bot.service("shop", "#!/bin/sh\n", timeout="soon")
    own_bot.service("blog", "#!/bin/sh\n", brnches=["main"])
    own_bot.service("good", "#!/bin/sh\n")
    own_bot.service("\u202eevil\n\x1b[31m", None)

    done = own_bot.run("check", expect=1)

    assert "services/shop/service.toml: timeout: " in done.stderr
    assert "services/blog/service.toml: brnches: " in done.stderr
    assert "branches" in done.stderr
    assert "services/good" not in done.stderr
    assert "\nservices: blog, good, shop, \ufffdevil\ufffd\ufffd[31m\n" in done.stdout
    assert 3 == len(json.loads(own_bot.run("check", "--json", expect=1).stdout)["problems"])


def test_an_unknown_setting_names_the_nearest(own_bot: Bot) -> None:
    """Nobody runs for months with a setting that was misspelt: every command refuses it."""
    with (own_bot.home / "fastdeploy.toml").open("a") as settings:
        settings.write("\nmax_runing = 2\n")

    for command in ("check", "serve", "status"):
        done = own_bot.run(command, expect=1)

        assert "max_runing" in done.stderr
        assert "max_running" in done.stderr
        assert "Traceback" not in done.stderr


def test_an_unknown_setting_in_the_environment_is_named_too(own_bot: Bot) -> None:
    """The environment is read as strictly as the file."""
    done = own_bot.run("check", env={"FASTDEPLOY_PROT": "8000"}, expect=1)

    assert "FASTDEPLOY_PROT" in done.stderr
    assert "FASTDEPLOY_PORT" in done.stderr


def test_sync_tells_what_has_changed(make_bot: BotMaker) -> None:
    """Added, changed, removed and refused services, by name."""
    bot = make_bot()
    bot.service("shop", "#!/bin/sh\n")
    bot.service("blog", "#!/bin/sh\n")
    first = bot.read("sync")

    bot.write_toml("shop", repository="octo-org/moved", command=["./deploy"])
    second = bot.read("sync")

    assert ["blog", "shop"] == sorted(first["added"])
    assert ([], ["shop"], {}) == (second["added"], second["changed"], second["refused"])


def test_migrate_can_be_repeated(own_bot: Bot) -> None:
    """Nothing is left to do, and that is no error."""
    own_bot.run("migrate", expect=0)
    own_bot.run("migrate", expect=0)


def test_init_leaves_what_is_there_as_it_is(own_bot: Bot) -> None:
    """Run twice, it keeps secrets and users."""
    before = (own_bot.home / "fastdeploy.toml").read_bytes()

    own_bot.run("init", env={"FASTDEPLOY_PASSWORD": "some other password"}, expect=0)

    assert before == (own_bot.home / "fastdeploy.toml").read_bytes()
    assert ["admin"] == [user["username"] for user in own_bot.read("user", "list")]
    own_bot.start()
    assert own_bot.token()


# --- doctor


def test_the_doctor_finds_a_running_bot_well_and_a_stopped_one_not(own_bot: Bot) -> None:
    """It ends with 0 and 1; what it prints names each mend, and as JSON is the same."""
    own_bot.environment["FASTDEPLOY_GITHUB_API_URL"] = "http://127.0.0.1:1"
    own_bot.service("shop", "#!/bin/sh\n")
    own_bot.start()

    well = own_bot.run("doctor", expect=0).stdout
    own_bot.stop()
    away = own_bot.run("doctor", expect=1).stdout
    told = json.loads(own_bot.run("doctor", "--json", expect=1).stdout)

    assert "0 to mend" in well
    assert "✗ local-url" in away
    assert {"local-url", "engine"} == {each["check"] for each in told if each["level"] == "fail"}
    assert all(f"mend: {each['mend']}" in away for each in told if each["level"] != "ok")
    assert all(secret not in away for secret in (own_bot.secret,))


def test_the_doctor_tells_of_settings_that_cannot_be_read(own_bot: Bot) -> None:
    """In the same form, since this is what he was asked."""
    with (own_bot.home / "fastdeploy.toml").open("a") as settings:
        settings.write('max_running = "many"\n')

    told = json.loads(own_bot.run("doctor", "--json", expect=1).stdout)

    assert [("settings", "fail")] == [(each["check"], each["level"]) for each in told]
    assert "max_running" in told[0]["what"]


# --- help, completion, start


def test_every_command_explains_itself_with_an_example(bot: Bot) -> None:
    """The help of each shows a line that could be typed."""
    groups = {"token", "secret", "user"}
    commands = _commands(bot.run("--help", expect=0).stdout)

    assert {"init", "deploy", "deliveries", "login", "completion", "step"} <= set(commands)
    for name in commands:
        for each in [[name]] if name not in groups else [[name, sub] for sub in _commands(_help(name))]:
            assert f"fastdeploy {' '.join(each)}" in _help(*each).partition("Usage:")[2].partition("\n")[2], each


def _help(*command: str) -> str:
    done = CliRunner().invoke(cli, [*command, "--help"], prog_name="fastdeploy")
    assert 0 == done.exit_code, done.output
    return done.output


def _commands(text: str) -> list[str]:
    return re.findall(r"^  ([a-z]+) ", text.partition("Commands:")[2], re.MULTILINE)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_what_the_shell_needs(bot: Bot, shell: str) -> None:
    """By name, or for the shell that is used."""
    named = bot.run("completion", shell, expect=0).stdout
    used = bot.run("completion", env={"SHELL": f"/usr/bin/{shell}"}, expect=0).stdout

    assert named == used
    assert f"_FASTDEPLOY_COMPLETE={shell}_complete" in named


def test_completion_for_an_unknown_shell_names_the_known_ones(bot: Bot) -> None:
    """Nothing is printed that a shell would then run."""
    done = bot.run("completion", env={"SHELL": "/bin/sh"}, expect=2)

    assert "" == done.stdout
    assert "bash, zsh, fish" in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [("del", ["deliveries"]), ("deploy {name}", ["{name}"]), ("deliveries re", ["replay"]), ("deploy --w", ["--wait"])],
)
def test_shells_complete_commands_options_and_services(bot: Bot, name: str, words: str, expected: list[str]) -> None:
    """Of the bot that the command is about to be for."""
    bot.service(name, "#!/bin/sh\n")
    line = f"fastdeploy --home {bot.home} {words.format(name=name[:-1])}"

    done = bot.run(
        env={
            "_FASTDEPLOY_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split()) - 1),
        }
    )

    assert {f"plain,{each.format(name=name)}" for each in expected} <= set(done.stdout.splitlines())
    assert "" == done.stderr


@pytest.mark.parametrize("by_url", [False, True])
def test_status_starts_without_flask_and_requests(bot: Bot, by_url: bool) -> None:
    """A command that is called often should start at once."""
    done = bot.run("status", by_url=by_url, env={"PYTHONPROFILEIMPORTTIME": "1"}, expect=0)

    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "fastdeploy_bot" in imported
    assert not {"flask", "requests", "gunicorn", "jinja2", "wsproto"} & imported


def test_a_backup_can_be_made_before_an_upgrade(own_bot: Bot) -> None:
    """By the new version, of the old one's database; where it can, it writes down who did so."""
    archive = own_bot.home.parent / "bot.tar"
    with closing(sqlite3.connect(own_bot.home / "fastdeploy.db", isolation_level=None)) as rows:
        assert f"wrote {archive} (" in own_bot.run("backup", str(archive), expect=0).stdout
        assert [("local",)] == rows.execute("SELECT who FROM audit WHERE action = 'backup'").fetchall()
        rows.execute("UPDATE schema_migration SET name = '9999_later' WHERE name = '0006_page'")
    archive.unlink()

    own_bot.run("backup", str(archive), expect=0)

    assert archive.exists()


def test_prune_removes_what_is_old_and_tells_of_it(own_bot: Bot) -> None:
    """What it would remove first, then what it did; and who did so is written down."""
    with closing(sqlite3.connect(own_bot.home / "fastdeploy.db", isolation_level=None)) as rows:
        rows.execute("INSERT INTO audit (at, who, action, object, detail, peer) VALUES (1, '', 'old', '', '', '')")

        assert "would remove 1 audit\n" == own_bot.run("prune", "--dry-run", expect=0).stdout
        assert "removed 1 audit\n" == own_bot.run("prune", expect=0).stdout
        assert "removed nothing\n" == own_bot.run("prune", expect=0).stdout
        assert {0} == set(own_bot.read("prune").values())

        assert [("local", "prune")] == rows.execute("SELECT who, action FROM audit WHERE action != 'add'").fetchall()
