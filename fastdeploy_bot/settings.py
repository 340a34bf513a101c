"""Settings: what a bot is run with, all typed; `sources` says where they come from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from fastdeploy_bot import appfile
from fastdeploy_bot.appfile import App
from fastdeploy_bot.errors import SettingsError
from fastdeploy_bot.words import LogFormat, WebhookSecret

PREFIX: Final = "FASTDEPLOY_"
FILE: Final = "fastdeploy.toml"

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


def signs_in_by_hand(settings: Settings) -> bool:
    """Whether the settings say themselves what GitHub is signed in to with: then the App file's key is passed over."""
    return settings.github_token is not None or settings.github_private_key is not None


def _passwords(database_url: str) -> list[str]:
    """The passwords that an address of a database holds."""
    parts = urlsplit(database_url)
    return [*parse_qs(parts.query).get("password", []), *filter(None, [unquote(parts.password or "")])]
