"""The embedded server over a real loopback socket."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from demo_client import ERROR, Client

from scimproxy.demo import Demo, create_app, serve
from scimproxy.errors import ScimproxyError, UsageError
from scimproxy.scim.dialect import Dialect


@pytest.fixture
async def start() -> Any:
    started: list[Demo] = []

    async def start(*defects: str, **options: Any) -> Client:
        demo = await serve(defects=defects, **options)
        started.append(demo)
        return Client(demo)

    yield start
    for demo in started:
        await demo.close()


async def test_it_tells_where_it_is_and_holds_a_user_and_a_group() -> None:
    async with await serve() as demo:
        client = Client(demo)
        assert demo.port and demo.url == f"http://127.0.0.1:{demo.port}/scim/v2"
        users = (await client("GET", "/Users")).body
        assert [one["id"] for one in users["Resources"]] == [demo.user_id]
        assert users["Resources"][0]["meta"]["location"] == f"{demo.url}/Users/{demo.user_id}"
        groups = (await client("GET", "/Groups")).body
        assert groups["Resources"][0]["members"][0]["value"] == demo.user_id
        assert (await client("GET", "/Me")).body["id"] == demo.user_id
    with pytest.raises(OSError, match=r"refused|Connect"):
        await client("GET", "/Users")


async def test_one_connection_carries_many_requests(start: Any) -> None:
    client = await start()
    reader, writer = await asyncio.open_connection(client.demo.host, client.demo.port)
    for _ in range(3):
        got = await client.on(reader, writer, "GET", "/Users")
        assert (got.status, got.version, got.closed) == (200, "HTTP/1.1", False)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer", "Basic dTpw", "bearer \xff"])
async def test_wrong_credentials_are_401(start: Any, header: str | None) -> None:
    client = await start()
    fields = {} if header is None else {"Authorization": header}
    got = await client("GET", "/Users", token=None, **fields)
    assert got.status == 401 and got.headers["www-authenticate"].startswith('Bearer realm="scim"')
    assert ("invalid_token" in got.headers["www-authenticate"]) == (header is not None)
    assert got.body["schemas"] == [ERROR] and got.body["status"] == "401"
    assert client.demo.token not in got.content.decode()


async def test_outside_the_base_path_there_is_nothing(start: Any) -> None:
    client = await start()
    for path in (f"http://{client.parts.netloc}/", f"http://{client.parts.netloc}/scim/v2x/Users"):
        got = await client("GET", path)
        assert got.status == 404 and "/scim/v2" in got.body["detail"]
    assert (await client("GET", f"{client.demo.url}/Users")).status == 200, "absolute form of a request target"
    assert (await client("GET", "")).body["totalResults"] == 2


async def test_head_has_no_content(start: Any) -> None:
    client = await start()
    got = await client("HEAD", "/Users", Connection="close")
    assert got.closed and got.beyond == b""
    assert got.status == 200 and int(got.headers["content-length"]) > 100


async def test_too_large_a_body_is_a_scim_error(start: Any) -> None:
    client = await start(dialect=Dialect(max_content=1000, max_payload=1000))
    for size in (1001, 5000):
        got = await client("POST", "/Users", b" " * size)
        assert got.status == 413 and got.body["schemas"] == [ERROR]


async def test_locations_follow_the_proxy_in_front(start: Any) -> None:
    forwarded = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "scim.example:8443"}
    client = await start()
    path = f"/Users/{client.demo.user_id}"
    got = await client("GET", path, **forwarded)
    assert got.body["meta"]["location"] == f"https://scim.example:8443/scim/v2{path}"
    got = await client("GET", path, Host="bad host/../")
    assert got.body["meta"]["location"] == client.demo.url + path
    alone = await start(trust_forwarded=False)
    got = await alone("GET", f"/Users/{alone.demo.user_id}", **forwarded)
    assert got.body["meta"]["location"].startswith(alone.demo.url)


async def test_it_can_start_empty_and_on_ipv6() -> None:
    try:
        demo = await serve(host="::1", seeded=False, token="chosen")
    except ScimproxyError:
        pytest.skip("this machine has no IPv6 loopback")
    async with demo:
        assert demo.url == f"http://[::1]:{demo.port}/scim/v2" and demo.token == "chosen"
        client = Client(demo)
        assert (await client("GET", "/Users")).body["totalResults"] == 0
        assert (await client("GET", "/Me")).status == 501
        got = await client("GET", "/ServiceProviderConfig", Host="bad host")
        assert got.body["meta"]["location"] == f"{demo.url}/ServiceProviderConfig"


async def test_localhost_is_loopback() -> None:
    async with await serve(host="localhost") as demo:
        assert demo.host == "127.0.0.1"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", "::"])
async def test_it_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(UsageError, match="loopback"):
        await serve(host=host)


async def test_a_taken_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ScimproxyError, match=str(port)) as caught:
            await serve(port=port)
        assert caught.value.hint


def test_an_unknown_defect_is_told() -> None:
    with pytest.raises(UsageError) as caught:
        create_app(token="t", defects=["no-such"])
    assert "soft-delete" in (caught.value.hint or "")


async def test_defects_add_up(start: Any) -> None:
    client = await start("create-no-location", "error-status-integer", "type-json")
    got = await client.create()
    assert "location" not in got.headers and got.headers["content-type"] == "application/json"
    assert (await client("GET", "/Users/x")).body["status"] == 404


async def test_a_client_that_goes_away_in_its_body_leaves_no_trace(
    start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client = await start()
    _, writer = await asyncio.open_connection(client.demo.host, client.demo.port)
    writer.write(b"POST /scim/v2/Users HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await client("GET", "/Users")).status == 200
    await client.demo.close()
    assert caplog.records == []
