"""A recording in which Runscope ran a small suite, made without a server; and the suite as its file has it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from factories import T0, exchange, request, run

from scimproxy.exchange import Headers
from scimproxy.store import Store

BASE = "/scim/v2"
SUITE: dict[str, Any] = {
    "name": "Two",
    "version": "1.0",
    "steps": [
        {
            "step_type": "request",
            "method": "POST",
            "url": "{{base}}/Users",
            "note": "Create",
            "headers": {"Content-Type": ["application/json"]},
            "body": '{"userName": "{{name}}"}',
            "assertions": [
                {"source": "response_status", "comparison": "equal_number", "value": 201},
                {"source": "response_json", "property": "userName", "comparison": "equal", "value": "{{name}}"},
            ],
            "variables": [{"source": "response_json", "property": "id", "name": "id"}],
            "scripts": ["log('made ' + variables.get('id'))"],
        },
        {"step_type": "pause", "duration": 5},
        {
            "step_type": "request",
            "method": "GET",
            "url": "{{base}}/Users/{{id}}",
            "note": "Read",
            "headers": {},
            "assertions": [{"source": "response_status", "comparison": "equal_number", "value": 200}],
        },
    ],
}
TEXT = json.dumps(SUITE)


def sent(method: str, target: str, body: object = b"", **fields: Any) -> Any:
    """What Runscope sent."""
    made = request(method, BASE + target, body=body)
    kept = made.headers.without("Authorization", "User-Agent")
    return exchange(request=replace(made, headers=Headers([*kept, ("User-Agent", "runscope-radar/2.0")])), **fields)


def play(store: Store, run_id: int, name: str, *, reads: int | None = 200) -> None:
    """One run of the suite; `reads` is the status of its last answer, None where that never came."""
    answer = {"userName": name, "id": f"id-of-{name}"}
    store.add(sent("POST", "/Users", {"userName": name}, status_code=201, answer=answer, run_id=run_id))
    store.add(exchange(target=f"{BASE}/Users?count=1", client="okta", run_id=run_id))
    if reads is not None:
        store.add(sent("GET", f"/Users/id-of-{name}", status_code=reads, answer=answer, run_id=run_id))


def recorded(db: Path, *names: str, ended: bool = True, reads: int | None = 200) -> int:
    """A recording of these runs; its number."""
    with Store.open(db) as store:
        made = store.start_run(run(name="up"))
        assert made.id is not None
        for name in names:
            play(store, made.id, name, reads=reads)
        if ended:
            store.finish_run(made.id, ended_at=T0 + 60)
    return made.id
