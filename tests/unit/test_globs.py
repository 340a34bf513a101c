"""Globs: what a pattern stands for."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fastdeploy_bot.core.files import globs

STANDS_FOR = [
    ("main", "main"),
    ("", ""),
    ("*", "main"),
    ("*", ""),
    ("release/*", "release/1.0"),
    ("release/*", "release/"),
    ("*/1.0", "release/1.0"),
    ("*-hotfix", "db-hotfix"),
    ("v*.*", "v1.2"),
    ("v1.2", "v1.2"),
    ("a/**", "a/b"),
    ("a/**", "a/b/c.py"),
    ("a/**", "a/"),
    ("**", "a/b/c"),
    ("**", ""),
    ("**/x", "x"),
    ("**/x", "a/x"),
    ("**/x", "a/b/x"),
    ("**/x", "/x"),
    ("a/**/b", "a/b"),
    ("a/**/b", "a/x/y/b"),
    ("**/**/c", "c"),
    ("**/*.py", "setup.py"),
    ("**/*.py", "a/b/setup.py"),
    ("a**b", "a/x/b"),
    ("a**b", "ab"),
    ("***", "a/b"),
    ("?", "ä"),
    ("r?c", "rac"),
    ("[abc]", "b"),
    ("[a-c]x", "bx"),
    ("[!a]", "b"),
    ("[!!]", "a"),
    ("[]]", "]"),
    ("[!]]", "a"),
    ("[a-]", "-"),
    ("[^a]", "^"),
    ("[a", "[a"),
    ("a]", "a]"),
    ("[]", "[]"),
    ("[!]", "[!]"),
    ("a.b", "a.b"),
    ("a+(b)|c$^{2}\\d", "a+(b)|c$^{2}\\d"),
    ("grüße/*", "grüße/ö"),
    ("*", "…🚀"),
    ("*", ".hidden"),
    ("*", "two\nlines"),
    ("octo-org/*", "octo-org/shop"),
    ("$(reboot)", "$(reboot)"),
]

DOES_NOT_STAND_FOR = [
    ("main", "Main"),
    ("main", "main2"),
    ("main", "my-main"),
    ("", "a"),
    ("a", ""),
    ("*", "a/b"),
    ("release/*", "release/1/2"),
    ("release/*", "release"),
    ("a/**", "a"),
    ("a/**", "ab/c"),
    ("**/x", "ax"),
    ("**/x", "a/bx"),
    ("a/**/b", "a/xb"),
    ("a/**/b", "ab"),
    ("?", ""),
    ("?", "/"),
    ("?", "ab"),
    ("[abc]", "d"),
    ("[abc]", "abc"),
    ("[!a]", "a"),
    ("[!a]", "/"),
    ("[!!]", "!"),
    ("[+-0]", "/"),
    ("[z-a]", "m"),
    ("a.b", "axb"),
    ("a|b", "a"),
    ("\\d", "1"),
    ("v1.*", "v2.0"),
]


@pytest.mark.parametrize(("pattern", "text"), STANDS_FOR)
def test_pattern_stands_for_text(pattern: str, text: str) -> None:
    """The pattern stands for the whole text."""
    assert globs.match(pattern, text)


@pytest.mark.parametrize(("pattern", "text"), DOES_NOT_STAND_FOR)
def test_pattern_does_not_stand_for_text(pattern: str, text: str) -> None:
    """The pattern stands for less, more or something else."""
    assert not globs.match(pattern, text)


@pytest.mark.parametrize(
    ("wanted", "patterns", "text"),
    [
        (True, ["api/**"], "api/a.py"),
        (False, ["api/**", "!api/docs/**"], "api/docs/a.md"),
        (True, ["api/**", "!api/docs/**", "api/docs/live/**"], "api/docs/live/a.md"),
        (False, ["!api/docs/**", "web/**"], "other/x"),
        (True, ["!api/docs/**", "api/**"], "api/docs/a.md"),
        (True, ["!docs/**"], "api/a.py"),
        (False, ["!docs/**"], "docs/a.md"),
        (False, ["!docs/**", "!api/**"], "api/a.py"),
        (False, [], "anything"),
        (True, ["main", "release/*"], "release/1"),
        (False, ["*", "!wip-*"], "wip-x"),
    ],
)
def test_last_matching_pattern_of_a_list_decides(wanted: bool, patterns: list[str], text: str) -> None:
    """`!` takes away what came before it, and may be overruled by what comes after."""
    assert wanted is globs.last_match(patterns, text)


@pytest.mark.parametrize("pattern", ["*a*a*a*a*b", "*a" * 30 + "b", "**a" * 30 + "b", "**/" * 30 + "b"])
@pytest.mark.parametrize("text", ["a" * 300, "a/" * 150])
def test_no_pattern_is_slow(pattern: str, text: str) -> None:
    """What makes a backtracking matcher run for years is decided at once."""
    begun = time.thread_time()

    assert not globs.match(pattern, text)

    assert time.thread_time() - begun < 0.5


@given(some.text(max_size=40))
def test_text_without_special_characters_stands_for_itself_only(text: str) -> None:
    """Everything but `*`, `?` and brackets is literal, whatever it means to regular expressions."""
    pattern = re.sub(r"[*?\[\]]", "", text)

    assert globs.match(pattern, pattern)
    assert not globs.match(pattern, f"{pattern}x")


@given(
    some.lists(some.sampled_from(["*", "**", "**/", "/", "a", "b", "?", "[ab]", "[!a]"]), max_size=6),
    some.text("ab/", max_size=7),
)
def test_small_patterns_agree_with_regular_expressions(pieces: list[str], text: str) -> None:
    """The matcher and a plain translation say the same."""
    pattern = "".join(pieces)
    folders = r"(?:(?<=/)|^)\*\*/|\*\*+|\*|\?|\[!?[ab]+\]|."
    meaning = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]", "[ab]": "[ab]", "[!a]": "[^a/]"}
    translated = "".join(
        meaning.get(piece, ".*" if piece.startswith("**") else re.escape(piece))
        for piece in re.findall(folders, pattern)
    )

    assert (re.fullmatch(translated, text) is not None) is globs.match(pattern, text)
