"""Service files: what they say, and every problem at once."""

from __future__ import annotations

import json

import msgspec
import pytest

from fastdeploy_bot.core.files import servicefile
from fastdeploy_bot.core.files.servicefile import BadServiceFile, Finish, ServiceFile, StepSource

REPOSITORY = 'repository = "octo-org/shop"\n'

DOCUMENTED = """
description = "The web shop"
repository = "octo-org/shop"
branches = ["main", "release/*"]
tags = []
paths = ["api/**", "!api/docs/**"]
environment = "production"
url = "https://shop.example"
command = ["./deploy.sh"]
checkout = false
finish = "exit"
timeout = "15m"
steps = ["Build", "Migrate", "Restart"]
step_source = "api"
wait_for = []
supersede = true
auto = true
on_lost = "continue"
visibility = "private"
report = ["status", "deployment"]
run_as = ""
secrets = ["DB_PASSWORD"]
pass_env = ["SSH_AUTH_SOCK"]
[env]
APP_ENV = "production"
"""


def parse(toml: str) -> ServiceFile:
    """The service file of the service `shop`."""
    return servicefile.parse("shop", toml.encode())


def problems(toml: str | bytes, name: str = "shop") -> list[str]:
    """The problems of such a file."""
    with pytest.raises(BadServiceFile) as caught:
        servicefile.parse(name, toml.encode() if isinstance(toml, str) else toml)
    return list(caught.value.problems)


def test_documented_example_is_read() -> None:
    """Every documented key, with the documented values."""
    assert parse(DOCUMENTED) == ServiceFile(
        description="The web shop",
        repository="octo-org/shop",
        branches=("main", "release/*"),
        paths=("api/**", "!api/docs/**"),
        environment="production",
        url="https://shop.example",
        timeout=900.0,
        steps=("Build", "Migrate", "Restart"),
        secrets=("DB_PASSWORD",),
        pass_env=("SSH_AUTH_SOCK",),
        env={"APP_ENV": "production"},
    )


def test_repository_is_all_that_is_needed() -> None:
    """Everything else has its default."""
    file = parse(REPOSITORY)

    assert ServiceFile(repository="octo-org/shop") == file
    assert (("./deploy.sh",), 900.0, Finish.EXIT) == (file.command, file.timeout, file.finish)


def test_other_choices_are_read() -> None:
    """Choices are the words of the file."""
    file = parse(REPOSITORY + 'finish = "report"\nstep_source = "stdout"\nsilence_timeout = "5m"\nauto = false')

    assert (Finish.REPORT, StepSource.STDOUT) == (file.finish, file.step_source)
    assert (300.0, False) == (file.silence_timeout, file.auto)


def test_file_survives_being_kept_as_json() -> None:
    """A deployment keeps the file it was claimed with."""
    file = parse(DOCUMENTED)

    assert file == msgspec.json.decode(msgspec.json.encode(file), type=ServiceFile)


def test_argument_may_be_empty_but_not_the_program() -> None:
    """Programs take empty arguments."""
    assert ("./deploy.sh", "") == parse(REPOSITORY + 'command = ["./deploy.sh", ""]').command
    assert problems(REPOSITORY + 'command = ["", "x"]')


def test_missing_repository_is_told() -> None:
    """The one key without a default."""
    assert ["services/shop/service.toml: repository: missing; expected owner/name"] == problems("")


@pytest.mark.parametrize(
    ("problem", "toml"),
    [
        ('branches: expected a list of strings, got "main"', 'branches = "main"'),
        ("tags: expected a list of strings, got [1]", "tags = [1]"),
        ('paths: expected no empty string, got [""]', 'paths = [""]'),
        ("description: expected a string, got 1", "description = 1"),
        ('auto: expected true or false, got "yes"', 'auto = "yes"'),
        ("supersede: expected true or false, got 1", "supersede = 1"),
        (
            'command: expected a list such as ["./deploy.sh","--now"], got "./deploy.sh --now": no shell reads it',
            'command = "./deploy.sh --now"',
        ),
        (
            'command: expected a list such as ["./deploy.sh"], got "": no shell reads it',
            'command = ""',
        ),
        ("command: expected at least the program, got []", "command = []"),
        ('command: "{checkout}" needs checkout = true', 'command = ["{checkout}/deploy.sh"]'),
        ('finish: expected "exit" or "report", got "never"', 'finish = "never"'),
        ('step_source: expected "api" or "stdout", got []', "step_source = []"),
        ('timeout: expected a duration such as 90s, 15m or 2h, got "soon"', 'timeout = "soon"'),
        ("timeout: expected more than nothing, got 0", "timeout = 0"),
        ('steps: expected every name once, got ["A","A"]', 'steps = ["A", "A"]'),
        ('steps: expected no empty string, got [" "]', 'steps = [" "]'),
        ("url: expected an address such as https://shop.example, got \"javascript:x\"", 'url = "javascript:x"'),
        ("env: expected a table, got []", "env = []"),
        ("env: PORT: expected a string, got 80; put it in quotes", "env = {PORT = 80}"),
        ("env: DEBUG: expected a string, got true; put it in quotes", "env = {DEBUG = true}"),
        ('env: expected names that a variable can have, got "A-B"', 'env = {A-B = "x"}'),
        ("env: A: expected a string, got 1; put it in quotes; B: expected a string, got 2; put it in quotes",
         "env = {A = 1, B = 2}"),
        ("env: FASTDEPLOY_X: names that begin with FASTDEPLOY_ are the bot's own", 'env = {FASTDEPLOY_X = "x"}'),
        ('env: A: expected a string without NUL, got "\\u0000"', 'env = {A = "\\u0000"}'),
        ('secrets: expected names that a variable can have, got "../x"', 'secrets = ["../x"]'),
        ("pass_env: FASTDEPLOY_SECRET_KEY: names that begin with FASTDEPLOY_ are the bot's own",
         'pass_env = ["FASTDEPLOY_SECRET_KEY"]'),
        ("secrets: A stands in [env] as well; keep one of them", 'secrets = ["A"]\nenv = {A = "x"}'),
        ('report: expected some of ["status","deployment","check"], each once, got ["mail"]', 'report = ["mail"]'),
        ('report: expected some of ["status","deployment","check"], each once, got ["check","check"]',
         'report = ["check", "check"]'),
        ('branchs: unknown key; did you mean branches?', 'branchs = ["main"]'),
    ],
)  # fmt: skip
def test_wrong_value_is_told_with_file_key_and_expectation(problem: str, toml: str) -> None:
    """File, key, what is wrong."""
    assert [f"services/shop/service.toml: {problem}"] == problems(REPOSITORY + toml)


def test_step_name_may_have_two_hundred_characters() -> None:
    """And not one more."""
    assert ("x" * 200,) == parse(REPOSITORY + f'steps = ["{"x" * 200}"]').steps
    assert "at most 200 characters" in problems(REPOSITORY + f'steps = ["{"x" * 201}"]')[0]


@pytest.mark.parametrize("key", ["branches", "tags", "paths"])
def test_pattern_may_have_a_thousand_characters(key: str) -> None:
    """And not one more: what a million brackets stand for would take hours to find out, at each push."""
    assert ("[" * 1_000,) == getattr(parse(REPOSITORY + f'{key} = ["{"[" * 1_000}"]'), key)
    assert "at most 1000 characters" in problems(REPOSITORY + f'{key} = ["{"[" * 1_001}"]')[0]


@pytest.mark.parametrize(
    "repository",
    ["shop", "octo-org/", "/shop", "a/b/c", "octo org/shop", "../shop", "octo-org/..", "-x/shop", "a/b\n", "a/$(x)"],
)
def test_repository_that_github_cannot_have_is_refused(repository: str) -> None:
    """It becomes part of an address."""
    toml = f"repository = {msgspec.json.encode(repository).decode()}"

    assert "repository: expected owner/name" in problems(toml)[0]


@pytest.mark.parametrize("repository", ["octo-org/shop", "Octo/Shop.js", "o/.github", "me_corp/a_b-c.d"])
def test_repository_that_github_can_have_is_taken(repository: str) -> None:
    """As it is spelled there."""
    assert repository == parse(f'repository = "{repository}"').repository


@pytest.mark.parametrize(
    "toml",
    [
        'run_as = "deploy"',
    ],
)
def test_key_that_is_not_built_says_so(toml: str) -> None:
    """Never a silent no-op."""
    (problem,) = problems(REPOSITORY + toml)

    assert problem.endswith("not built yet in this version; leave it out")


@pytest.mark.parametrize("names", [[], ["*"], ["CI / test", "ci/circleci"], ["*", "test"], ["fastdeploy/site"]])
def test_a_service_may_wait_for_checks(names: list[str]) -> None:
    """By their names, by all of them, or by both; for what another service reports, too."""
    assert tuple(names) == parse(f"{REPOSITORY}wait_for = {json.dumps(names)}").wait_for


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["test", "Test"], "wait_for: expected every name once"),
        ([" "], "wait_for: expected no empty string"),
        (["x" * 256], "wait_for: expected at most 50 names of at most 255 characters"),
        ([f"job {number}" for number in range(51)], "wait_for: expected at most 50 names"),
        (["fastdeploy/shop"], "wait_for: it would wait for itself"),
        (["Fastdeploy / shop"], "wait_for: it would wait for itself"),
    ],
)
def test_a_service_waits_for_what_there_can_be(names: list[str], problem: str) -> None:
    """Each name once, and never what it reports itself."""
    (told,) = problems(f"{REPOSITORY}wait_for = {json.dumps(names)}")

    assert problem in told


def test_all_problems_are_told_at_once() -> None:
    """Nobody has to mend them one by one."""
    told = problems('branches = "main"\ntimeout = "soon"\nfoo = 1\nfinish = "never"')

    keys = [problem.split(": ")[1] for problem in told]
    assert ["branches", "timeout", "foo", "finish", "repository"] == keys


def test_syntax_error_tells_the_line() -> None:
    """Where to look."""
    (problem,) = problems('repository = "a/b"\nbranches = [\n"main"\n')

    assert problem.startswith("services/shop/service.toml: not valid TOML: ")
    assert "line 4" in problem or "end of document" in problem


@pytest.mark.parametrize("data", [b"a = '\xff'", b"a = " + b"[" * 5000, b"a = " + b"9" * 5000, b"\x00", b"{}"])
def test_file_that_is_no_toml_is_told(data: bytes) -> None:
    """Whatever stands in it."""
    assert "not valid TOML" in problems(data)[0]


@pytest.mark.parametrize("name", ["shop", "a", "0", "web-2", "a" * 63, "a-"])
def test_good_name_is_taken(name: str) -> None:
    """Small letters, digits and hyphens."""
    servicefile.check_name(name)

    assert "octo-org/shop" == servicefile.parse(name, REPOSITORY.encode()).repository


@pytest.mark.parametrize("name", ["", "-a", "Shop", "a_b", "a.b", "..", "a/b", "a" * 64, "ä", "a\n", " a"])
def test_bad_name_is_refused(name: str) -> None:
    """It is a folder, part of a URL and of a status context."""
    (problem,) = problems(REPOSITORY, name)

    assert "1 to 63 of a-z, 0-9 and -" in problem


@pytest.mark.parametrize(
    ("wanted", "lists", "branch", "tag"),
    [
        (True, "", "main", None),
        (False, "", "other", None),
        (False, "", None, "v1"),
        (True, 'branches = ["release/*"]', "release/1", None),
        (False, 'branches = ["release/*"]', "main", None),
        (False, 'branches = ["*"]', None, "v1"),
        (True, 'tags = ["v*"]', None, "v1"),
        (False, 'tags = ["v*"]', None, "x1"),
        (False, 'tags = ["v*"]', "main", None),
        (True, 'branches = ["main"]\ntags = ["v*"]', "main", None),
        (True, 'branches = ["main"]\ntags = ["v*"]', None, "v1"),
        (False, 'branches = ["*", "!wip-*"]', "wip-x", None),
        (True, 'branches = ["!wip-*"]', "main", None),
        (False, 'branches = ["*"]', "feature/x", None),
        (True, 'branches = ["**"]', "feature/x", None),
        (False, 'branches = ["**"]', None, None),
    ],
)
def test_branches_and_tags_decide_which_refs_are_wanted(
    wanted: bool, lists: str, branch: str | None, tag: str | None
) -> None:
    """Neither list: the default branch; tags alone: tags only."""
    file = parse(REPOSITORY + lists)

    assert wanted is servicefile.ref_wanted(file, branch=branch, tag=tag, default_branch="main")


def test_github_is_told_the_status_and_a_deployment_unless_the_file_says_otherwise() -> None:
    """Also nothing at all, where that is what it says."""
    assert ("status", "deployment") == parse(REPOSITORY).report
    assert () == parse(REPOSITORY + "report = []").report


def test_unknown_default_branch_wants_nothing() -> None:
    """Where it was never told, no branch is it."""
    assert not servicefile.ref_wanted(parse(REPOSITORY), branch="main", tag=None, default_branch=None)
