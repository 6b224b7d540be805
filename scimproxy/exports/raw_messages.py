"""HTTP/1 messages as other tools print them, read back: a head, an empty line, and the content that follows.

One rule: tolerant, for what reads is no peer on the wire but a file: bare line feeds, missing reasons and cut bodies
are read, chunks are joined where they are whole; what has no start line is a FormatError. Pure; formats.py's
`raw_request` and `raw_response` are the way back.
"""

from __future__ import annotations

import re
from dataclasses import replace

from scimproxy.errors import FormatError
from scimproxy.exchange import Content, Headers, Request, Response

__all__ = ["content_of", "request_of", "response_of"]

_REQUEST = re.compile(rb"([^\s\x00-\x1f\x7f]{1,200}) ([^\r\n]{1,65536}?)(?: HTTP/(\d(?:\.\d)?))?")
_RESPONSE = re.compile(rb"HTTP/(\d(?:\.\d)?) (\d{3})(?: ([^\r\n]{0,1000}))?")
_END = re.compile(rb"\r?\n\r?\n")
_MOST_FIELDS = 1000


def request_of(data: bytes, place: str) -> Request:
    """Return a request.

    Raises:
        FormatError: there is no request line; the message begins with `place`.
    """
    start, headers, rest = _split(data, place)
    found = _REQUEST.fullmatch(start)
    if found is None:
        raise FormatError(f"{place}: no request line in {start[:60]!r}")
    version = (found[3] or b"1.1").decode()
    return Request(
        method=found[1].decode("latin-1"),
        target=found[2].decode("latin-1"),
        http_version=_version(version),
        headers=headers,
        content=content_of(rest, headers),
    )


def response_of(data: bytes, place: str, *, method: str = "GET") -> Response:
    """Return a response to a request with this method.

    Raises:
        FormatError: there is no status line; the message begins with `place`.
    """
    start, headers, rest = _split(data, place)
    found = _RESPONSE.fullmatch(start)
    if found is None:
        raise FormatError(f"{place}: no status line in {start[:60]!r}")
    status = int(found[2])
    empty = method == "HEAD" or status in {204, 304}
    return Response(
        status_code=status,
        reason=(found[3] or b"").decode("latin-1"),
        http_version=_version(found[1].decode()),
        headers=headers,
        content=Content.of(rest) if empty else content_of(rest, headers),
    )


def content_of(data: bytes, headers: Headers) -> Content:
    """Return the content of a message; where Content-Length promises more than there is, it is one that was cut."""
    if "chunked" in (headers.get("Transfer-Encoding") or "").lower():
        return Content.of(_joined(data))
    said = (headers.get("Content-Length") or "").strip()
    if said.isascii() and said.isdigit() and len(said) < 16 and int(said) > len(data):
        return replace(Content.of(data), size=int(said), sha256="")
    return Content.of(data)


def _split(data: bytes, place: str) -> tuple[bytes, Headers, bytes]:
    end = _END.search(data)
    head, rest = (data, b"") if end is None else (data[: end.start()], data[end.end() :])
    start, *lines = re.split(rb"\r?\n", head)
    if len(lines) > _MOST_FIELDS:
        raise FormatError(f"{place}: more than {_MOST_FIELDS} header fields")
    pairs = (line.partition(b":") for line in lines)
    return (
        start,
        Headers.from_raw((name, value.strip(b" \t")) for name, colon, value in pairs if colon and name),
        rest,
    )


def _version(text: str) -> str:
    return {"2.0": "2", "3.0": "3"}.get(text, text)


def _joined(data: bytes) -> bytes:
    """Return chunked data (RFC 9112 section 7.1) joined; as it is where it does not read as chunks to its end."""
    made: list[bytes] = []
    at = 0
    while True:
        line, mark, _ = data[at : at + 100].partition(b"\r\n")
        size = line.partition(b";")[0].strip()
        if not mark or not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size):
            return data
        at += len(line) + 2
        length = int(size, 16)
        if length == 0:
            return b"".join(made)
        if data[at + length : at + length + 2] != b"\r\n":
            return data
        made.append(data[at : at + length])
        at += length + 2
