"""The client and signing in, against a GitHub that believes nothing; each request is judged by GitHub's description."""

from __future__ import annotations

import gzip
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

import appkeys
import fakehub
import githubapi
import octokit
from fakehub import DROPPED, FakeHub, Fault
from fastdeploy_bot.core import clock
from fastdeploy_bot.forge.github import check_texts, deadline
from fastdeploy_bot.forge.github import client as github
from fastdeploy_bot.forge.github.api import apps, checks, compare, statuses
from fastdeploy_bot.forge.github.app_auth import AppTokens, FixedToken
from fastdeploy_bot.forge.github.client import CallFailed, Client
from fastdeploy_bot.forge.github.texts import Facts, Status, StatusState
from fastdeploy_bot.words import DeploymentState

REPOSITORY = "octo-org/shop"
NEEDS = statuses.WRITES
SHA = "a" * 40
STATUS = Status(StatusState.PENDING, "Migrate · ≈ 40 s left")
PAGE = "https://deploy.example/deployments/7"


@pytest.fixture
def client(hub: FakeHub) -> Iterator[Client]:
    """A client of that GitHub."""
    with closing(Client(hub.url, fakehub.VERSION)) as made:
        yield made


@pytest.fixture
def tokens(client: Client) -> AppTokens:
    """Signs in as the App."""
    return AppTokens(client, fakehub.CLIENT_ID, appkeys.pem())


def tell(client: Client, token: str = fakehub.TOKEN, repository: str = REPOSITORY, sha: str = SHA) -> None:
    """Let a commit have a status."""
    statuses.create(client, token, repository, sha, STATUS, context="fastdeploy/shop", url=PAGE)


def refused(client: Client, **call: str) -> CallFailed:
    """How such a call fails."""
    with pytest.raises(CallFailed) as caught:
        tell(client, **call)
    return caught.value


# --- the client -------------------------------------------------------------------------------------------


def test_a_status_is_told(client: Client, hub: FakeHub) -> None:
    """State, description, context and link."""
    tell(client)

    assert [fakehub.Status("pending", STATUS.description, PAGE)] == hub.told(SHA)


def test_an_enterprise_servers_path_is_kept() -> None:
    """`https://HOST/api/v3`."""
    with FakeHub(prefix="/api/v3") as hub, closing(Client(hub.url, fakehub.VERSION)) as client:
        tell(client)

        assert [f"POST /api/v3/repos/{REPOSITORY}/statuses/{SHA}"] == hub.paths()
        assert ([], 1) == (hub.wrongs, len(hub.told(SHA)))


def test_githubs_own_description_finds_what_is_wrong_with_a_request() -> None:
    """The judge of the other tests judges."""
    octokit.require()
    path = f"/repos/{REPOSITORY}/statuses/{SHA}"

    assert "" == githubapi.complaint("POST", path, {"state": "success"})
    assert "" == githubapi.complaint("GET", f"/repos/{REPOSITORY}/installation", None)
    assert "state" in githubapi.complaint("POST", path, {"description": "x"})
    assert "cancelled" in githubapi.complaint("POST", path, {"state": "cancelled"})
    assert "url" in githubapi.complaint("POST", path, {"state": "success", "url": "x"})
    assert "maybe" in githubapi.complaint(
        "POST", "/app/installations/1/access_tokens", {"permissions": {"statuses": "maybe"}}
    )
    assert "none of our operations" in githubapi.complaint("POST", "/repos/octo-org/shop/hooks", {})


@pytest.mark.parametrize(
    ("fault", "message", "permanent"),
    [
        (Fault(404, "Not Found"), "GitHub answered 404: Not Found", True),
        (Fault(422, "Bad\x1b[31m\nnews"), "GitHub answered 422: Bad [31m news", True),
        (Fault(403, "secondary rate limit"), "GitHub answered 403: secondary rate limit", False),
        (Fault(502, raw=b"<html>"), "GitHub answered 502", False),
        (Fault(500, raw=b"[" * 100_000), "GitHub answered 500", False),
        (Fault(200, raw=b"<html>sign in to the hotel"), "GitHub answered 200", False),
        (DROPPED, "GitHub cannot be reached: the connection failed", False),
        (Fault(500, raw=b"x" * (github.LARGEST_ANSWER + 1)), "GitHub cannot be reached: its answer is larger", False),
    ],
)
def test_a_refusal_is_told_in_a_line(client: Client, hub: FakeHub, fault: Fault, message: str, permanent: bool) -> None:
    """What GitHub said, and whether it would say so again."""
    hub.fail(fault)

    failed = refused(client)

    assert str(failed).startswith(message)
    assert permanent is failed.permanent


def test_the_first_of_githubs_errors_is_told(client: Client) -> None:
    """Its message alone says "Validation Failed"."""
    failed = refused(client, sha="main")

    assert "GitHub answered 422: No commit found for SHA: main" == str(failed)


def test_a_github_that_says_nothing_is_given_up_after_a_while(
    client: Client, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that is no refusal."""
    monkeypatch.setattr(github, "TIMEOUT", (5.0, 0.2))
    patience = threading.Event()
    hub.fail(Fault(hold=patience))

    failed = refused(client)
    patience.set()

    assert "GitHub cannot be reached: it took too long" == str(failed)
    assert not failed.permanent


HEAD = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"
PACKED = gzip.compress(b"[" + b" " * (8 << 20) + b"]")


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 201 Created",
        HEAD + b"X-Never-Ends: " + b"x" * 60_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000,
        HEAD + b"Content-Length: 100000\r\n\r\n" + b" " * 90_000,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 1_000,
        HEAD + b"\r\n" + b" " * 10_000,
    ],
    ids=["status", "headers", "continue", "body", "chunks", "no length"],
)
def test_an_answer_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    """Whatever part of it comes byte by byte, each byte in time."""
    monkeypatch.setattr(deadline, "SECONDS", 0.3)
    with raw_server(text, pause=0.02) as url, closing(Client(url, fakehub.VERSION)) as client:
        begun = time.monotonic()

        assert "GitHub cannot be reached: it took too long" == str(refused(client))
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (HEAD + b"X-Long: " + b"x" * 70_000 + b"\r\n\r\n{}", "the connection failed"),
        (HEAD + b"X-Many: x\r\n" * 200 + b"\r\n{}", "the connection failed"),
        (HEAD + b"Content-Length: 5000000\r\n\r\n" + b" " * 5_000_000, "its answer is larger than 1048576 bytes"),
        (HEAD + b"Content-Encoding: gzip\r\n\r\n" + PACKED, "its answer is packed, which was not asked for"),
        (HEAD + b"Content-Encoding: gzip, gzip\r\n\r\n" + PACKED, "its answer is packed, which was not asked for"),
        (HEAD + b"Content-Length: 10\r\n\r\n{}", "the connection failed"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the connection failed"),
    ],
    ids=["long header", "many headers", "large", "packed", "packed twice", "cut off", "no http"],
)
def test_an_answer_that_is_too_much_is_not_taken(text: bytes, why: str) -> None:
    """Neither time nor memory is anybody else's to use up."""
    with raw_server(text) as url, closing(Client(url, fakehub.VERSION)) as client:
        assert f"GitHub cannot be reached: {why}" == str(refused(client))


def test_an_answer_that_leads_elsewhere_is_not_read_without_a_bound() -> None:
    """It has no more room than any other."""
    moved = HEAD.replace(b"201 Created", b"307 Moved") + b"Location: https://evil.example/\r\n"
    text = moved + b"Content-Length: 5000000\r\n\r\n" + b" " * 5_000_000
    with raw_server(text) as url, closing(Client(url, fakehub.VERSION)) as client:
        assert "GitHub cannot be reached: its answer is larger than 1048576 bytes" == str(refused(client))


def test_an_answer_within_its_time_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a connection that was used before."""
    monkeypatch.setattr(deadline, "SECONDS", 5.0)
    with FakeHub() as hub, closing(Client(hub.url, fakehub.VERSION)) as client:
        for _ in range(3):
            tell(client)

    assert 3 == len(hub.told(SHA))


@contextmanager
def raw_server(text: bytes, *, pause: float = 0.0) -> Iterator[str]:
    """Answers every connection with these bytes; with a pause, one by one from the last 100 on."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(1 << 16)
                    at_once = max(0, len(text) - 100) if pause else len(text)
                    connection.sendall(text[:at_once])
                    for byte in text[at_once:] + b" " * (1_000 if pause else 0):
                        connection.sendall(bytes((byte,)))
                        ended.wait(pause)

    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_check_run_is_found_among_many_that_say_much(client: Client, tokens: AppTokens, hub: FakeHub) -> None:
    """As where a commit that fails was deployed again and again."""
    token = tokens.token(REPOSITORY, checks.WRITES, now=clock.now())
    facts = Facts(state=DeploymentState.FAILURE)
    of = [
        check_texts.run(
            check_texts.Subject(number=number, name="fastdeploy / shop", sha=SHA, page=PAGE, facts=facts, begun=0)
        )
        for number in range(30)
    ]
    numbers = [checks.create(client, token, REPOSITORY, run) for run in of]
    for each in hub.check_runs:
        each["output"] |= {"summary": "s" * 60_000, "text": "t" * 60_000}

    assert numbers == [checks.find(client, token, REPOSITORY, run) for run in of]


def test_a_renamed_repository_is_followed_once(client: Client, hub: FakeHub) -> None:
    """With the same method, body and token."""
    hub.renamed.add("octo-org/old")

    tell(client, repository="octo-org/old")

    assert 1 == len(hub.told(SHA))
    assert [307, 201] == [call.status for call in hub.calls]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_second_move_is_not_followed(client: Client, hub: FakeHub, status: int) -> None:
    """It might never end."""
    hub.fail(*[Fault(status, headers={"Location": f"/repos/{REPOSITORY}/statuses/{SHA}"})] * 2)

    failed = refused(client)

    assert f"GitHub answered {status}: moved to where it is not followed" == str(failed)
    assert failed.permanent
    assert 2 == len(hub.calls)


@pytest.mark.parametrize(
    "address",
    [
        "{other}/x",
        "//{host}/x",
        "https://{host}/x",
        "http://me@{ours}/x",
        "http://{ours}@{host}/x",
        "http://{ours}\\@{host}/x",
        "http://{host}\\@{ours}/x",
        "http://{host}#@{ours}/x",
        "http://{host}?@{ours}/x",
        "http://{ours}.evil.example/x",
        "http://127.0.0.1:1/x",
        "http://127.0.0.1/x",
        "https://{ours}/x",
        "HTTP://{host}/x",
        "file:///etc/passwd",
        "http://[::1/x",
        "http://{ours}:99999/x",
    ],
)
def test_nothing_is_sent_to_another_host(client: Client, hub: FakeHub, address: str) -> None:
    """A token is for the host of `github_api_url`, its port and its scheme."""
    with FakeHub() as other:
        places = {
            "other": other.url,
            "host": other.url.removeprefix("http://"),
            "ours": hub.url.removeprefix("http://"),
        }
        hub.fail(Fault(307, headers={"Location": address.format(**places)}))

        failed = refused(client)

        assert "GitHub answered 307: moved to where it is not followed" == str(failed)
        assert ([], 1) == (other.calls, len(hub.calls))


@pytest.mark.parametrize(
    "address", ["http:\\\\{host}\\x", "/\\{host}/x", "\\\\{host}\\x", "/%2f{host}/x", "http:{host}/x"]
)
def test_what_only_looks_like_another_host_stays_on_ours(client: Client, hub: FakeHub, address: str) -> None:
    """Some readers of addresses would find another one in it."""
    with FakeHub() as other:
        hub.strangers = True
        hub.fail(Fault(307, headers={"Location": address.format(host=other.url.removeprefix("http://"))}))

        refused(client)

        assert ([], 2) == (other.calls, len(hub.calls))
    hub.wrongs.clear()


def test_a_password_in_netrc_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: Client, hub: FakeHub
) -> None:
    """`requests` would put it in the token's place."""
    (tmp_path / "netrc").write_text(
        "machine 127.0.0.1 login me password hunter2\nmachine localhost login me password x"
    )
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    tell(client)

    assert [f"Bearer {fakehub.TOKEN}"] == [call.headers["authorization"] for call in hub.calls]


def test_over_https_certificates_and_netrc_are_handled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment may name an authority of one's own; it may not name who calls."""
    certificate = appkeys.certificate(tmp_path)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hunter2")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    with FakeHub(tls=context) as hub, closing(Client(hub.url, fakehub.VERSION)) as client:
        stranger = refused(client)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        tell(client)

        assert "GitHub cannot be reached: its certificate cannot be verified" == str(stranger)
        assert [f"Bearer {fakehub.TOKEN}"] == [call.headers["authorization"] for call in hub.calls]


def test_a_proxy_of_the_environment_sees_nothing_of_loopback(
    client: Client, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain http would show it the token."""
    with FakeHub() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)

        tell(client)

        assert ([], 1) == (proxy.calls, len(hub.calls))


@pytest.mark.parametrize("repository", ["octo-org/../../x", "octo-org/shop?x=1#y", "octo org/é", "octo-org/shop/x"])
def test_a_repositorys_name_stays_in_its_place(client: Client, hub: FakeHub, repository: str) -> None:
    """Whatever a row holds, no other path is called."""
    assert 404 == refused(client, repository=repository).refusal.status

    [call] = hub.calls
    assert re.fullmatch(rf"/repos/[^/]+/[^/]+/statuses/{SHA}", call.path)


@pytest.mark.parametrize("repository", ["../../user/repos", "octo-org/..", "./shop", "shop", "/shop", "octo-org/"])
def test_what_is_no_repository_is_not_asked_for(client: Client, hub: FakeHub, repository: str) -> None:
    """Dots would be taken out of the path on the way."""
    assert refused(client, repository=repository).permanent
    assert [] == hub.calls


# --- signing in -------------------------------------------------------------------------------------------


def test_a_fixed_token_is_all_there_is() -> None:
    """When GitHub refuses it, there is no other."""
    credentials = FixedToken("t")

    assert "t" == credentials.token(REPOSITORY, NEEDS, now=0)
    assert credentials.renewed(REPOSITORY, NEEDS, "t", now=0) is None


@pytest.mark.parametrize("issuer", [fakehub.CLIENT_ID, fakehub.APP_ID])
def test_an_app_gets_a_token_for_one_repository_and_no_more_than_it_needs(
    client: Client, hub: FakeHub, issuer: str
) -> None:
    """By its client id or its number."""
    token = AppTokens(client, issuer, appkeys.pem()).token(REPOSITORY, NEEDS, now=clock.now())

    tell(client, token)
    assert ["GET", "POST", "POST"] == [call.method for call in hub.calls]
    assert {"repositories": ["shop"], "permissions": {"metadata": "read", "statuses": "write"}} == hub.calls[1].body


def test_a_token_is_kept_until_five_minutes_before_its_end(tokens: AppTokens, hub: FakeHub) -> None:
    """Then another one is got, and the installation is known."""
    now = clock.now()

    first = {tokens.token(REPOSITORY, NEEDS, now=now + minutes * 60_000) for minutes in (0, 30, 54)}
    hub.skew = 56 * 60.0
    second = tokens.token(REPOSITORY, NEEDS, now=now + 56 * 60_000)

    assert 1 == len(first)
    assert second not in first
    assert ["GET", "POST", "POST"] == [call.method for call in hub.calls]


def test_many_threads_share_one_request(tokens: AppTokens, hub: FakeHub) -> None:
    """All of them wait for the one that is under way."""
    patience = threading.Event()
    hub.fail(Fault(hold=patience), on="access_tokens")
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(tokens.token, REPOSITORY, NEEDS, now=clock.now()) for _ in range(8)]
        patience.set()
        got = {each.result() for each in asked}

    assert 1 == len(got)
    assert 2 == len(hub.calls)


def test_a_refused_token_is_replaced_once_for_all(tokens: AppTokens, hub: FakeHub) -> None:
    """Whoever was refused later gets what the first one brought."""
    now = clock.now()
    old = tokens.token(REPOSITORY, NEEDS, now=now)

    first = tokens.renewed(REPOSITORY, NEEDS, old, now=now)
    second = tokens.renewed(REPOSITORY, NEEDS, old, now=now)

    assert old != first == second
    assert 3 == len(hub.calls)


@pytest.mark.parametrize("skew", [-7_200.0, 7_200.0])
def test_a_clock_that_is_wrong_is_corrected_once(tokens: AppTokens, hub: FakeHub, skew: float) -> None:
    """By the time of GitHub's answer; later calls are right at once, and the token's end is by GitHub's clock."""
    hub.skew = skew
    now = clock.now()

    token = tokens.token(REPOSITORY, NEEDS, now=now)
    again = tokens.token(REPOSITORY, NEEDS, now=now + 30 * 60_000)

    assert token == again
    assert [401, 200, 201] == [call.status for call in hub.calls]


@pytest.mark.parametrize("skew", [-50.0, 50.0])
def test_clocks_may_differ_by_a_minute(tokens: AppTokens, hub: FakeHub, skew: float) -> None:
    """Without one refusal."""
    hub.skew = skew

    tokens.token(REPOSITORY, NEEDS, now=clock.now())

    assert [200, 201] == [call.status for call in hub.calls]


def test_an_app_that_github_does_not_know_is_refused_without_a_third_try(client: Client, hub: FakeHub) -> None:
    """With what to look at."""
    with pytest.raises(CallFailed, match="does GitHub know this App by that id and that private key") as caught:
        AppTokens(client, "Iv23other", appkeys.pem()).token(REPOSITORY, NEEDS, now=clock.now())

    assert caught.value.permanent
    assert 1 == len(hub.calls)


def test_a_renamed_repository_gets_its_token_by_its_new_name(client: Client, tokens: AppTokens, hub: FakeHub) -> None:
    """GitHub finds the installation by an old name, and grants nothing to it: what is called now is looked up."""
    hub.renamed.add("octo-org/old")

    tell(client, tokens.token("octo-org/old", NEEDS, now=clock.now()), repository="octo-org/old")

    assert 1 == len(hub.told(SHA))
    [seeing, telling] = hub.tokens.values()
    assert (None, {"metadata": "read"}) == (seeing.repository, seeing.permissions)
    assert (REPOSITORY, NEEDS.named) == (telling.repository, telling.permissions)


def test_a_repository_without_the_app_is_told_as_that(tokens: AppTokens) -> None:
    """With what to look at."""
    with pytest.raises(CallFailed, match="404: Not Found; is the GitHub App installed on the repository"):
        tokens.token("octo-org/other", NEEDS, now=clock.now())


def test_a_permission_that_was_not_granted_is_told_as_that(tokens: AppTokens, hub: FakeHub) -> None:
    """With what to look at."""
    hub.granted = {"metadata": "read", "statuses": "read"}

    with pytest.raises(CallFailed, match="does the App's installation grant"):
        tokens.token(REPOSITORY, NEEDS, now=clock.now())


def test_a_suspended_installation_is_told_as_that(tokens: AppTokens, hub: FakeHub) -> None:
    """Nobody has to look it up, and asking again brings nothing."""
    hub.suspended.add(fakehub.INSTALLATION)

    with pytest.raises(CallFailed, match=r"403: .* suspended; resume the App's installation on GitHub") as caught:
        tokens.token(REPOSITORY, NEEDS, now=clock.now())

    assert caught.value.permanent


def test_a_short_lived_token_is_not_used_to_its_end(tokens: AppTokens, hub: FakeHub) -> None:
    """Each call gets a fresh one where GitHub gives out none that lasts; no call is made with one that has ended."""
    hub.lifetime = 60.0
    now = clock.now()

    found = {tokens.token(REPOSITORY, NEEDS, now=now + second * clock.SECOND) for second in range(3)}

    assert 3 == len(found)


def test_an_app_that_was_taken_away_and_put_back_is_found_again(tokens: AppTokens, hub: FakeHub) -> None:
    """Its installation has another number then."""
    now = clock.now()
    old = tokens.token(REPOSITORY, NEEDS, now=now)
    hub.installations[REPOSITORY] = 78

    fresh = tokens.renewed(REPOSITORY, NEEDS, old, now=now)

    assert fresh not in (None, old)
    assert [200, 201, 404, 200, 201] == [call.status for call in hub.calls]


@pytest.mark.parametrize("body", [b"{}", b'{"id": "77"}', b"[]"])
def test_an_answer_that_makes_no_sense_is_tried_again_later(tokens: AppTokens, hub: FakeHub, body: bytes) -> None:
    """It may be some proxy's."""
    hub.fail(Fault(200, raw=body), on="/installation")

    with pytest.raises(CallFailed, match="not understood") as caught:
        tokens.token(REPOSITORY, NEEDS, now=clock.now())

    assert not caught.value.permanent


@pytest.mark.parametrize("body", [b"{}", b'{"token": "t"}', b'{"token": "t", "expires_at": "soon"}', b"null"])
def test_a_token_without_an_end_is_none(tokens: AppTokens, hub: FakeHub, body: bytes) -> None:
    """It may be some proxy's."""
    hub.fail(Fault(201, raw=body), on="access_tokens")

    with pytest.raises(CallFailed, match="not understood"):
        tokens.token(REPOSITORY, NEEDS, now=clock.now())


def test_a_token_is_not_shown() -> None:
    """Not in a traceback either."""
    assert "secret" not in repr(apps.InstallationToken("secret", 1))


@pytest.mark.parametrize(
    "raw",
    [
        rb'{"status": "ahead", "files": [{"filename": "a\uD800/\ud83d\ude80"}]}',
        b'{"status": "ahead", "files": [{"filename": "a\xff/\xf0\x9f\x9a\x80"}]}',
    ],
    ids=["escaped", "bytes"],
)
def test_what_no_row_can_hold_is_not_let_in(hub: FakeHub, client: Client, raw: bytes) -> None:
    """Halves of surrogate pairs, and bytes that are no text: whatever else the answer says is read."""
    hub.fail(Fault(status=200, raw=raw))

    [name] = compare.commits(client, fakehub.TOKEN, REPOSITORY, SHA, "b" * 40).files or ()

    assert name in ("a?/\N{ROCKET}", "a\ufffd/\N{ROCKET}")
