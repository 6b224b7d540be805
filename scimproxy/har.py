"""HAR 1.2 <-> Exchange: what HAR has a place for goes there, the rest into `_scimproxy` members; nothing is lost.

One rule: an exchange written and read again is equal, and a foreign file read and written again keeps every member
it had (in `Exchange.extra`). Files are hostile: size, count and depth are bounded, and a FormatError names the
place. camelCase lives in this module only. Pure; the CLI streams `har_text` to a file. `har_reading` has the way in.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

from scimproxy.decode import LIMIT as DECODE_LIMIT
from scimproxy.decode import codings, decode
from scimproxy.exchange import Content, Exchange, Headers, Request, Response, Run, Timings
from scimproxy.har_reading import LIMIT, MOST_ENTRIES, SECTIONS, Foreign, read
from scimproxy.plain import plain

__all__ = ["FORMAT", "LIMIT", "entry_of", "from_har", "har_text", "to_har"]

FORMAT = 1
"""The version of the `_scimproxy` members."""

_REQUEST = ("target", "http_version", "trailers", "wire_bytes")
_RESPONSE = ("http_version", "trailers", "wire_bytes")


def to_har(run: Run, exchanges: Iterable[Exchange]) -> dict[str, Any]:
    """Return a HAR document. For many exchanges `har_text` needs no copy of all in memory."""
    kept: dict[str, Any] = {}
    entries = [entry_of(exchange, kept) for exchange in exchanges]
    return {"log": {"version": "1.2", "entries": entries, **_log(run, kept)}}


def har_text(run: Run, exchanges: Iterable[Exchange]) -> Iterator[str]:
    """Yield the text of a HAR document piece by piece, one entry a line."""
    kept: dict[str, Any] = {}
    yield '{"log": {"version": "1.2", "entries": ['
    mark = "\n"
    for exchange in exchanges:
        yield mark + _dumped(entry_of(exchange, kept))
        mark = ",\n"
    yield "\n], " + _dumped(_log(run, kept))[1:] + "}\n"


def from_har(
    document: bytes | str | dict[str, Any], *, limit: int = LIMIT, most_entries: int = MOST_ENTRIES
) -> tuple[Run, list[Exchange]]:
    """Read a HAR document: ours, or any other tool's; the run of a foreign one is of kind "import".

    Raises:
        FormatError: it is no HAR, is damaged, or is larger than `limit` bytes or `most_entries`.
    """
    return read(document, _foreign, limit=limit, most_entries=most_entries)


def _foreign(found: Foreign) -> tuple[tuple[str, str], ...]:
    """Return the members of a foreign entry that writing its exchange again would not give."""
    written = entry_of(found.exchange, {})
    kept: list[tuple[str, str]] = []
    for section, given in found.sections():
        have = _section(written, section)
        for name, value in given.items():
            if f"{section}.{name}" in SECTIONS and isinstance(value, dict):
                continue
            if name not in found.taken(section) and (name not in have or have[name] != value):
                kept.append((f"{section}.{name}", json.dumps(value)))
    return tuple(kept)


def _section(entry: dict[str, Any], section: str) -> dict[str, Any]:
    for name in section.split(".")[1:]:
        inner = entry.get(name)
        if not isinstance(inner, dict):
            inner = entry[name] = {}
        entry = inner
    return entry


def _dumped(value: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(", ", ": "))


# -- the log


def _log(run: Run, kept: dict[str, Any]) -> dict[str, Any]:
    ours: dict[str, Any] = {
        "creator": {"name": "scimproxy", "version": run.version or "unknown"},
        "_scimproxy": {"format": FORMAT, "run": plain(run)},
    }
    if run.note:
        ours["comment"] = run.note
    for name, value in kept.items():
        # The creator of an imported file stays visible beside us, who wrote this one.
        ours[f"_imported_{name}" if name in {"creator", "_scimproxy"} else name] = value
    return ours


# -- an entry


def entry_of(exchange: Exchange, kept: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return an exchange as a HAR entry; members of the imported file's log are put into `kept`."""
    request, response = exchange.request, exchange.response
    entry: dict[str, Any] = {
        "startedDateTime": _time_text(exchange.started_at),
        "time": 0,
        "request": {
            "method": request.method,
            "url": _url(exchange),
            "httpVersion": f"HTTP/{request.http_version}",
            "cookies": _cookies(request.headers),
            "headers": _pairs(request.headers),
            "queryString": _query(request),
            "headersSize": -1,
            "bodySize": request.content.size,
        },
        "response": _response(response, exchange),
        "cache": {},
        "timings": _timings(exchange.timings),
    }
    # HAR 1.2: time is the sum of the phases that apply; ssl is a part of connect.
    entry["time"] = sum(value for name, value in entry["timings"].items() if value > 0 and name != "ssl")
    if request.content.size or request.content.data:
        entry["request"]["postData"] = _post_data(request)
    upstream = exchange.upstream_connection
    if upstream is not None and upstream.peer_host is not None:
        entry["serverIPAddress"] = upstream.peer_host
    connection = upstream or exchange.client_connection
    if connection is not None:
        entry["connection"] = connection.uid
    if exchange.note:
        entry["comment"] = exchange.note
    entry["_scimproxy"] = _ours(exchange)
    for name, text in exchange.extra:
        section, _, member = name.rpartition(".")
        if section == "log":
            if kept is not None:
                kept[member] = json.loads(text)
        elif section in SECTIONS and member != "_scimproxy":
            _section(entry, section)[member] = json.loads(text)
    return entry


def _ours(exchange: Exchange) -> dict[str, Any]:
    """Return what HAR has no place for, and the exact form of what it holds only roughly."""
    fields = plain(exchange)
    request = {name: value for name, value in fields.pop("request").items() if name in _REQUEST}
    request["content"] = _content(exchange.request.content, exchange.request.headers)
    # Where the imported file's own form of a member is shown, ours is needed to read the exchange again.
    shown = {name for name, _ in exchange.extra}
    if "entry.request.headers" in shown:
        request["headers"] = plain(exchange.request.headers)
    ours: dict[str, Any] = {"format": FORMAT, "request": request, "response": None, "exchange": fields}
    response = fields.pop("response", None)
    if exchange.response is not None:
        ours["response"] = {name: value for name, value in response.items() if name in _RESPONSE}
        if "entry.response.headers" in shown:
            ours["response"]["headers"] = plain(exchange.response.headers)
        if "entry.response.statusText" in shown:
            ours["response"]["reason"] = exchange.response.reason
        ours["response"]["content"] = _content(exchange.response.content, exchange.response.headers)
    return ours


def _content(content: Content, headers: Headers) -> dict[str, Any]:
    """Return size and hash, and the bytes where the entry's own text is not just them."""
    found: dict[str, Any] = {"size": content.size, "sha256": content.sha256}
    if content.redacted:
        found["redacted"] = True
    if (codings(headers) and not content.redacted) or len(content.data) > DECODE_LIMIT:
        found["data"] = plain(content.data)
    return found


def _url(exchange: Exchange) -> str:
    target = exchange.request.target
    if "://" in target.partition("?")[0]:
        return target
    host = exchange.host or exchange.request.headers.get("Host") or "unknown.invalid"
    return f"{exchange.scheme or 'http'}://{host}{target if target.startswith('/') else '/' + target}"


def _time_text(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return "1970-01-01T00:00:00.000Z"


def _pairs(headers: Headers) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in headers]


def _query(request: Request) -> list[dict[str, Any]]:
    pairs = (part.partition("=") for part in (request.query or "").split("&") if part)
    return [{"name": unquote_plus(name), "value": unquote_plus(value)} for name, _, value in pairs]


def _cookies(headers: Headers) -> list[dict[str, Any]]:
    found = []
    for value in headers.get_all("cookie"):
        for part in value.split(";"):
            name, mark, text = part.strip().partition("=")
            if mark:
                found.append({"name": name, "value": text})
    return found


def _set_cookies(headers: Headers) -> list[dict[str, Any]]:
    found = []
    for value in headers.get_all("set-cookie"):
        first, *rest = value.split(";")
        name, _, text = first.strip().partition("=")
        cookie: dict[str, Any] = {"name": name, "value": text}
        for part in rest:
            attribute, _, said = part.strip().partition("=")
            match attribute.lower():
                case "path" | "domain" as known:
                    cookie[known] = said
                case "expires":
                    cookie["expires"] = said
                case "httponly":
                    cookie["httpOnly"] = True
                case "secure":
                    cookie["secure"] = True
        found.append(cookie)
    return found


def _body_text(data: bytes) -> tuple[str, str | None]:
    """Return bytes as text and its encoding: UTF-8 as it is, anything else in base64."""
    try:
        return data.decode("utf-8"), None
    except UnicodeDecodeError:
        return base64.b64encode(data).decode("ascii"), "base64"


def _post_data(request: Request) -> dict[str, Any]:
    text, encoding = _body_text(decode(request.content, request.headers).data)
    found: dict[str, Any] = {"mimeType": request.headers.get("Content-Type") or "", "text": text}
    if encoding:
        found["_encoding"] = encoding  # HAR 1.2 has no member for it here
    return found


def _response(response: Response | None, exchange: Exchange) -> dict[str, Any]:
    made: dict[str, Any] = {
        "status": 0,
        "statusText": "",
        "httpVersion": "",
        "cookies": [],
        "headers": [],
        "content": {"size": 0, "mimeType": "", "text": ""},
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": -1,
    }
    if response is not None:
        made |= {
            "status": response.status_code,
            "statusText": response.reason,
            "httpVersion": f"HTTP/{response.http_version}",
            "cookies": _set_cookies(response.headers),
            "headers": _pairs(response.headers),
            "content": _response_content(response),
            "redirectURL": response.headers.get("Location") or "",
            "bodySize": response.content.size,
        }
    if exchange.failure is not None:
        made["_error"] = exchange.failure.message
    return made


def _response_content(response: Response) -> dict[str, Any]:
    content = response.content
    decoded = decode(content, response.headers)
    text, encoding = _body_text(decoded.data)
    coded = decoded.encoding is not None
    size = -1 if coded and (content.truncated or decoded.problem) else len(decoded.data) if coded else content.size
    made: dict[str, Any] = {"size": size, "mimeType": response.headers.get("Content-Type") or "", "text": text}
    if coded and size >= 0:
        made["compression"] = size - content.size
    if encoding:
        made["encoding"] = encoding
    return made


def _timings(timings: Timings) -> dict[str, float]:
    """Return HAR's phases: -1 for what did not happen or is not known, where the format allows to say so."""
    connect = timings.connect
    if timings.tls is not None:
        connect = (connect or 0) + timings.tls
    return {
        "blocked": -1,
        "dns": -1 if timings.dns is None else timings.dns,
        "connect": -1 if connect is None else connect,
        "ssl": -1 if timings.tls is None else timings.tls,
        "send": timings.send or 0,
        "wait": timings.wait or 0,
        "receive": timings.receive or 0,
    }
