"""The private key of a GitHub App, made for the tests, in the forms that people have it in."""

from __future__ import annotations

import base64
from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)


@cache
def key() -> rsa.RSAPrivateKey:
    """The key; the same one each time."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=2048)


def pem() -> str:
    """The key's text, as GitHub gives it out."""
    return key().private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


def forms() -> dict[str, str]:
    """One key in every form that is taken."""
    text = pem()
    escaped = text.replace("\n", "\\n")
    pkcs8 = key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {
        "newlines": text,
        "no newline at the end": text.rstrip("\n"),
        "windows newlines": text.replace("\n", "\r\n"),
        "escaped newlines": escaped,
        "escaped windows newlines": text.replace("\n", "\\r\\n"),
        "base64": base64.b64encode(text.encode()).decode(),
        "base64 in lines": base64.encodebytes(text.encode()).decode(),
        "base64 of escaped newlines": base64.b64encode(escaped.encode()).decode(),
        "pkcs8": pkcs8,
    }


def wrong() -> dict[str, str]:
    """What is no such key, each with the word `hunter2` or key material in it."""
    locked = key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2")).decode()
    curve = ec.generate_private_key(ec.SECP256R1())
    public = key().public_key()
    return {
        "a word": "hunter2",
        "base64 of a word": base64.b64encode(b"hunter2").decode(),
        "base64 of bytes": base64.b64encode(bytes(range(256))).decode(),
        "half a key": pem()[: len(pem()) // 2],
        "an empty key": "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----\n",
        "with a password": locked,
        "of another kind": curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "a public key": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        "not ASCII": "-----BEGIN RSA PRIVATE KEY-----\nhunter2 é\n-----END RSA PRIVATE KEY-----\n",
    }
