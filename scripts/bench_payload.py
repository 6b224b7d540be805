"""What the upstream of the bench answers, for the upstream itself and for those who check that it arrived unharmed.

One rule: pure. An answer follows from the target alone; the number in the target stands in the answer too, so that
no two answers are equal and nobody gains by storing or answering one twice (`/same` in front switches that off).
"""

from __future__ import annotations

import json

__all__ = ["BLOB", "PIECE", "POST_BODY", "Answer", "answer", "number_of"]

Answer = tuple[int, str, bytes]
"""Status code, media type, body."""

DIGITS = 12
MARK = "0" * DIGITS
SCIM = "application/scim+json"


def _padded(document: dict[str, object], size: int) -> bytes:
    """Return the document as JSON of exactly this size."""
    document["note"] = ""
    document["note"] = "x" * (size - len(json.dumps(document)))
    return json.dumps(document).encode()


def _user(number: str) -> dict[str, object]:
    return {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": number,
        "userName": f"user{number}@example.com",
        "name": {"givenName": "Barbara", "familyName": "Jensen"},
        "active": True,
        "emails": [{"value": f"user{number}@example.com", "type": "work", "primary": True}],
        "meta": {"resourceType": "User", "version": 'W/"1"'},
    }


PIECE = b",\n".join(json.dumps(_user(f"{index:06d}")).encode() for index in range(4000))[: 1 << 20]
"""One MiB of users; a blob is this, again and again: a list as long as no server should send."""
BLOB = 64
"""The pieces of a blob: 64 MiB."""
POST_BODY = _padded(_user(MARK), 2048)
"""The request of the POST workload; its numbers are replaced by the request's own."""
_READ = _padded(_user(MARK), 512)
_LIST = _padded(
    {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "etag": MARK,
        "totalResults": 500,
        "Resources": [_user(f"{index:06d}") for index in range(500)],
    },
    200_000,
)


def number_of(target: str) -> str:
    """Return the twelve digits that a target ends with."""
    number = target[-DIGITS:]
    return number if len(number) == DIGITS and number.isdigit() else MARK


def answer(method: str, target: str, size: int = 0) -> Answer | None:
    """Return the answer; None for a blob, which is sent in pieces. `size` is that of the request's content."""
    number = MARK if target.startswith("/same/") else number_of(target)
    path = target.removeprefix("/same").partition("?")[0]
    if path.startswith("/blob"):
        if method == "GET":
            return None
        return 200, SCIM, b'{"size": %d, "right": true}' % size
    if method == "POST":
        return 201, SCIM, b'{"id": "%s", "size": %d}' % (number.encode(), size)
    whole = _READ if path.startswith("/scim/v2/Users/") else _LIST
    return 200, SCIM, whole.replace(MARK.encode(), number.encode())
