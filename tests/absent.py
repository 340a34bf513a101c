"""What a test needs and a machine may lack: then the test is skipped, and where nothing may be skipped, it fails."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def tell(what: str) -> NoReturn:
    """Skip this test, whose tool is missing; with REQUIRE_ALL_TESTS=1, fail it."""
    if os.environ.get("REQUIRE_ALL_TESTS") == "1":
        pytest.fail(what)
    pytest.skip(what)
