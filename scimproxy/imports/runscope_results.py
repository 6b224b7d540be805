"""A result of Runscope's API (or of our `run --json`) as a run: what was sent, and what is told of the answers.

One rule: nothing is made up. Most results hold no bodies: an answer then has a status and a size, and its content
says that it is not all there. Rows that sent nothing (initial script, pauses, skipped steps) are left out. Pure.
Source: reference of the result API (requests, timings), and the script objects where a step's detail was saved.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from scimproxy.bounded_json import LIMIT, parsed
from scimproxy.errors import FormatError
from scimproxy.exchange import Content, Exchange, Failure, Headers, Request, Response, Run, Timings

__all__ = ["MOST_REQUESTS", "from_runscope", "is_runscope"]

MOST_REQUESTS = 100_000
_METHODS_LONGEST = 200


def is_runscope(document: dict[str, Any]) -> bool:
    """Whether a document looks like a result: requests with results, alone or in the API's envelope."""
    data = _data(document)
    return isinstance(data.get("requests"), list) and ("test_run_id" in data or "test_id" in data or "result" in data)


def from_runscope(data: bytes | dict[str, Any], *, limit: int = LIMIT) -> tuple[Run, list[Exchange]]:
    """Return the run and its exchanges.

    Raises:
        FormatError: it is no result, or is damaged or too large.
    """
    document = data if isinstance(data, dict) else parsed(data, limit=limit, what="result of Runscope")
    found = _data(document)
    listed = found.get("requests")
    if not isinstance(listed, list):
        raise FormatError("requests: not a list", hint="save what /buckets/KEY/tests/ID/results/RUN answers")
    if len(listed) > MOST_REQUESTS:
        raise FormatError(f"requests: {len(listed)}, more than {MOST_REQUESTS}")
    at = _number(found, "started_at", "") or 0.0
    started_at = at
    exchanges: list[Exchange] = []
    for number, one in enumerate(listed):
        place = f"requests[{number}]"
        if not isinstance(one, dict):
            raise FormatError(f"{place}: not an object")
        if one.get("method") and one.get("url") and one.get("result") not in {"skipped", "canceled"}:
            exchanges.append(_exchange(one, at, place))
            at = exchanges[-1].ended_at or at
    name = found.get("test_name")
    run = Run(
        kind="import",
        name=name[:200] if isinstance(name, str) and name else "Runscope",
        started_at=started_at,
        ended_at=_number(found, "finished_at", "") or at,
        note=f"Runscope: {found['result']}" if isinstance(found.get("result"), str) else None,
        exchange_count=len(exchanges),
    )
    return run, exchanges


def _data(document: dict[str, Any]) -> dict[str, Any]:
    inner = document.get("data")
    return inner if isinstance(inner, dict) else document


def _exchange(one: dict[str, Any], at: float, place: str) -> Exchange:
    sent = one.get("request") if isinstance(one.get("request"), dict) else {}
    assert isinstance(sent, dict)
    url, method = sent.get("url") or one["url"], sent.get("method") or one["method"]
    if not isinstance(url, str) or not isinstance(method, str) or len(method) > _METHODS_LONGEST:
        raise FormatError(f"{place}: method and url are no texts")
    try:
        parts = urlsplit(url)
    except ValueError as exc:
        raise FormatError(f"{place}.url: {exc}") from exc
    host = _wire(parts.netloc.rpartition("@")[2])
    headers = _headers(sent, f"{place}.request")
    if "Host" not in headers and host:
        headers = Headers([("Host", host), *headers])
    timings, total = _timings(one, place)
    response = _response(one, place)
    errors = one.get("error_messages")
    told = "; ".join(str(it)[:500] for it in errors[:20]) if isinstance(errors, list) else ""
    note = " ".join(it for it in (one.get("note"), f"({one.get('result')})") if isinstance(it, str) and it.strip())
    return Exchange(
        request=Request(
            method=_wire(method),
            target=_wire((parts.path or "/") + (f"?{parts.query}" if parts.query else "")),
            headers=headers,
            content=Content.of(_bytes(sent.get("body"))),
        ),
        response=response,
        failure=Failure("protocol", told) if told and response is None else None,
        origin=None if response is None else "upstream",
        state="complete" if response is not None or told else "aborted",
        started_at=at,
        ended_at=at + total / 1000,
        timings=timings,
        scheme=_wire(parts.scheme) or None,
        host=host or None,
        note=note or None,
        tags=("runscope",),
    )


def _response(one: dict[str, Any], place: str) -> Response | None:
    got = one.get("response") if isinstance(one.get("response"), dict) else {}
    assert isinstance(got, dict)
    status = next(
        (
            _status(it)
            for it in (got.get("status"), got.get("status_code"), one.get("response_status_code"), _asserted(one))
            if _status(it) is not None
        ),
        None,
    )
    if status is None:
        return None
    body = got.get("body")
    size = _number(one, "response_size_bytes", place) or _number(got, "size_bytes", place)
    content = Content.of(_bytes(body)) if body is not None else Content(size=int(size or 0))
    reason = got.get("reason")
    return Response(
        status_code=status,
        reason=_wire(reason) if isinstance(reason, str) else "",
        headers=_headers(got, f"{place}.response"),
        content=content,
    )


def _asserted(one: dict[str, Any]) -> object:
    """Return the status that an assertion saw: most results tell it nowhere else."""
    rows = one.get("assertions")
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and row.get("source") in {"status_code", "response_status"}:
            return row.get("actual_value")
    return None


def _status(value: object) -> int | None:
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return int(text) if len(text) == 3 and text.isascii() and text.isdigit() and text[0] != "0" else None


def _timings(one: dict[str, Any], place: str) -> tuple[Timings, float]:
    given = one.get("timings")
    given = given if isinstance(given, dict) else {}
    found = {name: _number(given, f"{name}_ms", f"{place}.timings") for name in _PHASES}
    total = _number(one, "response_time_ms", place)
    if total is None:
        total = sum(value for value in found.values() if value is not None)
    send = [found[name] for name in ("send_headers", "send_body") if found[name] is not None]
    timings = Timings(
        dns=found["dns_lookup"],
        connect=found["dial"],
        send=sum(filter(None, send)) if send else None,
        wait=found["wait_for_response"],
        receive=found["receive_response"],
        total=total or None,
    )
    return timings, total


_PHASES = ("dns_lookup", "dial", "send_headers", "send_body", "wait_for_response", "receive_response")


def _number(holder: dict[str, Any], name: str, place: str) -> float | None:
    found = holder.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < 1e15:
        raise FormatError(f"{place}.{name}: not a number".lstrip("."))
    return float(found)


def _headers(holder: dict[str, Any], place: str) -> Headers:
    given = holder.get("headers") or {}
    if not isinstance(given, dict):
        raise FormatError(f"{place}.headers: not an object")
    pairs = [
        (_wire(name), _wire(str(value)))
        for name, values in given.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    return Headers(pairs)


def _bytes(body: object) -> bytes:
    if body is None:
        return b""
    text = body if isinstance(body, str) else json.dumps(body)
    return text.encode("utf-8", "surrogatepass")


def _wire(text: str) -> str:
    """Return a text as ISO-8859-1 can carry it: the bytes of its UTF-8 (RFC 9110 section 5.5)."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1")
