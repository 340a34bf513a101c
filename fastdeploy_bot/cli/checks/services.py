"""Services: their files can be read, their secrets are there, and their scripts can be run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from fastdeploy_bot.cli.checks import Finding, Patient, fail, ok
from fastdeploy_bot.core.files import secrets
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.core.files.servicefile import ServiceFile
from fastdeploy_bot.errors import SettingsError
from fastdeploy_bot.settings import Settings


def service_files(patient: Patient) -> Iterator[Finding]:
    """Each is understood."""
    entries = Catalogue(patient.settings.services_dir).entries()
    bad = [entry for entry in entries.values() if entry.file is None]
    for entry in bad:
        where = patient.settings.services_dir / entry.name / "service.toml"
        yield fail(entry.problem, f"{entry.name} deploys nothing until it is mended", f"edit {where}: docs/services.md")
    deaf = [each.name for each in entries.values() if each.file is not None and each.file.wait_for]
    if deaf and not patient.settings.tells_github:
        yield fail(
            f"{', '.join(deaf)}: wait_for needs credentials to ask GitHub with",
            "pushes are refused until there are some",
            "set github_token or a GitHub App: docs/github.md; or take wait_for out",
        )
    elif not bad:
        yield ok("1 service file is valid" if len(entries) == 1 else f"{len(entries)} service files are valid")


def service_secrets(patient: Patient) -> Iterator[Finding]:
    """Each that is named is there."""
    missing = False
    for name, file in _good(patient.settings):
        for secret in file.secrets:
            try:
                secrets.read(patient.settings.secrets_dir, name, [secret])
            except SettingsError as error:
                missing = True
                yield fail(f"{name}: {error}", "its deployments fail", f"fastdeploy secret set {name} {secret}")
    if not missing:
        yield ok("the secrets that services name are there")


def scripts(patient: Patient) -> Iterator[Finding]:
    """The first word of each command is a program."""
    unfit = False
    for name, file in _good(patient.settings):
        for finding in _script(patient, name, file):
            unfit = True
            yield finding
    if not unfit:
        yield ok("the deploy scripts can be run")


def _good(settings: Settings) -> list[tuple[str, ServiceFile]]:
    entries = Catalogue(settings.services_dir).entries()
    return [(name, entry.file) for name, entry in entries.items() if entry.file is not None]


def _script(patient: Patient, name: str, file: ServiceFile) -> Iterator[Finding]:
    word = file.command[0]
    if word.startswith("{checkout}"):
        return
    why = f"deployments of {name} fail"
    search = file.env.get("PATH") or patient.environ.get("PATH")
    if "/" not in word:
        if shutil.which(word, path=search) is None:
            yield fail(f"{name}: there is no program {word}", why, f"install {word}, or name its path in command")
        return
    path = patient.settings.services_dir / name / word
    if not path.is_file():
        yield fail(f"{name}: there is no script {path}", why, f"write {path}, or name another one in command")
    elif not os.access(path, os.X_OK):
        yield fail(f"{name}: {path} is not executable", why, f"chmod +x {path}")
    else:
        yield from _first_line(name, path, why, search)


def _first_line(name: str, path: Path, why: str, search: str | None) -> Iterator[Finding]:
    with path.open("rb") as script:
        begin = script.read(256)
    if not begin.startswith(b"#!"):
        if not begin.startswith(b"\x7fELF"):
            yield fail(f"{name}: {path} names no interpreter", why, f"sed -i '1i #!/bin/sh' {path}")
        return
    line = begin[2:].split(b"\n")[0]
    if line.endswith(b"\r"):
        yield fail(f"{name}: {path} has line ends of Windows", why, f"sed -i 's/\\r$//' {path}")
        return
    words = [word for word in line.decode(errors="replace").split() if not word.startswith("-")]
    interpreter = words[0] if words else ""
    if not os.access(interpreter, os.X_OK):
        missing = interpreter or "nothing"
    elif Path(interpreter).name == "env" and len(words) > 1 and shutil.which(words[1], path=search) is None:
        missing = words[1]
    else:
        return
    yield fail(f"{name}: {path} is to be run by {missing}, which is not there", why, f"install it, or mend {path}")
