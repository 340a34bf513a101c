"""Following a deployment to its end: its steps, or its output. A bot that is away for a while is waited for."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Generator
from typing import Final, TypeVar

import click

from fastdeploy_bot.cli import printing
from fastdeploy_bot.cli.bot import Bot
from fastdeploy_bot.core.output.logs import Excerpt
from fastdeploy_bot.core.telling.views import DeploymentView
from fastdeploy_bot.errors import Unavailable
from fastdeploy_bot.words import DeploymentState

T = TypeVar("T")

LOOK_SECONDS: Final = 0.25
SETTLE_SECONDS: Final = 0.05
"""Between two looks at least: news come in bursts."""
PATIENCE: Final = 120.0
"""Seconds for which a bot that was there may be away: it restarts, or its host does."""
AGAIN_SECONDS: Final = 1.0

_CLEAR: Final = "\r\x1b[K"


class Telling:
    """Tells of a deployment line by line: each step when it begins, and when it ends."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def show(self, view: DeploymentView) -> None:
        """Tell what is new."""
        if view.state == DeploymentState.WAITING and (view.reason, view.state) not in self._told:
            self._told.add((view.reason, view.state))
            click.echo(f"  {printing.marked(view.state, f'waiting · {view.reason}')}")
        self._tell_steps(view, but=("pending",))

    def tick(self) -> None:
        """Nothing is new, but time has passed."""

    def end(self, view: DeploymentView) -> None:
        """Tell how it ended, how long that took, and where its page is."""
        took = printing.between(view.started, view.finished)
        click.echo(printing.line(view) + (f" · took {took}" if took else ""))
        printing.say(f"  {view.url}")

    def _tell_steps(self, view: DeploymentView, *, but: tuple[str, ...]) -> None:
        for step in view.steps:
            if step.state not in but and (step.name, step.state) not in self._told:
                self._told.add((step.name, step.state))
                click.echo(printing.step_line(step))


class Rewriting(Telling):
    """Tells of a deployment on a terminal: a line per step, that of the running one written anew as time passes."""

    def __init__(self) -> None:
        super().__init__()
        self._view: DeploymentView | None = None
        self._seen = 0.0
        self._running: str | None = None
        self._since = 0.0

    def show(self, view: DeploymentView) -> None:
        """Tell which steps have ended, and how far it is."""
        self._view, self._seen = view, time.monotonic()
        running = next((step.name for step in view.steps if step.state == "running"), str(view.state))
        if running != self._running:
            self._running, self._since = running, self._seen
        click.echo(_CLEAR, nl=False)
        self._tell_steps(view, but=("pending", "running"))
        self.tick()

    def tick(self) -> None:
        """Write the last line anew."""
        if self._view is None:
            return
        text = printing.fitting(printing.clean(self._live(self._view)), printing.columns() - 5)
        click.echo(f"{_CLEAR}  {printing.marked(self._view.state, text)}", nl=False)
        sys.stdout.flush()

    def end(self, view: DeploymentView) -> None:
        """Tell how it ended, in place of the last line."""
        click.echo(_CLEAR, nl=False)
        super().end(view)

    def _live(self, view: DeploymentView) -> str:
        now = time.monotonic()
        passed = f"{self._running} {printing.duration(now - self._since)}"
        if view.state == DeploymentState.WAITING:
            return f"{passed} · {view.reason}"
        if view.longer:
            return f"{passed} · longer than usual"
        if view.eta is None:
            return passed
        left = view.eta - (now - self._seen)
        return f"{passed} · " + (f"≈ {printing.duration(left)} left" if left >= 1 else "about to end")


class Silent(Telling):
    """Tells nothing: what comes in the end is JSON."""

    def show(self, view: DeploymentView) -> None:
        """Nothing."""

    def end(self, view: DeploymentView) -> None:
        """Nothing."""


def steps(bot: Bot, number: int, *, quiet: bool = False) -> DeploymentView:
    """Tell of a deployment until it has ended; answers how it did. Raises Unavailable where the bot stays away."""
    telling = Silent() if quiet else Rewriting() if printing.rewrites() else Telling()
    with contextlib.closing(_looks(bot, number, lambda: bot.deployment(number))) as looks:
        for view in looks:
            if view is None:
                telling.tick()
                continue
            telling.show(view)
            if DeploymentState(view.state).final:
                telling.end(view)
                return view
    raise AssertionError("looks go on until the end")


def output(bot: Bot, number: int, *, begin: int = 0) -> None:
    """Print a deployment's output from a byte on until it has ended: each byte once.

    Raises Unavailable where the bot stays away.
    """
    end = begin

    def look() -> tuple[bool, Excerpt]:
        over = DeploymentState(bot.deployment(number).state).final  # asked first: nothing is printed after the end
        return over, bot.log(number, end)

    with contextlib.closing(_looks(bot, number, look)) as looks:
        for seen in looks:
            if seen is None:
                continue
            over, excerpt = seen
            write(excerpt, end)
            end = excerpt.end
            if over:
                return


def write(excerpt: Excerpt, offset: int) -> None:
    """Print output as it is; that some of it from `offset` on was not kept is said on standard error."""
    if excerpt.gap is not None and offset < excerpt.gap[0]:
        # Where the gap begins is where the bytes go on after it.
        head = excerpt.gap[0] - offset
        _write(excerpt.data[:head])
        printing.warn(f"bytes {excerpt.gap[0]} to {excerpt.gap[1]} were not kept")
        _write(excerpt.data[head:])
    elif excerpt.gap is not None:
        printing.warn(f"bytes {offset} to {excerpt.gap[1]} were not kept")
        _write(excerpt.data)
    else:
        _write(excerpt.data)


class _Patience:
    """Lets a bot that was there be away for a while."""

    def __init__(self) -> None:
        self._away_since: float | None = None

    def of(self, look: Callable[[], T]) -> T | None:
        """What `look` sees; None while the bot is away. Raises Unavailable once that has taken too long."""
        try:
            seen = look()
        except Unavailable as error:
            now = time.monotonic()
            if self._away_since is None:
                self._away_since = now
                printing.warn(f"{error}; trying again for {printing.duration(PATIENCE)}")
            if now - self._away_since >= PATIENCE:
                raise
            time.sleep(AGAIN_SECONDS)
            return None
        self._away_since = None
        return seen


def _looks(bot: Bot, number: int, look: Callable[[], T]) -> Generator[T | None]:
    """What `look` sees, whenever there is news; None while there is none, or the bot is away."""
    patience = _Patience()
    with bot.listen(number) as ears:
        while True:
            seen = patience.of(look)
            yield seen
            time.sleep(SETTLE_SECONDS)
            while not ears.wait(LOOK_SECONDS):
                yield None


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.flush()
