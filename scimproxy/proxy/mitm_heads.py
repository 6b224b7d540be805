"""The heads that the mitmproxy engine writes: what goes upstream, and what the client is given, in either protocol.

One rule: pure; a head is made here once, recorded as it is, and written as it is.
"""

from __future__ import annotations

from dataclasses import replace

from scimproxy.exchange import Headers, Request, Response
from scimproxy.proxy import answers
from scimproxy.proxy.destinations import forward_headers
from scimproxy.proxy.engine import EngineOptions
from scimproxy.proxy.forwarding import (
    Caller,
    Framing,
    end_to_end,
    framed,
    single_length,
    upstream_headers,
    wants_websocket,
)
from scimproxy.proxy.h2_heads import lowered

__all__ = ["client_head", "own_head", "switching_head", "upstream_head"]


def upstream_head(request: Request, caller: Caller, options: EngineOptions, framing: Framing) -> Headers:
    """Return the fields to send upstream."""
    if options.forward is not None:
        headers = forward_headers(request.headers, options).without("expect")
    else:
        headers = upstream_headers(request.headers, caller, options).without("expect")
    if wants_websocket(request.method, request.headers, request.http_version):
        headers = headers.with_added("Connection", "Upgrade").with_added("Upgrade", "websocket")
    return framed(headers, "chunked") if framing == "chunked" else headers


def client_head(came: Response, version: str, framing: Framing, *, close: bool, length: int | None) -> Response:
    """Return the head that a client with this HTTP version is given; HTTP/2 has no reason phrase."""
    kept = single_length(end_to_end(came.headers))
    if came.status_code == 204:
        kept = kept.without("content-length")  # RFC 9110 section 8.6
    headers = framed(kept, framing, close=close, length=length)
    if version == "2":
        return replace(came, http_version="2", reason="", headers=lowered(headers))
    reason = answers.reason(came.status_code) if came.http_version == "2" else came.reason
    return replace(came, http_version="1.1", reason=reason, headers=headers)


def own_head(response: Response, version: str, *, close: bool) -> Response:
    """Return an answer of our own as a client with this HTTP version is given it."""
    headers = framed(response.headers, "length", close=close)
    if version == "2":
        return replace(response, http_version="2", reason="", headers=lowered(headers))
    return replace(response, headers=headers)


def switching_head(came: Response) -> Response:
    """Return the 101 that a client is given when its WebSocket begins."""
    headers = end_to_end(came.headers).with_added("Connection", "Upgrade").with_added("Upgrade", "websocket")
    return replace(came, http_version="1.1", headers=headers)
