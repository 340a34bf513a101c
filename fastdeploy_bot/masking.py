"""Masking: keeps secrets out of what is stored and shown, in streams and in texts.

Hidden are a secret's value, each longer line of it, and what quoting makes of it: base64 wherever in the encoded bytes
it stands, also wrapped into lines, and what it becomes in URLs, in JSON, in shells and in Python. Hidden is, too, what
looks like a token of GitHub's or of the bot's own, or like the key of a GitHub App, known or not. The child loads this
at its start, so it needs the standard library only, and little of that.
"""

from __future__ import annotations

import binascii
import ctypes
import json
import re
from collections.abc import Iterable, Iterator

MASK = "********"
SHORTEST = 6
"""Bytes; what is shorter, of a secret or a line of one, could not be hidden without hiding half of everything."""

_MASK = MASK.encode()
_AT_ONCE = 256 * 1024
"""Bytes of a stream that are looked through together: as many as a processor keeps at hand."""
_LITTLE = 2_048
"""Bytes; in fewer, Python finds something itself before it has called something faster."""
_WIDTH = 60
"""Base64 that is wrapped is known by lines at least as long; programs write 64 or 76."""
_PROBE = 8
_SHORTEST_ANCHOR = 4
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.")
"""Bytes that no quoting changes."""
_PLAIN_ALONE = bytes(byte if byte in _PLAIN else ord(" ") for byte in range(256))
"""A table that makes blanks of all others."""
_COMMON = b"QZXJKVYqWUjHBzGxFPMkLDNCwvObTyAISREg_pf=umhdcl9876543rn/aiots2te:.10- "
"""What is common in logs, the commoner the later; all other bytes, which `find` puts before them, are rarer."""
_URL_SAFE = (b"", b"/", b"~", b"~/", b"~!*'()", b"~!*'();,/?:@&=+$#")
"""What is left as it is beside those: by forms, in paths, and by JavaScript's two functions."""
_SHELL_SAFE = (b"", b"@%+=:/", b"@%+=:,/~")
_DOUBLE_QUOTED = b'"\\$`'
_HTML_SAFE = {ord(each): f"\\u{ord(each):04x}" for each in "<>&"}
_ESCAPES = {b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r", b"\t": b"\\t"}
"""The backslash first: the others make some."""

# Several times as fast as bytes.find, and there wherever a script can be watched at all. It keeps the lock of Python's
# threads: a search takes microseconds, and to get the lock back takes more.
_memmem = ctypes.PyDLL(None).memmem
_memmem.restype = ctypes.c_void_p
_memmem.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]


class Masker:
    """Hides secrets in one stream, and in any number of texts.

    Every byte that is part of some form of some secret is hidden, those that overlap under one mask. However a stream
    is cut, the same comes out of it, unless it was flushed in between.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        known = [secret.encode(errors="surrogateescape") for secret in secrets]
        forms = {(form.text, form.wraps): form for secret in known for form in _forms(secret)}.values()
        self._needles: dict[bytes, dict[bytes, list[tuple[_Form | _Shape, int]]]] = {}
        """What to look for where there is a certain byte, its rarest: without that it cannot be there."""
        anchors: list[_Anchor] = [(form, anchor, offset) for form in forms for anchor, offset in form.anchors]
        for told, needle, offset in _SHAPES_TOLD + anchors:
            self._needles.setdefault(_rarest(needle), {}).setdefault(needle, []).append((told, offset))
        self._whole = _Beginnings({form.text for form in forms if not form.wraps} | _SHAPES_BEGIN)
        self._wrapped = _Beginnings({form.text for form in forms if form.wraps})
        self._held = b""
        self._told = 0
        """How many bytes of `_held` have come out already: what follows may still make a secret of them."""
        self._hiding = False
        """Whether the last byte that came out was hidden."""

    @property
    def pending(self) -> int:
        """How many bytes of the stream have not come out yet."""
        return len(self._held) - self._told

    def feed(self, data: bytes) -> bytes:
        """The stream's next bytes, masked; those that could still become a secret wait for more, or for `flush`."""
        return b"".join(self._take(data[start : start + _AT_ONCE]) for start in range(0, len(data), _AT_ONCE))

    def flush(self) -> bytes:
        """What waits, masked. The stream may go on: of a secret that it then completes, only the rest is hidden."""
        return self._tell(self._held, len(self._held))

    def text(self, text: str) -> str:
        """A text of its own, masked."""
        data = text.encode(errors="surrogatepass")
        runs = self._runs(data)
        return text if not runs else _render(data, runs, 0, len(data)).decode(errors="surrogatepass")

    def _take(self, data: bytes) -> bytes:
        stream = self._held + data
        begun = min(self._whole.place(stream), self._wrapped.place_in_lines(stream), _shape_begun(stream))
        told = self._tell(stream, begun)
        self._held, self._told = stream[begun:], self._told - begun
        return told

    def _tell(self, stream: bytes, end: int) -> bytes:
        """What of `stream` is to come out up to `end`: a run that begins before that is hidden now, and all of it."""
        begin, end = self._told, max(self._told, end)
        runs = [run for run in self._runs(stream) if run[1] > begin and run[0] < end]
        self._told = max(end, runs[-1][1] if runs else 0)
        if self._told == begin:
            return b""
        goes_on = bool(runs) and runs[0][0] < begin and self._hiding
        self._hiding = bool(runs) and runs[-1][1] >= end
        return _render(stream, runs, begin, end)[len(_MASK) if goes_on else 0 :]

    def _runs(self, stream: bytes) -> list[_Run]:
        """The stretches of `stream` that are to be hidden, in order and apart."""
        found = [
            (begin, one.end())
            for shape, begin in _prefixed(stream)
            if begin >= 0 and (one := shape.whole.match(stream, begin))
        ]
        there = [needles for rarest, needles in self._needles.items() if rarest in stream]
        for needle, told in (each for needles in there for each in needles.items()):
            places = _places(stream, needle)
            for each, offset in told if places else ():
                found += each.runs(stream, places, offset)
        return _merged(found)


def _rarest(needle: bytes) -> bytes:
    """The byte of it that logs have least often."""
    return bytes([min(needle, key=_COMMON.find)])


def _places(stream: bytes, needle: bytes) -> list[int]:
    """Where `needle` stands."""
    found: list[int] = []
    place = -1
    if len(stream) < _LITTLE:
        while (place := stream.find(needle, place + 1)) >= 0:
            found.append(place)
        return found
    address = ctypes.cast(ctypes.c_char_p(stream), ctypes.c_void_p).value or 0
    while at := _memmem(address + place + 1, len(stream) - place - 1, needle, len(needle)):
        found.append(place := at - address)
        while (near := stream.find(needle, place + 1, place + _LITTLE)) >= 0:  # what is there once often comes again
            found.append(place := near)
    return found


_Run = tuple[int, int]
"""Where something that is to be hidden begins, and the place behind its end."""


class _Form:
    """One way in which a secret may be written."""

    __slots__ = ("anchors", "text", "wraps")

    def __init__(self, text: bytes, *anchors: tuple[bytes, int], wraps: bool = False) -> None:
        self.text = text
        self.anchors = anchors
        """Parts to look for, and their places in the text: where the form stands, at least one of them does."""
        self.wraps = wraps
        """Whether it may be broken into lines."""

    def runs(self, stream: bytes, places: list[int], offset: int) -> list[_Run]:
        """Where it stands, of all the places where the part of it stands that has this offset in it."""
        starts = [place - offset for place in places]
        if self.wraps:
            return [run for start in starts for run in _in_lines(stream, self.text, start, broken=offset > 0)]
        size = len(self.text)
        return [(start, start + size) for start in starts if start >= 0 and stream.startswith(self.text, start)]


class _Beginnings:
    """Tells what may be the beginning of one of some texts."""

    def __init__(self, texts: set[bytes]) -> None:
        in_order = sorted(texts)
        later = [*in_order[1:], b""]
        self._texts = [text for text, after in zip(in_order, later, strict=False) if not after.startswith(text)]
        self._joined = b"".join(self._texts)
        self._longest = max(map(len, texts), default=0)
        self._short = {text[:size] for text in self._texts for size in range(1, min(_PROBE, len(text)))}

    def place(self, stream: bytes) -> int:
        """Where the longest end of `stream` starts that a text begins with, and goes on after."""
        return len(stream) - self._size(stream)

    def place_in_lines(self, stream: bytes) -> int:
        """The same where line ends may stand in between."""
        longest = self._longest + 2 * (self._longest // _WIDTH + 2)
        size, place = self._size(stream[-longest:].translate(None, b"\r\n")), len(stream)
        while (line := max(stream.rfind(end, place - size, place) for end in (b"\n", b"\r"))) >= 0:
            size, place = size - (place - line - 1), line
        return place - size

    def _size(self, stream: bytes) -> int:
        probe = stream[-_PROBE:]
        if len(probe) == _PROBE and probe in self._joined and (size := self._long_size(stream, probe)):
            return size
        return next((size for size in range(min(_PROBE - 1, len(probe)), 0, -1) if probe[-size:] in self._short), 0)

    def _long_size(self, stream: bytes, probe: bytes) -> int:
        return max(_overlap(stream, text, probe) for text in self._texts)


def _overlap(stream: bytes, text: bytes, probe: bytes) -> int:
    """How long the longest end of `stream` is that `text` begins with, and goes on after; `probe` is its last bytes."""
    end = len(text) - 1
    while (place := text.rfind(probe, 0, end)) >= 0:
        end = place + len(probe)
        if stream.endswith(text[:end]):
            return end
        end -= 1
    return 0


def _in_lines(stream: bytes, text: bytes, start: int, *, broken: bool) -> list[_Run]:
    """Where `text` stands, whole or in lines: at `start`, or just before that if a line may have ended in between."""
    starts = (start, start - 1, start - 2) if broken else (start,)
    return [(start, end) for start in starts if start >= 0 and (end := _end_in_lines(stream, text, start))]


def _end_in_lines(stream: bytes, text: bytes, start: int) -> int:
    """The place behind `text` where it stands at `start`, whole or in lines of which the inner ones are long; or 0."""
    done, place, least = 0, start, 1
    while not stream.startswith(text[done:], place):
        line = stream.find(b"\n", place, place + len(text) - done + 1)
        end = line - 1 if line > place and stream[line - 1] == ord("\r") else line
        if end - place < least or not text.startswith(stream[place:end], done):
            return 0
        done, place, least = done + end - place, line + 1, _WIDTH
    return place + len(text) - done


def _merged(found: list[_Run]) -> list[_Run]:
    """These runs in order, those that overlap as one."""
    runs: list[_Run] = []
    behind = 0
    for start, end in sorted(found):
        if start >= behind:
            runs.append((start, end))
            behind = end
        elif end > behind:
            runs[-1] = (runs[-1][0], end)
            behind = end
    return runs


def _render(stream: bytes, runs: Iterable[_Run], begin: int, end: int) -> bytes:
    """The stretch from `begin` to `end`, with a mask in place of each run in it."""
    pieces = []
    for start, behind in runs:
        pieces += [stream[begin:start], _MASK]
        begin = behind
    return b"".join([*pieces, stream[begin:end]])


# --- what looks like a secret ---


class _Shape:
    """What tokens or keys of one kind look like."""

    __slots__ = ("growing", "whole")

    def __init__(self, whole: bytes, growing: bytes) -> None:
        self.whole = re.compile(whole)
        self.growing = re.compile(growing + rb"\Z")
        """An end of a stream that may become one, or go on as one."""

    def runs(self, stream: bytes, places: list[int], offset: int) -> list[_Run]:
        """Where one stands, of all the places where something stands that has this offset in one."""
        starts = [place - offset for place in places]
        return [(start, one.end()) for start in starts if start >= 0 and (one := self.whole.match(stream, start))]


# GitHub's way to tell its tokens, but for a beginning that words hardly have. Source:
# https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github
_OF_GITHUB = _Shape(
    rb"gh[pousr]_(?:[0-9]{1,12}_)?[A-Za-z0-9]{30}[A-Za-z0-9._-]{0,970}", rb"gh[pousr]_[A-Za-z0-9._-]{0,1013}"
)
_FINE_GRAINED = _Shape(rb"github_pat_[A-Za-z0-9_]{36,250}", rb"github_pat_[A-Za-z0-9_]{0,250}")
_OF_OURS = _Shape(rb"fd[us]_[A-Za-z0-9_-]{40,60}", rb"fd[us]_[A-Za-z0-9_-]{0,60}")
# As PyJWT makes them, of a deployment or of a GitHub App: the header, which says no more than that, and the rest.
_JWT = _Shape(
    rb"eyJhbGciOiJ.UzI1NiIsInR5cCI6IkpXVCJ9\.[A-Za-z0-9_-]{1,900}\.[A-Za-z0-9_-]{20,700}",
    rb"eyJhbGciOiJ.UzI1NiIsInR5cCI6IkpXVCJ9\.[A-Za-z0-9._-]{0,1600}",
)
_KEY = _Shape(
    rb"-----BEGIN RSA PRIVATE KEY-----[A-Za-z0-9+/=\\\s]{64,8000}(?:-----END RSA PRIVATE KEY-----)?",
    rb"-----BEGIN RSA PRIVATE KEY-----[A-Za-z0-9+/=\\\s]{0,8000}[END RSAPIVTKY-]{0,30}",
)
_LONGEST_SHAPE = 8_100
"""No shape has more bytes."""
_PREFIXES = dict.fromkeys((b"ghp", b"gho", b"ghu", b"ghs", b"ghr"), _OF_GITHUB) | {
    b"fdu": _OF_OURS,
    b"fds": _OF_OURS,
    b"pat": _FINE_GRAINED,
}
"""By the three characters before an underscore."""
_PREFIXED = re.compile(rb"_(?<=gh[pousr]_|fd[us]_|pat_)")
"""Tells them by the underscore, which is found many times as fast as anything else."""
_OF_TOKENS = bytes(_PLAIN)
"""The bytes that tokens are made of."""
_JWT_NEEDLE, _JWT_OFFSET = b"UzI1NiIsInR5cCI6IkpXVCJ9.", len(b"eyJhbGciOiJ.")
_KEY_NEEDLE = b"-----BEGIN RSA PRIVATE KEY-----"
_Anchor = tuple[_Form | _Shape, bytes, int]
_SHAPES_TOLD: list[_Anchor] = [(_JWT, _JWT_NEEDLE, _JWT_OFFSET), (_KEY, _KEY_NEEDLE, 0)]
"""What has no prefix, what to look for instead, and where in it that stands."""
_SHAPES_BEGIN = {each + b"_" for each in _PREFIXES} - {b"pat_"} | {
    b"github_pat_",
    _KEY_NEEDLE,
    *(b"eyJhbGciOiJ" + kind + _JWT_NEEDLE for kind in (b"I", b"S", b"F")),
}


def _prefixed(stream: bytes) -> list[tuple[_Shape, int]]:
    """Where something begins that may have such a shape, by its prefix; before the stream where that is cut off."""
    told = [(_PREFIXES[stream[place - 3 : place]], place) for place in _behind_prefixes(stream)]
    return [(shape, place - (10 if shape is _FINE_GRAINED else 3)) for shape, place in told]


def _behind_prefixes(stream: bytes) -> Iterable[int]:
    """The places of the underscores behind prefixes."""
    if stream.count(b"_", 0, _LITTLE) > _LITTLE // 4:  # to look before each takes longer than to look for each prefix
        return [place + 3 for prefix in _PREFIXES for place in _places(stream, prefix + b"_")]
    return [each.start() for each in _PREFIXED.finditer(stream)] if b"_" in stream else []


def _shape_begun(stream: bytes) -> int:
    """Where the first of those begins that the stream may go on with; its end where none does."""
    tail = stream[-_LONGEST_SHAPE:]
    before = len(stream) - len(tail)
    run = len(tail.rstrip(_OF_TOKENS))  # a token has to be there from its beginning to the end
    last = tail[run:]
    begun = [*_prefixed(last), *((_JWT, place - _JWT_OFFSET) for place in _places(last, _JWT_NEEDLE))]
    growing = [before + run + at for shape, at in begun if at >= 0 and shape.growing.match(last, at)]
    growing += [before + at for at in _places(tail, _KEY_NEEDLE) if _KEY.growing.match(tail, at)]
    return min(growing, default=len(stream))


# --- the forms of a secret ---


def _forms(secret: bytes) -> Iterator[_Form]:
    """Every way in which a secret is looked for."""
    lines = [line.strip() for line in secret.splitlines()]
    for line in lines:
        yield from _plain(line, {line})
    yield from _plain(secret, {secret, *_in_urls(secret), *_in_json(secret), *_in_shells(secret)})
    if len(secret) >= SHORTEST:
        yield from _in_base64(secret)


def _plain(secret: bytes, texts: Iterable[bytes]) -> Iterator[_Form]:
    """These texts as forms, looked for by the longest part that they have in common, or by how they begin."""
    shared = max(_split(secret), key=len)
    for text in texts:
        if len(text) >= SHORTEST:
            anchor = shared if len(shared) >= _SHORTEST_ANCHOR else text[:_PROBE]
            yield _Form(text, (anchor, text.index(anchor)))


def _split(secret: bytes) -> list[bytes]:
    """The parts of a secret that no quoting changes."""
    return secret.translate(_PLAIN_ALONE).split(b" ")


def _in_base64(secret: bytes) -> Iterator[_Form]:
    """The characters that tell of the secret alone, and those of a secret that ends what is encoded."""
    for before in range(3):
        begin, end = -(-before * 8 // 6), (before + len(secret)) * 8 // 6
        ends = [binascii.b2a_base64(bytes(before) + secret + more, newline=False)[begin:] for more in (b"", b"\n")]
        for text in {ends[0][: end - begin], *ends, *(each.rstrip(b"=") for each in ends)}:
            for spelt in {text, text.translate(bytes.maketrans(b"+/", b"-_"))}:
                half = min((end - begin) // 2, _WIDTH // 2)  # of two such parts, one stands in one line
                yield _Form(spelt, (spelt[:half], 0), (spelt[half : 2 * half], half), wraps=True)


def _in_urls(secret: bytes) -> Iterator[bytes]:
    for safe in _URL_SAFE:
        for digits in (b"%%%02X", b"%%%02x"):
            quoted = _quoted(secret, digits, _PLAIN.union(safe))
            yield from (quoted, quoted.replace(b"%20", b"+"))


def _in_json(secret: bytes) -> Iterator[bytes]:
    """As it stands between JSON's quotes, also in JSON within JSON."""
    once = _as_json({secret.decode(errors="surrogateescape")})
    return (text.encode(errors="surrogateescape") for text in once | _as_json(once))


def _as_json(values: set[str]) -> set[str]:
    """The values, by writers that leave other characters as they are: those beyond ASCII, those of HTML, slashes."""
    told = {json.dumps(value, ensure_ascii=ascii_only)[1:-1] for value in values for ascii_only in (True, False)}
    told |= {text.translate(_HTML_SAFE) for text in told}
    told |= {text.replace("'", "\\u0027") for text in told}
    return told | {text.replace("/", "\\/") for text in told}


def _in_shells(secret: bytes) -> Iterator[bytes]:
    """In single and in double quotes, with backslashes, and as `$'…'`, which is how Python writes it, too."""
    for quote in (rb"'\''", b"""'"'"'"""):
        yield secret.replace(b"'", quote)
    for safe in _SHELL_SAFE:
        yield _quoted(secret, rb"\%c", _PLAIN.union(safe, range(128, 256)))
    yield _quoted(secret, rb"\%c", frozenset(range(256)).difference(_DOUBLE_QUOTED))
    escaped = secret
    for plain, text in _ESCAPES.items():
        escaped = escaped.replace(plain, text)
    yield from (escaped, escaped.replace(b"'", rb"\'"), escaped.replace(b'"', rb"\""))


def _quoted(secret: bytes, quoting: bytes, safe: frozenset[int]) -> bytes:
    if not secret.translate(None, bytes(safe)):
        return secret  # as each run's token is, at each of its sixteen quotings
    return b"".join(bytes((byte,)) if byte in safe else quoting % byte for byte in secret)
