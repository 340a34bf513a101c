"""How long a commit takes to be checked out, the first time and again. Run by `make figures`.

A repository of 100 MB, in a thousand files that cannot be packed, served by `git http-backend`. Each tree is made in a
folder of the disk that is measured, and is taken away before the next. It prints figures, with `cp -r` of such a tree
for comparison, and judges nothing: the disk decides. `python -m bench.figures.checkouts /dev/shm` for another place.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import githttp
from bench import runs
from fastdeploy_bot.runner.checkout import Mirrors
from fastdeploy_bot.runner.mirror import Wanted

FILES: Final = 1_000
BYTES: Final = 100_000
TIMES: Final = 10
REPOSITORY: Final = "octo-org/shop"


def main(place: str | None = None) -> None:
    """Make the repository, check it out again and again, and print."""
    with tempfile.TemporaryDirectory(dir=place) as name, githttp.serving(Path(name) / "forge") as host:
        folder = Path(name)
        shop = host.repository(REPOSITORY)
        sha = shop.commit({f"part{number // 100}/{number}.bin": os.urandom(BYTES) for number in range(FILES)})
        wanted = Wanted(host.url, REPOSITORY, sha)
        mirrors = Mirrors(folder / "mirrors", limit=1 << 30)
        tree = folder / "tree"

        def check_out() -> None:
            mirrors.check_out(wanted, tree, None, lambda: None)

        print(f"first checkout, with the fetch  {_took(check_out, tree):.2f} s")
        again = [_took(check_out, tree) for _ in range(TIMES)]
        print(f"checkout again                  {_shown(again)}")
        check_out()
        copies = [_took(lambda: shutil.copytree(tree, folder / "copy"), folder / "copy") for _ in range(TIMES)]
        print(f"a copy of that tree             {_shown(copies)}")


def _took(make: Callable[[], object], tree: Path) -> float:
    """Seconds until a tree was made; it is gone afterwards."""
    began = time.monotonic()
    make()
    seconds = time.monotonic() - began
    shutil.rmtree(tree)
    return seconds


def _shown(seconds: list[float]) -> str:
    return f"p50 {statistics.median(seconds):.2f} s   least {min(seconds):.2f} s   most {max(seconds):.2f} s"


if __name__ == "__main__":
    runs.end_when_told()
    main(*sys.argv[1:])
