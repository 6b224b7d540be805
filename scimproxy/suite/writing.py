"""A suite as the JSON that Runscope imports ("API Monitoring Tests") and that `runscope.parse` reads back.

One rule: `parse(dump(suite)) == (suite,)`; members that we do not know are written as they came. Members that exports
always have are always written, those of newer editors only where they say something (runscope.md 0). Pure.
"""

from __future__ import annotations

from scimproxy.suite.model import (
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
)

__all__ = ["dump", "dump_environment"]


def dump(suite: Suite) -> dict[str, Json]:
    """Return a suite as an export; environments are in it where the suite has some, as in the API's test detail."""
    made: dict[str, Json] = {
        "name": suite.name,
        "description": suite.description,
        "version": suite.version,
        "trigger_url": suite.trigger_url,
        "exported_at": suite.exported_at,
        "id": suite.id,
        "default_environment_id": suite.default_environment_id,
        "environments": [dump_environment(one) for one in suite.environments],
    }
    made = {name: value for name, value in made.items() if value not in (None, [])}
    return {**made, "steps": [_step(step) for step in suite.steps], **suite.extra}


def dump_environment(environment: Environment) -> dict[str, Json]:
    """Return an environment as the API gives it."""
    made: dict[str, Json] = {
        "id": environment.id,
        "test_id": environment.test_id,
        "name": environment.name,
        "parent_environment_id": environment.parent_id,
        "initial_variables": dict(environment.initial_variables),
        "script": "\n".join(environment.initial_scripts),
        "script_library": list(environment.script_library),
        "pre_request_scripts": list(environment.pre_request_scripts),
        "post_response_scripts": list(environment.post_response_scripts),
        "headers": _fields(environment.headers),
        "auth": _auth(environment.auth),
        "preserve_cookies": environment.preserve_cookies,
        "stop_on_failure": environment.stop_on_failure,
        "verify_ssl": environment.verify_ssl,
        "retry_on_failure": environment.retry_on_failure,
    }
    return {**{name: value for name, value in made.items() if value is not None}, **environment.extra}


def _step(step: Step) -> dict[str, Json]:
    made: dict[str, Json] = {"note": step.note, "skipped": step.skipped}
    if step.id is not None:
        made["id"] = step.id
    return {**_own(step), **made, **step.extra}


def _own(step: Step) -> dict[str, Json]:
    """Return the members that steps of this type alone have."""
    match step:
        case RequestStep():
            return _request(step)
        case PauseStep():
            return {"step_type": "pause", "duration": step.duration_s}
        case ConditionStep() | LoopStep():
            return _condition(step)
        case SubtestStep():
            return _subtest(step)
        case InboundStep():
            return _inbound(step)
        case _:
            return {"step_type": step.step_type}


def _request(step: RequestStep) -> dict[str, Json]:
    made: dict[str, Json] = {
        "step_type": "request",
        "method": step.method,
        "url": step.url,
        "headers": _fields(step.headers),
        "auth": _auth(step.auth),
        **_judging(step),
        "before_scripts": list(step.before_scripts),
    }
    if step.body is not None or step.form:
        made["form"] = _fields(step.form)
    newer = {
        "body": step.body,
        "args": _fields(step.args) or None,
        "multipart_form": list(step.multipart) or None,
        "binary_body": list(step.binary) or None,
        "graphql_body": dict(step.graphql) if step.graphql else None,
    }
    return {**made, **{name: value for name, value in newer.items() if value is not None}}


def _condition(step: ConditionStep | LoopStep) -> dict[str, Json]:
    return {
        "step_type": step.step_type,
        "left_value": step.left_value,
        "comparison": step.comparison,
        "right_value": step.right_value,
        "steps": [_step(inner) for inner in step.steps],
    }


def _subtest(step: SubtestStep) -> dict[str, Json]:
    made: dict[str, Json] = {
        "step_type": "subtest",
        "test_uuid": step.test_uuid,
        "bucket_key": step.bucket_key,
        "environment_uuid": step.environment_uuid,
        "use_parent_environment": step.use_parent_environment,
        **_judging(step),
    }
    if step.parameters:
        made["variables"] = dict(step.parameters)
    return made


def _inbound(step: InboundStep) -> dict[str, Json]:
    return {
        "step_type": "inbound",
        "token": step.token,
        "isDynamicUrl": step.is_dynamic_url,
        **_judging(step),
        "before_scripts": list(step.before_scripts),
    }


def _judging(step: RequestStep | SubtestStep | InboundStep) -> dict[str, Json]:
    return {
        "assertions": [_assertion(one) for one in step.assertions],
        "variables": [_extraction(one) for one in step.variables],
        "scripts": list(step.scripts),
    }


def _assertion(assertion: Assertion) -> dict[str, Json]:
    made = {"source": assertion.source, "comparison": assertion.comparison, "value": assertion.value}
    if assertion.property is not None:
        made["property"] = assertion.property
    return {**made, **assertion.extra}


def _extraction(extraction: Extraction) -> dict[str, Json]:
    made: dict[str, Json] = {"name": extraction.name, "source": extraction.source or None}
    if extraction.property is not None:
        made["property"] = extraction.property
    return {**made, **extraction.extra}


def _auth(auth: Auth | None) -> dict[str, Json]:
    return {} if auth is None else {"auth_type": auth.auth_type, **auth.members}


def _fields(fields: HeaderValues) -> dict[str, list[str]]:
    """Return fields as an object of lists; a name that came twice has the values of both."""
    made: dict[str, list[str]] = {}
    for name, values in fields:
        made.setdefault(name, []).extend(values)
    return made
