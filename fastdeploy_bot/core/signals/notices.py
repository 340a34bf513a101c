"""Notices: an event that is no push, as whoever acts upon it sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from fastdeploy_bot.core.files.catalogue import Entry
from fastdeploy_bot.store.models import Delivery
from fastdeploy_bot.words import Webhook


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook that was kept just now, and what there is to judge it by."""

    webhook: Webhook
    delivery: Delivery
    entries: Mapping[str, Entry]
    """The service files as they are now."""
    covers: Callable[[str], bool]
    """Of an `owner/name`, whether the webhook's signer may speak for it."""
    ours: frozenset[str]
    """What our GitHub App is called: by its id, its client id, or both; empty where the bot has none."""
    now: int


Handler = Callable[[Notice], str]
"""Acts upon an event inside the write that keeps it, and answers what came of it, for people to read."""
