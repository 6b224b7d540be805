"""Addresses inside answers: finds those that a client cannot use, and rewrites them.

One rule: pure, and what is not changed stays byte-identical; JSON is edited as text, never dumped anew. Looked at are
the header fields Location and Content-Location and, in an uncoded JSON body, `meta.location` and `$ref` at any depth
(RFC 7643 sections 2.3.7 and 3.1). A body with a content coding, one that is streamed or cut is not looked into: with
`rewrite_locations` the upstream is therefore asked for uncoded bodies (`forwarding.upstream_headers`).
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from scimproxy.exchange import Content, Headers, Response, Rewrite
from scimproxy.proxy.engine import EngineOptions

__all__ = ["Place", "find_locations", "rewrite_response"]

HEADER_NAMES = ("location", "content-location")
MAX_DEPTH = 100
_STALE_DIGESTS = ("content-digest", "repr-digest", "digest", "content-md5", "etag-md5")

_TOKEN = re.compile(r'"((?:[^"\\\x00-\x1f]|\\.)*)"|[{}\[\],:]|[^\s"{}\[\],:]+')
_HINT = re.compile(rb'"(?:\$ref|location)"', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """An address in an answer that a client cannot use: where, and what it is.

    `place` is `header:Location` or the JSON pointer of the member. `public` is what a client could use instead; None
    where the address is private but not the upstream's, so that nothing can be said.
    """

    place: str
    value: str
    public: str | None


def find_locations(response: Response, options: EngineOptions, public_origin: str | None) -> list[Place]:
    """Return the addresses in an answer that are private or the upstream's own; empty where clients can use all.

    `public_origin` is what clients see (`Caller.origin`); an address under it is fine whatever it looks like.
    """
    found = [
        place
        for name, value in response.headers
        if name.lower() in HEADER_NAMES and (place := _judge(f"header:{name}", value, options, public_origin))
    ]
    return found + [place for place, _, _ in _body_places(response, options, public_origin)]


def rewrite_response(
    response: Response, options: EngineOptions, public_origin: str | None
) -> tuple[Response, tuple[Rewrite, ...]]:
    """Return the answer with the upstream's addresses made public, and what was changed.

    Content-Length follows the new body, and digests of the old one are taken away.
    """
    rewrites: list[Rewrite] = []
    pairs: list[tuple[str, str]] = []
    for name, value in response.headers:
        place = _judge(f"header:{name}", value, options, public_origin) if name.lower() in HEADER_NAMES else None
        if place is not None and place.public is not None:
            rewrites.append(Rewrite(place.place, value, place.public))
            pairs.append((name, place.public))
        else:
            pairs.append((name, value))
    headers = Headers(pairs)
    content, changed = _rewrite_body(response, options, public_origin)
    if changed:
        headers = headers.without(*_STALE_DIGESTS)
        if "content-length" in headers:
            headers = headers.with_field("Content-Length", str(content.size))
    if not rewrites and not changed:
        return response, ()
    return replace(response, headers=headers, content=content), (*rewrites, *changed)


def _rewrite_body(
    response: Response, options: EngineOptions, public_origin: str | None
) -> tuple[Content, list[Rewrite]]:
    pieces: list[str] = []
    changed: list[Rewrite] = []
    text = ""
    at = 0
    for place, whole, (start, end) in _body_places(response, options, public_origin):
        text = whole
        if place.public is not None:
            pieces += [text[at:start], _quoted(place.public, text[start:end])]
            changed.append(Rewrite(place.place, place.value, place.public))
            at = end
    if not changed:
        return response.content, changed
    return Content.of("".join([*pieces, text[at:]]).encode()), changed


def _quoted(value: str, like: str) -> str:
    """Return a JSON string, with escaped slashes where the old one had them."""
    quoted = json.dumps(value)
    return quoted.replace("/", "\\/") if "\\/" in like else quoted


def _body_places(
    response: Response, options: EngineOptions, public_origin: str | None
) -> list[tuple[Place, str, tuple[int, int]]]:
    """Return the places in a JSON body, each with the text and the span of its string there."""
    content = response.content
    media = (response.headers.get("content-type") or "").partition(";")[0].strip().lower()
    coding = (response.headers.get("content-encoding") or "identity").strip().lower()
    if not media.endswith("json") or coding != "identity" or content.truncated or content.redacted:
        return []
    if _HINT.search(content.data) is None:
        return []
    try:
        text = content.data.decode()
    except UnicodeDecodeError:
        return []
    found = []
    for pointer, start, end in _strings(text):
        try:
            value = json.loads(text[start:end])
        except ValueError:
            continue
        place = _judge(pointer, value, options, public_origin)
        if place is not None:
            found.append((place, text, (start, end)))
    return found


@dataclass(slots=True)
class _Level:
    """A container being read: its last key or index."""

    is_object: bool
    key: str = ""
    index: int = 0
    expects_key: bool = True


def _strings(text: str) -> list[tuple[str, int, int]]:
    """Return pointer and span of every string that is a `$ref` or a `meta.location`; linear in the text's length."""
    found: list[tuple[str, int, int]] = []
    levels: list[_Level] = []
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if mark in {"{", "["}:
            if len(levels) == MAX_DEPTH:
                return found
            levels.append(_Level(is_object=mark == "{"))
        elif mark in {"}", "]"}:
            if not levels:
                return found
            levels.pop()
        elif not levels:
            continue
        elif mark == ",":
            levels[-1].expects_key = True
            levels[-1].index += 1
        elif mark == ":":
            levels[-1].expects_key = False
        elif mark[0] == '"' and levels[-1].is_object and levels[-1].expects_key:
            levels[-1].key = token.group(1)
        elif mark[0] == '"' and levels[-1].is_object and _is_address(levels):
            found.append((_pointer(levels), token.start(), token.end()))
    return found


def _is_address(levels: list[_Level]) -> bool:
    key = levels[-1].key.lower()
    if key == "$ref":
        return True
    return key == "location" and len(levels) > 1 and levels[-2].is_object and levels[-2].key.lower() == "meta"


def _pointer(levels: list[_Level]) -> str:
    """Return the RFC 6901 pointer of the member being read."""
    names = (level.key if level.is_object else str(level.index) for level in levels)
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)


def _judge(place: str, value: str, options: EngineOptions, public_origin: str | None) -> Place | None:
    """Return the place where the value is an address that clients cannot use; None where it is fine."""
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not host:
        return None
    origin = f"{parts.scheme}://{parts.netloc}"
    if public_origin is not None and origin.lower() == public_origin.lower():
        return None
    target = options.target
    port = port or (443 if parts.scheme == "https" else 80)
    same_host = host == target.host.lower() or (_is_loopback(host) and _is_loopback(target.host))
    if same_host and port == target.port:
        return Place(place, value, _public(value[len(origin) :], options, public_origin))
    return Place(place, value, None) if _is_private(host) else None


def _public(rest: str, options: EngineOptions, public_origin: str | None) -> str | None:
    if public_origin is None:
        return None
    base = options.target.base_path
    below = rest[len(base) :]
    if rest.startswith(base) and below[:1] in {"", "/", "?", "#"}:
        return public_origin + options.public_base + below
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_private(host: str) -> bool:
    """Whether a host means nothing on the public internet."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".localhost", ".internal", ".test", ".lan", ".home.arpa"))
