"""The guard before the upstream: which requests of strangers pass, and what the others are told.

One rule: pure and total. It is asked once for each request, before anything else happens; it knows no clock (moments
are passed in, monotonic seconds) and raises for no request. The order of the checks is cheap first, and a check never
tells what a later one would say: who does not know the secret path learns nothing about tokens.

Place in the flow: engine -> Guard.admit -> the target for the upstream, or a Refusal (recorded), or the answer to a
probe of our own (not recorded: it is no exchange of a client).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable
from urllib.parse import urlsplit

from scimproxy.exchange import Headers, Request, Response
from scimproxy.proxy import answers
from scimproxy.proxy.engine import EngineOptions, GuardOptions, Network
from scimproxy.proxy.forwarding import VIA, Caller, Refusal, is_size, map_target

__all__ = ["PROBE", "Guard", "probe_nonce", "probe_proof", "too_large"]

PROBE = "Scimproxy-Probe"
"""Carries the nonce of a probe, and in its answer the proof that it was this very process that answered."""

_OVERRIDES = ("x-http-method-override", "x-http-method", "x-method-override")
"""Fields that some servers obey instead of the method; SCIM 1.1 clients send the first with a PATCH."""

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::([0-9]{0,5}))?")
_MOST_CLIENTS = 10_000
_MINUTE_S = 60.0


# -- probes -------------------------------------------------------------------------------------------------------


def probe_nonce(key: bytes, salt: str) -> str:
    """Return a nonce that a guard with this key knows for its own; `salt` (no dot) is new for each probe."""
    return f"{salt}.{_signed(key, 'ask', salt)}"


def probe_proof(key: bytes, nonce: str) -> str:
    """Return what the answer to this nonce holds where it comes from the process with this key."""
    return _signed(key, "answer", nonce)


def _signed(key: bytes, purpose: str, text: str) -> str:
    return hmac.new(key, f"{purpose}:{text}".encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


# -- the guard ----------------------------------------------------------------------------------------------------


class Guard:
    """Judges requests; one for each engine.

    Args:
        options: the engine's options.
        guard: what strangers may do.
    """

    def __init__(self, options: EngineOptions, guard: GuardOptions) -> None:
        self._options = options
        self._guard = guard
        self._host = _public(options.public_origin)
        self._known_host: str | None = None
        self._token = None if guard.token is None else _digest(guard.token)
        self._allowed = None if guard.allow is None else _Ranges(guard.allow)
        self._rates = _Rates(guard.rate_per_client, guard.rate_overall)

    def public_at(self, origin: str | None) -> None:
        """Tell under which scheme and authority clients see us from now on: a tunnel's URL may change."""
        self._host, self._known_host = _public(origin), None

    def admit(self, request: Request, caller: Caller, now_m: float) -> str | Refusal | Response:
        """Return the target for the upstream, why there is none, or the answer to a probe of our own."""
        nonce = request.headers.get(PROBE)
        if nonce is not None and (answer := self._probed(nonce)) is not None:
            return answer
        refusal = self._unfit(request)
        if refusal is not None:
            return refusal
        target = map_target(request.target, self._options)
        if isinstance(target, Refusal):
            return target
        return self._unwelcome(request.headers, caller) or self._rates.refusal(caller.address, now_m) or target

    def _probed(self, nonce: str) -> Response | None:
        key = self._guard.probe_key
        if key is None or not _same(nonce, probe_nonce(key, nonce.partition(".")[0])):
            return None
        fields = [(PROBE, probe_proof(key, nonce)), ("Cache-Control", "no-store"), (answers.ORIGIN_HEADER, "proxy")]
        return Response(204, "No Content", headers=Headers(fields))

    def _unfit(self, request: Request) -> Refusal | None:
        """Return why the request as such is refused, whoever sent it: its method, the way it took, its Host."""
        headers, methods = request.headers, self._guard.methods
        wanted = [request.method, *(value.strip().upper() for name in _OVERRIDES for value in headers.get_all(name))]
        unknown = next((method for method in wanted if method not in methods), None)
        if unknown is not None:
            allow = ("Allow", ", ".join(methods))
            return Refusal(405, f"the method {unknown[:32]!r} is not allowed here, only {allow[1]}", (allow,))
        if self._guard.mark is not None and self._guard.mark in _listed(headers, VIA):
            return Refusal(508, "the request went through this scimproxy already: TARGET leads back to it")
        host = headers.get("host")
        if self._host is not None and (host is None or not self._knows(host)):
            given = "no Host" if host is None else f"the Host {host!r}"
            return Refusal(
                421,
                f"{given}, but only {self._host} and this machine itself are served",
                told="this is not the host that you are looking for",
            )
        return None

    def _knows(self, host: str) -> bool:
        """Whether a Host is the public one, or loopback (a tunnel may rewrite it; DNS rebinding cannot)."""
        if host == self._known_host:  # it is nearly always the same
            return True
        authority = _authority(host)
        if authority is None or not (authority == self._host or _is_loopback(authority)):
            return False
        self._known_host = host
        return True

    def _unwelcome(self, headers: Headers, caller: Caller) -> Refusal | None:
        """Return why the one who sent the request is refused: the address, the token; or what it carries."""
        if self._allowed is not None and not self._allowed.hold(caller.address):
            return Refusal(
                403, f"the client address {caller.address} is not on the list of --allow", told="you may not come in"
            )
        if self._token is not None and (refusal := self._unproven(headers)) is not None:
            return refusal
        length = headers.get("content-length")
        most = self._guard.max_body
        if most is not None and length is not None and is_size(length) and int(length) > most:
            return too_large(most, int(length))
        return None

    def _unproven(self, headers: Headers) -> Refusal | None:
        given = headers.get_all("authorization")
        scheme, _, token = given[0].strip().partition(" ") if len(given) == 1 else ("", "", "")
        assert self._token is not None
        if scheme.lower() == "bearer" and hmac.compare_digest(_digest(token.strip()), self._token):
            return None
        if not given:
            detail, challenge = "no bearer token, and one is required (--require-token)", 'Bearer realm="scimproxy"'
        else:
            detail = "the bearer token is not the one that is required (--require-token)"
            challenge = 'Bearer realm="scimproxy", error="invalid_token"'
        return Refusal(401, detail, (("WWW-Authenticate", challenge),))


def too_large(most: int, length: int | None = None) -> Refusal:
    """Return the refusal of a body larger than `most` bytes (RFC 9110 section 15.5.14)."""
    size = "more" if length is None else f"{length} bytes"
    return Refusal(413, f"the body is larger than {most} bytes ({size}); --max-body allows more")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(_digest(one), _digest(other))


def _listed(headers: Headers, name: str) -> set[str]:
    return {value.strip() for line in headers.get_all(name) for value in line.split(",")}


# -- hosts and addresses ------------------------------------------------------------------------------------------


def _public(origin: str | None) -> str | None:
    """Return the authority of an origin; where it has no usable one, a text that no Host equals."""
    if origin is None:
        return None
    given = urlsplit(origin).netloc
    try:
        plain = given.encode("idna").decode()
    except UnicodeError:
        plain = given
    return _authority(plain) or plain


def _authority(text: str) -> str | None:
    """Return host and port in one spelling, without a default port; None where the text is something else."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    host, port = found[1].lower().removesuffix("."), found[2]
    if host.startswith("["):
        address = _address(host[1:-1])
        if address is None:
            return None
        host = f"[{address}]" if address.version == 6 else str(address)
    return f"{host}:{int(port)}" if port and port not in {"80", "443"} else host


def _is_loopback(authority: str) -> bool:
    host = authority[1:].partition("]")[0] if authority.startswith("[") else authority.partition(":")[0]
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address, an IPv4 one also where it is written as IPv6; None where the text is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


class _Ranges:
    """Answers quickly whether an address is in one of many networks: sorted, merged, searched by halves."""

    def __init__(self, networks: Iterable[Network]) -> None:
        given = list(networks)
        self._known: dict[int, tuple[list[int], list[int]]] = {}
        self._add(4, ipaddress.collapse_addresses(one for one in given if one.version == 4))
        self._add(6, ipaddress.collapse_addresses(one for one in given if one.version == 6))

    def _add(self, version: int, networks: Iterable[Network]) -> None:
        spans = sorted((int(one.network_address), int(one.broadcast_address)) for one in networks)
        self._known[version] = [first for first, _ in spans], [last for _, last in spans]

    def hold(self, text: str | None) -> bool:
        """Whether an address is in one of the networks."""
        address = None if text is None else _address(text)
        if address is None:
            return False
        firsts, lasts = self._known[address.version]
        at = bisect_right(firsts, int(address)) - 1
        return at >= 0 and int(address) <= lasts[at]


# -- rates --------------------------------------------------------------------------------------------------------


class _Bucket:
    """Holds up to a minute's worth of requests and fills up evenly."""

    __slots__ = ("_at_m", "_left", "_per_minute")

    def __init__(self, per_minute: int, now_m: float) -> None:
        self._per_minute = per_minute
        self._left = float(per_minute)
        self._at_m = now_m

    def wait_s(self, now_m: float) -> float:
        """Return how long it takes until a request may pass; 0.0 where one may now."""
        passed_s = max(0.0, now_m - self._at_m)
        self._left = min(float(self._per_minute), self._left + passed_s * self._per_minute / _MINUTE_S)
        self._at_m = max(self._at_m, now_m)
        return 0.0 if self._left >= 1.0 else (1.0 - self._left) * _MINUTE_S / self._per_minute

    def take(self) -> None:
        """Count a request that passes."""
        self._left -= 1.0


class _Rates:
    """Limits requests per client and over all. Only what would pass counts: strangers take nobody's turn.

    Clients are told apart by address, in IPv6 by the network of a customer (/64). The one not seen for the longest
    time is forgotten where there are too many.
    """

    def __init__(self, per_client: int | None, overall: int | None) -> None:
        self._per_client = per_client
        self._all = None if overall is None else _Bucket(overall, 0.0)
        self._clients: OrderedDict[str, _Bucket] = OrderedDict()

    def refusal(self, address: str | None, now_m: float) -> Refusal | None:
        """Return why a request must wait; None where it may pass, and then it is counted."""
        buckets = [] if self._all is None else [self._all]
        if self._per_client is not None:
            buckets.append(self._of(address, self._per_client, now_m))
        wait_s = max((bucket.wait_s(now_m) for bucket in buckets), default=0.0)
        if wait_s > 0.0:
            seconds = max(1, math.ceil(wait_s))
            return Refusal(429, f"too many requests; the next one may come in {seconds} s", _retry_after(seconds))
        for bucket in buckets:
            bucket.take()
        return None

    def _of(self, address: str | None, per_minute: int, now_m: float) -> _Bucket:
        who = _client(address)
        bucket = self._clients.get(who)
        if bucket is None:
            bucket = self._clients[who] = _Bucket(per_minute, now_m)
            if len(self._clients) > _MOST_CLIENTS:
                self._clients.popitem(last=False)
        else:
            self._clients.move_to_end(who)
        return bucket


def _retry_after(seconds: int) -> tuple[tuple[str, str], ...]:
    return (("Retry-After", str(seconds)),)


def _client(address: str | None) -> str:
    if address is None or ":" not in address:
        return address or ""
    known = _address(address)
    if not isinstance(known, ipaddress.IPv6Address):
        return str(known)
    return str(ipaddress.ip_network((int(known) >> 64 << 64, 64)))
