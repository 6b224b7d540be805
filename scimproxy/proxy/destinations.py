"""Where a request wants to go: the one upstream of a reverse proxy, or what a forward proxy is asked for.

One rule: pure, and a request leaves here in one form. A forward proxy's absolute-form target (RFC 9112 section 3.2.2)
becomes its path, because scheme and host stand beside it in the exchange, and because that is what goes upstream.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from scimproxy.exchange import Headers, Request
from scimproxy.proxy.engine import EngineOptions, Target
from scimproxy.proxy.forwarding import Caller, Refusal, caller_of, end_to_end

__all__ = ["Route", "forward_headers", "host_pattern", "route", "tunnel_target"]

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@?#\[\]]+):(\d{1,5})")
_PATTERN = re.compile(r"(?:\*\.)?[^\s:/@?#\[\]*]+(?::\d{1,5})?|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?")


@dataclass(frozen=True, slots=True)
class Route:
    """A request as it is recorded and passed on, the options for its upstream, and who sent it.

    `recorded`: whether its host is one that is wanted. `refusal` is why it goes nowhere.
    """

    request: Request
    options: EngineOptions
    caller: Caller
    recorded: bool = True
    refusal: Refusal | None = None


def route(request: Request, tunnel: Target | None, peer_host: str | None, options: EngineOptions) -> Route:
    """Return where a request goes; `tunnel` is where the CONNECT before it led."""
    caller = caller_of(request.headers, peer_host, options)
    if options.forward is None:
        return Route(request, options, caller)
    named, path = _absolute(request.target)
    target = tunnel or named
    if target is None:
        return Route(request, options, caller, refusal=Refusal(400, _lost(request)))
    there = replace(request, target=path)
    fitted = replace(
        options, target=target, public_path="", public_origin=None, preserve_host=tunnel is not None,
        rewrite_locations=False,
    )  # fmt: skip
    host = request.headers.get("host") if tunnel is not None else None
    caller = Caller(caller.address, caller.claim, target.scheme, host or target.authority)
    return Route(there, fitted, caller, options.forward.wants(target.host, target.port))


def _absolute(text: str) -> tuple[Target | None, str]:
    """Return the server and the path of an absolute-form target; other forms name no server."""
    if not text.lower().startswith(("http://", "https://")):
        return None, text
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None, text
    if not parts.hostname or port == 0:
        return None, text
    after = text.partition("://")[2]
    cut = min((at for mark in "/?#" if (at := after.find(mark)) >= 0), default=len(after))
    rest = after[cut:].partition("#")[0]
    scheme = parts.scheme
    target = Target(scheme, parts.hostname, port or (443 if scheme == "https" else 80))
    return target, rest if rest.startswith("/") else "/" + rest


def _lost(request: Request) -> str:
    if request.method == "CONNECT":
        return f"CONNECT {request.target!r} does not name a host and a port"
    return (
        "the request target names no server: this is a forward proxy, to be named as the client's proxy "
        "(HTTP_PROXY, HTTPS_PROXY), not as its base URL"
    )


def tunnel_target(text: str) -> Target | None:
    """Return where a CONNECT leads (RFC 9110 section 9.3.6); None where it names no host and port."""
    matched = _AUTHORITY.fullmatch(text)
    if matched is None or not 0 < int(matched[2]) < 65536:
        return None
    return Target("https", matched[1].strip("[]").lower(), int(matched[2]))


def host_pattern(text: str) -> str | None:
    """Return a host as `Forward.only` wants it: `HOST`, `HOST:PORT` or `*.DOMAIN`; None where it is none."""
    lowered = text.strip().lower().rstrip(".")
    return lowered if _PATTERN.fullmatch(lowered) else None


def forward_headers(headers: Headers, options: EngineOptions) -> Headers:
    """Return the fields that a forward proxy sends on: what is for the server, unchanged and with nothing added.

    In absolute form the target decides, not Host (RFC 9112 section 3.2.2); inside a tunnel Host stays.
    """
    kept = end_to_end(headers)
    if options.preserve_host and "host" in kept:
        return kept
    if "host" in kept:
        return kept.with_field("Host", options.target.authority)
    return Headers([("Host", options.target.authority), *kept])
