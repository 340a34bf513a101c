"""A real bot for a test: its own home, its own server on a free port, and everything it started ended with it."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import pty
import secrets
import signal
import socket
import subprocess
import sys
import termios
import time
import tomllib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import requests

ROOT: Final = Path(__file__).resolve().parents[2]
"""The checkout under test."""
COMMAND: Final = (sys.executable, "-m", "fastdeploy_bot")
"""`fastdeploy`, as the tests' own Python runs it."""
ADMIN: Final = "admin"
PASSWORD: Final = "correct horse battery"
"""The user that `init` makes for the tests."""
ACTIVATE: Final = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1');"
    "os.execv(sys.argv[2], sys.argv[2:])"
)
"""Starts a program as systemd does that is handed a socket."""
FINAL: Final = frozenset({"success", "failure", "cancelled", "superseded", "lost"})
OPEN: Final = ("queued", "waiting", "running")
PATIENCE: Final = 30.0
"""Seconds after which a condition that has not come true is a fault, on a loaded machine too."""

Json = dict[str, Any]  # what the API answers; the tests judge it key by key
Toml = str | bool | int | Sequence[str] | Mapping[str, str]
T = TypeVar("T")


def wait_for(condition: Callable[[], T | None], seconds: float = PATIENCE) -> T:
    """The condition's first true answer. Raises AssertionError when none came in time."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s; the last answer was {answer!r}"
        time.sleep(0.02)
    return answer


def free_port() -> int:
    """A loopback port that nobody listens on, and that no outgoing connection takes meanwhile."""
    while True:
        port = 12_000 + secrets.randbelow(18_000)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def clean_environment(**more: str) -> dict[str, str]:
    """What a command or server of the checkout is started with: no setting of whoever runs the tests."""
    inherited = {
        name: value for name, value in os.environ.items() if name != "PORT" and not name.startswith("FASTDEPLOY_")
    }
    return inherited | {"PYTHONPATH": str(ROOT)} | more


def signature(secret: str, body: bytes) -> str:
    """The value of `X-Hub-Signature-256`."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def processes_naming(text: str) -> list[int]:
    """Every living process that carries the text in its arguments or environment, but not this one."""
    needle = text.encode()
    return [pid for pid in _pids() if pid != os.getpid() and is_alive(pid) and needle in _arguments_and_environ(pid)]


def children_of(parent: int) -> list[int]:
    """The living processes that were started by this one and not handed over."""
    return [pid for pid in _pids() if is_alive(pid) and _stat(pid)[1] == str(parent)]


def spares(bot: Bot) -> list[int]:
    """The bot's children that have no job yet."""
    return [pid for worker in bot.workers() for pid in children_of(worker) if _is_spare(pid)]


def resident(pid: int) -> float:
    """MiB of memory that a process has for itself or shares, each page in parts; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def is_alive(pid: int) -> bool:
    """Whether a process still runs; a zombie does not."""
    return _stat(pid)[0] not in ("Z", "X")


class Bot:
    """One home and the server on it, as its owner would run it."""

    def __init__(self, folder: Path, **environment: str) -> None:
        """Make the home by `fastdeploy init`; nothing runs yet. The environment is added to the server's."""
        self.home = folder / "home"
        self.output_file = folder / "server.log"
        self.port = free_port()
        self.environment = clean_environment(**environment)
        self.server: subprocess.Popen[bytes] | None = None
        self.listener: socket.socket | None = None
        """What the server is to inherit, in place of listening on its port itself."""
        self._tokens: dict[str, str] = {}
        self.run("init", "--admin", ADMIN, env={"FASTDEPLOY_PASSWORD": PASSWORD}, expect=0)
        settings = tomllib.loads((self.home / "fastdeploy.toml").read_text())
        self.secret: str = settings["webhook_secrets"][0]

    # --- the server

    @property
    def url(self) -> str:
        """The bot's address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Bot:
        """Start `fastdeploy serve` and wait until it is ready."""
        self.launch(*COMMAND, "--home", str(self.home), "serve", "--port", str(self.port))
        return self

    def launch(self, *command: str, cwd: Path | None = None) -> None:
        """Start this command as the bot's server and wait until it is ready."""
        passed = () if self.listener is None else (self.listener.fileno(),)
        activate = [part for fd in passed for part in (sys.executable, "-c", ACTIVATE, str(fd))]
        with self.output_file.open("ab") as output:
            self.server = subprocess.Popen(
                [*activate, *command],
                pass_fds=passed,
                cwd=cwd or self.home.parent,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for(self._ready)

    def stop(self, seconds: float = 20.0) -> int:
        """Ask the server to end, as systemd does, and answer its exit status."""
        assert self.server is not None
        self.server.terminate()
        return self.server.wait(seconds)

    def kill(self) -> None:
        """End the server's whole process group at once, as a crash does."""
        if self.server is not None:
            _kill_group(self.server.pid)
            self.server.wait()

    def workers(self) -> list[int]:
        """The server's worker processes."""
        assert self.server is not None
        return children_of(self.server.pid)

    def close(self) -> None:
        """End everything that was started for this home."""
        self.kill()
        wait_for(self._sweep)

    def output(self) -> str:
        """What the server has printed so far."""
        return self.output_file.read_text("utf-8", "replace") if self.output_file.exists() else ""

    # --- commands

    def run(
        self,
        *arguments: str,
        by_url: bool = False,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        expect: int | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a `fastdeploy` command on this home; with `expect`, any other exit status is a fault.

        With `by_url` it is run as from elsewhere, by the admin's token unless the environment has another.
        """
        where, environment = self._whereabouts(by_url, env or {})
        done = subprocess.run(
            [*COMMAND, *where, *arguments],
            cwd=self.home.parent,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert expect in (None, done.returncode), f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def begin(
        self, *arguments: str, by_url: bool = False, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """A `fastdeploy` command that goes on while the test does something else; its output is one text."""
        where, environment = self._whereabouts(by_url, env or {})
        return subprocess.Popen(
            [*COMMAND, *where, *arguments],
            cwd=self.home.parent,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def terminal(
        self, *arguments: str, by_url: bool = False, columns: int = 100, env: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Run a `fastdeploy` command on a terminal of that width: its exit status, and all that came to the screen."""
        where, environment = self._whereabouts(by_url, {"TERM": "xterm", "COLUMNS": str(columns), **(env or {})})
        master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, columns))
        running = subprocess.Popen(
            [*COMMAND, *where, *arguments],
            cwd=self.home.parent,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        with open(master, "rb", buffering=0) as screen:
            shown = b"".join(iter(partial(_piece, screen), b""))
        return running.wait(PATIENCE), shown.decode()

    def read(self, *arguments: str, by_url: bool = False) -> Any:  # whatever JSON the command prints
        """What a command prints with `--json`."""
        return json.loads(self.run(*arguments, "--json", by_url=by_url, expect=0).stdout)

    def _whereabouts(self, by_url: bool, more: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
        if not by_url:
            return ["--home", str(self.home)], {**self.environment, "FASTDEPLOY_PORT": str(self.port), **more}
        token = {} if "FASTDEPLOY_USER_TOKEN" in more else {"FASTDEPLOY_USER_TOKEN": self.token()}
        return ["--url", self.url], clean_environment(**token, **more)

    # --- services

    def service(self, name: str, script: str | None, **keys: Toml) -> Path:
        """Write a service's script, `deploy`, and its service.toml, and answer its folder."""
        folder = self.home / "services" / name
        folder.mkdir(parents=True)
        if script is not None:
            _write_program(folder / "deploy", script)
        self.write_toml(name, **{"repository": f"octo-org/{name}", "command": ["./deploy"], **keys})
        return folder

    def write_toml(self, name: str, **keys: Toml) -> None:
        """Replace a service's service.toml, in one piece."""
        path = self.home / "services" / name / "service.toml"
        new = path.with_suffix(".new")
        new.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in keys.items()))
        new.replace(path)

    # --- HTTP

    def token(self) -> str:
        """The admin's token, of this bot."""
        if ADMIN not in self._tokens:
            answer = self.http("POST", "/api/v1/token", token="", json={"username": ADMIN, "password": PASSWORD})
            assert 200 == answer.status_code, answer.text
            self._tokens[ADMIN] = answer.json()["token"]
        return self._tokens[ADMIN]

    def http(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        json: object = None,
        data: bytes | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> requests.Response:
        """One request to the bot, as the admin unless another token is given; an empty one sends none."""
        token = self.token() if token is None else token
        authorization = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.request(
            method,
            self.url + path,
            headers=authorization | dict(headers or {}),
            json=json,
            data=data,
            params=params,
            timeout=PATIENCE,
        )

    def get(self, path: str, **params: str | int) -> Json:
        """What the API answers to the admin's GET, which has to succeed."""
        answer = self.http("GET", f"/api/v1{path}", params=params)
        assert 200 == answer.status_code, answer.text
        found: Json = answer.json()
        return found

    def post(self, path: str, body: object = None, expect: int = 200, token: str | None = None) -> Json:
        """What the API answers to a POST, by the admin unless a token is given."""
        answer = self.http("POST", f"/api/v1{path}", json=body, token=token)
        assert expect == answer.status_code, answer.text
        found: Json = answer.json()
        return found

    def deliver(
        self, body: bytes, *, event: str = "push", guid: str | None = None, secret: str | None = None
    ) -> requests.Response:
        """Deliver a webhook as GitHub does, signed with the bot's secret unless another is given."""
        headers = self.signed(body, event=event, guid=guid, secret=secret)
        return self.http("POST", "/webhooks/github", token="", headers=headers, data=body)

    def signed(
        self, body: bytes, *, event: str = "push", guid: str | None = None, secret: str | None = None
    ) -> dict[str, str]:
        """The headers with which GitHub would deliver this body."""
        return {
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/test",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": guid or str(uuid.uuid4()),
            "X-Hub-Signature-256": signature(secret or self.secret, body),
        }

    # --- deployments

    def deploy(self, service: str, **body: object) -> int:
        """Start a deployment by the API, of a made-up commit unless `sha` is given, and answer its id."""
        started = self.post("/deployments", {"service": service, "sha": "5" * 40, **body}, expect=201)
        number: int = started["id"]
        return number

    def deployment(self, number: int) -> Json:
        """A deployment as the API shows it."""
        return self.get(f"/deployments/{number}")

    def deployments(self, service: str) -> list[Json]:
        """A service's deployments, oldest first."""
        newest_first: list[Json] = self.get("/deployments", service=service, limit=200)["items"]
        return newest_first[::-1]

    def wait_state(self, number: int, *states: str, seconds: float = PATIENCE) -> Json:
        """The deployment once it is in one of these states."""
        seen: list[str] = []

        def reached() -> Json | None:
            row = self.deployment(number)
            if row["state"] not in seen:
                seen.append(row["state"])
            return row if row["state"] in states else None

        try:
            return wait_for(reached, seconds)
        except AssertionError:
            raise AssertionError(f"went {seen}, never {states}: {self.deployment(number)}") from None

    def wait_end(self, number: int, seconds: float = PATIENCE) -> Json:
        """The deployment once it has ended."""
        return self.wait_state(number, *FINAL, seconds=seconds)

    def wait_idle(self, service: str) -> list[Json]:
        """The service's deployments, oldest first, once all of them have ended."""

        def ended() -> list[Json] | None:
            rows = self.deployments(service)
            return rows if rows and all(row["state"] in FINAL for row in rows) else None

        return wait_for(ended)

    def idle(self) -> bool:
        """Whether no deployment of any service is on its way."""
        unfinished = [self.get("/deployments", state=state, limit=1)["items"] for state in OPEN]
        return not any(unfinished)

    def run_service(self, service: str, **body: object) -> Json:
        """Deploy by the API and answer the deployment as it ended."""
        return self.wait_end(self.deploy(service, **body))

    def log(self, number: int, **params: int) -> bytes:
        """A deployment's stored output."""
        return self.log_answer(number, **params).content

    def log_answer(self, number: int, **params: int) -> requests.Response:
        """The answer that carries a deployment's output, headers and all."""
        answer = self.http("GET", f"/api/v1/deployments/{number}/log", params=params)
        assert 200 == answer.status_code, answer.text
        return answer

    # --- inside

    def _ready(self) -> bool:
        assert self.server is not None
        assert self.server.poll() is None, f"the server ended with {self.server.returncode}:\n{self.output()}"
        try:
            return requests.get(f"{self.url}/readyz", timeout=PATIENCE).status_code == 200
        except requests.ConnectionError:
            return False

    def _sweep(self) -> bool:
        left = processes_naming(f"{self.home}")
        for pid in left:
            _signal(pid, signal.SIGKILL)
        return not left


BotMaker = Callable[..., Bot]
"""Makes a bot that is not started; the arguments are added to its environment."""


def states(steps: Sequence[Json]) -> list[tuple[str, str]]:
    """Name and state of each step, in order."""
    return [(step["name"], step["state"]) for step in steps]


def _toml(value: Toml) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {json.dumps(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def _write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _piece(screen: IO[bytes]) -> bytes:
    try:
        return screen.read(4096)
    except OSError:  # what a terminal says once nobody holds its other end
        return b""


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _stat(pid: int) -> list[str]:
    """State, parent, … of a process; empty fields once it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["X", ""]


def _is_spare(pid: int) -> bool:
    """Whether a process is a child whose complaints go nowhere yet."""
    complaints = Path(f"/proc/{pid}/fd/2")
    return b"child.py" in _arguments_and_environ(pid) and str(complaints.readlink()) == os.devnull


def _arguments_and_environ(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() + b"\0" + Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
