"""What is started in place of `runner/child.py`: the same, with failpoints.

A test links this file into its folder of failpoints: a child has no environment to be told that folder by.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = Path(__file__).parent

sys.path += [str(HERE), str(HERE.parents[1])]

import failpoints  # noqa: E402 - found by the line above
import points  # noqa: E402 - as before
from fastdeploy_bot.runner import child  # noqa: E402 - as before

if __name__ == "__main__":
    failpoints.arm(points.IN_CHILD, FOLDER)
    child.main()
