"""Objects for tests: everything has a default, so that a test names only what it is about."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from typing import Any

from scimproxy.exchange import Connection, Content, Exchange, Headers, Request, Response, Run, Timings
from scimproxy.suite.results import AssertionResult, ScriptResult, StepResult, VariableResult

T0 = 1_790_000_000.0
"""A fixed moment (Unix seconds): tests know no clock."""

_uids = count(1)


def content(body: object = b"") -> Content:
    """Content of bytes, text, or anything JSON."""
    if isinstance(body, Content):
        return body
    if isinstance(body, str):
        return Content.of(body.encode())
    if isinstance(body, bytes):
        return Content.of(body)
    return Content.of(json.dumps(body).encode())


def request(
    method: str = "GET",
    target: str = "/scim/v2/Users",
    *,
    body: object = b"",
    headers: dict[str, str] | list[tuple[str, str]] | None = None,
    **fields: Any,
) -> Request:
    """A request of a SCIM client; a body brings its media type and length."""
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers or [])
    whole = content(body)
    names = {name.lower() for name, _ in pairs}
    if "host" not in names:
        pairs.insert(0, ("Host", "scim.example"))
    if whole.size:
        if "content-type" not in names:
            pairs.append(("Content-Type", "application/scim+json"))
        if not names & {"content-length", "transfer-encoding"}:
            pairs.append(("Content-Length", str(whole.size)))
    return Request(method=method, target=target, headers=Headers(pairs), content=whole, **fields)


def response(
    status_code: int = 200,
    body: object = b"",
    *,
    headers: dict[str, str] | list[tuple[str, str]] | None = None,
    reason: str = "OK",
    **fields: Any,
) -> Response:
    """A response of a SCIM server; a body brings its media type and length."""
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers or [])
    whole = content(body)
    names = {name.lower() for name, _ in pairs}
    if whole.size:
        if "content-type" not in names:
            pairs.append(("Content-Type", "application/scim+json"))
        if not names & {"content-length", "transfer-encoding"}:
            pairs.append(("Content-Length", str(whole.size)))
    return Response(status_code=status_code, reason=reason, headers=Headers(pairs), content=whole, **fields)


def connection(side: str = "client", **fields: Any) -> Connection:
    """A loopback connection with a fresh uid."""
    made = Connection(
        uid=f"c{next(_uids)}",
        side=side,  # type: ignore[arg-type]  # the literal is the caller's business
        peer_host="127.0.0.1",
        peer_port=50_000,
        local_host="127.0.0.1",
        local_port=8080,
        http_version="1.1",
        opened_at=T0,
        exchanges=1,
    )
    return replace(made, **fields)


def exchange(
    method: str = "GET",
    target: str = "/scim/v2/Users",
    *,
    status_code: int = 200,
    body: object = b"",
    answer: object = b"",
    **fields: Any,
) -> Exchange:
    """A complete exchange with both connections; `body` is the request's content, `answer` the response's."""
    made = Exchange(
        uid=f"x{next(_uids)}",
        request=fields.pop("request", None) or request(method, target, body=body),
        response=response(status_code, answer),
        origin="upstream",
        started_at=T0,
        ended_at=T0 + 0.012,
        timings=Timings(connect=0.4, send=0.1, wait=10.0, receive=0.2, total=12.0),
        client_connection=connection("client"),
        client_index=1,
        upstream_connection=connection("upstream", peer_port=8000),
        upstream_index=1,
        upstream_address="127.0.0.1:8000",
        client_address="127.0.0.1",
        scheme="http",
        host="scim.example",
        attempts=1,
        ended="keep-alive",
    )
    return replace(made, **fields)


def run(**fields: Any) -> Run:
    """A recording that has begun."""
    made = Run(kind="record", name="test", started_at=T0, target="http://127.0.0.1:8000/scim/v2", version="0.1.0")
    return replace(made, **fields)


def suite_step(**fields: Any) -> StepResult:
    """A step of a suite's run that failed, with one of everything."""
    given: dict[str, Any] = {
        "number": "1",
        "step_type": "request",
        "result": "fail",
        "note": "List users",
        "method": "GET",
        "url": "http://scim.example/scim/v2/Users?count=1",
        "status_code": 200,
        "response_time_ms": 12,
        "response_size_bytes": 40,
        "assertions": (
            AssertionResult(
                result="pass",
                source="response_status",
                comparison="equal_number",
                target_value="200",
                actual_value=200,
                message="was a number equal to 200",
            ),
            AssertionResult(
                result="fail",
                source="response_json",
                comparison="not_empty",
                property="Resources[0].id",
                message="was empty",
                error="Unable to locate Resources property in path 'Resources[0].id' in JSON.",
                place="/Resources/0/id",
                number=1,
            ),
        ),
        "variables": (
            VariableResult(result="pass", name="n", source="response_json", property="totalResults", value=0),
        ),
        "scripts": (ScriptResult(result="pass", kind="after", output="seen", duration_ms=1.5),),
        "duration_s": 0.014,
        "started_at": T0 + 1,
    }
    return StepResult(**{**given, **fields})
