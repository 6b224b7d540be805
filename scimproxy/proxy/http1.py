"""Reading HTTP/1.1 strictly and writing it plainly (RFC 9112), without a socket.

One rule: what two parsers could read differently is refused. A request head must satisfy our own grammar and that of
llhttp; bodies are counted here. A message that goes on is written anew from its parts, never passed through, so
nothing can be smuggled in what a part cannot hold. Responses are read a little more kindly: home-made servers are
what we are for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import httptools

from scimproxy.exchange import Headers

__all__ = [
    "MAX_HEAD",
    "BodyError",
    "BodyReader",
    "Head",
    "HeadError",
    "request_body",
    "request_head",
    "response_head",
    "second_opinion",
    "write_chunk",
    "write_last_chunk",
    "write_response_head",
]

MAX_HEAD = 64 * 1024
"""Bytes of a head, its first line included; beyond it 431 (RFC 6585 section 5)."""

MAX_FIELDS = 200
MAX_TRAILERS = 16 * 1024
MAX_CHUNK_LINE = 1024

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_VALUE = rb"[^\r\n\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*"
_REQUEST = re.compile(rb"%b [\x21-\x7e]+ HTTP/1\.[01]\r\n(?:%b:%b\r\n)*\r\n" % (_TOKEN, _TOKEN, _VALUE))
_STATUS = rb"HTTP/1\.[01] [1-9][0-9]{2}(?: [\t\x20-\x7e\x80-\xff]*)?"
_RESPONSE = re.compile(rb"%b\r\n(?:%b:%b\r\n)*\r\n" % (_STATUS, _TOKEN, _VALUE))
_FIELDS = re.compile(rb"(?:%b:%b\r\n)*\r\n" % (_TOKEN, _VALUE))
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?\r\n")


class HeadError(Exception):
    """A head that is refused: the status for the client, the reason in words, and the fields that were read."""

    def __init__(self, status_code: int, detail: str, headers: Headers | None = None) -> None:
        super().__init__(detail)
        self.status_code = status_code
        self.detail = detail
        self.headers = headers


class BodyError(Exception):
    """A body whose framing is wrong; the reason in words."""


@dataclass(slots=True)
class Head:
    """The head of a message; `method` and `target` for requests, `status_code` and `reason` for responses."""

    headers: Headers
    http_version: str
    method: str = ""
    target: str = ""
    status_code: int = 0
    reason: str = ""


class _Collector:
    """What llhttp reports of one head."""

    __slots__ = ("pairs", "url")

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []
        self.url = b""

    def on_url(self, piece: bytes) -> None:
        self.url += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        self.pairs.append((name.decode("latin-1"), value.decode("latin-1").rstrip(" \t")))


def request_head(data: bytes) -> Head:
    """Read the head of a request by our own grammar; `data` ends with its empty line.

    Raises:
        HeadError: it is malformed; the reason names the place.
    """
    if _REQUEST.fullmatch(data) is None:
        status_code, detail = _why_request(data)
        raise HeadError(status_code, detail)
    line, _, block = data.partition(b"\r\n")
    method, target, version = line.decode("latin-1").split(" ")
    pairs = _fields(block[:-2])
    if len(pairs) > MAX_FIELDS:
        raise HeadError(431, f"the request has more than {MAX_FIELDS} header fields")
    return Head(headers=Headers(pairs), http_version=version[5:], method=method, target=target)


def second_opinion(data: bytes, head: Head) -> None:
    """Have llhttp read the head of a request, too; two parsers that disagree are how requests are smuggled.

    Raises:
        HeadError: llhttp refuses the head, or reads another one than we did.
    """
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(data)
    except httptools.HttpParserError as exc:
        status_code = 501 if "method" in str(exc).lower() else 400
        raise HeadError(status_code, str(exc), head.headers) from exc
    if collector.pairs != list(head.headers.pairs) or collector.url.decode("latin-1") != head.target:
        raise HeadError(400, "the head of the request can be read in two ways", head.headers)


def response_head(data: bytes) -> Head:
    """Read the head of a response; `data` ends with its empty line.

    Raises:
        HeadError: it is malformed; the status is not meant for anyone.
    """
    if _RESPONSE.fullmatch(data) is None:
        raise HeadError(502, _why_response(data))
    line, _, _ = data.partition(b"\r\n")
    version, _, rest = line.partition(b" ")
    code, _, reason = rest.partition(b" ")
    collector = _Collector()
    parser = httptools.HttpResponseParser(collector)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError:
        # It judges framing, too, which `forwarding` does kindly where that is safe. The grammar was checked above.
        collector.pairs = _fields(data[len(line) + 2 : -2])
    if len(collector.pairs) > MAX_FIELDS:
        raise HeadError(502, f"the answer has more than {MAX_FIELDS} header fields")
    return Head(
        headers=Headers(collector.pairs),
        http_version=version[5:].decode("latin-1"),
        status_code=int(code),
        reason=reason.decode("latin-1"),
    )


def _fields(block: bytes) -> list[tuple[str, str]]:
    pairs = []
    for line in block.decode("latin-1").split("\r\n")[:-1]:
        name, _, value = line.partition(":")
        pairs.append((name, value.strip(" \t")))
    return pairs


def _why_request(data: bytes) -> tuple[int, str]:
    line, _, rest = data.partition(b"\r\n")
    if b"\n" in line or b"\r" in line:
        return 400, "a line ends with a bare CR or LF, not with CRLF"
    if b"\x00" in data:
        return 400, "the head holds a NUL byte"
    parts = line.split(b" ")
    if len(parts) != 3:
        return 400, f"the request line must be method, target and version with single spaces: {_shown(line)}"
    if re.fullmatch(_TOKEN, parts[0]) is None:
        return 400, f"the method {_shown(parts[0])} is not a token"
    if re.fullmatch(rb"[\x21-\x7e]+", parts[1]) is None:
        return 400, f"the request target {_shown(parts[1])} holds bytes that must be percent-encoded"
    if re.fullmatch(rb"HTTP/1\.[01]", parts[2]) is None:
        known = re.fullmatch(rb"HTTP/[0-9]\.[0-9]", parts[2]) is not None
        return 505 if known else 400, f"{_shown(parts[2])} is not HTTP/1.1 or HTTP/1.0"
    return 400, _why_fields(rest)


def _why_response(data: bytes) -> str:
    line, _, rest = data.partition(b"\r\n")
    if not line.startswith(b"HTTP/"):
        return f"it begins with {_shown(line)}"
    if re.fullmatch(_STATUS, line) is None:
        return f"the status line is {_shown(line)}"
    return _why_fields(rest)


def _why_fields(block: bytes) -> str:
    for line in block.removesuffix(b"\r\n\r\n").split(b"\r\n"):
        if line[:1] in {b" ", b"\t"}:
            return f"a header field continues on a second line (obs-fold): {_shown(line)}"
        if b"\n" in line or b"\r" in line:
            return "a line ends with a bare CR or LF, not with CRLF"
        name, colon, value = line.partition(b":")
        if not colon:
            return f"the header line {_shown(line)} has no colon"
        if re.fullmatch(_TOKEN, name) is None:
            return f"the header field name {_shown(name)} is not a token (a space before the colon?)"
        if re.fullmatch(_VALUE, value) is None:
            return f"the value of the header field {_shown(name)} holds a control character"
    return "the head is malformed"


def _shown(data: bytes) -> str:
    text = ascii(data[:60].decode("latin-1"))
    return text + "..." if len(data) > 60 else text


# -- bodies -------------------------------------------------------------------------------------------------------

Kind = Literal["none", "length", "chunked", "close"]


class BodyReader:
    """Counts a body out of the bytes of a connection.

    `feed` takes bytes and gives the payload among them; afterwards `done` says whether the body has ended, and `rest`
    holds what came behind it.
    """

    __slots__ = ("_after_data", "_held", "_in_trailers", "_left", "done", "kind", "rest", "trailers")

    def __init__(self, kind: Kind, length: int = 0) -> None:
        self.kind = kind
        self.trailers: Headers | None = None
        self.rest = b""
        self.done = kind == "none" or (kind == "length" and length == 0)
        self._left = length
        self._held = b""
        self._after_data = False
        self._in_trailers = False

    @property
    def left(self) -> int:
        """How many bytes of payload are announced and still to come."""
        return self._left

    def feed(self, data: bytes) -> bytes:
        """Take bytes, return the payload among them.

        Raises:
            BodyError: the framing is wrong.
        """
        if self.done:
            self.rest += data
            return b""
        if self.kind == "close":
            return data
        if self.kind == "chunked":
            return self._chunked(self._held + data)
        if len(data) < self._left:
            self._left -= len(data)
            return data
        payload, self.rest = data[: self._left], data[self._left :]
        self._left = 0
        self.done = True
        return payload

    def end(self) -> bool:
        """Tell that the connection ended; return whether the body is whole."""
        self.done = self.done or self.kind == "close"
        return self.done

    def _chunked(self, data: bytes) -> bytes:
        payload: list[bytes] = []
        at = 0
        self._held = b""
        while True:
            if self._left:
                piece = data[at : at + self._left]
                payload.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    break
                self._after_data = True
            if self._after_data:
                mark = data[at : at + 2]
                if not b"\r\n".startswith(mark):
                    raise BodyError("a chunk does not end with CRLF where its size says")
                if len(mark) < 2:
                    break
                at += 2
                self._after_data = False
            step = self._trailers(data, at) if self._in_trailers else self._size(data, at)
            if step is None:
                break
            at = step
            if self.done:
                self.rest = data[at:]
                return b"".join(payload)
        self._held = data[at:]
        return b"".join(payload)

    def _size(self, data: bytes, at: int) -> int | None:
        """Read the line of a chunk's size; return where it ends, None where more is needed."""
        end = data.find(b"\n", at) + 1
        if not end:
            if len(data) - at > MAX_CHUNK_LINE:
                raise BodyError(f"the line of a chunk's size is longer than {MAX_CHUNK_LINE} bytes")
            return None
        match = _CHUNK_LINE.fullmatch(data, at, end)
        if match is None or end - at > MAX_CHUNK_LINE:
            raise BodyError(f"the size of a chunk is malformed: {_shown(data[at:end])}")
        self._left = int(match[1], 16)
        self._in_trailers = not self._left
        return end

    def _trailers(self, data: bytes, at: int) -> int | None:
        """Read the trailer section; return where it ends, None where more is needed."""
        if data[at : at + 2] == b"\r\n":
            self.done = True
            return at + 2
        end = data.find(b"\r\n\r\n", at) + 4
        if end - 4 < 0:
            if len(data) - at > MAX_TRAILERS:
                raise BodyError(f"the trailers are longer than {MAX_TRAILERS} bytes")
            return None
        if _FIELDS.fullmatch(data, at, end) is None or end - at > MAX_TRAILERS:
            raise BodyError("the trailers are malformed")
        self.trailers = Headers(_fields(data[at : end - 2]))
        self.done = True
        return end


def request_body(headers: Headers) -> BodyReader:
    """Return the reader for a request's body (RFC 9112 section 6.3); `forwarding` has judged the fields before."""
    if "transfer-encoding" in headers:
        return BodyReader("chunked")
    length = headers.get("content-length")
    return BodyReader("none") if length is None else BodyReader("length", int(length))


# -- writing ------------------------------------------------------------------------------------------------------


def write_response_head(status_code: int, reason: str, headers: Headers) -> bytes:
    """Return the bytes of a response head; our own version, whatever the upstream's was (RFC 9110 section 6.2)."""
    lines = [f"HTTP/1.1 {status_code} {reason}", *[f"{name}: {value}" for name, value in headers], "", ""]
    return "\r\n".join(lines).encode("latin-1")


def write_chunk(payload: bytes) -> bytes:
    """Return a chunk; nothing for an empty payload, which would end the body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload) if payload else b""


def write_last_chunk(trailers: Headers | None) -> bytes:
    """Return the end of a chunked body."""
    if not trailers:
        return b"0\r\n\r\n"
    return "\r\n".join(["0", *[f"{name}: {value}" for name, value in trailers], "", ""]).encode("latin-1")
