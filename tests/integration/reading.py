"""Reading pages as people do, and counting what that costs the database."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from jinja2.bccache import Bucket, BytecodeCache
from peewee import Database

from callers import Browser
from fastdeploy_bot.store.models import proxy


class Translated(BytecodeCache):
    """Templates as Python, kept while the tests run."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Fill a bucket with what is kept, unless the template has changed since."""
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a bucket's."""
        self._kept[bucket.key] = bucket.bytecode_to_string()


def text(browser: Browser, path: str, place: str = "<main") -> str:
    """What is read of a page from that place on, without its tags."""
    answer = browser.get(path)
    assert 200 == answer.status_code, answer.text
    assert place in answer.text, f"no {place} on {path}"
    body = re.sub(r"<[^>]*>", "", answer.text.partition(place)[2].partition(">")[2])
    return " ".join(html.unescape(body).split())


def nonce(browser: Browser, path: str, action: str, *, field: str = "nonce") -> str:
    """The number that the form for that action carries on that page, or another of its fields."""
    form = browser.get(path).text.partition(f'action="{action}"')[2]
    found = re.search(rf'name="{field}" value="([^"]+)"', form)
    assert found, f"no form for {action} on {path}"
    return found[1]


@contextmanager
def queries() -> Iterator[list[str]]:
    """Every statement that is executed meanwhile."""
    database: Database = proxy.obj
    seen: list[str] = []
    original: Callable[..., Any] = database.execute_sql

    def noted(sql: str, *arguments: Any, **options: Any) -> Any:  # peewee's own signature
        seen.append(sql)
        return original(sql, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "execute_sql", noted)
        yield seen
