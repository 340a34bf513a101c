"""The doctor: each fault is planted in a healthy bot, and found with its mend; the healthy one has none."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

import appkeys
from callers import user_of
from databases import Server
from fakehub import CLIENT_ID, TOKEN, FakeHub
from fastdeploy_bot import sources, store
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.cli import examining, home
from fastdeploy_bot.cli.checks import Check, Finding, Level, Patient, host, reach, rows, secrecy, services, unit
from fastdeploy_bot.core import clock, leases
from fastdeploy_bot.core.deploying.services import sync
from fastdeploy_bot.core.files import secrets as secret_store
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.store import sqlite
from fastdeploy_bot.store.models import Deployment, Question, Report, Service, User, Watch
from fastdeploy_bot.words import WebhookSecret
from listeners import Answers, listening

ROOT = Path(__file__).resolve().parents[2]
OTHER_USER = 12_345
MOUNTS = "/dev/vda / ext4 rw 0 0\n"
HOUR = 3_600


class Healthy(Answers):
    """A bot that answers."""

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        """What /healthz says."""
        self.answer(200, b'{"status":"ok"}')


class Sick(Answers):
    """Something else that answers."""

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        """A page."""
        self.answer(200, b"<h1>Welcome</h1>", kind="text/html")


@pytest.fixture
def world() -> Iterator[ExitStack]:
    """What a bot has around it, for one test."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def hub(world: ExitStack) -> FakeHub:
    """A GitHub."""
    return world.enter_context(FakeHub())


@pytest.fixture
def patient(tmp_path: Path, world: ExitStack, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> Patient:
    """A healthy bot: made by `init`, with a service and its secret, a server, an engine and a GitHub."""
    monkeypatch.setitem(sqlite.PRAGMAS, "synchronous", "off")
    folder = tmp_path / "home"
    home.make(folder)
    made = sources.load(environ={"FASTDEPLOY_HOME": str(folder)}).settings
    url = world.enter_context(listening(Healthy))
    made = replace(made, local_url=url, public_url=url, github_token=TOKEN, github_api_url=hub.url)
    mask = os.umask(0o077)
    store.connect(made.effective_database_url)
    store.migrate()
    user_of("admin")
    os.umask(mask)
    world.callback(store.disconnect)
    world.enter_context(Bell(made.bell_dir).listen())
    secret_store.put(made.secrets_dir, "shop", "DB_PASSWORD", "correct horse")
    shop = made.services_dir / "shop"
    shop.mkdir()
    (shop / "service.toml").write_text(
        'repository = "octo-org/shop"\ncommand = ["./deploy"]\nsecrets = ["DB_PASSWORD"]\ntimeout = "15m"\n'
    )
    (shop / "deploy").write_text("#!/usr/bin/env sh\n")
    (shop / "deploy").chmod(0o755)
    units = tmp_path / "units"
    units.mkdir()
    text = (ROOT / "docs" / "fastdeploy.service").read_text().replace("/home/deploy/instance", str(folder))
    (units / "fastdeploy.service").write_text(text)
    return Patient(
        settings=made, environ=os.environ, user=os.geteuid(), mounts=MOUNTS, units=(units,), room=lambda _: room()
    )


def room(free: int = 10 << 30, inodes: int = 1_000_000) -> os.statvfs_result:
    """A disk with so much room."""
    told = SimpleNamespace(f_bavail=free // 4096, f_frsize=4096, f_files=2_000_000, f_favail=inodes)
    return cast("os.statvfs_result", told)


def found(patient: Patient, *checks: Check) -> list[Finding]:
    """All that is not well, by these checks or by all."""
    return [each for each in examining.examine(patient, checks or examining.CHECKS) if each.level is not Level.OK]


def only(patient: Patient, level: Level, check: Check) -> Finding:
    """The one thing that this check finds, which must say why it matters and what to type."""
    [finding] = found(patient, check)
    assert level is finding.level, finding
    assert finding.why
    assert finding.mend
    return finding


# --- the whole


def test_a_healthy_bot_has_no_findings(patient: Patient, hub: FakeHub) -> None:
    """Every check says that all is well, and GitHub was asked as it describes."""
    findings = examining.examine(patient, examining.CHECKS)

    assert [] == [each for each in findings if each.level is not Level.OK]
    assert len({each.check for each in findings}) == len(examining.CHECKS)
    assert [] == hub.wrongs


def test_no_finding_tells_a_secret(patient: Patient) -> None:
    """Not of weak ones, and not of those that are open to others."""
    weak = replace(patient.settings, secret_key="password1", webhook_secrets=(WebhookSecret("hunter2"),))
    (weak.home / "fastdeploy.toml").chmod(0o644)
    text = (weak.home / "fastdeploy.toml").read_text()

    said = repr(examining.examine(replace(patient, settings=weak), examining.CHECKS))

    known = [line.split('"')[1] for line in text.splitlines() if line.startswith(("secret_key", "webhook_secrets"))]
    assert len(known) == 2
    assert not [secret for secret in ("password1", "hunter2", "correct horse", TOKEN, *known) if secret in said]


def test_a_check_that_crashes_is_a_finding(patient: Patient) -> None:
    """And the others are made all the same; what the error says may hold a secret, and is not told."""

    def broken(_: Patient) -> Iterator[Finding]:
        raise ValueError("hunter2")

    crashed, well = examining.examine(patient, (broken, secrecy.secret_key))

    assert ("broken", Level.FAIL) == (crashed.check, crashed.level)
    assert "ValueError" in crashed.what
    assert "hunter2" not in repr(crashed)
    assert Level.OK is well.level


def test_a_check_that_does_not_end_is_a_finding(patient: Patient, world: ExitStack) -> None:
    """Nobody waits for a file system that hangs."""
    enough = threading.Event()
    world.callback(enough.set)

    def stuck(_: Patient) -> Iterator[Finding]:
        enough.wait()
        yield from ()

    [finding] = examining.examine(patient, (stuck,), seconds=0.01)

    assert ("stuck", Level.FAIL) == (finding.check, finding.level)


def test_without_a_home_that_is_the_one_finding(patient: Patient, tmp_path: Path) -> None:
    """With the command that makes one, or what names another."""
    away = replace(patient, settings=replace(patient.settings, home=tmp_path / "nowhere"))

    [finding] = found(away)

    assert ("there is nothing to look at", "fastdeploy init, or set FASTDEPLOY_HOME") == (finding.why, finding.mend)


# --- secrets


@pytest.mark.parametrize("key", [None, "short", "changeme-changeme-changeme", "k" * 40])
def test_a_secret_key_that_can_be_guessed_is_found(patient: Patient, key: str | None) -> None:
    """Missing, short, well known, or of one character."""
    weak = replace(patient, settings=replace(patient.settings, secret_key=key))

    assert "secret_key" in only(weak, Level.FAIL, secrecy.secret_key).what


@pytest.mark.parametrize("secrets", [(), ("short",), ("a strong one, as they go", "secretsecretsecret")])
def test_a_webhook_secret_that_can_be_guessed_is_found(patient: Patient, secrets: tuple[str, ...]) -> None:
    """None at all, or one of several."""
    chosen = tuple(WebhookSecret(each) for each in secrets)
    weak = replace(patient, settings=replace(patient.settings, webhook_secrets=chosen))

    assert "webhook" in only(weak, Level.FAIL, secrecy.webhook_secrets).what


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("fastdeploy.toml", 0o644),
        ("fastdeploy.db", 0o640),
        ("secrets", 0o755),
        ("secrets/shop", 0o711),
        ("secrets/shop/DB_PASSWORD", 0o604),
        ("app.key", 0o644),
        ("app.pem", 0o660),
    ],
)
def test_a_secret_that_others_can_read_is_found(patient: Patient, name: str, mode: int) -> None:
    """Settings, database, secrets, keys; with the chmod that mends it, which does."""
    path = patient.settings.home / name
    if not path.exists():
        path.write_text("key")
    path.chmod(mode)

    finding = only(patient, Level.FAIL, secrecy.file_modes)

    assert f"chmod go-rwx {path}" == finding.mend
    path.chmod(mode & 0o700)
    assert [] == found(patient, secrecy.file_modes)


def test_a_secret_s_own_file_is_looked_at_wherever_it_is(patient: Patient, tmp_path: Path) -> None:
    """A setting names it."""
    elsewhere = tmp_path / "token"
    elsewhere.write_text("value")
    elsewhere.chmod(0o644)
    with (patient.settings.home / "fastdeploy.toml").open("a") as file:
        file.write(f'github_token_file = "{elsewhere}"\n')

    assert str(elsewhere) in only(patient, Level.FAIL, secrecy.file_modes).what


def test_a_home_that_others_can_write_is_found(patient: Patient) -> None:
    """They could put a script there."""
    patient.settings.home.chmod(0o770)

    assert "chmod go-w" in only(patient, Level.FAIL, secrecy.file_modes).mend


def test_another_user_s_home_is_found(patient: Patient) -> None:
    """A command that runs as root leaves files that the bot cannot write."""
    stranger = replace(patient, user=OTHER_USER)

    assert "sudo -u" in only(stranger, Level.FAIL, secrecy.owner).mend


def test_what_another_user_left_in_home_is_found(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a database file that root made."""
    foreign = patient.settings.home / "host-id"
    foreign.touch()
    if os.geteuid() == 0:
        os.chown(foreign, OTHER_USER, OTHER_USER)
    else:  # only root can give a file away
        real = Path.lstat
        theirs = SimpleNamespace(st_uid=OTHER_USER)
        monkeypatch.setattr(Path, "lstat", lambda path: theirs if path == foreign else real(path))

    assert f"{foreign}" in only(patient, Level.FAIL, secrecy.owner).mend


# --- the host


@pytest.mark.parametrize(("ahead", "level"), [(60, Level.WARN), (-60, Level.WARN), (HOUR, Level.FAIL)])
def test_a_clock_that_is_wrong_is_found(patient: Patient, ahead: int, level: Level) -> None:
    """Beside GitHub's."""
    wrong = replace(patient, clock=lambda: time.time() + ahead)

    finding = only(wrong, level, host.clock)

    assert ("ahead of" if ahead > 0 else "behind") in finding.what
    assert "set-ntp" in finding.mend


def test_a_github_that_does_not_answer_says_nothing_of_the_clock(patient: Patient) -> None:
    """The check of the credentials tells that it cannot be reached."""
    away = replace(patient, settings=replace(patient.settings, github_api_url="http://127.0.0.1:1"))

    assert [] == found(away, host.clock)


@pytest.mark.parametrize(
    ("left", "level"),
    [
        (room(free=50 << 20), Level.FAIL),
        (room(free=500 << 20), Level.WARN),
        (room(inodes=10), Level.FAIL),
        (room(inodes=5_000), Level.WARN),
    ],
)
def test_a_disk_that_is_nearly_full_is_found(patient: Patient, left: os.statvfs_result, level: Level) -> None:
    """Of bytes, or of files."""
    assert "df -i" in only(replace(patient, room=lambda _: left), level, host.disk).mend


def test_the_disk_is_asked_itself(patient: Patient) -> None:
    """What the host says of a real one is understood."""
    [finding] = examining.examine(replace(patient, room=os.statvfs), (host.disk,))

    assert "MiB" in finding.what


@pytest.mark.parametrize(
    ("mount", "level", "word"),
    [
        ("server:/export {} nfs4 rw 0 0", Level.FAIL, "network"),
        ("//server/share {} cifs rw 0 0", Level.FAIL, "network"),
        ("tmpfs {} tmpfs rw,nosuid 0 0", Level.FAIL, "memory"),
        ("/dev/vdb {} ext4 rw,noexec 0 0", Level.FAIL, "noexec"),
        ("overlay {} overlay rw 0 0", Level.WARN, "container"),
    ],
)
def test_a_home_on_the_wrong_file_system_is_found(patient: Patient, mount: str, level: Level, word: str) -> None:
    """The innermost mount counts, also where its path has a space."""
    folder = patient.settings.home.parent / "a b"
    folder.mkdir()
    moved = replace(patient.settings, home=patient.settings.home.rename(folder / "home"))
    mounts = MOUNTS + mount.format(str(folder).replace(" ", r"\040")) + "\n"

    assert word in only(replace(patient, settings=moved, mounts=mounts), level, host.filesystem).what


def test_what_is_mounted_really_is_understood(patient: Patient) -> None:
    """This host's own mounts."""
    mounts = Path("/proc/self/mounts").read_text()

    [finding] = examining.examine(replace(patient, mounts=mounts), (host.filesystem,))

    assert str(patient.settings.home) in finding.what or "home lies on" in finding.what


@pytest.mark.parametrize("git", [None, "exit 1", "echo git version 1.8.3"])
def test_a_git_that_does_not_do_is_found(patient: Patient, tmp_path: Path, git: str | None) -> None:
    """None, a broken one, an old one."""
    programs = tmp_path / "bin"
    programs.mkdir()
    if git is not None:
        (programs / "git").write_text(f"#!/bin/sh\n{git}\n")
        (programs / "git").chmod(0o755)

    assert "git" in only(replace(patient, environ={"PATH": str(programs)}), Level.WARN, host.git).what


# --- systemd


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("KillMode=process\n", ""),
        ("KillMode=process\n", "KillMode=mixed\n"),
        ("PrivateTmp=no\n", "PrivateTmp=true\n"),
    ],
)
def test_a_unit_that_harms_scripts_is_found(patient: Patient, line: str, instead: str) -> None:
    """Systemd's default does, too."""
    path = patient.units[0] / "fastdeploy.service"
    path.write_text(path.read_text().replace(line, instead))

    finding = only(patient, Level.FAIL, unit.systemd)

    assert "systemctl edit fastdeploy.service" in finding.mend
    assert line.strip() in finding.mend


def test_what_was_edited_into_a_unit_counts(patient: Patient) -> None:
    """As the mend says to do it."""
    path = patient.units[0] / "fastdeploy.service"
    path.write_text(path.read_text().replace("KillMode=process\n", ""))
    edited = patient.units[0] / "fastdeploy.service.d"
    edited.mkdir()
    (edited / "override.conf").write_text("[Service]\nKillMode=process\n")

    assert [] == found(patient, unit.systemd)


def test_the_unit_of_another_bot_is_not_ours(patient: Patient) -> None:
    """It names another home."""
    path = patient.units[0] / "fastdeploy.service"
    other = path.read_text().replace(str(patient.settings.home), "/srv/other").replace("KillMode=process\n", "")
    path.write_text(other)

    assert [] == found(patient, unit.systemd)


# --- the database


def test_a_missing_database_is_found_and_not_made(patient: Patient) -> None:
    """Looking does not change anything."""
    path = patient.settings.home / "fastdeploy.db"
    store.disconnect()
    for file in patient.settings.home.glob("fastdeploy.db*"):
        file.unlink()

    assert "fastdeploy migrate" == only(patient, Level.FAIL, rows.database).mend
    assert [] == found(patient, rows.users, rows.reports, rows.other_hosts)
    assert not path.exists()


def test_a_bot_that_nobody_administers_is_found(patient: Patient) -> None:
    """Viewers and deployers let nobody in."""
    store.write(lambda: User.update(role="deployer").execute())

    assert "fastdeploy user add NAME --role admin" == only(patient, Level.FAIL, rows.users).mend


def test_an_old_schema_is_found(patient: Patient) -> None:
    """With the command that mends it."""
    store.disconnect()
    path = patient.settings.home / "fastdeploy.db"
    for file in patient.settings.home.glob("fastdeploy.db*"):
        file.unlink()
    sqlite3.connect(path).close()
    path.touch()

    assert "fastdeploy migrate" in only(patient, Level.FAIL, rows.database).mend


def test_a_broken_database_is_found(patient: Patient) -> None:
    """A page of an index has been overwritten."""
    path = patient.settings.home / "fastdeploy.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = database.execute("SELECT max(rootpage) FROM sqlite_master WHERE type = 'index'").fetchone()
    store.disconnect()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)

    assert [Level.FAIL] == sorted({each.level for each in found(patient, rows.database)})
    assert "backup" in found(patient, rows.database)[0].mend


def test_a_journal_that_is_not_a_log_is_found(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that cannot do better."""
    store.disconnect()
    monkeypatch.setitem(sqlite.PRAGMAS, "journal_mode", "delete")

    assert "journal mode" in only(patient, Level.FAIL, rows.database).what


def test_a_database_that_is_locked_is_found(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody holds it."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0)
    with closing(sqlite3.connect(patient.settings.home / "fastdeploy.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        assert "cannot be used" in only(patient, Level.FAIL, rows.database).what


def test_a_postgresql_that_may_lose_commits_is_found(patient: Patient, postgres: Server) -> None:
    """The tests' own does not write through, and is told so."""
    theirs = replace(patient, settings=replace(patient.settings, database_url=postgres.ready()))

    assert {"fsync", "full_page_writes"} == {
        each.what.split(": ")[1].split()[0] for each in found(theirs, rows.database) if each.level is Level.FAIL
    }


def row(patient: Patient, **values: Any) -> Deployment:
    """A deployment of shop."""
    sync(Catalogue(patient.settings.services_dir).entries(), now=1)
    given = {
        "service": Service.get(Service.name == "shop"),
        "repository": "octo-org/shop",
        "ref": "refs/heads/main",
        "sha": "5" * 40,
        "origin": "push",
        "actor": "octocat",
        "created": 1,
    }
    return store.write(lambda: Deployment.create(**given | values))


def test_a_report_that_github_refused_is_found(patient: Patient) -> None:
    """With what GitHub said."""
    deployment = row(patient, state="success")
    store.write(
        lambda: Report.create(
            repository="octo-org/shop",
            sha=deployment.sha,
            context="fastdeploy/shop",
            deployment=deployment,
            due=1,
            problem="GitHub answered 403: Resource not accessible",
        )
    )

    assert "403" in only(patient, Level.WARN, rows.reports).what


def test_a_repository_that_cannot_be_looked_at_is_found(patient: Patient) -> None:
    """With what GitHub said; what is only not repeated is told as well, and no harm."""
    for repository, problem, deaf in (
        ("octo-org/shop", "GitHub answered 404", ""),
        ("octo-org/blog", "", "no webhook"),
    ):
        told = {"repository": repository, "problem": problem, "deaf": deaf, "looked": 1}
        store.write(lambda: Watch.create(**told))  # noqa: B023

    assert "octo-org/shop" in only(patient, Level.WARN, rows.missed_pushes).what
    said = [each.what for each in examining.examine(patient, (rows.missed_pushes,))]
    assert "failed deliveries of octo-org/blog are not asked for again: no webhook" in said


def test_what_github_did_not_say_is_found(patient: Patient) -> None:
    """With why it did not; what it answered later is not."""

    def ask(repository: str, problem: str) -> None:
        told = {"repository": repository, "problem": problem, "asked": 1, "due": 1}
        Question.create(kind="changed", **told)

    store.write(lambda: ask("octo-org/blog", ""))
    assert [] == found(patient, rows.questions)
    store.write(lambda: ask("octo-org/shop", "GitHub answered 403: no"))

    told = only(patient, Level.WARN, rows.questions).what
    assert "which files differ between commits of octo-org/shop: GitHub answered 403: no" in told


def test_polling_without_credentials_is_found(patient: Patient) -> None:
    """Nobody would look."""
    blind = replace(patient, settings=replace(patient.settings, poll=60.0, github_token=None))

    assert "poll" in only(blind, Level.FAIL, rows.missed_pushes).what


def test_a_run_of_a_host_that_is_silent_is_found(patient: Patient) -> None:
    """One that goes on within its time is not."""
    now = int(time.time() * 1_000)
    definition = json.dumps({"repository": "octo-org/shop", "timeout": 900})
    late = row(patient, state="running", host="elsewhere", started=now - HOUR * 1_000, definition=definition)
    finding = only(patient, Level.WARN, rows.other_hosts)
    store.write(lambda: Deployment.update(started=now - 60_000).where(Deployment.id == late.id).execute())

    assert "elsewhere" in finding.mend
    assert [] == found(patient, rows.other_hosts)


# --- services


def test_a_bad_service_file_is_found(patient: Patient) -> None:
    """And the secrets and scripts of the others are looked at all the same."""
    (patient.settings.services_dir / "shop" / "service.toml").write_text("timeout = 5 5\n")

    assert "service.toml" in only(patient, Level.FAIL, services.service_files).mend
    assert [] == found(patient, services.service_secrets, services.scripts)


def test_a_secret_that_is_not_there_is_found(patient: Patient) -> None:
    """With the command that sets it."""
    secret_store.remove(patient.settings.secrets_dir, "shop", "DB_PASSWORD")

    assert "fastdeploy secret set shop DB_PASSWORD" == only(patient, Level.FAIL, services.service_secrets).mend


@pytest.mark.parametrize(
    ("plant", "mend"),
    [
        (lambda script: script.unlink(), "write"),
        (lambda script: script.chmod(0o644), "chmod +x"),
        (lambda script: script.write_text("echo no first line\n"), "#!/bin/sh"),
        (lambda script: script.write_bytes(b"#!/bin/sh\r\necho\r\n"), "sed -i"),
        (lambda script: script.write_text("#!/opt/none/python\n"), "install"),
        (lambda script: script.write_text("#!/usr/bin/env no-such-program\n"), "install"),
    ],
)
def test_a_script_that_cannot_be_run_is_found(patient: Patient, plant: Callable[[Path], object], mend: str) -> None:
    """Gone, not executable, without interpreter, from Windows."""
    plant(patient.settings.services_dir / "shop" / "deploy")

    assert mend in only(patient, Level.FAIL, services.scripts).mend


def test_a_command_that_is_no_program_is_found(patient: Patient) -> None:
    """It is looked for as the script would find it."""
    file = patient.settings.services_dir / "shop" / "service.toml"
    file.write_text('repository = "octo-org/shop"\ncommand = ["no-such-program"]\n')

    assert "no-such-program" in only(patient, Level.FAIL, services.scripts).what


# --- reach


def test_a_bot_that_does_not_answer_is_found(patient: Patient) -> None:
    """Where scripts look for it, and where GitHub does."""
    away = replace(patient.settings, local_url="http://127.0.0.1:1", public_url="http://127.0.0.1:1")
    elsewhere = replace(patient, settings=away)

    assert "fastdeploy serve" in only(elsewhere, Level.FAIL, reach.local_url).mend
    assert "docs/proxies.md" in only(elsewhere, Level.FAIL, reach.public_url).mend


def test_something_else_at_the_bot_s_address_is_found(patient: Patient, world: ExitStack) -> None:
    """A welcome page is no bot."""
    url = world.enter_context(listening(Sick))
    elsewhere = replace(patient, settings=replace(patient.settings, public_url=url))

    assert "not the bot" in only(elsewhere, Level.FAIL, reach.public_url).what


def test_a_public_url_that_is_not_set_is_worth_a_warning(patient: Patient) -> None:
    """Links would lead nowhere for others."""
    unset = replace(patient, settings=replace(patient.settings, public_url=None))

    assert "public_url" in only(unset, Level.WARN, reach.public_url).mend


def test_an_engine_that_sleeps_is_found(patient: Patient, world: ExitStack) -> None:
    """Nobody hears the bell; a bot for the web alone needs nobody who does."""
    world.close()

    assert "restart it" in only(patient, Level.FAIL, reach.engine).mend
    assert [] == found(replace(patient, settings=replace(patient.settings, max_running=0)), reach.engine)


def test_a_token_that_github_does_not_know_is_found(patient: Patient) -> None:
    """GitHub is asked once for each repository."""
    revoked = replace(patient, settings=replace(patient.settings, github_token="ghp_revoked"))

    finding = only(revoked, Level.FAIL, reach.github)

    assert "401" in finding.what
    assert "ghp_revoked" not in repr(finding)


def test_a_token_that_may_only_read_is_found(patient: Patient, hub: FakeHub) -> None:
    """Statuses would be refused later."""
    hub.pushes = False

    assert "read only" in only(patient, Level.FAIL, reach.github).what


def test_a_github_that_wants_silence_is_not_asked(patient: Patient, hub: FakeHub) -> None:
    """Not by a doctor either."""
    leases.be_silent(until=clock.now() + 60 * clock.SECOND, now=clock.now())

    assert "wants to be asked nothing" in only(patient, Level.WARN, reach.github).what
    assert [] == hub.calls


def test_a_github_that_is_away_is_worth_a_warning(patient: Patient, hub: FakeHub) -> None:
    """What is owed is told later."""
    hub.down = True

    assert "reached" in only(patient, Level.WARN, reach.github).what


def test_an_app_is_let_in_and_one_that_lacks_a_permission_is_found(patient: Patient, hub: FakeHub) -> None:
    """By its installation's token, as the bot does it."""
    app = replace(patient.settings, github_token=None, github_client_id=CLIENT_ID, github_private_key=appkeys.pem())
    signed = replace(patient, settings=app)
    well = found(signed, reach.github)
    hub.granted = {"metadata": "read"}

    assert [] == well
    assert "statuses write" in only(signed, Level.FAIL, reach.github).what


@pytest.mark.parametrize("kind", ["deployment", "check"])
def test_an_app_that_lacks_the_permission_of_a_kind_of_report_is_found(
    patient: Patient, hub: FakeHub, kind: str
) -> None:
    """Of what a service file asks for."""
    path = patient.settings.services_dir / "shop" / "service.toml"
    path.write_text(path.read_text().replace("repository =", f'report = ["status", "{kind}"]\nrepository ='))
    app = replace(patient.settings, github_token=None, github_client_id=CLIENT_ID, github_private_key=appkeys.pem())
    signed = replace(patient, settings=app)
    well = found(signed, reach.github)
    del hub.granted[f"{kind}s"]

    assert [] == well
    assert f"{kind}s write" in only(signed, Level.FAIL, reach.github).mend


def test_an_app_that_may_not_read_the_checks_that_a_service_waits_for_is_found(patient: Patient, hub: FakeHub) -> None:
    """Its pushes would wait until their limit."""
    wait_for_checks(patient)
    app = replace(patient.settings, github_token=None, github_client_id=CLIENT_ID, github_private_key=appkeys.pem())
    signed = replace(patient, settings=app)
    well = found(signed, reach.github)
    del hub.granted["checks"]

    assert [] == well
    assert "checks read" in only(signed, Level.FAIL, reach.github).mend


def test_a_service_that_waits_for_checks_without_credentials_is_found(patient: Patient) -> None:
    """Its pushes are refused."""
    wait_for_checks(patient)
    silent = replace(patient, settings=replace(patient.settings, github_token=None))

    assert "shop: wait_for" in only(silent, Level.FAIL, services.service_files).what
    assert [] == found(patient, services.service_files)


def wait_for_checks(patient: Patient) -> None:
    """Let the service wait for a check."""
    path = patient.settings.services_dir / "shop" / "service.toml"
    path.write_text(path.read_text().replace("repository =", 'wait_for = ["test"]\nrepository ='))


def test_a_token_for_a_service_that_wants_check_runs_is_found(patient: Patient) -> None:
    """GitHub is not even asked."""
    path = patient.settings.services_dir / "shop" / "service.toml"
    path.write_text(path.read_text().replace("repository =", 'report = ["status", "check"]\nrepository ='))

    assert "GitHub App" in only(patient, Level.WARN, reach.github).mend


def test_without_credentials_github_is_not_asked(patient: Patient, hub: FakeHub) -> None:
    """Nothing is told to it then."""
    silent = replace(patient, settings=replace(patient.settings, github_token=None))

    assert [] == found(silent, reach.github)
    assert [] == hub.paths()
