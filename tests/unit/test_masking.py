"""Masking: what is hidden of a stream and of a text, and what is not."""

from __future__ import annotations

import base64
import itertools
import json
import re
import shlex
import subprocess
import urllib.parse
from collections.abc import Callable, Sequence

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import appkeys
from fastdeploy_bot.masking import MASK, Masker

SECRET = "p4ss/w\"ör'd+&$x \\~"
KEY = "-----BEGIN KEY-----\nMIIEvQIBADAN/Bgkqhki\n  G9w0BAQEF+AASCBKcw\nabc\n-----END KEY-----"

secrets = st.lists(st.text("ab\n'/", min_size=6, max_size=12), min_size=1, max_size=3)
"""Of few characters, so that they overlap, contain and continue each other."""
streams = st.text("ab\n'/\\%27YWI=", max_size=80)


def masked(secrets: Sequence[str], pieces: Sequence[bytes]) -> bytes:
    """What comes out of a stream that comes in these pieces."""
    masker = Masker(secrets)
    return b"".join([*map(masker.feed, pieces), masker.flush()])


def cut(stream: bytes, places: Sequence[int]) -> list[bytes]:
    """The stream, cut at these places."""
    ends = sorted({place % (len(stream) + 1) for place in places} | {0, len(stream)})
    return [stream[start:end] for start, end in itertools.pairwise(ends)]


def inside(value: str, before: str = "", after: str = "") -> str:
    """Base64 of something that the value is a part of."""
    return base64.b64encode(f"{before}{value}{after}".encode()).decode()


# --- what is hidden ---

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "base64": inside,
    "base64, one byte behind": lambda value: inside(value, "u", "w"),
    "base64, two bytes behind": lambda value: inside(value, "u:", "wx"),
    "base64 of a line": lambda value: inside(value, "", "\n"),
    "base64 for URLs": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
    "base64 without its end": lambda value: inside(value).rstrip("="),
    "in a URL": lambda value: urllib.parse.quote(value, safe=""),
    "in a path": urllib.parse.quote,
    "in a form": urllib.parse.quote_plus,
    "in lower case": lambda value: re.sub("%..", lambda each: each[0].lower(), urllib.parse.quote(value, safe="")),
    "by encodeURIComponent": lambda value: urllib.parse.quote(value, safe="!'()*"),
    "by encodeURI": lambda value: urllib.parse.quote(value, safe="!'()*;,/?:@&=+$#"),
    "in JSON": json.dumps,
    "in JSON as it is": lambda value: json.dumps(value, ensure_ascii=False),
    "in PHP's JSON": lambda value: json.dumps(value).replace("/", "\\/"),
    "in Go's JSON": lambda value: json.dumps(value, ensure_ascii=False).replace("&", "\\u0026"),
    "in JSON in JSON": lambda value: json.dumps(json.dumps({"told": value})),
    "in PHP's JSON in JSON": lambda value: json.dumps(json.dumps(value).replace("/", "\\/")),
    "quoted by Python": shlex.quote,
    "in single quotes": lambda value: "'" + value.replace("'", "'\\''") + "'",
    "in double quotes": lambda value: '"' + "".join("\\" * (each in '"\\$`') + each for each in value) + '"',
    "as Python shows it": repr,
}


@pytest.mark.parametrize("secret", ["k3yK3ykeyk3yK3ykey", SECRET, KEY, "passwörter", "a~b/c?d"])
@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_a_secret_comes_out(secret: str, form: str) -> None:
    """However it was quoted on its way, nothing that stands for the value is left."""
    written = FORMS[form](secret)

    told = masked([secret], [f"before {written} after".encode()]).decode()

    assert MASK in told
    assert written.strip("'\"=") not in told
    assert told.startswith("before ")
    assert told.endswith(" after")


@pytest.mark.parametrize(
    "command",
    [
        'printf %q "$SECRET"',
        'echo "${SECRET@Q}"',
        'set -x; : "$SECRET"',
        "declare -p SECRET",
        'base64 <<< "$SECRET"',
        "env | base64",
        "env | base64 -w 64",
        "{ printf 123; env; } | base64 | sed 's/$/\\r/'",
    ],
)
@pytest.mark.parametrize("secret", ["k3yK3ykeyk3yK3ykey", SECRET, KEY, "k3y" * 60])
def test_what_a_shell_prints_of_a_secret_is_hidden(secret: str, command: str) -> None:
    """The shell's own quoting, and base64 in lines."""
    env = {"SECRET": secret, "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["bash", "-c", command], env=env, capture_output=True, check=True)
    printed = done.stdout + done.stderr

    told = masked([secret], [printed])

    assert MASK.encode() in told
    rest = told.replace(b"\r", b"").replace(b"\n", b"")
    core = inside(secret)[: len(secret.encode()) * 8 // 6]
    assert all(part not in rest for part in (secret.encode().replace(b"\n", b""), core[:40].encode()))
    assert not any(line.encode() in told for line in secret.split("\n") if len(line) >= 6)


@given(st.text(max_size=50), st.text(max_size=50), st.text("abcXYZ019+/-_ '\"\\", min_size=6, max_size=150))
def test_base64_of_whatever_a_secret_is_a_part_of_is_hidden(before: str, after: str, secret: str) -> None:
    """The characters that come from the secret alone; wherever it stands, and wherever lines end."""
    whole = f"{before}{secret}{after}".encode()
    start, size = len(before.encode()), len(secret.encode())

    for encoded in (base64.b64encode(whole), base64.encodebytes(whole)):
        told = masked([secret], [encoded]).replace(b"\n", b"")

        plain = encoded.replace(b"\n", b"")
        own = plain[-(-start * 8 // 6) : (start + size) * 8 // 6]
        assert own not in told


def test_secret_of_several_lines_is_hidden_as_a_whole_and_line_by_line() -> None:
    """Scripts print a key as it is, indented, or one line of it; short lines alone say nothing."""
    whole, indented = f"<{KEY}>", KEY.replace("\n", "\n    ")

    assert f"<{MASK}>" == Masker([KEY]).text(whole)
    assert f"{MASK}\n    {MASK}\n      {MASK}\n    abc\n    {MASK}" == Masker([KEY]).text(indented)
    assert f"{MASK}!" == Masker([KEY]).text("MIIEvQIBADAN/Bgkqhki!")


def test_longest_of_overlapping_secrets_is_hidden_and_leaves_no_tail() -> None:
    """Whichever order they come in, and where one ends in the middle of the other."""
    for secrets in (["secret", "secret-long", "longer-still"], ["longer-still", "secret-long", "secret"]):
        assert f"{MASK} {MASK} {MASK}" == Masker(secrets).text("secret secret-long secret-longer-still")


def test_what_is_too_short_to_be_hidden_is_not() -> None:
    """Five bytes would hide half of everything."""
    assert "hello" == Masker(["hello", ""]).text("hello")


# --- streams ---


@given(secrets, streams, st.lists(st.integers(0, 1000), max_size=12))
@example(["aaaaaa"], "a" * 30, [3, 9, 10, 11])
@example(["aaaaaa", "aaaaaab"], "aaaaaab", [6])
def test_a_stream_comes_out_the_same_however_it_is_cut(secrets: list[str], stream: str, places: list[int]) -> None:
    """Chunk borders are nobody's to see; and a text is a stream that comes in one piece."""
    whole = masked(secrets, [stream.encode()])

    assert whole == masked(secrets, cut(stream.encode(), places))
    assert whole == masked(secrets, [bytes((byte,)) for byte in stream.encode()])
    assert whole == Masker(secrets).text(stream).encode()


@given(
    st.lists(st.text("ab", min_size=6, max_size=80), min_size=1, max_size=2),
    st.lists(st.text("ab\n", max_size=70), max_size=3),
    st.sampled_from([60, 64, 76]),
    st.sampled_from([b"\n", b"\r\n"]),
    st.lists(st.integers(0, 1000), max_size=12),
)
def test_base64_in_lines_comes_out_the_same_however_it_is_cut(
    secrets: list[str], between: list[str], width: int, end: bytes, places: list[int]
) -> None:
    """Also where a line ends within what is cut."""
    plain = base64.b64encode("".join(map("".join, itertools.zip_longest(between, secrets, fillvalue=""))).encode())
    stream = end.join(plain[start : start + width] for start in range(0, len(plain), width))

    whole = masked(secrets, [stream])

    assert MASK.encode() in whole
    assert whole == masked(secrets, cut(stream, places))
    assert whole == masked(secrets, [bytes((byte,)) for byte in stream])


@given(
    st.text("ab", min_size=6, max_size=40),
    st.integers(0, 200),
    st.sampled_from([60, 64, 76]),
    st.sampled_from([b"\n", b"\r\n"]),
)
@example("a" * 12, 54, 76, b"\n")
def test_base64_in_lines_is_hidden_wherever_a_line_ends(secret: str, before: int, width: int, end: bytes) -> None:
    """Also of a secret that repeats itself."""
    plain = base64.b64encode(b"." * before + secret.encode() + b".")
    stream = end.join(plain[start : start + width] for start in range(0, len(plain), width))

    told = masked([secret], [stream]).replace(end, b"")

    first, behind = -(-before * 8 // 6), (before + len(secret)) * 8 // 6
    shared = 1  # the character after it tells of the secret and of what follows
    assert told in [plain[:first] + MASK.encode() + plain[rest:] for rest in (behind, behind + shared)]


@given(secrets, streams)
def test_exactly_the_bytes_of_secrets_are_hidden(secrets: list[str], stream: str) -> None:
    """What lies between the masks stood in the stream in that order, and none of it is a secret."""
    told = Masker(secrets).text(stream)

    rest = stream
    for part in told.split(MASK):
        assert part in rest
        rest = rest[rest.index(part) + len(part) :]
    assert not any(secret in told for secret in secrets)


@given(st.binary(max_size=200), st.lists(st.integers(0, 1000), max_size=5))
def test_bytes_without_a_secret_pass_as_they_are(stream: bytes, places: list[int]) -> None:
    """Whatever they are."""
    assert stream == masked([], cut(stream, places))
    assert stream == masked(["f\N{SNOWMAN}r some no one", KEY], cut(stream, places))


@pytest.mark.parametrize("output", ["Password: ", "[y/N] ", "50%\r", "k3yK3 is what it begins with"])
def test_what_cannot_become_a_secret_comes_out_at_once(output: str) -> None:
    """A prompt shows without a newline."""
    assert output.encode() == Masker(["k3yK3ykey"]).feed(output.encode())


def test_beginning_of_a_secret_waits_for_its_end() -> None:
    """And no byte more than that."""
    masker = Masker(["k3yK3ykey"])

    told = [masker.feed(b"key=k3yK3"), masker.feed(b"yke"), masker.feed(b"x"), masker.flush()]

    assert [b"key=", b"", b"k3yK3ykex", b""] == told


def test_rest_of_a_secret_is_hidden_when_its_beginning_had_to_come_out() -> None:
    """A pause in the middle of it shows what came before the pause, and no more."""
    masker = Masker(["k3yK3ykey"])

    told = [masker.feed(b"k3yK"), masker.flush(), masker.feed(b"3ykey and"), masker.flush()]

    assert [b"", b"k3yK", f"{MASK} and".encode(), b""] == told
    assert 0 == masker.pending


def test_secret_that_could_go_on_is_hidden_once() -> None:
    """Its mask comes out at the pause, and what goes on after that gets no second one."""
    masker = Masker(["k3yK3ykey", "k3yK3ykey-longer"])

    told = [masker.feed(b"k3yK3ykey"), masker.flush(), masker.feed(b"-longer!")]

    assert [b"", MASK.encode(), b"!"] == told


def test_text_with_halves_of_characters_is_masked_as_any_other() -> None:
    """What JSON and names of files may hold."""
    assert f"\ud800{MASK}\udcff" == Masker(["k3yK3ykey"]).text("\ud800k3yK3ykey\udcff")


# --- what looks like a secret -----------------------------------------------------------------------------

LETTERS = "16C7e42F292c6912E7710c838347Ae178B4a"
JWT = jwt.encode({"kind": "deployment", "deployment": 7, "run": "0" * 32}, "k" * 64, algorithm="HS256")
APPS_JWT = jwt.encode({"iat": 1, "exp": 2, "iss": "Iv23abc"}, appkeys.pem(), algorithm="RS256")
SHAPES = {
    "personal": f"ghp_{LETTERS}",
    "oauth": f"gho_{LETTERS}",
    "of a user": f"ghu_{LETTERS}",
    "of an installation": f"ghs_{LETTERS}",
    "of an installation, stateless": f"ghs_1234567_{APPS_JWT}",
    "refreshing": f"ghr_{LETTERS * 2}",
    "fine-grained": f"github_pat_11ABCDEFG0{LETTERS[:11]}_{LETTERS}{LETTERS[:23]}",
    "of a user of ours": f"fdu_{LETTERS}-_{LETTERS[:5]}",
    "of a service of ours": f"fds_{LETTERS}-_{LETTERS[:5]}",
    "of a deployment": JWT,
    "of an app": APPS_JWT,
    "key": appkeys.pem().strip(),
}
shapes = st.sampled_from(
    [*SHAPES.values(), "ghp_", "gh", "github_pat_", "eyJhbGciOiJ", "-----BEGIN RSA", "_", "\n", "a", " "]
)


@pytest.mark.parametrize("kind", SHAPES)
def test_a_token_that_nobody_knows_is_hidden(kind: str) -> None:
    """Whatever stands around it, and whole."""
    token = SHAPES[kind]

    for before, after in (("", ""), ("token=", "\n"), ('{"a":"', '"}'), ("Authorization: Bearer ", " x"), ("x", ":")):
        assert f"{before}{MASK}{after}" == Masker([]).text(before + token + after)
        assert f"{before}{MASK}{after}".encode() == masked([], [f"{before}{token}{after}".encode()])


@given(st.lists(shapes, max_size=8), st.lists(st.integers(0, 4_000), max_size=8))
def test_a_token_is_hidden_however_its_stream_is_cut(parts: list[str], places: list[int]) -> None:
    """The same comes out."""
    stream = "".join(parts).encode()

    assert masked([], [stream]) == masked([], cut(stream, places))
    assert masked([], [stream]).decode() == Masker([]).text(stream.decode())


@pytest.mark.parametrize(
    "text",
    [
        "ghp_short",
        "ghs_installation_tokens_by_repository",
        "github_pattern_of_names_that_are_rather_long_in_all",
        "fdu_x",
    ],
)
def test_what_only_begins_like_a_token_is_shown(text: str) -> None:
    """Names in programs do."""
    assert text == Masker([]).text(text)


@pytest.mark.parametrize("before", ["shop_orders_handler_" * 1_000, "_" * 20_000, "ghp_" * 5_000, "_" * 100])
def test_a_token_among_many_underscores_is_hidden(before: str) -> None:
    """Where looking at each underscore would take too long."""
    text = f"{before} {SHAPES['personal']} {SHAPES['fine-grained']} " + "a_b_" * 1_000

    assert text.replace(SHAPES["personal"], MASK).replace(SHAPES["fine-grained"], MASK) == Masker([]).text(text)


def test_the_rest_of_a_token_is_hidden_when_its_beginning_had_to_come_out() -> None:
    """After a fifth of a second nothing is held back any more; then the token is known by all of it."""
    masker = Masker([])
    first = masker.feed(b"x ghp_" + LETTERS[:10].encode())
    held = masker.flush()

    assert (b"x ", b"ghp_" + LETTERS[:10].encode()) == (first, held)
    assert MASK.encode() + b"\n" == masker.feed(LETTERS[10:].encode() + b"\n")


def test_a_line_that_has_no_token_in_it_comes_out_at_once() -> None:
    """All of it."""
    masker = Masker([])

    assert b"handled get_orders in 12 ms\n" == masker.feed(b"handled get_orders in 12 ms\n")
    assert 0 == masker.pending
