"""A client's patience: sending a request again while the server is busy, gone, or answers with a gateway's page.

One rule: as Okta does it: Retry-After is taken as whole seconds only, without one the waits grow; at the end the last
answer counts, whatever it is. Place in the flow: a suite under faults -> send_retrying -> Client.send.
"""

from __future__ import annotations

import asyncio

from scimproxy.client import Client
from scimproxy.exchange import Exchange, Request

__all__ = ["RETRIED", "send_retrying"]

RETRIED = frozenset({408, 429, 502, 503, 504})
FIRST_S = 0.1
LONGEST_S = 60.0

pause = asyncio.sleep


async def send_retrying(client: Client, request: Request, origin: str, *, retries: int) -> Exchange:
    """Send a request, and up to so many times again; return what became of the last try."""
    wait_s = FIRST_S
    for _ in range(retries):
        exchange = await client.send(request, origin)
        response = exchange.response
        if exchange.failure is None and response is not None and response.status_code not in RETRIED:
            return exchange
        told = response.headers.get("retry-after") if response is not None else None
        known = told is not None and told.isascii() and told.isdigit() and len(told) < 6
        await pause(min(float(told), LONGEST_S) if known and told is not None else wait_s)
        wait_s = min(wait_s * 2, LONGEST_S)
    return await client.send(request, origin)
