"""Git: runs it with nobody's configuration, for as long as a guard lets it, and tells what it complained of.

Source: https://git-scm.com/docs/git-config and https://git-scm.com/docs/git#_environment_variables
"""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

import msgspec

from fastdeploy_bot.errors import FastdeployError
from fastdeploy_bot.masking import Masker

LOOK_SECONDS: Final = 0.1
END_SECONDS: Final = 2.0
"""How long git may take to tidy up after itself before it is killed."""
SAID: Final = 64 * 1024
"""Bytes of a complaint that are looked at, the last ones."""
SHOWN: Final = 300
"""Characters of a complaint that people are shown."""

PASSED: Final = (
    "PATH",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
)
PROXIES: Final = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY")
"""For what leaves this host; plain http never does."""

_CONFIG: Final = {
    "advice.detachedHead": "false",
    "core.askPass": "",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "fetch.unpackLimit": "1",  # packs, never loose objects: few files, which can be shared by links
    "fetch.writeCommitGraph": "false",
    "gc.auto": "0",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "60",
    "init.defaultBranch": "main",
    "maintenance.auto": "false",
    "protocol.version": "2",
    "safe.directory": "*",  # all that is looked at here is ours
    "submodule.recurse": "false",
}


class GitFailed(FastdeployError):
    """Git did not do what it was asked to."""

    def __init__(self, said: str) -> None:
        super().__init__(_shortened(said))
        self.said = said
        """All that it said, one line each."""


class Signing(msgspec.Struct, frozen=True):
    """What fetches from one forge are signed in with."""

    url: str
    """The forge's address: nobody else is shown the token."""
    token: str

    def __repr__(self) -> str:
        return f"Signing({self.url!r}, …)"

    @property
    def header(self) -> str:
        """As GitHub takes tokens of every kind over HTTP; the name stands for nobody."""
        return f"Authorization: Basic {base64.b64encode(f'x-access-token:{self.token}'.encode()).decode()}"


Guard = Callable[[], None]
"""Looked at again and again while git runs; what it raises ends that."""


def run(
    arguments: Sequence[str],
    folder: Path,
    *,
    guard: Guard,
    url: str = "",
    signing: Signing | None = None,
    lock: int | None = None,
) -> str:
    """What git prints. Raises GitFailed, and whatever the guard raises; then nothing of it runs any more.

    It may talk by the scheme of `url` alone, and to nobody without one. A descriptor given as `lock` is held until the
    last of its processes has ended, also where this one dies before that.
    """
    program = ["git", *arguments]
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as printed:
        running = subprocess.Popen(
            program,
            cwd=folder,
            env=_environment(url, signing, os.environ),
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=said,
            start_new_session=True,
            umask=0o022,
            pass_fds=() if lock is None else (lock,),
        )
        try:
            status = _wait(running, guard)
        finally:
            _end(running)
        if status != 0:
            raise GitFailed(_masked(_tail(said), signing) or f"git ended with {status} and said nothing")
        printed.seek(0)
        return printed.read().decode("utf-8", "surrogateescape")


def _wait(running: subprocess.Popen[bytes], guard: Guard) -> int:
    while True:
        guard()
        try:
            return running.wait(LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            continue


def _end(running: subprocess.Popen[bytes]) -> None:
    """Make sure that it has ended, and its helpers with it."""
    if running.poll() is not None:
        return
    os.killpg(running.pid, signal.SIGTERM)
    try:
        running.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def _environment(url: str, signing: Signing | None, environ: Mapping[str, str]) -> dict[str, str]:
    """What git is started with; the token stands here and nowhere else."""
    scheme = urlsplit(url).scheme
    passed = (*PASSED, *PROXIES) if scheme == "https" else PASSED
    config = dict(_CONFIG)
    if signing is not None:
        config[f"http.{signing.url}/.extraHeader"] = signing.header
        # After a redirect git would show the header to whoever it was led to.
        config["http.followRedirects"] = "false"
    return {
        "PATH": os.defpath,
        **{name: environ[name] for name in passed if name in environ},
        "LC_ALL": "C",
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": scheme or "none",
        "GIT_LFS_SKIP_SMUDGE": "1",
        **_numbered(config),
    }


def _numbered(config: Mapping[str, str]) -> dict[str, str]:
    """Configuration as the environment holds it."""
    pairs = {
        name: text
        for number, (key, value) in enumerate(config.items())
        for name, text in ((f"GIT_CONFIG_KEY_{number}", key), (f"GIT_CONFIG_VALUE_{number}", value))
    }
    return {"GIT_CONFIG_COUNT": str(len(config)), **pairs}


def _tail(said: IO[bytes]) -> str:
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - SAID))
    return said.read().decode("utf-8", "replace").strip()


def _masked(text: str, signing: Signing | None) -> str:
    if signing is None:
        return text
    return Masker([signing.token, signing.header.rpartition(" ")[2]]).text(text)


def _shortened(said: str) -> str:
    """The lines that matter, as one: the first that is fatal, else the last."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or [""]
    best = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1])
    plain = re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", re.sub(r"^(fatal|error): ", "", best))
    return plain if len(plain) <= SHOWN else f"{plain[: SHOWN - 1]}…"
