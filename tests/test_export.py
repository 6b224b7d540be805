from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from dataclasses import replace
from typing import Any

import pytest
from factories import exchange, request, response, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scimproxy.errors import UsageError
from scimproxy.exchange import Content, Exchange, Headers, Request, fingerprint
from scimproxy.exports.formats import FORMATS, curl, export, pieces, raw_request, raw_response
from scimproxy.har import from_har

CURL = shutil.which("curl")
needs_curl = pytest.mark.skipif(CURL is None, reason="there is no curl on this machine")


class Catcher:
    """A server that takes one request a connection, and keeps its bytes."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.caught: list[tuple[str, str, list[tuple[str, str]], bytes]] = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            peer.settimeout(10)
            with peer, peer.makefile("rb") as lines:
                method, target = lines.readline().decode("latin-1").rpartition(" ")[0].split(" ", 1)
                headers = []
                while line := lines.readline().decode("latin-1").rstrip("\r\n"):
                    name, _, value = line.partition(":")
                    headers.append((name, value.strip(" ")))
                named = {name.lower(): value for name, value in headers}
                body = b""
                if named.get("transfer-encoding") == "chunked":
                    while size := int(lines.readline(), 16):
                        body += lines.read(size)
                        lines.readline()
                    lines.readline()
                elif "content-length" in named:
                    body = lines.read(int(named["content-length"]))
                self.caught.append((method, target, headers, body))
                peer.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(10)


@pytest.fixture(scope="module")
def catcher() -> Any:
    found = Catcher()
    yield found
    found.close()


def sent(catcher: Catcher, made: Exchange, **variables: str) -> tuple[str, str, list[tuple[str, str]], bytes]:
    """Run the exported script and return what arrived."""
    catcher.caught.clear()
    script = export(run(), [replace(made, host=f"127.0.0.1:{catcher.port}", scheme="http")], "curl")
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **variables}
    done = subprocess.run(["sh"], input=script, env=env, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b""), (done, script)
    assert len(catcher.caught) == 1
    return catcher.caught[0]


def host_first(headers: Headers) -> list[tuple[str, str]]:
    pairs = [(name, value.strip(" \t")) for name, value in headers]
    return [pair for pair in pairs if pair[0].lower() == "host"] + [
        pair for pair in pairs if pair[0].lower() != "host"
    ]


CASES = {
    "get": request(target="/scim/v2/Users?filter=userName%20eq%20%22x%22&a=[1]{2}"),
    "headers": request(
        headers=[("X-B", "1"), ("Accept", "application/scim+json"), ("X-A", ""), ("x-b", "2"), ("User-Agent", "me")]
    ),
    "post": request("POST", body={"userName": 'it\'s "é" $HOME `id` \\ % !\n\t', "x": 1}),
    "no type": Request(
        "POST", "/x", headers=Headers([("Host", "h"), ("Content-Length", "2")]), content=Content.of(b"{}")
    ),
    "empty post": Request("POST", "/x", headers=Headers([("Host", "h"), ("Content-Length", "0")])),
    "binary": request("PUT", body=b"\x00\xff\r\n@" * 50, headers={"Content-Type": "application/octet-stream"}),
    "at": request("POST", body=b"@/etc/hostname"),
    "large": request("POST", body=b"x" * 1_200_000),
    "crlf": request("POST", body=b'{\r\n"a": 1}\r\n'),
    "delete with body": request("DELETE", "/Users/1", body={"a": 1}),
    "get with body": request("GET", "/Users", body=b"a=b"),
    "dots": request(target="/a/../b/./c//d"),
    "odd target": request(target="/a b'c\"\xe9#x?%zz"),
    "star": request("OPTIONS", "*"),
    "absolute": request("GET", "http://other.example/x"),
    "latin header": request(headers={"X-Name": "caf\xe9 'q' \\n %s", "X-Tab": "a\tb"}),
    "odd method": request("PROPFIND'$(id)", "/x"),
    "chunked": request("POST", body=b"abc", headers={"Transfer-Encoding": "chunked"}),
    "head": request("HEAD", "/x"),
    "connection": request(
        headers={
            "Connection": "close",
            "Accept-Encoding": "gzip",
            "Cookie": "a=b; c=d",
            "Authorization": "Basic eDp5",
        }
    ),
    "dollar": request(target="/Users?$x=`y`&z=$(id)", headers={"X": "$(id) `id` ${HOME}"}),
}


@needs_curl
@pytest.mark.parametrize("name", CASES)
def test_the_exported_command_sends_the_same_request(catcher: Catcher, name: str) -> None:
    made = CASES[name]
    method, target, headers, body = sent(catcher, exchange(request=made))
    assert (method, target, body) == (made.method, made.target, made.content.data)
    assert headers == host_first(made.headers)


@needs_curl
def test_a_request_without_host_is_sent_without(catcher: Catcher) -> None:
    made = Request("GET", "/x", "1.0", Headers([("A", "b")]))
    _, _, headers, _ = sent(catcher, exchange(request=made))
    assert headers == [("A", "b")]


@needs_curl
def test_secrets_are_variables(catcher: Catcher) -> None:
    mark, other = fingerprint("tok en'1"), fingerprint("pass")
    body = Content.of(b'{"password": "%s", "x": "%s"}' % (other.encode(), other.encode()))
    made = request(
        "POST",
        f"/x?token={other}",
        body=replace(body, redacted=True, size=7),
        headers={"Authorization": f"Bearer {mark}"},
    )
    _, target, headers, got = sent(catcher, exchange(request=made), SCIM_AUTH="tok en'1", SCIM_SECRET_1="pass")
    assert target == "/x?token=pass" and ("Authorization", "Bearer tok en'1") in headers
    assert got == b'{"password": "pass", "x": "pass"}'


@needs_curl
def test_a_missing_secret_is_asked_for() -> None:
    script = export(
        run(), [exchange(request=request(headers={"Authorization": f"Bearer {fingerprint('t')}"}))], "curl"
    )
    done = subprocess.run(
        ["sh"], input=script, env={"PATH": os.environ["PATH"]}, capture_output=True, timeout=60, check=False
    )
    assert done.returncode != 0 and b"set SCIM_AUTH to the secret behind sha256:" in done.stderr


@needs_curl
@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f\x85\xa0"), max_size=30),
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30),
    st.binary(max_size=60) | st.text(max_size=30).map(str.encode),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_request_survives_the_shell(catcher: Catcher, target: str, value: str, body: bytes) -> None:
    made = request("POST", f"/{target}", body=body, headers={"X-Any": value})
    method, got_target, headers, got = sent(catcher, exchange(request=made))
    assert (method, got_target, got) == ("POST", made.target, body)
    assert headers == [(name, text.strip(" ")) for name, text in host_first(made.headers)]


def test_what_curl_cannot_send_is_named() -> None:
    made = request(
        "POST",
        body=replace(Content.of(b"abc"), size=900),
        headers=[("@/etc/passwd", "x"), ("X", "a\nb"), ("Content-Length", "900"), ("Ok", "1")],
    )
    text = curl(exchange(request=made, host="nonsense host"))
    assert "# left out, because curl cannot send it: @/etc/passwd\n" in text
    assert "# left out, because curl cannot send it: X\n" in text
    assert "# Content-Length is left to curl" in text and "holds 3 of the body's 900 bytes" in text
    assert "host.invalid" in text and "'Ok: 1'" in text
    assert "--header '@" not in text


def test_a_redacted_coded_body_is_sent_plain() -> None:
    made = request("POST", body=replace(Content.of(b"{}"), redacted=True), headers={"Content-Encoding": "gzip"})
    text = curl(exchange(request=made, scheme="https"))
    assert "# Content-Encoding is left out" in text and "gzip" not in text
    assert "https://scim.example/" in text


def test_other_versions_and_head_with_a_body() -> None:
    text = curl(exchange(request=request("HEAD", body=b"x", http_version="2")))
    assert "--http2" in text and "--request 'HEAD'" in text


def test_raw_messages() -> None:
    made = exchange(
        request=Request("PUT", "/x", headers=Headers([("A", "\xe9")]), content=Content.of(b"\xff")),
        response=response(404, b"no", reason="Not Found", headers={"Content-Type": "a/b", "Content-Length": "2"}),
        id=5,
    )
    assert raw_request(made.request) == b"PUT /x HTTP/1.1\r\nA: \xe9\r\n\r\n\xff"
    assert made.response is not None
    assert (
        raw_response(made.response) == b"HTTP/1.1 404 Not Found\r\nContent-Type: a/b\r\nContent-Length: 2\r\n\r\nno"
    )
    text = export(run(), [made, replace(made, response=None, id=None)], "raw")
    assert text == (
        b"===== 5: PUT /x -> 404\n"
        + raw_request(made.request)
        + b"\n----- answer\n"
        + raw_response(made.response)
        + b"\n\n===== PUT /x -> no answer\n"
        + raw_request(made.request)
    )


def test_har_is_a_format_too() -> None:
    made = exchange()
    assert from_har(export(run(), [made], "har")) == (run(), [made])


def test_titles_are_one_line() -> None:
    script = export(run(name="a\nrm -rf x"), [exchange(target="/x\ny")], "curl").decode()
    assert "# a?rm -rf x" in script and "# GET /x?y -> 200" in script


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="no export format 'zip'") as caught:
        pieces(run(), [], "zip")
    assert caught.value.hint == "there are har, curl, raw, hurl, pytest, locust, postman, runscope, mitmproxy"
    assert all(found.what and found.suffix.startswith(".") for found in FORMATS.values())
