"""What several unit tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastdeploy_bot.runner.folder import RunFolder


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A new run folder, on disk."""
    made = RunFolder(str(tmp_path / "runs" / "7-0badcafe"))
    made.create(7)
    return made
