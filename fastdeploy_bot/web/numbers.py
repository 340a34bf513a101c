"""Numbers: ids and counts as they stand in addresses, headers and forms."""

from __future__ import annotations

from fastdeploy_bot.web.operations import NEWEST


def read(text: str) -> int | None:
    """The number that a text is, up to the largest id that a row can have; None where it is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(NEWEST))):
        return None
    number = int(text)
    return number if number <= NEWEST else None
