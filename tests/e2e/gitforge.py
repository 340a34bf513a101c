"""A forge in a folder: a bare repository whose hook tells the bot about each real push, as GitHub would.

Source of the payload's shape: https://docs.github.com/en/webhooks/webhook-events-and-payloads#push
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

from bots import Bot, Json, Toml

HOOK: Final = r"""
import hashlib, hmac, json, os, subprocess, sys, time, urllib.error, urllib.request, uuid

ZERO = "0" * 40
BARE = os.getcwd()
SETTINGS = json.load(open(os.path.join(BARE, "forge.json")))


def git(*arguments):
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


def exists(sha):
    return subprocess.run(["git", "cat-file", "-e", sha], capture_output=True).returncode == 0


def commit(sha):
    author, email, date, title = git("show", "-s", "--format=%an%x00%ae%x00%cI%x00%B", sha).rstrip("\n").split("\0")
    changes = {"A": [], "D": [], "M": []}
    lines = git("diff-tree", "--root", "--no-commit-id", "--no-renames", "--name-status", "-r", "-z", sha)
    fields = lines.split("\0")[:-1]
    for kind, path in zip(fields[::2], fields[1::2]):
        changes["M" if kind == "T" else kind].append(path)
    person = {"name": author, "email": email, "username": "mona"}
    return {
        "id": sha, "tree_id": git("rev-parse", sha + "^{tree}").strip(), "distinct": True, "message": title,
        "timestamp": date, "url": "https://github.com/%s/commit/%s" % (SETTINGS["repository"], sha),
        "author": person, "committer": person,
        "added": changes["A"], "removed": changes["D"], "modified": changes["M"],
    }


def others(ref):
    refs = git("for-each-ref", "--format=%(refname)", "refs/heads").split("\n")
    return [other for other in refs if other and other != ref]


def new_commits(before, after, ref):
    if ref.startswith("refs/tags/") or after == ZERO:
        return []
    known = ["^" + before] if before != ZERO else ["^" + other for other in others(ref)]
    return git("rev-list", "--reverse", "--max-count=2048", after, *known).split()


def payload(before, after, ref):
    created, deleted = before == ZERO, after == ZERO
    moved = not created and not deleted and exists(before)
    forward = moved and subprocess.run(["git", "merge-base", "--is-ancestor", before, after]).returncode == 0
    owner, name = SETTINGS["repository"].split("/")
    person = {"login": "mona", "id": 5, "type": "User"}
    head = None if deleted else commit(git("rev-parse", after + "^{commit}").strip())
    return {
        "ref": ref, "before": before, "after": after, "created": created, "deleted": deleted,
        "forced": moved and not forward, "base_ref": None,
        "compare": "https://github.com/%s/compare/%s...%s" % (SETTINGS["repository"], before[:12], after[:12]),
        "commits": [commit(sha) for sha in new_commits(before, after, ref)], "head_commit": head,
        "repository": {
            "id": SETTINGS["id"], "name": name, "full_name": SETTINGS["repository"], "private": False,
            "owner": {"name": owner, "login": owner, "id": 7, "type": "Organization"},
            "html_url": "https://github.com/" + SETTINGS["repository"], "fork": False,
            "default_branch": "main", "master_branch": "main",
            "created_at": 1700000000, "pushed_at": int(time.time()), "updated_at": "2023-11-14T22:13:20Z",
        },
        "pusher": {"name": "mona", "email": "mona@example.org"}, "sender": person,
    }


def deliver(guid, body):
    request = urllib.request.Request(SETTINGS["url"] + "/webhooks/github", data=body, headers={
        "Content-Type": "application/json", "User-Agent": "GitHub-Hookshot/044aadd", "X-GitHub-Event": "push",
        "X-GitHub-Delivery": guid,
        "X-Hub-Signature-256": "sha256=" + hmac.new(SETTINGS["secret"].encode(), body, hashlib.sha256).hexdigest(),
    })
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()
    except urllib.error.URLError:
        return 502, "nobody listens"


for line in sys.stdin.read().splitlines():
    before, after, ref = line.split(" ", 2)
    body = json.dumps(payload(before, after, ref)).encode()
    guid = str(uuid.uuid4())
    status, answer = deliver(guid, body)
    with open(os.path.join(BARE, "deliveries.jsonl"), "a") as book:
        book.write(json.dumps({"guid": guid, "body": body.decode(), "status": status, "answer": answer}) + "\n")
"""

DEPLOY: Final = r"""#!/bin/sh
set -eu
target=$FASTDEPLOY_SERVICE_DIR/live
mkdir -p "$target"
GIT_INDEX_FILE=$FASTDEPLOY_SERVICE_DIR/index
export GIT_INDEX_FILE
git --git-dir "$BARE" --work-tree "$target" checkout -f "$FASTDEPLOY_SHA" -- .
printf '%s\n' "$FASTDEPLOY_SHA" >> "$FASTDEPLOY_SERVICE_DIR/order"
"""
"""Puts the commit's files into the service's folder `live`, and notes the commit in `order`."""


PERSON: Final = {"NAME": "Mona", "EMAIL": "mona@example.org"}


class Forge:
    """One repository: `push` really pushes, and the hook's deliveries and their answers can be read."""

    _last_id = 1000

    def __init__(self, folder: Path, bot: Bot, repository: str) -> None:
        """Make the bare repository, its hook and a clone with one commit on `main`, not pushed yet."""
        Forge._last_id += 1
        self.bot = bot
        self.number = Forge._last_id
        self.repository = repository
        self.bare = folder / "bare.git"
        self.clone = folder / "clone"
        self._git_in(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.bare))
        settings = {"url": bot.url, "secret": bot.secret, "repository": repository, "id": self.number}
        (self.bare / "forge.json").write_text(json.dumps(settings))
        hook = self.bare / "hooks" / "post-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(HOOK)}\n")
        hook.chmod(0o755)
        self._git_in(folder, "clone", "--quiet", str(self.bare), str(self.clone))
        self.git("checkout", "--quiet", "-B", "main")

    def git(self, *arguments: str) -> str:
        """Run git in the clone and answer what it prints."""
        return self._git_in(self.clone, *arguments)

    def commit(self, **files: str) -> str:
        """Commit files, named with `__` for `/` and `_` for `.`, and answer the commit."""
        for key, text in files.items():
            path = self.clone / key.replace("__", "/").replace("_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", f"Change {', '.join(files)}")
        return self.head()

    def head(self) -> str:
        """The clone's present commit."""
        return self.git("rev-parse", "HEAD").strip()

    def push(self, *refspecs: str) -> Json:
        """Push for real and answer what the bot said to the delivery."""
        self.git("push", "--quiet", "origin", *refspecs)
        delivery = self.deliveries()[-1]
        assert 202 == delivery["status"], delivery
        answer: Json = delivery["answer"]
        return answer

    def deliveries(self) -> list[Json]:
        """Every delivery so far: `guid`, `body`, `status` and `answer`."""
        return [json.loads(line) for line in (self.bare / "deliveries.jsonl").read_text().splitlines()]

    def service(self, name: str, script: str = DEPLOY, **keys: Toml) -> Path:
        """Make a service of this repository that deploys its commits, and answer the service's folder."""
        of_this_repository: dict[str, Toml] = {"repository": self.repository, "env": {"BARE": str(self.bare)}}
        return self.bot.service(name, script, **of_this_repository | keys)

    @staticmethod
    def _git_in(folder: Path, *arguments: str) -> str:
        nobody = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
        person = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in PERSON.items()}
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=os.environ | nobody | person,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert 0 == done.returncode, f"git {arguments}: {done.stderr}"
        return done.stdout


def verdicts(answer: Json) -> dict[str, str]:
    """Each service's verdict."""
    return {verdict["service"]: verdict["verdict"] for verdict in answer["verdicts"]}


def started(answer: Json, service: str) -> int:
    """The deployment that the delivery started of this service."""
    [number] = [verdict["deployment"] for verdict in answer["verdicts"] if verdict["service"] == service]
    assert isinstance(number, int), answer
    return number
