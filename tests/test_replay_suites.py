"""Bundled suites recorded on one server and replayed on another instance of it, through real sockets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_diff_suites import lines, record

from scimproxy.demo import serve
from scimproxy.replay_run import ReplayOptions, ReplayResult, replay
from scimproxy.stopping import Stop


async def again(db: Path, run_id: int, url: str, token: str, **given: Any) -> ReplayResult:
    options = ReplayOptions(db=db, run_id=run_id, to=url, auth=f"Bearer {token}", **given)
    return await replay(options, lambda _: None, Stop())


@pytest.mark.parametrize("name", ["scim2-spec", "lifecycle"])
@pytest.mark.parametrize("concurrency", [1, 8])
async def test_on_a_fresh_instance_twice(name: str, concurrency: int, tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    run_id = await record(db, name)
    for _ in range(2):
        async with await serve() as demo:
            found = await again(db, run_id, demo.url, demo.token, concurrency=concurrency)
        assert (found.sent, found.total, found.left_out) == (found.total, found.total, {})
        assert lines(found.diff) == []
        assert {row.role for row in found.bindings.rows()} >= {"User"}
