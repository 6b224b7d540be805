"""The schemas of RFC 7643 as data, with every characteristic of every attribute, and the lookups on them.

One rule: no behaviour. Whoever reads, compares or changes a resource asks here what an attribute is.
Where the RFC's listing (section 8.7) and its text differ, the text counts, and a comment says so.
Flow: filters, patch, directory, rules -> Registry.locate -> Attribute.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

__all__ = [
    "BY_ID",
    "COMMON",
    "DEFAULT",
    "ENTERPRISE_USER",
    "GROUP",
    "RESOURCE_TYPE",
    "SCHEMA",
    "SERVICE_PROVIDER_CONFIG",
    "USER",
    "Attribute",
    "AttributePath",
    "Place",
    "Registry",
    "Schema",
]

Type = Literal["string", "boolean", "decimal", "integer", "dateTime", "binary", "reference", "complex"]
Mutability = Literal["readOnly", "readWrite", "immutable", "writeOnly"]
Returned = Literal["always", "never", "default", "request"]
Uniqueness = Literal["none", "server", "global"]

_CORE = "urn:ietf:params:scim:schemas:core:2.0"
_SCHEMA_URN = f"{_CORE}:Schema"


@dataclass(frozen=True, slots=True)
class AttributePath:
    """The name of an attribute as it is written: `[schema ":"] name ["." sub]` (RFC 7644 section 3.10)."""

    schema: str | None
    name: str
    sub: str | None = None

    def __str__(self) -> str:
        schema = f"{self.schema}:" if self.schema else ""
        return f"{schema}{self.name}.{self.sub}" if self.sub else f"{schema}{self.name}"


@dataclass(frozen=True)
class Attribute:
    """An attribute and its characteristics (RFC 7643 sections 2.2 and 7)."""

    name: str
    type: Type = "string"
    multi_valued: bool = False
    required: bool = False
    case_exact: bool = False
    mutability: Mutability = "readWrite"
    returned: Returned = "default"
    uniqueness: Uniqueness = "none"
    canonical_values: tuple[str, ...] = ()
    reference_types: tuple[str, ...] = ()
    sub_attributes: tuple[Attribute, ...] = ()
    description: str = ""

    @cached_property
    def _by_name(self) -> Mapping[str, Attribute]:
        return {sub.name.lower(): sub for sub in self.sub_attributes}

    def sub(self, name: str) -> Attribute | None:
        """Return the sub-attribute of that name, whatever the case of its letters."""
        return self._by_name.get(name.lower())

    def to_dict(self) -> dict[str, Any]:
        """Return the attribute as `/Schemas` shows it (RFC 7643 section 7)."""
        shown: dict[str, Any] = {
            "name": self.name,
            "type": self.type,
            "multiValued": self.multi_valued,
            "description": self.description,
            "required": self.required,
        }
        if self.sub_attributes:
            shown["subAttributes"] = [sub.to_dict() for sub in self.sub_attributes]
        if self.canonical_values:
            shown["canonicalValues"] = list(self.canonical_values)
        if self.reference_types:
            shown["referenceTypes"] = list(self.reference_types)
        if self.type in {"string", "reference", "binary"}:
            shown["caseExact"] = self.case_exact
        return shown | {"mutability": self.mutability, "returned": self.returned, "uniqueness": self.uniqueness}


@dataclass(frozen=True)
class Schema:
    """A schema (RFC 7643 section 7); the attributes of an `extension` live in an object under its URN."""

    id: str
    name: str
    description: str
    attributes: tuple[Attribute, ...]
    extension: bool = False

    @cached_property
    def _by_name(self) -> Mapping[str, Attribute]:
        return {attribute.name.lower(): attribute for attribute in self.attributes}

    def attribute(self, name: str) -> Attribute | None:
        """Return the attribute of that name, whatever the case of its letters; common attributes are not here."""
        return self._by_name.get(name.lower())

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as `/Schemas` shows it, without `meta.location`, which only a server knows."""
        return {
            "schemas": [_SCHEMA_URN],
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "attributes": [attribute.to_dict() for attribute in self.attributes],
            "meta": {"resourceType": "Schema"},
        }


def _text(name: str, description: str, **characteristics: Any) -> Attribute:  # noqa: ANN401  # fields of Attribute, which checks them
    return Attribute(name, description=description, **characteristics)


def _flag(name: str, description: str, **characteristics: Any) -> Attribute:  # noqa: ANN401  # fields of Attribute, which checks them
    return Attribute(name, "boolean", description=description, **characteristics)


def _link(name: str, description: str, *types: str, **characteristics: Any) -> Attribute:  # noqa: ANN401  # fields of Attribute, which checks them
    """A reference; its URI is always case exact (RFC 7643 section 2.3.7)."""
    return Attribute(
        name, "reference", case_exact=True, reference_types=types, description=description, **characteristics
    )


def _complex(name: str, description: str, *subs: Attribute, **characteristics: Any) -> Attribute:  # noqa: ANN401  # fields of Attribute, which checks them
    return Attribute(name, "complex", sub_attributes=subs, description=description, **characteristics)


def _many(name: str, description: str, *subs: Attribute, **characteristics: Any) -> Attribute:  # noqa: ANN401  # fields of Attribute, which checks them
    return _complex(name, description, *subs, multi_valued=True, **characteristics)


def _labels(what: str, *types: str) -> tuple[Attribute, ...]:
    """Return the sub-attributes that stand beside `value` in nearly every list (RFC 7643 section 2.4)."""
    return (
        _text("display", f"How the {what} is shown to people."),
        _text("type", f"What the {what} is for.", canonical_values=types),
        _flag("primary", f"Whether this is the preferred {what}; at most one is."),
    )


COMMON: tuple[Attribute, ...] = (
    _link(
        "schemas", "URNs of the schemas of this resource.", "uri", multi_valued=True, required=True, returned="always"
    ),
    _text(
        "id",
        "Identifier given by the service provider.",
        case_exact=True,
        mutability="readOnly",
        returned="always",
        uniqueness="server",
    ),
    _text("externalId", "Identifier given by the provisioning client.", case_exact=True),
    _complex(
        "meta",
        "What the service provider knows about the resource.",
        _text("resourceType", "Name of the resource type.", case_exact=True, mutability="readOnly"),
        Attribute("created", "dateTime", mutability="readOnly", description="When the resource was created."),
        Attribute("lastModified", "dateTime", mutability="readOnly", description="When it was last changed."),
        _link("location", "URI of the resource.", "uri", mutability="readOnly"),
        _text("version", "Version of the resource, as in its entity tag.", case_exact=True, mutability="readOnly"),
        mutability="readOnly",
    ),
)
"""The attributes that every resource has, whatever its schemas (RFC 7643 sections 3 and 3.1)."""


USER = Schema(
    f"{_CORE}:User",
    "User",
    "User Account",
    (
        _text("userName", "Name by which the user signs in.", required=True, uniqueness="server"),
        _complex(
            "name",
            "The parts of the user's real name.",
            _text("formatted", "The full name, ready to be shown."),
            _text("familyName", "The family or last name."),
            _text("givenName", "The given or first name."),
            _text("middleName", "The middle names."),
            _text("honorificPrefix", "Titles before the name."),
            _text("honorificSuffix", "What follows the name."),
        ),
        _text("displayName", "Name of the user as shown to others."),
        _text("nickName", "What the user is called in everyday life."),
        _link("profileUrl", "Web page about the user.", "external"),
        _text("title", "Title of the user, such as Vice President."),
        _text("userType", "Relation of the user to the organization."),
        _text("preferredLanguage", "Languages the user prefers, as in Accept-Language."),
        _text("locale", "Where the user is, for the form of dates and numbers."),
        _text("timezone", "Time zone in the form of the IANA database."),
        _flag("active", "Whether the user may sign in."),
        # caseExact is false in the listing (8.7.1), but the RFC's text gives passwords to a PRECIS profile that
        # keeps case; a password is never compared by a filter, so the listing stands.
        _text("password", "Password in clear text, to be set or changed.", mutability="writeOnly", returned="never"),
        _many(
            "emails",
            "Email addresses.",
            _text("value", "The email address."),
            *_labels("email address", "work", "home", "other"),
        ),
        _many(
            "phoneNumbers",
            "Telephone numbers.",
            _text("value", "The telephone number."),
            *_labels("telephone number", "work", "home", "mobile", "fax", "pager", "other"),
        ),
        _many(
            "ims",
            "Instant messaging addresses.",
            _text("value", "The messaging address."),
            *_labels("messaging address", "aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"),
        ),
        _many(
            "photos",
            "Pictures of the user.",
            _link("value", "URI of the picture.", "external"),
            *_labels("picture", "photo", "thumbnail"),
        ),
        _many(
            "addresses",
            "Postal addresses.",
            _text("formatted", "The full address, ready to be shown."),
            _text("streetAddress", "Street and house number."),
            _text("locality", "City or locality."),
            _text("region", "State or region."),
            _text("postalCode", "Postal code."),
            _text("country", "Country as a two-letter code of ISO 3166-1."),
            _text("type", "What the address is for.", canonical_values=("work", "home", "other")),
            # Missing in the listing (8.7.1), used in its example of a full user (8.2).
            _flag("primary", "Whether this is the preferred address; at most one is."),
        ),
        _many(
            "groups",
            "Groups the user is in; changed by way of the groups.",
            # The ids here, in members and in manager are the `id` of another resource, which is case exact
            # (section 3.1); the listing says false.
            _text("value", "The `id` of the group.", case_exact=True, mutability="readOnly"),
            _link("$ref", "URI of the group.", "User", "Group", mutability="readOnly"),
            _text("display", "Name of the group.", mutability="readOnly"),
            _text(
                "type",
                "Whether the user is in the group itself or in a group inside it.",
                mutability="readOnly",
                canonical_values=("direct", "indirect"),
            ),
            mutability="readOnly",
        ),
        _many(
            "entitlements",
            "Things the user has a right to.",
            _text("value", "The entitlement."),
            *_labels("entitlement"),
        ),
        _many("roles", "Roles of the user.", _text("value", "The role."), *_labels("role")),
        _many(
            "x509Certificates",
            "Certificates of the user.",
            Attribute("value", "binary", case_exact=True, description="The certificate: DER in base64."),
            *_labels("certificate"),
        ),
    ),
)

ENTERPRISE_USER = Schema(
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
    "EnterpriseUser",
    "Enterprise User",
    (
        _text("employeeNumber", "Number or code of the employee in the organization."),
        _text("costCenter", "Name of the cost center."),
        _text("organization", "Name of the organization."),
        _text("division", "Name of the division."),
        _text("department", "Name of the department."),
        _complex(
            "manager",
            "The user's manager.",
            _text("value", "The `id` of the manager.", case_exact=True),
            _link("$ref", "URI of the manager.", "User"),
            _text("displayName", "Name of the manager.", mutability="readOnly"),
        ),
    ),
    extension=True,
)

GROUP = Schema(
    f"{_CORE}:Group",
    "Group",
    "Group",
    (
        # REQUIRED by section 4.2; the listing (8.7.1) says false.
        _text("displayName", "Name of the group.", required=True),
        _many(
            "members",
            "Members of the group.",
            _text("value", "The `id` of the member.", case_exact=True, mutability="immutable"),
            _link("$ref", "URI of the member.", "User", "Group", mutability="immutable"),
            # Of every list by section 2.4, and in the example of section 8.4; missing in the listing.
            _text("display", "Name of the member.", mutability="immutable"),
            _text("type", "Kind of the member.", mutability="immutable", canonical_values=("User", "Group")),
        ),
    ),
)


def _supported(name: str, description: str, *more: Attribute) -> Attribute:
    supported = _flag("supported", "Whether it is supported.", required=True, mutability="readOnly")
    return _complex(name, description, supported, *more, required=True, mutability="readOnly")


def _limit(name: str, description: str) -> Attribute:
    return Attribute(name, "integer", required=True, mutability="readOnly", description=description)


SERVICE_PROVIDER_CONFIG = Schema(
    f"{_CORE}:ServiceProviderConfig",
    "ServiceProviderConfig",
    "What the service provider can do",
    (
        _link("documentationUri", "Web page with help for people.", "external", mutability="readOnly"),
        _supported("patch", "Changing parts of a resource."),
        _supported(
            "bulk",
            "Many operations in one request.",
            _limit("maxOperations", "Most operations in one request."),
            _limit("maxPayloadSize", "Largest request in bytes."),
        ),
        _supported("filter", "Filters in queries.", _limit("maxResults", "Most resources in one answer.")),
        _supported("changePassword", "Changing a password."),
        _supported("sort", "Sorted answers."),
        _supported("etag", "Versions of resources as entity tags."),
        _many(
            "authenticationSchemes",
            "Ways for a client to authenticate.",
            _text(
                "type",
                "Kind of the scheme.",
                required=True,
                mutability="readOnly",
                canonical_values=("oauth", "oauth2", "oauthbearertoken", "httpbasic", "httpdigest"),
            ),
            _text("name", "Common name of the scheme.", required=True, mutability="readOnly"),
            _text("description", "What the scheme is.", required=True, mutability="readOnly"),
            _link("specUri", "Specification of the scheme.", "external", mutability="readOnly"),
            _link("documentationUri", "How to use the scheme here.", "external", mutability="readOnly"),
            _flag("primary", "Whether this is the preferred scheme.", mutability="readOnly"),
            required=True,
            mutability="readOnly",
        ),
    ),
)

RESOURCE_TYPE = Schema(
    f"{_CORE}:ResourceType",
    "ResourceType",
    "A kind of resource and where it is found",
    (
        _text("id", "Identifier of the resource type; often its name.", mutability="readOnly"),
        _text("name", "Name of the resource type.", required=True, mutability="readOnly"),
        _text("description", "What the resource type is for people.", mutability="readOnly"),
        _link("endpoint", "Endpoint relative to the base URL.", "uri", required=True, mutability="readOnly"),
        _link("schema", "URN of the main schema.", "uri", required=True, mutability="readOnly"),
        # OPTIONAL by section 6; the listing (8.7.2) says true.
        _many(
            "schemaExtensions",
            "Extensions of the main schema.",
            _link("schema", "URN of the extension.", "uri", required=True, mutability="readOnly"),
            _flag(
                "required", "Whether every resource must have the extension.", required=True, mutability="readOnly"
            ),
            mutability="readOnly",
        ),
    ),
)


def _read(name: str, description: str, **characteristics: Any) -> Attribute:  # noqa: ANN401  # fields of Attribute, which checks them
    return Attribute(name, mutability="readOnly", description=description, **characteristics)


_CHARACTERISTICS: tuple[Attribute, ...] = (
    _read("name", "Name of the attribute.", required=True, case_exact=True),
    _read(
        "type",
        "Type of the attribute's values.",
        required=True,
        canonical_values=("string", "complex", "boolean", "decimal", "integer", "dateTime", "reference", "binary"),
    ),
    _read("multiValued", "Whether the attribute is a list.", type="boolean", required=True),
    _read("description", "What the attribute is for people."),
    _read("required", "Whether the attribute must have a value.", type="boolean"),
    _read("canonicalValues", "Values that are suggested.", multi_valued=True, case_exact=True),
    _read("caseExact", "Whether the case of letters counts.", type="boolean"),
    _read(
        "mutability",
        "When the attribute may be changed.",
        case_exact=True,
        canonical_values=("readOnly", "readWrite", "immutable", "writeOnly"),
    ),
    _read(
        "returned",
        "When the attribute is in an answer.",
        case_exact=True,
        canonical_values=("always", "never", "default", "request"),
    ),
    _read(
        "uniqueness",
        "How far a value is unique.",
        case_exact=True,
        canonical_values=("none", "server", "global"),
    ),
    _read("referenceTypes", "What a reference may point to.", multi_valued=True, case_exact=True),
)

SCHEMA = Schema(
    _SCHEMA_URN,
    "Schema",
    "The attributes of a kind of resource",
    (
        _read("id", "URN of the schema.", required=True, case_exact=True, uniqueness="server"),
        _read("name", "Name of the schema.", required=True),
        _read("description", "What the schema is for people."),
        _many(
            "attributes",
            "The attributes of the schema.",
            *_CHARACTERISTICS,
            _many("subAttributes", "The parts of a complex attribute.", *_CHARACTERISTICS, mutability="readOnly"),
            required=True,
            mutability="readOnly",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an attribute path leads in a resource; names are as the schema writes them, where it knows them.

    `extension` is the URN of the object that holds it, None for the resource itself. `name` is empty where the
    path is an extension as a whole. `attribute` and `sub_attribute` are None for what no schema knows.
    """

    extension: str | None
    name: str
    sub: str | None
    attribute: Attribute | None
    sub_attribute: Attribute | None

    @property
    def target(self) -> Attribute | None:
        """The attribute that the whole path names: the sub-attribute if there is one."""
        return self.sub_attribute if self.sub else self.attribute


class Registry:
    """The schemas in use, found by URN and by attribute path. Names and URNs have no case (RFC 7643 section 2.1)."""

    def __init__(self, schemas: Iterable[Schema]) -> None:
        self.schemas: tuple[Schema, ...] = tuple(schemas)
        self._by_id = {schema.id.lower(): schema for schema in self.schemas}
        self._common = {attribute.name.lower(): attribute for attribute in COMMON}

    def schema(self, urn: str) -> Schema | None:
        """Return the schema of that URN, whatever the case of its letters."""
        return self._by_id.get(urn.lower())

    def lookup(self, path: AttributePath, resource_schemas: Iterable[str] = ()) -> Attribute | None:
        """Return the attribute or sub-attribute that a path names, None if no schema knows it."""
        return self.locate(path, resource_schemas).target

    def locate(self, path: AttributePath, resource_schemas: Iterable[str] = ()) -> Place:
        """Return where a path leads in a resource of these schemas; without any, in a resource of any schema.

        A name without a URN is never of an extension (RFC 7644 section 3.10). Accepted beyond the grammar:
        an extension's URN alone, and a dot in place of the colon after it, as Entra ID writes it.
        """
        if path.schema is None:
            return self._found(None, self._own(path.name, resource_schemas), path.name, path.sub)
        whole = self.schema(f"{path.schema}:{path.name}")
        if whole is not None:
            if path.sub is None:
                return Place(whole.id, "", None, None, None)
            return self._found(whole.id if whole.extension else None, whole.attribute(path.sub), path.sub, None)
        schema = self.schema(path.schema)
        if schema is None:
            return Place(path.schema, path.name, path.sub, None, None)
        attribute = schema.attribute(path.name)
        if schema.extension:
            return self._found(schema.id, attribute, path.name, path.sub)
        return self._found(None, attribute or self._common.get(path.name.lower()), path.name, path.sub)

    def _own(self, name: str, resource_schemas: Iterable[str]) -> Attribute | None:
        named = [schema for urn in resource_schemas if (schema := self.schema(urn)) is not None]
        cores = [schema for schema in named if not schema.extension]
        for schema in cores or [schema for schema in self.schemas if not schema.extension]:
            attribute = schema.attribute(name)
            if attribute is not None:
                return attribute
        return self._common.get(name.lower())

    @staticmethod
    def _found(extension: str | None, attribute: Attribute | None, name: str, sub: str | None) -> Place:
        if attribute is None:
            return Place(extension, name, sub, None, None)
        inner = attribute.sub(sub) if sub else None
        return Place(extension, attribute.name, inner.name if inner else sub, attribute, inner)


DEFAULT = Registry((USER, ENTERPRISE_USER, GROUP, SERVICE_PROVIDER_CONFIG, RESOURCE_TYPE, SCHEMA))
"""The registry of the schemas of RFC 7643."""

BY_ID: dict[str, Schema] = {schema.id: schema for schema in DEFAULT.schemas}
"""The schemas of RFC 7643 by their URN, as the RFC writes it."""
