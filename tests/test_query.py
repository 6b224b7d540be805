"""The filter language: what parses, what it means, how it complains."""

from __future__ import annotations

from dataclasses import replace

import pytest
from factories import exchange, request, response
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.errors import SyntaxProblem
from scimproxy.exchange import Failure, Headers, Rewrite, Timings
from scimproxy.query import BODY_CHARS, TERMS, Query, Term, ascii_lower, fold, parse_query, searchable_text
from scimproxy.scim.message import operation_of

USER = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "BJensen"}
CREATE = exchange("POST", "/scim/v2/Users", status_code=201, body=USER, answer={**USER, "id": "1"}, run_id=3)
PATCH = exchange(
    "PATCH", "/scim/v2/Groups/7?x=1", status_code=204, client="okta", tags=("Bug",), note="look", run_id=4
)
FAILED = exchange(
    response=None,
    failure=Failure("timeout", "no answer", "wait"),
    state="aborted",
    timings=Timings(total=2500.0),
    attempts=2,
    host=None,
    rewrites=(Rewrite("header:Location", "a", "b"),),
    origin="proxy",
)


def found(text: str, one: object) -> bool:
    return parse_query(text).matches(one, operation_of(one))  # type: ignore[arg-type]  # an Exchange


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("method:post", CREATE, PATCH),
        ("method:GET,PATCH", PATCH, CREATE),
        ("status:201", CREATE, PATCH),
        ("status:2xx", CREATE, FAILED),
        ("status:>=204", PATCH, CREATE),
        ("status:>201", PATCH, CREATE),
        ("status:<204", CREATE, PATCH),
        ("status:<=201", CREATE, PATCH),
        ("status:200-203", CREATE, PATCH),
        ("status:404,204", PATCH, CREATE),
        ("-status:2xx", FAILED, CREATE),
        ("path:/users", CREATE, PATCH),
        ("-path:x=1", PATCH, None),
        ("host:SCIM.", CREATE, FAILED),
        ("op:create", CREATE, PATCH),
        ("op:patch,delete", PATCH, CREATE),
        ("type:user", CREATE, PATCH),
        ("user:bjensen", CREATE, PATCH),
        ("client:okta", PATCH, CREATE),
        ("client:OKTA", PATCH, CREATE),
        ("run:3", CREATE, PATCH),
        ("failure:timeout", FAILED, CREATE),
        ("has:failure", FAILED, CREATE),
        ("has:note", PATCH, CREATE),
        ("has:tag", PATCH, CREATE),
        ("has:response", CREATE, FAILED),
        ("has:retry", FAILED, CREATE),
        ("has:rewrite", FAILED, CREATE),
        ("is:aborted", FAILED, CREATE),
        ("is:complete", CREATE, FAILED),
        ("is:error", FAILED, CREATE),
        ("is:scim", CREATE, exchange(target="/favicon.ico")),
        ("is:mock", replace(CREATE, origin="mock"), CREATE),
        ("is:pending", replace(CREATE, state="pending"), CREATE),
        ("is:error", exchange(status_code=404), CREATE),
        ("tag:bug", PATCH, CREATE),
        ("slower:2s", FAILED, CREATE),
        ("slower:0.02m", FAILED, CREATE),
        ("faster:500", CREATE, FAILED),
        ("faster:500ms", CREATE, exchange(timings=Timings())),
        ("bjensen", CREATE, PATCH),
        ('"core:2.0:user"', CREATE, PATCH),
        ("urn:ietf:params", CREATE, PATCH),
        ("-bjensen", PATCH, CREATE),
        ('-"username"', PATCH, CREATE),
        ("bjensen username", CREATE, PATCH),
        ('user:"bjensen"', CREATE, PATCH),
        ("method:POST status:4xx,201 -has:failure bjensen", CREATE, PATCH),
        ("", CREATE, None),
        ("  \t", PATCH, None),
        ("- bjensen", exchange(target="/a-b?bjensen"), PATCH),
        ('"a\\"b"', exchange(body='x a"B y'), CREATE),
        ("\0nul", exchange(request=request(headers={"A": "a \0NUL"})), CREATE),
    ],
)
def test_a_query_means(text: str, yes: object, no: object) -> None:
    assert found(text, yes)
    if no is not None:
        assert not found(text, no)


def test_a_client_is_recognised_where_no_label_was_stored() -> None:
    one = exchange(request=request(headers={"User-Agent": "curl/8.5.0"}))
    assert found("client:curl", one)
    assert not found("client:curl", exchange(request=request(headers={})))


def test_without_an_operation_nothing_about_it_is_true() -> None:
    for text in ("op:create", "type:User", "user:bjensen", "is:scim"):
        assert not parse_query(text).matches(CREATE)
        assert parse_query(f"-{text}").matches(CREATE)


@pytest.mark.parametrize(
    ("text", "position", "message", "hint"),
    [
        ("methd:GET", 0, "there is no term 'methd'", "did you mean method: ?"),
        ("a -pth:/x", 3, "there is no term 'pth'", "did you mean path: ?"),
        ("zzzzzz:1", 0, "there is no term 'zzzzzz'", '"zzzzzz:1" in quotes'),
        ("method:", 7, "method: needs a value", "method:POST,PUT"),
        ("status:abc", 7, "status: does not know 'abc'", "status:4xx"),
        ("status:,", 7, "status: does not know ','", "status:4xx"),
        ("method:,", 7, "method: does not know ','", "method:POST"),
        ("op:creat", 3, "op: does not know 'creat'", "did you mean op:create ?"),
        ("op:patch,zzz", 3, "op: does not know 'zzz'", "create, read"),
        ("has:zzz", 4, "has: does not know 'zzz'", "failure"),
        ("status:9xx", 7, "status: does not know '9xx'", "from 100 to 599"),
        ("status:099", 7, "status: does not know '099'", "from 100 to 599"),
        ("status:600", 7, "status: does not know '600'", "from 100 to 599"),
        ("status:300-200", 7, "status: does not know '300-200'", "from 100 to 599"),
        ("client:oktaa", 7, "client: does not know 'oktaa'", "did you mean client:okta ?"),
        ("-client:zzzz", 8, "client: does not know 'zzzz'", "clients are scimproxy, okta-runscope, okta,"),
        ("run:x", 4, "run: does not know 'x'", "run:3"),
        ("run:99999999999999999999", 4, "run: does not know", "run:3"),
        ("slower:fast", 7, "slower: does not know 'fast'", "slower:500ms"),
        ('a "b', 2, "this quote is not closed", None),
        ('path:"b', 5, "this quote is not closed", None),
        ('""', 0, "no text between the quotes", None),
        ("x" * 5000, 80, "at most 4096 characters", None),
        ("x " * 70, 128, "at most 64 terms", None),
    ],
)
def test_what_does_not_parse_is_told(text: str, position: int, message: str, hint: str | None) -> None:
    with pytest.raises(SyntaxProblem) as caught:
        parse_query(text)
    assert message in caught.value.message
    assert caught.value.position == position
    if hint is not None:
        assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "doubts"),
    [
        ("type:Uesr", ("type:uesr is unusual; did you mean type:User ?",)),
        ("method:FOO", ("method:foo is unusual; usual are CONNECT, DELETE, GET,",)),
        ("-method:PSOT,get", ("method:psot is unusual; did you mean method:POST ?",)),
        ("type:User,Device method:POST bjensen op:list slower:2s", ()),
    ],
)
def test_what_may_be_mistyped_is_doubted_and_not_refused(text: str, doubts: tuple[str, ...]) -> None:
    query = parse_query(text)
    assert len(query.doubts) == len(doubts)
    for said, expected in zip(query.doubts, doubts, strict=True):
        assert said.startswith(expected)
    assert query.has_words == ("bjensen" in text)


def test_every_term_is_documented_with_an_example_that_parses() -> None:
    for info in TERMS:
        (term,) = parse_query(info.example).terms
        assert term.name == info.name
        assert info.meaning and info.form


def test_the_text_holds_url_headers_and_the_beginning_of_bodies() -> None:
    one = exchange(
        request=request("PUT", "/U?q=Äö", headers={"X-One": "Eins"}, body="x" * BODY_CHARS + "behind"),
        response=response(200, "ANTWORT", headers={"X-Two": "Zwei"}),
    )
    text = searchable_text(one)
    assert "/u?q=äö" in text
    assert "x-one: eins" in text
    assert "x-two: zwei" in text
    assert "antwort" in text
    assert "xbehind" not in text
    assert "x" * BODY_CHARS in text
    assert searchable_text(exchange(response=None)).startswith("/scim/v2/users\nhost")
    assert "\0" not in searchable_text(exchange(request=request(headers=[("A", "\0")])))


def test_folding_survives_surrogates_and_case() -> None:
    assert fold("Straße\ud800\0") == "strasse?\ufffd"
    assert ascii_lower("ÄA") == "Äa"
    assert ascii_lower("AB") == "ab"


def test_an_empty_query_matches_all() -> None:
    assert Query().matches(FAILED)
    assert Query((Term("text", "bjensen", negated=True),)).matches(
        exchange(request=replace(request(), headers=Headers()))
    )


@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused_at_a_position(text: str) -> None:
    position = 0
    try:
        parse_query(text).matches(CREATE, None)
    except SyntaxProblem as problem:
        position = problem.position
    assert 0 <= position <= len(text)
