"""The secret store: kept for the bot's user alone, and nothing leads out of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from fastdeploy_bot.core.files import secrets
from fastdeploy_bot.core.files.secrets import BadSecret
from fastdeploy_bot.core.files.servicefile import BadServiceFile
from fastdeploy_bot.errors import FastdeployError, Invalid, NotFound


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the store will be."""
    return tmp_path / "home" / "secrets"


def test_what_was_put_is_read(root: Path) -> None:
    """A secret comes back as it was given."""
    secrets.put(root, "shop", "DB_PASSWORD", "correct härse")

    assert {"DB_PASSWORD": "correct härse"} == secrets.read(root, "shop", ["DB_PASSWORD"])


def test_bytes_may_be_put_too(root: Path) -> None:
    """What came over a pipe needs no decoding first."""
    secrets.put(root, "shop", "DB_PASSWORD", b"correct horse")

    assert {"DB_PASSWORD": "correct horse"} == secrets.read(root, "shop", ["DB_PASSWORD"])


def test_only_the_named_secrets_are_read(root: Path) -> None:
    """A script is given what its service file names, nothing else."""
    secrets.put(root, "shop", "WANTED", "value one")
    secrets.put(root, "shop", "OTHER", "value two")

    assert {"WANTED": "value one"} == secrets.read(root, "shop", ["WANTED"])
    assert {} == secrets.read(root, "shop", [])


def test_second_put_replaces_and_leaves_nothing_behind(root: Path) -> None:
    """There is one file a secret, and no draft."""
    secrets.put(root, "shop", "TOKEN", "first value")
    secrets.put(root, "shop", "TOKEN", "second value")

    assert {"TOKEN": "second value"} == secrets.read(root, "shop", ["TOKEN"])
    assert ["TOKEN"] == os.listdir(root / "shop")


def test_nobody_else_may_look(root: Path) -> None:
    """Folders are 0700 and files 0600, whatever the umask."""
    before = os.umask(0)
    try:
        secrets.put(root, "shop", "TOKEN", "a long value")
    finally:
        os.umask(before)

    modes = [stat.S_IMODE(path.stat().st_mode) for path in (root, root / "shop", root / "shop" / "TOKEN")]
    assert [0o700, 0o700, 0o600] == modes


def test_names_are_listed_in_order_without_drafts(root: Path) -> None:
    """What a crash left half written is no secret."""
    secrets.put(root, "shop", "B_TOKEN", "a long value")
    secrets.put(root, "shop", "A_TOKEN", "a long value")
    (root / "shop" / ".0123abcd").write_text("half")

    assert ["A_TOKEN", "B_TOKEN"] == secrets.names(root, "shop")


def test_service_without_secrets_has_an_empty_list(root: Path) -> None:
    """No folder yet is no error."""
    assert [] == secrets.names(root, "shop")


def test_removed_secret_is_gone(root: Path) -> None:
    """Removing takes the file away."""
    secrets.put(root, "shop", "TOKEN", "a long value")

    secrets.remove(root, "shop", "TOKEN")

    assert [] == secrets.names(root, "shop")


def test_removing_what_is_not_there_is_told(root: Path) -> None:
    """A mistyped name is not silently accepted."""
    with pytest.raises(NotFound, match="service shop has no secret TOKEN"):
        secrets.remove(root, "shop", "TOKEN")


def test_missing_secret_names_the_command_that_sets_it(root: Path) -> None:
    """The error says what to do."""
    with pytest.raises(BadSecret, match="`fastdeploy secret set shop TOKEN`"):
        secrets.read(root, "shop", ["TOKEN"])


@pytest.mark.parametrize(
    "value",
    ["", "short", "short\n\n", "nul\0inside", b"\xff\xfe\xfd\xfc\xfb\xfa", "\udcff lone", "x" * 65_537],
)
def test_value_that_cannot_be_used_is_refused_and_not_kept(root: Path, value: str | bytes) -> None:
    """Too short to be masked, no text, or too long."""
    with pytest.raises(Invalid):
        secrets.put(root, "shop", "TOKEN", value)

    assert [] == secrets.names(root, "shop")


def test_six_bytes_are_enough(root: Path) -> None:
    """The bound counts bytes, not characters."""
    secrets.put(root, "shop", "TOKEN", "äöü")

    assert {"TOKEN": "äöü"} == secrets.read(root, "shop", ["TOKEN"])


def test_refusal_never_shows_the_value(root: Path) -> None:
    """What is wrong is told without what it is."""
    with pytest.raises(Invalid) as caught:
        secrets.put(root, "shop", "TOKEN", b"hunter2\xff")

    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_newline_of_a_hand_made_file_is_no_part_of_the_secret(root: Path) -> None:
    """Editors and echo end files with one."""
    _hand_made(root, "TOKEN", b"by hand 123\r\n")

    assert {"TOKEN": "by hand 123"} == secrets.read(root, "shop", ["TOKEN"])


@pytest.mark.parametrize("data", [b"short\n", b"nul\0inside", b"\xff" * 8, b"x" * 65_537])
def test_hand_made_file_that_cannot_be_used_is_told(root: Path, data: bytes) -> None:
    """A file is judged as a value that is put."""
    _hand_made(root, "TOKEN", data)

    with pytest.raises(BadSecret, match="secret TOKEN"):
        secrets.read(root, "shop", ["TOKEN"])


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o620])
def test_file_open_to_others_is_refused_with_the_remedy(root: Path, mode: int) -> None:
    """Loose modes are an error that says chmod 600."""
    _hand_made(root, "TOKEN", b"a long value", mode=mode)

    with pytest.raises(BadSecret, match="chmod 600"):
        secrets.read(root, "shop", ["TOKEN"])


@pytest.mark.parametrize("name", ["", "..", "../TOKEN", "a/b", "/etc/passwd", "TOKEN\n", ".x", "1A", "Ä", "A\0"])
def test_name_that_no_variable_can_have_is_refused(root: Path, name: str) -> None:
    """Names are variables' names, so none leaves the folder."""
    for attempt in (
        lambda: secrets.put(root, "shop", name, "a long value"),
        lambda: secrets.read(root, "shop", [name]),
        lambda: secrets.remove(root, "shop", name),
    ):
        with pytest.raises(Invalid):
            attempt()

    assert not root.exists()


def test_name_of_the_bots_own_variables_is_refused(root: Path) -> None:
    """A secret cannot pretend to be what the bot tells a script."""
    with pytest.raises(Invalid, match="the bot's own"):
        secrets.put(root, "shop", "FASTDEPLOY_TOKEN", "a long value")


@pytest.mark.parametrize("service", ["", "..", "../shop", "a/b", "Shop", "/tmp"])
def test_service_that_can_have_no_name_is_refused(root: Path, service: str) -> None:
    """A service's name is judged before any path is made of it."""
    with pytest.raises(BadServiceFile):
        secrets.put(root, service, "TOKEN", "a long value")
    with pytest.raises(BadServiceFile):
        secrets.names(root, service)

    assert not root.exists()


def test_link_in_a_secrets_place_is_not_followed(root: Path, tmp_path: Path) -> None:
    """A secret cannot be any file of the bot's user."""
    outside = tmp_path / "id_ed25519"
    outside.write_text("a private key")
    outside.chmod(0o600)
    (root / "shop").mkdir(parents=True)
    (root / "shop" / "TOKEN").symlink_to(outside)

    with pytest.raises(BadSecret):
        secrets.read(root, "shop", ["TOKEN"])


def test_put_replaces_a_link_instead_of_writing_through_it(root: Path, tmp_path: Path) -> None:
    """What a link names stays as it is."""
    outside = tmp_path / "outside"
    outside.write_text("as it was")
    (root / "shop").mkdir(parents=True)
    (root / "shop" / "TOKEN").symlink_to(outside)

    secrets.put(root, "shop", "TOKEN", "a long value")

    assert "as it was" == outside.read_text()
    assert {"TOKEN": "a long value"} == secrets.read(root, "shop", ["TOKEN"])


def test_link_in_a_services_place_is_not_followed(root: Path, tmp_path: Path) -> None:
    """Nothing is read or written outside the store."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    root.mkdir(parents=True)
    (root / "shop").symlink_to(elsewhere)

    for attempt in (
        lambda: secrets.put(root, "shop", "TOKEN", "a long value"),
        lambda: secrets.read(root, "shop", ["TOKEN"]),
        lambda: secrets.names(root, "shop"),
        lambda: secrets.remove(root, "shop", "TOKEN"),
    ):
        with pytest.raises(FastdeployError):
            attempt()

    assert [] == os.listdir(elsewhere)


def test_secret_that_cannot_be_kept_is_told_and_leaves_nothing_behind(root: Path) -> None:
    """A folder in its place stays, and no draft lies beside it."""
    (root / "shop" / "TOKEN").mkdir(parents=True)

    with pytest.raises(BadSecret, match="secret TOKEN cannot be kept in"):
        secrets.put(root, "shop", "TOKEN", "a long value")

    assert ["TOKEN"] == os.listdir(root / "shop")


def test_file_in_a_services_place_is_told(root: Path) -> None:
    """It is no folder to keep secrets in."""
    root.mkdir(parents=True)
    (root / "shop").write_text("a file")

    with pytest.raises(BadSecret):
        secrets.put(root, "shop", "TOKEN", "a long value")
    with pytest.raises(BadSecret, match="is no folder"):
        secrets.names(root, "shop")


@pytest.mark.timeout(20)
def test_pipe_in_a_secrets_place_is_refused_at_once(root: Path) -> None:
    """A named pipe would be waited for for ever."""
    (root / "shop").mkdir(parents=True)
    os.mkfifo(root / "shop" / "TOKEN", 0o600)

    with pytest.raises(BadSecret, match="is no file"):
        secrets.read(root, "shop", ["TOKEN"])


def _hand_made(root: Path, name: str, data: bytes, *, mode: int = 0o600) -> None:
    (root / "shop").mkdir(parents=True, exist_ok=True)
    path = root / "shop" / name
    path.write_bytes(data)
    path.chmod(mode)
