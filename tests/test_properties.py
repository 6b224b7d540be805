"""What must hold across modules, whatever came over the wire."""

from __future__ import annotations

import json

from factories import exchange, request, response, run
from hypothesis import given, settings
from hypothesis import strategies as st

from scimproxy.exchange import Exchange
from scimproxy.exports.formats import FORMATS, export
from scimproxy.har import from_har, to_har
from scimproxy.redact import redact
from scimproxy.scim.message import operation_of

SECRET = "Zq7-secret-value-42"

METHODS = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"])
TARGETS = st.sampled_from(
    [
        "/scim/v2/Users",
        "/Users/1",
        "/Groups?count=1",
        "/Bulk",
        "/Me",
        f"/Users?access_token={SECRET}",
        f"/x?a=1&sig={SECRET}#f",
    ]
)
HEADERS = st.lists(
    st.sampled_from(
        [("Authorization", f"Bearer {SECRET}"), ("Cookie", f"a={SECRET}"), ("X-Api-Key", SECRET), ("Accept", "*/*")]
    ),
    max_size=3,
)
BODIES = st.sampled_from(
    [
        b"",
        b"\x00\xff not text",
        json.dumps({"userName": "b", "password": SECRET}).encode(),
        json.dumps({"Operations": [{"op": "replace", "path": "password", "value": SECRET}]}).encode(),
        json.dumps(
            {"Operations": [{"method": "POST", "path": "/Users", "data": {"password": SECRET}}]}, indent=1
        ).encode(),
        f'{{"password": "{SECRET}", "cut": "'.encode(),
    ]
)
# An answer may repeat what a request said in a known place; there it is found by its value.
ANSWERS = BODIES | st.just(json.dumps({"detail": f"{SECRET} is too weak"}).encode())


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    asked = request(draw(METHODS), draw(TARGETS), body=draw(BODIES), headers=[*draw(HEADERS), ("X-Token", SECRET)])
    return exchange(request=asked, response=draw(st.none() | ANSWERS.map(lambda body: response(200, body))))


@given(exchanges())
@settings(max_examples=150, deadline=None)
def test_no_export_of_a_redacted_exchange_holds_a_secret(made: Exchange) -> None:
    safe, found = redact(made)
    assert SECRET in found.values()
    for name in FORMATS:
        assert SECRET.encode() not in export(run(), [safe], name)
    assert SECRET not in repr(safe)


@given(exchanges())
@settings(max_examples=150, deadline=None)
def test_redacting_commutes_with_har_and_keeps_the_operation(made: Exchange) -> None:
    safe, _ = redact(made)
    assert redact(safe) == (safe, {})
    assert from_har(to_har(run(), [safe]))[1] == [safe]
    assert redact(from_har(to_har(run(), [made]))[1][0])[0] == safe
    before, after = operation_of(made), operation_of(safe)
    assert (before.kind, before.summary) == (after.kind, after.summary)
    assert SECRET not in before.summary
