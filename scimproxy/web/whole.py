"""All of an exchange as JSON, for the API: names stay, so that programs can rely on them.

One rule: bounded and without secrets: what was recorded with --keep-secrets is redacted here once more, and a body is
given up to a limit and says so. What a page shows of an exchange is detail.py's. Pure.
"""

from __future__ import annotations

import json
from typing import Any

from scimproxy.amounts import iso as iso_text
from scimproxy.decode import charset_of, decode, text_of
from scimproxy.detail import PHASES, header_changes
from scimproxy.exchange import Certificate, Connection, Content, Exchange, Headers, Tls
from scimproxy.redact import redact
from scimproxy.scim.message import Operation, operation_of
from scimproxy.scim.wording import filter_lines

__all__ = ["SHOWN", "iso", "resource_in", "whole"]

SHOWN = 512 * 1024
"""Characters of a body that are shown; the whole is for downloading."""


def whole(exchange: Exchange) -> dict[str, Any]:
    """Return all of an exchange; `iso` texts for times, None for what is not known."""
    exchange, _ = redact(exchange)
    operation = operation_of(exchange)
    request, response, failure = exchange.request, exchange.response, exchange.failure
    return {
        "id": exchange.id,
        "seq": exchange.seq,
        "run_id": exchange.run_id,
        "parent_id": exchange.parent_id,
        "state": exchange.state,
        "origin": exchange.origin,
        "started_at": iso(exchange.started_at),
        "ended_at": iso(exchange.ended_at),
        "client": exchange.client,
        "client_address": exchange.client_address,
        "client_claim": exchange.client_claim,
        "scheme": exchange.scheme,
        "host": exchange.host,
        "note": exchange.note,
        "tags": list(exchange.tags),
        "failure": None
        if failure is None
        else {"kind": failure.kind, "phase": failure.phase, "side": failure.side, "message": failure.message},
        "request": {
            "method": request.method,
            "target": request.target,
            "http_version": request.http_version,
            **_message(request.headers, request.content, request.trailers),
        },
        "response": None
        if response is None
        else {
            "status_code": response.status_code,
            "reason": response.reason,
            "http_version": response.http_version,
            **_message(response.headers, response.content, response.trailers),
        },
        "sent_on": _sent_on(exchange),
        "came_back": None
        if exchange.upstream_response_headers is None or response is None
        else _changed(response.headers, exchange.upstream_response_headers),
        "rewrites": [{"place": one.place, "before": one.before, "after": one.after} for one in exchange.rewrites],
        "connection": {
            "client": _connection(exchange.client_connection, exchange.client_index),
            "upstream": _connection(exchange.upstream_connection, exchange.upstream_index),
            "upstream_address": exchange.upstream_address,
            "attempts": exchange.attempts,
            "ended": exchange.ended,
            "reused": exchange.reused,
        },
        "timings": {"total_ms": exchange.timings.total, "phases": _phases(exchange)},
        "operation": _operation(operation),
    }


def _phases(exchange: Exchange) -> list[dict[str, Any]]:
    """Return the phases that are known, each with where it begins; milliseconds. One follows on the other."""
    found: list[dict[str, Any]] = []
    begun = 0.0
    for name in PHASES:
        taken = getattr(exchange.timings, name)
        if taken is not None:
            found.append({"name": name, "start_ms": round(begun, 4), "ms": taken})
            begun += taken
    return found


def resource_in(content: Content, headers: Headers) -> dict[str, Any] | None:
    """Return the SCIM resource that a body is; None where it is none, or a list, or an error."""
    text = text_of(decode(content, headers, limit=SHOWN).data, charset_of(headers)).text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and isinstance(value.get("id"), str) else None


def _message(headers: Headers, content: Content, trailers: Headers | None) -> dict[str, Any]:
    return {
        "headers": [list(pair) for pair in headers],
        "trailers": None if trailers is None else [list(pair) for pair in trailers],
        "content": _content(content, headers),
    }


def _content(content: Content, headers: Headers) -> dict[str, Any]:
    """Return a body: `form` says what it is (none, json, text, binary); `remarks` what a reader should know of it."""
    found: dict[str, Any] = {
        "size": content.size,
        "stored": len(content.data),
        "sha256": content.sha256,
        "media_type": headers.get("content-type"),
        "form": "none",
        "text": None,
        "cut": False,
        "remarks": [],
    }
    if not content.size:
        return found
    remarks: list[str] = found["remarks"]
    if content.truncated:
        remarks.append(f"stored in part: {len(content.data):,} of {content.size:,} bytes")
    if content.redacted:
        remarks.append("secrets in it were replaced by fingerprints before it was stored")
    decoded = decode(content, headers, limit=4 * SHOWN)
    if decoded.problem:
        remarks.append(decoded.problem)
    read = text_of(decoded.data, charset_of(headers))
    if "\0" in read.text or "\ufffd" in read.text[:-1]:
        found["form"] = "binary"
        remarks.append("no text; download it to see it")
        return found
    if read.problem:
        remarks.append(read.problem)
    text = read.text[:SHOWN]
    found["cut"] = len(text) < len(read.text)
    if found["cut"]:
        remarks.append(f"the first {SHOWN:,} characters are shown")
    looks = text.lstrip()[:1] in {"{", "["}
    found["form"] = "json" if looks and not found["cut"] and _is_json(text) else "text"
    found["text"] = text.encode("utf-8", "replace").decode()
    return found


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _sent_on(exchange: Exchange) -> dict[str, Any] | None:
    """Return how the request left us for the server, where that differs."""
    target, headers = exchange.upstream_request_target, exchange.upstream_request_headers
    if target is None and headers is None:
        return None
    return {
        "target": target or exchange.request.target,
        "headers": [] if headers is None else _changed(exchange.request.headers, headers),
    }


def _changed(before: Headers, after: Headers) -> list[dict[str, str]]:
    """Return what became of header fields: those that went (-), those that came (+)."""
    return [{"change": it.sign, "name": it.name, "value": it.value} for it in header_changes(before, after)]


def iso(at: float | None) -> str | None:
    """Return a moment as ISO 8601, None for one that is not known."""
    return iso_text(at) or None


def _connection(it: Connection | None, index: int | None) -> dict[str, Any] | None:
    if it is None:
        return None
    return {
        "peer": _address(it.peer_host, it.peer_port),
        "local": _address(it.local_host, it.local_port),
        "server_name": it.server_name,
        "http_version": it.http_version,
        "opened_at": iso(it.opened_at),
        "closed_at": iso(it.closed_at),
        "closed_by": it.closed_by,
        "close_reason": it.close_reason,
        "exchanges": it.exchanges,
        "index": index,
        "tls": None if it.tls is None else _tls(it.tls),
    }


def _address(host: str | None, port: int | None) -> str | None:
    if host is None:
        return None
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


def _tls(it: Tls) -> dict[str, Any]:
    return {
        "version": it.version,
        "cipher": it.cipher,
        "alpn": it.alpn,
        "sni": it.sni,
        "chain": [_certificate(one) for one in it.chain],
    }


def _certificate(it: Certificate) -> dict[str, Any]:
    return {
        "subject": it.subject,
        "issuer": it.issuer,
        "names": list(it.names),
        "not_before_at": iso(it.not_before_at),
        "not_after_at": iso(it.not_after_at),
        "sha256": it.sha256,
    }


def _operation(it: Operation) -> dict[str, Any]:
    return {
        "kind": it.kind,
        "is_scim": it.is_scim,
        "summary": it.summary,
        "version": it.version,
        "base_path": it.base_path,
        "endpoint": it.endpoint,
        "resource_type": it.resource_type,
        "resource_id": it.resource_id,
        "resource_name": it.resource_name,
        "filter": it.filter,
        "filter_problem": it.filter_problem,
        "filter_lines": [{"depth": line.depth, "words": line.words} for line in filter_lines(it.filter)],
        "start_index": it.start_index,
        "count": it.count,
        "sort_by": it.sort_by,
        "sort_order": it.sort_order,
        "attributes": list(it.attributes),
        "excluded_attributes": list(it.excluded_attributes),
        "total_results": it.total_results,
        "changes": list(it.changes),
        "operation_count": it.operation_count,
        "scim_type": it.scim_type,
        "detail": it.detail,
    }
