"""Debian's `webhook` (https://github.com/adnanh/webhook, Go), set up as its example for GitHub says.

It verifies the signature, decodes the push, compares its ref, and starts `true` with the commit and the pusher for
arguments. It keeps nothing, knows no push again, and does not wait for the program; how that ended is nowhere told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import bots
from bench import peers, serving

SECRET: Final = "a secret of webhook's own"  # noqa: S105 - it guards nothing
PATH: Final = "/hooks/push"


@contextmanager
def started(folder: Path, command: str = "/bin/true") -> Iterator[tuple[int, int]]:
    """A server that starts the command for each push; its port and its process."""
    port = bots.free_port()
    hooks = folder / "hooks.json"
    hooks.write_text(json.dumps([_hook(command)]))
    arguments = [peers.program("webhook"), "-hooks", str(hooks), "-ip", "127.0.0.1", "-port", str(port)]
    with serving.serving(arguments, port, folder) as server:
        yield port, server.pid


def _hook(command: str) -> dict[str, object]:
    signature = {"source": "header", "name": "X-Hub-Signature-256"}
    return {
        "id": "push",
        "execute-command": command,
        "pass-arguments-to-command": [
            {"source": "payload", "name": "head_commit.id"},
            {"source": "payload", "name": "pusher.name"},
            {"source": "payload", "name": "pusher.email"},
        ],
        "trigger-rule-mismatch-http-response-code": 403,
        "trigger-rule": {
            "and": [
                {"match": {"type": "payload-hmac-sha256", "secret": SECRET, "parameter": signature}},
                {
                    "match": {
                        "type": "value",
                        "value": "refs/heads/master",
                        "parameter": {"source": "payload", "name": "ref"},
                    }
                },
            ]
        },
    }
