"""The figures of the bench, put together: medians, ratios, tables for the terminal and for docs/performance.md.

One rule: pure, and everything follows from one result document (what `--json` writes). Rates are told beside ratios
to others in the same run, because rates of another machine, or of another hour on this one, say nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["BEGIN", "END", "claims", "fastest_recorder", "into_page", "markdown", "ratio", "summary", "tables"]

BEGIN = "<!-- bench:begin (written by ./scripts/bench --docs; do not edit) -->"
END = "<!-- bench:end -->"
OURS = ("native", "durable", "mitm", "mock", "no-record")
RECORDERS = ("mitmdump", "talkback", "hoverfly", "wiremock", "prism")
"""Others to compare with: they record, or (in the workload `mock`) answer from a recording."""
LABELS = {
    "native": "scimproxy",
    "durable": "scimproxy --durable",
    "mitm": "scimproxy --engine mitmproxy",
    "mock": "scimproxy mock",
    "no-record": "scimproxy mock --no-record",
    "mitmdump": "mitmdump -w",
    "talkback": "talkback",
    "hoverfly": "Hoverfly capture",
    "wiremock": "WireMock record",
    "prism": "Prism",
    "http-proxy": "node http-proxy",
    "nginx": "nginx",
    "direct": "no proxy",
}

_COLUMNS = (7, 6, 7, 6, 6, 7, 6, 6, 6)
"""Widths of a table's columns: with the names before them they fit 80."""

Rows = Mapping[str, Mapping[str, Any]]


def summary(turns: Sequence[Mapping[str, Any]], *, peak_mib: float, grown_mib: float) -> dict[str, Any]:
    """Return the figures of a peer at a workload: medians over its turns; `error` where one failed."""
    errors = [turn["error"] for turn in turns if turn["error"]]
    if errors or not turns:
        return {"error": errors[0] if errors else "not run"}
    requests = sum(turn["requests"] for turn in turns)
    rates = [turn["requests"] / turn["seconds"] for turn in turns]
    return {
        "error": None,
        "requests": requests,
        "per_second": statistics.median(rates),
        "spread": (max(rates) - min(rates)) / statistics.median(rates),
        "p50_ms": statistics.median(turn["p50_ms"] for turn in turns),
        "p99_ms": statistics.median(turn["p99_ms"] for turn in turns),
        "cpu_ms": 1000 * sum(turn["cpu_s"] for turn in turns) / requests,
        "peak_mib": peak_mib,
        "grown_mib": grown_mib,
    }


def figure(rows: Rows, peer: str, name: str) -> float | None:
    """Return a figure; None where the peer was not measured or failed."""
    value = rows.get(peer, {}).get(name)
    return None if value is None else float(value)


def fastest_recorder(rows: Rows) -> str | None:
    """Return the fastest of the others that record."""
    rates = {peer: rate for peer in RECORDERS if (rate := figure(rows, peer, "per_second"))}
    return max(rates, key=lambda peer: rates[peer]) if rates else None


def ratio(rows: Rows, peer: str, other: str | None) -> float | None:
    """Return how many times the rate of the other one a peer does."""
    mine, theirs = figure(rows, peer, "per_second"), figure(rows, other or "", "per_second")
    return mine / theirs if mine is not None and theirs else None


def added(rows: Rows, peer: str) -> float | None:
    """Return the median latency that a peer adds to that of the upstream alone, in ms."""
    mine, direct = figure(rows, peer, "p50_ms"), figure(rows, "direct", "p50_ms")
    return None if mine is None or direct is None or peer == "direct" else mine - direct


def number(value: float | None, digits: int = 2) -> str:
    """Return a number that is as long as it deserves: 8,412 · 53.1 · 0.08."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.{digits}f}"


def _ordered(rows: Rows) -> list[str]:
    known = [peer for peer in LABELS if peer in rows]
    return known + [peer for peer in rows if peer not in LABELS]


def _label(rows: Rows, peer: str) -> str:
    label = LABELS.get(peer, peer)
    return label.removesuffix(" capture").removesuffix(" record") if "mock" in rows else label


def _cells(workload: Mapping[str, Any], peer: str) -> list[str]:
    rows: Rows = workload["rows"]
    rate = figure(rows, peer, "per_second")
    if rate is not None and workload["mib"]:
        rate *= workload["mib"]
    memory = "peak_mib" if peer != "direct" else "none"
    return [
        number(rate),
        number(ratio(rows, peer, fastest_recorder(rows))),
        number(ratio(rows, peer, "nginx")),
        number(figure(rows, peer, "p50_ms")),
        number(figure(rows, peer, "p99_ms")),
        number(added(rows, peer)),
        number(figure(rows, peer, "cpu_ms")) if peer != "direct" else "-",
        number(figure(rows, peer, memory)),
        number(figure(rows, peer, "grown_mib")) if peer != "direct" else "-",
    ]


def _heads(workload: Mapping[str, Any]) -> list[str]:
    rate = "MiB/s" if workload["mib"] else "req/s"
    return [
        rate,
        "x other" if "mock" in workload["rows"] else "x rec.",
        "x nginx",
        "p50 ms",
        "p99 ms",
        "+p50 ms",
        "CPU ms",
        "MiB",
        "grew",
    ]


def _line(cells: Sequence[str]) -> str:
    return "".join(f" {cell:>{column}}" for cell, column in zip(cells, _COLUMNS, strict=False))


def _table(
    title: str, heads: Sequence[str], lines: Iterable[tuple[str, Sequence[str] | str]], width: int = 11
) -> list[str]:
    made = [title, " " * width + _line(heads)]
    for name, cells in lines:
        text = f" {cells}" if isinstance(cells, str) else _line(cells)
        made.append(f"{name:<{width}}{text}"[:80])
    return [*made, ""]


def tables(result: Mapping[str, Any]) -> str:
    """Return the tables for a terminal of 80 columns."""
    made: list[str] = []
    for workload in result["workloads"].values():
        rows = workload["rows"]
        lines = [(peer, rows[peer]["error"] or _cells(workload, peer)) for peer in _ordered(rows)]
        made += _table(workload["title"], _heads(workload), lines)
    made += ["x rec., x other: times the fastest other tool. +p50: over no proxy.", ""]
    made += _others(result)
    found = claims(result)
    if found:
        made.append("What is promised")
        made += [f"  {'yes' if holds else 'NO ':<4}{text:<54}{got:>9}  {want}" for text, got, want, holds in found]
    return "\n".join(made)


def _others(result: Mapping[str, Any]) -> list[str]:
    made: list[str] = []
    if growth := result.get("growth"):
        lines: list[tuple[str, Sequence[str] | str]] = []
        for rows, row in growth.items():
            cells = [number(row.get(name)) for name in ("per_second", "of_empty", "p50_ms", "p99_ms", "peak_mib")]
            lines.append((f"{int(rows):,}", row["error"] or cells))
        made += _table("scimproxy, exchanges in its database before", ["req/s", "x none", "p50", "p99", "MiB"], lines)
    if start := result.get("start"):
        made += _table(
            "Start: until it accepts connections; --help (medians)",
            ["s"],
            [(name, [number(value)]) for name, value in start.items()],
            width=18,
        )
    if memory := result.get("memory"):
        made += [
            "scimproxy, resident memory",
            f"after {memory['from']:,} exchanges: {number(memory['from_mib'])} MiB",
            f"after {memory['to']:,} exchanges: {number(memory['to_mib'])} MiB",
            f"at most: {number(memory['peak_mib'])} MiB",
            "",
        ]
    if diff := result.get("diff"):
        about = f"{diff['exchanges']:,} exchanges against {diff['exchanges']:,}"
        figures = [number(diff.get(name)) for name in ("seconds", "cpu_s", "peak_mib")]
        made += _table("scimproxy diff", ["s", "CPU s", "MiB"], [(about, diff["error"] or figures)], width=33)
    if replay := result.get("replay"):
        about = f"{replay['exchanges']:,} exchanges, 8 at a time"
        figures = [number(replay.get(name)) for name in ("per_second", "seconds")]
        made += _table("scimproxy replay", ["a s", "s"], [(about, replay["error"] or figures)], width=33)
    return made


def claims(result: Mapping[str, Any]) -> list[tuple[str, str, str, bool]]:
    """Return what was promised, as (what, measured, wanted, whether it holds), as far as this run can say."""
    made: list[tuple[str, str, str, bool]] = []

    def claim(text: str, got: float | None, limit: float, *, least: bool = True) -> None:
        if got is not None:
            want = f"{'>=' if least else '<='} {limit:g}"
            made.append((text, number(got), want, got >= limit if least else got <= limit))

    work = {name: workload["rows"] for name, workload in result["workloads"].items()}
    if rows := work.get("get"):
        best = fastest_recorder(rows)
        claim("rate to the fastest other that records", ratio(rows, "native", best), 10)
        claim("rate to nginx, which does not record", ratio(rows, "native", "nginx"), 0.35)
        claim("--durable: rate to the fastest other that records", ratio(rows, "durable", best), 5)
    if rows := work.get("get1"):
        mine, theirs = added(rows, "native"), added(rows, "mitmdump")
        claim("added p50 latency, part of mitmdump's", mine / theirs if mine and theirs else None, 0.167, least=False)
    for name in ("down", "up"):
        if rows := work.get(name):
            claim(f"64 MiB {name}: rate to nginx", ratio(rows, "native", "nginx"), 0.5)
            claim(f"64 MiB {name}: memory growth, MiB", figure(rows, "native", "grown_mib"), 32, least=False)
    if rows := work.get("mock"):
        claim("mock: rate to talkback's", ratio(rows, "mock", "talkback"), 3)
        claim("mock --no-record: rate to talkback's", ratio(rows, "no-record", "talkback"), 3)
    if growth := result.get("growth"):
        largest = max(growth, key=int)
        claim(f"rate at {int(largest):,} exchanges to none", growth[largest].get("of_empty"), 0.9)
    if memory := result.get("memory"):
        text = f"memory growth from {memory['from']:,} to {memory['to']:,}, MiB"
        claim(text, memory["to_mib"] - memory["from_mib"], 5, least=False)
        claim("peak memory, MiB", memory["peak_mib"], 90, least=False)
    if (diff := result.get("diff")) and diff["exchanges"] >= 10_000:
        claim("diff of 10,000 against 10,000 exchanges, s", diff.get("seconds"), 5, least=False)
    return made


def markdown(result: Mapping[str, Any]) -> str:
    """Return the section of docs/performance.md."""
    made = result["made"]
    parts = [
        f"Measured on {made['at']}, scimproxy {made['scimproxy']}, Python {made['python']}, {made['cores']} cores "
        f"({made['machine']}), {made['rounds']} rounds of {made['seconds']} s"
        + (", in a short run (`--quick`)" if made["quick"] else "")
        + (f", an upstream that works {made['work_us']} microseconds for each answer" if made.get("work_us") else "")
        + (", all answers equal (`--same`)" if made["same"] else "")
        + ".",
        "",
    ]
    if made["versions"]:
        parts += ["Beside " + ", ".join(f"{name} {version}" for name, version in made["versions"].items()) + ".", ""]
    for workload in result["workloads"].values():
        rows = workload["rows"]
        heads = ["", *_heads(workload)]
        parts += [f"### {workload['title']}", "", "| " + " | ".join(heads) + " |", "|---" + "|---:" * 9 + "|"]
        for peer in _ordered(rows):
            label = _label(rows, peer)
            name = f"**{label}**" if peer in OURS else label
            cells = (
                [rows[peer]["error"].replace("|", "/"), *[""] * 8] if rows[peer]["error"] else _cells(workload, peer)
            )
            parts.append("| " + " | ".join([name, *cells]) + " |")
        parts.append("")
    if others := _others(result):
        parts += ["### As the database grows, start, memory", "", "```text", *others[:-1], "```", ""]
    if found := claims(result):
        parts += ["### What is promised", "", "| what | measured | wanted | |", "|---|---:|---:|---|"]
        parts += [f"| {text} | {got} | {want} | {'yes' if holds else 'no'} |" for text, got, want, holds in found]
        parts.append("")
    return "\n".join(parts)


def into_page(page: str, section: str) -> str:
    """Return the page with the section between its marks.

    Raises:
        ValueError: the page has no such marks.
    """
    before, begun, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise ValueError(f"the page has no {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{section.strip()}\n\n{END}{after}"
