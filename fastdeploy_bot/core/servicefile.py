"""Service files: `services/<name>/service.toml`, read into values or told what is wrong. Pure: bytes in, values out."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from fastdeploy_bot.core import globs
from fastdeploy_bot.errors import SettingsError
from fastdeploy_bot.settings import nearest, parse_duration

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LONGEST_STEP: Final = 200
RESERVED: Final = "FASTDEPLOY_"

NOT_BUILT: Final = frozenset({"checkout", "wait_for", "on_lost", "visibility", "run_as"})
"""Keys that nothing acts on yet: any value but the default is an error."""


class BadServiceFile(SettingsError):
    """A service file is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class ServiceFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a service file says. Durations are in seconds."""

    repository: str
    """`owner/name`."""
    description: str = ""
    branches: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    environment: str = ""
    url: str = ""
    command: tuple[str, ...] = ("./deploy.sh",)
    checkout: bool = False
    finish: str = "exit"
    timeout: float = 900.0
    silence_timeout: float | None = None
    steps: tuple[str, ...] = ()
    step_source: str = "api"
    wait_for: tuple[str, ...] = ()
    supersede: bool = True
    auto: bool = True
    on_lost: str = "continue"
    visibility: str = "private"
    report: tuple[str, ...] = ("status", "deployment")
    run_as: str = ""
    secrets: tuple[str, ...] = ()
    pass_env: tuple[str, ...] = ()
    env: Mapping[str, str] = {}


def check_name(name: str) -> None:
    """Raise unless a service may have that name."""
    if not NAME.fullmatch(name):
        raise BadServiceFile(
            [f"services/{name}: a service's name has 1 to 63 of a-z, 0-9 and -, and does not begin with -"]
        )


def parse(name: str, data: bytes) -> ServiceFile:
    """The service file of that name. Raises BadServiceFile with every problem there is, as `file: key: what`."""
    check_name(name)
    where = f"services/{name}/service.toml"
    try:
        table = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadServiceFile([f"{where}: not valid TOML: {error}"]) from error
    values, problems = _converted(table)
    if "repository" not in table:
        problems.append("repository: missing; expected owner/name")
    if problems:
        raise BadServiceFile([f"{where}: {problem}" for problem in problems])
    return ServiceFile(**values)


def ref_wanted(file: ServiceFile, *, branch: str | None, tag: str | None, default_branch: str | None) -> bool:
    """Whether the service deploys that branch or tag; with neither `branches` nor `tags`, the default branch only."""
    if not file.branches and not file.tags:
        return branch is not None and branch == default_branch
    if branch is not None:
        return bool(file.branches) and globs.last_match(file.branches, branch)
    return tag is not None and bool(file.tags) and globs.last_match(file.tags, tag)


def _converted(table: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in table.items():
        if key not in _CONVERTERS:
            problems.append(f"{key}: unknown key{nearest(key, frozenset(_CONVERTERS))}")
            continue
        try:
            values[key] = _CONVERTERS[key](value)
        except ValueError as error:
            problems.append(f"{key}: {error}")
            continue
        if key in NOT_BUILT and values[key] != getattr(ServiceFile(repository=""), key):
            problems.append(f"{key}: not built yet in this version; leave it out")
    if not values.get("checkout") and any("{checkout}" in word for word in values.get("command", ())):
        problems.append('command: "{checkout}" needs checkout = true')
    return values, problems


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"expected a text, got {_shown(value)}")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {_shown(value)}")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(
        isinstance(each, str) and each and "\0" not in each for each in value
    ):
        raise ValueError(f"expected a list of texts, got {_shown(value)}")
    return tuple(value)


def _repository(value: Any) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+", _text(value)):
        raise ValueError(f"expected owner/name, got {_shown(value)}")
    return str(value)


def _command(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise ValueError(
            f"expected a list, one text per argument, such as [{value.split(' ')[0]!r}, …]: no shell runs it"
        )
    if not (words := _texts(value)):
        raise ValueError("expected at least the program")
    return words


def _seconds(value: Any) -> float:
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise ValueError(f"expected {error}, got {_shown(value)}") from error
    if seconds <= 0:
        raise ValueError("expected more than nothing")
    return seconds


def _one_of(*choices: str) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"expected {' or '.join(map(repr, choices))}, got {_shown(value)}")
        return str(value)

    return convert


def _steps(value: Any) -> tuple[str, ...]:
    names = _texts(value)
    if len(set(names)) != len(names):
        raise ValueError("expected every name once")
    if any(not name.strip() or len(name) > LONGEST_STEP for name in names):
        raise ValueError(f"expected names of 1 to {LONGEST_STEP} characters")
    return names


def _variables(value: Any) -> tuple[str, ...]:
    for name in (names := _texts(value)):
        _check_variable(name)
    return names


def _env(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"expected a table, got {_shown(value)}")
    for name, text in value.items():
        _check_variable(name)
        if not isinstance(text, str) or "\0" in text:
            raise ValueError(f"{name}: expected a text, got {_shown(text)}; put it in quotes")
    return value


def _check_variable(name: str) -> None:
    if not VARIABLE.fullmatch(name):
        raise ValueError(f"{name!r} is not a name that a variable can have")
    if name.startswith(RESERVED):
        raise ValueError(f"{name}: names that begin with {RESERVED} are the bot's own")


def _report(value: Any) -> tuple[str, ...]:
    kinds = _texts(value)
    if "check" in kinds:
        raise ValueError('"check" is not built yet in this version; leave it out')
    if unknown := set(kinds) - {"status", "deployment"}:
        raise ValueError(f'expected "status" and "deployment", got {", ".join(sorted(unknown))}')
    return kinds


_CONVERTERS: Final[dict[str, Callable[[Any], Any]]] = {
    "repository": _repository,
    "description": _text,
    "branches": _texts,
    "tags": _texts,
    "paths": _texts,
    "environment": _text,
    "url": _text,
    "command": _command,
    "checkout": _boolean,
    "finish": _one_of("exit", "report"),
    "timeout": _seconds,
    "silence_timeout": _seconds,
    "steps": _steps,
    "step_source": _one_of("api", "stdout"),
    "wait_for": _texts,
    "supersede": _boolean,
    "auto": _boolean,
    "on_lost": _one_of("continue", "hold"),
    "visibility": _one_of("private", "status", "public"),
    "report": _report,
    "run_as": _text,
    "secrets": _variables,
    "pass_env": _variables,
    "env": _env,
}
"""How each key's value is read; a converter raises ValueError with what was expected."""
