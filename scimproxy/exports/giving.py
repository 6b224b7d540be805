"""What an answer gives to later requests: ids of resources, by their type, and versions, by whose they are.

One rule: the place is one that the same answer of another server has too: a member of JSON, or a header field.
Pure; variables.py asks it of every good answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from scimproxy.bind import place_of, type_of
from scimproxy.bodies import Seen
from scimproxy.exports.reading import is_id, spelled
from scimproxy.scim.changes import get

__all__ = ["Given", "Source", "given"]


@dataclass(slots=True)
class Source:
    """Where a value came from: exchange `at` of the run, and the place; `name` is given when a request uses it."""

    at: int
    pointer: tuple[str | int, ...]
    header: str
    last_segment: bool
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """A value that an answer gave: an `id` of the type `whose`, or a `version` of the resource `whose`."""

    what: Literal["id", "version"]
    whose: str
    value: str
    source: Source


def given(at: int, of: Seen) -> Iterator[Given]:
    """Yield what a good answer gives: ids with their type, the best place first, and versions with whose they are."""
    answer = of.exchange.response
    assert answer is not None
    body, endpoint = of.response.value, (of.operation.endpoint or "").strip("/")
    own = type_of(endpoint)
    tag = answer.headers.get("ETag")
    if tag:
        whose = get(body, "id") if of.operation.kind == "create" else of.operation.resource_id
        yield Given("version", str(whose or ""), tag, Source(at, (), "ETag", last_segment=False))
    resources = get(body, "Resources")
    if isinstance(resources, list):
        for number, one in enumerate(resources):
            yield from _resource(at, one, own, (spelled(body, "Resources"), number))
    elif isinstance(body, dict):
        yield from _resource(at, body, own, ())
        yield from _bulk(at, of)
    location = answer.headers.get("Location")
    if location and answer.status_code == 201:
        place = place_of(location, of)
        if place.id:
            yield Given("id", type_of(place.endpoint), place.id, Source(at, (), "Location", last_segment=True))


def _resource(at: int, resource: object, kind: str, pointer: tuple[str | int, ...]) -> Iterator[Given]:
    found = get(resource, "id")
    meta = get(resource, "meta")
    said = get(meta, "resourceType")
    kind = said if isinstance(said, str) and said else kind
    if not is_id(found):
        return
    yield Given("id", kind, str(found), Source(at, (*pointer, spelled(resource, "id")), "", last_segment=False))
    version = get(meta, "version")
    if isinstance(version, str) and version:
        place = (*pointer, spelled(resource, "meta"), spelled(meta, "version"))
        yield Given("version", str(found), version, Source(at, place, "", last_segment=False))
    for name, role in (("members", ""), ("groups", "Group")):
        listed = get(resource, name)
        for number, one in enumerate(listed if isinstance(listed, list) else ()):
            value = get(one, "value")
            if is_id(value):
                reference = str(get(one, "$ref") or get(one, "type") or "")
                member = role or ("Group" if "Group" in reference else "User")
                place = (*pointer, spelled(resource, name), number, spelled(one, "value"))
                yield Given("id", member, str(value), Source(at, place, "", last_segment=False))


def _bulk(at: int, of: Seen) -> Iterator[Given]:
    listed = get(of.response.value, "Operations")
    for number, one in enumerate(listed if isinstance(listed, list) else ()):
        location = get(one, "location")
        if isinstance(location, str):
            place = place_of(location, of)
            if place.id:
                pointer = (spelled(of.response.value, "Operations"), number, spelled(one, "location"))
                yield Given("id", type_of(place.endpoint), place.id, Source(at, pointer, "", last_segment=True))
