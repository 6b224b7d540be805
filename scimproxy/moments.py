"""Moments as ISO 8601 text, for everything that programs and pages read. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["iso"]


def iso(at: float | None) -> str | None:
    """Return a moment as ISO 8601 text, UTC, with milliseconds; None stays None."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
