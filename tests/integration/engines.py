"""An engine for the tests: dispatchers that tick when a test says so, over real scripts and real rows."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import deployments, services
from fastdeploy_bot.core.deploying.deployments import Order
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.core.output import logs
from fastdeploy_bot.engine.dispatcher import NEXT, Dispatcher
from fastdeploy_bot.runner.folder import RunFolder
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Deployment, Step
from fastdeploy_bot.words import DeploymentState, Origin, Principal, PrincipalKind, Role
from runs import clear, eventually

HOST = "this-host"
ANNA = Principal(PrincipalKind.USER, "anna", role=Role.DEPLOYER)


class Bot:
    """A bot without its web: service files, a database, and dispatchers that tick when a test says so."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home, secret_key="k" * 64, kill_grace=1.0)
        self.catalogue = Catalogue(self.settings.services_dir)
        self.settings.services_dir.mkdir()
        self.settings.runs_dir.mkdir()
        self.dispatchers: list[Dispatcher] = []

    def service(self, name: str, script: str, **keys: Any) -> Path:
        """Write a service with that deploy script; answers its folder."""
        folder = self.settings.services_dir / name
        folder.mkdir(exist_ok=True)
        lines = {"repository": "octo-org/shop", **keys}
        told = "".join(f"{key} = {msgspec.json.encode(value).decode()}\n" for key, value in lines.items())
        (folder / "service.toml").write_text(told)
        (folder / "deploy.sh").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "deploy.sh").chmod(0o755)
        services.sync(self.catalogue.entries(), now=clock.now())
        return folder

    def order(self, name: str) -> int:
        """Queue a deployment of the service; answers its id."""
        order = Order(
            origin=Origin.MANUAL, sha="1" * 40, ref="refs/heads/main", repository="octo-org/shop", actor="anna"
        )
        return store.write(lambda: deployments.queue(services.find(name), order, now=clock.now())).id

    def dispatcher(self, **changes: Any) -> Dispatcher:
        """One more engine's dispatcher, of the same host."""
        settings = msgspec.structs.replace(self.settings, **changes)
        made = Dispatcher(settings, self.catalogue, Bell(settings.bell_dir), HOST)
        self.dispatchers.append(made)
        return made

    def frugal(self, log_limit: int) -> Settings:
        """The bot's settings, with that `log_limit`."""
        return msgspec.structs.replace(self.settings, log_limit=log_limit)

    def until(self, dispatcher: Dispatcher, number: int, *states: DeploymentState) -> Deployment:
        """Tick until the deployment is in one of the states, at first: until it has ended."""

        def there() -> Deployment | None:
            dispatcher.tick(now=clock.now())
            row = deployments.find(number)
            state = DeploymentState(row.state)
            return row if (state in states if states else state.final) else None

        return eventually(there, f"deployment {number}")

    def stop(self, dispatcher: Dispatcher) -> None:
        """Let a dispatcher go of its runs, as at the end of its process."""
        dispatcher.stopping.set()
        for thread in threading.enumerate():
            if thread.name.startswith("run "):
                thread.join()

    def folder(self, number: int) -> RunFolder:
        """The deployment's run folder."""
        return RunFolder(str(self.settings.runs_dir / str(deployments.find(number).run)))

    def folders(self) -> list[str]:
        """What stands in the folder of the runs, but for what waits for the next one."""
        return [name for name in os.listdir(self.settings.runs_dir) if not name.startswith(NEXT)]

    def log(self, number: int) -> bytes:
        """The log in rows."""
        return logs.read(number).data

    def steps(self, number: int) -> list[tuple[str, str]]:
        """Names and states of the steps in rows."""
        return [
            (step.name, step.state) for step in Step.select().where(Step.deployment == number).order_by(Step.position)
        ]

    def clear(self) -> None:
        """End all dispatchers and all that they started."""
        for dispatcher in self.dispatchers:
            self.stop(dispatcher)
        clear([RunFolder(str(path)) for path in self.settings.runs_dir.iterdir()])


def bot(home: Path) -> Iterator[Bot]:
    """For fixtures: a bot over the database in use, all of whose runs are ended at the end."""
    made = Bot(home)
    yield made
    made.clear()


def pid_of_child(folder: RunFolder) -> int:
    """The child's process id, as soon as it has claimed the run."""
    pid = eventually(lambda: (folder.claimed() or {}).get("pid"), "the claim")
    assert isinstance(pid, int)
    return pid


def waits_for(path: Path) -> str:
    """A shell command that ends when the file is there."""
    return f"until [ -e {path} ]; do sleep 0.02; done"


def says(name: str, state: str) -> str:
    """A shell command that tells a step by file."""
    return f"""echo '{{"name": "{name}", "state": "{state}"}}' >> $FASTDEPLOY_STEPS_FILE"""


def no_space(*_: object) -> None:
    """What a disk says that is full."""
    raise OSError(28, "No space left on device")
