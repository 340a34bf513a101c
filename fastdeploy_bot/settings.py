"""Settings: defaults, then `fastdeploy.toml`, then the environment, then flags; all typed, none unknown."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from fastdeploy_bot import appfile, values
from fastdeploy_bot.appfile import App
from fastdeploy_bot.errors import SettingsError
from fastdeploy_bot.masking import MASK
from fastdeploy_bot.words import LogFormat, WebhookSecret

PREFIX: Final = "FASTDEPLOY_"
FILE: Final = "fastdeploy.toml"

_SCRIPT_VARIABLES: Final = (
    "DEPLOYMENT SERVICE REPOSITORY CLONE_URL REF BRANCH TAG SHA BEFORE ACTOR ENVIRONMENT CONTEXT "
    "SERVICE_DIR CHECKOUT URL STEPS_URL STEPS_FILE TOKEN RUN"
)
_COMMAND_VARIABLES: Final = "USER_TOKEN PASSWORD"
OTHER_VARIABLES: Final = frozenset(f"{_SCRIPT_VARIABLES} {_COMMAND_VARIABLES}".split())
"""Variables with our prefix that are no settings: what scripts and commands are given."""

SECRETS: Final = frozenset(
    {
        "database_url",
        "github_client_secret",
        "github_private_key",
        "github_token",
        "metrics_token",
        "secret_key",
        "secret_key_fallbacks",
        "webhook_secret",
        "webhook_secrets",
    }
)
"""Settings that may be read from a file of their own, and that are never shown."""

_TRUTHS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class BadSettings(SettingsError):
    """Some settings are wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class AppKey(msgspec.Struct, frozen=True):
    """What a GitHub App signs in with."""

    issuer: str
    """Its client id or its number."""
    private_key: str
    """PEM."""

    def __repr__(self) -> str:
        return f"AppKey({self.issuer!r}, '********')"


class OAuthApp(msgspec.Struct, frozen=True):
    """The GitHub App that people sign in by."""

    client_id: str
    client_secret: str

    def __repr__(self) -> str:
        return f"OAuthApp({self.client_id!r}, '********')"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting. Durations are in seconds, sizes in bytes."""

    home: Path = Path("instance")
    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str | None = None
    local_url: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    database_url: str | None = None
    auto_migrate: bool = True
    secret_key: str | None = None
    secret_key_fallbacks: tuple[str, ...] = ()
    webhook_secrets: tuple[WebhookSecret, ...] = ()
    github_api_url: str = "https://api.github.com"
    github_api_version: str = "2022-11-28"
    github_url: str = "https://github.com"
    github_app_id: str | None = None
    github_client_id: str | None = None
    github_client_secret: str | None = None
    github_private_key: str | None = None
    github_token: str | None = None
    max_running: int = 4
    web_processes: int = 1
    web_threads: int = 32
    max_sockets: int = 200
    log_limit: int = 8 << 20
    kill_grace: float = 10.0
    retention_days: int = 90
    mirror_limit: int = 10 << 30
    metrics_token: str | None = None
    log_format: LogFormat | None = None
    poll: float | None = None
    wait_limit: float = 7_200.0

    def __repr__(self) -> str:
        # Settings stand in tracebacks and in logs, their secrets must not.
        return f"Settings(home={str(self.home)!r}, …)"

    @property
    def effective_public_url(self) -> str:
        """The base of every link handed out."""
        return self.public_url or self._bound_url

    @property
    def effective_local_url(self) -> str:
        """The base of what scripts on this host call."""
        return self.local_url or self._bound_url

    @property
    def _bound_url(self) -> str:
        # Not to bind to, but to be called: by loopback where every address is bound.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - only compared
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def effective_log_format(self) -> LogFormat:
        """How the server's own log is written: for whoever sits before it, else for programs."""
        return self.log_format or (LogFormat.TEXT if sys.stderr.isatty() else LogFormat.JSON)

    @property
    def effective_database_url(self) -> str:
        """Where the rows are."""
        return self.database_url or f"sqlite:///{self.home / 'fastdeploy.db'}"

    @property
    def app(self) -> App | None:
        """The GitHub App that the set-up page has made, as its file is at this moment."""
        return appfile.found(self.home)

    @property
    def sign_in(self) -> str | AppKey | None:
        """What to sign in to GitHub with, a token or an App's key; what the settings name themselves comes first."""
        if self.github_token is not None:
            return self.github_token
        if self.github_private_key is not None:
            return AppKey(self.github_client_id or self.github_app_id or "", self.github_private_key)
        return None if (app := self.app) is None else AppKey(app.issuer, app.pem)

    @property
    def oauth_app(self) -> OAuthApp | None:
        """The App that people may sign in by, which is the one that the bot signs in as; None where they may not."""
        if self.github_token is not None:
            return None
        pair = (self.github_client_id, self.github_client_secret)
        if self.github_private_key is None:
            pair = (None, None) if (app := self.app) is None else (app.client_id, app.client_secret)
        client_id, client_secret = pair
        return OAuthApp(client_id, client_secret) if client_id and client_secret else None

    @property
    def app_names(self) -> frozenset[str]:
        """What our GitHub App is called: by its id, its client id, or both; empty where there is none now."""
        if self.github_token is not None:
            return frozenset()
        given = (self.github_app_id, self.github_client_id)
        if self.github_private_key is None and (app := self.app) is not None:
            given = (str(app.id), app.client_id)
        return frozenset(filter(None, given))

    @property
    def tells_github(self) -> bool:
        """Whether there is something to sign in to GitHub with at this moment: without, GitHub is owed nothing."""
        return self.sign_in is not None

    def believed(self, *, now: int) -> tuple[WebhookSecret, ...]:
        """What a webhook may be signed with at this moment, `now` in Unix milliseconds: also with the App's secret."""
        app = self.app
        return (*self.webhook_secrets, *(WebhookSecret(each) for each in (app.believed(now=now) if app else ())))

    @property
    def services_dir(self) -> Path:
        """Where the service files are."""
        return self.home / "services"

    @property
    def secrets_dir(self) -> Path:
        """Where the services' secrets are."""
        return self.home / "secrets"

    @property
    def runs_dir(self) -> Path:
        """Where the run folders are."""
        return self.home / "runs"

    @property
    def mirrors_dir(self) -> Path:
        """Where the mirrors of repositories are."""
        return self.home / "mirrors"

    @property
    def checkouts_dir(self) -> Path:
        """Where checkouts are made, before they go into run folders."""
        return self.home / "checkouts"

    @property
    def bin_dir(self) -> Path:
        """Where scripts find `fastdeploy` first."""
        return self.home / "bin"

    @property
    def bell_dir(self) -> Path:
        """Where this host's processes wake each other."""
        return self.home / "bell"

    @property
    def feed_bell_dir(self) -> Path:
        """Where those of this host's processes that hold websockets are woken."""
        return self.home / "feed-bell"

    @property
    def keys(self) -> list[str]:
        """Every key that a token may be signed with, the present one first."""
        return [key for key in (self.secret_key, *self.secret_key_fallbacks) if key]

    @property
    def own_secrets(self) -> list[str]:
        """What the bot's own log must not show."""
        given = (self.github_token, self.github_private_key, self.github_client_secret, self.metrics_token)
        webhooks = [each.secret for each in self.webhook_secrets]
        app = [] if (kept := self.app) is None else kept.secrets
        return [*self.keys, *webhooks, *_passwords(self.effective_database_url), *filter(None, given), *app]


class Loaded(msgspec.Struct, frozen=True):
    """The settings, and where each came from."""

    settings: Settings
    origins: dict[str, str]


SPELLINGS: Final = frozenset(Settings.__struct_fields__) - {"home"} | {"webhook_secret"}
KEYS: Final = SPELLINGS | {f"{name}_file" for name in SECRETS}
"""What may stand in the file and, in upper case with our prefix, in the environment."""

_DEFAULTS: Final = Settings()


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


def require_serving(settings: Settings) -> None:
    """Raise unless the settings allow a bot to serve."""
    if not settings.home.is_dir():
        raise BadSettings(
            [f"home missing: there is no folder {settings.home}: run `fastdeploy init`, or set {PREFIX}HOME"]
        )
    problems = []
    if not settings.webhook_secrets and not (settings.app and settings.app.webhook_secret):
        problems.append(
            "webhook_secrets: no webhook secret, so no delivery could be believed: "
            "run `fastdeploy init`, or set FASTDEPLOY_WEBHOOK_SECRET"
        )
    if not settings.secret_key:
        problems.append(
            "secret_key: no secret key, so no token could be signed: "
            "run `fastdeploy init`, or set FASTDEPLOY_SECRET_KEY"
        )
    if problems:
        raise BadSettings(problems)


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


def signs_in_by_hand(settings: Settings) -> bool:
    """Whether the settings say themselves what GitHub is signed in to with: then the App file's key is passed over."""
    return settings.github_token is not None or settings.github_private_key is not None


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


def _passwords(database_url: str) -> list[str]:
    """The passwords that an address of a database holds."""
    parts = urlsplit(database_url)
    return [*parse_qs(parts.query).get("password", []), *filter(None, [unquote(parts.password or "")])]


def _masked(name: str, value: object) -> str:
    if name == "database_url":
        shown = re.sub(r"(?<=://)[^/]*@", f"{MASK}@", str(value))
        return re.sub(r"(?<=password=)[^&]*", MASK, shown)
    if value is None or value == ():
        return "none"
    if name in SECRETS:
        return MASK
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
