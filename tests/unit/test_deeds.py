"""Deeds: what was written down as whole sentences."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

import fastdeploy_bot
from fastdeploy_bot.store.models import Audit
from fastdeploy_bot.web.drawing import deeds

PACKAGE: Final = Path(fastdeploy_bot.__file__).parent
SHA: Final = "9c1f2e0" + "a" * 33


@pytest.mark.parametrize(
    ("who", "action", "thing", "detail", "sentence"),
    [
        ("anna", "cancel", "deployment 12", "service shop", "anna cancelled deployment 12 of shop"),
        ("anna", "start", "deployment 12", f"service shop, {SHA}", "anna started deployment 12 of shop, 9c1f2e0"),
        ("anna", "retry", "deployment 12", "as deployment 13", "anna retried deployment 12: as deployment 13"),
        ("ben", "lock", "service shop", "freeze until Mon", "ben locked service shop: freeze until Mon"),
        ("local", "add", "user anna", "viewer", "local added user anna: viewer"),
        ("root", "set role", "user anna", "viewer → admin", "root changed the role of user anna: viewer → admin"),
        ("root", "create", "token 3", "service shop, 90 days, “CI”", "root created token 3 of shop, 90 days, “CI”"),
        ("service shop", "start", "deployment 4", "", "a token of shop started deployment 4"),
        (
            "visitor",
            "fail to sign in",
            "user anna",
            "refused for a while",
            "somebody failed to sign in as user anna: refused for a while",
        ),
        ("anna", "do what nobody knows", "thing", "", "anna do what nobody knows thing"),
    ],
)
def test_a_row_is_a_whole_sentence(who: str, action: str, thing: str, detail: str, sentence: str) -> None:
    """Who did what, to what, and what else there is to say."""
    row = Audit(at=1, who=who, action=action, object=thing, detail=detail, peer="")

    assert sentence == deeds.told(row).sentence


@pytest.mark.parametrize(
    ("thing", "page"),
    [
        ("deployment 12", "/deployments/12"),
        ("delivery a/b?c", "/deliveries/a%2Fb%3Fc"),
        ("service shop", "/services/shop"),
        ("services", ""),
        ("user anna", ""),
        ("javascript:alert(1)", ""),
    ],
)
def test_what_has_a_page_leads_there(thing: str, page: str) -> None:
    """And to no other site's, whatever it is called."""
    row = Audit(at=1, who="anna", action="act", object=thing, detail="", peer="host")

    assert (page, "the bot's host") == (deeds.told(row).page, deeds.told(row).peer)


def test_every_action_that_is_written_down_has_a_verb() -> None:
    """Also those that somebody adds later."""
    assert written_in_code() == set(deeds.VERBS)


def written_in_code() -> set[str]:
    """The actions that the bot's own source writes down: the first text that each call to a note is given."""
    nodes = [node for path in PACKAGE.rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    calls = [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) in ("audit.note", "_note")]
    constants = [[each.value for each in call.args if isinstance(each, ast.Constant)] for call in calls]
    texts = [[each for each in found if isinstance(each, str)] for found in constants]
    return {each[0] for each in texts if each}
