"""axe-core, an independent judge of accessibility: from npm, as `make npm` puts it there."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

import absent
import octokit

SCRIPT = "axe-core/axe.min.js"


def require() -> None:
    """Skip a test where it is missing; with REQUIRE_ALL_TESTS=1, fail it."""
    if not _path().exists():
        absent.tell(f"axe-core is not in {_path().parent}: run `make npm`")


def violations(page: Page) -> list[str]:
    """What it finds wrong with the page as it is shown now, by all of its rules: one line a finding."""
    page.evaluate(_source())
    found: list[dict[str, Any]] = page.evaluate(  # Any: axe-core's own shapes
        "async () => (await axe.run(document, { resultTypes: ['violations'] })).violations"
    )
    return [f"{each['id']}: {each['help']}: {_where(node)}" for each in found for node in each["nodes"]]


def _where(node: dict[str, Any]) -> str:
    return f"{' '.join(map(str, node['target']))} {node['html'][:200]} {node['failureSummary'][:300]}"


@cache
def _source() -> str:
    return _path().read_text("utf-8")


def _path() -> Path:
    return Path(os.environ.get("TEST_NPM") or octokit.DEFAULT) / SCRIPT
