"""What holds for every test."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest

# A loaded machine may take its time; pytest-timeout ends what hangs.
hypothesis.settings.register_profile("fastdeploy", deadline=None)
hypothesis.settings.load_profile("fastdeploy")


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """Tests see no setting of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name == "PORT" or name.startswith("FASTDEPLOY_"):
                patch.delenv(name)
        yield
