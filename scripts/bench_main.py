"""The work of scripts/bench: run peers and workloads in turns, judge the answers, write the figures down.

One rule: whoever is not being measured stands still (SIGSTOP), and peers take turns within every round, so that what
the machine does meanwhile falls on all of them alike.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import bench_diff
import bench_growth
import bench_playing
from bench_load import WORKLOADS, Workload, check, load
from bench_peers import DIRECT, NODE, PEERS, ROOT, Peer, Running, Upstream, start, upstream
from bench_picture import picture
from bench_playing import MOCK, PLAYERS
from bench_report import into_page, markdown, summary, tables

PAGE = ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "images" / "performance.svg"
EXTRAS = ("growth", "memory", "start", "diff", "replay")
"""What is asked of scimproxy alone."""


class Bench:
    """One run of the bench: its options, its upstream, its scratch folder."""

    def __init__(self, options: argparse.Namespace, up: Upstream, folder: Path) -> None:
        self.options = options
        self.up = up
        self.folder = folder
        self._numbers = itertools.count(1)
        self._began = time.monotonic()

    def next_number(self) -> int:
        """Return the first number for a turn: no request of this run repeats one."""
        return next(self._numbers) * 10_000_000

    def tell(self, text: str) -> None:
        """Show on stderr what is going on."""
        line = f"{time.monotonic() - self._began:5.0f} s  {text}"[:79]
        if sys.stderr.isatty():
            print(f"\r{line:<79}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    # --- a workload, all peers in turns ---

    def workload(
        self, workload: Workload, peers: Sequence[Peer], seeds: dict[str, Path] | None = None
    ) -> dict[str, Any]:
        """Measure the peers, and the upstream alone; `seeds` are folders that peers start in."""
        target = self.up.https if workload.tls else self.up.http
        rows: dict[str, dict[str, Any]] = {}
        with ExitStack() as stack:
            running: dict[str, Running | None] = {DIRECT: None}
            for peer in peers:
                why = peer.missing() or _cannot(peer, workload)
                if peer.slow_blobs and workload.blob and self.options.quick:
                    continue
                if why:
                    rows[peer.name] = {"error": why}
                    continue
                self.tell(f"{workload.title}: starting {peer.name}")
                place = (seeds or {}).get(peer.name) or self.folder / workload.name / peer.name
                program = getattr(self.options, peer.option) if peer.option else None
                try:
                    one = start(peer, place, target, self.up.authority, program)
                except RuntimeError as exc:
                    rows[peer.name] = {"error": str(exc)}
                    continue
                stack.callback(one.tree.end)
                one.tree.hold()
                running[peer.name] = one
            rows.update(self._turns(workload, target, running))
        if not seeds:
            shutil.rmtree(self.folder / workload.name, ignore_errors=True)
        return rows

    def _turns(
        self, workload: Workload, target: str, running: dict[str, Running | None]
    ) -> dict[str, dict[str, Any]]:
        turns: dict[str, list[dict[str, Any]]] = {name: [] for name in running}
        before: dict[str, float] = {}
        peak: dict[str, float] = {}
        after: dict[str, float] = {}
        for turn in range(self.options.rounds):
            names = list(running)
            names = names[turn % len(names) :] + names[: turn % len(names)]
            for name in names:
                if any(each["error"] for each in turns[name]):
                    continue
                self.tell(f"{workload.title}: round {turn + 1} of {self.options.rounds}, {name}")
                one = running[name]
                if one is None:
                    turns[name].append(self._turn(workload, target))
                    continue
                anew = one.peer.writes_json_anew
                with one.tree.running():
                    few = 1 if workload.blob else 10
                    wrong = check(one.url, workload, self.next_number(), few, as_json=anew)
                    if name not in before:
                        before[name] = one.tree.resident()
                        one.tree.forget_peak()
                    cpu = one.tree.cpu()
                    made = self._turn(workload, one.url)
                    made["cpu_s"] = one.tree.cpu() - cpu
                    last = check(one.url, workload, self.next_number(), 1, as_json=anew)
                    made["error"] = wrong or made["error"] or last
                    turns[name].append(made)
                    peak[name], after[name] = one.tree.peak(), one.tree.resident()
        rows = {}
        for name, one in running.items():
            base = before.get(name, 0)
            rows[name] = summary(turns[name], peak_mib=peak.get(name, 0), grown_mib=peak.get(name, 0) - base)
            if one is not None and not rows[name]["error"]:
                with one.tree.running():
                    recorded = one.recorded()
                rows[name]["recorded"] = recorded
                rows[name]["after_mib"] = after[name]
                if recorded is not None and recorded < rows[name]["requests"]:
                    rows[name]["error"] = f"recorded {recorded:,} of {rows[name]['requests']:,} requests"
        return rows

    def _turn(self, workload: Workload, url: str) -> dict[str, Any]:
        sample = load(
            url, workload, self.options.seconds, self.next_number(), same=self.options.same, scratch=self.folder
        )
        return {**asdict(sample), "cpu_s": 0.0}

    def mock(self, players: Sequence[Peer]) -> dict[str, Any]:
        """Measure who answers from a recording."""
        self.tell(f"mock: making recordings for {len(players)}")
        folder = self.folder / "players"
        made = self.workload(MOCK, players, {one.name: bench_playing.seed(one, folder / one.name) for one in players})
        shutil.rmtree(folder, ignore_errors=True)
        return made

    # --- scimproxy alone ---

    def growth(self) -> dict[str, Any]:
        """Measure with databases of different sizes, in turns."""
        sizes = sorted({0, *self.options.rows})
        self.tell(f"growth: filling databases with up to {sizes[-1]:,} exchanges")
        folders = bench_growth.databases(self.folder / "growth", sizes, self.up, self.folder)
        native = PEERS["native"]
        peers = [
            Peer(f"rows-{size}", native.command, native.recorded, ours=True, needs=native.needs) for size in sizes
        ]
        rows = self.workload(WORKLOADS["get"], peers, {f"rows-{size}": folders[size] for size in sizes})
        shutil.rmtree(self.folder / "growth", ignore_errors=True)
        made = {str(size): rows[f"rows-{size}"] for size in sizes}
        for row in made.values():
            if not row["error"] and not made["0"]["error"]:
                row["of_empty"] = row["per_second"] / made["0"]["per_second"]
        return made

    def memory(self) -> dict[str, Any] | None:
        """Measure resident memory while many exchanges are recorded."""
        made = bench_growth.grow_memory(
            self.up, self.folder / "memory", (50_000, 500_000), self.next_number, self.tell
        )
        shutil.rmtree(self.folder / "memory", ignore_errors=True)
        if made["error"]:
            self.tell(f"memory: {made['error']}")
            return None
        return made

    def diff(self) -> dict[str, Any]:
        """Measure `scimproxy diff` on two runs."""
        count = 2_000 if self.options.quick else 10_000
        self.tell(f"diff: making two runs of {count:,} exchanges, and comparing them")
        made = bench_diff.measure_diff(self.folder / "diff", count, self.options.rounds)
        shutil.rmtree(self.folder / "diff", ignore_errors=True)
        return made

    def replay(self) -> dict[str, Any]:
        """Measure `scimproxy replay` against the upstream."""
        count = 2_000 if self.options.quick else 10_000
        self.tell(f"replay: making a run of {count:,} exchanges, and sending it again")
        made = bench_playing.measure_replay(self.folder / "replay", self.up.http, count, self.options.rounds)
        shutil.rmtree(self.folder / "replay", ignore_errors=True)
        return made


def _cannot(peer: Peer, workload: Workload) -> str | None:
    if peer.forward and (workload.tls or workload.blob):
        return "not measured: it is a forward proxy here"
    return None


def _versions() -> dict[str, str]:
    made = {"mitmproxy": version("mitmproxy")}
    for name in ("talkback", "http-proxy"):
        about = NODE / "node_modules" / name / "package.json"
        if about.exists():
            made[name] = json.loads(about.read_text(encoding="utf-8"))["version"]
    for name, command in (("node", ["node", "--version"]), ("nginx", ["nginx", "-v"]), ("wrk", ["wrk", "-v"])):
        if shutil.which(name):
            said = subprocess.run(command, capture_output=True, text=True, check=False)
            if found := re.search(r"\d+\.\d+(\.\d+)?", said.stdout + said.stderr):
                made[name] = found[0]
    return made


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        given = [name for name in text.split(",") if name]
        for name in given:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return given

    return names


_ALL = list(dict.fromkeys([*PEERS, *PLAYERS]))


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure scimproxy beside other proxies, all in one run (docs/performance.md).",
    )
    parser.add_argument("--quick", action="store_true", help="a short run, about two minutes")
    parser.add_argument("--only", type=_names(_ALL), metavar="PEERS", help=f"of {', '.join(_ALL)}")
    parser.add_argument(
        "--workload",
        type=_names([*WORKLOADS, MOCK.name, *EXTRAS]),
        metavar="NAMES",
        help=f"of {', '.join([*WORKLOADS, MOCK.name, *EXTRAS])}",
    )
    parser.add_argument("--seconds", type=int, help="length of a turn [3; quick: 1]")
    parser.add_argument("--rounds", type=int, help="turns of each peer at each workload [5; quick: 1]")
    parser.add_argument("--rows", type=lambda text: [int(each) for each in text.split(",")], metavar="N,N",
                        help="sizes of the databases of `growth` [100000,1000000; quick: 100000]")  # fmt: skip
    parser.add_argument("--work", type=int, default=0, metavar="MICROSECONDS",
                        help="CPU time that the upstream burns for each answer [0]")  # fmt: skip
    parser.add_argument("--same", action="store_true", help="let all answers be equal (each differs otherwise)")
    parser.add_argument("--hoverfly", type=Path, metavar="PATH", help="also measure this Hoverfly program")
    parser.add_argument("--wiremock", type=Path, metavar="JAR", help="also measure this WireMock jar")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the picture there")
    parser.add_argument("--docs", action="store_true", help="write docs/performance.md and its picture")
    parser.add_argument("--show", type=Path, metavar="FILE", help="measure nothing: tell what a --json file says")
    given = parser.parse_args(arguments)
    given.seconds = given.seconds or (1 if given.quick else 3)
    given.rounds = given.rounds or (1 if given.quick else 5)
    given.rows = given.rows or ([100_000] if given.quick else [100_000, 1_000_000])
    if given.workload is None:
        given.workload = [*WORKLOADS, MOCK.name, *(name for name in EXTRAS if not (given.quick and name == "memory"))]
    return given


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Run what was asked for and return the result document (bench_report.py reads it)."""
    peers, players = (
        [
            peer
            for name, peer in known.items()
            if (given.only is None or name in given.only) and (peer.option is None or getattr(given, peer.option))
        ]
        for known in (PEERS, PLAYERS)
    )
    result: dict[str, Any] = {
        "made": {
            "at": time.strftime("%Y-%m-%d", time.gmtime()),
            "scimproxy": version("scimproxy"),
            "python": f"{platform.python_version()} ({_build()})",
            "cores": os.cpu_count(),
            "machine": f"{platform.system()} {platform.machine()}",
            "rounds": given.rounds,
            "seconds": given.seconds,
            "quick": given.quick,
            "same": given.same,
            "work_us": given.work,
            "versions": _versions(),
        },
        "workloads": {},
    }
    with tempfile.TemporaryDirectory(prefix="scimproxy-bench-") as name, upstream(Path(name), given.work) as up:
        folder = Path(name)
        bench = Bench(given, up, folder)
        for workload in (WORKLOADS[name] for name in given.workload if name in WORKLOADS):
            rows = bench.workload(workload, peers)
            mib = 64 if workload.blob else 0
            result["workloads"][workload.name] = {"title": workload.title, "mib": mib, "rows": rows}
        if MOCK.name in given.workload:
            result["workloads"][MOCK.name] = {"title": MOCK.title, "mib": 0, "rows": bench.mock(players)}
        if "start" in given.workload:
            bench.tell("start-up")
            able = [peer for peer in peers if not peer.missing() and not peer.option]
            result["start"] = bench_growth.startups(able, up, folder, 2 if given.quick else 7)
        if "growth" in given.workload:
            result["growth"] = bench.growth()
        if "memory" in given.workload:
            result["memory"] = bench.memory()
        if "diff" in given.workload:
            result["diff"] = bench.diff()
        if "replay" in given.workload:
            result["replay"] = bench.replay()
        bench.tell("done")
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return result


def _build() -> str:
    """Say how the interpreter was built: one without profile-guided optimisation is two to three times slower."""
    optimised = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    return "an optimised build" if optimised else "built without optimisations"


def main() -> int:
    """Measure, and write what was asked for."""
    given = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))  # through the ends of all peers
    try:
        result = json.loads(given.show.read_text(encoding="utf-8")) if given.show else measure(given)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    print(tables(result))
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if given.svg:
        given.svg.write_text(picture(result), encoding="utf-8")
    if given.docs:
        PAGE.write_text(into_page(PAGE.read_text(encoding="utf-8"), markdown(result)), encoding="utf-8")
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_text(picture(result), encoding="utf-8")
    failed = any(row["error"] for work in result["workloads"].values() for row in work["rows"].values())
    failed |= any(result.get(name, {}).get("error") for name in ("diff", "replay"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
