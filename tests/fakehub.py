"""A GitHub of our own on a loopback port: it believes nothing, keeps what it is told, and fails on demand.

Every request is also judged by GitHub's own description of its API; what is wrong with one is kept in `wrongs`.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import re
import secrets
import ssl
import threading
import time
from collections import deque
from collections.abc import Mapping
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

import appkeys
import githubapi

APP_ID: Final = "1234"
CLIENT_ID: Final = "Iv23fakehub"
INSTALLATION: Final = 77
TOKEN: Final = "ghp_of_a_user"
STATES: Final = frozenset({"error", "failure", "pending", "success"})
MOST_STATUSES: Final = 1_000
MOVED: Final = 4711
"""The number of the repository octo-org/shop."""
VERSION: Final = "2022-11-28"

Json = dict[str, Any]


class Status(NamedTuple):
    """A commit status as it was told."""

    state: str
    description: str
    target_url: str


class Call(NamedTuple):
    """A request, and what became of it; status 0: no answer."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Json | None
    status: int
    at: float
    """When it came, by the monotonic clock."""


class Fault(NamedTuple):
    """What goes wrong with one request."""

    status: int | None = None
    """What is answered in place of the truth; None: the truth."""
    message: str = "Something went wrong"
    headers: Mapping[str, str] = {}
    raw: bytes | None = None
    """A body that is no JSON of GitHub's."""
    drop: bool = False
    """Whether the connection is closed without an answer."""
    done: bool = False
    """Whether the request is carried out all the same, and its answer alone is lost."""
    hold: threading.Event | None = None
    """What must happen before anything else does."""


DROPPED: Final = Fault(drop=True)


class Answer(NamedTuple):
    """What is sent back; status 0: nothing is."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Refused(Exception):
    """GitHub's own refusal of a request."""

    def __init__(self, status: int, message: str, *errors: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.body: Json = {"message": message}
        if errors:
            self.body["errors"] = [{"resource": "Status", "code": "custom", "message": each} for each in errors]


class _Token(NamedTuple):
    repository: str
    permissions: Mapping[str, str]
    expires: float


class FakeHub:
    """Use as a context manager. `prefix` is what an Enterprise Server has before its paths."""

    def __init__(self, *, prefix: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.down = False
        """Whether every connection is dropped without a word."""
        self.skew = 0.0
        """Seconds that its clock is ahead of ours."""
        self.lifetime = 3_600.0
        """Seconds that an installation's token is good for."""
        self.installations = {"octo-org/shop": INSTALLATION}
        self.granted: dict[str, str] = {"metadata": "read", "statuses": "write", "contents": "read"}
        self.pushes = True
        """Whether the user may write to the repositories."""
        self.renamed: set[str] = set()
        """Names that octo-org/shop once had."""
        self.held = threading.Event()
        """Set as soon as a request is held back."""
        self.calls: list[Call] = []
        self.wrongs: list[str] = []
        self.statuses: dict[tuple[str, str, str], list[Status]] = {}
        self.tokens: dict[str, _Token] = {}
        self._prefix = prefix
        self._faults: deque[tuple[str, Fault]] = deque()
        self._lock = threading.Lock()
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

    def fail(self, *faults: Fault, on: str = "") -> None:
        """Let the next requests whose path holds `on` go wrong, each in the way of one fault."""
        with self._lock:
            self._faults.extend((on, fault) for fault in faults)

    def told(self, sha: str, context: str = "fastdeploy/shop", repository: str = "octo-org/shop") -> list[Status]:
        """All statuses of a commit under a context, oldest first."""
        with self._lock:
            return list(self.statuses.get((repository, sha, context), ()))

    def states(self, sha: str, context: str = "fastdeploy/shop") -> list[str]:
        """The states of those, one after the other; the same again is left out."""
        told = [status.state for status in self.told(sha, context)]
        return [state for place, state in enumerate(told) if place == 0 or told[place - 1] != state]

    def paths(self) -> list[str]:
        """What was asked for, in order."""
        with self._lock:
            return [f"{call.method} {call.path}" for call in self.calls]

    def now(self) -> float:
        """The time by its own clock."""
        return time.time() + self.skew

    def answer(self, method: str, path: str, headers: Mapping[str, str], raw: bytes) -> Answer:
        """What becomes of a request."""
        at = time.monotonic()
        body: Json | None = json.loads(raw) if raw else None
        fault = self._next_fault(path)
        if fault.hold is not None:
            self.held.set()
            fault.hold.wait(60)
        wrong = fault.drop or fault.status is not None
        answer = self._truth(method, path, headers, body) if fault.done or not wrong else None
        if wrong or answer is None:
            answer = Answer(fault.status or 0, fault.headers, fault.raw or _json({"message": fault.message}))
        with self._lock:
            self.calls.append(Call(method, path, headers, body, answer.status, at))
        return answer

    # --- inside

    def _next_fault(self, path: str) -> Fault:
        with self._lock:
            if self.down:
                return DROPPED
            for place, (on, fault) in enumerate(self._faults):
                if on in path:
                    del self._faults[place]
                    return fault
            return Fault()

    def _truth(self, method: str, path: str, headers: Mapping[str, str], body: Json | None) -> Answer:
        try:
            self._check(method, path, headers, body)
            return self._route(method, path.removeprefix(self._prefix), headers, body)
        except Refused as refused:
            return Answer(refused.status, refused.headers, _json(refused.body))

    def _check(self, method: str, path: str, headers: Mapping[str, str], body: Json | None) -> None:
        # Where GitHub sends a renamed repository's calls is described nowhere.
        described = path.removeprefix(self._prefix).replace(f"/repositories/{MOVED}/", "/repos/octo-org/shop/")
        wrongs = [githubapi.complaint(method, described, body)]
        if headers.get("accept") != "application/vnd.github+json":
            wrongs.append(f"Accept: {headers.get('accept')}")
        if not headers.get("user-agent", "").startswith("fastdeploy_bot/"):
            wrongs.append(f"User-Agent: {headers.get('user-agent')}")
        if headers.get("x-github-api-version") != VERSION:
            wrongs.append(f"X-GitHub-Api-Version: {headers.get('x-github-api-version')}")
        if "cookie" in headers:
            wrongs.append("a cookie")
        found = [wrong for wrong in wrongs if wrong]
        if found:
            self.wrongs += found
            raise Refused(400, "; ".join(found))

    def _route(self, method: str, path: str, headers: Mapping[str, str], body: Json | None) -> Answer:
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if found := re.fullmatch(r"/repos/([^/]+/[^/]+)/statuses/([^/]+)", path):
            return self._status(found[1], found[2], bearer, body or {})
        if found := re.fullmatch(rf"/repositories/{MOVED}/statuses/([^/]+)", path):
            return self._status("octo-org/shop", found[1], bearer, body or {})
        if found := re.fullmatch(r"/repos/([^/]+/[^/]+)", path):
            return self._repository(found[1], bearer)
        if found := re.fullmatch(r"/repos/([^/]+/[^/]+)/installation", path):
            self._require_app(bearer)
            if found[1].lower() not in self.installations:
                raise Refused(404, "Not Found")
            return Answer(200, {}, _json({"id": self.installations[found[1].lower()]}))
        if found := re.fullmatch(r"/app/installations/([0-9]+)/access_tokens", path):
            self._require_app(bearer)
            return self._grant(int(found[1]), body or {})
        raise Refused(404, f"Not Found: {method} {path}")

    def _repository(self, repository: str, bearer: str) -> Answer:
        if bearer == TOKEN:
            return Answer(200, {}, _json({"full_name": repository, "permissions": {"pull": True, "push": self.pushes}}))
        token = self.tokens.get(bearer)
        if token is None:
            raise Refused(401, "Bad credentials")
        return Answer(200, {}, _json({"full_name": repository}))

    def _status(self, repository: str, sha: str, bearer: str, body: Json) -> Answer:
        if repository in self.renamed:
            where = f"{self.url}/repositories/{MOVED}/statuses/{sha}"
            return Answer(307, {"Location": where}, _json({"message": "Moved Permanently", "url": where}))
        self._require_write(repository, bearer)
        if not re.fullmatch(r"[0-9a-f]{40}", sha):
            raise Refused(422, f"No commit found for SHA: {sha}")
        self._require_fitting(body)
        key = (repository, sha, body.get("context", "default"))
        with self._lock:
            told = self.statuses.setdefault(key, [])
            if len(told) >= MOST_STATUSES:
                raise Refused(422, "Validation Failed", "This SHA and context has reached the maximum of statuses.")
            told.append(Status(body["state"], body.get("description", ""), body.get("target_url", "")))
        return Answer(201, {}, _json({"id": len(told), "state": body["state"], "context": key[2]}))

    @staticmethod
    def _require_fitting(body: Json) -> None:
        description = body.get("description") or ""
        if body.get("state") not in STATES:
            raise Refused(422, "Validation Failed", "State is not included in the list")
        if len(description) > 140:
            raise Refused(422, "Validation Failed", "description is too long (maximum is 140 characters)")
        if any(character > "\uffff" for character in description):
            raise Refused(422, "Validation Failed", "description doesn't accept 4-byte Unicode")
        if not re.match(r"https?://", body.get("target_url") or "https://"):
            raise Refused(422, "Validation Failed", "target_url must use http(s) scheme")

    def _require_write(self, repository: str, bearer: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+", repository):
            raise Refused(404, "Not Found")
        if bearer == TOKEN:
            return
        token = self.tokens.get(bearer)
        if token is None or token.expires <= self.now():
            raise Refused(401, "Bad credentials")
        if token.repository != repository.lower():
            raise Refused(404, "Not Found")
        if token.permissions.get("statuses") != "write":
            raise Refused(403, "Resource not accessible by integration")

    def _require_app(self, bearer: str) -> None:
        if wrong := _wrong_with_jwt(bearer, appkeys.key().public_key(), self.now()):
            raise Refused(401, wrong)

    def _grant(self, installation: int, body: Json) -> Answer:
        owned = {name.partition("/")[2]: name for name, number in self.installations.items() if number == installation}
        if not owned:
            raise Refused(404, "Not Found")
        [name] = body.get("repositories") or [""]
        wanted = body.get("permissions") or self.granted
        if name.lower() not in owned:
            raise Refused(422, "There is at least one repository that does not exist or is not accessible")
        if any(self.granted.get(what) not in (level, "write") for what, level in wanted.items()):
            raise Refused(422, "The permissions requested are not granted to this installation.")
        token, expires = f"ghs_{secrets.token_hex(8)}", self.now() + self.lifetime
        with self._lock:
            self.tokens[token] = _Token(owned[name.lower()], wanted, expires)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires))
        answer = {"token": token, "expires_at": stamp, "permissions": wanted, "repository_selection": "selected"}
        return Answer(201, {}, _json(answer))


def _wrong_with_jwt(token: str, key: RSAPublicKey, now: float) -> str:
    """What GitHub has against a JWT; read by hand, to share nothing with the library that made it."""
    try:
        head, claims, signature = token.split(".")
        header, payload = json.loads(_unpadded(head)), json.loads(_unpadded(claims))
        key.verify(_unpadded(signature), f"{head}.{claims}".encode(), PKCS1v15(), SHA256())
    except (ValueError, binascii.Error, InvalidSignature):
        return "A JSON web token could not be decoded"
    if header.get("alg") != "RS256":
        return "A JSON web token could not be decoded"
    if payload.get("iss") not in (APP_ID, CLIENT_ID):
        return "'Issuer' claim ('iss') must be a String: the App's id"
    issued, expires = payload.get("iat"), payload.get("exp")
    if not isinstance(issued, int) or issued > now:
        return "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
    if not isinstance(expires, int) or expires <= now:
        return "'Expiration time' claim ('exp') must be a numeric value representing the future time"
    return "'Expiration time' claim ('exp') is too far in the future" if expires > now + 600 else ""


def _json(body: Json) -> bytes:
    return json.dumps(body).encode()


def _unpadded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


class _Handler(BaseHTTPRequestHandler):
    """Moves bytes between a connection and the fake."""

    fake: FakeHub
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def _handle(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
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
