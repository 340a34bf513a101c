"""GitHub's own examples, its description of its API, and programs that share no code with ours: all from npm.

`make npm` puts them where they are looked for; TEST_NPM names another `node_modules` folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import absent

DEFAULT = Path(__file__).parent.parent / ".cache" / "npm" / "node_modules"
EXAMPLES = "@octokit/webhooks-examples/api.github.com/index.json"
SIGNER = "@octokit/webhooks-methods/package.json"
APP_AUTH = "@octokit/auth-app/package.json"
PRISM = "@stoplight/prism-cli/dist/index.js"
OPENAPI = "@octokit/openapi/generated/api.github.com.json"

ACCEPTED = "application/vnd.github+json"

SIGN = """
import { readFileSync } from "node:fs";
import { sign } from "@octokit/webhooks-methods";
const { secret, bodies } = JSON.parse(readFileSync(0, "utf8"));
const signatures = await Promise.all(bodies.map((body) => sign(secret, body)));
process.stdout.write(JSON.stringify(signatures));
"""


SIGN_IN = """
import { readFileSync } from "node:fs";
import { createAppAuth } from "@octokit/auth-app";
import { request } from "@octokit/request";
const { baseUrl, installationId, ...app } = JSON.parse(readFileSync(0, "utf8"));
const auth = createAppAuth({ ...app, request: request.defaults({ baseUrl }) });
const { token: jwt } = await auth({ type: "app" });
const { token, permissions } = await auth({
  type: "installation", installationId, repositoryNames: ["shop"], permissions: { statuses: "write" },
});
process.stdout.write(JSON.stringify({ jwt, token, permissions }));
"""


class OctokitMissing(Exception):
    """The material from npm, or node, is not there; the message says what to run."""


class Example(NamedTuple):
    """A payload that GitHub once sent."""

    event: str
    name: str
    """The event, its action if it has one, and a number."""
    text: str
    """The payload as JSON."""


def require() -> None:
    """Skip a test whose material is missing; with REQUIRE_ALL_TESTS=1, fail it."""
    try:
        _material()
        _node()
    except OctokitMissing as missing:
        absent.tell(str(missing))


def examples() -> list[Example]:
    """Every example of every event. Raises OctokitMissing."""
    events = json.loads((_material() / EXAMPLES).read_text("utf-8"))
    return [
        _example(event["name"], number, payload)
        for event in events
        for number, payload in enumerate(event["examples"], start=1)
    ]


def openapi() -> dict[str, Any]:  # Any: a document of thousands of shapes
    """GitHub's description of its REST API. Raises OctokitMissing."""
    document: dict[str, Any] = json.loads((_material() / OPENAPI).read_text("utf-8"))
    return document


def sign_all(secret: str, bodies: Sequence[str]) -> list[str]:
    """The signatures of the bodies, by one run of @octokit/webhooks-methods. Raises OctokitMissing."""
    done = subprocess.run(
        [_node(), "--input-type=module", "--eval", SIGN],
        cwd=_material(),
        input=json.dumps({"secret": secret, "bodies": bodies}).encode(),
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
    )
    signatures: list[str] = json.loads(done.stdout)
    return signatures


def sign_in(url: str, *, app_id: str, private_key: str, installation: int) -> dict[str, Any]:
    """The JWT of a GitHub App, and an installation's token and permissions, as @octokit/auth-app gets them."""
    given = {"baseUrl": url, "appId": app_id, "privateKey": private_key, "installationId": installation}
    done = subprocess.run(
        [_node(), "--input-type=module", "--eval", SIGN_IN],
        cwd=_material(),
        input=json.dumps(given).encode(),
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextlib.contextmanager
def prism(operations: Iterable[tuple[str, str]], folder: Path) -> Iterator[str]:
    """The address of a server that knows of GitHub what its description says of these operations, and no more.

    It refuses a request that is not as described, and answers with the description's own examples.
    """
    description = folder / "github.json"
    description.write_text(json.dumps(_cut(openapi(), operations)))
    port = _free_port()
    command = [_node(), str(_material() / PRISM), "mock", "--port", str(port), str(description)]
    with (folder / "prism.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            _wait_until_it_listens(port, server, folder / "prism.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def _cut(document: dict[str, Any], operations: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The description with these operations alone, and the parts that they refer to."""
    paths: dict[str, Any] = {}
    for method, path in operations:
        whole = document["paths"][path]
        kept = {name: value for name, value in whole.items() if name == "parameters"}
        paths.setdefault(path, kept)[method.lower()] = whole[method.lower()]
    parts: dict[str, Any] = {}
    _collect(document, paths, parts)
    described = [each for path in paths.values() for name, each in path.items() if name != "parameters"]
    answers = [answer for each in described for answer in each["responses"].values()]
    for answer in (*answers, *parts.get("responses", {}).values()):
        # GitHub answers in JSON to whoever accepts its own name for that, too.
        content = answer.get("content", {})
        if "application/json" in content:
            content[ACCEPTED] = content["application/json"]
    return {"openapi": document["openapi"], "info": document["info"], "paths": paths, "components": parts}


def _collect(document: dict[str, Any], where: Any, parts: dict[str, Any]) -> None:
    """Put every part that is referred to into `parts`, and what those refer to."""
    if isinstance(where, list):
        for each in where:
            _collect(document, each, parts)
    elif isinstance(where, dict):
        reference = where.get("$ref")
        if isinstance(reference, str):
            _, _, kind, name = reference.split("/", 3)
            if name not in parts.setdefault(kind, {}):
                parts[kind][name] = document["components"][kind][name]
                _collect(document, parts[kind][name], parts)
        for each in where.values():
            _collect(document, each, parts)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_until_it_listens(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return


def _example(event: str, number: int, payload: dict[str, object]) -> Example:
    action = payload.get("action")
    name = f"{event}.{action} {number}" if isinstance(action, str) else f"{event} {number}"
    return Example(event, name, json.dumps(payload, ensure_ascii=False))


def _material() -> Path:
    folder = Path(os.environ.get("TEST_NPM") or DEFAULT)
    if not all((folder / needed).exists() for needed in (EXAMPLES, SIGNER, OPENAPI, APP_AUTH, PRISM)):
        raise OctokitMissing(f"GitHub's examples and description are not in {folder}: run `make npm`")
    return folder


def _node() -> str:
    node = shutil.which("node")
    if node is None:
        raise OctokitMissing("node is absent: install nodejs and npm, then run `make npm`")
    return node
