"""The action: its file is as GitHub wants it, what it is given is judged, and nothing it prints commands the runner."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
SCRIPT: Final = ROOT / "action" / "deploy.py"
TOKEN: Final = "fds_a-token-of-the-tests"
DEPLOYMENT: Final = {
    "id": 7,
    "service": "shop",
    "state": "success",
    "sha": "a" * 40,
    "steps": [],
    "reason": "",
    "waits_for": None,
    "url": "https://deploy.example/deployments/7",
}


@pytest.fixture(scope="module")
def action() -> Mapping[str, Any]:
    """The action's file, as GitHub reads it."""
    found: Mapping[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
    return found


@pytest.fixture(scope="module")
def deploy() -> ModuleType:
    """The action's script."""
    spec = importlib.util.spec_from_file_location("deploy_action", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Answers:
    """A bot of these tests that answers one thing after the other, the last one for ever."""

    def __init__(self, *answers: tuple[int, object]) -> None:
        self.answers = list(answers)
        self.seen: list[tuple[str, str, Mapping[str, str], bytes]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake.answer(self)

            do_POST = do_GET  # noqa: N815 - as above

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer a request."""
        raw = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.seen.append((handler.command, handler.path, headers, raw))
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        if 300 <= status < 400:
            handler.send_header("Location", "http://127.0.0.1:9/elsewhere")
        handler.end_headers()
        handler.wfile.write(data)

    def __enter__(self) -> Answers:
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Where a runner reads what a step gives."""
    path = tmp_path / "output"
    path.touch()
    return path


def run(url: str, outputs: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run the script as the step does."""
    given = {"URL": url, "TOKEN": TOKEN, "SHA": "A" * 40, "WAIT": "true", "TIMEOUT": "3s"} | inputs
    environ = {f"INPUT_{name}": text for name, text in given.items()}
    facts = {"GITHUB_OUTPUT": str(outputs), "GITHUB_RUN_ID": "99", "GITHUB_RUN_ATTEMPT": "2", "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [sys.executable, "-I", str(SCRIPT)], env=environ | facts, capture_output=True, text=True, timeout=60
    )


# --- its file ---------------------------------------------------------------------------------------------


def test_its_file_is_an_action(action: Mapping[str, Any]) -> None:
    """A composite one, with what GitHub requires; each input is described."""
    assert {"name", "description", "author", "branding", "inputs", "outputs", "runs"} == action.keys()
    assert "composite" == action["runs"]["using"]
    assert {"url", "token"} == {name for name, each in action["inputs"].items() if each["required"]}
    assert all(each["description"] for each in [*action["inputs"].values(), *action["outputs"].values()])
    assert all("default" in each for each in action["inputs"].values() if not each["required"])


def test_its_step_gives_the_script_all_inputs_and_no_shell_any(action: Mapping[str, Any], deploy: ModuleType) -> None:
    """By the environment: what stands in a command is read by the shell, and seen by every process."""
    [step] = action["runs"]["steps"]

    assert {f"INPUT_{name.upper()}": f"${{{{ inputs.{name} }}}}" for name in action["inputs"]} == step["env"]
    assert set(deploy.NAMES) == {name.upper() for name in action["inputs"]}
    assert "${{" not in step["run"]
    assert "bash" == step["shell"]
    assert (ROOT / re.findall(r'\$GITHUB_ACTION_PATH/([^"]*)"', step["run"])[0]) == SCRIPT
    assert {f"${{{{ steps.{step['id']}.outputs.{name} }}}}" for name in ("id", "state", "url")} == {
        each["value"] for each in action["outputs"].values()
    }


# --- what it is given -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1_800), ("1h30m", 5_400), ("2h", 7_200), ("0", 0)]
)
def test_a_time_is_read(deploy: ModuleType, text: str, seconds: int) -> None:
    """As the bot's own settings are."""
    assert seconds == deploy.seconds(text)


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"TOKEN": ""}, "token: it is empty"),
        ({"TOKEN": "two words"}, "token: it is empty, or no token"),
        ({"URL": ""}, "url: expected an address"),
        ({"URL": "deploy.example"}, "url: expected an address"),
        ({"URL": "http://deploy.example"}, "url: expected an address such as https://"),
        ({"URL": "http://127.0.0.1.evil.example"}, "url: expected an address such as https://"),
        ({"URL": "file:///etc/passwd"}, "url: expected an address"),
        ({"TIMEOUT": "soon"}, "timeout: expected a time"),
        ({"TIMEOUT": ""}, "timeout: expected a time"),
        ({"WAIT": "maybe"}, "wait: expected true or false"),
    ],
)
def test_what_cannot_be_is_refused(outputs: Path, inputs: dict[str, str], told: str) -> None:
    """With the input's name, before anything is sent; exit status 2."""
    done = run("http://127.0.0.1:1", outputs, **inputs)

    assert 2 == done.returncode
    assert told in done.stdout
    assert "" == done.stderr


# --- what it asks for -------------------------------------------------------------------------------------


def test_it_asks_once_for_what_it_is_given(outputs: Path) -> None:
    """With the token in the header alone, and a key that is the same for each try of this attempt."""
    with Answers((503, {"detail": "GitHub has not answered"}), (201, DEPLOYMENT)) as bot:
        done = run(bot.url + "/", outputs, SERVICE="shop", REF="main")

    assert 0 == done.returncode, done.stdout
    (method, path, headers, raw), again = bot.seen
    assert ("POST", "/api/v1/deployments") == (method, path)
    assert {"service": "shop", "sha": "a" * 40, "ref": "main"} == json.loads(raw)
    assert f"Bearer {TOKEN}" == headers["authorization"]
    assert re.fullmatch(r"github-99-2-[0-9a-f]{16}", headers["idempotency-key"])
    assert (method, path, headers, raw) == again
    assert TOKEN not in done.stdout + done.stderr + outputs.read_text()


def test_keys_differ_by_attempt_and_by_what_is_asked_for(deploy: ModuleType) -> None:
    """Of two jobs, too; outside of a run none is like another."""
    run_of = {"GITHUB_RUN_ID": "9", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_JOB": "deploy"}
    keys = [
        deploy.idempotency_key(run_of, {"sha": "a"}),
        deploy.idempotency_key(run_of, {"sha": "a"}),
        deploy.idempotency_key(run_of, {"sha": "b"}),
        deploy.idempotency_key(run_of | {"GITHUB_RUN_ATTEMPT": "2"}, {"sha": "a"}),
        deploy.idempotency_key(run_of | {"GITHUB_JOB": "other"}, {"sha": "a"}),
        deploy.idempotency_key({}, {"sha": "a"}),
        deploy.idempotency_key({}, {"sha": "a"}),
    ]

    assert keys[0] == keys[1]
    assert 6 == len(set(keys))


def test_a_redirect_is_not_followed(outputs: Path) -> None:
    """A token is for the address that was given."""
    with Answers((302, b"")) as bot:
        done = run(bot.url, outputs)

    assert (2, True) == (done.returncode, "url: it leads elsewhere" in done.stdout)
    assert 1 == len(bot.seen)


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b"{}", b'"x"', b"\xff"])
def test_what_is_no_bot_is_told_apart(outputs: Path, body: bytes) -> None:
    """Somebody else may live at that address."""
    with Answers((200, body)) as bot:
        done = run(bot.url, outputs)

    assert (69, True) == (done.returncode, "no fastdeploy bot" in done.stdout)


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (401, {"detail": "this token has expired"}, "token: this token has expired (401)"),
        (403, {"detail": "a service token may not start this"}, "token: it is not for this: a service token may"),
        (404, b"<html>", "url or service: it answered (404)"),
        (422, {"detail": "sha: it is on no branch"}, "sha: it is on no branch (422)"),
        (409, {"detail": ["strange"]}, "(409)"),
    ],
)
def test_a_refusal_is_told_at_once(outputs: Path, status: int, body: object, told: str) -> None:
    """Nothing is tried again."""
    with Answers((status, body)) as bot:
        done = run(bot.url, outputs)

    assert 2 == done.returncode
    assert told in done.stdout
    assert 1 == len(bot.seen)


# --- what it prints ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "status"), [("success", 0), ("failure", 1), ("cancelled", 3), ("superseded", 3), ("lost", 4)]
)
def test_it_ends_as_the_deployment_does(outputs: Path, state: str, status: int) -> None:
    """With the reason, and what later steps may know."""
    steps = [
        {"name": "Build", "state": "success", "message": ""},
        {"name": "Migrate", "state": "failure", "message": "no such table"},
        {"name": "Restart", "state": "pending", "message": ""},
    ]
    running = DEPLOYMENT | {"state": "running", "steps": [steps[0], steps[1] | {"state": "running"}, steps[2]]}
    ended = DEPLOYMENT | {"state": state, "steps": steps, "reason": "because"}

    with Answers((201, DEPLOYMENT | {"state": "queued"}), (200, running), (200, ended)) as bot:
        done = run(bot.url, outputs, TIMEOUT="60s")

    lines = done.stdout.splitlines()
    assert status == done.returncode
    assert ["◌ queued", "✓ Build", "◐ Migrate", "✗ Migrate: no such table"] == lines[2:6]
    assert (state == "success") is not any("::error title=fastdeploy::" in line for line in lines)
    assert [f"state={state}", f"url={DEPLOYMENT['url']}"] == outputs.read_text().splitlines()[-2:]
    assert "id=7" in outputs.read_text()


def test_nothing_that_the_bot_tells_commands_the_runner(outputs: Path) -> None:
    """No step's name, message or reason: the runner takes no command between those two lines but by a secret word."""
    evil = "::set-output name=x::y\n::error::z\r##[set-env name=PATH]x\x1b[2J"
    hostile = DEPLOYMENT | {
        "state": "failure",
        "service": evil,
        "reason": evil,
        "url": "https://x/\nevil=1",
        "steps": [{"name": evil, "state": "failure", "message": evil}],
    }
    with Answers((201, hostile)) as bot:
        done = run(bot.url, outputs)

    first, *rest = done.stdout.split("\n")
    word = first.removeprefix("::stop-commands::")
    commands = [line for line in rest if line.startswith("::")]
    assert 32 == len(word)
    assert [f"::{word}::", first] == [commands[0], commands[2]]
    assert commands[1].startswith("::error title=fastdeploy::deployment 7 of ")
    assert 3 == len(commands)
    assert "\x1b" not in done.stdout
    assert "\r" not in done.stdout
    assert ["id=7", "state=failure", "url=https://x/�evil=1"] == outputs.read_text().splitlines()


def test_who_does_not_wait_gets_the_address(outputs: Path) -> None:
    """One request, and success whatever becomes of it."""
    with Answers((201, DEPLOYMENT | {"state": "waiting", "reason": "locked by anna: freeze"})) as bot:
        done = run(bot.url, outputs, WAIT="False")

    assert 0 == done.returncode
    assert "⧖ waiting: locked by anna: freeze" in done.stdout
    assert "state=waiting" in outputs.read_text()
    assert 1 == len(bot.seen)


def test_who_waited_long_enough_is_told_that_it_goes_on(outputs: Path) -> None:
    """The step fails, and nothing is cancelled."""
    with Answers((201, DEPLOYMENT | {"state": "running"})) as bot:
        done = run(bot.url, outputs, TIMEOUT="1s")

    assert 1 == done.returncode
    assert f"it is running still, and goes on: {DEPLOYMENT['url']}" in done.stdout
    assert {"POST", "GET"} == {each[0] for each in bot.seen}
    assert "state=running" in outputs.read_text()


def test_a_bot_that_is_away_meanwhile_is_waited_for(outputs: Path) -> None:
    """It restarts, or its proxy does."""
    with Answers((201, DEPLOYMENT | {"state": "running"}), (502, b"<html>"), (200, DEPLOYMENT)) as bot:
        done = run(bot.url, outputs, TIMEOUT="60s")

    assert 0 == done.returncode
    assert "… it answered (502); again in 1 s" in done.stdout


def test_a_bot_that_is_not_there_is_told(outputs: Path) -> None:
    """With another exit status than that of a deployment that failed."""
    done = run("http://127.0.0.1:9", outputs, TIMEOUT="1s")

    assert 69 == done.returncode
    assert "the bot at http://127.0.0.1:9 cannot be reached" in done.stdout
