"""What a recording tells of its server: a `Dialect`, how it makes ids, and which resources it had when it began.

One rule: a fact is inferred from exchanges that show it, and told with the sentence and the exchange that it comes
from; what no exchange shows stays as the RFCs ask for. Resources are those of the BEGINNING, so that the same
clients can be driven again: what was read or listed before the recording changed it, and nothing it created.
Pure. Flow: `Seen` exchanges -> `infer` -> Inferred -> intervening.py makes a `Directory` of it (`mock --stateful`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from scimproxy.bodies import Seen
from scimproxy.mock.inferring_schemas import resource_types
from scimproxy.scim.dialect import DEFAULT_DIALECT, Dialect, Json, ResourceType

__all__ = ["Fact", "IdForm", "Inferred", "Seed", "infer"]

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-f]{8,64}", re.IGNORECASE)
_DISCOVERED = frozenset({"ServiceProviderConfig", "ResourceType", "Schema"})
_MOST_SEEDS = 20_000


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that was inferred: what, and the exchange that shows it (None: no exchange does)."""

    text: str
    exchange_id: int | None = None


@dataclass(frozen=True, slots=True)
class IdForm:
    """How a server's ids look: uuid, hex or number, else letters and digits; `length` in characters."""

    kind: Literal["uuid", "hex", "number", "word"] = "uuid"
    length: int = 36
    upper: bool = False
    after: int = 0
    """For numbers: the greatest that was seen."""


@dataclass(frozen=True, slots=True)
class Seed:
    """A resource as it stood when the recording began."""

    type_name: str
    id: str
    resource: Json
    created: str | None = None


@dataclass(frozen=True, slots=True)
class Inferred:
    """Everything that a stateful mock is made of.

    `credentials` are the Authorization values (fingerprints) that worked; empty: none were needed.
    """

    dialect: Dialect
    ids: IdForm
    seeds: tuple[Seed, ...]
    facts: tuple[Fact, ...]
    credentials: frozenset[str]
    unauthorized: Seen | None
    """A recorded 401, which is answered again."""


def infer(exchanges: Sequence[Seen]) -> Inferred:
    """Return what the exchanges tell of their server."""
    return _Reading([one for one in exchanges if one.operation.is_scim and one.exchange.response is not None]).all()


def _status(of: Seen) -> int:
    assert of.exchange.response is not None
    return of.exchange.response.status_code


def _member(value: object, name: str) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(value, dict):
        return None
    found = value.get(name)
    if found is not None:
        return found
    return next((inner for key, inner in value.items() if key.lower() == name.lower()), None)


def _resources(of: Seen) -> Iterator[Json]:
    """Give the resources that a good answer shows: one, or a list's."""
    if _status(of) >= 300 or of.response.form != "json" or of.operation.kind in {"discovery", "bulk"}:
        return
    listed = _member(of.response.value, "Resources")
    for one in listed if isinstance(listed, list) else [of.response.value]:
        if isinstance(one, dict) and isinstance(one.get("id"), str):
            yield one


class _Reading:
    """One recording while it is read."""

    def __init__(self, exchanges: list[Seen]) -> None:
        self._all = exchanges
        self._facts: list[Fact] = []
        self._changes: dict[str, Any] = {}
        self._texts: dict[str, str] = {}

    def all(self) -> Inferred:
        types = self._types()
        self._changes["resource_types"] = types
        for look in (
            self._media,
            self._config,
            self._statuses,
            self._methods,
            self._projections,
            self._locations,
            self._lists,
            self._filters,
            self._deleting,
            self._members,
            self._names,
            self._errors,
        ):
            look()
        ids = self._id_form()
        dialect = replace(DEFAULT_DIALECT, **self._changes, texts=self._texts)
        credentials, unauthorized = self._access()
        seeds = tuple(self._seeds(dialect))
        self._tell(f"resources that were there when the recording began: {len(seeds)}")
        return Inferred(dialect, ids, seeds, tuple(self._facts), credentials, unauthorized)

    def _tell(self, text: str, of: Seen | None = None) -> None:
        self._facts.append(Fact(text, None if of is None else of.exchange.id))

    def _set(self, text: str, of: Seen, **fields: object) -> None:
        """Note fields of the dialect, and what shows them."""
        self._changes |= fields
        self._tell(text, of)

    def _where(self, wanted: Callable[[Seen], bool]) -> Iterator[Seen]:
        return (one for one in self._all if wanted(one))

    def _of_kind(self, *kinds: str, good: bool = True) -> Iterator[Seen]:
        return self._where(lambda one: one.operation.kind in kinds and (_status(one) < 300) == good)

    # --- what it is

    def _types(self) -> tuple[ResourceType, ...]:
        types, facts = resource_types(self._all)
        for text, of in facts:
            self._tell(text, of)
        return types

    def _media(self) -> None:
        found: Counter[str] = Counter()
        for one in self._where(lambda it: it.response.form == "json"):
            assert one.exchange.response is not None
            found[one.exchange.response.headers.get("content-type") or ""] += 1
        for media, _ in found.most_common(1):
            if media and media.isprintable():
                self._changes["content_type"] = media
                self._tell(f"answers are {media}")

    def _config(self) -> None:
        for one in self._of_kind("discovery"):
            body = one.response.value
            if one.operation.resource_type != "ServiceProviderConfig" or not isinstance(body, dict):
                continue
            said = {
                name: bool(_member(_member(body, name), "supported"))
                for name in ("patch", "bulk", "filter", "sort", "etag")
                if isinstance(_member(body, name), dict)
            }
            self._changes |= {"etags" if name == "etag" else name: value for name, value in said.items()}
            most = _member(_member(body, "filter"), "maxResults")
            if isinstance(most, int) and not isinstance(most, bool) and 0 < most < 1_000_000:
                self._changes["max_page"] = most
            off = sorted(name for name, value in said.items() if not value)
            self._tell(f"it says it cannot: {', '.join(off) or 'nothing'}; pages hold {most} at most", one)
            return

    # --- what it answers

    def _statuses(self) -> None:
        for one in self._of_kind("patch"):
            empty = _status(one) == 204
            self._set(f"PATCH answers {_status(one)}", one, patch_answer="empty" if empty else "resource")
            break
        for one in self._of_kind("delete"):
            self._set(f"DELETE answers {_status(one)}", one, delete_status=_status(one))
            break
        for one in self._of_kind("create"):
            assert one.exchange.response is not None
            there = "location" in one.exchange.response.headers
            self._set(f"Location of what was created: {'yes' if there else 'no'}", one, location_header=there)
            versioned = isinstance(_member(_member(one.response.value, "meta"), "version"), str)
            self._set(f"meta.version: {'yes' if versioned else 'no'}", one, etags=versioned)
            break

    def _methods(self) -> None:
        """What is answered to a method that discovery does not have (RFC 7644 section 4)."""
        for one in self._where(lambda it: it.operation.resource_type in _DISCOVERED and it.operation.kind == "other"):
            if one.exchange.request.method not in {"GET", "HEAD", "OPTIONS"} and _status(one) in {404, 405, 501}:
                self._set(f"writing to discovery is answered {_status(one)}", one, method_status=_status(one))
                return

    def _projections(self) -> None:
        """Whether `schemas` is shown to those who ask for other attributes only."""
        for one in self._where(lambda it: bool(it.operation.attributes) and "schemas" not in it.operation.attributes):
            for resource in _resources(one):
                shown = "schemas" in resource
                word = "yes" if shown else "no"
                self._set(f"schemas is shown with other attributes: {word}", one, projected_schemas=shown)
                return

    def _locations(self) -> None:
        for one in self._all:
            for resource in _resources(one):
                if _member(one.response.value, "meta") is None and one.operation.attributes:
                    continue
                url = _member(_member(resource, "meta"), "location")
                base = one.operation.base_path or ""
                form = "none"
                if isinstance(url, str):
                    form = "absolute" if "://" in url else "path" if url.startswith(f"{base}/") else "relative"
                self._set(f"meta.location: {form}", one, locations=form)
                return

    def _lists(self) -> None:
        pages = list(self._of_kind("list"))
        for one in pages:
            total, shown = one.operation.total_results, len(list(_resources(one)))
            said = _member(one.response.value, "itemsPerPage")
            if not isinstance(said, int) or isinstance(said, bool) or one.operation.count == 0:
                continue
            if said > shown:
                self._set("itemsPerPage is the size of a page, not what is on it", one, items_per_page="asked")
            if one.operation.count is None and said > 0 and (said > shown or (total or 0) > shown == said):
                self._set(f"a page holds {said} where the client does not say", one, page_size=said)
                break
        for one in pages:
            if one.operation.total_results == 0 and one.operation.count != 0:
                form = "absent" if "Resources" not in one.response.value else "array"
                form = "null" if form == "array" and one.response.value["Resources"] is None else form
                self._set(f"Resources of an empty list: {form}", one, empty_resources=form)
                break

    def _filters(self) -> None:
        for one in self._all:
            operation = one.operation
            if operation.kind != "list" or operation.filter is None:
                continue
            if operation.filter_problem is not None and _status(one) < 300:
                form = "nothing" if not list(_resources(one)) else "ignore"
                self._set(f"a filter that does not parse: {form}", one, bad_filters=form)
            elif operation.filter_problem is None and _status(one) == 404:
                self._set("a filter without a match answers 404", one, empty_filter_status=404)

    def _deleting(self) -> None:
        """A resource that is read after its DELETE is only deactivated."""
        gone: dict[str, Seen] = {}
        for one in self._all:
            id_ = one.operation.resource_id or ""
            if one.operation.kind == "delete" and _status(one) < 300:
                gone[id_] = one
            elif one.operation.kind == "read" and id_ in gone:
                kept = _status(one) < 300
                word = "deactivates" if kept else "removes"
                self._set(f"DELETE {word}", one, delete="deactivate" if kept else "remove")
                return

    def _members(self) -> None:
        """How groups show their members, and whether users show their groups."""
        gone: set[str] = set()
        known: dict[str, set[str]] = {}
        inside: set[str] = set()
        for one in self._all:
            if one.operation.kind == "delete" and _status(one) < 300:
                gone.add(one.operation.resource_id or "")
                if known.pop(one.operation.resource_id or "", None):
                    inside = set().union(*known.values())
            for resource in _resources(one):
                members = _member(resource, "members")
                if isinstance(members, list) and members and all(isinstance(it, dict) for it in members):
                    names = frozenset().union(*members) | {"value"}
                    if "member_attributes" not in self._changes:
                        self._set(f"members show {', '.join(sorted(names))}", one, member_attributes=names)
                    values = {it["value"] for it in members if isinstance(it.get("value"), str)}
                    known[resource["id"]] = values
                    inside = set().union(*known.values())
                    if values & gone and self._changes.get("forget_members", True):
                        self._set("groups keep members that were deleted", one, forget_members=False)
                        self._changes["dangling_members"] = "keep"
                elif resource["id"] in inside:
                    shown = _member(resource, "groups") is not None
                    if not one.operation.attributes and not one.operation.excluded_attributes:
                        self._set(f"users show their groups: {'yes' if shown else 'no'}", one, derive_groups=shown)
                elif _member(resource, "groups") is not None:
                    self._set("users show their groups: yes", one, derive_groups=True)
        self._changes.setdefault("derive_groups", True)

    def _names(self) -> None:
        """Whether two users may have one name, and whether the case of its letters counts."""
        taken: dict[str, tuple[str, str]] = {}
        for one in self._of_kind("create", "delete"):
            id_, name = one.operation.resource_id or "", _member(one.request.value, "userName")
            if one.operation.kind == "delete":  # its name is free again
                taken = {lowered: known for lowered, known in taken.items() if known[0] != id_}
                continue
            if not isinstance(name, str):
                continue
            before = taken.get(name.lower())
            if before is not None and before[1] == name:
                self._set("a userName may be there twice", one, unique=False)
            elif before is not None:
                self._set("the case of a userName's letters counts", one, user_name_case_exact=True)
            taken[name.lower()] = (id_, name)

    # --- errors

    def _errors(self) -> None:
        """The words and the form of errors, by what was asked."""
        members: set[str] = set()
        for one in self._where(lambda it: _status(it) >= 400 and it.response.form == "json"):
            body = one.response.value
            if not isinstance(body, dict) or not isinstance(body.get("detail"), str):
                continue
            if not members and not isinstance(body.get("status"), str) and body.get("status") is not None:
                self._set("status in errors is a number", one, error_status="integer")
            members |= body.keys()
            if _status(one) == 400 and "canonical" in body["detail"].lower():
                self._set("values that are not canonical are refused", one, canonical_values="enforce")
            if _status(one) != 401:
                self._text(one, body["detail"])
        without = frozenset({"schemas", "status"} - members) if members else frozenset()
        if without:
            self._changes["error_without"] = without
            self._tell(f"errors have no {', '.join(sorted(without))}")

    def _text(self, of: Seen, detail: str) -> None:
        key, values = self._error_key(of)
        if key is None or key in self._texts or not detail.isprintable():
            return
        text = detail.replace("{", "{{").replace("}", "}}")
        for name, value in values:
            if len(value) > 1 or name == "id":
                text = text.replace(value.replace("{", "{{").replace("}", "}}"), f"{{{name}}}")
        self._texts[key] = text
        self._tell(f"{key.replace('_', ' ')}: {detail[:80]}", of)

    def _error_key(self, of: Seen) -> tuple[str | None, list[tuple[str, str]]]:
        operation, status = of.operation, _status(of)
        body = of.request.value if of.request.form == "json" else None
        if status == 404 and operation.resource_id and operation.kind in {"read", "replace", "patch", "delete"}:
            return "not_found", [("id", operation.resource_id)]
        if status == 409 and operation.kind in {"create", "replace"}:
            name = _member(body, "userName") or _member(body, "displayName")
            attribute = "userName" if _member(body, "userName") else "displayName"
            return "unique", [("value", str(name)), ("attribute", attribute)] if name else []
        if status != 400:
            return None, []
        if operation.filter_problem is not None:
            return "filter", []
        if of.request.form == "text":
            return "json", []
        if operation.kind == "create" and isinstance(body, dict) and not _member(body, "userName"):
            return "required", [("attribute", "userName")]
        return None, []

    # --- ids, access, resources

    def _id_form(self) -> IdForm:
        ids = [
            (one.operation.resource_id, one)
            for one in self._all
            if one.operation.resource_id
            and one.operation.kind in {"create", "read", "patch", "replace"}
            and _status(one) < 300
        ]
        if not ids:
            return IdForm()
        found, of = ids[0]
        form = IdForm("word", len(found))
        if all(one.isascii() and one.isdigit() and len(one) < 16 for one, _ in ids):
            form = IdForm("number", len(found), after=max(int(one) for one, _ in ids))
        elif all(_UUID.fullmatch(one) for one, _ in ids):
            form = IdForm("uuid", 36, upper=found != found.lower())
        elif all(_HEX.fullmatch(one) for one, _ in ids):
            form = IdForm("hex", len(found), upper=found != found.lower())
        self._tell(f"ids are {form.kind}s, like {found[:60]}", of)
        return form

    def _access(self) -> tuple[frozenset[str], Seen | None]:
        worked: set[str] = set()
        refused = None
        for one in self._all:
            said = one.exchange.request.headers.get("authorization") or ""
            if _status(one) in {401, 403}:
                refused = refused or one
            elif one.operation.kind != "discovery":
                worked.add(said)
        if not worked or "" in worked:
            self._tell("it lets everybody in")
            return frozenset(), None
        self._tell(f"it wants credentials: {', '.join(sorted(worked))[:100]}", refused)
        return frozenset(worked), refused

    def _seeds(self, dialect: Dialect) -> Iterator[Seed]:
        """Give the resources of the beginning: the first sight of each, before the recording made or changed it."""
        kinds = {kind.endpoint: kind.name for kind in dialect.resource_types}
        touched: set[str] = set()
        found: dict[str, Seed] = {}
        for one in self._all:
            kind = kinds.get(one.operation.endpoint or "")
            if kind is None or _status(one) >= 300:
                continue
            if one.operation.kind == "create":
                touched.update(resource["id"] for resource in _resources(one))
                continue
            whole = not one.operation.attributes and not one.operation.excluded_attributes
            for resource in _resources(one):
                id_ = resource["id"]
                better = whole and one.operation.kind in {"read", "list", "search"}
                better = better and id_ in found and len(resource) > len(found[id_].resource)
                if id_ in touched or (id_ in found and not better):
                    continue
                if len(found) < _MOST_SEEDS or id_ in found:
                    created = _member(_member(resource, "meta"), "created")
                    found[id_] = Seed(kind, id_, resource, created if isinstance(created, str) else None)
            if one.operation.kind in {"replace", "patch", "delete"} and one.operation.resource_id:
                touched.add(one.operation.resource_id)
        groups = [one for one in found.values() if one.type_name == "Group"]
        yield from (one for one in found.values() if one.type_name != "Group")
        yield from groups
