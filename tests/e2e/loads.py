"""Many webhooks at once, on connections that stay open, from one thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bots import signature
from fastdeploy_bot.forge.github import payloads


class Answered(NamedTuple):
    """What came back."""

    status: int
    body: bytes
    seconds: float


def pushed(service: int, turn: int) -> bytes:
    """The body of the push number `turn` to the repository `octo-org/s<service>`, whose commits form one chain."""
    return payloads.push_document(
        repository=f"octo-org/s{service}",
        repository_id=1_000 + service,
        before=commit(service, turn),
        after=commit(service, turn + 1),
        pushed_at=1_700_000_000 + turn,
        title="Mend the shop",
        actor="octocat",
    )


def commit(service: int, turn: int) -> str:
    """The sha before that push."""
    return f"{service + 1:08x}{turn:032x}"


def request(body: bytes, *, secret: str, guid: str) -> bytes:
    """A signed push as it goes over the wire."""
    head = (
        "POST /webhooks/github HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        "X-GitHub-Event: push",
        f"X-GitHub-Delivery: {guid}",
        f"X-Hub-Signature-256: {signature(secret, body)}",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join([*head, "", ""]).encode() + body


def send(port: int, requests: Iterable[bytes], *, connections: int) -> list[Answered]:
    """Send all of them, so many at a time; answers what came back, in the order of the answers."""
    answers: list[Answered] = []
    asyncio.run(_send_all(port, iter(requests), connections, answers))
    return answers


async def _send_all(port: int, requests: Iterator[bytes], connections: int, answers: list[Answered]) -> None:
    await asyncio.gather(*(_send(port, requests, answers) for _ in range(connections)))


async def _send(port: int, requests: Iterator[bytes], answers: list[Answered]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for each in requests:
        began = time.perf_counter()
        writer.write(each)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        body = await reader.readexactly(_length(head))
        answers.append(Answered(int(head.split(maxsplit=2)[1]), body, time.perf_counter() - began))
        if b"connection: close" in head:
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


def _length(head: bytes) -> int:
    lines = head.split(b"\r\n")
    return next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
