r"""How things look on a terminal: safe text, tables, colours, times and sizes.

One rule: recorded data never commands the terminal. Everything that came over the wire passes through `safe`, which
shows control characters, escape sequences and text-direction marks as `\x1b` instead of sending them.
"""

from __future__ import annotations

import json
import re
import sys
import time
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import click

from scimproxy.amounts import duration, plural, size

__all__ = [
    "Column",
    "clock",
    "duration",
    "echo_json",
    "facts",
    "fit",
    "moment",
    "plural",
    "safe",
    "safe_block",
    "size",
    "status_colour",
    "table",
    "terminal_width",
    "width_of",
]

# C0 and C1 controls, DEL, direction and zero-width marks, line separators, lone surrogates, the byte order mark.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb]"
)
_UNSAFE_IN_BLOCK = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def safe(text: str) -> str:
    """Return one line of text that cannot command a terminal: what could is shown as an escape."""
    return _UNSAFE.sub(_escaped, text)


def safe_block(text: str) -> str:
    """Return text of several lines made safe; line ends and tabs stay."""
    return _UNSAFE_IN_BLOCK.sub(_escaped, text.replace("\r\n", "\n"))


def terminal_width() -> int:
    """Return the columns to fill: those of the terminal, or 80 where stdout is none (COLUMNS decides first)."""
    import shutil

    return max(40, shutil.get_terminal_size((80, 24)).columns)


def width_of(text: str) -> int:
    """Return how many columns a text takes: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def fit(text: str, width: int) -> str:
    """Return the text in exactly `width` columns: padded, or cut with an ellipsis."""
    have = width_of(text)
    if have <= width:
        return text + " " * (width - have)
    kept: list[str] = []
    room = width - 1
    for character in text:
        room -= _cells(character)
        if room < 0:
            break
        kept.append(character)
    return fit("".join(kept) + "…", width)


def status_colour(status_code: int | None) -> str:
    """Return the colour of a status; a missing one is a failure."""
    if status_code is None or status_code >= 500:
        return "red"
    return {2: "green", 3: "cyan", 4: "yellow"}.get(status_code // 100, "white")


def clock(at: float) -> str:
    """Return the local time of day."""
    return time.strftime("%H:%M:%S", time.localtime(at))


def moment(at: float | None) -> str:
    """Return a local date and time."""
    return "-" if at is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


class Indexing:
    """Says on stderr, where it takes more than a moment, that what was recorded is being indexed for a search."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._said = False

    def __call__(self, done: int) -> None:
        """Tell that so many exchanges are done."""
        if time.monotonic() - self._began < 0.5:
            return
        live = sys.stderr.isatty()
        if live or not self._said:
            start = "\r" if live and self._said else ""
            click.echo(
                f"{start}Indexing what was recorded for this search: {done:,} exchanges ...", err=True, nl=not live
            )
        self._said = True

    def end(self) -> None:
        """End the line."""
        if self._said and sys.stderr.isatty():
            click.echo(err=True)


def echo_json(value: Any) -> None:  # noqa: ANN401 - anything JSON has
    """Print one JSON document on one line of stdout, at once, so that a program that follows sees it."""
    # ASCII output: a program reads it whatever the locale is, and nothing in it commands a terminal.
    sys.stdout.write(json.dumps(value, separators=(",", ":")) + "\n")
    sys.stdout.flush()


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. The one that is `flexible` gives way when the terminal is narrow."""

    title: str
    align: Literal["left", "right"] = "left"
    flexible: bool = False


type Cell = str | tuple[str, str]
"""A text, or a text and its colour."""


def table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table on stdout, as wide as the terminal at most; cells are made safe and cut, never wrapped."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    context = click.get_current_context(silent=True)
    colour = None if context is None else context.color
    console = Console(
        file=sys.stdout,
        width=terminal_width(),
        no_color=colour is False or None,
        force_terminal=True if colour else None,
        highlight=False,
        emoji=False,
        markup=False,
    )
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column.title, justify=column.align, no_wrap=not column.flexible, overflow="ellipsis")
    for row in rows:
        cells = [(cell, "") if isinstance(cell, str) else cell for cell in row]
        made.add_row(*(Text(safe(text), style=style, no_wrap=True, overflow="ellipsis") for text, style in cells))
    if console.is_terminal:
        console.print(made)
    else:
        with console.capture() as printed:
            console.print(made)
        # Without a terminal nobody needs the padding at the ends of lines.
        for line in printed.get().splitlines():
            click.echo(line.rstrip())


def facts(title: str, values: Mapping[str, str | None]) -> None:
    """Print a titled list of names and values on stdout; what is not known (None) is left out."""
    known = {name: value for name, value in values.items() if value is not None}
    if not known:
        return
    click.secho(title, bold=True)
    longest = max(len(name) for name in known)
    indent = " " * (longest + 4)
    for name, value in known.items():
        text = f"  {name:<{longest}}  {safe(value)}"
        # A text without spaces (an id, a URL) stays whole: it is there to be copied.
        click.echo(text if len(text) <= terminal_width() else click.wrap_text(text, terminal_width(), "", indent))
