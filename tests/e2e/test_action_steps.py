"""The action against a running bot, its steps run as a runner of GitHub Actions runs them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from bots import PATIENCE, ROOT, Bot, BotMaker, clean_environment, wait_for

SHA: Final = "5" * 40
SCRIPT: Final = """#!/bin/sh
fastdeploy step Build -- echo building
fastdeploy step Migrate -- true
"""
FAILING: Final = """#!/bin/sh
fastdeploy step Build -- echo building
fastdeploy step Migrate -- sh -c 'exit 3'
"""
LONG: Final = "#!/bin/sh\nexec sleep 600\n"


class Runner:
    """A runner's machine: `uses: ./` with these inputs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.action: Mapping[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
        self.run_id = "4711"

    def begin(self, **inputs: str) -> subprocess.Popen[str]:
        """Start the action's one step."""
        [step] = self.action["runs"]["steps"]
        script = self.folder / "step.sh"
        script.write_text(step["run"])
        self.output = self.folder / "output"
        self.output.write_text("")
        environ = clean_environment(
            GITHUB_ACTION_PATH=str(ROOT),
            GITHUB_OUTPUT=str(self.output),
            GITHUB_RUN_ID=self.run_id,
            GITHUB_RUN_ATTEMPT="1",
            **{name: self._evaluated(text, inputs) for name, text in step["env"].items()},
        )
        return subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
            cwd=self.folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, **inputs: str) -> tuple[int, str]:
        """The step's exit status, and all that it printed."""
        running = self.begin(**inputs)
        printed, _ = running.communicate(timeout=3 * PATIENCE)
        return running.returncode, printed

    @property
    def outputs(self) -> dict[str, str]:
        """What later steps are given; of what was told twice, the last."""
        told = dict(line.split("=", 1) for line in self.output.read_text().splitlines())
        names = {name: re.findall(r"outputs\.(\w+)", each["value"])[0] for name, each in self.action["outputs"].items()}
        return {name: told.get(inner, "") for name, inner in names.items()}

    def _evaluated(self, text: str, inputs: Mapping[str, str]) -> str:
        [name] = re.findall(r"\$\{\{ inputs\.(\w+) \}\}", text)
        default = str(self.action["inputs"][name].get("default", ""))
        return inputs.get(name, default.replace("${{ github.sha }}", SHA))


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """A runner's machine."""
    folder = tmp_path / "runner"
    folder.mkdir()
    return Runner(folder)


def token_of(bot: Bot, name: str) -> str:
    """A service token."""
    return bot.run("token", "create", name, "--name", "CI", expect=0).stdout.strip()


def test_the_workflows_commit_is_deployed(bot: Bot, runner: Runner) -> None:
    """Its steps are shown, later steps are told; the token is nowhere, and its use is known."""
    bot.service("shop", SCRIPT)
    token = token_of(bot, "shop")

    status, printed = runner.run(url=bot.url, token=token)

    assert 0 == status, printed
    found = bot.get("/deployments", service="shop")["items"][0]
    assert (SHA, "success", "api") == (found["sha"], found["state"], found["origin"])
    assert {"id": str(found["id"]), "state": "success", "url": found["url"]} == runner.outputs
    assert "✓ Build" in printed
    assert "✓ Migrate" in printed
    assert token not in printed
    [listed] = bot.read("token", "list", "shop")
    assert "CI" == listed["name"]
    assert listed["used"]


def test_a_run_of_the_workflow_that_is_repeated_deploys_once(bot: Bot, runner: Runner) -> None:
    """Within one attempt; another attempt is another wish."""
    bot.service("once", SCRIPT)
    token = token_of(bot, "once")

    first, second = ((runner.run(url=bot.url, token=token), runner.outputs)[1] for _ in range(2))
    runner.run_id = "4712"
    runner.run(url=bot.url, token=token)

    assert first == second
    assert first["id"] != runner.outputs["id"]
    assert 2 == len(bot.get("/deployments", service="once")["items"])


def test_a_failure_fails_the_step(bot: Bot, runner: Runner) -> None:
    """At the step of the deployment that failed."""
    bot.service("tax", FAILING)

    status, printed = runner.run(url=bot.url, token=token_of(bot, "tax"))

    assert 1 == status
    assert "✗ Migrate" in printed
    assert re.search(r"^::error title=fastdeploy::deployment \d+ of tax: failure", printed, re.MULTILINE)
    assert "failure" == runner.outputs["state"]


def test_a_cancelled_deployment_fails_the_step(bot: Bot, runner: Runner) -> None:
    """With who cancelled it."""
    bot.service("long", LONG)
    running = runner.begin(url=bot.url, token=token_of(bot, "long"))
    [number] = wait_for(
        lambda: [each["id"] for each in bot.get("/deployments", service="long", state="running")["items"]]
    )

    bot.run("cancel", str(number), expect=0)

    printed, _ = running.communicate(timeout=PATIENCE)
    assert 3 == running.returncode
    assert f"deployment {number} of long: cancelled" in printed
    assert "cancelled" == runner.outputs["state"]


def test_a_cancelled_job_leaves_the_deployment_alone(bot: Bot, runner: Runner) -> None:
    """A runner interrupts its steps; nobody has asked the bot to stop."""
    bot.service("calm", LONG)
    running = runner.begin(url=bot.url, token=token_of(bot, "calm"))
    [number] = wait_for(
        lambda: [each["id"] for each in bot.get("/deployments", service="calm", state="running")["items"]]
    )

    running.terminate()

    printed, _ = running.communicate(timeout=PATIENCE)
    assert 130 == running.returncode
    assert "nobody waits any more; the deployment goes on" in printed
    assert "running" == bot.get(f"/deployments/{number}")["state"]
    bot.run("cancel", str(number), expect=0)


def test_without_waiting_the_step_ends_at_once(bot: Bot, runner: Runner) -> None:
    """Whatever becomes of the deployment."""
    bot.service("later", LONG)

    status, _ = runner.run(url=bot.url, token=token_of(bot, "later"), wait="false")

    assert 0 == status
    assert runner.outputs["state"] in ("queued", "running")
    bot.run("cancel", runner.outputs["id"], expect=0)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda token: token[:-1], "token: this token is not known (401)"),
        (lambda _token: "", "token: it is empty, or no token"),
    ],
)
def test_a_wrong_token_is_told(bot: Bot, runner: Runner, spoil: Callable[[str], str], told: str) -> None:
    """At once."""
    name = told.partition(":")[0] + ("-none" if "empty" in told else "-other")
    bot.service(name, SCRIPT)

    status, printed = runner.run(url=bot.url, token=spoil(token_of(bot, name)))

    assert 2 == status
    assert told in printed
    assert [] == bot.get("/deployments", service=name)["items"]


def test_a_token_of_another_service_is_told(bot: Bot, runner: Runner) -> None:
    """It starts its own service alone."""
    bot.service("mine", SCRIPT)
    bot.service("yours", SCRIPT)

    status, printed = runner.run(url=bot.url, token=token_of(bot, "mine"), service="yours")

    assert 2 == status
    assert "token: it is not for this" in printed


def test_a_bot_that_restarts_meanwhile_is_found_again(make_bot: BotMaker, runner: Runner) -> None:
    """The step goes on where it was; the deployment was never in danger."""
    bot = make_bot().start()
    folder = bot.service("steady", "#!/bin/sh\nfastdeploy step Wait -- sh -c 'until [ -e go ]; do sleep 0.1; done'\n")
    running = runner.begin(url=bot.url, token=token_of(bot, "steady"))
    wait_for(lambda: bot.get("/deployments", service="steady", state="running")["items"])
    read_until(running, "◐ Wait")

    bot.stop()
    read_until(running, "again in")
    bot.start()
    (folder / "go").touch()

    printed, _ = running.communicate(timeout=2 * PATIENCE)
    assert 0 == running.returncode, printed
    assert "✓ steady is deployed" in printed


def test_a_bot_that_is_not_there_is_told(make_bot: BotMaker, runner: Runner) -> None:
    """After a while, with another exit status than that of a deployment that failed."""
    bot = make_bot()

    status, printed = runner.run(url=bot.url, token="fds_x", timeout="1s")

    assert 69 == status
    assert f"the bot at {bot.url} cannot be reached" in printed


def test_the_token_is_in_no_argument(bot: Bot, runner: Runner) -> None:
    """Every process of the machine can read those."""
    bot.service("quiet", LONG)
    token = token_of(bot, "quiet")
    running = runner.begin(url=bot.url, token=token)
    wait_for(lambda: bot.get("/deployments", service="quiet", state="running")["items"])

    arguments = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if _readable(path)]

    assert not [each for each in arguments if token.encode() in each]
    running.terminate()
    running.communicate(timeout=PATIENCE)
    bot.run("cancel", runner.outputs["id"], expect=0)


def read_until(running: subprocess.Popen[str], text: str) -> None:
    """Read what it prints up to a line with that text."""
    assert running.stdout is not None
    for line in running.stdout:
        if text in line:
            return
    pytest.fail(f"it ended without a word of {text!r}")


def _readable(path: Path) -> bool:
    return os.access(path, os.R_OK)
