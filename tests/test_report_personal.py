"""Personal values out of what is shared: none survives, in no coding; what was equal stays equal."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
import unicodedata
from dataclasses import replace
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

import pytest
from factories import T0, connection, exchange, request, response, run, suite_step
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from scimproxy.exchange import Certificate, Content, Exchange, Failure, Headers, Rewrite, Tls
from scimproxy.har import har_text
from scimproxy.report.personal import LONGEST, Personal, kind_of
from scimproxy.report.pseudonyms import fold
from scimproxy.scim.message import operation_of
from scimproxy.suite.results import AssertionResult, SuiteResult, VariableResult

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


def hidden(*exchanges: Exchange) -> tuple[list[Exchange], Personal]:
    personal = Personal()
    operations = [operation_of(one) for one in exchanges]
    for one, operation in zip(exchanges, operations, strict=True):
        personal.collect(one, operation)
    personal.close()
    return [personal.hide(one, operation) for one, operation in zip(exchanges, operations, strict=True)], personal


def body(one: Exchange) -> Any:
    assert one.response is not None
    return json.loads(one.response.content.data)


def user(**members: object) -> dict[str, object]:
    return {"schemas": [USER], "id": "7f", **members}


BARBARA = user(
    userName="bjensen@corp.test",
    name={"formatted": "Ms. Barbara Jensen", "familyName": "Jensen", "givenName": "Barbara"},
    displayName="Babs Jensen",
    emails=[{"value": "bjensen@corp.test", "type": "work"}, {"value": "babs@jensen.test", "type": "home"}],
    phoneNumbers=[{"value": "+1 555 876 5432", "type": "work"}],
    addresses=[
        {"streetAddress": "100 Universal City Plaza", "locality": "Hollywood", "region": "CA", "country": "USA"}
    ],
    photos=[{"value": "https://photos.test/babs.jpg"}],
    profileUrl="https://login.test/bjensen",
    title="Guide",
)
BARBARA[ENTERPRISE] = {"employeeNumber": "701984", "manager": {"value": "9a", "displayName": "John Smith"}}


def test_a_person_is_one_number_and_reads_well() -> None:
    (found,), personal = hidden(exchange(answer=BARBARA))
    made = body(found)
    assert made["userName"] == "user1@example.com"
    assert made["emails"][0]["value"] == "user1@example.com"
    assert made["emails"][1]["value"] == "user1.2@example.com"
    assert made["name"] == {"formatted": "User 1", "familyName": "Family1", "givenName": "Given1"}
    assert made["displayName"] == "User 1.2"
    assert made["phoneNumbers"][0]["value"] == "+1-555-0001"
    assert made["addresses"][0] == {
        "streetAddress": "Address 1", "locality": "Address1", "region": "ADDRESS1.2", "country": "USA",
    }  # fmt: skip
    assert made["photos"][0]["value"] == "https://example.com/photo/1"
    assert made["profileUrl"] == "https://example.com/user/1"
    assert made[ENTERPRISE] == {"employeeNumber": "900001", "manager": {"value": "9a", "displayName": "User 2"}}
    assert (made["id"], made["title"], made["emails"][0]["type"]) == ("7f", "Guide", "work")
    assert personal.names.counts["email"] == 1
    assert found.response is not None
    assert found.response.content.redacted


def test_a_value_is_the_same_everywhere() -> None:
    target = "/scim/v2/Users?filter=" + quote('userName eq "BJENSEN@CORP.TEST" and name.givenName sw "Barb"')
    asked = exchange("GET", target, answer={"totalResults": 1, "Resources": [BARBARA]})
    error = exchange(
        "POST", answer={"detail": "User Barbara (bjensen@corp.test, BJENSEN) is there \u00e9", "status": "409"}
    )
    missed = exchange(
        "GET", "/scim/v2/Users?filter=userName+eq+%22nobody%40corp.test%22&count=1", answer={"totalResults": 0}
    )
    moved = replace(
        exchange("GET", "/scim/v2/Users/bjensen%40corp.test"),
        response=response(302, headers={"Location": "http://h/Users/bjensen%40corp.test?x=Jensen"}),
    )
    found, _ = hidden(asked, error, missed, moved)
    assert unquote(found[0].request.target).endswith('userName eq "USER1@EXAMPLE.COM" and name.givenName sw "Given2"')
    assert body(found[1])["detail"] == "User Given1 (user1@example.com, USER1) is there \u00e9"
    assert found[2].request.target == "/scim/v2/Users?filter=userName+eq+%22user4%40example.com%22&count=1"
    assert found[3].request.target == "/scim/v2/Users/user1%40example.com"
    assert found[3].response is not None
    assert found[3].response.headers.get("Location") == "http://h/Users/user1%40example.com?x=Family1"


@pytest.mark.parametrize(
    ("operation", "place"),
    [
        ({"op": "replace", "path": "userName", "value": "Quorlax Fimbur"}, ("value",)),
        ({"value": "Quorlax Fimbur", "op": "replace", "path": "name.familyName"}, ("value",)),
        ({"op": "replace", "path": 'emails[type eq "work"].value', "value": "Quorlax Fimbur"}, ("value",)),
        ({"op": "add", "path": "emails", "value": [{"value": "Quorlax Fimbur"}]}, ("value", 0, "value")),
        ({"op": "add", "path": f"{ENTERPRISE}:employeeNumber", "value": "Quorlax Fimbur"}, ("value",)),
        ({"op": "add", "value": {"name.givenName": "Quorlax Fimbur"}}, ("value", "name.givenName")),
        ({"op": "add", "path": "name", "value": {"givenName": "Quorlax Fimbur"}}, ("value", "givenName")),
        ({"op": "remove", "path": 'members[display eq "Quorlax Fimbur"]'}, ("path",)),
        ({"op": "remove", "path": 'emails[value eq "Quorlax Fimbur"]'}, ("path",)),
    ],
)
def test_what_a_patch_names(operation: dict[str, object], place: tuple[Any, ...]) -> None:
    (found,), _ = hidden(exchange("PATCH", "/scim/v2/Users/1", body={"Operations": [operation]}))
    made = json.loads(found.request.content.data)["Operations"][0]
    assert not {"quorlax", "fimbur"} & set(json.dumps(made).lower().split())
    for step in place:
        made = made[step]
    assert "1" in made
    assert fold("Quorlax") not in fold(made)


def test_groups_members_and_managers_are_their_own() -> None:
    group = {"id": "g1", "displayName": "Night Owls", "members": [{"value": "7f", "display": "Babs Jensen"}, {"value": "8f", "display": "Xerxes Quirm"}]}  # fmt: skip
    found, _ = hidden(exchange("POST", "/scim/v2/Groups", body=group), exchange(answer=BARBARA),
                      exchange("GET", '/scim/v2/Groups?filter=displayName eq "NIGHT OWLS"'),
                      exchange(answer=user(groups=[{"value": "g1", "display": "Night Owls"}])))  # fmt: skip
    made = json.loads(found[0].request.content.data)
    assert made["displayName"] == "Group 1"
    assert [it["display"] for it in made["members"]] == ["User 1", "User 2"]
    assert body(found[1])["userName"] == "user1@example.com"  # known by the id that the group has
    assert "GROUP" in found[2].request.target.upper()
    assert body(found[3])["groups"][0]["display"] == "Group 1"


def test_bulk_search_and_forms() -> None:
    bulk = exchange("POST", "/scim/v2/Bulk", body={"Operations": [
        {"method": "POST", "path": "/Users", "data": {"userName": "quorlax"}},
        {"method": "POST", "path": "/Users", "data": {"userName": "fimbur"}}]})  # fmt: skip
    search = exchange(
        "POST", "/scim/v2/Users/.search", body={"filter": 'userName eq "quorlax" and emails[value co "vexing"]'}
    )
    form = exchange(request=request("POST", "/x", body=b"userName=Li&filter=nickName+eq+%22Bo%22&x=1",
                                    headers={"Content-Type": "application/x-www-form-urlencoded"}))  # fmt: skip
    by_name = exchange("GET", "/scim/v2/Users?userName=quorlax&email=a%2Bb@c.test&plain")
    found, _ = hidden(bulk, search, form, by_name)
    assert [it["data"]["userName"] for it in json.loads(found[0].request.content.data)["Operations"]] == [
        "user1",
        "user2",
    ]
    assert (
        json.loads(found[1].request.content.data)["filter"]
        == 'userName eq "user1" and emails[value co "user3@example.com"]'
    )
    assert b"Li" not in found[2].request.content.data
    assert found[2].request.content.data.endswith(b"&x=1")
    assert found[3].request.target.startswith("/scim/v2/Users?userName=user1&email=user")
    assert found[3].request.target.endswith("&plain")


def test_unknown_attributes_numbers_and_certificates() -> None:
    given = {"ext": {"contact": "zoe@q.test", "call": "+49 30 901820", "on": "2026-11-24T10:00:00Z", "n": 4, "id": "555-123-4567"},
             "employeeNumber": 701984, "mobile": 4930, "x509Certificates": [{"value": "MIIB"}], "Zoe@q.test": {"a": "b"}}  # fmt: skip
    (found,), personal = hidden(exchange(answer=given))
    made = body(found)
    assert made["ext"] == {
        "contact": "user1@example.com", "call": "+1-555-0002", "on": "2026-11-24T10:00:00Z", "n": 4, "id": "555-123-4567",
    }  # fmt: skip
    assert made["employeeNumber"] == 900002
    assert made["mobile"] == "+1-555-0002.2"
    assert made["x509Certificates"] == [{"value": "(left out)"}]
    assert "user1@example.com" in made
    assert personal.left_out["certificate of a person"] == 1


def test_addresses_of_clients() -> None:
    sent = request(headers={"X-Forwarded-For": "198.18.7.7, 127.0.0.1, 2a01:4f8::17", "Forwarded": "for=198.18.7.7"})
    one = replace(
        exchange(request=sent),
        client_address="198.18.7.7",
        client_claim="198.18.7.9",
        client_connection=connection(peer_host="198.18.7.7"),
        failure=Failure("closed", "198.18.7.7 went away"),
    )
    (found,), _ = hidden(one)
    assert found.client_address == "203.0.113.1"
    assert found.client_claim == "203.0.113.3"
    assert found.request.headers.get("X-Forwarded-For") == "203.0.113.1, 127.0.0.1, 2001:db8::2"
    assert found.failure == Failure("closed", "203.0.113.1 went away")
    assert found.client_connection is not None
    assert (found.client_connection.peer_host, found.client_connection.local_host) == ("203.0.113.1", "127.0.0.1")


def test_what_is_left_out_is_counted() -> None:
    digest = Headers([("Digest", "sha-256=abc"), ("Content-MD5", "x")])
    binary = exchange("POST", body=b"\0\1", answer=b'"' + b"x" * LONGEST + b'"')
    found, personal = hidden(replace(binary, request=replace(binary.request, headers=digest)))
    assert (found[0].request.content.data, found[0].request.content.size) == (b"", 2)
    assert dict(personal.left_out) == {
        "hash of a body": 2, "binary body": 1, f"body longer than {LONGEST} bytes": 1,
    }  # fmt: skip


def test_what_has_nothing_personal_stays_as_it_is() -> None:
    plain = exchange("GET", "/scim/v2/ServiceProviderConfig", answer={"name": "n", "displayName": "d"})
    zipped = gzip.compress(b'{"active": true}')
    coded = replace(plain, response=response(200, Content.of(zipped), headers={"Content-Encoding": "gzip"}))
    cut = exchange("POST", body=Content(b'{"active": tr', 90, "ab" * 32))
    assert hidden(cut)[0][0].request.content == Content(b'{"active": tr', 90, "")
    empty = replace(exchange(), response=None, client_connection=None, upstream_connection=None)
    found, personal = hidden(plain, coded, empty)
    assert found[0].response == plain.response
    assert found[2] == empty
    assert personal.names.replaced == 0


def test_runs_results_and_the_rest_of_an_exchange() -> None:
    personal = Personal()
    one = replace(
        exchange(answer=user(userName="quorlax", name={"familyName": "Li"})),
        note="asked zoe@q.test",
        tags=("quorlax",),
        rewrites=(Rewrite("/id", "quorlax", "b"),),
        extra=(("_x", '{"a": "zoe@q.test"}'),),
        upstream_request_target="/Users?filter=userName%20eq%20%22quorlax%22",
        upstream_request_headers=Headers([("X", "caf\xe9 quorlax"), ("Y", "Qu\xc3\xb6r")]),
        upstream_connection=connection("upstream", tls=Tls(sni="s", chain=(Certificate("a", "CN=quorlax", "CN=i", ("q",), T0, T0, b"der"),))),
    )  # fmt: skip
    step = suite_step(
        url="http://h/Users/quorlax",
        assertions=(AssertionResult(result="fail", source="response_json", comparison="equal", property="name.familyName",
                                    target_value="Li", actual_value={"quorlax": [1]}, message="'Li' was not quorlax"),),
        variables=(VariableResult(result="pass", name="givenName", source="response_json", value="Vexilla"),),
    )  # fmt: skip
    result = SuiteResult(
        name="Spec", result="fail", steps=(step,), initial_variables=(("userName", "quorlax"), ("n", "zoe@q.test"))
    )
    operation = operation_of(one)
    personal.collect(one, operation)
    personal.collect_run(run(note="for zoe@q.test"))
    personal.collect_result(result)
    personal.close()
    shown = repr(
        (
            personal.hide(one, operation),
            personal.hide_run(run(name="quorlax", note="for zoe@q.test")),
            personal.hide_result(result),
        )
    )
    for value in ("quorlax", "zoe", "Vexilla", "Li'", "der'"):
        assert value not in shown, value
    assert personal.hide_run(run()).note is None
    hidden_step = personal.hide_result(result).steps[0]
    assert hidden_step.assertions[0].actual_value == {"user1": [1]}
    assert hidden_step.assertions[0].message == f"'{hidden_step.assertions[0].target_value}' was not user1"


def test_other_charsets_and_cut_bodies() -> None:
    latin = response(
        200,
        '{"displayName": "Bj\xf6rn", "title": "\xe9"}'.encode("latin-1"),
        headers={"Content-Type": "application/json; charset=iso-8859-1"},
    )
    cut = exchange(answer=Content(b'{"userName": "quorlax", "displayName": "Vexil', 90, "x"))
    page = exchange(answer="<b>quorlax &amp; Vexil</b> %71uorlax")
    found, _ = hidden(replace(exchange(), response=latin), cut, page)
    assert found[0].response is not None
    assert found[0].response.content.data.decode("utf-8-sig") == '{"displayName": "Name1", "title": "\xe9"}'
    assert found[1].response is not None
    assert found[1].response.content.data == b'{"userName": "user2", "displayName": "Name2'
    assert found[2].response is not None
    assert found[2].response.content.data == b"<b>user2 &amp; Name2</b> user2"


def test_a_filter_that_no_grammar_knows() -> None:
    (found,), _ = hidden(exchange("GET", r'/Users?filter=userName eq "a\q quorlax"'))
    assert "quorlax" not in found.request.target


def test_kinds() -> None:
    assert kind_of(()) is None
    assert kind_of(("ims", "value")) == "im"
    assert kind_of(("roles", "display")) is None
    assert kind_of(("emails",)) == "email"
    assert kind_of(("manager", "value")) is None


# --- nothing survives

LETTERS = st.sampled_from("qzxvwkjQZXVWKJ\u00e9\u00f6\u0142\u4e2d\u05d0\u03a3\u0130\u00df'&<\"+/%\\")
WORDS = st.text(LETTERS, min_size=4, max_size=9).filter(lambda text: sum(c.isalpha() for c in text) >= 4)
VALUES = st.lists(
    st.one_of(
        WORDS,
        st.tuples(WORDS, WORDS).map(" ".join),
        st.text("qzxvwkj", min_size=4, max_size=9).map(lambda text: f"{text}@{text[::-1]}.test"),
    ),
    min_size=9,
    max_size=9,
    unique_by=lambda text: unicodedata.normalize("NFKC", text).casefold(),
)


def spread(values: list[str]) -> list[Exchange]:
    """Put personal values wherever they stand, then wherever else they may come back."""
    name, given, family, shown, mail, nick, street, photo, group = values
    person = user(
        userName=name, name={"givenName": given, "familyName": family}, displayName=shown, nickName=nick,
        emails=[{"value": mail}], addresses=[{"streetAddress": street}], photos=[{"value": photo}],
    )  # fmt: skip
    said = f"{name}|{name.upper()}|{given.lower()}|{json.dumps(family)}|{quote(shown)}|{quote_plus(mail)}|{html.escape(nick)}"
    twice = f"{quote(quote(name))}|{json.dumps(json.dumps(street))}|{base64.b64encode(('u:' + name + ':p').encode()).decode()}|{group}"
    asked = quote(f"userName eq {json.dumps(name)} or displayName eq {json.dumps(shown.upper())}")
    return [
        exchange("POST", "/scim/v2/Users", body=person, answer=json.dumps(person, ensure_ascii=False)),
        exchange("GET", f"/scim/v2/Users?filter={asked}", answer={"detail": said}),
        exchange("POST", "/scim/v2/Groups", body={"displayName": group}, answer=f"<p>{html.escape(said)}</p>"),
        replace(
            exchange("GET", f"/scim/v2/Users/{quote(name, safe='')}", note=twice, answer={"detail": twice}),
            response=response(404, {"detail": said}, headers={"Location": f"http://h/{quote(name)}", "X-N": twice.encode().decode("latin-1")}),
        ),
    ]  # fmt: skip


ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)


def undone(text: str) -> str:
    """Every form that a reader could make of a text, one behind the other."""
    forms = {text}
    for _ in range(2):
        for one in list(forms):
            forms |= {html.unescape(one), unquote(one), unquote_plus(one), one.replace("\\/", "/")}
            forms.add(ESCAPED.sub(lambda m: chr(int(m[1], 16)) if m[1] else m[2], one))
        forms = {one.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for one in forms}
    return unicodedata.normalize("NFKC", "\n".join(forms)).casefold()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES)
@example(["JJJZ", "<JJJ\\\\J", "JJJJ", "JJJK", "JJJQ", "JJJV", "JJJW", "JJJX", "JJKJ"])
@example(
    [
        "Quorlax Q'x",
        "Vex\u00ecl",
        "Stra\u00dfe",
        "\u0130zzet",
        "zx@qv.test",
        'a"b\\cdqq',
        "9 Qv / Zx",
        "http://q/x%20y",
        "\u03a3\u03a3\u03a3\u03a3",
    ]
)
def test_no_value_survives_in_any_coding_and_correlation_stays(values: list[str]) -> None:
    exchanges = spread(values)
    found, personal = hidden(*exchanges)
    whole = undone("".join(har_text(run(), found)))
    for value in values:
        assert unicodedata.normalize("NFKC", value).casefold() not in whole, value
    # equal stays equal, different stays different
    assert len({fold(personal.names.of(value)) for value in values}) == len(values)
    sent, came = json.loads(found[0].request.content.data), body(found[0])
    assert sent == came
    assert body(found[1])["detail"].startswith(f"{sent['userName']}|{sent['userName'].upper()}|")
