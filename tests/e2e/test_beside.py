"""Other commands beside a recording: whatever they do to the database, no answered exchange is lost."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from e2e.proxy import Proxy
from e2e.test_kill import client, upstream

from scimproxy.store import Reader

ROOT = Path(__file__).resolve().parent.parent.parent
HAR = ROOT / "recordings" / "okta-lifecycle-scim2server.har"
COMMANDS = [
    ["runs"],
    ["log", "last", "--filter", "op:read"],
    ["search", "nobody"],
    ["doctor"],
    ["import", str(HAR)],
    ["prune", "--keep-runs", "9", "--yes"],
    ["export", "1", "--format", "har", "-o", "-"],
]

__all__ = ["upstream"]


def run(db: Path, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scimproxy", *words, "--db", str(db)], capture_output=True, timeout=60, check=False
    )
    assert b"Traceback" not in done.stderr
    assert done.returncode in {0, 1}, done.stderr.decode()


@pytest.mark.slow
@pytest.mark.parametrize("killed", [True, False])
def test_nothing_answered_is_lost_beside_other_commands(upstream: int, tmp_path: Path, killed: bool) -> None:
    db = tmp_path / "r.db"
    proxy = Proxy(f"http://127.0.0.1:{upstream}/scim/v2", db)
    received: list[str] = []
    for number, words in enumerate([*COMMANDS, *COMMANDS]):
        thread = threading.Thread(
            target=client, args=(proxy.port, f"n{number}", received, threading.Event(), 30), daemon=True
        )
        thread.start()
        run(db, *words)
        thread.join(30)
        assert not thread.is_alive()
    other = Proxy(f"http://127.0.0.1:{upstream}/scim/v2", db)
    client(other.port, "other", received, threading.Event(), 20)
    assert other.stop() == 0
    client(proxy.port, "after", received, threading.Event(), 20)
    if killed:
        proxy.kill()
    else:
        assert proxy.stop() == 0
    with closing(sqlite3.connect(db)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with Reader.open(db) as reader:
        stored = {row.path.rpartition("/")[2] for row in reader.exchanges(limit=100_000)}
    assert len(received) == 30 * 2 * len(COMMANDS) + 40
    assert not set(received) - stored
