"""GitHub's own examples, its description of its API, and a signer that shares no code with ours: all from npm.

`make npm` puts them where they are looked for; TEST_NPM names another `node_modules` folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

DEFAULT = Path(__file__).parent.parent / ".cache" / "npm" / "node_modules"
EXAMPLES = "@octokit/webhooks-examples/api.github.com/index.json"
SIGNER = "@octokit/webhooks-methods/package.json"
OPENAPI = "@octokit/openapi/generated/api.github.com.json"

SIGN = """
import { readFileSync } from "node:fs";
import { sign } from "@octokit/webhooks-methods";
const { secret, bodies } = JSON.parse(readFileSync(0, "utf8"));
const signatures = await Promise.all(bodies.map((body) => sign(secret, body)));
process.stdout.write(JSON.stringify(signatures));
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
        if os.environ.get("REQUIRE_ALL_TESTS") == "1":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


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


def _example(event: str, number: int, payload: dict[str, object]) -> Example:
    action = payload.get("action")
    name = f"{event}.{action} {number}" if isinstance(action, str) else f"{event} {number}"
    return Example(event, name, json.dumps(payload, ensure_ascii=False))


def _material() -> Path:
    folder = Path(os.environ.get("TEST_NPM") or DEFAULT)
    if not all((folder / needed).exists() for needed in (EXAMPLES, SIGNER, OPENAPI)):
        raise OctokitMissing(f"GitHub's examples and description are not in {folder}: run `make npm`")
    return folder


def _node() -> str:
    node = shutil.which("node")
    if node is None:
        raise OctokitMissing("node is absent: install nodejs and npm, then run `make npm`")
    return node
