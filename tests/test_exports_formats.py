"""The formats that are run again, as texts: hostile values stay values. tests/e2e/test_exports.py runs them."""

from __future__ import annotations

import ast
import base64
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from driving import RUN
from factories import exchange, request, response
from hypothesis import given, settings
from hypothesis import strategies as st

from scimproxy.exchange import Content, Exchange, Headers, fingerprint
from scimproxy.exports.formats import FORMATS, export
from scimproxy.exports.python_code import comment, expression, function_name
from scimproxy.exports.templating import Ref
from scimproxy.suite.model import RequestStep
from scimproxy.suite.runscope import parse

MARK = fingerprint("tok")
EVIL = "'\"\\`$(id){{x}}{%y%}#\n\r\0\t</script>\u2028\U0001f600é''' \"\"\" ${z} %s {0}"


def created(**fields: Any) -> Exchange:
    headers = {"Authorization": f"Bearer {MARK}", "X": "a # \\ {{x}} é"}
    made = request("POST", "/scim/v2/Users", body={"userName": "zoe", "note": EVIL}, headers=headers)
    return exchange(request=made, response=response(201, {"id": "1", "meta": {"version": 'W/"2"'}}, **fields))


RUNNING = [
    created(),
    exchange(
        request=request(
            "PUT", "/scim/v2/Users/1", body={"password": fingerprint("pw")}, headers={"If-Match": 'W/"2"'}
        )
    ),
    exchange(
        "POST", "/scim/v2/Users", response=response(201, headers={"Location": "http://scim.example/scim/v2/Users/9"})
    ),
    exchange("GET", "/scim/v2/Users/9?a=`{{b}}`", response=None),
    exchange("GET", "/health", status_code=200),
    exchange(
        "POST", "/scim/v2/Bulk", body={}, answer={"Operations": [{"location": "http://scim.example/scim/v2/Users/7"}]}
    ),
    exchange("GET", "/scim/v2/Users/7", status_code=404),
    exchange("POST", "/scim/v2/Users", body=b"\x00\xff"),
    exchange(request=replace(request("PUT", "/scim/v2/Users/7", body=b"{}"), content=Content(b"{", 9, ""))),
]


def text(form: str, *exchanges: Exchange) -> str:
    return export(RUN, exchanges, form).decode()


@pytest.mark.parametrize("form", ["pytest", "locust"])
def test_python_is_python_and_nothing_else(form: str) -> None:
    tree = ast.parse(text(form, *RUNNING))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    strings = [str(node.value) for node in sorted(found, key=lambda it: (it.lineno, it.col_offset))]
    note, _ = json.JSONDecoder().raw_decode("".join(strings).partition('"note": ')[2])
    assert note == EVIL
    assert base64.b64encode(b"\x00\xff").decode() in strings
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert "id" not in names and "x" not in names


@pytest.mark.parametrize("form", ["pytest", "locust"])
def test_python_without_anything(form: str) -> None:
    ast.parse(text(form))
    assert "SCIM_AUTH" not in text(form).partition('"""\n\nimport')[2].replace("SCIM_AUTH=TOKEN", "")


@pytest.mark.parametrize("form", ["hurl", "pytest", "locust", "postman", "runscope"])
@given(st.text(st.characters(codec="utf-8"), max_size=20), st.text(st.characters(codec="latin-1"), max_size=20))
@settings(max_examples=12, deadline=None)
def test_any_text_is_written(form: str, name: str, field: str) -> None:
    made = request("POST", "/scim/v2/Users/" + field, body={"userName": name, "x": name}, headers={"X": field})
    written = text(
        form,
        exchange(request=made, response=response(201, {"id": name, "userName": name})),
        exchange("GET", "/scim/v2/Users"),
    )
    if form in {"pytest", "locust"}:
        ast.parse(written)
    elif form == "hurl":
        assert [line for line in written.splitlines() if line.startswith(("GET ", "POST "))][
            -1
        ] == "GET {{base_url}}/Users"
    else:
        json.loads(written)


@pytest.mark.parametrize("form", ["hurl", "pytest", "locust", "postman", "runscope"])
@pytest.mark.parametrize("target", ["@evil.example/x", ".evil.example/x", ":1/evil", "http://evil.example/evil"])
def test_no_target_names_another_host(form: str, target: str) -> None:
    odd = exchange(request=replace(request("GET", "/"), target=target))
    for written in (text(form, odd), text(form, exchange("GET", "/scim/v2/Users/1"), odd)):
        assert not re.search(r"(?:_url|URL)(?:\}\}|'\]| \+ )'?[^/'\s?\"]", written), written


def as_postman_does(written: str, values: dict[str, str]) -> str:
    """Put variables in, as postman-collection's lib/superstring does: again and again, and its own ones too."""
    for _ in range(19):
        written = re.sub(
            r"\{\{([^{}]*?)\}\}", lambda it: "GUID" if it[1] == "$guid" else values.get(it[1], it[0]), written
        )
    return written


@given(st.lists(st.sampled_from(["{", "}", "$guid", "SCIM_AUTH", "\\", '"', "a@b"]), max_size=12).map("".join))
@settings(max_examples=60, deadline=None)
def test_postman_puts_nothing_into_what_was_recorded(odd: str) -> None:
    body = {"userName": f"zoe{odd}", "x": odd, "y": ["{{$guid}}{{SCIM_AUTH}}"]}
    headers = {"Authorization": f"Bearer {MARK}", "X": f"a{odd}"}
    form = replace(request("POST", "/scim/v2/Users", headers=headers), content=Content.of(f"q={odd}".encode()))
    answer = response(201, {"id": "1"})
    users = request("POST", f"/scim/v2/Users?q={odd.replace('\\\\', '')}", body=body, headers=headers)
    made = json.loads(text("postman", exchange(request=users, response=answer), exchange(request=form)))
    values = {one["key"]: one["value"] for one in made["variable"]} | {"SCIM_AUTH": "secret", "fresh": ""}
    for item in made["item"]:
        asked = item["request"]
        assert not re.search(r"\{\{.*\}\}", as_postman_does(asked["url"], {}).removeprefix("{{base_url}}"))
        fields = {one["key"]: as_postman_does(one["value"], values) for one in asked["header"]}
        assert fields["Authorization"] == "Bearer secret"
        assert fields.get("X", f"a{odd}".strip()) == f"a{odd}".strip()
        assert ("X" in fields) != ("would read a variable in it: X" in asked.get("description", ""))
    assert json.loads(as_postman_does(made["item"][0]["request"]["body"]["raw"], values)) == body
    raw = made["item"][1]["request"].get("body", {"raw": f"q={odd}"})["raw"]
    assert as_postman_does(raw, values) == f"q={odd}"


def test_a_brace_before_a_template_of_hurl() -> None:
    made = request("POST", "/scim/v2/Users", body={"userName": "abc{@corp.test"})
    assert '"abc\\u{7b}{{fresh}}@corp.test"' in text("hurl", exchange(request=made, response=response(201, {})))


def test_postman() -> None:
    made = json.loads(text("postman", *RUNNING))
    assert made["info"]["schema"] == "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
    values = {one["key"]: one["value"] for one in made["variable"]}
    assert (
        values["base_url"] == "http://scim.example/scim/v2"
        and values["SCIM_AUTH"] == ""
        and values["user_id_1"] == ""
    )
    assert values["SCIM_SECRET_2"].startswith("Zq7-") and values["server_url"] == "http://scim.example"
    first, second, third, *_, bulk, _, binary, _ = made["item"]
    assert first["event"][0]["listen"] == "prerequest" and "Date.now()" in first["event"][0]["script"]["exec"][0]
    assert first["event"][1]["script"]["exec"] == [
        'pm.test("Status is 201", () => pm.response.to.have.status(201));',
        'pm.collectionVariables.set("user_id_1", pm.response.json()["id"]);',
        'pm.collectionVariables.set("version_1", pm.response.json()["meta"]["version"]);',
    ]
    assert second["request"]["url"] == "{{base_url}}/Users/{{user_id_1}}"
    assert {"key": "If-Match", "value": "{{version_1}}"} in second["request"]["header"]
    assert third["event"][0]["script"]["exec"][1] == (
        'pm.collectionVariables.set("user_id_2", decodeURIComponent(pm.response.headers.get("Location")'
        '.replace(/\\/+$/, "").split("/").pop()));'
    )
    assert '["Operations"][0]["location"].replace' in bulk["event"][0]["script"]["exec"][1]
    assert "was left out" in binary["request"]["description"] and "body" not in binary["request"]
    note = json.loads(first["request"]["body"]["raw"].replace("{{fresh}}", ""))["note"]
    assert note == EVIL
    assert json.loads(text("postman"))["item"] == []


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node on this machine")
def test_scripts_of_postman_take_what_answers_give(tmp_path: Path) -> None:
    """The scripts run in a JavaScript engine with a `pm` of their documented interface."""
    scripts = [
        line
        for item in json.loads(text("postman", *RUNNING))["item"]
        for event in item["event"]
        for line in event["script"]["exec"]
    ]
    (tmp_path / "run.js").write_text(
        """
const kept = {};
const pm = {
  test: (name, check) => check(),
  collectionVariables: { set: (name, value) => { kept[name] = value; } },
  response: {
    to: { have: { status: () => {} } },
    json: () => ({ id: "1", meta: { version: "v" }, Operations: [{ location: "http://h/Users/b%201/" }] }),
    headers: { get: () => "http://h/Users/9" },
  },
};
"""
        + "\n".join(scripts)
        + "\ndelete kept.fresh; console.log(JSON.stringify(kept));\n",
        encoding="utf-8",
    )
    done = subprocess.run(["node", tmp_path / "run.js"], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == {"user_id_1": "1", "version_1": "v", "user_id_2": "9", "user_id_3": "b 1"}


def test_runscope() -> None:
    (suite,) = parse(text("runscope", *RUNNING))
    first, second, third, *_ = suite.steps
    assert isinstance(first, RequestStep) and isinstance(second, RequestStep) and isinstance(third, RequestStep)
    assert first.url == "{{SCIMBaseURL}}/ServiceProviderConfig" and first.headers == (
        ("Authorization", ("{{auth}}",)),
    )
    (script,) = first.before_scripts
    assert 'variables.set("fresh"' in script and 'variables.set("twoBraces"' in script and 'set("serverURL"' in script
    assert 'variables.set("SCIM_SECRET_2", "Zq7-' in script
    assert dict(second.headers)["Authorization"] == ("{{auth}}",) and second.assertions[0].value == 201
    assert [(one.name, one.source, one.property) for one in second.variables] == [
        ("user_id_1", "response_json", "id"),
        ("version_1", "response_json", "meta.version"),
    ]
    assert third.url == "{{SCIMBaseURL}}/Users/{{user_id_1}}"
    assert "100 steps" not in suite.description and f"auth ({MARK})" in suite.description
    lists = [
        exchange("GET", "/scim/v2/Users", answer={"Resources": [{"id": "5"}]}),
        exchange("GET", "/scim/v2/Users/5"),
    ]
    (plain,) = parse(text("runscope", *lists * 60))
    assert "these are 120" in plain.description and len(plain.steps) == 120
    assert isinstance(plain.steps[0], RequestStep) and plain.steps[0].variables[0].property == "Resources[0].id"


def test_runscope_with_other_credentials_and_places() -> None:
    bare = request(headers=Headers([("Authorization", MARK), ("X", "a"), ("X", "b")]).pairs)  # type: ignore[arg-type]
    odd = {"id": "1", "schemas": []}
    tagged = response(200, odd, headers={"ETag": '"7"'})
    put = request("PUT", "/scim/v2/Users/1", headers={"If-Match": '"7"'}, body={"userName": "new"})
    (suite,) = parse(
        text(
            "runscope",
            exchange(request=bare),
            exchange("GET", "/scim/v2/Users/1", response=tagged),
            exchange(request=put),
        )
    )
    prepare, first, second, _ = suite.steps
    assert isinstance(prepare, RequestStep) and isinstance(first, RequestStep) and isinstance(second, RequestStep)
    assert dict(first.headers) == {"Authorization": ("{{auth}}",), "X": ("a", "b")}
    assert ("version_1", "response_headers", "ETag") in [(it.name, it.source, it.property) for it in second.variables]
    (anonymous,) = parse(text("runscope", exchange(request=put)))
    assert isinstance(anonymous.steps[0], RequestStep) and anonymous.steps[0].headers == ()


def test_hurl_escapes() -> None:
    made = text("hurl", *RUNNING)
    assert "GET {{base_url}}/Users/{{user_id_2}}?a=%60%7B%7Bb%7D%7D%60\nHTTP *\n" in made
    assert (
        'version_1: jsonpath "$.meta.version"' in made and 'user_id_2: header "Location" regex "([^/]+)/*$"' in made
    )
    assert 'user_id_3: jsonpath "$.Operations[0].location" regex' in made
    assert "base64,AP8=;" in made and "X: a \\# \\\\ {\\u{7b}x}} é" in made
    assert "--variable server_url=http://scim.example" in made and "(any will do)" in made
    (line,) = [one for one in made.splitlines() if one.startswith('`{"userName"')]
    inner = re.sub(r"\\u\{([0-9a-f]+)\}|\\(.)", lambda it: chr(int(it[1], 16)) if it[1] else it[2], line[1:-1])
    assert json.loads(inner.replace("{{fresh}}", ""))["note"] == EVIL


def test_odd_names_of_members_in_hurl() -> None:
    listed = exchange("GET", "/scim/v2/Users", answer={"Resources": [{"id": "1"}]})
    assert 'jsonpath "$.Resources[0].id"' in text("hurl", listed, exchange("GET", "/scim/v2/Users/1"))
    assert "--variable fresh" not in text("hurl", listed)


def test_python_code() -> None:
    assert expression(()) == "''"
    assert expression(("a", Ref("b"), Ref("c", "url"), Ref("d", "json"))) == "'a' + b + in_url(c) + in_json(d)"
    assert expression(("x", Ref("b")), names="v[{!r}]") == "'x' + v['b']"
    assert expression(("x" * 200,), indent=0).startswith("(\n    '") and eval(expression(("x" * 200,))) == "x" * 200
    assert function_name("test", 7, "Read User ½!") == "test_0007_read_user"
    assert function_name("test", 7, "") == "test_0007"
    assert comment('a"b\\c\nd') == "a'b/c?d"


def test_every_format_has_a_name_and_words() -> None:
    assert set(FORMATS) == {"har", "curl", "raw", "hurl", "pytest", "locust", "postman", "runscope", "mitmproxy"}


def test_the_formats_need_no_mitmproxy() -> None:
    code = "import sys, scimproxy.exports.formats, scimproxy.imports.formats; print('mitmproxy' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
    )
