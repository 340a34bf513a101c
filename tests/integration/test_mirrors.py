"""Checkouts: exactly one commit in a fresh tree, from a mirror that may be broken, slow, huge or hostile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from fastdeploy_bot.runner import checkout, git, mirror, removal
from fastdeploy_bot.runner.checkout import CheckoutFailed, Mirrors
from fastdeploy_bot.runner.complaints import Trouble
from fastdeploy_bot.runner.git import Signing
from fastdeploy_bot.runner.mirror import Mirror, Wanted
from githttp import GitHost, Repository, serving
from githttp import git as run_git
from runs import eventually

TOKEN: Final = "ghs_" + "s3cretT0ken" * 3
GIB: Final = 1 << 30


class Stopped(Exception):
    """Nobody wants it any more."""


def never() -> None:
    """Nobody ever stops it."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GitHost]:
    """A forge."""
    with serving(tmp_path / "forge") as made:
        yield made


@pytest.fixture
def shop(host: GitHost) -> Repository:
    """A repository with one commit."""
    made = host.repository("octo-org/shop")
    made.commit({"deploy.sh": "#!/bin/sh\necho one\n", "src/app.py": "print(1)\n"})
    return made


class Bench:
    """Mirrors, and trees made from them."""

    def __init__(self, folder: Path, host: GitHost) -> None:
        self.folder = folder / "mirrors"
        self.host = host
        self.trees = folder / "trees"
        self.mirrors = Mirrors(self.folder, limit=GIB)

    def check_out(
        self, sha: str, *, repository: str = "octo-org/shop", token: str | None = None, stop: git.Guard = never
    ) -> Path:
        """A tree of that commit."""
        self.trees.mkdir(exist_ok=True)
        tree = self.trees / f"{len(os.listdir(self.trees))}"
        signing = None if token is None else Signing(self.host.url, token)
        self.mirrors.check_out(Wanted(self.host.url, repository, sha), tree, signing, stop)
        return tree

    def trouble(self, sha: str, *, repository: str = "octo-org/shop", token: str | None = None) -> Trouble:
        """What keeps a checkout from being made."""
        with pytest.raises(CheckoutFailed) as failed:
            self.check_out(sha, repository=repository, token=token)
        return failed.value.trouble

    @property
    def shop(self) -> Mirror:
        """The mirror of the shop."""
        return Mirror(self.folder / "octo-org+shop.git")


@pytest.fixture
def bench(tmp_path: Path, host: GitHost) -> Bench:
    """Where checkouts are made."""
    return Bench(tmp_path, host)


def content(tree: Path) -> dict[str, str]:
    """What a tree holds beside its `.git`."""
    return {
        str(path.relative_to(tree)): path.read_text()
        for path in tree.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(tree).parts
    }


def test_a_tree_holds_the_commit_and_nothing_else(bench: Bench, shop: Repository) -> None:
    """With its modes, and a git that can be asked."""
    tree = bench.check_out(shop.head)

    assert {"deploy.sh": "#!/bin/sh\necho one\n", "src/app.py": "print(1)\n"} == content(tree)
    assert os.access(tree / "deploy.sh", os.X_OK)
    assert shop.head == run_git(tree, "rev-parse", "HEAD")
    assert shop.head.startswith(run_git(tree, "describe", "--always"))
    assert "" == run_git(tree, "status", "--porcelain")
    assert f"{bench.host.url}/octo-org/shop.git" == run_git(tree, "remote", "get-url", "origin")


def test_it_is_the_exact_commit_though_the_branch_has_moved_on(bench: Bench, shop: Repository) -> None:
    """Even where a forced push left the commit without any branch."""
    first = shop.head
    shop.git("commit", "--quiet", "--amend", "--message", "Forced")
    forced = shop.commit({"src/app.py": "print(2)\n"})

    assert "print(1)\n" == content(bench.check_out(first))["src/app.py"]
    assert "print(2)\n" == content(bench.check_out(forced))["src/app.py"]


def test_what_was_fetched_once_needs_no_network(bench: Bench, shop: Repository) -> None:
    """A rollback works while GitHub is down."""
    bench.check_out(shop.head)
    bench.host.fail_with = 503

    assert "print(1)\n" == content(bench.check_out(shop.head))["src/app.py"]


def test_only_what_is_new_is_fetched(bench: Bench, shop: Repository) -> None:
    """The mirror grows by the new objects alone."""
    big = shop.commit({"big": os.urandom(1 << 20)})
    bench.check_out(big)
    before = bench.shop.size

    bench.check_out(shop.commit({"small": "a"}))

    assert bench.shop.size - before < 100_000


def test_neither_tags_nor_other_branches_are_fetched(bench: Bench, shop: Repository) -> None:
    """Whatever their names are made of."""
    wanted = shop.head
    shop.git("tag", "v1")
    shop.git("push", "--quiet", "origin", "v1")
    shop.commit({"other": "x"}, push="other")

    tree = bench.check_out(wanted)

    assert "" == run_git(tree, "for-each-ref")
    assert [wanted] == run_git(bench.shop.path, "for-each-ref", "--format=%(objectname)").split()


def test_hostile_names_of_refs_do_nothing(bench: Bench, shop: Repository, tmp_path: Path) -> None:
    """Git allows them; nobody hands them to anything."""
    trap = tmp_path / "trap"
    for name in (f"$(touch${{IFS}}{trap})", f";touch${{IFS}}{trap};", "--upload-pack=false", "`id`", "<b>'\""):
        shop.git("push", "--quiet", "origin", f"HEAD:refs/heads/{name}")

    bench.check_out(shop.head)

    assert not trap.exists()


def test_a_repository_that_gives_no_commit_by_name_gives_its_heads(
    bench: Bench, shop: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As older servers do."""
    first = shop.head
    shop.commit({"src/app.py": "print(2)\n"})
    monkeypatch.setitem(git._CONFIG, "protocol.version", "0")

    assert "print(1)\n" == content(bench.check_out(first))["src/app.py"]


# --- signing in


def test_the_token_goes_by_a_header_and_stays_nowhere(
    bench: Bench, shop: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither arguments nor addresses, nor any file of mirror and tree hold it."""
    bench.host.tokens = {TOKEN}
    started: list[list[str]] = []
    popen = subprocess.Popen

    def note(arguments: list[str], **more: object) -> object:
        started.append(arguments)
        return popen(arguments, **more)  # type: ignore[call-overload]  # whatever it is given

    monkeypatch.setattr("fastdeploy_bot.runner.git.subprocess.Popen", note)

    tree = bench.check_out(shop.head, token=TOKEN)

    monkeypatch.undo()
    header = Signing("", TOKEN).header.rpartition(" ")[2]
    assert {f"Basic {header}"} == set(bench.host.authorizations)
    for secret in (TOKEN, header):
        assert not [arguments for arguments in started if any(secret in word for word in arguments)]
        assert not [path for path in bench.host.requests if secret in path]
        for folder in (bench.folder, tree):
            found = subprocess.run(["grep", "-r", "-l", secret, str(folder)], capture_output=True, check=False)
            assert b"" == found.stdout


def test_a_refused_token_is_said_and_not_shown(bench: Bench, shop: Repository) -> None:
    """Git is asked for no other one, and no terminal either."""
    bench.host.tokens = {TOKEN}

    with pytest.raises(CheckoutFailed) as failed:
        bench.check_out(shop.head, token="wrong-" + TOKEN)

    assert Trouble.DENIED is failed.value.trouble
    assert TOKEN not in str(failed.value)
    assert Trouble.DENIED is bench.trouble(shop.head)


def test_a_token_is_never_shown_to_whom_a_redirect_leads(bench: Bench, shop: Repository, tmp_path: Path) -> None:
    """It is told that the repository has moved."""
    with serving(tmp_path / "other") as other:
        bench.host.moved = {"octo-org/shop": "octo-org/store"}

        assert Trouble.MOVED is bench.trouble(shop.head, token=TOKEN)
        assert [] == other.authorizations


def test_a_redirect_is_followed_where_no_token_is_shown(bench: Bench, host: GitHost, shop: Repository) -> None:
    """A public repository that was renamed."""
    host.moved = {"octo-org/old": "octo-org/shop"}

    tree = bench.check_out(shop.head, repository="octo-org/old")

    assert shop.head == run_git(tree, "rev-parse", "HEAD")


def test_nothing_of_the_users_configuration_counts(
    bench: Bench, shop: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No hooks of templates, no filters, no helpers, no rewriting."""
    trap, home = tmp_path / "trap", tmp_path / "user"
    hooks = home / "template" / "hooks"
    hooks.mkdir(parents=True)
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {trap}\n")
    (hooks / "post-checkout").chmod(0o755)
    (home / ".gitconfig").write_text(
        f"[init]\n\ttemplateDir = {home}/template\n"
        f'[filter "trap"]\n\tsmudge = touch {trap}; cat\n\trequired = true\n'
        f"[core]\n\tfsmonitor = touch {trap}\n\thooksPath = {hooks}\n"
        f'[url "file:///nowhere/"]\n\tinsteadOf = {bench.host.url}\n'
    )
    for name, value in {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "GIT_TEMPLATE_DIR": str(home / "template"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", f"'core.hookspath={hooks}'")
    sha = shop.commit({".gitattributes": "* filter=trap\n", "file": "x\n"})

    tree = bench.check_out(sha)

    assert "x\n" == (tree / "file").read_text()
    assert not trap.exists()
    assert not (tree / ".git" / "hooks").exists()


# --- what a commit may hold


def test_pointers_of_lfs_stay_pointers(bench: Bench, shop: Repository) -> None:
    """Nothing is fetched for them."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"
    sha = shop.commit({".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n", "data.bin": pointer})

    assert pointer == (bench.check_out(sha) / "data.bin").read_text()


def test_a_submodule_is_an_empty_folder(bench: Bench, host: GitHost, shop: Repository) -> None:
    """Nobody is asked for it."""
    other = host.repository("octo-org/lib")
    commit = other.commit({"lib.py": "x"})
    shop.add_submodule("lib", f"{host.url}/octo-org/lib.git", commit)
    shop.commit()

    tree = bench.check_out(shop.head)

    assert [] == os.listdir(tree / "lib")
    assert not [path for path in host.requests if "lib" in path]


def test_a_link_out_of_the_tree_is_a_link(bench: Bench, shop: Repository, tmp_path: Path) -> None:
    """Nothing is written through it, and what it names survives the tree."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").write_text("kept")
    (shop.clone / "out").symlink_to(outside)
    first = shop.commit()
    (shop.clone / "out").unlink()
    second = shop.commit({"out/keep": "overwritten"})

    tree = bench.check_out(first)

    assert outside == (tree / "out").readlink()
    removal.remove(str(tree))
    removal.remove(str(bench.check_out(second)))
    assert "kept" == (outside / "keep").read_text()


def test_a_commit_cannot_write_into_git_itself(bench: Bench, shop: Repository) -> None:
    """A tree that names `.git` is refused, with the same words each time."""
    blob = shop.git("hash-object", "-w", "--stdin", stdin=b"#!/bin/sh\n")
    hooks = shop.git("mktree", stdin=f"100755 blob {blob}\tpost-checkout\n".encode())
    inner = shop.git("mktree", stdin=f"040000 tree {hooks}\thooks\n".encode())
    top = shop.git("mktree", stdin=f"040000 tree {inner}\t.git\n".encode())
    sha = shop.git("commit-tree", "-m", "Hostile", top)
    shop.git("push", "--quiet", "origin", f"{sha}:refs/heads/hostile")

    with pytest.raises(CheckoutFailed, match="invalid path"):
        bench.check_out(sha)


def test_deep_and_read_only_trees_go(bench: Bench, shop: Repository) -> None:
    """Deeper than a path may be long."""
    tree = bench.check_out(shop.head)
    here = os.open(tree, os.O_RDONLY)
    for _ in range(1_500):
        os.mkdir("deep", dir_fd=here)
        inner = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    (tree / "src").chmod(0o500)

    removal.remove(str(tree))

    assert not tree.exists()


@pytest.mark.parametrize("sha", ["--upload-pack=x", "HEAD", "1" * 39, "1" * 40 + "\n", "1" * 41, "A" * 40])
def test_what_is_no_commit_gets_nowhere_near_git(bench: Bench, shop: Repository, sha: str) -> None:
    """Before any process is started."""
    assert shop.head
    assert Trouble.UNKNOWN is bench.trouble(sha)
    assert [] == bench.host.requests


@pytest.mark.parametrize("name", ["../x", "octo-org/..", "octo-org/shop/x", "-o/x y", "x", "octo-org/a b", "a/b\n"])
def test_what_is_no_repository_gets_nowhere_near_git(bench: Bench, name: str) -> None:
    """And never becomes a path."""
    assert Trouble.UNKNOWN is bench.trouble("1" * 40, repository=name)
    assert not bench.folder.exists()


# --- what goes wrong


def test_a_commit_that_is_not_there_is_missing(bench: Bench, shop: Repository) -> None:
    """The mirror stays good for others."""
    assert Trouble.MISSING is bench.trouble("1" * 40)
    bench.check_out(shop.head)


@pytest.mark.parametrize(
    ("status", "trouble"),
    [(500, Trouble.LATER), (503, Trouble.LATER), (429, Trouble.LATER), (403, Trouble.DENIED), (404, Trouble.DENIED)],
)
def test_what_a_server_answers_says_whether_to_try_again(
    bench: Bench, shop: Repository, status: int, trouble: Trouble
) -> None:
    """By the status."""
    bench.host.fail_with = status

    assert trouble is bench.trouble(shop.head)


def test_a_server_that_is_away_is_tried_again_later(bench: Bench, shop: Repository) -> None:
    """Nobody listens there."""
    head = shop.head
    bench.host.close()

    assert Trouble.LATER is bench.trouble(head)


def test_a_host_without_git_says_so(bench: Bench, shop: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what to do about it."""
    head = shop.head
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(CheckoutFailed, match="apt install git"):
        bench.check_out(head)


def without_head(path: Path) -> None:
    """No repository any more."""
    (path / "HEAD").unlink()


def with_bad_packs(path: Path) -> None:
    """As after a disk's error."""
    for pack in path.glob("objects/pack/*.pack"):
        data = pack.read_bytes()
        pack.unlink()
        pack.write_bytes(data[:40] + bytes(len(data) - 40))


def without_packs(path: Path) -> None:
    """Sure of commits that are not there."""
    for pack in path.glob("objects/pack/*.pack"):
        pack.unlink()


def with_bad_configuration(path: Path) -> None:
    """Git does not even begin."""
    (path / "config").write_text("[nonsense")


def with_empty_refs(path: Path) -> None:
    """As after a power cut."""
    for ref in path.glob("refs/kept/*"):
        ref.write_text("")


def a_file(path: Path) -> None:
    """Not even a folder."""
    removal.remove(str(path))
    path.write_text("")


def emptied(path: Path) -> None:
    """Half taken away."""
    for entry in path.iterdir():
        if entry.name != "used":
            removal.remove(str(entry))


@pytest.mark.parametrize(
    "damage",
    [without_head, with_bad_packs, without_packs, with_bad_configuration, with_empty_refs, a_file, emptied],
)
def test_a_broken_mirror_is_made_anew(bench: Bench, shop: Repository, damage: Callable[[Path], None]) -> None:
    """Whatever is broken of it, and whether or not the next commit is in it."""
    bench.check_out(shop.head)
    shop.commit({"src/app.py": "print(2)\n"})
    bench.check_out(shop.head)

    damage(bench.shop.path)
    assert "print(2)\n" == content(bench.check_out(shop.head))["src/app.py"]

    damage(bench.shop.path)
    new = shop.commit({"src/app.py": "print(3)\n"})
    assert "print(3)\n" == content(bench.check_out(new))["src/app.py"]


def test_what_a_killed_git_left_is_taken_away(bench: Bench, shop: Repository) -> None:
    """Its locks would stop every other one, and its half packs fill the disk."""
    bench.check_out(shop.head)
    path = bench.shop.path
    new = shop.commit({"a": "b"})
    left = [path / "packed-refs.lock", path / "refs" / "kept" / f"{new}.lock", path / "objects" / "pack" / "tmp_pack_x"]
    for each in left:
        each.write_text("x")

    bench.check_out(new)

    assert not [each for each in left if each.exists()]


def test_a_tree_needs_no_mirror(bench: Bench, shop: Repository) -> None:
    """It may go, or be made anew, while a script works in its tree."""
    shop.commit({"b": "c"})
    tree = bench.check_out(shop.head)

    bench.shop.remove()

    assert "" == run_git(tree, "fsck", "--full", "--no-progress")
    assert "2" == run_git(tree, "rev-list", "--count", "HEAD")


# --- stopping


def test_a_fetch_that_nobody_wants_any_more_ends_at_once(bench: Bench, shop: Repository) -> None:
    """With all its helpers, and the mirror is free."""
    bench.host.open.clear()
    head = shop.head
    unwanted = threading.Event()

    def stop() -> None:
        if unwanted.is_set():
            raise Stopped

    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(bench.check_out, head, stop=stop)
        bench.host.waiting.acquire()
        unwanted.set()
        assert isinstance(work.exception(10), Stopped)

    bench.host.open.set()
    bench.check_out(head)


def test_a_fetch_that_takes_too_long_is_tried_later(bench: Bench, shop: Repository) -> None:
    """A server may answer and then send nothing."""
    bench.host.open.clear()
    bench.mirrors = Mirrors(bench.folder, limit=GIB, longest=0.5)

    assert Trouble.LATER is bench.trouble(shop.head)


ALONE: Final = """
import sys
from pathlib import Path
from fastdeploy_bot.runner.checkout import Mirrors
from fastdeploy_bot.runner.mirror import Wanted
folder, forge, sha = sys.argv[1:]
Mirrors(Path(folder) / "mirrors", limit=1 << 30).check_out(
    Wanted(forge, "octo-org/shop", sha), Path(folder) / "alone", None, lambda: None
)
"""


def test_one_git_works_in_a_mirror_even_where_its_bot_was_killed(bench: Bench, shop: Repository) -> None:
    """What it fetches meanwhile is good for the next one."""
    bench.host.open.clear()
    head = shop.head
    arguments = [sys.executable, "-c", ALONE, str(bench.folder.parent), bench.host.url, head]
    killed = subprocess.Popen(arguments, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])})
    bench.host.waiting.acquire()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    with bench.shop.held_now() as lock:
        assert lock is None

    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(bench.check_out, head)
        bench.host.open.set()
        tree = work.result(30)

    assert head == run_git(tree, "rev-parse", "HEAD")
    assert 1 == bench.host.fetches()


def test_two_of_one_repository_wait_for_each_other(bench: Bench, shop: Repository) -> None:
    """And fetch once."""
    head = shop.head
    bench.trees.mkdir()
    trees = [bench.trees / name for name in "ab"]

    with ThreadPoolExecutor(2) as pool:
        list(
            pool.map(
                lambda tree: bench.mirrors.check_out(Wanted(bench.host.url, "octo-org/shop", head), tree, None, never),
                trees,
            )
        )

    assert content(trees[0]) == content(trees[1])


# --- room


def test_a_repository_larger_than_the_limit_is_refused_and_leaves_nothing(bench: Bench, shop: Repository) -> None:
    """A mirror alone must not fill the disk."""
    bench.mirrors = Mirrors(bench.folder, limit=100_000)
    sha = shop.commit({"big": os.urandom(3 << 20)})

    with pytest.raises(CheckoutFailed, match="mirror_limit"):
        bench.check_out(sha)

    assert 0 == bench.shop.size


def test_mirrors_go_that_were_not_used_for_longest(bench: Bench, host: GitHost, shop: Repository) -> None:
    """Until all of them keep the limit."""
    other = host.repository("octo-org/other")
    big = [each.commit({"big": os.urandom(200_000)}) for each in (shop, other)]
    bench.mirrors = Mirrors(bench.folder, limit=350_000)
    bench.check_out(big[0])
    bench.check_out(big[1], repository="octo-org/other")

    assert ["octo-org+other.git"] == [path.name for path in bench.folder.glob("*.git")]
    bench.check_out(big[0])
    assert ["octo-org+shop.git"] == [path.name for path in bench.folder.glob("*.git")]


def test_a_mirror_that_nobody_used_for_long_goes(bench: Bench, shop: Repository) -> None:
    """One that is worked with does not."""
    bench.check_out(shop.head)
    with bench.shop.held(never):
        bench.mirrors.prune(before=time.time() + 1, stop=never)
        assert bench.shop.path.exists()

    bench.mirrors.prune(before=time.time() - 60, stop=never)
    assert bench.shop.path.exists()

    bench.mirrors.prune(before=time.time() + 1, stop=never)
    assert not bench.shop.path.exists()


def test_many_packs_become_one(bench: Bench, shop: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commits that were wanted long ago are forgotten; trees that shared the packs keep theirs."""
    monkeypatch.setattr(mirror, "PACKS", 2)
    monkeypatch.setattr(mirror, "KEPT", 2)
    trees = [bench.check_out(shop.commit({"n": str(number)})) for number in range(4)]

    bench.mirrors.prune(before=0.0, stop=never)

    assert 1 == len(list(bench.shop.path.glob("objects/pack/*.pack")))
    assert 2 == len(run_git(bench.shop.path, "for-each-ref").splitlines())
    for tree in trees:
        assert "" == run_git(tree, "fsck", "--full", "--no-progress")
    assert shop.head == run_git(bench.check_out(shop.head), "rev-parse", "HEAD")


def test_a_full_disk_is_tried_later(bench: Bench, shop: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the last of it is taken from everybody else."""
    monkeypatch.setattr(checkout, "LEAST_ROOM", 1 << 60)

    assert Trouble.LATER is bench.trouble(shop.head)


def test_no_process_is_left(bench: Bench, shop: Repository) -> None:
    """Of all that git started."""
    bench.check_out(shop.head)

    def none() -> bool:
        found = subprocess.run(["pgrep", "-f", str(bench.folder)], capture_output=True, check=False)
        return not found.stdout

    assert eventually(none, "git's end")
