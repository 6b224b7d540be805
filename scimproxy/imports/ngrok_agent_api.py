"""What ngrok's agent on this machine has kept, asked of its local API.

One rule: loopback only, because whoever answers is believed; bounded, and every failure is an error that says what to
do. Edge: sends through client.py. Used by `scimproxy import --ngrok`; ngrok_requests.py reads the answer.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from scimproxy.client import Client
from scimproxy.errors import FormatError, ScimproxyError, UsageError
from scimproxy.exchange import Headers, Request

__all__ = ["captured"]

_PATH = "/api/requests/http"
_MOST = 10_000
"""Requests that the agent is asked for; it answers with fewer by itself."""


async def captured(url: str, *, limit: int) -> bytes:
    """Return the agent's list of captured requests, as JSON, at most `limit` bytes.

    Raises:
        UsageError: the URL is not one of this machine.
        ScimproxyError: nothing answers there, or not with a list of requests.
        FormatError: the answer is larger than `limit`.
    """
    origin = _origin(url)
    async with Client(timeout_s=30.0, connect_timeout_s=3.0, max_content=limit) as client:
        request = Request("GET", f"{_PATH}?limit={_MOST}", headers=Headers([("Accept", "application/json")]))
        exchange = await client.send(request, origin)
    answer = exchange.response
    if answer is None or exchange.failure is not None:
        why = "no answer" if exchange.failure is None else exchange.failure.message
        raise ScimproxyError(
            f"ngrok's agent does not answer at {origin}: {why}",
            hint="it listens there while a tunnel is open; another address stands in its configuration as web_addr",
        )
    if answer.status_code != 200:
        raise ScimproxyError(
            f"{origin}{_PATH} answered {answer.status_code}",
            hint="is this ngrok's agent? Give its address to --ngrok",
        )
    if answer.content.truncated:
        raise FormatError(f"ngrok's agent holds more than {limit} bytes", hint="allow more with --max-size")
    return answer.content.data


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise UsageError(f"--ngrok {url[:60]}: {exc}", hint="write it like http://127.0.0.1:4040") from exc
    if parts.scheme != "http" or not _is_loopback(host):
        raise UsageError(
            f"--ngrok {url[:60]}: not an address of this machine",
            hint="write it like http://127.0.0.1:4040; from elsewhere, save the answer and import the file",
        )
    return f"http://{f'[{host}]' if ':' in host else host}:{port or 4040}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
