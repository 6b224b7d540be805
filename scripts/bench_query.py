#!/usr/bin/env python3
"""Time what looks at a big database: `runs`, `log`, `log --filter` and `search`, each as a whole process.

One rule: the database is made once (`--db`, by default build/bench-query.db) and used again as long as it is there.
Its exchanges go through the store's own writer and are derived like recorded ones: mostly users, some lists of 24 KB.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from factories import exchange, request, run  # noqa: E402 - after the path is set

from scimproxy.exchange import Exchange  # noqa: E402 - as above
from scimproxy.store import Reader, Store  # noqa: E402 - as above

COMMANDS = {
    "runs": ["runs"],
    "log": ["log"],
    "log of an old run": ["log", "1"],
    "log --filter (columns)": ["log", "1", "--filter", "method:PATCH status:2xx"],
    "log --filter (a word)": ["log", "--filter", "user000123"],
    "search, one place": ["search", "user000123"],
    "search, every place": ["search", "example.com"],
    "search, terms": ["search", "op:patch", "status:4xx"],
    "search, nothing": ["search", "nobodyatall"],
}
RUNS = 100
LIST_EVERY = 100
"""One in so many is a list of 50 users."""


def user(number: int) -> dict[str, object]:
    """Return a user; her id looks random and is always the same."""
    name, key = f"user{number:06}", f"{random.Random(number).getrandbits(128):032x}"
    return {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": key,
        "userName": f"{name}@example.com",
        "name": {"givenName": name, "familyName": f"Family {key[:6]}"},
        "active": True,
        "emails": [{"value": f"{name}@example.com", "primary": True, "type": "work"}],
        "displayName": f"{name} Family {key[:6]}",
        "meta": {"resourceType": "User", "location": f"https://scim.example/scim/v2/Users/{key}"},
    }


def made(number: int) -> Exchange:
    """Return an exchange: a list, a create, a PATCH (some fail) or a read."""
    one = user(number)
    path = f"/scim/v2/Users/{one['id']}"
    headers = {"User-Agent": "Okta SCIM Client 1.0.0"}
    if number % LIST_EVERY == 0:
        answer = {"totalResults": 50, "Resources": [user(number + at) for at in range(50)]}
        return exchange(
            request=request("GET", "/scim/v2/Users?startIndex=1&count=50", headers=headers), answer=answer
        )
    if number % 4 == 1:
        return exchange(
            request=request("POST", "/scim/v2/Users", headers=headers, body=one), status_code=201, answer=one
        )
    if number % 4 == 2:
        change = {"Operations": [{"op": "replace", "path": "active", "value": False}]}
        status = 404 if number % 40 == 2 else 200
        return exchange(request=request("PATCH", path, headers=headers, body=change), status_code=status, answer=one)
    return exchange(request=request("GET", path, headers=headers), answer=one)


def make(path: Path, rows: int, runs: int = RUNS) -> None:
    """Make the database, derived rows and all; its exchanges in so many runs, one after the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    unfinished = path.with_suffix(".part")
    for old in path.parent.glob(f"{unfinished.name}*"):
        old.unlink()
    with Store.open(unfinished) as store:
        for number in range(runs):
            begun = store.start_run(run(name=f"run {number + 1}"))
            for at in range(number * rows // runs, (number + 1) * rows // runs):
                store.submit(made(at))
            store.flush()
            assert begun.id is not None
            store.finish_run(begun.id, ended_at=time.time())
    written = time.monotonic()
    with Reader.open(unfinished) as reader:
        reader.catch_up()
    with Store.open(unfinished):
        pass  # folds the -wal file back
    unfinished.replace(path)
    took = time.monotonic() - written
    print(f"Made {path}: {rows:,} exchanges in {written - began:.0f} s, and derived in {took:.0f} s.")


def main() -> None:
    """Make the database where it is missing, time the commands, print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000, help="exchanges of a new database")
    parser.add_argument("--db", type=Path, default=ROOT / "build" / "bench-query.db")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if not given.db.exists():
        make(given.db, given.rows)
    with Reader.open(given.db) as reader:
        rows = sum(run.exchange_count or 0 for run in reader.runs())
    result: dict[str, dict[str, float]] = {}
    for name, args in COMMANDS.items():
        times = []
        for _ in range(given.rounds):
            began = time.monotonic()
            subprocess.run(
                [sys.executable, "-m", "scimproxy", *args, "--db", str(given.db)],
                cwd=ROOT, check=True, capture_output=True,
            )  # fmt: skip
            times.append(1000 * (time.monotonic() - began))
        result[name] = {"median_ms": round(statistics.median(times), 1), "worst_ms": round(max(times), 1)}
    if given.json:
        print(
            json.dumps({"rows": rows, "bytes": given.db.stat().st_size, "rounds": given.rounds, "commands": result})
        )
        return
    print(f"{rows:,} exchanges, {given.db.stat().st_size / 2**20:.0f} MiB, whole processes, {given.rounds} rounds:")
    for name, figures in result.items():
        print(f"  {name:<24}{figures['median_ms']:>8.0f} ms   worst {figures['worst_ms']:>6.0f} ms")


if __name__ == "__main__":
    main()
