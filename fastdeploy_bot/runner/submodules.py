"""Submodules: which commits of which repositories belong into a tree, as its commit says. Nothing is fetched here.

Each becomes a checkout of its own: git's own way would neither know the mirrors nor pass on what it is signed in with.
Source: https://git-scm.com/docs/gitmodules
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from urllib.parse import urlsplit

from fastdeploy_bot.runner import git
from fastdeploy_bot.runner.checkout import CheckoutFailed
from fastdeploy_bot.runner.complaints import Trouble
from fastdeploy_bot.runner.git import GitFailed, Guard
from fastdeploy_bot.runner.mirror import IN_TREE, Wanted


def of(tree: Path, parent: Wanted, guard: Guard) -> list[tuple[Path, Wanted]]:
    """Where in a tree which commits belong, of repositories of the same forge. Raises CheckoutFailed.

    The folders are those that git made, empty; they are taken away, so that checkouts can take their place.
    """
    try:
        links = _links(git.run([*IN_TREE, "ls-tree", "-r", "-z", "HEAD"], tree, guard=guard))
        if not links:
            return []
        wanted = ("config", "-z", "--blob", "HEAD:.gitmodules", "--get-regexp", r"^submodule\..*\.(path|url)$")
        urls = _urls(git.run([*IN_TREE, *wanted], tree, guard=guard))
    except GitFailed as failed:
        raise CheckoutFailed(Trouble.UNKNOWN, f"its submodules cannot be read: {failed}") from failed
    found = [(_place(tree, path), _wanted(path, urls.get(path, ""), sha, parent)) for path, sha in links.items()]
    for place, _ in found:
        place.rmdir()
    return found


def _links(listing: str) -> dict[str, str]:
    """The commit at each path where a tree has one instead of a file."""
    entries = (entry.partition("\t") for entry in listing.split("\0") if entry.startswith("160000 "))
    return {path: about.split(" ")[2] for about, _, path in entries}


def _urls(listing: str) -> dict[str, str]:
    """The address that stands in `.gitmodules` for each path."""
    entries = [entry.partition("\n") for entry in listing.split("\0") if entry]
    values = {key: value for key, _, value in entries}
    paths = {key.removesuffix(".path"): value for key, value in values.items() if key.endswith(".path")}
    return {path: values.get(f"{name}.url", "") for name, path in paths.items()}


def _place(tree: Path, path: str) -> Path:
    """The folder in the tree, which no link leads to."""
    place = tree / path
    if place.resolve() != tree.resolve() / path or os.listdir(place):
        raise CheckoutFailed(Trouble.UNKNOWN, f"its submodule {path!r} has no folder of its own")
    return place


def _wanted(path: str, url: str, sha: str, parent: Wanted) -> Wanted:
    """The commit at a path. An address by SSH of the forge's own host means the same repository."""
    forge = urlsplit(parent.forge)
    host = re.escape(forge.hostname or "")
    if url.startswith(("./", "../")):
        name = posixpath.normpath(f"{parent.repository}.git/{url}")
    elif found := re.fullmatch(rf"{re.escape(parent.forge)}/(.*)|git@{host}:(.*)|ssh://git@{host}/(.*)", url):
        name = next(filter(None, found.groups()), "")
    else:
        raise CheckoutFailed(Trouble.UNKNOWN, f"its submodule {path!r} is not of {parent.forge}: {url[:100]!r}")
    return Wanted(parent.forge, name.rstrip("/").removesuffix(".git"), sha)
