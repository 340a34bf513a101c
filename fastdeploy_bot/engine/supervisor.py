"""The supervisor: follows one run from its folder into rows, until its end is known and written down."""

from __future__ import annotations

import logging
import math
import threading
import time
from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import Any, Final

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import deployments, progress
from fastdeploy_bot.core.deploying.deployments import Ending
from fastdeploy_bot.core.deploying.progress import Progress, StepEntry
from fastdeploy_bot.core.output import logs, masks
from fastdeploy_bot.core.output.logs import Mark
from fastdeploy_bot.errors import Conflict
from fastdeploy_bot.masking import Masker
from fastdeploy_bot.runner import folder as run_folder
from fastdeploy_bot.runner import output, process, tree
from fastdeploy_bot.runner.folder import RunFolder
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Deployment
from fastdeploy_bot.words import DeploymentState

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.1
READ: Final = 1024 * 1024
READS: Final = 16
"""How much is taken over at one look: a flood of output must not keep requests waiting."""
START_SECONDS: Final = 30
"""How long a child may take to take its lock."""


class Record(msgspec.Struct, frozen=True):
    """What a child wrote down at the end."""

    outcome: DeploymentState
    reason: str
    exit_status: int | None
    signal: int | None


class Supervisor:
    """Follows one run. Whoever holds the folder's supervisor lock may make one."""

    def __init__(self, deployment: Deployment, folder: RunFolder, settings: Settings) -> None:
        self.number = deployment.id
        self.folder = folder
        self.settings = settings
        self._since = time.monotonic()
        self._offset = logs.end(deployment.id)
        self._times: list[Mark] = []
        """Of the bytes from the offset on: the first mark may be of bytes before it."""
        self._times_read = 0
        self._steps_read = deployment.steps_read

    def follow(self, stopping: threading.Event) -> bool:
        """Look again and again, and as soon as the child ends, until the run has, True, or the engine stops, False."""
        while not self.tick(now=clock.now()):
            store.release()
            waited = process.await_end(self.folder, LOOK_SECONDS)
            if stopping.wait(0 if waited else LOOK_SECONDS):
                return False
        return True

    def tick(self, *, now: int) -> bool:
        """Look once; answers whether the run has ended and all of it is in rows."""
        row = deployments.find(self.number)
        if row.state != DeploymentState.RUNNING:
            return True  # concluded elsewhere; what its script left running is none of ours
        self._pass_requests_on(row)
        judgement = self.folder.judge()  # asked first: what is read below is then complete
        over = judgement in (run_folder.ENDED, run_folder.LOST)
        if not self._catch_up(math.inf if over else self._offset + self.settings.log_limit // 2):
            return False
        match judgement:
            case run_folder.ENDED:
                self._conclude(self._ending() or self._lost(), now)
            case run_folder.LOST:
                return self._end_lost(now)
            case run_folder.NOT_STARTED if time.monotonic() - self._since > START_SECONDS:
                return self._give_up(now)
            case run_folder.NOT_STARTED:
                process.stand_in(self.folder)
                return False
            case _:
                return False
        return True

    def _pass_requests_on(self, row: Deployment) -> None:
        if row.cancelled_by is not None:
            self._request("cancel", {"by": row.cancelled_by})
        if row.reported_state is not None:
            self._request("finish", {"state": row.reported_state, "message": row.reported_message})

    def _request(self, name: str, details: dict[str, object]) -> None:
        try:
            if self.folder.requested(name) is None:
                self.folder.request(name, details)
                process.nudge(self.folder)
        except OSError as error:
            facts = {"deployment": self.number, "request": name, "why": error.strerror}
            log.warning("request cannot be passed on; another try follows", extra=facts)

    def _catch_up(self, far: float = math.inf) -> bool:
        """Take over what has come, output up to that place or just behind it, and answer whether that was all.

        Of what a running script floods its log with, most is dropped before it ends, if not before the next look.
        """
        return not all(self._absorb() and self._offset < far for _ in range(READS))

    def _absorb(self) -> bool:
        """Take over what has come; answers whether there was anything."""
        offset, output = self.folder.read_log(self._offset, READ)
        entries, steps_read = self.folder.read_steps(self._steps_read)
        found = Progress(
            offset=offset,
            output=output,
            times=self._times_of(offset, offset + len(output)),
            steps=[step for entry in entries if (step := self._step(entry)) is not None],
            steps_read=steps_read,
        )
        progress.absorb(self.number, found, log_limit=self.settings.log_limit)
        more = bool(output) or steps_read > self._steps_read
        self._offset, self._steps_read = offset + len(output), steps_read
        return more

    def _times_of(self, offset: int, end: int) -> list[Mark]:
        """When the bytes between these offsets were written: noted before they were, so there by now."""
        if not self._times or self._times[-1][0] < end:
            marks, self._times_read = self.folder.read_times(self._times_read)
            for mark in marks:
                if not self._times or mark[0] > self._times[-1][0]:  # the child's are in order
                    self._times.append(mark)
        before = bisect_right(self._times, offset, key=_place)
        del self._times[: max(0, before - 1)]
        return self._times[: bisect_left(self._times, end, key=_place)]

    def _step(self, entry: dict[str, object]) -> StepEntry | None:
        """A step of the journal; None where a script, and not the child, wrote there."""
        try:
            return msgspec.convert(entry, StepEntry)
        except msgspec.ValidationError as error:
            log.warning("step passed over", extra={"deployment": self.number, "why": str(error)})
            return None

    def _ending(self) -> Ending | None:
        """What the exit record says; None where no child of ours wrote it."""
        try:
            record = msgspec.convert(self.folder.exit_record(), Record)
        except msgspec.ValidationError:
            return None
        return Ending(
            state=record.outcome,
            reason=record.reason,
            exit_status=record.exit_status,
            signal=record.signal,
        )

    def _end_lost(self, now: int) -> bool:
        """Take over the steps that were told and that the dead child did not come to; no more can be known."""
        ending = self._lost()
        output.take_rest(self.folder, self._masker())
        if not self._catch_up():
            return False
        self._conclude(ending, now)
        return True

    def _masker(self) -> Masker:
        return masks.of(self.settings, deployments.find(self.number))

    def _lost(self) -> Ending:
        """The child is gone without a word: end what is left of its script."""
        swept = process.end_tree(self.folder.name)
        rest = "" if swept else "; some of its processes could not be ended"
        reason = f"{_what_happened(self.folder)}, so its outcome cannot be known{rest}"
        return Ending(state=DeploymentState.LOST, reason=reason)

    def _give_up(self, now: int) -> bool:
        """No child came up: make sure that none does later."""
        if not self.folder.take_claim():
            return False
        why = f"the script could not be started: {_complaint(self.folder) or 'no process came up'}"
        progress.fail(self.number, why, self._masker(), now=now, log_limit=self.settings.log_limit)
        return True

    def _conclude(self, ending: Ending, now: int) -> None:
        try:
            progress.conclude(self.number, ending, now=now)
        except Conflict:
            log.warning("run concluded elsewhere", extra={"deployment": self.number})
            return
        facts: dict[str, Any] = {"deployment": self.number, "state": ending.state, "reason": ending.reason}
        log.info("deployment finished", extra=facts)


def _place(mark: Mark) -> int:
    return mark[0]


def _what_happened(folder: RunFolder) -> str:
    """Why nobody can say how a script ended."""
    if not Path(folder.path).is_dir():
        return "its run folder was taken away, or the bot restored from a backup"
    if (folder.claimed() or {}).get("boot", tree.boot()) != tree.boot():
        return "the host was started anew while it ran"
    return "the process that watched the script died"


def _complaint(folder: RunFolder) -> str:
    """The last line of what the child said before it died."""
    try:
        with open(folder.file("child.err"), encoding="utf-8", errors="replace") as complaints:
            return (complaints.read().strip().splitlines() or [""])[-1]
    except FileNotFoundError:
        return ""
