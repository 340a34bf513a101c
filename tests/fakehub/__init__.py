"""A GitHub of our own on a loopback port: it believes nothing, keeps what it is told, and fails on demand.

Every request is also judged by GitHub's own description of its API; what is wrong with one is kept in `wrongs`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import ssl
import threading
import time
from collections import deque
from collections.abc import Mapping
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qsl

import appkeys
import githubapi
from fakehub.apps import Apps, wrong_with_jwt
from fakehub.checkruns import CheckRuns
from fakehub.ci import CI
from fakehub.collaborators import Collaborators
from fakehub.deployments import Deployment, Deployments
from fakehub.history import History
from fakehub.hooks import Hook, Hooks
from fakehub.manifest import Manifests
from fakehub.refs import Refs, Remote
from fakehub.repositories import Repositories
from fakehub.signin import CLIENT_SECRET, SignIn
from fakehub.statuses import Status, Statuses
from fakehub.wire import (
    APP_ID,
    CLIENT_ID,
    DROPPED,
    INSTALLATION,
    MOVED,
    TOKEN,
    VERSION,
    Answer,
    Area,
    Call,
    Fault,
    Json,
    Refused,
    Request,
    answered,
    as_json,
)

__all__ = [
    "APP_ID",
    "CLIENT_ID",
    "CLIENT_SECRET",
    "DROPPED",
    "INSTALLATION",
    "MOVED",
    "TOKEN",
    "VERSION",
    "FakeHub",
    "Fault",
    "Hook",
    "Remote",
    "Status",
]


class Token(NamedTuple):
    """An installation's token."""

    repository: str | None
    """The one that it is good for; None: all of the installation."""
    permissions: Mapping[str, str]
    expires: float


class FakeHub:
    """Use as a context manager. `prefix` is what an Enterprise Server has before its paths."""

    def __init__(self, *, prefix: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.strangers = False
        """Whether clients call that are not ours: their headers are their own matter."""
        self.down = False
        """Whether every connection is dropped without a word."""
        self.skew = 0.0
        """Seconds that its clock is ahead of ours."""
        self.lifetime = 3_600.0
        """Seconds that an installation's token is good for."""
        self.installations = {"octo-org/shop": INSTALLATION}
        self.granted: dict[str, str] = {
            "metadata": "read",
            "statuses": "write",
            "deployments": "write",
            "checks": "write",
            "contents": "read",
        }
        self.suspended: set[int] = set()
        """The installations that somebody has suspended."""
        self.pushes = True
        """Whether the user may write to the repositories."""
        self.people = {"octocat": (583231, "write"), "reader": (2, "read"), "mona": (3, "admin")}
        """GitHub's id of each user by their name, in lower case, and their role in the repositories."""
        self.roles: dict[tuple[str, str], str] = {}
        """The role of somebody in one repository, both in lower case, where it is another than in all others."""
        self.visibility: dict[str, str] = {}
        """How far a repository can be seen, where it is not private."""
        self.renamed: set[str] = set()
        """Names that octo-org/shop once had."""
        self.held = threading.Event()
        """Set as soon as a request is held back."""
        self.calls: list[Call] = []
        self.wrongs: list[str] = []
        self.statuses: dict[tuple[str, str, str], list[Status]] = {}
        self.deployments: list[Deployment] = []
        self.check_runs: list[Json] = []
        """Each as GitHub shows it, with its `annotations` and all `statuses` and conclusions that it had."""
        self.suites: dict[tuple[str, str, int], Json] = {}
        self.ci_statuses: list[tuple[str, str, str, str, str | None]] = []
        """Repository, commit, context, state and description of each that others created."""
        self.tokens: dict[str, Token] = {}
        self.app = Manifests(self)
        """The App that was made of a manifest, and the pages on the way to it."""
        self.sign_in = SignIn(self)
        self._prefix = prefix
        self.remotes: dict[str, Remote] = {}
        self.history = History(self)
        self.ci = CI(self)
        self.hooks: dict[str, list[Hook]] = {}
        self.app_hook: Hook | None = None
        self._areas: tuple[Area, ...] = (
            Statuses(self),
            Deployments(self),
            CheckRuns(self),
            self.ci,
            Repositories(self),
            Refs(self),
            Hooks(self),
            Apps(self),
            Collaborators(self),
            self.sign_in,
            self.history,
        )
        self._faults: deque[tuple[str, Fault]] = deque()
        self.lock = threading.Lock()
        hub = self

        class Handler(_Handler):
            fake = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            # Hands are shaken by the thread of a connection, so that a client that will not does no harm.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> FakeHub:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """What `github_api_url` is."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}{self._prefix}"

    @property
    def web(self) -> str:
        """What `github_url` is."""
        return self.url.removesuffix(self._prefix)

    def fail(self, *faults: Fault, on: str = "") -> None:
        """Let the next requests whose path holds `on` go wrong, each in the way of one fault."""
        with self.lock:
            self._faults.extend((on, fault) for fault in faults)

    def remote(self, repository: str = "octo-org/shop") -> Remote:
        """A repository, empty where nobody pushed to it yet."""
        with self.lock:
            return self.remotes.setdefault(repository.lower(), Remote(repository))

    def told(self, sha: str, context: str = "fastdeploy/shop", repository: str = "octo-org/shop") -> list[Status]:
        """All statuses of a commit under a context, oldest first."""
        with self.lock:
            return list(self.statuses.get((repository, sha, context), ()))

    def states(self, sha: str, context: str = "fastdeploy/shop") -> list[str]:
        """The states of those, one after the other; the same again is left out."""
        told = [status.state for status in self.told(sha, context)]
        return [state for place, state in enumerate(told) if place == 0 or told[place - 1] != state]

    def paths(self) -> list[str]:
        """What was asked for, in order."""
        with self.lock:
            return [f"{call.method} {call.path}" for call in self.calls]

    def now(self) -> float:
        """The time by its own clock."""
        return time.time() + self.skew

    def answer(self, method: str, path: str, headers: Mapping[str, str], raw: bytes) -> Answer:
        """What becomes of a request."""
        at = time.monotonic()
        for pages in (self.app, self.sign_in):
            if (page := pages.page(method, path, raw)) is not None:
                return page
        body: Json | None = json.loads(raw) if raw else None
        fault = self._next_fault(path)
        if fault.hold is not None:
            self.held.set()
            fault.hold.wait(60)
        wrong = fault.drop or fault.status is not None
        answer = self._truth(method, path, headers, body) if fault.done or not wrong else None
        if wrong or answer is None:
            answer = Answer(fault.status or 0, fault.headers, fault.raw or as_json({"message": fault.message}))
        with self.lock:
            self.calls.append(Call(method, path, headers, body, answer.status, at))
        return answer

    def require(self, repository: str, bearer: str, **needs: str) -> None:
        """Refuse whoever may not do that in a repository: `needs` names a permission and its level."""
        if not re.fullmatch(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+", repository):
            raise Refused(404, "Not Found")
        if bearer == TOKEN:
            return
        token = self.tokens.get(bearer)
        if token is None or token.expires <= self.now():
            raise Refused(401, "Bad credentials")
        if token.repository != repository.lower() and (
            token.repository or repository.lower() not in self.installations
        ):
            raise Refused(404, "Not Found")
        if any(token.permissions.get(name) not in (level, "write") for name, level in needs.items()):
            raise Refused(403, "Resource not accessible by integration")

    def require_app(self, bearer: str) -> None:
        """Refuse whoever is not the App itself."""
        if wrong := wrong_with_jwt(bearer, appkeys.key().public_key(), self.now()):
            raise Refused(401, wrong)

    # --- inside

    def _next_fault(self, path: str) -> Fault:
        with self.lock:
            if self.down:
                return DROPPED
            for place, (on, fault) in enumerate(self._faults):
                if on in path:
                    del self._faults[place]
                    return fault
            return Fault()

    def _truth(self, method: str, path: str, headers: Mapping[str, str], body: Json | None) -> Answer:
        if moved := self._moved(method, path.removeprefix(self._prefix)):
            return moved
        path = path.replace(f"/repositories/{MOVED}", "/repos/octo-org/shop")
        path, _, query = path.removeprefix(self._prefix).partition("?")
        request = Request(method, path, dict(parse_qsl(query, keep_blank_values=True)), headers, body or {})
        try:
            self._check(method, path, headers, body)
            for area in self._areas:
                if (answer := area.answer(request)) is not None:
                    return _conditional(request, answer)
        except Refused as refused:
            return Answer(refused.status, refused.headers, as_json(refused.body))
        return answered({"message": f"Not Found: {method} {path}"}, 404)

    def _moved(self, method: str, path: str) -> Answer | None:
        """Where a repository is that had another name once."""
        for name in self.renamed:
            if re.match(rf"/repos/{re.escape(name)}(?=[/?]|$)", path):
                there = f"{self.url}/repositories/{MOVED}{path.removeprefix(f'/repos/{name}')}"
                told = {"message": "Moved Permanently", "url": there}
                return answered(told, 301 if method == "GET" else 307, {"Location": there})
        return None

    def _check(self, method: str, path: str, headers: Mapping[str, str], body: Json | None) -> None:
        # The trade of a code is described nowhere: it is not of the API.
        trade = path == "/login/oauth/access_token"
        wrongs = [] if trade else [githubapi.complaint(method, path, body)]
        if not self.strangers:
            wrongs += _wrong_headers(headers, "application/json" if trade else "application/vnd.github+json")
        found = [wrong for wrong in wrongs if wrong]
        if found:
            self.wrongs += found
            raise Refused(400, "; ".join(found))


def _wrong_headers(headers: Mapping[str, str], accept: str) -> list[str]:
    """What is wrong with the headers of a client that should be ours."""
    wrongs = []
    if headers.get("accept") != accept:
        wrongs.append(f"Accept: {headers.get('accept')}")
    if not headers.get("user-agent", "").startswith("fastdeploy_bot/"):
        wrongs.append(f"User-Agent: {headers.get('user-agent')}")
    if headers.get("x-github-api-version") != VERSION:
        wrongs.append(f"X-GitHub-Api-Version: {headers.get('x-github-api-version')}")
    if "cookie" in headers:
        wrongs.append("a cookie")
    return wrongs


def _conditional(request: Request, answer: Answer) -> Answer:
    """The answer to somebody who may know it already."""
    if request.method != "GET" or answer.status != 200:
        return answer
    etag = f'W/"{hashlib.sha256(answer.body).hexdigest()}"'
    if request.headers.get("if-none-match") == etag:
        return Answer(304, {**answer.headers, "ETag": etag}, b"")
    return Answer(200, {**answer.headers, "ETag": etag}, answer.body)


class _Handler(BaseHTTPRequestHandler):
    """Moves bytes between a connection and the fake."""

    fake: FakeHub
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PATCH(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        if len(raw) < length:  # whoever asked was killed in the middle of it
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.fake.answer(self.command, self.path, headers, raw)
        self.close_connection = answer.status == 0
        if answer.status:
            self._write(answer)

    def _write(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        date = formatdate(self.fake.now(), usegmt=True)
        length = str(len(answer.body))
        sent = {"Date": date, "Content-Type": "application/json", "Content-Length": length, **answer.headers}
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def handle(self) -> None:
        """Serve a connection; one that the client breaks off is no fault of ours."""
        with contextlib.suppress(OSError):
            super().handle()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
