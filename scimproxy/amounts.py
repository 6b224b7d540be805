"""Amounts for a person: how long, how big, how many, and when, in few characters.

One rule: a value that is not known is a dash, never a zero. Pure; terminal, pages and reports say them the same way.
"""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["duration", "iso", "plural", "size", "utc"]

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def duration(ms: float | None) -> str:
    """Return a duration for a person: `0.4 ms`, `12 ms`, `3.2 s`, `2 min`."""
    if ms is None:
        return "-"
    if ms < 9.95:
        return f"{ms:.1f} ms"
    if ms < 1_999.5:
        return f"{ms:.0f} ms"
    if ms < 120_000:
        return f"{ms / 1000:.1f} s"
    return f"{ms / 60_000:.0f} min"


def size(count: int | None) -> str:
    """Return a number of bytes for a person: `712 B`, `4.1 KiB`, `10 MiB`."""
    if count is None:
        return "-"
    if count < 1024:
        return f"{count} B"
    unit = min((count.bit_length() - 1) // 10, 4)
    value = count / (1 << 10 * unit)
    if value >= 1023.5 and unit < 4:
        unit, value = unit + 1, 1.0
    name = _UNITS[unit]
    return f"{value:.1f} {name}" if value < 9.95 else f"{value:.0f} {name}"


def plural(count: int, noun: str) -> str:
    """Return `1 exchange`, `3 exchanges`, `1,204 exchanges`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def utc(at: float | None) -> str:
    """Return a date and time in UTC, to the millisecond; a dash for a moment that is not known or none at all."""
    found = _moment(at)
    return "-" if found is None else found.strftime("%Y-%m-%d %H:%M:%S.") + f"{found.microsecond // 1000:03d} UTC"


def iso(at: float | None) -> str:
    """Return a moment as ISO 8601 for programs; nothing for one that is not known."""
    found = _moment(at)
    return "" if found is None else found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(at: float | None) -> datetime | None:
    if at is None:
        return None
    try:
        return datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):  # an imported file may name any number
        return None
