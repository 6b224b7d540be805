"""What a server says about itself: /ServiceProviderConfig, /ResourceTypes, /Schemas (RFC 7644 section 4).

One rule: it is made from the `Dialect` alone, so it cannot promise what the directory does not do.
Flow: directory -> discover() -> Answer.
"""

from __future__ import annotations

from collections.abc import Callable

from scimproxy.exchange import Headers
from scimproxy.scim.dialect import LIST_RESPONSE, Answer, Call, Dialect, Json, Refusal, ResourceType
from scimproxy.scim.schemas import RESOURCE_TYPE, SCHEMA, SERVICE_PROVIDER_CONFIG, Schema

__all__ = ["ENDPOINTS", "discover", "resource_types", "schemas", "service_provider_config"]

Locate = Callable[[str], dict[str, str]]
"""Makes `{"location": ...}` of a path below the base, or nothing, as the dialect wants it."""


def discover(call: Call, segments: tuple[str, ...], dialect: Dialect, locate: Locate) -> Answer:
    """Answer a call of a discovery endpoint.

    Raises:
        Refusal: the dialect's 405 on a write, 403 on a filter (RFC 7644 section 4), 404 on an unknown id.
    """
    if call.method not in {"GET", "HEAD"}:
        text = dialect.text("method", method=call.method, path=call.path)
        raise Refusal(dialect.method_status, text, headers=Headers([("Allow", "GET, HEAD")]))
    if "filter" in call.parameters():
        raise Refusal(403, f"Filters are not allowed on {call.path}")
    name, rest = segments[0].lower(), segments[1:]
    if name == "serviceproviderconfig" and not rest:
        return Answer(200, body=service_provider_config(dialect, locate))
    if name == "serviceproviderconfig" or len(rest) > 1:
        raise Refusal(404, dialect.text("no_endpoint", path=call.path))
    members = schemas(dialect, locate) if name == "schemas" else resource_types(dialect, locate)
    if not rest:
        total = len(members)
        listed: Json = {"schemas": [LIST_RESPONSE], "totalResults": total, "startIndex": 1, "itemsPerPage": total}
        return Answer(200, body={**listed, "Resources": members})
    for member in members:
        if rest[0].lower() == member["id"].lower():
            return Answer(200, body=member)
    raise Refusal(404, dialect.text("not_found", id=rest[0]))


ENDPOINTS = frozenset({"serviceproviderconfig", "resourcetypes", "schemas"})
"""The discovery endpoints, in lower case."""


def service_provider_config(dialect: Dialect, locate: Locate) -> Json:
    """Return what the server can do (RFC 7643 section 5)."""
    config: Json = {
        "schemas": [SERVICE_PROVIDER_CONFIG.id],
        "patch": {"supported": dialect.patch},
        "bulk": {
            "supported": dialect.bulk,
            "maxOperations": dialect.max_operations if dialect.bulk else 0,
            "maxPayloadSize": dialect.max_payload if dialect.bulk else 0,
        },
        "filter": {"supported": dialect.filter, "maxResults": dialect.max_page if dialect.filter else 0},
        "changePassword": {"supported": True},
        "sort": {"supported": dialect.sort},
        "etag": {"supported": dialect.etags},
        "authenticationSchemes": [
            {
                "type": "oauthbearertoken",
                "name": "OAuth Bearer Token",
                "description": "A bearer token in the Authorization header",
                "specUri": "https://www.rfc-editor.org/info/rfc6750",
                "primary": True,
            }
        ],
        "meta": {"resourceType": "ServiceProviderConfig", **locate("/ServiceProviderConfig")},
    }
    if dialect.documentation_uri:
        config["documentationUri"] = dialect.documentation_uri
    return config


def resource_types(dialect: Dialect, locate: Locate) -> list[Json]:
    """Return the kinds of resources (RFC 7643 section 6)."""
    return [_resource_type(kind, locate) for kind in dialect.resource_types]


def _resource_type(kind: ResourceType, locate: Locate) -> Json:
    made: Json = {
        "schemas": [RESOURCE_TYPE.id],
        "id": kind.name,
        "name": kind.name,
        "description": kind.description or kind.name,
        "endpoint": kind.endpoint,
        "schema": kind.schema.id,
    }
    if kind.extensions:
        made["schemaExtensions"] = [{"schema": schema.id, "required": False} for schema in kind.extensions]
    made["meta"] = {"resourceType": "ResourceType", **locate(f"/ResourceTypes/{kind.name}")}
    return made


def schemas(dialect: Dialect, locate: Locate) -> list[Json]:
    """Return every schema in use, those of discovery included (RFC 7643 section 7), each once."""
    used = [schema for kind in dialect.resource_types for schema in kind.schemas]
    every = {schema.id: schema for schema in (*used, SERVICE_PROVIDER_CONFIG, RESOURCE_TYPE, SCHEMA)}
    return [_schema(schema, locate) for schema in every.values()]


def _schema(schema: Schema, locate: Locate) -> Json:
    made = schema.to_dict()
    made["meta"] |= locate(f"/Schemas/{schema.id}")
    return made
