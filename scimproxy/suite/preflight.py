"""Before the first request: which variables nothing defines, where they would come from, and what looks wrong.

One rule: it reads the suite as text and runs nothing, so it can be wrong about scripts that make up names as they
go; it warns, and the run itself decides. Pure. Place in the flow: parse -> preflight -> runner.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from scimproxy.suite.model import ConditionStep, Environment, LoopStep, RequestStep, Step, SubtestStep, Suite
from scimproxy.suite.templates import references

__all__ = [
    "AUTH_NAMES",
    "SCHEMES",
    "TARGET_NAMES",
    "Undefined",
    "auth_problem",
    "names_set",
    "names_used",
    "reads_first_user",
    "undefined",
]

TARGET_NAMES = ("SCIMBaseURL", "SCIMUrl", "SCIM Base URL", "SCIMBaseUrl", "baseUrl", "base_url")
"""Variables that `--target` fills: those of Okta's suites, old and new, and of ours."""

AUTH_NAMES = ("auth", "SCIMAuth", "Auth", "authorization")
"""Variables that `--auth` fills."""

SCHEMES = ("bearer", "basic", "digest", "hoba", "mutual", "negotiate", "dpop", "token", "apikey")
"""First words of an Authorization value (RFC 9110 section 11.4, IANA's register, and two in wide use)."""

_SET = re.compile(r"""variables\.set\(\s*(?:"([^"]+)"|'([^']+)'|`([^`]+)`)""")

_OKTA_SPEC = (
    "randomGivenName",
    "randomFamilyName",
    "randomEmail",
    "randomUsername",
    "InvalidUserEmail",
    "UserIdThatDoesNotExist",
    "randomUsernameCaps",
)
_SPEC_SCRIPT = "--initial-script FILE: the initial script that Okta publishes beside its SPEC suite sets it"
_CRUD_SCRIPT = "--initial-script FILE: the initial script that Okta publishes beside its CRUD suite sets it"
_ORG = "--var: a value of your Okta org; Okta's CRUD suites drive it"

_SOURCES: Mapping[str, str] = {
    **dict.fromkeys(TARGET_NAMES, "--target URL: the base URL of the SCIM server"),
    **dict.fromkeys(AUTH_NAMES, "--auth env:NAME, file:FILE or -: the whole Authorization value, with its scheme"),
    **dict.fromkeys(_OKTA_SPEC, _SPEC_SCRIPT),
    **dict.fromkeys(("oktaAppId", "oktaOrgUrl", "oktaToken"), _ORG),
    "EntitlementEndpoint": "--var EntitlementEndpoint=URL: the base URL of the entitlements endpoint",
}


@dataclass(frozen=True, slots=True)
class Undefined:
    """A variable that nothing defines before it is used: where first, and where it would come from."""

    name: str
    place: str
    source: str


def undefined(
    suite: Suite,
    environment: Environment,
    given: Iterable[str],
    initial_scripts: Iterable[str] = (),
) -> list[Undefined]:
    """Return the variables that a run would miss, in the order in which they are used."""
    known = {*given, *environment.initial_variables}
    for script in (*environment.initial_scripts, *initial_scripts):
        known |= names_set(script)
    found: dict[str, Undefined] = {}
    around = [
        name
        for script in (*environment.pre_request_scripts, *environment.post_response_scripts)
        for name in names_set(script)
    ]
    later = set(_later(suite.steps))
    for number, step in _numbered(suite.steps):
        if step.skipped:
            continue
        for part, text in _texts(step):
            if part == "after":
                _learn(step, known)
                continue
            for name in references(text):
                if name not in known and name not in found:
                    found[name] = Undefined(name, f"step {number} ({part})", _source(name, later))
        _learn(step, known)
        known |= set(around)
    for name, values in environment.headers:
        for reference in (one for value in values for one in references(value)):
            if reference not in known and reference not in found:
                found[reference] = Undefined(
                    reference, f"header {name} of the environment", _source(reference, later)
                )
    return list(found.values())


def names_used(suite: Suite) -> set[str]:
    """Return all names that a suite refers to."""
    used = {name for _, step in _numbered(suite.steps) for _, text in _texts(step) for name in references(text)}
    for environment in suite.environments:
        used |= {name for _, values in environment.headers for value in values for name in references(value)}
        used |= {name for value in environment.initial_variables.values() for name in references(str(value))}
    return used


def names_set(script: str) -> set[str]:
    """Return the variables that a script sets by a plain name."""
    return {next(filter(None, found)) for found in _SET.findall(script)}


def auth_problem(value: str) -> str | None:
    """Say what is wrong with an Authorization value, or None: most often the word `Bearer` was left out."""
    scheme, blank, rest = value.strip().partition(" ")
    if not scheme:
        return "it is empty"
    if not blank or not rest.strip():
        return "it has no scheme word; write it like 'Bearer YOUR-TOKEN'"
    if scheme.lower() not in SCHEMES:
        return f"its scheme word {scheme[:20]!r} is not a known one; most servers want 'Bearer YOUR-TOKEN'"
    return None


def _source(name: str, later: set[str]) -> str:
    if name in _SOURCES:
        return _SOURCES[name]
    if name.startswith("okta_user_"):
        return _CRUD_SCRIPT
    if name in later:
        return "a later step takes it out of an answer; with --step, give it by --var"
    return f"--var '{name}=VALUE', a file for --env, or an initial script"


def _later(steps: tuple[Step, ...]) -> Iterator[str]:
    for _, step in _numbered(steps):
        if isinstance(step, RequestStep | SubtestStep):
            yield from (one.name for one in step.variables)
            yield from (name for script in step.scripts for name in names_set(script))


def _learn(step: Step, known: set[str]) -> None:
    if isinstance(step, RequestStep | SubtestStep):
        known |= {one.name for one in step.variables if one.name}
        known |= {name for script in step.scripts for name in names_set(script)}
    if isinstance(step, RequestStep):
        known |= {name for script in step.before_scripts for name in names_set(script)}


def _numbered(steps: tuple[Step, ...], before: str = "") -> Iterator[tuple[str, Step]]:
    for place, step in enumerate(steps, 1):
        yield f"{before}{place}", step
        if isinstance(step, ConditionStep | LoopStep):
            yield from _numbered(step.steps, f"{before}{place}.")


def _texts(step: Step) -> Iterator[tuple[str, str]]:
    """Give the texts of a step in the order in which they are filled in; `after` marks that the answer is there."""
    if isinstance(step, RequestStep):
        yield "method", step.method
        yield "url", step.url
        for name, values in step.headers:
            yield from ((f"header {name}", value) for value in values)
        yield "body", step.body or ""
        for _, values in (*step.form, *step.args):
            yield from (("form", value) for value in values)
        if step.auth is not None:
            yield from (("auth", step.auth.text(name)) for name in ("username", "password"))
    elif isinstance(step, ConditionStep | LoopStep):
        yield from (("condition", value) for value in (step.left_value, step.right_value) if isinstance(value, str))
    elif isinstance(step, SubtestStep):
        yield from (("variables", value) for value in step.parameters.values() if isinstance(value, str))
    yield "after", ""
    if isinstance(step, RequestStep | SubtestStep):
        for number, assertion in enumerate(step.assertions, 1):
            if isinstance(assertion.value, str):
                yield f"assertion {number}", assertion.value


def reads_first_user(suite: Suite) -> bool:
    """Whether the suite takes a user out of a list before it has created one: then the server has to hold one."""
    for _, step in _numbered(suite.steps):
        if isinstance(step, RequestStep) and not step.skipped:
            if step.method.strip().upper() == "POST":
                return False
            if any((one.property or "").startswith("Resources[0]") for one in step.variables):
                return True
    return False
