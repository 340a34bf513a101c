"""Signatures: who signed a body, and for which repositories they may speak."""

from __future__ import annotations

import hmac
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

import octokit
from fastdeploy_bot.forge.github import signatures
from fastdeploy_bot.forge.github.signatures import SignatureMismatch, SignatureMissing
from fastdeploy_bot.words import WebhookSecret

SECRET = "It's a Secret to Everybody"
BODY = b"Hello, World!"
SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
"""GitHub's own test vector."""

OURS = WebhookSecret(SECRET)


def test_it_signs_as_github_does() -> None:
    """The vector of GitHub's documentation comes out, digit by digit."""
    assert SIGNATURE == signatures.sign(SECRET, BODY)


def test_it_signs_as_octokit_does() -> None:
    """On every example, also beyond ASCII, the independent signer says the same."""
    octokit.require()
    secret = "schlüssel 🔑"
    bodies = [example.text for example in octokit.examples()]

    theirs = octokit.sign_all(secret, bodies)

    assert len(bodies) > 300
    assert theirs == [signatures.sign(secret, body.encode()) for body in bodies]


def test_a_secret_that_is_not_utf8_signs_with_its_bytes() -> None:
    """What the environment escaped is taken as the bytes that were meant."""
    expected = hmac.digest(b"\xff\xfe", BODY, "sha256").hex()

    assert f"sha256={expected}" == signatures.sign(b"\xff\xfe".decode(errors="surrogateescape"), BODY)


def test_the_secret_that_signed_is_found_among_others() -> None:
    """Any of several secrets may match."""
    secrets = (WebhookSecret("old"), OURS, WebhookSecret("new"))

    assert (OURS,) == signatures.verify(BODY, SIGNATURE, secrets)


def test_every_secret_that_matches_is_told() -> None:
    """One secret, bound twice, counts twice: either entry may cover the repository."""
    one, other = WebhookSecret(SECRET, ("a/*",)), WebhookSecret(SECRET, ("b/*",))

    assert (one, other) == signatures.verify(BODY, SIGNATURE, (one, WebhookSecret("third"), other))


@pytest.mark.parametrize("header", [None, ""])
def test_a_body_without_signature_is_refused(header: str | None) -> None:
    """No header, or an empty one, is 401 and says which header is missing."""
    with pytest.raises(SignatureMissing, match="X-Hub-Signature-256") as refused:
        signatures.verify(BODY, header, [OURS])

    assert HTTPStatus.UNAUTHORIZED == refused.value.status


@pytest.mark.parametrize(
    "header",
    [
        signatures.sign("guessed", BODY),
        signatures.sign(SECRET, BODY + b"\n"),
        SIGNATURE.upper(),
        "sha256=" + SIGNATURE.removeprefix("sha256=").upper(),
        SIGNATURE.removeprefix("sha256="),
        SIGNATURE[:-1],
        SIGNATURE + "0",
        f" {SIGNATURE}",
        f"{SIGNATURE} ",
        f"{SIGNATURE}\n",
        f"{SIGNATURE},{SIGNATURE}",
        SIGNATURE[:-1] + "\N{FULLWIDTH DIGIT SEVEN}",
        SIGNATURE[:-1] + "\udcff",
        "sha1=2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
        "sha256=",
        "sha256",
        "ü",
        "\0",
    ],
)
def test_any_other_signature_is_a_mismatch(header: str) -> None:
    """Whatever else stands in the header is 401, and neither header nor secret is told."""
    with pytest.raises(SignatureMismatch) as refused:
        signatures.verify(BODY, header, [OURS])

    assert HTTPStatus.UNAUTHORIZED == refused.value.status
    assert header not in str(refused.value).split()
    assert SECRET not in str(refused.value)


def test_without_secrets_nothing_matches() -> None:
    """An empty list never means that everything is welcome."""
    with pytest.raises(SignatureMismatch):
        signatures.verify(BODY, SIGNATURE, [])


@given(header=st.text(min_size=1).filter(lambda text: text != SIGNATURE))
def test_no_header_breaks_the_check(header: str) -> None:
    """Any text at all is a mismatch, never another error."""
    with pytest.raises(SignatureMismatch):
        signatures.verify(BODY, header, [OURS])


@given(secret=st.text(st.characters(codec="utf-8"), min_size=1), body=st.binary())
def test_what_was_signed_is_verified(secret: str, body: bytes) -> None:
    """Signing and verifying agree on every body and secret."""
    ours = WebhookSecret(secret)

    assert (ours,) == signatures.verify(body, signatures.sign(secret, body), [ours])


@pytest.mark.parametrize(
    "secrets",
    [
        pytest.param([WebhookSecret("s")], id="bound to nothing"),
        pytest.param([WebhookSecret("s", ("octo-org/shop",))], id="bound to it"),
        pytest.param([WebhookSecret("s", ("OCTO-org/*",))], id="bound to its owner, in another case"),
        pytest.param([WebhookSecret("s", ("a/b", "octo-org/sh?p"))], id="the second pattern"),
        pytest.param([WebhookSecret("s", ("a/b",)), WebhookSecret("s")], id="the second secret"),
    ],
)
def test_a_secret_speaks_for_the_repositories_it_covers(secrets: list[WebhookSecret]) -> None:
    """One secret and one pattern are enough."""
    signatures.require_repository(secrets, "Octo-Org/Shop")


@pytest.mark.parametrize("patterns", [(), ("octo-org/shop2",), ("octo-org",), ("*",), ("*/shopping",)])
def test_a_bound_secret_speaks_for_no_other_repository(patterns: tuple[str, ...]) -> None:
    """A repository that no pattern covers is 401."""
    with pytest.raises(SignatureMismatch, match="webhook_secrets") as refused:
        signatures.require_repository([WebhookSecret("s", patterns)], "octo-org/shop")

    assert HTTPStatus.UNAUTHORIZED == refused.value.status


def test_a_bound_secret_may_speak_of_no_repository() -> None:
    """A delivery about none, such as an organization's ping, is let through."""
    signatures.require_repository([WebhookSecret("s", ("a/b",))], None)
