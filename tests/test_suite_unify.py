"""unify.py: what was sent teaches the values of a template's variables, or does not fit."""

from __future__ import annotations

import pytest

from scimproxy.exchange import fingerprint
from scimproxy.suite.unify import names_in, unify, unify_credentials, unify_document, unify_json


def test_names_are_those_of_variables_alone() -> None:
    assert names_in("{{ base }}/{{id}}/{{uuid}}?{{id}}={{random_int(1,2)}}") == ("base", "id")


@pytest.mark.parametrize(
    ("template", "text", "known", "found"),
    [
        ("plain", "plain", {}, {}),
        ("plain", "other", {}, None),
        ("plain", "plain and more", {}, None),
        ("{{base}}/Users/{{id}}", "http://h/scim/v2/Users/7", {}, {"base": "http://h/scim/v2", "id": "7"}),
        ("{{base}}/Users/{{id}}", "http://h/Users/v2/Users/7", {}, {"base": "http://h/Users/v2", "id": "7"}),
        ("{{base}}/Users/{{id}}", "http://h/Users/7", {"id": "8"}, None),
        ("{{base}}/Users", "http://h/Users/7", {}, None),
        ("{{a}}-{{a}}", "x-x", {}, {"a": "x"}),
        ("{{a}}-{{a}}", "x-y", {}, None),
        ("{{a}}-{{a}}!", "x-xy", {}, None),
        ("{{a}}.{{b}}", "1.2.3", {}, {"a": "1", "b": "2.3"}),
        ("{{uuid}}/{{a}}", "5-6/7", {}, {"a": "7"}),
        ("{{a}}x", "", {}, None),
    ],
)
def test_a_text(template: str, text: str, known: dict[str, str], found: dict[str, str] | None) -> None:
    assert unify(template, text, known, barred="/?") == found


def test_a_hostile_text_is_given_up() -> None:
    assert unify("{{a}}a{{b}}a{{c}}a{{d}}b", "a" * 5_000, {}) is None
    assert unify("{{a}}" * 500, "x", {}) is None
    assert unify("{{a}}!{{b}}!{{c}}!{{d}}!{{e}}?{{f}}", "!" * 400, {}) is None


def test_credentials_fit_their_fingerprints() -> None:
    secret = f"Bearer {fingerprint('abc')}"
    assert unify_credentials("Bearer abc", secret, {}) == {}
    assert unify_credentials("non token", fingerprint("non token"), {}) == {}
    assert unify_credentials("Bearer abd", secret, {}) is None
    assert unify_credentials("{{auth}}", secret, {}) == {"auth": secret}
    assert unify_credentials("{{auth}}", secret, {"auth": "Bearer other"}) is None


def test_a_document_fits_by_its_json() -> None:
    template = '{"name": "{{name}}", "n": {{n}}, "again": ["{{name}}", true, null], "say": "\\"{{word}}"}'
    text = '{"n":5,"name":"Ada","say":"\\"hi","again":["Ada",true,null]}'
    assert unify_document(template, text, {}) == {"name": "Ada", "n": "5", "word": "hi"}
    assert unify_document(template, text, {"n": "6"}) is None
    assert unify_document(template, text.replace("true", "1"), {}) is None
    assert unify_document(template, text.replace('["Ada"', '["Bea"'), {}) is None
    assert unify_document(template, text.replace('"n":5', '"m":5'), {}) is None
    assert unify_document(template, text.replace(",null", ""), {}) is None
    assert unify_document('{"a": "{{x}}"', '{"a": "1"', {}) == {"x": "1"}
    assert unify_document('{"a": "{{x}}"', '{"a": "' + "1" * 50_000 + '"', {}) is None
    assert unify_document('{"a": "{{x}}"}', '{"a": "1"', {}) is None


def test_fingerprints_in_json_fit_what_they_stand_for() -> None:
    mark = fingerprint("Kv7J2LEa")
    assert unify_json({"password": "Kv7J2LEa"}, {"password": mark}, {}) == {}
    assert unify_json({"password": "other"}, {"password": mark}, {}) is None
    assert unify_json({"password": "{{word}}"}, {"password": mark}, {}) == {"word": mark}
    assert unify_json({"password": "a{{word}}"}, {"password": mark}, {}) == {}
