"""The embedded server over a real loopback socket: right without defects, wrong in one way with each of them."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from scimproxy.demo import DEFECTS, Demo, create_app, serve
from scimproxy.errors import ScimproxyError, UsageError
from scimproxy.scim.dialect import Dialect

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"


@dataclass
class Got:
    """One response as it stood on the wire; `whole` is False when the connection ended inside it."""

    status: int = 0
    version: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""
    whole: bool = True
    beyond: bytes = b""
    closed: bool = False

    @property
    def body(self) -> Any:
        return json.loads(self.content)


class Client:
    """A client that reads bytes, so that nothing which is wrong on the wire is made right by a library."""

    def __init__(self, demo: Demo) -> None:
        self.demo = demo
        self.parts = urlsplit(demo.url)

    async def __call__(
        self, method: str, path: str, body: Any = None, /, *, token: str | None = "", **headers: str
    ) -> Got:
        reader, writer = await asyncio.open_connection(self.demo.host, self.demo.port)
        try:
            return await self.on(reader, writer, method, path, body, token=token, **headers)
        finally:
            writer.close()
            await writer.wait_closed()

    async def on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        method: str,
        path: str,
        body: Any = None,
        /,
        *,
        token: str | None = "",
        **headers: str,
    ) -> Got:
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        fields = {"Host": self.parts.netloc, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if token is not None:
            fields["Authorization"] = f"Bearer {token or self.demo.token}"
        if content:
            fields |= {"Content-Type": "application/scim+json", "Content-Length": str(len(content))}
        target = path if "://" in path else self.parts.path + path.replace(" ", "%20").replace('"', "%22")
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + content)
        return await self._read(reader, method)

    @staticmethod
    async def _read(reader: asyncio.StreamReader, method: str) -> Got:
        got = Got()
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except asyncio.IncompleteReadError:
            got.whole = False
            return got
        got.version, status, *_ = head[0].split(" ")
        got.status = int(status)
        got.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        close = got.headers.get("connection") == "close" or got.version == "HTTP/1.0"
        try:
            if got.headers.get("transfer-encoding") == "chunked":
                while size := int(await reader.readuntil(b"\r\n"), 16):
                    got.content += (await reader.readexactly(size + 2))[:-2]
            elif method != "HEAD" and got.status not in (204, 304):
                got.content = await reader.readexactly(int(got.headers.get("content-length", "0")))
        except asyncio.IncompleteReadError as exc:
            got.content, got.whole = got.content + exc.partial, False
            return got
        if close:
            got.beyond, got.closed = await reader.read(), True
        return got

    async def create(self, name: str = "Ada.L@example.com", /, **more: Any) -> Got:
        user = {
            "schemas": [USER],
            "userName": name,
            "externalId": "4711",
            "password": "t1meMa$heen",
            "active": True,
            "name": {"familyName": "Löve", "givenName": "Ada"},
            "emails": [{"value": name, "type": "work", "primary": True}],
        }
        return await self("POST", "/Users", user | more)

    async def created(self, name: str = "Ada.L@example.com", /, **more: Any) -> str:
        """Make a user and return its path, also where the answer does not tell."""
        await self.create(name, **more)
        return f"/Users/{self.demo.directory.records('User')[-1].id}"

    async def patch(self, path: str, *operations: dict[str, Any]) -> Got:
        return await self("PATCH", path, {"schemas": [PATCH], "Operations": list(operations)})


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


# -- the server without defects ----------------------------------------------------------------------------------


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


# -- defects: one judgement each, true of the faulty server and false of the right one -----------------------------

Judge = Callable[[Client], Awaitable[bool]]
JUDGES: dict[str, Judge] = {}


def judges(name: str) -> Callable[[Judge], Judge]:
    def keep(judge: Judge) -> Judge:
        assert name not in JUDGES
        JUDGES[name] = judge
        return judge

    return keep


def simple(name: str, method: str, path: str, wrong: Callable[[Got], bool], body: Any = None, **headers: str) -> None:
    async def judge(client: Client) -> bool:
        own = path.replace("ID", client.demo.user_id)
        return wrong(await client(method, own, body, **headers))

    JUDGES[name] = judge


def created(name: str, wrong: Callable[[Got], bool]) -> None:
    async def judge(client: Client) -> bool:
        return wrong(await client.create())

    JUDGES[name] = judge


def duplicate(name: str, wrong: Callable[[Got], bool]) -> None:
    async def judge(client: Client) -> bool:
        await client.create()
        return wrong(await client.create("ada.l@EXAMPLE.com"))

    JUDGES[name] = judge


def three_users(name: str, query: str, wrong: Callable[[Any], bool]) -> None:
    async def judge(client: Client) -> bool:
        for one in "zxy":
            await client.create(one)
        return wrong((await client("GET", f"/Users?{query}")).body)

    JUDGES[name] = judge


def names(body: Any) -> list[str]:
    return [one["userName"] for one in body["Resources"]]


SEEDED = "bjensen@example.com"

created("create-200", lambda got: got.status == 200)
created("create-empty", lambda got: got.status == 201 and got.content == b"")
created("create-no-location", lambda got: "location" not in got.headers)
created("password-returned", lambda got: "password" in got.body)
created("active-text", lambda got: got.body["active"] == "True")
created("external-id-number", lambda got: got.body["externalId"] == 4711)
created("null-attributes", lambda got: got.body["name"] is None)
created("two-primaries", lambda got: sum(one["primary"] for one in got.body["emails"]) == 2)
created("user-name-lowered", lambda got: got.body["userName"] == "ada.l@example.com")
created("no-schemas", lambda got: "schemas" not in got.body)
created("no-meta", lambda got: "meta" not in got.body)
created("resource-type-plural", lambda got: got.body["meta"]["resourceType"] == "Users")
created("location-relative", lambda got: got.body["meta"]["location"].startswith("/Users/"))
created("location-missing", lambda got: "location" not in got.body["meta"])
created("location-localhost", lambda got: "://localhost" in got.body["meta"]["location"])
created("date-no-zone", lambda got: not got.body["meta"]["created"].endswith("Z"))
created("date-blank", lambda got: "T" not in got.body["meta"]["created"])
created("etag-differs", lambda got: got.headers["etag"] != got.body["meta"]["version"])
created(
    "charset-latin-1", lambda got: "Löve".encode() not in got.content and "iso-8859-1" in got.headers["content-type"]
)
created("rate-limit-date", lambda got: got.status == 429 and not got.headers["retry-after"].isdigit())
duplicate("duplicate-400", lambda got: got.status == 400 and got.body["status"] == "400")
duplicate("duplicate-500", lambda got: got.status == 500)
duplicate("duplicate-accepted", lambda got: got.status == 201)
duplicate("duplicate-no-scim-type", lambda got: "scimType" not in got.body)
duplicate("error-leaks", lambda got: "IntegrityError" in got.body["detail"])
duplicate("error-unknown-scim-type", lambda got: got.body["scimType"] != "uniqueness")
duplicate("error-no-scim-type", lambda got: "scimType" not in got.body)
simple("error-status-integer", "GET", "/Users/x", lambda got: got.body["status"] == 404)
simple("error-status-differs", "GET", "/Users/x", lambda got: str(got.body["status"]) != str(got.status))
simple("error-no-schema", "GET", "/Users/x", lambda got: "schemas" not in got.body)
simple("error-no-detail", "GET", "/Users/x", lambda got: "detail" not in got.body)
simple("error-html", "GET", "/Users/x", lambda got: got.content.startswith(b"<html"))
simple("error-location", "GET", "/Users/x", lambda got: "location" in got.headers)
simple("unknown-id-400", "GET", "/Users/x", lambda got: got.status == 400)
simple("unknown-id-500", "GET", "/Users/x", lambda got: got.status == 500)
simple("no-allow", "PUT", "/Users", lambda got: got.status == 405 and "allow" not in got.headers)
simple("total-results-text", "GET", "/Users", lambda got: isinstance(got.body["totalResults"], str))
simple("total-results-missing", "GET", "/Users", lambda got: "totalResults" not in got.body)
simple("discovery-no-total", "GET", "/Schemas", lambda got: "totalResults" not in got.body)
simple("resources-lower-case", "GET", "/Users", lambda got: "Resources" not in got.body)
simple("resources-null", "GET", "/Users?filter=title pr", lambda got: got.body["Resources"] is None)
simple("list-no-schema", "GET", "/Users", lambda got: "schemas" not in got.body)
simple("empty-filter-404", "GET", "/Users?filter=title pr", lambda got: got.status == 404)
simple("filter-500", "GET", "/Users?filter=FOO", lambda got: got.status == 500)
simple("filter-bad-accepted", "GET", "/Users?filter=FOO", lambda got: got.status == 200)
simple("filter-ignored", "GET", "/Users?filter=title pr", lambda got: got.body["totalResults"] == 1)
simple(
    "filter-case-sensitive",
    "GET",
    f'/Users?filter=userName eq "{SEEDED.upper()}"',
    lambda got: got.body["totalResults"] == 0,
)
simple("attributes-ignored", "GET", "/Users/ID?attributes=userName", lambda got: "name" in got.body)
simple("attributes-no-schemas", "GET", "/Users/ID?attributes=userName", lambda got: "schemas" not in got.body)
simple("excluded-ignored", "GET", "/Users/ID?excludedAttributes=name", lambda got: "name" in got.body)
simple("groups-not-derived", "GET", "/Users/ID", lambda got: "groups" not in got.body)
simple("etag-of-body", "GET", "/Users/ID", lambda got: got.headers["etag"] != got.body["meta"]["version"])
simple("if-match-ignored", "DELETE", "/Users/ID", lambda got: got.status != 412, If_Match='W/"old"')
simple("discovery-write-404", "POST", "/Schemas", lambda got: got.status == 404)
simple("discovery-filter-200", "GET", "/Schemas?filter=id pr", lambda got: got.status == 200)
simple(
    "endpoint-absolute", "GET", "/ResourceTypes", lambda got: got.body["Resources"][0]["endpoint"] == "/scim/v2/Users"
)
simple("type-json", "GET", "/Users", lambda got: got.headers["content-type"] == "application/json")
simple("type-html", "GET", "/Users", lambda got: got.headers["content-type"] == "text/html")
simple("type-missing", "GET", "/Users", lambda got: "content-type" not in got.headers)
simple("bom", "GET", "/Users", lambda got: got.content.startswith(b"\xef\xbb\xbf"))
simple("not-json", "GET", "/Users", lambda got: got.content.startswith(b"{'"))
simple("bare-value", "GET", "/Users", lambda got: isinstance(got.body, list))
simple("trailing-data", "GET", "/Users", lambda got: not got.content.endswith(b"}"))
simple("duplicate-keys", "GET", "/Users", lambda got: got.content.count(b'"detail"') == 2)
simple("body-on-204", "DELETE", "/Users/ID", lambda got: got.status == 204 and got.beyond != b"")
simple("type-on-204", "DELETE", "/Users/ID", lambda got: "text/html" in got.headers.get("content-type", ""))
simple("cookie", "GET", "/Users", lambda got: "set-cookie" in got.headers)
simple("http-1-0", "GET", "/Users", lambda got: got.version == "HTTP/1.0" and got.closed)
simple("closes-early", "GET", "/Users", lambda got: not got.whole and got.content != b"")
simple("chunks-without-end", "GET", "/Users", lambda got: not got.whole and got.content.endswith(b"}"))
simple("beyond-length", "GET", "/Users", lambda got: got.beyond != b"")
simple("no-answer", "GET", "/Users", lambda got: got.status == 0)
simple("delete-200", "DELETE", "/Users/ID", lambda got: got.status == 200)
simple("put-204", "PUT", "/Users/ID", lambda got: got.status == 204, {"schemas": [USER], "userName": "b"})
three_users("count-ignored", "count=2", lambda body: len(body["Resources"]) == 4)
three_users("count-0-full", "count=0", lambda body: body["Resources"] != [])
three_users("start-index-ignored", "startIndex=3&count=1", lambda body: names(body) == [SEEDED])
three_users("start-index-from-0", "startIndex=1&count=1", lambda body: names(body) == ["z"])
three_users("items-per-page", "count=9", lambda body: body["itemsPerPage"] == 9)
three_users("total-results-of-page", "count=2", lambda body: body["totalResults"] == 2)
three_users("sort-ignored", "sortBy=userName", lambda body: names(body) != sorted(names(body)))


@judges("no-www-authenticate")
async def _(client: Client) -> bool:
    return "www-authenticate" not in (await client("GET", "/Users", token="wrong")).headers


@judges("wrong-token-403")
async def _(client: Client) -> bool:
    return (await client("GET", "/Users", token="wrong")).status == 403


@judges("open-door")
async def _(client: Client) -> bool:
    return (await client("GET", "/Users", token=None)).status == 200


@judges("token-echoed")
async def _(client: Client) -> bool:
    return client.demo.token.encode() in (await client("GET", "/Users/x")).content


@judges("patch-200-empty")
async def _(client: Client) -> bool:
    got = await client.patch(await client.created(), {"op": "add", "path": "title", "value": "x"})
    return got.status == 200 and got.content == b""


@judges("patch-ignored")
async def _(client: Client) -> bool:
    got = await client.patch(await client.created(), {"op": "add", "path": "title", "value": "x"})
    return got.status == 200 and "title" not in got.body


@judges("patch-501")
async def _(client: Client) -> bool:
    return (await client.patch(await client.created(), {"op": "add", "path": "title", "value": "x"})).status == 501


@judges("patch-needs-path")
async def _(client: Client) -> bool:
    path = await client.created()
    with_path = await client.patch(path, {"op": "replace", "path": "active", "value": False})
    without = await client.patch(path, {"op": "replace", "value": {"active": False}})
    return (with_path.status, without.status) == (200, 400)


@judges("patch-op-case")
async def _(client: Client) -> bool:
    path = await client.created()
    small = await client.patch(path, {"op": "replace", "path": "active", "value": False})
    capital = await client.patch(path, {"op": "Replace", "path": "active", "value": False})
    return (small.status, capital.status) == (200, 400)


@judges("string-booleans-refused")
async def _(client: Client) -> bool:
    return (
        await client.patch(await client.created(), {"op": "Replace", "path": "active", "value": "False"})
    ).status == 400


@judges("delete-twice-204")
async def _(client: Client) -> bool:
    path = await client.created()
    await client("DELETE", path)
    return (await client("DELETE", path)).status == 204


@judges("soft-delete")
async def _(client: Client) -> bool:
    path = await client.created()
    await client("DELETE", path)
    return (await client("GET", path)).status == 200


@judges("last-modified-frozen")
async def _(client: Client) -> bool:
    path = await client.created()
    record = client.demo.directory.record(path.rpartition("/")[2])
    assert record is not None
    client.demo.directory._clock = lambda: record.created_at + 60
    await client.patch(path, {"op": "add", "path": "title", "value": "x"})
    meta = (await client("GET", path)).body["meta"]
    return meta["lastModified"] == meta["created"]


@judges("slow")
async def _(client: Client) -> bool:
    loop = asyncio.get_running_loop()
    waits: list[float] = []
    call_later = loop.call_later

    def noted(delay: float, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        waits.append(delay)
        return call_later(0, *args, **kwargs) if delay == 0.7 else call_later(delay, *args, **kwargs)

    loop.call_later = noted  # type: ignore[method-assign]  # the wait is observed, not waited for
    try:
        await client("GET", "/Users")
    finally:
        loop.call_later = call_later  # type: ignore[method-assign]  # as it was
    return 0.7 in waits


@pytest.mark.parametrize("name", DEFECTS)
async def test_each_defect_is_a_defect(start: Any, name: str) -> None:
    judge = JUDGES[name]
    assert not await judge(await start()), "the server without the defect must be right"
    assert await judge(await start(name)), "with the defect it must be wrong"


def test_the_table_is_complete_and_says_what_and_where() -> None:
    assert len(DEFECTS) >= 30
    assert set(JUDGES) == set(DEFECTS)
    for name, defect in DEFECTS.items():
        assert name == defect.name and defect.reported_of
        assert defect.open_door or defect.dialect or any((defect.on_call, defect.on_answer, defect.on_reply))


async def test_defects_add_up(start: Any) -> None:
    client = await start("create-no-location", "error-status-integer", "type-json")
    got = await client.create()
    assert "location" not in got.headers and got.headers["content-type"] == "application/json"
    assert (await client("GET", "/Users/x")).body["status"] == 404
