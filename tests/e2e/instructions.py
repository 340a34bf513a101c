"""What a push costs, in instructions: counted by callgrind, so that no other work of the machine tells.

How many there are depends on the interpreter and its build; how many times what a push cannot do without, hardly does
(docs/decisions/0055). `make instructions` prints what it is now, and `make instructions RENEW=1` keeps it as the figure
that the test holds later ones against.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import msgspec

import absent
from bots import ROOT
from counted import COUNTED

FILE: Final = Path(__file__).with_suffix(".json")
"""The figures that are kept."""
MOST: Final = 1.03
"""Times as much as was kept: another interpreter makes 1.5 % of difference, another run of the same one 0.1 %."""
RENEWAL: Final = "if that is what it is worth, `make instructions RENEW=1` keeps the new figures: commit them"

_MARK: Final = "getpgid"
_COUNT: Final = re.compile(r"^summary: (\d+)$", re.MULTILINE)


class Cost(msgspec.Struct, frozen=True):
    """What one push costs."""

    times: float
    """Its instructions, as times those of an empty Flask view, an HMAC, a JSON document and four rows."""
    statements: int
    """How many statements the database is given."""

    def excess(self, kept: Cost) -> str:
        """In what it costs more than before; empty where it does not."""
        found = []
        if self.times > kept.times * MOST:
            percent = (self.times / kept.times - 1) * 100
            found.append(
                f"{percent:.1f} % more instructions ({self.times:.3f} times the least, {kept.times:.3f} before)"
            )
        if self.statements > kept.statements:
            found.append(f"more statements ({self.statements}, {kept.statements} before)")
        return f"a push costs {' and '.join(found)}; {RENEWAL}" if found else ""


class Count(msgspec.Struct, frozen=True):
    """What was counted, in instructions of one push."""

    least: int
    push: int
    statements: list[str]

    @property
    def cost(self) -> Cost:
        """What is compared."""
        return Cost(times=round(self.push / self.least, 3), statements=len(self.statements))


def require() -> None:
    """Skip a test where callgrind is missing; with REQUIRE_ALL_TESTS=1, fail it."""
    if _valgrind() is None:
        absent.tell("valgrind is absent: apt-get install --no-install-recommends valgrind")


def kept() -> Cost:
    """The figures of the last renewal."""
    return msgspec.json.decode(FILE.read_bytes(), type=Cost)


def keep(cost: Cost) -> None:
    """Let these be the figures from now on."""
    FILE.write_text(json.dumps(msgspec.to_builtins(cost)) + "\n")


def count(folder: Path) -> Count:
    """Count in a process of its own, in an empty folder: half a minute."""
    done = subprocess.run(
        [
            *(_valgrind() or "valgrind", "--quiet", "--tool=callgrind", f"--dump-before={_MARK}"),
            *(f"--callgrind-out-file={folder / 'counts'}", sys.executable),
            *(str(Path(__file__).with_name("counted.py")), str(folder / "home")),
        ],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace"))
    # Between marks: all until the first one, the least, what lies between, the pushes.
    _, least, _, push = (_counted(folder / f"counts.{number}") for number in range(1, 5))
    return Count(least=least // COUNTED, push=push // COUNTED, statements=json.loads(done.stdout))


def _valgrind() -> str | None:
    """Where it is: what is counted has a search path of its own."""
    return shutil.which("valgrind")


def _counted(file: Path) -> int:
    found = _COUNT.search(file.read_text())
    assert found is not None, file
    return int(found[1])


def main(renew: str = "") -> None:
    """Print what a push costs now, and where wished keep it."""
    with tempfile.TemporaryDirectory() as folder:
        found = count(Path(folder))
    before = kept()
    print(f"instructions  {found.push:,} a push, {found.least:,} at least")
    print(f"times         {found.cost.times:.3f} ({before.times:.3f} is kept)")
    print(f"statements    {found.cost.statements} ({before.statements} are kept)")
    if renew:
        keep(found.cost)


if __name__ == "__main__":
    main(*sys.argv[1:])
