"""Which values of a run are variables: the ids, versions and names that are others wherever the run is run again.

One rule: a value is a variable by its SCIM role (bind.py), never by its text, so that the id `1` is never a count of
1: an id or version that an answer gave and a later request used is *captured* from that answer; a name that the
client made up (userName, externalId, a group's displayName) gets the digits of `fresh`; secrets are named. What no
answer gave stays as it was recorded. Pure. Flow: exchanges -> `plan` -> Plan -> the formats of `exports`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, unquote_plus, urlsplit

from scimproxy.bind import place_of, role_of, type_of
from scimproxy.bodies import Seen, seen
from scimproxy.errors import UsageError
from scimproxy.exchange import Exchange, Run
from scimproxy.exports.giving import Source, given
from scimproxy.exports.reading import kind_of, made_up, names_to, plain_path, text_body, value_at
from scimproxy.exports.secret_names import FINGERPRINT, SecretNames
from scimproxy.exports.templating import BASE_URL, FRESH, Coding, Ref, Text, joined, names_in, with_secrets
from scimproxy.hops import is_of_the_way
from scimproxy.redact import redact
from scimproxy.scim.changes import clean, get
from scimproxy.spans import Span, spans

__all__ = ["MOST", "Capture", "Plan", "Secret", "Send", "plan"]

MOST = 20_000
"""Exchanges of one file that runs; a run of more is told to be filtered."""

_CODINGS = frozenset({"accept-encoding", "content-encoding"})
"""Header fields that the programs which read an export write themselves, as they do those of the connection."""
_FIELD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_METHOD = re.compile(r"[A-Z][A-Z-]{0,19}")
_UNSAFE = re.compile(r"[^!$%&'()*+,\-./0-9:;=?@A-Z_a-z~\[\]]")
_COMPARED = re.compile(
    r"""(?P<open>[A-Za-z$][\w:.$-]*)\s*\[|(?P<close>\])"""
    r"""|(?P<path>[A-Za-z$][\w:.$-]*)\s+(?i:eq|ne|co|sw|ew|g[et]|l[et])\s+(?P<value>"(?:[^"\\]|\\.)*"|[^\s()\[\]]+)|"(?:[^"\\]|\\.)*\""""
)
_TAG = re.compile(r'(?:W/)?"[^"]*"|[^\s,]+')
_LONGEST_FILTER = 65_536


@dataclass(frozen=True, slots=True)
class Capture:
    """A value that an answer gives to later requests.

    `pointer` leads to it in a JSON answer; where it is empty, it is the header field `header`. `last_segment`: the
    value is the last segment of the URL found there. `value` is what it was in the recording.
    """

    name: str
    pointer: tuple[str | int, ...]
    header: str
    last_segment: bool
    value: str


@dataclass(frozen=True, slots=True)
class Send:
    """One request to send again, with what its answer has to be and gives.

    `url` begins with a reference to `base_url` or `server_url`; `body` is text, `data` a body that is none. `status`
    is None where nothing can be expected; `notes` say why something is not as it was.
    """

    number: int
    title: str
    label: str
    method: str
    url: Text
    headers: tuple[tuple[str, Text], ...]
    body: Text | None
    data: bytes | None
    status: int | None
    captures: tuple[Capture, ...]
    notes: tuple[str, ...]

    def needs(self) -> list[str]:
        """Return the names that the request refers to, each once, in their order."""
        texts = (self.url, *(value for _, value in self.headers), self.body or ())
        return list(dict.fromkeys(name for text in texts for name in names_in(text)))


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that the file asks for. `optional`: any value does, a new password or what the server refuses."""

    name: str
    mark: str
    optional: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """A run, ready to be run again: what is sent, in order, and the names it needs from outside."""

    name: str
    base_url: str
    server_url: str
    sends: tuple[Send, ...]
    secrets: tuple[Secret, ...]
    captured: tuple[str, ...]
    uses_fresh: bool
    uses_server_url: bool
    left_out: int


def plan(run: Run, exchanges: Iterable[Exchange]) -> Plan:
    """Return what is a variable in a run, and every request with its references.

    Requests that the proxy refused by itself are left out: another way to the server would not refuse them.

    Raises:
        UsageError: there are more than `MOST` exchanges.
    """
    every: list[Seen] = []
    left_out = 0
    for exchange in exchanges:
        if len(every) >= MOST:
            raise UsageError(
                f"the run has more than {MOST:,} exchanges: too many for a file that is run",
                hint="choose some with --filter, or export it as HAR",
            )
        if exchange.origin == "proxy" or not _METHOD.fullmatch(exchange.request.method):
            left_out += 1
        else:
            every.append(seen(redact(exchange)[0]))  # also of a run that was recorded with --keep-secrets
    return _Weaver(run, every, left_out).plan()


@dataclass(slots=True)
class _Made:
    """One request on its way into a Send."""

    of: Seen
    url: Text = ()
    headers: list[tuple[str, Text]] = field(default_factory=list)
    body: Text | None = None
    data: bytes | None = None
    captures: list[Capture] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Weaver:
    """One pass over a run, in order: each request refers to what came before, then its answer gives."""

    def __init__(self, run: Run, every: list[Seen], left_out: int) -> None:
        self._run = run
        self._every = every
        self._left_out = left_out
        self._sources: dict[tuple[str, str], Source] = {}
        self._versions: dict[tuple[str, str], Source] = {}
        self._made: list[_Made] = []
        self._counts: dict[str, int] = {}
        self._captured: list[str] = []
        self._names = dict(made_up(every))
        self._secrets = SecretNames()
        self._needed: set[str] = set()
        self._server_used = False
        scim = [one.operation for one in every if one.operation.is_scim]
        self._base_path = next((one.base_path for one in scim if one.base_path is not None), "") or ""
        first = every[0].exchange if every else None
        scheme = "https" if first is not None and first.scheme == "https" else "http"
        host = every[0].host if every else ""
        self._server_url = f"{scheme}://{host if re.fullmatch(r'[A-Za-z0-9.:\[\]-]+', host) else 'host.invalid'}"
        self._learn_credentials()

    def _learn_credentials(self) -> None:
        """Give SCIM_AUTH to the credentials that most requests were answered with, not to a wrong token."""
        counts: dict[str, int] = {}
        for one in self._every:
            answer = one.exchange.response
            for value in one.exchange.request.headers.get_all("Authorization"):
                for mark in FINGERPRINT.findall(value):
                    refused = answer is not None and answer.status_code in {401, 403}
                    counts[mark] = counts.get(mark, 0) + (0 if refused else 1)
                    if not refused:
                        self._needed.add(mark)
        for mark in sorted(counts, key=lambda one: -counts[one]):
            self._secrets.name(mark, credentials=True)

    def plan(self) -> Plan:
        for at, of in enumerate(self._every):
            made = _Made(of)
            self._made.append(made)
            made.url = self._url(made)
            self._headers(made)
            self._body(made)
            self._learn(at, of)
        sends = tuple(self._send(number, made) for number, made in enumerate(self._made, 1))
        used = {name for send in sends for name in send.needs()}
        return Plan(
            name=clean(self._run.name, 100),
            base_url=self._server_url + _percent(self._base_path),
            server_url=self._server_url,
            sends=sends,
            secrets=tuple(
                Secret(name, mark, mark not in self._needed)
                for mark, name in self._secrets.names.items()
                if name in used
            ),
            captured=tuple(self._captured),
            uses_fresh=FRESH in used,
            uses_server_url="server_url" in used,
            left_out=self._left_out,
        )

    def _send(self, number: int, made: _Made) -> Send:
        request, answer = made.of.exchange.request, made.of.exchange.response
        notes = made.notes
        status = None if answer is None or not 200 <= answer.status_code <= 999 else answer.status_code
        if request.content.truncated:
            notes.append(
                f"the recording holds {len(request.content.data)} of the body's {request.content.size} bytes"
            )
            status = None
        return Send(
            number=number,
            title=clean(made.of.operation.summary or request.method, 120),
            label=_label(made.of),
            method=request.method,
            url=made.url,
            headers=tuple(made.headers),
            body=made.body,
            data=made.data,
            status=status,
            captures=tuple(made.captures),
            notes=tuple(notes),
        )

    # -- the request

    def _secret(self, mark: str) -> str:
        return self._secrets.name(mark, credentials=False)

    def _url(self, made: _Made) -> Text:
        request = made.of.exchange.request
        path = request.path
        if not path.startswith("/"):  # absolute-form (RFC 9112 section 3.2.2), or what would name another host
            path = "/" + (path.partition("://")[2].partition("/")[2] if "://" in path else path)
        text = [*self._path(path, made.of, server=True)]
        if request.query is not None:
            text.append("?")
            text += self._query(request.query, made.of)
        coded = [one if isinstance(one, Ref) else _percent(one) for one in text]
        return with_secrets(joined(coded), self._secret, "url")

    def _path(self, path: str, of: Seen, *, server: bool) -> Text:
        """Return a path with its id as a reference; with `server`, behind a reference to the base URL."""
        begin: list[str | Ref] = []
        base = self._base_path
        if server:
            if path == base or path.startswith(f"{base}/") or not base:
                path = path[len(base) :]
                begin.append(Ref(BASE_URL))
            else:
                begin.append(Ref("server_url"))
        place = place_of(path if server else urlsplit(path).path, of)
        parts = path.split("/")
        known = self._id(type_of(place.endpoint), place.id, "url") if place.endpoint and place.id else None
        if known is None:
            return joined([*begin, path])
        begins = next((i for i, part in enumerate(parts) if unquote(part) == place.endpoint), len(parts))
        at = next((i for i in range(begins + 1, len(parts)) if unquote(parts[i]) == place.id), None)
        if at is None:  # line feeds and the like, which place_of does not see
            return joined([*begin, path])
        return joined([*begin, "/".join([*parts[:at], ""]), known, "".join(f"/{one}" for one in parts[at + 1 :])])

    def _query(self, query: str, of: Seen) -> Iterator[str | Ref]:
        for number, part in enumerate(query.split("&")):
            if number:
                yield "&"
            name, mark, value = part.partition("=")
            text = self._filter(unquote_plus(value), of, ()) if unquote_plus(name).lower() == "filter" else ()
            if any(isinstance(piece, Ref) for piece in text):
                yield f"{name}{mark}"
                for piece in text:
                    yield Ref(piece.name, "url") if isinstance(piece, Ref) else quote(piece, safe="")
            else:
                yield part

    def _headers(self, made: _Made) -> None:
        request = made.of.exchange.request
        for name, value in request.headers:
            lowered = name.lower()
            if lowered in _CODINGS or is_of_the_way(name):
                continue
            if not _FIELD.fullmatch(name) or _UNSENDABLE.search(value):
                made.notes.append(f"left out, because it is no header field: {clean(name, 40)}")
                continue
            text: Text = (value.strip(),) if value.strip() else ()
            if lowered in {"if-match", "if-none-match"}:
                text = self._tags(value.strip(), made.of)
            made.headers.append((name, with_secrets(text, self._secret, "plain")))

    def _tags(self, value: str, of: Seen) -> Text:
        """Return the tags of If-Match, each as the version that an answer gave (RFC 9110 section 13.1)."""
        found: list[str | Ref] = []
        at = 0
        for tag in _TAG.finditer(value):
            source = self._version_source(of, tag[0])
            if source is not None:
                found += (value[at : tag.start()], Ref(self._use(source, "version", tag[0])))
                at = tag.end()
        return joined([*found, value[at:]])

    def _version_source(self, of: Seen, tag: str) -> Source | None:
        whose = of.operation.resource_id or ""
        return self._versions.get((whose, tag)) or self._versions.get(("", tag))

    def _body(self, made: _Made) -> None:
        request = made.of.exchange.request
        if not request.content.data:
            return
        text = text_body(request)
        if text is None:
            made.data = request.content.data
            made.headers += [("Content-Encoding", (one,)) for one in request.headers.get_all("Content-Encoding")]
        elif made.of.request.form == "json":
            made.body = with_secrets(joined(self._json(text, made.of)), self._secret, "json")
        else:
            made.body = with_secrets((text,), self._secret, "plain")

    def _json(self, text: str, of: Seen) -> Iterator[str | Ref]:
        document = of.request.value
        at = 0
        for span in spans(text):
            found = self._value(span, document, of)
            if any(isinstance(piece, Ref) for piece in found):
                quotes = '"' if span.is_string else ""
                yield text[at : span.start] + quotes
                yield from (one if isinstance(one, Ref) else _json_inside(one) for one in found)
                yield quotes
                at = span.end
        yield text[at:]

    def _value(self, span: Span, document: Any, of: Seen) -> Text:  # noqa: ANN401 - JSON
        names = names_to(span.pointer, document)
        role, value = role_of(names), span.value
        last = names[-1] if names else ""
        if role == "id" or (role == "text" and last == "id" and len(names) == 1):
            return self._as_id(kind_of(of, span.pointer, document), value, span)
        if role == "member" or (role == "text" and last in {"members", "manager", "groups"}):
            return self._as_id(self._member_kind(span.pointer, document, last, value), value, span)
        if not span.is_string:
            return (value,)
        if role == "location":
            return self._location(value, of)
        if role == "version":
            source = self._version_source(of, value)
            return (value,) if source is None else (Ref(self._use(source, "version", value), "json"),)
        if role == "path":
            if value.startswith("/"):
                return self._path(value, of, server=False)
            return self._filter(value, of, ())
        if role in {"name", "externalId"}:
            return self._name(value)
        return (value,)

    def _as_id(self, kind: str, value: str, span: Span) -> Text:
        known = self._id(kind, value, "json" if span.is_string else "plain")
        return (value,) if known is None else (known,)

    def _member_kind(self, pointer: tuple[str | int, ...], document: Any, last: str, value: str) -> str:  # noqa: ANN401
        around = value_at(document, pointer[:-1]) if pointer and pointer[-1] == "value" else None
        said = get(around, "$ref") or get(around, "type")
        if isinstance(said, str):
            for kind in ("User", "Group"):
                if f"{kind}s/" in said or said.lower() == kind.lower():
                    return kind
        if "groups" in pointer or last == "groups":
            return "Group"
        return "Group" if ("User", value) not in self._sources and ("Group", value) in self._sources else "User"

    def _location(self, value: str, of: Seen) -> Text:
        place = place_of(value, of)
        if place.where not in {"server", "relative"} or not place.endpoint:
            return (value,)
        if place.where == "relative":
            return self._path(value, of, server=False)
        path = urlsplit(value).path
        # urlsplit drops what no URL may hold: then this is none that a server would read.
        return self._path(value[value.index(path) :], of, server=True) if path in value else (value,)

    def _filter(self, text: str, of: Seen, inside: tuple[str, ...]) -> Text:
        """Return a filter, or a path with filters in it, with ids and made-up names as references."""
        if len(text) > _LONGEST_FILTER:
            return (text,)
        made: list[str | Ref] = []
        at, before = 0, inside
        for found in _COMPARED.finditer(text):
            if found["open"]:
                before = (*inside, *plain_path(found["open"]))
            elif found["close"]:
                before = inside
            elif found["path"]:
                names = (*before, *plain_path(found["path"]))
                value = found["value"]
                bare = value[1:-1] if value.startswith('"') else value
                piece = self._compared(names, bare, of)
                if any(isinstance(one, Ref) for one in piece):
                    begin = found.start("value") + (1 if value.startswith('"') else 0)
                    made += (text[at:begin], *piece)
                    at = begin + len(bare)
        return joined([*made, text[at:]])

    def _compared(self, names: tuple[str, ...], value: str, of: Seen) -> Text:
        role = role_of(names)
        if role == "id":
            known = self._id(type_of((of.operation.endpoint or "").strip("/")), value, "json")
        elif role == "member":
            kind = "Group" if names[0] == "groups" else "User"
            known = self._id(kind, value, "json") or self._id("Group", value, "json")
        elif role in {"name", "externalId"}:
            return self._name(value)
        else:
            known = None
        return (value,) if known is None else (known,)

    def _name(self, value: str) -> Text:
        """Return a name that the client made up with `fresh` in it, in whatever letters it is written."""
        at = self._names.get(value.lower())
        return (value,) if at is None else joined([value[:at], Ref(FRESH), value[at:]])

    def _id(self, kind: str, value: str, coding: Coding) -> Ref | None:
        source = self._sources.get((kind, value))
        return None if source is None else Ref(self._use(source, f"{kind}_id", value), coding)

    def _use(self, source: Source, stem: str, value: str) -> str:
        if source.name is None:
            word = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")
            word = word if word[:1].isalpha() else f"resource_{word}"
            self._counts[word] = self._counts.get(word, 0) + 1
            source.name = f"{word[:40]}_{self._counts[word]}"
            self._captured.append(source.name)
            capture = Capture(source.name, source.pointer, source.header, source.last_segment, value)
            self._made[source.at].captures.append(capture)
        return source.name

    # -- the answer

    def _learn(self, at: int, of: Seen) -> None:
        answer = of.exchange.response
        if answer is None or not 200 <= answer.status_code < 300:
            return
        created = of.exchange.request.method == "POST" and answer.status_code == 201
        for one in given(at, of):
            if one.what == "version":
                self._note_version(one.whose, one.value, one.source)
                continue
            have = self._sources.get((one.whose, one.value))
            if have is None or (created and len(one.source.pointer) < 2 and have.at != at):
                self._sources[one.whose, one.value] = one.source  # a deleted one may have had the same id

    def _note_version(self, whose: str, tag: str, source: Source) -> None:
        for key in ((whose, tag), ("", tag)):
            have = self._versions.get(key)
            # meta.version and ETag of one answer say the same: the first is kept, so that it is captured once.
            if have is None or have.at != source.at:
                self._versions[key] = source


def _percent(text: str) -> str:
    """Return a part of a URL with what no URL may hold percent-encoded; escapes stay."""
    return _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode("latin-1", "replace")), text)


def _json_inside(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _label(of: Seen) -> str:
    """Return the request in a form in which those of a kind are alike: `GET /Users/{id}`."""
    operation, method = of.operation, of.exchange.request.method
    if not operation.is_scim or not operation.endpoint:
        return clean(f"{method} {of.exchange.request.path}", 80)
    tail = "/{id}" if operation.resource_id and operation.kind != "create" else ""
    query = "?filter" if operation.filter is not None else ""
    return clean(f"{method} {operation.endpoint}{tail}{query}", 80)
