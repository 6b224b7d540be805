from __future__ import annotations

import gzip
import json
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from factories import T0, connection, exchange, request, response, run
from hypothesis import given, settings
from hypothesis import strategies as st

from scimproxy import har
from scimproxy.exchange import (
    Certificate,
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
)
from scimproxy.har import entry_of, from_har, har_text, to_har

LATIN = st.text(st.characters(max_codepoint=255), max_size=12)
MAYBE_TEXT = st.none() | LATIN
NUMBER = st.floats(0, 1e6)
MAYBE_NUMBER = st.none() | NUMBER
HEADERS = st.lists(
    st.tuples(st.sampled_from(["Host", "cookie", "Set-Cookie", "Location", "content-type", "X"]), LATIN), max_size=4
).map(Headers)
CODED = HEADERS.map(lambda headers: headers.with_added("Content-Encoding", "gzip"))


@st.composite
def contents(draw: st.DrawFn) -> Content:
    made = Content.of(draw(st.binary(max_size=40) | st.just(gzip.compress(b"abc", mtime=0))))
    match draw(st.integers(0, 3)):
        case 0:
            return replace(made, size=made.size + 100, sha256="ab")
        case 1:
            return replace(made, size=7, redacted=True)
    return made


@st.composite
def connections(draw: st.DrawFn) -> Any:
    certificate = Certificate("00ff", "CN=é", "CN=x", ("a",), 1.0, 2.5, der=b"\xff")
    tls = draw(st.sampled_from([None, Tls("TLSv1.3", "AES", None, "h", (certificate,)), Tls()]))
    return connection(
        "upstream",
        uid=draw(LATIN),
        tls=tls,
        peer_host=draw(MAYBE_TEXT),
        closed_by=draw(st.sampled_from([None, "proxy"])),
    )


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    asked = Request(
        draw(st.text(st.characters(max_codepoint=255), min_size=1, max_size=8)),
        draw(st.sampled_from(["/Users?a=b&c", "*", "http://h/x", ""]) | LATIN),
        draw(st.sampled_from(["1.0", "1.1", "2"])),
        draw(HEADERS | CODED),
        draw(contents()),
        draw(st.none() | HEADERS),
        draw(st.none() | st.integers(0, 999)),
    )
    answered = draw(
        st.none()
        | st.builds(
            Response,
            st.integers(0, 999),
            LATIN,
            st.sampled_from(["1.0", "1.1"]),
            HEADERS | CODED,
            contents(),
            st.none() | HEADERS,
            st.none() | st.integers(0, 999),
        )
    )
    return Exchange(
        request=asked,
        response=answered,
        failure=draw(st.none() | st.just(Failure("timeout", "no answer", "wait"))),
        state=draw(st.sampled_from(["pending", "complete", "aborted"])),
        origin=draw(st.sampled_from([None, "upstream", "proxy", "mock"])),
        started_at=draw(st.floats(0, 4e9) | st.just(1e300)),
        ended_at=draw(MAYBE_NUMBER),
        timings=Timings(*[draw(MAYBE_NUMBER) for _ in range(7)]),
        client_connection=draw(st.none() | connections()),
        client_index=draw(st.none() | st.integers(1, 9)),
        upstream_connection=draw(st.none() | connections()),
        upstream_address=draw(MAYBE_TEXT),
        scheme=draw(st.sampled_from([None, "https"])),
        host=draw(st.sampled_from([None, "h:1"])),
        upstream_request_target=draw(MAYBE_TEXT),
        upstream_request_headers=draw(st.none() | HEADERS),
        upstream_response_headers=draw(st.none() | HEADERS),
        rewrites=draw(st.sampled_from([(), (Rewrite("/a", "b", "c"),)])),
        attempts=draw(st.none() | st.integers(0, 2)),
        note=draw(st.none() | st.text(max_size=5)),
        tags=draw(st.sampled_from([(), ("a", "é")])),
        uid=draw(MAYBE_TEXT),
        id=draw(st.none() | st.integers(1, 9)),
        extra=draw(st.sampled_from([(), (("entry._x", "[1]"), ("log.pages", "[]"), ("odd", "1"))])),
    )


@given(st.lists(exchanges(), max_size=3))
@settings(max_examples=60, deadline=None)
def test_what_is_written_and_read_again_is_equal(made: list[Exchange]) -> None:
    recording = run(note="n", lost=3, id=7)
    text = "".join(har_text(recording, made))
    assert from_har(text.encode()) == (recording, made)
    assert from_har(to_har(recording, made)) == (recording, made)
    assert json.loads(text) == to_har(recording, made)


def entry(**fields: Any) -> dict[str, Any]:
    return entry_of(exchange(**fields))


def test_sizes_speak_of_the_right_form() -> None:
    plain = b'{"a": "' + b"x" * 500 + b'"}'
    packed = gzip.compress(plain)
    answer = response(200, packed, headers={"Content-Encoding": "gzip"})
    made = entry(response=answer)["response"]
    assert made["bodySize"] == len(packed)
    assert made["content"]["size"] == len(plain)
    assert made["content"]["compression"] == len(plain) - len(packed)
    assert made["content"]["text"] == plain.decode()


def test_a_cut_coded_body_has_no_known_decoded_size() -> None:
    packed = gzip.compress(b"x" * 500)
    cut = replace(Content.of(packed[:-8]), size=len(packed))
    made = entry(response=Response(200, headers=Headers([("Content-Encoding", "gzip")]), content=cut))["response"][
        "content"
    ]
    assert made["size"] == -1 and "compression" not in made


def test_a_cut_plain_body_has_its_true_size() -> None:
    made = entry(response=Response(200, content=replace(Content.of(b"abc"), size=900)))["response"]
    assert (made["content"]["size"], made["content"]["text"], made["bodySize"]) == (900, "abc", 900)


def test_binary_is_base64() -> None:
    made = entry(request=request("DELETE", body=b"\xff\x00"), response=response(200, b"\xff"))
    assert made["request"]["postData"] == {"mimeType": "application/scim+json", "text": "/wA=", "_encoding": "base64"}
    assert made["response"]["content"]["encoding"] == "base64"


def test_connect_holds_ssl_and_the_unknown_is_minus_one() -> None:
    made = entry(timings=Timings(connect=1.0, tls=2.0, wait=5.0, total=100.0))
    assert made["timings"] == {
        "blocked": -1,
        "dns": -1,
        "connect": 3.0,
        "ssl": 2.0,
        "send": 0,
        "wait": 5.0,
        "receive": 0,
    }
    assert made["time"] == 8.0
    assert entry(timings=Timings(tls=2.0))["timings"]["connect"] == 2.0
    assert entry(timings=Timings())["time"] == 0


def test_lists_and_names() -> None:
    made = entry(
        request=request(target="/U?a=%20b&c&&=d", headers=[("Cookie", "a=b; c=d=e; junk"), ("X", "1"), ("x", "2")]),
        response=response(
            201,
            headers=[
                ("Set-Cookie", "s=1; Path=/; Domain=d; Expires=Thu; HttpOnly; Secure; Max-Age=1"),
                ("Location", "/U/1"),
            ],
        ),
        note="look",
    )
    assert made["request"]["queryString"] == [
        {"name": "a", "value": " b"},
        {"name": "c", "value": ""},
        {"name": "", "value": "d"},
    ]
    assert made["request"]["cookies"] == [{"name": "a", "value": "b"}, {"name": "c", "value": "d=e"}]
    assert {"name": "X", "value": "1"} in made["request"]["headers"] and {"name": "x", "value": "2"} in made[
        "request"
    ]["headers"]
    assert made["response"]["cookies"] == [
        {"name": "s", "value": "1", "path": "/", "domain": "d", "expires": "Thu", "httpOnly": True, "secure": True}
    ]
    assert (made["response"]["redirectURL"], made["comment"]) == ("/U/1", "look")
    assert made["request"]["url"] == "http://scim.example/U?a=%20b&c&&=d"
    assert made["serverIPAddress"] == "127.0.0.1" and made["connection"].startswith("c")
    assert made["startedDateTime"] == "2026-09-21T14:13:20.000Z"


def test_where_there_was_no_answer() -> None:
    made = entry_of(Exchange(request=request(), started_at=T0, failure=Failure("refused", "refused it")))
    assert (made["response"]["status"], made["response"]["_error"]) == (0, "refused it")
    assert "connection" not in made and "serverIPAddress" not in made


def test_urls_of_odd_targets() -> None:
    bare = Exchange(request=Request("OPTIONS", "*"), started_at=T0)
    assert entry_of(bare)["request"]["url"] == "http://unknown.invalid/*"
    assert entry(target="https://h/x")["request"]["url"] == "https://h/x"
    assert entry(target="/x?u=https://h")["request"]["url"] == "http://scim.example/x?u=https://h"


def test_a_body_above_the_decoding_limit_is_kept_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(har, "DECODE_LIMIT", 3)
    made = exchange(answer=b"abcdef")
    assert from_har(to_har(run(), [made]))[1] == [made]


def test_what_a_foreign_file_held_is_written_again() -> None:
    given = {
        "log": {
            "version": "1.2",
            "creator": {"name": "Other", "version": "5"},
            "browser": {"name": "B"},
            "pages": [{"id": "p1"}],
            "entries": [
                {
                    "pageref": "p1",
                    "startedDateTime": "2026-09-21T16:13:20.123+02:00",
                    "time": 99.5,
                    "_priority": "High",
                    "request": {
                        "method": "POST",
                        "url": "https://h.example/Users?a=b",
                        "httpVersion": "h2",
                        "headers": [
                            {"name": ":authority", "value": "h.example"},
                            {"name": "Accept", "value": "*/*", "comment": "c"},
                        ],
                        "cookies": [{"name": "a", "value": "b"}],
                        "queryString": [{"name": "a", "value": "b"}],
                        "headersSize": 77,
                        "bodySize": 2,
                        "postData": {"mimeType": "application/json", "text": "{}", "params": []},
                    },
                    "response": {
                        "status": 200,
                        "statusText": "漢",
                        "httpVersion": "h2",
                        "headers": [{"name": ":status", "value": "200"}],
                        "cookies": [],
                        "content": {"size": 2, "mimeType": "a/b", "text": "[]", "_more": 1},
                        "redirectURL": "",
                        "headersSize": -1,
                        "bodySize": -1,
                        "_transferSize": 5,
                    },
                    "cache": {"beforeRequest": None},
                    "timings": {
                        "blocked": 4.5,
                        "dns": -1,
                        "connect": 3,
                        "ssl": 2,
                        "send": 1,
                        "wait": 1,
                        "receive": 1,
                        "_queue": 2,
                    },
                    "connection": "443",
                }
            ],
        }
    }
    imported, made = from_har(given)
    again = to_har(imported, made)["log"]
    want, got = given["log"]["entries"][0], again["entries"][0]
    del got["_scimproxy"]
    assert got == want | {"request": {**got["request"], **want["request"]}}
    assert again["pages"] == given["log"]["pages"] and again["browser"] == {"name": "B"}
    assert again["_imported_creator"] == given["log"]["creator"] and again["creator"]["name"] == "scimproxy"
    assert from_har(to_har(imported, made)) == (imported, made)
    assert made[0].timings == Timings(connect=1.0, tls=2.0, send=1.0, wait=1.0, receive=1.0, total=99.5)


def test_extra_members_never_break_an_entry() -> None:
    made = exchange(
        extra=(("entry.timings", "null"), ("entry.timings.x", "1"), ("entry._scimproxy", "1"), ("entry.a.b", "1"))
    )
    assert entry_of(made)["timings"] == {"x": 1}
    assert from_har(to_har(run(), [made]))[1] == [made]


def test_members_of_the_log_belong_to_no_entry() -> None:
    assert "pages" not in entry(extra=(("log.pages", "[]"),))


def test_streaming_keeps_no_second_copy() -> None:
    one = exchange(answer=b"x" * 10_000)
    tracemalloc.start()
    size = sum(len(piece) for piece in har_text(run(), (one for _ in range(300))))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 3_000_000 and peak < 1_000_000


def test_a_run_without_version_or_exchanges() -> None:
    made = Run(kind="record", name="r", started_at=1.0)
    assert to_har(made, [])["log"]["creator"] == {"name": "scimproxy", "version": "unknown"}
    assert from_har(to_har(made, [])) == (made, [])
