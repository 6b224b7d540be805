from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.suite import templates
from scimproxy.suite.builtins import Builtins
from scimproxy.suite.templates import Scope, Substituted, not_defined, references, request_error, substitute

BUILTINS = Builtins(now=lambda: 1000.5, random_below=lambda n: n // 2, secrets={"k": "s3cret"})


def filled(text: str, **variables: Any) -> Substituted:
    return substitute(text, Scope(run=variables), BUILTINS)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("no braces", "no braces"),
        ("{{a}}", "A"),
        ("{{ a }}", "A"),  # blanks are trimmed (INFERRED)
        ("{{SCIM Base URL}}/Users", "http://h/Users"),  # names with blanks: Okta's suite of 2016
        ("{{a}}{{a}} {{n}}", "AA 7"),
        ("{{a}}}}", "A}}"),  # stray braces: Okta's suite of 2016
        ("{{{a}}}", "{A}"),
        ('{"x":{"y":"{{a}}"}}', '{"x":{"y":"A"}}'),
        ('{"x":{{{n}}}}', '{"x":{7}}'),
        ("{{true}} {{false}} {{null}} {{list}} {{object}} {{float}}", 'true false null [1,"a"] {"k":1} 1.5'),
        ("{{encode_base64({{a}}:{{n}})}}", "QTo3"),
        ("{{md5({{encode_base64({{a}})}})}}", "3d139295406318ab839c07cc89f46e99"),
        ("{{timestamp}}", "1000"),
        ("{{ {{name}} }}", "A"),  # INFERRED: what stands within is filled first
        ("{{", "{{"),
        ("}}", "}}"),
        ("{{a", "{{a"),
        ("{{open {{a}} {{n}}", "{{open A 7"),
        ("{ {a} }", "{ {a} }"),
    ],
)
def test_fills(text: str, result: str) -> None:
    variables = {"a": "A", "n": 7, "true": True, "false": False, "null": None, "list": [1, "a"], "object": {"k": 1}}
    variables |= {"float": 1.5, "SCIM Base URL": "http://h", "name": "a"}
    done = filled(text, **variables)
    assert done.text == result
    assert done.ok and done.errors == ()


def test_a_variable_wins_over_a_function() -> None:
    assert filled("{{uuid}}", uuid="mine").text == "mine"


def test_missing_names_are_reported_once_in_order() -> None:
    done = filled("{{b}} {{a}} {{b}} {{nope(1)}} {{}}", x=1)
    assert done.missing == ("b", "a", "nope(1)", "")
    assert done.text == "{{b}} {{a}} {{b}} {{nope(1)}} {{}}"
    assert not done.ok
    assert done.errors[0] == "Variable 'b' was not defined" == not_defined("b")


def test_runscopes_sentence() -> None:
    """As seen in a real run (runscope.md 3)."""
    done = filled("{{okta_user_firstname}}")
    assert (
        request_error("body", done.errors[0])
        == "Request failed to set 'body' — Variable 'okta_user_firstname' was not defined"
    )


def test_what_holds_something_missing_is_left_alone() -> None:
    done = filled("{{md5({{b}})}} {{a}}", a=1)
    assert done == Substituted("{{md5({{b}})}} 1", ("b",))


def test_problems() -> None:
    done = filled("{{random_int(2,1)}} {{random_int(2,1)}}")
    assert done.problems == done.errors == ("random_int: 2 is greater than 1",)
    assert done.text == "{{random_int(2,1)}} {{random_int(2,1)}}"


def test_secrets() -> None:
    done = filled("{{encode_base64(u:{{get_secret(k)}})}}")
    assert done.secrets == ("s3cret", "dTpzM2NyZXQ=")
    assert "s3cret" not in repr(done)


def test_values_are_never_read_as_templates() -> None:
    """A server that answers with `{{...}}` reaches nothing."""
    scope = Scope(run={"token": "secret"})
    scope.set("id", "{{token}}{{get_secret(k)}}", "step 1")
    assert substitute("/Users/{{id}}", scope, BUILTINS).text == "/Users/{{token}}{{get_secret(k)}}"
    assert substitute("{{encode_base64({{id}})}}", scope, BUILTINS).missing == ()


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert filled("{{" * 100_000).text == "{{" * 100_000
    assert filled("}}" * 100_000).text == "}}" * 100_000
    deep = "{{md5(" * 80 + ")}}" * 80
    assert isinstance(filled(deep).text, str)
    monkeypatch.setattr(templates, "MAX_OUTPUT", 1000)
    assert filled("{{a}}" * 20, a="x" * 100).problems == ("The text grew beyond 1000 characters",)


# ---- who wins


def test_layers() -> None:
    """Shared environment, environment, run variables, then whatever is set (runscope.md summary 3)."""
    scope = Scope(
        shared={"a": 1, "b": 1, "c": 1, "d": 1},
        environment={"b": 2, "c": 2, "d": 2},
        run={"c": 3, "d": 3},
        pinned={"e": 5},
    )
    assert scope.as_dict() == {"a": 1, "b": 2, "c": 3, "d": 3, "e": 5}
    assert [scope.origin(n) for n in "abcex"] == ["shared environment", "environment", "run variables", "--var", None]
    assert scope.set("d", 4, "initial script")
    assert (scope.get("d"), scope.origin("d")) == (4, "initial script")
    assert not scope.set("e", 6, "initial script")
    assert scope.get("e") == 5
    assert scope.get("x") is None and scope.get("x", 1) == 1
    assert "a" in scope and "x" not in scope and len(scope) == 5 and list(scope) == ["a", "b", "c", "d", "e"]


def test_update_sets_what_changed() -> None:
    scope = Scope(environment={"a": 1, "b": True, "c": "x"}, pinned={"p": 1})
    assert scope.update({"a": 1, "b": 1, "c": "y", "d": None, "p": 2}, "script") == ("p",)
    assert scope.as_dict() == {"a": 1, "b": 1, "c": "y", "d": None, "p": 1}
    assert [scope.origin(name) for name in "abcd"] == ["environment", "script", "script", "script"]


def test_functions_in_initial_variables_are_worked_out_once() -> None:
    numbers = iter(range(100))
    builtins = Builtins(now=lambda: 0.0, random_below=lambda _: next(numbers))
    scope = Scope(environment={"r": "{{random_int}}", "s": "{{r}}-{{r}}"})
    scope.settle(builtins)
    assert substitute("{{r}} {{r}}", scope, builtins).text == "0 0"
    assert scope.get("r") == "0"


def test_initial_variables_may_refer_to_others() -> None:
    scope = Scope(shared={"word": "Bearer", "n": 7}, environment={"auth": "{{word}} {{token}}", "x": "{{word}}{{n}}"})
    scope.settle(BUILTINS)
    assert scope.get("x") == "Bearer7"
    assert scope.origin("x") == "environment"
    assert substitute("{{auth}}", scope, BUILTINS).text == "{{word}} {{token}}"
    scope.set("token", "t", "initial script")
    assert substitute("{{auth}}", scope, BUILTINS).text == "Bearer t"
    assert scope.text_of("nope", BUILTINS) is None


def test_circles_end() -> None:
    chain = {f"v{n}": f"{{{{v{n + 1}}}}}" for n in range(200)}
    scope = Scope(environment={"a": "{{b}}", "b": "{{a}}", "c": "{{c}}", **chain})
    scope.settle(BUILTINS)
    assert substitute("{{a}} {{c}}", scope, BUILTINS).text == "{{b}} {{c}}"
    assert substitute("{{v0}}", scope, BUILTINS).text == "{{v1}}"


def test_references() -> None:
    assert references("plain") == ()
    text = "{{SCIM Base URL}}/{{a}}{{a}}?x={{uuid}}{{md5({{b}},{{timestamp}})}}{{runscope_agent}}{{nope(1)}}"
    assert references(text) == ("SCIM Base URL", "a", "b", "nope(1)")


@given(st.text(alphabet="{}ab(,) ", max_size=30))
def test_never_raises_and_tells_everything(text: str) -> None:
    done = filled(text, a="{{b}}", b=1)
    assert done.ok or done.errors
    assert set(done.missing) <= set(references(text)) | {""}


@given(st.text())
def test_text_without_braces_stays(text: str) -> None:
    plain = text.replace("{", "")
    assert filled(plain) == Substituted(plain)
