"""How the types of exchange.py lie in rows: both ways, without SQL and without IO.

One rule: what goes in comes out equal. Times are kept to the microsecond, as ISO 8601 text.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Protocol

from scimproxy.exchange import (
    Certificate,
    Connection,
    Content,
    Exchange,
    Failure,
    Headers,
    Request,
    Response,
    Rewrite,
    Run,
    Timings,
    Tls,
    TunnelEvent,
    hashed,
)
from scimproxy.passed import Passed

__all__ = [
    "CONNECTION_COLUMNS",
    "CONNECTION_PLACES",
    "CONTENT_PLACES",
    "EXCHANGE_COLUMNS",
    "HEADER_PLACES",
    "NO_CHANGES",
    "RUN_COLUMNS",
    "RUN_PLACE",
    "UID_PLACE",
    "certificate_from_row",
    "certificate_row",
    "connection_from_row",
    "connection_row",
    "exchange_from_row",
    "from_iso",
    "headers_from_text",
    "headers_text",
    "loose_row",
    "passed_row",
    "run_from_row",
    "run_row",
    "settle",
    "tags_from_text",
    "tags_text",
    "to_iso",
    "tunnel_event_from_row",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_last_second: tuple[int, str] = (0, "1970-01-01T00:00:00")


class Numbers(Protocol):
    """Gives row ids of what exchanges share."""

    def headers(self, headers: Headers, /) -> int:
        """Return the row of these fields."""

    def content(self, content: Content, /) -> int:
        """Return the row of this content."""

    def connection(self, run_id: int, connection: Connection, /) -> int:
        """Return the row of this connection."""


class Values(Protocol):
    """Gives what exchanges share by row ids."""

    def headers(self, number: int, /) -> Headers:
        """Return the fields of a row."""

    def content(self, number: int, /) -> Content:
        """Return the content of a row."""


RUN_COLUMNS = (
    "kind", "name", "started_at", "ended_at", "target", "public_url", "engine", "version", "note", "source_run_id",
    "lost",
)  # fmt: skip

CONNECTION_COLUMNS = (
    "uid", "side", "peer_host", "peer_port", "local_host", "local_port", "server_name", "http_version", "opened_at",
    "closed_at", "closed_by", "close_reason", "exchanges", "tls", "tls_version", "tls_cipher", "tls_alpn", "tls_sni",
)  # fmt: skip

EXCHANGE_COLUMNS = (
    "id", "seq", "run_id", "state", "origin", "method", "target", "scheme", "host", "status_code", "reason",
    "failure_kind", "failure_message", "failure_phase", "failure_side", "started_at", "ended_at", "total_ms",
    "dns_ms", "connect_ms", "tls_ms", "send_ms", "wait_ms", "receive_ms", "client", "client_address", "client_claim",
    "client_connection_id", "client_index", "upstream_address", "upstream_connection_id", "upstream_index",
    "attempts", "ended", "request_http_version", "request_headers_id", "request_content_id", "request_trailers_id",
    "request_wire_bytes", "response_http_version", "response_headers_id", "response_content_id",
    "response_trailers_id", "response_wire_bytes", "upstream_request_target", "upstream_request_headers_id",
    "upstream_response_headers_id", "rewrites", "note", "tags", "uid", "parent_id", "extra",
)  # fmt: skip


def to_iso(at: float) -> str:
    """Return Unix seconds as ISO 8601 text in UTC, with microseconds.

    Raises:
        OverflowError: or ValueError: the moment lies outside the years 1 to 9999.
    """
    global _last_second  # noqa: PLW0603 - a cache of one entry: most times share their second with the one before
    whole, micros = divmod(round(at * 1_000_000), 1_000_000)
    second, text = _last_second
    if second != whole:
        text = (_EPOCH + timedelta(seconds=whole)).isoformat()[:19]
        _last_second = (whole, text)
    return f"{text}.{micros:06d}Z"


def from_iso(text: str) -> float:
    """Return ISO 8601 text as Unix seconds."""
    return (datetime.fromisoformat(text) - _EPOCH).total_seconds()


def _maybe_iso(at: float | None) -> str | None:
    return None if at is None else to_iso(at)


def _maybe_at(text: str | None) -> float | None:
    return None if text is None else from_iso(text)


def headers_text(headers: Headers) -> str:
    """Return fields as JSON text: [[name, value], ...]."""
    return _dumps(headers.pairs)


def headers_from_text(text: str) -> Headers:
    """Return fields from JSON text."""
    return Headers((name, value) for name, value in json.loads(text))


@lru_cache(maxsize=256)
def tags_text(tags: tuple[str, ...]) -> str | None:
    """Return tags as JSON text; None where there are none."""
    return _dumps(tags) if tags else None


def tags_from_text(text: str | None) -> tuple[str, ...]:
    """Return tags from JSON text."""
    return tuple(json.loads(text)) if text else ()


def _pairs(text: str | None) -> Iterable[tuple[Any, ...]]:
    return () if text is None else (tuple(item) for item in json.loads(text))


def run_row(run: Run) -> tuple[Any, ...]:
    """Return the values of RUN_COLUMNS."""
    return (
        run.kind, run.name, to_iso(run.started_at), _maybe_iso(run.ended_at), run.target, run.public_url, run.engine,
        run.version, run.note, run.source_run_id, run.lost,
    )  # fmt: skip


def run_from_row(row: sqlite3.Row, exchange_count: int | None = None) -> Run:
    """Return the run of a row with RUN_COLUMNS and id."""
    return Run(
        kind=row["kind"],
        name=row["name"],
        started_at=from_iso(row["started_at"]),
        ended_at=_maybe_at(row["ended_at"]),
        target=row["target"],
        public_url=row["public_url"],
        engine=row["engine"],
        version=row["version"],
        note=row["note"],
        source_run_id=row["source_run_id"],
        lost=row["lost"],
        exchange_count=exchange_count,
        id=row["id"],
    )


def tunnel_event_from_row(row: sqlite3.Row) -> TunnelEvent:
    """Return the event of a row of tunnel_events."""
    return TunnelEvent(
        at=from_iso(row["at"]),
        state=row["state"],
        url=row["url"],
        message=row["message"],
        run_id=row["run_id"],
        id=row["id"],
    )


def connection_row(it: Connection) -> tuple[Any, ...]:
    """Return the values of CONNECTION_COLUMNS; the chain of certificates goes elsewhere."""
    tls = it.tls or Tls()
    return (
        it.uid, it.side, it.peer_host, it.peer_port, it.local_host, it.local_port, it.server_name, it.http_version,
        _maybe_iso(it.opened_at), _maybe_iso(it.closed_at), it.closed_by, it.close_reason, it.exchanges,
        int(it.tls is not None), tls.version, tls.cipher, tls.alpn, tls.sni,
    )  # fmt: skip


def certificate_row(it: Certificate) -> tuple[Any, ...]:
    """Return the values of the table certificates, in its order."""
    return (
        it.sha256, it.subject, it.issuer, _dumps(it.names), to_iso(it.not_before_at), to_iso(it.not_after_at), it.der
    )  # fmt: skip


def certificate_from_row(row: sqlite3.Row) -> Certificate:
    """Return the certificate of a row."""
    return Certificate(
        sha256=row["sha256"],
        subject=row["subject"],
        issuer=row["issuer"],
        names=tuple(json.loads(row["names"])),
        not_before_at=from_iso(row["not_before_at"]),
        not_after_at=from_iso(row["not_after_at"]),
        der=row["der"],
    )


def connection_from_row(row: sqlite3.Row, chain: Iterable[Certificate] = ()) -> Connection:
    """Return the connection of a row, with its peer's certificates."""
    tls = None
    if row["tls"]:
        tls = Tls(row["tls_version"], row["tls_cipher"], row["tls_alpn"], row["tls_sni"], tuple(chain))
    return Connection(
        uid=row["uid"],
        side=row["side"],
        peer_host=row["peer_host"],
        peer_port=row["peer_port"],
        local_host=row["local_host"],
        local_port=row["local_port"],
        server_name=row["server_name"],
        http_version=row["http_version"],
        opened_at=_maybe_at(row["opened_at"]),
        closed_at=_maybe_at(row["closed_at"]),
        closed_by=row["closed_by"],
        close_reason=row["close_reason"],
        exchanges=row["exchanges"],
        tls=tls,
    )


_AT = {name: at for at, name in enumerate(EXCHANGE_COLUMNS)}
_NUMBER, _SEQ, _RUN = _AT["id"], _AT["seq"], _AT["run_id"]
_TIMES = (_AT["started_at"], _AT["ended_at"])
CONNECTION_PLACES = (_AT["client_connection_id"], _AT["upstream_connection_id"])
HEADER_PLACES = tuple(at for name, at in _AT.items() if name.endswith(("_headers_id", "_trailers_id")))
CONTENT_PLACES = (_AT["request_content_id"], _AT["response_content_id"])
RUN_PLACE, UID_PLACE = _RUN, _AT["uid"]
NO_CHANGES: Mapping[str, Any] = MappingProxyType({})
_USUAL = frozenset({"request", "response", "upstream_request_headers"})
"""What is changed in nearly every exchange with a token in it, and worth no copy of the whole."""


def loose_row(it: Exchange, changes: Mapping[str, Any] = NO_CHANGES) -> list[Any]:
    """Return the values of EXCHANGE_COLUMNS, as far as the exchange (with some fields changed) tells them.

    What exchanges share stands there itself (at CONNECTION_PLACES, HEADER_PLACES and CONTENT_PLACES), times are Unix
    seconds, id and seq are None; `settle` makes a row of it. Cheap: this runs beside the event loop of an engine.
    """
    if changes:
        if not changes.keys() <= _USUAL:
            it = replace(it, **changes)
        request = changes.get("request", it.request)
        response = changes.get("response", it.response)
        upstream_headers = changes.get("upstream_request_headers", it.upstream_request_headers)
    else:
        request, response, upstream_headers = it.request, it.response, it.upstream_request_headers
    failure, timings = it.failure, it.timings
    return [
        None, None, it.run_id, it.state, it.origin, request.method, request.target, it.scheme, it.host,
        response.status_code if response else None, response.reason if response else None,
        failure.kind if failure else None, failure.message if failure else None,
        failure.phase if failure else None, failure.side if failure else None,
        it.started_at, it.ended_at,
        timings.total, timings.dns, timings.connect, timings.tls, timings.send, timings.wait, timings.receive,
        it.client, it.client_address, it.client_claim,
        it.client_connection, it.client_index, it.upstream_address, it.upstream_connection, it.upstream_index,
        it.attempts, it.ended, request.http_version, request.headers, request.content, request.trailers,
        request.wire_bytes,
        response.http_version if response else None, response.headers if response else None,
        response.content if response else None, response.trailers if response else None,
        response.wire_bytes if response else None,
        it.upstream_request_target, upstream_headers, it.upstream_response_headers,
        _dumps([(r.place, r.before, r.after) for r in it.rewrites]) if it.rewrites else None,
        it.note, tags_text(it.tags) if it.tags else None, it.uid, it.parent_id,
        _dumps(it.extra) if it.extra else None,
    ]  # fmt: skip


def passed_row(it: Passed) -> list[Any]:
    """Return what `loose_row` returns of its exchange."""
    return [
        None, None, None, "complete", it.origin, it.method, it.target, it.scheme, it.host, it.status_code, it.reason,
        None, None, None, None,
        it.started_at, it.ended_at,
        it.total_ms, it.dns_ms, it.connect_ms, it.tls_ms, it.send_ms, it.wait_ms, it.receive_ms,
        None, it.client_address, it.client_claim,
        it.client_connection, it.client_index, it.upstream_address, it.upstream_connection, it.upstream_index,
        it.attempts, it.ended, it.http_version, it.headers, it.content, None, it.wire_bytes,
        it.response_http_version, it.response_headers, it.response_content, None, it.response_wire_bytes,
        it.upstream_request_target, it.upstream_request_headers, it.upstream_response_headers,
        None, it.note, tags_text(it.tags) if it.tags else None, it.uid, it.parent_id, None,
    ]  # fmt: skip


def settle(loose: list[Any], number: int, seq: int, run_id: int, parts: Numbers) -> list[Any]:
    """Return the row for SQLite of a loose one: with its numbers, and row ids in place of what is shared.

    What was left for whoever has the time is done here: times become texts, contents get their hashes.
    """
    row = loose.copy()  # a group that fails is written again, item by item
    row[_NUMBER], row[_SEQ], row[_RUN] = number, seq, run_id
    for at in _TIMES:
        if row[at] is not None:
            row[at] = to_iso(row[at])
    for at in CONNECTION_PLACES:
        if row[at] is not None:
            row[at] = parts.connection(run_id, row[at])
    for at in HEADER_PLACES:
        if row[at] is not None:
            row[at] = parts.headers(row[at])
    for at in CONTENT_PLACES:
        if row[at] is not None:
            row[at] = parts.content(hashed(row[at]))
    return row


def exchange_from_row(
    row: Sequence[Any], parts: Values, connections: tuple[Connection | None, Connection | None], client: str | None
) -> Exchange:
    """Return the exchange of a row of EXCHANGE_COLUMNS, in their order (more may follow).

    `parts` gives values by row id: `parts.headers(id)` and `parts.content(id)`. By place, not by name: SQLite's rows
    look through all columns for a name, which took longer than everything else here.
    """
    (
        number, seq, run_id, state, origin, method, target, scheme, host, status_code, reason,
        failure_kind, failure_message, failure_phase, failure_side, started_at, ended_at, total_ms,
        dns_ms, connect_ms, tls_ms, send_ms, wait_ms, receive_ms, _, client_address, client_claim,
        _, client_index, upstream_address, _, upstream_index,
        attempts, ended, request_http_version, request_headers, request_content, request_trailers,
        request_wire_bytes, response_http_version, response_headers, response_content,
        response_trailers, response_wire_bytes, upstream_request_target, upstream_request_headers,
        upstream_response_headers, rewrites, note, tags, uid, parent_id, extra, *_,
    ) = row  # fmt: skip

    def headers(number: int | None) -> Headers | None:
        return None if number is None else parts.headers(number)

    response = None
    if status_code is not None:
        response = Response(
            status_code,
            reason,
            response_http_version,
            headers(response_headers) or Headers(),
            parts.content(response_content),
            None if response_trailers is None else parts.headers(response_trailers),
            response_wire_bytes,
        )
    failure = None
    if failure_kind is not None:
        failure = Failure(failure_kind, failure_message, failure_phase, failure_side)
    return Exchange(
        request=Request(
            method,
            target,
            request_http_version,
            headers(request_headers) or Headers(),
            parts.content(request_content),
            None if request_trailers is None else parts.headers(request_trailers),
            request_wire_bytes,
        ),
        response=response,
        failure=failure,
        state=state,
        origin=origin,
        started_at=from_iso(started_at),
        ended_at=_maybe_at(ended_at),
        timings=Timings(dns_ms, connect_ms, tls_ms, send_ms, wait_ms, receive_ms, total_ms),
        client_connection=connections[0],
        client_index=client_index,
        upstream_connection=connections[1],
        upstream_index=upstream_index,
        upstream_address=upstream_address,
        client_address=client_address,
        client_claim=client_claim,
        scheme=scheme,
        host=host,
        upstream_request_target=upstream_request_target,
        upstream_request_headers=headers(upstream_request_headers),
        upstream_response_headers=headers(upstream_response_headers),
        rewrites=tuple(Rewrite(*item) for item in _pairs(rewrites)) if rewrites else (),
        attempts=attempts,
        ended=ended,
        client=client,
        note=note,
        tags=tags_from_text(tags) if tags else (),
        uid=uid,
        id=number,
        seq=seq,
        run_id=run_id,
        parent_id=parent_id,
        extra=tuple((name, text) for name, text in _pairs(extra)) if extra else (),
    )
