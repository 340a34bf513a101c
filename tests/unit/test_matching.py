"""Matching: what a push means for a service, case by case."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from fastdeploy_bot.core.commits.drift import Base, Drift
from fastdeploy_bot.core.files.servicefile import ServiceFile
from fastdeploy_bot.core.pushes import matching
from fastdeploy_bot.core.pushes.matching import Candidate, Decision, Known
from fastdeploy_bot.words import ZERO_SHA, Push, VerdictKind

DEPLOY, STALE, IGNORE, REFUSED = VerdictKind.DEPLOY, VerdictKind.STALE, VerdictKind.IGNORE, VerdictKind.REFUSED
WAIT = VerdictKind.WAIT

A, B, C, D = "a" * 40, "b" * 40, "c" * 40, "d" * 40
FILE = ServiceFile(repository="octo-org/shop")
PUSH = Push(
    repository_id=1,
    repository="octo-org/shop",
    default_branch="main",
    ref="refs/heads/main",
    before=A,
    after=B,
    commit=B,
    pushed_at=100,
)
SHOP = Candidate(name="shop", file=FILE, repository="octo-org/shop", repository_id=1)


def push(**fields: Any) -> Push:
    """A push of `main` from A to B, but for those fields."""
    return msgspec.structs.replace(PUSH, **fields)


def service(*, newest: tuple[Known, ...] = (), **keys: Any) -> Candidate:
    """A service whose file has those keys, and which has decided those pushes."""
    return msgspec.structs.replace(SHOP, file=msgspec.structs.replace(FILE, **keys), newest=newest)


def decide(told: Push, candidate: Candidate) -> Decision:
    """The one decision there is."""
    (decision,) = matching.decide(told, [candidate])
    return decision


# --- whose push it is ---


def test_services_of_other_repositories_get_no_verdict() -> None:
    """A delivery lists only those that are mapped to its repository."""
    other = msgspec.structs.replace(SHOP, name="other", repository="octo-org/other", repository_id=2)

    assert [] == matching.decide(PUSH, [other])


def test_the_order_given_is_kept() -> None:
    """One decision for each mapped service, and none for those in between."""
    names = ["c", "a", "b"]
    services = [msgspec.structs.replace(SHOP, name=name) for name in names]
    other = msgspec.structs.replace(SHOP, repository="x/y", repository_id=9)

    decided = matching.decide(PUSH, [services[0], other, *services[1:]])

    assert names == [each.service for each in decided]


@pytest.mark.parametrize(
    ("repository", "pinned", "verdict"),
    [
        ("octo-org/shop", 1, DEPLOY),
        ("octo-org/shop", None, DEPLOY),
        ("octo-org/old-name", 1, DEPLOY),
        ("octo-org/shop", 2, REFUSED),
    ],
)
def test_the_id_counts_more_than_the_name(repository: str, pinned: int | None, verdict: VerdictKind) -> None:
    """Renames are followed; another repository under the same name is refused."""
    candidate = msgspec.structs.replace(SHOP, repository=repository, repository_id=pinned)

    assert verdict is decide(PUSH, candidate).verdict


def test_the_name_is_compared_without_case() -> None:
    """GitHub's names are: `Octo-Org/Shop` is the same repository."""
    candidate = msgspec.structs.replace(SHOP, repository_id=None)

    assert DEPLOY is decide(push(repository="Octo-ORG/Shop"), candidate).verdict


def test_a_refusal_names_both_ids() -> None:
    """So that whoever moved a repository on purpose sees what happened."""
    decision = decide(push(repository_id=77), SHOP)

    assert "77" in decision.reason
    assert "1" in decision.reason
    assert not decision.counts


def test_a_bad_file_is_refused_with_its_problem() -> None:
    """Nothing can be decided by a file that cannot be read."""
    problem = "services/shop/service.toml: branchs: unknown key"
    candidate = msgspec.structs.replace(SHOP, file=None, problem=problem)

    assert Decision("shop", REFUSED, problem, counts=False, newest=True) == decide(PUSH, candidate)


# --- which refs are wanted ---

HEAD, TAG = "refs/heads/", "refs/tags/"


@pytest.mark.parametrize(
    ("branches", "tags", "ref", "verdict"),
    [
        ((), (), HEAD + "main", DEPLOY),
        ((), (), HEAD + "Main", IGNORE),
        ((), (), HEAD + "next", IGNORE),
        ((), (), TAG + "main", IGNORE),
        ((), (), TAG + "v1", IGNORE),
        (("main",), (), HEAD + "main", DEPLOY),
        (("main",), (), HEAD + "feature/main", IGNORE),
        (("main",), (), TAG + "main", IGNORE),
        (("next",), (), HEAD + "main", IGNORE),
        (("*",), (), HEAD + "a", DEPLOY),
        (("*",), (), HEAD + "a/b", IGNORE),
        (("**",), (), HEAD + "a/b/c", DEPLOY),
        (("release/*",), (), HEAD + "release/1.0", DEPLOY),
        (("release/*",), (), HEAD + "release/1.0/hotfix", IGNORE),
        (("release/**",), (), HEAD + "release/1.0/hotfix", DEPLOY),
        (("**", "!wip/**"), (), HEAD + "wip/a", IGNORE),
        (("**", "!wip/**"), (), HEAD + "a", DEPLOY),
        (("!wip/**", "**"), (), HEAD + "wip/a", DEPLOY),
        ((), ("v*",), TAG + "v1.0", DEPLOY),
        ((), ("v*",), TAG + "w1.0", IGNORE),
        ((), ("v*",), TAG + "v1/rc", IGNORE),
        ((), ("v*",), HEAD + "main", IGNORE),
        ((), ("v*",), HEAD + "v1.0", IGNORE),
        (("main",), ("v*",), HEAD + "main", DEPLOY),
        (("main",), ("v*",), TAG + "v1", DEPLOY),
        (("main",), ("v*",), HEAD + "v1", IGNORE),
        (("**",), ("**",), "refs/notes/commits", IGNORE),
        ((), (), "refs/heads/refs/heads/main", IGNORE),
    ],
)
def test_branches_and_tags_say_what_is_deployed(
    branches: tuple[str, ...], tags: tuple[str, ...], ref: str, verdict: VerdictKind
) -> None:
    """Globs on the name with all its slashes; neither list means the default branch, tags alone mean tags only."""
    assert verdict is decide(push(ref=ref), service(branches=branches, tags=tags)).verdict


@pytest.mark.parametrize(("default", "verdict"), [("main", DEPLOY), ("trunk", IGNORE), (None, IGNORE)])
def test_the_default_branch_is_the_one_the_push_names(default: str | None, verdict: VerdictKind) -> None:
    """A payload that does not name it deploys nothing by default."""
    assert verdict is decide(push(default_branch=default), service()).verdict


def test_a_default_branch_that_nobody_names_is_told_as_that() -> None:
    """With what to do."""
    decision = decide(push(default_branch=None), service())

    assert "only the default branch is deployed, and the push does not say which that is: " in decision.reason


def test_an_unwanted_ref_makes_nothing_stale() -> None:
    """And the reason says what is wanted instead."""
    decision = decide(push(ref="refs/heads/wip"), service(branches=("main", "next"), tags=("v*",)))

    assert Decision("shop", IGNORE, "branch wip is not wanted: only main, next, tag v*", counts=False) == decision


def test_a_deleted_branch_deploys_nothing_and_counts() -> None:
    """There is no commit any more; a push that was on its way is older than that."""
    decision = decide(push(after=ZERO_SHA, commit=ZERO_SHA, deleted=True), service())

    assert (IGNORE, True) == (decision.verdict, decision.counts)
    assert "deleted" in decision.reason


def test_a_late_deletion_is_stale() -> None:
    """The branch was made anew meanwhile."""
    newest = (Known(ZERO_SHA, C, 101),)

    assert STALE is decide(push(after=ZERO_SHA, deleted=True), service(newest=newest)).verdict


# --- which push is newer ---


@pytest.mark.parametrize(
    ("known", "verdict"),
    [
        (Known(B, C, 101), STALE),
        (Known(C, D, 101), STALE),
        (Known(C, A, 99), DEPLOY),
        (Known(B, C, 99), DEPLOY),
        (Known(B, C, 100), STALE),
        (Known(C, A, 100), DEPLOY),
        (Known(B, A, 100), DEPLOY),
        (Known(C, D, 100), DEPLOY),
        (Known(A, C, 100), DEPLOY),
        (Known(B, C, None), STALE),
        (Known(C, D, None), DEPLOY),
    ],
    ids=[
        "a later push on top of this one",
        "a later push of something else",
        "an earlier push below this one",
        "an earlier push that was undone and done again",
        "the same second, on top of this one",
        "the same second, below this one",
        "the same second, there and back: arrival decides",
        "the same second, nothing in common: arrival decides",
        "the same second, both from the same commit: arrival decides",
        "no time, on top of this one",
        "no time, nothing in common: arrival decides",
    ],
)
def test_the_newest_push_wins(known: Known, verdict: VerdictKind) -> None:
    """By pushed_at, then by chain; arrival only where both leave a tie."""
    assert verdict is decide(PUSH, service(newest=(known,))).verdict


def test_without_a_time_of_its_own_the_chain_decides() -> None:
    """`pushed_at` may be absent."""
    assert STALE is decide(push(pushed_at=None), service(newest=(Known(B, C, 1),))).verdict
    assert DEPLOY is decide(push(pushed_at=None), service(newest=(Known(C, D, 101),))).verdict


def test_one_newer_push_among_many_is_enough() -> None:
    """The order in which the known ones are given does not matter."""
    newest = (Known(C, A, 99), Known(B, C, 100), Known(D, C, 98))

    assert STALE is decide(PUSH, service(newest=newest)).verdict
    assert STALE is decide(PUSH, service(newest=newest[::-1])).verdict


def test_a_push_back_to_an_earlier_commit_is_no_older_one() -> None:
    """A to B, B to C, and C back to A, within one second: the last begins where the one before it ended."""
    newest = (Known(B, C, 100), Known(A, B, 100))

    assert DEPLOY is decide(push(before=C, after=A, pushed_at=100), service(newest=newest)).verdict


def test_what_is_older_than_a_stale_push_is_stale_too() -> None:
    """So a stale verdict counts as well: it may be the missing link of a chain."""
    decision = decide(PUSH, service(newest=(Known(B, C, 100),)))

    assert (STALE, True) == (decision.verdict, decision.counts)
    assert C[:7] in decision.reason


@given(some.integers(0, 2**40), some.integers(0, 2**40))
def test_two_pushes_are_never_each_older_than_the_other(first: int, second: int) -> None:
    """Whichever came first, at least one of the two runs: none is lost to a quarrel about age."""
    one, other = push(pushed_at=first), push(before=B, after=A, commit=A, pushed_at=second)

    verdicts = {
        decide(one, service(newest=(Known(other.before, other.after, second),))).verdict,
        decide(other, service(newest=(Known(one.before, one.after, first),))).verdict,
    }

    assert DEPLOY in verdicts


# --- which files matter ---

LIVE, UNDER_WAY, HELD = "1" * 40, "2" * 40, "3" * 40
API = ("api/**", "!api/docs/**")


def drifted(*paths: tuple[str, ...] | None, held: tuple[str, ...] | str | None = "", **keys: Any) -> Candidate:
    """A service of `api/**` whose live commit, and then what is under way, differ from the push in those files.

    `held` are the files that differ from the commit that it was rolled back from, where it was.
    """
    shas = (LIVE, UNDER_WAY, *(letter * 40 for letter in "456789"))
    bases = tuple(Base(sha, files) for sha, files in zip(shas, paths, strict=False))
    back = None if isinstance(held, str) else Base(HELD, held)
    fields = {"held_back": HELD, "held_back_why": "3333333 is held back"} if back else {}
    candidate = service(paths=keys.pop("patterns", API))
    return msgspec.structs.replace(candidate, drift=Drift(bases, back), **(fields | keys))


@pytest.mark.parametrize(
    ("patterns", "paths", "verdict"),
    [
        (("api/**",), ("api/a.py",), DEPLOY),
        (("api/**",), ("web/a.js",), IGNORE),
        (("api/**",), ("web/a.js", "api/a/b.py"), DEPLOY),
        (("api/*",), ("api/a/b.py",), IGNORE),
        (("api/**", "!api/docs/**"), ("api/docs/a.md",), IGNORE),
        (("api/**", "!api/docs/**"), ("api/docs/a.md", "api/x.py"), DEPLOY),
        (("!api/docs/**", "api/**"), ("api/docs/a.md",), DEPLOY),
        (("!docs/**",), ("docs/a.md",), IGNORE),
        (("!docs/**",), ("docs/a.md", "setup.py"), DEPLOY),
        (("api/**",), (), IGNORE),
        (("api/**",), None, DEPLOY),
        ((), ("web/a.js",), DEPLOY),
        ((), None, DEPLOY),
    ],
)
def test_paths_say_which_files_concern_a_service(
    patterns: tuple[str, ...], paths: tuple[str, ...] | None, verdict: VerdictKind
) -> None:
    """The last matching pattern wins for each file; where the files cannot be known, they match."""
    assert verdict is decide(PUSH, drifted(paths, patterns=patterns)).verdict


MAIN = f"branch main is now {B[:7]}"


@pytest.mark.parametrize(
    ("candidate", "verdict", "reason"),
    [
        (drifted(), DEPLOY, f"{MAIN}; nothing was live before"),
        (drifted(("web/a.js",)), IGNORE, "1 file changed since 1111111, none matches paths (api/**, !api/docs/**)"),
        (drifted(("a", "b")), IGNORE, "2 files changed since 1111111, none matches paths (api/**, !api/docs/**)"),
        (drifted(()), IGNORE, "no file changed since 1111111"),
        (drifted(("a", "api/b")), DEPLOY, f"{MAIN}; api/b changed since 1111111"),
        (drifted(("api/" + "b" * 200,)), DEPLOY, f"{MAIN}; api/{'b' * 96}… changed since 1111111"),
        (drifted(None), DEPLOY, f"{MAIN}; what changed since 1111111 is not known"),
        (drifted(None, asks=True), WAIT, "what changed since 1111111 is asked of GitHub"),
        (
            drifted(None, unanswered="GitHub answered 404: Not Found"),
            DEPLOY,
            f"{MAIN}; GitHub did not say what changed since 1111111: GitHub answered 404: Not Found",
        ),
        # what is under way may be live by then
        (drifted(("a",), ("api/b",)), DEPLOY, f"{MAIN}; api/b changed since 2222222"),
        (
            drifted(("a",), ("a", "b")),
            IGNORE,
            "1 file changed since 1111111, none matches paths (api/**, !api/docs/**)",
        ),
        (drifted(("a",), None), DEPLOY, f"{MAIN}; what changed since 2222222 is not known"),
        (drifted(("a",), None, asks=True), WAIT, "what changed since 2222222 is asked of GitHub"),
        (drifted(None, None, asks=True), WAIT, "what changed since 1111111 and 2222222 is asked of GitHub"),
        (drifted(("api/b",), None, asks=True), DEPLOY, f"{MAIN}; api/b changed since 1111111"),
        (drifted(*[None] * 5, asks=True), DEPLOY, f"{MAIN}; what changed since 1111111 is not known"),
        # what was rolled back stays away while nothing of concern is new
        (
            drifted(("api/b",), held=("a",)),
            IGNORE,
            "1 file changed since 3333333, none matches paths (api/**, !api/docs/**); 3333333 is held back",
        ),
        (drifted(("api/b",), held=("api/c",)), DEPLOY, f"{MAIN}; api/b changed since 1111111"),
        (
            drifted(("a",), held=("api/c",)),
            IGNORE,
            "1 file changed since 1111111, none matches paths (api/**, !api/docs/**)",
        ),
        (drifted(("api/b",), held=None, asks=True), WAIT, "what changed since 3333333 is asked of GitHub"),
        (drifted(("api/b",), held=None), DEPLOY, f"{MAIN}; api/b changed since 1111111"),
        (drifted(None, held=None, asks=True), WAIT, "what changed since 1111111 and 3333333 is asked of GitHub"),
    ],
)
def test_a_push_is_compared_with_what_is_live(candidate: Candidate, verdict: VerdictKind, reason: str) -> None:
    """With that, with what may be live by then, and with what was rolled back; the reason says with which."""
    decision = decide(PUSH, candidate)

    assert (verdict, reason) == (decision.verdict, decision.reason)
    assert decision.counts
    assert (verdict is WAIT) == bool(decision.ask)


@pytest.mark.parametrize(
    ("fields", "keys"),
    [
        ({"skip": "[skip ci]"}, {}),
        ({"ref": "refs/heads/wip"}, {}),
        ({"after": ZERO_SHA, "commit": ZERO_SHA, "deleted": True}, {}),
        ({"commit": HELD, "after": HELD}, {"held": None}),
        ({"pushed_at": 1}, {"newest": (Known(B, C, 100),)}),
    ],
)
def test_github_is_not_asked_of_what_is_decided_without_it(fields: dict[str, Any], keys: dict[str, Any]) -> None:
    """The rules that need no list of files come first."""
    decision = decide(push(**fields), drifted(None, asks=True, **keys))

    assert (True, ()) == (decision.verdict in (IGNORE, STALE), decision.ask)


def test_github_is_not_asked_for_a_service_that_starts_by_hand() -> None:
    """Whatever changed, nothing is deployed."""
    candidate = drifted(None, asks=True)
    by_hand = msgspec.structs.replace(candidate, file=msgspec.structs.replace(FILE, paths=API, auto=False))

    assert (IGNORE, ()) == (decide(PUSH, by_hand).verdict, decide(PUSH, by_hand).ask)


# --- what its message asks for ---


@pytest.mark.parametrize("ref", ["refs/heads/main", "refs/tags/v1"])
def test_a_message_can_ask_for_no_deployment(ref: str) -> None:
    """Whether a branch or a tag names that commit. Older pushes did not ask for that: it makes none of them stale."""
    told = push(ref=ref, skip="[skip ci]")

    decision = decide(told, service(branches=("main",), tags=("v*",)))

    assert Decision("shop", IGNORE, f"the message of {B[:7]} says [skip ci]", counts=False, newest=True) == decision


def test_a_stale_push_is_stale_whatever_its_message_says() -> None:
    """What came late is told as that."""
    assert STALE is decide(push(skip="[skip ci]"), service(newest=(Known(B, C, 101),))).verdict


# --- who starts it ---


def test_with_auto_off_nothing_starts_by_itself() -> None:
    """The push counts all the same."""
    decision = decide(PUSH, service(auto=False))

    assert (IGNORE, True) == (decision.verdict, decision.counts)
    assert "auto = false" in decision.reason


def test_a_deploying_verdict_says_what_the_ref_is_now() -> None:
    """Of an annotated tag, the commit and not the tag object."""
    decision = decide(push(ref="refs/tags/v1", after=B, commit=C), service(tags=("v*",)))

    assert Decision("shop", DEPLOY, f"tag v1 is now {C[:7]}", counts=True, newest=True) == decision


# --- what keeps it from being deployed ---


def test_a_locked_service_waits() -> None:
    """The reason says what is new, and why it waits; the push counts."""
    locked = msgspec.structs.replace(SHOP, lock="locked by anna: the database moves")

    decision = decide(PUSH, locked)

    told = f"branch main is now {B[:7]}; the service is locked by anna: the database moves"
    assert Decision("shop", VerdictKind.WAIT, told, counts=True, newest=True) == decision


def test_a_service_that_waits_for_checks_lets_a_push_wait() -> None:
    """And older pushes are stale all the same; a lock is told first."""
    waits = service(wait_for=("test", "lint"))
    locked = msgspec.structs.replace(waits, lock="locked by anna: freeze")

    told = f"{MAIN}; it waits for checks: test, lint"
    assert Decision("shop", WAIT, told, counts=True, newest=True) == decide(PUSH, waits)
    told = f"{MAIN}; the service is locked by anna: freeze; it also waits for checks: test, lint"
    assert Decision("shop", WAIT, told, counts=True, newest=True) == decide(PUSH, locked)


def test_a_push_is_not_deployed_unchecked_where_nobody_can_ask() -> None:
    """It is as good as never decided, so that it can be replayed. What is not deployed anyway needs no checks."""
    deaf = msgspec.structs.replace(service(wait_for=("test",)), deaf=True)
    decision = decide(PUSH, deaf)

    assert (REFUSED, False) == (decision.verdict, decision.counts)
    assert "credentials" in decision.reason
    assert DEPLOY is decide(PUSH, msgspec.structs.replace(SHOP, deaf=True)).verdict
    assert IGNORE is decide(push(ref="refs/heads/other"), deaf).verdict


@pytest.mark.parametrize("lock", ["", "locked by anna: freeze"])
def test_a_commit_that_is_held_back_is_ignored(lock: str) -> None:
    """Locked or not; the push counts, since that commit is what the ref names."""
    held = msgspec.structs.replace(SHOP, lock=lock, held_back=B, held_back_why="held back by anna")

    assert Decision("shop", IGNORE, "held back by anna", counts=True, newest=True) == decide(PUSH, held)
    assert decide(push(after=C, commit=C), held).verdict in (DEPLOY, VerdictKind.WAIT)


@pytest.mark.parametrize("candidate", [service(branches=("release",)), service(auto=False), drifted(("web/a.js",))])
def test_what_is_not_wanted_waits_for_nothing(candidate: Candidate) -> None:
    """A lock makes no deployment of what would be none without it."""
    assert IGNORE is decide(PUSH, msgspec.structs.replace(candidate, lock="locked by anna: freeze")).verdict
