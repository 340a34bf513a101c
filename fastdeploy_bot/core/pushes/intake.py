"""Intake: take each webhook once, decide it for every service, and queue what is to be deployed. One transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core.commits import between, deliveries, drift
from fastdeploy_bot.core.commits.deliveries import ToldVerdict
from fastdeploy_bot.core.deploying import services
from fastdeploy_bot.core.files.catalogue import Catalogue, Entry
from fastdeploy_bot.core.people import audit
from fastdeploy_bot.core.pushes import deciding
from fastdeploy_bot.core.pushes.deciding import Case
from fastdeploy_bot.core.pushes.matching import Decision
from fastdeploy_bot.core.signals import events
from fastdeploy_bot.core.signals.notices import Notice
from fastdeploy_bot.core.telling import changes
from fastdeploy_bot.store.models import WITHOUT_BODY, Delivery, Verdict
from fastdeploy_bot.words import Origin, Principal, Push, VerdictKind, Webhook

_KNOWN: Final = store.Prepared[Delivery](
    lambda guid, key: Delivery.select(*WITHOUT_BODY).where((Delivery.guid == guid) | (Delivery.push_key == key))
)
_OF_PUSH: Final = ("default_branch", "ref", "before", "after", "commit", "pushed_at", "paths", "commits", "size")
"""What a delivery says of its push."""
_NO_PUSH: Final = dict.fromkeys(_OF_PUSH)
_KEEP: Final = store.Insert(
    Delivery,
    *("guid", "push_key", "event", "action", "repository_id", "repository", "duplicate_of", "peer", "headers"),
    *("body", "received", "reconciled"),
    *_OF_PUSH,
)
_RECONCILED: Final = store.Prepared[Delivery](
    lambda repository, ref, after: (
        Delivery.select(Delivery.id, Delivery.guid, Delivery.repository_id, Delivery.ref, Delivery.pushed_at)
        .where(Delivery.repository_id == repository, Delivery.ref == ref, Delivery.reconciled, Delivery.after == after)
        .order_by(Delivery.id.desc())
        .limit(1)
    )
)

_REASON: Final = store.Prepared[Delivery](
    lambda reason, number: Delivery.update(reason=reason).where(Delivery.id == number)
)


class Receipt(msgspec.Struct, frozen=True):
    """The answer to a webhook."""

    delivery: str
    duplicate: bool
    reason: str
    verdicts: list[ToldVerdict]


def receive(
    webhook: Webhook,
    catalogue: Catalogue,
    *,
    covers: Callable[[str], bool],
    ours: frozenset[str] = frozenset(),
    peer: str,
    now: int,
    then: Callable[[], object] | None = None,
) -> store.Later[Receipt]:
    """Keep a delivery and decide it; when the answer is there, all of it is on disk, and `then` was called.

    `covers` tells of an `owner/name` whether the webhook's signer may speak for it: ids can be made up. `ours` is what
    our GitHub App is called, by its id, its client id, or both.
    A delivery whose GUID or push is known already is a duplicate and starts nothing.
    """
    entries = catalogue.entries()
    return store.later(lambda: _receive(webhook, entries, covers, ours, peer, now), then)


def replay(delivery: Delivery, push: Push, entries: Mapping[str, Entry], *, by: Principal, now: int) -> Receipt:
    """Decide a kept delivery once more, as if it were not known; a newer push still makes it stale.

    To be called inside a write.
    """
    case = Case(
        delivery=delivery,
        push=push,
        entries=entries,
        covers=lambda _: True,
        origin=Origin.REPLAY,
        actor=by.name,
        now=now,
    )
    audit.note(by, "replay", f"delivery {delivery.guid}", now=now)
    told, reason = _decided(case)
    _note(delivery, reason)
    changes.of_delivery(delivery.id)  # with what was decided of it before, too
    return Receipt(delivery.guid, False, reason, told)


def reconcile(
    webhook: Webhook, entries: Mapping[str, Entry], settled: Mapping[str, Decision], *, now: int
) -> Receipt | None:
    """Decide a push that was seen at the repository, as if this webhook of it had come; None where it is no push.

    `settled` is decided already, by service. To be called inside a write.
    """
    push = webhook.push
    if push is None:
        return None
    known = _KNOWN.all(webhook.guid, push.key)
    delivery = _KEEP.run(**_row(webhook, None, "", now, key=None if known else push.key, reconciled=True))
    return _decide(
        Case(
            delivery=delivery,
            push=push,
            entries=entries,
            covers=lambda _: True,
            origin=Origin.RECONCILED,
            actor=push.actor,
            now=now,
            settled=settled,
        )
    )


def _receive(
    webhook: Webhook,
    entries: Mapping[str, Entry],
    covers: Callable[[str], bool],
    ours: frozenset[str],
    peer: str,
    now: int,
) -> Receipt:
    seen = _seen(webhook.push)
    delivery = None if seen is not None else _KEEP.run_if_new(**_row(webhook, None, peer, now, key=_key(webhook)))
    if delivery is None:
        return _came_before(webhook, seen, peer, now)
    if webhook.push is None:
        services.pin(webhook.repository, webhook.repository_id)
        notice = Notice(webhook=webhook, delivery=delivery, entries=entries, covers=covers, ours=ours, now=now)
        return _told(delivery, events.act(notice), [])
    return _decide(
        Case(
            delivery=delivery,
            push=webhook.push,
            entries=entries,
            covers=covers,
            origin=Origin.PUSH,
            actor=webhook.push.actor,
            now=now,
        )
    )


def _key(webhook: Webhook) -> str | None:
    return None if webhook.push is None else webhook.push.key


def _seen(push: Push | None) -> Delivery | None:
    """The delivery of a push that was seen at the repository before its webhook came; None where there is none.

    What is seen there has no key that the webhook could have: nobody told from where the ref came, or when.
    """
    if push is None or (found := _RECONCILED.first(push.repository_id, push.ref, push.after)) is None:
        return None
    earlier = None not in (push.pushed_at, found.pushed_at) and (push.pushed_at or 0) <= (found.pushed_at or 0)
    return found if earlier or _is_newest(found) else None


def _is_newest(delivery: Delivery) -> bool:
    """Whether no newer push of its ref was decided for any service."""
    decided = Delivery.select(Delivery.id).join(Verdict).where(Verdict.counts)
    of_ref = decided.where(Delivery.repository_id == delivery.repository_id, Delivery.ref == delivery.ref)
    newest = of_ref.order_by(Delivery.pushed_at.desc(nulls="last"), Delivery.id.desc()).first()
    return newest is None or bool(newest.id == delivery.id)


def _row(
    webhook: Webhook, first: Delivery | None, peer: str, now: int, *, key: str | None, reconciled: bool = False
) -> dict[str, Any]:
    """What is kept of a webhook, by column; each value is of its column's type."""
    push = webhook.push
    row = {
        "guid": webhook.guid,
        "push_key": key,
        "event": webhook.event,
        "action": webhook.action,
        "repository_id": webhook.repository_id,
        "repository": webhook.repository,
        "duplicate_of": first,
        "peer": peer,
        "headers": msgspec.json.encode(webhook.headers).decode(),
        "body": webhook.body,
        "received": now,
        "reconciled": reconciled,
    }
    return row | (_NO_PUSH if push is None else _of_push(push))


def _of_push(push: Push) -> dict[str, Any]:
    """The same of a push."""
    return {
        "default_branch": push.default_branch,
        "ref": push.ref,
        "before": push.before,
        "after": push.after,
        "commit": push.commit,
        "pushed_at": push.pushed_at,
        "paths": drift.kept(push.paths),
        "commits": between.kept(push.commits),
        "size": push.size,
    }


def _decide(case: Case) -> Receipt:
    told, reason = _decided(case)
    return _told(case.delivery, reason, told)


def _decided(case: Case) -> tuple[list[ToldVerdict], str]:
    """What was decided, and what is said of the delivery as a whole."""
    told = deciding.decide(case)
    return told, "" if told else f"no service is mapped to {case.push.repository}"


def _came_before(webhook: Webhook, seen: Delivery | None, peer: str, now: int) -> Receipt:
    """The answer to a delivery that came before, or whose push did, or was seen at the repository."""
    known = _KNOWN.all(webhook.guid, _key(webhook))
    for each in known:
        if each.guid == webhook.guid:
            return _known_delivery(each)
    first = next(each for each in (*known, seen) if each is not None)
    return _known_push(_KEEP.run(**_row(webhook, first, peer, now, key=None)), first, now)


def _known_delivery(known: Delivery) -> Receipt:
    """The answer to a delivery that came before: nothing is written."""
    reason = f"delivery {known.guid} was received before"
    return Receipt(known.guid, True, reason, [_again(told, reason) for told in deliveries.verdicts_of(known)])


def _known_push(delivery: Delivery, first: Delivery, now: int) -> Receipt:
    """Another delivery of a push that came before, for example through a second webhook."""
    reason = f"this push was received before, as delivery {first.guid}"
    told = [_again(earlier, reason) for earlier in deliveries.verdicts_of(first)]
    for verdict in told:
        decision = Decision(verdict.service, verdict.verdict, reason)
        deciding.write_down(delivery, services.find(verdict.service), decision, verdict.deployment, now=now)
    return msgspec.structs.replace(_told(delivery, reason, told), duplicate=True)


def _again(earlier: ToldVerdict, reason: str) -> ToldVerdict:
    return msgspec.structs.replace(earlier, verdict=VerdictKind.DUPLICATE, reason=reason)


def _told(delivery: Delivery, reason: str, verdicts: list[ToldVerdict]) -> Receipt:
    """The answer to a delivery that was kept just now."""
    _note(delivery, reason)
    changes.of_decided(delivery, verdicts)
    return Receipt(delivery.guid, False, reason, verdicts)


def _note(delivery: Delivery, reason: str) -> None:
    if reason:
        delivery.reason = reason
        _REASON.run(reason, delivery.id)
