"""What ngrok's agent has kept of the traffic through its tunnels, as a run: the JSON of `/api/requests/http`.

One rule: the raw bytes are read where they are there, and the parsed members only where they are not; a fault names
its place (`requests[3].request.raw`). Pure; `import FILE` reads a saved answer, `import --ngrok` asks the agent.
Source: https://ngrok.com/docs/agent/api (list captured requests).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from scimproxy.bounded_json import LIMIT, parsed
from scimproxy.errors import FormatError
from scimproxy.exchange import Exchange, Headers, Request, Response, Run, Timings
from scimproxy.exports.raw_messages import request_of, response_of
from scimproxy.plain import from_base64

__all__ = ["MOST_REQUESTS", "from_ngrok", "is_ngrok"]

MOST_REQUESTS = 100_000
_FRACTION = re.compile(r"\.(\d{6})\d+")


def is_ngrok(document: dict[str, Any]) -> bool:
    """Whether a document looks like what the agent answers: requests with the names of tunnels, or one of them."""
    found = document.get("requests")
    one = found[0] if isinstance(found, list) and found else document
    return (isinstance(one, dict) and "tunnel_name" in one) or document.get("uri") == "/api/requests/http"


def from_ngrok(data: bytes | dict[str, Any], *, limit: int = LIMIT) -> tuple[Run, list[Exchange]]:
    """Return the run and its exchanges, the oldest first (the agent lists the newest first).

    Raises:
        FormatError: it is no such document, or is damaged or too large.
    """
    document = data if isinstance(data, dict) else parsed(data, limit=limit, what="list of ngrok's requests")
    listed = document.get("requests", [document] if "request" in document else None)
    if not isinstance(listed, list):
        raise FormatError("requests: not a list", hint="save what http://127.0.0.1:4040/api/requests/http answers")
    if len(listed) > MOST_REQUESTS:
        raise FormatError(f"requests: {len(listed)}, more than {MOST_REQUESTS}")
    exchanges = [_exchange(one, f"requests[{at}]") for at, one in enumerate(listed)]
    exchanges.sort(key=lambda one: one.started_at)
    run = Run(
        kind="import",
        name="ngrok",
        started_at=exchanges[0].started_at if exchanges else 0.0,
        ended_at=max((one.ended_at or one.started_at for one in exchanges), default=None),
        exchange_count=len(exchanges),
    )
    return run, exchanges


def _exchange(one: object, place: str) -> Exchange:
    if not isinstance(one, dict):
        raise FormatError(f"{place}: not an object")
    given = _object(one.get("request"), f"{place}.request")
    raw = _raw(given, f"{place}.request")
    request = _request(given, f"{place}.request") if raw is None else request_of(raw, f"{place}.request.raw")
    answer = one.get("response")
    response = None
    if answer:
        told = _object(answer, f"{place}.response")
        raw = _raw(told, f"{place}.response")
        response = (
            _response(told, f"{place}.response")
            if raw is None
            else response_of(raw, f"{place}.response.raw", method=request.method)
        )
    started_at = _moment(one.get("start"), f"{place}.start")
    took = one.get("duration")
    if took is not None and (isinstance(took, bool) or not isinstance(took, int | float) or not 0 <= took < 1e18):
        raise FormatError(f"{place}.duration: not a number")
    proto = (request.headers.get("X-Forwarded-Proto") or "").rpartition(",")[2].strip()
    address = one.get("remote_addr")
    return Exchange(
        request=request,
        response=response,
        state="aborted" if response is None else "complete",
        origin=None if response is None else "upstream",
        started_at=started_at,
        ended_at=None if took is None else started_at + took / 1e9,
        timings=Timings(total=None if took is None else took / 1e6),
        scheme=proto if proto in {"http", "https"} else "https",
        host=request.headers.get("Host"),
        client_claim=address if isinstance(address, str) and address else None,
        tags=("ngrok",),
    )


def _object(value: object, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FormatError(f"{place}: not an object")
    return value


def _raw(holder: dict[str, Any], place: str) -> bytes | None:
    text = holder.get("raw")
    if not text:
        return None
    if not isinstance(text, str):
        raise FormatError(f"{place}.raw: not a text")
    return from_base64("".join(text.split()), f"{place}.raw")


def _moment(text: object, place: str) -> float:
    if not isinstance(text, str):
        raise FormatError(f"{place}: not a time")
    try:
        at = datetime.fromisoformat(_FRACTION.sub(r".\1", text))  # ngrok writes nanoseconds
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        return at.timestamp()
    except ValueError as exc:
        raise FormatError(f"{place}: {text[:40]!r} is not a time") from exc


def _headers(holder: dict[str, Any], place: str) -> Headers:
    given = holder.get("headers") or {}
    if not isinstance(given, dict):
        raise FormatError(f"{place}.headers: not an object")
    return Headers(
        (_wire(name), _wire(str(value)))
        for name, values in given.items()
        for value in (values if isinstance(values, list) else [values])
    )


def _request(given: dict[str, Any], place: str) -> Request:
    method, uri = given.get("method"), given.get("uri")
    if not isinstance(method, str) or not isinstance(uri, str):
        raise FormatError(f"{place}: neither raw nor method and uri")
    return Request(method=_wire(method), target=_wire(uri), headers=_headers(given, place))


def _response(given: dict[str, Any], place: str) -> Response:
    status = given.get("status_code")
    if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 999:
        raise FormatError(f"{place}: neither raw nor status_code")
    reason = str(given.get("status") or "").partition(" ")[2]
    return Response(status_code=status, reason=_wire(reason), headers=_headers(given, place))


def _wire(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").decode("latin-1")
