"""The log: a deployment's output in rows, each byte numbered by its place in the whole stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final, cast

import msgspec
from peewee import ModelSelect, fn

from fastdeploy_bot import store
from fastdeploy_bot.store.models import LogChunk

CHUNK: Final = 64 * 1024

Mark = tuple[int, int]
"""An offset, and the Unix milliseconds at which the bytes from there on were written, up to the next mark's."""


class Excerpt(msgspec.Struct, frozen=True):
    """What is kept of a log from some offset on."""

    data: bytes
    end: int
    """The offset after the last byte kept."""
    gap: tuple[int, int] | None
    """The bytes from the first offset to before the second were not kept."""


def append(deployment: int, offset: int, data: bytes, *, limit: int, times: Sequence[Mark] = ()) -> None:
    """Keep output whose first byte has that offset, and drop from the middle what is over `limit` bytes.

    At most `limit` bytes are kept: the first half of it, and of the other half at least seven eighths. The times are in
    order; the first may be of bytes that came before. To be called inside a write. Bytes that are kept already are
    passed over.
    """
    known = end(deployment)
    data, offset = data[max(0, known - offset) :], max(offset, known)
    if not data:
        return
    head = limit // 2
    tail = max(head, offset + len(data) - (limit - head))
    _forget(deployment, head, tail)
    for place, piece in _pieces(data, offset, head, tail, (limit - head) // 8):
        told = msgspec.json.encode(_within(times, place, place + len(piece))).decode()
        LogChunk.insert(deployment=deployment, offset=place, data=piece, times=told).execute()


def end(deployment: int) -> int:
    """The offset after the last byte kept."""
    last = _extents(deployment).order_by(LogChunk.offset.desc()).limit(1)
    return sum(next(iter(_pairs(last)), (0, 0)))


def marks(deployment: int, offset: int = 0) -> list[Mark]:
    """When which byte of what is kept from `offset` on was written: in order, each with another time than that before.

    Of bytes before the first mark nobody noted the time; it is empty for output of earlier versions of the bot.
    """
    kept = (LogChunk.deployment == deployment) & (LogChunk.offset > offset - CHUNK)
    rows = LogChunk.select(LogChunk.offset, LogChunk.times).where(kept)
    chunks = store.read(lambda: _pairs(rows.order_by(LogChunk.offset)))
    found = [mark for _, times in chunks for mark in msgspec.json.decode(times, type=list[Mark])]
    return [next(same) for _, same in groupby(found, key=lambda mark: mark[1])]


def tail(deployment: int, length: int) -> bytes:
    """The last bytes kept, so many at most."""
    return _read(deployment, max(0, end(deployment) - length)).data


def grown(chunk: int | None) -> tuple[int, set[int]]:
    """The newest chunk's id, and which deployments have chunks newer than that one; none where it is None."""
    newest = LogChunk.select(fn.MAX(LogChunk.id)).scalar() or 0
    if chunk is None or chunk >= newest:
        return newest, set()
    rows = LogChunk.select(LogChunk.deployment).where(LogChunk.id > chunk, LogChunk.id <= newest).distinct()
    return newest, {row.deployment_id for row in rows}


def read(deployment: int, offset: int = 0) -> Excerpt:
    """What is kept from `offset` on; an offset inside the gap is answered from the gap's end."""
    return store.read(lambda: _read(deployment, offset))


def _read(deployment: int, offset: int) -> Excerpt:
    gap = _gap(deployment)
    chunks = (
        LogChunk.select(LogChunk.offset, LogChunk.data)
        .where(LogChunk.deployment == deployment, LogChunk.offset > offset - CHUNK)
        .order_by(LogChunk.offset)
    )
    data = b"".join(bytes(chunk)[max(0, offset - start) :] for start, chunk in _pairs(chunks))
    return Excerpt(data, end(deployment), gap if gap is not None and offset < gap[1] else None)


def _gap(deployment: int) -> tuple[int, int] | None:
    extents = _pairs(_extents(deployment).order_by(LogChunk.offset))
    ends = [start + length for start, length in extents]
    holes = ((before, start) for before, (start, _) in zip([0, *ends], extents, strict=False) if before < start)
    return next(holes, None)


def _extents(deployment: int) -> ModelSelect[LogChunk]:
    return LogChunk.select(LogChunk.offset, fn.LENGTH(LogChunk.data)).where(LogChunk.deployment == deployment)


def _pairs(query: ModelSelect[LogChunk]) -> list[tuple[int, Any]]:
    """The query's rows, each as its two columns: peewee's own types know only models."""
    return cast("list[tuple[int, Any]]", list(query.tuples()))


def _within(times: Sequence[Mark], start: int, end: int) -> list[Mark]:
    """The times of the bytes from the first offset to before the second: the first is of the first byte, if known."""
    before = [at for place, at in times if place <= start][-1:]
    return [(start, at) for at in before] + [(place, at) for place, at in times if start < place < end]


def _pieces(data: bytes, offset: int, head: int, tail: int, size: int) -> Iterator[tuple[int, bytes]]:
    """What is kept of the data, in chunks, each with its place; behind the head they have that size at most.

    A chunk goes as a whole once the tail begins behind its first byte.
    """
    end = offset + len(data)
    for start, stop, step in ((offset, min(head, end), CHUNK), (max(offset, tail), end, max(1, min(CHUNK, size)))):
        for place in range(start, stop, step):
            yield place, data[place - offset : min(place + step, stop) - offset]


def _forget(deployment: int, head: int, tail: int) -> None:
    """Drop the chunks that begin between the head and the tail."""
    LogChunk.delete().where(
        LogChunk.deployment == deployment, LogChunk.offset >= head, LogChunk.offset < tail
    ).execute()
