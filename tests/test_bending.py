"""What the defects are made of: each bends what it is about, survives everything, and leaves the rest alone."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from scimproxy.bending import Reply, Scene
from scimproxy.defects import DEFECTS, Defect
from scimproxy.exchange import Headers
from scimproxy.scim.dialect import DEFAULT_DIALECT, Answer, Call
from scimproxy.scim.directory import Directory

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
BULK = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
FULL = {
    "schemas": [USER], "userName": "Full", "password": "secret", "externalId": "12", "active": True,
    "emails": [{"value": "a@x", "primary": True}],
}  # fmt: skip
OPERATION = {"op": "replace", "value": {"active": False}}

CALLS: list[tuple[str, str, Any]] = [
    ("GET", "/Users", None),
    ("GET", "/Users?count=0&startIndex=2&sortBy=userName", None),
    ("GET", "/Users?count=many&startIndex=first", None),
    ("GET", "/Users?filter=title%20pr&count=5", None),
    ("GET", "/Users?filter=userName%20pr&attributes=userName", None),
    ("GET", "/Users?filter=FOO", None),
    ("GET", "/Users/bare?excludedAttributes=userName", None),
    ("GET", "/Users/bare?attributes=userName", None),
    ("GET", "/Groups/group", None),
    ("GET", "/Users/nobody", None),
    ("GET", "/", None),
    ("GET", "/?count=0", None),
    ("GET", "/?count=1", None),
    ("GET", "/?sortBy=userName", None),
    ("GET", "/Me", None),
    ("GET", "/ServiceProviderConfig", None),
    ("GET", "/ResourceTypes", None),
    ("GET", "/ResourceTypes/User", None),
    ("GET", "/Schemas?filter=id%20pr", None),
    ("POST", "/Schemas", {}),
    ("DELETE", "/Users", None),
    ("POST", "/Users", FULL),
    ("POST", "/Users", {**FULL, "userName": "BARE"}),
    ("POST", "/Users", {"userName": "no schemas"}),
    ("POST", "/Users", {"schemas": [USER], "userName": "plain", "externalId": "x1"}),
    ("POST", "/Bulk", {"schemas": [BULK], "Operations": [{"method": "DELETE", "path": "/Users/nobody"}]}),
    ("PUT", "/Users/bare", FULL),
    ("PATCH", "/Users/bare", {"schemas": [PATCH], "Operations": [OPERATION]}),
    ("PATCH", "/Users/bare", {"schemas": [PATCH], "Operations": [{**OPERATION, "op": "Replace", "path": "active"}]}),
    ("PATCH", "/Users/bare", {"schemas": [PATCH], "Operations": [{**OPERATION, "value": {"active": "True"}}]}),
    ("PATCH", "/Users", {"schemas": [PATCH], "Operations": [OPERATION]}),
    ("DELETE", "/Users/bare", None),
    ("DELETE", "/Users/nobody", None),
]


def directory(**dialect: Any) -> Directory:
    numbers = count(1)
    made = Directory(
        clock=lambda: 1.0, new_id=lambda: f"id{next(numbers)}", dialect=replace(DEFAULT_DIALECT, **dialect)
    )
    made.seed("User", {"schemas": [USER], "userName": "bare"}, resource_id="bare")
    made.seed("User", {"schemas": [USER], "userName": "aaa"})
    made.seed("Group", {"schemas": [GROUP], "displayName": "G", "members": [{"value": "bare"}]}, resource_id="group")
    return made


def travel(defect: Defect | None, method: str, target: str, body: Any) -> Reply:
    """Send one call through a fresh directory and the whole of a defect, as the server does."""
    path, _, query = target.partition("?")
    content = b"" if body is None else json.dumps(body).encode()
    call = asked = Call(method, path, query, Headers([("If-Match", "*")]), content, "https://x/v2", "bare")
    scene = Scene(directory(**(defect.dialect if defect else {})))
    if defect and defect.on_call:
        call = defect.on_call(call, scene)
    answer = scene.directory.handle(call)
    if defect and defect.on_answer:
        answer = defect.on_answer(answer, asked, scene)
    reply = Reply(answer.status, answer.headers, answer.content())
    return defect.on_reply(reply, asked, scene) if defect and defect.on_reply else reply


RIGHT = [travel(None, *call) for call in CALLS]
SEEN_ELSEWHERE = {
    "open-door": "the token is the face's business",
    "no-www-authenticate": "the token is the face's business",
    "wrong-token-403": "the token is the face's business",
    "if-match-ignored": "every call here names the current version",
    "soft-delete": "seen at the next read",
    "last-modified-frozen": "the clock stands still here",
}
"""Defects that a single call does not show; test_defects.py shows them."""
EVERYWHERE = {"slow", "cookie", "no-answer", "http-1-0"}
"""Defects that spare no response."""


@pytest.mark.parametrize("defect", DEFECTS.values(), ids=DEFECTS)
def test_a_defect_survives_every_call_and_bends_some_but_not_all(defect: Defect) -> None:
    bent = [travel(defect, *call) for call in CALLS]
    changed = sum(one != right for one, right in zip(bent, RIGHT, strict=True))
    if defect.name not in SEEN_ELSEWHERE:
        assert changed > 0
    assert changed < len(CALLS) or defect.name in EVERYWHERE
    assert all(100 <= one.status <= 599 for one in bent)


def test_what_a_defect_looks_for_may_be_missing() -> None:
    scene = Scene(directory())
    call = Call("GET", "/Users")
    bare = Answer(500)
    listing = Answer(200, body={"schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "totalResults": 0})
    for defect in DEFECTS.values():
        for answer in (bare, listing):
            if defect.on_answer is not None:
                assert isinstance(defect.on_answer(answer, call, scene), Answer)
