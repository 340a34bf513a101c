"""Mirrors: one bare repository for each that is deployed from, which holds the commits that were wanted so far.

A ref `refs/kept/<sha>` says that a commit is there with all that it needs: git writes it only after the rest. Objects
lie in packs alone, so that trees can share them by links.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from fastdeploy_bot.runner import git, removal
from fastdeploy_bot.runner.git import GitFailed, Guard, Signing

PACKS: Final = 30
"""More packs than these become one."""
KEPT: Final = 50
"""How many commits it is sure of after that; others are fetched again when they are wanted."""

_IN_MIRROR: Final = ("--git-dir=.",)
IN_TREE: Final = ("--git-dir=.git", "--work-tree=.")
_REFS: Final = "refs/kept/"
_ASKED: Final = "refs/asked/"
"""What a repository's refs name, for as long as that is looked at."""
_NO_LINKS: Final = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP})


class Wanted(msgspec.Struct, frozen=True):
    """A commit of a repository of a forge."""

    forge: str
    """The forge's address."""
    repository: str
    """`owner/name`."""
    sha: str

    @property
    def url(self) -> str:
        """Where it is fetched from."""
        return f"{self.forge}/{self.repository}.git"


class Refs(msgspec.Struct, frozen=True):
    """Some branches and tags of a repository."""

    beginnings: tuple[str, ...]
    """With what their names begin, without `refs/`; none: the default branch alone."""
    wants: Callable[[str], bool]
    """Tells of a ref that begins so, in full, whether it is one of them."""


class Mirror:
    """One repository's mirror, which may or may not be there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    # --- who may work with it

    @contextlib.contextmanager
    def held(self, stop: Guard) -> Iterator[int]:
        """Work with it alone, as soon as nobody else does; answers the lock."""
        while True:
            stop()
            with self.held_now() as lock:
                if lock is not None:
                    yield lock
                    return
            time.sleep(git.LOOK_SECONDS)

    @contextlib.contextmanager
    def held_now(self) -> Iterator[int | None]:
        """The same at once; None where somebody else does, be it a git whose bot was killed."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
            else:
                yield lock
        finally:
            os.close(lock)

    # --- what is known without git

    @property
    def used(self) -> float:
        """When it was used last, in Unix seconds; 0.0 where it never was whole."""
        try:
            return self._note.stat().st_mtime
        except OSError:
            return 0.0

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(_size(Path(folder, name)) for folder, _, names in os.walk(self.path) for name in names)

    @property
    def _note(self) -> Path:
        return self.path / "used"

    # --- what is done with it, by who holds the lock

    def remove(self) -> None:
        """Take it away."""
        removal.remove(str(self.path))

    def bring(self, wanted: Wanted, signing: Signing | None, guard: Guard, lock: int) -> None:
        """Have that commit, by the network only where it is not there."""
        self._prepare(guard, lock)
        self._note.touch()
        if not self._has(wanted.sha, guard, lock):
            self._fetch(wanted, signing, guard, lock)

    def is_led_to(self, wanted: Wanted, refs: Refs, signing: Signing | None, guard: Guard, lock: int) -> bool:
        """Whether one of these refs of the repository leads to a commit that is there. Asks by the network."""
        specs = [f"+refs/{each}*:{_ASKED}{each}*" for each in refs.beginnings] or [f"+HEAD:{_ASKED}HEAD"]
        try:
            self._fetch_refs(wanted, specs, signing, guard, lock)
            leading = ("for-each-ref", f"--contains={wanted.sha}", "--format=%(refname)", _ASKED)
            found = self._git([*leading], guard, lock).splitlines()
        finally:
            removal.remove(str(self.path / _ASKED))
        return any(not refs.beginnings or refs.wants(f"refs/{name.removeprefix(_ASKED)}") for name in found)

    def is_sound(self, guard: Guard, lock: int) -> bool:
        """Whether nothing is missing in it."""
        try:
            self._git(["fsck", "--connectivity-only", "--no-dangling"], guard, lock)
        except GitFailed:
            return False
        return True

    def share(self, tree: Path, wanted: Wanted, guard: Guard) -> None:
        """Make a repository at `tree` that has all objects by links to the packs, and no need of the mirror later."""
        tree.mkdir(mode=0o755)
        git.run(["init", "--quiet", "--template="], tree, guard=guard)
        git.run([*IN_TREE, "remote", "add", "--", "origin", wanted.url], tree, guard=guard)
        packs = tree / ".git" / "objects" / "pack"
        packs.mkdir(exist_ok=True)
        for pack in self.path.glob("objects/pack/pack-*"):
            _link(pack, packs / pack.name)

    def pack(self, guard: Guard, lock: int) -> None:
        """Make one pack of many, without what nobody has asked for in a long time."""
        if len(list(self.path.glob("objects/pack/*.pack"))) <= PACKS:
            return
        refs = self._git(["for-each-ref", "--sort=-committerdate", "--format=%(refname)", _REFS], guard, lock).split()
        for ref in refs[KEPT:]:
            self._git(["update-ref", "-d", "--", ref], guard, lock)
        self._git(["pack-refs", "--all"], guard, lock)
        self._git(["repack", "-a", "-d", "--quiet"], guard, lock)

    def _prepare(self, guard: Guard, lock: int) -> None:
        """Make it where it is not there, and take away what a git that was killed left."""
        for left in (*self.path.rglob("*.lock"), *self.path.glob("objects/**/tmp_*"), *self.path.glob(_ASKED)):
            removal.remove(str(left))
        if not self._note.exists():
            self.remove()
            arguments = ["init", "--quiet", "--bare", "--template=", "--", str(self.path)]
            git.run(arguments, self.path.parent, guard=guard, lock=lock)

    def _has(self, sha: str, guard: Guard, lock: int) -> bool:
        """Whether it is sure to have that commit and all that it needs."""
        found = self._git(["for-each-ref", "--format=%(objectname)", f"{_REFS}{sha}"], guard, lock)
        return found.strip() == sha

    def _fetch(self, wanted: Wanted, signing: Signing | None, guard: Guard, lock: int) -> None:
        """Fetch that commit and its history, nothing else; where the server does not give it by its name, all heads."""
        try:
            self._fetch_refs(wanted, [f"+{wanted.sha}:{_REFS}{wanted.sha}"], signing, guard, lock)
        except GitFailed as failed:
            if "unadvertised object" not in failed.said:
                raise
            self._fetch_refs(wanted, ["+refs/heads/*:refs/heads/*"], signing, guard, lock)
            self._git(["update-ref", "--", f"{_REFS}{wanted.sha}", wanted.sha], guard, lock)

    def _fetch_refs(
        self, wanted: Wanted, refspecs: Sequence[str], signing: Signing | None, guard: Guard, lock: int
    ) -> None:
        plain = ("--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--no-show-forced-updates")
        arguments = [*_IN_MIRROR, "fetch", "--quiet", *plain, "--", wanted.url, *refspecs]
        git.run(arguments, self.path, guard=guard, url=wanted.url, signing=signing, lock=lock)

    def _git(self, arguments: list[str], guard: Guard, lock: int) -> str:
        return git.run([*_IN_MIRROR, *arguments], self.path, guard=guard, lock=lock)


def fill(tree: Path, sha: str, guard: Guard) -> None:
    """Write the commit's files into a tree that shares a mirror's objects."""
    git.run([*IN_TREE, "checkout", "--quiet", "--force", "--detach", sha, "--"], tree, guard=guard)


def title(tree: Path, sha: str, guard: Guard) -> str:
    """The first line of a commit's message, by a tree that was made of it."""
    told = git.run([*IN_TREE, "log", "-1", "--no-show-signature", "--format=%s", sha, "--"], tree, guard=guard)
    return told.encode(errors="surrogateescape").decode(errors="replace")


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copyfile(source, target)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # git takes files away, too
        return 0
