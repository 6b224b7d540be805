"""An exchange as a page or a terminal shows it: messages, connection, timings, what it is in SCIM, in plain values.

One rule: everything here is text and numbers, bounded by `Limits`, never markup; whoever shows it escapes it, and
what is left out is said. Secrets are the caller's: give it what was redacted.
Pure. Flow: store -> Exchange -> detail -> templates/exchange.html (the live page and the report), cli/show.py.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote_plus

from scimproxy.amounts import duration, plural, size
from scimproxy.decode import charset_of, decode, text_of
from scimproxy.decode import text as decoded_text
from scimproxy.exchange import Certificate, Connection, Content, Exchange, Headers, Response, Rewrite, Tls
from scimproxy.outline import Line, outline
from scimproxy.scim.changes import get
from scimproxy.scim.message import Operation, operation_of
from scimproxy.scim.wording import FilterLine, OperationLine, bulk_lines, filter_lines, patch_lines

__all__ = [
    "FULL",
    "PHASES",
    "Bar",
    "BodyView",
    "Change",
    "Detail",
    "Limits",
    "Message",
    "ResourceLine",
    "Scim",
    "bars",
    "body_text",
    "body_view",
    "connection_facts",
    "detail",
    "header_changes",
    "operation_facts",
    "shown_field",
    "status_class",
    "tls_words",
]

PHASES = ("dns", "connect", "tls", "send", "wait", "receive")
_MOST_NAMES = 20
_MOST_PARAMETERS = 200
_MOST_RESOURCES = 50
_MOST_BYTES = 4 * 1024 * 1024
_PARSED = 1024 * 1024
_BAR_WIDTH = 1000


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a message is shown: lines of JSON, characters of text, strings and the raw form, bytes in hex."""

    lines: int = 2_000
    characters: int = 50_000
    string: int = 2_000
    raw: int = 50_000
    hex_bytes: int = 512
    headers: int = 300


FULL = Limits()
"""What a page of one exchange shows."""

type Form = Literal["none", "json", "text", "binary"]


@dataclass(frozen=True, slots=True)
class BodyView:
    """A body for the eye: JSON as `lines`, other text as `text`; of bytes that are no text the first, as hex.

    `remarks` say in sentences what was left out, cut, decoded or replaced.
    """

    form: Form
    size: str = ""
    media_type: str = ""
    lines: tuple[Line, ...] = ()
    text: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """A request or response: its first line, header fields as (name, value, whether a secret was there), its body."""

    line: str
    headers: tuple[tuple[str, str, bool], ...]
    body: BodyView
    trailers: tuple[tuple[str, str, bool], ...] = ()
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A header field that we took out (`-`) or put in (`+`) on the way to the server."""

    sign: Literal["-", "+"]
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A phase in the waterfall: it begins at `x` and is `width` wide, in thousandths of the whole."""

    name: str
    ms: float
    words: str
    x: int
    width: int


@dataclass(frozen=True, slots=True)
class ResourceLine:
    """A resource in an answer: its pointer there, id and name."""

    pointer: str
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Scim:
    """What the exchange is in SCIM's words; `facts` are names and values in order."""

    is_scim: bool
    facts: tuple[tuple[str, str], ...]
    filter: tuple[FilterLine, ...] = ()
    changes: tuple[str, ...] = ()
    operations: tuple[OperationLine, ...] = ()
    resources: tuple[ResourceLine, ...] = ()
    resources_left: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """Everything about one exchange that is shown. `outcome` is a class of colour: pass, warn, fail, wait."""

    id: int | None
    title: str
    method: str
    target: str
    status: str
    outcome: str
    state: str
    problem: str
    note: str
    tags: tuple[str, ...]
    started_at: float
    ended_at: float | None
    duration: str
    client: str
    made_here: bool
    request: Message
    parameters: tuple[tuple[str, str], ...]
    response: Message | None
    sent_as: str
    sent_changes: tuple[Change, ...]
    rewrites: tuple[Rewrite, ...]
    connection: tuple[tuple[str, str], ...]
    certificates: tuple[Certificate, ...]
    bars: tuple[Bar, ...]
    total: str
    scim: Scim


def detail(exchange: Exchange, operation: Operation | None = None, limits: Limits = FULL) -> Detail:
    """Return what is shown of an exchange; `operation` is what it is in SCIM where the caller knows already."""
    operation = operation_of(exchange) if operation is None else operation
    request, response = exchange.request, exchange.response
    sent = exchange.upstream_request_target
    changed = header_changes(request.headers, exchange.upstream_request_headers)
    first = f"{request.method} {request.target} HTTP/{request.http_version}"
    facts = connection_facts(exchange) | {"Server TLS": tls_words(exchange.upstream_connection)}
    upstream_tls = None if exchange.upstream_connection is None else exchange.upstream_connection.tls
    return Detail(
        id=exchange.id,
        title=operation.summary,
        method=request.method,
        target=request.target,
        status=_status(exchange),
        outcome=status_class(exchange),
        state=exchange.state,
        problem=_problem(exchange),
        note=exchange.note or "",
        tags=exchange.tags,
        started_at=exchange.started_at,
        ended_at=exchange.ended_at,
        duration=duration(exchange.timings.total),
        client=exchange.client or exchange.client_address or "",
        made_here=exchange.origin == "proxy",
        request=_message(first, request.headers, request.content, request.trailers, limits),
        parameters=_parameters(request.query),
        response=None if response is None else _answer(response, limits),
        sent_as=f"{request.method} {sent or request.target}" if sent is not None or changed else "",
        sent_changes=changed,
        rewrites=exchange.rewrites,
        connection=tuple((name, value) for name, value in facts.items() if value),
        certificates=() if upstream_tls is None else upstream_tls.chain,
        bars=bars(exchange),
        total=duration(exchange.timings.total),
        scim=_scim(exchange, operation),
    )


# --- in a word


def _status(exchange: Exchange) -> str:
    if exchange.response is not None:
        return str(exchange.response.status_code)
    if exchange.failure is not None:
        return exchange.failure.kind
    return exchange.state if exchange.state != "complete" else "none"


def status_class(exchange: Exchange) -> str:
    """Return how an exchange went, as a class of colour: `pass`, `warn` (4xx), `fail`, or `wait` while in flight."""
    if exchange.response is None:
        return "wait" if exchange.state == "pending" and exchange.failure is None else "fail"
    code = exchange.response.status_code
    return "fail" if code >= 500 or exchange.failure is not None else "warn" if code >= 400 else "pass"


def _problem(exchange: Exchange) -> str:
    if exchange.failure is not None:
        return f"Failed ({exchange.failure.kind}): {exchange.failure.message}"
    if exchange.state == "pending":
        return "In flight: it has no answer yet."
    if exchange.state == "aborted":
        return "Aborted: the recording stopped before the answer."
    return ""


# --- messages


def _answer(response: Response, limits: Limits) -> Message:
    line = f"HTTP/{response.http_version} {response.status_code} {response.reason}".rstrip()
    return _message(line, response.headers, response.content, response.trailers, limits)


def _message(line: str, headers: Headers, content: Content, trailers: Headers | None, limits: Limits) -> Message:
    body = body_view(headers, content, limits)
    return Message(
        line=line,
        headers=_fields(headers, limits),
        body=body,
        trailers=() if trailers is None else _fields(trailers, limits),
        raw=_raw(f"{line}\r\n{_lines(headers)}\r\n", headers, content, limits.raw),
    )


def _fields(headers: Headers, limits: Limits) -> tuple[tuple[str, str, bool], ...]:
    shown = [
        (shown_field(name)[:200], shown_field(value)[: limits.string], "sha256:" in value)
        for name, value in headers.pairs[: limits.headers]
    ]
    left = len(headers) - len(shown)
    return (*shown, ("…", f"{plural(left, 'field')} more", False)) if left else tuple(shown)


def shown_field(text: str) -> str:
    """Return a header field for the eye: UTF-8 where its bytes are that, else ISO-8859-1 as it stands."""
    if not text.isascii():
        with contextlib.suppress(UnicodeError):
            return text.encode("latin-1").decode("utf-8")
    return text


def header_changes(before: Headers, after: Headers | None) -> tuple[Change, ...]:
    """Return the header fields that differ between the client's request and ours; none where `after` is None."""
    if after is None:
        return ()
    old, new = set(before), set(after)
    gone = [Change("-", shown_field(name), shown_field(value)) for name, value in before if (name, value) not in new]
    put = [Change("+", shown_field(name), shown_field(value)) for name, value in after if (name, value) not in old]
    return (*gone, *put)


def _parameters(query: str | None) -> tuple[tuple[str, str], ...]:
    pairs = [part.partition("=") for part in (query or "").split("&", _MOST_PARAMETERS)[:_MOST_PARAMETERS] if part]
    return tuple((unquote_plus(name)[:500], unquote_plus(value)[:2_000]) for name, _, value in pairs)


def body_text(headers: Headers, content: Content) -> str | None:
    """Return a body for the eye: decoded, JSON indented; None where it is no text."""
    text = decoded_text(content, headers)
    if text is None:
        return None
    if text.lstrip()[:1] in {"{", "["}:
        try:
            return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            return text  # not JSON after all, or cut
    return text


def body_view(headers: Headers, content: Content, limits: Limits = FULL) -> BodyView:
    """Return a body for the eye, whatever it is: never raises, bounded by `limits`."""
    if not content.size:
        return BodyView("none")
    decoded = decode(content, headers, limit=_MOST_BYTES)
    kind = (headers.get("content-type") or "")[:200]
    remarks = []
    if content.truncated:
        remarks.append(f"The first {size(len(content.data))} of {size(content.size)} were stored.")
    if content.redacted:
        remarks.append(
            "Values in it were replaced: secrets by fingerprints, in a report personal values by pseudonyms."
        )
    if decoded.problem:
        remarks.append(f"The {decoded.problem}.")
    elif decoded.encoding and not content.redacted:
        remarks.append(f"It travelled as {decoded.encoding[:100]}, {size(content.size)}.")
    found = text_of(decoded.data, charset_of(headers))
    much = "\0" in found.text or found.text.count("\ufffd") * 10 > len(found.text)
    if much or not decoded.data:
        dump = _hex(decoded.data, limits.hex_bytes)
        word = f"{size(content.size)} that are no text" + (f"; the first {limits.hex_bytes} bytes" if dump else "")
        return BodyView("binary", size(content.size), kind, text=dump, remarks=(f"{word}.", *remarks))
    if found.problem and not content.truncated:
        remarks.append(f"It is no clean text: {found.problem}; what cannot be read is shown as \ufffd.")
    read = None
    if len(found.text) <= _PARSED and not content.truncated:
        read = outline(found.text, most_lines=limits.lines, longest=limits.string)
    if read is not None:
        if read.left_out:
            remarks.append(f"{plural(read.left_out, 'value')} left out.")
        return BodyView("json", size(content.size), kind, read.lines, remarks=tuple(remarks))
    text = found.text[: limits.characters]
    if len(text) < len(found.text):
        remarks.append(f"Shown are the first {len(text):,} of {len(found.text):,} characters.")
    return BodyView("text", size(content.size), kind, text=text, remarks=tuple(remarks))


def _lines(headers: Headers) -> str:
    return "".join(f"{shown_field(name)}: {shown_field(value)}\r\n" for name, value in headers)


def _raw(head: str, headers: Headers, content: Content, most: int) -> str:
    """Return a message as it stands, its coding undone, cut at `most` characters; a word for what is no text."""
    text = decoded_text(content, headers, limit=_MOST_BYTES)
    whole = head + (f"({size(content.size)} that are no text)" if text is None else text)
    return whole if len(whole) <= most else f"{whole[:most]}\n… ({len(whole) - most:,} characters more)"


def _hex(data: bytes, most: int) -> str:
    rows = []
    for at in range(0, min(len(data), most), 16):
        row = data[at : min(at + 16, most)]
        seen = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        rows.append(f"{at:08x}  {row.hex(' '):<47}  {seen}")
    return "\n".join(rows)


# --- connections


def connection_facts(exchange: Exchange) -> dict[str, str | None]:
    """Return what is known of the two connections, by name and in order; None for what is not known."""
    return {
        "Run": None if exchange.run_id is None else str(exchange.run_id),
        "Client": _both(exchange.client, exchange.client_address),
        "Claims to be": exchange.client_claim,
        "From client": _connection(exchange.client_connection, exchange.client_index),
        "Client TLS": tls_words(exchange.client_connection),
        "To server": _connection(exchange.upstream_connection, exchange.upstream_index),
        "Server address": exchange.upstream_address,
        "Server TLS": tls_words(exchange.upstream_connection),
        "Attempts": None if exchange.attempts is None else str(exchange.attempts),
        "Ended": exchange.ended,
    }


def _both(label: str | None, address: str | None) -> str | None:
    known = [part for part in (label, address) if part]
    return ", ".join(known) or None


def _connection(connection: Connection | None, index: int | None) -> str | None:
    if connection is None:
        return None
    peer = _address(connection.peer_host, connection.peer_port)
    local = _address(connection.local_host, connection.local_port)
    parts = [f"{peer} (local {local})" if local else peer or "unknown"]
    if connection.http_version:
        parts.append(f"HTTP/{connection.http_version}")
    if index is not None:
        parts.append("fresh" if index == 1 else f"reused, exchange {index} on it")
    if connection.closed_by:
        parts.append(f"closed by {connection.closed_by}")
    if connection.close_reason:
        parts.append(connection.close_reason)
    return ", ".join(parts)


def _address(host: str | None, port: int | None) -> str | None:
    if host is None:
        return None
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


def tls_words(connection: Connection | None) -> str | None:
    """Return what a handshake settled: version, cipher, ALPN, SNI; None where there was none."""
    tls: Tls | None = None if connection is None else connection.tls
    if tls is None:
        return None
    named = [("", tls.version), ("", tls.cipher), ("ALPN ", tls.alpn), ("SNI ", tls.sni)]
    return ", ".join(f"{name}{value}" for name, value in named if value) or "yes"


def bars(exchange: Exchange) -> tuple[Bar, ...]:
    """Return the phases that are known, each where it lies in the whole."""
    known = [(name, ms) for name in PHASES if (ms := getattr(exchange.timings, name)) is not None]
    whole = max(sum(ms for _, ms in known), exchange.timings.total or 0.0, 0.001)
    found, begun = [], 0.0
    for name, ms in known:
        x = min(round(begun / whole * _BAR_WIDTH), _BAR_WIDTH - 4)
        width = min(max(4, round(ms / whole * _BAR_WIDTH)), _BAR_WIDTH - x)
        found.append(Bar(name, ms, duration(ms), x, width))
        begun += ms
    return tuple(found)


# --- SCIM


def operation_facts(operation: Operation) -> dict[str, str | None]:
    """Return what an exchange is in SCIM's words, by name and in order; None for what is not known."""
    if not operation.is_scim:
        return {"Operation": "not SCIM"}
    return {
        "Operation": operation.kind,
        "Version": operation.version,
        "Resource": operation.resource_type,
        "Id": operation.resource_id,
        "Name": operation.resource_name,
        "Filter": operation.filter,
        "Filter problem": operation.filter_problem,
        "Start index": None if operation.start_index is None else str(operation.start_index),
        "Count": None if operation.count is None else str(operation.count),
        "Total results": None if operation.total_results is None else str(operation.total_results),
        "Changes": "; ".join(operation.changes) or None,
        "Error": _both(operation.scim_type, operation.detail),
    }


def _scim(exchange: Exchange, operation: Operation) -> Scim:
    facts = operation_facts(operation) | {
        "Sorted by": _both(operation.sort_by, operation.sort_order),
        "Attributes": ", ".join(operation.attributes),
        "Without": ", ".join(operation.excluded_attributes),
    }
    facts.pop("Changes", None)
    known = tuple((name, value) for name, value in facts.items() if value)
    if not operation.is_scim:
        return Scim(is_scim=False, facts=known)
    sent = _json(exchange.request.headers, exchange.request.content)
    came = None if exchange.response is None else _json(exchange.response.headers, exchange.response.content)
    lines = bulk_lines(sent, came) if operation.kind == "bulk" else patch_lines(sent)
    resources = tuple(_resources(came))
    return Scim(
        is_scim=True,
        facts=known,
        filter=filter_lines(operation.filter),
        changes=operation.changes,
        operations=lines,
        resources=resources[:_MOST_RESOURCES],
        resources_left=max(0, len(resources) - _MOST_RESOURCES),
    )


def _json(headers: Headers, content: Content) -> Any:  # noqa: ANN401 - JSON is anything
    decoded = decode(content, headers, limit=_PARSED)
    try:
        return json.loads(text_of(decoded.data, charset_of(headers)).text)
    except (ValueError, RecursionError):
        return None


def _resources(body: object) -> Iterator[ResourceLine]:
    found = get(body, "Resources")
    if isinstance(found, list):
        for at, one in enumerate(found):
            yield ResourceLine(f"/Resources/{at}", _word(get(one, "id")), _word(_name_of(one)))
    elif get(body, "id") is not None:
        yield ResourceLine("", _word(get(body, "id")), _word(_name_of(body)))


def _name_of(resource: object) -> object:
    return get(resource, "userName") or get(resource, "displayName") or get(resource, "name")


def _word(value: object) -> str:
    return (
        value[:200]
        if isinstance(value, str)
        else ""
        if value is None or isinstance(value, dict)
        else str(value)[:200]
    )
