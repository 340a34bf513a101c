"""Webhooks: verify a delivery, record what it asks for, and answer at once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Final

from flask import Blueprint, Response, after_this_request, request
from werkzeug.exceptions import RequestEntityTooLarge

from fastdeploy_bot import appfile, facts, store
from fastdeploy_bot.appfile import BadAppFile
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import deliveries
from fastdeploy_bot.core.people.access import Action
from fastdeploy_bot.core.pushes import intake, refusals
from fastdeploy_bot.core.pushes.intake import Receipt
from fastdeploy_bot.errors import Conflict, FastdeployError, Gone, Malformed, Unavailable
from fastdeploy_bot.forge.github import payloads, signatures
from fastdeploy_bot.forge.github.payloads import UnsupportedContent
from fastdeploy_bot.forge.github.signatures import SignatureMissing
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Delivery
from fastdeploy_bot.web import answers, context, creating, operations
from fastdeploy_bot.web.answers import Answer
from fastdeploy_bot.web.context import Bot
from fastdeploy_bot.web.later import Later
from fastdeploy_bot.web.operations import Credential, Guid, operation
from fastdeploy_bot.words import Push, Webhook, WebhookSecret

log = logging.getLogger(__name__)

bp = Blueprint("hooks", __name__)

LARGEST: Final = 25 * 1024 * 1024
"""GitHub's own bound. Source: https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap"""


@bp.post("/webhooks/github")
@operation(
    statuses=[HTTPStatus.OK, HTTPStatus.ACCEPTED],
    errors=[SignatureMissing, UnsupportedContent, Malformed, Unavailable],
    credential=Credential.WEBHOOK,
)
def github() -> Answer[Receipt]:
    """Verify a delivery, record what it asks for, and answer at once."""
    try:
        return _receive()
    except (FastdeployError, RequestEntityTooLarge) as error:
        _keep_refusal(error)
        raise


def _receive() -> Later[Receipt]:
    body = context.raw_body(LARGEST)
    bot = context.bot()
    believed = bot.settings.believed(now=clock.now())
    secrets = signatures.verify(body, request.headers.get("X-Hub-Signature-256"), believed)
    document = payloads.document(request.headers.get("Content-Type"), body)
    webhook = payloads.parse(document, dict(request.headers.items()))
    facts.add(delivery=webhook.guid)
    signatures.require_repository(secrets, webhook.repository)
    received = intake.receive(
        webhook,
        bot.catalogue,
        covers=partial(signatures.covers, secrets),
        ours=bot.settings.app_names,
        peer=context.peer(),
        now=clock.now(),
        then=bot.bell.ring,
    )
    return Later(lambda: _received(bot, webhook, secrets, received.answer()), received.forget)


def _received(bot: Bot, webhook: Webhook, secrets: Sequence[WebhookSecret], receipt: Receipt) -> Answer[Receipt]:
    """The answer to a delivery that was decided and is on disk."""
    facts.add(event=webhook.event, verdicts=_verdicts(receipt))
    answer = answers.as_json(receipt, HTTPStatus.OK if webhook.event == "ping" else HTTPStatus.ACCEPTED)
    _end_rotation(bot.settings, secrets, answer)
    return answer


@bp.post("/api/v1/deliveries/<guid>/replay")
@operation(Action.STEER, statuses=[HTTPStatus.ACCEPTED], errors=[Conflict, Gone], idempotent=True)
def replay(guid: Guid) -> Answer[Receipt]:
    """Decide a kept push once more."""
    who = context.principal()
    operations.authorize(who)
    facts.add(delivery=guid)
    delivery, push = kept_push(guid)
    entries = context.bot().catalogue.entries()
    return creating.once(
        who,
        lambda: intake.replay(delivery, push, entries, by=who, now=clock.now()),
        HTTPStatus.ACCEPTED,
    )


def _end_rotation(settings: Settings, secrets: Iterable[WebhookSecret], answer: Response) -> None:
    """Forget the App's earlier secret where GitHub has signed with the new one: written once that has been answered."""
    app = settings.app
    if app is not None and app.earlier_secret and app.webhook_secret in {each.secret for each in secrets}:
        answer.call_on_close(partial(_note_signed, settings, app.webhook_secret))


def _note_signed(settings: Settings, secret: str) -> None:
    try:
        appfile.note_signed(settings.home, secret)
    except BadAppFile as error:
        log.warning("an earlier webhook secret was not forgotten", extra={"problem": str(error)})


def _keep_refusal(error: FastdeployError | RequestEntityTooLarge) -> None:
    """Let admins see why a signed webhook was refused: written once it has been answered, so that nobody waits."""
    status = error.status if isinstance(error, FastdeployError) else HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    if "X-Hub-Signature-256" not in request.headers or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return
    reason = str(error) if isinstance(error, FastdeployError) else f"the body has more than {LARGEST} bytes"
    event = request.headers.get("X-GitHub-Event", "")
    kept = refusals.note(peer=context.peer(), event=event, reason=reason, now=clock.now())
    if kept is None:
        return

    @after_this_request
    def later(answer: Response) -> Response:
        answer.call_on_close(partial(_write_refusal, kept))
        return answer


def _write_refusal(kept: store.Later[None]) -> None:
    try:
        kept.answer()
    except Unavailable as error:
        log.warning("refusal not kept", extra={"problem": str(error)})
    finally:
        store.release()


def kept_push(guid: str) -> tuple[Delivery, Push]:
    """A delivery whose push can be decided again. Raises NotFound, Gone, Conflict where it is no push."""
    delivery = deliveries.find(guid)
    return delivery, payloads.kept_push(deliveries.body(delivery), event=delivery.event, guid=guid)


def _verdicts(receipt: Receipt) -> dict[str, str]:
    return {each.service: each.verdict for each in receipt.verdicts}
