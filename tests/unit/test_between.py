"""Between: which commits are between what is live and another commit, told by the pushes."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fastdeploy_bot.core.commits import between
from fastdeploy_bot.core.commits.between import Between, Link
from fastdeploy_bot.words import Commit

A, B, C, D, E = (letter * 40 for letter in "abcde")


def link(before: str, after: str, size: int | None = 1) -> Link:
    """A push that put so many commits on top, the last of them `after`."""
    commits = [Commit(f"{number:02}{after[2:]}") for number in range(1, size or 1)]
    return Link(before, after, size, (*commits, Commit(after)))


@pytest.mark.parametrize(
    ("base", "head", "links", "gained", "lost"),
    [
        (A, A, [], 0, 0),
        (A, B, [link(A, B, 3)], 3, 0),
        (A, C, [link(A, B, 3), link(B, C, 2)], 5, 0),
        (B, A, [link(A, B, 3)], 0, 3),
        (C, A, [link(B, C, 2), link(A, B, 3)], 0, 5),
        # the same push told twice, once by somebody who knew less
        (A, C, [link(A, B, None), link(A, B, 3), link(B, C, 2), link(B, C, 2)], 5, 0),
        # forth by force, back by force, and on
        (A, C, [link(A, B), link(B, A, None), link(A, C)], 1, 0),
        # a circle that no repository can have
        (A, D, [link(A, B), link(B, C), link(C, B), link(C, D)], 3, 0),
    ],
)
def test_a_chain_of_pushes_tells_the_number(base: str, head: str, links: list[Link], gained: int, lost: int) -> None:
    """Forward, and backward where what is live is ahead."""
    found = between.between(base, head, links)

    assert found is not None
    assert (gained, lost) == (found.gained, found.lost)


@pytest.mark.parametrize(
    ("base", "head", "links"),
    [
        (A, B, []),
        # a link is missing
        (A, D, [link(A, B), link(C, D)]),
        # the live commit is not on the way
        (E, C, [link(A, B), link(B, C)]),
        # a forced push, a new branch, or one of which nothing is known
        (A, B, [link(A, B, None)]),
        (B, C, [link(A, B), link(B, A, None), link(A, C)]),
        (A, C, [link(A, B, None), link(B, C)]),
    ],
)
def test_a_broken_chain_tells_nothing(base: str, head: str, links: list[Link]) -> None:
    """Rather than a number that may be wrong."""
    assert between.between(base, head, links) is None


def test_the_newest_commits_come_first() -> None:
    """Push after push, each from its end."""
    found = between.between(A, C, [link(A, B, 2), link(B, C, 3)])

    assert found is not None
    assert [C, f"02{C[2:]}", f"01{C[2:]}", B, f"01{B[2:]}"] == [each.sha for each in found.commits]


def test_the_list_ends_where_commits_are_not_known() -> None:
    """What comes before a gap would look as if it came right after."""
    cut = Link(B, C, 60, (Commit(D), Commit(C)))

    assert Between(63, 0, (Commit(C), Commit(D))) == between.between(A, C, [link(A, B, 3), cut])


@given(
    sizes=some.lists(some.integers(1, 4), min_size=1, max_size=12),
    live=some.integers(0, 12),
    again=some.lists(some.integers(0, 11), max_size=4),
    chance=some.randoms(),
)
def test_the_numbers_are_those_of_the_history(sizes: list[int], live: int, again: list[int], chance: Random) -> None:
    """Whatever was pushed together, told twice, or told in another order, and beside another branch's pushes."""
    history = [f"{number:040x}" for number in range(1, sum(sizes) + 2)]
    ends = [sum(sizes[:count]) for count in range(len(sizes) + 1)]
    links = [
        Link(history[first], history[last], last - first, tuple(Commit(sha) for sha in history[first + 1 : last + 1]))
        for first, last in pairwise(ends)
    ]
    place = ends[min(live, len(sizes))]
    links += [links[number % len(links)] for number in again]
    links += [link(A, B), link(history[0], C)]
    chance.shuffle(links)

    ahead = between.between(history[place], history[-1], links)
    back = between.between(history[-1], history[place], links)

    commits = tuple(Commit(sha) for sha in reversed(history[place + 1 :]))
    assert Between(len(commits), 0, commits) == ahead
    assert Between(0, len(commits), commits) == back


def test_commits_are_kept_as_they_are() -> None:
    """Nothing is kept of none."""
    commits = (Commit(A, "Ä “b”", "Ada"), Commit(B))

    assert commits == between.read(between.kept(commits))
    assert between.kept(()) is None
    assert () == between.read(None)
