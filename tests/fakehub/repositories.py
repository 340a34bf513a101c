"""Repositories themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping

from fakehub.wire import TOKEN, Answer, Area, Handler, Request, answered


class Repositories(Area):
    """Every name is one, for whoever may read it."""

    def routes(self) -> Mapping[str, Handler]:
        """Looking at one."""
        return {"GET /repos/{repository}": self._get}

    def _get(self, request: Request, found: re.Match[str]) -> Answer:
        repository = found["repository"]
        self.hub.require(repository, request.bearer)
        seen: dict[str, object] = self.hub.remote(repository).facts()
        visibility = self.hub.visibility.get(repository.lower(), "private")
        seen |= {"private": visibility != "public", "visibility": visibility}
        if request.bearer == TOKEN:
            seen["permissions"] = {"pull": True, "push": self.hub.pushes}
        return answered(seen)
