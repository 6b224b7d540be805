"""What is shown of an exchange: everything, as text, bounded, whatever came."""

from __future__ import annotations

import gzip
from dataclasses import replace

import pytest
from factories import T0, connection, content, exchange, request, response
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.detail import (
    Change,
    Limits,
    bars,
    body_text,
    body_view,
    connection_facts,
    detail,
    header_changes,
    operation_facts,
    shown_field,
    tls_words,
)
from scimproxy.exchange import Certificate, Content, Failure, Headers, Rewrite, Timings, Tls
from scimproxy.scim.message import Operation

NONE = Headers()
CERTIFICATE = Certificate("ab" * 32, "CN=scim", "CN=us", ("scim.example",), T0, T0 + 9)


def test_a_whole_exchange() -> None:
    sent = request("GET", "/scim/v2/Users?filter=userName%20eq%20%22b%22&count=2&&x", headers={"Authorization": "Bearer sha256:01234567"})  # fmt: skip
    answer = response(200, {"totalResults": 2, "Resources": [{"id": "1", "userName": "b"}, {"id": 2, "displayName": "c"}]},
                      trailers=Headers([("X-T", "1")]))  # fmt: skip
    one = exchange(
        request=sent,
        id=7,
        run_id=3,
        note="see",
        tags=("t",),
        client="okta",
        upstream_request_target="/Users",
        upstream_request_headers=Headers([("Host", "inner")]),
        rewrites=(Rewrite("header:Location", "a", "b"),),
        upstream_connection=connection("upstream", tls=Tls("TLSv1.3", "AES", "http/1.1", "scim", (CERTIFICATE,))),
        upstream_index=4,
    )
    found = detail(replace(one, response=answer))
    assert (found.id, found.status, found.outcome, found.duration, found.client) == (
        7,
        "200",
        "pass",
        "12 ms",
        "okta",
    )
    assert found.title == 'List Users where userName eq "b" (from 1, 2 per page)'
    assert found.parameters == (("filter", 'userName eq "b"'), ("count", "2"), ("x", ""))
    assert ("Authorization", "Bearer sha256:01234567", True) in found.request.headers
    assert found.sent_as == "GET /Users"
    assert Change("+", "Host", "inner") in found.sent_changes
    assert Change("-", "Host", "scim.example") in found.sent_changes
    assert dict(found.connection)["Server TLS"] == "TLSv1.3, AES, ALPN http/1.1, SNI scim"
    assert "reused, exchange 4 on it" in dict(found.connection)["To server"]
    assert found.certificates == (CERTIFICATE,)
    assert found.response is not None
    assert found.response.trailers == (("X-T", "1", False),)
    assert found.response.body.form == "json"
    assert found.response.raw.startswith("HTTP/1.1 200 OK\r\nContent-Type: application/scim+json\r\n")
    assert [line.words for line in found.scim.filter] == ['userName is "b"']
    assert [(it.pointer, it.id, it.name) for it in found.scim.resources] == [
        ("/Resources/0", "1", "b"),
        ("/Resources/1", "2", "c"),
    ]
    assert dict(found.scim.facts)["Total results"] == "2"


def test_operations_and_the_resource() -> None:
    patch = detail(exchange("PATCH", "/scim/v2/Users/1", body={"Operations": [{"op": "replace", "path": "active", "value": False}]},
                            answer={"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "id": "1", "name": {"a": 1}}))  # fmt: skip
    assert patch.scim.changes == ("replace active = false",)
    assert patch.scim.operations[0].place == "active"
    assert patch.scim.resources[0] == patch.scim.resources[0].__class__("", "1", "")
    bulk = detail(exchange("POST", "/scim/v2/Bulk", body={"Operations": [{"method": "POST", "path": "/Users"}]}, answer={"Operations": [{"status": "201"}]}))  # fmt: skip
    assert bulk.scim.operations[0].outcome == "201"
    many = detail(exchange(answer={"totalResults": 60, "Resources": [{"id": str(n)} for n in range(60)]}))
    assert (len(many.scim.resources), many.scim.resources_left) == (50, 10)
    plain = detail(exchange("GET", "/health", response=response(200, b"", headers={"Content-Type": "text/plain"})))
    assert (plain.scim.is_scim, plain.scim.facts) == (False, (("Operation", "not SCIM"),))
    assert detail(exchange("GET", "/x"), Operation(summary="given")).title == "given"


@pytest.mark.parametrize(
    ("fields", "status", "outcome", "problem"),
    [
        ({"response": response(404)}, "404", "warn", ""),
        ({"response": response(503)}, "503", "fail", ""),
        ({"response": response(), "failure": Failure("closed", "half")}, "200", "fail", "Failed (closed): half"),
        ({"response": None, "failure": Failure("refused", "no")}, "refused", "fail", "Failed (refused): no"),
        ({"response": None, "state": "pending"}, "pending", "wait", "In flight: it has no answer yet."),
        (
            {"response": None, "state": "aborted"},
            "aborted",
            "fail",
            "Aborted: the recording stopped before the answer.",
        ),
        ({"response": None}, "none", "fail", ""),
    ],
)
def test_how_it_went(fields: dict[str, object], status: str, outcome: str, problem: str) -> None:
    found = detail(replace(exchange(), **fields))  # type: ignore[arg-type]  # fields of an exchange
    assert (found.status, found.outcome, found.problem) == (status, outcome, problem)
    assert (found.response is None) == (fields.get("response") is None)


def test_little_is_known() -> None:
    bare = replace(exchange(), client_connection=None, upstream_connection=None, client_address=None, timings=Timings(),
                   upstream_index=None, client_index=None, upstream_address=None, attempts=None, ended=None, origin="proxy")  # fmt: skip
    found = detail(bare)
    assert (found.connection, found.bars, found.total, found.client, found.made_here) == ((), (), "-", "", True)
    assert (found.sent_as, found.sent_changes, found.certificates) == ("", (), ())
    unchanged = replace(bare, upstream_request_headers=bare.request.headers)
    assert detail(unchanged).sent_as == ""


def test_bodies_of_every_kind() -> None:
    zipped = Headers([("Content-Encoding", "gzip"), ("Content-Type", "application/json")])
    assert body_view(NONE, Content()).form == "none"
    json_body = body_view(zipped, Content.of(gzip.compress(b'{"a":1}')))
    assert (json_body.form, json_body.media_type) == ("json", "application/json")
    assert json_body.remarks[0].startswith("It travelled as gzip")
    damaged = body_view(zipped, Content.of(gzip.compress(b"words " * 50)[:-20]))
    assert any(one.startswith("The gzip content") for one in damaged.remarks)
    binary = body_view(NONE, Content.of(bytes(range(256)) * 4), Limits(hex_bytes=40))
    assert binary.form == "binary"
    assert binary.text.splitlines()[2] == "00000020  20 21 22 23 24 25 26 27                           !\"#$%&'"
    assert binary.remarks == ("1.0 KiB that are no text; the first 40 bytes.",)
    without = body_view(NONE, Content.of(b"\0"), Limits(hex_bytes=0))
    assert (without.text, without.remarks) == ("", ("1 B that are no text.",))
    gone = body_view(NONE, Content(b"", 10, "x"))
    assert (gone.form, gone.remarks[1]) == ("binary", "The first 0 B of 10 B were stored.")
    latin = body_view(NONE, Content.of(b"a caf\xe9 in the middle of a long enough text"))
    assert (latin.form, latin.text[:6]) == ("text", "a caf\ufffd")
    assert "byte 5 is not valid utf-8" in latin.remarks[0]
    cut = body_view(NONE, Content(b'{"a": 1', 900, "x"))
    assert (cut.form, cut.remarks) == ("text", ("The first 7 B of 900 B were stored.",))
    kept = body_view(zipped, Content(b'{"a":1}', 30, "x", redacted=True))
    assert kept.remarks == (
        "Values in it were replaced: secrets by fingerprints, in a report personal values by pseudonyms.",
    )
    long = body_view(NONE, Content.of(b"x" * 100), Limits(characters=10))
    assert (long.text, long.remarks) == ("x" * 10, ("Shown are the first 10 of 100 characters.",))
    listed = body_view(NONE, content(list(range(50))), Limits(lines=10))
    assert listed.remarks == ("41 values left out.",)
    huge = body_view(NONE, Content.of(b'"' + b"x" * (1 << 20) + b'"'))
    assert (huge.form, len(huge.text)) == ("text", 50_000)


@given(st.binary(max_size=60), st.sampled_from(["", "gzip", "br", "nope"]), st.booleans())
def test_no_body_makes_it_fail(data: bytes, coding: str, redacted: bool) -> None:
    headers = Headers([("Content-Encoding", coding), ("Content-Type", "text/plain; charset=utf-16")])
    body = replace(Content.of(data), redacted=redacted)
    one = exchange(answer=body)
    assert one.response is not None
    assert detail(replace(one, response=replace(one.response, headers=headers))).response is not None


def test_the_raw_form_is_bounded_and_says_so() -> None:
    one = exchange("POST", body=b"x" * 100, answer=b"\0\1")
    found = detail(one, limits=Limits(raw=60, headers=1))
    assert found.request.raw.endswith("characters more)")
    assert found.request.headers[-1] == ("…", "2 fields more", False)
    assert found.response is not None
    assert detail(one).response.raw.endswith("\r\n\r\n(2 B that are no text)")  # type: ignore[union-attr]


def test_text_and_fields_for_the_eye() -> None:
    assert body_text(NONE, Content.of(b'{"a":[1]}')) == '{\n  "a": [\n    1\n  ]\n}'
    assert body_text(NONE, Content.of(b"{no json")) == "{no json"
    assert body_text(NONE, Content.of(b"words")) == "words"
    assert body_text(NONE, Content.of(b"\0")) is None
    assert [shown_field(it) for it in ("a", "caf\xc3\xa9", "caf\xe9")] == ["a", "café", "caf\xe9"]
    assert header_changes(NONE, None) == ()


def test_connections_in_words() -> None:
    client = connection(peer_host="::1", closed_by="client", close_reason="idle", tls=Tls())
    facts = connection_facts(replace(exchange(), client_connection=client, upstream_connection=connection("upstream", peer_host=None, local_host=None, http_version=None)))  # fmt: skip
    assert facts["From client"] == "[::1]:50000 (local 127.0.0.1:8080), HTTP/1.1, fresh, closed by client, idle"
    assert facts["To server"] == "unknown, fresh"
    assert facts["Client TLS"] == "yes"
    nameless = connection(peer_port=None)
    assert connection_facts(replace(exchange(), client_connection=nameless, client_index=None))["From client"] == (
        "127.0.0.1 (local 127.0.0.1:8080), HTTP/1.1"
    )
    assert tls_words(None) is None
    assert operation_facts(Operation(is_scim=True, kind="list", start_index=2, count=5))["Count"] == "5"


def test_bars_lie_within_the_whole() -> None:
    found = bars(replace(exchange(), timings=Timings(dns=0, connect=5, wait=90, receive=0.001, total=100)))
    assert [(one.name, one.x, one.width) for one in found] == [
        ("dns", 0, 4),
        ("connect", 0, 50),
        ("wait", 50, 900),
        ("receive", 950, 4),
    ]
    assert [(one.x, one.width) for one in bars(replace(exchange(), timings=Timings(dns=1, receive=0)))] == [
        (0, 1000),
        (996, 4),
    ]
