"""What a content says once its coding is undone: bytes out of gzip, deflate, br and zstd, text out of bytes.

One rule: nothing here raises and nothing grows past its limit; what could be decoded is returned with a
sentence about what could not. Decoding is for view and search only, the recorded bytes stay as they came
(RFC 9110 section 8.4; RFC 1950-1952, 7932, 8878). A redacted content is kept decoded (see redact.py), so it
passes through unchanged.
"""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import brotli
import zstandard

from scimproxy.exchange import Content, Headers

__all__ = ["LIMIT", "Decoded", "Text", "charset_of", "codings", "decode", "text", "text_of"]

LIMIT = 64 * 1024 * 1024
"""The most bytes that decoding gives unless told otherwise."""

_MOST_CODINGS = 8
_MOST_MEMBERS = 1000
_STEP = 16_384
_ZSTD_WINDOW = 1 << 25
_ZSTD_STEP = 128  # a block of 4 bytes can stand for 128 KiB, so one step gives 4 MiB at most


@dataclass(frozen=True, slots=True)
class Decoded:
    """Bytes after decoding; `encoding` names the codings there were (None: none); `problem` is a sentence."""

    data: bytes
    encoding: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """A content as text; `charset` is the one used; `problem` is a sentence about what was lost."""

    text: str
    charset: str
    problem: str | None = None


def _steps(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def _inflate_one(data: bytes, limit: int, window_bits: int) -> tuple[bytes, bytes, str | None]:
    """Decode one zlib, raw or gzip stream: what came out, what follows it, and the problem."""
    inflater = zlib.decompressobj(window_bits)
    out = bytearray()
    used = 0
    try:
        for step in _steps(data, _STEP):
            used += len(step)
            rest = step
            while True:
                piece = inflater.decompress(rest, _STEP)
                out += piece
                if len(out) > limit:
                    return bytes(out[:limit]), b"", f"decodes to more than {limit} bytes; the rest is left out"
                if inflater.eof:
                    return bytes(out), inflater.unused_data + data[used:], None
                rest = inflater.unconsumed_tail
                if not rest and len(piece) < _STEP:
                    break
    except zlib.error as exc:
        return bytes(out), b"", f"is damaged: {str(exc).rpartition(': ')[2]}"
    return bytes(out), b"", "ends too early"


def _gunzip(data: bytes, limit: int) -> tuple[bytes, str | None]:
    out = bytearray()
    rest = data
    for _ in range(_MOST_MEMBERS):
        piece, rest, problem = _inflate_one(rest, limit - len(out), 31)
        out += piece
        if problem is not None:
            return bytes(out), problem
        if not rest.strip(b"\0"):
            return bytes(out), None
        if not rest.startswith(b"\x1f\x8b"):
            return bytes(out), f"is followed by {len(rest)} bytes that are something else"
    return bytes(out), f"has more than {_MOST_MEMBERS} members; the rest is left out"


def _inflate(data: bytes, limit: int) -> tuple[bytes, str | None]:
    out, rest, problem = _inflate_one(data, limit, 15)
    if problem is not None and not out:
        # RFC 9110 section 8.4.1.2: "deflate" is the zlib format, but some send the raw form.
        raw, raw_rest, raw_problem = _inflate_one(data, limit, -15)
        if raw_problem is None or raw:
            out, rest, problem = raw, raw_rest, raw_problem
    if problem is None and rest:
        problem = f"is followed by {len(rest)} bytes that are something else"
    return out, problem


def _unbrotli(data: bytes, limit: int) -> tuple[bytes, str | None]:
    decoder = brotli.Decompressor()
    out = bytearray()
    try:
        for step in _steps(data, _STEP):
            out += decoder.process(step, output_buffer_limit=_STEP)
            while len(out) <= limit and not decoder.can_accept_more_data() and not decoder.is_finished():
                out += decoder.process(b"", output_buffer_limit=_STEP)
            if len(out) > limit:
                return bytes(out[:limit]), f"decodes to more than {limit} bytes; the rest is left out"
    except brotli.error:
        return bytes(out), "is damaged"
    return bytes(out), None if decoder.is_finished() else "ends too early"


def _unzstd(data: bytes, limit: int) -> tuple[bytes, str | None]:
    out = bytearray()
    frames = 1
    decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    frame = decoder.decompressobj()
    try:
        for step in _steps(data, _ZSTD_STEP):
            rest = step
            while rest:
                if frame.eof:
                    frames += 1
                    if frames > _MOST_MEMBERS:
                        return bytes(out), f"has more than {_MOST_MEMBERS} frames; the rest is left out"
                    frame = decoder.decompressobj()
                out += frame.decompress(rest)
                rest = frame.unused_data
                if len(out) > limit:
                    return bytes(out[:limit]), f"decodes to more than {limit} bytes; the rest is left out"
    except zstandard.ZstdError as exc:
        return bytes(out), f"is damaged: {str(exc).rpartition(': ')[2]}"
    return bytes(out), None if frame.eof else "ends too early"


_DECODERS: dict[str, Callable[[bytes, int], tuple[bytes, str | None]]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate,
    "br": _unbrotli,
    "zstd": _unzstd,
}


def codings(headers: Headers) -> tuple[str, ...]:
    """Return the content codings in the order in which they were applied, lower case, without `identity`."""
    if "content-encoding" not in headers:
        return ()
    named = (word.strip().lower() for value in headers.get_all("content-encoding") for word in value.split(","))
    return tuple(word for word in named if word and word != "identity")


def decode(content: Content, headers: Headers, *, limit: int = LIMIT) -> Decoded:
    """Return the content with its codings undone, at most `limit` bytes of it; never raises."""
    applied = codings(headers)
    data = content.data
    if not applied:
        return Decoded(data[:limit], None, _too_long(data, limit))
    encoding = ", ".join(applied)
    if content.redacted or not data:
        return Decoded(data[:limit], encoding, _too_long(data, limit))
    if len(applied) > _MOST_CODINGS:
        return Decoded(data[:limit], encoding, f"content has {len(applied)} codings; more than {_MOST_CODINGS}")
    for name in reversed(applied):
        decoder = _DECODERS.get(name)
        if decoder is None:
            return Decoded(data[:limit], encoding, f"content coding {name!r} is not known")
        coded = data
        data, problem = decoder(coded, limit)
        if problem is not None and _readable(coded):
            return Decoded(coded[:limit], encoding, f"content is not {name} but readable, and shown as it came")
        if problem is not None:
            if content.truncated and problem == "ends too early":
                problem = "is cut in the recording"
            return Decoded(data, encoding, f"{name} content {problem}")
    return Decoded(data, encoding)


def _readable(data: bytes) -> bool:
    """Whether bytes that should be coded are JSON or markup as they stand: a wrong header, or an import."""
    if data.lstrip()[:1] not in {b"{", b"[", b"<"}:
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _too_long(data: bytes, limit: int) -> str | None:
    return f"content is longer than {limit} bytes; the rest is left out" if len(data) > limit else None


def charset_of(headers: Headers) -> str | None:
    """Return the declared charset, lower case; None where none is declared."""
    for parameter in (headers.get("content-type") or "").split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip("\"'").lower() or None
    return None


_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Codecs that Python offers and HTTP does not: some expand or transform, so a peer must not choose them.
_CHARSETS = frozenset({"utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "ascii"})
_FAMILIES = ("iso8859", "cp125", "koi8", "shift_jis", "euc_", "gb", "big5", "cp932", "mac")


def _codec(charset: str) -> str | None:
    try:
        name = codecs.lookup(charset).name
    except (LookupError, ValueError):
        return None
    return name if name in _CHARSETS or name.startswith(_FAMILIES) else None


def text_of(data: bytes, charset: str | None = None) -> Text:
    """Return bytes as text: by their byte order mark, else the declared charset, else UTF-8.

    Bytes that are no text in that charset become U+FFFD and the problem says so.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _strict_or_replaced(data[len(mark) :], name)
    if charset is None:
        return _strict_or_replaced(data, "utf-8")
    known = _codec(charset)
    if known is None:
        found = _strict_or_replaced(data, "utf-8")
        return Text(found.text, "utf-8", found.problem or f"charset {charset[:40]!r} is not known; read as utf-8")
    return _strict_or_replaced(data, known)


def _strict_or_replaced(data: bytes, charset: str) -> Text:
    try:
        return Text(data.decode(charset), charset)
    except UnicodeDecodeError as exc:
        return Text(data.decode(charset, "replace"), charset, f"byte {exc.start} is not valid {charset}")


def text(content: Content, headers: Headers, *, limit: int = LIMIT) -> str | None:
    """Return a content as text, its codings undone; None where it is not text."""
    decoded = decode(content, headers, limit=limit)
    found = text_of(decoded.data, charset_of(headers))
    # A character cut in two by a limit is at the very end; anything else means that this is no text.
    return None if "\0" in found.text or "\ufffd" in found.text[:-1] else found.text
