"""What the bench asks of tools that answer from a recording, and of `scimproxy replay`, which sends one again.

One rule: all answer the same GETs with the same bytes, which are those of the bench's upstream; each gets the
recording in its own form, written here, and compares as little of a request as it can be told to.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from bench_load import Workload  # noqa: E402 - after the path is set
from bench_payload import DIGITS, answer  # noqa: E402 - as above
from bench_peers import NODE, Peer, Place, count_rows  # noqa: E402 - as above
from factories import exchange, request, run  # noqa: E402 - as above

from scimproxy.store import Store  # noqa: E402 - as above

__all__ = ["MOCK", "PLAYERS", "make_recording", "measure_replay", "seed"]

RECORDED = 2_000
MOCK = Workload("mock", f"{RECORDED:,} recorded GETs of 0.5 kB, 8 connections", of=RECORDED)
"""Each request asks for one of so many recorded resources, one after the other."""


def _recorded(count: int) -> Iterator[tuple[str, int, str, bytes]]:
    """Give what is recorded: target, status, media type and content of each answer."""
    for number in range(count):
        target = f"{MOCK.prefix}{number:0{DIGITS}d}"
        made = answer("GET", target)
        assert made is not None
        yield target, *made


def make_recording(path: Path, count: int) -> None:
    """Write a run of so many GETs into a new database, as `scimproxy up` would record them."""
    with Store.open(path) as store:
        begun = store.start_run(run(name="bench"))
        for target, status, kind, body in _recorded(count):
            asked = request("GET", target, headers={"User-Agent": "bench", "Accept": kind})
            store.submit(exchange(request=asked, status_code=status, answer=body))
        store.flush()
        assert begun.id is not None
        store.finish_run(begun.id, ended_at=begun.started_at + 60)


# --- the same in the forms of others


def _tapes(folder: Path, count: int) -> None:
    tapes = folder / "tapes"
    tapes.mkdir()
    for number, (target, status, kind, body) in enumerate(_recorded(count)):
        tape = {
            "meta": {"createdAt": "2026-01-01T00:00:00.000Z", "host": "http://127.0.0.1:1", "resHumanReadable": True},
            "req": {"url": target, "method": "GET", "headers": {}, "body": ""},
            "res": {
                "status": status,
                "headers": {"content-type": [kind], "content-length": [str(len(body))]},
                "body": body.decode(),
            },
        }
        (tapes / f"{number}.json5").write_text(json.dumps(tape), encoding="utf-8")


def _simulation(folder: Path, count: int) -> None:
    pairs = [
        {
            "request": {
                "path": [{"matcher": "exact", "value": target}],
                "method": [{"matcher": "exact", "value": "GET"}],
            },
            "response": {"status": status, "body": body.decode(), "headers": {"Content-Type": [kind]}},
        }
        for target, status, kind, body in _recorded(count)
    ]
    made = {
        "data": {"pairs": pairs, "globalActions": {"delays": []}},
        "meta": {"schemaVersion": "v5", "hoverflyVersion": "v1.10.0", "timeExported": "2026-01-01T00:00:00Z"},
    }
    (folder / "simulation.json").write_text(json.dumps(made), encoding="utf-8")


def _stubs(folder: Path, count: int) -> None:
    stubs = [
        {
            "request": {"method": "GET", "urlPath": target},
            "response": {"status": status, "body": body.decode(), "headers": {"Content-Type": kind}},
        }
        for target, status, kind, body in _recorded(count)
    ]
    (folder / "mappings").mkdir()
    (folder / "mappings" / "all.json").write_text(json.dumps({"mappings": stubs}), encoding="utf-8")


def _description(folder: Path, count: int) -> None:
    paths = {
        target: {
            "get": {
                "responses": {
                    str(status): {"description": "a user", "content": {kind: {"example": json.loads(body)}}}
                }
            }
        }
        for target, status, kind, body in _recorded(count)
    }
    made = {"openapi": "3.0.3", "info": {"title": "bench", "version": "1"}, "paths": paths}
    (folder / "openapi.json").write_text(json.dumps(made), encoding="utf-8")


_FORMS: dict[str, Callable[[Path, int], None]] = {
    "talkback": _tapes,
    "hoverfly": _simulation,
    "wiremock": _stubs,
    "prism": _description,
}


def seed(peer: Peer, folder: Path, count: int = RECORDED) -> Path:
    """Make the folder that a player starts in, with the recording in its form."""
    folder.mkdir(parents=True)
    if peer.ours:
        make_recording(folder / "bench.db", count)
    else:
        _FORMS[peer.name](folder, count)
    return folder


# --- the players


def _mock(*options: str) -> Callable[[Place], list[str]]:
    def command(place: Place) -> list[str]:
        return [
            sys.executable, "-m", "scimproxy", "mock", "1", "--port", str(place.port),
            "--db", str(place.folder / "bench.db"), *options,
        ]  # fmt: skip

    return command


def _talkback(place: Place) -> list[str]:
    return ["node", str(NODE / "talkback-replay.mjs"), str(place.port), str(place.folder / "tapes")]


def _prism(place: Place) -> list[str]:
    return ["prism", "mock", "-h", "127.0.0.1", "-p", str(place.port), str(place.folder / "openapi.json")]


def _hoverfly(place: Place) -> list[str]:
    ports = ["-pp", str(place.port), "-ap", str(place.admin_port)]
    simulation = ["-import", str(place.folder / "simulation.json")]
    return [
        str(place.program), "-webserver", *ports, *simulation, "-listen-on-host", "127.0.0.1", "-log-level", "error",
    ]  # fmt: skip


def _wiremock(place: Place) -> list[str]:
    return [
        "java", "-jar", str(place.program), "--port", str(place.port), "--bind-address", "127.0.0.1",
        "--root-dir", str(place.folder), "--no-request-journal", "--disable-banner",
    ]  # fmt: skip


PLAYERS = {
    each.name: each
    for each in (
        Peer("mock", _mock(), count_rows, ours=True),
        Peer("no-record", _mock("--no-record"), ours=True),
        Peer("talkback", _talkback, needs=("node", NODE / "node_modules" / "talkback")),
        Peer("prism", _prism, needs=("prism",), writes_json_anew=True),
        Peer("hoverfly", _hoverfly, option="hoverfly"),
        Peer("wiremock", _wiremock, needs=("java",), option="wiremock"),
    )
}
"""In the order in which the table shows them."""


# --- replay


def measure_replay(folder: Path, target: str, count: int, rounds: int) -> dict[str, Any]:
    """Replay a run of so many GETs as often as there are rounds, as a whole process; return the median round."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "replay.db"
    make_recording(path, count)
    turns = [_replay_once(path, target, count) for _ in range(rounds)]
    wrong = [turn for turn in turns if turn["error"]]
    middle = wrong[0] if wrong else sorted(turns, key=lambda turn: turn["seconds"])[len(turns) // 2]
    return {"exchanges": count, "rounds": rounds, **middle}


def _replay_once(path: Path, target: str, count: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "scimproxy", "replay", "1", "--to", f"{target}/scim/v2", "--speed", "max"]
    command += ["--concurrency", "8", "--json", "--db", str(path)]
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    seconds = time.monotonic() - began
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return {"error": f"scimproxy replay ended with {done.returncode}: {lines[-1][:120] if lines else ''}"}
    told = json.loads(done.stdout)
    if (told["sent"], told["compared"], sum(told["counts"].values())) != (count, count, 0):
        return {"error": f"of {count:,} exchanges {told['sent']:,} were sent; differences: {told['counts']}"}
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as conn:
        (sending_s,) = conn.execute(_SENDING, (told["run"],)).fetchone()
    return {"error": None, "seconds": seconds, "per_second": count / sending_s}


_SENDING = """
    SELECT (julianday(max(ended_at)) - julianday(min(started_at))) * 86400 FROM exchanges WHERE run_id = ?
"""
"""Seconds from the first request of a run to its last answer."""
