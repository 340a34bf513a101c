"""Git data: what each repository's refs name, as the pushes left it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from fakehub.wire import MOVED, Answer, Area, Handler, Refused, Request, answered


class Remote:
    """A repository that is pushed to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.id = MOVED if name == "octo-org/shop" else zlib.crc32(name.encode())
        self.default_branch = "main"
        self.pushed_at = 1_700_000_000
        self.refs: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        """What each tag that is an object names."""
        self.messages: dict[str, str] = {}
        self.empty = True

    def push(self, sha: str, ref: str = "refs/heads/main", *, message: str = "", at: int | None = None) -> None:
        """Let a ref name a commit; zeros: let it be gone."""
        self.empty = False
        self.pushed_at = at or self.pushed_at + 1
        self.messages[sha] = message or f"Change {sha[:4]}\n\nAnd more of it."
        if sha.strip("0"):
            self.refs[ref] = sha
        else:
            self.refs.pop(ref)

    def annotate(self, tag: str, sha: str, named: str) -> None:
        """Push a tag that is an object of its own."""
        self.tags[sha] = named
        self.push(sha, f"refs/tags/{tag}")

    def object(self, sha: str) -> dict[str, str]:
        """What is named by that sha."""
        return {"sha": sha, "type": "tag" if sha in self.tags else "commit"}

    def facts(self) -> dict[str, Any]:
        """What is told of it."""
        stamp = datetime.fromtimestamp(self.pushed_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"id": self.id, "full_name": self.name, "default_branch": self.default_branch, "pushed_at": stamp}


class Refs(Area):
    """They stand in the hub's `remotes`."""

    def routes(self) -> Mapping[str, Handler]:
        """Refs, tags and commits."""
        return {
            "GET /repos/{repository}/git/matching-refs/{ref}": self._matching,
            "GET /repos/{repository}/git/tags/{sha}": self._tag,
            "GET /repos/{repository}/git/commits/{sha}": self._commit,
        }

    def _matching(self, request: Request, found: re.Match[str]) -> Answer:
        remote = self._remote(request, found)
        if remote.empty:
            raise Refused(409, "Git Repository is empty.")
        prefix = f"refs/{unquote(found['ref'])}"
        refs = sorted(ref for ref in remote.refs if ref.startswith(prefix))
        return answered([{"ref": ref, "object": remote.object(remote.refs[ref])} for ref in refs])

    def _tag(self, request: Request, found: re.Match[str]) -> Answer:
        remote = self._remote(request, found)
        if found["sha"] not in remote.tags:
            raise Refused(404, "Not Found")
        return answered({"sha": found["sha"], "object": remote.object(remote.tags[found["sha"]])})

    def _commit(self, request: Request, found: re.Match[str]) -> Answer:
        remote = self._remote(request, found)
        if found["sha"] not in remote.messages or found["sha"] in remote.tags:
            raise Refused(404, "Not Found")
        return answered({"sha": found["sha"], "message": remote.messages[found["sha"]]})

    def _remote(self, request: Request, found: re.Match[str]) -> Remote:
        self.hub.require(found["repository"], request.bearer, contents="read")
        return self.hub.remote(found["repository"])
