"""Settings: every source, their order, every problem at once, and nothing secret shown."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

import appkeys
from fastdeploy_bot import appfile, settings, sources, values
from fastdeploy_bot.appfile import App
from fastdeploy_bot.settings import BadSettings, OAuthApp, Settings
from fastdeploy_bot.sources import Loaded
from fastdeploy_bot.words import WebhookSecret

KEY = "k" * 32


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def load(home: Path, toml: str = "", flags: dict[str, str] | None = None, /, **variables: str) -> Loaded:
    """Load the settings of a home with this file, these flags and these variables."""
    (home / settings.FILE).write_text(toml)
    return sources.load(flags=flags, environ={"FASTDEPLOY_HOME": str(home), **variables})


def problems(home: Path, toml: str = "", flags: dict[str, str] | None = None, /, **variables: str) -> list[str]:
    """The problems of such a home."""
    with pytest.raises(BadSettings) as caught:
        load(home, toml, flags, **variables)
    return list(caught.value.problems)


# --- where settings come from -----------------------------------------------------------------------------


def test_defaults_need_no_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without file, environment and flags everything is as documented, and home is absolute."""
    monkeypatch.chdir(tmp_path)

    loaded = sources.load(environ={})

    assert Settings(home=tmp_path / "instance") == loaded.settings
    assert {"default"} == set(loaded.origins.values())
    assert set(Settings.__struct_fields__) == set(loaded.origins)


def test_file_wins_over_defaults(home: Path) -> None:
    """A value of fastdeploy.toml counts, and its origin is the file's path."""
    loaded = load(home, "port = 9000")

    assert 9000 == loaded.settings.port
    assert str(home / "fastdeploy.toml") == loaded.origins["port"]


def test_environment_wins_over_the_file(home: Path) -> None:
    """A variable counts more, and its origin is its name."""
    loaded = load(home, "port = 9000", FASTDEPLOY_PORT="9001")

    assert (9001, "FASTDEPLOY_PORT") == (loaded.settings.port, loaded.origins["port"])


def test_flag_wins_over_everything(home: Path) -> None:
    """What was just typed counts most."""
    loaded = load(home, "port = 9000", {"port": "9002"}, FASTDEPLOY_PORT="9001", PORT="9003")

    assert (9002, "--port") == (loaded.settings.port, loaded.origins["port"])


def test_port_of_the_platform_wins_over_the_file(home: Path) -> None:
    """PORT is honoured as platforms set it."""
    loaded = load(home, "port = 9000", PORT="9003")

    assert (9003, "PORT") == (loaded.settings.port, loaded.origins["port"])


def test_our_own_port_wins_over_the_platforms(home: Path) -> None:
    """FASTDEPLOY_PORT was meant for us."""
    loaded = load(home, PORT="not even a number", FASTDEPLOY_PORT="9001")

    assert (9001, "FASTDEPLOY_PORT") == (loaded.settings.port, loaded.origins["port"])


def test_empty_port_says_nothing(home: Path) -> None:
    """A platform that sets PORT to nothing means none."""
    assert 8000 == load(home, PORT="").settings.port


def test_home_comes_from_flag_then_environment(home: Path, tmp_path: Path) -> None:
    """The flag wins, and both are told as origin."""
    by_variable = load(home)
    by_flag = load(home, "", {"home": str(tmp_path / "other")})

    assert (home, "FASTDEPLOY_HOME") == (by_variable.settings.home, by_variable.origins["home"])
    assert (tmp_path / "other", "--home") == (by_flag.settings.home, by_flag.origins["home"])


def test_file_cannot_move_home(home: Path) -> None:
    """It would have to be read to know where it is."""
    assert ["fastdeploy.toml: home: the file lies in home already; use FASTDEPLOY_HOME or --home"] == problems(
        home, 'home = "/elsewhere"'
    )


def test_home_of_nobody_is_a_plain_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tilde that names no user is an ordinary character."""
    monkeypatch.chdir(tmp_path)

    loaded = sources.load(environ={"FASTDEPLOY_HOME": "~nobody-of-that-name/bot"})

    assert tmp_path / "~nobody-of-that-name" / "bot" == loaded.settings.home


def test_empty_home_is_refused() -> None:
    """An unset shell variable must not become the current folder."""
    with pytest.raises(BadSettings, match="FASTDEPLOY_HOME: expected the path of a folder"):
        sources.load(environ={"FASTDEPLOY_HOME": ""})


def test_home_that_is_missing_has_default_settings(tmp_path: Path) -> None:
    """Loading does not ask for a home; serving does."""
    loaded = sources.load(environ={"FASTDEPLOY_HOME": str(tmp_path / "none")})

    assert 8000 == loaded.settings.port


# --- what values look like --------------------------------------------------------------------------------


def test_every_built_setting_is_read_from_the_file(home: Path) -> None:
    """The file speaks TOML's own types."""
    loaded = load(
        home,
        f"""
        host = "0.0.0.0"
        port = 80
        public_url = "https://Deploy.Example/"
        local_url = "http://127.0.0.1:81"
        trusted_proxies = ["10.0.0.0/8", "::1"]
        database_url = "sqlite:////var/lib/bot.db"
        auto_migrate = false
        secret_key = "{KEY}"
        secret_key_fallbacks = ["{KEY}1", "{KEY}2"]
        webhook_secrets = ["one", {{secret = "two", repositories = ["octo-org/*"]}}]
        github_url = "https://github.example"
        github_api_url = "https://github.example/api/v3/"
        github_api_version = "2026-01-01"
        github_token = "github_pat_1"
        max_running = 0
        web_processes = 2
        web_threads = 8
        log_limit = "1 MiB"
        kill_grace = "1m30s"
        """,
    )

    assert loaded.settings == Settings(
        home=home,
        host="0.0.0.0",  # noqa: S104 - a value to read
        port=80,
        public_url="https://deploy.example",
        local_url="http://127.0.0.1:81",
        trusted_proxies=("10.0.0.0/8", "::1/128"),
        database_url="sqlite:////var/lib/bot.db",
        auto_migrate=False,
        secret_key=KEY,
        secret_key_fallbacks=(f"{KEY}1", f"{KEY}2"),
        webhook_secrets=(WebhookSecret("one"), WebhookSecret("two", ("octo-org/*",))),
        github_url="https://github.example",
        github_api_url="https://github.example/api/v3",
        github_api_version="2026-01-01",
        github_token="github_pat_1",
        max_running=0,
        web_processes=2,
        web_threads=8,
        log_limit=1 << 20,
        kill_grace=90.0,
    )


def test_environment_speaks_text(home: Path) -> None:
    """Numbers, truths, lists with commas, durations and sizes."""
    loaded = load(
        home,
        FASTDEPLOY_TRUSTED_PROXIES="10.0.0.1, 10.0.0.2",
        FASTDEPLOY_AUTO_MIGRATE="no",
        FASTDEPLOY_WEBHOOK_SECRETS="one,two",
        FASTDEPLOY_MAX_RUNNING="7",
        FASTDEPLOY_LOG_LIMIT="65536",
        FASTDEPLOY_KILL_GRACE="2",
    ).settings

    assert ("10.0.0.1/32", "10.0.0.2/32") == loaded.trusted_proxies
    assert loaded.auto_migrate is False
    assert (WebhookSecret("one"), WebhookSecret("two")) == loaded.webhook_secrets
    assert (7, 65_536, 2.0) == (loaded.max_running, loaded.log_limit, loaded.kill_grace)


@pytest.mark.parametrize(
    ("seconds", "value"),
    [
        (900, "15m"), (90, "90s"), (7200, "2h"), (86_400, "1d"), (90, "1m30s"), (10, "10 s"), (1.5, "1.5"),
        (5, 5), (0.5, 0.5), (0, "0"), (90, "1m 30s"),
    ],
)  # fmt: skip
def test_durations_are_read(seconds: float, value: object) -> None:
    """With units, in sums, and plain numbers as seconds."""
    assert seconds == values.parse_duration(value)


@pytest.mark.parametrize(
    "value", ["", "m", "15x", "-1", -1, "1m1", True, None, [], "1e3", float("inf"), float("nan"), "٣s", 10**400]
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    """Nothing negative, endless or guessed."""
    with pytest.raises(ValueError, match="a duration"):
        values.parse_duration(value)


@pytest.mark.parametrize(
    ("size", "value"), [(8 << 20, "8 MiB"), (512 << 10, "512KiB"), (1 << 30, "1 GiB"), (7, "7 B"), (9, "9"), (9, 9)]
)
def test_sizes_are_read(size: int, value: object) -> None:
    """With units, and plain numbers as bytes."""
    assert size == values.parse_size(value)


@pytest.mark.parametrize("value", ["", "8 MB", "0", 0, -1, "1.5 MiB", True, 8.0, "MiB", None, "9" * 15 + "GiB"])
def test_what_is_no_size_is_refused(value: object) -> None:
    """A size is some whole number of bytes."""
    with pytest.raises(ValueError, match="a size"):
        values.parse_size(value)


@pytest.mark.parametrize(
    ("problem", "toml"),
    [
        ('port: expected an integer from 1 to 65535, got "abc"', 'port = "abc"'),
        ('port: expected an integer from 1 to 65535, got "8000"', 'port = "8000"'),
        ("port: expected an integer from 1 to 65535, got 70000", "port = 70000"),
        ("port: expected an integer from 1 to 65535, got true", "port = true"),
        ('auto_migrate: expected true or false, got "no"', 'auto_migrate = "no"'),
        ("max_running: expected an integer from 0 to 1000, got -1", "max_running = -1"),
        ("host: expected a text that is not empty, got 1", "host = 1"),
        ("kill_grace: expected a duration such as 90s, 15m or 2h, got []", "kill_grace = []"),
        ('poll: expected off, or a duration from 10 s to a day, got "9s"', 'poll = "9s"'),
        ('poll: expected off, or a duration from 10 s to a day, got "2d"', 'poll = "2d"'),
        ('log_limit: expected a size such as 8 MiB, got "1979-05-27"', "log_limit = 1979-05-27"),
        (f"web_threads: expected an integer from 1 to 1000, got {10**30}", f"web_threads = {10**30}"),
    ],
)  # fmt: skip
def test_wrong_value_is_told_with_file_name_and_expectation(home: Path, problem: str, toml: str) -> None:
    """File, key, what was expected and what stands there."""
    assert [f"fastdeploy.toml: {problem}"] == problems(home, toml)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("public_url", "deploy.example"),
        ("public_url", "ftp://deploy.example"),
        ("public_url", "https://"),
        ("public_url", "https://deploy.example/path"),
        ("public_url", "https://deploy.example?x"),
        ("public_url", "https://me:pw@deploy.example"),
        ("public_url", "https://deploy.example:port"),
        ("public_url", "https://deploy.example:99999"),
        ("public_url", "https://[deploy"),
        ("public_url", "https://deploy example"),
        ("public_url", "https://deploy.example\nx"),
        ("github_url", "http://github.example"),
        ("github_url", "http://127.example"),
        ("github_api_url", "http://github.example/api/v3"),
        ("github_api_url", "HTTP://github.example"),
        ("github_api_url", "github.example"),
        ("github_api_url", "https://github.example/api?x"),
        ("github_api_url", "https://me:pw@github.example"),
        ("github_api_version", "newest"),
        ("github_app_id", "0"),
        ("github_app_id", "shop"),
        ("github_client_id", "two words"),
        ("github_token", "two words"),
        ("github_token", "tok\u00e9n"),
        ("trusted_proxies", "proxy.example"),
        ("trusted_proxies", "10.0.0.0/40"),
        ("trusted_proxies", "*"),
        ("public_url", "https://deploy\udcff.example"),
        ("host", ""),
        ("host", "my host"),
        ("host", "[::1]"),
        ("host", "deploy\udcff.example"),
        ("webhook_secret", "hunter2\udcff"),
        ("database_url", "mysql://db/bot"),
        ("database_url", "postgresql://"),
        ("database_url", "postgresql://db"),
        ("database_url", "postgresql://db:port/bot"),
        ("database_url", "postgresql://bot:p@ss@db/bot"),
        ("database_url", "postgresql://bot:1/2@db/bot"),
        ("database_url", "postgresql://bot:pass@db/bot#x"),
        ("database_url", "sqlite://"),
        ("database_url", "sqlite:///"),
        ("database_url", "sqlite:///:memory:"),
        ("auto_migrate", "maybe"),
    ],
)
def test_wrong_value_in_the_environment_is_told_with_the_variable(home: Path, name: str, value: str) -> None:
    """The problem begins with the variable's name."""
    variable = f"FASTDEPLOY_{name.upper()}"

    (problem,) = problems(home, **{variable: value})

    assert problem.startswith(f"{variable}: expected ")


def test_wrong_flag_is_told_with_its_name(home: Path) -> None:
    """As it was typed."""
    assert ['--port: expected an integer from 1 to 65535, got "abc"'] == problems(home, "", {"port": "abc"})


@pytest.mark.parametrize("url", ["http://localhost:3000", "http://127.0.0.1:3000", "http://[::1]:3000"])
def test_plain_http_github_is_for_loopback(home: Path, url: str) -> None:
    """A test's GitHub needs no certificate."""
    assert url == load(home, FASTDEPLOY_GITHUB_URL=url).settings.github_url
    assert f"{url}/api/v3" == load(home, FASTDEPLOY_GITHUB_API_URL=f"{url}/api/v3").settings.github_api_url


def test_relative_database_file_is_made_absolute(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens it later may stand elsewhere."""
    monkeypatch.chdir(home)

    loaded = load(home, FASTDEPLOY_DATABASE_URL="sqlite:///bot.db")

    assert f"sqlite:///{home / 'bot.db'}" == loaded.settings.effective_database_url


def test_all_problems_are_told_at_once(home: Path) -> None:
    """Nobody has to mend them one by one."""
    told = problems(
        home, 'port = "abc"\nprot = 1\nauto_migrate = 1', {"host": ""}, FASTDEPLOY_MAX_RUNNING="x", FASTDEPLOY_X="1"
    )

    places = ["--host", "FASTDEPLOY_MAX_RUNNING", "FASTDEPLOY_X", *["fastdeploy.toml"] * 3]
    assert places == sorted(problem.split(":")[0] for problem in told)


def test_error_shows_each_problem_on_a_line(home: Path) -> None:
    """What a command prints are the problems."""
    with pytest.raises(BadSettings) as caught:
        load(home, "prot = 1\nhots = 2")

    assert list(caught.value.problems) == str(caught.value).splitlines()


def test_syntax_error_tells_the_line(home: Path) -> None:
    """Where to look."""
    (problem,) = problems(home, "port = 8000\nhost =\n")

    assert "fastdeploy.toml: not valid TOML" in problem
    assert "line 2" in problem


@pytest.mark.parametrize("data", [b"host = '\xff'", b"a = " + b"[" * 5000, b"a = " + b"9" * 5000, b"\x00"])
def test_file_that_is_no_toml_is_told(home: Path, data: bytes) -> None:
    """Whatever stands in it."""
    (home / settings.FILE).write_bytes(data)

    with pytest.raises(BadSettings, match="not valid TOML"):
        sources.load(environ={"FASTDEPLOY_HOME": str(home)})


def test_file_that_cannot_be_read_is_told(home: Path) -> None:
    """A folder of that name is no file."""
    (home / settings.FILE).mkdir()

    with pytest.raises(BadSettings, match=r"fastdeploy.toml: cannot be read: Is a directory"):
        sources.load(environ={"FASTDEPLOY_HOME": str(home)})


# --- names ------------------------------------------------------------------------------------------------


def test_unknown_key_names_the_nearest(home: Path) -> None:
    """A slip of the finger is shown its remedy."""
    assert ["fastdeploy.toml: prot: unknown setting; did you mean port?"] == problems(home, "prot = 1")


def test_unknown_variable_names_the_nearest(home: Path) -> None:
    """As a variable."""
    told = problems(home, FASTDEPLOY_MAX_RUNING="1")

    assert ["FASTDEPLOY_MAX_RUNING: unknown setting; did you mean FASTDEPLOY_MAX_RUNNING?"] == told


def test_even_a_far_fetched_name_has_a_nearest(home: Path) -> None:
    """There is always one to start from."""
    assert "did you mean" in problems(home, "zzz = 1")[0]


def test_unknown_flag_is_told(home: Path) -> None:
    """A flag is a setting's name too."""
    assert ["--prot: unknown setting; did you mean port?"] == problems(home, "", {"prot": "1"})


def test_table_in_the_file_is_an_unknown_setting(home: Path) -> None:
    """There are no sections."""
    assert problems(home, "[server]\nport = 1")[0].startswith("fastdeploy.toml: server: unknown setting")


@pytest.mark.parametrize("name", sorted(sources.OTHER_VARIABLES))
def test_what_scripts_and_commands_are_given_is_no_setting(home: Path, name: str) -> None:
    """Commands run inside a deploy script, with its environment."""
    loaded = load(home, "", None, **{f"FASTDEPLOY_{name}": "anything"})

    assert Settings(home=home) == loaded.settings


def test_variables_of_others_are_nothing_to_us(home: Path) -> None:
    """Only our prefix is judged."""
    assert load(home, HOST="x", FASTDEPLOYED="x", fastdeploy_port="x").settings.host == "127.0.0.1"


def test_a_file_may_write_out_the_defaults(home: Path) -> None:
    """They mean what happens without them."""
    toml = 'wait_limit = "2h"\npoll = "off"'

    assert Settings(home=home) == load(home, toml).settings


# --- secrets ----------------------------------------------------------------------------------------------


def test_secret_may_lie_in_a_file_named_by_a_variable(home: Path, tmp_path: Path) -> None:
    """The newline at its end is no part of it."""
    (tmp_path / "key").write_text(f"{KEY}\n")

    loaded = load(home, FASTDEPLOY_SECRET_KEY_FILE=str(tmp_path / "key"))

    assert (KEY, "FASTDEPLOY_SECRET_KEY_FILE") == (loaded.settings.secret_key, loaded.origins["secret_key"])


def test_path_in_the_file_starts_from_home(home: Path) -> None:
    """So that a home can be moved."""
    (home / "key").write_text(KEY)

    loaded = load(home, 'secret_key_file = "key"')

    assert (KEY, str(home / "fastdeploy.toml")) == (loaded.settings.secret_key, loaded.origins["secret_key"])


@pytest.mark.parametrize("text", ["one\ntwo\n", "one,two", "one, two\n"])
def test_list_of_secrets_may_lie_in_a_file(home: Path, text: str) -> None:
    """By lines or by commas."""
    (home / "hooks").write_text(text)

    loaded = load(home, 'webhook_secrets_file = "hooks"')

    assert (WebhookSecret("one"), WebhookSecret("two")) == loaded.settings.webhook_secrets


def test_single_webhook_secret_is_taken_whole(home: Path) -> None:
    """Commas in it are its own."""
    loaded = load(home, FASTDEPLOY_WEBHOOK_SECRET="one,two")

    assert (WebhookSecret("one,two"),) == loaded.settings.webhook_secrets
    assert "FASTDEPLOY_WEBHOOK_SECRET" == loaded.origins["webhook_secrets"]


def test_single_webhook_secret_replaces_the_list_of_the_file(home: Path) -> None:
    """They are two spellings of one setting."""
    loaded = load(home, 'webhook_secrets = ["old"]', FASTDEPLOY_WEBHOOK_SECRET="new")

    assert (WebhookSecret("new"),) == loaded.settings.webhook_secrets


@pytest.mark.parametrize(
    "toml",
    [
        'webhook_secret = "a"\nwebhook_secrets = ["b"]',
        'webhook_secret = "a"\nwebhook_secrets_file = "hooks"',
        'webhook_secret = "a"\nwebhook_secret_file = "hooks"',
        f'secret_key_file = "hooks"\nsecret_key = "{KEY}"',
    ],
)
def test_two_spellings_in_one_source_are_refused(home: Path, toml: str) -> None:
    """Which one counts would be a guess."""
    (home / "hooks").write_text(KEY)

    (problem,) = problems(home, toml)

    assert "is given as well; keep one of them" in problem


def test_secret_file_that_cannot_be_read_is_told(home: Path) -> None:
    """With its path and the reason."""
    told = problems(home, 'secret_key_file = "none"')

    assert [f"fastdeploy.toml: secret_key_file: cannot read {home / 'none'}: No such file or directory"] == told


@pytest.mark.parametrize("data", [b"", b"\n", b" \n", b"\xff\xfe"])
def test_secret_file_without_text_is_told(home: Path, data: bytes) -> None:
    """An empty secret would let everybody in."""
    (home / "key").write_bytes(data)

    (problem,) = problems(home, 'webhook_secret_file = "key"')

    assert problem.startswith("fastdeploy.toml: webhook_secret_file: ")


@pytest.mark.parametrize("toml", ["secret_key_file = 1", 'secret_key_file = ""', 'secret_key_file = "a\\u0000b"'])
def test_secret_file_without_a_path_is_told(home: Path, toml: str) -> None:
    """A path is a text."""
    assert "expected the path of a file" in problems(home, toml)[0]


def test_file_form_is_for_secrets_only(home: Path) -> None:
    """No other setting is kept apart."""
    assert "unknown setting" in problems(home, FASTDEPLOY_PORT_FILE="/tmp/port")[0]


@pytest.mark.parametrize(
    "toml",
    [
        'secret_key = "hunter2"',
        "secret_key = 8675309",
        'secret_key_fallbacks = ["hunter2"]',
        'webhook_secrets = "hunter2"',
        "webhook_secrets = [8675309]",
        'webhook_secrets = ["hunter2", ""]',
        'webhook_secrets = [{secret = "hunter2", repos = ["a/b"]}]',
        'webhook_secrets = [{secret = "hunter2", repositories = []}]',
        'webhook_secrets = [{secret = "hunter2", repositories = "a/b"}]',
        'webhook_secrets = [{hunter2 = "x"}]',
        'webhook_secret = ["hunter2"]',
        'webhook_secret = " "',
        'github_token = "hunter2 "',
        "github_token = 8675309",
        'database_url = "postgresql://bot:hun@hunter2@db/bot"',
    ],
)
def test_wrong_secret_is_told_without_being_shown(home: Path, toml: str) -> None:
    """Problems end up in logs."""
    (problem,) = problems(home, toml)

    assert "expected" in problem
    assert "hunter2" not in problem
    assert "8675309" not in problem


def test_settings_do_not_show_their_secrets(home: Path) -> None:
    """Not in a traceback either."""
    loaded = load(home, f'secret_key = "{KEY}"\nwebhook_secrets = ["hunter2"]')

    assert KEY not in repr(loaded)
    assert "hunter2" not in repr(loaded) + repr(loaded.settings.webhook_secrets)


def test_description_masks_every_secret(home: Path) -> None:
    """`check` may be pasted into an issue."""
    loaded = load(
        home,
        f'secret_key = "{KEY}"\nsecret_key_fallbacks = ["{KEY}x"]\n'
        'webhook_secrets = [{secret = "hunter2", repositories = ["octo-org/*"]}]',
    )

    told = {name: (value, origin) for name, value, origin in sources.describe(loaded)}

    masked = ("********", str(home / "fastdeploy.toml"))
    assert [masked] * 3 == [told[name] for name in ("secret_key", "secret_key_fallbacks", "webhook_secrets")]
    assert "hunter2" not in str(told)
    assert KEY not in str(told)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://bot:hunter2@db.example/bot", "postgresql://********@db.example/bot"),
        ("postgresql://bot:hun@ter2@db.example/bot", "postgresql://********@db.example/bot"),
        ("postgresql:///bot?user=x&password=hunter2", "postgresql:///bot?user=x&password=********"),
        ("postgresql:///bot?sslpassword=hunter2&user=x", "postgresql:///bot?sslpassword=********&user=x"),
    ],
)
def test_description_masks_the_databases_password(url: str, shown: str) -> None:
    """The rest of the address is worth seeing."""
    loaded = Loaded(Settings(database_url=url), dict.fromkeys(Settings.__struct_fields__, "default"))

    told = {name: value for name, value, _ in sources.describe(loaded)}

    assert shown == told["database_url"]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("postgresql://bot:p%40ss@db.example:5433/bot", "postgresql://bot:p%40ss@db.example:5433/bot"),
        ("postgres://db/bot?sslmode=require", "postgresql://db/bot?sslmode=require"),
        ("postgresql:///bot?host=/run/postgresql", "postgresql:///bot?host=/run/postgresql"),
    ],
)
def test_a_postgresql_server_is_named_as_libpq_does(home: Path, given: str, read: str) -> None:
    """By network or by socket; the short scheme means the same."""
    assert read == load(home, FASTDEPLOY_DATABASE_URL=given).settings.effective_database_url


def test_description_shows_effective_values_and_origins(home: Path) -> None:
    """Every setting, as it will be used."""
    told = sources.describe(load(home, FASTDEPLOY_PORT="9000"))

    assert list(Settings.__struct_fields__) == [name for name, _, _ in told]
    assert ("port", "9000", "FASTDEPLOY_PORT") in told
    assert ("public_url", "http://127.0.0.1:9000", "default") in told
    assert ("database_url", f"sqlite:///{home}/fastdeploy.db", "default") in told
    assert ("auto_migrate", "true", "default") in told
    assert ("secret_key", "none", "default") in told


@pytest.mark.parametrize(
    ("name", "given", "shown"),
    [
        ("LOG_LIMIT", "8 MiB", "8 MiB"),
        ("LOG_LIMIT", "65536", "64 KiB"),
        ("MIRROR_LIMIT", "1000", "1000 B"),
        ("KILL_GRACE", "10", "10s"),
        ("KILL_GRACE", "0.5", "0.5s"),
        ("KILL_GRACE", "0", "0s"),
        ("WAIT_LIMIT", "5430", "1h30m30s"),
        ("POLL", "60s", "1m"),
        ("POLL", "off", "off"),
    ],
)
def test_description_shows_units(home: Path, name: str, given: str, shown: str) -> None:
    """As the documentation spells them: a bare 7200.0 says little."""
    told = {name: value for name, value, _ in sources.describe(load(home, **{f"FASTDEPLOY_{name}": given}))}

    assert shown == told[name.lower()]


# --- signing in to GitHub ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", appkeys.forms())
def test_private_key_is_taken_in_every_form(home: Path, form: str) -> None:
    """As a file's text, and as variables and their files are able to carry it."""
    text = appkeys.forms()[form]
    (home / "key.pem").write_text(text)

    given = load(home, FASTDEPLOY_GITHUB_APP_ID="7", FASTDEPLOY_GITHUB_PRIVATE_KEY=text).settings
    from_file = load(home, 'github_app_id = 7\ngithub_private_key_file = "key.pem"').settings

    assert appkeys.key().private_numbers() == loaded_key(given.github_private_key)
    assert appkeys.key().private_numbers() == loaded_key(from_file.github_private_key)


@pytest.mark.parametrize("form", appkeys.wrong())
def test_wrong_private_key_is_told_without_being_shown(home: Path, form: str) -> None:
    """The setting and what is expected, and nothing of what stands there."""
    text = appkeys.wrong()[form]

    told = problems(home, FASTDEPLOY_GITHUB_APP_ID="7", FASTDEPLOY_GITHUB_PRIVATE_KEY=text)

    expected = "an RSA private key: the .pem file that GitHub gave out, its text, or base64 of it"
    assert [f"FASTDEPLOY_GITHUB_PRIVATE_KEY: expected {expected}"] == told


@pytest.mark.parametrize("value", ["7", '"7"'])
def test_app_id_is_kept_as_text(home: Path, value: str) -> None:
    """GitHub wants it as text where an App signs in."""
    text = msgspec.json.encode(appkeys.pem()).decode()

    assert "7" == load(home, f"github_app_id = {value}\ngithub_private_key = {text}").settings.github_app_id


@pytest.mark.parametrize(
    ("problem", "given"),
    [
        ("github_token: a GitHub App is given as well; keep one of them", {"token": "t", "app_id": "7"}),
        ("github_token: a GitHub App is given as well; keep one of them", {"token": "t", "private_key": "pem"}),
        ("github_private_key: missing; a GitHub App signs in with its private key", {"app_id": "7"}),
        ("github_private_key: missing; a GitHub App signs in with its private key", {"client_id": "Iv1.abc"}),
        (
            "github_client_id: missing; github_private_key needs the client id, or the app id, of its GitHub App",
            {"private_key": "pem"},
        ),
        *(
            ("github_client_secret: it needs the github_client_id and the github_private_key of its GitHub App", given)
            for given in (
                {"client_secret": "s"},
                {"client_secret": "s", "client_id": "Iv1.abc"},
                {"client_secret": "s", "app_id": "7", "private_key": "pem"},
                {"client_secret": "s", "token": "t"},
            )
        ),
    ],
)
def test_half_an_app_and_an_app_beside_a_token_are_refused(home: Path, problem: str, given: dict[str, str]) -> None:
    """Which one counts would be a guess, and half of one cannot sign in."""
    texts = {name: appkeys.pem() if text == "pem" else text for name, text in given.items()}

    told = problems(home, **{f"FASTDEPLOY_GITHUB_{name.upper()}": text for name, text in texts.items()})

    assert [problem] == told


def test_github_is_told_where_there_is_something_to_sign_in_with(home: Path) -> None:
    """A token, or a GitHub App."""
    app = {"FASTDEPLOY_GITHUB_CLIENT_ID": "Iv1.abc", "FASTDEPLOY_GITHUB_PRIVATE_KEY": appkeys.pem()}

    assert not load(home).settings.tells_github
    assert load(home, FASTDEPLOY_GITHUB_TOKEN="github_pat_1").settings.tells_github
    assert load(home, **app).settings.tells_github


def test_people_sign_in_by_the_app_that_the_bot_signs_in_as(home: Path) -> None:
    """Its client id and secret are of one origin; the secret may be in a file, and is never shown."""
    given = {"FASTDEPLOY_GITHUB_CLIENT_ID": "Iv1.abc", "FASTDEPLOY_GITHUB_PRIVATE_KEY": appkeys.pem()}
    (home / "secret").write_text("hunter2\n")
    by_file = load(home, "github_client_secret_file = 'secret'\n", **given)
    made = App(id=7, client_id="Iv1.made", pem=appkeys.pem(), client_secret="made")
    appfile.keep(home, made)

    assert OAuthApp("Iv1.abc", "hunter2") == by_file.settings.oauth_app
    assert load(home, "", **given).settings.oauth_app is None
    assert OAuthApp("Iv1.made", "made") == load(home, "").settings.oauth_app
    assert load(home, "", FASTDEPLOY_GITHUB_TOKEN="t").settings.oauth_app is None
    assert "hunter2" not in f"{by_file.settings.oauth_app!r} {sources.describe(by_file)}"
    assert "hunter2" in by_file.settings.own_secrets
    appfile.keep(home, msgspec.structs.replace(made, client_secret=""))
    assert load(home, "").settings.oauth_app is None


def loaded_key(text: str | None) -> object:
    """The numbers of a key that was read."""
    key = load_pem_private_key((text or "").encode(), password=None)
    assert isinstance(key, RSAPrivateKey)
    return key.private_numbers()


# --- what follows from them -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1"),
        ("http://127.0.0.1:8000", "0.0.0.0"),  # noqa: S104 - a value to read
        ("http://[::1]:8000", "::"),
        ("http://[::1]:8000", "::1"),
        ("http://192.0.2.1:8000", "192.0.2.1"),
    ],
)
def test_addresses_follow_from_host_and_port(url: str, host: str) -> None:
    """An address that means all of them is reached by loopback."""
    assert url == Settings(host=host).effective_local_url
    assert url == Settings(host=host).effective_public_url


def test_given_addresses_are_used() -> None:
    """What is set wins over what follows from host and port."""
    given = Settings(public_url="https://deploy.example", local_url="http://127.0.0.1:81")

    assert ("https://deploy.example", "http://127.0.0.1:81") == (given.effective_public_url, given.effective_local_url)


def test_local_address_does_not_move_the_public_one() -> None:
    """What scripts call says nothing about what people open."""
    assert "http://127.0.0.1:8000" == Settings(local_url="http://127.0.0.1:81").effective_public_url


def test_folders_lie_in_home() -> None:
    """One folder holds all that the bot keeps."""
    given = Settings(home=Path("/srv/bot"))

    folders = (given.services_dir, given.secrets_dir, given.runs_dir, given.bin_dir, given.bell_dir)
    assert [f"/srv/bot/{name}" for name in ("services", "secrets", "runs", "bin", "bell")] == list(map(str, folders))
    assert "sqlite:////srv/bot/fastdeploy.db" == given.effective_database_url


def test_present_key_comes_first() -> None:
    """It signs; the others verify."""
    assert [KEY, "old"] == Settings(secret_key=KEY, secret_key_fallbacks=("old",)).keys
    assert [] == Settings().keys


def test_serving_needs_a_home(tmp_path: Path) -> None:
    """A missing one names the command that makes it."""
    with pytest.raises(BadSettings, match=r"home missing: .* run `fastdeploy init`"):
        settings.require_serving(Settings(home=tmp_path / "none"))


def test_serving_needs_a_webhook_secret_and_a_key(home: Path) -> None:
    """Both are told at once, with the remedy."""
    with pytest.raises(BadSettings) as caught:
        settings.require_serving(Settings(home=home))

    assert ["webhook_secrets", "secret_key"] == [problem.split(":")[0] for problem in caught.value.problems]
    assert all("fastdeploy init" in problem for problem in caught.value.problems)


def test_complete_settings_may_serve(home: Path) -> None:
    """Nothing else is asked for."""
    settings.require_serving(Settings(home=home, secret_key=KEY, webhook_secrets=(WebhookSecret("one"),)))
