"""The options that many commands share, and how their values become a database, a run, a size.

One rule: a value that cannot be used is a UsageError that says how to write it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from scimproxy.errors import UsageError

if TYPE_CHECKING:
    from scimproxy.exchange import Run
    from scimproxy.store import Reader

__all__ = [
    "DEFAULT_DB",
    "DURATION",
    "SIZE",
    "Number",
    "auth_option",
    "db_option",
    "json_option",
    "listen_options",
    "open_reader",
    "resolve_run",
]

DEFAULT_DB = Path("recordings/scimproxy.db")

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}

type Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Size(click.ParamType[int]):
    """A number of bytes: `500000`, `512k`, `10M`, `2 GiB` (powers of 1024)."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - click's signature
        """Return the bytes."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([kmg]?)(?:i?b)?\s*", str(value).lower())
        if found is None:
            self.fail(f"{value!r} is not a size; write it like 500000, 512K, 10M or 2G.", param, ctx)
        return int(float(found[1]) * _UNITS[found[2]])


SIZE = Size()


class Duration(click.ParamType[float | None]):
    """A length of time in seconds: `90`, `90s`, `30m`, `8h`, `2d`; `never` is None, without end."""

    name = "duration"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's signature
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float | None:
        """Return the seconds."""
        if isinstance(value, int | float):
            return float(value)
        text = str(value).strip().lower()
        if text == "never":
            return None
        found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)\s*([smhd]?)", text)
        if found is None or float(found[1]) == 0:
            self.fail(f"{value!r} is not a length of time; write it like 90s, 30m, 8h or never.", param, ctx)
        return float(found[1]) * _SECONDS[found[2]]


DURATION = Duration()


class Number(click.IntRange):
    """A whole number within limits; what is none is told in plain words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's signature
        """Return the number."""
        if isinstance(value, str) and not re.fullmatch(r"\s*[+-]?\d+\s*", value, re.ASCII):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return super().convert(value, param, ctx)


def db_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--db FILE`."""
    option = click.option(
        "--db",
        type=click.Path(dir_okay=False, path_type=Path),
        default=DEFAULT_DB,
        envvar="SCIMPROXY_DB",
        show_default=True,
        help="The database. Also: SCIMPROXY_DB.",
    )
    return option(function)


def auth_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--auth`, which `reading.read_auth` reads."""
    text = "The Authorization value, with its scheme: - (stdin), env:NAME or file:FILE."
    return click.option("--auth", metavar="SOURCE", help=text)(function)


def listen_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --port and --listen-host: where a server of ours listens."""
    port = click.option(
        "--port", default=8080, show_default=True, type=Number(0, 65535), metavar="PORT", help="Listen here; 0: any."
    )
    host = click.option(
        "--listen-host",
        metavar="ADDRESS",
        default="127.0.0.1",
        show_default=True,
        help="A loopback address to listen on.",
    )
    return port(host(function))


def json_option(what: str) -> Decorator:
    """Add `--json`, which prints `what` for programs."""
    option = click.option("--json", "as_json", is_flag=True, help=f"Print {what} as JSON on stdout.")
    return cast("Decorator", option)


def open_reader(db: Path) -> Reader:
    """Open the database for reading.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    from scimproxy.store import Reader

    return Reader.open(db)


def resolve_run(reader: Reader, text: str | None) -> Run:
    """Return the run that the user named: an id, `last` (also without a name), or a name (then the newest of it).

    Raises:
        UsageError: there is no such run.
    """
    if text is None or text == "last":
        run = reader.run("last")
        if run is None:
            raise UsageError("the database holds no run", hint="record one with `scimproxy up TARGET`")
        return run
    if text.isdecimal() and len(text) <= 18:  # SQLite's integers end there
        run = reader.run(int(text))
        if run is not None:
            return run
    named = [run for run in reader.runs() if run.name == text]
    if named:
        return max(named, key=lambda run: run.id or 0)
    raise UsageError(f"there is no run {text!r}", hint="`scimproxy runs` lists them; `last` is the newest")
