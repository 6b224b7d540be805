"""Every defect: the embedded server is right without it, and wrong in one way with it, as a client sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from demo_client import USER, Client, Got

from scimproxy.defects import DEFECTS
from scimproxy.demo import serve

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
async def test_each_defect_is_a_defect(name: str) -> None:
    judge = JUDGES[name]
    async with await serve() as right:
        assert not await judge(Client(right)), "the server without the defect must be right"
    async with await serve(defects=[name]) as wrong:
        assert await judge(Client(wrong)), "with the defect it must be wrong"


def test_the_table_is_complete_and_says_what_and_where() -> None:
    assert len(DEFECTS) >= 30
    assert set(JUDGES) == set(DEFECTS)
    for name, defect in DEFECTS.items():
        assert name == defect.name and defect.reported_of
        assert defect.open_door or defect.dialect or any((defect.on_call, defect.on_answer, defect.on_reply))
