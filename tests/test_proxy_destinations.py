from __future__ import annotations

from pathlib import Path

import pytest

from scimproxy.exchange import Headers, Request
from scimproxy.proxy.destinations import forward_headers, host_pattern, route, tunnel_target
from scimproxy.proxy.engine import ANYWHERE, EngineOptions, Forward, Target

REVERSE = EngineOptions(target=Target("http", "127.0.0.1", 8000, "/scim"))


def forward(*only: str) -> EngineOptions:
    return EngineOptions(target=ANYWHERE, forward=Forward(Path("/ca"), only), rewrite_locations=True)


def asking(target: str, method: str = "GET", host: str = "h") -> Request:
    return Request(method, target, "1.1", Headers([("Host", host)]))


def test_a_reverse_proxy_has_one_way() -> None:
    request = asking("http://a/b")
    way = route(request, None, "127.0.0.1", REVERSE)
    assert (way.request, way.options, way.recorded, way.refusal) == (request, REVERSE, True, None)
    assert way.caller.address == "127.0.0.1"


@pytest.mark.parametrize(
    ("text", "target", "path"),
    [
        ("http://a/b?c=d", Target("http", "a", 80), "/b?c=d"),
        ("HTTPS://A.b:8443/x#y", Target("https", "a.b", 8443), "/x"),
        ("https://[::1]", Target("https", "::1", 443), "/"),
        ("http://user:geheim@a?q=1/2", Target("http", "a", 80), "/?q=1/2"),
        ("http://a#b", Target("http", "a", 80), "/"),
    ],
)
def test_absolute_form(text: str, target: Target, path: str) -> None:
    way = route(asking(text), None, None, forward())
    assert (way.options.target, way.request.target, way.refusal) == (target, path, None)
    assert (way.caller.scheme, way.caller.host) == (target.scheme, target.authority)
    assert (way.options.preserve_host, way.options.rewrite_locations, way.options.public_base) == (False, False, "")


@pytest.mark.parametrize("text", ["/Users", "http://", "http://a:0/", "http://a:x/", "http://[::1/", "ftp://a/", "*"])
def test_forms_that_name_no_server(text: str) -> None:
    way = route(asking(text), None, None, forward())
    assert way.refusal is not None
    assert (way.refusal.status_code, way.recorded) == (400, True)
    assert "forward proxy" in way.refusal.detail


def test_a_connect_that_names_no_server() -> None:
    way = route(asking("nothing", "CONNECT"), None, None, forward())
    assert way.refusal is not None
    assert "does not name a host and a port" in way.refusal.detail


def test_inside_a_tunnel_it_is_the_tunnel_that_decides() -> None:
    tunnel = Target("https", "10.0.0.1", 443)
    way = route(asking("/Users", host="api.example"), tunnel, None, forward())
    assert (way.options.target, way.options.preserve_host, way.caller.host) == (tunnel, True, "api.example")
    assert way.caller.scheme == "https"
    nameless = Request("GET", "https://other/Users", "1.0")
    way = route(nameless, tunnel, None, forward())
    assert (way.request.target, way.options.target, way.caller.host) == ("/Users", tunnel, "10.0.0.1")


@pytest.mark.parametrize(
    ("only", "host", "wanted"),
    [
        ((), "a", True),
        (("a",), "A.", True),
        (("a:80",), "a", True),
        (("a:81",), "a", False),
        (("*.b.c",), "a.b.c", True),
        (("*.b.c",), "b.c", False),
        (("*.b.c",), "ab.c", False),
        (("a.b", "[::1]"), "[::1]", True),
        (("[::1]:80",), "[::1]", True),
        (("b.c",), "a.b.c", False),
    ],
)
def test_hosts_that_are_wanted(only: tuple[str, ...], host: str, wanted: bool) -> None:
    assert route(asking(f"http://{host}/"), None, None, forward(*only)).recorded is wanted


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("A.b:443", Target("https", "a.b", 443)),
        ("[::1]:8443", Target("https", "::1", 8443)),
        ("a", None),
        ("a:0", None),
        ("a:65536", None),
        ("a:1:2", None),
        ("u@a:1", None),
        ("a/b:1", None),
        (":1", None),
    ],
)
def test_where_a_connect_leads(text: str, target: Target | None) -> None:
    assert tunnel_target(text) == target


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        (" API.Example.com. ", "api.example.com"),
        ("a:80", "a:80"),
        ("*.okta.com", "*.okta.com"),
        ("[::1]:80", "[::1]:80"),
        ("", None),
        ("http://a", None),
        ("*", None),
        ("a.*.b", None),
        ("a b", None),
    ],
)
def test_hosts_as_a_user_writes_them(text: str, pattern: str | None) -> None:
    assert host_pattern(text) == pattern


def test_headers_of_a_forward_proxy() -> None:
    headers = Headers(
        [
            ("A", "1"),
            ("Host", "x"),
            ("Proxy-Authorization", "s"),
            ("Connection", "B"),
            ("B", "2"),
            ("X-Forwarded-For", "3"),
        ]
    )
    options = route(asking("http://a:81/"), None, None, forward()).options
    assert forward_headers(headers, options).pairs == (("A", "1"), ("Host", "a:81"), ("X-Forwarded-For", "3"))
    assert forward_headers(Headers([("A", "1")]), options).pairs == (("Host", "a:81"), ("A", "1"))
    inside = route(asking("/"), Target("https", "a", 443), None, forward()).options
    assert forward_headers(headers, inside).pairs == (("A", "1"), ("Host", "x"), ("X-Forwarded-For", "3"))
    assert forward_headers(Headers(), inside).pairs == (("Host", "a"),)
