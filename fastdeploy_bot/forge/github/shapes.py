"""Shapes: what the values in GitHub's payloads look like. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

T = TypeVar("T")

SHA: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
FULL_NAME: Final = re.compile(r"(?!\.{1,2}/)[A-Za-z0-9._-]{1,100}/(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,100}")
LOGIN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,99})(?:\[bot\])?")
"""With an underscore in it: of an enterprise's own users."""

Sha = Annotated[str, Meta(pattern=rf"\A{SHA.pattern}\Z")]
FullName = Annotated[str, Meta(pattern=rf"\A{FULL_NAME.pattern}\Z")]
Login = Annotated[str, Meta(pattern=rf"\A{LOGIN.pattern}\Z")]
Ref = Annotated[str, Meta(pattern=r"\Arefs/[^\x00-\x1f\x7f-\x9f]+\Z", max_length=1_024)]
Integer = Annotated[int, Meta(ge=0, le=2**63 - 1)]  # what a database column holds
Time = Annotated[datetime, Meta(tz=True)]
Line = Annotated[str, Meta(pattern=r"\A[^\x00-\x1f\x7f-\x9f]*\Z", max_length=1_024)]


def loosely(decoder: msgspec.json.Decoder[T], raw: msgspec.Raw) -> T | None:
    """A field where it has the shape hoped for, else None."""
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
