"""The way in from HAR: a document of any tool, checked member by member, as a run and its exchanges.

One rule: tolerant in what may be missing, strict in what is there, and a FormatError names the place
(`log.entries[3].request.method: missing`). Bounded in bytes, entries and depth. Pure; har.py is its face.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from scimproxy.bounded_json import LIMIT, no_constant, parsed
from scimproxy.decode import codings
from scimproxy.errors import FormatError
from scimproxy.exchange import Connection, Content, Exchange, Headers, Request, Response, Run, Timings
from scimproxy.plain import from_base64, members

__all__ = ["LIMIT", "MOST_ENTRIES", "SECTIONS", "Foreign", "read"]

MOST_ENTRIES = 200_000
_FORMAT = 1


SECTIONS = (
    "entry",
    "entry.request",
    "entry.request.postData",
    "entry.response",
    "entry.response.content",
    "entry.timings",
)
"""The objects of an entry whose members have a meaning; what is deeper is a value of one of those members."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """An entry of another tool's HAR and the exchange made of it."""

    entry: dict[str, Any]
    exchange: Exchange

    def sections(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Return the objects of the entry whose members have a meaning, each with its path."""
        for section in SECTIONS:
            value: object = self.entry
            for name in section.split(".")[1:]:
                value = value.get(name) if isinstance(value, dict) else None
            if isinstance(value, dict):
                yield section, value

    def taken(self, section: str) -> frozenset[str]:
        """Return the members that the exchange itself holds, exactly."""
        return _TAKEN.get(section, frozenset())


_TAKEN = {
    "entry.request": frozenset({"method", "url"}),
    "entry.request.postData": frozenset({"text", "_encoding"}),
    "entry.response.content": frozenset({"text", "encoding"}),
}


def read(
    document: bytes | str | dict[str, Any],
    leftover: Callable[[Foreign], tuple[tuple[str, str], ...]],
    *,
    limit: int,
    most_entries: int,
) -> tuple[Run, list[Exchange]]:
    """Read a document; `leftover` names the members of a foreign entry that its exchange does not hold."""
    whole = document if isinstance(document, dict) else parsed(document, limit=limit, what="HAR")
    log = _object(whole, "log", "")
    if "entries" not in log:
        raise FormatError("log.entries: missing", hint="is this a HAR file?")
    entries = log["entries"]
    if not isinstance(entries, list):
        raise FormatError("log.entries: not a list")
    if len(entries) > most_entries:
        raise FormatError(f"log.entries: {len(entries)} entries, more than {most_entries}")
    exchanges: list[Exchange] = []
    for at, entry in enumerate(entries):
        place = f"log.entries[{at}]"
        if not isinstance(entry, dict):
            raise FormatError(f"{place}: not an object")
        if "_scimproxy" in entry:
            exchanges.append(_own(entry, place))
        else:
            foreign = _foreign(entry, place)
            exchanges.append(replace(foreign.exchange, extra=leftover(foreign)))
    if "_scimproxy" in log:
        return _own_run(log), exchanges
    kept = [(f"log.{name}", json.dumps(value)) for name, value in log.items() if name not in {"entries", "version"}]
    if exchanges and kept:
        exchanges[0] = replace(exchanges[0], extra=(*exchanges[0].extra, *kept))
    return _foreign_run(log, exchanges), exchanges


# -- the document


def _check_json(text: str, place: str) -> None:
    try:
        json.loads(text, parse_constant=no_constant)
    except (ValueError, RecursionError) as exc:
        raise FormatError(f"{place}: not JSON") from exc


def _object(value: dict[str, Any], name: str, place: str) -> dict[str, Any]:
    where = f"{place}.{name}" if place else name
    if name not in value:
        raise FormatError(f"{where}: missing", hint=None if place else "is this a HAR file?")
    found = value[name]
    if not isinstance(found, dict):
        raise FormatError(f"{where}: not an object")
    return found


def _text(value: dict[str, Any], name: str, place: str) -> str:
    found = value.get(name)
    if found is None:
        raise FormatError(f"{place}.{name}: missing")
    if not isinstance(found, str):
        raise FormatError(f"{place}.{name}: not a text")
    return found


def _text_or(value: dict[str, Any], name: str, place: str, default: str = "") -> str:
    return default if value.get(name) is None else _text(value, name, place)


def _number(value: dict[str, Any], name: str, place: str) -> float | None:
    """Return a number; None where it is missing or -1, HAR's word for "not known"."""
    found = value.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or abs(found) > 1e15:
        raise FormatError(f"{place}.{name}: not a number")
    return float(found) if found >= 0 else None


def _wire(text: str) -> str:
    """Return a text as ISO-8859-1 can carry it: what other tools decoded as UTF-8 becomes those bytes again."""
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass").decode("latin-1")
    return text


# -- our own files


def _check_format(ours: object, place: str) -> dict[str, Any]:
    if not isinstance(ours, dict):
        raise FormatError(f"{place}: not an object")
    if ours.get("format") != _FORMAT:
        raise FormatError(
            f"{place}.format: {str(ours.get('format'))[:20]} is not {_FORMAT}", hint="a newer scimproxy wrote this"
        )
    return ours


def _own_run(log: dict[str, Any]) -> Run:
    place = "log._scimproxy"
    found = members(Run, _check_format(log["_scimproxy"], place).get("run"), f"{place}.run")
    for name in ("kind", "name", "started_at"):
        if name not in found:
            raise FormatError(f"{place}.run.{name}: missing")
    return Run(**found)


def _own(entry: dict[str, Any], place: str) -> Exchange:
    ours = _check_format(entry["_scimproxy"], f"{place}._scimproxy")
    where = f"{place}._scimproxy"
    theirs = _object(entry, "request", place)
    given = dict(_object(ours, "request", where))
    content = _own_content(given.pop("content", {}), theirs.get("postData"), f"{place}.request.postData", "_encoding")
    fields = members(Request, given, f"{where}.request")
    standard = {
        "method": _text(theirs, "method", f"{place}.request"),
        "target": "",
        "headers": _headers(theirs, f"{place}.request", own=True),
    }
    request = Request(**{**standard, **fields, "content": content})
    response = None
    if ours.get("response") is not None:
        theirs = _object(entry, "response", place)
        given = dict(_object(ours, "response", where))
        content = _own_content(
            given.pop("content", {}), theirs.get("content"), f"{place}.response.content", "encoding"
        )
        fields = members(Response, given, f"{where}.response")
        standard = {
            "status_code": _status(theirs, f"{place}.response"),
            "reason": _text_or(theirs, "statusText", f"{place}.response"),
            "headers": _headers(theirs, f"{place}.response", own=True),
        }
        response = Response(**{**standard, **fields, "content": content})
    rest = members(Exchange, ours.get("exchange"), f"{where}.exchange")
    if "started_at" not in rest:
        raise FormatError(f"{where}.exchange.started_at: missing")
    for name, text in rest.get("extra", ()):
        _check_json(text, f"{where}.exchange.extra: {name[:60]}")
    return Exchange(**{**rest, "request": request, "response": response})


def _own_content(given: object, theirs: object, place: str, encoding: str) -> Content:
    fields = members(Content, given, f"{place} (_scimproxy)")
    if "data" not in fields:
        fields["data"] = _body(theirs, place, encoding) if theirs is not None else b""
    return replace(Content.of(fields["data"]), **fields)


def _body(holder: object, place: str, encoding: str) -> bytes:
    if not isinstance(holder, dict):
        raise FormatError(f"{place}: not an object")
    text = _text_or(holder, "text", place)
    if holder.get(encoding) == "base64":
        return from_base64("".join(text.split()), f"{place}.text")
    return text.encode("utf-8", "surrogatepass")


# -- other tools' files


def _foreign_run(log: dict[str, Any], exchanges: list[Exchange]) -> Run:
    creator = log.get("creator")
    name = creator.get("name") if isinstance(creator, dict) else None
    comment = log.get("comment")
    started = [exchange.started_at for exchange in exchanges]
    return Run(
        kind="import",
        name=name[:200] if isinstance(name, str) and name else "HAR",
        started_at=min(started, default=0.0),
        ended_at=max((exchange.ended_at or exchange.started_at for exchange in exchanges), default=None),
        note=comment if isinstance(comment, str) else None,
        exchange_count=len(exchanges),
    )


def _foreign(entry: dict[str, Any], place: str) -> Foreign:
    request, scheme, host = _foreign_request(_object(entry, "request", place), f"{place}.request")
    response = _foreign_response(_object(entry, "response", place), f"{place}.response")
    started_at = _moment(_text(entry, "startedDateTime", place), f"{place}.startedDateTime")
    total = _number(entry, "time", place)
    address = _text_or(entry, "serverIPAddress", place).strip("[]") or None
    uid = entry.get("connection")
    upstream = None
    if address is not None or uid:
        upstream = Connection(uid=str(uid or ""), side="upstream", peer_host=address)
    exchange = Exchange(
        request=request,
        response=response,
        state="complete" if response is not None else "aborted",
        origin="upstream" if response is not None else None,
        started_at=started_at,
        ended_at=None if total is None else started_at + total / 1000,
        timings=_foreign_timings(entry.get("timings"), total, f"{place}.timings"),
        upstream_connection=upstream,
        scheme=scheme,
        host=host,
        note=_text_or(entry, "comment", place) or None,
    )
    return Foreign(entry, exchange)


def _moment(text: str, place: str) -> float:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as exc:
        raise FormatError(f"{place}: {text[:40]!r} is not a time") from exc
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return at.timestamp()


def _headers(message: dict[str, Any], place: str, *, own: bool = False) -> Headers:
    given = message.get("headers", [])
    if not isinstance(given, list):
        raise FormatError(f"{place}.headers: not a list")
    pairs: list[tuple[str, str]] = []
    for at, one in enumerate(given):
        where = f"{place}.headers[{at}]"
        if not isinstance(one, dict):
            raise FormatError(f"{where}: not an object")
        name, value = _text(one, "name", where), _text_or(one, "value", where)
        if own:
            pairs.append((name, value))
        elif not name.startswith(":"):  # HTTP/2 pseudo headers are no fields of a message, RFC 9113 section 8.3
            pairs.append((_wire(name), _wire(value)))
    return Headers(pairs)


def _version(message: dict[str, Any], place: str) -> str:
    said = _text_or(message, "httpVersion", place).lower().removeprefix("http/").removeprefix("h")
    return {"": "1.1", "2": "2", "2.0": "2", "3": "3", "3.0": "3"}.get(said, said[:10])


def _foreign_request(given: dict[str, Any], place: str) -> tuple[Request, str | None, str | None]:
    url = _text(given, "url", place)
    try:
        parts = urlsplit(url)
    except ValueError as exc:
        raise FormatError(f"{place}.url: {exc}") from exc
    if not parts.netloc:
        raise FormatError(f"{place}.url: {url[:60]!r} is not absolute")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = _headers(given, place)
    posted = given.get("postData")
    data = b""
    if posted is not None:
        data = _body(posted, f"{place}.postData", "_encoding") or _form(posted, f"{place}.postData")
    size = _number(given, "bodySize", place)
    request = Request(
        method=_wire(_text(given, "method", place)),
        target=_wire(target),
        http_version=_version(given, place),
        headers=headers,
        content=_foreign_content(data, size, coded=bool(codings(headers))),
    )
    return request, _wire(parts.scheme), _wire(parts.netloc.rpartition("@")[2])


def _form(posted: dict[str, Any], place: str) -> bytes:
    """Return the body of a form of which only the parameters were kept."""
    given = posted.get("params") or []
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise FormatError(f"{place}.params: not a list of objects")
    pairs = [(_text(one, "name", f"{place}.params"), _text_or(one, "value", f"{place}.params")) for one in given]
    return urlencode(
        [(name.encode("utf-8", "surrogatepass"), value.encode("utf-8", "surrogatepass")) for name, value in pairs]
    ).encode()


def _foreign_content(data: bytes, size: float | None, *, coded: bool) -> Content:
    """Return a content of which the file tells the size on the wire; less text than that was left out of the file."""
    if size is None or size == len(data) or (data and not coded and size < len(data)):
        return Content.of(data)
    if coded and data:
        return replace(Content.of(data), size=min(int(size), len(data)) or len(data))
    return Content(data=data, size=int(size), sha256="")


def _status(given: dict[str, Any], place: str) -> int:
    status = given.get("status")
    if isinstance(status, bool) or not isinstance(status, int | float) or not 0 <= status <= 999:
        raise FormatError(f"{place}.status: {str(status)[:20]} is not a status code")
    return int(status)


def _foreign_response(given: dict[str, Any], place: str) -> Response | None:
    status = _status(given, place)
    if status == 0:  # Chrome's and Firefox's word for "there was none"
        return None
    headers = _headers(given, place)
    held = given.get("content", {})
    data = _body(held, f"{place}.content", "encoding")
    coded = bool(codings(headers))
    size = _number(given, "bodySize", place) if data else None
    if not data:
        size = _number(held, "size", f"{place}.content")
    return Response(
        status_code=status,
        reason=_wire(_text_or(given, "statusText", place)),
        http_version=_version(given, place),
        headers=headers,
        content=_foreign_content(data, size, coded=coded),
    )


def _foreign_timings(given: object, total: float | None, place: str) -> Timings:
    if given is None:
        return Timings(total=total)
    if not isinstance(given, dict):
        raise FormatError(f"{place}: not an object")
    found = {name: _number(given, name, place) for name in ("dns", "connect", "ssl", "send", "wait", "receive")}
    tls, connect = found.pop("ssl"), found.pop("connect")
    if tls is not None and connect is not None:
        connect = max(connect - tls, 0.0)  # HAR counts ssl within connect
    return Timings(connect=connect, tls=tls, total=total, **found)
