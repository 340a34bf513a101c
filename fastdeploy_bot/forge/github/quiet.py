"""Quiet: calls GitHub only while GitHub lets us, and has all of us keep quiet once one of us was told to."""

from __future__ import annotations

import math
from typing import Any

from fastdeploy_bot.core import clock, leases
from fastdeploy_bot.forge.github import policy
from fastdeploy_bot.forge.github.client import Answer, CallFailed, Client
from fastdeploy_bot.forge.github.policy import Refusal, Remedy


class QuietClient(Client):
    """One for those that ask beside the line, from whichever thread, process or host."""

    def call(self, *args: Any, **more: Any) -> Answer:  # Any: whatever a client takes
        """What GitHub answers. Raises CallFailed, without a call where it is to be left alone."""
        now = clock.now()
        if (until := leases.silent_until(now=now)) is not None:
            raise CallFailed(_told_to_wait(until, now))
        try:
            answer = super().call(*args, **more)
        except CallFailed as failed:
            heed(failed)
            raise
        if (seconds := policy.rest(self.said, now=clock.now())) is not None:
            _keep_quiet(seconds)
        return answer


def heed(failed: CallFailed) -> None:
    """Where GitHub limits us, let nobody ask it for anything until it wants that."""
    judgement = policy.judge(failed.refusal, attempt=0, now=clock.now())
    if judgement.remedy is Remedy.PAUSE:
        _keep_quiet(judgement.seconds)


def _told_to_wait(until: int, now: int) -> Refusal:
    headers = {"retry-after": str(math.ceil((until - now) / clock.SECOND))}
    return Refusal(429, f"GitHub wants to be asked nothing until {clock.text(until)}", headers)


def _keep_quiet(seconds: float) -> None:
    now = clock.now()
    leases.be_silent(until=now + int(seconds * clock.SECOND), now=now)
