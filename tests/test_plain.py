from __future__ import annotations

from dataclasses import fields

import pytest

from scimproxy.errors import FormatError
from scimproxy.exchange import Certificate, Connection, Failure, Headers, Request, Timings, Tls
from scimproxy.plain import from_base64, members, plain, typed

CERTIFICATE = Certificate("ab", "CN=a", "CN=b", ("a", "b"), 1.5, 2.0, der=b"\x00\xff")


def test_there_and_back() -> None:
    made = Connection(uid="1", side="upstream", peer_port=0, opened_at=1.25, tls=Tls("1.3", chain=(CERTIFICATE,)))
    assert typed(Connection, plain(made), "x") == made
    assert plain(made) == {
        "uid": "1",
        "side": "upstream",
        "peer_port": 0,
        "opened_at": 1.25,
        "tls": {
            "version": "1.3",
            "chain": [
                {
                    "sha256": "ab",
                    "subject": "CN=a",
                    "issuer": "CN=b",
                    "names": ["a", "b"],
                    "not_before_at": 1.5,
                    "not_after_at": 2.0,
                    "der": "AP8=",
                }
            ],
        },
    }
    assert typed(Request, {"method": "GET", "target": "/", "headers": [["A", "b"]]}, "x").headers == Headers(
        [("A", "b")]
    )
    assert plain(Request("GET", "/")) == {"method": "GET", "target": "/"}
    assert plain(Request("GET", "/", headers=Headers([("A", "b")])))["headers"] == [["A", "b"]]
    assert typed(Timings, {"wait": 3}, "x") == Timings(wait=3.0)
    assert {field.name for field in fields(Timings)} >= set(plain(Timings(wait=None, dns=0.0)))


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (Failure, {"kind": "odd", "message": "m"}, "x.kind: 'odd' is none of refused"),
        (Failure, {"message": "m"}, "x.kind: missing"),
        (Failure, [], "x: not an object"),
        (Failure, {"kind": "dns", "message": "m", "more": 1}, "x.more: not known"),
        (Timings, {"wait": "1"}, "x.wait: '1' is not a number"),
        (Timings, {"wait": True}, "x.wait: True is not a number"),
        (Timings, {"wait": 10**30}, "is not a number"),
        (Connection, {"uid": "1", "side": "client", "peer_port": 1.5}, "x.peer_port: 1.5 is not a whole number"),
        (Connection, {"uid": "1", "side": "client", "peer_port": True}, "x.peer_port: True is not a whole number"),
        (Connection, {"uid": {}, "side": "client"}, "x.uid: an object is not a text"),
        (Connection, {"uid": [], "side": "client"}, "x.uid: a list is not a text"),
        (Connection, {"uid": 10**60, "side": "client"}, r"x.uid: 10{36}\.\.\. is not a text"),
        (Tls, {"chain": 5}, "x.chain: not a list"),
        (Request, {"method": "G", "target": "/", "headers": [["a"]]}, r"x.headers\[0\]: 1 values, not 2"),
        (Certificate, {"der": "?"}, "x.der: not base64"),
    ],
)
def test_what_does_not_fit_is_refused(kind: type, value: object, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        typed(kind, value, "x")


def test_members_may_be_few() -> None:
    assert members(Failure, {"phase": None}, "x") == {"phase": None}


def test_base64() -> None:
    assert from_base64("AP8=", "x") == b"\x00\xff"
    for bad in (5, "A", "é"):
        with pytest.raises(FormatError, match=r"^x: "):
            from_base64(bad, "x")
