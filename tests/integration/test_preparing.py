"""Preparing: a queued deployment's commit is checked out before it begins, tried until it is or never can be."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import pytest

import appkeys
import fakehub
from fakehub import FakeHub, Fault
from fakehub.wire import Refused
from fastdeploy_bot import store
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core import clock, leases
from fastdeploy_bot.core.deploying import deployments, locking, retries, services, titles
from fastdeploy_bot.core.deploying.deployments import Order
from fastdeploy_bot.core.deploying.locking import Wish
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.core.files.servicefile import ServiceFile
from fastdeploy_bot.core.output import logs
from fastdeploy_bot.engine import preparing
from fastdeploy_bot.engine.dispatcher import NEXT, Dispatcher
from fastdeploy_bot.errors import Unavailable
from fastdeploy_bot.runner import checkout, process, removal, tree
from fastdeploy_bot.runner.folder import RunFolder
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Deployment, Lease
from fastdeploy_bot.words import DeploymentState, Origin, Principal, PrincipalKind, Role
from githttp import GitHost, Repository, serving
from runs import clear, eventually

T = TypeVar("T")

HOST: Final = "this-host"
ANNA: Final = Principal(PrincipalKind.USER, "anna", role=Role.DEPLOYER)
TOKEN: Final = "ghp_" + "Zx9" * 12
SHOW: Final = 'pwd; cat file; git rev-parse HEAD; echo "$FASTDEPLOY_CHECKOUT"'


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GitHost]:
    """A forge."""
    with serving(tmp_path / "forge") as made:
        yield made


@pytest.fixture
def shop(host: GitHost) -> Repository:
    """A repository with one commit."""
    made = host.repository("octo-org/shop")
    made.commit({"file": "one\n", "deploy.sh": "#!/bin/sh\necho of the commit\n"})
    return made


class Bot:
    """A bot without its web, with one service that wants checkouts, and dispatchers that tick when a test says so."""

    def __init__(self, home: Path, github_url: str) -> None:
        self.settings = Settings(home=home, secret_key="k" * 64, kill_grace=1.0, github_url=github_url)
        self.settings.services_dir.mkdir()
        self.settings.runs_dir.mkdir()
        self.dispatchers: list[Dispatcher] = []

    def service(self, script: str = SHOW, *, name: str = "shop", **keys: Any) -> None:
        """Write a service."""
        folder = self.settings.services_dir / name
        folder.mkdir(exist_ok=True)
        lines = {"repository": "octo-org/shop", "checkout": True, **keys}
        told = "".join(f"{key} = {msgspec.json.encode(value).decode()}\n" for key, value in lines.items())
        (folder / "service.toml").write_text(told)
        (folder / "deploy.sh").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "deploy.sh").chmod(0o755)
        services.sync(Catalogue(self.settings.services_dir).entries(), now=clock.now())

    def order(self, sha: str, *, name: str = "shop", repository: str = "octo-org/shop") -> int:
        """Queue a deployment of that commit."""
        order = Order(origin=Origin.MANUAL, sha=sha, ref="refs/heads/main", repository=repository, actor="anna")
        return store.write(lambda: deployments.queue(services.find(name), order, now=clock.now())).id

    def dispatcher(self, **changes: Any) -> Dispatcher:
        """An engine's dispatcher."""
        settings = msgspec.structs.replace(self.settings, **changes)
        made = Dispatcher(settings, Catalogue(settings.services_dir), Bell(settings.bell_dir), HOST)
        self.dispatchers.append(made)
        return made

    def until(self, dispatcher: Dispatcher, number: int, *states: DeploymentState) -> Deployment:
        """Tick until the deployment is in one of the states, at first: until it has ended."""

        def there() -> Deployment | None:
            dispatcher.tick(now=clock.now())
            row = deployments.find(number)
            state = DeploymentState(row.state)
            return row if (state in states if states else state.final) else None

        return eventually(there, f"deployment {number}")

    def until_said(self, dispatcher: Dispatcher, number: int, words: str) -> str:
        """Tick until the queued deployment's reason has these words."""

        def said() -> str | None:
            dispatcher.tick(now=clock.now())
            row = deployments.find(number)
            return row.reason if words in row.reason else None

        return eventually(said, words)

    def when(self, dispatcher: Dispatcher, look: Callable[[], T | None], what: str) -> T:
        """Tick until `look` finds something."""

        def found() -> T | None:
            dispatcher.tick(now=clock.now())
            return look()

        return eventually(found, what)

    def stop(self, dispatcher: Dispatcher) -> None:
        """As at the end of a process."""
        dispatcher.stopping.set()
        for thread in threading.enumerate():
            if thread.name.startswith(("run ", "checkout ")):
                thread.join()
        dispatcher.end()

    def log(self, number: int) -> list[str]:
        """The log's lines."""
        return logs.read(number).data.decode().splitlines()

    def leftovers(self) -> list[str]:
        """What is in the folders of runs and checkouts, but for what waits for the next run."""
        folders = (self.settings.runs_dir, self.settings.checkouts_dir)
        names = [name for folder in folders if folder.is_dir() for name in os.listdir(folder)]
        return [name for name in names if not name.startswith(NEXT)]


@pytest.fixture
def bot(home: Path, host: GitHost, database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bot]:
    """A bot of its own for each test; it is impatient."""
    assert database
    monkeypatch.setattr(preparing, "FIRST_RETRY", 0.05)
    made = Bot(home, host.url)
    yield made
    host.open.set()
    for dispatcher in made.dispatchers:
        made.stop(dispatcher)
    process.dismiss_spare()
    clear([RunFolder(str(path)) for path in made.settings.runs_dir.iterdir()])


def test_a_script_runs_in_the_commits_tree(bot: Bot, shop: Repository) -> None:
    """By the service folder's own file; nothing is left of the tree at its end."""
    bot.service()
    dispatcher = bot.dispatcher()
    first = shop.head
    shop.commit({"file": "two\n"})

    number = bot.order(first)
    assert DeploymentState.SUCCESS == bot.until(dispatcher, number).state

    here, content, sha, told = bot.log(number)
    assert ("one", first) == (content, sha)
    assert "Change" == deployments.find(number).title, "nobody had told what the commit is called"
    assert here == told
    assert here.startswith(f"{bot.settings.runs_dir}/{number}-")
    assert eventually(lambda: not bot.leftovers(), "an empty folder")


def test_a_title_that_cannot_be_written_down_costs_no_checkout(
    bot: Bot, shop: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the database is busy for long: what was fetched is not fetched again for it."""
    tries: list[int] = []

    def refuse(number: int, _: str) -> None:
        tries.append(number)
        raise Unavailable("the database is busy")

    monkeypatch.setattr(titles, "learn", refuse)
    bot.service()
    number = bot.order(shop.head)

    row = bot.until(bot.dispatcher(), number)

    assert (DeploymentState.SUCCESS, "", [number]) == (row.state, row.title, tries)


def test_the_commits_own_script_runs_where_the_command_says_so(bot: Bot, shop: Repository) -> None:
    """Anywhere in the command."""
    bot.service(command=["{checkout}/deploy.sh"])
    other = "cat {checkout}/file; cat ./file"
    bot.service(name="other", command=["sh", "-c", other])
    dispatcher = bot.dispatcher()

    numbers = [bot.order(shop.head, name=name) for name in ("shop", "other")]
    for number in numbers:
        bot.until(dispatcher, number)

    assert ["of the commit"] == bot.log(numbers[0])
    assert ["one", "one"] == bot.log(numbers[1])


def test_a_path_is_the_service_folders_file(bot: Bot, shop: Repository) -> None:
    """Of arguments as well: a commit must not put its own in their place."""
    bot.service("echo of the service", command=["sh", "./deploy.sh"])
    dispatcher = bot.dispatcher()

    number = bot.order(shop.head)
    bot.until(dispatcher, number)

    assert ["of the service"] == bot.log(number)


def test_while_it_is_fetched_the_reason_says_so(bot: Bot, shop: Repository, host: GitHost) -> None:
    """And others run meanwhile."""
    host.open.clear()
    bot.service()
    bot.service("echo hello", name="plain", checkout=False)
    dispatcher = bot.dispatcher(max_running=1)
    number = bot.order(shop.head)
    assert "fetches octo-org/shop" == bot.until_said(dispatcher, number, "fetches")

    assert DeploymentState.SUCCESS == bot.until(dispatcher, bot.order("1" * 40, name="plain")).state
    assert DeploymentState.QUEUED == deployments.find(number).state
    host.open.set()
    assert DeploymentState.SUCCESS == bot.until(dispatcher, number).state


def test_trouble_on_the_way_is_tried_again(bot: Bot, shop: Repository, host: GitHost) -> None:
    """For as long as it takes, with what is wrong as the reason."""
    host.fail_with = 503
    bot.service()
    dispatcher = bot.dispatcher()
    number = bot.order(shop.head)
    reason = bot.until_said(dispatcher, number, "tried again")
    assert "503" in reason
    asked = len(host.requests)
    bot.when(dispatcher, lambda: len(host.requests) > asked + 1, "more tries")

    host.fail_with = None

    assert DeploymentState.SUCCESS == bot.until(dispatcher, number).state


def test_a_commit_that_comes_late_is_waited_for(bot: Bot, shop: Repository) -> None:
    """A server may not know it yet."""
    bot.service()
    dispatcher = bot.dispatcher()
    shop.git("commit", "--quiet", "--allow-empty", "--message", "Late")
    number = bot.order(shop.head)
    bot.until_said(dispatcher, number, f"it has no commit {shop.head}; it is tried again")

    shop.git("push", "--quiet", "origin", "HEAD:refs/heads/main")

    assert DeploymentState.SUCCESS == bot.until(dispatcher, number).state


def test_a_commit_that_is_not_there_fails_the_deployment(bot: Bot, shop: Repository) -> None:
    """With the reason in its log; the next one of the service begins."""
    bot.service()
    dispatcher = bot.dispatcher()
    number, good = bot.order("1" * 40), bot.order(shop.head)

    row = bot.until(dispatcher, number)

    assert DeploymentState.FAILURE == row.state
    assert f"octo-org/shop cannot be checked out: it has no commit {'1' * 40}" == row.reason
    assert [f"fastdeploy: {row.reason}"] == bot.log(number)
    assert DeploymentState.SUCCESS == bot.until(dispatcher, good).state


def test_a_private_repository_without_credentials_fails(bot: Bot, shop: Repository, host: GitHost) -> None:
    """And the reason says what is missing."""
    host.tokens = {TOKEN}
    bot.service()
    number = bot.order(shop.head)

    row = bot.until(bot.dispatcher(), number)

    assert DeploymentState.FAILURE == row.state
    assert "public repositories alone" in row.reason


def test_the_token_signs_fetches_in(bot: Bot, shop: Repository, host: GitHost) -> None:
    """And the script is not given it."""
    host.tokens = {TOKEN}
    bot.service("env; cat .git/config")
    number = bot.order(shop.head)

    row = bot.until(bot.dispatcher(github_token=TOKEN), number)

    assert DeploymentState.SUCCESS == row.state
    assert TOKEN not in "\n".join(bot.log(number))


def test_a_refused_token_is_not_shown(bot: Bot, shop: Repository, host: GitHost) -> None:
    """Not in the reason, not in the log."""
    host.tokens = {TOKEN}
    bot.service()
    number = bot.order(shop.head)

    row = bot.until(bot.dispatcher(github_token=f"wrong{TOKEN}"), number)

    assert DeploymentState.FAILURE == row.state
    assert TOKEN not in row.reason
    assert TOKEN not in "\n".join(bot.log(number))


def test_what_is_cancelled_is_not_fetched_any_more(bot: Bot, shop: Repository, host: GitHost) -> None:
    """All is thrown away."""
    host.open.clear()
    bot.service()
    dispatcher = bot.dispatcher()
    number = bot.order(shop.head)
    bot.until_said(dispatcher, number, "fetches")
    host.waiting.acquire()

    deployments.cancel(number, by=ANNA, now=clock.now())

    bot.when(dispatcher, lambda: not dispatcher._preparing.busy, "the end of the fetch")
    assert [] == bot.leftovers()
    assert DeploymentState.CANCELLED == deployments.find(number).state


def test_another_engine_goes_on_where_one_stopped(bot: Bot, shop: Repository, host: GitHost) -> None:
    """One of a host at a time."""
    host.open.clear()
    bot.service()
    first, second = bot.dispatcher(), bot.dispatcher()
    number = bot.order(shop.head)
    bot.until_said(first, number, "fetches")
    host.waiting.acquire()
    second.tick(now=clock.now())
    assert 1 == sum(thread.name.startswith("checkout ") for thread in threading.enumerate())

    bot.stop(first)
    host.open.set()

    assert DeploymentState.SUCCESS == bot.until(second, number).state


def test_a_lock_throws_the_checkout_away(bot: Bot, shop: Repository, host: GitHost) -> None:
    """It is made again when the lock ends, and the deployment runs then."""
    host.open.clear()
    bot.service()
    dispatcher = bot.dispatcher()
    number = bot.order(shop.head)
    bot.until_said(dispatcher, number, "fetches")
    locking.lock("shop", {}, Wish(reason="no"), by=ANNA, now=clock.now())
    host.open.set()
    bot.when(dispatcher, lambda: not dispatcher._preparing.busy, "nothing on its way")
    assert [] == bot.leftovers()

    locking.unlock("shop", {}, by=ANNA, now=clock.now())

    assert DeploymentState.SUCCESS == bot.until(dispatcher, number).state


def test_a_tree_that_somebody_took_away_is_made_again(bot: Bot, shop: Repository) -> None:
    """As long as the deployment is queued."""
    bot.service()
    dispatcher = bot.dispatcher()
    number = bot.order(shop.head)
    row, file = deployments.find(number), ServiceFile(repository="octo-org/shop", checkout=True)
    look = dispatcher._preparing.look
    made = eventually(lambda: look(row, file, now=clock.now()), "the checkout")
    assert made.tree is not None
    removal.remove(str(made.tree))

    assert DeploymentState.SUCCESS == bot.until(dispatcher, number).state


# --- signed in as a GitHub App


@pytest.fixture
def hub(host: GitHost) -> Iterator[FakeHub]:
    """GitHub's API, whose tokens open what the forge serves."""

    def may(repository: str, token: str) -> bool:
        try:
            made.require(repository, token, contents="read")
        except Refused:
            return False
        return True

    with FakeHub() as made:
        host.judge = may
        yield made
    assert [] == made.wrongs


# --- whether it belongs -----------------------------------------------------------------------------------


def of_a_fork(shop: Repository) -> str:
    """A commit that the repository serves by its sha, as GitHub does those of forks; no branch leads to it."""
    stranger = shop.commit({"file": "stranger\n"}, push="away")
    shop.git("push", "--quiet", "origin", "HEAD:refs/pull/1/head", ":refs/heads/away")
    return stranger


@pytest.mark.parametrize("names", [{}, {"branches": ["main"]}, {"branches": ["*", "!away"]}, {"tags": ["v*"]}], ids=str)
def test_a_commit_of_a_fork_is_not_deployed(bot: Bot, shop: Repository, names: Any) -> None:
    """Where there are no credentials to ask GitHub with, the repository itself is asked; a retry asks it again."""
    bot.service(**names)
    dispatcher, stranger = bot.dispatcher(), of_a_fork(shop)

    row = bot.until(dispatcher, bot.order(stranger))

    told = f"{stranger[:7]} is part of no branch or tag that the service deploys: push it to one first"
    assert (DeploymentState.FAILURE, f"octo-org/shop cannot be checked out: {told}") == (row.state, row.reason)
    entries = Catalogue(bot.settings.services_dir).entries()
    again = store.write(lambda: retries.retry(row.id, entries, by=ANNA, now=clock.now()))
    assert DeploymentState.FAILURE == bot.until(dispatcher, again.id).state
    assert not (bot.settings.mirrors_dir / "octo-org+shop.git" / "refs" / "asked").exists()


@pytest.mark.parametrize("names", [{}, {"branches": ["main"]}, {"branches": ["ma*"]}, {"tags": ["v*"]}], ids=str)
def test_a_commit_that_a_ref_leads_to_is_deployed(bot: Bot, shop: Repository, names: Any) -> None:
    """However far back; once it was live it needs no asking."""
    bot.service(**names)
    dispatcher, first = bot.dispatcher(), shop.head
    shop.commit({"file": "two\n"})
    shop.git("tag", "--annotate", "--message", "One", "v1")
    shop.git("push", "--quiet", "origin", "v1")

    assert DeploymentState.SUCCESS == bot.until(dispatcher, bot.order(first)).state

    shop.git("push", "--quiet", "--force", "origin", f"{of_a_fork(shop)}:refs/heads/main", ":refs/tags/v1")
    assert DeploymentState.SUCCESS == bot.until(dispatcher, bot.order(first)).state


@pytest.fixture
def app(bot: Bot, hub: FakeHub) -> Dispatcher:
    """A dispatcher that signs in as the App."""
    return bot.dispatcher(github_api_url=hub.url, github_client_id=fakehub.CLIENT_ID, github_private_key=appkeys.pem())


def test_an_apps_token_may_read_that_repository_and_nothing_else(
    bot: Bot, app: Dispatcher, hub: FakeHub, shop: Repository
) -> None:
    """One for all deployments of an hour."""
    bot.service()
    for _ in range(2):
        assert DeploymentState.SUCCESS == bot.until(app, bot.order(shop.commit())).state

    [token] = hub.tokens.values()
    assert ("octo-org/shop", {"metadata": "read", "contents": "read"}) == (token.repository, token.permissions)


def test_a_token_that_died_early_is_renewed(bot: Bot, app: Dispatcher, hub: FakeHub, shop: Repository) -> None:
    """As when somebody suspends the App for a moment."""
    bot.service()
    bot.until(app, bot.order(shop.head))
    hub.tokens.clear()

    assert DeploymentState.SUCCESS == bot.until(app, bot.order(shop.commit())).state


def test_a_repository_without_the_app_is_read_as_by_anybody(
    bot: Bot, app: Dispatcher, hub: FakeHub, host: GitHost, shop: Repository
) -> None:
    """A private one fails, with what to look at."""
    hub.installations.clear()
    bot.service()

    row = bot.until(app, bot.order(shop.head))
    assert DeploymentState.FAILURE == row.state
    assert "is the GitHub App installed on the repository?" in row.reason

    host.judge = None
    assert DeploymentState.SUCCESS == bot.until(app, bot.order(shop.head)).state


def test_while_github_wants_silence_no_token_is_asked_for(
    bot: Bot, app: Dispatcher, hub: FakeHub, shop: Repository
) -> None:
    """One that is there is used."""
    bot.service()
    until = clock.now() + clock.DAY
    leases.be_silent(until=until, now=clock.now())
    number = bot.order(shop.head)
    bot.until_said(app, number, "GitHub wants to be asked nothing until")
    assert [] == hub.calls
    deployments.cancel(number, by=ANNA, now=clock.now())

    store.write(lambda: Lease.delete().execute())
    bot.until(app, bot.order(shop.head))
    leases.be_silent(until=until, now=clock.now())

    assert DeploymentState.SUCCESS == bot.until(app, bot.order(shop.commit())).state


def test_a_limit_that_a_fetch_hears_of_holds_for_everybody(
    bot: Bot, app: Dispatcher, hub: FakeHub, shop: Repository
) -> None:
    """For the fetch that comes next, and for the desk."""
    bot.service()
    hub.fail(Fault(429, "Slow down", {"Retry-After": "60"}), on="access_tokens")
    number = bot.order(shop.head)
    bot.until_said(app, number, "GitHub answered 429")
    asked = len(hub.calls)
    deployments.cancel(number, by=ANNA, now=clock.now())

    bot.until_said(app, bot.order(shop.commit()), "GitHub wants to be asked nothing until")

    assert asked == len(hub.calls)
    assert leases.silent_until(now=clock.now()) is not None


def test_a_repository_that_has_moved_is_asked_for_by_its_new_name(
    bot: Bot, hub: FakeHub, host: GitHost, shop: Repository
) -> None:
    """Which the API tells; the token goes nowhere else."""
    hub.renamed = {"octo-org/old"}
    host.moved = {"octo-org/old": "octo-org/shop"}
    bot.service()
    number = bot.order(shop.head, repository="octo-org/old")

    row = bot.until(bot.dispatcher(github_api_url=hub.url, github_token=fakehub.TOKEN), number)

    assert (DeploymentState.SUCCESS, "") == (row.state, row.reason)


# --- submodules


@pytest.fixture
def lib(host: GitHost) -> Repository:
    """A repository that others have in theirs."""
    made = host.repository("octo-org/lib")
    made.commit({"lib": "library\n"})
    return made


@pytest.mark.parametrize(
    "url", ["../lib.git", "../../octo-org/lib", "{forge}/octo-org/lib.git", "git@127.0.0.1:octo-org/lib.git"]
)
def test_submodules_come_where_they_are_asked_for(
    bot: Bot, shop: Repository, lib: Repository, host: GitHost, url: str
) -> None:
    """At exactly the commit, though the branch has moved on, and by the token."""
    host.tokens = {TOKEN}
    shop.add_submodule("parts/lib", url.format(forge=host.url), lib.head)
    lib.commit({"lib": "newer\n"})
    bot.service("cat parts/lib/lib; git status --porcelain", submodules=True)
    number = bot.order(shop.commit())

    row = bot.until(bot.dispatcher(github_token=TOKEN), number)

    assert (DeploymentState.SUCCESS, "") == (row.state, row.reason)
    assert ["library"] == bot.log(number)


def test_submodules_of_submodules_come_as_well(bot: Bot, shop: Repository, lib: Repository, host: GitHost) -> None:
    """As far as that goes on."""
    inner = host.repository("octo-org/inner")
    lib.add_submodule("inner", "../inner.git", inner.commit({"file": "inmost\n"}))
    shop.add_submodule("lib", "../lib.git", lib.commit())
    bot.service("cat lib/inner/file", submodules=True)
    number = bot.order(shop.commit())

    bot.until(bot.dispatcher(), number)

    assert ["inmost"] == bot.log(number)


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example/octo-org/lib.git",
        "../../../etc",
        "file:///etc",
        "--upload-pack=x",
        "",
        "ext::sh -c x",
    ],
)
def test_a_submodule_of_another_host_fails_the_deployment(
    bot: Bot, shop: Repository, lib: Repository, url: str
) -> None:
    """Nobody but the forge is ever asked."""
    shop.add_submodule("lib", url, lib.head)
    bot.service(submodules=True)
    number = bot.order(shop.commit())

    row = bot.until(bot.dispatcher(), number)

    assert DeploymentState.FAILURE == row.state
    assert "octo-org/shop cannot be checked out: " in row.reason


def test_a_submodules_commit_that_is_not_there_is_named(bot: Bot, shop: Repository, lib: Repository) -> None:
    """With its repository."""
    assert lib.head
    shop.add_submodule("lib", "../lib.git", "1" * 40)
    bot.service(submodules=True)
    number = bot.order(shop.commit())

    row = bot.until(bot.dispatcher(), number)

    assert f"submodule lib (octo-org/lib): it has no commit {'1' * 40}" in row.reason


# --- a run that never began


@pytest.fixture
def claimed(bot: Bot, shop: Repository, monkeypatch: pytest.MonkeyPatch) -> int:
    """A deployment that runs, by its row, and whose engine died before it told a child."""
    bot.service()
    first = bot.dispatcher()
    number = bot.order(shop.head)

    class Killed(BaseException):
        """As by SIGKILL."""

    def die(_job: object) -> None:
        raise Killed

    monkeypatch.setattr(process, "start", die)
    with pytest.raises(Killed):
        bot.until(first, number)
    monkeypatch.undo()
    [run] = bot.leftovers()
    bot.stop(first)
    assert DeploymentState.RUNNING == deployments.find(number).state
    assert deployments.find(number).run == run
    return number


def test_a_run_that_never_began_begins_again_with_its_tree(bot: Bot, claimed: int, host: GitHost) -> None:
    """Nothing is fetched twice."""
    asked = len(host.requests)

    assert DeploymentState.SUCCESS == bot.until(bot.dispatcher(), claimed).state

    assert "one" == bot.log(claimed)[1]
    assert asked == len(host.requests)


def test_a_tree_of_before_the_hosts_start_is_not_trusted(
    bot: Bot, claimed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of it may never have come to the disk."""
    monkeypatch.setattr(checkout, "boot", lambda: "another")
    assert tree.boot() != "another"

    row = bot.until(bot.dispatcher(), claimed)

    assert DeploymentState.FAILURE == row.state
    assert "started anew" in row.reason
