"""What the bench asks of scimproxy alone: a database that is not empty, many exchanges, start-up.

One rule: the rows that fill a database are real ones: recorded by scimproxy, then copied in SQL under new numbers and
with new content hashes until there are enough. The search index is left out: nothing touches it while requests come.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench_load import WORKLOADS, load
from bench_peers import PEERS, Peer, Upstream, start

__all__ = ["fill", "grow_memory", "seed", "startups"]


def seed(path: Path, up: Upstream, scratch: Path) -> None:
    """Record a second of traffic into a new database."""
    running = start(PEERS["native"], path.parent, up.http, up.authority)
    try:
        sample = load(running.url, WORKLOADS["get"], 1, 900_000_000_000, same=False, scratch=scratch)
    finally:
        running.tree.end()
    if sample.error:
        raise RuntimeError(f"could not record rows to copy: {sample.error}")


def _copy(conn: sqlite3.Connection, table: str, changed: dict[str, str], where: str) -> None:
    columns = [row[1] for row in conn.execute(f"PRAGMA table_info({table})")]
    values = ", ".join(changed.get(name, name) for name in columns)
    conn.execute(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table} WHERE {where}")


def fill(path: Path, rows: int) -> int:
    """Copy the exchanges of a database until there are so many; returns how many there are."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute("PRAGMA synchronous = OFF")
        conn.execute("PRAGMA cache_size = -200000")
        have, low, high, content = conn.execute(
            "SELECT count(*), min(id), max(id), max(response_content_id) FROM exchanges WHERE state = 'complete'"
        ).fetchone()
        (top,) = conn.execute("SELECT max(max(id), max(seq)) FROM exchanges").fetchone()
        step, content_step = top + 1 - low, content + 1
        first, last = low, high
        added = 0
        conn.execute("BEGIN")
        while have + added < rows:
            wanted = min(last - first + 1, rows - have - added)
            number = added // (high - low + 1) + 1
            where = f"id BETWEEN {first} AND {first + wanted - 1} AND state = 'complete'"
            shift, content_shift = number * step, number * content_step
            used = f"id IN (SELECT response_content_id FROM exchanges WHERE {where})"
            _copy(conn, "contents", {"id": f"id + {content_shift}", "sha256": "lower(hex(randomblob(32)))"}, used)
            changed = {"id": f"id + {shift}", "seq": f"seq + {shift}", "uid": f"uid || '-{number}'"}
            _copy(
                conn, "exchanges", {**changed, "response_content_id": f"response_content_id + {content_shift}"}, where
            )
            _copy(
                conn,
                "operations",
                {"exchange_id": f"exchange_id + {shift}"},
                f"exchange_id BETWEEN {first} AND {first + wanted - 1}",
            )
            added += wanted
        conn.execute("UPDATE progress SET value = (SELECT max(seq) FROM exchanges) WHERE name = 'derived_seq'")
        conn.execute("COMMIT")
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return int(conn.execute("SELECT count(*) FROM exchanges").fetchone()[0])


def databases(folder: Path, sizes: Sequence[int], up: Upstream, scratch: Path) -> dict[int, Path]:
    """Return a folder with a `bench.db` of each size; 0 has none."""
    made: dict[int, Path] = {}
    previous = folder / "seed"
    previous.mkdir(parents=True)
    if any(sizes):
        seed(previous / "bench.db", up, scratch)
    for size in sorted(sizes):
        made[size] = folder / f"rows-{size}"
        made[size].mkdir()
        if size:
            shutil.copy(previous / "bench.db", made[size] / "bench.db")
            fill(made[size] / "bench.db", size)
    return made


def grow_memory(
    up: Upstream, folder: Path, marks: tuple[int, int], numbers: Callable[[], int], tell: Callable[[str], None]
) -> dict[str, Any]:
    """Record until the second mark; returns resident memory at both, and the peak."""
    running = start(PEERS["native"], folder, up.http, up.authority)
    done, at = 0, dict.fromkeys(marks, 0.0)
    try:
        while done < marks[1]:
            sample = load(running.url, WORKLOADS["get"], 2, numbers(), same=False, scratch=folder)
            if sample.error:
                return {"error": sample.error}
            for mark in marks:
                if done < mark <= done + sample.requests:
                    at[mark] = running.tree.resident()
            done += sample.requests
            tell(f"memory: {done:,} of {marks[1]:,} exchanges, {running.tree.resident():.0f} MiB")
        return {
            "error": None,
            "from": marks[0],
            "to": marks[1],
            "from_mib": at[marks[0]],
            "to_mib": at[marks[1]],
            "peak_mib": running.tree.peak(),
        }
    finally:
        running.tree.end()


def startups(peers: Sequence[Peer], up: Upstream, folder: Path, times: int) -> dict[str, float]:
    """Return the median seconds until each accepts connections, and of `--help`, in turns."""
    taken: dict[str, list[float]] = {}
    helps = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "scimproxy --help": [sys.executable, "-m", "scimproxy", "--help"],
        "mitmdump --help": [str(Path(sys.executable).with_name("mitmdump")), "--help"],
    }
    for turn in range(times):
        for peer in peers:
            begun = time.perf_counter()
            running = start(peer, folder / f"start-{peer.name}-{turn}", up.http, up.authority)
            taken.setdefault(peer.name, []).append(time.perf_counter() - begun)
            running.tree.end()
        for name, command in helps.items():
            if Path(command[0]).exists():
                begun = time.perf_counter()
                subprocess.run(command, capture_output=True, check=False)
                taken.setdefault(name, []).append(time.perf_counter() - begun)
    return {name: statistics.median(each) for name, each in taken.items()}
