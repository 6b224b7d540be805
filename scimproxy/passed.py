"""An exchange that went as nearly all do, flat: what a recorder under load stores without making an Exchange of it.

One rule: it stores what its `exchange()` would, column by column; a test compares both ways. It belongs to one owner
at a time and is changed in place (by `redact_passed`), as the values of exchange.py never are: making one of those
takes four times as long, and an exchange takes seven. Place in the flow: engine -> Recorder.submit_passed -> store.
"""

from __future__ import annotations

from dataclasses import dataclass

from scimproxy.exchange import Connection, Content, Exchange, Headers, Origin, Request, Response, Timings, hashed

__all__ = ["Passed"]


@dataclass(slots=True)
class Passed:
    """A complete exchange without failure, rewrites or trailers; names and units are Exchange's and its parts'.

    Its contents may wait to be hashed (`HASH_LATER`): what writes the row has the time for it.
    """

    uid: str
    method: str
    target: str
    http_version: str
    headers: Headers
    content: Content
    wire_bytes: int | None
    status_code: int
    reason: str
    response_http_version: str
    response_headers: Headers
    response_content: Content
    response_wire_bytes: int | None
    origin: Origin | None
    started_at: float
    ended_at: float
    dns_ms: float | None
    connect_ms: float | None
    tls_ms: float | None
    send_ms: float | None
    wait_ms: float | None
    receive_ms: float | None
    total_ms: float | None
    client_connection: Connection
    client_index: int
    upstream_connection: Connection | None
    upstream_index: int | None
    upstream_address: str | None
    client_address: str | None
    client_claim: str | None
    scheme: str | None
    host: str | None
    upstream_request_target: str | None
    upstream_request_headers: Headers | None
    upstream_response_headers: Headers | None
    attempts: int | None
    ended: str | None
    parent_id: int | None = None
    note: str | None = None
    tags: tuple[str, ...] = ()

    def exchange(self) -> Exchange:
        """Return the exchange that this is."""
        return Exchange(
            request=Request(
                self.method, self.target, self.http_version, self.headers, hashed(self.content), None, self.wire_bytes
            ),
            response=Response(
                self.status_code,
                self.reason,
                self.response_http_version,
                self.response_headers,
                hashed(self.response_content),
                None,
                self.response_wire_bytes,
            ),
            origin=self.origin,
            started_at=self.started_at,
            ended_at=self.ended_at,
            timings=Timings(
                self.dns_ms,
                self.connect_ms,
                self.tls_ms,
                self.send_ms,
                self.wait_ms,
                self.receive_ms,
                self.total_ms,
            ),
            client_connection=self.client_connection,
            client_index=self.client_index,
            upstream_connection=self.upstream_connection,
            upstream_index=self.upstream_index,
            upstream_address=self.upstream_address,
            client_address=self.client_address,
            client_claim=self.client_claim,
            scheme=self.scheme,
            host=self.host,
            upstream_request_target=self.upstream_request_target,
            upstream_request_headers=self.upstream_request_headers,
            upstream_response_headers=self.upstream_response_headers,
            attempts=self.attempts,
            ended=self.ended,
            uid=self.uid,
            parent_id=self.parent_id,
            note=self.note,
            tags=self.tags,
        )
