"""The dispatcher: lets queued deployments begin, and sees to it that every run of this host is followed."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from fastdeploy_bot import facts, store
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import deployments, locking, progress, queue, services
from fastdeploy_bot.core.deploying.deployments import Ending
from fastdeploy_bot.core.deploying.queue import Claim
from fastdeploy_bot.core.files.catalogue import Catalogue, Entry
from fastdeploy_bot.core.files.servicefile import ServiceFile
from fastdeploy_bot.core.output import masks
from fastdeploy_bot.core.people import tokens
from fastdeploy_bot.core.pushes import resuming
from fastdeploy_bot.core.signals import checking
from fastdeploy_bot.engine import jobs, preparing
from fastdeploy_bot.engine.supervisor import Supervisor
from fastdeploy_bot.errors import FastdeployError
from fastdeploy_bot.runner import checkout, process
from fastdeploy_bot.runner import folder as run_folder
from fastdeploy_bot.runner.checkout import Checkout
from fastdeploy_bot.runner.folder import RunFolder
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Deployment
from fastdeploy_bot.words import DeploymentState

log = logging.getLogger(__name__)

SETTLE: Final = 3 * clock.SECOND
"""How long a service file must be gone to count as removed: editors and git take one away for a moment."""
HEAD_START: Final = 0.01
"""How many seconds after somebody follows a run it is looked at first."""
NEXT: Final = "next-"
"""How the name of a run folder begins that has no deployment yet."""


class Dispatcher:
    """One per process; `tick` is called at every ring of the bell, and once a second."""

    def __init__(self, settings: Settings, catalogue: Catalogue, bell: Bell, host: str) -> None:
        self.settings = settings
        self.catalogue = catalogue
        self.bell = bell
        self.host = host
        self.stopping = threading.Event()
        self.overtaken = False
        """Whether the last look made a deployment ready that was not to begin any more."""
        self._following: dict[str, threading.Thread] = {}
        self._next: RunFolder | None = None
        self._synced: Mapping[str, Entry] = {}
        self._missing_since: int | None = None
        self._preparing = preparing.of(settings, bell.ring, self.stopping)

    def tick(self, *, now: int) -> bool:
        """Look at the service files, at the runs of this host, at what was waited for long enough, and at the queue.

        Answers whether there is a run now that was not followed before. It has the processors for itself then: a child
        for the next one is made by the next look that finds none.
        """
        followed = set(self._following)
        sync, unlock = partial(self._sync, now), partial(locking.expire, now=now)
        resume, launch = partial(self._resume, now), partial(self._launch, now)
        give_up = partial(checking.expire, self.settings.wait_limit, now=now)
        waits = (unlock, resume, give_up)
        for part in (process.reap, self._adopt, sync, *waits, self._tidy_up, launch):
            _attempt(part)
        found = not self._following.keys() <= followed
        if not found:
            _attempt(process.keep_spare)
            _attempt(self._keep_folder)
        return found

    def end(self) -> None:
        """Let another engine of this host prepare what is queued."""
        self._preparing.end()
        if (left := self._prepared()) is not None:
            left.remove()

    def _keep_folder(self) -> None:
        """Have a folder ready for the next run: half of what a claim would else wait for the disk.

        The janitor takes it away when it is old. Where the disk has no room for one, a later look tries again.
        """
        if self._next is None or not Path(self._next.path).is_dir():
            folder = self._folder(f"{NEXT}{secrets.token_hex(4)}")
            with contextlib.suppress(OSError):
                folder.prepare()
                self._next = folder

    def _prepared(self) -> RunFolder | None:
        """The folder that is ready, if it still is; to be used once."""
        folder, self._next = self._next, None
        return folder if folder is not None and Path(folder.path).is_dir() else None

    def _sync(self, now: int) -> None:
        """Bring the services' rows in step with their files, when those have changed."""
        entries = self.catalogue.entries()
        if entries == self._synced:
            self._missing_since = None
            return
        if (self._synced.keys() or services.living()) - entries.keys():
            if self._missing_since is None or now < self._missing_since:  # a clock may be set back
                self._missing_since = now
            if now - self._missing_since < SETTLE:
                return
        found = services.sync(entries, now=now)
        self._synced, self._missing_since = entries, None
        for problem in found.refused.values():
            log.warning("service file refused", extra={"problem": problem})

    def _adopt(self) -> None:
        """Follow every run of this host that nobody follows: those of an engine that died, or was told to stop."""
        self._following = {run: thread for run, thread in self._following.items() if thread.is_alive()}
        for deployment in queue.running_on(self.host):
            if deployment.run is not None and deployment.run not in self._following:
                with facts.about(deployment=deployment.id):
                    _attempt(partial(self._take_up, deployment, self._folder(deployment.run)))

    def _take_up(self, deployment: Deployment, folder: RunFolder) -> None:
        """Go on with a run, unless another engine of this host does; one whose script never began begins again."""
        lock = folder.hold("supervisor.lock")
        if lock is None and Path(folder.path).is_dir():
            return
        try:
            if folder.judge() == run_folder.NOT_STARTED and folder.take_claim():
                self._begin_again(deployment, folder)
            else:
                self._follow(deployment.id, folder, lock)
                lock = None
        finally:
            _release(lock)

    def _resume(self, now: int) -> None:
        """Decide the pushes for which GitHub was waited long enough, also where nothing of it is asked any more."""
        while resuming.expire(self.catalogue.entries, now=now):
            pass

    def _launch(self, now: int) -> None:
        """Let the oldest deployments begin for which there is room, until one of them is overtaken."""
        self.overtaken = False
        if self._full():
            return
        waiting, names, entries = queue.next_up(), services.names(), self.catalogue.entries()
        for deployment in waiting:
            entry = entries.get(names[deployment.service_id])
            if self.stopping.is_set() or entry is None:
                continue
            with facts.about(deployment=deployment.id):
                _attempt(partial(self._try, deployment.id, entry, now))
            if self.overtaken or self._full():
                return  # not the next one either: to make it ready would be in vain, or a younger one overtake it

    def _full(self) -> bool:
        """Whether this host runs as much as it may."""
        return len(queue.running_on(self.host)) >= self.settings.max_running

    def _try(self, number: int, entry: Entry, now: int) -> None:
        deployment = deployments.find(number)
        if deployment.state != DeploymentState.QUEUED:
            return  # in a burst most are superseded since the look, and a folder for each would keep the others waiting
        if entry.file is None:
            queue.explain(deployment, f"waits for its service file to be mended: {entry.problem}")
        elif not entry.file.checkout:
            self._begin(deployment, entry.file, checkout.NONE, now)
        elif (made := self._preparing.look(deployment, entry.file, now=now)) is not None:
            self._begin(deployment, entry.file, made, now)

    def _tidy_up(self) -> None:
        """Throw away the checkouts of what is not to begin any more."""
        if self._preparing.busy:
            self._preparing.keep([deployment.id for deployment in queue.next_up()])

    def _begin(self, deployment: Deployment, file: ServiceFile, made: Checkout, now: int) -> None:
        """Let a queued deployment begin here, unless it moved on meanwhile."""

        def claim(run: str, token_hash: str) -> bool:
            wanted = Claim(
                host=self.host, run=run, definition=jobs.definition(file), token_hash=token_hash, steps=file.steps
            )
            return queue.claim(deployment, wanted, max_running=self.settings.max_running, now=now)

        self._run(deployment, file, claim, made)

    def _begin_again(self, deployment: Deployment, folder: RunFolder) -> None:
        """Give a run that never began, and now never will, a new folder; its deployment has been running all along."""
        if deployment.cancelled_by is not None:
            reason = f"cancelled by {deployment.cancelled_by} before it began"
            ending = Ending(state=DeploymentState.CANCELLED, reason=reason)
            progress.conclude(deployment.id, ending, now=clock.now())
        else:
            file, made = jobs.defined(deployment), checkout.found(folder)
            self._run(deployment, file, lambda run, token_hash: queue.begin_again(deployment, run, token_hash), made)
        folder.remove()

    def _run(
        self, deployment: Deployment, file: ServiceFile, claim: Callable[[str, str], bool], made: Checkout
    ) -> None:
        """Make a run folder, `claim` it for the deployment, start a child in it and follow that.

        The folder is on disk and held before the claim: no other engine takes it for one that was left behind. A child
        knows its job before the claim, too, and gets ready meanwhile.
        """
        folder = self._folder(f"{deployment.id}-{secrets.token_hex(4)}")
        token = tokens.for_deployment(deployment.id, folder.name, key=self.settings.keys[0])
        folder.create(deployment.id, self._prepared())
        lock, followed = folder.hold("supervisor.lock"), False
        try:
            made.move_into(folder)
            start = self._made_ready(deployment, file, folder, token, made)
            self.overtaken = not claim(folder.name, tokens.digest(token))
            if not self.overtaken and self._starts(deployment, start):
                self._follow(deployment.id, folder, lock)
                followed = True
        finally:
            if not followed:
                process.withdraw(folder)
                _release(lock)
                _discard(deployment.id, folder, made)

    def _made_ready(
        self, deployment: Deployment, file: ServiceFile, folder: RunFolder, token: str, made: Checkout
    ) -> Callable[[], None]:
        """Have a child know its job. Answers what has it begin, or raises why there is none that could."""
        try:
            made.require()
            services.of_deployment(deployment)
            job = jobs.job(self.settings, deployment, file, folder, token, os.environ)
            process.tell(job)
        except (FastdeployError, OSError, ValueError) as error:
            return partial(_raise, error)
        return partial(process.start, job)

    def _starts(self, deployment: Deployment, start: Callable[[], None]) -> bool:
        """Start the child of a deployment that runs now; where there can be none, that ends it."""
        try:
            start()
        except (FastdeployError, OSError, ValueError) as error:
            masker = masks.of(self.settings, deployments.find(deployment.id))
            log.warning("deployment cannot begin", extra={"why": masker.text(str(error))})
            progress.fail(deployment.id, str(error), masker, now=clock.now(), log_limit=self.settings.log_limit)
            return False
        log.info("deployment begun", extra={"service": deployment.service.name})
        return True

    def _follow(self, number: int, folder: RunFolder, lock: int | None) -> None:
        """Start a worker thread for a run; `lock` is its supervisor lock, which the thread lets go of at its end."""
        thread = threading.Thread(
            target=self._supervise, args=(number, folder, lock), name=f"run {folder.name}", daemon=True
        )
        thread.start()  # RuntimeError where the host allows no more threads now; at another tick it may
        self._following[folder.name] = thread

    def _supervise(self, number: int, folder: RunFolder, lock: int | None) -> None:
        """A worker thread: stays with one run, then rings, so that the next one can begin."""
        with facts.about(deployment=number):
            self._stay(number, folder, lock)

    def _stay(self, number: int, folder: RunFolder, lock: int | None) -> None:
        try:
            self.stopping.wait(HEAD_START)  # of what begins nothing is to be seen yet, and it needs the processors
            supervisor = Supervisor(deployments.find(number), folder, self.settings)
            if supervisor.follow(self.stopping):
                folder.remove()
        except Exception:
            log.exception("supervising failed; what is left to do is tried again")
            self.stopping.wait(1)
        finally:
            _release(lock)
            store.disconnect()
            self.bell.ring()

    def _folder(self, run: str) -> RunFolder:
        return RunFolder(str(self.settings.runs_dir / run))


def _raise(error: Exception) -> None:
    raise error


def _attempt(part: Callable[[], object]) -> None:
    """Do one part of a tick; what goes wrong in it is tried again at the next, and does not hold up the others."""
    try:
        part()
    except Exception:
        log.exception("a part of the dispatcher's work failed; it is tried again")


def _discard(number: int, folder: RunFolder, made: Checkout) -> None:
    """Take a run folder away, unless the deployment runs in it after all: a commit may be made and not heard of."""
    row = deployments.find(number)
    if row.state != DeploymentState.RUNNING or row.run != folder.name:
        made.take_back(folder)
        folder.remove()


def _release(lock: int | None) -> None:
    if lock is not None:
        with contextlib.suppress(OSError):
            os.close(lock)
