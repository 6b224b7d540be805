"""An in-memory SCIM 2.0 server without a network: a `Call` in, an `Answer` out (RFC 7643, RFC 7644).

One rule: pure. The clock and the source of ids are handed in; the same calls give the same answers. What a
server may do differently is in `Dialect`, never decided here.
Flow: demo.py (HTTP) -> Directory.handle -> conform, patch, filters, listing, bulk, discovery -> Answer.
Not thread-safe: one call at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from scimproxy.exchange import Headers
from scimproxy.scim.bulk import run_bulk
from scimproxy.scim.conform import conform, keep_immutable
from scimproxy.scim.dialect import (
    DEFAULT_DIALECT,
    ERROR,
    LIST_RESPONSE,
    PATCH_OP,
    Answer,
    Call,
    Dialect,
    Json,
    Refusal,
    ResourceType,
    message_of,
)
from scimproxy.scim.discovery import ENDPOINTS, discover
from scimproxy.scim.filters import FilterSyntaxError, check_filter, matches, parse_filter
from scimproxy.scim.listing import Projection, Query, order, page, page_size
from scimproxy.scim.members import Members, settled
from scimproxy.scim.patch import PatchError, apply_patch
from scimproxy.scim.schemas import Registry
from scimproxy.scim.versions import is_current

__all__ = ["Directory", "Record"]

_ITEM_METHODS = ("GET", "HEAD", "PUT", "PATCH", "DELETE")
_LIST_METHODS = ("GET", "HEAD", "POST")
_ID_TRIES = 1000


@dataclass(frozen=True, slots=True)
class Record:
    """A resource as it is kept: what clients wrote, and what the server knows of it. Times are Unix seconds."""

    kind: ResourceType
    id: str
    resource: Json
    created_at: float
    modified_at: float
    revision: int = 1

    @property
    def version(self) -> str:
        """The weak entity tag (RFC 7644 section 3.14)."""
        return f'W/"{self.revision}"'


class Directory:
    """The resources of one SCIM server.

    `clock` returns Unix seconds; `new_id` returns ids, none twice and none with "bulkId" in it.
    """

    def __init__(
        self, *, clock: Callable[[], float], new_id: Callable[[], str], dialect: Dialect = DEFAULT_DIALECT
    ) -> None:
        self.dialect = dialect
        self._clock = clock
        self._new_id = new_id
        self._records: dict[str, Record] = {}
        self._taken: dict[tuple[str, str, str], str] = {}
        self._members = Members()
        self._promised: set[str] = set()
        self._registry = _registry(dialect)

    # -- for those who seed and look ------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._records)

    def records(self, type_name: str | None = None) -> list[Record]:
        """Return what is kept, in the order of creation; of one resource type if it is named."""
        return [record for record in self._records.values() if type_name in (None, record.kind.name)]

    def record(self, resource_id: str) -> Record | None:
        """Return the resource of that id."""
        return self._records.get(resource_id)

    def seed(
        self, type_name: str, resource: Json, *, resource_id: str | None = None, created_at: float | None = None
    ) -> Record:
        """Put a resource in, as a client would create it, under an id of the caller's choice.

        Raises:
            Refusal: a client would have been refused too.
            KeyError: the dialect has no such resource type.
        """
        kind = {kind.name: kind for kind in self.dialect.resource_types}[type_name]
        return self._create(kind, resource, resource_id or self._fresh_id(), created_at)

    # -- calls ----------------------------------------------------------------------------------------------

    def handle(self, call: Call) -> Answer:
        """Answer a call. Never raises for what a client sends."""
        try:
            return self._perform(call, None)
        except Refusal as refusal:
            return self._error(refusal)

    def _error(self, refusal: Refusal) -> Answer:
        body: Json = {"schemas": [ERROR]}
        if refusal.scim_type is not None:
            body["scimType"] = refusal.scim_type
        body["detail"] = refusal.detail
        body["status"] = refusal.status if self.dialect.error_status == "integer" else str(refusal.status)
        shown = {name: value for name, value in body.items() if name not in self.dialect.error_without}
        return self._typed(Answer(refusal.status, refusal.headers, shown))

    def _typed(self, answer: Answer) -> Answer:
        if answer.body is None:
            return answer
        return replace(answer, headers=answer.headers.with_field("Content-Type", self.dialect.content_type))

    def _perform(self, call: Call, new_id: str | None) -> Answer:
        segments = call.segments()
        first = segments[0].lower() if segments else ""
        if first in ENDPOINTS:
            return self._typed(discover(call, segments, self.dialect, lambda path: self._located(call, path)))
        if first == "me" and len(segments) == 1:
            return self._me(call)
        if first == "bulk" and len(segments) == 1 and self.dialect.bulk:
            return self._bulk(call)
        if not segments or segments == (".search",):
            return self._typed(self._list(call, self.dialect.resource_types, searching=bool(segments)))
        kind = self.dialect.type_at(f"/{segments[0]}")
        if kind is None or len(segments) > 2:
            raise Refusal(404, self.dialect.text("no_endpoint", path=call.path))
        if len(segments) == 1 and call.method == "POST":
            return self._typed(self._post(call, kind, new_id))
        if len(segments) == 1 or segments[1] == ".search":
            return self._typed(self._list(call, (kind,), searching=len(segments) == 2))
        return self._typed(self._item(call, kind, segments[1]))

    def _not_allowed(self, call: Call, *allowed: str) -> Refusal:
        text = self.dialect.text("method", method=call.method, path=call.path)
        return Refusal(self.dialect.method_status, text, headers=Headers([("Allow", ", ".join(allowed))]))

    def _me(self, call: Call) -> Answer:
        record = self._records.get(call.user) if call.user is not None else None
        if record is None or self.dialect.me == "unsupported":
            raise Refusal(501, self.dialect.text("me"))
        path = f"{record.kind.endpoint}/{quote(record.id, safe='')}"
        if self.dialect.me == "redirect":
            return Answer(308, Headers([("Location", call.base_url + path)]))
        return self._perform(replace(call, path=path), None)

    def _message(self, call: Call) -> Json:
        given = call.headers.get("Content-Type")
        if given is not None and given.split(";")[0].strip().lower() not in self.dialect.request_types:
            raise Refusal(415, self.dialect.text("media_type", given=given))
        return message_of(call.content, self.dialect)

    def _bulk(self, call: Call) -> Answer:
        if call.method != "POST":
            raise self._not_allowed(call, "POST")
        if len(call.content) > self.dialect.max_payload:
            raise Refusal(
                413, f"The body has {len(call.content)} bytes; a bulk request may have {self.dialect.max_payload}"
            )
        message = self._message(call)
        try:
            answer, lost = run_bulk(
                message, call, self.dialect, perform=self._bulk_part, refuse=self._error, new_id=self._promise
            )
        finally:
            self._promised.clear()
        for lost_id in lost:
            self._forget_member(lost_id)
        return self._typed(answer)

    def _promise(self) -> str:
        made = self._fresh_id()
        self._promised.add(made)
        return made

    def _bulk_part(self, call: Call, new_id: str | None) -> Answer:
        first = call.segments()[:1]
        if not first or self.dialect.type_at(f"/{first[0]}") is None:
            raise Refusal(404, self.dialect.text("no_endpoint", path=call.path))
        return self._perform(call, new_id)

    # -- lists ----------------------------------------------------------------------------------------------

    def _list(self, call: Call, kinds: tuple[ResourceType, ...], *, searching: bool) -> Answer:
        if searching:
            if call.method != "POST":
                raise self._not_allowed(call, "POST")
            query = Query.of_message(self._message(call))
        else:
            if call.method not in {"GET", "HEAD"}:
                raise self._not_allowed(call, *(_LIST_METHODS if len(kinds) == 1 else _LIST_METHODS[:2]))
            query = Query.of_parameters(call.parameters())
        records = [record for record in self._records.values() if record.kind in kinds]
        total = len(records)
        if query.filter is None and query.sort_by is None:
            wanted = [self._whole(record, call) for record in page(records, query, self.dialect)]
        else:
            found = self._found([self._whole(record, call) for record in records], query, kinds)
            total, wanted = len(found), list(page(found, query, self.dialect))
        shown = [self._projected(one, query.projection, self._kind_of(one)) for one in wanted]
        body: Json = {
            "schemas": [LIST_RESPONSE],
            "totalResults": total,
            "startIndex": query.start_index,
            "itemsPerPage": len(shown) if self.dialect.items_per_page == "shown" else page_size(query, self.dialect),
        }
        if shown or self.dialect.empty_resources == "array":
            body["Resources"] = shown
        elif self.dialect.empty_resources == "null":
            body["Resources"] = None
        return Answer(200, body=body)

    def _found(self, every: list[Json], query: Query, kinds: tuple[ResourceType, ...]) -> list[Json]:
        found = every
        if query.filter is not None and self.dialect.filter:
            found = self._filtered(found, query.filter, kinds)
            if not found and self.dialect.empty_filter_status != 200:
                raise Refusal(self.dialect.empty_filter_status, "Nothing matches the filter")
        return order(found, query, kinds) if self.dialect.sort else found

    def _kind_of(self, resource: Json) -> ResourceType:
        return self._records[resource["id"]].kind

    def _filtered(self, found: list[Json], text: str, kinds: Iterable[ResourceType]) -> list[Json]:
        try:
            wanted = parse_filter(text)
            check_filter(wanted, self._registry)
        except FilterSyntaxError as exc:
            if self.dialect.bad_filters != "refuse":
                return found if self.dialect.bad_filters == "ignore" else []
            text = self.dialect.text("filter", position=exc.position + 1, problem=exc)
            raise Refusal(400, text, "invalidFilter") from None
        hidden = _never_returned(kinds)
        shown = [{key: value for key, value in one.items() if key not in hidden} for one in found]
        return [one for one, seen in zip(found, shown, strict=True) if matches(wanted, seen, self._registry)]

    # -- single resources -----------------------------------------------------------------------------------

    def _item(self, call: Call, kind: ResourceType, resource_id: str) -> Answer:
        if call.method not in _ITEM_METHODS:
            raise self._not_allowed(call, *_ITEM_METHODS)
        record = self._records.get(resource_id)
        if record is None or record.kind is not kind:
            raise Refusal(404, self.dialect.text("not_found", id=resource_id))
        projection = _projection(call)
        if is_current(call, record.version, self.dialect):
            return Answer(304, Headers([("ETag", record.version)]))
        if call.method == "DELETE":
            self._delete(record)
            return Answer(self.dialect.delete_status)
        if call.method == "PUT":
            record = self._replace(record, self._message(call))
        elif call.method == "PATCH":
            record = self._patch(record, call)
            if self.dialect.patch_answer == "empty" and not projection.attributes:
                return Answer(204, self._etag(record))
        return self._shown(record, call, projection)

    def _post(self, call: Call, kind: ResourceType, new_id: str | None) -> Answer:
        projection = _projection(call)
        record = self._create(kind, self._message(call), new_id or self._fresh_id())
        answer = self._shown(record, call, projection)
        if not self.dialect.location_header:
            return replace(answer, status=201)
        location = self._location(call, record)
        return replace(answer, status=201, headers=Headers([("Location", location), *answer.headers]))

    def _shown(self, record: Record, call: Call, projection: Projection) -> Answer:
        return Answer(200, self._etag(record), self._projected(self._whole(record, call), projection, record.kind))

    def _projected(self, whole: Json, projection: Projection, kind: ResourceType) -> Json:
        shown = projection.apply(whole, kind)
        if projection.attributes and not self.dialect.projected_schemas and "schemas" not in projection.attributes:
            del shown["schemas"]
        return shown

    def _etag(self, record: Record) -> Headers:
        return Headers([("ETag", record.version)] if self.dialect.etags else [])

    def _fresh_id(self) -> str:
        for _ in range(_ID_TRIES):
            made = self._new_id()
            if made not in self._records and made not in self._promised:
                return made
        raise RuntimeError("the source of ids repeats itself")

    # -- writing --------------------------------------------------------------------------------------------

    def _create(self, kind: ResourceType, given: Json, resource_id: str, created_at: float | None = None) -> Record:
        if len(self._records) >= self.dialect.max_resources:
            raise Refusal(507, self.dialect.text("full", limit=self.dialect.max_resources))
        now = self._clock() if created_at is None else created_at
        record = Record(kind, resource_id, conform(given, kind, self.dialect), now, now)
        self._check(record)
        self._keep(record, None)
        return record

    def _replace(self, record: Record, given: Json) -> Record:
        made = conform(given, record.kind, self.dialect)
        for name in _never_returned([record.kind]):
            if name in record.resource:
                made.setdefault(name, record.resource[name])  # a client cannot send back what it never sees
        return self._update(record, made)

    def _patch(self, record: Record, call: Call) -> Record:
        if not self.dialect.patch:
            raise Refusal(501, "PATCH is not supported")
        given = {key.lower(): value for key, value in self._message(call).items()}
        schemas, operations = given.get("schemas"), given.get("operations")
        if not isinstance(schemas, list) or PATCH_OP not in schemas:
            raise Refusal(400, f"schemas must name {PATCH_OP}", "invalidSyntax")
        if not isinstance(operations, list) or not operations:
            raise Refusal(400, "Operations must be an array with at least one operation", "invalidSyntax")
        try:
            patched = apply_patch(
                {
                    **self._whole(record, call),
                    **record.resource,
                },  # with what is read-only, so that it can be compared
                operations,
                registry=self._registry,
                string_booleans=self.dialect.string_booleans == "read",
                unknown_paths=self.dialect.unknown_attributes == "keep",
                replace_creates=self.dialect.replace_creates,
            )
        except PatchError as exc:
            raise Refusal(400, exc.detail, exc.scim_type) from None
        return self._update(record, conform(patched, record.kind, self.dialect))

    def _update(self, record: Record, made: Json) -> Record:
        keep_immutable(record.resource, made, record.kind)
        changed = replace(record, resource=made)
        self._check(changed)
        if changed.resource == record.resource:
            return record  # nothing changed, so neither does lastModified (RFC 7644 section 3.5.2)
        changed = replace(changed, modified_at=self._clock(), revision=record.revision + 1)
        self._keep(changed, record)
        return changed

    def _check(self, record: Record) -> None:
        members = record.resource.get("members")
        if isinstance(members, list):
            record.resource["members"] = settled(members, own_id=record.id, described=self._described)
        for key, value in self._unique_keys(record):
            if self.dialect.unique and self._taken.get(key, record.id) != record.id:
                text = self.dialect.text("unique", attribute=key[1], value=value)
                raise Refusal(409, text, "uniqueness")

    def _described(self, resource_id: str) -> Json | None:
        found = self._records.get(resource_id)
        if found is not None:
            return {"type": found.kind.name, "display": _display(found)}
        return {} if resource_id in self._promised or self.dialect.dangling_members == "keep" else None

    def _unique_keys(self, record: Record) -> list[tuple[tuple[str, str, str], str]]:
        found = []
        for attribute in record.kind.schema.attributes:
            value = record.resource.get(attribute.name)
            if attribute.uniqueness == "none" or not isinstance(value, str):
                continue
            exact = attribute.case_exact or (attribute.name == "userName" and self.dialect.user_name_case_exact)
            key = (record.kind.name, attribute.name, value if exact else value.casefold())
            found.append((key, value))
        return found

    def _keep(self, record: Record, before: Record | None) -> None:
        if before is not None:
            for key, _ in self._unique_keys(before):
                self._taken.pop(key, None)
        for key, _ in self._unique_keys(record):
            self._taken[key] = record.id
        self._records[record.id] = record
        old, new = _member_ids(before), _member_ids(record)
        self._members.put(record.id, new)
        touched = set(old) ^ set(new)
        if before is not None and _display(before) != _display(record):
            touched |= {*new, *self._members.direct(record.id)}
        self._touch(self._members.below(touched), skip=record.id)

    def _touch(self, ids: Iterable[str], *, skip: str | None = None) -> None:
        """What these resources show has changed by derivation, so their version moves too."""
        now = self._clock()
        for one in ids:
            record = self._records.get(one)
            if record is not None and one != skip:
                self._records[one] = replace(record, modified_at=now, revision=record.revision + 1)

    def _delete(self, record: Record) -> None:
        if self.dialect.delete == "deactivate" and any(a.name == "active" for a in record.kind.schema.attributes):
            self._update(record, {**record.resource, "active": False})
            return
        for key, _ in self._unique_keys(record):
            self._taken.pop(key, None)
        below = self._members.below(_member_ids(record))
        self._members.put(record.id, ())
        del self._records[record.id]
        self._touch(below)
        self._forget_member(record.id)

    def _forget_member(self, gone: str) -> None:
        """Take a resource that is no more out of every group."""
        for group_id in self._members.direct(gone) if self.dialect.forget_members else ():
            group = self._records[group_id]
            left = [member for member in group.resource["members"] if member["value"] != gone]
            resource = {**group.resource, "members": left}
            if not left:
                del resource["members"]
            changed = replace(group, resource=resource, modified_at=self._clock(), revision=group.revision + 1)
            self._records[group_id] = changed
            self._members.put(group_id, _member_ids(changed))

    # -- groups and their members ---------------------------------------------------------------------------

    def _shown_member(self, member: Json, call: Call) -> Json:
        found, wanted = self._records.get(member["value"]), self.dialect.member_attributes
        if found is None:
            return member
        shown = {"value": found.id, "$ref": self._location(call, found), "type": found.kind.name}
        shown["display"] = member.get("display") or _display(found)
        return {name: value for name, value in shown.items() if name in wanted or name in member}

    def _groups_of(self, record: Record, call: Call) -> list[Json]:
        direct = set(self._members.direct(record.id))
        shown = []
        for group_id in self._members.above(record.id):
            group = self._records[group_id]
            how = "direct" if group_id in direct else "indirect"
            location = self._location(call, group)
            shown.append({"value": group_id, "$ref": location, "display": _display(group), "type": how})
        return shown

    # -- representation -------------------------------------------------------------------------------------

    def _whole(self, record: Record, call: Call) -> Json:
        """Return the resource with everything the server adds, before projection."""
        resource = record.resource
        whole: Json = {"schemas": resource["schemas"], "id": record.id}
        whole |= {key: value for key, value in resource.items() if key != "schemas"}
        if "members" in resource:
            whole["members"] = [self._shown_member(member, call) for member in resource["members"]]
        if self.dialect.derive_groups and any(one.name == "groups" for one in record.kind.schema.attributes):
            groups = self._groups_of(record, call)
            if groups:
                whole["groups"] = groups
        whole["meta"] = {
            "resourceType": record.kind.name,
            "created": _instant(record.created_at),
            "lastModified": _instant(record.modified_at),
        }
        whole["meta"] |= self._located(call, f"{record.kind.endpoint}/{quote(record.id, safe='')}")
        if self.dialect.etags:
            whole["meta"]["version"] = record.version
        return whole

    def _location(self, call: Call, record: Record) -> str:
        return self._url(call, f"{record.kind.endpoint}/{quote(record.id, safe='')}")

    def _located(self, call: Call, path: str) -> dict[str, str]:
        return {} if self.dialect.locations == "none" else {"location": self._url(call, path)}

    def _url(self, call: Call, path: str) -> str:
        if self.dialect.locations == "path":
            return urlsplit(call.base_url).path + path
        return path if self.dialect.locations == "relative" else call.base_url + path


def _registry(dialect: Dialect) -> Registry:
    schemas = {schema.id: schema for kind in dialect.resource_types for schema in kind.schemas}
    if dialect.user_name_case_exact:
        for urn, schema in schemas.items():
            attributes = [replace(a, case_exact=True) if a.name == "userName" else a for a in schema.attributes]
            schemas[urn] = replace(schema, attributes=tuple(attributes))
    return Registry(tuple(schemas.values()))


def _never_returned(kinds: Iterable[ResourceType]) -> frozenset[str]:
    every = (attribute for kind in kinds for attribute in kind.schema.attributes)
    return frozenset(attribute.name for attribute in every if attribute.returned == "never")


def _projection(call: Call) -> Projection:
    given = call.parameters()
    return Projection.of(given.get("attributes", "").split(","), given.get("excludedAttributes", "").split(","))


def _member_ids(record: Record | None) -> tuple[str, ...]:
    members = record.resource.get("members", ()) if record is not None else ()
    return tuple(member["value"] for member in members) if isinstance(members, list) else ()


def _display(record: Record) -> str:
    return str(record.resource.get("displayName") or record.resource.get("userName") or record.id)


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
