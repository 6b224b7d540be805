from __future__ import annotations

from pathlib import Path

import pytest

from scimproxy.exchange import Headers, Request, Response
from scimproxy.proxy import answers
from scimproxy.proxy.engine import EngineOptions, Forward, Target
from scimproxy.proxy.forwarding import Caller
from scimproxy.proxy.mitm_heads import client_head, own_head, switching_head, upstream_head

OPTIONS = EngineOptions(target=Target("http", "up", 81))
CALLER = Caller("10.0.0.1", None, "http", "public")


def test_what_goes_upstream() -> None:
    request = Request("POST", "/", headers=Headers([("Host", "public"), ("Expect", "100-continue"), ("A", "1")]))
    reverse = upstream_head(request, CALLER, OPTIONS, "chunked")
    assert (reverse.get("host"), reverse.get("x-forwarded-for")) == ("up:81", "10.0.0.1")
    assert (reverse.get("transfer-encoding"), reverse.get("expect")) == ("chunked", None)
    forward = EngineOptions(target=OPTIONS.target, forward=Forward(Path("/ca")))
    assert upstream_head(request, CALLER, forward, "none").pairs == (("Host", "up:81"), ("A", "1"))


def test_a_wish_for_a_websocket_goes_on() -> None:
    fields = [("Host", "h"), ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "x")]
    sent = upstream_head(Request("GET", "/", headers=Headers(fields)), CALLER, OPTIONS, "none")
    assert (sent.get_all("connection"), sent.get_all("upgrade")) == (("Upgrade",), ("websocket",))


@pytest.mark.parametrize(
    ("version", "came", "given"),
    [
        ("1.1", "1.1", ("1.1", "Fine")),
        ("1.1", "2", ("1.1", "OK")),
        ("2", "1.1", ("2", "")),
        ("2", "2", ("2", "")),
    ],
)
def test_what_a_client_is_given(version: str, came: str, given: tuple[str, str]) -> None:
    head = Response(200, "Fine", came, Headers([("X-A", "1"), ("Connection", "keep-alive")]))
    shown = client_head(head, version, "chunked", close=True, length=None)
    assert (shown.http_version, shown.reason) == given
    names = [name for name, _ in shown.headers]
    assert names == (["x-a"] if version == "2" else ["X-A", "Transfer-Encoding", "Connection"])


def test_no_content_has_no_length() -> None:
    head = Response(204, headers=Headers([("Content-Length", "0")]))
    assert len(client_head(head, "1.1", "none", close=False, length=None).headers) == 0


def test_a_status_that_nobody_knows_has_no_phrase() -> None:
    assert client_head(Response(299, "", "2"), "1.1", "none", close=False, length=None).reason == ""


def test_answers_of_our_own() -> None:
    response = answers.scim_error(502, "no")
    assert own_head(response, "1.1", close=True).headers.get("connection") == "close"
    second = own_head(response, "2", close=True)
    assert (second.http_version, second.reason, second.headers.get("connection")) == ("2", "", None)
    assert "content-type" in [name for name, _ in second.headers]


def test_the_switch_to_a_websocket() -> None:
    came = Response(
        101, "Switching Protocols", headers=Headers([("upgrade", "WebSocket"), ("Connection", "upgrade")])
    )
    assert switching_head(came).headers.pairs == (("Connection", "Upgrade"), ("Upgrade", "websocket"))
