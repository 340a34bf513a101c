"""Repositories.

Source: https://docs.github.com/en/rest/repos/repos
"""

from __future__ import annotations

from fastdeploy_bot.forge.github.client import Client, repository_path


def may_push(client: Client, token: str, repository: str) -> bool | None:
    """Whether a user's token may write to a repository; None where GitHub does not say, as of an App's."""
    data = client.call("GET", repository_path(repository), token).data
    permissions = data.get("permissions") if isinstance(data, dict) else None
    return bool(permissions.get("push")) if isinstance(permissions, dict) else None
