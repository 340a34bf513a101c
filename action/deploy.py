"""The action "Deploy with fastdeploy": start a deployment, show its steps as they change, and end as it does.

Runs on a runner of GitHub Actions with whatever Python 3.9 or newer is there, and needs nothing beside it. What the bot
tells is printed as text: no line of it can be a command to the runner.
Source: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

EXIT = {"success": 0, "failure": 1, "cancelled": 3, "superseded": 3, "lost": 4}
"""What each final state ends with."""
FAILED, USAGE, UNREACHABLE = 1, 2, 69
MARKS = {"running": "◐", "success": "✓", "failure": "✗", "skipped": "⊘"}
PATIENCE = 120.0
"""Seconds for which a bot may be away: it restarts, or its host does."""
LOOK = 2.0
"""Seconds between two looks."""
CALL = 30.0
"""Seconds for one request."""
AWAY = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses of a bot, or of a proxy before it, that may answer otherwise soon."""
LARGEST = 1 << 24

Json = dict[str, Any]


class Trouble(Exception):
    """The step ends, with a sentence and an exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Away(Exception):
    """Nobody answered, or nobody who knew."""


class Inputs(NamedTuple):
    """What the step was given."""

    url: str
    token: str
    body: Json
    wait: bool
    timeout: float


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows nothing: a token is shown to the address that was given, and to no other."""

    def redirect_request(self, *_: Any) -> None:
        """Nowhere."""


def main() -> int:
    """Deploy; answers the exit status."""
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"::stop-commands::{RESUME}", flush=True)
    try:
        given = inputs(os.environ)
        return deploy(given)
    except Trouble as trouble:
        tell_runner("error", "fastdeploy", str(trouble))
        return trouble.status


def deploy(given: Inputs) -> int:
    """Start the deployment and, if that is wanted, see it to its end."""
    begun = time.monotonic()
    deployment = start(given, until=begun + min(given.timeout, PATIENCE))
    say(f"deployment {deployment['id']} of {deployment['service']}, {deployment['sha'][:7]}: {deployment['url']}")
    told: dict[str, str] = {}
    while True:
        show(deployment, told)
        if deployment["state"] in EXIT:
            return end(deployment)
        if not given.wait:
            return 0
        if time.monotonic() - begun > given.timeout:
            raise Trouble(f"it is {deployment['state']} still, and goes on: {deployment['url']}", FAILED)
        time.sleep(LOOK)
        deployment = look(given, deployment["id"], until=begun + given.timeout + CALL)


def start(given: Inputs, *, until: float) -> Json:
    """The deployment that the bot starts; a try whose answer was lost is not a second one."""
    key = idempotency_key(os.environ, given.body)
    return persist(given, "POST", "/api/v1/deployments", given.body, key, until)


def look(given: Inputs, number: int, *, until: float) -> Json:
    """The deployment as it is by now. A bot that is away for a while is waited for."""
    patience = min(until, time.monotonic() + PATIENCE)
    return persist(given, "GET", f"/api/v1/deployments/{number}", None, "", patience)


def show(deployment: Json, told: dict[str, str]) -> None:
    """Print what has changed since it was told, and let later steps know of it."""
    if told.get("state") != deployment["state"]:
        told["state"] = deployment["state"]
        output(deployment)
    news = {"whole": state_line(deployment)}
    news.update({f"step {step['name']}": step_line(step) for step in deployment["steps"] if step["state"] in MARKS})
    for name, line in news.items():
        if line and told.get(name) != line:
            told[name] = line
            say(line)


def state_line(deployment: Json) -> str:
    """What there is to say of it as a whole, before its steps begin."""
    state, reason = deployment["state"], deployment["reason"]
    if state == "waiting":
        return f"⧖ waiting: {reason or deployment['waits_for'] or ''}"
    return "◌ queued" if state == "queued" else ""


def step_line(step: Json) -> str:
    """A step, with what it said in the end."""
    message = f": {step['message']}" if step["message"] and step["state"] != "running" else ""
    return f"{MARKS[step['state']]} {step['name']}{message}"


def end(deployment: Json) -> int:
    """Say how it ended; answers the exit status."""
    state = deployment["state"]
    if state == "success":
        say(f"✓ {deployment['service']} is deployed")
        return 0
    why = f": {deployment['reason']}" if deployment["reason"] else ""
    raise Trouble(f"deployment {deployment['id']} of {deployment['service']}: {state}{why}", EXIT[state])


# --- what the step is given, and gives


def inputs(environ: Mapping[str, str]) -> Inputs:
    """What the step was given. Raises Trouble."""
    given = {name: environ.get(f"INPUT_{name}", "").strip() for name in NAMES}
    if not re.fullmatch(r"[!-~]+", given["TOKEN"]):
        raise Trouble("token: it is empty, or no token: is the secret there, and may this workflow read it?", USAGE)
    wanted = {"service": given["SERVICE"], "sha": given["SHA"].lower(), "ref": given["REF"]}
    if given["WAIT"].lower() not in ("true", "false"):
        raise Trouble(f"wait: expected true or false, got {given['WAIT']!r}", USAGE)
    return Inputs(
        url=address(given["URL"]),
        token=given["TOKEN"],
        body={name: value for name, value in wanted.items() if value},
        wait=given["WAIT"].lower() == "true",
        timeout=seconds(given["TIMEOUT"]),
    )


NAMES = ("URL", "TOKEN", "SERVICE", "SHA", "REF", "WAIT", "TIMEOUT")


def address(text: str) -> str:
    """The bot's address. Raises Trouble where a token would be readable on the way there."""
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    local = host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host)
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
        raise Trouble(f"url: expected an address such as https://deploy.example, got {text!r}", USAGE)
    return text.rstrip("/")


def seconds(text: str) -> float:
    """How long that is: `90s`, `30m`, `1h30m`, or a number of seconds. Raises Trouble."""
    found = re.fullmatch(r"(?:(\d{1,4})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s?)?", text)
    if not text or found is None:
        raise Trouble(f"timeout: expected a time such as 90s, 30m or 2h, got {text!r}", USAGE)
    hours, minutes, rest = (int(each or 0) for each in found.groups())
    return float(hours * 3_600 + minutes * 60 + rest)


def idempotency_key(environ: Mapping[str, str], body: Json) -> str:
    """The same for every try of one attempt of one run, for what it asks for; outside of a run always another."""
    run = environ.get("GITHUB_RUN_ID") or secrets.token_hex(8)
    what = [environ.get("GITHUB_REPOSITORY", ""), environ.get("GITHUB_JOB", ""), json.dumps(body, sort_keys=True)]
    digest = hashlib.sha256("\n".join(what).encode()).hexdigest()[:16]
    return f"github-{run}-{environ.get('GITHUB_RUN_ATTEMPT', '1')}-{digest}"


def output(deployment: Json) -> None:
    """Let later steps know of it."""
    path = os.environ.get("GITHUB_OUTPUT")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            for name in ("id", "state", "url"):
                file.write(f"{name}={clean(str(deployment[name]))}\n")


# --- the way to the bot

OPENER = urllib.request.build_opener(NoRedirects)


def persist(given: Inputs, method: str, path: str, body: Json | None, key: str, until: float) -> Json:
    """What the bot answers; tried again for as long as it is away. Raises Trouble."""
    pause = 1.0
    while True:
        try:
            return call(given, method, path, body, key)
        except Away as away:
            if time.monotonic() + pause > until:
                raise Trouble(f"the bot at {given.url} cannot be reached: {away}", UNREACHABLE) from away
            say(f"… {away}; again in {pause:g} s")
            time.sleep(pause)
            pause = min(2 * pause, 15.0)


def call(given: Inputs, method: str, path: str, body: Json | None, key: str) -> Json:
    """What the bot answers to one request. Raises Away, Trouble."""
    headers = {
        "Authorization": f"Bearer {given.token}",
        "Accept": "application/json",
        "User-Agent": "fastdeploy-action",
    }
    if key:
        headers["Idempotency-Key"] = key
    data = None
    if body is not None:
        data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    request = urllib.request.Request(given.url + path, data, headers, method=method)  # noqa: S310 - `address` looked
    try:
        with OPENER.open(request, timeout=CALL) as answer:
            return read(answer.read(LARGEST))
    except urllib.error.HTTPError as refused:
        raise_refused(refused)
    except OSError as error:
        raise Away(str(getattr(error, "reason", error)) or "no answer") from error


def read(data: bytes) -> Json:
    """A deployment. Raises Trouble where it is none: somebody else may live at that address."""
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not {"id", "service", "state", "sha", "steps", "reason", "url"} <= found.keys():
        raise Trouble("what answers at that address is no fastdeploy bot", UNREACHABLE)
    return found


def raise_refused(refused: urllib.error.HTTPError) -> NoReturn:
    """Tell why the bot did not do it. Raises Away, Trouble."""
    why = detail(refused)
    if refused.code in AWAY:
        raise Away(why) from refused
    if 300 <= refused.code < 400:
        raise Trouble("url: it leads elsewhere: give the address that it leads to", USAGE) from refused
    hint = {401: "token: ", 403: "token: it is not for this: ", 404: "url or service: "}.get(refused.code, "")
    raise Trouble(hint + why, USAGE) from refused


def detail(refused: urllib.error.HTTPError) -> str:
    """What the answer says, in one line."""
    try:
        told = json.loads(refused.read(LARGEST))["detail"]
    except (OSError, ValueError, KeyError, TypeError):
        told = ""
    return clean(f"{told or 'it answered'} ({refused.code})")[:500]


# --- what the runner is told

RESUME = secrets.token_hex(16)
"""Until the runner sees this it takes no line for a command, whatever a step of the deployment is called."""


def say(line: str) -> None:
    """Print a line."""
    print(clean(line), flush=True)


def tell_runner(command: str, title: str, message: str) -> None:
    """Give the runner a command, and none else."""
    text = clean(message).replace("%", "%25")
    print(f"::{RESUME}::\n::{command} title={title}::{text}\n::stop-commands::{RESUME}", flush=True)


def clean(text: str) -> str:
    """A text in one line, without what steers a terminal."""
    return "".join(each if each.isprintable() else "�" for each in text)


def stop(*_: object) -> NoReturn:
    """The job was cancelled, and nobody waits any more."""
    say("nobody waits any more; the deployment goes on")
    sys.exit(130)


if __name__ == "__main__":
    sys.exit(main())
