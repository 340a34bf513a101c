"""Values: what settings and service files may hold, and how a wrong one is told. Pure.

A converter answers the typed value, or raises ValueError with what was expected.
"""

from __future__ import annotations

import base64
import contextlib
import difflib
import ipaddress
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from fastdeploy_bot.words import LogFormat, WebhookSecret

LEAST_KEY: Final = 32
LONGEST_DURATION: Final = 366 * 86_400
LEAST_POLL: Final = 10
LONGEST_POLL: Final = 86_400
LARGEST_SIZE: Final = 1 << 40
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_WEB_ADDRESS: Final = re.compile(r"https?://[^\s<>\"'\\\x00-\x1f\x7f-\x9f]+")
_SIZES: Final = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def nearest(name: str, known: Collection[str]) -> str:
    """A hint at the known name that an unknown one is most like."""
    return f"; did you mean {difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)[0]}?"


def shown(value: object) -> str:
    """A wrong value as a problem shows it: one line, not too long."""
    try:
        text = str(value) if isinstance(value, float) else msgspec.json.encode(value).decode()
    except ValueError:
        text = "what cannot be shown"
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


def spell_duration(seconds: float) -> str:
    """A length of time in words such as `2h`, `1m30s` or `0.5s`."""
    whole = int(seconds)
    if whole != seconds:
        return f"{seconds:g}s"
    parts = ((whole // 3_600, "h"), (whole // 60 % 60, "m"), (whole % 60, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def parse_size(value: object) -> int:
    """Bytes from `8 MiB`, `512 KiB` or a number. Raises ValueError."""
    found = re.fullmatch(r"([0-9]{1,15}) *(B|KiB|MiB|GiB)?", value) if isinstance(value, str) else None
    size = int(found[1]) * _SIZES[found[2] or ""] if found else value
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= LARGEST_SIZE:
        raise ValueError("a size such as 8 MiB")
    return size


def spell_size(size: int) -> str:
    """Bytes in the largest unit that leaves no rest, such as `8 MiB`."""
    unit = next(each for each in reversed(_SIZES) if size % _SIZES[each] == 0)
    return f"{size // _SIZES[unit]} {unit}"


def plain(value: object) -> str:
    """A text that is not empty. Raises ValueError."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError("a text that is not empty")
    return value


def _host(value: object) -> str:
    if set(plain(value)) & set(" \t\r\n/@?#[]"):
        raise ValueError("a host name or an address such as 127.0.0.1 or ::1")
    return str(value)


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
    key = plain(value)
    if len(key) < LEAST_KEY:
        raise ValueError(f"at least {LEAST_KEY} characters")
    return key


def _secret_keys(value: object) -> tuple[str, ...]:
    return tuple(_secret_key(each) for each in _list(value))


def _webhook_secret(value: object) -> tuple[WebhookSecret, ...]:
    return (WebhookSecret(plain(value)),)


def _webhook_secrets(value: object) -> tuple[WebhookSecret, ...]:
    return tuple(WebhookSecret(plain(each)) if isinstance(each, str) else _bound(each) for each in _list(value))


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


def base_url(value: object) -> str:
    """An address that paths are put behind. Raises ValueError."""
    text = plain(value).rstrip("/")
    parts = _split(text)
    if parts is None or parts.path or set("?#@") & set(text):
        raise ValueError("an address such as https://deploy.example, without a path")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _api_url(value: object) -> str:
    text = plain(value).rstrip("/")
    if _split(text) is None or set("?#@") & set(text):
        raise ValueError("an address such as https://github.example/api/v3")
    return _private_on_the_way(text)


def _split(text: str) -> SplitResult | None:
    """The parts of an http(s) URL; None for anything else."""
    try:
        parts = urlsplit(text)
        whole = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if whole and text.isprintable() and " " not in text else None


def _github_url(value: object) -> str:
    return _private_on_the_way(base_url(value))


def _private_on_the_way(url: str) -> str:
    host = urlsplit(url).hostname or ""
    if urlsplit(url).scheme == "http" and not is_loopback(host):
        raise ValueError("an https address (plain http is for loopback only)")
    return url


def is_web_address(text: str) -> bool:
    """Whether it is an address of the web, which a page may lead to; `javascript:` and the like are none."""
    return _WEB_ADDRESS.fullmatch(text) is not None


def is_loopback(host: str) -> bool:
    """Whether a host is this one, by its name or address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _matching(pattern: str, expected: str) -> Callable[[object], str]:
    def convert(value: object) -> str:
        if not re.fullmatch(pattern, text := plain(value)):
            raise ValueError(expected)
        return text

    return convert


def _app_id(value: object) -> str:
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"[1-9][0-9]{0,17}", text):
        raise ValueError("the number of a GitHub App, such as 123456")
    return text


def private_key(value: object) -> str:
    """A GitHub App's private key as PEM; its newlines may be written as backslash and n, and all of it as base64.

    Raises ValueError, which shows nothing of it.
    """
    text = plain(value).strip()
    if "-----BEGIN" not in text:
        with contextlib.suppress(ValueError):
            text = base64.b64decode("".join(text.split()), validate=True).decode("ascii")
    pem = text.replace("\\r", "").replace("\\n", "\n").strip() + "\n"
    if not _is_rsa(pem):
        raise ValueError("an RSA private key: the .pem file that GitHub gave out, its text, or base64 of it")
    return pem


def _is_rsa(pem: str) -> bool:
    # Looked at only where there is a key: most commands start without loading this.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return isinstance(load_pem_private_key(pem.encode(), password=None), RSAPrivateKey)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def _networks(value: object) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(plain(each), strict=False)) for each in _list(value))
    except ValueError as error:
        raise ValueError("a list of addresses or networks such as 127.0.0.1 or 10.0.0.0/8") from error


def _database_url(value: object) -> str:
    text = plain(value)
    if re.match(r"postgres(ql)?://", text):
        return _postgres_url(text)
    path = text.removeprefix("sqlite:///")
    if path in {text, "", ":memory:"}:
        raise ValueError("sqlite:///<path> or postgresql://<user>:<password>@<host>/<database>")
    return f"sqlite:///{Path(path).absolute()}"


def _postgres_url(text: str) -> str:
    """The URL as libpq reads it, which ends a password at the first of `@ / ? #`."""
    url = f"postgresql://{text.partition('://')[2]}"
    try:
        parts = urlsplit(url)
        whole = parts.port != 0 and len(parts.path) > 1 and url.count("@") == parts.netloc.count("@") <= 1
    except ValueError:
        whole = False
    if not whole or "#" in url or not text.isprintable() or " " in text:
        raise ValueError("postgresql://<user>:<password>@<host>/<database>, a @ in the password written %40 and so on")
    return url


def _poll(value: object) -> float | None:
    if value in ("off", False):
        return None
    seconds = parse_duration(value)
    if not LEAST_POLL <= seconds <= LONGEST_POLL:
        raise ValueError(f"off, or a duration from {LEAST_POLL} s to a day")
    return seconds


def _spell_poll(seconds: float | None) -> str:
    return "off" if seconds is None else spell_duration(seconds)


def _log_format(value: object) -> LogFormat:
    known = {each.value: each for each in LogFormat}
    if not isinstance(value, str) or value not in known:
        raise ValueError(" or ".join(known))
    return known[value]


CONVERTERS: Final[Mapping[str, Callable[[object], object]]] = {
    "host": _host,
    "port": _integer(1, 65_535),
    "public_url": base_url,
    "local_url": base_url,
    "trusted_proxies": _networks,
    "database_url": _database_url,
    "auto_migrate": _boolean,
    "secret_key": _secret_key,
    "secret_key_fallbacks": _secret_keys,
    "webhook_secret": _webhook_secret,
    "webhook_secrets": _webhook_secrets,
    "github_url": _github_url,
    "github_api_url": _api_url,
    "github_api_version": _matching(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "a version such as 2022-11-28"),
    "github_app_id": _app_id,
    "github_client_id": _matching(r"[A-Za-z0-9._-]{1,100}", "a client id such as Iv23abcdefghijklmnop"),
    "github_client_secret": _matching(r"[!-~]{1,1000}", "a client secret, without spaces"),
    "github_private_key": private_key,
    "github_token": _matching(r"[!-~]{1,1000}", "a token such as github_pat_…, without spaces"),
    "max_running": _integer(0, 1_000),
    "web_processes": _integer(1, 64),
    "web_threads": _integer(1, 1_000),
    "max_sockets": _integer(0, 100_000),
    "log_limit": parse_size,
    "log_format": _log_format,
    "kill_grace": parse_duration,
    "retention_days": _integer(1, 100_000),
    "mirror_limit": parse_size,
    "poll": _poll,
    "wait_limit": parse_duration,
}
"""How each setting that is not just a text is read."""

SPELLINGS: Final[Mapping[str, Callable[[Any], str]]] = {
    "log_limit": spell_size,
    "kill_grace": spell_duration,
    "mirror_limit": spell_size,
    "poll": _spell_poll,
    "wait_limit": spell_duration,
}
"""How those are shown that are kept as a number with a unit (Any: what the converter of that name answers)."""
