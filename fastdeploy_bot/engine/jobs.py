"""Jobs: what a child is told to run, and the environment a script finds."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from fastdeploy_bot.core.files import secrets
from fastdeploy_bot.core.files.servicefile import ServiceFile
from fastdeploy_bot.runner import checkout
from fastdeploy_bot.runner.folder import RunFolder
from fastdeploy_bot.runner.process import Job, Limits
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Deployment

INHERITED: Final = ("HOME", "USER", "LOGNAME", "SHELL", "LANG", "TMPDIR", "XDG_RUNTIME_DIR")
CHECKOUT: Final = "{checkout}"
"""Stands in a command for the folder of the commit's files."""
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def definition(file: ServiceFile) -> str:
    """What is kept of a service file on a deployment that begins; it names secrets and holds none."""
    return msgspec.json.encode(file).decode()


def defined(deployment: Deployment) -> ServiceFile:
    """What a deployment that has begun keeps of its service file."""
    return msgspec.json.decode(deployment.definition or "", type=ServiceFile)


def job(
    settings: Settings,
    deployment: Deployment,
    file: ServiceFile,
    folder: RunFolder,
    token: str,
    environ: Mapping[str, str],
) -> Job:
    """The job of a deployment that begins. Raises BadSecret where a secret cannot be read."""
    extra = ["--config", folder.file("config.json")] if file.step_source == "stdout" else []
    service_dir = settings.services_dir / deployment.service.name
    tree = checkout.place(folder) if file.checkout else ""
    argv = _argv(file.command, service_dir, tree)
    given = secrets.read(settings.secrets_dir, deployment.service.name, file.secrets)
    env = _environment(settings, deployment, file, folder, token, given, environ)
    return Job(
        deployment=deployment.id,
        folder=folder.path,
        argv=[*argv, *extra],
        cwd=tree or str(service_dir),
        env=env,
        secrets=[*given.values(), token],
        config=_config(settings, deployment, argv[0], token, env["PATH"]),
        finish=file.finish,
        step_source=file.step_source,
        limits=Limits(
            timeout=file.timeout,
            silence_timeout=file.silence_timeout,
            kill_grace=settings.kill_grace,
            log_limit=settings.log_limit,
        ),
    )


def _argv(command: Sequence[str], service_dir: Path, tree: str) -> list[str]:
    """The command as it is run. In a checkout, too, a path is the service folder's file, unless it asks for the tree's.

    The program is one where it has a slash; of its arguments, those that begin with `./` or `../` are.
    """
    if not tree:
        return list(command)
    return [
        str(service_dir / word) if word.startswith(("./", "../")) or (place == 0 and "/" in word) else word
        for place, word in enumerate(each.replace(CHECKOUT, tree) for each in command)
    ]


def _environment(
    settings: Settings,
    deployment: Deployment,
    file: ServiceFile,
    folder: RunFolder,
    token: str,
    given: Mapping[str, str],
    environ: Mapping[str, str],
) -> dict[str, str]:
    inherited = {name: environ[name] for name in (*INHERITED, *file.pass_env) if name in environ}
    found = {
        **_user(),
        **inherited,
        **_for_ephes_scripts(settings, deployment, folder, token),  # a service's own word for these names stands
        **file.env,
        **given,
    }
    path = found.get("PATH") or environ.get("PATH") or PATH
    return {
        **found,
        "PATH": f"{settings.bin_dir}{os.pathsep}{path}",
        **_facts(settings, deployment, file, folder, token),
    }


def _user() -> dict[str, str]:
    """Who the bot is and where it may keep things, where its own environment does not say: a unit's says little."""
    found = {"LANG": "C.UTF-8", "TMPDIR": "/tmp"}  # noqa: S108 - told, not used
    runtime = f"/run/user/{os.getuid()}"
    if Path(runtime).is_dir():
        found["XDG_RUNTIME_DIR"] = runtime  # `systemctl --user` finds its manager there
    try:
        user = pwd.getpwuid(os.getuid())
    except KeyError:
        return found
    return found | {
        "HOME": user.pw_dir,
        "USER": user.pw_name,
        "LOGNAME": user.pw_name,
        "SHELL": user.pw_shell or "/bin/sh",
    }


def _facts(
    settings: Settings, deployment: Deployment, file: ServiceFile, folder: RunFolder, token: str
) -> dict[str, str]:
    ref = deployment.ref
    facts = {
        "DEPLOYMENT": str(deployment.id),
        "SERVICE": deployment.service.name,
        "REPOSITORY": deployment.repository,
        "CLONE_URL": f"{settings.github_url}/{deployment.repository}.git",
        "REF": ref,
        "BRANCH": ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else "",
        "TAG": ref.removeprefix("refs/tags/") if ref.startswith("refs/tags/") else "",
        "SHA": deployment.sha,
        "BEFORE": deployment.before,
        "ACTOR": deployment.actor,
        "ENVIRONMENT": file.environment,
        "CONTEXT": deployment.context,
        "SERVICE_DIR": str(settings.services_dir / deployment.service.name),
        "CHECKOUT": checkout.place(folder) if file.checkout else "",
        "URL": f"{settings.effective_public_url}/deployments/{deployment.id}",
        "STEPS_URL": _steps_url(settings, deployment),
        "STEPS_FILE": folder.file("steps"),
        "TOKEN": token,
    }
    return {f"FASTDEPLOY_{name}": value for name, value in facts.items()}


def _for_ephes_scripts(settings: Settings, deployment: Deployment, folder: RunFolder, token: str) -> dict[str, str]:
    return {
        "STEPS_URL": _steps_url(settings, deployment),
        "ACCESS_TOKEN": token,
        "CONTEXT": deployment.context,
        "DEPLOY_CONFIG_FILE": folder.file("config.json"),
    }


def _config(settings: Settings, deployment: Deployment, program: str, token: str, path: str) -> dict[str, Any]:
    """What scripts written for ephes/fastdeploy read from their configuration file."""
    return {
        "deployment_id": deployment.id,
        "access_token": token,
        "steps_url": _steps_url(settings, deployment),
        "deployment_finish_url": f"{_local(settings, deployment)}/finish",
        "context": json.loads(deployment.context),
        "deploy_script": program,
        "path_for_deploy": path,
    }


def _steps_url(settings: Settings, deployment: Deployment) -> str:
    return f"{_local(settings, deployment)}/steps"


def _local(settings: Settings, deployment: Deployment) -> str:
    return f"{settings.effective_local_url}/api/v1/deployments/{deployment.id}"
