"""Commit statuses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from fakehub.wire import Answer, Area, Handler, Json, Refused, Request, answered

STATES: Final = frozenset({"error", "failure", "pending", "success"})
MOST_STATUSES: Final = 1_000


class Status(NamedTuple):
    """A commit status as it was told."""

    state: str
    description: str
    target_url: str


class Statuses(Area):
    """They stand in the hub's `statuses`."""

    def routes(self) -> Mapping[str, Handler]:
        """Creating one."""
        return {"POST /repos/{repository}/statuses/{sha}": self._create}

    def _create(self, request: Request, found: re.Match[str]) -> Answer:
        repository, sha = found["repository"], found["sha"]
        self.hub.require(repository, request.bearer, statuses="write")
        if not re.fullmatch(r"[0-9a-f]{40}", sha):
            raise Refused(422, f"No commit found for SHA: {sha}")
        body = request.body
        _require_fitting(body)
        key = (repository, sha, body.get("context", "default"))
        with self.hub.lock:
            told = self.hub.statuses.setdefault(key, [])
            if len(told) >= MOST_STATUSES:
                raise Refused(422, "Validation Failed", "This SHA and context has reached the maximum of statuses.")
            told.append(Status(body["state"], body.get("description", ""), body.get("target_url", "")))
        return answered({"id": len(told), "state": body["state"], "context": key[2]}, 201)


def _require_fitting(body: Json) -> None:
    if body.get("state") not in STATES:
        raise Refused(422, "Validation Failed", "State is not included in the list")
    require_description(body)
    require_web(body, "target_url")


def require_description(body: Json) -> None:
    """Refuse one that is too long, or has characters that it may not have."""
    description = body.get("description") or ""
    if len(description) > 140:
        raise Refused(422, "Validation Failed", "description is too long (maximum is 140 characters)")
    if any(character > "\uffff" for character in description):
        raise Refused(422, "Validation Failed", "description doesn't accept 4-byte Unicode")


def require_web(body: Json, name: str) -> None:
    """Refuse what is not the address of a page."""
    if not re.match(r"https?://", body.get(name) or "https://"):
        raise Refused(422, "Validation Failed", f"{name} must use http(s) scheme")
