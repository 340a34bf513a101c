"""Permissions: what an installation token is asked to be good for; of each the least that will do. Pure.

Source: https://docs.github.com/en/rest/authentication/permissions-required-for-github-apps
"""

from __future__ import annotations

import msgspec


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """The permissions that some calls need on a repository, each `read`, `write`, or empty where none is needed."""

    metadata: str = "read"
    contents: str = ""
    statuses: str = ""
    deployments: str = ""
    checks: str = ""

    @property
    def named(self) -> dict[str, str]:
        """The permissions by GitHub's names, without those that are not needed."""
        return {name: level for name, level in msgspec.structs.asdict(self).items() if level}
