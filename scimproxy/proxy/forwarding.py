"""What every engine does alike between client and upstream: paths, headers, the client's address, small policies.

One rule: pure. No IO, no clock, nothing of any engine's library; an engine asks here and obeys. Words and SCIM
errors for failures are in `answers`, addresses inside answers in `locations`.

A path outside the public base path is not passed on but refused (404): TARGET with a path means "this and nothing
else", and the refusal tells a doubled or missing base path in words. Targets are compared normalised (decoded,
backslash as slash, dot segments resolved) and sent as they came: nothing climbs out and nothing is altered.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from scimproxy.exchange import Headers
from scimproxy.proxy.engine import EngineOptions
from scimproxy.proxy.tap import Tap

__all__ = [
    "FRAMING",
    "HOP_BY_HOP",
    "IDEMPOTENT",
    "VIA",
    "Caller",
    "Refusal",
    "Tap",
    "caller_of",
    "client_framing",
    "end_to_end",
    "framed",
    "is_size",
    "map_target",
    "may_retry",
    "may_reuse",
    "refuse_request",
    "response_framing",
    "speaks_for_client",
    "suspect",
    "upstream_headers",
    "wants_close",
    "wants_websocket",
]

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "transfer-encoding",
        "upgrade",
    }
)
"""Lower-case names of fields that speak of one connection only (RFC 9110 section 7.6.1, 11.7)."""

IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})
"""Methods that may be sent twice (RFC 9110 section 9.2.2)."""

FRAMING = frozenset({"content-length", "host", "content-type", "content-encoding"})
"""Fields that a `Connection` field cannot declare hop-by-hop: without them a message is another message."""

FORWARDING = frozenset(
    {
        "ali-cdn-real-ip",
        "client-ip",
        "fastly-client-ip",
        "fly-client-ip",
        "forwarded",
        "forwarded-for",
        "remote-addr",
        "true-client-ip",
        "x-azure-clientip",
        "x-azure-socketip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-envoy-external-address",
        "x-envoy-original-path",
        "x-forwarded",
        "x-host",
        "x-original-forwarded-for",
        "x-original-host",
        "x-original-uri",
        "x-original-url",
        "x-originating-ip",
        "x-real-ip",
        "x-remote-addr",
        "x-remote-ip",
        "x-rewrite-url",
    }
)
"""Fields that say who called, how, and for which path; a client's own are dropped, because they are only a claim."""

_FORWARDING_PREFIXES = ("x-forwarded-", "cf-", "x-appengine-user-", "x-ms-forwarded-")

VIA = "Scimproxy-Via"
"""Names the scimproxy processes that a request went through, so that a loop is seen."""

_NO_TRAILERS = FRAMING | {
    "authorization",
    "cache-control",
    "content-range",
    "cookie",
    "expect",
    "if-match",
    "range",
    "set-cookie",
    "trailer",
}

_ODD = re.compile(r"[%\\;#]|[^\x21-\x7e]|\.\.|//")
"""What makes a path worth a closer look: it could be read as another path."""

_ROUNDS = 5
_ENDS_NAME = re.compile(rb"[;\0?#]")
"""What may end a segment's name for a server: parameters, and what careless ones cut at."""
_CODED_UNIT = re.compile(rb"%u00([0-9a-f]{2})", re.IGNORECASE)
_OVERLONG = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80\x81][\x80-\xbf]|\xf0\x80[\x80\x81][\x80-\xbf]")
"""UTF-8 sequences longer than an ASCII character needs: no decoder may take them (RFC 3629 section 3), some do."""

TRUSTED_IDLE_S = 1.0
"""A pooled connection idle for longer is not used for a request that cannot be sent twice."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not passed on: the status for the client, and the reason in a sentence.

    `detail` is recorded. The client is told the same, unless `told` says less; `headers` go with the answer.
    """

    status_code: int
    detail: str
    headers: tuple[tuple[str, str], ...] = ()
    told: str | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: the believed address, what unvouched headers claim, and the public scheme and host."""

    address: str | None
    claim: str | None
    scheme: str
    host: str | None

    def origin(self, options: EngineOptions) -> str | None:
        """Return scheme and authority under which clients see the server; None where no request told it."""
        if options.public_origin is not None:
            return options.public_origin.rstrip("/")
        return None if self.host is None else f"{self.scheme}://{self.host}"


# -- requests -----------------------------------------------------------------------------------------------------


def wants_websocket(method: str, headers: Headers, http_version: str) -> bool:
    """Whether a request asks for a WebSocket (RFC 6455 section 4.1), and for nothing else."""
    options = {token.lower() for token in _values(headers, "connection")}
    wanted = [value.lower() for value in _values(headers, "upgrade")]
    asked = wanted == ["websocket"] and "upgrade" in options and "sec-websocket-key" in headers
    return asked and method == "GET" and http_version == "1.1"


def refuse_request(
    method: str, target: str, headers: Headers, http_version: str, *, websocket: bool = False
) -> Refusal | None:
    """Return why a request cannot be passed on whatever the upstream is; None where it can.

    CONNECT, absolute-form targets and Upgrade are refused (a reverse proxy is no way to somewhere else; an engine
    that passes WebSocket says so with `websocket`), and what RFC 9112 sections 3.2, 5.1 and 6.1 call malformed: a
    request that two parsers could read differently.
    """
    if method == "CONNECT":
        return Refusal(405, "CONNECT is not supported: this is a reverse proxy in front of one SCIM server")
    if not (target.startswith("/") or (target == "*" and method == "OPTIONS")):
        return Refusal(400, "the request target must be a path; this is a reverse proxy, not a forward proxy")
    if any(ord(character) <= 32 or ord(character) == 127 for character in target):
        return Refusal(400, "the request target contains a space or control character")
    if "upgrade" in headers and not (websocket and wants_websocket(method, headers, http_version)):
        hint = "; WebSocket is recorded with --engine mitmproxy" if not websocket else ""
        return Refusal(501, f"Upgrade to {headers.get('upgrade')!r} is not supported{hint}")
    hosts = len(headers.get_all("host"))
    if hosts > 1 or (not hosts and http_version != "1.0"):
        return Refusal(400, f"a request must have exactly one Host field, this one has {hosts}")
    return _bad_framing(headers, http_version)


def _bad_framing(headers: Headers, http_version: str) -> Refusal | None:
    lengths = headers.get_all("content-length")
    codings = headers.get_all("transfer-encoding")
    if lengths and codings:
        return Refusal(400, "the request has both Content-Length and Transfer-Encoding")
    if len(lengths) > 1 or (lengths and not is_size(lengths[0])):
        return Refusal(400, f"the request has no single valid Content-Length: {', '.join(lengths)!r}")
    if codings and (len(codings) > 1 or codings[0].lower() != "chunked" or http_version == "1.0"):
        return Refusal(400, f"Transfer-Encoding {', '.join(codings)!r} is not supported in a request, only chunked")
    return None


def is_size(text: str) -> bool:
    """Whether a text is a number of bytes that any parser can hold."""
    return text.isascii() and text.isdigit() and len(text) < 19


def map_target(target: str, options: EngineOptions) -> str | Refusal:
    """Return the request target for the upstream, or why there is none (see the module's docstring)."""
    if options.guard is not None and options.guard.secret_path is not None:
        below = _behind(target, options.guard.secret_path)
        if below is None:
            return Refusal(404, "the secret path is missing or wrong", told="nothing is served here")
        target = below
    public, private = options.served_path, options.target.base_path
    if not public and not private:
        return target
    path, mark, query = target.partition("?")
    if _ODD.search(path) is None and (path.startswith(public + "/") or path == public != ""):
        return (private + path[len(public) :] or "/") + mark + query
    if path == "*":
        return Refusal(404, f"OPTIONS * asks about the whole server, but only {public or '/'} is served here")
    rest = _below(path, public)
    if rest is None:
        return Refusal(404, _outside(path, public))
    if _climbs(rest):
        return Refusal(400, f"the path {path!r} climbs out of {public or '/'}")
    return (private + rest or "/") + mark + query


def _behind(target: str, secret: str) -> str | None:
    """Return the target without its first segment where that is the secret; compared in constant time."""
    path, mark, query = target.partition("?")
    segment, slash, rest = path[1:].partition("/")
    if not hmac.compare_digest(unquote(segment).encode("utf-8", "surrogatepass"), secret.encode()):
        return None
    return (slash + rest or "/") + mark + query


def _below(path: str, base: str) -> str | None:
    """Return what follows the base path, as it came; None where the path is not below it."""
    wanted = base.split("/")[1:]
    rest = path
    for segment in wanted:
        have, slash, after = rest[1:].partition("/")
        if unquote(have) != unquote(segment):
            return None
        rest = slash + after
    return rest


def _climbs(path: str) -> bool:
    """Whether a path, read in the most generous way, leaves the place where it starts."""
    plain = path.encode("latin-1", "replace")
    for _ in range(_ROUNDS):
        again = _decoded(plain)
        if again == plain:
            break
        plain = again
    else:
        return True  # coded so often only to hide something
    depth = 0
    for segment in plain.replace(b"\\", b"/").split(b"/"):
        name = _ENDS_NAME.split(segment, maxsplit=1)[0].strip()
        if name == b"..":
            depth -= 1
            if depth < 0:
                return True
        elif name not in {b"", b"."}:
            depth += 1
    return False


def _decoded(path: bytes) -> bytes:
    """Undo one layer of percent-coding, in the ways of careless decoders too: overlong UTF-8, `%u002e`."""
    units = _CODED_UNIT.sub(lambda unit: bytes([int(unit[1], 16)]), path)
    return _OVERLONG.sub(_shortest, unquote_to_bytes(units))


def _shortest(coded: re.Match[bytes]) -> bytes:
    """Return the ASCII byte that an overlong sequence stands for: the last seven bits of its payload."""
    return bytes([(coded[0][-2] & 0x01) << 6 | coded[0][-1] & 0x3F])


def _outside(path: str, public: str) -> str:
    return (
        f"{path!r} is outside {public}, the only path that is served here; "
        f"the base URL to give to a client ends with {public}"
    )


def caller_of(headers: Headers, peer_host: str | None, options: EngineOptions) -> Caller:
    """Tell who sent a request.

    Only where `vouches_for_client` says that our own tunnel wrote it, the last value of X-Forwarded-For (and of
    X-Forwarded-Proto) is believed; everything else that such fields hold is a claim of the client.
    """
    chain = _values(headers, "x-forwarded-for")
    claims = [*chain, *_values(headers, "x-real-ip"), *headers.get_all("forwarded")]
    address = peer_host
    if options.vouches_for_client and chain and (believed := _address(chain[-1])) is not None:
        address = believed
        del claims[len(chain) - 1]
    scheme = urlsplit(options.public_origin).scheme if options.public_origin is not None else "http"
    schemes = _values(headers, "x-forwarded-proto")
    if options.vouches_for_client and schemes and schemes[-1].lower() in {"http", "https"}:
        scheme = schemes[-1].lower()
    return Caller(address, ", ".join(claims) or None, scheme, headers.get("host"))


def _values(headers: Headers, name: str) -> list[str]:
    return [value.strip() for line in headers.get_all(name) for value in line.split(",") if value.strip()]


def _address(text: str) -> str | None:
    """Return an IP address that may carry a port; None where the text is none."""
    bare = text[1:].partition("]")[0] if text.startswith("[") else text
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return None


def upstream_headers(headers: Headers, caller: Caller, options: EngineOptions) -> Headers:
    """Return the fields to send upstream: end-to-end ones, our Host, and forwarding fields that say the truth.

    Framing (Content-Length, chunked) is the engine's to add with `framed`. With `rewrite_locations` the upstream is
    asked for an uncoded body, because only such a body can be rewritten.
    """
    kept = Headers((name, value) for name, value in end_to_end(headers) if not speaks_for_client(name))
    if options.guard is not None and options.guard.mark is not None:
        through = [*kept.get_all(VIA), options.guard.mark]
        kept = kept.without(VIA).with_added(VIA, ", ".join(through))
    if not options.preserve_host or caller.host is None:
        kept = (
            Headers([("Host", options.target.authority), *kept])
            if "host" not in kept
            else kept.with_field("Host", options.target.authority)
        )
    if options.rewrite_locations:
        kept = kept.with_field("Accept-Encoding", "identity")
    pairs = list(kept)
    public = urlsplit(options.public_origin).netloc if options.public_origin is not None else caller.host
    if caller.address is not None:
        pairs.append(("X-Forwarded-For", caller.address))
    if public is not None:
        pairs.append(("X-Forwarded-Host", public))
    pairs.append(("X-Forwarded-Proto", caller.scheme))
    pairs.append(("Forwarded", _forwarded(caller.address, public, caller.scheme)))
    return Headers(pairs)


def speaks_for_client(name: str) -> bool:
    """Whether a field tells of the client what only our tunnel can; WSGI and CGI read `_` as `-`."""
    plain = name.lower().replace("_", "-")
    return plain in FORWARDING or plain.startswith(_FORWARDING_PREFIXES)


def _forwarded(address: str | None, host: str | None, scheme: str) -> str:
    """Return the value of RFC 7239; what is no token is quoted."""
    parts = []
    if address is not None:
        parts.append(f'for="[{address}]"' if ":" in address else f"for={address}")
    if host is not None:
        escaped = host.replace("\\", "\\\\").replace('"', '\\"')
        parts.append(f'host="{escaped}"')
    return ";".join([*parts, f"proto={scheme}"])


# -- both directions ----------------------------------------------------------------------------------------------


def end_to_end(headers: Headers) -> Headers:
    """Return headers without those for one connection only, the ones named in Connection included.

    Framing is the engine's to add with `framed`.
    """
    named = {token.lower() for token in _values(headers, "connection")} - FRAMING
    return Headers(
        (name, " ".join(value.split("\r\n ")) if "\r\n " in value else value)
        for name, value in headers
        if name.lower() not in HOP_BY_HOP and name.lower() not in named
    )


def safe_trailers(trailers: Headers | None) -> Headers | None:
    """Return trailers without what changes how a message is framed, routed or trusted (RFC 9110 section 6.5.1)."""
    if trailers is None:
        return None
    return Headers(
        (name, value)
        for name, value in end_to_end(trailers)
        if name.lower() not in _NO_TRAILERS and not speaks_for_client(name)
    )


def single_length(headers: Headers) -> Headers:
    """Return headers with at most one Content-Length, and a valid one (RFC 9112 section 6.3)."""
    lines = headers.get_all("content-length")
    values = _values(headers, "content-length")
    if not lines or (len(lines) == 1 and is_size(lines[0])):
        return headers
    if len(set(values)) == 1 and is_size(values[0]):
        return headers.with_field("Content-Length", values[0])
    return headers.without("content-length")


Framing = Literal["length", "chunked", "close", "none"]


def framed(headers: Headers, framing: Framing, *, close: bool = False, length: int | None = None) -> Headers:
    """Return headers that announce how the body ends, and that the connection does.

    `length` replaces Content-Length where one is given; `chunked` and `close` take it away (RFC 9112 section 6.2).
    """
    shown = headers
    if framing in {"chunked", "close"}:
        shown = shown.without("content-length")
    if framing == "chunked":
        shown = shown.with_added("Transfer-Encoding", "chunked")
    if framing == "length" and length is not None:
        shown = shown.with_field("Content-Length", str(length))
    return shown.with_added("Connection", "close") if close or framing == "close" else shown


def response_framing(method: str, status_code: int, headers: Headers) -> tuple[Framing, int | None]:
    """Return how the body of an answer ends (RFC 9112 section 6.3), and its length where that is announced.

    An answer with both Transfer-Encoding and Content-Length is read as chunked, as the RFC says; `suspect` tells it.

    Raises:
        ValueError: the framing cannot be understood; the message says why.
    """
    if method == "HEAD" or status_code < 200 or status_code in {204, 304}:
        return "none", None
    codings = _values(headers, "transfer-encoding")
    if codings:
        if [coding.lower() for coding in codings] != ["chunked"]:
            raise ValueError(f"Transfer-Encoding {', '.join(codings)!r} is not supported, only chunked")
        return "chunked", None
    lengths = set(_values(headers, "content-length"))
    if not lengths:
        return "close", None
    length = lengths.pop()
    if lengths or not is_size(length):
        raise ValueError(f"Content-Length {', '.join(headers.get_all('content-length'))!r} is no single number")
    return "length", int(length)


def suspect(status_code: int, headers: Headers) -> bool:
    """Whether an answer's framing contradicts itself, so that its connection must not be used again."""
    if "transfer-encoding" not in headers:
        return status_code == 204 and (headers.get("content-length") or "0") != "0"
    return "content-length" in headers or status_code == 204


def client_framing(upstream: Framing, client_version: str) -> Framing:
    """Return how the body ends towards the client: an unknown length is chunked, or closes an HTTP/1.0 connection."""
    if upstream in {"chunked", "close"}:
        return "close" if client_version == "1.0" else "chunked"
    return upstream


def wants_close(headers: Headers, http_version: str) -> bool:
    """Whether a message says that its connection ends after it (RFC 9112 section 9.3)."""
    options = {token.lower() for token in _values(headers, "connection")}
    if "close" in options:
        return True
    return http_version == "1.0" and "keep-alive" not in options


def may_reuse(method: str, idle_s: float) -> bool:
    """Whether a request may go over a connection idle for so long; one that cannot be sent twice is careful."""
    return method in IDEMPOTENT or idle_s < TRUSTED_IDLE_S


def may_retry(method: str, *, attempts: int, reused: bool, answered: bool, replayable: bool) -> bool:
    """Whether to send a request again, after the upstream closed a kept-alive connection under it.

    Once, for idempotent methods, where no byte of an answer came and the whole body is still at hand.
    """
    return method in IDEMPOTENT and attempts == 1 and reused and not answered and replayable
