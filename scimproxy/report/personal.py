"""Where personal values stand in what was recorded, by their SCIM role, and the same with pseudonyms in their place.

One rule: first everything is read (`collect`), then the table is closed, then everything is rewritten (`hide`), so
that a value is found also where it stood before its role was known. What cannot be read is left out, and counted.
Pure. Flow: exchanges, suite result, run -> Personal -> report, HAR and bundle. Ids stay; secrets are redact.py's.
"""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus

from scimproxy.bind import role_of
from scimproxy.decode import charset_of, decode, text_of
from scimproxy.exchange import Connection, Content, Exchange, Headers, Request, Response, Run
from scimproxy.report.json_strings import Piece, pieces
from scimproxy.report.pseudonyms import Kind, Pseudonyms, is_phone
from scimproxy.scim.message import Operation
from scimproxy.suite.results import SuiteResult

__all__ = ["LONGEST", "Personal", "kind_of"]

LONGEST = 1024 * 1024
"""Bytes of a body, decoded, that are read; a longer one is left out."""

_LEFT_OUT = "(left out)"
_LAST: dict[str, Kind] = {
    "username": "user", "userprincipalname": "user", "upn": "user", "login": "user", "samaccountname": "user",
    "displayname": "display", "nickname": "display", "formatted": "display", "display": "display",
    "fullname": "display", "commonname": "display",
    "familyname": "family", "lastname": "family", "surname": "family", "sn": "family",
    "givenname": "given", "firstname": "given", "middlename": "middle",
    "profileurl": "url", "employeenumber": "employee", "employeeid": "employee",
    "email": "email", "mail": "email", "emailaddress": "email",
    "phone": "phone", "phonenumber": "phone", "mobile": "phone", "mobilephone": "phone", "telephone": "phone",
    "telephonenumber": "phone",
}  # fmt: skip  # a dense table
_LISTED: dict[str, Kind] = {
    "emails": "email", "phonenumbers": "phone", "ims": "im", "photos": "photo",
}  # fmt: skip
_ADDRESS = frozenset({"formatted", "streetaddress", "locality", "region", "postalcode", "value"})
_NO_PERSON = frozenset({"roles", "entitlements", "authenticationschemes", "schemas", "resourcetypes"})
_BY_GROUP = {"groups", "group"}
_STAYS = frozenset({"id", "externalid", "bulkid", "version", "created", "lastmodified", "schemas", "$ref", "type"})
_COMPARISON = re.compile(
    r"""(?P<path>[$\w.:-]{1,200}(?:\[[^\]]{0,100}\])?[.\w]{0,60})\s+(?:eq|ne|co|sw|ew|gt|ge|lt|le)\s+"(?P<value>(?:[^"\\]|\\.)*)"?""",
    re.IGNORECASE,
)
_IP = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7})(?![\w])")
_IP_HEADERS = frozenset(
    {"x-forwarded-for", "forwarded", "x-real-ip", "true-client-ip", "cf-connecting-ip", "x-client-ip", "client-ip"}
    | {"x-cluster-client-ip", "fastly-client-ip", "x-original-forwarded-for", "ngrok-client-ip", "via"}
)
_DIGESTS = frozenset({"digest", "content-digest", "repr-digest", "content-md5"})
"""Header fields that are hashes of a body: a guess could be tried against them."""


@lru_cache(maxsize=4096)
def kind_of(names: tuple[str, ...]) -> Kind | None:
    """Return what personal value a place holds, by the names that lead to it in lower case; None for none."""
    if not names:
        return None
    last, parent = names[-1], names[-2] if len(names) > 1 else ""
    if parent in _NO_PERSON or last in _STAYS:
        return None
    if "addresses" in names and last in _ADDRESS:
        return "address"
    if parent in _BY_GROUP and last in {"display", "displayname"}:
        return "group"
    if last == "value" or last in _LISTED:
        return _LISTED.get(parent if last == "value" else last)
    if last in _LAST:
        return _LAST[last]
    return "display" if role_of(names) == "name" else None  # what bind.py knows and this table does not


@lru_cache(maxsize=4096)
def _names(text: str) -> tuple[str, ...]:
    """Return the names in a path or a member's name: `urn:...:User:name.familyName`, `emails[type eq "x"].value`."""
    bare = re.sub(r"\[[^\]]*\]?", "", text[:500])
    return tuple(part for part in bare.rpartition(":")[2].lower().split(".") if part)


class Personal:
    """The personal values of one report: read everything, `close`, then rewrite everything."""

    def __init__(self) -> None:
        self.names = Pseudonyms()
        self.left_out: Counter[str] = Counter()
        """What was not looked at and left out, by a word for it."""

    def close(self) -> None:
        """Give the values their pseudonyms."""
        self.names.close()

    # --- reading

    def collect(self, exchange: Exchange, operation: Operation) -> None:
        """Read an exchange."""
        request, response = exchange.request, exchange.response
        self._collect_target(request.target, operation)
        self._collect_headers(request.headers)
        self._collect_body(request.content, request.headers, operation)
        if response is not None:
            self._collect_headers(response.headers)
            self._collect_body(response.content, response.headers, operation)
        for headers in (exchange.upstream_request_headers, exchange.upstream_response_headers):
            self._collect_headers(headers or Headers())
        client = exchange.client_connection
        addresses = [exchange.client_address, exchange.client_claim, None if client is None else client.peer_host]
        for text in addresses:
            self._collect_addresses(text or "")
        for text in (exchange.note, None if exchange.failure is None else exchange.failure.message):
            self.names.take_emails(text or "")
        for _, value in exchange.extra:
            for piece in pieces(value[:LONGEST]):
                self.names.take_emails(piece.value)

    def collect_run(self, run: Run) -> None:
        """Read what a person wrote about a run."""
        for text in (run.name, run.note, run.target):
            self.names.take_emails(text or "")

    def collect_result(self, result: SuiteResult) -> None:
        """Read a suite's result: its variables, and what assertions compared, by what their names say."""
        known = [(name, value) for name, value in result.initial_variables]
        for step in result.steps:
            known += [(it.name, it.value) for it in step.variables]
            known += [(it.property or "", it.value) for it in step.variables]
            known += [
                (it.property or "", value) for it in step.assertions for value in (it.target_value, it.actual_value)
            ]
        for name, value in known:
            kind = kind_of(_names(name))
            if isinstance(value, str) and kind is not None:
                self.names.take(kind, value, self._number(kind, [value]))
        _walk(result, self._collect_text)

    def _collect_text(self, text: str) -> str:
        self.names.take_emails(text)
        return text

    def _number(self, kind: Kind, hints: list[str]) -> int:
        return self.names.group(hints) if kind == "group" else self.names.person(hints)

    def _collect_addresses(self, text: str) -> None:
        for found in _IP.finditer(text):
            self.names.take("ip", found[0], 0)

    def _collect_headers(self, headers: Headers) -> None:
        for name, value in headers:
            if name.lower() in _IP_HEADERS:
                self._collect_addresses(value)
            if "@" in value or "%40" in value:
                self.names.take_emails(value)

    def _collect_target(self, target: str, operation: Operation) -> None:
        self.names.take_emails(target)
        for name, value in _parameters(target):
            self._collect_parameter(name, value, operation)

    def _collect_parameter(self, name: str, value: str, operation: Operation) -> None:
        if name.lower() == "filter":
            self._collect_filter(value, (), operation)
            return
        kind = _kind(_names(name), operation)
        if kind is not None:
            self.names.take(kind, value, self._number(kind, [value]))

    def _collect_filter(self, text: str, inside: tuple[str, ...], operation: Operation) -> None:
        for names, value in _compared(text, inside):
            kind = _kind(names, operation)
            if kind is not None:
                self.names.take(kind, value, self._number(kind, [value]))

    def _collect_body(self, content: Content, headers: Headers, operation: Operation) -> None:
        text, _ = _text(content, headers)
        if not text or operation.kind == "discovery":
            return
        if _is_form(headers):
            for name, value in _parameters(f"?{text}"):
                self._collect_parameter(name, value, operation)
        if text.lstrip()[:1] not in {"{", "["}:
            self.names.take_emails(text)
            return
        found: defaultdict[tuple[object, ...], list[tuple[Kind, str]]] = defaultdict(list)
        hints: defaultdict[tuple[object, ...], list[str]] = defaultdict(list)
        if operation.resource_id:
            hints[()].append(f"id:{operation.resource_id}")
        for piece, names, scope in _placed(text, operation):
            if piece.is_name:
                self._collect_filter(piece.value, (), operation)
                self.names.take_emails(piece.value)
                continue
            if names[-1:] in {("filter",), ("path",)}:
                self._collect_filter(piece.value, (), operation)
            if names[-1:] == ("id",) or (names[-1:] == ("value",) and names[-2:-1] in {("members",), ("manager",)}):
                hints[scope].append(f"id:{piece.value}")
            kind = _kind(names, operation)
            if (
                kind is None
                and not piece.is_number
                and names[-1:]
                and names[-1] not in _STAYS
                and is_phone(piece.value)
            ):
                kind = "phone"
            if kind is not None:
                found[scope].append((kind, piece.value))
            elif not piece.is_number:
                self.names.take_emails(piece.value)
        for scope, values in found.items():
            self._take_all(values, hints[scope])

    def _take_all(self, values: list[tuple[Kind, str]], hints: list[str]) -> None:
        """Take the values of one resource: they are one person's, or one group's."""
        strong = [value for kind, value in values if kind in {"user", "email"}]
        keys = hints + (strong or [value for _, value in values[:1]])
        person = None
        for kind, value in values:
            if kind == "group":
                self.names.take(kind, value, self.names.group([*hints, value]))
            else:
                person = self.names.person(keys) if person is None else person
                self.names.take(kind, value, person)

    # --- rewriting

    def hide(self, exchange: Exchange, operation: Operation) -> Exchange:
        """Return an exchange with pseudonyms for personal values."""
        text, maybe = self.names.text, self._maybe
        failure, response = exchange.failure, exchange.response
        upstream_target = exchange.upstream_request_target
        return replace(
            exchange,
            request=self._request(exchange.request, operation),
            response=None if response is None else self._response(response, operation),
            failure=None if failure is None else replace(failure, message=text(failure.message)),
            client_connection=self._connection(exchange.client_connection),
            upstream_connection=self._connection(exchange.upstream_connection),
            client_address=maybe(exchange.client_address),
            client_claim=maybe(exchange.client_claim),
            host=maybe(exchange.host),
            upstream_request_target=None if upstream_target is None else self._target(upstream_target, operation),
            upstream_request_headers=self._some_headers(exchange.upstream_request_headers),
            upstream_response_headers=self._some_headers(exchange.upstream_response_headers),
            rewrites=tuple(
                replace(one, place=text(one.place), before=text(one.before), after=text(one.after))
                for one in exchange.rewrites
            ),
            ended=maybe(exchange.ended),
            note=maybe(exchange.note),
            tags=tuple(text(one) for one in exchange.tags),
            extra=tuple((text(name), self._json(value[:LONGEST], operation)) for name, value in exchange.extra),
        )

    def hide_run(self, run: Run) -> Run:
        """Return a run with pseudonyms in its name, note and target."""
        return replace(
            run, name=self.names.text(run.name), note=self._maybe(run.note), target=self._maybe(run.target)
        )

    def hide_result(self, result: SuiteResult) -> SuiteResult:
        """Return a suite's result with pseudonyms; values by personal names whole, everything else as text."""
        result = replace(
            result,
            initial_variables=tuple((name, self._named(name, value)) for name, value in result.initial_variables),
            steps=tuple(
                replace(
                    step,
                    variables=tuple(replace(it, value=self._named(it.name, it.value)) for it in step.variables),
                    assertions=tuple(
                        replace(
                            it,
                            target_value=self._named(it.property or "", it.target_value),
                            actual_value=self._named(it.property or "", it.actual_value),
                        )
                        for it in step.assertions
                    ),
                )
                for step in result.steps
            ),
        )
        made: SuiteResult = _walk(result, self.names.text)
        return made

    def _named(self, name: str, value: Any) -> Any:  # noqa: ANN401 - any value of a result
        if not isinstance(value, str):
            return value
        return self.names.of(value) if kind_of(_names(name)) else value

    def _maybe(self, text: str | None) -> str | None:
        return None if text is None else self.names.text(text)

    def _request(self, request: Request, operation: Operation) -> Request:
        return replace(
            request,
            target=self._target(request.target, operation),
            headers=self._headers(request.headers),
            content=self._content(request.content, request.headers, operation),
            trailers=self._some_headers(request.trailers),
        )

    def _response(self, response: Response, operation: Operation) -> Response:
        return replace(
            response,
            reason=self.names.text(response.reason),
            headers=self._headers(response.headers),
            content=self._content(response.content, response.headers, operation),
            trailers=self._some_headers(response.trailers),
        )

    def _connection(self, connection: Connection | None) -> Connection | None:
        if connection is None:
            return None
        text, tls = self._maybe, connection.tls
        if tls is not None:
            chain = tuple(
                replace(
                    one,
                    subject=self.names.text(one.subject),
                    issuer=self.names.text(one.issuer),
                    names=tuple(self.names.text(name) for name in one.names),
                    der=b"",
                )
                for one in tls.chain
            )
            tls = replace(tls, chain=chain, sni=text(tls.sni))
        return replace(
            connection,
            peer_host=text(connection.peer_host),
            server_name=text(connection.server_name),
            close_reason=text(connection.close_reason),
            tls=tls,
        )

    def _some_headers(self, headers: Headers | None) -> Headers | None:
        return None if headers is None else self._headers(headers)

    def _headers(self, headers: Headers) -> Headers:
        return Headers((self.names.text(name), self._field(name.lower(), value)) for name, value in headers)

    def _field(self, name: str, value: str) -> str:
        if name in _DIGESTS:
            self.left_out["hash of a body"] += 1
            return _LEFT_OUT
        try:
            said = value.encode("latin-1").decode("utf-8")
        except UnicodeError:
            said = value
        made = self.names.text(said)
        return value if made == said else made.encode("utf-8", "replace").decode("latin-1")

    def _target(self, target: str, operation: Operation) -> str:
        path, mark, query = target.partition("?")
        parts = [self._parameter(part, operation) for part in query.split("&")]
        return self.names.text(path) + mark + "&".join(parts)

    def _parameter(self, part: str, operation: Operation) -> str:
        """Return `name=value` of a query or form with pseudonyms; what does not change keeps its coding."""
        name, mark, value = part.partition("=")
        said = unquote_plus(value)
        if unquote_plus(name).lower() == "filter":
            made = self._filter(said, operation)
        elif _kind(_names(unquote_plus(name)), operation):
            made = self.names.of(said)
        else:
            made = said
        if made != said:
            value = quote_plus(made) if "+" in value else quote(made, safe="()[]:,")
        return self.names.text(f"{name}{mark}{value}")

    def _filter(self, text: str, operation: Operation) -> str:
        def put(found: re.Match[str]) -> str:
            value = _unescaped(found["value"])
            kind = _kind(_compared_names(text, found, ()), operation)
            if kind is None:
                return found[0]
            start = found.start("value") - found.start()
            stop = found.end("value") - found.start()
            return found[0][:start] + json.dumps(self.names.of(value), ensure_ascii=False)[1:-1] + found[0][stop:]

        return _COMPARISON.sub(put, text)

    def _content(self, content: Content, headers: Headers, operation: Operation) -> Content:
        text, why = _text(content, headers)
        if text is None:
            self.left_out[why] += 1
            return Content(b"", content.size, "")
        if operation.kind == "discovery":
            made = self.names.text(text)
        elif text.lstrip()[:1] in {"{", "["}:
            made = self._json(text, operation)
        elif _is_form(headers):
            made = "&".join(self._parameter(part, operation) for part in text.split("&"))
        else:
            made = self.names.text(text)
        data = made.encode("utf-8", "replace")
        if data == content.data:  # a hash of what was not stored says something of it
            return replace(content, sha256="") if content.truncated else content
        plain = made.isascii() or charset_of(headers) in {None, "utf-8"}
        mark = b"" if plain else codecs.BOM_UTF8  # the header names another charset; the mark is believed first
        return replace(Content.of(mark + data), size=content.size, redacted=True)

    def _json(self, text: str, operation: Operation) -> str:
        made: list[str] = []
        at = 0
        for piece, names, _ in _placed(text, operation):
            made += [self._between(text[at : piece.start]), self._piece(piece, names, text, operation)]
            at = piece.end
        return "".join([*made, self._between(text[at:])])

    def _between(self, text: str) -> str:
        return self.names.text(text) if any(c.isalnum() for c in text) else text

    def _piece(self, piece: Piece, names: tuple[str, ...], text: str, operation: Operation) -> str:
        raw = text[piece.start : piece.end]
        if piece.is_name:
            return self.names.text(raw)
        if names[-1:] in {("filter",), ("path",)}:
            made = self._filter(piece.value, operation)
            return self.names.text(raw if made == piece.value else json.dumps(made, ensure_ascii=False)[1:-1])
        if names[-2:] == ("x509certificates", "value"):
            self.left_out["certificate of a person"] += 1
            return _LEFT_OUT
        if kind_of(names) is None:
            return raw if piece.is_number else self.names.text(raw)
        said = self.names.of(piece.value)
        if piece.is_number:
            return said if said.isdecimal() else json.dumps(said)
        return json.dumps(said, ensure_ascii=False)[1:-1]


# --- places


def _kind(names: tuple[str, ...], operation: Operation) -> Kind | None:
    """Return what a place holds in this exchange: what a group is called is no person's name."""
    kind = kind_of(names)
    return "group" if kind == "display" and operation.resource_type == "Group" and "members" not in names else kind


def _placed(text: str, operation: Operation) -> Iterator[tuple[Piece, tuple[str, ...], tuple[object, ...]]]:
    """Yield the pieces of a JSON text, each with the names that lead to it and the resource that it is in.

    What a PATCH operation puts at its `path` (RFC 7644 section 3.5.2) is named by that path.
    """
    found = list(pieces(text))
    paths = {
        one.path[:-1]: _names(one.value)
        for one in found
        if not one.is_name and one.path[-1:] == ("path",) and "operations" in one.path
    }
    for one in found:
        way, before = one.path, one.path[:0]
        for at, part in enumerate(way[:-1]):
            if part == "operations" and way[at + 2 : at + 3] == ("value",):
                before = way[: at + 2]
                way = (*paths.get(before, ()), *way[at + 3 :])
                break
        names = tuple(name for part in way if isinstance(part, str) for name in _names(part))
        yield one, names, (*before[: 2 * (operation.kind == "bulk")], *_scope(way, operation))


def _scope(way: tuple[str | int, ...], operation: Operation) -> tuple[object, ...]:
    """Return the part of a path that leads to the resource, or to the member of a list that stands for one."""
    scope: tuple[object, ...] = ()
    listed = {"resources", "members", "groups"} | ({"operations"} if operation.kind == "bulk" else set())
    for at, part in enumerate(way):
        if part == "manager" or (isinstance(part, int) and at and way[at - 1] in listed):
            scope = way[: at + 1]
    return scope


def _compared(text: str, inside: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    for found in _COMPARISON.finditer(text[:LONGEST]):
        yield _compared_names(text, found, inside), _unescaped(found["value"])


def _compared_names(text: str, found: re.Match[str], inside: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of a comparison's attribute; within brackets, below the attribute before them."""
    before = text[: found.start("path")]
    opened = before.rfind("[")
    if opened > before.rfind("]"):
        word = re.search(r"[$\w.:-]*$", before[:opened])
        inside = _names(word[0]) if word else inside
    return (*inside, *_names(found["path"]))


def _unescaped(value: str) -> str:
    try:
        said: str = json.loads(f'"{value}"', strict=False)
    except ValueError:
        return value
    return said


def _parameters(target: str) -> Iterator[tuple[str, str]]:
    for part in target.partition("?")[2].split("&"):
        name, _, value = part.partition("=")
        yield unquote_plus(name), unquote_plus(value)


def _is_form(headers: Headers) -> bool:
    return "x-www-form-urlencoded" in (headers.get("content-type") or "").lower()


def _text(content: Content, headers: Headers) -> tuple[str | None, str]:
    """Return a body as text; None and a word for what is no text, or too long to be looked at."""
    if not content.data:
        return "", ""
    decoded = decode(content, headers, limit=LONGEST + 1)
    if len(decoded.data) > LONGEST:
        return None, f"body longer than {LONGEST} bytes"
    found = text_of(decoded.data, charset_of(headers))
    if "\0" in found.text or found.text.count("�") * 10 > len(found.text):
        return None, "binary body"
    return found.text, ""


def _walk(value: Any, change: Callable[[str], str]) -> Any:  # noqa: ANN401 - any value of a result
    """Return a value with every text in it changed, in any depth."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)(_walk(one, change) for one in value)
    if isinstance(value, dict):
        return {_walk(name, change): _walk(one, change) for name, one in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: _walk(getattr(value, one.name), change) for one in fields(value)})
    return value
