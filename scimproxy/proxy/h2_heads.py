"""Heads in HTTP/2's form and in ours: pseudo-header fields, lower-case names, what HTTP/1.1 would not survive.

One rule: pure. A request leaves here as RFC 9113 section 8.3.1 wants it for HTTP/1.1: `:authority` is its Host,
cookie crumbs are joined, and whatever could be read as another message there is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from scimproxy.exchange import Failure, Headers, Phase, Request, Response
from scimproxy.proxy.engine import Target
from scimproxy.proxy.forwarding import Refusal

__all__ = ["answer_fields", "fields_of", "lowered", "request_fields", "request_of", "response_of", "stream_failure"]

_NOT_SENT = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te"})
"""Fields that HTTP/2 has no place for (RFC 9113 section 8.2.2)."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

Raw = Iterable[tuple[bytes, bytes]]


def lowered(headers: Headers) -> Headers:
    """Return fields as HTTP/2 sends them: names in lower case, nothing that speaks of a connection."""
    return Headers((name.lower(), value) for name, value in headers if name.lower() not in _NOT_SENT)


def fields_of(raw: Raw) -> Headers:
    """Return the fields of a head or trailer, without the pseudo-header fields."""
    return Headers.from_raw((bytes(name), bytes(value)) for name, value in raw if not name.startswith(b":"))


def _pseudo(raw: Raw) -> dict[str, str]:
    return {
        bytes(name).decode("latin-1"): bytes(value).decode("latin-1") for name, value in raw if name.startswith(b":")
    }


def request_of(raw: list[tuple[bytes, bytes]]) -> tuple[Request, Refusal | None]:
    """Return a request without its content, and why it is refused."""
    pseudo, headers = _pseudo(raw), fields_of(raw)
    cookies = headers.get_all("cookie")
    if len(cookies) > 1:
        headers = headers.with_field("cookie", "; ".join(cookies))
    authority = pseudo.get(":authority")
    if authority:
        headers = Headers([("host", authority), *headers.without("host")])
    method = pseudo.get(":method", "")
    request = Request(method, pseudo.get(":path") or authority or "", "2", headers)
    if _TOKEN.fullmatch(method) is None:
        return request, Refusal(400, f"the method {method[:40]!r} is malformed")
    for name, value in headers:
        if _TOKEN.fullmatch(name) is None:
            return request, Refusal(400, f"the header field name {name[:40]!r} is malformed")
        if _CONTROL.search(value) is not None:
            return request, Refusal(400, f"the header field {name!r} holds a control character")
    return request, None


def response_of(raw: list[tuple[bytes, bytes]]) -> Response:
    """Return a response without its content; HTTP/2 has no reason phrase.

    Raises:
        ValueError: the status is none, or a field could be read as two in HTTP/1.1.
    """
    status = _pseudo(raw).get(":status", "")
    if re.fullmatch(r"[1-9]\d\d", status, re.ASCII) is None:
        raise ValueError(f"the status {status!r} is not a number of three digits")
    headers = fields_of(raw)
    for name, value in headers:
        if _TOKEN.fullmatch(name) is None or _CONTROL.search(value) is not None:
            raise ValueError(f"the header field {name[:40]!r} is malformed")
    return Response(int(status), "", "2", headers)


def answer_fields(response: Response) -> list[tuple[bytes, bytes]]:
    """Return the head of an answer as HTTP/2 sends it."""
    return [(b":status", str(response.status_code).encode()), *lowered(response.headers).raw()]


def request_fields(request: Request, scheme: str) -> list[tuple[bytes, bytes]]:
    """Return the head of a request as HTTP/2 sends it; its Host is the `:authority`."""
    authority = request.headers.get("host") or ""
    return [
        (b":method", request.method.encode("latin-1")),
        (b":scheme", scheme.encode()),
        (b":authority", authority.encode("latin-1")),
        (b":path", request.target.encode("latin-1")),
        *lowered(request.headers.without("host")).raw(),
    ]


def stream_failure(target: Target, what: str, told: str) -> Failure:
    """The upstream ended one exchange and said why; `told` is how far its answer came."""
    phase: Phase = "receive" if told else "wait"
    when = f"in the middle of its answer ({told})" if told else "without an answer"
    return Failure("closed", f"{target.origin} ended the exchange {when}: it {what}", phase)
