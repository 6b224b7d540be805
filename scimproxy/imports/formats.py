"""The files that `scimproxy import` reads: a table of formats, each known by its content.

One rule: a format is told by what is inside, never by a file's name; what is none of them is refused with a list of
what would be. Pure but for the last row, whose reader (mitmproxy's) is imported when such a file is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from scimproxy.bounded_json import LIMIT, parsed
from scimproxy.errors import FormatError, UsageError
from scimproxy.exchange import Exchange, Run
from scimproxy.har import from_har
from scimproxy.imports.ngrok_requests import from_ngrok, is_ngrok
from scimproxy.imports.runscope_results import from_runscope, is_runscope

__all__ = ["IMPORTS", "Import", "detected", "read"]

_FLOWS = re.compile(rb"\d{1,12}:\d{1,12}:")
"""How a flow file begins: a dictionary of tnetstrings, with its first key."""


@dataclass(frozen=True, slots=True)
class Import:
    """A format: its name, what it is, and the function that reads it, told the most bytes."""

    name: str
    what: str
    read: Callable[[bytes, int], tuple[Run, list[Exchange]]]


def read(data: bytes, form: str | None = None, *, limit: int = LIMIT) -> tuple[str, Run, list[Exchange]]:
    """Return the format of a file, and its run.

    Raises:
        UsageError: there is no format `form`.
        FormatError: the file is of no known format, or is damaged.
    """
    if form is not None and form not in IMPORTS:
        raise UsageError(f"there is no import format {form!r}", hint=f"there are {', '.join(IMPORTS)}")
    name = form or detected(data, limit=limit)
    run, exchanges = IMPORTS[name].read(data, limit)
    return name, run, exchanges


def detected(data: bytes, *, limit: int = LIMIT) -> str:
    """Return the name of a file's format, by its content.

    Raises:
        FormatError: it is none that is known.
    """
    if _FLOWS.match(data):
        return "mitmproxy"
    begin = data[:100].lstrip(b"\xef\xbb\xbf \t\r\n")
    if begin[:1] not in {b"{", b"["}:
        raise FormatError(
            "neither JSON nor a flow file" if data else "the file is empty",
            hint="a HAR, a flow file of mitmproxy, the answer of ngrok's /api/requests/http, or a result of Runscope",
        )
    document = parsed(data, limit=limit, what="HAR")
    if "log" in document:
        return "har"
    if is_ngrok(document):
        return "ngrok"
    if is_runscope(document):
        return "runscope"
    if "steps" in document:
        raise FormatError("this is a Runscope test, which holds no traffic", hint="run it: `scimproxy run FILE`")
    raise FormatError(
        "JSON, but neither a HAR nor a result of Runscope nor requests of ngrok",
        hint=f"--format {'|'.join(IMPORTS)} says what it is meant to be",
    )


def _flows(data: bytes, _limit: int) -> tuple[Run, list[Exchange]]:
    from scimproxy.imports.flows import from_flows  # noqa: PLC0415 - mitmproxy takes a second to import

    run, exchanges, others = from_flows(data)
    if others:
        run = replace(run, note=f"{others} {'flow' if others == 1 else 'flows'} of the file, not of HTTP, left out")
    return run, exchanges


IMPORTS: dict[str, Import] = {
    one.name: one
    for one in (
        Import("har", "HAR of scimproxy, a browser or another proxy", lambda data, most: from_har(data, limit=most)),
        Import("mitmproxy", "a flow file of mitmproxy (mitmdump -w)", _flows),
        Import(
            "ngrok", "what ngrok's agent answers at /api/requests/http", lambda it, most: from_ngrok(it, limit=most)
        ),
        Import(
            "runscope",
            "a result of Runscope's API, or of `run --json`",
            lambda it, most: from_runscope(it, limit=most),
        ),
    )
}
"""Every format that `import` knows, by name."""
