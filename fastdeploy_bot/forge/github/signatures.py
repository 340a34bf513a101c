"""Signatures: whether a webhook was signed with one of our secrets. Pure: bytes in, an answer out.

Source: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Final

from fastdeploy_bot.core.files import globs
from fastdeploy_bot.errors import FastdeployError
from fastdeploy_bot.words import WebhookSecret

SCHEME: Final = "sha256="


class SignatureMissing(FastdeployError):
    """The payload came without a signature."""

    status = HTTPStatus.UNAUTHORIZED


class SignatureMismatch(FastdeployError):
    """The payload was not signed with one of our webhook secrets."""

    status = HTTPStatus.UNAUTHORIZED


def sign(secret: str, body: bytes) -> str:
    """The value of `X-Hub-Signature-256` for a body as it is sent."""
    # The environment may hold a secret that is not UTF-8: its very bytes are meant.
    return SCHEME + hmac.digest(secret.encode(errors="surrogateescape"), body, "sha256").hex()


def verify(body: bytes, header: str | None, secrets: Sequence[WebhookSecret]) -> tuple[WebhookSecret, ...]:
    """Every secret that the body was signed with; each is tried, in constant time.

    Raises SignatureMissing without a header, SignatureMismatch where no secret fits it.
    """
    if not header:
        raise SignatureMissing("send X-Hub-Signature-256: set a secret on the webhook, the same as the bot's")
    # As bytes, because compare_digest refuses text beyond ASCII; what is replaced was no hex digit.
    given = header.encode("ascii", "replace")
    fitting = tuple(each for each in secrets if hmac.compare_digest(sign(each.secret, body).encode(), given))
    if not fitting:
        raise SignatureMismatch("the webhook's secret and the bot's are not the same: set both anew")
    return fitting


def require_repository(secrets: Iterable[WebhookSecret], repository: str | None) -> None:
    """Raise SignatureMismatch unless one of the secrets may sign for the repository."""
    if repository is not None and not covers(secrets, repository):
        raise SignatureMismatch("the webhook's secret is bound to other repositories: see webhook_secrets")


def covers(secrets: Iterable[WebhookSecret], repository: str) -> bool:
    """Whether one of the secrets may sign for `owner/name`."""
    return any(_covers(each, repository) for each in secrets)


def _covers(secret: WebhookSecret, repository: str) -> bool:
    if secret.repositories is None:
        return True
    return any(globs.match(pattern.lower(), repository.lower()) for pattern in secret.repositories)
