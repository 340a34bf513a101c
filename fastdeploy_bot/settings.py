"""Settings: defaults, then `fastdeploy.toml`, then the environment, then flags; all typed, none unknown."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from fastdeploy_bot.errors import SettingsError

PREFIX: Final = "FASTDEPLOY_"
FILE: Final = "fastdeploy.toml"
MASK: Final = "********"
LEAST_KEY: Final = 32
LONGEST_DURATION: Final = 366 * 86_400
LARGEST_SIZE: Final = 1 << 40

_SCRIPT_VARIABLES: Final = (
    "DEPLOYMENT SERVICE REPOSITORY REF BRANCH TAG SHA BEFORE ACTOR ENVIRONMENT CONTEXT "
    "SERVICE_DIR CHECKOUT URL STEPS_URL STEPS_FILE TOKEN RUN"
)
_COMMAND_VARIABLES: Final = "USER_TOKEN PASSWORD"
OTHER_VARIABLES: Final = frozenset(f"{_SCRIPT_VARIABLES} {_COMMAND_VARIABLES}".split())
"""Variables with our prefix that are no settings: what scripts and commands are given."""

NOT_BUILT: Final = frozenset(
    {
        "github_api_url",
        "github_api_version",
        "github_app_id",
        "github_client_id",
        "github_private_key",
        "github_token",
        "max_sockets",
        "metrics_token",
        "poll",
        "retention_days",
        "wait_limit",
    }
)
"""Settings that nothing acts on yet: any value but the default is an error."""

SECRETS: Final = frozenset(
    {
        "database_url",
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

    def __repr__(self) -> str:
        return f"WebhookSecret({MASK!r}, {self.repositories!r})"


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
    def effective_database_url(self) -> str:
        """Where the rows are."""
        return self.database_url or f"sqlite:///{self.home / 'fastdeploy.db'}"

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return Path(self.effective_database_url.removeprefix("sqlite:///"))

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
        raise BadSettings([f"{origin}: expected the path of a folder, got {shown(home)}"])
    return _path(home).absolute(), origin


def require_serving(settings: Settings) -> None:
    """Raise unless the settings allow a bot to serve."""
    if not settings.home.is_dir():
        raise BadSettings(
            [f"home missing: there is no folder {settings.home}: run `fastdeploy init`, or set {PREFIX}HOME"]
        )
    problems = []
    if not settings.webhook_secrets:
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


def describe(loaded: Loaded) -> list[tuple[str, str, str]]:
    """Every setting's name, effective value (secrets masked) and origin."""
    settings = loaded.settings
    effective = {
        "public_url": settings.effective_public_url,
        "local_url": settings.effective_local_url,
        "database_url": settings.effective_database_url,
    }
    return [
        (name, _masked(name, effective.get(name, getattr(settings, name))), loaded.origins[name])
        for name in Settings.__struct_fields__
    ]


def nearest(name: str, known: Collection[str]) -> str:
    """A hint at the known name that an unknown one is most like."""
    return f"; did you mean {difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)[0]}?"


def shown(value: object) -> str:
    """A wrong value as a problem shows it: one line, not too long."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}…"


def parse_toml(data: bytes) -> dict[str, Any]:
    """What the document holds (Any: whatever it likes). Raises ValueError, which tells the line if it can."""
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"not UTF-8 (at line {line})") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def parse_duration(value: object) -> float:
    """Seconds from `15m`, `1m30s`, `90` or a number. Raises ValueError."""
    seconds = _seconds(value)
    if seconds is None or not 0 <= seconds <= LONGEST_DURATION:
        raise ValueError("a duration such as 90s, 15m or 2h")
    return seconds


def _seconds(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value if isinstance(value, float) else float(min(value, LONGEST_DURATION + 1))
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?|( *[0-9]{1,9} *[smhd])+", value):
        return None
    parts = re.findall(r"([0-9]+) *([smhd])", value)
    return float(sum(int(number) * _UNITS[unit] for number, unit in parts)) if parts else float(value)


def parse_size(value: object) -> int:
    """Bytes from `8 MiB`, `512 KiB` or a number. Raises ValueError."""
    found = re.fullmatch(r"([0-9]{1,15}) *(B|KiB|MiB|GiB)?", value) if isinstance(value, str) else None
    size = int(found[1]) * _SIZES[found[2] or ""] if found else value
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= LARGEST_SIZE:
        raise ValueError("a size such as 8 MiB")
    return size


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
            table = parse_toml(path.read_bytes())
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
            self.problems.append(f"{name}: unknown setting{nearest(name, {*known, f'{PREFIX}HOME'})}")
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
        return Loaded(Settings(**self.values), self.origins)

    def _take_all(self, source: _Source) -> None:
        taken: dict[str, str] = {}
        for key in source.table:
            name = key.removesuffix("_file") if key in KEYS else key
            setting = "webhook_secrets" if name == "webhook_secret" else name
            if key not in KEYS:
                self.problems.append(f"{source.where(key)}: unknown setting{nearest(key, KEYS)}")
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
        if setting in NOT_BUILT and (problem or value != getattr(_DEFAULTS, setting)):
            problem = "not built yet in this version; leave it out"
        if problem is not None:
            self.problems.append(f"{source.where(key)}: {problem}")
        else:
            self.values[setting] = value

    def _given(self, source: _Source, key: str, name: str) -> object:
        if key != name:
            return _from_text(name, _file_text(source.folder, source.table[key]))
        return _from_text(name, source.table[key]) if source.speaks_text else source.table[key]


def _path(text: str) -> Path:
    """The path; `~` is the user's folder where there is such a user."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _file_text(folder: Path, path: object) -> str:
    """What a secret's file holds, without the newline at its end."""
    if not isinstance(path, str) or not path or "\0" in path:
        raise ValueError(f"expected the path of a file, got {shown(path)}")
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
        return _CONVERTERS.get(name, _text)(value)
    except ValueError as error:
        told = "" if name in SECRETS else f", got {shown(value)}"
        raise ValueError(f"expected {error}{told}") from error


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError("a text that is not empty")
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")  # noqa: TRY004 - a problem like every other
    return value


def _integer(least: int, most: int) -> Callable[[object], int]:
    def convert(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"an integer from {least} to {most}")
        return value

    return convert


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError("a list")  # noqa: TRY004 - a problem like every other
    return value


def _secret_key(value: object) -> str:
    key = _text(value)
    if len(key) < LEAST_KEY:
        raise ValueError(f"at least {LEAST_KEY} characters")
    return key


def _secret_keys(value: object) -> tuple[str, ...]:
    return tuple(_secret_key(each) for each in _list(value))


def _webhook_secret(value: object) -> tuple[WebhookSecret, ...]:
    return (WebhookSecret(_text(value)),)


def _webhook_secrets(value: object) -> tuple[WebhookSecret, ...]:
    return tuple(WebhookSecret(_text(each)) if isinstance(each, str) else _bound(each) for each in _list(value))


def _bound(value: object) -> WebhookSecret:
    shape = 'a list of texts, or of tables {secret = "…", repositories = ["owner/*"]}'
    try:
        found = msgspec.convert(value, WebhookSecret)
    except msgspec.ValidationError as error:
        # The cause would show the secret's type at most, but a key may well be one in the wrong place.
        raise ValueError(shape) from error
    strange = isinstance(value, dict) and value.keys() - {"secret", "repositories"}
    if strange or not found.secret.strip() or found.repositories == ():
        raise ValueError(shape)
    return found


def _url(value: object) -> str:
    """An address that paths are put behind."""
    text = _text(value).rstrip("/")
    parts = _split(text)
    if parts is None or parts.path or set("?#@") & set(text):
        raise ValueError("an address such as https://deploy.example, without a path")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _api_url(value: object) -> str:
    text = _text(value).rstrip("/")
    if _split(text) is None or set("?#@") & set(text):
        raise ValueError("an address such as https://github.example/api/v3")
    return text


def _split(text: str) -> SplitResult | None:
    """The parts of an http(s) URL; None for anything else."""
    try:
        parts = urlsplit(text)
        whole = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if whole and text.isprintable() and " " not in text else None


def _github_url(value: object) -> str:
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


def _networks(value: object) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(_text(each), strict=False)) for each in _list(value))
    except ValueError as error:
        raise ValueError("a list of addresses or networks such as 127.0.0.1 or 10.0.0.0/8") from error


def _database_url(value: object) -> str:
    text = _text(value)
    path = text.removeprefix("sqlite:///")
    if path in {text, "", ":memory:"}:
        raise ValueError("sqlite:///<path> (other databases are not built yet in this version)")
    return f"sqlite:///{Path(path).absolute()}"


def _poll(value: object) -> float | None:
    return None if value in ("off", False) else parse_duration(value)


def _masked(name: str, value: object) -> str:
    if name == "database_url":
        return re.sub(r"(?<=://)[^/]*@", f"{MASK}@", str(value))
    if value is None or value == ():
        return "none"
    if name in SECRETS:
        return MASK
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


_CONVERTERS: Final[Mapping[str, Callable[[object], object]]] = {
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
    "github_api_url": _api_url,
    "max_running": _integer(0, 1_000),
    "web_processes": _integer(1, 64),
    "web_threads": _integer(1, 1_000),
    "max_sockets": _integer(0, 100_000),
    "log_limit": parse_size,
    "kill_grace": parse_duration,
    "retention_days": _integer(1, 100_000),
    "poll": _poll,
    "wait_limit": parse_duration,
}
"""How each setting that is not just a text is read."""
