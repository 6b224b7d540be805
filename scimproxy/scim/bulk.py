"""Bulk requests (RFC 7644 section 3.7): many operations in one call, that may refer to each other by `bulkId`.

One rule: every POST gets its id before anything is done, so a reference can be resolved wherever it stands, also
when two new resources refer to each other (section 3.7.1). Each operation is carried out by the directory's own
`perform`, exactly as if it had come alone.
Flow: directory -> run_bulk() -> perform(Call) for each operation -> BulkResponse.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from scimproxy.exchange import Headers
from scimproxy.scim.dialect import BULK_REQUEST, BULK_RESPONSE, Answer, Call, Dialect, Json, Refusal, Value

__all__ = ["run_bulk"]

_PREFIX = "bulkId:"
_METHODS = ("POST", "PUT", "PATCH", "DELETE")

Perform = Callable[[Call, str | None], Answer]
"""Carries out one call or raises `Refusal`; the second argument is the id that a created resource gets."""


@dataclass(slots=True)
class _Plan:
    """One operation: what it needs, and what it became."""

    index: int
    method: str
    path: str
    bulk_id: str | None
    version: str | None
    data: Value
    needs: frozenset[str] = field(default_factory=frozenset)
    answer: Answer | None = None


def run_bulk(
    message: Json,
    call: Call,
    dialect: Dialect,
    *,
    perform: Perform,
    refuse: Callable[[Refusal], Answer],
    new_id: Callable[[], str],
) -> tuple[Answer, frozenset[str]]:
    """Carry out a BulkRequest; return the answer, and the ids that were promised to creations that failed.

    Raises:
        Refusal: 413 (too many operations), 400 invalidSyntax (the message as a whole is malformed).
    """
    given = {key.lower(): value for key, value in message.items()}
    plans = _plans(given, dialect)
    ids = {plan.bulk_id: new_id() for plan in plans if plan.method == "POST" and plan.bulk_id is not None}
    limit = _fail_limit(given.get("failonerrors"))
    errors = 0
    failed: set[str] = set()
    for plan in _ordered(plans):
        created = ids[plan.bulk_id] if plan.method == "POST" and plan.bulk_id is not None else None
        try:
            plan.answer = perform(_call(plan, call, ids, failed), created)
        except Refusal as refusal:
            plan.answer = refuse(refusal)
        if plan.answer.status >= 400:
            errors += 1
            if plan.method == "POST" and plan.bulk_id is not None:
                failed.add(plan.bulk_id)
            if limit is not None and errors >= limit:
                break
    results = [_result(plan, call.base_url) for plan in plans if plan.answer is not None]
    undone = {plan.bulk_id for plan in plans if plan.method == "POST" and plan.answer is None}
    lost = frozenset(ids[name] for name in (failed | undone) if name is not None)
    return Answer(200, body={"schemas": [BULK_RESPONSE], "Operations": results}), lost


def _plans(given: Json, dialect: Dialect) -> list[_Plan]:
    schemas = given.get("schemas")
    if not isinstance(schemas, list) or BULK_REQUEST not in schemas:
        raise Refusal(400, f"schemas must name {BULK_REQUEST}", "invalidSyntax")
    operations = given.get("operations")
    if not isinstance(operations, list) or not operations:
        raise Refusal(400, "Operations must be an array with at least one operation", "invalidSyntax")
    if len(operations) > dialect.max_operations:
        raise Refusal(413, f"{len(operations)} operations; this server takes {dialect.max_operations} at once")
    plans = [_plan(index, operation) for index, operation in enumerate(operations)]
    names = [plan.bulk_id for plan in plans if plan.method == "POST"]
    if len(set(names)) != len(names):
        raise Refusal(400, "A bulkId is used twice", "invalidSyntax")
    return plans


def _plan(index: int, operation: object) -> _Plan:
    where = f"Operations[{index}]"
    if not isinstance(operation, dict):
        raise Refusal(400, f"{where} must be an object", "invalidSyntax")
    given = {key.lower(): value for key, value in operation.items()}
    texts = {name: given.get(name) for name in ("method", "path", "bulkid", "version")}
    for name, value in texts.items():
        if value is not None and not isinstance(value, str):
            raise Refusal(400, f"{where}: {name} must be a string", "invalidSyntax")
    method, path = (texts["method"] or "").upper(), texts["path"] or ""
    if method not in _METHODS:
        raise Refusal(400, f"{where}: method must be one of {', '.join(_METHODS)}", "invalidSyntax")
    if not path.startswith("/"):
        raise Refusal(400, f"{where}: path must be relative to the base and begin with a slash", "invalidSyntax")
    if method == "POST" and not texts["bulkid"]:
        raise Refusal(400, f"{where}: a POST needs a bulkId", "invalidSyntax")
    if method != "DELETE" and not isinstance(given.get("data"), dict):
        raise Refusal(400, f"{where}: data must be an object", "invalidSyntax")
    data = None if method == "DELETE" else given["data"]
    plan = _Plan(index, method, path, texts["bulkid"], texts["version"], data)
    plan.needs = frozenset(_references(data)) | frozenset(_in_path(path))
    return plan


def _fail_limit(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Refusal(400, "failOnErrors must be an integer of at least 1", "invalidSyntax")
    return value


def _references(value: object) -> list[str]:
    if isinstance(value, str):
        return [value[len(_PREFIX) :]] if value.startswith(_PREFIX) else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [name for one in inner for name in _references(one)]


def _in_path(path: str) -> list[str]:
    return [part[len(_PREFIX) :] for part in path.split("?", maxsplit=1)[0].split("/") if part.startswith(_PREFIX)]


def _ordered(plans: list[_Plan]) -> list[_Plan]:
    """Creations come before what refers to them; in a circle, and otherwise, the order of the request holds."""
    makers = {plan.bulk_id: plan for plan in plans if plan.method == "POST"}
    done: set[int] = set()
    ordered: list[_Plan] = []
    for plan in plans:
        stack = [(plan, False)]
        entered: set[int] = set()
        while stack:
            current, ready = stack.pop()
            if current.index in done:
                continue
            if ready:
                done.add(current.index)
                ordered.append(current)
            elif current.index not in entered:
                entered.add(current.index)
                stack.append((current, True))
                needed = [makers[name] for name in current.needs if name in makers]
                stack.extend((one, False) for one in sorted(needed, key=lambda one: -one.index))
    return ordered


def _call(plan: _Plan, call: Call, ids: dict[str, str], failed: set[str]) -> Call:
    unknown = sorted(name for name in plan.needs if name not in ids or name in failed)
    if unknown:
        raise Refusal(409, f"bulkId {unknown[0]} was not created by this request", "invalidValue")
    headers = Headers([("Content-Type", "application/scim+json")])
    if plan.version is not None:
        headers = headers.with_field("If-Match", plan.version)
    path, _, query = plan.path.partition("?")
    path = "/".join(ids[part[len(_PREFIX) :]] if part.startswith(_PREFIX) else part for part in path.split("/"))
    content = b"" if plan.data is None else json.dumps(_resolved(plan.data, ids)).encode()
    return Call(plan.method, path, query, headers, content, call.base_url, call.user)


def _resolved(value: Value, ids: dict[str, str]) -> Value:
    if isinstance(value, str):
        return ids[value[len(_PREFIX) :]] if value.startswith(_PREFIX) else value
    if isinstance(value, dict):
        return {key: _resolved(inner, ids) for key, inner in value.items()}
    return [_resolved(inner, ids) for inner in value] if isinstance(value, list) else value


def _result(plan: _Plan, base_url: str) -> Json:
    answer = plan.answer
    assert answer is not None
    result: Json = {"method": plan.method}
    if plan.bulk_id is not None:
        result["bulkId"] = plan.bulk_id
    body = answer.body or {}
    meta = body.get("meta", {}) if answer.status < 400 else {}
    location = answer.headers.get("Location") or meta.get("location")
    version = answer.headers.get("ETag")
    if location is None and plan.method != "POST":
        location = base_url + plan.path
    if location is not None:
        result["location"] = location
    if version:
        result["version"] = version
    result["status"] = str(answer.status)
    if answer.status >= 400:
        result["response"] = answer.body
    return result
