"""Runscope's export format: reading every form of it in the wild, and writing it so that Runscope imports it.

One rule: what is not understood is kept (`extra`) and written back; what is wrong is refused with its place
(`steps[3].assertions[1].comparison`), never guessed. Sources: runscope.md 0 and 1 (Okta's exports, the API's test
detail, the vendor's OpenAPI). Hostile files are bounded in bytes, depth and steps. Pure.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from scimproxy.errors import FormatError
from scimproxy.suite.casts import as_text, read_json
from scimproxy.suite.model import (
    COMPARISON_ALIASES,
    COMPARISONS,
    RESULT_COMPARISONS,
    RESULT_SOURCES,
    SOURCE_ALIASES,
    SOURCES,
    Assertion,
    Auth,
    ConditionStep,
    Environment,
    Extraction,
    HeaderValues,
    InboundStep,
    Json,
    LoopStep,
    PauseStep,
    RequestStep,
    Step,
    SubtestStep,
    Suite,
    UnsupportedStep,
)
from scimproxy.suite.writing import dump, dump_environment

__all__ = ["STEP_TYPES", "Limits", "dump", "dump_environment", "parse", "parse_environments"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a file is read: bytes, nesting, steps of all its tests together."""

    max_bytes: int = 20_000_000
    max_depth: int = 60
    max_steps: int = 5_000


type _Object = dict[str, Json]


def parse(data: bytes | str | Mapping[str, Json] | list[Json], *, limits: Limits | None = None) -> tuple[Suite, ...]:
    """Return the tests of a file: one object, an array of them, or either in the API's `{"data": ...}`.

    Raises:
        FormatError: it is not JSON, no Runscope test, beyond a limit, or wrong at the place that the message names.
    """
    reader = _Reader(limits or Limits())
    document = reader.load(data)
    if isinstance(document, list):
        if not document:
            raise FormatError("The file holds an empty list: no test")
        return tuple(reader.suite(one, f"[{at}]") for at, one in enumerate(document))
    return (reader.suite(document, ""),)


def parse_environments(data: bytes | str | Mapping[str, Json] | list[Json]) -> tuple[Environment, ...]:
    """Return the environments of a file: one, a list of them, either in `{"data": ...}`, or a test that holds some.

    An object that has no member of an environment at all is taken as initial variables, name by name.

    Raises:
        FormatError: as for `parse`.
    """
    reader = _Reader(Limits())
    document = reader.load(data)
    if isinstance(document, list):
        return tuple(reader.environment(one, f"[{at}]") for at, one in enumerate(document))
    members = _object(document, "")
    if "steps" in members:
        return reader.suite(members, "").environments
    if members and not _ENVIRONMENT_MEMBERS & members.keys():
        return (Environment(name="variables", initial_variables=_variables(members, "")),)
    return (reader.environment(members, ""),)


_ENVIRONMENT_MEMBERS: Final = frozenset(
    {
        *("name", "id", "initial_variables", "script", "pre_request_scripts", "post_response_scripts", "headers"),
        *("auth", "preserve_cookies", "stop_on_failure", "verify_ssl", "parent_environment_id", "script_library"),
    }
)


# ---- small values; each reader takes a value and its place


def _at(place: str, member: str) -> str:
    return f"{place}.{member}" if place else member


def _shown(value: Json) -> str:
    text = as_text(value)
    return f"'{text[:60]}…'" if len(text) > 60 else f"'{text}'"


def _object(value: Json, place: str) -> _Object:
    if not isinstance(value, dict):
        raise FormatError(f"{place or 'the document'}: {_shown(value)} is not an object")
    return value


def _text(value: Json, place: str) -> str:
    if not isinstance(value, str):
        raise FormatError(f"{place}: {_shown(value)} is not a text")
    return value


def _optional_text(value: Json, place: str) -> str | None:
    return None if value is None else _text(value, place)


def _note(value: Json, place: str) -> str:
    return "" if value is None else _text(value, place)


def _flag(value: Json, place: str) -> bool:
    return _optional_flag(value, place) or False


def _optional_flag(value: Json, place: str) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise FormatError(f"{place}: {_shown(value)} is not true or false")


def _list(value: Json, place: str) -> list[Json]:
    """Return a list; null and {} are empty ones, as newer exports write them."""
    if value is None or value == {}:
        return []
    if not isinstance(value, list):
        raise FormatError(f"{place}: {_shown(value)} is not a list")
    return value


def _texts(value: Json, place: str) -> tuple[str, ...]:
    """Return a list of texts; one text alone is a list of it."""
    if isinstance(value, str):
        return (value,)
    return tuple(_note(one, f"{place}[{at}]") for at, one in enumerate(_list(value, place)))


def _fields(value: Json, place: str) -> HeaderValues:
    """Return header fields, form fields or parameters: an object whose values are a text or a list of texts."""
    if value is None or value == []:
        return ()
    found = []
    for name, one in _object(value, place).items():
        values = one if isinstance(one, list) else [one]
        inner = _at(place, name)
        found.append((name, tuple(_scalar(each, inner) for each in values)))
    return tuple(found)


def _scalar(value: Json, place: str) -> str:
    if isinstance(value, list | dict):
        raise FormatError(f"{place}: {_shown(value)} is not a text or a list of texts")
    return "" if value is None else as_text(value)


def _variables(value: Json, place: str) -> dict[str, Json]:
    if value is None or value == []:
        return {}
    return dict(_object(value, place))


def _auth(value: Json, place: str) -> Auth | None:
    if not value and (value is None or isinstance(value, dict | list)):
        return None
    members = dict(_object(value, place))
    return Auth(_note(members.pop("auth_type", None), _at(place, "auth_type")), members)


def _one_of(value: Json, place: str, known: Collection[str], aliases: Mapping[str, str], results: _Names) -> str:
    """Return a word of a table, by its old name too; the names of Runscope's results are only hinted at."""
    word = aliases.get(_text(value, place), value)
    if word in known:
        return str(word)
    # What a result calls it ('is_empty') is the likeliest mistake of somebody who writes a suite by hand.
    by_result = next((name for name, result in results.items() if result == word), None)
    raise FormatError(f"{place}: unknown {_shown(word)}{_did_you_mean(word, known, by_result)}")


type _Names = Mapping[str, str]


def _did_you_mean(word: str, known: Iterable[str], better: str | None = None) -> str:
    near = better or next(iter(difflib.get_close_matches(word[:100], list(known), 1)), None)
    return f"; did you mean '{near}'?" if near else f"; known are {', '.join(known)}"


# ---- the parts of a test


def _assertion(value: Json, place: str) -> Assertion:
    members = dict(_object(value, place))
    for needed in ("source", "comparison"):
        if needed not in members:
            raise FormatError(f"{_at(place, needed)}: missing")
    return Assertion(
        source=_one_of(members.pop("source"), _at(place, "source"), SOURCES, SOURCE_ALIASES, RESULT_SOURCES),
        comparison=_one_of(
            members.pop("comparison"), _at(place, "comparison"), COMPARISONS, COMPARISON_ALIASES, RESULT_COMPARISONS
        ),
        value=members.pop("value", None),
        property=_optional_text(members.pop("property", None), _at(place, "property")),
        extra=members,
        place=place,
    )


def _extraction(value: Json, place: str) -> Extraction:
    """Return a row; one without a name does nothing and may lack the rest (Okta publishes such rows)."""
    members = dict(_object(value, place))
    name = _note(members.pop("name", None), _at(place, "name"))
    source = members.pop("source", None)
    if name.strip() or source is not None:
        if source is None:
            raise FormatError(f"{_at(place, 'source')}: missing")
        source = _one_of(source, _at(place, "source"), SOURCES, SOURCE_ALIASES, RESULT_SOURCES)
    path = _optional_text(members.pop("property", None), _at(place, "property"))
    return Extraction(name, source or "", path, extra=members, place=place)


def _each[T](value: Json, place: str, read: Callable[[Json, str], T]) -> tuple[T, ...]:
    return tuple(read(one, f"{place}[{at}]") for at, one in enumerate(_list(value, place)))


def _pause(members: _Object, place: str) -> dict[str, Any]:
    inner = _at(place, "duration")
    duration = members.pop("duration", None)
    if isinstance(duration, str) and duration.strip().isdecimal() and len(duration) < 10:
        duration = int(duration)
    if isinstance(duration, bool) or not isinstance(duration, int | float) or not 0 <= duration <= 86_400:
        raise FormatError(f"{inner}: {_shown(duration)} is not a number of seconds from 0 to 86400")
    return {"duration_s": duration}


def _request(members: _Object, place: str) -> dict[str, Any]:
    for needed in ("method", "url"):
        if needed not in members:
            raise FormatError(f"{_at(place, needed)}: missing")
    read = {
        "method": _text(members.pop("method"), _at(place, "method")),
        "url": _text(members.pop("url"), _at(place, "url")),
        "headers": _fields(members.pop("headers", None), _at(place, "headers")),
        "body": _optional_text(members.pop("body", None), _at(place, "body")),
        "form": _fields(members.pop("form", None), _at(place, "form")),
        "args": _fields(members.pop("args", None), _at(place, "args")),
        "multipart": tuple(_list(members.pop("multipart_form", None), _at(place, "multipart_form"))),
        "binary": tuple(_list(members.pop("binary_body", None), _at(place, "binary_body"))),
        "graphql": _variables(members.pop("graphql_body", None), _at(place, "graphql_body")) or None,
        "auth": _auth(members.pop("auth", None), _at(place, "auth")),
        **_judging(members, place),
        "before_scripts": _texts(members.pop("before_scripts", None), _at(place, "before_scripts")),
    }
    # `data` is a leftover of the oldest editor; where it says something, it is the body (INFERRED).
    if isinstance(members.get("data"), str):
        data = members.pop("data")
        read["body"] = read["body"] or data or read["body"]
    return read


def _judging(members: _Object, place: str) -> dict[str, Any]:
    return {
        "assertions": _each(members.pop("assertions", None), _at(place, "assertions"), _assertion),
        "variables": _each(members.pop("variables", None), _at(place, "variables"), _extraction),
        "scripts": _texts(members.pop("scripts", None), _at(place, "scripts")),
    }


def _subtest(members: _Object, place: str) -> dict[str, Any]:
    """Read a subtest; its `variables` are rows to extract, or an object of values to hand over (INFERRED)."""
    handed: dict[str, Json] = {}
    if isinstance(members.get("variables"), dict):
        handed = dict(members.pop("variables"))
    return {
        "test_uuid": _note(members.pop("test_uuid", None), _at(place, "test_uuid")),
        "bucket_key": _optional_text(members.pop("bucket_key", None), _at(place, "bucket_key")),
        "environment_uuid": _optional_text(members.pop("environment_uuid", None), _at(place, "environment_uuid")),
        "use_parent_environment": _flag(
            members.pop("use_parent_environment", None), _at(place, "use_parent_environment")
        ),
        "parameters": handed,
        **_judging(members, place),
    }


def _inbound(members: _Object, place: str) -> dict[str, Any]:
    return {
        "token": _note(members.pop("token", None), _at(place, "token")),
        "is_dynamic_url": _flag(members.pop("isDynamicUrl", None), _at(place, "isDynamicUrl")),
        **_judging(members, place),
        "before_scripts": _texts(members.pop("before_scripts", None), _at(place, "before_scripts")),
    }


STEP_TYPES: Final = ("request", "pause", "condition", "conditional", "conditional-loop", "subtest", "inbound")
"""The step types that can run here; any other is read as not supported."""

_SIMPLE: Final[Mapping[str, tuple[Callable[..., Step], Callable[[_Object, str], dict[str, Any]]]]] = {
    "request": (RequestStep, _request),
    "pause": (PauseStep, _pause),
    "subtest": (SubtestStep, _subtest),
    "inbound": (InboundStep, _inbound),
}


class _Reader:
    """One reading of one file, which counts its steps."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.count = 0

    def load(self, data: bytes | str | Mapping[str, Json] | list[Json]) -> Json:
        """Return the document without the API's envelope."""
        document: Json = data
        if isinstance(data, bytes | str):
            if len(data) > self.limits.max_bytes:
                raise FormatError(f"The file is larger than {self.limits.max_bytes} bytes")
            try:
                document = read_json(data.decode("utf-8-sig") if isinstance(data, bytes) else data)
            except UnicodeDecodeError as exc:
                raise FormatError(f"The file is not UTF-8: byte {exc.start}") from exc
            except ValueError as exc:
                raise FormatError(f"The file is not JSON: {exc}") from exc
        self._check_depth(document)
        if isinstance(document, dict) and "data" in document and "steps" not in document:
            if not isinstance(document["data"], list | dict):
                raise FormatError(
                    f"data: {_shown(document['data'])} is not a test", hint="is this the answer of a failed API call?"
                )
            return document["data"]
        return document

    def _check_depth(self, document: Json) -> None:
        level = [document]
        for _ in range(self.limits.max_depth):
            level = [
                inner
                for node in level
                if isinstance(node, dict | list)
                for inner in (node.values() if isinstance(node, dict) else node)
            ]
            if not level:
                return
        raise FormatError(f"The document nests deeper than {self.limits.max_depth} levels")

    def suite(self, value: Json, place: str) -> Suite:
        members = dict(_object(value, place))
        if "steps" not in members:
            raise FormatError(f"{_at(place, 'steps')}: missing: this is no Runscope test", hint=_guess(members))
        environments = list(self.environments(members.pop("environments", None), _at(place, "environments")))
        if members.get("environment"):
            environments.append(self.environment(members.pop("environment"), _at(place, "environment")))
        exported_at = members.pop("exported_at", None)
        if isinstance(exported_at, bool) or not isinstance(exported_at, int | float | None):
            raise FormatError(f"{_at(place, 'exported_at')}: {_shown(exported_at)} is not a number of seconds")
        return Suite(
            name=_note(members.pop("name", None), _at(place, "name")),
            description=_note(members.pop("description", None), _at(place, "description")),
            steps=self.steps(members.pop("steps"), _at(place, "steps")),
            environments=tuple(environments),
            default_environment_id=_optional_text(
                members.pop("default_environment_id", None), _at(place, "default_environment_id")
            ),
            id=_optional_text(members.pop("id", None), _at(place, "id")),
            trigger_url=_optional_text(members.pop("trigger_url", None), _at(place, "trigger_url")),
            version=_scalar(members.pop("version", None), _at(place, "version")) or "1.0",
            exported_at=exported_at,
            extra=members,
            place=place,
        )

    def environments(self, value: Json, place: str) -> tuple[Environment, ...]:
        return _each(value, place, self.environment)

    def environment(self, value: Json, place: str) -> Environment:
        members = dict(_object(value, place))
        script = _note(members.pop("script", None), _at(place, "script"))
        return Environment(
            name=_note(members.pop("name", None), _at(place, "name")) or "Test Settings",
            initial_variables=_variables(members.pop("initial_variables", None), _at(place, "initial_variables")),
            initial_scripts=(script,) if script.strip() else (),
            pre_request_scripts=_texts(members.pop("pre_request_scripts", None), _at(place, "pre_request_scripts")),
            post_response_scripts=_texts(
                members.pop("post_response_scripts", None), _at(place, "post_response_scripts")
            ),
            headers=_fields(members.pop("headers", None), _at(place, "headers")),
            auth=_auth(members.pop("auth", None), _at(place, "auth")),
            preserve_cookies=_optional_flag(members.pop("preserve_cookies", None), _at(place, "preserve_cookies")),
            stop_on_failure=_optional_flag(members.pop("stop_on_failure", None), _at(place, "stop_on_failure")),
            verify_ssl=_optional_flag(members.pop("verify_ssl", None), _at(place, "verify_ssl")),
            retry_on_failure=_optional_flag(members.pop("retry_on_failure", None), _at(place, "retry_on_failure")),
            id=_optional_text(members.pop("id", None), _at(place, "id")),
            parent_id=_optional_text(members.pop("parent_environment_id", None), _at(place, "parent_environment_id")),
            test_id=_optional_text(members.pop("test_id", None), _at(place, "test_id")),
            script_library=_texts(members.pop("script_library", None), _at(place, "script_library")),
            extra=members,
            place=place,
        )

    def steps(self, value: Json, place: str) -> tuple[Step, ...]:
        return _each(value, place, self.step)

    def step(self, value: Json, place: str) -> Step:
        self.count += 1
        if self.count > self.limits.max_steps:
            raise FormatError(f"{place}: the file has more than {self.limits.max_steps} steps")
        members = dict(_object(value, place))
        if "step_type" not in members:
            raise FormatError(f"{_at(place, 'step_type')}: missing")
        kind = _text(members.pop("step_type"), _at(place, "step_type"))
        shared: dict[str, Any] = {
            "note": _note(members.pop("note", None), _at(place, "note")),
            "skipped": _flag(members.pop("skipped", None), _at(place, "skipped")),
            "id": _optional_text(members.pop("id", None), _at(place, "id")),
            "place": place,
        }
        if kind in _SIMPLE:
            make, read = _SIMPLE[kind]
            return make(**read(members, place), **shared, extra=members)
        if kind in {"condition", "conditional"}:
            return ConditionStep(**self._condition(members, place), **shared, step_type=kind, extra=members)
        if kind == "conditional-loop":
            return LoopStep(**self._condition(members, place), **shared, step_type=kind, extra=members)
        return UnsupportedStep(step_type=kind, **shared, extra=members)

    def _condition(self, members: _Object, place: str) -> dict[str, Any]:
        if "comparison" not in members:
            raise FormatError(f"{_at(place, 'comparison')}: missing")
        return {
            "left_value": members.pop("left_value", None),
            "comparison": _one_of(
                members.pop("comparison"),
                _at(place, "comparison"),
                COMPARISONS,
                COMPARISON_ALIASES,
                RESULT_COMPARISONS,
            ),
            "right_value": members.pop("right_value", None),
            "steps": self.steps(members.pop("steps", None), _at(place, "steps")),
        }


def _guess(members: _Object) -> str | None:
    """Return what a file that is no test may be instead."""
    if "item" in members and "info" in members:
        return "this looks like a Postman collection: import it into Runscope and export the test"
    if "log" in members:
        return "this looks like a HAR file: `scimproxy import` reads those"
    if "openapi" in members or "swagger" in members:
        return "this looks like an OpenAPI description: import it into Runscope and export the test"
    if "initial_variables" in members:
        return "this looks like an environment: give it with --env"
    return None
