"""A Traffic Policy for ngrok's edge, from what the recording lets in: strangers are refused before they come. Pure.

One rule: the policy refuses nothing that our own listener would let in; it only does it earlier. The free plan allows
five rules. Source: ngrok.com/docs/traffic-policy (the variables req.url.path, conn.client_ip.categories).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import yaml

from scimproxy.errors import UsageError

__all__ = ["read_policy", "traffic_policy"]


def traffic_policy(base: str, *, categories: Sequence[str] = (), per_minute: int | None = None) -> dict[str, Any]:
    """Return the policy for a public base path.

    `categories`: names of address ranges that ngrok maintains (like com.okta.us); empty: everybody.
    `per_minute`: so many requests per client address; None: no limit of ours.
    """
    rules: list[dict[str, Any]] = []
    if base:
        rules.append(
            {
                "expressions": [
                    f"!(req.url.path == {json.dumps(base)} || req.url.path.startsWith({json.dumps(base + '/')}))"
                ],
                "actions": [{"type": "deny", "config": {"status_code": 404}}],
            }
        )
    if categories:
        known = " || ".join(f"{json.dumps(name)} in conn.client_ip.categories" for name in categories)
        rules.append({"expressions": [f"!({known})"], "actions": [{"type": "deny", "config": {"status_code": 403}}]})
    if per_minute is not None:
        limit = {
            "name": "scimproxy",
            "algorithm": "sliding_window",
            "capacity": per_minute,
            "rate": "60s",
            "bucket_key": ["conn.client_ip"],
        }
        rules.append({"actions": [{"type": "rate-limit", "config": limit}]})
    return {"on_http_request": rules}


def read_policy(text: str, where: str) -> dict[str, Any]:
    """Return the policy of a file, YAML or JSON.

    Raises:
        UsageError: it is none.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise UsageError(
            f"--traffic-policy {where}{line}: this is not YAML", hint="ngrok.com/docs/traffic-policy"
        ) from exc
    if not isinstance(document, dict) or not any(str(name).startswith("on_") for name in document):
        raise UsageError(
            f"--traffic-policy {where} is no Traffic Policy",
            hint="it begins with on_http_request: (see ngrok's documentation)",
        )
    return document
