"""The kill matrix: every point at which something may die, where it lies in the product, and what comes of a push then.

The child loads this as well, so it needs the standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple


def always(*_: object, **__: object) -> bool:
    """Every call counts."""
    return True


class Point(NamedTuple):
    """A point that a push comes by."""

    name: str
    side: str
    """`before` or `after`: on which side of the function the process stops."""
    where: str
    """The function that is wrapped: `module:name`."""
    ends: Mapping[str, str]
    """Who is killed there, and how the deployment then ends."""
    when: Callable[..., bool] = always
    """Which of its calls count."""


def _has_output(_number: int, progress: Any, *_: object) -> bool:
    return bool(progress.output)


def _is_final(_relay: object, letter: Any, *_: object) -> bool:
    return bool(letter.state == "success")


BOT: Final = {"worker": "success", "master": "success", "group": "success"}
"""Of the bot's own processes any may die: the one that serves, its master, or both at once."""
HOST: Final = {"host": "success"}
"""A reboot: bot, child and script at once, and the next start is of another boot."""
LOST: Final = {"child": "lost", "host": "lost"}
"""The child, which alone knows how its script ends, dies between its claim and its exit record."""

IN_BOT: Final = (
    Point("body half received", "before", "fastdeploy_bot.web.context:raw_body", BOT),
    Point("verified, not stored", "after", "fastdeploy_bot.core.pushes.intake:_receive", BOT),
    Point("stored, not answered", "before", "fastdeploy_bot.web.hooks:_received", BOT),
    Point("answered, not claimed", "before", "fastdeploy_bot.engine.dispatcher:Dispatcher._begin", BOT),
    Point("run folder written, row not running", "before", "fastdeploy_bot.core.deploying.queue:claim", BOT),
    Point("row running, child not started", "before", "fastdeploy_bot.runner.process:start", BOT | HOST),
    Point(
        "in the middle of output",
        "before",
        "fastdeploy_bot.core.deploying.progress:_absorb",
        BOT | LOST | {"reload": "success"},
        _has_output,
    ),
    Point("step received, not committed", "after", "fastdeploy_bot.core.deploying.deployments:_running", BOT),
    Point("ended, not committed", "after", "fastdeploy_bot.core.deploying.deployments:finish", BOT),
    Point("exit record there, not read", "before", "fastdeploy_bot.engine.supervisor:Supervisor._ending", BOT | HOST),
    Point("final, GitHub not told", "before", "fastdeploy_bot.engine.relay:Relay._tell", BOT, _is_final),
    Point("GitHub told, answer not noted", "after", "fastdeploy_bot.engine.relay:Relay._tell", BOT, _is_final),
)
IN_CHILD: Final = (
    Point(
        "child started, not claimed",
        "before",
        "fastdeploy_bot.runner.child:_claim",
        BOT | HOST | {"child": "success"},
    ),
    Point("claimed, not executed", "before", "fastdeploy_bot.runner.launch:launch", BOT | LOST),
    Point(
        "script ended, exit record not written",
        "before",
        "fastdeploy_bot.runner.folder:RunFolder.write_exit",
        BOT | LOST,
    ),
)
IN_SCRIPT: Final = (
    Point(
        "between TERM and KILL",
        "after",
        "the script's own trap",
        dict.fromkeys(BOT, "cancelled") | LOST,
    ),
)
IN_RECOVERY: Final = Point(
    "claimed for nobody, not in its new folder",
    "before",
    "fastdeploy_bot.core.deploying.queue:begin_again",
    {"group": "success"},
)
IN_MIGRATION: Final = Point(
    "in a migration",
    "after",
    "fastdeploy_bot.store.sqlite:SqliteDatabase.execute_sql",
    {"master": "success", "command": "success"},
    lambda _database, sql, *_args, **_named: "CREATE TABLE lease" in sql,
)
ARMED: Final = (*IN_BOT, IN_RECOVERY, IN_MIGRATION)
"""What a process of the bot may come by."""
POINTS: Final = (*IN_BOT, *IN_CHILD, *IN_SCRIPT)
"""What a push comes by."""
