"""Settings: defaults, then `fastdeploy.toml`, then the environment, then flags; each one typed, none unknown."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from fastdeploy_bot.errors import SettingsError

PREFIX: Final = "FASTDEPLOY_"
FILE: Final = "fastdeploy.toml"
LEAST_KEY: Final = 32

OTHER_VARIABLES: Final = frozenset(
    """DEPLOYMENT SERVICE REPOSITORY REF BRANCH TAG SHA BEFORE ACTOR ENVIRONMENT CONTEXT SERVICE_DIR CHECKOUT URL
    STEPS_URL STEPS_FILE TOKEN RUN USER_TOKEN PASSWORD""".split()
)
"""Variables with our prefix that are no settings: what scripts and commands are given."""

NOT_BUILT: Final = frozenset(
    """github_app_id github_client_id github_private_key github_token github_api_url github_api_version poll
    wait_limit metrics_token max_sockets retention_days""".split()
)
"""Settings that nothing acts on yet: any value but the default is an error."""

SECRETS: Final = frozenset(
    """secret_key secret_key_fallbacks webhook_secrets webhook_secret github_private_key github_token metrics_token
    database_url""".split()
)
"""Settings that may be read from a file of their own, and that are never shown."""

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_SIZES: Final = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_TRUTHS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class BadSettings(SettingsError):
    """Some settings are wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class WebhookSecret(msgspec.Struct, frozen=True):
    """A secret that webhooks may be signed with."""

    secret: str
    repositories: tuple[str, ...] | None = None
    """Globs on `owner/name`, where it may sign for those only."""


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
    github_private_key: str | None = None
    github_token: str | None = None
    max_running: int = 4
    web_processes: int = 1
    web_threads: int = 32
    max_sockets: int = 200
    log_limit: int = 8 << 20
    kill_grace: float = 10.0
    retention_days: int = 90
    metrics_token: str | None = None
    poll: float | None = None
    wait_limit: float = 7_200.0

    @property
    def effective_public_url(self) -> str:
        """The base of every link handed out."""
        return self.public_url or self.effective_local_url

    @property
    def effective_local_url(self) -> str:
        """The base of what scripts on this host call."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104
        return self.local_url or f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def effective_database_url(self) -> str:
        """Where the rows are."""
        return self.database_url or f"sqlite:///{self.home / 'fastdeploy.db'}"

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
    def bin_dir(self) -> Path:
        """Where scripts find `fastdeploy` first."""
        return self.home / "bin"

    @property
    def bell_dir(self) -> Path:
        """Where this host's processes wake each other."""
        return self.home / "bell"

    @property
    def keys(self) -> list[str]:
        """Every key that a token may be signed with, the present one first."""
        return [key for key in (self.secret_key, *self.secret_key_fallbacks) if key]


class Loaded(msgspec.Struct, frozen=True):
    """The settings, and where each came from."""

    settings: Settings
    origins: dict[str, str]


NAMES: Final = frozenset(Settings.__struct_fields__)


def load(*, flags: Mapping[str, str] | None = None, environ: Mapping[str, str] = os.environ) -> Loaded:
    """Read all sources. Raises BadSettings with every problem there is."""
    reading = _Reading()
    home = (flags or {}).get("home") or environ.get(f"{PREFIX}HOME") or "instance"
    reading.home = Path(home).expanduser().absolute()
    reading.file()
    reading.environment(environ)
    for name, text in (flags or {}).items():
        reading.take(name, text, f"--{name.replace('_', '-')}")
    reading.values["home"] = reading.home
    return reading.loaded()


def require_serving(settings: Settings) -> None:
    """Raise unless the settings allow a bot to serve."""
    if not settings.home.is_dir():
        raise BadSettings([f"home: there is no folder {settings.home}: run `fastdeploy init`"])
    problems = []
    if not settings.webhook_secrets:
        problems.append(
            "webhook_secrets: there is none, so no webhook could be believed: "
            "run `fastdeploy init`, or set FASTDEPLOY_WEBHOOK_SECRET"
        )
    if not settings.secret_key:
        problems.append("secret_key: there is none: run `fastdeploy init`, or set FASTDEPLOY_SECRET_KEY")
    if problems:
        raise BadSettings(problems)


def describe(loaded: Loaded) -> list[tuple[str, str, str]]:
    """Every setting's name, effective value (secrets masked) and origin."""
    shown = {
        "public_url": loaded.settings.effective_public_url,
        "local_url": loaded.settings.effective_local_url,
        "database_url": loaded.settings.effective_database_url,
    }
    return [
        (name, _shown(name, shown.get(name, getattr(loaded.settings, name))), loaded.origins.get(name, "default"))
        for name in Settings.__struct_fields__
    ]


def nearest(name: str, known: frozenset[str] | set[str]) -> str:
    """A hint at the known name that an unknown one may have meant; empty where there is none."""
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def parse_duration(value: Any) -> float:
    """Seconds from `15m`, `1m30s`, `90` or a number. Raises ValueError."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    parts = re.findall(r"(\d+)\s*([smhd])", value) if isinstance(value, str) else []
    if not parts or re.sub(r"\s|\d+\s*[smhd]", "", value):
        raise ValueError("a duration such as 90s, 15m or 2h")
    return float(sum(int(number) * _UNITS[unit] for number, unit in parts))


def parse_size(value: Any) -> int:
    """Bytes from `8 MiB`, `512 KiB` or a number. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = re.fullmatch(r"(\d+)\s*(B|KiB|MiB|GiB)?", value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("a size such as 8 MiB")
    return int(found[1]) * _SIZES[found[2] or ""]


class _Reading:
    """Settings while they are being read."""

    home: Path

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.origins: dict[str, str] = {}
        self.problems: list[str] = []

    def file(self) -> None:
        """Take `fastdeploy.toml`, if there is one."""
        path = self.home / FILE
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            self.problems.append(f"{path}: cannot be read: {error}")
            return
        if "home" in table:
            self.problems.append(f"{path}: home: the file lies in home already; use FASTDEPLOY_HOME or --home")
            del table["home"]
        self._level(table, lambda name: f"{path}: {name}", lambda _: str(path))

    def environment(self, environ: Mapping[str, str]) -> None:
        """Take the variables that are settings."""
        if "PORT" in environ:
            self.take("port", environ["PORT"], "PORT")
        ours = {
            name.removeprefix(PREFIX): text for name, text in environ.items() if name.startswith(PREFIX)
        }
        table = {name.lower(): text for name, text in ours.items() if name not in OTHER_VARIABLES}
        table.pop("home", None)
        if "HOME" in ours:
            self.origins["home"] = f"{PREFIX}HOME"

        def variable(name: str) -> str:
            return PREFIX + name.upper()

        self._level(table, variable, variable)

    def take(self, name: str, value: Any, origin: str, *, where: str | None = None) -> None:
        """Take one value for a known name."""
        try:
            self.values["webhook_secrets" if name == "webhook_secret" else name] = _convert(name, value)
        except ValueError as error:
            told = "" if name in SECRETS else f", got {value!r}"
            self.problems.append(f"{where or origin}: expected {error}{told}")
            return
        self.origins["webhook_secrets" if name == "webhook_secret" else name] = origin

    def loaded(self) -> Loaded:
        """The settings, if nothing is wrong."""
        for name in NOT_BUILT & self.values.keys():
            if self.values[name] != getattr(Settings(), name):
                self.problems.append(f"{self.origins[name]}: {name}: not built yet in this version; leave it out")
        if self.problems:
            raise BadSettings(self.problems)
        return Loaded(Settings(**self.values), self.origins)

    def _level(
        self, table: Mapping[str, Any], where: Callable[[str], str], origin: Callable[[str], str]
    ) -> None:
        """Take all names of one source."""
        for key, value in table.items():
            name = key.removesuffix("_file") if key.removesuffix("_file") in SECRETS else key
            if name not in NAMES | {"webhook_secret"}:
                self.problems.append(f"{where(key)}: unknown setting{nearest(key, NAMES)}")
            elif key != name and name in table:
                self.problems.append(f"{where(key)}: {name} is given as well; keep one of them")
            elif name == "webhook_secret" and "webhook_secrets" in table:
                self.problems.append(f"{where(key)}: webhook_secrets is given as well; keep one of them")
            else:
                self._take_or_read(key, name, value, where(key), origin(key))

    def _take_or_read(self, key: str, name: str, value: Any, where: str, origin: str) -> None:
        if key == name:
            self.take(name, value, origin, where=where)
            return
        path = self.home / Path(str(value)).expanduser()
        try:
            text = path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            self.problems.append(f"{where}: cannot read {path}: {error}")
            return
        if not text:
            self.problems.append(f"{where}: {path} is empty")
            return
        self.take(name, text, origin, where=where)


def _convert(name: str, value: Any) -> Any:
    """A source's value as the setting's type. Raises ValueError with what was expected."""
    return _CONVERTERS.get(name, _text)(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("a text that is not empty")
    return value


def _boolean(value: Any) -> bool:
    found = value if isinstance(value, bool) else _TRUTHS.get(str(value).lower())
    if found is None:
        raise ValueError("true or false")
    return found


def _integer(least: int, most: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        number = int(value) if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value) else value
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
            raise ValueError(f"an integer from {least} to {most}")
        return number

    return convert


def _list(value: Any) -> list[Any]:
    found = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(found, list):
        raise ValueError("a list")
    return found


def _secret_key(value: Any) -> str:
    if len(_text(value)) < LEAST_KEY:
        raise ValueError(f"at least {LEAST_KEY} characters")
    return str(value)


def _secret_keys(value: Any) -> tuple[str, ...]:
    return tuple(_secret_key(each) for each in _list(value))


def _webhook_secret(value: Any) -> tuple[WebhookSecret, ...]:
    return (WebhookSecret(_text(value)),)


def _webhook_secrets(value: Any) -> tuple[WebhookSecret, ...]:
    return tuple(WebhookSecret(each) if isinstance(each, str) and each else _bound(each) for each in _list(value))


def _bound(value: Any) -> WebhookSecret:
    try:
        found = msgspec.convert(value, WebhookSecret)
    except msgspec.ValidationError as error:
        raise ValueError('texts, or tables {secret = "…", repositories = ["owner/*"]}') from error
    if not found.secret or set(value) - {"secret", "repositories"}:
        raise ValueError('texts, or tables {secret = "…", repositories = ["owner/*"]}')
    return found


def _url(value: Any) -> str:
    parts = urlsplit(_text(value))
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("an address such as https://deploy.example")
    return str(value).rstrip("/")


def _github_url(value: Any) -> str:
    url = _url(value)
    host = urlsplit(url).hostname or ""
    if url.startswith("http:") and host != "localhost" and not _loopback(host):
        raise ValueError("an https address (plain http is for loopback only)")
    return url


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _networks(value: Any) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(each, strict=False)) for each in _list(value))
    except ValueError as error:
        raise ValueError("addresses or networks such as 127.0.0.1 or 10.0.0.0/8") from error


def _database_url(value: Any) -> str:
    if not _text(value).startswith("sqlite:///"):
        raise ValueError("sqlite:///<path> (other databases are not built yet in this version)")
    return str(value)


def _shown(name: str, value: Any) -> str:
    if name in SECRETS - {"database_url"}:
        return "********" if value else "none"
    if value is None or value == ():
        return "none"
    return ", ".join(value) if isinstance(value, tuple) else str(value)


_CONVERTERS: Final[dict[str, Callable[[Any], Any]]] = {
    "home": lambda value: Path(_text(value)),
    "port": _integer(1, 65_535),
    "public_url": _url,
    "local_url": _url,
    "trusted_proxies": _networks,
    "database_url": _database_url,
    "auto_migrate": _boolean,
    "secret_key": _secret_key,
    "secret_key_fallbacks": _secret_keys,
    "webhook_secret": _webhook_secret,
    "webhook_secrets": _webhook_secrets,
    "github_url": _github_url,
    "github_api_url": _url,
    "max_running": _integer(0, 1_000),
    "web_processes": _integer(1, 64),
    "web_threads": _integer(1, 1_000),
    "max_sockets": _integer(0, 100_000),
    "log_limit": parse_size,
    "kill_grace": parse_duration,
    "retention_days": _integer(1, 100_000),
    "poll": parse_duration,
    "wait_limit": parse_duration,
}
"""How each setting that is not just a text is read."""
