"""A recorded response as it is given again: with the client's names and ids, and with locations that lead to us.

One rule: a byte is changed only where a bound word or the recorded server's address stands; everything else goes out
as it was recorded. Names are changed by their role (bind.py), so that the `User` of `resourceType` is none. Pure.
Flow: recorded.py chose an exchange -> `Answers.give` -> Response with `Scimproxy-Mock`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from scimproxy.bind import EXTERNAL, NAME, role_of, type_of
from scimproxy.bodies import Body, Seen
from scimproxy.exchange import Content, Exchange, Headers, Response
from scimproxy.hops import CONNECTION_HEADERS
from scimproxy.mock.table import Table
from scimproxy.mock.words import TEXT

__all__ = ["HEADER", "Reached", "address_of", "given_again", "origins_of"]

HEADER = "Scimproxy-Mock"
"""Says why an answer was chosen."""

_DROPPED = (
    *CONNECTION_HEADERS,
    "date",
    "set-cookie",  # recorded as fingerprints only
    "scimproxy-via",
    HEADER,
)
_PHRASE = re.compile(r"[^\s\"'()<>\[\],;]+")
_WORD = re.compile(r"[^\W_]+")
_LONGEST = 65_536


@dataclass(frozen=True, slots=True)
class Reached:
    """How a client reaches a SCIM server: `origin` like `http://127.0.0.1:8080`, and the base path."""

    origin: str
    base: str = ""


def address_of(of: Seen, scheme: str = "http") -> Reached:
    """Return how this request reached its server."""
    return Reached(f"{scheme}://{of.host}" if of.host else "", of.operation.base_path or "")


def origins_of(exchange: Exchange) -> set[str]:
    """Return the origins under which the recorded server is named in its own answers."""
    host = exchange.request.headers.get("host") or exchange.host
    names = {one.lower() for one in (host, exchange.upstream_address) if one}
    return {f"{scheme}://{name}" for scheme in ("http", "https") for name in names}


def given_again(of: Seen, table: Table, origins: Iterable[str], base: str, now: Reached) -> Response:
    """Return the recorded response of an exchange for a client that reaches us at `now`; `base` was the server's."""
    recorded = of.exchange.response
    assert recorded is not None
    pen = _Pen(of, table, tuple(origins), base, now)
    headers = [(name, pen.located(value)) for name, value in recorded.headers.without(*_DROPPED)]
    content = pen.content(recorded.content, of.response)
    if content is not recorded.content:
        headers = [pair for pair in headers if pair[0].lower() != "content-encoding"]
    return Response(recorded.status_code, recorded.reason, headers=Headers(headers), content=content)


class _Pen:
    """Writes one answer again."""

    def __init__(self, of: Seen, table: Table, origins: tuple[str, ...], base: str, now: Reached) -> None:
        self._table = table
        self._now = now
        self._base = base
        self._origins = origins
        self._kind = type_of((of.operation.endpoint or "").strip("/"))

    def content(self, content: Content, body: Body) -> Content:
        """Return the content with the client's words; the same object where nothing changes."""
        if body.form == "json":
            value = self._value(body.value, ())
            if value == body.value:
                return content
            return Content.of(_dumped(value, content.data))
        if body.form == "text" and len(body.value) <= _LONGEST:
            text = self._pieces(self._addresses(body.value))
            return content if text == body.value else Content.of(text.encode())
        return content

    def located(self, url: str) -> str:
        """Return a URL that led to the recorded server, leading to us; and with the id the client knows."""
        lowered = url[:_LONGEST].lower()
        for origin in self._origins:
            rest = url[len(origin) :]
            if lowered.startswith(origin) and rest[:1] in {"", "/", "?", "#"}:
                if self._base != self._now.base and (rest == self._base or rest.startswith(f"{self._base}/")):
                    rest = self._now.base + rest[len(self._base) :]
                return (self._now.origin or origin) + self._ids(rest)
        return self._ids(url) if url.startswith("/") else url

    def _ids(self, path: str) -> str:
        segments = path.split("/")
        for at in range(1, len(segments)):
            word = self._table.client_word(type_of(segments[at - 1]), segments[at]) if segments[at - 1] else None
            segments[at] = segments[at] if word is None else word
        return "/".join(segments)

    def _addresses(self, text: str) -> str:
        for origin in self._origins:
            text = text.replace(origin, self._now.origin or origin)
        return text

    def _value(self, value: Any, names: tuple[str, ...]) -> Any:  # noqa: ANN401 - JSON
        if isinstance(value, dict):
            return {name: self._value(inner, (*names[-1:], name.lower())) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._value(one, names) for one in value]
        return self._string(value, names) if isinstance(value, str) else value

    def _string(self, value: str, names: tuple[str, ...]) -> str:
        role, table = role_of(names), self._table
        if value.startswith(("http://", "https://")) or role == "location":
            return self.located(value)
        if role == "id":
            return table.client_word(self._kind, value) or value
        if role == "member":
            return table.client_word("Group" if "groups" in names else "User", value) or value
        if role == "externalId":
            return table.client_word(EXTERNAL, value) or value
        if role == "name":
            return table.client_word(NAME, value) or self._pieces(value)
        if role == "detail":
            return self._pieces(value)
        return table.client_word(TEXT, value) or value

    def _pieces(self, text: str) -> str:
        piece = self._table.piece

        def phrase(found: re.Match[str]) -> str:
            bare = found[0].rstrip(".:!?")
            whole = piece(found[0]) or (piece(bare) and f"{piece(bare)}{found[0][len(bare) :]}")
            return whole or _WORD.sub(lambda word: piece(word[0]) or word[0], found[0])

        return _PHRASE.sub(phrase, text) if len(text) <= _LONGEST else text


def _dumped(value: Any, like: bytes) -> bytes:  # noqa: ANN401 - JSON
    """Return JSON written as the recorded server wrote it: its blanks, its escapes."""
    escaped = b"\\u" in like
    if b"\n" in like.strip():
        return json.dumps(value, indent=2, ensure_ascii=escaped).encode()
    separators = (", ", ": ") if b'": ' in like else (",", ":")
    return json.dumps(value, separators=separators, ensure_ascii=escaped).encode("utf-8", "surrogatepass")


def with_reason(response: Response, why: str) -> Response:
    """Return the response with the header that says why it was chosen."""
    return replace(response, headers=response.headers.with_field(HEADER, why))
