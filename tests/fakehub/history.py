"""Commits: which came from which, and what they changed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote

from fakehub.wire import Answer, Area, Handler, Json, Refused, Request, answered

REPOSITORY: Final = "octo-org/shop"
MOST_FILES: Final = 300
MOST_COMMITS: Final = 250


class Commit(NamedTuple):
    """A commit; `tree` is each of its files with what it holds."""

    parents: tuple[str, ...]
    tree: Mapping[str, str]


class History(Area):
    """One history for every repository; those of forks are in it as well, as they are on GitHub.

    A commit to which no ref leads belongs to a fork.
    """

    commits: dict[str, Commit]

    def routes(self) -> Mapping[str, Handler]:
        """Comparing two commits."""
        self.commits = {}
        return {"GET /repos/{repository}/compare/{basehead}": self._compare}

    def add(self, sha: str, *parents: str, ref: str = "", **files: str | None) -> None:
        """A commit that has these files otherwise than its first parent; `api__a` is `api/a`, None takes one away."""
        changed = {name.replace("__", "/"): text for name, text in files.items()}
        self.change(sha, parents, changed, ref=ref)

    def change(self, sha: str, parents: Sequence[str], changed: Mapping[str, str | None], *, ref: str = "") -> None:
        """The same with any names; `ref` names it from now on."""
        tree = dict(self.commits[parents[0]].tree) if parents else {}
        for name, text in changed.items():
            if text is None:
                del tree[name]
            else:
                tree[name] = text
        self.commits[sha] = Commit(tuple(parents), tree)
        if ref:
            self.hub.remote(REPOSITORY).push(sha, ref)

    def _compare(self, request: Request, found: re.Match[str]) -> Answer:
        self.hub.require(found["repository"], request.bearer, contents="read")
        base, _, head = unquote(found["basehead"]).partition("...")
        left, right = (self._resolved(found["repository"], name) for name in (base, head))
        merge_base = next((sha for sha in self._before(right) if sha in set(self._before(left))), None)
        if merge_base is None:
            raise Refused(404, f"No common ancestor between {base} and {head}.")
        ahead, behind = self._lacking(left, right), self._lacking(right, left)
        compared: Json = {
            "status": _status(left, right, merge_base),
            "merge_base_commit": {"sha": merge_base},
            "ahead_by": len(ahead),
            "behind_by": len(behind),
            "total_commits": len(ahead),
            "commits": self._listed(ahead, request),
        }
        if request.query.get("page", "1") == "1":
            compared["files"] = self._changed(merge_base, right)[:MOST_FILES]
        return answered(compared)

    def _resolved(self, repository: str, name: str) -> str:
        remote = self.hub.remote(repository)
        for ref in (f"refs/heads/{name}", f"refs/tags/{name}"):
            if (sha := remote.refs.get(ref)) is not None:
                return remote.tags.get(sha, sha)
        if name not in self.commits:
            raise Refused(404, "Not Found")
        return name

    def _before(self, sha: str) -> Iterator[str]:
        """A commit and all that it came from, the nearest first."""
        line, seen = [sha], {sha}
        for each in line:
            yield each
            for parent in self.commits[each].parents:
                if parent not in seen:
                    seen.add(parent)
                    line.append(parent)

    def _lacking(self, base: str, head: str) -> list[str]:
        """What `head` came from and `base` did not, the oldest first."""
        known = set(self._before(base))
        return [sha for sha in self._before(head) if sha not in known][::-1]

    def _listed(self, commits: Sequence[str], request: Request) -> list[Json]:
        """By pages from the beginning; without pages, the last ones."""
        if "page" in request.query or "per_page" in request.query:
            size, number = int(request.query.get("per_page", 30)), int(request.query.get("page", 1))
            commits = commits[size * (number - 1) : size * number]
        return [
            {
                "sha": sha,
                "commit": {"message": f"Change {sha[:4]}", "author": {"name": "Ada", "email": "ada@example.org"}},
            }
            for sha in commits[-MOST_COMMITS:]
        ]

    def _changed(self, base: str, head: str) -> list[Json]:
        old, new = self.commits[base].tree, self.commits[head].tree
        gone = {text: name for name, text in old.items() if name not in new}
        listed: list[Json] = []
        for name in sorted(old.keys() | new.keys()):
            if name in new and name not in old and new[name] in gone:
                listed.append({"filename": name, "status": "renamed", "previous_filename": gone.pop(new[name])})
            elif name in new and old.get(name) != new[name]:
                status = "modified" if name in old else "added"
                listed.append({"filename": name, "status": status, "patch": f"+{new[name]}"})
        renamed = {each.get("previous_filename") for each in listed}
        return listed + [
            {"filename": name, "status": "removed"} for name in old if name not in new and name not in renamed
        ]


def _status(base: str, head: str, merge_base: str) -> str:
    if base == head:
        return "identical"
    if merge_base == base:
        return "ahead"
    return "behind" if merge_base == head else "diverged"
