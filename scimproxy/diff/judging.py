"""How much a difference matters to a client: breaking, changed, additive or noise, with the reason.

One rule: the verdict follows from what changed and where, never from the values' text.
What a client sent is never breaking: no server did it. Pure; differences.py asks for each difference it finds.
"""

from __future__ import annotations

from typing import Literal

__all__ = ["VERDICTS", "Change", "Verdict", "judge"]

type Verdict = Literal["breaking", "changed", "additive", "noise"]
"""From what stops clients to what nobody notices."""
VERDICTS: tuple[Verdict, ...] = ("breaking", "changed", "additive", "noise")
"""The worst first."""

type Change = Literal[
    "missing",
    "added",
    "value",
    "type",
    "order",
    "case",
    "empty",
    "form",
    "other",
    "failure",
    "status",
    "body",
    "error",
]
"""What happened: `form` is a value written otherwise, `other` one that names another resource, `body` JSON in one run
only, `error` an answer in one run and an error in the other."""

_BODY_REASONS: dict[Change, tuple[Verdict, str]] = {
    "missing": ("breaking", "clients that read it find nothing"),
    "added": ("additive", "clients ignore what they do not know"),
    "type": ("breaking", "the JSON type is another one"),
    "value": ("changed", "the value is another one"),
    "order": ("noise", "multi-valued attributes have no order (RFC 7643 section 2.4)"),
    "case": ("noise", "names of attributes have no case (RFC 7643 section 2.1)"),
    "empty": ("noise", "absent, null and an empty list are the same (RFC 7643 section 2.5)"),
    "form": ("changed", "the value is written in another form"),
    "other": ("breaking", "it names another resource"),
    "body": ("breaking", "the body is no JSON in one of the runs"),
    "error": ("changed", "one of the answers is an error"),
}
_HEADER_REASONS: dict[tuple[str, Change], tuple[Verdict, str]] = {
    ("location", "missing"): ("breaking", "clients find the new resource by it (RFC 7644 section 3.3)"),
    ("content-type", "value"): ("changed", "the media type is another one (RFC 7644 section 3.1)"),
    ("content-type", "body"): ("breaking", "the media type is JSON in one run only (RFC 7644 section 3.1)"),
    ("content-type", "missing"): ("breaking", "clients cannot tell what the body is (RFC 9110 section 8.3)"),
    ("etag", "missing"): ("changed", "clients cannot ask for a version any more (RFC 7644 section 3.14)"),
    ("etag", "other"): ("changed", "ETag and meta.version agree in one run only (RFC 7644 section 3.14)"),
    ("www-authenticate", "missing"): ("changed", "a 401 has it (RFC 9110 section 11.6.1)"),
    ("allow", "missing"): ("changed", "a 405 has it (RFC 9110 section 15.5.6)"),
}


def judge(change: Change, names: tuple[str, ...], *, leads: bool = True) -> tuple[Verdict, str]:
    """Return the verdict on a change at a place: (`response`, `body`, `emails`, `value`), lower case, no indexes.

    `leads` says whether the status is one with which clients follow Location: 201 or a redirect (RFC 9110 s10.2.2).
    """
    side, part = names[0], names[1] if len(names) > 1 else ""
    if change == "failure":
        return "breaking", "one of the runs has no whole answer"
    if side == "request":
        return _of_request(change)
    if change == "status":
        return "breaking", "clients act on the status"
    if part == "headers":
        return _of_header(change, names[-1] if leads or change != "missing" else "")
    if part == "body":
        return _of_body(change, names[2:])
    if part == "byte_order_mark":
        return (
            "changed",
            "JSON begins without a byte order mark (RFC 8259 section 8.1)",
        )
    return "changed", "the response is another one"


def _of_request(change: Change) -> tuple[Verdict, str]:
    verdict, reason = _BODY_REASONS.get(change, ("changed", ""))
    return (verdict, reason) if verdict == "noise" else ("changed", "the client sent something else")


def _of_header(change: Change, name: str) -> tuple[Verdict, str]:
    known = _HEADER_REASONS.get((name, change))
    if known is not None:
        return known
    if name == "location":
        return _located(change)
    words: dict[Change, tuple[Verdict, str]] = {
        "missing": ("changed", "the header is gone"),
        "added": ("additive", "clients ignore headers they do not know"),
    }
    return words.get(change, ("changed", "the header says something else"))


def _of_body(change: Change, names: tuple[str, ...]) -> tuple[Verdict, str]:
    last, parent = names[-1] if names else "", names[-2] if len(names) > 1 else ""
    if last == "$ref" or (parent, last) in {("meta", "location"), ("operations", "location")}:
        return _located(change)
    if last == "resources" and change in {"missing", "added"}:
        return (
            ("breaking", "a resource is not found any more")
            if change == "missing"
            else ("changed", "a resource is found that was not")
        )
    if last == "resources" and change == "order":
        return "changed", "resources come in another order"
    if last == "password" and change == "added":
        return "breaking", "a password is never returned (RFC 7643 section 4.1.1)"
    if not names and change == "added":
        return "additive", "there was no body"
    if not names and change == "missing":
        return "breaking", "there is no body any more"
    return _BODY_REASONS.get(change, ("changed", "the value is another one"))


def _located(change: Change) -> tuple[Verdict, str]:
    if change in {"missing", "added"}:
        return _BODY_REASONS[change]
    if change == "form":
        return "breaking", "the location is absolute, or at the server, in one run only: clients cannot follow it"
    return "breaking", "the location leads to another resource"
