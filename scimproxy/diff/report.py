"""A comparison as JSON and Markdown: the same facts in the same order, for programs and for pull requests.

One rule: nothing here decides; verdicts and reasons come from runs.py. Text of the wire is data: it is quoted,
and cannot become markup. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scimproxy.bodies import Seen
from scimproxy.diff.differences import Difference, escaped
from scimproxy.diff.judging import VERDICTS, Verdict
from scimproxy.diff.runs import PairDiff, RunDiff, TimingChange

__all__ = [
    "FEW",
    "Group",
    "as_json",
    "groups",
    "markdown",
    "operations",
    "sentence",
    "shown",
    "sides",
    "timing_line",
    "title",
]

_LONGEST = 200
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")


def as_json(found: RunDiff, names: tuple[str, str]) -> dict[str, Any]:
    """Return the comparison for programs; the differences of each pair are RFC 6902 operations."""
    return {
        "a": names[0],
        "b": names[1],
        "compared": found.compared,
        "counts": found.counts,
        "pairs": [
            {
                "a": _of(pair.a),
                "b": _of(pair.b),
                "summary": title(pair),
                "verdict": pair.verdict,
                "operations": operations(pair.differences),
                "remarks": [one.reason for one in pair.differences if not one.pointer],
            }
            for pair in found.pairs
        ],
        "timings": [
            {
                "operation": one.operation,
                "a_ms": round(one.slower.a_ms, 3),
                "b_ms": round(one.slower.b_ms, 3),
                "pairs": one.slower.pairs,
                "p": one.slower.p,
                "verdict": one.verdict,
                "reason": one.reason,
            }
            for one in found.timings
        ],
        "bindings": [{"role": row.role, "a": row.a, "b": row.b} for row in found.bindings.rows()],
    }


def operations(found: Sequence[Difference]) -> list[dict[str, Any]]:
    """Return differences as RFC 6902 operations, with `was`, `verdict` and `reason` beside their own members.

    Applied in their order to A's document they give B's, but for what is bound or always differs. The document is
    `{"request": {"method", "path", "query", "headers", "body"}, "response": {"status", "http_version", "headers",
    "body"}, "failure"}`, and `byte_order_mark` beside a body that begins with one; `query` and `headers` are objects
    of texts by names in small letters. What an exchange has not is not there. What has no place (an exchange of one
    run only, what was left out) is no operation.
    """
    made: list[dict[str, Any]] = []
    for one in found:
        if not one.pointer:
            continue
        entry: dict[str, Any] = {"op": one.op, "path": one.pointer}
        if one.op == "move":
            entry["path"] = one.pointer[: one.pointer.rindex("/") + 1] + escaped(one.b)
            entry["from"] = one.pointer
        else:
            if one.in_b:
                entry["value"] = one.b
            if one.in_a:
                entry["was"] = one.a
        made.append({**entry, "verdict": one.verdict, "reason": one.reason})
    return made


def _of(seen: Seen | None) -> dict[str, Any] | None:
    if seen is None:
        return None
    exchange = seen.exchange
    status = None if exchange.response is None else exchange.response.status_code
    return {"exchange": exchange.id, "step": None if seen.step is None else seen.step[0], "status": status}


def title(pair: PairDiff) -> str:
    """Return what a pair is about: its step where there is one, and the operation."""
    step = pair.seen.step
    said = pair.seen.operation.summary
    return said if step is None else f"{step[0]} {step[1] or said}".strip()


FEW = 4
"""Pairs from which on it is worth telling what they have in common."""


@dataclass(frozen=True, slots=True)
class Group:
    """A kind of difference that pairs have in common; `pairs` are their indexes."""

    verdict: Verdict
    place: str
    reason: str
    pairs: tuple[int, ...]


def groups(pairs: Sequence[PairDiff]) -> list[Group]:
    """Return the kinds of differences, the worst and most frequent first."""
    found: dict[tuple[Verdict, str, str], list[int]] = {}
    for at, pair in enumerate(pairs):
        for key in {(one.verdict, "/".join(one.names), one.reason): None for one in pair.differences if one.pointer}:
            found.setdefault(key, []).append(at)
    made = [Group(*key, tuple(at)) for key, at in found.items()]
    return sorted(made, key=lambda one: (VERDICTS.index(one.verdict), -len(one.pairs), one.place, one.reason))


def sentence(found: RunDiff) -> str:
    """Return the outcome in a line."""
    counts = found.counts
    pairs = f"{found.compared:,} pair{'' if found.compared == 1 else 's'} compared"
    if found.empty:
        return f"{pairs}: no difference"
    return f"{pairs}: " + ", ".join(f"{counts[one]:,} {one}" for one in VERDICTS if counts[one])


def timing_line(one: TimingChange) -> str:
    """Return a change of durations in a line."""
    slower = one.slower
    return (
        f"{one.operation}: {slower.a_ms:.1f} ms -> {slower.b_ms:.1f} ms "
        f"({slower.ratio:.1f} times, {slower.pairs} pairs, p = {slower.p:.1g})"
    )


def sides(one: Difference) -> tuple[tuple[bool, Any], tuple[bool, Any]]:
    """Return for A and for B whether there is anything, and what."""
    return (bool(one.pointer) and one.in_a, one.a), (bool(one.pointer) and one.in_b, one.b)


def shown(value: Any) -> str:  # noqa: ANN401 - JSON
    """Return a value on one line, cut; control characters and marks that reorder text are replaced."""
    text = _UNSEEN.sub("�", json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def markdown(found: RunDiff, names: tuple[str, str], *, noise: bool = False) -> str:
    """Return the comparison as Markdown: a sentence, then a table for each pair; noise only when asked for."""
    lines = [f"## {_cell(names[0])} → {_cell(names[1])}", "", f"{sentence(found)}.", ""]
    for pair in found.pairs:
        rows = [one for one in pair.differences if noise or one.verdict != "noise"]
        if rows:
            lines += [f"### {_cell(title(pair))}", "", "| verdict | place | A | B | why |", "|---|---|---|---|---|"]
            lines += [_row(one) for one in rows] + [""]
    timings = [one for one in found.timings if noise or one.verdict != "noise"]
    if timings:
        lines += ["### Timing", "", *(f"- {one.verdict}: {_cell(timing_line(one))}" for one in timings), ""]
    return "\n".join(lines)


def _row(one: Difference) -> str:
    a, b = (_code(shown(value)) if there else "" for there, value in sides(one))
    return f"| {one.verdict} | {_code(one.pointer) if one.pointer else ''} | {a} | {b} | {_cell(one.reason)} |"


def _code(text: str) -> str:
    """Return text as code in a table: as many backticks around it as it takes, and no cell ended by it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    ticks = "`" * (longest + 1)
    space = " " if longest else ""
    return f"{ticks}{space}{_UNSEEN.sub('�', text)}{space}{ticks}".replace("|", "\\|")


def _cell(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", _UNSEEN.sub("�", text))
