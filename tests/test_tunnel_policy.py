from __future__ import annotations

import pytest

from scimproxy.errors import UsageError
from scimproxy.tunnel.policy import read_policy, traffic_policy


def test_what_is_outside_the_base_path_is_refused_at_the_edge() -> None:
    policy = traffic_policy("/scim/v2", categories=("com.okta.us", "com.okta.preview"), per_minute=600)
    path, who, rate = policy["on_http_request"]
    assert path["expressions"] == ['!(req.url.path == "/scim/v2" || req.url.path.startsWith("/scim/v2/"))']
    assert path["actions"] == [{"type": "deny", "config": {"status_code": 404}}]
    assert who["expressions"] == [
        '!("com.okta.us" in conn.client_ip.categories || "com.okta.preview" in conn.client_ip.categories)'
    ]
    assert (rate["actions"][0]["type"], rate["actions"][0]["config"]["capacity"]) == ("rate-limit", 600)
    assert len(policy["on_http_request"]) <= 5


def test_without_a_base_path_nothing_is_refused() -> None:
    assert traffic_policy("") == {"on_http_request": []}


def test_a_policy_of_the_users_own() -> None:
    assert read_policy("on_http_request:\n- actions: []\n", "f") == {"on_http_request": [{"actions": []}]}
    assert read_policy('{"on_http_response": []}', "f") == {"on_http_response": []}


@pytest.mark.parametrize("text", ["", "- a", "a: b", "a: b: c", "\x00"])
def test_what_is_no_policy(text: str) -> None:
    with pytest.raises(UsageError, match="--traffic-policy f"):
        read_policy(text, "f")
