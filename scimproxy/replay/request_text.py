"""A request as text that a person edits: the request line, header fields, an empty line, the body.

One rule: what was not edited is not changed, and what cannot be read is refused with the number of its line.
Pure. Flow: Request -> to_text -> an editor -> from_text -> Request.
"""

from __future__ import annotations

import contextlib
import json
import re

from scimproxy.errors import FormatError, UsageError
from scimproxy.exchange import EMPTY, Content, Headers, Request

__all__ = ["from_text", "to_text"]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(r"/[^\s\x00-\x20\x7f]*")
_LONGEST = 10 * 1024 * 1024
_REMARK = """\
# METHOD TARGET, header fields, an empty line, the body. Lines like this one are left out.
# Leave nothing but them, and nothing is sent.
# Host and Content-Length are added; {{auth}} stands for what --auth gives.
"""


def to_text(request: Request, problem: str = "") -> str:
    """Return a request as text; JSON in one line is laid out for reading.

    Raises:
        UsageError: its body is no text.
    """
    try:
        body = _laid_out(request)
    except UnicodeDecodeError as exc:
        raise UsageError("the body is no text and cannot be edited", hint="--set-header edits header fields") from exc
    remark = f"# {problem}\n" if problem else ""
    fields = "".join([f"{name}: {value}\n" for name, value in request.headers])
    return f"{remark}{_REMARK}{request.method} {request.target}\n{fields}\n{body}"


def from_text(text: str, original: Request) -> Request | None:
    """Return the request that an edited text says; None where it says nothing. `original` is what was given out.

    Raises:
        FormatError: a line cannot be read; the message says which.
    """
    if len(text) > _LONGEST:
        raise FormatError(f"the request is longer than {_LONGEST // 1_048_576} MiB")
    lines = text.replace("\r\n", "\n").split("\n")
    first = 0
    while first < len(lines) and (not lines[first].strip() or lines[first].startswith("#")):
        first += 1
    if first == len(lines):
        return None
    method, _, target = lines[first].strip().partition(" ")
    target = target.strip().removesuffix(" HTTP/1.1")
    if not _TOKEN.fullmatch(method):
        raise _fault(first, f"{method[:40]!r} is no method; write it like POST /scim/v2/Users")
    if not _TARGET.fullmatch(target):
        raise _fault(first, f"{target[:60]!r} is no target; begin with / and write spaces as %20")
    pairs = []
    at = first + 1
    while at < len(lines) and lines[at].strip():
        name, colon, value = lines[at].partition(":")
        if not lines[at].startswith("#"):
            if not colon or not _TOKEN.fullmatch(name):
                raise _fault(at, f"{lines[at][:60]!r} is no header field; write it like Name: value")
            if not value.isprintable() or not value.isascii():
                raise _fault(at, f"the value of {name} holds characters that a header field cannot")
            pairs.append((name, value.strip()))
        at += 1
    body = "\n".join(lines[at + 1 :])
    content = _content(body, original)
    return Request(method, target, headers=Headers(pairs), content=content)


def _laid_out(request: Request) -> str:
    body = request.content.data.decode("utf-8")
    if "\n" not in body and body[:1] in {"{", "["}:
        with contextlib.suppress(ValueError, RecursionError):
            return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    return body


def _content(body: str, original: Request) -> Content:
    """Return the body; editors end a file with a line feed that nobody typed."""
    given = _laid_out(original)
    if not given.endswith("\n"):
        body = body.removesuffix("\n")
    if body == given.replace("\r\n", "\n"):
        return original.content
    return Content.of(body.encode("utf-8", "surrogatepass")) if body else EMPTY


def _fault(at: int, why: str) -> FormatError:
    return FormatError(f"line {at + 1}: {why}")
