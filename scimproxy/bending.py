"""How traffic is bent: the small functions on a Call, an Answer or a Reply of which the defects are made.

One rule: each does one wrong thing and leaves everything else alone; none keeps state.
Flow: defects.DEFECTS names them, demo._handle applies them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode

from scimproxy.exchange import Headers
from scimproxy.scim.dialect import ERROR, LIST_RESPONSE, Answer, Call, Json
from scimproxy.scim.directory import Directory
from scimproxy.scim.discovery import ENDPOINTS
from scimproxy.scim.filters import FilterSyntaxError, parse_filter

__all__ = ["OnAnswer", "OnCall", "OnReply", "Reply", "Scene"]


@dataclass(frozen=True, slots=True)
class Scene:
    """What a defect may look at."""

    directory: Directory


@dataclass(frozen=True, slots=True)
class Reply:
    """A response on its way to the wire. `raw` replaces everything else by these bytes; `delay_s` is seconds."""

    status: int
    headers: Headers
    content: bytes
    raw: bytes | None = None
    close: bool = False
    delay_s: float = 0.0


OnCall = Callable[[Call, Scene], Call]
OnAnswer = Callable[[Answer, Call, Scene], Answer]
OnReply = Callable[[Reply, Call, Scene], Reply]


# -- small parts -----------------------------------------------------------------------------------------------


def first(call: Call) -> str:
    """Return the first part of the path, in lower case."""
    return (call.segments() or ("",))[0].lower()


def is_item(call: Call) -> bool:
    """Return whether the call is about one user or group."""
    return len(call.segments()) == 2 and first(call) not in ENDPOINTS


def is_create(call: Call, answer: Answer | Reply) -> bool:
    """Return whether something was created."""
    return call.method == "POST" and answer.status == 201


def is_list(answer: Answer) -> bool:
    """Return whether the answer is a ListResponse."""
    return answer.body is not None and LIST_RESPONSE in answer.body.get("schemas", [])


def without_parameter(*names: str) -> OnCall:
    """Take parameters out of the query, as if the client had not sent them."""

    def change(call: Call, _: Scene) -> Call:
        pairs = [pair for pair in parse_qsl(call.query, keep_blank_values=True) if pair[0] not in names]
        return replace(call, query=urlencode(pairs))

    return change


def status(*, frm: tuple[int, ...], to: int, method: str | None = None, say_so: bool = True) -> OnAnswer:
    """Answer with another status; `say_so` also tells it in the error body."""

    def change(answer: Answer, call: Call, _: Scene) -> Answer:
        if answer.status not in frm or method not in (None, call.method):
            return answer
        body = answer.body
        if say_so and body is not None and ERROR in body.get("schemas", []):
            body = {**body, "status": str(to)}
        return replace(answer, status=to, body=body)

    return change


def error_body(edit: Callable[[Json], Json | None]) -> OnAnswer:
    """Change the body of every error."""

    def change(answer: Answer, _: Call, __: Scene) -> Answer:
        if answer.status < 400 or answer.body is None:
            return answer
        return replace(answer, body=edit(answer.body))

    return change


def list_body(edit: Callable[[Json], Json], *, discovery: bool = False) -> OnAnswer:
    """Change the body of every list, or of those of discovery only."""

    def change(answer: Answer, call: Call, _: Scene) -> Answer:
        if not is_list(answer) or answer.body is None or (discovery and first(call) not in ENDPOINTS):
            return answer
        return replace(answer, body=edit(answer.body))

    return change


def resource(edit: Callable[[Json], Json]) -> OnAnswer:
    """Change every user and group that is shown, alone or in a list."""

    def change(answer: Answer, call: Call, _: Scene) -> Answer:
        body = answer.body
        if body is None or answer.status >= 400 or first(call) in {*ENDPOINTS, "bulk"}:
            return answer
        if not is_list(answer):
            return replace(answer, body=edit(body))
        shown = body.get("Resources")
        return replace(answer, body={**body, "Resources": [edit(one) for one in shown]}) if shown else answer

    return change


def meta(edit: Callable[[Json], Json]) -> OnAnswer:
    """Change `meta` of every user and group that is shown."""
    return resource(lambda one: {**one, "meta": edit(one["meta"])} if "meta" in one else one)


def header(name: str, value: str | None, when: Callable[[Call, Answer], bool]) -> OnAnswer:
    """Set a field, or take it out with None, wherever `when` says so."""

    def change(answer: Answer, call: Call, _: Scene) -> Answer:
        if not when(call, answer):
            return answer
        headers = answer.headers.without(name) if value is None else answer.headers.with_field(name, value)
        return replace(answer, headers=headers)

    return change


def content(edit: Callable[[bytes], bytes], *, content_type: str | None = None) -> OnReply:
    """Change the bytes of every content, and perhaps what they are said to be."""

    def change(reply: Reply, _: Call, __: Scene) -> Reply:
        if not reply.content:
            return reply
        headers = reply.headers if content_type is None else reply.headers.with_field("Content-Type", content_type)
        return replace(reply, headers=headers, content=edit(reply.content))

    return change


def raw(reply: Reply, content: bytes, *extra: tuple[str, str], close: bool = True, version: str = "1.1") -> Reply:
    """Write the response as bytes; what `extra` names replaces a header of that name."""
    extra = (*extra, ("Connection", "close")) if close else extra
    headers = reply.headers.without("Content-Length", *(name for name, _ in extra))
    lines = [f"HTTP/{version} {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in (*headers, *extra)]
    return replace(reply, raw="\r\n".join([*lines, "", ""]).encode("latin-1") + content, close=close)


# -- one function per defect that needs more than a line ---------------------------------------------------------


def location_on_errors(answer: Answer, call: Call, _: Scene) -> Answer:
    """Put a Location on what has no place."""
    if answer.status < 400 and answer.status != 204:
        return answer
    return replace(answer, headers=answer.headers.with_field("Location", call.base_url + call.path))


def create_empty(answer: Answer, call: Call, _: Scene) -> Answer:
    """Answer a create with nothing but the headers."""
    if not is_create(call, answer):
        return answer
    return replace(answer, body=None, headers=answer.headers.without("Content-Type"))


def patch_empty(answer: Answer, call: Call, _: Scene) -> Answer:
    """Answer a PATCH with 200 and nothing in it."""
    if call.method != "PATCH" or answer.status != 200:
        return answer
    return replace(answer, body=None, headers=answer.headers.without("Content-Type"))


def put_empty(answer: Answer, call: Call, _: Scene) -> Answer:
    """Answer a PUT with 204."""
    if call.method != "PUT" or answer.status != 200:
        return answer
    return replace(answer, status=204, body=None, headers=answer.headers.without("Content-Type"))


def writes_nothing(call: Call, _: Scene) -> Call:
    """Turn a PATCH into a read, so that it changes nothing and still answers 200."""
    return replace(call, method="GET", content=b"") if call.method == "PATCH" and is_item(call) else call


def delete_body(answer: Answer, call: Call, _: Scene) -> Answer:
    """Answer a DELETE with 200."""
    return replace(answer, status=200) if call.method == "DELETE" and answer.status == 204 else answer


def delete_again(answer: Answer, call: Call, _: Scene) -> Answer:
    """Answer the DELETE of what is not there as if it had been."""
    if call.method != "DELETE" or answer.status != 404 or not is_item(call):
        return answer
    return Answer(204)


def bad_filter(call: Call, _: Scene) -> Call:
    """Forget a filter that does not parse."""
    text = call.parameters().get("filter")
    if text is None:
        return call
    try:
        parse_filter(text)
    except FilterSyntaxError:
        return without_parameter("filter")(call, _)
    return call


def filter_crash(answer: Answer, call: Call, _: Scene) -> Answer:
    """Crash on a refused filter, as JavaScript does."""
    if answer.status != 400 or "filter=" not in call.query:
        return answer
    body = {"schemas": [ERROR], "detail": "Cannot read properties of undefined (reading 'type')", "status": "500"}
    return replace(answer, status=500, body=body)


def leaks(answer: Answer, _: Call, __: Scene) -> Answer:
    """Show the database's own words in a conflict."""
    if answer.status != 409 or answer.body is None:
        return answer
    detail = 'IntegrityError: duplicate key value violates unique constraint "users_user_name_key"'
    return replace(answer, body={**answer.body, "detail": detail})


def start_index_from_zero(call: Call, _: Scene) -> Call:
    """Count the first resource as 0."""
    pairs = parse_qsl(call.query, keep_blank_values=True)
    moved = [
        (name, str(int(value) + 1) if name == "startIndex" and value.isdigit() else value) for name, value in pairs
    ]
    return replace(call, query=urlencode(moved))


def count_zero(call: Call, scene: Scene) -> Call:
    """Take count=0 for no count."""
    return without_parameter("count")(call, scene) if call.parameters().get("count") == "0" else call


def items_per_page(answer: Answer, call: Call, _: Scene) -> Answer:
    """Say in itemsPerPage what was asked for, not what came."""
    if not is_list(answer) or answer.body is None:
        return answer
    asked = call.parameters().get("count", "20")
    return replace(answer, body={**answer.body, "itemsPerPage": int(asked) if asked.isdigit() else 20})


def projected(answer: Answer, call: Call, scene: Scene) -> Answer:
    """Leave out `schemas` where attributes were chosen."""
    if "attributes=" not in call.query.replace("excludedAttributes=", ""):
        return answer
    hide = resource(lambda one: {key: value for key, value in one.items() if key != "schemas"})
    return hide(answer, call, scene)


def password(answer: Answer, call: Call, scene: Scene) -> Answer:
    """Show the password."""

    def edit(one: Json) -> Json:
        record = scene.directory.record(one.get("id", ""))
        secret = None if record is None else record.resource.get("password")
        return one if secret is None else {**one, "password": secret}

    return resource(edit)(answer, call, scene)


def lowered(one: Json) -> Json:
    """Show the userName in lower case."""
    return {**one, "userName": one["userName"].lower()} if "userName" in one else one


def active_text(one: Json) -> Json:
    """Show `active` as text."""
    return {**one, "active": str(one["active"])} if "active" in one else one


def number_id(one: Json) -> Json:
    """Show an externalId of digits as a number."""
    external = one.get("externalId", "")
    return {**one, "externalId": int(external)} if external.isdigit() else one


def second_primary(one: Json) -> Json:
    """Make every email address primary, and add one more."""
    emails = one.get("emails")
    if not emails:
        return one
    return {
        **one,
        "emails": [*({**e, "primary": True} for e in emails), {"value": "second@example.com", "primary": True}],
    }


def etag_of_body(reply: Reply, _: Call, __: Scene) -> Reply:
    """Give a hash of the content as the entity tag, as Express does."""
    if reply.status != 200:
        return reply
    tag = f'W/"{len(reply.content):x}-{hashlib.sha256(reply.content).hexdigest()[:12]}"'
    return replace(reply, headers=reply.headers.with_field("ETag", tag))


def okta_patch(call: Call, _: Scene) -> Call:
    """Turn a PATCH without a path into one that every server refuses."""
    if call.method != "PATCH" or b'"path"' in call.content:
        return call
    return replace(call, content=b"{}")


def entra_patch(call: Call, _: Scene) -> Call:
    """Turn a PATCH with a capitalised op into one that every server refuses."""
    capital = any(f'"{op}"'.encode() in call.content for op in ("Add", "Replace", "Remove"))
    return replace(call, content=b"{}") if call.method == "PATCH" and capital else call


def drop_header(name: str) -> OnCall:
    """Overlook a field of the request."""
    return lambda call, _: replace(call, headers=call.headers.without(name))


def located_at_home(call: Call, _: Scene) -> Call:
    """Build locations from the address the server knows of itself."""
    return replace(call, base_url="http://localhost:8080/scim/v2")


def under_server_path(answer: Answer, call: Call, _: Scene) -> Answer:
    """Show endpoints with the base path in front."""

    def edit(body: Json) -> Json:
        return {**body, "Resources": [{**one, "endpoint": f"/scim/v2{one['endpoint']}"} for one in body["Resources"]]}

    return list_body(edit)(answer, call, _) if first(call) == "resourcetypes" else answer


def discovery_write(answer: Answer, call: Call, _: Scene) -> Answer:
    """Know no endpoint for a write to discovery, as Express does."""
    if answer.status != 405 or first(call) not in ENDPOINTS:
        return answer
    body = {"schemas": [ERROR], "detail": f"Cannot {call.method} {call.path}", "status": "404"}
    return Answer(404, answer.headers.without("Allow"), body)


def html_error(reply: Reply, _: Call, __: Scene) -> Reply:
    """Show errors as a web page."""
    if reply.status < 400:
        return reply
    page = f"<html><head><title>{reply.status}</title></head><body><h1>Error {reply.status}</h1></body></html>"
    headers = reply.headers.with_field("Content-Type", "text/html; charset=utf-8")
    return replace(reply, headers=headers, content=page.encode())


def body_on_204(reply: Reply, _: Call, __: Scene) -> Reply:
    """Send content after a 204."""
    if reply.status != 204:
        return reply
    content = b'{"detail":"deleted"}'
    return raw(reply, content, ("Content-Type", "application/json"), ("Content-Length", str(len(content))))


def type_on_204(reply: Reply, _: Call, __: Scene) -> Reply:
    """Send a Content-Type with a 204."""
    return (
        raw(reply, b"", ("Content-Type", "text/html; charset=utf-8"), close=False) if reply.status == 204 else reply
    )


def untyped(reply: Reply, _: Call, __: Scene) -> Reply:
    """Send content without a Content-Type."""
    if not reply.content:
        return reply
    length = ("Content-Length", str(len(reply.content)))
    return raw(replace(reply, headers=reply.headers.without("Content-Type")), reply.content, length, close=False)


def cut(reply: Reply, _: Call, __: Scene) -> Reply:
    """Close the connection in the middle of the content."""
    half = reply.content[: len(reply.content) // 2]
    return raw(reply, half, ("Content-Length", str(len(reply.content)))) if reply.content else reply


def endless(reply: Reply, _: Call, __: Scene) -> Reply:
    """Close the connection before the last chunk."""
    if not reply.content:
        return reply
    return raw(reply, b"%x\r\n%b\r\n" % (len(reply.content), reply.content), ("Transfer-Encoding", "chunked"))


def beyond(reply: Reply, _: Call, __: Scene) -> Reply:
    """Send more than Content-Length says."""
    if not reply.content:
        return reply
    return raw(reply, reply.content + b"\r\nmore", ("Content-Length", str(len(reply.content))))


def old_http(reply: Reply, _: Call, __: Scene) -> Reply:
    """Answer in HTTP/1.0 and close."""
    return raw(reply, reply.content, ("Content-Length", str(len(reply.content))), version="1.0")


def twice(content: bytes) -> bytes:
    """Repeat a name in the object."""
    return b'{"detail": "first", ' + content[1:-1] + b', "detail": "last"}'


def too_many(answer: Answer, call: Call, _: Scene) -> Answer:
    """Refuse every write with 429 and a date in Retry-After."""
    if call.method in {"GET", "HEAD"}:
        return answer
    body = {"schemas": [ERROR], "detail": "Too many requests", "status": "429"}
    return Answer(429, answer.headers.with_field("Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT"), body)


def echo(answer: Answer, call: Call, _: Scene) -> Answer:
    """Repeat the Authorization field in the text of an error."""
    if answer.status < 400 or answer.body is None:
        return answer
    given = call.headers.get("Authorization", "")
    return replace(answer, body={**answer.body, "detail": f"{answer.body['detail']} (Authorization: {given})"})


def without(*names: str) -> Callable[[Json], Json]:
    """Leave members out."""
    return lambda body: {key: value for key, value in body.items() if key not in names}
