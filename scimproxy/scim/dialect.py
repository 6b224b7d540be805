"""What the in-memory SCIM server is asked, what it answers, and the plain options that make its dialect.

One rule: everything in which two correct (or nearly correct) servers differ is a field of `Dialect`, so that a
server can be imitated by data alone. No code of the directory knows a server by name.
Flow: `Call` -> directory.Directory.handle -> `Answer`; a `Refusal` never leaves the directory, it becomes an Answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote

from scimproxy.bounded_json import no_constant
from scimproxy.exchange import Headers
from scimproxy.scim.schemas import ENTERPRISE_USER, GROUP, USER, Schema

__all__ = [
    "BULK_REQUEST",
    "BULK_RESPONSE",
    "DEFAULT_DIALECT",
    "ERROR",
    "GROUPS",
    "LIST_RESPONSE",
    "PATCH_OP",
    "SEARCH_REQUEST",
    "TEXTS",
    "USERS",
    "Answer",
    "Call",
    "Dialect",
    "Json",
    "Refusal",
    "ResourceType",
    "Value",
    "message_of",
]

Json = dict[str, Any]
"""A JSON object."""
Value = Any
"""Any JSON value."""

_MESSAGES = "urn:ietf:params:scim:api:messages:2.0"
ERROR = f"{_MESSAGES}:Error"
LIST_RESPONSE = f"{_MESSAGES}:ListResponse"
SEARCH_REQUEST = f"{_MESSAGES}:SearchRequest"
PATCH_OP = f"{_MESSAGES}:PatchOp"
BULK_REQUEST = f"{_MESSAGES}:BulkRequest"
BULK_RESPONSE = f"{_MESSAGES}:BulkResponse"

_MAX_PARAMETERS = 100


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A kind of resource the server keeps (RFC 7643 section 6); `endpoint` is relative to the base, "/Users"."""

    name: str
    endpoint: str
    schema: Schema
    extensions: tuple[Schema, ...] = ()
    description: str = ""

    @property
    def schemas(self) -> tuple[Schema, ...]:
        """The core schema and then the extensions."""
        return (self.schema, *self.extensions)


USERS = ResourceType("User", "/Users", USER, (ENTERPRISE_USER,), "User Account")
GROUPS = ResourceType("Group", "/Groups", GROUP, (), "Group")

TEXTS: Mapping[str, str] = {
    "not_found": "Resource {id} not found",
    "no_endpoint": "There is no endpoint {path}",
    "method": "{method} is not allowed on {path}",
    "filter": "The filter is wrong at position {position}: {problem}",
    "unique": "{attribute} {value} is already in use",
    "required": "{attribute} is required",
    "type": "{attribute} must be {type}, not {given}",
    "unknown": "{attribute} is not an attribute of {type}",
    "json": "The body is not valid JSON: {problem}",
    "media_type": "Content-Type {given} is not supported; send application/scim+json",
    "precondition": "The resource has changed: its version is {version}",
    "full": "The directory is full: it holds {limit} resources",
    "me": "No user belongs to these credentials",
}
"""The error texts that servers word differently, by key; `Dialect.texts` replaces some of them."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a SCIM server speaks where servers differ. The defaults are what the RFCs ask for.

    Sizes are bytes, counts are resources.
    """

    resource_types: tuple[ResourceType, ...] = (USERS, GROUPS)
    texts: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/scim+json"
    request_types: tuple[str, ...] = ("application/scim+json", "application/json", "text/json")

    patch_answer: Literal["resource", "empty"] = "resource"
    """PATCH answers 200 with the resource, or 204 (RFC 7644 section 3.5.2 allows both)."""
    replace_creates: bool = False
    """Whether `replace` adds what its filter does not find, as Entra ID expects; the RFC says noTarget."""
    delete: Literal["remove", "deactivate"] = "remove"
    """DELETE removes (RFC 7644 section 3.6), or only sets `active` to false (soft delete)."""
    me: Literal["alias", "redirect", "unsupported"] = "alias"
    """What `/Me` does (RFC 7644 section 3.11): act as the user, 308 to it, or 501."""
    method_status: int = 405
    """Status of a method that an endpoint does not have: 405 (RFC 9110 section 15.5.6), or 404 on some servers."""
    projected_schemas: bool = True
    """Whether `schemas` is shown where a client asks for other attributes only (RFC 7643 section 7: it is)."""
    delete_status: int = 204
    """Status of a DELETE that succeeded: 204 (RFC 7644 section 3.6), or 200 without a body on some servers."""
    locations: Literal["absolute", "path", "relative", "none"] = "absolute"
    """How resources are located: by URL, by path, by path below the base path, or not at all."""
    location_header: bool = True
    """Whether a created resource is located in a header too (RFC 7644 section 3.3)."""
    error_status: Literal["string", "integer"] = "string"
    error_without: frozenset[str] = frozenset()
    """Members that this server's errors do not have: of schemas, scimType, detail and status."""
    empty_resources: Literal["array", "null", "absent"] = "array"
    """What `Resources` is in a list without any."""
    empty_filter_status: int = 200
    """Status of a filter without a match: 200 (RFC 7644 section 3.4.2), or 404 on some servers."""
    bad_filters: Literal["refuse", "ignore", "nothing"] = "refuse"
    """A filter that does not parse is refused (400), ignored, or finds nothing."""
    items_per_page: Literal["shown", "asked"] = "shown"
    """What `itemsPerPage` counts: the resources on the page, or those it could hold."""
    unknown_attributes: Literal["drop", "refuse", "keep"] = "drop"
    string_booleans: Literal["read", "refuse"] = "read"
    """Whether "True" and "False" in text are read as booleans, as Entra ID sends them."""
    canonical_values: Literal["suggest", "enforce"] = "suggest"
    """Whether values outside `canonicalValues` are refused (RFC 7643 section 7 leaves it to the server)."""
    dangling_members: Literal["refuse", "keep"] = "refuse"
    """What happens to a group member that does not exist."""
    forget_members: bool = True
    """Whether groups forget a member that is deleted."""
    member_attributes: frozenset[str] = frozenset({"value", "$ref", "type", "display"})
    """What a group shows of a member."""
    unique: bool = True
    """Whether what the schema calls unique is (RFC 7643 section 2.2: `uniqueness`)."""
    user_name_case_exact: bool = False
    schemas_required: bool = True
    """Whether a created resource must name its schemas (RFC 7643 section 3)."""
    derive_groups: bool = True
    """Whether users show the groups they are in (RFC 7643 section 4.1.2)."""
    etags: bool = True
    sort: bool = True
    bulk: bool = True
    filter: bool = True
    patch: bool = True

    page_size: int = 100
    """How many resources a page holds when the client does not say."""
    max_page: int = 200
    """`filter.maxResults` of the ServiceProviderConfig, and the most a page ever holds."""
    max_operations: int = 1000
    max_payload: int = 1 << 20
    max_content: int = 1 << 20
    max_depth: int = 32
    """How deep a body may nest objects and arrays."""
    max_resources: int = 100_000

    documentation_uri: str | None = None

    def text(self, key: str, **values: object) -> str:
        """Return an error text of this dialect."""
        return (self.texts.get(key) or TEXTS[key]).format(**values)

    def type_at(self, endpoint: str) -> ResourceType | None:
        """Return the resource type served at "/Users", whatever the case of the letters."""
        wanted = endpoint.lower()
        return next((kind for kind in self.resource_types if kind.endpoint.lower() == wanted), None)


DEFAULT_DIALECT = Dialect()


class Refusal(Exception):
    """The directory says no: an HTTP status, a `scimType` (RFC 7644 table 9) and a sentence."""

    def __init__(
        self, status: int, detail: str, scim_type: str | None = None, *, headers: Headers | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.scim_type = scim_type
        self.headers = headers or Headers()


@dataclass(frozen=True, slots=True)
class Call:
    """A request as the directory sees it: the path below the base path, still percent-encoded, and the raw query.

    `base_url` is how the client reaches the base path ("https://x.example/scim/v2"); locations begin with it.
    `user` is the id of the user whose credentials these are, for `/Me`.
    """

    method: str
    path: str
    query: str = ""
    headers: Headers = field(default_factory=Headers)
    content: bytes = b""
    base_url: str = ""
    user: str | None = None

    def segments(self) -> tuple[str, ...]:
        """Return the decoded parts of the path; a trailing slash is nothing."""
        return tuple(unquote(part) for part in self.path.split("/") if part)

    def parameters(self) -> dict[str, str]:
        """Return the query parameters; of a repeated one the first counts.

        Raises:
            Refusal: there are more than a server should look at.
        """
        try:
            pairs = parse_qsl(self.query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
        except ValueError:
            raise Refusal(400, f"More than {_MAX_PARAMETERS} query parameters", "invalidValue") from None
        found: dict[str, str] = {}
        for name, value in pairs:
            found.setdefault(name, value)
        return found


@dataclass(frozen=True, slots=True)
class Answer:
    """What the directory answers; a `body` of None means no content at all."""

    status: int
    headers: Headers = field(default_factory=Headers)
    body: Json | None = None

    def content(self) -> bytes:
        """Return the bytes of the body."""
        return b"" if self.body is None else json.dumps(self.body, ensure_ascii=False).encode()


def message_of(content: bytes, dialect: Dialect) -> Json:
    """Return the JSON object of a request's body.

    Raises:
        Refusal: it is too large (413), too deep, not UTF-8, not JSON, not an object, or names an attribute twice.
    """
    if len(content) > dialect.max_content:
        raise Refusal(413, f"The body has {len(content)} bytes; this server takes {dialect.max_content}")
    try:
        text = content.decode("utf-8")
        found = json.loads(text, object_pairs_hook=_object, parse_constant=no_constant)
        if "\\u" in text:
            json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair has no UTF-8
    except RecursionError:
        raise Refusal(400, dialect.text("json", problem="it is nested too deep"), "invalidSyntax") from None
    except ValueError as exc:
        raise Refusal(400, dialect.text("json", problem=_problem(exc)), "invalidSyntax") from None
    if not isinstance(found, dict):
        raise Refusal(400, dialect.text("json", problem="it must be an object"), "invalidSyntax")
    if _deeper_than(found, dialect.max_depth):
        raise Refusal(400, dialect.text("json", problem="it is nested too deep"), "invalidSyntax")
    return found


def _problem(exc: ValueError) -> str:
    if isinstance(exc, json.JSONDecodeError):
        return f"{exc.msg} at line {exc.lineno} column {exc.colno}"
    if isinstance(exc, UnicodeError):
        return "it is not UTF-8"
    return str(exc)


def _object(pairs: list[tuple[str, Any]]) -> Json:
    """Names of attributes are case-insensitive (RFC 7643 section 2.1), so `a` and `A` are one name twice."""
    made = dict(pairs)
    if len({name.lower() for name in made}) != len(pairs):
        raise ValueError("an attribute occurs twice in one object")
    return made


def _deeper_than(value: object, limit: int) -> bool:
    level: list[Value] = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
