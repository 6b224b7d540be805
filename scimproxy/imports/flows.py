"""mitmproxy's flow files <-> Exchange, through mitmproxy's own reader and writer.

One rule: what a flow has a place for is told by the flow, the rest travels in its metadata; so a file written and
read again is equal, and an edit that somebody made in mitmproxy is read as the edit. Files are hostile: bounded, and
every fault is a FormatError. Edge: imports mitmproxy, which takes a second, so it is imported only where flows are;
`scimproxy addon` uses it too.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from mitmproxy import connection as mitm_connection
from mitmproxy import exceptions, http
from mitmproxy import flow as mitm_flow
from mitmproxy.io import FlowReader, FlowWriter

from scimproxy.errors import FormatError, ScimproxyError
from scimproxy.exchange import Connection, Content, Exchange, Failure, Headers, Request, Response, Run, Timings, Tls
from scimproxy.plain import plain, typed

__all__ = ["MOST_FLOWS", "exchange_of", "flow_file", "flow_of", "from_flows"]

MOST_FLOWS = 200_000
"""Flows of one file that are read."""
_KEY = "scimproxy"
_FORMAT = 1


# -- out


def flow_file(run: Run, exchanges: Iterable[Exchange]) -> Iterator[bytes]:
    """Yield the flow file of a run, one flow a piece."""
    for number, exchange in enumerate(exchanges):
        out = io.BytesIO()
        FlowWriter(out).add(  # type: ignore[no-untyped-call]  # mitmproxy's
            flow_of(exchange, run if number == 0 else None)
        )
        yield out.getvalue()


def flow_of(exchange: Exchange, run: Run | None = None) -> http.HTTPFlow:
    """Return an exchange as a flow, with what flows have no place for in its metadata."""
    request, response = exchange.request, exchange.response
    scheme = "https" if exchange.scheme == "https" else "http"
    host, port = _address(exchange.host or request.headers.get("Host") or "", scheme)
    sent_at = exchange.started_at + (exchange.timings.send or 0.0) / 1000
    ended_at = exchange.started_at if exchange.ended_at is None else exchange.ended_at
    flow = http.HTTPFlow(_client(exchange), _server(exchange, host, port))
    flow.request = http.Request(
        host=host,
        port=port,
        method=request.method.encode("latin-1", "replace"),
        scheme=scheme.encode(),
        authority=b"",
        path=request.target.encode("latin-1", "replace"),
        http_version=_their_version(request.http_version),
        headers=http.Headers(_raw(request.headers)),
        content=request.content.data,
        trailers=None if request.trailers is None else http.Headers(_raw(request.trailers)),
        timestamp_start=exchange.started_at,
        timestamp_end=sent_at,
    )
    if response is not None:
        flow.response = http.Response(
            http_version=_their_version(response.http_version),
            status_code=response.status_code,
            reason=response.reason.encode("latin-1", "replace"),
            headers=http.Headers(_raw(response.headers)),
            content=response.content.data,
            trailers=None if response.trailers is None else http.Headers(_raw(response.trailers)),
            timestamp_start=sent_at + (exchange.timings.wait or 0.0) / 1000,
            timestamp_end=ended_at,
        )
    if exchange.failure is not None:
        flow.error = mitm_flow.Error(exchange.failure.message, ended_at)
    flow.comment = exchange.note or ""
    flow.timestamp_created = exchange.started_at
    flow.metadata[_KEY] = json.dumps(_beside(exchange, run))
    return flow


def _beside(exchange: Exchange, run: Run | None) -> dict[str, Any]:
    """Return what the flow does not hold: the exchange without its contents, and what they were."""
    response = exchange.response
    bare = replace(
        exchange,
        request=replace(exchange.request, content=replace(exchange.request.content, data=b"")),
        response=None if response is None else replace(response, content=replace(response.content, data=b"")),
    )
    made: dict[str, Any] = {
        "format": _FORMAT,
        "exchange": plain(bare),
        "request": _digest(exchange.request.content.data),
        "response": None if response is None else _digest(response.content.data),
    }
    if run is not None:
        made["run"] = plain(run)
    return made


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _raw(headers: Headers) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers)


def _their_version(version: str) -> bytes:
    return f"HTTP/{version if '.' in version or version not in {'2', '3'} else f'{version}.0'}".encode(
        "latin-1", "replace"
    )


def _our_version(version: str) -> str:
    said = version.removeprefix("HTTP/")[:10]
    return {"2.0": "2", "3.0": "3"}.get(said, said)


def _address(host: str, scheme: str) -> tuple[str, int]:
    name, colon, port = host.rpartition(":")
    number = int(port) if colon and port.isascii() and port.isdigit() and len(port) < 6 else None
    if number is not None and number < 65_536:
        return name.strip("[]"), number
    return host.strip("[]"), 443 if scheme == "https" else 80


def _client(exchange: Exchange) -> mitm_connection.Client:
    found = exchange.client_connection
    made = mitm_connection.Client(
        peername=("", 0) if found is None else (found.peer_host or "", found.peer_port or 0),
        sockname=("", 0) if found is None else (found.local_host or "", found.local_port or 0),
        timestamp_start=exchange.started_at if found is None or found.opened_at is None else found.opened_at,
        state=mitm_connection.ConnectionState.CLOSED,
    )
    made.timestamp_end = None if found is None else found.closed_at
    return made


def _server(exchange: Exchange, host: str, port: int) -> mitm_connection.Server:
    found = exchange.upstream_connection
    made = mitm_connection.Server(address=(host, port))
    if found is not None:
        made.peername = (found.peer_host or "", found.peer_port or 0)
        made.timestamp_start, made.timestamp_end = found.opened_at, found.closed_at
    return made


# -- in


def from_flows(data: bytes, *, most: int = MOST_FLOWS) -> tuple[Run, list[Exchange], int]:
    """Return the run and the exchanges of a flow file, and how many flows were none of HTTP.

    Raises:
        FormatError: it is no flow file, is damaged, or holds more than `most` flows.
    """
    exchanges: list[Exchange] = []
    run: Run | None = None
    others = 0
    try:
        for number, flow in enumerate(FlowReader(io.BytesIO(data)).stream()):
            if number >= most:
                raise FormatError(
                    f"more than {most} flows", hint="write fewer with `mitmdump -nr FILE -w OUT FILTER`"
                )
            if isinstance(flow, http.HTTPFlow) and flow.request.method != "CONNECT":
                exchanges.append(exchange_of(flow))
                run = run or _run_of(flow)
            else:
                others += 1
    except exceptions.FlowReadException as exc:
        raise FormatError(f"flow {len(exchanges) + others + 1} cannot be read: {exc}") from exc
    except ScimproxyError:
        raise
    except Exception as exc:
        # mitmproxy trusts the inside of a flow: what does not fit it fails anywhere.
        raise FormatError(f"flow {len(exchanges) + others + 1} is damaged: {type(exc).__name__}") from exc
    return run or _foreign_run(exchanges), exchanges, others


def _foreign_run(exchanges: list[Exchange]) -> Run:
    return Run(
        kind="import",
        name="mitmproxy",
        started_at=min((one.started_at for one in exchanges), default=0.0),
        ended_at=max((one.ended_at or one.started_at for one in exchanges), default=None),
        engine="mitmproxy",
        exchange_count=len(exchanges),
    )


def exchange_of(flow: http.HTTPFlow) -> Exchange:
    """Return a flow as an exchange, with what its metadata says beside where it still fits."""
    found = _from_flow(flow)
    ours = _ours(flow)
    if ours is None:
        return found
    own = typed(Exchange, ours.get("exchange"), "metadata.scimproxy.exchange")
    content = found.request.content
    same = replace(own.request, content=replace(own.request.content, data=content.data))
    request = same if ours.get("request") == _digest(content.data) and _alike(same, found.request) else found.request
    response = found.response
    if own.response is not None and response is not None:
        answer = replace(own.response, content=replace(own.response.content, data=response.content.data))
        if ours.get("response") == _digest(response.content.data) and _alike(answer, response):
            response = answer
    note = own.note if flow.comment == (own.note or "") else flow.comment
    return replace(own, request=request, response=response, note=note)


def _alike(one: Request | Response, other: Request | Response) -> bool:
    """Whether two messages say the same, but for what flows do not tell."""
    return replace(one, content=other.content, wire_bytes=None) == replace(other, wire_bytes=None)


def _ours(flow: http.HTTPFlow) -> dict[str, Any] | None:
    text = flow.metadata.get(_KEY)
    if text is None:
        return None
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError) as exc:
        raise FormatError("metadata.scimproxy: not JSON") from exc
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise FormatError(f"metadata.scimproxy.format: not {_FORMAT}", hint="a newer scimproxy wrote this")
    return found


def _run_of(flow: http.HTTPFlow) -> Run | None:
    ours = _ours(flow)
    return None if ours is None or "run" not in ours else typed(Run, ours["run"], "metadata.scimproxy.run")


def _from_flow(flow: http.HTTPFlow) -> Exchange:
    request, response = flow.request, flow.response
    began, ended = request.timestamp_start, request.timestamp_start
    if response is not None:
        ended = response.timestamp_end or response.timestamp_start
    elif flow.error is not None:
        ended = flow.error.timestamp
    answer = None
    if response is not None:
        answer = Response(
            status_code=response.status_code,
            reason=response.data.reason.decode("latin-1"),
            http_version=_our_version(response.http_version),
            headers=Headers.from_raw(response.headers.fields),
            content=_content(response),
            trailers=None if response.trailers is None else Headers.from_raw(response.trailers.fields),
        )
    failure = None
    if flow.error is not None:
        failure = Failure("closed", flow.error.msg)
    return Exchange(
        request=Request(
            method=request.data.method.decode("latin-1"),
            target=request.data.path.decode("latin-1"),
            http_version=_our_version(request.http_version),
            headers=Headers.from_raw(request.headers.fields),
            content=_content(request),
            trailers=None if request.trailers is None else Headers.from_raw(request.trailers.fields),
        ),
        response=answer,
        failure=failure,
        state="complete" if response is not None or failure is not None else "aborted",
        origin="upstream" if response is not None else None,
        started_at=began,
        ended_at=ended,
        timings=_timings(flow, began, ended),
        client_connection=_connection(flow.client_conn, "client"),
        upstream_connection=_connection(flow.server_conn, "upstream"),
        client_address=_host(flow.client_conn.peername),
        upstream_address=_text(flow.server_conn.address),
        scheme=request.scheme or None,
        host=request.headers.get("Host") or request.authority or _text((request.host, request.port)),
        note=flow.comment or None,
    )


def _host(address: tuple[Any, ...] | None) -> str | None:
    return str(address[0]) if address and address[0] else None


def _content(message: http.Message) -> Content:
    """Return the content as it travelled; one that mitmproxy streamed without keeping it has its size only."""
    if message.raw_content is not None:
        return Content.of(message.raw_content)
    said = message.headers.get("content-length", "0")
    return Content(size=int(said) if said.isascii() and said.isdigit() and len(said) < 16 else 0)


def _timings(flow: http.HTTPFlow, began: float, ended: float) -> Timings:
    response, sent = flow.response, flow.request.timestamp_end
    return Timings(
        send=_ms(began, sent),
        wait=None if response is None else _ms(sent, response.timestamp_start),
        receive=None if response is None else _ms(response.timestamp_start, response.timestamp_end),
        total=_ms(began, ended),
    )


def _ms(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else max(end - begin, 0.0) * 1000


def _text(address: tuple[Any, ...] | None) -> str | None:
    if not address or not address[0]:
        return None
    host = f"[{address[0]}]" if ":" in str(address[0]) else str(address[0])
    return f"{host}:{address[1]}"


def _connection(conn: mitm_connection.Connection, side: Any) -> Connection:  # noqa: ANN401 - a literal of Connection
    peer: tuple[Any, ...] = conn.peername or ("", 0)
    local: tuple[Any, ...] = conn.sockname or ("", 0)
    tls = None
    if conn.tls_version or conn.tls:
        alpn = conn.alpn.decode("latin-1") if conn.alpn else None
        tls = Tls(version=conn.tls_version, cipher=conn.cipher, alpn=alpn, sni=conn.sni)
    return Connection(
        uid=conn.id,
        side=side,
        peer_host=peer[0] or None,
        peer_port=peer[1] or None,
        local_host=local[0] or None,
        local_port=local[1] or None,
        opened_at=conn.timestamp_start,
        closed_at=conn.timestamp_end,
        tls=tls,
    )
