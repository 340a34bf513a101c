"""Roles: what a permission in one repository comes to."""

from __future__ import annotations

import msgspec
import pytest

from fastdeploy_bot.core.people.guests import Deployed
from fastdeploy_bot.forge.github import roles
from fastdeploy_bot.forge.github.api.collaborators import Permission
from fastdeploy_bot.forge.github.api.repositories import Repository
from fastdeploy_bot.words import Person, Role

OCTOCAT = Person(id=583231, login="octocat", bot=False)
PRIVATE = Repository(7, "octo-org/shop", private=True, visibility="private")
PUBLIC = Repository(7, "octo-org/shop", private=False, visibility="public")
INTERNAL = Repository(7, "octo-org/shop", private=True, visibility="internal")
UNSAID = Repository(7, "octo-org/shop", private=True)


def allowed(permission: str, person: int | None = OCTOCAT.id) -> Permission:
    """What GitHub answers of somebody."""
    whom = None if person is None else {"id": person}
    return msgspec.convert({"permission": permission, "user": whom}, Permission)


@pytest.mark.parametrize(
    ("repository", "permission", "role"),
    [
        (PRIVATE, "admin", Role.DEPLOYER),
        (PRIVATE, "write", Role.DEPLOYER),
        (PRIVATE, "read", Role.VIEWER),
        (PRIVATE, "none", None),
        (PRIVATE, "owner_of_all", None),
        (UNSAID, "read", Role.VIEWER),
        (PUBLIC, "admin", Role.DEPLOYER),
        (PUBLIC, "read", None),
        (INTERNAL, "write", Role.DEPLOYER),
        (INTERNAL, "read", None),
    ],
)
def test_a_permission_comes_to_a_role(repository: Repository, permission: str, role: Role | None) -> None:
    """Nobody becomes an admin; what everybody may, makes nobody anything."""
    known = allowed(permission)

    assert role == roles.judged(Deployed("octo-org/shop", 7), repository, known, OCTOCAT)[0]


@pytest.mark.parametrize(
    ("deployed", "whom"), [(Deployed("octo-org/shop", 8), 583231), (Deployed("octo-org/shop", 7), 8)]
)
def test_a_name_that_changed_hands_gives_nothing(deployed: Deployed, whom: int) -> None:
    """Neither that of the repository nor that of the person."""
    assert roles.judged(deployed, PRIVATE, allowed("admin", whom), OCTOCAT)[0] is None


def test_a_permission_of_nobody_gives_nothing() -> None:
    """GitHub may leave out whose it is."""
    assert roles.judged(Deployed("octo-org/shop", 7), PRIVATE, allowed("admin", None), OCTOCAT)[0] is None


def test_a_repository_that_was_not_seen_yet_is_known_by_its_name() -> None:
    """Its id is pinned by the first webhook."""
    known = allowed("write")

    assert Role.DEPLOYER == roles.judged(Deployed("octo-org/shop", None), PRIVATE, known, OCTOCAT)[0]
