"""Requests that must never reach the server behind the guard: a table of bytes, by what they try.

Written for a listener that serves `/scim/v2` of the host `public.example`, asks for the bearer token `TOKEN`, and takes
bodies of 1,000 bytes. `{inspector}` stands for the port of something else on the same machine.
"""

from __future__ import annotations

__all__ = ["HOSTILE", "TOKEN", "honest"]

TOKEN = "a-token-of-some-length"
_AUTH = f"Authorization: Bearer {TOKEN}\r\n"


def honest(
    line: str = "GET /scim/v2/Users HTTP/1.1", *, host: str = "public.example", fields: str = "", body: bytes = b""
) -> bytes:
    """A request that may pass, or all of one but for what it is about."""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{line}\r\nHost: {host}\r\n{_AUTH}{fields}{length}\r\n".encode("latin-1") + body


def _paths() -> dict[str, bytes]:
    outside = [
        "/",
        "/scim",
        "/scim/",
        "/scim/v1/Users",
        "/scim/v2x",
        "/scim/v22/Users",
        "/SCIM/v2/Users",
        "/scim/V2/Users",
        "//scim/v2/Users",
        "/x/../scim/v2/Users",
        "/./scim/v2/Users",
        "/scim//v2/Users",
        "/scim/./v2/Users",
        "/scim%2fv2/Users",
        "/scim%2Fv2%2FUsers",
        "/scim\\v2\\Users",
        "\\scim\\v2\\Users",
        "/scim;x/v2/Users",
        "/scim/v2;x/Users",
        "/scim/v2%00/Users",
        "/scim/v2%20/Users",
        "/admin",
        "/api",
        "/api/requests/http",
        "/status",
        "/events",
        "/login",
        "/inspector",
        "/ui",
        "/static/app.js",
        "/favicon.ico",
        "/robots.txt",
        "/_scimproxy",
        "/scimproxy",
        "/debug/pprof",
        "/.git/config",
        "/.env",
        "/metrics",
        "/health",
        "/healthz",
        "/ws",
        "/graphql",
        "/runs",
        "/exchanges/1",
        "/%2e%2e/scim/v2/Users",
        "/..;/scim/v2/Users",
        "/scim%252fv2/Users",
        "/%73cim/v3/Users",
        "/scim/v2%2f..%2fadmin",
        "/scim/v2%23/Users",
        "/scim/v2%3f/Users",
        "/scim/v2\\..\\admin",
        "/scim/v%32%2e%2e/x",
        "/scim/%76%31",
        "/?/scim/v2/Users",
        "/#/scim/v2/Users",
        "/scim/v2#/../../admin",
        "*",
        "/*",
    ]
    climbing = [
        "/..",
        "/../admin",
        "/../../etc/passwd",
        "/Users/../../admin",
        "/Users/1/../../../admin",
        "/./../admin",
        "//../admin",
        "/%2e%2e/admin",
        "/%2E%2E/admin",
        "/%2e./admin",
        "/.%2e/admin",
        "/..%2fadmin",
        "/..%2Fadmin",
        "/%2e%2e%2fadmin",
        "/..%5cadmin",
        "/%5c..%5c..%5cadmin",
        "/..\\admin",
        "/Users\\..\\..\\admin",
        "/%252e%252e/admin",
        "/%252e%252e%252fadmin",
        "/..%252fadmin",
        "/%25252e%25252e/admin",
        "/%2525252e%2525252e/admin",
        "/%252525252e%252525252e/admin",
        "/%25252525252e%25252525252e/admin",
        "/%c0%ae%c0%ae/admin",
        "/%c0%ae./admin",
        "/..%c0%afadmin",
        "/..%c1%9cadmin",
        "/%e0%80%ae%e0%80%ae/admin",
        "/%f0%80%80%ae%f0%80%80%ae/admin",
        "/%25c0%25ae%25c0%25ae/admin",
        "/%u002e%u002e/admin",
        "/..%u002fadmin",
        "/..%u005cadmin",
        "/..;/admin",
        "/..;a=b/admin",
        "/%2e%2e;/admin",
        "/..%3b/admin",
        "/..%00/admin",
        "/..%2500/admin",
        "/..%23/admin",
        "/..%3f/admin",
        "/..%20/admin",
        "/..%09/admin",
        "/..%0a/admin",
        "/%20../admin",
        "/Users/..;/..;/admin",
        "/Users/%2e%2e/%2e%2e/admin",
        "/Users/..%2f..%2fadmin",
        "/Users/x/..//../../admin",
        "/a/b/c/../../../../admin",
        "/Users?/../../..",
        "/Users%3f/../../../x",
    ]
    climbing.remove("/Users?/../../..")  # that is a query
    return {f"outside {path}": honest(f"GET {path} HTTP/1.1") for path in outside} | {
        f"climbing {path}": honest(f"GET /scim/v2{path} HTTP/1.1") for path in climbing
    }


def _targets() -> dict[str, bytes]:
    made = {
        f"absolute {form}": honest(f"GET {form} HTTP/1.1")
        for form in (
            "http://127.0.0.1:{inspector}/",
            "http://localhost:{inspector}/api/requests",
            "http://[::1]:{inspector}/",
            "https://127.0.0.1:{inspector}/",
            "http://public.example/scim/v2/Users",
            "HTTP://127.0.0.1:{inspector}/scim/v2/Users",
            "ftp://127.0.0.1/",
            "file:///etc/passwd",
            "gopher://127.0.0.1:{inspector}/_x",
            "//127.0.0.1:{inspector}/scim/v2/Users",
            "127.0.0.1:{inspector}",
            "scim/v2/Users",
            "@127.0.0.1:{inspector}/",
            "?x=/scim/v2/Users",
        )
    }
    made["connect"] = honest("CONNECT 127.0.0.1:{inspector} HTTP/1.1")
    made["connect with a path"] = honest("CONNECT /scim/v2/Users HTTP/1.1")
    made["upgrade to websocket"] = honest(
        fields="Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    )
    made["upgrade to h2c"] = honest(
        fields="Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
    )
    made["http/2 preface"] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    made["http/0.9"] = b"GET /scim/v2/Users\r\n\r\n"
    made["http/3.0"] = honest("GET /scim/v2/Users HTTP/3.0")
    made["a space in the target"] = honest("GET /scim/v2/Users /x HTTP/1.1")
    made["a tab in the line"] = honest("GET\t/scim/v2/Users HTTP/1.1")
    made["a TLS hello"] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32 + b"\r\n\r\n"
    return made


def _methods() -> dict[str, bytes]:
    unknown = [
        "TRACE",
        "TRACK",
        "DEBUG",
        "PROPFIND",
        "MKCOL",
        "COPY",
        "MOVE",
        "LOCK",
        "PURGE",
        "LINK",
        "SEARCH",
        "get",
        "Get",
        "POSTX",
        "FOO",
    ]
    made = {f"method {name}": honest(f"{name} /scim/v2/Users HTTP/1.1") for name in unknown}
    for field in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        made[f"method by {field}"] = honest("POST /scim/v2/Users HTTP/1.1", fields=f"{field}: TRACE\r\n", body=b"{}")
    return made


def _hosts() -> dict[str, bytes]:
    hosts = [
        "evil.example",
        "public.example.evil",
        "xpublic.example",
        "public.example:8443",
        "10.0.0.1",
        "169.254.169.254",
        "[::2]",
        "public.example@evil",
        "evil@public.example",
        "public.example/x",
        "public.example#x",
        "public.example?x",
        "public.example,evil",
        "127.0.0.1.evil",
        "localhost.evil",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0.0.0.0",
        "::1",
        "[::1",
        "public.example:x",
        "metadata.google.internal",
    ]
    made = {f"host {host}": honest(host=host) for host in [*hosts, "", "public.example evil", "public.example\tx"]}
    made["no host"] = f"GET /scim/v2/Users HTTP/1.1\r\n{_AUTH}\r\n".encode()
    made["no host in 1.0"] = f"GET /scim/v2/Users HTTP/1.0\r\n{_AUTH}\r\n".encode()
    made["two hosts"] = honest(fields="Host: public.example\r\n")
    made["another host second"] = honest(fields="Host: evil.example\r\n")
    for name in ("X-Forwarded-Host", "X-Host", "Forwarded"):
        made[f"host by {name}"] = honest(host="evil.example", fields=f"{name}: public.example\r\n")
    return made


def _framing() -> dict[str, bytes]:
    post = "POST /scim/v2/Users HTTP/1.1"
    fields = {
        "length and chunked": "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "two lengths": "Content-Length: 5\r\nContent-Length: 5\r\n",
        "two other lengths": "Content-Length: 5\r\nContent-Length: 0\r\n",
        "a list of lengths": "Content-Length: 5, 5\r\n",
        "a signed length": "Content-Length: +5\r\n",
        "a negative length": "Content-Length: -1\r\n",
        "a hexadecimal length": "Content-Length: 0x5\r\n",
        "an enormous length": "Content-Length: 99999999999999999999\r\n",
        "an empty length": "Content-Length: \r\n",
        "gzip, chunked": "Transfer-Encoding: gzip, chunked\r\n",
        "chunked twice": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "xchunked": "Transfer-Encoding: xchunked\r\n",
        "identity": "Transfer-Encoding: identity\r\n",
        "chunked by a vertical tab": "Transfer-Encoding: \x0bchunked\r\n",
        "a space before the colon": "Transfer-Encoding : chunked\r\n",
        "a folded field": "X-A: b\r\n c: d\r\n",
        "a NUL in a field": "X-A: b\x00c\r\n",
        "a bare CR in a field": "X-A: b\rTransfer-Encoding: chunked\r\n",
        "a bare LF line": "X-A: b\nTransfer-Encoding: chunked\r\n\r\n",
        "no colon": "Transfer-Encoding\r\n",
        "an empty name": ": x\r\n",
        "a space in a name": "Content Length: 5\r\n",
    }
    made = {name: honest(post, fields=text) for name, text in fields.items()}
    made["chunked in 1.0"] = honest("POST /scim/v2/Users HTTP/1.0", fields="Transfer-Encoding: chunked\r\n")
    made["a head too long"] = honest(fields="X-A: " + "a" * 300_000 + "\r\n")
    made["a target too long"] = honest("GET /scim/v2/" + "a" * 300_000 + " HTTP/1.1")
    made["a body too long"] = honest(post, body=b"x" * 1001)
    made["a body too long, announced"] = honest(post, fields="Content-Length: 1001\r\nExpect: 100-continue\r\n")
    made["a body much too long"] = honest(post, fields="Content-Length: 999999999999\r\n")
    chunked = honest(post, fields="Transfer-Encoding: chunked\r\n")
    made["chunks too long"] = chunked + b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n"
    made["many chunks too long"] = chunked + b"64\r\n%b\r\n" % (b"x" * 100) * 11 + b"0\r\n\r\n"
    made["a chunk of another size"] = chunked + b"5\r\nhelloworld\r\n0\r\n\r\n"
    made["a chunk of no size"] = chunked + b"x\r\nhello\r\n0\r\n\r\n"
    made["a chunk of an enormous size"] = chunked + b"ffffffffffffffffff\r\nhello\r\n0\r\n\r\n"
    return made


def _people() -> dict[str, bytes]:
    bare = b"GET /scim/v2/Users HTTP/1.1\r\nHost: public.example\r\n%b\r\n"
    tokens = {
        "no token": b"",
        "an empty token": b"Authorization: Bearer \r\n",
        "a wrong token": b"Authorization: Bearer x\r\n",
        "almost the token": b"Authorization: Bearer %b\r\n" % TOKEN[:-1].encode(),
        "more than the token": b"Authorization: Bearer %bx\r\n" % TOKEN.encode(),
        "the token as a password": b"Authorization: Basic %b\r\n" % TOKEN.encode(),
        "the token alone": b"Authorization: %b\r\n" % TOKEN.encode(),
        "two tokens": b"Authorization: Bearer %b\r\nAuthorization: Bearer x\r\n" % TOKEN.encode(),
        "the token for a proxy": b"Proxy-Authorization: Bearer %b\r\n" % TOKEN.encode(),
        "the token as a cookie": b"Cookie: token=%b\r\n" % TOKEN.encode(),
        "the token with an underscore": b"HTTP_AUTHORIZATION: Bearer %b\r\n" % TOKEN.encode(),
    }
    made = {name: bare % fields for name, fields in tokens.items()}
    made["the token in the query"] = (
        f"GET /scim/v2/Users?access_token={TOKEN} HTTP/1.1\r\nHost: public.example\r\n\r\n".encode()
    )
    made["a loop"] = honest(fields="Scimproxy-Via: 0000, feedfeedfeedfeed\r\n")
    made["a loop in another case"] = honest(fields="scimproxy-via: feedfeedfeedfeed\r\n")
    for name in ("X-Original-URL", "X-Rewrite-URL"):
        made[f"path by {name}"] = honest("GET / HTTP/1.1", fields=f"{name}: /scim/v2/Users\r\n")
    made["somebody else's probe"] = bare % b"Scimproxy-Probe: 00.0000\r\n"
    return made


HOSTILE = {**_paths(), **_targets(), **_methods(), **_hosts(), **_framing(), **_people()}
