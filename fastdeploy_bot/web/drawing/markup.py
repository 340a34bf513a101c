"""Markup: XML for other programs, made as a tree and never of pasted text. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

_UNFIT: Final = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
"""What XML forbids or discourages, and what turns the direction of what follows.

Source: https://www.w3.org/TR/xml/#charsets
"""


def element(
    name: str, text: str | None = None, attributes: Mapping[str, str] | None = None, children: Iterable[Element] = ()
) -> Element:
    """An element with that text; what XML cannot hold is replaced."""
    made = Element(name, {key: fit(value) for key, value in (attributes or {}).items()})
    made.text = fit(text) if text else None
    made.extend(children)
    return made


def fit(text: str) -> str:
    """The text as XML can hold it, and as any reader shows it."""
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)


def document(root: Element) -> bytes:
    """A document of that element."""
    told: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return told
