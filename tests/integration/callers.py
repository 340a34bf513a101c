"""Those around the app in these tests: GitHub, the holders of tokens, the engine, and whoever writes service files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Barrier
from typing import Any, Final, TypeVar

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.security import generate_password_hash
from werkzeug.test import TestResponse

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import questions
from fastdeploy_bot.core.commits.reaching import Reach
from fastdeploy_bot.core.deploying import deployments, progress, queue, services
from fastdeploy_bot.core.deploying.deployments import Ending
from fastdeploy_bot.core.deploying.queue import Claim
from fastdeploy_bot.core.deploying.services import Sync
from fastdeploy_bot.core.people import sessions, tokens
from fastdeploy_bot.forge.github import payloads, signatures
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store import postgres, sqlite
from fastdeploy_bot.store.models import Deployment, Token, User
from fastdeploy_bot.web import browser
from fastdeploy_bot.web.context import EXTENSION, Bot
from fastdeploy_bot.words import LOCAL, DeploymentState, QuestionKind, Role

T = TypeVar("T")

on_sqlite: Final = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For tests about what SQLite alone has; all others run on both databases."""

SECRET: Final = "s3cret"
KEY: Final = "k" * 64
REPOSITORY: Final = "octo-org/shop"
REPOSITORY_ID: Final = 4711
SOON: Final = 1_700_000_000
"""A moment by GitHub's clock, in Unix seconds."""


def sha(number: int) -> str:
    """A commit of one's own for every number from 1 on; 0 is no commit."""
    return f"{number:04x}" * 10


class GitHub:
    """Delivers webhooks as GitHub does."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client
        self._guids = count(1)

    def push(
        self, *, guid: str | None = None, secret: str = SECRET, client: FlaskClient | None = None, **fields: Any
    ) -> TestResponse:
        """A signed push; without fields one of `main`, from commit 1 to commit 2."""
        return self.deliver(document(**fields), guid=guid, secret=secret, client=client)

    def deliver(
        self,
        body: bytes,
        *,
        event: str = "push",
        guid: str | None = None,
        secret: str | None = SECRET,
        content_type: str | None = "application/json",
        headers: Mapping[str, str | None] = {},
        client: FlaskClient | None = None,
    ) -> TestResponse:
        """A webhook with that body; a header that is None is left out."""
        sent: dict[str, str | None] = {
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": guid or f"guid-{next(self._guids)}",
            "X-Hub-Signature-256": None if secret is None else signatures.sign(secret, body),
            **headers,
        }
        present = {name: value for name, value in sent.items() if value is not None}
        return (client or self.client).post("/webhooks/github", data=body, headers=present, content_type=content_type)


def document(**fields: Any) -> bytes:
    """A push as GitHub would send it; see `payloads.push_document` for the fields."""
    defaults: dict[str, Any] = {
        "repository": REPOSITORY,
        "repository_id": REPOSITORY_ID,
        "before": sha(1),
        "after": sha(2),
        "pushed_at": SOON,
    }
    return payloads.push_document(**(defaults | fields))


class ServiceFiles:
    """Writes service files as a person would."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.services_dir

    def __call__(self, name: str = "shop", **keys: Any) -> Path:
        """The service file of that name with those keys; without any, of the default branch of the usual repository."""
        table = {"repository": REPOSITORY} | keys
        return self.text(name, "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items()))

    def text(self, name: str, text: str) -> Path:
        """The service file of that name with exactly that text."""
        path = self.folder / name / "service.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def remove(self, name: str) -> None:
        """Take a service away."""
        (self.folder / name / "service.toml").unlink()


class Auth:
    """Headers of those who hold a token."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def __call__(self, role: str) -> dict[str, str]:
        """A user with that role."""
        return bearer(self._once(role, lambda: self._user(role)))

    def service(self, name: str) -> dict[str, str]:
        """The holder of a service token."""
        return bearer(self._once(f"service {name}", lambda: issue_for_service(name)))

    def _once(self, name: str, make: Callable[[], str]) -> str:
        if name not in self._known:
            self._known[name] = make()
        return self._known[name]

    def _user(self, role: str) -> str:
        return issue_for_user(role)


class Browser:
    """A browser with cookies of its own, that sends forms as browsers do."""

    def __init__(self, app: Flask, *, origin: str = "http://localhost") -> None:
        self.app = app
        self.client = app.test_client()
        self.origin = origin

    def signed_in(self, role: str, *, name: str = "", now: int | None = None) -> Browser:
        """As a user with that role, whose session began just now or at `now`."""
        user = user_of(role, name=name)
        moment = clock.now() if now is None else now
        begun = store.write(lambda: sessions.begin(user, peer="127.0.0.1", agent="a browser", now=moment))
        self.show(begun.cookie)
        return self

    def show(self, cookie: str) -> None:
        """Have that as the session's cookie."""
        self.client.set_cookie("fastdeploy", cookie)

    def get(self, path: str, **options: Any) -> TestResponse:
        """A page, taken to its last byte but with `buffered=False`."""
        return self.client.get(path, **{"buffered": True} | options)

    def post(self, path: str, *, headers: Mapping[str, str] | None = None, **fields: str) -> TestResponse:
        """A form with those fields and its token; `headers` in place of a right Origin."""
        sent = {"Origin": self.origin} if headers is None else headers
        data = {"form_token": self.form_token(path)} | fields
        return self.client.post(path, data=data, headers=sent, base_url=self.origin)

    def form_token(self, path: str) -> str:
        """The token that the form for that path carries."""
        if path in ("/login", "/theme"):
            self.client.get("/login", base_url=self.origin)
        with self.client, self.app.test_request_context(path, method="POST", headers=self._cookies()):
            return browser.form_token()

    def _cookies(self) -> dict[str, str]:
        found = self.client._cookies.values() if self.client._cookies else []
        return {"Cookie": "; ".join(f"{each.decoded_key}={each.value}" for each in found)}


def user_of(role: str, *, name: str = "") -> User:
    """The user with that role, called as the role or by `name`; made where there is none. Has no password."""
    username = name or role
    found: User | None = User.get_or_none(User.username == username)
    return found or store.write(lambda: User.create(username=username, password="!", role=Role(role), created=0))


def registered(username: str, password: str, role: str = "viewer") -> User:
    """A user with a password that costs little to look at."""
    hashed = generate_password_hash(password, method="pbkdf2:sha256:1")
    return store.write(lambda: User.create(username=username, password=hashed, role=Role(role), created=0))


def bearer(token: str) -> dict[str, str]:
    """The header that shows a token."""
    return {"Authorization": f"Bearer {token}"}


def issue_for_service(name: str, *, now: int | None = None) -> str:
    """A fresh service token for 90 days from `now`."""
    moment = clock.now() if now is None else now
    return store.write(lambda: tokens.for_service(services.find(name), by=LOCAL, now=moment)).token


def issue_for_user(role: str, *, name: str = "") -> str:
    """A fresh token of the user with that role."""
    user = user_of(role, name=name)
    return store.write(lambda: tokens.for_user(user, now=clock.now())).token


def expire(token: str) -> None:
    """Let a token's time be over."""
    store.write(lambda: Token.update(expires=1).where(Token.hash == tokens.digest(token)).execute())


def revoke(token: str) -> None:
    """Take a token back."""
    store.write(lambda: Token.update(revoked=1).where(Token.hash == tokens.digest(token)).execute())


class Host:
    """Plays the engine: deployments begin and end, nothing is run."""

    name = "host-1"

    def begin(
        self, number: int, *, steps: Sequence[str] = (), definition: Mapping[str, Any] = {}, max_running: int = 9
    ) -> dict[str, str]:
        """Let a queued deployment run; answers the headers of its script."""
        token = tokens.for_deployment(number, f"run-{number}", key=KEY)
        claim = Claim(
            host=self.name,
            run=f"run-{number}",
            definition=json.dumps(definition),
            token_hash=tokens.digest(token),
            steps=tuple(steps),
        )
        begun = queue.claim(deployments.find(number), claim, max_running=max_running, now=clock.now())
        assert begun, f"deployment {number} could not begin"
        return bearer(token)

    def end(self, number: int, state: DeploymentState = DeploymentState.SUCCESS, **facts: Any) -> None:
        """Let a running deployment end."""
        progress.conclude(number, Ending(state=state, **facts), now=clock.now())


def sync(app: Flask) -> Sync:
    """Bring the rows in step with the files, as the engine does."""
    bot: Bot = app.extensions[EXTENSION]
    return services.sync(bot.catalogue.entries(), now=clock.now())


def vouch(*commits: str, service: str = "shop") -> None:
    """Let GitHub have said that main leads to these commits."""

    def write() -> None:
        row, ref = services.find(service), "refs/heads/main"
        for commit in commits:
            reach = Reach(sha=commit, branches=(), tags=(), default_branch="main")
            question = questions.ask(QuestionKind.REACHABLE, REPOSITORY, reach, now=clock.now(), service=row.id)
            questions.answer(question, ref, now=clock.now())

    store.write(write)


def states() -> list[tuple[str, str]]:
    """Every deployment as its service and state, oldest first."""
    rows = Deployment.select().order_by(Deployment.id)
    return [(row.service.name, row.state) for row in rows]


def verdicts(response: TestResponse) -> dict[str, str]:
    """A webhook's answer as the verdict of each service."""
    return {each["service"]: each["verdict"] for each in response.get_json()["verdicts"]}


def main_of(answer: TestResponse) -> str:
    """A page without its frame, which is alike for all: everybody may search, and choose how pages look."""
    return answer.text.partition("<main")[2].partition("</main>")[0]


def is_problem(response: TestResponse, status: int) -> bool:
    """Whether it is an RFC 9457 problem of that status."""
    told = response.get_json()
    return (
        response.status_code == status == told["status"]
        and response.mimetype == "application/problem+json"
        and {"type", "title", "status", "detail"} == told.keys()
        and all(isinstance(told[key], str) and told[key] for key in ("type", "title", "detail"))
    )


def be_patient(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let writers wait so long for each other, on whatever database; one in use has to be connected to anew."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", seconds)
    monkeypatch.setattr(postgres, "BUSY_SECONDS", seconds)


def at_once(act: Callable[[int], T], threads: int) -> list[T]:
    """What `act` answers in so many threads at the same time; each closes its connection in the end."""
    start = Barrier(threads)

    def run(number: int) -> T:
        try:
            start.wait(timeout=60)
            return act(number)
        finally:
            store.disconnect()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


def without_tokens(page: str) -> str:
    """A page's text without what each answer has of its own in its forms."""
    return re.sub(r'name="(form_token|nonce)" value="[^"]*"', "", page)
