"""The addon in a real mitmdump: what goes through it stands in our database, redacted, before its client has it."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from driving import TOKEN

from scimproxy import demo
from scimproxy.cli import cli
from scimproxy.client import Client
from scimproxy.exchange import Headers, Request
from scimproxy.store import Reader

MITMDUMP = Path(sys.executable).with_name("mitmdump")
pytestmark = pytest.mark.skipif(not MITMDUMP.exists(), reason="mitmdump is not beside this Python")


def addon() -> Path:
    return Path(CliRunner().invoke(cli, ["addon"]).stdout.strip())


async def started(folder: Path, *words: str, python: tuple[str, ...] = (), **env: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(python or (str(MITMDUMP),)),
        *("-s", str(addon()), "--set", f"confdir={folder}", "--listen-host", "127.0.0.1", "-p", "0", *words),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONUNBUFFERED": "1", **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def until(process: asyncio.subprocess.Process, pattern: str) -> re.Match[str]:
    """Read what a process says until a line has the pattern."""
    assert process.stdout is not None
    said = []
    async for line in process.stdout:
        said.append(line.decode())
        if found := re.search(pattern, said[-1]):
            return found
    raise AssertionError("".join(said))


async def test_mitmdump_records_into_our_database(tmp_path: Path) -> None:
    db = tmp_path / "of-mitmproxy" / "a.db"
    async with await demo.serve(token=TOKEN) as server:
        origin = server.url.removesuffix("/scim/v2")
        words = ("--mode", f"reverse:{origin}", "--set", f"scimproxy_db={db}", "--set", "scimproxy_run=through")
        process = await started(tmp_path, *words)
        try:
            port = (await until(process, r"listening at \S*?:(\d+)"))[1]
            headers = Headers([("Authorization", f"Bearer {TOKEN}")])
            async with Client() as client:
                answer = await client.send(
                    Request("GET", "/scim/v2/Users", headers=headers), f"http://127.0.0.1:{port}"
                )
                assert answer.response is not None and answer.response.status_code == 200
                with Reader.open(db) as reader:  # committed before the answer came
                    (seen,) = list(reader.all_whole(1))
                await server.close()
                await client.send(Request("GET", "/scim/v2/Users"), f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
        said = (await process.communicate())[0].decode()
    assert "scimproxy recorded 2 exchanges as run 1, lost 0" in said
    assert seen.request.target == "/scim/v2/Users" and seen.response is not None
    assert seen.response.content == answer.response.content
    assert TOKEN not in str(seen.request.headers.pairs)
    with Reader.open(db) as reader:
        run = reader.run(1)
        assert run is not None and (run.name, run.engine, run.lost) == ("through", "mitmproxy (addon)", 0)
        assert run.ended_at is not None
        assert [one.failure is not None for one in reader.all_whole(1)] == [False, True]


async def test_a_database_that_cannot_be_used_ends_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    process = await started(tmp_path, "--set", f"scimproxy_db={tmp_path / 'file' / 'a.db'}")
    said = (await process.communicate())[0].decode()
    assert "scimproxy records nothing: " in said and "Traceback" not in said


async def test_without_scimproxy_it_says_where_to_install_it(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["scimproxy"] = None  # as in an environment without it
from mitmproxy.tools.main import mitmdump
mitmdump()
"""
    process = await started(tmp_path, python=(sys.executable, "-c", code))
    said = (await process.communicate())[0].decode()
    assert process.returncode == 1 and "pipx inject mitmproxy scimproxy" in said and sys.executable in said, said
