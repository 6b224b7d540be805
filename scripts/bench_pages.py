#!/usr/bin/env python3
"""Time what the inspector's pages ask of a big database: first page, detail, search, the page of a big run.

One rule: each round is a fresh `scimproxy ui` that is asked over HTTP as a page asks it; a "first" is the first
request that this process ever answered. The database is made once (`--db`, by default
build/bench-pages.db; a million exchanges in one run take about half an hour) and used again as long as it is there.
`--rush 20` runs the browser's test of a thousand exchanges a second for so many seconds instead.
"""

import argparse
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bench_query import ROOT, make

from scimproxy.store import Reader

PAGE, DETAIL, SEARCH = 300, 100, 500
"""Milliseconds that are wanted at most: for a page, for a detail, for a search."""
SEARCHES = {
    "a rare word": "user000123",
    "a part of rare words": "er00012",
    "a frequent word": "example.com",
    "a frequent part": "xampl",
    "two frequent words": "okta family",
    "a word that is nowhere": "nobodyatall",
    "its parts are everywhere, it is nowhere": "mailsuser",
    "a frequent word and a rare status": "example.com status:404",
    "a frequent word and a status that never is": "example.com status:500",
    "two letters": "zq",
    "an operation": "op:patch",
    "an operation that never is": "op:bulk",
    "not a frequent word": "-example.com",
    "a resource's id": "id",
}


class Asked:
    """One inspector, asked with its token."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self.host, self.port = parts.hostname, parts.port
        self.headers = {"Authorization": f"Bearer {parts.fragment.removeprefix('token=')}"}

    def get(self, path: str) -> tuple[float, bytes]:
        """Return how many milliseconds a GET took, to its last byte, and the answer."""
        began = time.perf_counter()
        conn = http.client.HTTPConnection(self.host, self.port, timeout=60)
        conn.request("GET", path, headers=self.headers)
        answer = conn.getresponse()
        body = answer.read()
        took = 1000 * (time.perf_counter() - began)
        conn.close()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {body[:300]!r}")
        return took, body


@contextlib.contextmanager
def inspector(db: Path) -> Iterator[Asked]:
    """Start a fresh one; it is asked as soon as it says its URL."""
    command = [sys.executable, "-m", "scimproxy", "ui", "--db", str(db)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            yield Asked(next(line.split()[-1] for line in process.stderr if "#token=" in line))
        finally:
            process.terminate()


def first_page(asked: Asked) -> float:
    """Everything that the list asks before it shows rows."""
    return sum(asked.get(path)[0] for path in ("/", "/api/v1/runs?limit=100", "/api/v1/exchanges?limit=200"))


def measure(db: Path, rounds: int, newest: int, resource: str) -> dict[str, tuple[float, list[float]]]:
    """Return for each thing the wanted milliseconds and those of all rounds."""
    found: dict[str, tuple[float, list[float]]] = {}

    def keep(name: str, wanted: float, took: float) -> None:
        found.setdefault(name, (wanted, []))[1].append(took)

    for turn in range(rounds):
        with inspector(db) as asked:
            keep("detail, the first request of all", DETAIL, asked.get(f"/parts/exchanges/{newest - turn}")[0])
            keep("detail, the next", DETAIL, asked.get(f"/parts/exchanges/{newest // 2 + turn}")[0])
            keep("detail of a list of 50 users", DETAIL, asked.get(f"/parts/exchanges/{newest // 200 * 100 + 1}")[0])
            keep("the resource before and after", SEARCH, asked.get(f"/parts/exchanges/{newest // 2}/resource")[0])
        with inspector(db) as asked:
            keep("first page, the first requests of all", PAGE, first_page(asked))
            keep("first page again", PAGE, first_page(asked))
            keep("an older page of the list", PAGE, asked.get(f"/api/v1/exchanges?limit=200&before={newest // 2}")[0])
            keep("list of one run", PAGE, asked.get("/api/v1/exchanges?limit=200&run=1")[0])
            keep("page of the run", PAGE, asked.get("/runs/1")[0])
            keep("page of all runs", PAGE, asked.get("/runs")[0])
            keep("what touched a resource", SEARCH, asked.get(f"/resources?type=User&id={resource}")[0])
            for name, text in SEARCHES.items():
                took, _ = asked.get(f"/api/v1/exchanges?limit=200&filter={quote(text)}")
                keep(f"search: {name} ({text})", SEARCH, took)
    return found


def rush(seconds: int) -> int:
    """Run the browser's test of a thousand exchanges a second for so long."""
    test = str(ROOT / "tests" / "e2e" / "test_inspector_rush.py")
    environment = {**os.environ, "SCIMPROXY_RUSH_SECONDS": str(seconds)}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", test], cwd=ROOT, env=environment, check=False
    ).returncode


def main() -> None:
    """Make the database where it is missing, ask, print a table or JSON; exit code 1 where something was too slow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="exchanges of a new database")
    parser.add_argument("--runs", type=int, default=1, help="runs of a new database")
    parser.add_argument("--db", type=Path, default=ROOT / "build" / "bench-pages.db")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rush", type=int, metavar="SECONDS", help="a thousand exchanges a second in a browser")
    given = parser.parse_args()
    if given.rush:
        sys.exit(rush(given.rush))
    if not given.db.exists():
        make(given.db, given.rows, given.runs)
    with Reader.open(given.db) as reader:
        newest = next(iter(reader.exchanges(limit=1, newest_first=True))).id
        old = next(iter(reader.exchanges(after=newest // 3, limit=50)))
        resource = old.resource_id or next(
            row.resource_id for row in reader.exchanges(after=newest // 3, limit=50) if row.resource_id
        )
    found = measure(given.db, given.rounds, newest, resource)
    if given.json:
        print(json.dumps({name: {"wanted_ms": wanted, "ms": took} for name, (wanted, took) in found.items()}))
    else:
        size = given.db.stat().st_size / 2**20
        print(f"{newest:,} exchanges, {size:.0f} MiB, {given.rounds} fresh inspectors each; ms:")
        for name, (wanted, took) in found.items():
            middle, worst = statistics.median(took), max(took)
            slow = "" if middle <= wanted else "   TOO SLOW"
            print(f"  {name:<72}{middle:>8.0f}   worst {worst:>6.0f}   wanted {wanted:>4}{slow}")
    sys.exit(any(statistics.median(took) > wanted for wanted, took in found.values()))


if __name__ == "__main__":
    main()
