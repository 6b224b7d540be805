from __future__ import annotations

import copy
import gzip
import json
from typing import Any

import pytest
from factories import exchange, response, run
from hypothesis import given, settings
from hypothesis import strategies as st

from scimproxy.errors import FormatError
from scimproxy.exchange import Connection, Content, Headers, Timings
from scimproxy.har import from_har, to_har

ENTRY: dict[str, Any] = {
    "startedDateTime": "2026-09-21T14:13:20.000Z",
    "request": {"method": "GET", "url": "http://h.example/Users"},
    "response": {"status": 200, "content": {}},
}


def document(**changes: Any) -> dict[str, Any]:
    """A foreign HAR of one entry; `request__method=5` changes a member, `...` removes it."""
    entry = copy.deepcopy(ENTRY)
    for path, value in changes.items():
        *sections, name = path.split("__")
        at = entry
        for section in sections:
            at = at.setdefault(section, {})
        if value is ...:
            del at[name]
        else:
            at[name] = value
    return {"log": {"entries": [entry]}}


def one(**changes: Any) -> Any:
    return from_har(document(**changes))[1][0]


def test_the_least_that_an_entry_needs() -> None:
    made = one()
    assert (made.request.method, made.request.target, made.host, made.scheme) == (
        "GET",
        "/Users",
        "h.example",
        "http",
    )
    assert (made.started_at, made.ended_at, made.timings) == (1_790_000_000.0, None, Timings())
    assert made.upstream_connection is None and made.response.content == Content.of(b"")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"request": ...}, "request: missing"),
        ({"request": 5}, "request: not an object"),
        ({"request__method": ...}, "request.method: missing"),
        ({"request__method": 5}, "request.method: not a text"),
        ({"request__url": ...}, "request.url: missing"),
        ({"request__url": "/Users"}, "request.url: '/Users' is not absolute"),
        ({"request__url": "http://[::1/"}, "request.url: "),
        ({"request__headers": {}}, "request.headers: not a list"),
        ({"request__headers": [5]}, r"request.headers\[0\]: not an object"),
        ({"request__headers": [{}]}, r"request.headers\[0\].name: missing"),
        ({"request__postData": 5}, "request.postData: not an object"),
        ({"request__postData": {"text": "%", "_encoding": "base64"}}, "request.postData.text: not base64"),
        ({"request__postData": {"params": 5}}, "request.postData.params: not a list"),
        ({"request__postData": {"params": [5]}}, "request.postData.params: not a list"),
        ({"request__bodySize": "5"}, "request.bodySize: not a number"),
        ({"request__bodySize": True}, "request.bodySize: not a number"),
        ({"request__bodySize": 10**40}, "request.bodySize: not a number"),
        ({"response": ...}, "response: missing"),
        ({"response__status": ...}, "response.status: None is not a status code"),
        ({"response__status": True}, "response.status: True is not"),
        ({"response__status": 1000}, "response.status: 1000 is not"),
        ({"response__content": 5}, "response.content: not an object"),
        ({"response__content__text": 5}, "response.content.text: not a text"),
        ({"startedDateTime": ...}, "startedDateTime: missing"),
        ({"startedDateTime": "yesterday"}, "startedDateTime: 'yesterday' is not a time"),
        ({"time": "x"}, "time: not a number"),
        ({"timings": 5}, "timings: not an object"),
        ({"timings__dns": "x"}, "timings.dns: not a number"),
    ],
)
def test_faults_name_their_place(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=r"^log\.entries\[0\]\." + message):
        one(**changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "line 1, column 1: "),
        (b"\xff", "byte 0 is not UTF-8"),
        (b'{"log": ', "line 1, column 9"),
        (b"[]", "not an object"),
        (b"{}", "log: missing"),
        (b'{"log": 5}', "log: not an object"),
        (b'{"log": {}}', "log.entries: missing"),
        (b'{"log": {"entries": {}}}', "log.entries: not a list"),
        (b'{"log": {"entries": [5]}}', r"log.entries\[0\]: not an object"),
        (b'{"log": {"entries": [NaN]}}', "NaN is not a JSON number"),
        (b"[" * 200_000, "nested too deep"),
        (b'{"log": ' * 300 + b"1" + b"}" * 300, "nested deeper than 200"),
        (b'{"log": {"entries": [], "x": ' + b"1" * 5000 + b"}}", "this is no HAR"),
    ],
)
def test_documents_that_are_no_har(text: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=f"^{message}|{message}"):
        from_har(text)


def test_bounds() -> None:
    text = json.dumps(document())
    with pytest.raises(FormatError, match="more than 10"):
        from_har(text, limit=10)
    with pytest.raises(FormatError, match="2 entries, more than 1"):
        from_har({"log": {"entries": [{}, {}]}}, most_entries=1)
    assert from_har(b"\xef\xbb\xbf" + text.encode())[1] == from_har(text)[1]


def test_http_2_becomes_an_ordinary_message() -> None:
    headers = [{"name": ":path", "value": "/"}, {"name": "accept", "value": "é漢"}, {"name": "x"}]
    made = one(request__httpVersion="h2", request__headers=headers)
    assert made.request.http_version == "2"
    assert made.request.headers == Headers([("accept", "é漢".encode().decode("latin-1")), ("x", "")])
    assert one(request__httpVersion="HTTP/1.0").request.http_version == "1.0"
    assert one(request__httpVersion="HTTP/3").request.http_version == "3"


def test_targets_keep_their_form() -> None:
    assert one(request__url="https://u:p@h:8443").request.target == "/"
    made = one(request__url="https://u:p@h:8443/a%20b?x=%22")
    assert (made.request.target, made.host, made.scheme) == ("/a%20b?x=%22", "h:8443", "https")


@pytest.mark.parametrize(
    ("posted", "data"),
    [
        ({"text": "é"}, "é".encode()),
        ({"text": "/w==\n", "_encoding": "base64"}, b"\xff"),
        ({"params": [{"name": "a b", "value": "é"}, {"name": "c"}]}, b"a+b=%C3%A9&c="),
        ({}, b""),
        ({"params": None}, b""),
    ],
)
def test_request_bodies(posted: dict[str, Any], data: bytes) -> None:
    assert one(request__postData=posted).request.content.data == data


def test_sizes_of_bodies_that_the_file_lacks() -> None:
    made = one(response__content={"size": 500}).response.content
    assert (made.data, made.size, made.truncated, made.sha256) == (b"", 500, True, "")
    made = one(response__content={"size": 9, "text": "abc"}, response__bodySize=9).response.content
    assert (made.data, made.truncated) == (b"abc", True)
    made = one(response__content={"text": "abc"}, response__bodySize=1).response.content
    assert made == Content.of(b"abc")
    coded = [{"name": "Content-Encoding", "value": "gzip"}]
    made = one(response__content={"text": "abcdef"}, response__bodySize=4, response__headers=coded).response.content
    assert (made.data, made.size, made.truncated) == (b"abcdef", 4, False)
    made = one(response__content={"text": "abcdef"}, response__bodySize=0, response__headers=coded).response.content
    assert made.size == 6


def test_no_answer_is_status_0() -> None:
    made = one(response__status=0)
    assert (made.response, made.state, made.origin) == (None, "aborted", None)


def test_times() -> None:
    made = one(
        startedDateTime="2026-09-21T14:13:20", time=1500, timings={"dns": -1, "connect": 1, "ssl": 5, "wait": 2}
    )
    assert made.started_at == 1_790_000_000.0 and made.ended_at == made.started_at + 1.5
    assert made.timings == Timings(connect=0.0, tls=5.0, wait=2.0, total=1500.0)
    assert one(time=-1).timings.total is None
    assert one(timings={"connect": 4}).timings == Timings(connect=4.0)


def test_connection_and_comment() -> None:
    made = one(serverIPAddress="[::1]", connection="80", comment="hm")
    assert made.upstream_connection == Connection(uid="80", side="upstream", peer_host="::1") and made.note == "hm"
    assert one(connection=80).upstream_connection.uid == "80"
    assert one(serverIPAddress="10.0.0.1").upstream_connection.peer_host == "10.0.0.1"


def test_the_run_of_an_import() -> None:
    log = document(time=1000)["log"]
    found, _ = from_har({"log": {**log, "creator": {"name": "Chrome"}, "comment": "c"}})
    assert (found.kind, found.name, found.note, found.exchange_count) == ("import", "Chrome", "c", 1)
    assert (found.started_at, found.ended_at) == (1_790_000_000.0, 1_790_000_001.0)
    found, made = from_har({"log": {"entries": [], "creator": 5, "comment": 6}})
    assert (found.name, found.note, found.ended_at, made) == ("HAR", None, None, [])


# -- our own files


def own() -> dict[str, Any]:
    return json.loads(json.dumps(to_har(run(), [exchange(body={"a": 1}, answer={"b": 2})])))


def test_a_file_of_ours_that_was_edited_by_hand() -> None:
    given = own()
    entry = given["log"]["entries"][0]
    entry["request"]["method"] = "PUT"
    del entry["request"]["postData"], entry["_scimproxy"]["request"]["target"]
    found = from_har(given)[1][0]
    assert (found.request.method, found.request.target, found.request.content.data) == ("PUT", "", b"")


def test_coded_bytes_of_ours_are_exact() -> None:
    answer = response(200, gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"})
    given = json.loads(json.dumps(to_har(run(), [exchange(response=answer)])))
    assert from_har(given)[1][0].response == answer


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("_scimproxy", 5, r"log._scimproxy: not an object"),
        ("_scimproxy.format", 2, r"log._scimproxy.format: 2 is not 1"),
        ("_scimproxy.run", 5, r"log._scimproxy.run: not an object"),
        ("_scimproxy.run.name", ..., r"log._scimproxy.run.name: missing"),
        ("_scimproxy.run.kind", "odd", r"log._scimproxy.run.kind: 'odd' is none of"),
        ("entries.0._scimproxy", [], r"entries\[0\]._scimproxy: not an object"),
        ("entries.0._scimproxy.request", 5, r"_scimproxy.request: not an object"),
        ("entries.0._scimproxy.response", 5, r"_scimproxy.response: not an object"),
        ("entries.0._scimproxy.exchange.started_at", ..., r"exchange.started_at: missing"),
        ("entries.0._scimproxy.exchange.state", "x", r"exchange.state: 'x' is none of"),
        ("entries.0._scimproxy.exchange.extra", [["entry.x", "{"]], r"exchange.extra: entry.x: not JSON"),
        (
            "entries.0._scimproxy.request.content.size",
            "x",
            r"postData \(_scimproxy\).size: 'x' is not a whole number",
        ),
        ("entries.0.request.postData", 5, r"request.postData: not an object"),
        ("entries.0.request.method", ..., r"request.method: missing"),
        ("entries.0.response.status", "x", r"response.status: x is not"),
    ],
)
def test_damage_in_our_own_members(path: str, value: object, message: str) -> None:
    given = own()
    at: Any = given["log"]
    *sections, name = path.split(".")
    for section in sections:
        at = at[int(section)] if section.isdigit() else at[section]
    if value is ...:
        del at[name]
    else:
        at[name] = value
    with pytest.raises(FormatError, match=message):
        from_har(given)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "value", "text", "size"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "request__headers",
                "request__postData",
                "request__url",
                "response__content",
                "response__headers",
                "timings",
                "time",
                "startedDateTime",
                "_x",
                "cache",
                "comment",
                "connection",
                "response__status",
                "serverIPAddress",
            ]
        ),
        JSON,
        max_size=4,
    )
)
@settings(max_examples=200, deadline=None)
def test_any_entry_is_read_or_refused_and_what_is_read_can_be_written(changes: dict[str, Any]) -> None:
    given = document(**changes)
    try:
        found, made = from_har(json.dumps(given))
    except FormatError:
        return
    assert from_har(to_har(found, made)) == (found, made)


def test_an_exchange_of_ours_without_an_answer() -> None:
    made = exchange(response=None, state="pending")
    assert from_har(to_har(run(), [made]))[1] == [made]
