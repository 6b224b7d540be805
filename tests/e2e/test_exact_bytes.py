"""Real clients against real servers through the proxy: what SQLite holds equals what taps on both sides saw."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from e2e.proxy import Proxy
from e2e.tap import Message, Tap
from okta_like import OktaLike
from servers import Peer

from scimproxy.exchange import Content, Exchange, Headers
from scimproxy.store import Reader

CLIENTS = {
    "scim-sanity": lambda url, token: ["scim_sanity", "probe", url, "--token", token, "--i-accept-side-effects"],
    "scim2-cli": lambda url, token: ["scim2_cli", "--url", url, "--header", f"Authorization: Bearer {token}", "test"],
}


def as_message(start: tuple[str, ...], headers: Headers, content: Content) -> Message:
    return Message(start, headers.raw(), content.data)


def outside(exchange: Exchange) -> tuple[Message, Message]:
    """The exchange as the client saw it."""
    request, response = exchange.request, exchange.response
    assert response is not None
    return (
        as_message((request.method, request.target), request.headers, request.content),
        as_message((str(response.status_code), response.reason), response.headers, response.content),
    )


def inside(exchange: Exchange) -> tuple[Message, Message]:
    """The exchange as the upstream saw it."""
    request, response = exchange.request, exchange.response
    assert response is not None
    return (
        as_message(
            (request.method, exchange.upstream_request_target or request.target),
            exchange.upstream_request_headers or request.headers,
            request.content,
        ),
        as_message(
            (str(response.status_code), response.reason),
            exchange.upstream_response_headers or response.headers,
            response.content,
        ),
    )


def run_client(name: str, url: str, token: str) -> None:
    module, *arguments = CLIENTS[name](url, token)
    pytest.importorskip(module, reason=f"{name} needs Python 3.13 beside mitmproxy")
    code = {"scim_sanity": "from scim_sanity.cli import main", "scim2_cli": "from scim2_cli import cli as main"}[
        module
    ]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; sys.argv[0] = {name!r}; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "NO_COLOR": "1"},
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr


def check(client: str, peer: Peer, tmp_path: Path, engine: str = "native") -> int:
    db = tmp_path / "r.db"
    with Tap(peer.port) as server_tap:
        target = f"http://127.0.0.1:{server_tap.port}{peer.base_path}"
        with Proxy(target, db, "--keep-secrets", "--engine", engine) as proxy, Tap(proxy.port) as client_tap:
            run_client(client, f"http://127.0.0.1:{client_tap.port}{peer.base_path}", peer.token)
            assert proxy.stop() == 0
            seen_outside, seen_inside = client_tap.exchanges(), server_tap.exchanges()
    with Reader.open(db) as reader:
        stored = [reader.exchange(row.id) for row in reader.exchanges(limit=100_000)]
    assert stored, "nothing was recorded"
    assert Counter(map(outside, stored)) == Counter(seen_outside)
    assert Counter(map(inside, stored)) == Counter(seen_inside)
    assert {e.state for e in stored} == {"complete"}
    return len(stored)


@pytest.mark.parametrize("engine", ["native", "mitmproxy"])
def test_scim_sanity_against_scim2_server(scim2_server: Peer, tmp_path: Path, engine: str) -> None:
    assert check("scim-sanity", scim2_server, tmp_path, engine) >= 20


@pytest.mark.slow
def test_scim2_cli_against_scim2_server(scim2_server: Peer, tmp_path: Path) -> None:
    assert check("scim2-cli", scim2_server, tmp_path) >= 500


@pytest.mark.parametrize("engine", ["native", "mitmproxy"])
def test_scim_sanity_against_scimmy(scimmy: Peer, tmp_path: Path, engine: str) -> None:
    assert check("scim-sanity", scimmy, tmp_path, engine) >= 20


@pytest.mark.slow
def test_scim2_cli_against_scimmy(scimmy: Peer, tmp_path: Path) -> None:
    assert check("scim2-cli", scimmy, tmp_path) >= 300


def test_secrets_reach_the_server_and_not_the_disk(scimmy: Peer, tmp_path: Path) -> None:
    folder = tmp_path / "recording"
    with Tap(scimmy.port) as server_tap:
        target = f"http://127.0.0.1:{server_tap.port}{scimmy.base_path}"
        with Proxy(target, folder / "r.db") as proxy:
            okta = OktaLike(proxy.url, scimmy.token)
            okta.everything()
            files = {path: path.read_bytes() for path in folder.iterdir()}  # while it records: the WAL, too
            assert proxy.stop() == 0
        sent = b"".join(bytes(talk.sent) for talk in server_tap.talks)
    secrets = (scimmy.token.encode(), b"1mz050nq")
    assert all(secret in sent for secret in secrets)
    assert 200 in okta.statuses
    files |= {path.with_name(f"after-{path.name}"): path.read_bytes() for path in folder.iterdir()}
    assert any(b"bearer" in data.lower() for data in files.values())
    found = [(path.name, secret) for path, data in files.items() for secret in secrets if secret in data]
    assert found == []
    assert not any(secret in json.dumps(proxy.events).encode() for secret in secrets)
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / "r.db")] == [0o700, 0o600]
