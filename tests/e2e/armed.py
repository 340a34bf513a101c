"""What gunicorn reads in place of `gunicorn.conf.py`: the product's own configuration, and failpoints.

Environment: FAILPOINTS, the folder by which a test and the processes understand each other.
"""

from __future__ import annotations

import os
from pathlib import Path

import failpoints
import points
from fastdeploy_bot.runner import process
from fastdeploy_bot.serving import *

_folder = Path(os.environ["FAILPOINTS"])
failpoints.arm(points.ARMED, _folder)
process.CHILD = _folder / "child.py"  # type: ignore[misc] # a constant, but for a failpoint
