"""Deliveries: looking back at what arrived and what was decided."""

from __future__ import annotations

from fastdeploy_bot.errors import Gone, NotFound
from fastdeploy_bot.store.models import Delivery


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
