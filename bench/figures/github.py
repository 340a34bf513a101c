"""What GitHub is asked for each deployment, and how soon it knows. Run by `make figures`.

A bot of its own, as a GitHub App, before a GitHub of the tests' own: a deployment of three seconds and three steps
every ten seconds, so that the bot's own pace holds nothing up; first with commit statuses alone, then with deployments
and check runs as well. Then GitHub wants silence for ten seconds. It prints figures, and ends with 1 where a bound is
exceeded.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Final

import appkeys
import fakehub
from bench import runs
from bots import Bot, Json, wait_for
from fakehub import FakeHub, Fault
from fakehub.wire import Call
from fastdeploy_bot.forge.github.payloads import push_document

DEPLOYMENTS: Final = 10
EVERY: Final = 10.0
"""Seconds from one push to the next."""
SILENCE: Final = 10
MOST_CALLS: Final = {"status": 3, "status, deployment, check": 6}
MOST_SECONDS: Final = 1.0
SCRIPT: Final = """#!/bin/sh
for step in Build Migrate Restart; do
    fastdeploy step $step -- sleep 1
done
"""


def main() -> int:
    """Run both, and the silence; answers the exit status."""
    with FakeHub() as hub, tempfile.TemporaryDirectory() as folder:
        hub.granted |= {"deployments": "write", "checks": "write"}
        with closing(_bot(Path(folder), hub)) as bot:
            for name, kinds in (("few", ["status"]), ("all", ["status", "deployment", "check"])):
                bot.service(name, SCRIPT, repository="octo-org/shop", branches=[name], report=kinds)
            bot.start()
            kept = [
                _told(bot, hub, "few", "status"),
                _told(bot, hub, "all", "status, deployment, check"),
                _silent(bot, hub),
            ]
        print(f"wrong in GitHub's eyes: {hub.wrongs or 'nothing'}")
    return int(not all(kept) or bool(hub.wrongs))


def _bot(folder: Path, hub: FakeHub) -> Bot:
    key = folder / "app.pem"
    key.write_text(appkeys.pem())
    return Bot(
        folder,
        FASTDEPLOY_GITHUB_API_URL=hub.url,
        FASTDEPLOY_GITHUB_CLIENT_ID=fakehub.CLIENT_ID,
        FASTDEPLOY_GITHUB_PRIVATE_KEY_FILE=str(key),
    )


def _told(bot: Bot, hub: FakeHub, branch: str, kinds: str) -> bool:
    """Deploy one after the other; whether calls and times are within their bounds."""
    counts, delays = [], []
    for number in range(DEPLOYMENTS):
        before, next_one = len(hub.calls), time.monotonic() + EVERY
        row = _deployed(bot, branch, number)
        time.sleep(max(0.0, next_one - time.monotonic()))
        calls = [call for call in hub.calls[before:] if call.body and "access_tokens" not in call.path]
        counts.append(len(calls))
        delays += _delays(row, calls)
    print(f"{kinds}: {DEPLOYMENTS} deployments of three seconds and three steps")
    print(f"  calls for each            p50 {statistics.median(counts):.0f}   most {max(counts)}")
    p95 = statistics.quantiles(delays, n=20)[18]
    print(f"  change of state to call   p50 {statistics.median(delays):.2f} s   p95 {p95:.2f} s")
    return max(counts) <= MOST_CALLS[kinds] and p95 <= MOST_SECONDS


def _deployed(bot: Bot, branch: str, number: int) -> Json:
    """A deployment that has ended and of which nothing is owed any more."""
    sent = bot.deliver(_push(branch, number)).json()
    [deployment] = [verdict["deployment"] for verdict in sent["verdicts"] if verdict["deployment"]]
    bot.wait_idle(branch)
    wait_for(lambda: not _owed(bot))
    row = bot.deployment(deployment)
    assert row["state"] == "success", row  # noqa: S101 - or else nothing was measured
    return row


def _push(branch: str, number: int) -> bytes:
    commits = [f"{branch.encode().hex()}{each:0{40 - 2 * len(branch)}x}" for each in (number, number + 1)]
    return push_document(
        repository="octo-org/shop",
        repository_id=fakehub.MOVED,
        ref=f"refs/heads/{branch}",
        before=commits[0],
        after=commits[1],
        pushed_at=1_700_000_000 + number,
    )


def _owed(bot: Bot) -> bool:
    return any(report["owed"] for row in bot.get("/deployments")["items"] for report in row["reports"])


def _delays(row: Json, calls: Sequence[Call]) -> list[float]:
    """Seconds from each change of state to the calls that tell of it: what was queued, begun, ended."""
    offset = time.time() - time.monotonic()
    moments = [datetime.fromisoformat(row[name]).timestamp() for name in ("created", "started", "finished")]
    delays = []
    for call in calls:
        came = call.at + offset
        if _tells_of_state(call):
            delays.append(came - max(moment for moment in moments if moment <= came + 0.001))
    return delays


def _tells_of_state(call: Call) -> bool:
    """Whether a call is made because of a change of state, and not because of a step."""
    body = call.body or {}
    if "/statuses/" in call.path and "/deployments/" not in call.path:
        return body.get("description") == "Queued" or body.get("state") != "pending"
    return "output" not in body or body.get("status") in ("queued", "completed")


def _silent(bot: Bot, hub: FakeHub) -> bool:
    """How many calls are made while GitHub wants none."""
    before = len(hub.calls)
    hub.fail(Fault(403, "You have exceeded a secondary rate limit", {"Retry-After": str(SILENCE)}))
    bot.deliver(_push("all", DEPLOYMENTS)).raise_for_status()
    refused = wait_for(lambda: next((call for call in hub.calls[before:] if call.status == 403), None))
    wait_for(lambda: hub.calls[-1] is not refused, SILENCE + 30)
    meanwhile = [call for call in hub.calls[before:] if refused.at < call.at < refused.at + SILENCE]
    print(f"calls while GitHub wants silence for {SILENCE} s: {len(meanwhile)}")
    bot.wait_idle("all")
    wait_for(lambda: not _owed(bot))
    return not meanwhile


if __name__ == "__main__":
    runs.end_when_told()
    sys.exit(main())
