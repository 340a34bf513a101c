"""Waiting: what a deployment that has not begun waits for. One function decides; rows only keep what it needs. Pure."""

from __future__ import annotations

import msgspec

from fastdeploy_bot.core.deploying import gates
from fastdeploy_bot.core.locks import Lock
from fastdeploy_bot.store.models import Deployment
from fastdeploy_bot.words import DeploymentState, WaitsFor


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The checks that have to succeed before a deployment begins, and how far the asking has come."""

    names: tuple[str, ...]
    since: int
    """Since when it waits for them, in Unix milliseconds."""
    due: int
    """The moment before which GitHub is not to be asked."""
    looks: int = 0
    """How often it was asked since somebody had said that there is news."""
    attempts: int = 0
    """How often it was asked in vain since it answered last."""
    last: str = ""
    """How the checks stood at the last look; in words that go on from `waited 2h for checks: `."""
    note: str = ""
    """What people should know of that now: GitHub refuses to answer, or nobody reports such a check."""
    green: int | None = None
    """Since when nothing is missing, where that has to last for a while."""

    @property
    def told(self) -> str:
        """What is said of whatever waits for them."""
        return gates.told(self.names) + (f" ({self.note})" if self.note else "")


class Place(msgspec.Struct, frozen=True):
    """Where a deployment that has not begun stands."""

    state: DeploymentState
    waits_for: WaitsFor | None = None
    reason: str = ""


_decoder = msgspec.json.Decoder(Wanted)


def place(lock: Lock | None, wanted: Wanted | None) -> Place:
    """Where a deployment stands whose service has that lock, and which wants these checks to succeed.

    A lock comes first: while it lasts, checks may succeed, and nothing begins by that.
    """
    if lock is not None:
        return Place(DeploymentState.WAITING, WaitsFor.LOCK, lock.told)
    if wanted is not None:
        return Place(DeploymentState.WAITING, WaitsFor.CHECKS, wanted.told)
    return Place(DeploymentState.QUEUED)


def of(deployment: Deployment) -> Wanted | None:
    """What checks a deployment waits for, locked or not; None where for none, or for none any more."""
    return None if deployment.wanted is None else _decoder.decode(deployment.wanted)


def written(wanted: Wanted | None) -> str | None:
    """As a row keeps it."""
    return None if wanted is None else msgspec.json.encode(wanted).decode()
