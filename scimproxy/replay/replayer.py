"""Each recorded exchange of a run as the request to send now: ids, names and versions of then become those of now.

One rule: a value is exchanged by its SCIM role and what was learned from answers, and nothing else changes: on a
server that answers as the recorded one did, the requests are those of the recording. What must not reach a stranger's
resource does not: an id whose resource this replay could not make is sent as one that nobody has.
Pure. Flow: run (list of Seen) -> Replayer.request -> client -> Replayer.learn -> bindings -> run_diff.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, unquote_plus

from scimproxy.bind import EXTERNAL, Bindings, type_of
from scimproxy.bodies import Seen
from scimproxy.decode import charset_of, decode, text_of
from scimproxy.exchange import EMPTY, Content, Exchange, Headers, Request
from scimproxy.hops import is_of_the_way
from scimproxy.proxy.engine import Target
from scimproxy.replay.json_text import with_strings, with_value
from scimproxy.replay.learning import Learner
from scimproxy.replay.names import Names
from scimproxy.replay.spots import (
    FIXED,
    Literal,
    Spot,
    body_spots,
    endpoint_and_id,
    filter_literals,
    path_literals,
    quoted,
)

__all__ = ["AUTH", "Edits", "Replayer", "absent_like"]

AUTH = "{{auth}}"
"""Stands in a request for the credentials, which only the wiring knows."""

_MARK = re.compile(r"sha256:([0-9a-f]{8})(?![0-9a-f])")
_TAG = re.compile(r'(W/)?"([^"]*)"')
_ORIGIN = re.compile(r"https?://([^/?#\s]*)", re.IGNORECASE)
_DECODED = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """What the user changes in every request: header fields (None removes), and values at JSON pointers."""

    headers: tuple[tuple[str, str | None], ...] = ()
    values: tuple[tuple[tuple[str, ...], Any], ...] = ()


class Replayer:
    """Turns the exchanges of one run into requests, and learns from their answers; ask and tell in any order.

    Args:
        run: the recorded exchanges, in their order, without secrets.
        target: where they go now.
        recorded: where they went, for telling the base path from what follows it.
        bindings: values that are known already; it grows.
        fresh: a word that is new in this replay, for new names; None keeps the names.
        edits: what the user wants otherwise.
    """

    def __init__(
        self,
        run: Sequence[Seen],
        target: Target,
        *,
        recorded: Target | None = None,
        bindings: Bindings | None = None,
        fresh: str | None = None,
        edits: Edits | None = None,
    ) -> None:
        self.bindings = Bindings() if bindings is None else bindings
        self._run = run
        self._target = target
        self._recorded = recorded
        self._edits = edits or Edits()
        names = Names(run)
        if fresh is not None:
            names.make_fresh(fresh, self.bindings)
        self._learner = Learner(self.bindings, names, run)
        self._accepted = _accepted(run)

    def learn(self, at: int, answer: Seen) -> None:
        """Take in what came back for the exchange at this index of the run."""
        self._learner.learn(self._run[at], answer)

    # --- what can be sent

    def refused(self, at: int, whole: Exchange | None = None) -> str | None:
        """Return why a recorded request cannot be sent again, or None."""
        exchange = whole or self._run[at].exchange
        if exchange.request.content.truncated:
            return "its body was stored in part only"
        if exchange.state == "pending":
            return "it was in flight when the recording was read"
        if exchange.origin == "proxy" and exchange.failure is not None and exchange.failure.kind == "blocked":
            return "scimproxy had refused it, so the server never saw it"
        if exchange.request.method == "CONNECT" or "upgrade" in exchange.request.headers:
            return "it opened a connection for another protocol"
        return None

    def secrets(self) -> list[str]:
        """Return what the recording does not hold because it was secret, in sentences."""
        run, found = self._run, list[str]()
        if any(_authorization(it) in self._accepted for it in run):
            found.append("credentials were not kept (Authorization): pass them with --auth")
        others = sorted({name for it in run for name, value in it.exchange.request.headers if _lost(name, value)})
        if others:
            names = ", ".join(others)
            found.append(f"these header fields held secrets that were not kept: {names}; --set-header gives them")
        if any(_MARK.search(it.exchange.request.target) for it in run):
            found.append("secrets in the query were not kept; their fingerprints are sent")
        made = sum(
            any(spot.role == "secret" and _MARK.fullmatch(spot.value) for spot in body_spots(it.request.value, ""))
            for it in run
            if it.exchange.request.content.redacted
        )
        if made:
            found.append(f"passwords were not kept (in {made} of the requests): made-up ones are sent")
        return found

    # --- making a request

    def request(self, at: int, whole: Exchange | None = None) -> Request:
        """Return the request to send for the exchange at this index; `whole` where the run holds its body in short.

        `AUTH` stands where the credentials belong.
        """
        it = self._run[at]
        source = (whole or it.exchange).request
        writing = _Writing(self, it)
        content, coded = writing.content(source)
        headers = Headers(writing.headers(source, coded=coded))
        for name, value in self._edits.headers:
            headers = headers.without(name) if value is None else headers.with_field(name, value)
        return Request(source.method, writing.target(), headers=headers, content=content)

    def authorization(self, value: str) -> str:
        """Return AUTH for credentials that the recorded server took; wrong ones go out as the mark they left."""
        return AUTH if not self._accepted or value in self._accepted else value

    # --- values

    def id_now(self, kind: str, value: str) -> str:
        """Return what an id of then is now: bound, or one that nobody has where it would be somebody else's."""
        if kind in FIXED or not value or value.startswith("bulkId:"):
            return value
        found = self.bindings.b_of(kind, value)
        if found is not None:
            return found
        taken = self.bindings.a_of(kind, value) is not None
        return absent_like(value) if taken or (kind, value) in self._learner.unmade else value

    def member_now(self, kind: str, value: str) -> str:
        """Return what a member is now; groups may be members too, where nothing says which type it is."""
        group = self.bindings.b_of("Group", value)
        if kind == "User" and group is not None and self.bindings.b_of("User", value) is None:
            return group
        return self.id_now(kind, value)

    def version_now(self, of: tuple[str, str], value: str) -> str:
        """Return the entity tags of then, in If-Match or meta.version, as those of now."""
        known = self._learner.versions.get(of)
        if not known:
            return value
        if '"' not in value:
            return known.get(value, value)
        return _TAG.sub(lambda tag: f'{tag[1] or ""}"{known.get(tag[2], tag[2])}"', value)

    @property
    def target(self) -> Target:
        """Where the requests go."""
        return self._target

    @property
    def recorded(self) -> Target | None:
        """Where the recorded requests went."""
        return self._recorded

    @property
    def edits(self) -> Edits:
        """What the user wants otherwise."""
        return self._edits


class _Writing:
    """One request while it is written."""

    def __init__(self, replayer: Replayer, it: Seen) -> None:
        self._now = replayer
        self._it = it
        self._own = (it.operation.endpoint or "").strip("/")

    def value(self, spot: Spot) -> str:
        """Return the value of now for one of then."""
        now, value = self._now, spot.value
        match spot.role:
            case "id":
                return now.id_now(spot.kind, value)
            case "member":
                return now.member_now(spot.kind, value)
            case "externalId":
                return now.bindings.b_of(EXTERNAL, value) or value
            case "name":
                return now.bindings.renamed(value)
            case "version":
                return now.version_now(spot.of, value)
            case "secret":
                return _MARK.sub(lambda mark: f"Replay1-{mark[1]}!", value) if _MARK.fullmatch(value) else value
            case "location":
                return self._url(value)
            case "filter":
                return self._literals(value, filter_literals(value, spot.kind))
            case "path" if value.startswith("/"):
                return self._below_base(value, value.lstrip("/").partition("/")[0])
            case "path":
                return self._literals(value, path_literals(value))
        return value

    def _literals(self, text: str, found: list[Literal]) -> str:
        for one in reversed(found):
            new = self.value(one.spot)
            if new != one.spot.value:
                text = f"{text[: one.start]}{quoted(new)}{text[one.end :]}"
        return text

    # --- URLs

    def target(self) -> str:
        """Return the request target."""
        exchange = self._it.exchange
        text = exchange.upstream_request_target or exchange.request.target
        origin = _ORIGIN.match(text)
        path, mark, query = text[origin.end() if origin else 0 :].partition("?")
        path = self._path(path)
        path = path if path.startswith("/") else f"/{path}"  # behind an origin, `@elsewhere` would name another host
        return f"{path}{mark}{'&'.join([self._parameter(part) for part in query.split('&')])}"

    def _parameter(self, part: str) -> str:
        name, mark, value = part.partition("=")
        if unquote_plus(name).lower() != "filter":
            return part
        text = unquote_plus(value)
        new = self.value(Spot("filter", text, type_of(self._own)))
        return part if new == text else f"{name}{mark}{_coded_like(value, new)}"

    def _path(self, path: str) -> str:
        """Return a path below the new base path, with the id of now."""
        for base in self._bases():
            if path == base or path.startswith(f"{base}/"):
                return f"{self._now.target.base_path}{self._below_base(path[len(base) :], self._own)}"
        return self._below_base(path, self._own)

    def _bases(self) -> Iterator[str]:
        if self._now.recorded is not None:
            yield self._now.recorded.base_path
        if self._it.operation.is_scim and self._it.operation.base_path is not None:
            yield self._it.operation.base_path

    def _below_base(self, path: str, own: str) -> str:
        endpoint, number = endpoint_and_id(path, own)
        new = self._now.id_now(type_of(endpoint), number)
        if new == number:
            return path
        parts = path.split("/")
        named = [at for at, part in enumerate(parts) if part]
        first = next(at for at, index in enumerate(named) if unquote(parts[index]) == endpoint)
        parts[named[first + 1]] = quote(new, safe="")
        return "/".join(parts)

    def _url(self, text: str) -> str:
        if not text:
            return text
        origin = _ORIGIN.match(text)
        if origin is None:
            path, mark, rest = text.partition("?")
            return f"{self._path(path)}{mark}{rest}"
        known = {self._it.host, (self._it.exchange.upstream_address or "").lower()}
        if self._now.recorded is not None:
            known.add(self._now.recorded.authority)
        if origin[1].lower() not in known:
            return text
        path, mark, rest = text[origin.end() :].partition("?")
        return f"{self._now.target.origin}{self._path(path)}{mark}{rest}"

    # --- header fields and body

    def headers(self, source: Request, *, coded: bool) -> Iterator[tuple[str, str]]:
        """Give the header fields; those of connections, proxies and lost secrets stay out."""
        endpoint, number = endpoint_and_id(source.path, self._own)
        for name, value in source.headers:
            lowered = name.lower()
            if lowered == "authorization":
                yield name, self._now.authorization(value)
            elif lowered in {"if-match", "if-none-match"}:
                yield name, self._now.version_now((type_of(endpoint), number), value)
            elif lowered == "content-encoding" and not coded:
                continue
            elif not is_of_the_way(name) and not _lost(name, value):
                yield name, value

    def content(self, source: Request) -> tuple[Content, bool]:
        """Return the content, and whether it is coded as its Content-Encoding says."""
        content, body = source.content, self._it.request
        if not content.size:
            return EMPTY, True
        if body.form != "json":
            return Content.of(content.data), not content.redacted
        _, number = endpoint_and_id(source.path, self._own)
        changes = {}
        for spot in body_spots(body.value, type_of(self._own), number):
            new = self.value(spot)
            if new != spot.value:
                changes[spot.pointer] = new
        read = text_of(decode(content, source.headers, limit=_DECODED).data, charset_of(source.headers))
        text = with_strings(read.text, changes) if changes else read.text
        text, edited = self._edited(text, source.method)
        if not changes and not edited:
            return Content.of(content.data), not content.redacted
        return Content.of(text.encode(read.charset, "surrogatepass")), False

    def _edited(self, text: str, method: str) -> tuple[str, bool]:
        """Return the body with the values that the user wants; what is missing is added to whole resources only."""
        edited = False
        for pointer, value in self._now.edits.values:
            document, found = with_value(json.loads(text), pointer, value, add=method in {"POST", "PUT"})
            if found:
                text, edited = json.dumps(document, ensure_ascii=False), True
        return text, edited


def absent_like(value: str) -> str:
    """Return an id that no server has, in the form of this one: a number stays a number, a UUID a UUID."""
    if value.isascii() and value.isdecimal():
        return f"{value}000000"[:18] if len(value) < 12 else value[::-1]
    digest = iter(hashlib.sha512(value.encode("utf-8", "surrogatepass")).digest() * (len(value) // 64 + 1))
    return "".join([_other(letter, next(digest)) for letter in value])


def _other(letter: str, chance: int) -> str:
    for alphabet in ("0123456789", "abcdef", "ABCDEF", "ghijklmnopqrstuvwxyz", "GHIJKLMNOPQRSTUVWXYZ"):
        if letter in alphabet:
            return alphabet[chance % len(alphabet)]
    return letter


def _coded_like(old: str, new: str) -> str:
    """Percent-code a value as the client coded the old one: what it left plain stays plain, `+` for a space too."""
    plain = "".join(sorted({one for one in old if one in "\"'()[]:/@!*,;$=?"}))
    return quote(new, safe=f"{plain} ").replace(" ", "+" if "+" in old else " " if " " in old else "%20")


def _authorization(it: Seen) -> str | None:
    return it.exchange.request.headers.get("Authorization")


def _accepted(run: Sequence[Seen]) -> frozenset[str]:
    """Return the Authorization values that the server took: answered with anything but 401 and 403."""
    found = set()
    for it in run:
        value, response = _authorization(it), it.exchange.response
        if value is not None and response is not None and response.status_code not in {401, 403}:
            found.add(value)
    return frozenset(found)


def _lost(name: str, value: str) -> bool:
    """Whether a header field held a secret of which the recording has only the mark."""
    if is_of_the_way(name) or name.lower() == "authorization":
        return False
    return _MARK.search(value) is not None
