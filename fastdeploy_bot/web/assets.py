"""Assets: the page's stylesheet and script, at addresses that change with their content, so that browsers keep them."""

from __future__ import annotations

import gzip
import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec
from flask import Blueprint, Flask, Response, request, url_for
from flask.typing import ResponseReturnValue

from fastdeploy_bot.errors import NotFound
from fastdeploy_bot.web.drawing import colours

bp = Blueprint("assets", __name__)

FOLDER: Final = Path(__file__).parents[1] / "static"
TYPES: Final = {
    "fastdeploy.css": "text/css; charset=utf-8",
    "ansi.css": "text/css; charset=utf-8",
    "fastdeploy.js": "text/javascript; charset=utf-8",
}
"""Every file that is served, and what it is."""
_COMMENT_LINES: Final = re.compile(rb"^[ \t]*//.*\n", re.MULTILINE)
"""What a script says to those who read its source alone: a tenth of it, which browsers need not fetch."""
FOREVER: Final = "public, max-age=31536000, immutable"
ANEW: Final = "no-cache"
"""For an address of another version: whatever a page of that version gets must not stay."""


class Asset(msgspec.Struct, frozen=True):
    """A file as it is served."""

    data: bytes
    packed: bytes
    """The same by gzip."""
    digest: str


def register(app: Flask) -> None:
    """Let templates name an asset by its file, `asset("fastdeploy.css")`, and all of them, `version()`."""
    app.jinja_env.globals.update(asset=address, version=version)


def address(name: str) -> str:
    """Where the file is, as it is now."""
    return url_for("assets.show", digest=_asset(name).digest, name=name)


@lru_cache
def version() -> str:
    """Which stylesheet and script there are: another word for each that is not quite the same."""
    return hashlib.sha256("".join(_asset(name).digest for name in TYPES).encode()).hexdigest()[:12]


@bp.get("/static/<digest>/<name>")
def show(digest: str, name: str) -> ResponseReturnValue:
    """The stylesheet or the script."""
    if name not in TYPES:
        raise NotFound(f"there is no asset {name!r}")
    asset = _asset(name)
    packed = request.accept_encodings.quality("gzip") > 0
    answer = Response(asset.packed if packed else asset.data, content_type=TYPES[name])
    answer.headers["Cache-Control"] = FOREVER if digest == asset.digest else ANEW
    answer.headers["Vary"] = "Accept-Encoding"
    if packed:
        answer.headers["Content-Encoding"] = "gzip"
    return answer


@lru_cache
def _asset(name: str) -> Asset:
    data = colours.stylesheet().encode() if name == "ansi.css" else (FOLDER / name).read_bytes()
    if name.endswith(".js"):
        data = _COMMENT_LINES.sub(b"", data)
    return Asset(data, gzip.compress(data, mtime=0), hashlib.sha256(data).hexdigest()[:16])
