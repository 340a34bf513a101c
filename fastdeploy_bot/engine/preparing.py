"""Preparing: has the commits of queued deployments checked out, before these begin. One process of a host does."""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Final

from fastdeploy_bot import facts, store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import heads, reaching
from fastdeploy_bot.core.deploying import queue, titles
from fastdeploy_bot.core.files.servicefile import ServiceFile
from fastdeploy_bot.engine.duty import HostLock
from fastdeploy_bot.engine.signing import Signings
from fastdeploy_bot.errors import Unavailable
from fastdeploy_bot.forge.github import commits, policy
from fastdeploy_bot.forge.github.client import CallFailed
from fastdeploy_bot.runner import mirror, removal, submodules
from fastdeploy_bot.runner.checkout import Checkout, CheckoutFailed, Mirrors
from fastdeploy_bot.runner.complaints import Trouble
from fastdeploy_bot.runner.git import GitFailed, Guard, Signing
from fastdeploy_bot.runner.mirror import Refs, Wanted
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Deployment

log = logging.getLogger(__name__)

AT_ONCE: Final = 2
"""How many are prepared at the same time; unpacking is work for a processor."""
FIRST_RETRY: Final = 2.0
LONGEST_RETRY: Final = 60.0
"""Seconds between two tries."""
TRIES: Final = {Trouble.MISSING: 4, Trouble.BROKEN: 3}
"""How often something is tried that is told to be in vain: a server may be behind, a disk full of surprises."""
MOST_SUBMODULES: Final = 100
END_SECONDS: Final = 1.5
"""How long a fetch may take to end when the engine does; it is looked at ten times a second."""


class Unwanted(Exception):
    """The deployment moved on without its checkout."""


class _Work:
    """One deployment's checkout on its way."""

    def __init__(self, wanted: Wanted, within: Refs | None, *, submodules: bool, titled: bool) -> None:
        self.wanted = wanted
        self.within = within
        """The refs that have to lead to its commit, where nobody knows that one does."""
        self.submodules = submodules
        self.titled = titled
        """Whether it is known what its commit is called."""
        self.tree: Path | None = None
        self.thread: threading.Thread | None = None
        self.going_on = False
        """Whether a thread is at it; nobody else changes it then."""
        self.unwanted = threading.Event()
        self.tries = 0
        self.why = ""
        """Why the last try was in vain."""
        self.again = 0
        """The moment of the next one, in Unix milliseconds."""
        self.result: Checkout | None = None


class Preparing:
    """To be used from the dispatcher's thread; has threads of its own."""

    def __init__(
        self, settings: Settings, signings: Signings, ring: Callable[[], object], stopping: threading.Event
    ) -> None:
        """`ring` is called whenever there is something to look at."""
        self._signings = signings
        self._forge = settings.github_url
        self._trees = settings.checkouts_dir
        self._lock = HostLock(settings.home / "checkout.lock")
        """Its holder is the one process of this host that makes checkouts."""
        self._mirrors = Mirrors(settings.mirrors_dir, limit=settings.mirror_limit)
        self._ring = ring
        self._stopping = stopping
        self._works: dict[int, _Work] = {}

    @property
    def busy(self) -> bool:
        """Whether there is anything on its way, or made and not fetched yet."""
        return bool(self._works)

    def look(self, deployment: Deployment, file: ServiceFile, *, now: int) -> Checkout | None:
        """The deployment's checkout, or why it gets none; None while it is being made, and its reason tells that."""
        if not self._lock.take():
            return None
        work = self._works.get(deployment.id)
        if work is None or (work.result is not None and work.result.is_gone):
            wanted = Wanted(self._forge, deployment.repository, deployment.sha)
            within, titled = _within(deployment, file), bool(deployment.title)
            work = self._works[deployment.id] = _Work(wanted, within, submodules=file.submodules, titled=titled)
        if work.result is None and not work.going_on and now >= work.again:
            if sum(each.going_on for each in self._works.values()) < AT_ONCE:
                self._begin(deployment.id, work)
            elif work.tries == 0:
                work.why = "waits until other checkouts are done"
        if work.result is None:
            queue.explain(deployment, work.why)
        return work.result

    def keep(self, queued: Collection[int]) -> None:
        """Throw away what is made for any other deployment than these."""
        for number in self._works.keys() - set(queued):
            work = self._works[number]
            work.unwanted.set()
            if not work.going_on:
                del self._works[number]
                self._throw_away(work)

    def end(self) -> None:
        """Let another process do it. What goes on ends by `stopping`, and is waited for: no git is left then."""
        give_up = time.monotonic() + END_SECONDS
        for work in self._works.values():
            if work.thread is not None:
                work.thread.join(max(0.0, give_up - time.monotonic()))
        self._signings.close()
        self._lock.let_go()

    def _begin(self, number: int, work: _Work) -> None:
        """Try it in a thread; what the thread finds stands in the work once it is over."""
        work.tree = self._trees / f"{number}-{secrets.token_hex(4)}"
        work.why = work.why if work.tries else f"fetches {work.wanted.repository}"
        name, work.going_on = f"checkout {work.tree.name}", True
        work.thread = threading.Thread(target=self._try, args=(number, work, work.tree), name=name, daemon=True)
        try:
            work.thread.start()
        except RuntimeError:  # the host allows no more threads now; at another tick it may
            work.thread, work.going_on = None, False
            raise

    def _throw_away(self, work: _Work) -> None:
        """A large tree takes its time, and the dispatcher has none."""
        if work.tree is not None and work.tree.exists():
            threading.Thread(target=_remove, args=(work.tree,), name="checkout goes", daemon=True).start()

    # --- in a thread of its own

    def _try(self, number: int, work: _Work, tree: Path) -> None:
        with facts.about(deployment=number):
            try:
                self._check_out(work, tree)
                self._learn_title(number, work, tree)
                work.result = Checkout(tree=tree)
            except Unwanted:
                _remove(tree)
            except (CheckoutFailed, CallFailed) as failed:
                _remove(tree)
                _note(work, failed)
            except Exception:
                log.exception("checkout failed; it is tried again")
                _remove(tree)
                _note(work, CheckoutFailed(Trouble.LATER, "an error of the bot's own, which stands in its log"))
            finally:
                store.disconnect()
                work.going_on = False
                self._ring()

    def _check_out(self, work: _Work, tree: Path) -> None:
        stop = partial(self._stop, work)
        self._trees.mkdir(mode=0o700, exist_ok=True)
        self._sign_and_fetch(work.wanted, tree, stop, within=work.within)
        if work.submodules:
            self._fetch_submodules(work.wanted, tree, stop)

    def _learn_title(self, number: int, work: _Work, tree: Path) -> None:
        """Where it cannot be told or written down now, the commit goes by its sha: the tree is there all the same."""
        if work.titled:
            return
        with contextlib.suppress(GitFailed, Unavailable):
            title = commits.title(mirror.title(tree, work.wanted.sha, partial(self._stop, work)))
            store.write(lambda: titles.learn(number, title))

    def _fetch_submodules(self, wanted: Wanted, tree: Path, stop: Guard) -> None:
        """Also those of submodules, as far as that goes on."""
        found = submodules.of(tree, wanted, stop)
        for count, (place, inner) in enumerate(found, 1):
            if count > MOST_SUBMODULES:
                raise CheckoutFailed(Trouble.UNKNOWN, f"it has more than {MOST_SUBMODULES} submodules")
            try:
                self._sign_and_fetch(inner, place, stop)
            except CheckoutFailed as failed:
                name = place.relative_to(tree)
                raise CheckoutFailed(failed.trouble, f"submodule {name} ({inner.repository}): {failed}") from failed
            found += submodules.of(place, inner, stop)

    def _sign_and_fetch(self, wanted: Wanted, tree: Path, stop: Guard, *, within: Refs | None = None) -> None:
        signing, hint = self._signing(wanted.repository)
        try:
            self._fetch(wanted, within, tree, signing, stop)
        except CheckoutFailed as failed:
            if failed.trouble is Trouble.DENIED and signing is None:
                raise CheckoutFailed(Trouble.DENIED, f"{failed} ({hint})") from failed
            raise

    def _stop(self, work: _Work) -> None:
        if work.unwanted.is_set() or self._stopping.is_set():
            raise Unwanted

    def _signing(self, repository: str) -> tuple[Signing | None, str]:
        """What to sign in with; or None, and why not. A public repository can be fetched without."""
        try:
            signing = self._signings.signing(repository)
        except CallFailed as failed:
            if not failed.permanent:
                raise
            return None, str(failed)
        return signing, "without credentials for GitHub, public repositories alone can be fetched"

    def _fetch(self, wanted: Wanted, within: Refs | None, tree: Path, signing: Signing | None, stop: Guard) -> None:
        """Once more with a fresh token where one is refused, and by the new name where the repository has moved."""
        try:
            self._mirrors.check_out(wanted, tree, signing, stop, within=within)
        except CheckoutFailed as failed:
            again = None if signing is None else self._other_way(wanted, signing, failed)
            if again is None:
                raise
            removal.remove(str(tree))
            self._mirrors.check_out(again[0], tree, again[1], stop, within=within)

    def _other_way(self, wanted: Wanted, signing: Signing, failed: CheckoutFailed) -> tuple[Wanted, Signing] | None:
        if failed.trouble is Trouble.MOVED:
            name = self._signings.name(wanted.repository, signing)
            return Wanted(wanted.forge, name, wanted.sha), signing
        if failed.trouble is Trouble.DENIED and (fresh := self._signings.renewed(wanted.repository, signing)):
            return wanted, fresh
        return None


def of(settings: Settings, ring: Callable[[], object], stopping: threading.Event) -> Preparing:
    """What prepares the deployments of this process."""
    return Preparing(settings, Signings(settings), ring, stopping)


def _within(deployment: Deployment, file: ServiceFile) -> Refs | None:
    """The refs that have to lead to a commit that somebody named; None where the rows tell that it belongs."""
    if reaching.is_sure(deployment):
        return None
    return Refs(reaching.beginnings(file), lambda ref: heads.mapped(file, ref, None))


def _note(work: _Work, failed: CheckoutFailed | CallFailed) -> None:
    """Say what is to become of a work whose try was in vain."""
    work.tries += 1
    trouble, why = _trouble(failed), f"{work.wanted.repository} cannot be checked out: {failed}"
    if trouble is not Trouble.LATER and work.tries >= TRIES.get(trouble, 1):
        work.result = Checkout(problem=CheckoutFailed(trouble, why))
        return
    seconds = max(_asked_for(failed), min(FIRST_RETRY * 2.0 ** min(work.tries - 1, 10), LONGEST_RETRY))
    work.why, work.again = f"{why}; it is tried again", clock.now() + int(seconds * clock.SECOND)
    log.warning("checkout put off", extra={"why": why, "seconds": seconds})


def _trouble(failed: CheckoutFailed | CallFailed) -> Trouble:
    if isinstance(failed, CheckoutFailed):
        return failed.trouble
    return Trouble.DENIED if failed.permanent else Trouble.LATER


def _asked_for(failed: CheckoutFailed | CallFailed) -> float:
    """How many seconds GitHub wants to be left alone for."""
    if isinstance(failed, CheckoutFailed):
        return 0.0
    return policy.judge(failed.refusal, attempt=0, now=clock.now()).seconds


def _remove(tree: Path) -> None:
    try:
        removal.remove(str(tree))
    except OSError as error:
        log.warning("checkout is left to the janitor", extra={"tree": tree.name, "why": error.strerror})
