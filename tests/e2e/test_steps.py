"""The ways a script can tell what it is doing, each by a real script of a real deployment."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import pytest

from bots import COMMAND, Bot, clean_environment, states, wait_for

NUMBERS = itertools.count(1)

PYTHON = f"#!{sys.executable}\n"

REPORT = (
    PYTHON
    + '''
import json, os, urllib.request

def report(**step):
    """Post a step as any HTTP client would."""
    request = urllib.request.Request(
        os.environ["FASTDEPLOY_STEPS_URL"],
        data=json.dumps(step).encode(),
        headers={
            "Authorization": "Bearer " + os.environ["FASTDEPLOY_TOKEN"],
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
'''
)


@pytest.fixture
def name() -> str:
    """A service's name of the test's own."""
    return f"steps{next(NUMBERS)}"


# --- by HTTP


def test_steps_by_http_are_listed_in_order_with_their_times(bot: Bot, name: str) -> None:
    """The same name again is an update of the step: it keeps its place and gets its end."""
    bot.service(
        name,
        REPORT
        + """
report(name="Build", state="running")
report(name="Migrate", state="running")
report(name="Build", state="success", message="12 files")
print(json.dumps(report(name="Migrate", state="success")))
""",
    )

    ended = bot.run_service(name)

    assert [("Build", "success"), ("Migrate", "success")] == states(ended["steps"])
    assert "12 files" == ended["steps"][0]["message"]
    assert all(step["started"] <= step["finished"] <= ended["finished"] for step in ended["steps"])
    answer = json.loads(bot.log(ended["id"]))
    assert {"name", "state", "position", "started", "finished", "message"} <= answer.keys()
    assert ("Migrate", "success") == (answer["name"], answer["state"])


def test_a_step_can_be_seen_while_it_runs(bot: Bot, name: str) -> None:
    """The page does not wait for the end of a deployment to show where it is."""
    folder = bot.service(
        name,
        REPORT
        + """
import time
report(name="Wait", state="running")
while not os.path.exists("go"):
    time.sleep(0.02)
""",
    )
    number = bot.deploy(name)

    wait_for(lambda: [("Wait", "running")] == states(bot.deployment(number)["steps"]))
    (folder / "go").touch()

    assert [("Wait", "success")] == states(bot.wait_end(number)["steps"])


@pytest.mark.parametrize(("exit_status", "outcome"), [(0, "success"), (4, "failure")])
def test_a_step_still_running_at_the_end_takes_the_outcome(bot: Bot, name: str, exit_status: int, outcome: str) -> None:
    """Nobody ended the step, so the script's end does; what was never reached is skipped."""
    bot.service(
        name,
        REPORT + f'report(name="Build", state="running")\nraise SystemExit({exit_status})\n',
        steps=["Build", "Restart"],
    )

    ended = bot.run_service(name)

    assert outcome == ended["state"]
    assert [("Build", outcome), ("Restart", "skipped")] == states(ended["steps"])


def test_a_report_that_cannot_be_used_is_refused_and_harms_nothing(bot: Bot, name: str) -> None:
    """A wrong state, a missing name and a wrong token are client errors; the deployment goes on."""
    bot.service(
        name,
        REPORT
        + """
import urllib.error
def refused(**step):
    try:
        report(**step)
    except urllib.error.HTTPError as error:
        print(error.code, error.headers["Content-Type"], json.load(error)["status"])
refused(name="Build", state="splendid")
refused(state="running")
os.environ["FASTDEPLOY_TOKEN"] += "x"
refused(name="Build", state="running")
""",
    )

    ended = bot.run_service(name)

    log = [line.split() for line in bot.log(ended["id"]).decode().splitlines()]
    assert ("success", []) == (ended["state"], ended["steps"])
    assert ["422", "422", "401"] == [line[0] for line in log]
    assert {"application/problem+json"} == {line[1] for line in log}


def test_the_token_is_dead_after_the_end(bot: Bot, name: str) -> None:
    """A deployment token is valid exactly while its deployment runs."""
    folder = bot.service(name, '#!/bin/sh\nprintf %s "$FASTDEPLOY_TOKEN" > token\n')
    ended = bot.run_service(name)
    token = (folder / "token").read_text()

    late = bot.http(
        "POST", f"/api/v1/deployments/{ended['id']}/steps", token=token, json={"name": "Late", "state": "success"}
    )

    assert 403 == late.status_code
    assert [] == bot.deployment(ended["id"])["steps"]


def test_a_token_is_good_for_its_own_deployment_alone(bot: Bot, name: str) -> None:
    """A script cannot report, read, start or end anything else; missing and existing look alike."""
    folder = bot.service(
        name,
        '#!/bin/sh\nprintf %s "$FASTDEPLOY_TOKEN" > token.new; mv token.new token\n'
        "until [ -e go ]; do sleep 0.05; done\n",
    )
    bot.service(f"{name}-other", "#!/bin/sh\n")
    other = bot.run_service(f"{name}-other")["id"]
    number = bot.deploy(name)
    wait_for((folder / "token").exists)
    token = (folder / "token").read_text()
    step = {"name": "Forged", "state": "success"}

    tried = [
        bot.http("POST", f"/api/v1/deployments/{other}/steps", token=token, json=step),
        bot.http("POST", "/api/v1/deployments/999999/steps", token=token, json=step),
        bot.http("GET", f"/api/v1/deployments/{other}", token=token),
        bot.http("POST", f"/api/v1/deployments/{number}/cancel", token=token),
        bot.http("POST", "/api/v1/deployments", token=token, json={"service": name}),
    ]
    (folder / "go").touch()

    assert [403] * 5 == [answer.status_code for answer in tried]
    assert "success" == bot.wait_end(number)["state"]


# --- by file


def test_steps_by_file_need_no_network(bot: Bot, name: str) -> None:
    """Lines appended to the steps file become steps; what is no step is passed over."""
    bot.service(
        name,
        """#!/bin/sh
set -eu
echo '{"name": "Build", "state": "running"}' >> "$FASTDEPLOY_STEPS_FILE"
echo 'no JSON at all' >> "$FASTDEPLOY_STEPS_FILE"
echo '{"state": "running"}' >> "$FASTDEPLOY_STEPS_FILE"
echo '{"name": "Build", "state": "success", "message": "built"}' >> "$FASTDEPLOY_STEPS_FILE"
printf '{"name": "Last", "state": "success"}' >> "$FASTDEPLOY_STEPS_FILE"
""",
    )

    ended = bot.run_service(name)

    assert "success" == ended["state"]
    assert [("Build", "success"), ("Last", "success")] == states(ended["steps"])
    assert "built" == ended["steps"][0]["message"]


def test_many_steps_by_file_all_arrive_in_order(bot: Bot, name: str) -> None:
    """A burst of steps just before the end loses none."""
    bot.service(
        name,
        PYTHON
        + """
import json, os
with open(os.environ["FASTDEPLOY_STEPS_FILE"], "a") as file:
    for number in range(200):
        file.write(json.dumps({"name": f"Step {number}", "state": "success"}) + chr(10))
""",
    )

    ended = bot.run_service(name)

    assert [(f"Step {number}", "success") for number in range(200)] == states(ended["steps"])


# --- by command


def test_the_step_command_reports_start_and_end_and_keeps_the_exit_status(bot: Bot, name: str) -> None:
    """`fastdeploy step` is found by its name alone, and `set -e` sees what the command said."""
    bot.service(
        name,
        """#!/bin/sh
fastdeploy step "Build" -- sh -c 'echo "built $0 $1"; exit 0' "with spaces" '$HOME'
fastdeploy step "Migrate" -- sh -c 'exit 7'
echo "status $?"
fastdeploy step "Restart" -- no-such-program
echo "status $?"
""",
    )

    ended = bot.run_service(name)

    assert [("Build", "success"), ("Migrate", "failure"), ("Restart", "failure")] == states(ended["steps"])
    log = bot.log(ended["id"]).decode()
    assert "built with spaces $HOME\n" in log
    assert "status 7\n" in log
    assert "status 127\n" in log


def test_the_step_command_is_shown_while_its_command_runs(bot: Bot, name: str) -> None:
    """The start is told at the start, not together with the end."""
    folder = bot.service(name, "#!/bin/sh\nfastdeploy step Wait -- sh -c 'until [ -e go ]; do sleep 0.05; done'\n")
    number = bot.deploy(name)

    wait_for(lambda: [("Wait", "running")] == states(bot.deployment(number)["steps"]))
    (folder / "go").touch()

    assert [("Wait", "success")] == states(bot.wait_end(number)["steps"])


def test_the_step_command_outside_a_deployment_just_runs_the_command() -> None:
    """A script can be tried by hand, without a bot."""
    done = subprocess.run(
        [*COMMAND, "step", "Build", "--", "sh", "-c", "cat; exit 9"],
        env=clean_environment(),
        input="given",
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (9, "given") == (done.returncode, done.stdout)


def test_the_step_command_starts_fast_enough_to_be_used_everywhere(
    bot: Bot, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten steps that do nothing; what one costs is printed, because the promise is 60 ms on a quiet machine."""
    bot.service(
        name,
        PYTHON
        + """
import subprocess, time
begun = time.monotonic()
for number in range(10):
    subprocess.run(["fastdeploy", "step", f"Step {number}", "--", "true"], check=True)
print((time.monotonic() - begun) / 10)
""",
    )

    ended = bot.run_service(name)

    assert 10 == len(ended["steps"])
    with capsys.disabled():
        print(f"\n`fastdeploy step` takes {1000 * float(bot.log(ended['id'])):.0f} ms, its command included")


# --- known before they happen


def test_known_steps_of_the_service_file_are_pending_from_the_start(bot: Bot, name: str) -> None:
    """The file's steps are shown before the script has said a word, in the file's order."""
    folder = bot.service(
        name,
        "#!/bin/sh\nuntil [ -e go ]; do sleep 0.05; done\nfastdeploy step Restart -- true\n",
        steps=["Build", "Migrate", "Restart"],
    )
    number = bot.deploy(name)
    running = bot.wait_state(number, "running")
    (folder / "go").touch()

    ended = bot.wait_end(number)

    assert [("Build", "pending"), ("Migrate", "pending"), ("Restart", "pending")] == states(running["steps"])
    assert [("Build", "skipped"), ("Migrate", "skipped"), ("Restart", "success")] == states(ended["steps"])


def test_known_steps_are_learned_from_the_last_success(bot: Bot, name: str) -> None:
    """Where the file names none, the next deployment expects what the last one did."""
    folder = bot.service(
        name,
        "#!/bin/sh\nuntil [ -e go ]; do sleep 0.05; done\n"
        "fastdeploy step Build -- true\nfastdeploy step Restart -- true\n",
    )
    (folder / "go").touch()
    bot.run_service(name)
    (folder / "go").unlink()

    number = bot.deploy(name)
    running = bot.wait_state(number, "running")
    (folder / "go").touch()

    assert [("Build", "pending"), ("Restart", "pending")] == states(running["steps"])
    assert [("Build", "success"), ("Restart", "success")] == states(bot.wait_end(number)["steps"])


def test_ordinary_output_never_makes_a_step(bot: Bot, name: str) -> None:
    """A commit message that looks like a step is only output, unless the service file says otherwise."""
    bot.service(name, """#!/bin/sh\necho '{"name": "Forged", "state": "success"}'\n""")

    ended = bot.run_service(name)

    assert [] == ended["steps"]
    assert b"Forged" in bot.log(ended["id"])


def test_the_step_command_needs_none_of_the_bots_libraries(bot: Bot, name: str) -> None:
    """It starts without Flask, requests and the database, whatever Python path the script has."""
    bot.service(
        name,
        '#!/bin/sh\nmkdir -p empty\nPYTHONPATH=$PWD/empty fastdeploy step "Build" -- true\n',
    )

    ended = bot.run_service(name)

    assert "success" == ended["state"], bot.log(ended["id"])
    assert [("Build", "success")] == states(ended["steps"])
