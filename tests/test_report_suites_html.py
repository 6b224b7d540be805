"""The HTML report: whole in itself, well formed, nothing of a server's becomes markup, no secret in it."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

from factories import T0, connection, exchange, suite_step

from scimproxy.exchange import Failure, Headers, Tls
from scimproxy.report.suites_html import html
from scimproxy.suite.results import ScriptResult, StepResult, SuiteResult

VOID = {"meta", "br", "link", "img", "input", "col"}


class Page(HTMLParser):
    """Checks that elements are closed in order; keeps names, texts and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def result(*steps: StepResult, **members: object) -> SuiteResult:
    made = {"name": "Spec", "result": "fail", "steps": steps, "started_at": T0, "ended_at": T0 + 1.5, "run_id": 3}
    return SuiteResult(**{**made, **members})  # type: ignore[arg-type]  # any field


def test_everything_is_there() -> None:
    sent = exchange(
        "POST",
        body={"userName": "b"},
        answer={"id": "1", "é": [1]},
        upstream_connection=connection("upstream", tls=Tls("TLSv1.3", "AES")),
    )
    steps = (
        suite_step(exchange_id=7),
        suite_step(number="2", result="error", errors=("Variable 'x' was not defined",), assertions=(), url=None),
        StepResult(number="3", step_type="pause", result="skipped"),
        StepResult(number="0", step_type="initial-script", result="error",
                   scripts=(ScriptResult(result="error", kind="initial", error="boom"), ScriptResult(result="pass", kind="before"))),
    )  # fmt: skip
    given = result(
        *steps, description="About", target="http://h/scim", source="s.json", canceled="stopped early", warnings=("slow run",),
        initial_variables=(("who", "me"),),
    )  # fmt: skip
    page = Page(html(given, {7: sent}))
    for words in (
        "Spec: failed", "About", "1 of 2 assertions hold", "stopped early", "slow run", "http://h/scim", "who me",
        "1.50 s", "List users", "body.Resources[0].id — was empty", "Usually:", "Assertions", "Variables", "n 0",
        "Post-response script: pass seen", "Request POST", '"userName": "b"', "Response HTTP/1.1 200", '"é" : [ 1 element 1 ]',
        "Connection", "TLSv1.3, AES", "total", "Variable 'x' was not defined", "initial script — boom",
        "Initial script: error",
    ):  # fmt: skip
        assert words in page.text, words
    assert page.names.count("fieldset") == 1
    assert len([one for one in page.attributes if one[0] == "id" and str(one[1]).startswith("step-")]) == 4


def test_it_loads_nothing_and_runs_nothing() -> None:
    text = html(result(suite_step()), {})
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.names)
    assert not {"src", "onclick", "style"} & {name for name, _ in page.attributes}
    assert {value for name, value in page.attributes if name == "href"} == {"#main"}
    assert "default-src 'none'" in text
    assert "url(" not in text
    assert "unsafe-inline" not in text
    for words in ("light-dark(", "@media print"):
        assert words in text


def test_nothing_of_a_server_becomes_markup() -> None:
    evil = "</pre><script>alert(1)</script>\x00\u202e\"'"
    step = suite_step(note=evil, url=evil, errors=(evil,), exchange_id=1)
    answered = exchange(answer={"a": evil})
    response = answered.response
    assert response is not None
    headers = Headers([*response.headers.pairs, ("X-Evil", evil)])
    answered = replace(answered, response=replace(response, headers=headers, reason=evil))
    text = html(result(step, name=evil, description=evil, target=evil), {1: answered})
    assert "<script" not in text
    assert not re.search("[\x00\u202e]", text)
    assert "script" not in Page(text).names


def test_secrets_stay_out_of_runs_that_were_kept_with_them() -> None:
    sent = exchange("POST", body={"password": "pass-of-a-user"})
    request = replace(sent.request, headers=Headers([("Authorization", "Bearer token-of-the-test")]))
    step = suite_step(exchange_id=1, url="http://h/?t=token-of-the-test")
    given = result(step, initial_variables=(("auth", "Bearer token-of-the-test"), ("old", "Bearer sha256:01234567")))
    text = html(given, {1: replace(sent, request=request)})
    assert "token-of-the-test" not in text
    assert "pass-of-a-user" not in text
    assert "sha256:01234567" in text


def test_contents_that_are_no_text_or_long_and_failures() -> None:
    binary = exchange(answer=b"\x89PNG\x00\xff\xfe" * 40)
    long = exchange(answer=b'"' + b"x" * 60_000 + b'"')
    lost = replace(exchange(response=None), failure=Failure("refused", "nothing listens there"))
    bare = replace(exchange(), upstream_connection=None, upstream_index=None)
    steps = tuple(suite_step(number=str(number), exchange_id=number) for number in (1, 2, 3, 4))
    page = Page(html(result(*steps, started_at=None), {1: binary, 2: long, 3: lost, 4: bare}))
    assert "280 B that are no text" in page.text
    assert "(60,002 characters)" in page.text
    assert "Failed (refused): nothing listens there" in page.text
