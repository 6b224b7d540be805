"""Two runs or two exchanges out of the store, compared (diff/runs.py), as JSON.

One rule: it reads; verdicts are diff/runs.py's. Bounded: a page compares fewer exchanges than `scimproxy diff`.
"""

from __future__ import annotations

from typing import Any

from scimproxy.bodies import Seen, seen
from scimproxy.diff import runs as run_diff
from scimproxy.diff.report import as_json, sentence
from scimproxy.errors import UsageError
from scimproxy.run_reading import light, read_run
from scimproxy.store import Reader
from scimproxy.web.asking import NotThere

__all__ = ["compare_exchanges", "compare_runs"]

MOST_EXCHANGES = 5_000
"""Exchanges of one run that a page compares."""


def compare_exchanges(reader: Reader, a: int, b: int) -> dict[str, Any]:
    """Return what differs between two exchanges."""
    one, two = (_exchange(reader, number) for number in (a, b))
    found = run_diff.compare_pair(one, two)
    return {**as_json(found, (f"exchange {a}", f"exchange {b}")), "sentence": sentence(found)}


def compare_runs(reader: Reader, a: int, b: int) -> dict[str, Any]:
    """Return what differs between two runs."""
    one, two = (_run(reader, number) for number in (a, b))
    found = run_diff.compare_runs(one[1], two[1])
    return {**as_json(found, (one[0], two[0])), "sentence": sentence(found)}


def _exchange(reader: Reader, number: int) -> Seen:
    found = reader.exchange(number)
    if found is None:
        raise NotThere(f"there is no exchange {number}")
    return seen(light(found))


def _run(reader: Reader, number: int) -> tuple[str, list[Seen]]:
    run = reader.run(number, count_to=MOST_EXCHANGES)
    if run is None:
        raise NotThere(f"there is no run {number}")
    if run.exchange_count is None:
        raise UsageError(
            f"run {number} has more exchanges than the {MOST_EXCHANGES:,} that a page compares",
            hint="`scimproxy diff` compares up to 50,000",
        )
    return f"run {number} ({run.name})", read_run(reader, run)
