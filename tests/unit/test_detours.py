"""Detours: back to the browser in which they began, and soon."""

from __future__ import annotations

import base64
import hashlib

import pytest

from fastdeploy_bot.core.people import detours
from fastdeploy_bot.errors import Forbidden

KEY = "k" * 64
NOW = 1_000_000


def test_a_way_leads_back_to_the_page_that_was_wanted() -> None:
    """With the verifier whose SHA-256 GitHub was told."""
    begun = detours.begin("/deployments/7?log=all#L3", key=KEY, now=NOW)

    ended = detours.end(begun.cookie, begun.state, keys=["another", KEY], now=NOW + detours.LONGEST - 1)

    digest = hashlib.sha256(ended.verifier.encode()).digest()
    assert "/deployments/7?log=all#L3" == ended.wanted
    assert begun.challenge == base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == ended.challenge
    assert 43 == len(begun.challenge) == len(ended.verifier)
    assert ended.verifier not in repr(ended)


@pytest.mark.parametrize(
    ("wanted", "ended"),
    [
        ("/?q=" + "a" * 1_990, None),
        ("/?q=" + "ä" * 1_990, "/"),
        ("/?q=" + '"' * 1_990, "/"),
        ("/?q=" + "😀" * 1_990, "/"),
    ],
)
def test_a_browser_keeps_the_cookie_whatever_was_wanted(wanted: str, ended: str | None) -> None:
    """One of more than 4,096 bytes it would drop, and nobody could sign in: then the way leads to the overview."""
    begun = detours.begin(wanted, key=KEY, now=NOW)

    assert 4_096 - len("__Host-fastdeploy-github=; Secure; HttpOnly; Max-Age=600; Path=/; SameSite=Lax") > len(
        begun.cookie
    )
    assert (ended or wanted) == detours.end(begun.cookie, begun.state, keys=[KEY], now=NOW).wanted


def test_no_two_ways_are_alike() -> None:
    """Also in the same moment to the same page."""
    one, another = (detours.begin("/", key=KEY, now=NOW) for _ in range(2))

    assert 6 == len({*one.cookie.split("."), *another.cookie.split("."), one.state, another.state})


@pytest.mark.parametrize("late", [-1, detours.LONGEST])
def test_a_way_is_good_for_ten_minutes(late: int) -> None:
    """As GitHub's code is; and no clock is set back."""
    begun = detours.begin("/", key=KEY, now=NOW)

    with pytest.raises(Forbidden, match="ten minutes"):
        detours.end(begun.cookie, begun.state, keys=[KEY], now=NOW + late)


@pytest.mark.parametrize("what", ["no cookie", "no state", "others' state", "others' cookie", "changed", "key", "odd"])
def test_what_did_not_begin_here_is_refused(what: str) -> None:
    """The cookie and the state belong together, and both are ours."""
    begun, other = (detours.begin("/", key=KEY, now=NOW) for _ in range(2))
    kept, _, signature = begun.cookie.partition(".")
    cookie, state, key = {
        "no cookie": ("", begun.state, KEY),
        "no state": (begun.cookie, "", KEY),
        "others' state": (begun.cookie, other.state, KEY),
        "others' cookie": (other.cookie, begun.state, KEY),
        "changed": (f"{kept}A.{signature}", begun.state, KEY),
        "key": (begun.cookie, begun.state, "another"),
        "odd": ("\ud800.ä", "\ud800", KEY),
    }[what]

    with pytest.raises(Forbidden, match="did not begin in your browser"):
        detours.end(cookie, state, keys=[key], now=NOW)


def test_the_cookies_signature_is_no_state() -> None:
    """What one of them is good for, the other is not."""
    begun = detours.begin("/", key=KEY, now=NOW)

    with pytest.raises(Forbidden):
        detours.end(begun.cookie, begun.cookie.partition(".")[2], keys=[KEY], now=NOW)
