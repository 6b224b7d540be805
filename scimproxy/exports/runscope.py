"""A run as a Runscope test ("API Monitoring Tests"), to be imported there or run by `scimproxy run`.

One rule: the file alone is enough but for SCIMBaseURL and auth, the names that Okta's own suites have; ids are
extracted variables, statuses are assertions. A test that is imported has no initial script: names that must be new
get their digits from a script of the first step. Pure; reads a Plan, writes through suite/writing.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from scimproxy.exports.templating import BASE_URL, FRESH, Ref, Text
from scimproxy.exports.variables import Capture, Plan, Send
from scimproxy.suite.model import Assertion, Extraction, RequestStep, Suite
from scimproxy.suite.writing import dump

__all__ = ["runscope"]

_BRACES = "twoBraces"
_MOST_STEPS = 99
"""Runscope imports fewer than 100 steps (runscope.md 1.1)."""


def runscope(plan: Plan) -> Iterator[str]:
    """Yield the test as JSON."""
    yield json.dumps(dump(_suite(plan)), indent=2, ensure_ascii=False) + "\n"


def _suite(plan: Plan) -> Suite:
    speller = _Speller(plan)
    steps = [speller.step(send) for send in plan.sends]
    scripts = speller.scripts(plan)
    if scripts:
        # Variables that a script before a request sets reach the next request only (runscope.md 4).
        first = RequestStep(
            method="GET",
            url="{{SCIMBaseURL}}/ServiceProviderConfig",
            headers=speller.first_headers(plan),
            before_scripts=(scripts,),
            note="Not recorded: makes the digits that new names need",
        )
        steps.insert(0, first)
    told = "A recorded run of a SCIM client, exported by scimproxy. Initial variables: SCIMBaseURL"
    told += "".join(f", {speller.names[one.name]} ({one.mark})" for one in plan.secrets if not one.optional) + "."
    if len(steps) > _MOST_STEPS:
        told += f" Runscope imports fewer than 100 steps; these are {len(steps)}."
    return Suite(name=plan.name, description=told, steps=tuple(steps))


class _Speller:
    """Writes texts with the names that this test uses."""

    def __init__(self, plan: Plan) -> None:
        self.names = {BASE_URL: "SCIMBaseURL", "server_url": "serverURL"}
        self._braces = False
        # `auth` is the whole Authorization value, with its scheme, as in Okta's suites.
        self._scheme = next((scheme for scheme in map(_scheme_of, plan.sends) if scheme is not None), None)
        self.names |= {one.name: one.name for one in plan.secrets}
        if self._scheme is not None:
            self.names["SCIM_AUTH"] = "auth"
        self._optional = {one.name: one.mark for one in plan.secrets if one.optional}

    def first_headers(self, plan: Plan) -> tuple[tuple[str, tuple[str, ...]], ...]:
        asked = any(name == "SCIM_AUTH" for send in plan.sends for name in send.needs())
        return (("Authorization", ("{{auth}}",)),) if asked and self._scheme is not None else ()

    def scripts(self, plan: Plan) -> str:
        lines = []
        if plan.uses_fresh:
            lines.append(f'if (!variables.get("{FRESH}")) variables.set("{FRESH}", String(Date.now()));')
        if self._braces:
            lines.append(f'variables.set("{_BRACES}", "{{" + "{{");')
        lines += [
            f'if (!variables.get("{name}")) variables.set("{name}", "Zq7-{mark[7:]}");'
            for name, mark in self._optional.items()
        ]
        if plan.uses_server_url:
            lines.append('variables.set("serverURL", variables.get("SCIMBaseURL").split("/").slice(0, 3).join("/"));')
        return "\n".join(lines)

    def step(self, send: Send) -> RequestStep:
        note = "; ".join((f"{send.number}: {send.title}", *send.notes))
        if send.data is not None:
            note += "; the body is no text and was left out"
        headers: dict[str, list[str]] = {}
        for name, value in send.headers:
            headers.setdefault(name, []).append(self._header(name, value))
        return RequestStep(
            method=send.method,
            url=self._spelled(send.url),
            headers=tuple((name, tuple(values)) for name, values in headers.items()),
            body=None if send.body is None else self._spelled(send.body),
            assertions=() if send.status is None else (Assertion("response_status", "equal_number", send.status),),
            variables=tuple(_extraction(one) for one in send.captures if not one.last_segment),
            scripts=tuple(_script(one) for one in send.captures if one.last_segment),
            note=note,
        )

    def _header(self, name: str, value: Text) -> str:
        if name.lower() == "authorization" and value and value[-1] == Ref("SCIM_AUTH") and self._scheme is not None:
            return "{{auth}}"
        return self._spelled(value)

    def _spelled(self, text: Text) -> str:
        made = []
        for one in text:
            if isinstance(one, Ref):
                made.append(f"{{{{{self.names.get(one.name, one.name)}}}}}")
            elif "{{" in one:
                self._braces = True
                made.append(one.replace("{{", f"{{{{{_BRACES}}}}}"))
            else:
                made.append(one)
        return "".join(made)


def _scheme_of(send: Send) -> str | None:
    """Return the scheme before SCIM_AUTH in an Authorization field; empty where there is none."""
    for name, value in send.headers:
        if name.lower() == "authorization" and value and value[-1] == Ref("SCIM_AUTH"):
            return value[0] if isinstance(value[0], str) else ""
    return None


def _extraction(capture: Capture) -> Extraction:
    if capture.pointer:
        path = ""
        for one in capture.pointer:
            if isinstance(one, int):
                path += f"[{one}]"
            else:  # a name of giving.py: id, meta, Resources and their like
                path += f".{one}" if path else one
        return Extraction(capture.name, "response_json", path)
    return Extraction(capture.name, "response_headers", capture.header)


def _script(capture: Capture) -> str:
    if capture.pointer:
        found = "JSON.parse(response.body)" + "".join(f"[{json.dumps(one)}]" for one in capture.pointer)
    else:
        found = f"[].concat(response.headers[{json.dumps(capture.header)}])[0]"
    return (
        f"variables.set({json.dumps(capture.name)},"
        f' decodeURIComponent({found}.replace(/\\/+$/, "").split("/").pop()));'
    )
