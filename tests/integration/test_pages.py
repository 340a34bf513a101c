"""Pages: what they show, to whom, and what their forms do."""

from __future__ import annotations

import html
import operator
import re
import shlex
from functools import partial
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from callers import SOON, Auth, Browser, GitHub, Host, ServiceFiles, document, main_of, sha, states, sync
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import deliveries
from fastdeploy_bot.core.deploying import deployments, steps
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.core.looks import searching
from fastdeploy_bot.core.output import logs
from fastdeploy_bot.core.telling import feed
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Audit, Deployment, LogChunk, Report, Service, Step
from fastdeploy_bot.web import longlogs
from fastdeploy_bot.web.pages import deployment
from fastdeploy_bot.words import DeploymentState, StepReport, StepState
from reading import nonce, queries, text

KIB = 1_024
HOSTILE = "<script>alert(1)</script>\"'&"


def line(number: int) -> str:
    """How a line begins."""
    return f'<a id="L{number}" href="#L{number}" tabindex="-1">{number:>5} </a>'


def place_of(page: str) -> str:
    """Where a page's log goes on."""
    found = re.search(r'<data id="place" value="([^"]*)">', page)
    assert found
    return found[1]


def write_steps(number: int, log: bytes, places: dict[str, tuple[int, int | None]]) -> None:
    """Let a deployment have written that instead, in these steps."""

    def write() -> None:
        LogChunk.delete().where(LogChunk.deployment == number).execute()
        logs.append(number, 0, log, limit=KIB * KIB)
        Step.update(log_from=None, log_to=None).where(Step.deployment == number).execute()
        for name, (begin, end) in places.items():
            mine = (Step.deployment == number) & (Step.name == name)
            assert Step.update(log_from=begin, log_to=end or len(log)).where(mine).execute()

    store.write(write)


# --- the overview


def test_the_overview_begins_with_what_is_broken(deployer: Browser, scene: dict[str, int]) -> None:
    """One sentence, then the services by how much they need somebody."""
    page = deployer.get("/").text

    assert scene
    assert "1 of 5 services failed 3 min ago" in text(deployer, "/")
    assert ["shop", "blog", "search", "api", "docs"] == re.findall(r'class="name" href="/services/(\w+)"', page)
    assert "failed 3 min ago at “Migrate”" in text(deployer, "/")


@pytest.mark.usefixtures("two_services")
def test_all_is_well_in_one_sentence(deployer: Browser, github: GitHub, host: Host) -> None:
    """Where nothing is broken and nothing runs."""
    github.push()
    github.push(repository="octo-org/other", repository_id=2)
    for number in (1, 2):
        host.begin(number)
        host.end(number)

    assert text(deployer, "/").startswith("All 2 services are live")


def test_an_empty_bot_teaches_those_who_set_it_up(app: Flask, settings: Settings, service: ServiceFiles) -> None:
    """The file to write, where GitHub sends what happens and how it signs, as /setup says, and two ways to try it."""
    admin = Browser(app).signed_in("admin")
    shown, setup = text(admin, "/"), text(admin, "/setup")

    for lesson in (
        "No services yet",
        f"{settings.home}/services/shop/service.toml",
        'repository = "octo-org/shop" branches = ["main"] command = ["./deploy.sh"]',
        "Connect GitHub step by step",
        f"curl -s {settings.effective_public_url}/api/v1/deployments",
        "fastdeploy simulate",
    ):
        assert lesson in shown, lesson
    for both in (
        f"Payload URL {settings.effective_public_url}/webhooks/github",
        f"Secret one of webhook_secrets in {settings.home}/fastdeploy.toml, where fastdeploy init has put one",
        "Waiting for the first ping of GitHub",
    ):
        assert both.replace(" ", "") in shown.replace(" ", ""), both
        assert both.replace(" ", "") in setup.replace(" ", ""), both

    service("shop")
    assert "service.toml" not in text(admin, "/"), "that step is done"
    assert "First steps" not in admin.get("/?q=shop").text
    assert "First steps" not in admin.get("/?before=1").text


def test_what_an_empty_bot_teaches_can_be_pasted(app: Flask, service: ServiceFiles) -> None:
    """The file is a service's file as it stands, and the command one of a shell."""
    file, command = re.findall(
        r'<pre class="code"[^>]*>(.*?)</pre>', Browser(app).signed_in("admin").get("/").text, re.DOTALL
    )

    entry = Catalogue(service.text("shop", html.unescape(file)).parent.parent).entries()["shop"]

    assert ("", ("main",)) == (entry.problem, entry.file and entry.file.branches)
    assert ["curl", "-s", '{"sha": "$(git rev-parse HEAD)"}'] == [
        shlex.split(html.unescape(command))[at] for at in (0, 1, -1)
    ]


def test_nobody_else_is_told_of_homes_and_secrets(app: Flask, service: ServiceFiles) -> None:
    """One calm sentence for those who cannot set anything up."""
    for role in ("viewer", "deployer"):
        reader = Browser(app).signed_in(role)
        assert "Services show up here as soon as an admin adds the first one." in text(reader, "/")
        assert not [word for word in ("webhook", "curl", ".toml") if word in main_of(reader.get("/"))]

    service("shop", visibility="status")
    assert "What is deployed shows up here." in text(Browser(app), "/")


@pytest.mark.parametrize("event", ["ping", "push"])
def test_what_was_simulated_is_no_sign_of_github(app: Flask, github: GitHub, event: str) -> None:
    """Whoever tries `fastdeploy simulate` first has not shown that GitHub gets through."""
    admin = Browser(app).signed_in("admin")

    github.deliver(document(), event=event, headers={"User-Agent": deliveries.SIMULATING})

    for path in ("/", "/setup"):
        assert "GitHub reached this bot" not in admin.get(path).text


def test_a_first_delivery_is_told(app: Flask, github: GitHub) -> None:
    """Whoever sets up a webhook sees that it works, on an open page at once, and the same on both pages."""
    admin = Browser(app).signed_in("admin")
    assert "Waiting for the first ping of GitHub" in text(admin, "/")
    since = feed.newest()

    github.deliver(b'{"zen": "Keep it simple."}', event="ping", guid="g-1")

    assert ["delivery"] == [event.type for event in feed.since(since)]
    for path in ("/", "/setup"):
        assert re.search(r"GitHub reached this bot: ping received ✓ \d\d:\d\d:\d\d UTC", text(admin, path))
        assert 'href="/deliveries/g-1"' in admin.get(path).text
    assert "received ✓" in admin.get("/", headers={"Live-Regions": "user", "Live-Since": str(feed.newest())}).text


def test_a_broken_service_file_is_told_with_what_is_wrong(deployer: Browser, app: Flask, service: ServiceFiles) -> None:
    """In the words of `check`."""
    service.text("shop", "branch = 1\n")
    sync(app)

    assert "its service file cannot be used" in text(deployer, "/")
    assert "branch: unknown key" in text(deployer, "/")
    assert "branch: unknown key" in text(deployer, "/services/shop")


def test_services_and_deployments_are_found(deployer: Browser, scene: dict[str, int]) -> None:
    """By name, number, title or commit."""
    commit = Deployment.get_by_id(scene["shop"]).sha

    assert 1 == deployer.get("/?q=shop").text.count('class="name"')
    assert f"#{scene['shop']}" not in text(deployer, "/?q=nothing-like-it")
    assert f"/deployments/{scene['shop']}" in deployer.get(f"/?q=%23{scene['shop']}").text
    assert "No deployment has that" in text(deployer, f"/?q=%23{9**9}")
    assert f"/deployments/{scene['shop']}" in deployer.get(f"/?q={commit[:9]}").text
    assert "No deployment has that" in text(deployer, "/?q=100%25")


def test_a_search_that_has_not_looked_at_all_says_so(
    deployer: Browser, scene: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And goes on where it ended, until it has; a commit is looked for among all at once."""
    monkeypatch.setattr(searching, "SPAN", 3)
    commit, ways = Deployment.get_by_id(min(scene.values())).sha, ["/?q=Bump+dep"]

    while older := re.search(r'href="([^"]*)">look among older', deployer.get(ways[-1]).text):
        ways.append(html.unescape(older[1]))
    found = ["Bump dependencies" in html.unescape(deployer.get(way).text) for way in ways]

    assert len(ways) > 2
    assert "among those that were looked at" in text(deployer, "/?q=nothing-like-it")
    assert True in found
    assert "look among older" not in deployer.get(f"/?q={commit[:9]}").text


def test_older_deployments_are_a_page_away(deployer: Browser, scene: dict[str, int]) -> None:
    """Twenty at a time."""
    assert scene
    first = deployer.get("/").text
    older = re.search(r'href="(/\?before=\d+)"', first)

    assert older
    assert "older →" not in deployer.get(older[1]).text


@pytest.mark.parametrize("query", ["before=x", "before=-1", "before=99999999999999999999"])
def test_a_place_that_is_none_is_refused(deployer: Browser, query: str) -> None:
    """422, and no guess."""
    assert 422 == deployer.get(f"/?{query}").status_code


def test_an_overview_costs_the_same_for_fifty_services(app: Flask, deployer: Browser, service: ServiceFiles) -> None:
    """Reading does not grow with what there is."""
    service("shop")
    sync(app)
    with queries() as few:
        deployer.get("/")
    for number in range(50):
        service(f"service-{number}", repository=f"octo-org/{number}")
    sync(app)
    with queries() as many:
        deployer.get("/")

    assert len(few) == len(many)
    assert len(many) <= 15


def test_the_overview_keeps_to_its_budget(deployer: Browser, scene: dict[str, int]) -> None:
    """Page, stylesheet and script together, and no other request but the feed's."""
    assert scene
    page = deployer.get("/")

    own = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
    sizes = [len(deployer.get(path, headers={"Accept-Encoding": "gzip"}).data) for path in ("/", *own)]
    assert {"fastdeploy.css", "fastdeploy.js"} == {Path(path).name for path in own}
    assert sum(sizes) <= 15 * KIB
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', page.text)


@pytest.mark.usefixtures("two_services")
def test_what_was_cancelled_before_it_began_does_not_hide_a_failure(
    deployer: Browser, github: GitHub, host: Host, client: FlaskClient, auth: Auth
) -> None:
    """What is broken stays first until something that ran says otherwise; the API and the badge say the same."""

    def told() -> str:
        word: str = client.get("/api/v1/services/shop", headers=auth("viewer")).get_json()["state"]
        picture = deployer.get("/badges/shop.svg").text
        return word if word in picture else f"{word}, but {picture}"

    github.push()
    host.begin(1)
    host.end(1, DeploymentState.FAILURE, exit_status=1)
    deployer.post("/deployments/1/retry", nonce="1")
    assert "1 of 2 services failed" in text(deployer, "/")

    assert "failure" == told()

    deployer.post("/deployments/2/cancel")
    assert "1 of 2 services failed" in text(deployer, "/")
    assert "failure" == told()

    deployer.post("/deployments/1/retry", nonce="2")
    host.begin(3)
    github.push(before=sha(2), after=sha(3), pushed_at=SOON + 3)
    assert "1 of 2 services is being deployed" in text(deployer, "/")
    assert "running" == told()

    host.end(3)
    deployer.post("/deployments/4/cancel")
    assert "1 of 2 services is live" in text(deployer, "/")
    assert "success" == told()


# --- a deployment


def test_a_failure_opens_at_its_failed_step(deployer: Browser, scene: dict[str, int]) -> None:
    """The step, the exit status in words and once, the last lines, and Retry beside them."""
    shown = text(deployer, f"/deployments/{scene['shop']}")
    note = shown.partition("Failed at “Migrate”: exit status 1")[2].partition("Steps")[0]

    assert "exit status" not in note
    assert "NotNullViolation" in note
    assert "Retry" in note


@pytest.mark.usefixtures("two_services")
def test_an_end_is_told_by_its_cause_first(deployer: Browser, github: GitHub, host: Host) -> None:
    """One sentence, with one way to try again."""
    github.push()
    host.begin(1)
    host.end(1, DeploymentState.FAILURE, signal=15, reason="no end after 15m (timeout)")
    deployer.post("/deployments/1/retry", nonce="1")
    host.begin(2)
    host.end(2, DeploymentState.LOST, reason="the process that watched the script died")

    assert "Failed: no end after 15m (timeout); killed by SIGTERM (Terminated) Retry" in text(
        deployer, "/deployments/1"
    )
    assert "How it ended is not known: the process that watched the script died Retry" in text(
        deployer, "/deployments/2"
    )
    assert 1 == deployer.get("/deployments/2").text.count('action="/deployments/2/retry"')


def test_a_running_deployment_tells_how_far_it_is(deployer: Browser, scene: dict[str, int]) -> None:
    """A labelled bar and the time left, from what was usual."""
    page = deployer.get(f"/deployments/{scene['blog']}").text

    assert re.search(r'<progress class="wide" max="100" value="\d\d" data-of="\d+" aria-label=', page)
    assert re.search(r"≈ \d+ s left", text(deployer, f"/deployments/{scene['blog']}"))
    assert re.search(r"Migrate \d+s / ~20s", text(deployer, f"/deployments/{scene['blog']}"))


def test_a_log_is_numbered_text_and_goes_on(deployer: Browser, scene: dict[str, int]) -> None:
    """Each line has an anchor; the lines behind a place are drawn alike."""
    number = scene["blog"]
    page = deployer.get(f"/deployments/{number}").text
    place = place_of(page)
    assert f"{line(33)}Applying 0042_feed… OK\n" in page

    more = b"one <b>\x1b[1;31mmore\nand a ha"
    store.write(lambda: logs.append(number, logs.end(number), more, limit=KIB * KIB))
    answer = deployer.get(f"/deployments/{number}/lines?place={place}")

    red = '<span class="f1 bold">'
    drawn = f"{line(34)}one &lt;b&gt;{red}more\n</span>{line(35)}{red}and a ha\n</span>"
    assert drawn in answer.text
    assert drawn in deployer.get(f"/deployments/{number}").text
    then = deployer.get(f"/deployments/{number}/lines?place={answer.headers['Log-Place']}")
    assert f"{line(35)}{red}and a ha\n</span>" in then.text
    assert place_of(deployer.get(f"/deployments/{number}").text) == then.headers["Log-Place"]


def test_a_log_goes_on_only_where_a_page_said(deployer: Browser, scene: dict[str, int]) -> None:
    """Whatever else is asked for is no place."""
    assert 422 == deployer.get(f"/deployments/{scene['blog']}/lines?place=1%22%3E").status_code


def test_a_big_log_is_drawn_whole_and_a_huge_one_to_a_bound(deployer: Browser, scene: dict[str, int]) -> None:
    """Whoever wants what is not drawn has the raw log."""
    number, most = scene["search"], deployment.MOST_LINES
    store.write(lambda: logs.append(number, 0, b"\n" * most, limit=KIB * KIB))
    whole = deployer.get(f"/deployments/{number}").text
    assert (True, True) == (line(1) in whole, line(most) in whole)

    store.write(lambda: logs.append(number, most, b"\n" * 100, limit=KIB * KIB))
    page = deployer.get(f"/deployments/{number}").text

    assert (False, True) == (line(100) in page, line(101) in page)
    assert "100 earlier lines are not shown" in page


def test_long_logs_are_sent_to_a_few_at_once(
    deployer: Browser, client: FlaskClient, auth: Auth, scene: dict[str, int]
) -> None:
    """Whoever comes then sees its last lines, and why; a short log is shown to everybody. Its bytes come later."""
    number = scene["search"]
    store.write(lambda: logs.append(number, 0, b"some line\n" * 30_000, limit=KIB * KIB))
    path = f"/deployments/{number}"
    reading = [deployer.get(path, buffered=False) for _ in range(longlogs.AT_ONCE)]

    page = deployer.get(path).text
    assert (False, True) == (line(28_000) in page, line(28_001) in page)
    assert "28,000 earlier lines are not shown: others are reading long logs" in page
    assert line(1) in deployer.get(f"/deployments/{scene['blog']}").text
    again = deployer.get(f"{path}/lines").text
    assert (False, True) == (line(28_000) in again, line(28_001) in again)

    raw = (deployer.get(f"{path}/log"), client.get(f"/api/v1{path}/log", headers=auth("viewer")))
    assert [(503, "5")] * 2 == [(each.status_code, each.headers["Retry-After"]) for each in raw]
    assert "others are being sent long logs at this moment" in raw[0].text

    assert all(line(1) in each.text for each in reading)
    for each in reading:
        each.close()
    assert line(1) in deployer.get(path).text
    assert 300_000 == len(deployer.get(f"{path}/log").data)
    loading = [deployer.get(f"{path}/log", buffered=False) for _ in range(longlogs.AT_ONCE)]
    assert 503 == deployer.get(f"{path}/log").status_code
    for each in loading:
        each.close()
    assert 200 == deployer.get(f"{path}/log").status_code


def test_a_log_is_folded_by_step(deployer: Browser, scene: dict[str, int]) -> None:
    """Its lines, state and time; what went well is closed where the log is long, what failed is open."""
    number = scene["shop"]
    log = b"before\n" + b"built\n" * 250 + b"between\n" + b"migrating\n"
    write_steps(number, log, {"Build": (7, 1507), "Migrate": (1515, None)})

    page = deployer.get(f"/deployments/{number}").text

    assert [("S0", ""), ("S1507", "")] == re.findall(r'<div class="part" id="(\w+)"()>', page)
    folds = re.findall(r'<details class="part" id="(\w+)"( open)?>', page)
    assert [("S7", ""), ("S1515", " open")] == folds
    assert "Build 250 lines · 22s" in text(deployer, f"/deployments/{number}")
    assert "Migrate 1 line · " in text(deployer, f"/deployments/{number}")


def test_a_short_log_is_open(deployer: Browser, scene: dict[str, int]) -> None:
    """There is nothing to save."""
    number = scene["docs"]
    write_steps(number, b"built\n", {"Build": (0, 6)})

    assert '<details class="part" id="S0" open>' in deployer.get(f"/deployments/{number}").text


def test_beside_a_failure_stand_the_last_lines_of_its_step(deployer: Browser, scene: dict[str, int]) -> None:
    """Not what was written behind it."""
    number = scene["shop"]
    log = b"".join(b"line %d\n" % each for each in range(100, 150)) + b"tidied up\n"
    write_steps(number, log, {"Migrate": (0, len(log) - 10)})

    page = deployer.get(f"/deployments/{number}").text
    tail = page.partition('aria-label="The last lines of the log">')[2].partition("</pre>")[0]

    assert [f"line {each}" for each in range(130, 150)] == tail.splitlines()


def test_lines_have_times_where_they_were_noted(deployer: Browser, scene: dict[str, int]) -> None:
    """In UTC; whether they are shown is the reader's choice."""
    number = scene["search"]
    log, times = b"one\ntwo\n", [(4, 1_764_331_421_500)]
    store.write(lambda: logs.append(number, 0, log, limit=KIB, times=times))

    page = deployer.get(f"/deployments/{number}").text

    assert f'{line(1)}one\n<a id="L2" href="#L2" tabindex="-1" data-at="12:03:41">    2 </a>two\n' in page


@pytest.mark.usefixtures("two_services")
def test_a_failure_can_be_rolled_back_from(deployer: Browser, github: GitHub, host: Host) -> None:
    """To what is still live, by the button beside Retry; a form sent twice acts once."""
    for number in (1, 2):
        github.push(before=sha(number - 1), after=sha(number))
        host.begin(number)
        host.end(number, DeploymentState.FAILURE if number == 2 else DeploymentState.SUCCESS, exit_status=number - 1)
    assert f"Roll back to {sha(1)[:7]}" in text(deployer, "/deployments/2")
    form = nonce(deployer, "/deployments/2", "/deployments/2/rollback")

    answers = [deployer.post("/deployments/2/rollback", nonce=form) for _ in range(2)]

    assert ["/deployments/3"] * 2 == [answer.headers["Location"] for answer in answers]
    assert (sha(1), "rollback", 1) == operator.attrgetter("sha", "origin", "parent_id")(deployments.find(3))
    assert "Roll back to" not in text(deployer, "/deployments/2")
    assert "/deployments/3" == deployer.post("/deployments/2/rollback", nonce="another tab").location


def test_a_cut_log_says_what_is_missing(deployer: Browser, scene: dict[str, int]) -> None:
    """Head and tail are kept, and the gap between them is told."""
    number = scene["search"]
    log = b"".join(b"%09d\n" % each for each in range(30_000))
    for start in range(0, len(log), 10_000):
        store.write(partial(logs.append, number, start, log[start : start + 10_000], limit=20_000))

    assert re.search(r"… [\d,]+ bytes were not kept …", text(deployer, f"/deployments/{number}"))
    assert "X-Log-Gap" in deployer.get(f"/deployments/{number}/log").headers


def test_without_credentials_the_page_says_that_github_is_not_told(deployer: Browser, scene: dict[str, int]) -> None:
    """Nothing is owed then."""
    assert "GitHub is not told: no credentials" in text(deployer, f"/deployments/{scene['shop']}")


def test_all_that_github_is_told_is_shown(deployer: Browser, scene: dict[str, int]) -> None:
    """A line each, with what it refused."""
    number = scene["shop"]
    row = deployments.find(number)
    facts = {"repository": row.repository, "sha": row.sha, "deployment": number, "due": 0, "told": 1}
    said = {"state": "success", "description": "Deployed in 9s", "told_at": clock.now()}
    store.write(lambda: Report.create(context="fastdeploy/shop", **facts, **said))
    store.write(lambda: Report.create(kind="deployment", context="production", **facts, **said))
    store.write(lambda: Report.create(kind="check", context="fastdeploy / shop", problem="GitHub said no", **facts))

    shown = text(deployer, f"/deployments/{number}")

    assert "status fastdeploy/shop is success, “Deployed in 9s”, told" in shown
    assert "deployment production is success, “Deployed in 9s”, told" in shown
    assert "GitHub was not told yet of the check fastdeploy / shop: GitHub said no" in shown


def test_the_changes_are_a_link_away(deployer: Browser, scene: dict[str, int]) -> None:
    """On GitHub, from what was before to what was deployed."""
    row = Deployment.get_by_id(scene["shop"])

    assert (
        f"https://github.com/octo-org/shop/compare/{row.before}...{row.sha}"
        in deployer.get(f"/deployments/{row.id}").text
    )


def test_nothing_from_outside_is_markup(app: Flask, deployer: Browser, github: GitHub, host: Host) -> None:
    """Titles, refs, names, steps, messages, reasons and logs, on every page that shows them."""
    ServiceFiles(app.extensions["fastdeploy"].settings)("shop", branches=["**"])
    sync(app)
    github.push(ref=f"refs/heads/{HOSTILE}", title=HOSTILE, actor=HOSTILE)
    host.begin(1)
    store.write(
        lambda: steps.report(
            1, StepReport(name=HOSTILE, state=StepState.RUNNING, message=HOSTILE), at=steps.Moment(clock.now())
        )
    )
    store.write(lambda: logs.append(1, 0, HOSTILE.encode() + b"\n", limit=KIB))
    host.end(1, DeploymentState.FAILURE, reason=HOSTILE, exit_status=1)

    paths = ("/", "/services/shop", "/deployments/1", "/deliveries", "/deployments/1/lines")
    for path in (*paths, f"/?q={HOSTILE}"):
        page = deployer.get(path).text
        assert "alert(1)" in page, path
        assert "<script>alert" not in page, path
        assert not re.search(r"""<[^>]* (?:on\w+|style)=""", page), path


# --- deliveries


@pytest.mark.usefixtures("two_services")
def test_a_delivery_says_why_it_did_not_deploy(deployer: Browser, github: GitHub) -> None:
    """In one sentence for each service."""
    github.push(guid="g-7", ref="refs/heads/feature")

    for path in ("/deliveries", "/deliveries/g-7"):
        assert re.search(r"shop ignores it: \S.*", text(deployer, path))
    assert "X-Github-Event" in text(deployer, "/deliveries/g-7")


# --- forms


@pytest.mark.usefixtures("two_services")
def test_a_form_that_comes_twice_deploys_once(deployer: Browser) -> None:
    """A double click starts one deployment, and both answers lead to it."""
    number = nonce(deployer, "/services/shop", "/services/shop/deploy")

    answers = [deployer.post("/services/shop/deploy", nonce=number, sha=sha(9)) for _ in range(2)]

    assert [(303, "/deployments/1")] * 2 == [(each.status_code, each.location) for each in answers]
    assert [("shop", "queued")] == states()


@pytest.mark.usefixtures("two_services")
def test_two_people_who_press_the_same_button_start_one_deployment(
    app: Flask, deployer: Browser, github: GitHub, host: Host
) -> None:
    """Deploy, retry, roll back: the second is led to what the first one began."""
    ben = Browser(app).signed_in("deployer", name="ben")

    def press(path: str, *, sha: str = "", to: str = "") -> list[str | None]:
        return [each.post(path, nonce="n", sha=sha, to=to).location for each in (deployer, ben)]

    github.push()
    host.begin(1)
    host.end(1)
    pressed = [press("/services/shop/deploy", sha=sha(9))]
    host.begin(2)
    host.end(2)
    pressed.append(press("/deployments/2/retry"))
    host.begin(3)
    host.end(3)
    pressed.append(press("/services/shop/rollback", to="1"))

    assert [["/deployments/2"] * 2, ["/deployments/3"] * 2, ["/deployments/4"] * 2] == pressed
    assert 4 == Deployment.select().count()


@pytest.mark.usefixtures("two_services")
def test_a_retry_says_what_it_takes_the_place_of(deployer: Browser, github: GitHub, host: Host) -> None:
    """Of what never began it says nothing of once more; where nothing newer counts, nothing of newer ones."""
    for number in (2, 3, 4):
        github.push(before=sha(number - 1), after=sha(number), pushed_at=SOON + number, title="Fix")
        if number == 2:
            host.begin(1)
    behind = f"{sha(4)[:7]} “Fix” came after it, as #3, and waits: {sha(3)[:7]} takes its place."

    assert f"Deploy {sha(3)} “Fix” to shop? {behind}" in text(deployer, "/deployments/2")
    assert behind in text(deployer, "/services/shop")
    host.end(1, DeploymentState.FAILURE, exit_status=1)
    assert f"Deploy {sha(2)} “Fix” to shop once more? {sha(4)[:7]} “Fix” came after it" in text(deployer, "/")
    host.begin(3)
    assert f"as #3, and is being deployed: {sha(2)[:7]} takes its place." in text(deployer, "/deployments/1")
    host.end(3)
    assert f"as #3, and is live: {sha(2)[:7]} takes its place." in text(deployer, "/services/shop")
    assert "came after it" not in text(deployer, "/deployments/3")


@pytest.mark.usefixtures("two_services")
def test_a_deployment_with_a_context_is_another_wish(deployer: Browser, client: FlaskClient, auth: Auth) -> None:
    """What a program told its script is no answer to somebody who presses Deploy."""
    wish = {"service": "shop", "sha": sha(9), "context": {"migrate": False}}
    client.post("/api/v1/deployments", json=wish, headers=auth("deployer"))

    pressed = [deployer.post("/services/shop/deploy", nonce=nonce, sha=sha(9)).location for nonce in ("1", "2")]

    assert ["/deployments/2"] * 2 == pressed


@pytest.mark.usefixtures("two_services")
def test_a_form_that_says_something_else_is_another_one(deployer: Browser) -> None:
    """Whoever goes back to it and types another commit wants that one."""
    typed = [deployer.post("/services/shop/deploy", nonce="n", sha=sha(number)).location for number in (8, 9)]

    assert ["/deployments/1", "/deployments/2"] == typed


@pytest.mark.usefixtures("two_services")
def test_a_form_deploys_the_commit_that_it_showed(deployer: Browser, github: GitHub) -> None:
    """A push in between changes nothing about what was agreed to."""
    github.push()
    page = deployer.get("/services/shop").text
    head = re.search(r'name="head" value="(\w+)"', page)
    assert head
    github.push(before=sha(2), after=sha(3), pushed_at=1_800_000_000)

    deployer.post("/services/shop/deploy", nonce="n", head=head[1], ref="refs/heads/main")

    assert sha(2) == Deployment.select().order_by(Deployment.id.desc()).get().sha


@pytest.mark.usefixtures("two_services")
def test_a_form_without_its_number_is_refused(deployer: Browser) -> None:
    """It could not be told from the same form sent again."""
    assert 400 == deployer.post("/services/shop/deploy", sha=sha(9)).status_code
    assert [] == states()


@pytest.mark.usefixtures("two_services")
def test_a_commit_that_is_none_is_refused_in_words(deployer: Browser) -> None:
    """A page that says what was expected."""
    answer = deployer.post(
        "/services/shop/deploy",
        headers={"Origin": deployer.origin, "Accept": "text/html"},
        nonce="n",
        sha="main",
    )

    assert 422 == answer.status_code
    assert "expected the 40 hex digits" in answer.text


@pytest.mark.usefixtures("two_services")
def test_cancel_and_retry_lead_to_the_deployment(deployer: Browser, github: GitHub) -> None:
    """And are written down with who did it; to cancel twice is no mistake."""
    github.push()
    an_hour_ago = clock.now() - 3_600 * clock.SECOND
    store.write(lambda: Deployment.update(created=an_hour_ago).execute())
    assert "main · asked for 1 h ago" in text(deployer, "/deployments/1")
    assert f"queued {sha(2)[:7]} · 1 h ago" in text(deployer, "/")

    assert ["/deployments/1"] * 2 == [deployer.post("/deployments/1/cancel").location for _ in range(2)]
    assert "main · cancelled just now" in text(deployer, "/deployments/1")
    assert "/deployments/2" == deployer.post("/deployments/1/retry", nonce="n").location
    assert [("shop", "cancelled"), ("shop", "queued")] == states()
    assert ["cancel", "retry"] == [row.action for row in Audit.select().order_by(Audit.id)]


def test_what_has_ended_cannot_be_cancelled(deployer: Browser, visitor: Browser, scene: dict[str, int]) -> None:
    """409, with a way to how things stand; whoever is signed out meanwhile is led back there, too."""
    page = f"/deployments/{scene['shop']}"
    headers = {"Origin": deployer.origin, "Accept": "text/html"}

    late = deployer.post(f"{page}/cancel", headers=headers)
    signed_out = visitor.post(f"{page}/cancel", headers=headers)

    assert (409, 401) == (late.status_code, signed_out.status_code)
    assert f'href="{page}">See how things stand' in late.text
    assert f'href="/login?next={page}">Sign in' in signed_out.text


def lock(
    browser: Browser, name: str = "shop", *, reason: str = "the database moves", span: str = "", since: str = ""
) -> TestResponse:
    """Lock a service by the form."""
    return browser.post(f"/services/{name}/lock", reason=reason, span=span, since=since, nonce="once")


def test_a_lock_is_shown_wherever_the_service_is(deployer: Browser, scene: dict[str, int]) -> None:
    """Who, why and until when; and what becomes of a push meanwhile."""
    assert scene
    answer = lock(deployer, "docs", span="3600")

    note = text(deployer, "/services/docs")
    assert (303, "/services/docs") == (answer.status_code, answer.location)
    assert re.search(r"Locked by deployer just now: the database moves, until 20\S+ \S+ UTC\.", note)
    live = Deployment.get_by_id(scene["docs"]).sha[:7]
    assert f"⧖ docs locked by deployer: the database moves last 3: 3 succeeded; usually 57s live: {live}, 9 h" in text(
        deployer, "/"
    )
    assert lock(deployer, "shop").location
    assert "⧖ locked by deployer: the database moves" in text(deployer, "/"), "beside the failure, which comes first"
    assert "End the lock by deployer? Nothing waits for that." in note
    assert "Lock anew" in note


def test_an_overview_has_the_actions_that_each_row_needs(deployer: Browser, scene: dict[str, int]) -> None:
    """A failure is opened and retried, what runs or waits cancelled, what is well deployed, what is locked unlocked."""
    lock(deployer, "docs")
    rows = re.split(r'<li id="service-', deployer.get("/").text.partition("<h2>Recent")[0])[1:]
    offered = {row.partition('"')[0]: re.findall(r'aria-label="([^"]*)">(\w+)</(?:a|summary)>', row) for row in rows}

    assert {
        "shop": [
            (f"Open deployment {scene['shop']} of shop", "Open"),
            (f"Retry deployment {scene['shop']} of shop", "Retry"),
        ],
        "blog": [
            (f"Open deployment {scene['blog']} of blog", "Open"),
            (f"Cancel deployment {scene['blog']} of blog", "Cancel"),
        ],
        "search": [
            (f"Open deployment {scene['search']} of search", "Open"),
            (f"Cancel deployment {scene['search']} of search", "Cancel"),
        ],
        "api": [("Deploy api", "Deploy")],
        "docs": [("Unlock docs", "Unlock")],
    } == offered
    form = rows[-1].partition('action="/services/docs/unlock"')[2]
    since = re.search(r'name="since" value="(\d+)"', form)
    assert since is not None
    assert 303 == deployer.post("/services/docs/unlock", since=since[1]).status_code
    assert "Unlock" not in deployer.get("/").text


@pytest.mark.usefixtures("two_services")
def test_a_lock_that_the_form_did_not_show_stays(deployer: Browser) -> None:
    """Somebody locked anew while the question was open: 409, which names the other lock."""
    lock(deployer)
    shown = deployer.get("/services/shop").text.partition('/unlock"')[2].partition('name="since" value="')[2]
    since = shown.partition('"')[0]

    other = deployer.post("/services/shop/unlock", since=str(int(since) - 1))
    same = deployer.post("/services/shop/unlock", since=since)

    assert (409, 303) == (other.status_code, same.status_code)
    assert "the database moves" in other.text


@pytest.mark.usefixtures("two_services")
def test_a_lock_that_the_form_did_not_show_is_not_replaced(app: Flask, deployer: Browser) -> None:
    """Two who lock at the same time: the second is told of the first one's, and may replace it once it was shown."""
    ben = Browser(app).signed_in("deployer", name="ben")
    lock(deployer)

    unseen = lock(ben, reason="mine")
    since = nonce(ben, "/services/shop", "/services/shop/lock", field="since")
    seen = lock(ben, reason="mine", since=since)

    assert (409, 303) == (unseen.status_code, seen.status_code)
    assert "locked by deployer: the database moves" in unseen.text
    assert "ben" == Service.get(Service.name == "shop").locked_by


@pytest.mark.usefixtures("two_services")
def test_a_lock_that_is_sent_once_more_locks_once(deployer: Browser) -> None:
    """Also where somebody has unlocked the service since."""
    lock(deployer)
    deployer.post("/services/shop/unlock")

    again = lock(deployer)

    assert (303, "/services/shop") == (again.status_code, again.location)
    assert Service.get(Service.name == "shop").locked is None


@pytest.mark.usefixtures("two_services")
def test_what_waits_for_a_lock_begins_when_somebody_unlocks(deployer: Browser, github: GitHub) -> None:
    """By the form, and sent twice it is no mistake."""
    lock(deployer)
    github.push()
    waits = text(deployer, "/")

    answers = [deployer.post("/services/shop/unlock") for _ in range(2)]

    assert "waiting 0002000 · just now: locked by deployer: the database moves" in re.sub(r"“[^”]*” ", "", waits)
    assert [303, 303] == [each.status_code for each in answers]
    assert [("shop", "queued")] == states()
    assert "Locked" not in text(deployer, "/services/shop")


@pytest.mark.usefixtures("two_services")
@pytest.mark.parametrize("fields", [{"reason": " "}, {"span": "soon"}, {"span": "9" * 19}, {"span": "400000000000"}])
def test_a_lock_that_makes_no_sense_is_refused_in_words(deployer: Browser, fields: dict[str, str]) -> None:
    """422, and nothing is locked."""
    answer = lock(deployer, **fields)

    assert 422 == answer.status_code
    assert "expected" in answer.text
    assert Service.get(Service.name == "shop").locked is None


@pytest.mark.usefixtures("two_services")
def test_a_rollback_goes_where_its_button_says(deployer: Browser, github: GitHub, host: Host) -> None:
    """Though something else has gone live since; the deployment names what it repeats, the service what it left."""
    for number in (2, 3, 4):
        github.push(before=sha(number - 1), after=sha(number), pushed_at=SOON + number)
        host.begin(number - 1)
        host.end(number - 1)
        if number == 3:
            offered = text(deployer, "/services/shop")
            number_of_form = nonce(deployer, "/services/shop", "/services/shop/rollback")

    answers = [deployer.post("/services/shop/rollback", to="1", nonce=number_of_form) for _ in range(2)]

    assert f"Yes, roll back to {sha(2)[:7]}" in offered
    assert [(303, "/deployments/4")] * 2 == [(each.status_code, each.location) for each in answers]
    row = Deployment.get_by_id(4)
    assert (sha(2), 1, "rollback") == (row.sha, row.parent_id, row.origin)
    assert "by deployer · rollback to #1" in text(deployer, "/deployments/4")
    assert "rolls back to#1" in text(deployer, "/deployments/4")
    held = f"{sha(4)[:7]} is held back by a rollback of deployer; a newer push ends this"
    assert f"held back{held}" in text(deployer, "/services/shop")
    assert "It is held back by a rollback of deployer: to deploy it ends that" in text(deployer, "/services/shop")
    assert held in text(deployer, "/deployments/3")
    assert "held back" not in text(deployer, "/deployments/2")


def test_where_there_is_no_way_back_no_button_offers_one(deployer: Browser, service: ServiceFiles, app: Flask) -> None:
    """Before the second success."""
    service("shop")
    sync(app)

    assert "Roll back" not in text(deployer, "/services/shop")
    assert 409 == deployer.post("/services/shop/rollback", to="", nonce="n").status_code


def test_locks_are_no_visitors_matter(app: Flask, deployer: Browser, visitor: Browser, scene: dict[str, int]) -> None:
    """Not of a public service either; a viewer reads them and has no buttons."""
    assert scene
    for name in ("docs", "api"):
        lock(deployer, name)
    pages = [visitor.get(path).text for path in ("/", "/services/docs", "/services/api")]
    viewer = Browser(app).signed_in("viewer")

    assert not any("database moves" in page or "ocked" in page for page in pages)
    assert "the database moves" in text(viewer, "/services/docs")
    assert "/lock" not in viewer.get("/services/docs").text


def test_viewers_see_everything_and_no_buttons(app: Flask, scene: dict[str, int]) -> None:
    """Nothing that they would be refused."""
    viewer, admin = (Browser(app).signed_in(role) for role in ("viewer", "admin"))
    assert 'href="/settings/tokens">Tokens</a> <span' in admin.get("/services/api").text
    assert "/settings/tokens" not in viewer.get("/services/api").text

    for path in ("/", "/services/api", "/services/shop", *(f"/deployments/{each}" for each in scene.values())):
        forms = re.findall(r'<form method="post" action="([^"]+)"', viewer.get(path).text)
        assert {"/theme", "/logout"} == set(forms), path


# --- visitors


def test_visitors_see_what_is_not_private_and_nothing_more(visitor: Browser, scene: dict[str, int]) -> None:
    """Api shows its state, docs its commits; the rest does not exist."""
    page = main_of(visitor.get("/"))
    api, docs = (Deployment.get_by_id(scene[name]) for name in ("api", "docs"))

    assert ["api", "docs"] == re.findall(r'class="name" href="/services/(\w+)"', page)
    assert (False, True) == (api.sha[:7] in page, docs.sha[:7] in page)
    for hidden in ("shop", "blog", "services/search", "anna", "ben", "web1", "form_token"):
        assert hidden not in page


@pytest.mark.parametrize("path", ["/services/docs", "/deployments/docs"])
def test_visitors_read_of_a_public_service_no_names_hosts_or_reasons(
    visitor: Browser, scene: dict[str, int], path: str
) -> None:
    """Commits, steps and the log are theirs to see."""
    page = main_of(visitor.get(path.replace("deployments/docs", f"deployments/{scene['docs']}")))

    for hidden in ("anna", "ben", "web1", "form_token", "GitHub is", "delivery", "octo-org/docs</a>"):
        assert hidden not in page
    assert Deployment.get_by_id(scene["docs"]).sha[:7] in page


def test_visitors_read_the_log_of_a_public_service_alone(visitor: Browser, scene: dict[str, int]) -> None:
    """The others ask them to sign in, as what does not exist does."""
    numbers = {"docs": scene["docs"], "api": scene["api"], "shop": scene["shop"], "none": 999}

    for part in ("", "/log", "/lines"):
        answers = {name: visitor.get(f"/deployments/{each}{part}").status_code for name, each in numbers.items()}
        assert {"docs": 200, "api": 303, "shop": 303, "none": 303} == answers


def test_visitors_see_state_and_age_of_a_service_that_shows_its_state(visitor: Browser, scene: dict[str, int]) -> None:
    """No commit, and no page of a deployment."""
    page = visitor.get("/services/api").text

    assert Deployment.get_by_id(scene["api"]).sha[:7] not in page
    assert "2 h ago" in page
    assert "/deployments/" not in page


@pytest.mark.usefixtures("two_services")
def test_visitors_are_asked_to_sign_in_where_everything_is_private(visitor: Browser) -> None:
    """There is nothing to see."""
    assert "/login?next=/" == visitor.get("/").location


@pytest.mark.usefixtures("two_services")
def test_pages_take_no_token(auth: Auth, visitor: Browser) -> None:
    """They know their reader by the cookie alone."""
    assert 303 == visitor.get("/", headers=auth("admin")).status_code


def test_a_service_file_counts_before_its_row_is_there(service: ServiceFiles, deployer: Browser) -> None:
    """Whoever reads sees what the files say at this moment; nothing is written."""
    service("shop", description="The web shop")

    assert "shop never deployed" in text(deployer, "/").replace("○ ", "")
    assert "The web shop" in text(deployer, "/services/shop")
    assert 0 == Service.select().count()


def test_a_service_file_counts_before_its_row_follows(app: Flask, service: ServiceFiles, deployer: Browser) -> None:
    """A problem shows at once, as does another repository."""
    service("shop", repository="octo-org/shop")
    sync(app)

    service("shop", repository="octo-org/shop-2")
    assert "octo-org/shop-2" in text(deployer, "/services/shop")

    service("shop", command=[])
    assert "cannot be used" in text(deployer, "/services/shop")
    assert "octo-org/shop" == Service.get().repository


def test_a_service_goes_back_to_any_success_of_the_list(deployer: Browser, scene: dict[str, int]) -> None:
    """Each but the live one has its form."""
    assert scene
    rows = Deployment.select().join(Service).where(Service.name == "docs").order_by(Deployment.id)
    oldest, _, live = [row.id for row in rows]
    page = deployer.get("/services/docs").text
    forms = {number: f'id="back-to-{number}"' in page for number in (oldest, live)}
    number = re.search(rf'id="back-to-{oldest}".*?name="nonce" value="([^"]+)"', page, re.DOTALL)
    assert number is not None

    deployer.post("/services/docs/rollback", to=str(oldest), nonce=number[1])

    made = Deployment.select().order_by(Deployment.id.desc()).get()
    assert {oldest: True, live: False} == forms
    assert ("rollback", oldest) == (made.origin, made.parent_id)
