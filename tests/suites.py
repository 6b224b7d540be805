"""Suites that tests of the Runscope format share: every step type, every member that a real export has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

OKTA = Path(__file__).resolve().parents[2] / "shared" / "okta"
"""Where Okta's own suites lie beside the repository, if they do; they are not ours to copy."""

OKTA_FILES = ("Okta-SCIM-11-SPEC-Test.json", "Okta-SCIM-20-SPEC-Test.json", "Okta-SCIM-20-CRUD-Test.json")


def okta(name: str) -> bytes:
    """Return one of Okta's files; skip the test where it is not there."""
    path = OKTA / name
    if not path.exists():
        pytest.skip(f"Okta's {name} is not beside the repository (../shared/okta)")
    return path.read_bytes()


REQUEST: dict[str, Any] = {
    "step_type": "request",
    "method": "POST",
    "url": "{{base}}/Users?x=a b",
    "note": "Create {{nothing}}",
    "headers": {"Accept": ["a", "b"], "Authorization": "Bearer {{token}}", "X-N": 1, "X-Null": None},
    "body": '{"a":\r\n1}',
    "form": {},
    "auth": {"auth_type": "basic", "username": "u", "password": "p"},
    "assertions": [
        {"source": "response_status", "comparison": "equal_number", "value": "201"},
        {"source": "response_header", "comparison": "is_equal", "value": "x", "property": "ETag", "new": 1},
        {"source": "response_json", "comparison": "not_empty", "value": None, "property": "id"},
    ],
    "variables": [
        {"source": "response_json", "property": "id", "name": "id"},
        {"name": None, "property": ""},
        {"name": "all", "source": "response_text", "more": True},
    ],
    "scripts": ["", "assert.ok(true)"],
    "before_scripts": ["log(1)"],
    "skipped": False,
    "id": "r1",
    "fragment": "",
}
NEW_REQUEST: dict[str, Any] = {
    "step_type": "request",
    "method": "GET",
    "url": "http://h/",
    "skipped": True,
    "args": {"page": ["1", "2"]},
    "data": "",
    "headers": None,
    "form": None,
    "multipart_form": [{"x": 1}],
    "binary_body": None,
    "graphql_body": {"query": "{a}"},
    "assertions": None,
    "variables": [],
    "scripts": "log(1)",
    "before_scripts": None,
    "note": None,
    "auth": [],
}
STEPS: list[dict[str, Any]] = [
    REQUEST,
    NEW_REQUEST,
    {"step_type": "pause", "duration": 5},
    {"step_type": "pause", "duration": "10", "skipped": True, "note": "wait"},
    {
        "step_type": "condition",
        "left_value": "{{id}}",
        "comparison": "not_empty",
        "right_value": "",
        "steps": [{"step_type": "pause", "duration": 1}],
        "note": "c",
    },
    {"step_type": "conditional", "left_value": "a", "comparison": "equal", "right_value": "b", "steps": []},
    {"step_type": "conditional-loop", "comparison": "is_less_than", "left_value": "1", "right_value": 3, "limit": 9},
    {
        "step_type": "subtest",
        "test_uuid": "t2",
        "bucket_key": "bk",
        "environment_uuid": "e",
        "use_parent_environment": True,
        "variables": [{"name": "v", "source": "response_json", "property": "x"}],
        "assertions": [{"source": "response_json", "property": "result", "comparison": "equal", "value": "pass"}],
    },
    {"step_type": "subtest", "test_uuid": "t3", "variables": {"handed": "over"}},
    {"step_type": "inbound", "token": "tok", "isDynamicUrl": True, "scripts": ["x"], "before_scripts": [""]},
    {"step_type": "ghost-inspector", "test_id": "g", "assertions": []},
]
TEST: dict[str, Any] = {
    "trigger_url": "https://api.example/trigger",
    "name": "Everything",
    "version": "1.0",
    "exported_at": 1715608731,
    "description": "d",
    "steps": STEPS,
    "id": "t1",
    "step_count": 11,
    "default_environment_id": "e1",
    "environments": [
        {
            "id": "e1",
            "test_id": "t1",
            "name": "Test Settings",
            "parent_environment_id": "s1",
            "initial_variables": {"base": "http://h", "n": 1},
            "script": "variables.set('a', 1)",
            "script_library": ["lib"],
            "pre_request_scripts": ["p()"],
            "post_response_scripts": [],
            "headers": {"X": ["1"]},
            "auth": {},
            "preserve_cookies": True,
            "stop_on_failure": True,
            "verify_ssl": False,
            "retry_on_failure": False,
            "regions": ["us1"],
        },
        {"id": "s1", "test_id": None, "name": "", "initial_variables": None, "script": None, "headers": None},
    ],
}
