"""Secrets out of results: every occurrence of a known secret in a step's texts and values becomes its fingerprint.

One rule: what is stored, shown or reported of a suite's run went through `masked` first; the exchanges themselves go
through redact. Pure. Place in the flow: runner -> masked -> store, terminal, reports.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from scimproxy.exchange import fingerprint
from scimproxy.suite.results import SuiteResult

__all__ = ["masked", "secret_names", "secrets_of", "without_secrets"]

_SECRET_NAME = re.compile(
    r"(?i)(^|[^a-z])(scim)?auth($|[^a-z])|authorization|token|secret|password|passwd|credential|api.?key"
)
_FINGERPRINT = re.compile("sha256:[0-9a-f]{8}")
_SHORTEST = 6
"""A shorter value is too likely to occur by itself: masking it would spoil what is no secret."""


def secret_names(names: Iterable[str]) -> set[str]:
    """Return the names that speak of a secret."""
    return {name for name in names if _SECRET_NAME.search(re.sub(r"([a-z])([A-Z])", r"\1 \2", name))}


def secrets_of(variables: Mapping[str, Any]) -> frozenset[str]:
    """Return the secrets that variables hold: values by secret names; of `Bearer xyz` the credentials alone."""
    found = set()
    for name in secret_names(variables):
        value = variables[name]
        if isinstance(value, str):
            _, _, credentials = value.strip().partition(" ")
            found.add(credentials.strip() or value.strip())
    return frozenset(value for value in found if len(value) >= _SHORTEST and not _FINGERPRINT.fullmatch(value))


def without_secrets(result: SuiteResult) -> SuiteResult:
    """Return a result without the secrets that its variables hold or its assertions looked at.

    A run that was made with --keep-secrets holds some. Whoever shows a result to others asks this first.
    """
    told: list[tuple[str, Any]] = [*result.initial_variables]
    for step in result.steps:
        told += [(name, one.value) for one in step.variables for name in (one.name, _last(one.property))]
        told += [(_last(one.property), it) for one in step.assertions for it in (one.target_value, one.actual_value)]
    found = {secret for name, value in told for secret in secrets_of({name: value})}
    return masked(result, frozenset(found))


def _last(path: str | None) -> str:
    return (path or "").rpartition(".")[2]


def masked[T](value: T, secrets: frozenset[str]) -> T:
    """Return a value (text, list, mapping, dataclass, in any depth) without the secrets."""
    if not secrets:
        return value
    # Longest first: a secret may be part of another.
    pattern = re.compile("|".join(re.escape(one) for one in sorted(secrets, key=len, reverse=True)))
    made: T = _masked(value, pattern)
    return made


def _masked(value: Any, pattern: re.Pattern[str]) -> Any:  # noqa: ANN401 - any value of a result
    if isinstance(value, str):
        return pattern.sub(lambda found: fingerprint(found[0]), value)
    if isinstance(value, list | tuple):
        return type(value)(_masked(one, pattern) for one in value)
    if isinstance(value, dict):
        return {_masked(name, pattern): _masked(one, pattern) for name, one in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        changed = {
            one.name: new
            for one in fields(value)
            if (new := _masked(old := getattr(value, one.name), pattern)) is not old and new != old
        }
        return replace(value, **changed) if changed else value
    return value
