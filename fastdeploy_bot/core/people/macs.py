"""MACs: what shows that a text which comes back from outside was made by this bot, for that purpose."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable


def mac(purpose: str, text: str, secret_key: str) -> str:
    """The text's, in hex digits; that of another purpose is another one."""
    key = hmac.digest(secret_key.encode(), f"fastdeploy {purpose}".encode(), hashlib.sha256)
    return hmac.digest(key, text.encode(errors="replace"), hashlib.sha256).hex()


def is_genuine(given: str, purpose: str, text: str, keys: Iterable[str]) -> bool:
    """Whether the MAC is the text's by any of these keys."""
    return any(hmac.compare_digest(mac(purpose, text, key).encode(), given.encode(errors="replace")) for key in keys)
