"""The picture of the bench: an SVG of a few bar charts, light or dark as the reader's system is.

One rule: pure; plain SVG without scripts or foreign fonts, readable where a Markdown page embeds it as an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from bench_report import LABELS, OURS, RECORDERS, added, fastest_recorder, figure, number, ratio

__all__ = ["picture"]

WIDTH = 760
_LEFT, _BAR, _ROOM = 230, 280, 24

_STYLE = """
  svg { font: 13px system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
  .paper { fill: #ffffff; } text { fill: #1f2328; } .soft { fill: #59636e; }
  .title { font-size: 15px; font-weight: 600; }
  .ours { fill: #0b6bcb; } .records { fill: #a2672a; } .none { fill: #8b949e; } .axis { stroke: #d1d9e0; }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117; } text { fill: #e6edf3; } .soft { fill: #9198a1; }
    .ours { fill: #4f9cf0; } .records { fill: #d29a5b; } .none { fill: #6e7681; } .axis { stroke: #3d444d; }
  }"""

_Bar = tuple[str, float, str]
"""Peer, value, the words behind the bar."""


def _kind(peer: str) -> str:
    return "ours" if peer in OURS else "records" if peer in RECORDERS else "none"


def _chart(top: int, title: str, note: str, bars: Sequence[_Bar]) -> tuple[list[str], int]:
    """Return the marks of a chart and where the next one may begin."""
    made = [f'<text class="title" x="24" y="{top}">{escape(title)}</text>']
    made.append(f'<text class="soft" x="24" y="{top + 19}">{escape(note)}</text>')
    most = max(value for _, value, _ in bars) or 1
    y = top + 32
    made.append(f'<line class="axis" x1="{_LEFT}" x2="{_LEFT}" y1="{y}" y2="{y + _ROOM * len(bars)}"/>')
    for peer, value, words in bars:
        width = max(1.5, _BAR * value / most)
        label = escape(LABELS.get(peer, peer))
        made.append(f'<text x="{_LEFT - 8}" y="{y + 16}" text-anchor="end">{label}</text>')
        made.append(f'<rect class="{_kind(peer)}" x="{_LEFT}" y="{y + 4}" width="{width:.1f}" height="16" rx="2"/>')
        made.append(f'<text class="soft" x="{_LEFT + width + 8:.1f}" y="{y + 16}">{escape(words)}</text>')
        y += _ROOM
    return made, y + 40


def _rates(workload: Mapping[str, Any], unit: str) -> list[_Bar]:
    rows = workload["rows"]
    best = fastest_recorder(rows)
    bars = []
    for peer in rows:
        rate = figure(rows, peer, "per_second")
        if rate is None or peer == "direct":
            continue
        rate *= workload["mib"] or 1
        times = ratio(rows, peer, best)
        beside = f" ({number(times)} x {LABELS[best]})" if times and best and peer in OURS else ""
        bars.append((peer, rate, f"{number(rate)} {unit}{beside}"))
    return sorted(bars, key=lambda bar: -bar[1])


def picture(result: Mapping[str, Any]) -> str:
    """Return the SVG."""
    work = result["workloads"]
    charts: list[tuple[str, str, list[_Bar]]] = []
    if "get" in work:
        title = "Requests per second, 8 connections, answers of 0.5 kB"
        charts.append((title, "More is better.", _rates(work["get"], "per second")))
    if "get1" in work:
        rows = work["get1"]["rows"]
        waits = [(peer, wait, f"{number(wait)} ms") for peer in rows if (wait := added(rows, peer)) is not None]
        title = "Latency that a proxy adds, median, 1 connection"
        charts.append((title, "Less is better.", sorted(waits, key=lambda bar: bar[1])))
    for name, title in (("list", "Lists of 200 kB, 8 connections"), ("down", "Bodies of 64 MiB, to the client")):
        if name in work:
            unit = "MiB per second" if work[name]["mib"] else "per second"
            charts.append((title, "More is better.", _rates(work[name], unit)))
    made: list[str] = []
    top = 66
    for title, note, bars in charts:
        if bars:
            marks, top = _chart(top, title, note, bars)
            made += marks
    key = [("ours", "scimproxy, records"), ("records", "others that record"), ("none", "records nothing")]
    for index, (kind, words) in enumerate(key):
        made.append(f'<rect class="{kind}" x="{24 + index * 180}" y="20" width="12" height="12" rx="2"/>')
        made.append(f'<text class="soft" x="{42 + index * 180}" y="31">{words}</text>')
    about = result["made"]
    made.append(
        f'<text class="soft" x="24" y="{top}">One run of ./scripts/bench on {escape(str(about["cores"]))} cores, '
        f"{escape(about['at'])}: compare the bars, not the numbers.</text>"
    )
    height = top + 24
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="scimproxy beside other proxies: rate and latency">\n<style>{_STYLE}\n</style>\n'
        f'<rect class="paper" width="{WIDTH}" height="{height}" rx="6"/>\n' + "\n".join(made) + "\n</svg>\n"
    )
