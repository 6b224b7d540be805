"""The inspector over real sockets: nobody comes in without the token, nothing recorded becomes markup, the API says the truth."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from factories import exchange
from inspectors import ID, SCRIPT, TOKEN, USER, Client, fill, inspecting
from listeners import http, listener

from scimproxy.store import Reader, Store
from scimproxy.web.door import folder_of
from scimproxy.web.server import Inspector, InspectorOptions

PATHS = {"{mock}": "1", "{exchange}": "1", "{run}": "1", "{side}": "response", "{file}": "page.js"}


@pytest.fixture(name="db")
def _db(tmp_path: Path) -> Path:
    fill(tmp_path / "a.db")
    return tmp_path / "a.db"


def filled(path: str) -> str:
    for name, value in PATHS.items():
        path = path.replace(name, value)
    return path


OPEN = ("POST", "/api/v1/session")


async def test_every_route_demands_the_token(db: Path) -> None:
    async with inspecting(db) as client:
        routes = [
            (one.method, one.resource.canonical) for one in client.inspector.app().router.routes() if one.resource
        ]
        assert len(routes) > 25
        for method, path in routes:
            if path.endswith("/static/{file}") or (method, path.removeprefix(folder_of(TOKEN))) == OPEN:
                continue  # these give nothing away: our own files, and the door
            for token in (None, "wrong"):
                status, text, answer = await client.ask(method, filled(path), token=token, json={})
                assert status == 401, (method, path)
                assert "bjensen" not in text
                assert "token" in text
                assert answer.headers["Cache-Control"] == "no-store"


async def test_open_routes_are_the_door_and_our_own_files_only(db: Path) -> None:
    async with inspecting(db) as client:
        assert {one.path for one in client.inspector.routes() if one.open} == {"/static/{file}", "/api/v1/session"}
        for name in ("..%2Fpages.py", "nothing.js", "%2e%2e/server.py"):
            status, _, _ = await client.ask("GET", f"/static/{name}", token=None)
            assert status in {401, 404}


async def test_a_query_that_was_kept_with_its_secret_is_shown_without(db: Path) -> None:
    with Store.open(db) as store:
        store.add(exchange(run_id=1, target=f"/scim/v2/Users/{ID}?access_token=a-kept-secret", answer=USER))
    async with inspecting(db) as client:
        for path in ("/api/v1/exchanges", f"/api/v1/resources?type=User&id={ID}", f"/resources?type=User&id={ID}"):
            status, text, _ = await client.ask("GET", path)
            assert status == 200
            assert ID in text
            assert "a-kept-secret" not in text, path


async def test_what_is_no_http_is_not_logged(db: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with inspecting(db) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.inspector.port)
        writer.write(f"GET / HTTP/1.1\r\nAuthorization Bearer {TOKEN}\r\n\r\n".encode())
        assert b" 400 " in await reader.readline()
        writer.close()
    assert TOKEN not in caplog.text


async def test_the_token_is_exchanged_for_a_strict_cookie(db: Path) -> None:
    async with inspecting(db) as client:
        status, text, answer = await client.ask("POST", "/api/v1/session", token=None, json={"token": TOKEN})
        assert status == 200
        home = json.loads(text)["home"]
        cookie = answer.headers["Set-Cookie"]
        assert f"Path={home}/" in cookie
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert TOKEN not in cookie
        # It opens its folder and is sent nowhere else, neither here nor to a neighbour on another port.
        assert (await client.ask("GET", "/api/v1/runs", token=None))[0] == 401
        assert (await client.ask("GET", f"{home}/api/v1/runs", token=None))[0] == 200
        # The cookie alone changes nothing: a form of another page would send no Origin of ours.
        change = {"json": {"note": "x"}}
        first = f"{home}/api/v1/exchanges/1"
        assert (await client.ask("PATCH", first, token=None, **change))[0] == 401
        ours = {"Origin": client.url}
        assert (await client.ask("PATCH", first, token=None, headers=ours, **change))[0] == 200
        assert (await client.ask("DELETE", f"{home}/api/v1/session", token=None, headers=ours))[0] == 204
        assert (await client.ask("GET", f"{home}/api/v1/runs", token=None))[0] == 401


async def test_who_is_not_known_is_not_told_the_folder(db: Path) -> None:
    async with inspecting(db) as client:
        for path in ("/", "/runs", "/api/v1/runs", "/static/page.js", "/nothing", "/~nothing/"):
            for headers in ({}, {"Host": "evil.example"}, {"Origin": "http://127.0.0.1:1"}):
                _, text, answer = await client.ask("GET", path, token=None, headers=headers)
                assert folder_of(TOKEN) not in text + str(answer.headers), path


async def test_guessing_ends_soon(db: Path) -> None:
    async with inspecting(db) as client:
        seen = [
            (await client.ask("POST", "/api/v1/session", token=None, json={"token": f"guess-{at}"}))[0]
            for at in range(52)
        ]
        assert seen[:50] == [401] * 50
        assert seen[50:] == [429] * 2


@pytest.mark.parametrize("host", ["evil.example", "abc.ngrok.app", "127.0.0.1:1"])
@pytest.mark.parametrize("path", ["/", "/api/v1/exchanges", "/static/page.js"])
async def test_other_hosts_are_refused_with_the_token_too(db: Path, host: str, path: str) -> None:
    async with inspecting(db) as client:
        status, text, _ = await client.ask("GET", path, headers={"Host": host})
        assert status == 421
        assert "bjensen" not in text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_other_pages_are_refused_with_the_token_too(db: Path, headers: dict[str, str]) -> None:
    async with inspecting(db) as client:
        for method in ("GET", "PATCH", "DELETE"):
            status, _, answer = await client.ask(method, "/api/v1/runs/1", headers=headers, json={"name": "x"})
            assert status == 403
            assert "Access-Control-Allow-Origin" not in answer.headers
        assert (await client.json("/api/v1/runs/1"))["name"] == "first"


async def test_get_changes_nothing(db: Path) -> None:
    def state() -> list[Any]:
        with Reader.open(db) as reader:
            return [*reader.runs(), *(reader.exchange(row.id) for row in reader.exchanges())]

    async with inspecting(db, beside_recorder=True) as client:
        before = state()
        for route in client.inspector.routes():
            if route.method == "GET" and route.path != "/api/v1/events":
                await client.ask("GET", filled(route.path) + "?a=1&b=2&id=x&type=User&text=o")
        assert state() == before


async def test_every_answer_carries_the_policy(db: Path) -> None:
    async with inspecting(db) as client:
        for path in ("/", "/nothing", "/api/v1/runs", "/static/page.js", "/parts/exchanges/1"):
            _, _, answer = await client.ask("GET", path)
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"


PAGES = (
    "/", "/exchanges/6", "/parts/exchanges/6", "/parts/exchanges/3/resource", "/runs", "/runs/1", "/runs/2", "/parts/runs/2",
    "/diff", "/diff?a=1&b=2", "/diff?of=exchanges&a=2&b=3", f"/resources?type=User&id={ID}", "/tunnel", "/exchanges/99",
    f"/resources?type={SCRIPT}&id={SCRIPT}",
)  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
async def test_pages_hold_no_script_of_their_own_and_nothing_recorded_as_markup(db: Path, path: str) -> None:
    async with inspecting(db) as client:
        status, text, answer = await client.ask("GET", path)
        assert status == 200, text
        assert answer.content_type == "text/html"
        assert SCRIPT not in text
        assert re.search(r"<script(?![^>]*\ssrc=\"/static/)", text) is None
        assert re.search(r"<style|\sstyle=|\son\w+=|javascript:", text) is None
        assert re.search(r"(?:src|href)=\"(?:https?:)?//", text) is None


async def test_what_was_recorded_is_shown_as_text(db: Path) -> None:
    async with inspecting(db) as client:
        _, text, _ = await client.ask("GET", "/parts/exchanges/6")
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


async def test_bodies_are_files_and_never_pages(db: Path) -> None:
    async with inspecting(db) as client:
        status, text, answer = await client.ask("GET", "/api/v1/exchanges/6/response/content")
        assert (status, text) == (200, SCRIPT)
        assert answer.content_type == "application/octet-stream"
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.headers["Content-Security-Policy"] == "sandbox"
        assert (await client.ask("GET", "/api/v1/exchanges/6/other/content"))[0] == 404


async def test_a_request_is_copied_as_code(db: Path) -> None:
    async with inspecting(db) as client:
        for form, word in (("curl", "curl --silent"), ("hurl", f"/Users/{ID}"), ("pytest", "def test_")):
            status, text, answer = await client.ask("GET", f"/api/v1/exchanges/2/code?as={form}")
            assert (status, answer.content_type) == (200, "text/plain")
            assert word in text
            if form == "pytest":
                compile(text, "copied.py", "exec")
            hostile = (await client.ask("GET", f"/api/v1/exchanges/6/code?as={form}"))[0]
            assert hostile == 200
        assert (await client.ask("GET", "/api/v1/exchanges/2/code?as=perl"))[0] == 400
        assert (await client.ask("GET", "/api/v1/exchanges/99/code?as=hurl"))[0] == 404


async def test_the_description_names_every_route_of_the_api(db: Path) -> None:
    async with inspecting(db) as client:
        document = await client.json("/api/v1/openapi.json")
        assert document["openapi"].startswith("3.1")
        described = {(method.upper(), path) for path, found in document["paths"].items() for method in found}
        routed = {
            (one.method, one.resource.canonical)
            for one in client.inspector.app().router.routes()
            if one.resource and one.resource.canonical.startswith("/api/") and one.method != "HEAD"
        }
        assert described == routed
        names = [found["operationId"] for path in document["paths"].values() for found in path.values()]
        assert len(names) == len(set(names))
        page = (Path(__file__).parent.parent / "docs" / "api.md").read_text(encoding="utf-8")
        for method, path in routed:
            assert f"`{method} {path}`" in page


async def test_lists_come_in_pages(tmp_path: Path) -> None:
    fill(tmp_path / "a.db", more=250)
    async with inspecting(tmp_path / "a.db") as client:
        seen: list[int] = []
        path = "/api/v1/exchanges?limit=100"
        page = await client.json(path)
        while page["more"]:
            seen += [row["id"] for row in page["exchanges"]]
            page = await client.json(f"{path}&before={seen[-1]}")
        seen += [row["id"] for row in page["exchanges"]]
        assert seen == list(range(257, 0, -1))
        upward = await client.json("/api/v1/exchanges?limit=3&after=10")
        assert [row["id"] for row in upward["exchanges"]] == [11, 12, 13]
        assert upward["more"]


async def test_the_filter_and_the_search_are_those_of_the_command_line(db: Path) -> None:
    async with inspecting(db) as client:
        found = await client.json("/api/v1/exchanges?filter=op:patch")
        assert [row["id"] for row in found["exchanges"]] == [3]
        found = await client.json("/api/v1/exchanges?filter=totalResults")
        assert [row["id"] for row in found["exchanges"]] == [4]
        found = await client.json("/api/v1/exchanges?run=2")
        assert [row["run_id"] for row in found["exchanges"]] == [2]
        assert found["steps"][0]["number"] == "1"
        status, text, _ = await client.ask("GET", "/api/v1/exchanges?filter=stauts:1")
        assert status == 400
        assert "status" in json.loads(text)["hint"]
        assert (await client.json("/api/v1/exchanges?filter=method:PSOT"))["doubts"]
        assert (await client.json("/api/v1/suggestions?text=op:"))["problem"]["position"] == 3
        assert (await client.json("/api/v1/suggestions?text=op:pa"))["suggestions"][0]["text"] == "patch"


@pytest.mark.parametrize(
    "path",
    ["/api/v1/exchanges?limit=9999", "/api/v1/exchanges?before=x", "/api/v1/exchanges?run=-1", "/api/v1/diff?a=1", "/api/v1/resources",
     "/api/v1/runs/1/export?format=exe", "/api/v1/exchanges?filter=" + "x" * 4100],
)  # fmt: skip
async def test_values_out_of_bounds_are_told(db: Path, path: str) -> None:
    async with inspecting(db) as client:
        status, text, answer = await client.ask("GET", path)
        assert status == 400, text
        assert answer.content_type == "application/problem+json"
        assert json.loads(text)["title"]


@pytest.mark.parametrize(
    "path", ["/api/v1/runs/9", "/api/v1/exchanges/99", "/api/v1/exchanges/x", "/api/v1/runs/1/suite", "/api/v1/nothing",
             "/api/v1/diff?a=1&b=77", "/api/v1/diff?of=exchanges&a=1&b=77", "/runs/9", "/parts/exchanges/99", "/nothing"],
)  # fmt: skip
async def test_what_is_not_there_is_said(db: Path, path: str) -> None:
    async with inspecting(db) as client:
        status, text, _ = await client.ask("GET", path)
        assert status == 404
        assert "Traceback" not in text


async def test_a_resource_is_followed_through_its_life(db: Path) -> None:
    async with inspecting(db) as client:
        history = (await client.json(f"/api/v1/resources?type=User&id={ID}"))["exchanges"]
        assert [(row["id"], row["touch"]) for row in history] == [
            (1, "about"),
            (2, "about"),
            (3, "about"),
            (5, "about"),
        ]
        patch = await client.json("/api/v1/exchanges/3/resource")
        assert patch["before"]["from"] == 2
        assert '"active": false' in patch["after"]["text"]
        gone = await client.json("/api/v1/exchanges/5/resource")
        assert (gone["gone"], gone["after"], gone["before"]["from"]) == (True, None, 3)
        assert (await client.json("/api/v1/exchanges/1/resource"))["before"] is None
        assert (await client.json("/api/v1/exchanges/4/resource"))["id"] is None


async def test_an_exchange_a_suite_a_diff_and_files(db: Path) -> None:
    async with inspecting(db) as client:
        assert (await client.json("/api/v1/exchanges/3"))["operation"]["kind"] == "patch"
        assert (await client.json("/api/v1/runs/2/suite"))["outcome"] == "fail"
        assert (await client.json("/api/v1/runs/1/tunnel"))["events"] == []
        assert (await client.json("/api/v1/runs"))["runs"][0]["id"] == 2
        assert (await client.json("/api/v1/diff?of=exchanges&a=2&b=2"))[
            "sentence"
        ] == "1 pair compared: no difference"
        assert (await client.json("/api/v1/diff?a=1&b=1"))["pairs"] == []
        status, text, _ = await client.ask("GET", "/api/v1/exchanges/1/curl")
        assert status == 200
        assert text.startswith("curl ")
        status, text, answer = await client.ask("GET", "/api/v1/runs/1/export?format=har")
        assert len(json.loads(text)["log"]["entries"]) == 6
        assert answer.headers["Content-Disposition"] == 'attachment; filename="run-1.har"'


async def test_notes_and_tags_are_kept_and_found(db: Path) -> None:
    async with inspecting(db) as client:
        status, text, _ = await client.ask(
            "PATCH", "/api/v1/exchanges/2", json={"note": " look at this ", "tags": ["bug", "bug"]}
        )
        assert status == 200, text
        assert json.loads(text)["note"] == "look at this"
        found = await client.json("/api/v1/exchanges?filter=tag:bug")
        assert [row["id"] for row in found["exchanges"]] == [2]
        await client.ask("PATCH", "/api/v1/exchanges/2", json={"note": None})
        assert (await client.json("/api/v1/exchanges/2"))["tags"] == ["bug"]


@pytest.mark.parametrize(
    "body",
    ['{"note": 1}', '{"tags": "x"}', '{"tags": [1]}', '{"tags": ["a b"]}', '{"other": 1}', "[]", "{", '{"note": "\\u0000"}',
     '{"note": "\\ud800"}', json.dumps({"note": "x" * 10_001}), json.dumps({"tags": ["x"] * 21}), "[" * 100_000],
)  # fmt: skip
async def test_edits_that_cannot_be_are_refused(db: Path, body: str) -> None:
    async with inspecting(db) as client:
        status, text, _ = await client.ask(
            "PATCH", "/api/v1/exchanges/2", data=body, headers={"Content-Type": "application/json"}
        )
        assert status == 400, text
        assert (await client.json("/api/v1/exchanges/2"))["note"] is None


async def test_a_form_of_another_page_is_no_json(db: Path) -> None:
    async with inspecting(db) as client:
        status, text, _ = await client.ask("PATCH", "/api/v1/exchanges/2", data={"note": "x"})
        assert status == 400
        assert "JSON" in text
        status, _, _ = await client.ask(
            "PATCH", "/api/v1/exchanges/2", data=b"x" * 300_000, headers={"Content-Type": "application/json"}
        )
        assert status == 413


async def test_a_run_is_renamed_and_deleted(db: Path) -> None:
    async with inspecting(db) as client:
        assert (await client.ask("PATCH", "/api/v1/runs/1", json={"name": "renamed", "note": "n"}))[0] == 200
        assert (await client.json("/api/v1/runs/1"))["name"] == "renamed"
        assert (await client.ask("PATCH", "/api/v1/runs/1", json={"name": " "}))[0] == 400
        assert (await client.ask("DELETE", "/api/v1/runs/1"))[0] == 204
        assert [one["id"] for one in (await client.json("/api/v1/runs"))["runs"]] == [2]


async def test_a_run_that_is_recorded_is_left_alone(db: Path) -> None:
    from factories import run as a_run

    from scimproxy.store import Store

    with Store.open(db) as store:
        going = store.start_run(a_run())
        async with inspecting(db) as client:
            assert (await client.ask("PATCH", f"/api/v1/runs/{going.id}", json={"name": "x"}))[0] == 400
            assert (await client.ask("DELETE", f"/api/v1/runs/{going.id}"))[0] == 400


async def test_read_only_changes_nothing(db: Path) -> None:
    async with inspecting(db, read_only=True) as client:
        for method, path in (
            ("PATCH", "/api/v1/exchanges/2"),
            ("PATCH", "/api/v1/runs/1"),
            ("DELETE", "/api/v1/runs/1"),
        ):
            assert (await client.ask(method, path, json={}))[0] == 403
        _, text, _ = await client.ask("GET", "/runs/1")
        assert "Delete" not in text


async def test_an_exchange_is_sent_again_as_it_was_and_edited(db: Path) -> None:
    asked: list[str] = []

    def reply(target: str) -> bytes:
        asked.append(target)
        return http(200, json.dumps(USER).encode())

    with listener(reply) as port:
        async with inspecting(db) as client:
            prepared = await client.json("/api/v1/exchanges/2/replay")
            assert prepared["to"] == "http://127.0.0.1:8000/scim/v2"
            to = f"http://127.0.0.1:{port}/scim/v2"
            text = prepared["text"].replace("GET /scim/v2/Users/", "GET /scim/v2/Users/edited-")
            for given in ({"to": to}, {"to": to, "text": text, "auth": "Bearer given-by-hand"}):
                status, body, _ = await client.ask("POST", "/api/v1/exchanges/2/replay", json=given)
                assert status == 200, body
                found = json.loads(body)
                new = await client.json(f"/api/v1/exchanges/{found['exchange_id']}")
                assert new["parent_id"] == 2
                assert "given-by-hand" not in json.dumps(new)
            assert [target.rpartition("/")[2][:7] for target in asked] == [ID[:7], "edited-"]
            assert (await client.json("/api/v1/exchanges/2"))["run_id"] == 1
            for wrong in ({"text": "# nothing"}, {"text": "NOT A REQUEST"}, {"to": "ftp://x"}, {"auth": "a\nb"}):
                assert (await client.ask("POST", "/api/v1/exchanges/2/replay", json=wrong))[0] == 400
            assert len(asked) == 2
        async with inspecting(db, read_only=True) as client:
            assert (await client.ask("POST", "/api/v1/exchanges/2/replay", json={"to": to}))[0] == 403
            assert (await client.ask("GET", "/api/v1/exchanges/2/replay"))[0] == 403


async def test_a_taken_port_is_told(db: Path) -> None:
    from scimproxy.errors import EngineError

    async with inspecting(db) as client:
        other = Inspector(InspectorOptions(db=db, token=TOKEN, port=client.inspector.port))
        with pytest.raises(EngineError, match="cannot listen"):
            await other.start()


async def test_a_database_that_is_not_there_yet_is_told(tmp_path: Path) -> None:
    async with inspecting(tmp_path / "none.db") as client:
        status, text, _ = await client.ask("GET", "/runs")
        assert status == 503
        assert "There is no database" in text
        await told(client)


async def told(client: Client) -> None:
    status, text, _ = await client.ask("GET", "/api/v1/exchanges")
    assert status == 503
    assert "scimproxy up" in json.loads(text)["hint"]
