"""Checkouts: a fresh tree of exactly one commit for each deployment, made from its repository's mirror.

Everything may be thrown away and made again at any time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from fastdeploy_bot.errors import FastdeployError
from fastdeploy_bot.runner import complaints, mirror, removal
from fastdeploy_bot.runner.complaints import Trouble
from fastdeploy_bot.runner.folder import RunFolder
from fastdeploy_bot.runner.git import GitFailed, Guard, Signing
from fastdeploy_bot.runner.mirror import Mirror, Refs, Wanted
from fastdeploy_bot.runner.tree import boot

log = logging.getLogger(__name__)

SHA: Final = re.compile(r"[0-9a-f]{40}")
REPOSITORY: Final = re.compile(r"[A-Za-z0-9_-]+/(?!\.{1,2}$)[A-Za-z0-9_.-]+")
LEAST_ROOM: Final = 256 << 20
"""Bytes of the disk that are left to everybody else."""
LEAST_FILES: Final = 10_000
LONGEST_SECONDS: Final = 3_600.0
"""How long one fetch, or one checkout, may take."""
MEASURE_SECONDS: Final = 0.5
_WHOLE: Final = ".git/fastdeploy"
"""Holds the name of the boot in which the tree was finished."""


class CheckoutFailed(FastdeployError):
    """The commit could not be checked out."""

    def __init__(self, trouble: Trouble, why: str) -> None:
        super().__init__(why)
        self.trouble = trouble


class _TooLarge(CheckoutFailed):
    """A mirror would take more than all of them may."""


class Checkout(msgspec.Struct, frozen=True):
    """What a run is to begin with: a tree on its way into the run's folder, or why there is none."""

    tree: Path | None = None
    problem: CheckoutFailed | None = None

    @property
    def is_gone(self) -> bool:
        """Whether somebody took the tree away."""
        return self.tree is not None and not self.tree.is_dir()

    def require(self) -> None:
        """Raise the problem, where there is one."""
        if self.problem is not None:
            raise self.problem

    def move_into(self, folder: RunFolder) -> None:
        """Let the run have the tree."""
        if self.tree is not None:
            os.rename(self.tree, place(folder))

    def take_back(self, folder: RunFolder) -> None:
        """Have the tree where it was, where the run has it and does not begin."""
        if self.tree is not None and self.is_gone:
            with contextlib.suppress(FileNotFoundError):
                os.rename(place(folder), self.tree)


NONE: Final = Checkout()
"""For a run that wants none."""


def place(folder: RunFolder) -> str:
    """Where a run has its tree."""
    return folder.file("checkout")


def found(folder: RunFolder) -> Checkout:
    """What a run that never began was to begin with.

    Nothing of a tree is waited for to be on the disk: after a start of the host it may be torn, and nobody knows.
    """
    tree = Path(place(folder))
    try:
        whole = (tree / _WHOLE).read_text() == boot()
    except OSError:
        whole = False
    if tree.exists() and not whole:
        return Checkout(problem=CheckoutFailed(Trouble.LATER, "the host was started anew after its checkout was made"))
    return Checkout(tree=tree) if whole else NONE


class Mirrors:
    """The mirrors of a host. All its processes may use them at once."""

    def __init__(self, folder: Path, *, limit: int, longest: float = LONGEST_SECONDS) -> None:
        """`limit` is how many bytes all of them may have together."""
        self._folder = folder
        self._limit = limit
        self._longest = longest

    def check_out(
        self, wanted: Wanted, tree: Path, signing: Signing | None, stop: Guard, *, within: Refs | None = None
    ) -> None:
        """Make `tree`, which must not exist, hold exactly that commit, with a `.git` of its own.

        Where `within` is given, one of those refs has to lead to the commit. `stop` raises when nobody wants it any
        more. Raises CheckoutFailed; then `tree` may hold anything.
        """
        _check(wanted)
        source = Mirror(self._folder / f"{wanted.repository.lower().replace('/', '+')}.git")
        try:
            if within is not None:
                self._require(source, wanted, within, signing, stop)
            self._make(source, wanted, tree, signing, stop)
            (tree / _WHOLE).write_text(boot())
        except GitFailed as failed:
            trouble = complaints.meaning(failed.said)
            why = f"it has no commit {wanted.sha}" if trouble is Trouble.MISSING else str(failed)
            raise CheckoutFailed(trouble, why) from failed
        except FileNotFoundError as error:
            raise _not_found(error) from error
        except OSError as error:
            raise CheckoutFailed(Trouble.LATER, f"{error.filename or 'the disk'}: {error.strerror}") from error

    def prune(self, *, before: float, stop: Guard) -> None:
        """Remove the mirrors that were used last before that Unix time, and those beyond the limit; pack the others."""
        for each in self._all():
            if each.used < before:
                _drop(each)
        self._make_room()
        for each in self._all():
            with contextlib.suppress(GitFailed, CheckoutFailed), each.held_now() as lock:
                if lock is not None:
                    each.pack(self._guard(stop), lock)

    def _require(self, source: Mirror, wanted: Wanted, within: Refs, signing: Signing | None, stop: Guard) -> None:
        """Raise CheckoutFailed where none of these refs leads to the commit: forges give out those of forks, too."""
        with self._holding(source, wanted, signing, stop) as lock:
            if not source.is_led_to(wanted, within, signing, self._guard(stop, source), lock):
                why = f"{wanted.sha[:7]} is part of no branch or tag that the service deploys: push it to one first"
                raise CheckoutFailed(Trouble.UNKNOWN, why)

    def _make(self, source: Mirror, wanted: Wanted, tree: Path, signing: Signing | None, stop: Guard) -> None:
        """Make the tree; where the mirror has not what it was sure of, once more from a new one."""
        self._share(source, wanted, tree, signing, stop)
        try:
            mirror.fill(tree, wanted.sha, self._guard(stop))
        except GitFailed as failed:
            if complaints.meaning(failed.said) is Trouble.LATER:
                raise
            removal.remove(str(tree))
            with source.held(stop):
                _give_up(source, failed)
            self._share(source, wanted, tree, signing, stop)
            mirror.fill(tree, wanted.sha, self._guard(stop))

    def _share(self, source: Mirror, wanted: Wanted, tree: Path, signing: Signing | None, stop: Guard) -> None:
        with self._holding(source, wanted, signing, stop):
            source.share(tree, wanted, self._guard(stop))
        self._make_room(but=source)

    @contextlib.contextmanager
    def _holding(self, source: Mirror, wanted: Wanted, signing: Signing | None, stop: Guard) -> Iterator[int]:
        """Work alone with a mirror that has the commit; what becomes too large goes away."""
        with source.held(stop) as lock:
            try:
                self._bring(source, wanted, signing, stop, lock)
                yield lock
            except _TooLarge:
                source.remove()
                raise

    def _bring(self, source: Mirror, wanted: Wanted, signing: Signing | None, stop: Guard, lock: int) -> None:
        """Have the commit in the mirror; one that cannot be used is made anew."""
        guard = self._guard(stop, source)
        try:
            source.bring(wanted, signing, guard, lock)
        except GitFailed as failed:
            trouble = complaints.meaning(failed.said)
            if trouble is not Trouble.BROKEN and (trouble is not Trouble.UNKNOWN or source.is_sound(guard, lock)):
                raise
            _give_up(source, failed)
            source.bring(wanted, signing, guard, lock)
        self._check_size(source)

    def _check_size(self, source: Mirror) -> None:
        if source.size > self._limit:
            raise _TooLarge(Trouble.UNKNOWN, f"it takes more than the {self._limit} bytes of mirror_limit")

    def _guard(self, stop: Guard, source: Mirror | None = None) -> Guard:
        """Ends a git that nobody wants any more, that takes too long, or that fills the disk."""
        give_up = time.monotonic() + self._longest
        next_look = 0.0

        def guard() -> None:
            nonlocal next_look
            stop()
            moment = time.monotonic()
            if moment > give_up:
                raise CheckoutFailed(Trouble.LATER, f"git took longer than {self._longest:g} seconds")
            if moment >= next_look:
                next_look = moment + MEASURE_SECONDS
                _check_room(self._folder)
                if source is not None:
                    self._check_size(source)

        return guard

    def _make_room(self, *, but: Mirror | None = None) -> None:
        """Remove mirrors until the limit is kept, those first that were not used for longest."""
        sizes = {each: each.size for each in sorted(self._all(), key=lambda each: each.used)}
        taken = sum(sizes.values())
        for each, size in sizes.items():
            if taken > self._limit and (but is None or each.path != but.path) and _drop(each):
                taken -= size

    def _all(self) -> list[Mirror]:
        return [Mirror(path) for path in self._folder.glob("*.git")]


def _drop(unwanted: Mirror) -> bool:
    """Remove a mirror, unless somebody works with it."""
    with unwanted.held_now() as lock:
        if lock is not None:
            unwanted.remove()
    return lock is not None


def _give_up(broken: Mirror, failed: GitFailed) -> None:
    log.warning("mirror is broken and made anew", extra={"mirror": broken.path.name, "why": str(failed)})
    broken.remove()


def _check(wanted: Wanted) -> None:
    """Nothing but what can only be a commit and a repository ever gets near git or a path."""
    if not SHA.fullmatch(wanted.sha):
        raise CheckoutFailed(Trouble.UNKNOWN, f"expected a commit of 40 hex digits, got {wanted.sha[:60]!r}")
    if not REPOSITORY.fullmatch(wanted.repository):
        raise CheckoutFailed(Trouble.UNKNOWN, f"expected owner/name, got {wanted.repository[:60]!r}")


def _check_room(folder: Path) -> None:
    found = os.statvfs(folder)
    if found.f_bavail * found.f_frsize < LEAST_ROOM or (found.f_files and found.f_favail < LEAST_FILES):
        raise CheckoutFailed(Trouble.LATER, f"there is too little room on the disk of {folder}")


def _not_found(error: FileNotFoundError) -> CheckoutFailed:
    if error.filename == "git":
        return CheckoutFailed(Trouble.UNKNOWN, "there is no git on this host: apt install git")
    return CheckoutFailed(Trouble.LATER, f"{error.filename}: {error.strerror}")
