"""Repositories themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping

from fakehub.wire import MOVED, TOKEN, Answer, Area, Handler, Request, answered


class Repositories(Area):
    """Every name is one, for whoever may read it."""

    def routes(self) -> Mapping[str, Handler]:
        """Looking at one."""
        return {"GET /repos/{repository}": self._get, f"GET /repositories/{MOVED}": self._get_where_it_moved}

    def _get(self, request: Request, found: re.Match[str]) -> Answer:
        if found["repository"] in self.hub.renamed:
            where = f"{self.hub.url}/repositories/{MOVED}"
            return answered({"message": "Moved Permanently", "url": where}, 301, {"Location": where})
        return self._got(found["repository"], request)

    def _get_where_it_moved(self, request: Request, _found: re.Match[str]) -> Answer:
        return self._got("octo-org/shop", request)

    def _got(self, repository: str, request: Request) -> Answer:
        self.hub.require(repository, request.bearer)
        seen: dict[str, object] = self.hub.remote(repository).facts()
        visibility = self.hub.visibility.get(repository.lower(), "private")
        seen |= {"private": visibility != "public", "visibility": visibility}
        if request.bearer == TOKEN:
            seen["permissions"] = {"pull": True, "push": self.hub.pushes}
        return answered(seen)
