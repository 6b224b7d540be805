"""Why an assertion failed: the sentence of a standard or of Okta behind it, and what usually causes it.

One rule: a hint is a row of one table, with its source; code only picks the row. The sentences are our own words, the
section is named. Pure; used by the terminal and every report.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from scimproxy.suite.results import NOT_KNOWN, AssertionResult, StepResult

__all__ = ["HINTS", "Hint", "Why", "why"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """A row: when it applies, and what it says.

    `method`, `path` and `property` are regular expressions that must be found in the step's or assertion's
    value; None means any. `expected` and `actual` compare as text. `rule` is the requirement, `section` where it
    stands, `cause` what is usually wrong, `source` where that is known from.
    """

    name: str
    rule: str
    section: str
    cause: str
    source: str
    on: str = "response_json"
    method: str | None = None
    path: str | None = None
    property: str | None = None
    expected: str | None = None
    actual: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """What is told under a failed assertion."""

    expected: str
    came: str
    place: str | None
    rule: str | None = None
    section: str | None = None
    cause: str | None = None
    source: str | None = None


HINTS: tuple[Hint, ...] = (
    Hint(
        name="base-path",
        on="response_status",
        path=r"/Users\?|/Users$|/Groups\?|/Groups$",
        method="GET",
        expected="200",
        actual="404",
        rule="Resources are below the base URL: /Users and /Groups are relative to it.",
        section="RFC 7644 section 3.2",
        cause="the base URL lacks the path prefix of the SCIM API (often /scim/v2), or has it twice",
        source="runscope.md 8",
    ),
    Hint(
        name="token-refused",
        on="response_status",
        actual="401",
        rule="A request with good credentials is answered; 401 says that they are missing or wrong.",
        section="RFC 7644 section 2, RFC 9110 section 15.5.2",
        cause="the auth variable lacks the word `Bearer`, the token is old, or a tunnel strips Authorization",
        source="runscope.md 8",
    ),
    Hint(
        name="duplicate-not-409",
        on="response_status",
        method="POST",
        expected="409",
        rule="Creating a user whose userName is taken is refused with 409 and scimType uniqueness.",
        section="RFC 7644 section 3.3 and table 8",
        cause="the server has no unique index on userName, updates the existing user, or reports 400 or 500 for the "
        "database's error",
        source="snipe-it 13854, FusionAuth 1776, PostHog 42205 (runscope.md 8, 1)",
    ),
    Hint(
        name="create-not-201",
        on="response_status",
        method="POST",
        expected="201",
        rule="A created resource is answered with 201, its body and a Location header.",
        section="RFC 7644 section 3.3",
        cause="200 in place of 201; 400 for an attribute that the server does not know (it should be ignored); or "
        "415 because application/scim+json is not accepted",
        source="runscope.md 8, 5",
    ),
    Hint(
        name="no-401",
        on="response_status",
        expected="401",
        rule="A request without good credentials is refused with 401 and a WWW-Authenticate header.",
        section="RFC 7644 section 2, RFC 9110 section 15.5.2",
        cause="authentication is not checked on this path, or answers 403, 302 (a login page) or 500",
        source="runscope.md 8, 3",
    ),
    Hint(
        name="no-404",
        on="response_status",
        expected="404",
        rule="A resource that does not exist is answered with 404.",
        section="RFC 7644 section 3.12, table 8",
        cause="an id that is no UUID or number makes a 400 or 500, or an empty list is answered with 200",
        source="runscope.md 8, 3",
    ),
    Hint(
        name="delete-not-204",
        on="response_status",
        method="DELETE",
        expected="204",
        rule="A deletion is answered with 204 and no content.",
        section="RFC 7644 section 3.6",
        cause="the framework's default of 200 with a body",
        source="RFC 7644 section 3.6",
    ),
    Hint(
        name="bad-filter-not-400",
        on="response_status",
        path=r"filter=",
        expected="400",
        rule="A filter that does not parse is answered with 400 and scimType invalidFilter.",
        section="RFC 7644 section 3.12, table 9",
        cause="the filter is ignored, or found by a pattern that any text fits",
        source="runscope.md 0",
    ),
    Hint(
        name="server-error",
        on="response_status",
        actual="500",
        rule="A client's request, good or bad, is never answered with a server error.",
        section="RFC 7644 section 3.12",
        cause="an exception in the server: its log at this moment says which",
        source="runscope.md 8",
    ),
    Hint(
        name="case-of-user-name",
        property=r"userName",
        rule="userName is unique without regard to case, and is given back as it was written.",
        section="RFC 7643 section 4.1.1",
        cause="the server stores or returns userName in lower case; `equal` of the suite is case-sensitive",
        source="PostHog 42205, ory/polis, langfuse 13528, medplum 4134 (runscope.md 8, 2)",
    ),
    Hint(
        name="resources-absent",
        property=r"^Resources",
        rule="Found resources stand in the list Resources of a ListResponse.",
        section="RFC 7644 section 3.4.2",
        cause="the server holds no user yet (the suite reads the first one), or nests the list in another member",
        source="runscope.md 8, 4",
    ),
    Hint(
        name="list-numbers",
        property=r"^(totalResults|startIndex|itemsPerPage)$",
        rule="totalResults is always there, and a page also has startIndex and itemsPerPage, as integers.",
        section="RFC 7644 section 3.4.2 and 3.4.2.4",
        cause="the member is left out (mostly when nothing is found), is a text, or counts the page, not the matches",
        source="runscope.md 8, 4",
    ),
    Hint(
        name="name-parts",
        property=r"name\.(familyName|givenName)$",
        rule="Okta needs givenName and familyName of a user in the complex attribute name.",
        section="RFC 7643 section 4.1.1; Okta, SCIM 2.0 protocol reference",
        cause="only name.formatted or displayName is returned; or the first user of the server has no name",
        source="PostHog 42205 (runscope.md 8, 4)",
    ),
    Hint(
        name="emails",
        property=r"emails\[",
        rule="emails is a list of objects with value; Okta sends and expects at least one.",
        section="RFC 7643 section 4.1.2",
        cause="emails is left out, a list of texts, or one object; or the first user of the server has none",
        source="PostHog 42205 (runscope.md 8, 4)",
    ),
    Hint(
        name="active",
        property=r"(^|\.)active$",
        rule="active is a boolean; Okta deactivates users by setting it to false.",
        section="RFC 7643 section 4.1.1",
        cause='active is left out, or is a text such as "True"',
        source="runscope.md 8",
    ),
    Hint(
        name="error-body",
        property=r"^(detail|status|scimType)$",
        rule="An error has a JSON body with the Error schema, status as a text, and detail for a person.",
        section="RFC 7644 section 3.12",
        cause="the framework's own error page or JSON is sent, or the error is wrapped in another object",
        source="simpleidserver 227 (runscope.md 8, 3)",
    ),
    Hint(
        name="schemas",
        property=r"(^|\.)schemas$",
        rule="Every SCIM message says in schemas, a list of URNs, what it is: ListResponse, Error, User, ...",
        section="RFC 7643 section 3, RFC 7644 section 3.12",
        cause="schemas is left out of lists or errors, or names a draft's URN",
        source="runscope.md 8, 3 and 4",
    ),
    Hint(
        name="service-provider-config",
        path=r"/ServiceProviderConfig",
        rule="ServiceProviderConfig says for patch, bulk, filter, changePassword, sort and etag what is supported.",
        section="RFC 7643 section 5",
        cause="members that are not supported are left out in place of supported: false",
        source="osiam 309 (runscope.md 8, 6)",
    ),
    Hint(
        name="id-absent",
        property=r"(^|\.)id$",
        rule="Every resource has an id: given by the server, unique, and never changed.",
        section="RFC 7643 section 3.1",
        cause="the answer does not hold the resource, or holds it below another member",
        source="runscope.md 8",
    ),
    Hint(
        name="slow",
        on="response_time",
        rule="Okta's suite wants this answer within the time that it names.",
        section="Okta's SPEC suite",
        cause="every member of every group is read one by one; or the server has just started",
        source="runscope.md 8, 8",
    ),
    Hint(
        name="media-type",
        on="response_headers",
        property=r"(?i)^content-type$",
        rule="SCIM messages have the media type application/scim+json; application/json is tolerated.",
        section="RFC 7644 sections 3.1 and 8.1",
        cause="the framework's default for JSON, or text/html from an error page or a tunnel's warning",
        source="runscope.md 8, 5",
    ),
    Hint(
        name="status-other",
        on="response_status",
        rule="The status says what became of the request.",
        section="RFC 7644 section 3.12, table 8",
        cause="look at the answer's detail: it says what the server did not like",
        source="RFC 7644",
    ),
)
"""In order: the first that fits is told."""

_LONGEST = 200


def why(step: StepResult, assertion: AssertionResult) -> Why | None:
    """Return what to tell under an assertion that did not pass; None for one that did."""
    if assertion.result == "pass":
        return None
    hint = next((one for one in HINTS if _fits(one, step, assertion)), None)
    target = _short(assertion.target_value)
    wanted = assertion.comparison.replace("_", " ") + ("" if assertion.target_value is None else f" {target}")
    came = "nothing" if assertion.error and assertion.actual_value is None else _short(assertion.actual_value)
    told = Why(expected=wanted, came=came, place=assertion.place)
    if hint is None or (assertion.error or "").startswith(NOT_KNOWN):
        return told
    return Why(
        expected=told.expected,
        came=told.came,
        place=told.place,
        rule=hint.rule,
        section=hint.section,
        cause=hint.cause,
        source=hint.source,
    )


def _fits(hint: Hint, step: StepResult, assertion: AssertionResult) -> bool:
    if hint.on != assertion.source:
        return False
    if hint.expected is not None and hint.expected != str(assertion.target_value):
        return False
    if hint.actual is not None and hint.actual != str(assertion.actual_value):
        return False
    pairs = ((hint.method, step.method), (hint.path, step.url), (hint.property, assertion.property))
    return all(pattern is None or re.search(pattern, value or "") for pattern, value in pairs)


def _short(value: Any) -> str:  # noqa: ANN401 - any value of JSON
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
