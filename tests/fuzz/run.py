"""The fuzzer as a program: `PYTHONPATH=tests python -m fuzz.run --cases 100000 --seed 1`.

Prints figures as it goes, and every case that breaks a property, is an unexplained difference, or that nginx reads
differently, with its number, so that `--only NUMBER` plays it again. Exit code 0 where there is none.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from fuzz.alone import broken
from fuzz.case import ROOMS, Case
from fuzz.differ import difference
from fuzz.explain import ROWS, explain
from fuzz.mutate import make_case, seed_cases
from fuzz.nginx import Nginx, judge
from fuzz.play import Outcome, Stand
from fuzz.quiet import QuietLoop
from fuzz.shrink import shrink

__all__ = ["Tally", "fuzz", "run"]

HONEST = Case((b"GET /honest HTTP/1.1\r\nHost: h\r\n\r\n",))
EVERY = 50
"""After so many cases an honest request on a fresh connection must be answered as if nothing had been."""


TELL = 10_000
"""After so many cases the program says how far it is."""

SHRUNK = 10
"""So many problems are shown by the smallest case that shows them; more would take long."""


@dataclass
class Tally:
    """What a run of the fuzzer came to."""

    cases: int = 0
    seconds: float = 0.0
    same: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    asked: int = 0
    nginx_read: int = 0
    nginx_refused: int = 0
    wires: dict[bytes, str] = field(default_factory=dict)

    def __str__(self) -> str:
        rows = "\n".join(f"  {count:7}  {name}" for name, count in self.rows.most_common())
        rate = self.cases / self.seconds if self.seconds else 0
        return (
            f"{self.cases} cases in {self.seconds:.0f} s ({rate:.0f}/s); {self.same} the same in both engines, "
            f"{self.rows.total()} explained differences in {len(self.rows)} of {len(ROWS)} rows, {len(self.problems)} problems; "
            f"{self.asked} requests reached the upstream; nginx read {self.nginx_read} connections, refused {self.nginx_refused} requests\n{rows}"
        )


async def _one(case: Case, native: Stand, other: Stand, tally: Tally) -> tuple[Outcome, list[str]]:
    outcome = await native.play(case)
    problems = broken(case, outcome)
    twin = await other.play(case)
    problems += [f"mitmproxy engine: {fault}" for fault in twin.faults]
    found = difference(case, outcome, twin)
    row = None if found is None else explain(found)
    if found is not None and row is None:
        problems.append(f"unexplained difference: {found}")
    if not problems:
        tally.same += found is None
        if row is not None:
            tally.rows[row.name] += 1
    return outcome, problems


async def _shrunk(case: Case, native: Stand, other: Stand, problem: str) -> Case:
    """Return a smaller case with a problem that begins with the same words."""

    async def shows(smaller: Case) -> bool:
        _, problems = await _one(smaller, native, other, Tally())
        return any(one[:30] == problem[:30] for one in problems)

    return await shrink(case, shows)


async def fuzz(cases: Iterable[tuple[str, Case]], tally: Tally, *, most: int = 500) -> None:
    """Play named cases on both engines, and put what comes of them in the tally; stops after `most` problems."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, QuietLoop)
    began = time.monotonic()
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    async with AsyncExitStack() as stack:
        stands = {
            (engine, room): await stack.enter_async_context(Stand(engine, room))
            for engine in ("native", "mitmproxy")
            for room in ROOMS
        }
        for name, case in cases:
            native, other = stands["native", case.room], stands["mitmproxy", case.room]
            outcome, problems = await _one(case, native, other, tally)
            if problems:  # once more, looking longer: a busy machine is no fault
                loop.selector.careful = True
                outcome, problems = await _one(case, native, other, tally)
                loop.selector.careful = False
            tally.cases += 1
            shown = case
            if problems and len(tally.problems) < SHRUNK:
                shown = await _shrunk(case, native, other, problems[0])
            tally.problems += [f"{name}: {problem}\n    {shown}" for problem in problems]
            for wire in outcome.upstream:
                tally.asked += wire.count(b" HTTP/1.1\r\n")
                if len(wire) < 200_000:
                    tally.wires.setdefault(wire.replace(native.upstream, b"upstream"), name)
            if tally.cases % EVERY == 0:
                honest = await native.play(replace(HONEST, room=case.room))
                if not honest.got.endswith(b"\r\n\r\nok") or len(honest.exchanges) != 1 or honest.faults:
                    tally.problems.append(f"{name}: afterwards an honest request came to {honest}")
            if tally.cases % TELL == 0:
                sys.stderr.write(
                    f"{tally.cases} cases, {time.monotonic() - began:.0f} s, {len(tally.problems)} problems\n"
                )
            if len(tally.problems) >= most:
                break
    tally.seconds += time.monotonic() - began


async def ask_nginx(tally: Tally) -> None:
    """Let nginx read every connection of the upstream, each different one once."""
    with tempfile.TemporaryDirectory() as folder:
        async with Nginx(Path(folder)) as nginx:
            for wire, name in tally.wires.items():
                problems, refused = await judge(nginx, wire)
                tally.nginx_read += 1
                tally.nginx_refused += refused
                tally.problems += [f"{name}: {problem}\n    {wire[:600]!r}" for problem in problems]


def run(cases: Iterable[tuple[str, Case]], *, nginx: bool = True) -> Tally:
    """Play cases in a loop of their own, then let nginx read what the upstream got."""
    tally = Tally()
    with asyncio.Runner(loop_factory=QuietLoop) as runner:
        runner.run(fuzz(cases, tally))
    if nginx and Nginx.there():
        asyncio.run(ask_nginx(tally))
    return tally


def main() -> int:
    """Run the fuzzer as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.run")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1, help="the first case is number SEED x 1,000,000")
    parser.add_argument("--only", help="play one case again: its number, or seed-N-ROOM")
    parser.add_argument("--no-nginx", action="store_true")
    given = parser.parse_args()
    seeds = [
        (f"seed-{number}-{room}", replace(case, room=room))
        for room in ROOMS
        for number, case in enumerate(seed_cases())
    ]
    if given.only is not None:
        cases = [one for one in seeds if one[0] == given.only] or [(given.only, make_case(int(given.only)))]
    else:
        first = given.seed * 1_000_000
        made = ((str(number), make_case(number)) for number in range(first, first + given.cases - len(seeds)))
        cases = (one for group in (seeds, made) for one in group)  # type: ignore[assignment]
    tally = run(cases, nginx=not given.no_nginx)
    for problem in tally.problems:
        sys.stdout.write(problem + "\n")
    sys.stdout.write(f"{tally}\n")
    return 1 if tally.problems else 0


if __name__ == "__main__":
    sys.exit(main())
