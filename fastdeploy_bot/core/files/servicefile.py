"""Service files: `services/<name>/service.toml`, read into values or told what is wrong. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from fastdeploy_bot.core.files import globs
from fastdeploy_bot.errors import SettingsError
from fastdeploy_bot.values import is_web_address, nearest, parse_duration, parse_toml, shown
from fastdeploy_bot.words import OWN_PREFIXES, ReportKind

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
REPOSITORY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*/(?!\.{1,2}$)[A-Za-z0-9_.-]+")
LONGEST_GLOB: Final = 1_000
"""Characters; no ref has as many, and one of a million would take a push hours to read."""
LONGEST_STEP: Final = 200
LONGEST_CHECK: Final = 255
MOST_CHECKS: Final = 50
RESERVED: Final = "FASTDEPLOY_"

NOT_BUILT: Final = frozenset({"run_as"})
"""Keys that nothing acts on yet: any value but the default is an error."""


class Finish(StrEnum):
    """What ends a deployment."""

    EXIT = "exit"
    REPORT = "report"


class StepSource(StrEnum):
    """Where steps are reported."""

    API = "api"
    STDOUT = "stdout"


class OnLost(StrEnum):
    """What a lost deployment means for the next one."""

    CONTINUE = "continue"
    HOLD = "hold"


class Visibility(StrEnum):
    """What somebody without a token sees."""

    PRIVATE = "private"
    STATUS = "status"
    PUBLIC = "public"


class BadServiceFile(SettingsError):
    """A service file is wrong."""

    def __init__(self, problems: list[str], *, repository: str = "") -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
        """Every problem, one line each: `file: key: what is wrong`."""
        self.repository = repository
        """The `owner/name` that it names all the same; empty where that cannot be read."""


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
    submodules: bool = False
    finish: Finish = Finish.EXIT
    timeout: float = 900.0
    silence_timeout: float | None = None
    steps: tuple[str, ...] = ()
    step_source: StepSource = StepSource.API
    wait_for: tuple[str, ...] = ()
    supersede: bool = True
    auto: bool = True
    on_lost: OnLost = OnLost.CONTINUE
    visibility: Visibility = Visibility.PRIVATE
    report: tuple[str, ...] = ("status", "deployment")
    run_as: str = ""
    secrets: tuple[str, ...] = ()
    pass_env: tuple[str, ...] = ()
    env: Mapping[str, str] = {}


def check_name(name: str) -> None:
    """Raise BadServiceFile unless a service may have that name."""
    if not NAME.fullmatch(name):
        raise BadServiceFile(
            [f"services/{name}: a service's name has 1 to 63 of a-z, 0-9 and -, and does not begin with -"]
        )


def parse(name: str, data: bytes) -> ServiceFile:
    """The service file of that name. Raises BadServiceFile with every problem there is."""
    check_name(name)
    where = f"services/{name}/service.toml"
    try:
        table = parse_toml(data)
    except ValueError as error:
        raise BadServiceFile([f"{where}: not valid TOML: {error}"]) from error
    values, problems = _converted(table)
    problems += _contradictions(values)
    own = {f"{prefix}{name}".casefold() for prefix in OWN_PREFIXES}
    if any(each.casefold() in own for each in values.get("wait_for", ())):
        problems.append("wait_for: it would wait for itself: what the bot reports of this service is among the names")
    if "repository" not in table:
        problems.append("repository: missing; expected owner/name")
    if problems:
        raise BadServiceFile([f"{where}: {problem}" for problem in problems], repository=values.get("repository", ""))
    return ServiceFile(**values)


def ref_wanted(file: ServiceFile, *, branch: str | None, tag: str | None, default_branch: str | None) -> bool:
    """Whether the service deploys that branch or tag; with neither list, the default branch only."""
    if not file.branches and not file.tags:
        return branch is not None and branch == default_branch
    if branch is not None:
        return bool(file.branches) and globs.last_match(file.branches, branch)
    return tag is not None and bool(file.tags) and globs.last_match(file.tags, tag)


def _converted(table: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The values that could be read, and the problems of the others (Any: each key has its own type)."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in table.items():
        if key not in _CONVERTERS:
            problems.append(f"{key}: unknown key{nearest(key, _CONVERTERS)}")
            continue
        try:
            values[key] = _CONVERTERS[key](value)
        except ValueError as error:
            problems.append(f"{key}: {error}")
            continue
        if key in NOT_BUILT and values[key] != getattr(_DEFAULTS, key):
            problems.append(f"{key}: not built yet in this version; leave it out")
    return values, problems


def _contradictions(values: Mapping[str, Any]) -> list[str]:
    problems = []
    if not values.get("checkout") and any("{checkout}" in word for word in values.get("command", ())):
        problems.append('command: "{checkout}" needs checkout = true')
    if values.get("submodules") and not values.get("checkout"):
        problems.append("submodules: needs checkout = true")
    for name in sorted(set(values.get("secrets", ())) & set(values.get("env", {}))):
        problems.append(f"secrets: {name} stands in [env] as well; keep one of them")
    return problems


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"expected a string, got {shown(value)}")
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {shown(value)}")  # noqa: TRY004 - a problem like every other
    return value


def _strings(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) and "\0" not in each for each in value):
        raise ValueError(f"expected a list of strings, got {shown(value)}")
    return tuple(value)


def _texts(value: object) -> tuple[str, ...]:
    texts = _strings(value)
    if not all(text.strip() for text in texts):
        raise ValueError(f"expected no empty string, got {shown(value)}")
    return texts


def _globs(value: object) -> tuple[str, ...]:
    globs_ = _texts(value)
    if any(len(glob) > LONGEST_GLOB for glob in globs_):
        raise ValueError(f"expected patterns of at most {LONGEST_GLOB} characters, got {shown(value)}")
    return globs_


def _repository(value: object) -> str:
    repository = _text(value)
    if not REPOSITORY.fullmatch(repository):
        raise ValueError(f"expected owner/name, got {shown(value)}")
    return repository


def _url(value: object) -> str:
    url = _text(value)
    if url and not is_web_address(url):
        raise ValueError(f"expected an address such as https://shop.example, got {shown(value)}")
    return url


def _command(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        hint = shown(value.split() or ["./deploy.sh"])
        raise ValueError(f"expected a list such as {hint}, got {shown(value)}: no shell reads it")  # noqa: TRY004
    words = _strings(value)
    if not words or not words[0].strip():
        raise ValueError(f"expected at least the program, got {shown(value)}")
    return words


def _seconds(value: object) -> float:
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise ValueError(f"expected {error}, got {shown(value)}") from error
    if seconds <= 0:
        raise ValueError(f"expected more than nothing, got {shown(value)}")
    return seconds


def _one_of(choices: type[StrEnum]) -> Callable[[object], StrEnum]:
    def convert(value: object) -> StrEnum:
        for choice in choices:
            if value == choice.value:
                return choice
        raise ValueError(f"expected {' or '.join(shown(each.value) for each in choices)}, got {shown(value)}")

    return convert


def _steps(value: object) -> tuple[str, ...]:
    names = _texts(value)
    if len(set(names)) != len(names):
        raise ValueError(f"expected every name once, got {shown(value)}")
    if any(len(name) > LONGEST_STEP for name in names):
        raise ValueError(f"expected names of at most {LONGEST_STEP} characters, got {shown(value)}")
    return names


def _wait_for(value: object) -> tuple[str, ...]:
    names = _texts(value)
    if len({name.casefold() for name in names}) != len(names):
        raise ValueError(f"expected every name once, got {shown(value)}")
    if len(names) > MOST_CHECKS or any(len(name) > LONGEST_CHECK for name in names):
        raise ValueError(f"expected at most {MOST_CHECKS} names of at most {LONGEST_CHECK} characters")
    return names


def _variables(value: object) -> tuple[str, ...]:
    for name in (names := _texts(value)):
        _check_variable(name)
    return names


def _env(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"expected a table, got {shown(value)}")  # noqa: TRY004 - a problem like every other
    problems = [problem for name, text in value.items() if (problem := _env_problem(name, text))]
    if problems:
        raise ValueError("; ".join(problems))
    return value


def _env_problem(name: str, text: object) -> str | None:
    try:
        _check_variable(name)
    except ValueError as error:
        return str(error)
    if not isinstance(text, str):
        return f"{name}: expected a string, got {shown(text)}; put it in quotes"
    return f"{name}: expected a string without NUL, got {shown(text)}" if "\0" in text else None


def _check_variable(name: str) -> None:
    if not VARIABLE.fullmatch(name):
        raise ValueError(f"expected names that a variable can have, got {shown(name)}")
    if name.startswith(RESERVED):
        raise ValueError(f"{name}: names that begin with {RESERVED} are the bot's own")


def _report(value: object) -> tuple[str, ...]:
    kinds = _strings(value)
    if len(set(kinds)) != len(kinds) or not set(kinds) <= set(ReportKind):
        raise ValueError(f"expected some of {shown(list(ReportKind))}, each once, got {shown(value)}")
    return kinds


_DEFAULTS: Final = ServiceFile(repository="")

_CONVERTERS: Final[Mapping[str, Callable[[object], object]]] = {
    "repository": _repository,
    "description": _text,
    "branches": _globs,
    "tags": _globs,
    "paths": _globs,
    "environment": _text,
    "url": _url,
    "command": _command,
    "checkout": _boolean,
    "submodules": _boolean,
    "finish": _one_of(Finish),
    "timeout": _seconds,
    "silence_timeout": _seconds,
    "steps": _steps,
    "step_source": _one_of(StepSource),
    "wait_for": _wait_for,
    "supersede": _boolean,
    "auto": _boolean,
    "on_lost": _one_of(OnLost),
    "visibility": _one_of(Visibility),
    "report": _report,
    "run_as": _text,
    "secrets": _variables,
    "pass_env": _variables,
    "env": _env,
}
"""How each key's value is read; a converter raises ValueError with what was expected."""
