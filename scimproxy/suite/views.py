"""How scripts and assertions see a request and an answer, and what a script's changes make of a request.

One rule: names are those of runscope.md 4 (`request.params`, `response.response_time_ms`, ...); nothing here raises
for what an answer holds. Pure; used by runner.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote

from scimproxy.decode import decode
from scimproxy.exchange import Content, Exchange, Headers
from scimproxy.suite.composing import Draft
from scimproxy.suite.model import HeaderValues
from scimproxy.suite.response import ResponseView

__all__ = ["apply_changes", "edited", "request_view", "response_view", "view_of"]

_PARTS = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<host>[^/?#]*))?(?P<path>[^?#]*)(?P<query>\?[^#]*)?.*", re.DOTALL
)


def request_view(draft: Draft) -> dict[str, Any]:
    """Return a request as a script finds it."""
    parts = _PARTS.fullmatch(draft.url)
    assert parts is not None, "every text matches"
    query = (parts["query"] or "")[1:]
    return {
        "method": draft.method,
        "url": draft.url,
        "scheme": parts["scheme"] or "",
        "host": parts["host"] or "",
        "path": parts["path"] or "",
        "params": [{"name": name, "value": value} for name, value in _pairs(query)],
        "headers": _lists(draft.headers),
        "form": _lists(draft.form),
        "body": draft.body or "",
        "size_bytes": len((draft.body or "").encode("utf-8", "replace")),
    }


def apply_changes(draft: Draft, changes: Mapping[str, Any]) -> Draft:
    """Return a request with what a pre-request script changed; `url` beats its parts, `body` beats `form` (4)."""
    if isinstance(changes.get("url"), str):
        draft = replace(draft, url=changes["url"])
    elif changes.keys() & {"scheme", "host", "path", "params"}:
        parts = _PARTS.fullmatch(draft.url)
        assert parts is not None, "every text matches"
        query = parts["query"] or ""
        if "params" in changes:
            query = "&".join(f"{quote(str(n), safe='')}={quote(str(v), safe='')}" for n, v in changes["params"])
            query = f"?{query}" if query else ""
        scheme, host, path = (changes.get(name, parts[name] or "") for name in ("scheme", "host", "path"))
        draft = replace(draft, url=f"{scheme}://{host}{path}{query}")
    if isinstance(changes.get("method"), str):
        draft = replace(draft, method=changes["method"])
    if isinstance(changes.get("headers"), Mapping):
        draft = replace(draft, headers=_values(changes["headers"]))
    if isinstance(changes.get("content_type"), str):
        kept = tuple(pair for pair in draft.headers if pair[0].lower() != "content-type")
        draft = replace(draft, headers=(*kept, ("Content-Type", (changes["content_type"],))))
    if isinstance(changes.get("form"), Mapping):
        draft = replace(draft, form=_values(changes["form"]))
    if isinstance(changes.get("body"), str):
        draft = replace(draft, body=changes["body"], form=())
    return draft


def edited(exchange: Exchange, request: Mapping[str, Any], response: Mapping[str, Any]) -> Exchange:
    """Return an exchange as a post-response script left it, for the record: so scripts take secrets out (4)."""
    sent, came = exchange.request, exchange.response
    if isinstance(request.get("url"), str):
        parts = _PARTS.fullmatch(request["url"])
        assert parts is not None, "every text matches"
        sent = replace(sent, target=f"{parts['path'] or '/'}{parts['query'] or ''}")
    if isinstance(request.get("body"), str):
        sent = replace(sent, content=_rewritten(sent.content, request["body"]))
    if isinstance(request.get("headers"), Mapping):
        sent = replace(sent, headers=_fields(request["headers"]))
    if came is not None and isinstance(response.get("body"), str):
        # The new text is not coded as the old bytes were.
        came = replace(came, content=_rewritten(came.content, response["body"]))
        came = replace(came, headers=came.headers.without("Content-Encoding"))
    if came is not None and isinstance(response.get("headers"), Mapping):
        came = replace(came, headers=_fields(response["headers"]))
    return replace(exchange, request=sent, response=came)


def _rewritten(content: Content, text: str) -> Content:
    return replace(Content.of(text.encode("utf-8", "replace")), size=content.size, redacted=True)


def _fields(lists: Mapping[str, Any]) -> Headers:
    return Headers(
        (name, value.encode("utf-8", "replace").decode("latin-1"))
        for name, values in _values(lists)
        for value in values
    )


def view_of(exchange: Exchange) -> ResponseView | None:
    """Return an answer as assertions see it, its content coding undone; None where there was none."""
    response = exchange.response
    if response is None:
        return None
    return ResponseView(
        status_code=response.status_code,
        headers=response.headers,
        body=decode(response.content, response.headers).data,
        response_time_ms=round(exchange.timings.total or 0.0),
        size_bytes=response.content.size,
        reason=response.reason,
    )


def response_view(view: ResponseView) -> dict[str, Any]:
    """Return an answer as a script finds it."""
    return {
        "status": view.status_code,
        "reason": view.reason,
        "headers": _lists(tuple((name, (value,)) for name, value in view.headers)),
        "body": view.text,
        "size_bytes": view.size,
        "response_time_ms": view.response_time_ms,
    }


def _lists(pairs: HeaderValues) -> dict[str, list[str]]:
    made: dict[str, list[str]] = {}
    spelling: dict[str, str] = {}
    for name, values in pairs:
        key = spelling.setdefault(name.lower(), name)
        made.setdefault(key, []).extend(values)
    return made


def _values(lists: Mapping[str, Any]) -> HeaderValues:
    return tuple(
        (
            str(name),
            tuple(
                str(one)
                for one in (values if isinstance(values, Sequence) and not isinstance(values, str) else (values,))
            ),
        )
        for name, values in lists.items()
    )


def _pairs(query: str) -> list[tuple[str, str]]:
    pairs = []
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        pairs.append((unquote(name.replace("+", " ")), unquote(value.replace("+", " "))))
    return pairs
