"""One request through the public URL: does the whole way work, and where it does not, which part is broken?

One rule: only an answer of our own listener is proof: either the engine answers a probe itself (204 with what only
this process can know), or the exchange with this nonce was recorded here. Edge: the network, through our own client.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from scimproxy import __version__
from scimproxy.client import Client
from scimproxy.exchange import Exchange, Failure, Headers, Request
from scimproxy.tunnel.ngrok_errors import CODES, code_in
from scimproxy.tunnel.probe import HEADER, PROBED
from scimproxy.tunnel.supervisor import Proof

__all__ = ["Prober", "judge"]

TIMEOUT_S = 10.0
_SEEN_S = 2.0


class Prober:
    """Proves a public URL, call it with the URL.

    Args:
        base: the public base path, like /scim/v2.
        seen: whether a request with this nonce has reached our listener.
        nonce: makes the value of the probe's header; the engine's own where it answers probes.
        proof: what the engine's own answer to a nonce holds, where it answers probes.
    """

    def __init__(
        self,
        base: str,
        seen: Callable[[str], Awaitable[bool]],
        *,
        nonce: Callable[[], str] | None = None,
        proof: Callable[[str], str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._base = base
        self._seen = seen
        self._nonce = nonce or _random
        self._proof = proof
        self._timeout_s = timeout_s

    async def __call__(self, url: str) -> Proof:
        """Send a probe; returns what came of it, and never raises for the network."""
        nonce = self._nonce()
        host = urlsplit(url).netloc
        request = Request(
            "GET",
            self._base + PROBED,
            headers=Headers(
                [
                    ("Host", host),
                    ("User-Agent", f"scimproxy-probe/{__version__}"),
                    ("Accept", "application/scim+json, application/json"),
                    ("ngrok-skip-browser-warning", "scimproxy"),
                    ("bypass-tunnel-reminder", "scimproxy"),
                    ("X-Tunnel-Skip-AntiPhishing-Page", "scimproxy"),
                    (HEADER, nonce),
                ]
            ),
        )
        named = os.environ.get("SSL_CERT_FILE")
        async with Client(
            timeout_s=self._timeout_s, max_content=64 * 1024, ca=Path(named) if named else None
        ) as client:
            exchange = await client.send(request, url)
        proof = None if self._proof is None else self._proof(nonce)
        return judge(exchange, host, seen=await self._arrived(exchange, nonce), proof=proof)

    async def _arrived(self, exchange: Exchange, nonce: str) -> bool:
        """Whether it reached us; an exchange without an answer may be written a moment later."""
        if await self._seen(nonce):
            return True
        if exchange.response is not None:
            return False
        await asyncio.sleep(_SEEN_S / 4)
        return await self._seen(nonce)


def _random() -> str:
    return secrets.token_hex(16)


def judge(exchange: Exchange, host: str, *, seen: bool, proof: str | None = None) -> Proof:
    """Say what the answer to a probe means; `proof` is what our engine's own answer to it holds."""
    answer, failure = exchange.response, exchange.failure
    if answer is None:
        return Proof(ok=False, message=_unanswered(failure, host, seen=seen))
    if seen or (proof is not None and answer.status_code == 204 and answer.headers.get(HEADER) == proof):
        took = f" in {(exchange.ended_at - exchange.started_at) * 1000:.0f} ms" if exchange.ended_at else ""
        return Proof(ok=True, message=f"a request through the public URL came back{took}")
    code = code_in(answer.headers.get("ngrok-error-code") or "")
    if code is not None and code in CODES:
        return Proof(ok=False, message=f"{CODES[code].message} ({code}): {CODES[code].hint}")
    if code is not None:
        return Proof(ok=False, message=f"ngrok answers {answer.status_code} itself ({code})")
    return Proof(
        ok=False,
        message=f"{host} answers {answer.status_code}, but the request did not reach scimproxy: "
        "the tunnel's service answers by itself, or the URL leads to another program",
    )


def _unanswered(failure: Failure | None, host: str, *, seen: bool) -> str:
    said = failure.message.rstrip(".") if failure is not None else "nothing came"
    if seen:
        return f"a request reached scimproxy through {host}, but its answer did not get back: {said}"
    kind = failure.kind if failure is not None else "internal"
    if kind == "dns":
        return f"the name {host} cannot be resolved yet; a new name may take a minute ({said})"
    if kind == "tls":
        return f"the certificate of {host} is not accepted by this machine: {said}"
    if kind in {"refused", "unreachable", "timeout"}:
        return f"the tunnel's service cannot be reached at {host}: {said}"
    return f"the tunnel's service at {host} gives no answer: {said}"
