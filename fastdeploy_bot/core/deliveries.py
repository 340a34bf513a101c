"""Deliveries: looking back at what arrived and what was decided."""

from __future__ import annotations

import msgspec

from fastdeploy_bot.errors import Gone, NotFound
from fastdeploy_bot.store.models import Delivery, Service, Verdict
from fastdeploy_bot.words import VerdictKind


class ToldVerdict(msgspec.Struct, frozen=True):
    """What was decided for one service."""

    service: str
    verdict: VerdictKind
    reason: str
    deployment: int | None


def find(guid: str) -> Delivery:
    """The delivery of that GUID. Raises NotFound."""
    delivery = Delivery.get_or_none(Delivery.guid == guid)
    if delivery is None:
        raise NotFound(f"there is no delivery {guid!r}")
    return delivery


def body(delivery: Delivery) -> bytes:
    """The JSON document of a delivery. Raises Gone where it is no longer kept."""
    if delivery.body is None:
        raise Gone(f"the body of delivery {delivery.guid} is no longer kept: let GitHub deliver it again")
    return bytes(delivery.body)


def verdicts_of(delivery: Delivery) -> list[ToldVerdict]:
    """All that was decided about a delivery, oldest first."""
    rows = Verdict.select(Verdict, Service).join(Service).where(Verdict.delivery == delivery)
    return [
        ToldVerdict(row.service.name, VerdictKind(row.verdict), row.reason, row.deployment_id)
        for row in rows.order_by(Verdict.id)
    ]
