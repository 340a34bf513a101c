"""Reconciling: which refs a repository is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from fastdeploy_bot.core.files import globs
from fastdeploy_bot.core.files.catalogue import Entry
from fastdeploy_bot.core.files.servicefile import ServiceFile
from fastdeploy_bot.core.pushes import reconciling
from fastdeploy_bot.core.pushes.reconciling import Target


def file(repository: str = "octo-org/shop", **keys: Any) -> ServiceFile:
    """A service file with these keys."""
    return ServiceFile(repository=repository, **keys)


def asked(*files: ServiceFile, default_branch: str | None = "main") -> list[str]:
    """The beginnings of the names of refs that such services are asked for."""
    target = Target("octo-org/shop", {f"shop{number}": each for number, each in enumerate(files)})
    return reconciling.prefixes(target, default_branch)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, ["heads/main"]),
        ({"branches": ("main", "release/*")}, ["heads/main", "heads/release/"]),
        ({"branches": ("release/**", "!release/old")}, ["heads/release/"]),
        ({"branches": ("!main",)}, ["heads/"]),
        ({"branches": ("*", "main")}, ["heads/"]),
        ({"tags": ("v*",)}, ["tags/v"]),
        ({"tags": ("v[0-9]", "v?"), "branches": ("main",)}, ["heads/main", "tags/v"]),
        ({"branches": tuple("abcde")}, ["heads/"]),
        ({"branches": ("main", "main-2")}, ["heads/main"]),
    ],
)
def test_refs_are_asked_for_by_how_their_names_begin(keys: dict[str, Any], expected: list[str]) -> None:
    """As few beginnings as will do; where there were many, for all."""
    assert expected == asked(file(**keys))


def test_what_several_services_want_is_asked_for_together() -> None:
    """Each beginning once."""
    assert ["heads/main", "tags/v"] == asked(file(), file(branches=("main",)), file(tags=("v*",)))


def test_without_a_default_branch_all_branches_are_asked_for() -> None:
    """An empty repository may have none."""
    assert ["heads/"] == asked(file(), default_branch=None)


def test_a_pattern_begins_with_its_plain_text() -> None:
    """Up to the first character that stands for others."""
    assert ["", "a/", "v", "main"] == [globs.beginning(pattern) for pattern in ("**/x", "a/**/b", "v[12]", "main")]


def test_services_of_one_repository_are_looked_at_together_and_bad_files_not_at_all() -> None:
    """Whatever the case of its name."""
    entries = {
        "a": Entry("a", file("Octo-Org/Shop")),
        "b": Entry("b", file("octo-org/shop")),
        "c": Entry("c", file("octo-org/blog")),
        "d": Entry("d", None, "bad"),
    }

    found = {target.repository: sorted(target.files) for target in reconciling.targets(entries)}

    assert {"octo-org/shop": ["a", "b"], "octo-org/blog": ["c"]} == found
