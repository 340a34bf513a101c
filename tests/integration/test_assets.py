"""Assets: the stylesheet and the script, kept by browsers until they change."""

from __future__ import annotations

import gzip

import pytest
from flask import Flask
from flask.testing import FlaskClient

from fastdeploy_bot.web import assets
from fastdeploy_bot.web.drawing import colours

KIB = 1_024


def source(name: str) -> bytes:
    """The file without the lines that are comments alone."""
    lines = (assets.FOLDER / name).read_bytes().splitlines(keepends=True)
    return b"".join(line for line in lines if not line.lstrip().startswith(b"//"))


def address(app: Flask, name: str) -> str:
    """Where pages look for the file."""
    with app.test_request_context():
        return assets.address(name)


@pytest.mark.parametrize(("name", "kind"), [("fastdeploy.css", "text/css"), ("fastdeploy.js", "text/javascript")])
def test_a_file_is_kept_for_a_year_at_the_address_of_its_content(
    app: Flask, client: FlaskClient, name: str, kind: str
) -> None:
    """The right type, and never asked for again until the address changes."""
    answer = client.get(address(app, name))

    assert (200, kind) == (answer.status_code, answer.mimetype)
    assert "public, max-age=31536000, immutable" == answer.headers["Cache-Control"]
    assert source(name) == answer.data


def test_a_file_of_another_version_is_not_kept(client: FlaskClient) -> None:
    """While a bot is replaced, a page may ask for what the other version had."""
    answer = client.get("/static/0123456789abcdef/fastdeploy.css")

    assert (200, "no-cache") == (answer.status_code, answer.headers["Cache-Control"])


@pytest.mark.parametrize("name", ["..%2Fapp.py", "other.css", "%2e%2e"])
def test_nothing_else_is_served(client: FlaskClient, name: str) -> None:
    """The names are a list, not a folder."""
    assert 404 == client.get(f"/static/0/{name}").status_code


def test_the_colours_of_logs_are_a_file_like_the_others(app: Flask, client: FlaskClient) -> None:
    """It is made from numbers, and kept until they change."""
    answer = client.get(address(app, "ansi.css"), headers={"Accept-Encoding": "gzip"})

    assert "public, max-age=31536000, immutable" == answer.headers["Cache-Control"]
    assert colours.stylesheet() == gzip.decompress(answer.data).decode()
    assert len(answer.data) <= 6 * KIB


@pytest.mark.parametrize(("name", "most"), [("fastdeploy.css", 6 * KIB), ("fastdeploy.js", 8 * KIB)])
def test_a_file_keeps_to_its_budget(app: Flask, client: FlaskClient, name: str, most: int) -> None:
    """Compressed for whoever takes that."""
    answer = client.get(address(app, name), headers={"Accept-Encoding": "gzip"})

    assert "gzip" == answer.headers["Content-Encoding"]
    assert source(name) == gzip.decompress(answer.data)
    assert len(answer.data) <= most
