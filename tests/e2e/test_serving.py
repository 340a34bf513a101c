"""Serving: how the server starts or says why it cannot, and what it does with files that change under it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import requests

from bots import COMMAND, ROOT, Bot, BotMaker, children_of, clean_environment, spares, wait_for

SHA = "1" * 40


def refused(bot: Bot) -> str:
    """What `serve` says when it does not start; it has to end by itself, without a traceback."""
    done = bot.run("serve", "--port", str(bot.port))
    assert 0 != done.returncode
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr


# --- starting


def test_a_bot_is_healthy_and_ready_once_it_serves(own_bot: Bot) -> None:
    """Both answers are for anyone."""
    own_bot.start()

    answers = [own_bot.http("GET", path, token="") for path in ("/healthz", "/readyz")]

    assert [200, 200] == [answer.status_code for answer in answers]


def test_a_second_server_on_one_home_is_told_that_the_port_is_taken(own_bot: Bot) -> None:
    """The first one goes on."""
    own_bot.start()

    said = refused(own_bot)

    assert str(own_bot.port) in said
    assert "already" in said or "taken" in said
    assert 200 == own_bot.http("GET", "/readyz", token="").status_code


def test_a_missing_home_is_named_with_the_command_that_makes_one(tmp_path: Path) -> None:
    """Neither `serve` nor a read makes a home by accident."""
    missing = tmp_path / "nowhere"

    for command in ("serve", "status", "check"):
        done = subprocess.run(
            [*COMMAND, "--home", str(missing), command],
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )

        assert 0 != done.returncode
        assert str(missing) in done.stderr
        assert "init" in done.stderr
        assert "Traceback" not in done.stderr
        assert not missing.exists()


def test_a_database_that_cannot_be_opened_is_named(own_bot: Bot) -> None:
    """A folder stands where the file should be."""
    database = own_bot.home / "fastdeploy.db"
    for file in own_bot.home.glob("fastdeploy.db*"):
        file.unlink()
    database.mkdir()

    assert str(database) in refused(own_bot)


def test_a_database_in_a_folder_that_is_absent_is_named(own_bot: Bot) -> None:
    """Such as on a disk that is not mounted."""
    absent = own_bot.home / "absent" / "fastdeploy.db"
    with (own_bot.home / "fastdeploy.toml").open("a") as settings:
        settings.write(f'database_url = "sqlite:///{absent}"\n')

    assert str(absent) in refused(own_bot)


def test_a_database_that_is_none_is_named(own_bot: Bot) -> None:
    """Some other file has its name."""
    for file in own_bot.home.glob("fastdeploy.db*"):
        file.unlink()
    (own_bot.home / "fastdeploy.db").write_bytes(b"this is no database, though it is long enough to be one" * 100)

    assert "fastdeploy.db" in refused(own_bot)


def test_without_a_webhook_secret_it_does_not_start(own_bot: Bot) -> None:
    """A bot that would believe anybody is no bot."""
    settings = own_bot.home / "fastdeploy.toml"
    kept = [line for line in settings.read_text().splitlines() if not line.startswith("webhook_secrets")]
    settings.write_text("\n".join(kept))

    assert "webhook_secrets" in refused(own_bot)


def test_a_setting_of_a_wrong_type_is_named(own_bot: Bot) -> None:
    """With the file and the key."""
    with (own_bot.home / "fastdeploy.toml").open("a") as settings:
        settings.write('max_running = "many"\n')

    said = refused(own_bot)

    assert "fastdeploy.toml" in said
    assert "max_running" in said


def test_secrets_may_come_from_files(own_bot: Bot, tmp_path: Path) -> None:
    """As container platforms hand them out, with a newline at the end."""
    file = tmp_path / "secret"
    file.write_text("from a file\n")
    own_bot.environment["FASTDEPLOY_WEBHOOK_SECRET_FILE"] = str(file)
    own_bot.start()

    answers = [own_bot.deliver(b"{}", event="ping", secret=secret) for secret in ("from a file", own_bot.secret)]

    assert [200, 401] == [answer.status_code for answer in answers]


@pytest.mark.parametrize(("limit", "files"), [("-S -n 256", 2_000), ("-n 256", 256)])
def test_clients_that_say_nothing_end_no_worker(own_bot: Bot, limit: str, files: int) -> None:
    """However few files it may have open; it may have as many as it needs where the host lets it."""
    command = [*COMMAND, "--home", str(own_bot.home), "serve", "--port", str(own_bot.port)]
    own_bot.launch("sh", "-c", f'ulimit {limit}; exec "$@"', "sh", *command)
    (worker,) = own_bot.workers()

    with ExitStack() as silent:
        for _ in range(300):
            silent.enter_context(socket.create_connection(("127.0.0.1", own_bot.port)))
        assert 200 == own_bot.http("GET", "/readyz", token="").status_code

    assert [worker] == own_bot.workers()
    assert files <= int(re.findall(r"Max open files +(\d+)", Path(f"/proc/{worker}/limits").read_text())[0])


def test_ctrl_c_ends_the_server(own_bot: Bot) -> None:
    """And the port is free for the next one."""
    own_bot.start()
    assert own_bot.server is not None

    own_bot.server.send_signal(signal.SIGINT)
    own_bot.server.wait(20)

    own_bot.start()


def test_gunicorns_signal_for_an_upgrade_changes_nothing(own_bot: Bot) -> None:
    """It would start what it takes for its own command line."""
    own_bot.start()
    assert own_bot.server is not None

    own_bot.server.send_signal(signal.SIGUSR2)
    wait_for(lambda: "SIGUSR2 does nothing" in own_bot.output())

    assert "can't open file" not in own_bot.output()
    assert own_bot.http("GET", "/healthz", token="").ok


# --- other ways to serve


def test_gunicorn_serves_the_checkout_as_the_procfile_says(own_bot: Bot) -> None:
    """`gunicorn wsgi:app` reads the same configuration, and deploys."""
    own_bot.environment |= {"FASTDEPLOY_HOME": str(own_bot.home), "PORT": str(own_bot.port)}
    own_bot.service("shop", "#!/bin/sh\necho $FASTDEPLOY_STEPS_URL\n")

    own_bot.launch(sys.executable, "-m", "gunicorn", "wsgi:app", cwd=ROOT)
    ended = own_bot.run_service("shop")

    assert "success" == ended["state"]
    assert own_bot.log(ended["id"]).decode().startswith(own_bot.url)


def test_two_processes_share_the_work_and_each_push_runs_once(make_bot: BotMaker) -> None:
    """Whoever takes a delivery, one engine runs it; `max_running` holds for both together."""
    bot = make_bot(FASTDEPLOY_WEB_PROCESSES="2", FASTDEPLOY_MAX_RUNNING="2").start()
    wait_for(lambda: len(bot.workers()) == 2)
    script = '#!/bin/sh\nmkdir "../../run-$FASTDEPLOY_DEPLOYMENT" || exit 9\nset -- ../../run-*\necho $#\nsleep 0.2\n'
    script += 'rmdir "../../run-$FASTDEPLOY_DEPLOYMENT"\necho $FASTDEPLOY_DEPLOYMENT >> order\n'
    folders = {name: bot.service(name, script) for name in ("one", "two", "three")}

    started = {name: [bot.deploy(name) for _ in range(3)] for name in folders}

    for name, folder in folders.items():
        assert ["success"] * 3 == [row["state"] for row in bot.wait_idle(name)]
        assert started[name] == [int(number) for number in (folder / "order").read_text().split()]
    at_once = [int(bot.log(number)) for numbers in started.values() for number in numbers]
    assert max(at_once) <= 2
    wait_for(lambda: len(spares(bot)) == 2 and [1, 1] == [len(children_of(worker)) for worker in bot.workers()])


def test_a_bot_that_may_run_nothing_only_receives(make_bot: BotMaker) -> None:
    """What it accepts waits for a host that runs it; no child waits for a job."""
    bot = make_bot(FASTDEPLOY_MAX_RUNNING="0").start()
    bot.service("shop", "#!/bin/sh\n", repository="octo-org/shop")

    decided = verdicts_of(bot, 1)

    assert {"shop": "deploy"} == decided
    assert ["queued"] == [row["state"] for row in bot.deployments("shop")]
    assert [[]] == [children_of(worker) for worker in bot.workers()]


def test_a_worker_runs_what_a_web_process_received(make_bot: BotMaker) -> None:
    """The one runs nothing, the other receives nothing; told to end, the worker leaves scripts running."""
    bot = make_bot(FASTDEPLOY_MAX_RUNNING="0").start()
    folder = bot.service("shop", "#!/bin/sh\ntouch begun\nuntil [ -e go ]; do sleep 0.02; done\n")
    number = bot.deploy("shop")
    as_worker = {"FASTDEPLOY_MAX_RUNNING": "1", "FASTDEPLOY_RUN": "of another deployment"}

    for ends in ("running", "success"):
        worker = bot.begin("worker", env=as_worker)
        wait_for((folder / "begun").exists)
        if ends == "success":
            (folder / "go").touch()
        bot.wait_state(number, ends)
        carries = b"FASTDEPLOY_RUN=of another" in Path(f"/proc/{worker.pid}/environ").read_bytes()
        worker.terminate()
        said, _ = worker.communicate(timeout=20)

        assert 0 == worker.returncode, said
        assert "Traceback" not in said
        assert not carries


def test_a_worker_that_may_run_nothing_says_so(own_bot: Bot) -> None:
    """Rather than sit there."""
    done = own_bot.run("worker", env={"FASTDEPLOY_MAX_RUNNING": "0"})

    assert 0 != done.returncode
    assert "max_running" in done.stderr


def test_the_example_of_a_newcomer_deploys(tmp_path: Path) -> None:
    """`serve --demo` on nothing at all: a home, an example, one push, its steps, a success, and how to go on."""
    with closing(Newcomer(tmp_path)) as newcomer:
        said = wait_for(newcomer.has_succeeded)
        [(port, named)] = re.findall(r"no sign-in is needed: `PORT=(\d+) fastdeploy (.*?)`", said)
        again = subprocess.run(
            [*COMMAND, *shlex.split(named)], cwd="/", capture_output=True, text=True, timeout=60, check=False
        )

    assert (0, True) == (again.returncode, "✓ hello success" in again.stdout), again.stderr
    assert f"{newcomer.port}" == port
    assert ["Fetch", "Build", "Go live"] == [step for step in ("Fetch", "Build", "Go live") if f"✓ {step}" in said]


class Newcomer(Bot):
    """Somebody who has read no line of documentation yet."""

    def __init__(self, folder: Path) -> None:
        """Start the demo on a home that does not exist."""
        super().__init__(folder)
        shutil.rmtree(self.home)
        self.launch(*COMMAND, "--home", str(self.home), "serve", "--demo", "--port", str(self.port))

    def has_succeeded(self) -> str:
        """What was printed, once it tells of a success."""
        said = self.output()
        return said if "✓ hello #1 success" in said and "no sign-in is needed" in said else ""


# --- files that change while it serves


def verdicts_of(bot: Bot, number: int) -> dict[str, str]:
    """What the bot decides about a push to `octo-org/shop`, the number-th of them."""
    body = {
        "ref": "refs/heads/main",
        "before": f"{number - 1:040x}",
        "after": f"{number:040x}",
        "repository": {
            "id": 4711,
            "full_name": "octo-org/shop",
            "default_branch": "main",
            "pushed_at": 1700000000 + number,
        },
    }
    answer = bot.deliver(json.dumps(body).encode())
    assert 202 == answer.status_code, answer.text
    return {verdict["service"]: verdict["verdict"] for verdict in answer.json()["verdicts"]}


def test_a_changed_service_file_decides_the_next_push(own_bot: Bot) -> None:
    """New, changed and removed files take effect without a restart."""
    own_bot.start()
    before = verdicts_of(own_bot, 1)
    own_bot.service("shop", "#!/bin/sh\n", repository="octo-org/shop")
    added = verdicts_of(own_bot, 2)
    own_bot.write_toml("shop", repository="octo-org/shop", command=["./deploy"], branches=["release"])
    changed = verdicts_of(own_bot, 3)

    assert [{}, {"shop": "deploy"}, {"shop": "ignore"}] == [before, added, changed]


def test_a_bad_service_file_stops_its_own_service_alone(own_bot: Bot) -> None:
    """The others deploy; the bad one is told, and works again once it is mended."""
    own_bot.start()
    own_bot.service("good", "#!/bin/sh\n", repository="octo-org/shop")
    own_bot.service("shop", "#!/bin/sh\n", repository="octo-org/shop")
    verdicts_of(own_bot, 1)
    (own_bot.home / "services" / "shop" / "service.toml").write_text('repository = "octo-org/shop"\ntimeout = 5 5\n')

    broken = verdicts_of(own_bot, 2)
    problem = own_bot.get("/services/shop")["problem"]
    by_hand = own_bot.http("POST", "/api/v1/deployments", json={"service": "shop", "sha": SHA})
    own_bot.write_toml("shop", repository="octo-org/shop", command=["./deploy"])
    mended = verdicts_of(own_bot, 3)

    assert ("deploy", "refused") == (broken["good"], broken["shop"])
    assert "services/shop/service.toml" in problem
    assert 409 == by_hand.status_code
    assert {"good": "deploy", "shop": "deploy"} == mended
    assert "success" == own_bot.wait_idle("good")[-1]["state"]


def test_a_removed_service_keeps_its_history_and_loses_its_queue_and_tokens(own_bot: Bot) -> None:
    """What waited is cancelled with the reason; what ran goes on."""
    own_bot.start()
    folder = own_bot.service("shop", '#!/bin/sh\ncd "$FASTDEPLOY_SERVICE_DIR"\nuntil [ -e go ]; do sleep 0.02; done\n')
    token = own_bot.run("token", "create", "shop", expect=0).stdout.strip()
    running, queued = own_bot.deploy("shop"), own_bot.deploy("shop")
    own_bot.wait_state(running, "running")

    (folder / "service.toml").unlink()
    ended = own_bot.wait_end(queued)
    (folder / "go").touch()

    assert "cancelled" == ended["state"]
    assert "removed" in ended["reason"]
    assert "success" == own_bot.wait_end(running)["state"]
    assert 401 == own_bot.http("GET", "/api/v1/services/shop", token=token).status_code


# --- what a 202 means


def test_an_accepted_push_is_on_the_disk_before_the_answer(own_bot: Bot) -> None:
    """Killed the instant after the 202, the bot finds the push again."""
    own_bot.service("shop", "#!/bin/sh\n", repository="octo-org/shop")
    own_bot.start()
    verdicts_of(own_bot, 1)

    own_bot.kill()

    with closing(sqlite3.connect(own_bot.home / "fastdeploy.db")) as database:
        assert [(1,)] == database.execute("SELECT count(*) FROM delivery").fetchall()
    own_bot.start()
    assert "success" == own_bot.wait_idle("shop")[0]["state"]


def test_a_refusal_is_problem_json_on_every_route(own_bot: Bot) -> None:
    """Whoever asks wrongly is told in one form."""
    own_bot.start()

    asked = [
        requests.get(f"{own_bot.url}/api/v1/nothing", timeout=30),
        requests.get(f"{own_bot.url}/api/v1/services", timeout=30),
        requests.delete(f"{own_bot.url}/webhooks/github", timeout=30),
        requests.post(f"{own_bot.url}/webhooks/github", data=b"{}", timeout=30),
    ]

    assert [404, 401, 405, 401] == [answer.status_code for answer in asked]
    assert {"application/problem+json"} == {answer.headers["Content-Type"] for answer in asked}
    assert all({"type", "title", "status", "detail"} <= answer.json().keys() for answer in asked)


@pytest.mark.parametrize("limit", ["content-length", "chunked"])
def test_a_body_over_the_limit_is_refused_before_it_is_read(own_bot: Bot, limit: str) -> None:
    """25 MiB and no byte more, however the length is told."""
    own_bot.start()
    large = b"x" * (25 * 1024 * 1024 + 1)
    body = (
        large if limit == "content-length" else (large[at : at + 1_000_000] for at in range(0, len(large), 1_000_000))
    )

    try:
        status = requests.post(f"{own_bot.url}/webhooks/github", data=body, timeout=30).status_code
    except requests.ConnectionError:
        status = 413  # the server may hang up on a sender who goes on sending

    assert 413 == status
    assert 200 == own_bot.http("GET", "/readyz", token="").status_code


def test_what_is_no_longer_wanted_is_collected_once_the_server_is_ready(own_bot: Bot) -> None:
    """While it loads nothing is, in the process that loads and in its workers."""
    program = (
        "import gc; gc.disable(); from fastdeploy_bot import serving as s; s.when_ready(None); print(gc.isenabled())"
    )
    own_bot.environment["FASTDEPLOY_HOME"] = str(own_bot.home)

    done = subprocess.run(
        [sys.executable, "-c", program], env=own_bot.environment, capture_output=True, text=True, timeout=60, check=True
    )

    assert "True\n" == done.stdout
