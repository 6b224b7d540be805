"""Okta's SPEC suites through the runner, against servers with faults: each verdict beside one made by hand.

The server is a list of answers, one for each request. The hand-made verdicts come from reading an answer with the
vendor's sentences in hand (2.3 of the specification that the suite package quotes), never from running the code.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from factories import exchange
from suites import okta

from scimproxy.suite.builtins import Builtins
from scimproxy.suite.effects import Plan, RunScript, ScriptDone, Send
from scimproxy.suite.results import SuiteResult
from scimproxy.suite.runner import Runner
from scimproxy.suite.runscope import parse

SPEC_11, SPEC_20 = "Okta-SCIM-11-SPEC-Test.json", "Okta-SCIM-20-SPEC-Test.json"
LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
VARIABLES = {
    "SCIMBaseURL": "http://scim.example/scim/v2",
    "auth": "Bearer t",
    "randomGivenName": "Given",
    "randomFamilyName": "Family",
    "randomUsername": "Runscope@Example.com",
    "randomUsernameCaps": "RUNSCOPE@EXAMPLE.COM",
    "randomEmail": "r@example.com",
    "InvalidUserEmail": "abcd@example.com",
    "UserIdThatDoesNotExist": "010101",
}
FIRST = {"id": "u 1", "name": {"familyName": "F"}, "userName": "a", "active": False, "emails": []}
CREATED = {"id": 7, "name": {"familyName": "Family", "givenName": "Given"}, "userName": "runscope@example.com"}

# What the server answers, how long it takes (ms), and the verdict on each assertion in the order of the file.
# P passed, F failed; why a fault is one stands beside it.
ANSWERS: list[tuple[int, Any, float, str]] = [
    # givenName is missing, emails is empty so that [0] is nowhere; "1" can be cast to a number; false is not empty.
    (
        200,
        {"schemas": [LIST], "totalResults": 1, "itemsPerPage": 0, "startIndex": "1", "Resources": [FIRST]},
        5,
        "PPPPPPPPFPPF",
    ),
    # familyName is "": empty; the id equals what the first answer had.
    (
        200,
        {**FIRST, "name": {"familyName": "", "givenName": "G"}, "emails": [{"value": "e"}]},
        5,
        "PPFPPPPP",
    ),
    # schemas is a text, no list; "0" equals "0".
    (200, {"schemas": LIST, "totalResults": "0"}, 5, "PFP"),
    # The error is wrapped, so detail and schemas are not where they should be.
    (404, {"response": {"schemas": [ERROR], "detail": "gone"}}, 5, "PFF"),
    # 0.0 is a number equal to 0.
    (200, {"schemas": ["x", LIST], "totalResults": 0.0}, 5, "PPP"),
    # active "True" is not "true"; the id is a number and not empty; userName came back in lower case.
    (201, {**CREATED, "active": "True", "schemas": ["x", USER]}, 5, "PFPPPPF"),
    (200, CREATED, 5, "PFPP"),
    # The second create succeeds.
    (201, CREATED, 5, "F"),
    (200, {}, 5, "P"),
    # 600 is not less than 600.
    (200, {"Resources": []}, 600.2, "PF"),
    # detail is null: empty; status is the number 401, whose text is "401".
    (401, {"schemas": [ERROR], "detail": None, "status": 401}, 5, "PFPP"),
    # A page of HTML.
    (404, b"<html>not found</html>", 5, "PFFF"),
]
CORE = "urn:scim:schemas:core:1.0"
ON = {"supported": True}
CONFIG = {
    "schemas": [CORE],
    "patch": ON,
    "bulk": {"supported": False, "maxOperations": 0},
    "filter": {"supported": True, "maxResults": "200"},
    "changePassword": {},
    "sort": [],
    "authenticationSchemes": [{"type": "", "description": "d"}],
}
NAMED = {"userName": "Runscope@Example.com", "name": {"familyName": "Family", "givenName": "Given"}}
ANSWERS_11: list[tuple[int, Any, float, str]] = [
    # etag is missing (two assertions), {} and [] are not empty but lack what is asked of them, 0 is not empty,
    # maxPayloadSize is missing; 399 ms are below 400.
    (200, CONFIG, 399, "PPPPPPPPPFPFPFFFPPPPFP"),
    (404, b"", 5, "F"),
    # A list, not an object: it has no Resources and no schemas; 400 is not less than 400.
    (200, [{"name": "User"}], 400, "PFFFFFF"),
    (405, b"", 5, "P"),
    # The schema of the core is not the list's; Resources is an empty list: not empty, but [0] is nowhere.
    (200, {"schemas": [CORE], "Resources": []}, 5, "PPFPFF"),
    (200, b"", 5, "F"),
    # has_value wants the whole value; "1.0" is a number, true is none; the last user has all that is asked.
    (
        200,
        {
            "schemas": [CORE + ":x"],
            "itemsPerPage": "1.0",
            "startIndex": True,
            "totalResults": 2,
            "Resources": [{"id": "ü/1", "active": True, "emails": [{"value": "e"}], **NAMED}],
        },
        5,
        "PPFPFPPPPPPPP",
    ),
    # emails is an object, as [0] finds nothing in; the id differs.
    (200, {"id": "other", "active": 0, "emails": {"value": "e"}, **NAMED}, 601, "PFPPPPPFF"),
    # has_value looks into the values of an object as well; 0 equals "0".
    (200, {"schemas": {"a": CORE}, "totalResults": 0}, 5, "PPPP"),
    (404, {"Errors": [{"code": 404}]}, 5, "PFP"),
    # "" is no number.
    (200, {"totalResults": "", "schemas": [CORE]}, 5, "PFPP"),
    # contains finds a part of a value, so the longer name passes; true equals "true".
    (201, {"id": "n1", "active": True, "schemas": [CORE + ":User"], **NAMED}, 5, "PPPPPPPP"),
    # Only the status and the time: the body is empty.
    (200, b"", 5, "PFFFP"),
    (409, b"", 5, "PP"),
    (200, b"", 5, "FP"),
    (200, {"Resources": []}, 599, "PP"),
]
TARGETS = [
    "GET /scim/v2/Users?count=1&startIndex=1",
    "GET /scim/v2/Users/u%201",
    "GET /scim/v2/Users?filter=userName%20eq%20%22abcd@example.com%22",
    "GET /scim/v2/Users/010101",
    "GET /scim/v2/Users?filter=userName%20eq%20%22r@example.com%22",
    "POST /scim/v2/Users",
    "GET /scim/v2/Users/7",
    "POST /scim/v2/Users",
    "GET /scim/v2/Users?filter=userName%20eq%20%22RUNSCOPE@EXAMPLE.COM%22",
    "GET /scim/v2/Groups",
    "GET /scim/v2/Users?filter=userName%20eq%20%22RUNSCOPE@EXAMPLE.COM%22",
    "GET /scim/v2/Users/00919288221112222",
]


def play(name: str, answers: list[tuple[int, Any, float, str]]) -> tuple[SuiteResult, list[Send]]:
    (suite,) = parse(okta(name))
    builtins = Builtins(now=lambda: 0.0, random_below=lambda _: 0)
    running = Runner(Plan(suite=suite, environment=suite.environment, builtins=builtins, variables=VARIABLES)).play()
    sent: list[Send] = []
    answer: Any = None
    while True:
        try:
            effect = running.send(answer)
        except StopIteration as done:
            return done.value, sent
        answer = None
        if isinstance(effect, Send):
            status, document, took, _ = answers[len(sent)]
            sent.append(effect)
            made = exchange(
                request=effect.request,
                status_code=status,
                answer=document if isinstance(document, bytes) else json.dumps(document).encode(),
            )
            answer = replace(made, timings=replace(made.timings, total=took))
        elif isinstance(effect, RunScript):
            answer = ScriptDone(variables=effect.variables)


@pytest.mark.parametrize(("name", "answers"), [(SPEC_20, ANSWERS), (SPEC_11, ANSWERS_11)])
def test_each_verdict_is_the_one_made_by_hand(name: str, answers: list[tuple[int, Any, float, str]]) -> None:
    result, _ = play(name, answers)
    requests = [step for step in result.steps if step.step_type == "request"]
    letters = {"pass": "P", "fail": "F", "error": "E"}
    assert ["".join(letters[one.result] for one in step.assertions) for step in requests] == [
        verdicts for *_, verdicts in answers
    ]
    assert [step.result == "pass" for step in requests] == ["F" not in verdicts for *_, verdicts in answers]


def test_each_request_is_the_one_that_the_suite_means() -> None:
    _, sent = play(SPEC_20, ANSWERS)
    assert [f"{one.request.method} {one.request.target}" for one in sent] == TARGETS
    assert {one.origin for one in sent} == {"http://scim.example"}
    assert [one.request.headers.get("Authorization") for one in sent][-2:] == ["non-token", "Bearer t"]
    created = json.loads(sent[5].request.content.data)
    assert (created["userName"], created["name"]["familyName"]) == ("Runscope@Example.com", "Family")


def test_what_could_not_be_taken_is_said() -> None:
    result, _ = play(SPEC_20, ANSWERS)
    (step,) = [step for step in result.steps if step.number == "11"]
    taken, missed = step.variables
    assert (taken.name, taken.value, taken.error) == ("idUserOne", 7, None)
    assert (missed.name, missed.value) == ("randomUserEmail", None)
    assert (missed.error or "").startswith("Attribute not found.")
