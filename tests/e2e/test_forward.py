"""`scimproxy up --mode forward` in a process of its own, before curl: recorded, without secrets, whatever ends it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from e2e.proxy import Proxy
from listeners import http, listener

from scimproxy.store import Reader, Store

USER = b'{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"1","userName":"bjensen"}'

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[str]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "upstream-ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with listener(lambda _: http(200, USER), tls=context) as port:
        yield f"https://localhost:{port}"


def forwarding(tmp_path: Path, *options: str) -> Proxy:
    """A forward proxy; `--mode` stands where a target would."""
    return Proxy(
        "--mode=forward", tmp_path / "a.db", "--upstream-ca", str(tmp_path / "upstream-ca.pem"), *options,
        env={"SCIMPROXY_CA_DIR": str(tmp_path / "ca")},
    )  # fmt: skip


def curl(proxy: Proxy, ca: Path, url: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["curl", "-sS", "--max-time", "30", "--proxy", proxy.url, "--cacert", str(ca),
         "-H", "Authorization: Bearer sehr-geheim", "-w", "\n%{http_version} %{http_code}", *options, url],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def stored(tmp_path: Path) -> bytes:
    return b"".join(path.read_bytes() for path in tmp_path.glob("a.db*"))


def supports_http2() -> bool:
    told = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout
    return " HTTP2" in told


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_curl(upstream: str, tmp_path: Path, version: str) -> None:
    if version == "2" and not supports_http2():
        pytest.skip("this curl has no HTTP/2")
    with forwarding(tmp_path) as proxy:
        assert proxy.ready["engine"] == "mitmproxy"
        assert proxy.ready["target"] is None
        done = curl(
            proxy, tmp_path / "ca" / "scimproxy-ca.pem", f"{upstream}/Users?access_token=auch-geheim",
            "--http2" if version == "2" else "--http1.1", "-d", '{"password":"ganz-geheim","userName":"b"}',
            "--proxy-user", "me:proxy-geheim",
        )  # fmt: skip
        assert done.stdout == f"{USER.decode()}\n{version} 200", done.stderr
        assert proxy.stop() == 0
    with Reader.open(tmp_path / "a.db") as reader:
        exchange, run = reader.exchange(1), reader.run(1)
        assert reader.exchange(2) is None
    assert run is not None
    assert (run.name, run.target, run.engine, run.lost) == ("forward", None, "mitmproxy", 0)
    assert exchange is not None
    assert exchange.request.http_version == version
    assert (exchange.scheme, exchange.host) == ("https", upstream.removeprefix("https://"))
    assert exchange.response is not None
    assert exchange.response.content.data == USER
    assert exchange.client_connection is not None
    assert exchange.client_connection.tls is not None
    assert exchange.client_connection.tls.alpn == ("h2" if version == "2" else "http/1.1")
    assert exchange.upstream_connection is not None
    assert exchange.upstream_connection.tls is not None
    assert b"geheim" not in stored(tmp_path)
    assert b"PRIVATE KEY" not in stored(tmp_path)


def test_a_host_that_is_not_wanted_keeps_its_own_certificate(upstream: str, tmp_path: Path) -> None:
    with forwarding(tmp_path, "--only-host", "api.example.com") as proxy:
        done = curl(proxy, tmp_path / "upstream-ca.pem", f"{upstream}/Users")
        assert done.stdout.endswith("1.1 200"), done.stderr
        assert proxy.stop() == 0
    with Reader.open(tmp_path / "a.db") as reader:
        assert reader.exchange(1) is None
    assert b"bjensen" not in stored(tmp_path)


def test_the_target_is_the_only_host_recorded(upstream: str, tmp_path: Path) -> None:
    with (
        forwarding(tmp_path, f"{upstream}/scim/v2") as proxy,
        listener(lambda _: http(200, b"{}")) as other,
    ):
        assert curl(proxy, tmp_path / "upstream-ca.pem", f"http://127.0.0.1:{other}/Users").returncode == 0
        assert curl(proxy, tmp_path / "ca" / "scimproxy-ca.pem", f"{upstream}/Users").returncode == 0
        assert proxy.stop() == 0
    with Reader.open(tmp_path / "a.db") as reader:
        exchange = reader.exchange(1)
        assert reader.exchange(2) is None
    assert exchange is not None
    assert exchange.scheme == "https"


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_kill_9_loses_nothing_that_a_client_has_seen(upstream: str, tmp_path: Path, version: str) -> None:
    if version == "--http2" and not supports_http2():
        pytest.skip("this curl has no HTTP/2")
    with forwarding(tmp_path) as proxy:
        done = curl(proxy, tmp_path / "ca" / "scimproxy-ca.pem", f"{upstream}/Users/1", version)
        proxy.kill()
    assert done.stdout.endswith(" 200"), done.stderr
    with Reader.open(tmp_path / "a.db") as reader:
        exchange = reader.exchange(1)
    assert exchange is not None
    assert (exchange.state, exchange.request.target) == ("complete", "/Users/1")
    assert b"geheim" not in stored(tmp_path)


def test_kill_9_keeps_the_handshake_of_a_websocket(tmp_path: Path) -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    ended = threading.Event()
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            while True:
                connection = server.accept()[0]
                with connection:
                    if connection.recv(65536):  # `up` knocks once and says nothing
                        connection.sendall(switch)
                        ended.wait(30)
                        return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        target = f"http://127.0.0.1:{server.getsockname()[1]}"
        with (
            Proxy(target, tmp_path / "a.db", "--engine", "mitmproxy") as proxy,
            socket.create_connection(("127.0.0.1", proxy.port), timeout=30) as client,
        ):
            client.sendall(
                b"GET /events HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer geheim\r\n\r\n"
            )
            assert client.recv(65536).startswith(b"HTTP/1.1 101 ")
            proxy.kill()
        ended.set()
        thread.join(30)
    with Store.open(tmp_path / "a.db") as store:
        assert store.recovered == 1
    with Reader.open(tmp_path / "a.db") as reader:
        exchange = reader.exchange(1)
    assert exchange is not None
    assert exchange.state == "aborted"
    assert exchange.response is not None
    assert exchange.response.status_code == 101
    assert b"geheim" not in stored(tmp_path)
