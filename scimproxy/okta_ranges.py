"""Okta's published IP ranges: read from a file, and fetched only when somebody asks.

One rule: never silently. A list is a file with a date; what it holds is told, and nothing here reaches out by itself.
The shape is Okta's own: `{"us_cell_1": {"ip_ranges": ["192.0.2.0/24", ...]}, ...}` (help.okta.com, "Allow access to
Okta IP addresses"); a fetched file holds the moment of its fetching beside the cells. Edge: files, the network.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scimproxy.client import Client
from scimproxy.errors import FormatError, ScimproxyError
from scimproxy.exchange import Headers, Request

__all__ = ["URL", "Network", "OktaRanges", "cache_path", "fetch", "keep", "load", "parse"]

URL = "https://s3.amazonaws.com/okta-ip-ranges/ip_ranges.json"
_NOTE = "_scimproxy"
_MOST = 4 * 1024 * 1024
_WIDEST = {4: 8, 6: 16}
"""A network with a shorter prefix is no range of one company: the file is not what it should be."""

type Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class OktaRanges:
    """The ranges by cell, and when they were fetched (Unix seconds; None: the document does not say)."""

    cells: dict[str, tuple[Network, ...]]
    fetched_at: float | None = None

    @property
    def networks(self) -> tuple[Network, ...]:
        """Every network of every cell, each once."""
        return tuple(dict.fromkeys(network for networks in self.cells.values() for network in networks))


def parse(data: bytes, where: str) -> OktaRanges:
    """Return the ranges of a document; `where` names it in errors.

    Raises:
        FormatError: it is not Okta's shape, or holds no range at all.
    """
    try:
        document: Any = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise _strange(where, f"it is not JSON ({exc})") from exc
    if not isinstance(document, dict):
        raise _strange(where, "it is not an object of cells")
    note = document.pop(_NOTE, None)
    cells = {name: _networks(cell, name, where) for name, cell in document.items()}
    if not any(cells.values()):
        raise _strange(where, "it holds no ranges")
    return OktaRanges(cells, _fetched_at(note, where))


def _networks(cell: object, name: str, where: str) -> tuple[Network, ...]:
    listed = cell.get("ip_ranges") if isinstance(cell, dict) else None
    if not isinstance(listed, list):
        raise _strange(where, f"{name!r} has no list of ip_ranges")
    return tuple(_network(text, name, where) for text in listed)


def _network(text: object, name: str, where: str) -> Network:
    try:
        network = ipaddress.ip_network(str(text), strict=False)
    except ValueError as exc:
        raise _strange(where, f"{name!r} lists {text!r}, which is no range") from exc
    if network.prefixlen < _WIDEST[network.version]:
        raise _strange(where, f"{name!r} lists {text!r}, which is nearly everybody")
    return network


def _fetched_at(note: object, where: str) -> float | None:
    if note is None:
        return None
    text = note.get("fetched_at") if isinstance(note, dict) else None
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError as exc:
        raise _strange(where, f"its date {text!r} is none") from exc


def _strange(where: str, why: str) -> FormatError:
    return FormatError(
        f"{where} is not a list of Okta's ranges: {why}",
        hint='it must look like {"us_cell_1": {"ip_ranges": ["192.0.2.0/24"]}}; `okta-ranges --fetch` gets it',
    )


def load(path: Path) -> OktaRanges:
    """Return the ranges of a file; their date is the one it holds, else that of the file.

    Raises:
        FormatError: it cannot be read, or is not Okta's shape.
    """
    try:
        data = path.read_bytes()
        changed_at = path.stat().st_mtime
    except OSError as exc:
        raise FormatError(
            f"{path} cannot be read: {exc.strerror or exc}",
            hint="get the list with `scimproxy okta-ranges --fetch`, or name a file with --okta-ranges",
        ) from exc
    ranges = parse(data, str(path))
    return ranges if ranges.fetched_at is not None else OktaRanges(ranges.cells, changed_at)


def cache_path() -> Path:
    """Return where a fetched list is kept for this user."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "scimproxy" / "okta-ranges.json"


async def fetch(url: str = URL) -> bytes:
    """Return the document that Okta publishes now.

    Raises:
        ScimproxyError: it cannot be had; says why.
    """
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = Request("GET", target, headers=Headers([("Accept", "application/json"), ("User-Agent", "scimproxy")]))
    async with Client(timeout_s=30.0, max_content=_MOST) as client:
        exchange = await client.send(request, f"{parts.scheme}://{parts.netloc}")
    response = exchange.response
    hint = "download it with a browser and name the file with --okta-ranges"
    if response is None or exchange.failure is not None:
        why = "no answer" if exchange.failure is None else exchange.failure.message
        raise ScimproxyError(f"{url} cannot be fetched: {why}", hint=hint)
    if response.status_code != 200:
        raise ScimproxyError(f"{url} cannot be fetched: it answers {response.status_code}", hint=hint)
    if response.content.truncated:
        raise ScimproxyError(f"{url} cannot be used: it is longer than {_MOST} bytes", hint=hint)
    return response.content.data


def keep(data: bytes, path: Path, *, fetched_at: float, url: str) -> OktaRanges:
    """Write a fetched document with its date, whole or not at all, and return what it holds.

    Raises:
        FormatError: the document is not Okta's shape; then the file stays as it was.
        ScimproxyError: the file cannot be written.
    """
    ranges = parse(data, url)
    moment = datetime.fromtimestamp(fetched_at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    text = json.dumps({_NOTE: {"fetched_at": moment, "url": url}, **json.loads(data)}, indent=1)
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text + "\n", encoding="utf-8")
        beside.replace(path)
    except OSError as exc:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise ScimproxyError(
            f"{path} cannot be written: {exc.strerror or exc}", hint="name another place with --file"
        ) from exc
    return OktaRanges(ranges.cells, fetched_at)
