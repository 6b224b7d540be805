"""What a Runscope test is, as values: Suite, Environment, the steps, Assertion, Extraction, Auth.

One rule: immutable, and everything a file held is here: members that we do not know are kept in `extra`, so that
writing a suite back loses nothing. `place` names the element in its file (`steps[3].assertions[1]`) for messages
and does not count for equality. Values that may be secrets stay out of every `repr`.
Pure; made by runscope.py, read by everybody else of the suite.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

__all__ = [
    "COMPARISONS",
    "COMPARISON_ALIASES",
    "MAX_LOOP_ITERATIONS",
    "RESULT_COMPARISONS",
    "RESULT_SOURCES",
    "SOURCES",
    "SOURCE_ALIASES",
    "UNARY_COMPARISONS",
    "Assertion",
    "Auth",
    "ConditionStep",
    "Environment",
    "Extraction",
    "HeaderValues",
    "InboundStep",
    "Json",
    "LoopStep",
    "PauseStep",
    "RequestStep",
    "Step",
    "SubtestStep",
    "Suite",
    "UnsupportedStep",
    "all_steps",
    "inherit",
    "merge_headers",
]

type Json = Any
"""Any value of JSON, as `json.loads` gives it."""

type HeaderValues = tuple[tuple[str, tuple[str, ...]], ...]
"""Names with their values, in order: header fields, form fields, query parameters."""

RESULT_SOURCES: Final[Mapping[str, str]] = {
    "response_status": "status_code",
    "response_time": "response_time_ms",
    "response_size": "response_size_bytes",
    "response_headers": "response_header",
    "response_text": "text",
    "response_json": "json",
    "response_xml": "xml",
}
"""The seven sources and the names that Runscope's results have for them (runscope.md 2.1, 2.7; `text` INFERRED)."""

RESULT_COMPARISONS: Final[Mapping[str, str]] = {
    "equal": "equals",
    "not_equal": "does_not_equal",
    "empty": "is_empty",
    "not_empty": "is_not_empty",
    "contains": "contains",
    "does_not_contain": "does_not_contain",
    "is_a_number": "is_a_number",
    "equal_number": "equals_number",
    "is_less_than": "less_than",
    "is_less_than_or_equal": "less_than_or_equal",
    "is_greater_than": "greater_than",
    "is_greater_than_or_equal": "greater_than_or_equal",
    "has_key": "has_key",
    "has_value": "has_value",
    "is_null": "is_null",
}
"""The fifteen comparisons and the names that Runscope's results have for them (2.2, 2.7; `is_a_number` INFERRED)."""

SOURCES: Final = tuple(RESULT_SOURCES)
COMPARISONS: Final = tuple(RESULT_COMPARISONS)
SOURCE_ALIASES: Final[Mapping[str, str]] = {"response_header": "response_headers"}
COMPARISON_ALIASES: Final[Mapping[str, str]] = {"is_equal": "equal"}
UNARY_COMPARISONS: Final = frozenset({"empty", "not_empty", "is_a_number", "is_null"})
"""Comparisons that have no target value; one that is given is ignored (2.4)."""
MAX_LOOP_ITERATIONS: Final = 100
"""How often Runscope runs a loop at most (1.2)."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """What must hold of a response: `source` (and `property` within it) compared with `value` (section 2)."""

    source: str
    comparison: str
    value: Json = None
    property: str | None = None
    extra: Mapping[str, Json] = field(default_factory=dict, hash=False)
    place: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Extraction:
    """A value to take from a response into the variable `name` (section 3); rows without a name do nothing."""

    name: str
    source: str
    property: str | None = None
    extra: Mapping[str, Json] = field(default_factory=dict, hash=False)
    place: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Auth:
    """Credentials of a step or an environment: `basic` has username and password, other kinds their own members."""

    auth_type: str
    members: Mapping[str, Json] = field(default_factory=dict, hash=False, repr=False)

    def text(self, name: str) -> str:
        """Return a member as text; empty when it is not there."""
        value = self.members.get(name)
        return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestStep:
    """One request, the values taken from its answer, its scripts and its assertions (1.3).

    `body` is None where the step has none; an empty one sends nothing. `args` are query parameters of the oldest
    exports, to be added to the URL. `multipart`, `binary` and `graphql` hold what the file said, as JSON.
    """

    method: str
    url: str
    headers: HeaderValues = field(default=(), repr=False)
    body: str | None = field(default=None, repr=False)
    form: HeaderValues = field(default=(), repr=False)
    args: HeaderValues = field(default=(), repr=False)
    multipart: tuple[Json, ...] = field(default=(), hash=False)
    binary: tuple[Json, ...] = field(default=(), hash=False)
    graphql: Mapping[str, Json] | None = field(default=None, hash=False)
    auth: Auth | None = None
    assertions: tuple[Assertion, ...] = ()
    variables: tuple[Extraction, ...] = ()
    scripts: tuple[str, ...] = ()
    before_scripts: tuple[str, ...] = ()
    note: str = ""
    skipped: bool = False
    id: str | None = None
    extra: Mapping[str, Json] = field(default_factory=dict, hash=False)
    place: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseStep:
    """A wait of `duration_s` seconds; Runscope allows 1 to 180."""

    duration_s: float
    note: str = ""
    skipped: bool = False
    id: str | None = None
    extra: Mapping[str, Json] = field(default_factory=dict, hash=False)
    place: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionStep:
    """Steps that run once if `left_value` compares with `right_value`; `step_type` is the file's spelling."""

    left_value: Json
    comparison: str
    right_value: Json = None
    steps: tuple[Step, ...] = ()
    note: str = ""
    skipped: bool = False
    id: str | None = None
    step_type: str = "condition"
    extra: Mapping[str, Json] = field(default_factory=dict, hash=False)
    place: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopStep:
    """Steps that run as long as `left_value` compares with `right_value`, at most MAX_LOOP_ITERATIONS times."""

    left_value: Json
    comparison: str
    right_value: Json = None
    steps: tuple[Step, ...] = ()
    note: str = ""
    skipped: bool = False
    id: str | None = None
    step_type: str = "conditional-loop"
    extra: Mapping[str, Json] = field(default_factory=dict, hash=False)
    place: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtestStep:
    """Another test run as one step; `assertions` judge the JSON summary of its run."""

    test_uuid: str
    bucket_key: str | None = None
    environment_uuid: str | None = None
    use_parent_environment: bool = False
    variables: tuple[Extraction, ...] = ()
    parameters: Mapping[str, Json] = field(default_factory=dict, hash=False, repr=False)
    assertions: tuple[Assertion, ...] = ()
    scripts: tuple[str, ...] = ()
    note: str = ""
    skipped: bool = False
    id: str | None = None
    extra: Mapping[str, Json] = field(default_factory=dict, hash=False)
    place: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundStep:
    """A wait for a request that the tested server sends to `{{incoming_url(token)}}`, which is then judged."""

    token: str
    is_dynamic_url: bool = False
    assertions: tuple[Assertion, ...] = ()
    variables: tuple[Extraction, ...] = ()
    scripts: tuple[str, ...] = ()
    before_scripts: tuple[str, ...] = ()
    note: str = ""
    skipped: bool = False
    id: str | None = None
    extra: Mapping[str, Json] = field(default_factory=dict, hash=False)
    place: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsupportedStep:
    """A step of a type that cannot run here (ghost-inspector, or unknown); it fails the run unless skipped."""

    step_type: str
    note: str = ""
    skipped: bool = False
    id: str | None = None
    extra: Mapping[str, Json] = field(default_factory=dict, hash=False)
    place: str = field(default="", compare=False)


type Step = RequestStep | PauseStep | ConditionStep | LoopStep | SubtestStep | InboundStep | UnsupportedStep


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What a suite runs with (1.4). `None` for a switch means: as the parent says, or Runscope's default.

    `initial_scripts` run in order before the first request. `pre_request_scripts` and `post_response_scripts` run
    around each request, before those of the step. `parent_id` names the shared environment that this one inherits
    from; `inherit` makes one of the two.
    """

    name: str = "Test Settings"
    initial_variables: Mapping[str, Json] = field(default_factory=dict, hash=False, repr=False)
    initial_scripts: tuple[str, ...] = field(default=(), repr=False)
    pre_request_scripts: tuple[str, ...] = ()
    post_response_scripts: tuple[str, ...] = ()
    headers: HeaderValues = field(default=(), repr=False)
    auth: Auth | None = None
    preserve_cookies: bool | None = None
    stop_on_failure: bool | None = None
    verify_ssl: bool | None = None
    retry_on_failure: bool | None = None
    id: str | None = None
    parent_id: str | None = None
    test_id: str | None = None
    script_library: tuple[str, ...] = ()
    extra: Mapping[str, Json] = field(default_factory=dict, hash=False, repr=False)
    place: str = field(default="", compare=False)

    @property
    def keeps_cookies(self) -> bool:
        """Whether cookies of one answer go with the next request; by default not."""
        return self.preserve_cookies is True

    @property
    def stops_on_failure(self) -> bool:
        """Whether the first failed step ends the run; by default not."""
        return self.stop_on_failure is True

    @property
    def verifies_tls(self) -> bool:
        """Whether certificates are checked; by default they are."""
        return self.verify_ssl is not False


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One test of Runscope: its steps, and the environments that its file holds."""

    name: str = ""
    description: str = ""
    steps: tuple[Step, ...] = ()
    environments: tuple[Environment, ...] = ()
    default_environment_id: str | None = None
    id: str | None = None
    trigger_url: str | None = None
    version: str = "1.0"
    exported_at: float | None = None
    extra: Mapping[str, Json] = field(default_factory=dict, hash=False)
    place: str = field(default="", compare=False)

    @property
    def environment(self) -> Environment:
        """The environment to run with when none is chosen, with what it inherits.

        The default one, else the first that belongs to this test, else the first, else an empty one.
        """
        own = [one for one in self.environments if one.test_id is not None] or list(self.environments)
        chosen = [one for one in own if one.id is not None and one.id == self.default_environment_id] or own
        return self.with_inherited(chosen[0]) if chosen else Environment()

    def find_environment(self, name: str) -> Environment | None:
        """Return the environment of this id or name, with what it inherits; None where there is none."""
        for matches in (lambda one: one.id == name, lambda one: one.name == name):
            found = next(filter(matches, self.environments), None)
            if found is not None:
                return self.with_inherited(found)
        return None

    def with_inherited(self, environment: Environment) -> Environment:
        """Return an environment joined with the shared ones above it that this suite holds; a circle is cut."""
        seen = {environment.id}
        while environment.parent_id is not None and environment.parent_id not in seen:
            seen.add(environment.parent_id)
            parent = next((one for one in self.environments if one.id == environment.parent_id), None)
            if parent is None:
                break
            environment = inherit(environment, parent)
        return environment


def inherit(child: Environment, parent: Environment) -> Environment:
    """Return a child with what it inherits: its own values win, the parent's scripts run first (1.4)."""

    def switch(own: bool | None, above: bool | None) -> bool | None:
        return above if own is None else own

    return replace(
        child,
        initial_variables={**parent.initial_variables, **child.initial_variables},
        initial_scripts=(*parent.initial_scripts, *child.initial_scripts),
        pre_request_scripts=(*parent.pre_request_scripts, *child.pre_request_scripts),
        post_response_scripts=(*parent.post_response_scripts, *child.post_response_scripts),
        headers=merge_headers(parent.headers, child.headers),
        auth=child.auth or parent.auth,
        preserve_cookies=switch(child.preserve_cookies, parent.preserve_cookies),
        stop_on_failure=switch(child.stop_on_failure, parent.stop_on_failure),
        verify_ssl=switch(child.verify_ssl, parent.verify_ssl),
        retry_on_failure=switch(child.retry_on_failure, parent.retry_on_failure),
        parent_id=parent.parent_id,
        script_library=tuple(dict.fromkeys((*parent.script_library, *child.script_library))),
    )


def merge_headers(below: HeaderValues, above: HeaderValues) -> HeaderValues:
    """Return the fields of both; where both have a name (in any case), those of `above` alone (1.4)."""
    taken = {name.lower() for name, _ in above}
    return (*(pair for pair in below if pair[0].lower() not in taken), *above)


def all_steps(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Yield every step, also those within conditions and loops, in the order of the file."""
    for step in steps:
        yield step
        if isinstance(step, ConditionStep | LoopStep):
            yield from all_steps(step.steps)
