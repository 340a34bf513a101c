"""Sources: settings from defaults, then `fastdeploy.toml`, then the environment, then flags; none unknown."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from fastdeploy_bot import appfile, values
from fastdeploy_bot.masking import MASK
from fastdeploy_bot.settings import FILE, PREFIX, SECRETS, BadSettings, Settings, signs_in_by_hand
from fastdeploy_bot.words import WebhookSecret

_SCRIPT_VARIABLES: Final = (
    "DEPLOYMENT SERVICE REPOSITORY CLONE_URL REF BRANCH TAG SHA BEFORE ACTOR ENVIRONMENT CONTEXT "
    "SERVICE_DIR CHECKOUT URL STEPS_URL STEPS_FILE TOKEN RUN"
)
_COMMAND_VARIABLES: Final = "USER_TOKEN PASSWORD"
OTHER_VARIABLES: Final = frozenset(f"{_SCRIPT_VARIABLES} {_COMMAND_VARIABLES}".split())
"""Variables with our prefix that are no settings: what scripts and commands are given."""

SPELLINGS: Final = frozenset(Settings.__struct_fields__) - {"home"} | {"webhook_secret"}
KEYS: Final = SPELLINGS | {f"{name}_file" for name in SECRETS}
"""What may stand in the file and, in upper case with our prefix, in the environment."""

_DEFAULTS: Final = Settings()
_TRUTHS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class Loaded(msgspec.Struct, frozen=True):
    """The settings, and where each came from."""

    settings: Settings
    origins: dict[str, str]


def load(*, flags: Mapping[str, str] | None = None, environ: Mapping[str, str] = os.environ) -> Loaded:
    """Read all sources. Raises BadSettings with every problem there is."""
    reading = _Reading(*_home(flags or {}, environ))
    reading.file()
    reading.environment(environ)
    reading.flags(flags or {})
    return reading.loaded()


def _home(flags: Mapping[str, str], environ: Mapping[str, str]) -> tuple[Path, str]:
    """Home and what told it: alone of all settings it cannot come from the file that lies there."""
    given = {"--home": flags.get("home"), f"{PREFIX}HOME": environ.get(f"{PREFIX}HOME")}
    origin = next((origin for origin, text in given.items() if text is not None), "default")
    home = given.get(origin, str(_DEFAULTS.home)) or ""
    if not home.strip() or "\0" in home:
        raise BadSettings([f"{origin}: expected the path of a folder, got {values.shown(home)}"])
    return _path(home).absolute(), origin


def files_named(home: Path) -> list[str]:
    """The files inside of home from which `fastdeploy.toml` has secrets read, by their paths from there."""
    table = values.parse_toml((home / FILE).read_bytes()) if (home / FILE).is_file() else {}
    paths = [(home / _path(path)).absolute() for key, path in table.items() if key.endswith("_file")]
    return [str(path.relative_to(home)) for path in paths if path.is_relative_to(home)]


def describe(loaded: Loaded) -> list[tuple[str, str, str]]:
    """Every setting's name, effective value (secrets masked) and origin."""
    settings = loaded.settings
    effective = {
        "public_url": settings.effective_public_url,
        "local_url": settings.effective_local_url,
        "database_url": settings.effective_database_url,
        "log_format": settings.effective_log_format,
    }
    of_app = _of_app(settings)
    effective |= of_app
    origins = loaded.origins | dict.fromkeys(of_app, str(settings.home / appfile.FILE))
    return [
        (name, _masked(name, effective.get(name, getattr(settings, name))), origins[name])
        for name in Settings.__struct_fields__
    ]


class _Source(msgspec.Struct, frozen=True):
    """One place that settings come from."""

    table: Mapping[str, Any]
    """Any: what stands there is yet to be judged."""
    where: Callable[[str], str]
    """How a problem names the place of a key."""
    origin: Callable[[str], str]
    folder: Path
    """What a relative path of a secret's file starts from."""
    speaks_text: bool = True


class _Reading:
    """Settings while they are being read."""

    def __init__(self, home: Path, origin: str) -> None:
        self.home = home
        self.values: dict[str, Any] = {"home": home}  # Any: each has been given its type by its converter
        self.origins = dict.fromkeys(Settings.__struct_fields__, "default") | {"home": origin}
        self.problems: list[str] = []

    def file(self) -> None:
        """Take `fastdeploy.toml`, if there is one."""
        path = self.home / FILE
        try:
            table = values.parse_toml(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            self.problems.append(f"{path}: cannot be read: {error.strerror}")
            return
        except ValueError as error:
            self.problems.append(f"{path}: not valid TOML: {error}")
            return
        if table.pop("home", None) is not None:
            self.problems.append(f"{FILE}: home: the file lies in home already; use FASTDEPLOY_HOME or --home")
        self._take_all(_Source(table, lambda key: f"{FILE}: {key}", lambda _: str(path), self.home, speaks_text=False))

    def environment(self, environ: Mapping[str, str]) -> None:
        """Take the variables that are settings."""
        known = {PREFIX + key.upper(): key for key in KEYS}
        ours = {name: text for name, text in environ.items() if name.startswith(PREFIX)}
        others = {f"{PREFIX}HOME", *(PREFIX + name for name in OTHER_VARIABLES)}
        for name in sorted(ours.keys() - known.keys() - others):
            self.problems.append(f"{name}: unknown setting{values.nearest(name, {*known, f'{PREFIX}HOME'})}")
        table = {known[name]: text for name, text in ours.items() if name in known}
        names = {key: PREFIX + key.upper() for key in table}
        # Platforms set it for any program; an empty one says nothing.
        if "port" not in table and environ.get("PORT"):
            table["port"], names["port"] = environ["PORT"], "PORT"
        self._take_all(_Source(table, names.__getitem__, names.__getitem__, Path()))

    def flags(self, flags: Mapping[str, str]) -> None:
        """Take what the command line says."""
        table = {key: text for key, text in flags.items() if key != "home"}
        self._take_all(_Source(table, _flag, _flag, Path()))

    def loaded(self) -> Loaded:
        """The settings, if nothing is wrong."""
        if self.problems:
            raise BadSettings(self.problems)
        settings = Settings(**self.values)
        if problem := _half_an_app(settings):
            raise BadSettings([problem])
        return Loaded(settings, self.origins)

    def _take_all(self, source: _Source) -> None:
        taken: dict[str, str] = {}
        for key in source.table:
            name = key.removesuffix("_file") if key in KEYS else key
            setting = "webhook_secrets" if name == "webhook_secret" else name
            if key not in KEYS:
                self.problems.append(f"{source.where(key)}: unknown setting{values.nearest(key, KEYS)}")
            elif setting in taken:
                self.problems.append(f"{source.where(key)}: {taken[setting]} is given as well; keep one of them")
            else:
                taken[setting] = key
                self._take(source, key, name, setting)

    def _take(self, source: _Source, key: str, name: str, setting: str) -> None:
        self.origins[setting] = source.origin(key)
        try:
            value = _convert(name, self._given(source, key, name))
            problem = None
        except ValueError as error:
            value, problem = None, str(error)
        if problem is not None:
            self.problems.append(f"{source.where(key)}: {problem}")
        else:
            self.values[setting] = value

    def _given(self, source: _Source, key: str, name: str) -> object:
        if key != name:
            return _from_text(name, _file_text(source.folder, source.table[key]))
        return _from_text(name, _utf8(source.table[key])) if source.speaks_text else source.table[key]


def _half_an_app(settings: Settings) -> str | None:
    """What is wrong with the settings that sign in to GitHub, each of which may be right."""
    named = settings.github_client_id or settings.github_app_id
    if settings.github_client_secret and not (settings.github_client_id and settings.github_private_key):
        return "github_client_secret: it needs the github_client_id and the github_private_key of its GitHub App"
    if settings.github_token and (named or settings.github_private_key):
        return "github_token: a GitHub App is given as well; keep one of them"
    if named and not settings.github_private_key:
        return "github_private_key: missing; a GitHub App signs in with its private key"
    if settings.github_private_key and not named:
        return "github_client_id: missing; github_private_key needs the client id, or the app id, of its GitHub App"
    return None


def _of_app(settings: Settings) -> dict[str, Any]:
    """The settings for which the App file stands in. Any: each has its own type."""
    app = settings.app
    if app is None:
        return {}
    found: dict[str, Any] = {}
    if not signs_in_by_hand(settings):
        found = {"github_app_id": str(app.id), "github_client_id": app.client_id, "github_private_key": app.pem}
        found |= {"github_client_secret": app.client_secret} if app.client_secret else {}
    if app.webhook_secret and not settings.webhook_secrets:
        found["webhook_secrets"] = (WebhookSecret(app.webhook_secret),)
    return found


def _path(text: str) -> Path:
    """The path; `~` is the user's folder where there is such a user."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def _utf8(text: str) -> str:
    """The text. Raises ValueError where the environment held other bytes: nothing can be signed or sent with those."""
    if re.search(r"[\ud800-\udfff]", text):
        raise ValueError("expected a text in UTF-8")
    return text


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _file_text(folder: Path, path: object) -> str:
    """What a secret's file holds, without the newline at its end."""
    if not isinstance(path, str) or not path or "\0" in path:
        raise ValueError(f"expected the path of a file, got {values.shown(path)}")
    file = folder / _path(path)
    try:
        text = file.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"cannot read {file}: not UTF-8") from error
    if not text.strip():
        raise ValueError(f"{file} is empty")
    return text


def _from_text(name: str, text: str) -> object:
    """What the file would hold, for a text from anywhere else."""
    default = getattr(_DEFAULTS, name, None)
    if isinstance(default, tuple):
        return [part for each in re.split(r"[,\n]", text) if (part := each.strip())]
    if isinstance(default, bool):
        return _TRUTHS.get(text.strip().lower(), text)
    return int(text) if isinstance(default, int) and re.fullmatch(r"-?[0-9]{1,18}", text) else text


def _convert(name: str, value: object) -> object:
    """A source's value as the setting's type. Raises ValueError with the problem; a secret is not shown."""
    try:
        return values.CONVERTERS.get(name, values.plain)(value)
    except ValueError as error:
        told = "" if name in SECRETS else f", got {values.shown(value)}"
        raise ValueError(f"expected {error}{told}") from error


def _masked(name: str, value: object) -> str:
    if name == "database_url":
        shown = re.sub(r"(?<=://)[^/]*@", f"{MASK}@", str(value))
        return re.sub(r"(?<=password=)[^&]*", MASK, shown)
    if name in values.SPELLINGS:
        return values.SPELLINGS[name](value)
    if value is None or value == ():
        return "none"
    if name in SECRETS:
        return MASK
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
