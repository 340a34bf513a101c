"""Failpoints: where a test stops a process of the bot in order to kill it there. The product knows nothing of them.

A process is armed by wrapping functions of the product. Whoever comes to the point that the test asks for, in the
file `armed` of a folder, says so in the file `reached` and waits until there is a file `go`, as it would in life if
others were killed while it is at it. Once: the next process that comes by goes on.

The child is armed as well, so this needs the standard library only.
"""

from __future__ import annotations

import functools
import importlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from points import Point

LONGEST: Final = 60.0
"""Seconds after which a process that its test forgot goes on."""


def arm(points: Iterable[Point], folder: Path) -> None:
    """Wrap the function of each point, in this process and those that are forked off it."""
    for point in points:
        _wrap(point, folder)


def reach(name: str, folder: Path) -> None:
    """Stop here if it is this point that the test waits for."""
    draft = folder / "reached.new"
    try:
        if (folder / "armed").read_text() != name:
            return
        (folder / "armed").rename(draft)  # for the first one alone
    except FileNotFoundError:
        return
    draft.write_text(str(os.getpid()))
    draft.rename(folder / "reached")
    deadline = time.monotonic() + LONGEST
    while not (folder / "go").exists() and time.monotonic() < deadline:
        time.sleep(0.005)


def _wrap(point: Point, folder: Path) -> None:
    module, _, path = point.where.partition(":")
    *owners, name = path.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **named: Any) -> Any:  # whatever the product's function takes and answers
        if point.side == "before" and point.when(*args, **named):
            reach(point.name, folder)
        answer = original(*args, **named)
        if point.side == "after" and point.when(*args, **named):
            reach(point.name, folder)
        return answer

    setattr(owner, name, wrapped)
