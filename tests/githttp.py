"""A forge's git: real bare repositories behind git's own http-backend, for whoever shows the right token.

Source: https://git-scm.com/docs/git-http-backend
"""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Final, cast
from urllib.parse import urlsplit

NOBODY: Final = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
PERSON: Final = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in {"NAME": "Mona", "EMAIL": "mona@example.org"}.items()
}


def git(folder: Path, *arguments: str, stdin: bytes = b"", **environment: str) -> str:
    """Run git in a folder, with nobody's configuration, and answer what it prints."""
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *arguments],
        cwd=folder,
        env=os.environ | NOBODY | PERSON | environment,
        input=stdin,
        capture_output=True,
        timeout=100,
    )
    assert 0 == done.returncode, f"git {arguments}: {done.stderr.decode()}"
    return done.stdout.decode("utf-8", "surrogateescape").strip()


class Repository:
    """A bare repository, and a clone of it to commit in."""

    def __init__(self, folder: Path, name: str) -> None:
        self.bare = folder / "served" / f"{name}.git"
        self.clone = folder / "clones" / name
        self.submodules: list[str] = []
        self.bare.parent.mkdir(parents=True, exist_ok=True)
        git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.bare))
        git(folder, "clone", "--quiet", str(self.bare), str(self.clone))
        self.git("checkout", "--quiet", "-B", "main")

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run git in the clone."""
        return git(self.clone, *arguments, stdin=stdin)

    def commit(self, files: Mapping[str, str | bytes] | None = None, *, push: str = "main") -> str:
        """Commit these files and what else lies in the clone, push that to a branch, and answer the commit."""
        for name, content in (files or {}).items():
            path = self.clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            if content[:2] in ("#!", b"#!"):
                path.chmod(0o755)
        self.git("add", "--all", "--", ".", *[f":(exclude){path}" for path in self.submodules])
        self.git("commit", "--quiet", "--allow-empty", "--message", "Change")
        self.git("push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{push}")
        return self.head

    def add_submodule(self, path: str, url: str, sha: str) -> None:
        """Have a commit of another repository at a path, from the next commit on."""
        (self.clone / path).mkdir(parents=True, exist_ok=True)
        self.git("config", "--file", ".gitmodules", f"submodule.{path}.path", path)
        self.git("config", "--file", ".gitmodules", f"submodule.{path}.url", url)
        self.git("update-index", "--add", "--cacheinfo", f"160000,{sha},{path}")
        self.submodules.append(path)

    @property
    def head(self) -> str:
        """The clone's present commit."""
        return self.git("rev-parse", "HEAD")


class GitHost:
    """Serves repositories by `<url>/<owner>/<name>.git`; notes what was asked for, and can be made to misbehave."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokens: Collection[str] = ()
        """Who shows one of these may read all; empty: everybody may."""
        self.judge: Callable[[str, str], bool] | None = None
        """Says of a repository and a token whether that may read it; decides in place of `tokens`."""
        self.requests: list[str] = []
        """Paths, with queries, in the order they came."""
        self.authorizations: list[str] = []
        """The Authorization headers, as they came."""
        self.fail_with: int | None = None
        """Answer everything with this status."""
        self.moved: dict[str, str] = {}
        """Repositories by their old names, and where a redirect leads."""
        self.open = threading.Event()
        """While it is not set, whoever fetches objects gets none."""
        self.open.set()
        self.waiting = threading.Semaphore(0)
        """Released by each that begins to wait for that."""
        outer = self

        class Handler(_Handler):
            host = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        """Its address, as `github_url` has it."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def repository(self, name: str) -> Repository:
        """A new repository."""
        return Repository(self.folder, name)

    def fetches(self) -> int:
        """How often objects were asked for."""
        return sum(path.endswith("/git-upload-pack") for path in self.requests)

    def close(self) -> None:
        """Serve no more."""
        self.open.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def serving(folder: Path) -> Iterator[GitHost]:
    """A host, for as long as a test needs it."""
    folder.mkdir(exist_ok=True)
    host = GitHost(folder)
    try:
        yield host
    finally:
        host.close()


class _Handler(BaseHTTPRequestHandler):
    host: GitHost

    def do_GET(self) -> None:
        """Which refs there are, and what the server can do."""
        self._serve(b"")

    def do_POST(self) -> None:
        """Objects, and by protocol 2 the refs."""
        self._serve(self._body())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _serve(self, body: bytes) -> None:
        self.host.requests.append(self.path)
        authorization = self.headers.get("Authorization")
        if authorization is not None:
            self.host.authorizations.append(authorization)
        name = urlsplit(self.path).path.split(".git/")[0].lstrip("/")
        if self.host.fail_with is not None:
            self._answer(self.host.fail_with)
        elif name in self.host.moved:
            self._answer(301, Location=self.path.replace(name, self.host.moved[name], 1))
        elif not self._may(name, authorization):
            self._answer(401, **{"WWW-Authenticate": 'Basic realm="GitHub"'})
        elif not (self.host.folder / "served" / f"{name}.git").is_dir():
            self._answer(404)
        else:
            if b"command=fetch" in body and not self.host.open.is_set():
                self.host.waiting.release()
                self.host.open.wait(60)
            self._pass_on(body)

    def _may(self, name: str, authorization: str | None) -> bool:
        kind, _, shown = (authorization or "").partition(" ")
        user, _, token = base64.b64decode(shown).decode().partition(":")
        if self.host.judge is not None:
            return self.host.judge(name, token)
        return not self.host.tokens or (kind == "Basic" and user == "x-access-token" and token in self.host.tokens)

    def _answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _pass_on(self, body: bytes) -> None:
        """Let git answer, as a CGI program; its output goes on as it comes."""
        parts = urlsplit(self.path)
        asked = {
            "GIT_PROJECT_ROOT": str(self.host.folder / "served"),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        backend = subprocess.Popen(
            ["git", "http-backend"],
            env=os.environ | NOBODY | asked,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        with backend:
            with cast("IO[bytes]", backend.stdin) as given:
                given.write(body)
            try:
                self._relay(cast("IO[bytes]", backend.stdout))
            except OSError:  # whoever asked has gone
                backend.kill()

    def _relay(self, said: IO[bytes]) -> None:
        headers = list(iter(lambda: said.readline().decode().strip(), ""))
        found = dict(line.split(": ", 1) for line in headers)
        self.send_response(int(found.pop("Status", "200 OK").split()[0]))
        for name, value in found.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.close_connection = True
        self.end_headers()
        while piece := said.read(64 * 1024):
            self.wfile.write(piece)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""
