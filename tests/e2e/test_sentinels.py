"""Secrets: one deployment says its secrets in every form and on every way, and none of them is seen anywhere."""

from __future__ import annotations

import base64
import html
import json
import sqlite3
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import fakehub
from bots import Bot, BotMaker, wait_for
from fakehub import FakeHub
from fastdeploy_bot.forge.github.payloads import push_document
from fastdeploy_bot.masking import MASK
from feeds import Follower

PASSWORD = "p4ss/w\"ör'd+&$x"
KEY = "-----BEGIN KEY-----\nMIIEvQIBADAN/Bgkqhki\nG9w0BAQEF+AASCBKcw\n-----END KEY-----"
SHA = "a" * 40

TELLS_ALL = f"""#!{sys.executable}
import base64, json, os, pathlib, shlex, subprocess, sys, time, urllib.parse, urllib.request

token = os.environ["FASTDEPLOY_TOKEN"]
secrets = [os.environ["PASSWORD"], os.environ["KEY"], token]
pathlib.Path("token").write_text(token)

def post(url, **body):
    headers = {{"Authorization": "Bearer " + token, "Content-Type": "application/json"}}
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=30).close()

for secret in secrets:
    print(secret, repr(secret), json.dumps([secret]), shlex.quote(secret), flush=True)
    print(urllib.parse.quote(secret), urllib.parse.quote_plus(secret, safe=""), flush=True)
    for before in ("", "u", "u:"):
        told = (before + secret).encode()
        print(base64.b64encode(told).decode(), base64.encodebytes(told).decode(), flush=True)
    print("bytewise", flush=True)
    for byte in secret.encode():
        os.write(1, bytes([byte]))
    print(flush=True)
for command in ("env", "env | base64", "set -x; : \\"$PASSWORD\\" \\"$KEY\\"", "env >&2"):
    subprocess.run(["bash", "-c", command])

with open(os.environ["FASTDEPLOY_STEPS_FILE"], "a") as steps:
    for secret in secrets:
        told = {{"name": "File " + secret[:90], "state": "running", "message": json.dumps(secret)}}
        steps.write(json.dumps(told) + "\\n")
    steps.write("no step: " + token + "\\n")
for secret in secrets:
    post(os.environ["FASTDEPLOY_STEPS_URL"], name="HTTP " + secret, state="running", message=urllib.parse.quote(secret))
subprocess.run(["fastdeploy", "step", "Command " + secrets[0], "--", "/no/such/program/" + secrets[0]])
pathlib.Path("begun").touch()
while not os.path.exists("go"):
    time.sleep(0.02)
post(os.environ["FASTDEPLOY_STEPS_URL"][:-5] + "finish", state="failure", message="no login with " + secrets[0])
"""


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A GitHub that keeps what it is told."""
    with FakeHub() as made:
        yield made


def forms(secret: str) -> set[str]:
    """What must not be seen anywhere: the value, in the ways that it is written in."""
    whole = secret.encode()
    encoded = {
        base64.b64encode(bytes(before) + whole)[-(-before * 8 // 6) : (before + len(whole)) * 8 // 6].decode()
        for before in range(3)
    }
    lines = {line for line in secret.split("\n") if len(line) >= 6}
    quoted = {urllib.parse.quote(secret), urllib.parse.quote_plus(secret, safe=""), json.dumps(secret)[1:-1]}
    return {secret, html.escape(secret), *lines, *encoded, *quoted}


def seen(secrets: list[str], where: bytes) -> set[str]:
    """Which forms of these secrets stand there."""
    bare = where.replace(b"\n", b"")
    return {form for secret in secrets for form in forms(secret) if form.encode() in where or form.encode() in bare}


def cells(home: Path) -> bytes:
    """Everything in every row of the database."""
    with closing(sqlite3.connect(home / "fastdeploy.db")) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [row for table in tables for row in database.execute(f'SELECT * FROM "{table}"')]  # noqa: S608 - its own
    values = [value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row]
    return b"\n".join(values)


def test_no_secret_is_seen_anywhere(make_bot: BotMaker, hub: FakeHub) -> None:
    """Neither on the disk, nor in a row, nor on any way out."""
    bot = make_bot(FASTDEPLOY_GITHUB_API_URL=hub.url, FASTDEPLOY_GITHUB_TOKEN=fakehub.TOKEN)
    keys = {"secrets": ["PASSWORD", "KEY"], "finish": "report", "visibility": "public", "repository": "octo-org/shop"}
    folder = bot.service("shop", TELLS_ALL, **keys)
    for name, value in (("PASSWORD", PASSWORD), ("KEY", KEY)):
        bot.run("secret", "set", "shop", name, stdin=value, expect=0)
    bot.start()

    with Follower(bot.url, "?since=0", token=bot.token()) as follower:
        number = _pushed(bot)
        wait_for((folder / "begun").exists)
        secrets = [PASSWORD, KEY, (folder / "token").read_text()]
        raw = _run_files(bot)
        (folder / "go").touch()
        ended = bot.wait_end(number)
        told = follower.hear_until(lambda message: message.get("deployment", {}).get("state") == "failure")
    wait_for(lambda: "failure" in hub.states(SHA))

    page = bot.http("GET", f"/deployments/{number}", token="")
    surfaces = {
        "segments": raw,
        "rows": cells(bot.home),
        "log": bot.log(number),
        "page": page.content,
        "feed": json.dumps(told, ensure_ascii=False).encode(),
        "events": bot.http("GET", "/api/v1/events?limit=200").content,
        "API": json.dumps(ended, ensure_ascii=False).encode(),
        "status": json.dumps([call.body for call in hub.calls], ensure_ascii=False).encode(),
        "the bot's own log": bot.output().encode(),
    }
    assert {} == {name: found for name, content in surfaces.items() if (found := seen(secrets, content))}
    assert all(MASK.encode() in content for content in surfaces.values())
    assert f"no login with {MASK}" == ended["reason"]
    assert {"File", "HTTP", "Command"} == {step["name"].split()[0] for step in ended["steps"]}
    metrics = bot.http("GET", "/metrics", token="").content + bot.output().encode()
    assert set() == seen([*secrets, bot.secret, fakehub.TOKEN], metrics)


def _pushed(bot: Bot) -> int:
    body = push_document(
        repository="octo-org/shop",
        repository_id=fakehub.MOVED,
        before="b" * 40,
        after=SHA,
        pushed_at=1_700_000_000,
    )
    [verdict] = bot.deliver(body).json()["verdicts"]
    number: int = verdict["deployment"]
    return number


def _run_files(bot: Bot) -> bytes:
    """What lies in the run's folder, once the child has taken all of it; but for two files of the script's own."""
    [folder] = (bot.home / "runs").glob("[0-9]*")
    wait_for(lambda: b"no such program" in (folder / "steps.log").read_bytes())
    return b"\n".join(path.read_bytes() for path in folder.iterdir() if path.name not in ("steps", "config.json"))
