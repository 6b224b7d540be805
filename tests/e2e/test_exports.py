"""Exported files, run: each against a real server that has never seen them, with ids that are all others."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from driving import RUN, TOKEN, driven, number_ids
from servers import Peer

from scimproxy import demo
from scimproxy.exchange import Exchange
from scimproxy.exports.formats import export
from scimproxy.har import from_har
from scimproxy.store import Store

ROOT = Path(__file__).resolve().parents[2]
HURL = shutil.which("hurl")
# Looked for and not imported: importing Locust patches the sockets and threads of the process that does it.
needs_locust = pytest.mark.skipif(
    importlib.util.find_spec("locust") is None, reason="Locust is not installed: pip install 'scimproxy[load]'"
)


@dataclass
class Server:
    """A fresh server, and a run recorded on another one."""

    ids: str
    url: str
    recorded: list[Exchange]


@pytest.fixture(params=["uuid", "number"])
async def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    if request.param == "number":
        number_ids(monkeypatch)
    async with await demo.serve(token=TOKEN) as first:
        recorded = await driven(first.url)
    if request.param == "number":
        number_ids(monkeypatch, start=2)  # the user of the recording has the id of another one here
    async with await demo.serve(token=TOKEN) as second:
        yield Server(request.param, second.url, recorded)


async def started(*command: str | Path, folder: Path, **variables: str) -> tuple[int, str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONWARNINGS": "ignore", **variables}
    process = await asyncio.create_subprocess_exec(
        *map(str, command), cwd=folder, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


def written(folder: Path, name: str, recorded: list[Exchange], form: str) -> Path:
    data = export(RUN, recorded, form)
    assert TOKEN.encode() not in data and b"Hunter-2222" not in data
    (folder / name).write_bytes(data)
    return folder / name


async def test_pytest_passes_twice(server: Server, tmp_path: Path) -> None:
    file = written(tmp_path, "test_run.py", server.recorded, "pytest")
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, file)
    for fresh in ("11", "12") if server.ids == "uuid" else ("13",):
        code, said = await started(
            *command, folder=tmp_path, SCIM_BASE_URL=server.url, SCIM_AUTH=TOKEN, SCIM_FRESH=fresh
        )
        assert code == 0 and f"{len(server.recorded)} passed" in said, said
    if server.ids == "number":
        return
    # A wrong token fails the tests; those that need what an answer did not give are skipped, not failed.
    code, said = await started(*command, folder=tmp_path, SCIM_BASE_URL=server.url, SCIM_AUTH="wrong")
    assert code == 1 and "answer.status == 200" in said and "no earlier test took" not in said.split("short")[0], said


@pytest.mark.slow
@pytest.mark.parametrize("server", ["number"], indirect=True)
@needs_locust
async def test_locust_users_do_not_meet(server: Server, tmp_path: Path) -> None:
    file = written(tmp_path, "locustfile.py", server.recorded, "locust")
    code, said = await started(
        *(sys.executable, "-m", "locust", "-f", file, "--host", server.url, "--headless", "--only-summary", "--json"),
        *("--users", "5", "--spawn-rate", "5", "--run-time", "3s", "--loglevel", "ERROR"),
        folder=tmp_path,
        SCIM_AUTH=TOKEN,
    )
    assert code == 0, said
    rows = json.loads(said[said.index("[") : said.rindex("]") + 1])
    counts = {(row["method"], row["name"]): (row["num_requests"], row["num_failures"]) for row in rows}
    assert counts["POST", "POST /Users"][0] > 5 and all(failed == 0 for _, failed in counts.values()), counts


async def test_runscope_passes_in_our_runner(server: Server, tmp_path: Path) -> None:
    file = written(tmp_path, "run.json", server.recorded, "runscope")
    for _ in range(2 if server.ids == "uuid" else 1):
        code, said = await started(
            *(sys.executable, "-m", "scimproxy", "run", file, "--db", tmp_path / "a.db"),
            *("--target", server.url, "--auth", "env:AUTH"),
            folder=tmp_path,
            AUTH=f"Bearer {TOKEN}",
        )
        # One step more than was recorded makes the digits of new names.
        assert code == 0 and f"Passed: {len(server.recorded) + 1} passed" in said, said


@pytest.mark.skipif(HURL is None, reason="hurl is not installed")
async def test_hurl_passes(server: Server, tmp_path: Path) -> None:
    file = written(tmp_path, "run.hurl", server.recorded, "hurl")
    assert HURL is not None
    code, said = await started(
        *(HURL, "--test", "--path-as-is", "--variable", f"base_url={server.url}", "--variable", "fresh=7"),
        *("--secret", f"SCIM_AUTH={TOKEN}", "--secret", "SCIM_SECRET_2=x1", "--secret", "SCIM_SECRET_3=Zq7-x2", file),
        folder=tmp_path,
    )
    assert code == 0, said


@pytest.mark.parametrize("server", ["uuid"], indirect=True)
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
async def test_curl_runs(server: Server, tmp_path: Path) -> None:
    # curl sends what was recorded, ids too: on the server that recorded it, until the first id that it made itself.
    lists = [one for one in server.recorded if one.request.method == "GET" and "Users/" not in one.request.target]
    at = server.url.removeprefix("http://").partition("/")[0]
    script = export(RUN, lists, "curl").replace((lists[0].host or "").encode(), at.encode())
    (tmp_path / "run.sh").write_bytes(script)
    code, said = await started("sh", "run.sh", folder=tmp_path, SCIM_AUTH=TOKEN, SCIM_SECRET_2="wrong-one")
    assert code == 0 and said.count('"totalResults"') == len(lists) - 2 and '"401"' in said, said


@pytest.mark.slow
@pytest.mark.parametrize("server", ["uuid"], indirect=True)
@needs_locust
async def test_load_is_handed_to_locust(server: Server, tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        store.start_run(RUN)
        for exchange in server.recorded:
            store.add(exchange)
    command = (sys.executable, "-m", "scimproxy", "replay", "last", "--db", tmp_path / "a.db", "--to", server.url)
    asked = (*command, "--users", "2", "--duration", "6s", "--report", tmp_path / "out.html")
    code, said = await started(*asked, folder=tmp_path, SCIM_AUTH=f"Bearer {TOKEN}", LOCUST_USERS="nonsense")
    assert code == 0 and "2 virtual users on" in said and "POST /Users" in said, said
    assert "Locust" in (tmp_path / "out.html").read_text(encoding="utf-8")
    assert TOKEN not in said + (tmp_path / "out.html").read_text(encoding="utf-8")
    code, said = await started(
        *asked, "--only", "op:read", "--auth", "env:AUTH", folder=tmp_path, AUTH="Bearer wrong"
    )
    assert code == 1, said
    code, said = await started(*asked, folder=tmp_path)
    assert code == 2 and "give it with --auth" in said, said
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        to = ("--to", f"http://127.0.0.1:{silent.getsockname()[1]}", "--duration", "1s")
        code, said = await started(*asked, *to, folder=tmp_path, SCIM_AUTH=TOKEN)
    assert code == 3 and "no request came to an end" in said, said


async def passes_as_pytest(peer: Peer, name: str, folder: Path) -> None:
    _, recorded = from_har((ROOT / "recordings" / f"okta-lifecycle-{name}.har").read_bytes())
    file = folder / "test_run.py"
    file.write_bytes(export(RUN, recorded, "pytest"))
    code, said = await started(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, file),
        folder=folder,
        SCIM_BASE_URL=peer.url,
        SCIM_AUTH=peer.token,
    )
    assert code == 0 and f"{len(recorded)} passed" in said, said


async def test_a_recording_of_scim2_server_passes_on_a_fresh_one(scim2_server: Peer, tmp_path: Path) -> None:
    await passes_as_pytest(scim2_server, "scim2server", tmp_path)


async def test_a_recording_of_scimmy_passes_on_a_fresh_one(scimmy: Peer, tmp_path: Path) -> None:
    await passes_as_pytest(scimmy, "scimmy", tmp_path)
