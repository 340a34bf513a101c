"""Packing: pages are sent by gzip to who takes that: a fifth of their size."""

from __future__ import annotations

import gzip
from typing import Final

from flask import Response, request

LEAST: Final = 1_024
"""From how many bytes on a page is packed."""
LEVEL: Final = 6
"""How hard it is tried: one more costs as much as it saves."""


def packed(answer: Response) -> Response:
    """The same answer, by gzip where its reader takes that.

    For pages without a secret that is the same in two answers: their sizes would tell it to who can have them asked for
    with guesses in them, and see how long the answers are.
    """
    answer.vary.add("Accept-Encoding")
    data = b"" if answer.is_streamed or answer.mimetype != "text/html" else answer.get_data()
    if len(data) >= LEAST and request.accept_encodings.quality("gzip") > 0:
        answer.set_data(gzip.compress(data, LEVEL, mtime=0))
        answer.headers["Content-Encoding"] = "gzip"
    return answer
