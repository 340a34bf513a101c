"""Scripts written for ephes/fastdeploy, which print their steps, run as they are with `step_source = "stdout"`."""

from __future__ import annotations

import itertools
import json
import sys

import pytest

from bots import Bot, states, wait_for

NUMBERS = itertools.count(1)

PYTHON = f"#!{sys.executable}\nimport json, os, sys, time, urllib.request\n"


@pytest.fixture
def name() -> str:
    """A service's name of the test's own."""
    return f"stdout{next(NUMBERS)}"


def service(bot: Bot, name: str, script: str, *steps: str) -> None:
    """A service whose script prints its steps."""
    bot.service(name, PYTHON + script, step_source="stdout", steps=steps)


def test_each_printed_line_is_a_step(bot: Bot, name: str) -> None:
    """A script of the dummy's shape: known steps, printed one by one with a pause between."""
    service(
        bot,
        name,
        """
for number in range(5):
    print(json.dumps({"name": f"message {number}", "state": "success"}), flush=True)
    time.sleep(0.02)
""",
        *[f"message {number}" for number in range(5)],
    )

    ended = bot.run_service(name)

    assert "success" == ended["state"]
    assert [(f"message {number}", "success") for number in range(5)] == states(ended["steps"])


def test_a_printed_step_is_seen_before_the_script_ends(bot: Bot, name: str) -> None:
    """Steps arrive as they are printed."""
    service(
        bot,
        name,
        """
print(json.dumps({"name": "first", "state": "success"}), flush=True)
while not os.path.exists("go"):
    time.sleep(0.02)
""",
    )
    number = bot.deploy(name)

    wait_for(lambda: [("first", "success")] == states(bot.deployment(number)["steps"]))
    (bot.home / "services" / name / "go").touch()

    assert "success" == bot.wait_end(number)["state"]


def test_a_failing_step_keeps_its_error_message_and_the_exit_status_decides(bot: Bot, name: str) -> None:
    """The step is a failure with what `error_message` said; the deployment ends as the script does."""
    service(
        bot,
        name,
        """
print(json.dumps({"name": "message 0", "state": "success"}), flush=True)
print(json.dumps({"name": "message 1", "state": "failure", "error_message": "no space left"}), flush=True)
sys.exit(2)
""",
        "message 0",
        "message 1",
        "message 2",
    )

    ended = bot.run_service(name)

    assert ("failure", 2) == (ended["state"], ended["exit_status"])
    assert [("message 0", "success"), ("message 1", "failure"), ("message 2", "skipped")] == states(ended["steps"])
    assert "no space left" == ended["steps"][1]["message"]


def test_steps_that_nobody_announced_are_listed_in_the_order_they_came(bot: Bot, name: str) -> None:
    """A service without predefined steps shows what its script printed."""
    service(
        bot,
        name,
        """
for word in ("zeta", "alpha", "mu"):
    print(json.dumps({"name": word, "state": "success"}), flush=True)
""",
    )

    ended = bot.run_service(name)

    assert [("zeta", "success"), ("alpha", "success"), ("mu", "success")] == states(ended["steps"])


def test_a_line_of_a_hundred_kilobytes_is_still_a_step(bot: Bot, name: str) -> None:
    """Playbooks print whole results beside the step's name."""
    service(
        bot,
        name,
        """
print(json.dumps({"name": "message 0", "state": "success"}), flush=True)
print(json.dumps({"name": "message 1", "state": "success", "foo": "y" * 100_000}), flush=True)
""",
    )

    ended = bot.run_service(name)

    assert [("message 0", "success"), ("message 1", "success")] == states(ended["steps"])
    assert b"y" * 100_000 in bot.log(ended["id"])


def test_other_output_between_the_steps_is_only_output(bot: Bot, name: str) -> None:
    """Prose, JSON of other shapes and bytes that are no text pass by; all of it is in the log."""
    service(
        bot,
        name,
        r"""
print("context: {'name': 'no step'}")
print(json.dumps(["name", "state"]))
print(json.dumps({"name": None, "state": "success"}))
print(json.dumps({"name": "odd", "state": "splendid"}))
print(json.dumps(12), flush=True)
sys.stdout.buffer.write(b"\xff\xfe\n")
print(json.dumps({"name": "only", "state": "success"}), end="", flush=True)
""",
    )

    ended = bot.run_service(name)

    assert "success" == ended["state"]
    assert ("only", "success") in states(ended["steps"])
    assert {"only", "odd"} >= {step["name"] for step in ended["steps"]}
    assert b"\xff\xfe\n" in bot.log(ended["id"])


def test_a_script_may_read_everything_from_its_configuration_and_post_its_steps_itself(bot: Bot, name: str) -> None:
    """The file given as `--config` says what the environment says, and its token reports a step."""
    service(
        bot,
        name,
        """
assert sys.argv[1] == "--config", sys.argv
config = json.load(open(sys.argv[2]))
assert sys.argv[2] == os.environ["DEPLOY_CONFIG_FILE"]
assert config["steps_url"] == os.environ["STEPS_URL"]
assert config["access_token"] == os.environ["ACCESS_TOKEN"]
assert config["context"] == json.loads(os.environ["CONTEXT"])
assert config["path_for_deploy"] == os.environ["PATH"]
request = urllib.request.Request(
    config["steps_url"],
    data=json.dumps({"name": "posted", "state": "success"}).encode(),
    headers={"Authorization": "Bearer " + config["access_token"], "Content-Type": "application/json"},
)
urllib.request.urlopen(request, timeout=30).close()
print(json.dumps(config), file=open("config-seen", "w"))
""",
    )

    ended = bot.run_service(name, context={"env": {"domain": "shop.example"}})

    assert "success" == ended["state"], bot.log(ended["id"])
    assert [("posted", "success")] == states(ended["steps"])
    seen = json.loads((bot.home / "services" / name / "config-seen").read_text())
    assert {"env": {"domain": "shop.example"}} == seen["context"]
    assert ended["id"] == seen["deployment_id"]
    assert seen["deployment_finish_url"] == seen["steps_url"].replace("/steps", "/finish")
    assert seen["deploy_script"].endswith("deploy")


def test_the_configuration_is_readable_by_the_bots_user_alone(bot: Bot, name: str) -> None:
    """It holds a token."""
    service(bot, name, "print(oct(os.stat(os.environ['DEPLOY_CONFIG_FILE']).st_mode & 0o777))\n")

    ended = bot.run_service(name)

    assert b"0o600\n" == bot.log(ended["id"])


def test_without_stdout_steps_no_argument_is_added(bot: Bot, name: str) -> None:
    """A script that is no ephes/fastdeploy script gets its own arguments alone."""
    bot.service(name, PYTHON + "print(sys.argv[1:])\n", command=["./deploy", "fast"])

    ended = bot.run_service(name)

    assert b"['fast']\n" == bot.log(ended["id"])
