from __future__ import annotations

import contextlib
import io
from dataclasses import replace

import pytest
from driving import RUN
from factories import connection, exchange, request, response, run
from hypothesis import given, settings
from hypothesis import strategies as st
from mitmproxy import http
from mitmproxy.io import FlowReader, FlowWriter
from mitmproxy.test import tflow
from test_har import exchanges as any_exchanges

from scimproxy.errors import FormatError
from scimproxy.exchange import Content, Exchange, Failure, Headers
from scimproxy.imports.flows import exchange_of, flow_file, flow_of, from_flows


def written(*flows: object) -> bytes:
    out = io.BytesIO()
    for flow in flows:
        FlowWriter(out).add(flow)
    return out.getvalue()


@given(st.lists(any_exchanges(), max_size=3))
@settings(max_examples=30, deadline=None)
def test_written_and_read_is_equal(made: list[Exchange]) -> None:
    found, exchanges, others = from_flows(b"".join(flow_file(RUN, made)))
    assert (exchanges, others) == (made, 0)
    assert not made or found == RUN


def test_mitmproxy_reads_what_is_written() -> None:
    made = exchange(
        "POST",
        "/scim/v2/Users?a=b",
        status_code=201,
        body={"userName": "x"},
        answer={"id": "1"},
        client_connection=connection(),
    )
    (flow,) = FlowReader(io.BytesIO(b"".join(flow_file(run(), [replace(made, note="look")])))).stream()
    assert isinstance(flow, http.HTTPFlow) and flow.response is not None
    assert (flow.request.method, flow.request.path, flow.request.host) == (
        "POST",
        "/scim/v2/Users?a=b",
        "scim.example",
    )
    assert flow.request.raw_content == made.request.content.data
    assert flow.response.status_code == 201 and flow.response.json() == {"id": "1"}
    assert flow.comment == "look"


def test_an_edit_made_in_mitmproxy_is_read() -> None:
    made = exchange("POST", "/Users", body={"userName": "x"}, status_code=201, tags=("kept",))
    flow = flow_of(made)
    flow.request.content = b'{"userName": "y"}'
    assert flow.response is not None
    flow.response.status_code = 500
    flow.comment = "changed"
    found = exchange_of(flow)
    assert found.request.content == Content.of(b'{"userName": "y"}')
    assert found.response is not None and found.response.status_code == 500
    assert (found.tags, found.note) == (("kept",), "changed")


def test_flows_of_mitmproxy_itself() -> None:
    plain = tflow.tflow(resp=True)
    failed = tflow.tflow(err=True)
    connect = tflow.tflow()
    connect.request.method = "CONNECT"
    streamed = tflow.tflow(resp=True)
    assert streamed.response is not None
    streamed.response.raw_content = None
    streamed.response.headers["content-length"] = "7"
    alone = tflow.tflow()
    found, exchanges, others = from_flows(written(plain, failed, connect, tflow.ttcpflow(), streamed, alone))
    assert (found.kind, found.name, others) == ("import", "mitmproxy", 2)
    first, second, third, fourth = exchanges
    assert (first.request.method, first.request.target) == ("GET", "/path")
    assert first.request.headers.pairs == (("header", "qvalue"), ("content-length", "7"))
    assert first.response is not None and first.response.content.data == b"message"
    assert first.request.trailers is None and first.client_connection is not None
    assert first.client_address == "127.0.0.1" and first.upstream_address == "address:22"
    assert isinstance(second.failure, Failure) and second.response is None and second.state == "complete"
    assert third.response is not None and third.response.content.truncated and third.response.content.size == 7
    assert fourth.state == "aborted"


def test_versions_trailers_and_hosts() -> None:
    made = exchange(
        request=replace(request(), http_version="2", trailers=Headers([("X", "y")])),
        answer=None,
        response=replace(response(), http_version="2", trailers=Headers([("Z", "y")])),
        host="[::1]:8443",
        scheme="https",
        failure=Failure("closed", "gone"),
    )
    flow = flow_of(made)
    assert (flow.request.host, flow.request.port, flow.request.http_version) == ("::1", 8443, "HTTP/2.0")
    assert flow.error is not None
    flow.metadata.clear()
    found = exchange_of(flow)
    assert (found.request.http_version, found.request.trailers) == ("2", Headers([("X", "y")]))
    assert found.response is not None and found.response.trailers == Headers([("Z", "y")])
    assert flow_of(replace(made, host="h:99999")).request.port == 443


DATA = b"".join(flow_file(RUN, [exchange()]))


DAMAGED = {
    "no flows": b"abc",
    "cut": DATA[:-3],
    "half": DATA[: len(DATA) // 2],
    "a text": b"5:hello,",
    "an empty dictionary": b"0:}",
    "a huge length": b"999999999999:x,",
    "deep": b"".join(str(7 * n).encode() + b":" for n in range(5000, 1, -1)),
    "another version": DATA.replace(b'"format": 1', b'"format": 9'),
    "no JSON": DATA.replace(b'{"format": 1', b'["format": 1'),
    "another type": DATA.replace(b'"started_at": 1', b'"started_ax": 1'),
    "half an address": written(tflow.tflow()).replace(
        b"8:sockname;15:7:address;2:22#]", b"8:sockname;15:11:address/abc;]"
    ),
    "a wrong port": written(tflow.tflow()).replace(b"22#", b"22,"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_refused(name: str) -> None:
    with pytest.raises(FormatError):
        from_flows(DAMAGED[name])


def test_too_many_flows() -> None:
    with pytest.raises(FormatError, match="more than 1 flows"):
        from_flows(DATA + DATA, most=1)


@given(st.binary(max_size=200), st.integers(0, len(DATA)))
@settings(max_examples=150, deadline=None)
def test_bytes_of_any_kind_are_read_or_refused(junk: bytes, at: int) -> None:
    for data in (junk, DATA[:at] + junk, DATA[:at] + junk + DATA[at + len(junk) :]):
        with contextlib.suppress(FormatError):
            from_flows(data)
