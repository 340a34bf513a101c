"""Collaborators: who may do what in a repository."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from fakehub.wire import Answer, Area, Handler, Refused, Request, answered

ROLES: Final = {"admin": "admin", "maintain": "write", "write": "write", "triage": "read", "read": "read"}
"""The permission that each role comes to."""


class Collaborators(Area):
    """Those in the hub's `people`, by their names; whoever is not there GitHub does not know."""

    def routes(self) -> Mapping[str, Handler]:
        """Asking for somebody's permission."""
        return {"GET /repos/{repository}/collaborators/{login}/permission": self._permission}

    def _permission(self, request: Request, found: re.Match[str]) -> Answer:
        self.hub.require(found["repository"], request.bearer, metadata="read")
        known = self.hub.people.get(found["login"].lower())
        if known is None:
            raise Refused(404, f"{found['login']} is not a user")
        number, everywhere = known
        repository = found["repository"].lower()
        role = self.hub.roles.get((repository, found["login"].lower()), everywhere)
        # What everybody may read, everybody may read.
        nothing = "none" if self.hub.visibility.get(repository, "private") == "private" else "read"
        permission = ROLES.get(role, nothing)
        user = {"id": number, "login": found["login"], "type": "User"}
        return answered({"permission": permission, "role_name": role, "user": user})
