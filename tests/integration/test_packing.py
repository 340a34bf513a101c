"""Pages by gzip, and form tokens that no size tells."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable

import pytest
from flask import Flask

from callers import Browser, without_tokens

PACKED = {"Accept-Encoding": "br, gzip"}


@pytest.fixture
def reader(app: Flask, scene: dict[str, int]) -> Browser:
    """Somebody who may deploy, where there is something to see."""
    assert scene
    return Browser(app).signed_in("deployer")


@pytest.mark.parametrize("path", ["/", "/services/shop", "/deliveries"])
def test_a_page_is_packed_for_who_takes_that(reader: Browser, path: str) -> None:
    """And says to caches between that it depends on it."""
    plain, packed = reader.get(path), reader.get(path, headers=PACKED)

    assert ("gzip", "Accept-Encoding") == (packed.headers["Content-Encoding"], packed.headers["Vary"])
    assert str(len(packed.data)) == packed.headers["Content-Length"]
    assert _lasting(plain.text) == _lasting(gzip.decompress(packed.data).decode())
    assert len(packed.data) < len(plain.data) / 3


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0"])
def test_who_takes_no_gzip_gets_none(reader: Browser, accepted: str) -> None:
    """The answer is the same otherwise."""
    answer = reader.get("/", headers={"Accept-Encoding": accepted})

    assert "Content-Encoding" not in answer.headers
    assert "</html>" in answer.text


def test_regions_are_packed_too(reader: Browser) -> None:
    """What an open page asks for again; nothing where it has that already."""
    asks = {"Live-Regions": "user", "Live-Since": "0"} | PACKED
    answer = reader.get("/", headers=asks)

    again = reader.get("/", headers=asks | {"If-None-Match": answer.headers["ETag"]})

    assert "shop" in gzip.decompress(answer.data).decode()
    assert (304, b"") == (again.status_code, again.data)


@pytest.mark.parametrize("path", ["/settings/account", "/login"])
def test_a_page_with_other_secrets_is_sent_as_it_is(reader: Browser, path: str) -> None:
    """Sizes of what is packed would tell them, guess by guess."""
    answer = reader.get(path, headers=PACKED)

    assert "Content-Encoding" not in answer.headers


def test_a_form_token_is_another_one_in_each_answer(reader: Browser) -> None:
    """From its first digit to its last; each of them is taken, also after the others."""
    pages = [reader.get("/").text for _ in range(2)]
    first, second = (set(re.findall(r'name="form_token" value="([0-9a-f]+)"', page)) for page in pages)

    assert (1, 1) == (len(first), len(second))
    (one,), (other,) = first, second
    assert 8 > sum(a == b for a, b in zip(one[:16], other[:16], strict=True))
    assert 24 > sum(a == b for a, b in zip(one[16:], other[16:], strict=True))
    sent = [reader.post("/theme", theme="dark", back="/", form_token=token) for token in (other, one, one)]
    assert [303, 303, 303] == [answer.status_code for answer in sent]


@pytest.mark.parametrize("spoil", [lambda it: it[1:], lambda it: "0" * 16 + it[16:], lambda it: it[:16], lambda _: ""])
def test_a_form_token_that_was_not_given_is_refused(reader: Browser, spoil: Callable[[str], str]) -> None:
    """Nor does another salt make it one."""
    token = reader.form_token("/theme")

    answer = reader.post("/theme", theme="dark", back="/", form_token=spoil(token))

    assert 403 == answer.status_code


def _lasting(page: str) -> str:
    """What is the same in two answers: no token, no age."""
    return re.sub(r"\d+(\.\d+)?", "0", without_tokens(page))
