"""A run as a Postman collection (format v2.1.0): ids are collection variables that test scripts set.

One rule: scripts hold only what JSON writes, so nothing a client sent becomes script; secrets are variables without
a value. Postman looks for `{{...}}` in what it has put in, again and again, and knows no escape: in JSON a brace is
written as JSON's own escape, elsewhere what would be a variable is left out, and a note says so.
Schema: https://schema.getpostman.com/json/collection/v2.1.0/collection.json. Pure; reads a Plan.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from scimproxy.exports.templating import BASE_URL, FRESH, Ref, Text
from scimproxy.exports.variables import Capture, Plan, Send

__all__ = ["postman"]

_SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
_VARIABLE = re.compile(r"\{\{[^{}]*\}\}")
"""Postman's own: lib/superstring of postman-collection."""


def postman(plan: Plan) -> Iterator[str]:
    """Yield the collection."""
    yield json.dumps(_collection(plan), indent=1, ensure_ascii=False) + "\n"


def _collection(plan: Plan) -> dict[str, Any]:
    variables = [{"key": BASE_URL, "value": plan.base_url}]
    if plan.uses_server_url:
        variables.append({"key": "server_url", "value": plan.server_url})
    variables += [{"key": FRESH, "value": ""}] if plan.uses_fresh else []
    variables += [
        {
            "key": one.name,
            "value": f"Zq7-{one.mark[7:]}" if one.optional else "",
            "description": f"recorded as {one.mark}",
        }
        for one in plan.secrets
    ]
    variables += [{"key": name, "value": ""} for name in plan.captured]
    items = [_item(send) for send in plan.sends]
    if plan.uses_fresh and items:
        code = [f"pm.collectionVariables.set({json.dumps(FRESH)}, String(Date.now()));"]
        items[0]["event"].insert(0, _event("prerequest", code))
    return {
        "info": {
            "name": plan.name,
            "description": "A recorded run of a SCIM client, exported by scimproxy. "
            "Set base_url and the secrets, then run all requests in their order.",
            "schema": _SCHEMA,
        },
        "item": items,
        "variable": variables,
    }


def _item(send: Send) -> dict[str, Any]:
    request: dict[str, Any] = {
        "method": send.method,
        "header": [{"key": name, "value": _templated(value)} for name, value in send.headers if not _read_on(value)],
        "url": _templated(send.url),
    }
    notes = list(send.notes)
    notes += [
        f"left out, because Postman would read a variable in it: {name}" for name, it in send.headers if _read_on(it)
    ]
    if send.data is not None:
        notes.append("the body is no text and was left out")
    elif send.body is not None:
        body = _in_json(send.body)
        if _read_on(body):
            notes.append("the body was left out, because Postman would read a variable in it")
        else:
            request["body"] = {"mode": "raw", "raw": _templated(body)}
    if notes:
        request["description"] = "\n".join(notes)
    return {
        "name": f"{send.number}: {send.title}",
        "protocolProfileBehavior": {"followRedirects": False, "disableBodyPruning": True},
        "request": request,
        "response": [],
        "event": [_event("test", _script(send))],
    }


def _event(listen: str, code: list[str]) -> dict[str, Any]:
    return {"listen": listen, "script": {"type": "text/javascript", "exec": code}}


def _script(send: Send) -> list[str]:
    code = []
    if send.status is not None:
        code.append(f'pm.test("Status is {send.status}", () => pm.response.to.have.status({send.status}));')
    return code + [f"pm.collectionVariables.set({json.dumps(one.name)}, {_found(one)});" for one in send.captures]


def _found(capture: Capture) -> str:
    if capture.pointer:
        found = "pm.response.json()" + "".join(f"[{json.dumps(one)}]" for one in capture.pointer)
    else:
        found = f"pm.response.headers.get({json.dumps(capture.header)})"
    return f'decodeURIComponent({found}.replace(/\\/+$/, "").split("/").pop())' if capture.last_segment else found


def _read_on(text: Text) -> bool:
    """Whether Postman would take a part of what was recorded for a variable."""
    return _VARIABLE.search("".join("-" if isinstance(one, Ref) else one for one in text)) is not None


def _in_json(text: Text) -> Text:
    """Return a body whose texts say the same without two braces, where it is JSON: no other place of it has two."""
    if not any("{{" in one for one in text if isinstance(one, str)):
        return text
    try:
        json.loads("".join("0" if isinstance(one, Ref) else one for one in text))
    except (ValueError, RecursionError):
        return text
    return tuple(one if isinstance(one, Ref) else one.replace("{{", "{\\u007b") for one in text)


def _templated(text: Text) -> str:
    return "".join(f"{{{{{one.name}}}}}" if isinstance(one, Ref) else one for one in text)
