"""Ways in which the embedded server can be made to misbehave, each with a name.

One rule: a defect changes a Call on its way in, an Answer or Reply on its way out, or options of the Dialect;
nothing in the directory asks whether a defect is on. What each breaks is said in words with the RFC's section.
Flow: demo._handle applies `on_call`, `on_answer`, `on_reply` of the chosen defects in their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from scimproxy import bending as bend
from scimproxy.bending import OnAnswer, OnCall, OnReply
from scimproxy.scim.discovery import ENDPOINTS

__all__ = ["DEFECTS", "Defect"]


@dataclass(frozen=True, slots=True)
class Defect:
    """One misbehaviour: the rule it breaks, with its RFC section, and who was reported to do so ("-": none known)."""

    name: str
    breaks: str
    reported_of: str = "-"
    dialect: Mapping[str, Any] = field(default_factory=dict)
    on_call: OnCall | None = None
    on_answer: OnAnswer | None = None
    on_reply: OnReply | None = None
    open_door: bool = False


_SCIMMY = "scimmy-routers 1.3.2"
_EXPRESS5 = "scimmy-routers 1.3.2 on Express 5"
_SCIM2_SERVER = "scim2-server 0.8.3"
_OKTA_SAMPLES = "the sample messages in Okta's documents"
_MS_PASSED = "servers that Microsoft's validator passes"

_ALL = (
    # Status codes and bodies of writes
    Defect("create-200", "A create answers 201 (RFC 7644 s3.3)", on_answer=bend.status(frm=(201,), to=200)),
    Defect("create-empty", "A 201 carries the new resource (RFC 7644 s3.3)", on_answer=bend.create_empty),
    Defect(
        "create-no-location",
        "A 201 has a Location (RFC 7644 s3.3)",
        f"{_SCIMMY}; {_MS_PASSED}",
        on_answer=bend.header("Location", None, bend.is_create),
    ),
    Defect("duplicate-400", "A duplicate is 409 (RFC 7644 s3.3)", on_answer=bend.status(frm=(409,), to=400)),
    Defect(
        "duplicate-500", "A duplicate is 409, not a crash (RFC 7644 s3.3)", on_answer=bend.status(frm=(409,), to=500)
    ),
    Defect(
        "duplicate-no-scim-type",
        "A 409 says scimType uniqueness (RFC 7644 s3.3)",
        on_answer=bend.error_body(bend.without("scimType")),
    ),
    Defect("duplicate-accepted", "userName is unique (RFC 7643 s4.1.1)", dialect={"unique": False}),
    Defect("put-204", "PUT answers 200 with the resource (RFC 7644 s3.5.1)", on_answer=bend.put_empty),
    Defect(
        "patch-200-empty", "A PATCH without a body is 204 (RFC 7644 s3.5.2)", _MS_PASSED, on_answer=bend.patch_empty
    ),
    Defect("patch-ignored", "A PATCH that answers 200 was applied (RFC 7644 s3.5.2)", on_call=bend.writes_nothing),
    Defect("patch-501", "Clients need PATCH (RFC 7644 s3.5.2 lets a server lack it)", dialect={"patch": False}),
    Defect("patch-needs-path", "add and replace need no path (RFC 7644 s3.5.2.1)", on_call=bend.okta_patch),
    Defect(
        "patch-op-case", "Entra ID sends Add, Replace, Remove; be liberal (RFC 7644 s3.5.2)", on_call=bend.entra_patch
    ),
    Defect(
        "string-booleans-refused", 'Entra ID sends "True" for true', _SCIMMY, dialect={"string_booleans": "refuse"}
    ),
    Defect("delete-200", "DELETE answers 204 (RFC 7644 s3.6)", "SCIM 1.1 servers", on_answer=bend.delete_body),
    Defect("delete-twice-204", "A second DELETE is 404 (RFC 7644 s3.6)", on_answer=bend.delete_again),
    Defect("soft-delete", "What is deleted is 404 afterwards (RFC 7644 s3.6)", dialect={"delete": "deactivate"}),
    # Errors
    Defect(
        "error-status-integer",
        "Error.status is a string (RFC 7644 s3.12)",
        _OKTA_SAMPLES,
        dialect={"error_status": "integer"},
    ),
    Defect(
        "error-status-differs",
        "Error.status is the HTTP status (RFC 7644 s3.12)",
        on_answer=bend.error_body(lambda body: {**body, "status": "400" if body["status"] != "400" else "500"}),
    ),
    Defect(
        "error-no-schema",
        "An error names the Error schema (RFC 7644 s3.12)",
        on_answer=bend.error_body(lambda body: {"error": body["detail"]}),
    ),
    Defect(
        "error-no-detail", "People need a detail (RFC 7644 s3.12)", on_answer=bend.error_body(bend.without("detail"))
    ),
    Defect(
        "error-no-scim-type",
        "A 400 says its scimType (RFC 7644 s3.12)",
        _SCIMMY,
        on_answer=bend.error_body(bend.without("scimType")),
    ),
    Defect(
        "error-unknown-scim-type",
        "scimType is a word of table 9 (RFC 7644 s3.12)",
        on_answer=bend.error_body(lambda body: {**body, "scimType": "badRequest"}),
    ),
    Defect(
        "error-html",
        "Errors are SCIM messages (RFC 7644 s3.12)",
        "keycloak-scim-server (#101)",
        on_reply=bend.html_error,
    ),
    Defect("error-leaks", "An error tells no internals (RFC 7644 s7)", _SCIMMY, on_answer=bend.leaks),
    Defect(
        "error-location",
        "Location belongs to 201 and 3xx (RFC 9110 s10.2.2)",
        _SCIM2_SERVER,
        on_answer=bend.location_on_errors,
    ),
    Defect("unknown-id-400", "An unknown id is 404 (RFC 7644 s3.12)", on_answer=bend.status(frm=(404,), to=400)),
    Defect("unknown-id-500", "An unknown id is 404 (RFC 7644 s3.12)", on_answer=bend.status(frm=(404,), to=500)),
    Defect(
        "no-allow",
        "A 405 has an Allow field (RFC 9110 s15.5.6)",
        on_answer=bend.header("Allow", None, lambda _, answer: answer.status == 405),
    ),
    Defect("rate-limit-date", "Okta reads Retry-After as seconds only (RFC 9110 s10.2.3)", on_answer=bend.too_many),
    # Credentials
    Defect(
        "no-www-authenticate",
        "A 401 has WWW-Authenticate (RFC 9110 s11.6.1)",
        _SCIMMY,
        on_answer=bend.header("WWW-Authenticate", None, lambda _, answer: answer.status == 401),
    ),
    Defect(
        "wrong-token-403", "Wrong credentials are 401 (RFC 7644 s3.12)", on_answer=bend.status(frm=(401,), to=403)
    ),
    Defect("open-door", "Requests are authenticated (RFC 7644 s2)", open_door=True),
    Defect("token-echoed", "A credential is never repeated (RFC 7643 s9)", on_answer=bend.echo),
    # Lists
    Defect(
        "total-results-text",
        "totalResults is an integer (RFC 7644 s3.4.2)",
        on_answer=bend.list_body(lambda body: {**body, "totalResults": str(body["totalResults"])}),
    ),
    Defect(
        "total-results-missing",
        "totalResults is required (RFC 7644 s3.4.2)",
        on_answer=bend.list_body(bend.without("totalResults")),
    ),
    Defect(
        "discovery-no-total",
        "Discovery lists have totalResults (RFC 7644 s4)",
        "servers on which scim2-tester stops before its first resource check",
        on_answer=bend.list_body(bend.without("totalResults"), discovery=True),
    ),
    Defect(
        "total-results-of-page",
        "totalResults counts every match, not the page (RFC 7644 s3.4.2)",
        on_answer=bend.list_body(lambda body: {**body, "totalResults": len(body.get("Resources") or ())}),
    ),
    Defect(
        "items-per-page",
        "itemsPerPage is what the page holds (RFC 7644 s3.4.2)",
        _SCIMMY,
        on_answer=bend.items_per_page,
    ),
    Defect(
        "count-ignored",
        "A page holds at most count (RFC 7644 s3.4.2.4)",
        _EXPRESS5,
        on_call=bend.without_parameter("count"),
    ),
    Defect("count-0-full", "count=0 returns no resources (RFC 7644 s3.4.2.4)", _EXPRESS5, on_call=bend.count_zero),
    Defect(
        "start-index-ignored",
        "startIndex moves the page (RFC 7644 s3.4.2.4)",
        _EXPRESS5,
        on_call=bend.without_parameter("startIndex"),
    ),
    Defect("start-index-from-0", "startIndex begins at 1 (RFC 7644 s3.4.2.4)", on_call=bend.start_index_from_zero),
    Defect(
        "resources-lower-case",
        "Resources is spelled with a capital (RFC 7644 s3.4.2)",
        on_answer=bend.list_body(
            lambda body: {"resources" if key == "Resources" else key: value for key, value in body.items()}
        ),
    ),
    Defect("resources-null", "An empty list is [] (RFC 7644 s3.4.2)", dialect={"empty_resources": "null"}),
    Defect(
        "list-no-schema",
        "A list names the ListResponse schema (RFC 7644 s3.4.2)",
        on_answer=bend.list_body(bend.without("schemas")),
    ),
    Defect(
        "sort-ignored",
        "sortBy sorts when sort is announced (RFC 7644 s3.4.2.3)",
        on_call=bend.without_parameter("sortBy"),
    ),
    # Filters and projection
    Defect(
        "empty-filter-404",
        "No match is 200 with 0 results (RFC 7644 s3.4.2)",
        "accepted by Okta",
        dialect={"empty_filter_status": 404},
    ),
    Defect(
        "filter-500", "A bad filter is 400 invalidFilter (RFC 7644 s3.4.2.2)", _SCIMMY, on_answer=bend.filter_crash
    ),
    Defect("filter-bad-accepted", "A bad filter is 400 invalidFilter (RFC 7644 s3.4.2.2)", on_call=bend.bad_filter),
    Defect("filter-ignored", "Only matches are listed (RFC 7644 s3.4.2.2)", on_call=bend.without_parameter("filter")),
    Defect(
        "filter-case-sensitive",
        "userName compares without case (RFC 7643 s4.1.1)",
        _SCIMMY,
        dialect={"user_name_case_exact": True},
    ),
    Defect(
        "attributes-ignored",
        "attributes= limits what is shown (RFC 7644 s3.9)",
        on_call=bend.without_parameter("attributes"),
    ),
    Defect(
        "excluded-ignored",
        "excludedAttributes= hides (RFC 7644 s3.9)",
        on_call=bend.without_parameter("excludedAttributes"),
    ),
    Defect("attributes-no-schemas", "schemas is always returned (RFC 7643 s3)", _SCIMMY, on_answer=bend.projected),
    # Resources
    Defect(
        "no-schemas", "A resource names its schemas (RFC 7643 s3)", on_answer=bend.resource(bend.without("schemas"))
    ),
    Defect("no-meta", "A resource has meta (RFC 7643 s3.1)", on_answer=bend.resource(bend.without("meta"))),
    Defect(
        "password-returned", "password is never returned (RFC 7643 s4.1.1)", _OKTA_SAMPLES, on_answer=bend.password
    ),
    Defect("active-text", "active is a boolean (RFC 7643 s4.1.1)", on_answer=bend.resource(bend.active_text)),
    Defect(
        "external-id-number",
        "externalId is a string (RFC 7643 s3.1)",
        _OKTA_SAMPLES,
        on_answer=bend.resource(bend.number_id),
    ),
    Defect(
        "null-attributes",
        "Unassigned attributes are left out (RFC 7643 s2.5)",
        _OKTA_SAMPLES,
        on_answer=bend.resource(lambda one: {**one, "name": None, "members": None}),
    ),
    Defect(
        "two-primaries", "At most one value is primary (RFC 7643 s2.4)", on_answer=bend.resource(bend.second_primary)
    ),
    Defect(
        "user-name-lowered", "A value is kept as it was sent (RFC 7644 s3.3)", on_answer=bend.resource(bend.lowered)
    ),
    Defect(
        "groups-not-derived",
        "User.groups shows memberships (RFC 7643 s4.1.2)",
        _SCIM2_SERVER,
        dialect={"derive_groups": False},
    ),
    # meta and versions
    Defect(
        "resource-type-plural",
        "meta.resourceType is the type's name (RFC 7643 s3.1)",
        on_answer=bend.meta(lambda meta: {**meta, "resourceType": f"{meta['resourceType']}s"}),
    ),
    Defect(
        "location-relative", "meta.location is a full URI (RFC 7643 s3.1)", _SCIMMY, dialect={"locations": "relative"}
    ),
    Defect("location-missing", "meta.location is returned (RFC 7644 s3.3)", dialect={"locations": "none"}),
    Defect(
        "location-localhost",
        "meta.location is where the client finds it (RFC 7643 s3.1)",
        on_call=bend.located_at_home,
    ),
    Defect(
        "last-modified-frozen",
        "lastModified moves with a change (RFC 7643 s3.1)",
        on_answer=bend.meta(lambda meta: {**meta, "lastModified": meta["created"]}),
    ),
    Defect(
        "date-no-zone",
        "A dateTime without a zone is ambiguous (RFC 7643 s2.3.5)",
        _OKTA_SAMPLES,
        on_answer=bend.meta(lambda meta: {**meta, "created": meta["created"].removesuffix("Z")}),
    ),
    Defect(
        "date-blank",
        "A dateTime has a T (RFC 7643 s2.3.5)",
        on_answer=bend.meta(lambda meta: {**meta, "created": meta["created"].replace("T", " ")}),
    ),
    Defect(
        "etag-differs",
        "ETag equals meta.version (RFC 7644 s3.14)",
        on_answer=bend.header("ETag", 'W/"0"', lambda _, answer: "ETag" in answer.headers),
    ),
    Defect(
        "etag-of-body",
        "ETag is the version, not a hash of the body (RFC 7644 s3.14)",
        _SCIMMY,
        on_reply=bend.etag_of_body,
    ),
    Defect("if-match-ignored", "A stale If-Match is 412 (RFC 7644 s3.14)", on_call=bend.drop_header("If-Match")),
    # Discovery
    Defect(
        "discovery-write-404", "A write to discovery is 405 (RFC 7644 s4)", _SCIMMY, on_answer=bend.discovery_write
    ),
    Defect(
        "discovery-filter-200",
        "A filter on discovery is 403 (RFC 7644 s4)",
        on_call=lambda call, scene: (
            bend.without_parameter("filter")(call, scene) if bend.first(call) in ENDPOINTS else call
        ),
    ),
    Defect(
        "endpoint-absolute",
        "ResourceType.endpoint is relative to the base (RFC 7643 s6)",
        on_answer=bend.under_server_path,
    ),
    # Content and wire
    Defect(
        "type-json",
        "The media type is application/scim+json (RFC 7644 s3.1)",
        _SCIMMY,
        dialect={"content_type": "application/json"},
    ),
    Defect(
        "type-html",
        "The media type is application/scim+json (RFC 7644 s3.1)",
        on_reply=bend.content(bytes, content_type="text/html"),
    ),
    Defect("type-missing", "Content has a Content-Type (RFC 9110 s8.3)", on_reply=bend.untyped),
    Defect(
        "charset-latin-1",
        "JSON is UTF-8 (RFC 8259 s8.1)",
        on_reply=bend.content(
            lambda data: data.decode().encode("latin-1", "replace"),
            content_type="application/scim+json; charset=iso-8859-1",
        ),
    ),
    Defect(
        "bom",
        "JSON begins without a byte order mark (RFC 8259 s8.1)",
        on_reply=bend.content(lambda data: b"\xef\xbb\xbf" + data),
    ),
    Defect(
        "not-json", "The body is JSON (RFC 7644 s3.1)", on_reply=bend.content(lambda data: data.replace(b'"', b"'"))
    ),
    Defect(
        "bare-value", "A message is an object (RFC 7644 s3)", on_reply=bend.content(lambda data: b"[" + data + b"]")
    ),
    Defect(
        "trailing-data",
        "Nothing follows the JSON value (RFC 8259 s2)",
        on_reply=bend.content(lambda data: data + b"\n--end--"),
    ),
    Defect("duplicate-keys", "A name occurs once (RFC 8259 s4)", on_reply=bend.content(bend.twice)),
    Defect("body-on-204", "A 204 has no content (RFC 9110 s15.3.5)", on_reply=bend.body_on_204),
    Defect(
        "type-on-204",
        "A 204 needs no Content-Type (RFC 9110 s8.3)",
        "web frameworks by default",
        on_reply=bend.type_on_204,
    ),
    Defect(
        "cookie",
        "SCIM clients keep no cookies (RFC 7644 s2)",
        on_answer=bend.header("Set-Cookie", "session=1; Path=/", lambda *_: True),
    ),
    Defect("slow", "Okta's suites allow 600 ms", on_reply=lambda reply, *_: replace(reply, delay_s=0.7)),
    Defect("http-1-0", "HTTP/1.1 keeps connections (RFC 9112 s9.3)", _SCIM2_SERVER, on_reply=bend.old_http),
    Defect("closes-early", "Content is as long as Content-Length says (RFC 9112 s6.3)", on_reply=bend.cut),
    Defect("chunks-without-end", "Chunked content ends with a last chunk (RFC 9112 s7.1)", on_reply=bend.endless),
    Defect("beyond-length", "Nothing follows the content (RFC 9112 s6.3)", on_reply=bend.beyond),
    Defect(
        "no-answer",
        "A request gets a response (RFC 9110 s3.4)",
        on_reply=lambda reply, *_: replace(reply, raw=b"", close=True),
    ),
)

DEFECTS: Mapping[str, Defect] = {defect.name: defect for defect in _ALL}
"""Every defect by its name; `scimproxy demo --defect NAME` switches it on."""
