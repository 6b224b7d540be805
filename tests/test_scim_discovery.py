"""What the server says about itself."""

from __future__ import annotations

import pytest

from scimproxy.scim.dialect import DEFAULT_DIALECT, LIST_RESPONSE, Answer, Call, Dialect, Refusal
from scimproxy.scim.discovery import discover
from scimproxy.scim.schemas import ENTERPRISE_USER, GROUP, RESOURCE_TYPE, SCHEMA, SERVICE_PROVIDER_CONFIG, USER


def ask(path: str, method: str = "GET", query: str = "", dialect: Dialect = DEFAULT_DIALECT) -> Answer:
    call = Call(method, path, query)
    return discover(call, call.segments(), dialect, lambda at: {"location": f"https://x{at}"})


def test_configuration_follows_the_dialect() -> None:
    body = ask("/ServiceProviderConfig").body
    assert body is not None
    assert body["bulk"] == {"supported": True, "maxOperations": 1000, "maxPayloadSize": 1 << 20}
    assert body["filter"] == {"supported": True, "maxResults": 200}
    assert body["meta"] == {"resourceType": "ServiceProviderConfig", "location": "https://x/ServiceProviderConfig"}
    assert "documentationUri" not in body
    poor = Dialect(
        bulk=False, filter=False, sort=False, etags=False, patch=False, documentation_uri="https://doc.example"
    )
    body = ask("/serviceproviderconfig", "HEAD", dialect=poor).body
    assert body is not None
    assert body["bulk"] == {"supported": False, "maxOperations": 0, "maxPayloadSize": 0}
    assert body["filter"] == {"supported": False, "maxResults": 0}
    assert [body[name]["supported"] for name in ("sort", "etag", "patch")] == [False] * 3
    assert body["documentationUri"] == "https://doc.example"


def test_resource_types() -> None:
    body = ask("/ResourceTypes").body
    assert body is not None and body["schemas"] == [LIST_RESPONSE]
    assert (body["totalResults"], body["itemsPerPage"], body["startIndex"]) == (2, 2, 1)
    user, group = body["Resources"]
    assert user["schemaExtensions"] == [{"schema": ENTERPRISE_USER.id, "required": False}]
    assert "schemaExtensions" not in group
    assert ask("/ResourceTypes/user").body == user


def test_schemas_hold_every_schema_once() -> None:
    body = ask("/Schemas").body
    assert body is not None
    ids = [one["id"] for one in body["Resources"]]
    assert ids == [one.id for one in (USER, ENTERPRISE_USER, GROUP, SERVICE_PROVIDER_CONFIG, RESOURCE_TYPE, SCHEMA)]
    user = ask(f"/Schemas/{USER.id}").body
    assert user == body["Resources"][0]
    names = {one["name"]: one for one in user["attributes"]}
    assert names["userName"]["uniqueness"] == "server"
    emails = {one["name"]: one for one in names["emails"]["subAttributes"]}
    assert emails["type"]["canonicalValues"] == ["work", "home", "other"]
    groups = {one["name"]: one for one in names["groups"]["subAttributes"]}
    assert groups["$ref"]["referenceTypes"] == ["User", "Group"]


@pytest.mark.parametrize(
    ("path", "method", "query", "status"),
    [
        ("/Schemas/urn:unknown", "GET", "", 404),
        ("/Schemas/a/b", "GET", "", 404),
        ("/ServiceProviderConfig/x", "GET", "", 404),
        ("/ResourceTypes", "GET", "filter=name%20pr", 403),
        ("/Schemas", "POST", "", 405),
        ("/ServiceProviderConfig", "DELETE", "", 405),
    ],
)
def test_refusals(path: str, method: str, query: str, status: int) -> None:
    with pytest.raises(Refusal) as caught:
        ask(path, method, query)
    assert caught.value.status == status
    assert (caught.value.headers.get("Allow") is not None) == (status == 405)
