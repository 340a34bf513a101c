"""CI: what others report of commits, and how GitHub lists it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from fakehub.wire import Answer, Area, Handler, Json, Request, a_page

ACTIONS: Final = {"id": 15368, "client_id": "Iv1.actions", "slug": "github-actions", "name": "GitHub Actions"}


class CI(Area):
    """Its check runs stand among the hub's `check_runs`, its suites in `suites`, its statuses in `ci_statuses`."""

    def routes(self) -> Mapping[str, Handler]:
        """Listing suites and statuses."""
        return {
            "GET /repos/{repository}/commits/{sha}/check-suites": self._suites,
            "GET /repos/{repository}/commits/{sha}/status": self._statuses,
        }

    def check(
        self,
        sha: str,
        name: str,
        conclusion: str | None = "success",
        *,
        status: str | None = None,
        suite: int = 1,
        app: Mapping[str, object] = ACTIONS,
        title: str | None = None,
        repository: str = "octo-org/shop",
    ) -> None:
        """Somebody makes a check run; without a conclusion it is in progress."""
        with self.hub.lock:
            self.hub.check_runs.append(
                {
                    "id": len(self.hub.check_runs) + 1,
                    "name": name,
                    "head_sha": sha,
                    "status": status or ("in_progress" if conclusion is None else "completed"),
                    "conclusion": conclusion,
                    "check_suite": {"id": suite},
                    "app": dict(app),
                    "output": {"title": title, "summary": None},
                    "repository": repository,
                    "statuses": [],
                    "annotations": [],
                }
            )

    def suite(
        self,
        sha: str,
        number: int = 1,
        conclusion: str | None = "success",
        *,
        status: str | None = None,
        runs: int = 1,
        app: Mapping[str, object] = ACTIONS,
        repository: str = "octo-org/shop",
    ) -> None:
        """A check suite is made, or is so from now on; without a conclusion it is in progress."""
        with self.hub.lock:
            self.hub.suites[repository, sha, number] = {
                "id": number,
                "head_sha": sha,
                "status": status or ("in_progress" if conclusion is None else "completed"),
                "conclusion": conclusion,
                "latest_check_runs_count": runs,
                "app": dict(app),
            }

    def status(
        self,
        sha: str,
        context: str,
        state: str = "success",
        *,
        description: str | None = None,
        repository: str = "octo-org/shop",
    ) -> None:
        """Somebody else creates a commit status."""
        with self.hub.lock:
            self.hub.ci_statuses.append((repository, sha, context, state, description))

    def _suites(self, request: Request, found: re.Match[str]) -> Answer:
        self.hub.require(found["repository"], request.bearer, checks="read")
        with self.hub.lock:
            mine = (found["repository"].lower(), found["sha"])
            here = [suite for key, suite in self.hub.suites.items() if key[:2] == mine]
        return a_page(request, "check_suites", here)

    def _statuses(self, request: Request, found: re.Match[str]) -> Answer:
        self.hub.require(found["repository"], request.bearer, statuses="read")
        mine = (found["repository"].lower(), found["sha"])
        newest: dict[str, Json] = {}
        with self.hub.lock:
            for (repository, sha, context), told in self.hub.statuses.items():
                if (repository.lower(), sha) == mine:
                    newest[context] = {"context": context, "state": told[-1].state, "description": None}
            for repository, sha, context, state, description in self.hub.ci_statuses:
                if (repository, sha) == mine:
                    newest[context] = {"context": context, "state": state, "description": description}
        return a_page(request, "statuses", list(newest.values()))
