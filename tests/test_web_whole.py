"""All of an exchange as JSON for the API: names, bounds, no secrets."""

from __future__ import annotations

import json
from dataclasses import replace

from factories import connection, content, exchange, request, response

from scimproxy.exchange import Certificate, Content, Failure, Headers, Rewrite, Timings, Tls
from scimproxy.web.whole import SHOWN, resource_in, whole


def test_everything_known_has_its_place_and_is_json() -> None:
    certificate = Certificate("ab", "CN=a", "CN=b", ("a.example",), 0.0, 1e9)
    made = exchange(
        "PATCH",
        "/scim/v2/Users/7?a=1",
        body={
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "add", "path": "a", "value": 1}],
        },
        answer={"id": "7", "userName": "b"},
        upstream_request_target="/Users/7",
        upstream_request_headers=Headers([("Host", "127.0.0.1:8000")]),
        upstream_response_headers=Headers([("Location", "http://127.0.0.1:8000/7")]),
        rewrites=(Rewrite("header:Location", "a", "b"),),
        upstream_connection=connection(
            "upstream", peer_host="::1", tls=Tls("TLSv1.3", "x", "http/1.1", "a", (certificate,))
        ),
        note="n",
        tags=("t",),
    )
    found = json.loads(json.dumps(whole(made)))
    assert found["operation"]["kind"] == "patch"
    assert found["operation"]["resource_id"] == "7"
    assert found["request"]["content"]["form"] == "json"
    assert found["connection"]["upstream"]["tls"]["chain"][0]["subject"] == "CN=a"
    assert found["connection"]["upstream"]["peer"].startswith("[::1]")
    assert {one["change"] for one in found["sent_on"]["headers"]} == {"+", "-"}
    assert found["came_back"]
    assert [one["name"] for one in found["timings"]["phases"]] == ["connect", "send", "wait", "receive"]
    assert found["timings"]["phases"][1]["start_ms"] == 0.4
    assert found["rewrites"] == [{"place": "header:Location", "before": "a", "after": "b"}]


def test_what_is_not_known_is_null() -> None:
    made = replace(
        exchange(),
        response=None,
        failure=Failure("refused", "no", "connect"),
        client_connection=None,
        upstream_connection=connection("upstream", peer_host=None),
        upstream_address=None,
        ended_at=None,
        timings=Timings(),
    )
    found = whole(made)
    assert found["response"] is None
    assert found["failure"]["kind"] == "refused"
    assert found["connection"]["client"] is None
    assert found["connection"]["upstream"]["peer"] is None
    assert found["ended_at"] is None
    assert found["sent_on"] is None
    assert found["request"]["content"]["form"] == "none"


def test_the_target_we_sent_alone_is_told_too() -> None:
    found = whole(exchange(upstream_request_target="/Users"))
    assert found["sent_on"] == {"target": "/Users", "headers": []}


def test_secrets_are_fingerprints_also_where_they_were_kept() -> None:
    made = exchange(
        request=request("POST", body={"password": "hunter22"}, headers={"Authorization": "Bearer secret-token-1"})
    )
    assert "hunter22" not in json.dumps(whole(made))
    assert "secret-token-1" not in json.dumps(whole(made))


def test_bodies_are_bounded_and_say_so() -> None:
    found = whole(exchange(answer="x" * (SHOWN + 10)))["response"]["content"]
    assert len(found["text"]) == SHOWN
    assert found["cut"]
    cut = Content(b'{"a":', 500, "", redacted=False)
    told = whole(replace(exchange(), response=response(200, cut)))["response"]["content"]
    assert told["form"] == "text"
    assert "stored in part" in told["remarks"][0]


def test_bytes_that_are_no_text_are_not_shown() -> None:
    found = whole(exchange(answer=b"\x00\xff\x00"))["response"]["content"]
    assert (found["form"], found["text"]) == ("binary", None)


def test_a_body_with_trouble_says_what_it_is() -> None:
    gzip = replace(exchange(), response=response(200, b"no gzip", headers={"Content-Encoding": "gzip"}))
    assert whole(gzip)["response"]["content"]["remarks"]
    late = whole(exchange(answer=b'{"a": "\xe4"'))["response"]["content"]
    assert late["form"] in {"text", "binary"}
    last = whole(exchange(answer=b"abc\xe4"))["response"]["content"]
    assert last["form"] == "text"
    assert last["remarks"]
    redacted = Content(b'{"password":"sha256:12345678"}', 30, "", redacted=True)
    assert (
        "fingerprints"
        in whole(replace(exchange(), response=response(200, redacted)))["response"]["content"]["remarks"][0]
    )


def test_trailers_and_deep_json_do_no_harm() -> None:
    trailed = replace(exchange(), response=response(200, "[" * 100_000, trailers=Headers([("A", "b")])))
    found = whole(trailed)["response"]
    assert found["trailers"] == [["A", "b"]]
    assert found["content"]["form"] == "text"


def test_a_resource_is_an_object_with_an_id() -> None:
    headers = Headers([("Content-Type", "application/scim+json")])
    assert resource_in(content({"id": "7"}), headers) == {"id": "7"}
    assert resource_in(content({"Resources": []}), headers) is None
    assert resource_in(content([1]), headers) is None
    assert resource_in(content("{"), headers) is None
