"""What the bench asks of `scimproxy diff`: two runs of a provisioning client, of which the second has a few changes.

One rule: the runs are made by the store's own writer, every id, name and date of the second is another one, and what
was changed on purpose is counted, so that a comparison that finds more, or less, is no figure but an error.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from factories import exchange, request, run  # noqa: E402 - after the path is set

from scimproxy.exchange import Exchange  # noqa: E402 - as above
from scimproxy.store import Store  # noqa: E402 - as above

__all__ = ["CHANGED_EVERY", "compare_runs", "make_runs", "measure_diff"]

CHANGED_EVERY = 500
"""In one of so many exchanges of the second run a user lacks her title: a breaking difference."""
_HEADERS = {"User-Agent": "Okta SCIM Client 1.0.0", "Accept": "application/scim+json"}
_USER = "urn:ietf:params:scim:schemas:core:2.0:User"


def _user(chance: random.Random, at: float) -> dict[str, Any]:
    key, word = f"{chance.getrandbits(128):032x}", f"{chance.getrandbits(28):07x}"
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    return {
        "schemas": [_USER],
        "id": key,
        "externalId": f"ext-{key[:12]}",
        "userName": f"ann.{word}@example.com",
        "name": {"givenName": f"Ann{word}", "familyName": "Smith", "formatted": f"Ann{word} Smith"},
        "displayName": f"Ann{word} Smith",
        "title": "Engineer",
        "active": True,
        "emails": [{"value": f"ann.{word}@example.com", "primary": True, "type": "work"}],
        "meta": {
            "resourceType": "User",
            "created": stamp,
            "lastModified": stamp,
            "version": f'W/"{chance.getrandbits(40):x}"',
            "location": f"https://scim.example/scim/v2/Users/{key}",
        },
    }


def _life(chance: random.Random, at: float) -> Iterator[Exchange]:
    """Give the ten exchanges in which a client provisions a user."""
    user = _user(chance, at)
    path, name = f"/scim/v2/Users/{user['id']}", user["userName"]
    sent = {key: value for key, value in user.items() if key not in {"id", "meta"}}
    asked = f"/scim/v2/Users?filter=userName%20eq%20%22{name}%22&startIndex=1&count=100"
    none = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "totalResults": 0, "Resources": []}

    def ask(method: str, target: str, status: int, answer: object = b"", body: object = b"") -> Exchange:
        asking = request(method, target, headers=_HEADERS, body=body)
        return exchange(request=asking, status_code=status, answer=answer)

    yield ask("GET", asked, 200, none)
    yield ask("POST", "/scim/v2/Users", 201, user, sent)
    yield ask("GET", asked, 200, {**none, "totalResults": 1, "Resources": [user]})
    yield ask("GET", path, 200, user)
    for word in ("Architect", "Director"):
        change = {"Operations": [{"op": "replace", "path": "title", "value": word}]}
        user = {**user, "title": word}
        yield ask("PATCH", path, 200, user, change)
    yield ask("PUT", path, 200, user, {**sent, "title": "Director"})
    off = {"Operations": [{"op": "replace", "value": {"active": False}}]}
    user = {**user, "active": False}
    yield ask("PATCH", path, 200, user, off)
    yield ask("GET", path, 200, user)
    yield ask("DELETE", path, 204)


def _without_title(one: Exchange) -> Exchange:
    assert one.response is not None
    body = json.loads(one.response.content.data)
    del body["title"]
    return exchange(request=one.request, answer=body)


def make_runs(path: Path, exchanges: int) -> int:
    """Write two runs of so many exchanges each into a new database; return how many differ in the second one."""
    changed = 0
    with Store.open(path) as store:
        for seed in (1, 2):
            begun = store.start_run(run(name=f"build {seed}"))
            chance, at = random.Random(seed), 1_790_000_000.0 + seed * 86_400
            lives = (one for _ in range(exchanges // 10) for one in _life(chance, at))
            for number, one in enumerate(lives):
                bent = seed == 2 and number % CHANGED_EVERY == 3  # the first read of a user
                changed += bent
                store.submit(_without_title(one) if bent else one)
            store.flush()
            assert begun.id is not None
            store.finish_run(begun.id, ended_at=at + 60)
    return changed


def compare_runs(path: Path, changed: int) -> dict[str, Any]:
    """Compare the two runs in a process of its own; return its seconds, CPU seconds and MiB, or `error`."""
    command = [sys.executable, "-m", "scimproxy", "diff", "1", "2", "--json", "--db", str(path)]
    began = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - began
    try:
        counts = json.loads(said)["counts"]
    except ValueError:
        return {"error": f"scimproxy diff ended with {process.returncode}"}
    if counts != {"breaking": changed, "changed": 0, "additive": 0, "noise": 0}:
        return {"error": f"{changed} breaking differences were made, and found were {counts}"}
    cpu = usage.ru_utime + usage.ru_stime
    return {"error": None, "seconds": seconds, "cpu_s": cpu, "peak_mib": usage.ru_maxrss / 1024}


def measure_diff(folder: Path, exchanges: int, rounds: int) -> dict[str, Any]:
    """Make the runs, compare them as often as there are rounds, and return the median round."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "diff.db"
    changed = make_runs(path, exchanges)
    turns = [compare_runs(path, changed) for _ in range(rounds)]
    wrong = [turn for turn in turns if turn["error"]]
    middle = wrong[0] if wrong else sorted(turns, key=lambda turn: turn["seconds"])[len(turns) // 2]
    return {"exchanges": exchanges, "rounds": rounds, **middle}
