"""A witness: what GitHub and the readers of the feed were told of deployments, held against the deployments' rows."""

from __future__ import annotations

import json
import sqlite3
from typing import Final

from fastdeploy_bot.core.deploying import deployments
from fastdeploy_bot.core.telling import outbox
from fastdeploy_bot.store.models import Deployment, Report

LATE: Final = 1_000_000_000
"""Milliseconds after which all that is owed is due."""

Place = tuple[str, str, str]
"""Where a commit's status stands: repository, sha and context."""

NEWS: Final = "SELECT id, data FROM event WHERE type = 'deployment' AND id > ? ORDER BY id"


class Witness:
    """Follows the feed, and is GitHub for whoever tells it what is owed."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw
        self._seen = 0
        self._fed: dict[int, tuple[str, str]] = {}
        self._told: dict[Place, tuple[str, str]] = {}
        self.letters: list[tuple[Report, tuple[str, str]]] = []
        """What is on its way to GitHub: what was owed, and what there was to tell."""

    def feed_tells(self, rows: list[sqlite3.Row]) -> None:
        """State and event are one transaction: what the feed told last of each deployment is so."""
        for number, data in self._raw.execute(NEWS, [self._seen]).fetchall():
            told = json.loads(data)
            self._seen, self._fed[told["id"]] = number, (told["state"], told["reason"])
        assert {row["id"]: (row["state"], row["reason"]) for row in rows} == self._fed

    def write_letters(self, *, now: int) -> None:
        """Read what is owed, as the relay does before it speaks to GitHub."""
        self.letters = [(report, truth(outbox.subject(report))) for report in outbox.owed(now=now)]

    def send(self, number: int, *, now: int) -> None:
        """GitHub takes one of them, and hears what was so when it was written."""
        report, told = self.letters.pop(number % len(self.letters))
        self._told[report.repository, report.sha, report.context] = told
        outbox.note_told(report, told[0], "", now=now)

    def github_knows(self, *, now: int) -> None:
        """When all that is owed was told, GitHub knows the true state of every commit."""
        self.write_letters(now=now + LATE)
        while self.letters:
            self.send(0, now=now)
        owed = [row for row in Deployment.select() if "status" in json.loads(row.report)]
        for row in owed:
            report = outbox.of(row)
            assert report is not None, f"GitHub is never told of deployment {row.id}"
            told = self._told.get((report.repository, report.sha, report.context))
            assert truth(outbox.subject(report)) == told, f"GitHub believes {told} of deployment {row.id}"


def truth(row: Deployment) -> tuple[str, str]:
    """What is to be told of a deployment: its state, and that of the one it ships with."""
    last = outbox.successor(deployments.find(row.id))
    return row.state, "" if last is None else last.state
