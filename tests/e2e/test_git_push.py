"""A real `git push` reaches the bot, and the commit that was pushed is what is live."""

from __future__ import annotations

import itertools
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bots import Bot, Json
from gitforge import DEPLOY, Forge, started, verdicts

NUMBERS = itertools.count(1)

HELD = DEPLOY.replace("set -eu\n", 'set -eu\nuntil [ -e "$FASTDEPLOY_SERVICE_DIR/go" ]; do sleep 0.05; done\n')
"""Deploys once the file `go` stands in the service's folder."""


@pytest.fixture
def forge(bot: Bot, tmp_path: Path) -> Forge:
    """A repository of the test's own, with one commit on `main` that is not pushed yet."""
    made = Forge(tmp_path, bot, f"octo-org/repository{next(NUMBERS)}")
    made.commit(page_html="one")
    return made


@pytest.fixture
def name() -> str:
    """A service's name of the test's own."""
    return f"shop{next(NUMBERS)}"


def order(folder: Path) -> list[str]:
    """The commits that the service's script deployed, oldest first."""
    book = folder / "order"
    return book.read_text().split() if book.exists() else []


def live(folder: Path, file: str = "page.html") -> str:
    """The text of a deployed file."""
    return (folder / "live" / file).read_text()


def end(forge: Forge, answer: Json, service: str) -> Json:
    """How the deployment that this delivery started has ended."""
    return forge.bot.wait_end(started(answer, service))


def test_the_first_push_of_a_branch_goes_live(forge: Forge, name: str) -> None:
    """A new branch's first push deploys exactly the commit that was pushed."""
    folder = forge.service(name)

    ended = end(forge, forge.push("main"), name)

    assert "one" == live(folder)
    assert ("success", forge.head()) == (ended["state"], ended["sha"])
    assert ("refs/heads/main", "mona", "push") == (ended["ref"], ended["actor"], ended["origin"])


def test_the_second_push_replaces_the_first(forge: Forge, name: str) -> None:
    """Each push deploys its own commit, in order."""
    folder = forge.service(name)
    first = forge.head()
    end(forge, forge.push("main"), name)

    second = forge.commit(page_html="two")
    end(forge, forge.push("main"), name)

    assert "two" == live(folder)
    assert [first, second] == order(folder)
    assert second == forge.bot.get(f"/services/{name}")["live"]["sha"]


def test_each_service_of_a_repository_decides_for_itself(forge: Forge, name: str) -> None:
    """Branches, tags and paths of each service file decide about the same push."""
    forge.service(f"{name}-main")
    forge.service(f"{name}-release", branches=["release/*"])
    forge.service(f"{name}-tags", tags=["v*"])
    forge.service(f"{name}-api", paths=["api/**", "!api/docs/**"])
    forge.push("main")

    forge.commit(api__docs__index_html="only documentation")
    docs = forge.push("main")
    forge.commit(api__server_py="code")
    code = forge.push("main")

    quiet = {f"{name}-release": "ignore", f"{name}-tags": "ignore"}
    assert {f"{name}-main": "deploy", f"{name}-api": "ignore"} | quiet == verdicts(docs)
    assert {f"{name}-main": "deploy", f"{name}-api": "deploy"} | quiet == verdicts(code)
    assert all(verdict["reason"] for verdict in docs["verdicts"])


def test_a_path_filter_sees_every_commit_of_a_push(forge: Forge, name: str) -> None:
    """A file that an earlier commit of the push touched counts, and so does one that was removed."""
    forge.service(name, paths=["api/**"])
    forge.commit(api__old_py="code")
    forge.push("main")

    forge.git("rm", "--quiet", "api/old.py")
    forge.git("commit", "--quiet", "--message", "Remove it")
    forge.commit(page_html="two")
    answer = forge.push("main")

    assert {name: "deploy"} == verdicts(answer)


def test_a_branch_with_slashes_is_matched_whole(forge: Forge, name: str) -> None:
    """`release/*` takes `release/2` and not `release/1/hotfix`; the script sees the whole name."""
    folder = forge.service(name, DEPLOY + 'printf %s "$FASTDEPLOY_BRANCH" > branch\n', branches=["release/*"])

    deep = forge.push("main:release/1/hotfix")
    flat = forge.push("main:release/2")

    assert {name: "ignore"} == verdicts(deep)
    assert "success" == end(forge, flat, name)["state"]
    assert "release/2" == (folder / "branch").read_text()


def test_a_branch_that_no_service_wants_deploys_nothing(forge: Forge, name: str) -> None:
    """The delivery is kept with its reason, and nothing runs."""
    folder = forge.service(name)

    answer = forge.push("main:experiment")

    assert {name: "ignore"} == verdicts(answer)
    assert "experiment" in answer["verdicts"][0]["reason"]
    assert [] == forge.bot.deployments(name)
    assert [] == order(folder)


def test_a_push_to_a_repository_without_a_service_is_kept(forge: Forge) -> None:
    """A repository that no service file names gets an answer with a reason, and a place among the deliveries."""
    answer = forge.push("main")

    kept = forge.bot.get(f"/deliveries/{answer['delivery']}")
    assert [] == answer["verdicts"]
    assert answer["reason"]
    assert forge.repository == kept["repository"]


@pytest.mark.parametrize("annotated", [False, True], ids=["lightweight", "annotated"])
def test_a_tag_deploys_the_commit_it_names(forge: Forge, name: str, annotated: bool) -> None:
    """A tag's deployment is of the commit, also where the tag is an object of its own."""
    folder = forge.service(name, DEPLOY + 'printf %s "$FASTDEPLOY_TAG:$FASTDEPLOY_BRANCH" > tag\n', tags=["v*"])
    forge.push("main")

    forge.git("tag", *(["--annotate", "--message", "One"] if annotated else []), "v1.0")
    ended = end(forge, forge.push("v1.0"), name)

    assert (forge.head(), "refs/tags/v1.0") == (ended["sha"], ended["ref"])
    assert "v1.0:" == (folder / "tag").read_text()
    assert "one" == live(folder)


def test_a_deleted_branch_deploys_nothing(forge: Forge, name: str) -> None:
    """The end of a branch is no commit to deploy."""
    folder = forge.service(name, branches=["release/*"])
    end(forge, forge.push("main:release/1"), name)

    answer = forge.push("--delete", "release/1")

    assert {name: "ignore"} == verdicts(answer)
    assert 1 == len(order(folder))


def test_a_branch_made_again_after_its_deletion_deploys(forge: Forge, name: str) -> None:
    """The same commit under the same name again is a new push."""
    folder = forge.service(name, branches=["release/*"])
    end(forge, forge.push("main:release/1"), name)
    forge.push("--delete", "release/1")

    forge.commit(page_html="two")
    end(forge, forge.push("main:release/1"), name)

    assert "two" == live(folder)


def test_a_forced_push_goes_live(forge: Forge, name: str) -> None:
    """History that was rewritten is the newest push, though it is no descendant."""
    folder = forge.service(name)
    forge.commit(page_html="mistake")
    end(forge, forge.push("main"), name)

    forge.git("reset", "--quiet", "--hard", "HEAD~1")
    mended = forge.commit(page_html="mended")
    end(forge, forge.push("--force", "main"), name)

    assert "mended" == live(folder)
    assert mended == order(folder)[-1]


def test_going_back_to_an_earlier_commit_by_force_deploys_it_again(forge: Forge, name: str) -> None:
    """A forced push back to what was live before runs, though that commit has run already."""
    folder = forge.service(name)
    first = forge.head()
    end(forge, forge.push("main"), name)
    forge.commit(page_html="two")
    end(forge, forge.push("main"), name)

    forge.git("reset", "--quiet", "--hard", first)
    end(forge, forge.push("--force", "main"), name)

    assert "one" == live(folder)
    assert 3 == len(order(folder))


def test_the_newest_of_the_pushes_during_a_run_goes_live_and_the_middle_one_never_runs(forge: Forge, name: str) -> None:
    """While one runs, a newer push supersedes the one that waits, and names the one that took over."""
    folder = forge.service(name, HELD)
    first = forge.head()
    running = started(forge.push("main"), name)
    forge.bot.wait_state(running, "running")
    forge.commit(page_html="two")
    middle = started(forge.push("main"), name)
    third = forge.commit(page_html="three")
    newest = started(forge.push("main"), name)

    (folder / "go").touch()
    ended = forge.bot.wait_idle(name)

    assert [(running, "success"), (middle, "superseded"), (newest, "success")] == [
        (row["id"], row["state"]) for row in ended
    ]
    assert newest == ended[1]["taken_over_by"]
    assert [first, third] == order(folder)
    assert "three" == live(folder)


def test_without_supersede_every_push_runs_in_order(forge: Forge, name: str) -> None:
    """`supersede = false` deploys each push, one after the other."""
    folder = forge.service(name, HELD, supersede=False)
    pushed = [forge.head()]
    forge.push("main")
    for text in ("two", "three"):
        pushed.append(forge.commit(page_html=text))
        forge.push("main")

    (folder / "go").touch()
    ended = forge.bot.wait_idle(name)

    assert ["success"] * 3 == [row["state"] for row in ended]
    assert pushed == order(folder)


def test_a_hook_that_delivers_twice_starts_one_deployment(forge: Forge, name: str) -> None:
    """The same GUID again is a duplicate, and starts nothing."""
    folder = forge.service(name)
    end(forge, forge.push("main"), name)
    first = forge.deliveries()[-1]

    again = forge.bot.deliver(first["body"].encode(), guid=first["guid"])

    assert (202, True) == (again.status_code, again.json()["duplicate"])
    assert 1 == len(forge.bot.deployments(name))
    assert 1 == len(order(folder))


def test_a_second_hook_of_the_same_repository_starts_nothing_more(forge: Forge, name: str) -> None:
    """The same push under another GUID is a duplicate, for every service."""
    forge.service(name)
    end(forge, forge.push("main"), name)

    again = forge.bot.deliver(forge.deliveries()[-1]["body"].encode(), guid=str(uuid.uuid4()))

    assert (202, True) == (again.status_code, again.json()["duplicate"])
    assert 1 == len(forge.bot.deployments(name))


def test_a_push_told_by_many_hooks_at_once_is_decided_once(forge: Forge, name: str) -> None:
    """Eight deliveries of one push at the same moment, each with a GUID of its own, start one deployment."""
    folder = forge.service(name)
    forge.push("main:elsewhere")
    body = forge.deliveries()[-1]["body"].replace("refs/heads/elsewhere", "refs/heads/main").encode()

    with ThreadPoolExecutor(8) as hooks:
        answers = [answer.json() for answer in hooks.map(lambda _: forge.bot.deliver(body), range(8))]

    assert 1 == sum(not answer["duplicate"] for answer in answers)
    assert ["success"] == [row["state"] for row in forge.bot.wait_idle(name)]
    assert 1 == len(order(folder))


def test_a_delivery_that_was_late_does_not_roll_back(forge: Forge, name: str) -> None:
    """A push that happened before the newest decided one is stale, whenever it arrives."""
    folder = forge.service(name)
    end(forge, forge.push("main"), name)
    late = json.loads(forge.deliveries()[-1]["body"])
    late["before"], late["after"] = "a" * 40, "b" * 40
    late["repository"]["pushed_at"] -= 60

    answer = forge.bot.deliver(json.dumps(late).encode()).json()

    assert {name: "stale"} == verdicts(answer)
    assert "one" == live(folder)
    assert 1 == len(forge.bot.deployments(name))


@pytest.mark.parametrize(
    "branch",
    [
        "$(touch${IFS}$HARM)",
        "a;touch${IFS}$HARM;b",
        "`touch${IFS}$HARM`",
        "--upload-pack=touch${IFS}$HARM",
        "a'b\"c<script>&|x",
        "umlaut-äöü-☃",
    ],
)
def test_a_hostile_branch_name_is_only_a_name(forge: Forge, name: str, tmp_path: Path, branch: str) -> None:
    """What git allows in a name reaches the script unchanged and is run by nobody."""
    harm = tmp_path / "harm"
    folder = forge.service(
        name,
        DEPLOY + 'printf %s "$FASTDEPLOY_BRANCH" > branch\n',
        branches=["**"],
        env={"BARE": str(forge.bare), "HARM": str(harm)},
    )

    ended = end(forge, forge.push(f"main:refs/heads/{branch}"), name)

    assert ("success", f"refs/heads/{branch}") == (ended["state"], ended["ref"])
    assert branch == (folder / "branch").read_text()
    assert "one" == live(folder)
    assert not harm.exists()


def test_a_script_that_fails_leaves_what_is_live(forge: Forge, name: str) -> None:
    """A push whose script fails is a failure, and the service still shows the commit before as live."""
    forge.service(name, DEPLOY + 'grep -q broken "$target/page.html" && exit 3\nexit 0\n')
    first = forge.head()
    end(forge, forge.push("main"), name)

    forge.commit(page_html="broken")
    ended = end(forge, forge.push("main"), name)

    assert ("failure", 3) == (ended["state"], ended["exit_status"])
    assert first == forge.bot.get(f"/services/{name}")["live"]["sha"]
