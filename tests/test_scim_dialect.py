"""Calls, answers, request bodies and their bounds."""

from __future__ import annotations

import json

import pytest

from scimproxy.scim.dialect import DEFAULT_DIALECT, GROUPS, USERS, Answer, Call, Dialect, Refusal, message_of


def refusal(content: bytes, dialect: Dialect = DEFAULT_DIALECT) -> Refusal:
    with pytest.raises(Refusal) as caught:
        message_of(content, dialect)
    return caught.value


def test_a_body_is_one_json_object() -> None:
    assert message_of('{"a": "\\u00fc ü", "b": [{"c": null}]}'.encode(), DEFAULT_DIALECT) == {
        "a": "ü ü",
        "b": [{"c": None}],
    }


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "line 1 column 1"),
        (b'{"a": }', "line 1 column 7"),
        (b"[]", "object"),
        (b'"text"', "object"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'{"a": "\\ud800"}', "UTF-8"),
        (b'\xef\xbb\xbf{"a": 1}', "BOM"),
        (b'{"a": 1, "A": 2}', "twice"),
        (b'{"a": {"b": 1, "b": 2}}', "twice"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "deep"),
        (b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "digits"),
    ],
)
def test_anything_else_is_invalid_syntax(content: bytes, part: str) -> None:
    found = refusal(content)
    assert (found.status, found.scim_type) == (400, "invalidSyntax")
    assert part in found.detail


def test_bodies_have_a_most_of_bytes_and_of_depth() -> None:
    small = Dialect(max_content=20, max_depth=2)
    assert message_of(b'{"a": [1, "\xc3\xbc"]}', small) == {"a": [1, "ü"]}
    assert refusal(b'{"a": [[]]}', small).status == 400
    assert refusal(b" " * 21, small).status == 413


def test_a_call_decodes_its_path_after_parting_it() -> None:
    assert Call("GET", "/Users/a%2Fb/").segments() == ("Users", "a/b")
    assert Call("GET", "").segments() == ()


def test_the_first_of_a_repeated_parameter_counts() -> None:
    assert Call("GET", "/", "a=1&a=2&b=&c=x+y%20z").parameters() == {"a": "1", "b": "", "c": "x y z"}
    with pytest.raises(Refusal):
        Call("GET", "/", "&".join(["a=1"] * 200)).parameters()


def test_an_answer_is_bytes() -> None:
    assert Answer(204).content() == b""
    assert json.loads(Answer(200, body={"a": "ü"}).content()) == {"a": "ü"}


def test_texts_can_be_replaced_one_by_one() -> None:
    dialect = Dialect(texts={"not_found": "{id}?"})
    assert dialect.text("not_found", id="x") == "x?"
    assert "PUT" in dialect.text("method", method="PUT", path="/Users")


def test_types_are_found_by_endpoint() -> None:
    assert [schema.name for schema in USERS.schemas] == ["User", "EnterpriseUser"]
    assert DEFAULT_DIALECT.type_at("/users") is USERS
    assert DEFAULT_DIALECT.type_at("/Groups") is GROUPS
    assert DEFAULT_DIALECT.type_at("/Other") is None
