"""The shape of a header block: what is left when the values that nothing is judged by are taken out.

One rule: pure memory, as in heads.py. Two blocks of one shape are of the same lines, in the same order, apart from
the values of fields that neither framing nor forwarding looks at (an ETag, a date, an identifier), and the number in
Content-Length. Such a value is taken out only where every parser must read it alike: one space in front, visible
ASCII, no space at an end. A line that is anything else stands in the shape as it is, byte by byte. Bounded.
"""

from __future__ import annotations

import re
from functools import lru_cache

from scimproxy.exchange import Headers
from scimproxy.proxy import forwarding

__all__ = ["Form", "Line", "Lines", "Part", "hollow", "part_of"]

type Part = bytes | tuple[str, bool]
"""What stands in a shape for a line: the line itself, or the name of its field and whether it is Content-Length."""
type Line = tuple[Part, tuple[str, str], bytes]
"""Its part of the shape, its field where the value is taken out (else two empty texts), and the line."""

_MOST = 1024
_LONGEST = 256
"""A longer line is read anew each time."""
_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)")
_JUDGED = (
    forwarding.HOP_BY_HOP
    | (forwarding.FRAMING - {"content-length"})
    | {forwarding.VIA.lower(), "accept-encoding", "expect", "sec-websocket-key", "trailer"}
)


class Lines:
    """Reads the lines of header blocks; most came before."""

    def __init__(self) -> None:
        self._known: dict[bytes, Line] = {}

    def read(self, block: bytes) -> list[Line]:
        """Return the lines of a block."""
        known = self._known
        return [known.get(line) or self._read(line) for line in block.split(b"\r\n")]

    def _read(self, line: bytes) -> Line:
        made: Line = line, ("", ""), line
        match = _LINE.fullmatch(line)
        if match is not None:
            part = _part(match[1])
            value = match[2].decode("ascii")
            if part is not None and (not part[1] or forwarding.is_size(value)):
                made = part, (part[0], value), line
        if len(line) <= _LONGEST:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[line] = made
        return made


@lru_cache(maxsize=1024)
def _part(name: bytes) -> tuple[str, bool] | None:
    """Return what stands in a shape for a field whose value is taken out; None for one whose value is judged."""
    text = name.decode("ascii")
    lowered = text.lower()
    if lowered in _JUDGED or forwarding.speaks_for_client(lowered):
        return None
    return text, lowered == "content-length"


def part_of(line: Line) -> Part:
    """Return what stands in the shape for a line."""
    return line[0]


def hollow(headers: Headers, lines: list[Line]) -> tuple[Headers, int | None] | None:
    """Return the fields of a block with marks in place of the values that are taken out, and where its length stands.

    A mark holds a byte that no value can, so that it is found wherever judging takes the field to. None where a block
    of this shape has to be judged each time: its framing is told twice, or it is read in another way than here.
    """
    pairs = list(headers.pairs)
    if len(pairs) != len(lines) or "transfer-encoding" in headers:
        return None
    length: int | None = None
    for at, (part, pair, _) in enumerate(lines):
        if isinstance(part, bytes):
            if pairs[at][0].lower() == "content-length":
                return None
        elif pairs[at] != pair:
            return None
        elif part[1]:
            if length is not None:
                return None
            length = at
        else:
            pairs[at] = (pair[0], f"\0{at}")
    return Headers(pairs), length


class Form:
    """Header fields that judging made of a shape, to be filled with the values of a block."""

    __slots__ = ("_by_name", "_bytes", "_holes", "_pairs")

    def __init__(self, fields: Headers, length: int | None, first: bytes = b"") -> None:
        self._pairs = list(fields.pairs)
        self._bytes = [first] if first else []
        holes: list[tuple[int, int, int]] = []  # where in the fields, where in the bytes, from which line
        for at, (name, value) in enumerate(self._pairs):
            if value[:1] == "\0":
                holes.append((at, len(self._bytes), int(value[1:])))
            elif length is not None and name.lower() == "content-length":
                holes.append((at, len(self._bytes), length))
            self._bytes.append(f"{name}: {value}".encode("latin-1"))
        self._bytes += [b"", b""]
        names = [name.lower() for name, _ in self._pairs]
        # A name that stands there twice is left to whoever asks.
        self._by_name = dict(fields.by_name) if len(set(names)) == len(names) else None
        self._holes = [(at, names[at], place, source) for at, place, source in holes]

    def headers(self, lines: list[Line]) -> Headers:
        """Return the fields."""
        pairs = self._pairs.copy()
        by_name = None if self._by_name is None else self._by_name.copy()
        for at, name, _, source in self._holes:
            pairs[at] = pair = lines[source][1]
            if by_name is not None:
                by_name[name] = (pair[1],)
        return Headers.shared(tuple(pairs), by_name)

    def written(self, lines: list[Line]) -> bytes:
        """Return the fields as bytes, the first line in front and the empty one behind."""
        written = self._bytes.copy()
        for _, _, at, source in self._holes:
            written[at] = lines[source][2]
        return b"\r\n".join(written)
