"""Packaging: a wheel, an editable install and a bare checkout each carry the whole bot.

Everything happens in copies: the checkout itself stays as it is. No network is used; what the bot depends on
comes from the environment that runs the tests.
"""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("fastdeploy_bot", "templates")
FILES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "wsgi.py", "gunicorn.conf.py")
CACHES = shutil.ignore_patterns("__pycache__")
SECONDS = 90


@dataclass(frozen=True)
class Bot:
    """One way of having the bot on a machine."""

    python: Path
    command: tuple[str, ...]
    templates: Path
    """Where its templates must be found."""
    environ: Mapping[str, str]

    def run(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a command of the bot, in the bot's environment and no other."""
        return run([*self.command, *arguments], cwd=cwd, environ=self.environ)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of this checkout."""
    checkout = copy_of_checkout(tmp_path_factory.mktemp("source"))
    folder = tmp_path_factory.mktemp("dist")
    succeed([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)], cwd=checkout)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel_install(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Bot:
    """The bot as its wheel installs it."""
    folder = environment(tmp_path_factory.mktemp("wheel"))
    install(folder, str(wheel))
    return installed(folder, templates=site_packages(folder) / "fastdeploy_bot" / "templates")


@pytest.fixture(scope="module")
def editable_install(tmp_path_factory: pytest.TempPathFactory) -> Bot:
    """The bot as `make install` installs it."""
    checkout = copy_of_checkout(tmp_path_factory.mktemp("source"))
    folder = environment(tmp_path_factory.mktemp("editable"))
    install(folder, "--editable", str(checkout))
    return installed(folder, templates=checkout / "templates")


@pytest.fixture(scope="module")
def bare_checkout(tmp_path_factory: pytest.TempPathFactory) -> Bot:
    """The bot straight from its source, not installed at all."""
    checkout = copy_of_checkout(tmp_path_factory.mktemp("source"))
    folder = environment(tmp_path_factory.mktemp("bare"))
    return Bot(
        python=folder / "bin" / "python",
        command=(str(folder / "bin" / "python"), "-m", "fastdeploy_bot"),
        templates=checkout / "templates",
        environ=environ(folder) | {"PYTHONPATH": str(checkout)},
    )


@pytest.fixture(params=["wheel_install", "editable_install", "bare_checkout"])
def bot(request: pytest.FixtureRequest) -> Bot:
    """Each way of having the bot in turn, made once per run."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Bot)
    return found


def test_every_folder_of_the_package_is_listed() -> None:
    """The list in setup.cfg, kept by hand, names each folder that holds modules, and the templates."""
    folders = {path.parent for path in (ROOT / "fastdeploy_bot").rglob("*.py")}
    existing = {".".join(folder.relative_to(ROOT).parts) for folder in folders}

    assert sorted(existing | {"fastdeploy_bot.templates"}) == sorted(setup("options", "packages"))


def test_the_wheel_carries_every_file_and_nothing_else(wheel: Path) -> None:
    """Modules, migrations, templates and whatever else the package holds lie in the wheel; tests do not."""
    with ZipFile(wheel) as archive:
        carried = {name for name in archive.namelist() if ".dist-info/" not in name}

    expected = files_in(ROOT / "fastdeploy_bot", "fastdeploy_bot")
    expected |= files_in(ROOT / "templates", "fastdeploy_bot/templates")
    assert sorted(expected) == sorted(carried)


def test_the_command_starts_from_any_folder(bot: Bot, tmp_path: Path) -> None:
    """The command line comes up where nothing of the checkout is in reach."""
    result = bot.run("--help", cwd=tmp_path)

    assert (0, "") == (result.returncode, result.stderr)
    assert "Usage:" in result.stdout


def test_the_templates_are_found(bot: Bot, tmp_path: Path) -> None:
    """The bot finds its templates, all of them, wherever it is installed."""
    question = "from fastdeploy_bot import app; print(app.template_folder())"

    answer = succeed([str(bot.python), "-c", question], cwd=tmp_path, environ=bot.environ)

    folder = Path(answer.stdout.strip())
    assert bot.templates.resolve() == folder.resolve()
    assert files_in(ROOT / "templates", "") == files_in(folder, "")


def test_a_new_home_can_be_made_and_passes_its_check(bot: Bot, tmp_path: Path) -> None:
    """`init` and `migrate` find what they copy and apply, and `check` has nothing to say against it."""
    for command in ("init", "migrate", "check"):
        result = bot.run(command, cwd=tmp_path)

        assert 0 == result.returncode, f"{command}: {result.stdout}{result.stderr}"

    assert (tmp_path / "instance" / "fastdeploy.toml").is_file()
    assert (tmp_path / "instance" / "fastdeploy.db").is_file()


def test_gunicorn_serves_a_bare_checkout(bare_checkout: Bot) -> None:
    """`gunicorn wsgi:app`, as the Procfile has it, finds app and configuration in its current folder."""
    checkout = bare_checkout.templates.parent
    assert 0 == bare_checkout.run("init", cwd=checkout).returncode
    alone = {name: value for name, value in bare_checkout.environ.items() if name != "PYTHONPATH"}

    # -P leaves the current folder off the path, as it is for gunicorn's own script.
    command = [str(bare_checkout.python), "-P", "-m", "gunicorn", "--check-config", "wsgi:app"]
    result = run(command, cwd=checkout, environ=alone)

    assert 0 == result.returncode, result.stderr


@pytest.mark.parametrize("lock", ["run.txt", "dev.txt"])
def test_a_lock_pins_every_requirement_by_hash_and_names_no_registry(lock: str) -> None:
    """An installation takes exactly what was locked, from whichever registry the machine is set up for."""
    text = (ROOT / "requirements" / lock).read_text()
    requirements = [line for line in re.sub(r"\\\n\s*", "", text).splitlines() if not line.lstrip().startswith("#")]

    assert not [
        line
        for line in requirements
        if not re.match(r"[a-z0-9-]+(\[[a-z]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", line)
    ]
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


@pytest.mark.parametrize("lock", ["run.txt", "dev.txt"])
def test_a_lock_holds_all_that_the_bot_needs(lock: str) -> None:
    """No dependency was added without `make lock`."""
    text = (ROOT / "requirements" / lock).read_text()
    needed = setup("options", "install_requires")
    needed += setup("options.extras_require", "dev") if lock == "dev.txt" else ["setuptools", "wheel"]

    assert {name_of(line) for line in needed} <= set(re.findall(r"^([a-z0-9-]+)(?:\[[a-z]+\])?==", text, re.MULTILINE))


def copy_of_checkout(folder: Path) -> Path:
    """What an installation needs of this checkout, copied into that folder."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=CACHES)
    for name in FILES:
        shutil.copy2(ROOT / name, folder / name)
    return folder


def environment(folder: Path) -> Path:
    """A new virtual environment that sees the dependencies installed here, but no bot."""
    venv.create(folder, symlinks=True)
    here = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (site_packages(folder) / "dependencies.pth").write_text("\n".join(here))
    return folder


def site_packages(folder: Path) -> Path:
    """Where that virtual environment keeps its packages."""
    return next(folder.glob("lib/python*/site-packages"))


def install(folder: Path, *what: str) -> None:
    """Install into that virtual environment as a user would, but without network."""
    offline = ("--offline", "--no-cache", "--no-deps", "--no-build-isolation")
    succeed([sys.executable, "-m", "uv", "pip", "install", *offline, "--python", str(folder), *what], cwd=folder)


def installed(folder: Path, *, templates: Path) -> Bot:
    """The bot that was installed into that virtual environment."""
    return Bot(
        python=folder / "bin" / "python",
        command=(str(folder / "bin" / "fastdeploy"),),
        templates=templates,
        environ=environ(folder),
    )


def environ(folder: Path) -> dict[str, str]:
    """The environment variables of a plain user, whose home is that folder."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8"}


def run(
    argv: Sequence[str], *, cwd: Path, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and keep what it said."""
    return subprocess.run(
        argv,
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def succeed(
    argv: Sequence[str], *, cwd: Path, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program that the test cannot do without."""
    result = run(argv, cwd=cwd, environ=environ)
    assert 0 == result.returncode, f"{' '.join(argv)}\n{result.stdout}{result.stderr}"
    return result


def files_in(folder: Path, prefix: str) -> set[str]:
    """Every file below that folder, as a path that begins with the prefix."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(Path(prefix, path)) for path in found if "__pycache__" not in path.parts}


def setup(section: str, option: str) -> list[str]:
    """A list in setup.cfg, line by line."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lines = (line.strip() for line in parser.get(section, option).splitlines())
    return [line for line in lines if line]


def name_of(requirement: str) -> str:
    """The name in a requirement, as locks spell it."""
    return re.split(r"[<>=~! \[]", requirement)[0].lower().replace("_", "-")
