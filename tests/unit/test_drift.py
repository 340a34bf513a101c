"""Drift: which files may differ between a commit and a push, told by the pushes in between."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fastdeploy_bot.core.commits import drift
from fastdeploy_bot.core.commits.drift import Link, Paths
from fastdeploy_bot.words import Push

A, B, C, D = (letter * 40 for letter in "abcd")


def push(before: str, after: str, paths: Paths) -> Push:
    """A push of `main`."""
    return Push(
        repository_id=1,
        repository="octo-org/shop",
        default_branch="main",
        ref="refs/heads/main",
        before=before,
        after=after,
        commit=after,
        paths=paths,
    )


@pytest.mark.parametrize(
    ("base", "told", "links", "expected"),
    [
        # one push is the whole difference
        (A, push(A, B, ("x",)), [], ("x",)),
        (A, push(A, B, None), [], None),
        (B, push(A, B, None), [], ()),
        # a chain of them
        (A, push(B, C, ("y",)), [Link(A, B, ("x",))], ("x", "y")),
        (A, push(B, C, ("x",)), [Link(A, B, ("x", "y"))], ("x", "y")),
        (B, push(B, C, ("y",)), [Link(A, B, ("x",))], ("y",)),
        (A, push(C, D, ("z",)), [Link(B, C, ("y",)), Link(A, B, ("x",))], ("x", "y", "z")),
        (A, push(C, D, ("z",)), [Link(A, B, ("x",)), Link(B, C, ("y",))], ("x", "y", "z")),
        # a link is missing, or does not say
        (A, push(C, D, ("z",)), [Link(A, B, ("x",))], None),
        (A, push(B, C, ("y",)), [], None),
        (A, push(B, C, ("y",)), [Link(A, B, None)], None),
        (A, push(B, C, None), [Link(A, B, ("x",))], None),
        # a second telling of the same push knows more
        (A, push(B, C, ("y",)), [Link(A, B, None), Link(A, B, ("x",))], ("x", "y")),
        # forth and back
        (A, push(B, A, ("x",)), [Link(A, B, ("x",))], ()),
        (A, push(A, C, ("z",)), [Link(B, A, ("x",)), Link(A, B, ("x",))], ("z",)),
        (B, push(A, C, ("z",)), [Link(B, A, ("y",)), Link(A, B, ("x",))], ("y", "z")),
        (D, push(A, C, ("z",)), [Link(B, A, ("y",)), Link(A, B, ("x",))], None),
        # of two ways the shorter
        (A, push(C, D, ("z",)), [Link(B, C, ("y",)), Link(A, C, ("x",)), Link(A, B, ("w",))], ("x", "z")),
    ],
)
def test_a_chain_of_pushes_tells_what_may_differ(base: str, told: Push, links: list[Link], expected: Paths) -> None:
    """Unbroken from the commit to the push, with every list of files known; otherwise it tells nothing."""
    assert expected == drift.since(base, told, links)


@given(some.lists(some.frozensets(some.sampled_from("abc")), min_size=1, max_size=8), some.randoms())
def test_no_file_that_differs_is_missing(commits: list[frozenset[str]], chance: Random) -> None:
    """Whatever each push touched, and in whatever order the rows come."""
    shas = [f"{number:040x}" for number in range(1, len(commits) + 2)]
    links = [Link(before, after, tuple(files)) for (before, after), files in zip(pairwise(shas), commits, strict=True)]
    last = links[-1]
    chance.shuffle(links)

    found = drift.since(shas[0], push(last.before, last.after, last.paths), links)

    assert found is not None
    assert set(found) == set[str]().union(*commits)


@pytest.mark.parametrize("paths", [None, (), ("a",), ("ä b", "c/d")])
def test_files_are_kept_as_they_are(paths: Sequence[str] | None) -> None:
    """What is not known is kept as that."""
    assert paths == drift._read(drift.kept(None if paths is None else tuple(paths)))


def test_a_long_list_of_files_is_not_kept() -> None:
    """GitHub can be asked when it is needed."""
    assert drift.kept(tuple(f"{number:0100}" for number in range(1_000))) is None
