"""Events of GitHub that are no pushes, as it would send them, with what is looked at and little more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

REPOSITORY: Final = "octo-org/shop"
REPOSITORY_ID: Final = 4711
OCTOCAT: Final = {"id": 583231, "login": "octocat", "type": "User"}
READER: Final = {"id": 2, "login": "reader", "type": "User"}
BOT: Final = {"id": 9, "login": "fastdeploy[bot]", "type": "Bot"}
OURS: Final = {"id": 1234, "client_id": "Iv23fakehub", "slug": "fastdeploy"}
"""The App that the fake GitHub knows."""
THEIRS: Final = {"id": 99, "client_id": "Iv23others", "slug": "lint"}

Json = dict[str, Any]  # what GitHub sends differs from key to key


def check_run(action: str, external_id: object, sha: str, *, identifier: str | None = None, **changes: Any) -> Json:
    """A check run to which something happened; `identifier` is that of the button which was pressed."""
    run: Json = {
        "id": 9_001,
        "name": "fastdeploy / shop",
        "head_sha": sha,
        "external_id": str(external_id),
        "status": "completed",
        "conclusion": "failure",
        "app": changes.pop("app", OURS),
    }
    told: Json = {"action": action, "check_run": run, **_place(**changes)}
    return told if identifier is None else told | {"requested_action": {"identifier": identifier}}


def check_suite(action: str, sha: str, **changes: Any) -> Json:
    """All check runs of an App for one commit, to which something happened."""
    suite = {"id": 77, "head_sha": sha, "status": "completed", "app": changes.pop("app", OURS)}
    return {"action": action, "check_suite": suite, **_place(**changes)}


def installation(action: str, *, account: str = "octo-org", app: Mapping[str, object] = OURS, **changes: Any) -> Json:
    """A GitHub App as it is installed in an account, to which something happened."""
    told = {"id": 77, "account": {"login": account}, "app_id": app["id"], "client_id": app["client_id"]}
    return {"action": action, "installation": told, "sender": OCTOCAT, **changes}


def as_body(told: Json) -> bytes:
    """As it is sent."""
    return json.dumps(told).encode()


def _place(*, repository: str = REPOSITORY, repository_id: int = REPOSITORY_ID, sender: object = OCTOCAT) -> Json:
    return {"repository": {"id": repository_id, "full_name": repository}, "sender": sender}
