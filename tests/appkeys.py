"""The private key of a GitHub App, made for the tests, in the forms that people have it in."""

from __future__ import annotations

import base64
import ipaddress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
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


def certificate(folder: Path) -> Path:
    """A file with the key and a certificate for localhost and 127.0.0.1 that it signed itself."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key().public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key(), SHA256())
    )
    path = folder / "certificate.pem"
    path.write_text(pem() + signed.public_bytes(Encoding.PEM).decode())
    return path


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
        "pkcs8 with windows newlines": pkcs8.replace("\n", "\r\n"),
        "spaces around it": f"  {text}  \n\t",
        "base64 of windows newlines": base64.b64encode(text.replace("\n", "\r\n").encode()).decode(),
        "base64 with a space behind it": base64.b64encode(text.encode()).decode() + " ",
        "spaces behind each line": text.replace("\n", " \n"),
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
