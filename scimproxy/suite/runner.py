"""The order of a suite's run, sans-io: a generator that says what to do next and is sent what came of it.

One rule: no IO and no clock. `Runner.play` yields effects (Send, Pause, RunScript) and news (Began, Ended); the
driver answers an effect with its outcome and a news with the id to keep, or None. What was sent, judged and logged
is in the results alone. The order within a request step is Runscope's (runscope.md 5): pre-request scripts, HTTP,
variables, post-response scripts, assertions. A failed step stops nothing unless `stop_on_failure`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from scimproxy.errors import UsageError
from scimproxy.exchange import Exchange
from scimproxy.suite.composing import Draft, basic_credentials, compose, graphql_body
from scimproxy.suite.effects import Began, Doing, Ended, Pause, Plan, RunScript, ScriptDone, Send
from scimproxy.suite.evaluate import compare, evaluate, extract_all
from scimproxy.suite.model import (
    MAX_LOOP_ITERATIONS,
    Assertion,
    ConditionStep,
    Extraction,
    HeaderValues,
    InboundStep,
    LoopStep,
    PauseStep,
    RequestStep,
    Step,
    SubtestStep,
    UnsupportedStep,
    merge_headers,
)
from scimproxy.suite.response import ResponseView
from scimproxy.suite.results import (
    AssertionResult,
    Outcome,
    RunOutcome,
    ScriptKind,
    ScriptResult,
    StepResult,
    SuiteResult,
    VariableResult,
)
from scimproxy.suite.templates import Scope, request_error, substitute
from scimproxy.suite.urls import with_arguments
from scimproxy.suite.verdicts import outcome_of, summary, verdict
from scimproxy.suite.views import apply_changes, edited, request_view, response_view, view_of

__all__ = ["Runner", "kind_of", "title"]

MAX_DEPTH = 10
"""So deep subtests may call subtests."""

_OUTCOMES: Mapping[str, Outcome] = {"passed": "pass", "failed": "fail", "errored": "error"}


class Runner:
    """One run of a plan. `results` holds the steps that have ended, also when the generator is closed early."""

    def __init__(self, plan: Plan, *, depth: int = 0) -> None:
        self.plan = plan
        self.results: list[StepResult] = []
        self.scope = Scope(environment=plan.environment.initial_variables, run=plan.variables, pinned=plan.pinned)
        self.initial: Mapping[str, Any] = {}
        self._depth = depth
        self._stopped: str | None = None
        self._headers: HeaderValues = ()
        self._prefix = ""

    def play(self) -> Doing[SuiteResult]:
        """Run all steps; the generator's value is the result."""
        self.scope.settle(self.plan.builtins)
        yield from self._start()
        for place, step in enumerate(self.plan.suite.steps, 1):
            yield from self._step(step, f"{self._prefix}{place}", left_out=self._left_out(place))
        return self.result()

    def result(self, *, canceled: str | None = None) -> SuiteResult:
        """Return the result so far; `canceled` says why it ends here."""
        suite = self.plan.suite
        return SuiteResult(
            name=suite.name,
            description=suite.description,
            environment=self.plan.environment.name,
            result="canceled" if canceled else verdict(self.results),
            steps=tuple(self.results),
            canceled=canceled or self._stopped,
            initial_variables=tuple((name, _as_text(value)) for name, value in self.initial.items()),
        )

    def _left_out(self, place: int) -> bool:
        return self.plan.only is not None and place not in self.plan.only

    # --- before the first request ---

    def _start(self) -> Doing[None]:
        """Run the initial scripts, then fill in what the environment adds to each request, once (1.4)."""
        sources = [
            text for text in (*self.plan.environment.initial_scripts, *self.plan.initial_scripts) if text.strip()
        ]
        scripts: list[ScriptResult] = []
        if sources:
            yield Began(f"{self._prefix}0", None, "Initial script")
        for source in sources:
            done, row = yield from self._script(source, "initial")
            # Assertions in it are ignored (runscope.md 4); a fault in it is not.
            scripts.append(replace(row, result="pass") if done.failed and not done.error else row)
        errors = []
        headers: list[tuple[str, tuple[str, ...]]] = []
        for name, values in self.plan.environment.headers:
            filled = [substitute(value, self.scope, self.plan.builtins) for value in values]
            errors += [request_error("headers", problem) for one in filled for problem in one.errors]
            headers.append((name, tuple(one.text for one in filled)))
        self._headers = tuple(headers)
        self.initial = self.scope.as_dict()
        if sources or errors:
            step = StepResult(
                number=f"{self._prefix}0",
                step_type="initial-script",
                result=outcome_of((), (), scripts, errors),
                note="Initial script",
                scripts=tuple(scripts),
                errors=tuple(errors),
            )
            yield from self._end(step)

    def _script(
        self,
        source: str,
        kind: ScriptKind,
        request: Mapping[str, Any] | None = None,
        response: Mapping[str, Any] | None = None,
    ) -> Doing[tuple[ScriptDone, ScriptResult]]:
        done: ScriptDone = yield RunScript(source, kind, self.scope.as_dict(), request, response)
        self.scope.update(done.variables, f"{kind} script")
        row = ScriptResult(
            result="error" if done.error else "fail" if done.failed else "pass",
            kind=kind,
            output=done.output,
            error=done.error or done.failed,
            duration_ms=done.duration_ms,
        )
        return done, row

    # --- steps ---

    def _step(self, step: Step, number: str, *, left_out: bool = False) -> Doing[None]:
        if self._stopped is not None or step.skipped or left_out:
            ended: RunOutcome = "canceled" if self._stopped is not None else "skipped"
            yield from self._end(_untouched(step, number, ended))
            return
        yield Began(number, step, title(step))
        match step:
            case RequestStep():
                yield from self._request(step, number)
            case PauseStep():
                yield Pause(step.duration_s)
                yield from self._end(
                    StepResult(number=number, step_type="pause", result="pass", note=step.note or title(step))
                )
            case ConditionStep() | LoopStep():
                yield from self._conditional(step, number)
            case SubtestStep():
                yield from self._subtest(step, number)
            case InboundStep():
                yield from self._unsupported(step, number, "an incoming request")
            case _:
                yield from self._unsupported(step, number, f"a step of type {step.step_type!r}")

    def _unsupported(self, step: InboundStep | UnsupportedStep, number: str, what: str) -> Doing[None]:
        sentence = f"{what} is not supported here; set `skipped` to true in the file, or leave it out with --step"
        yield from self._end(
            StepResult(
                number=number,
                step_type=kind_of(step),
                result="error",
                note=step.note,
                errors=(sentence,),
                not_supported=True,
            )
        )

    def _conditional(self, step: ConditionStep | LoopStep, number: str) -> Doing[None]:
        """Run the inner steps while the condition holds: once, or up to 100 times. Adds a row at the end (5)."""
        rounds = MAX_LOOP_ITERATIONS if isinstance(step, LoopStep) else 1
        done = 0
        errors: tuple[str, ...] = ()
        while done < rounds and self._stopped is None:
            holds, errors = self._holds(step)
            if not holds:
                break
            done += 1
            inner = f"{number}[{done}]" if isinstance(step, LoopStep) else number
            for place, child in enumerate(step.steps, 1):
                yield from self._step(child, f"{inner}.{place}")
        note = f"{done} rounds" if isinstance(step, LoopStep) else f"the condition was {'true' if done else 'false'}"
        yield from self._end(
            StepResult(
                number=number,
                step_type=kind_of(step),
                result="error" if errors else "pass",
                note=f"{step.note}: {note}" if step.note else note,
                errors=errors,
            )
        )

    def _holds(self, step: ConditionStep | LoopStep) -> tuple[bool, tuple[str, ...]]:
        errors: list[str] = []
        sides = []
        for value in (step.left_value, step.right_value):
            if isinstance(value, str):
                filled = substitute(value, self.scope, self.plan.builtins)
                errors += filled.errors
                value = filled.text  # noqa: PLW2901 - the filled-in one from here on
            sides.append(value)
        if errors:
            return False, tuple(errors)
        verdict = compare(step.comparison, sides[0], sides[1])
        if verdict.outcome == "errored":
            return False, (verdict.error or "the condition cannot be judged",)
        return verdict.outcome == "passed", ()

    def _subtest(self, step: SubtestStep, number: str) -> Doing[None]:
        """Run another test of the same file, and judge the summary of its run (1.2)."""
        other = next((one for one in self.plan.others if one.id is not None and one.id == step.test_uuid), None)
        sentence = None
        if other is None:
            sentence = f"the test {step.test_uuid!r} is not in this file; put both tests in one, as a JSON array"
        elif self._depth >= MAX_DEPTH:
            sentence = f"subtests are nested more than {MAX_DEPTH} deep"
        if other is None or sentence is not None:
            yield from self._end(
                StepResult(
                    number=number,
                    step_type="subtest",
                    result="error",
                    note=step.note,
                    errors=(sentence or "",),
                    not_supported=other is None,
                )
            )
            return
        errors: list[str] = []
        given = {name: self._fill_value(value, "variables", errors) for name, value in step.parameters.items()}
        chosen = None if step.environment_uuid is None else other.find_environment(step.environment_uuid)
        environment = self.plan.environment if step.use_parent_environment else chosen or other.environment
        inner = Runner(
            replace(
                self.plan,
                suite=other,
                environment=environment,
                variables={
                    **self.plan.variables,
                    **(self.scope.as_dict() if step.use_parent_environment else {}),
                    **given,
                },
                initial_scripts=(),
                only=None,
            ),
            depth=self._depth + 1,
        )
        inner._prefix = f"{number}."
        result = yield from inner.play()
        self.results += inner.results
        view = ResponseView(200, body=json.dumps(summary(result)).encode())
        variables = self._take(step.variables, view)
        asserted = step.assertions or (Assertion("response_json", "equal", "pass", "result"),)
        assertions = self._judge(asserted, view)
        yield from self._end(
            StepResult(
                number=number,
                step_type="subtest",
                result=outcome_of(assertions, variables, (), errors),
                note=step.note or other.name,
                assertions=assertions,
                variables=variables,
                errors=tuple(errors),
            )
        )

    # --- a request ---

    def _request(self, step: RequestStep, number: str) -> Doing[None]:
        errors: list[str] = []
        draft = self._draft(step, errors)
        scripts: list[ScriptResult] = []
        environment = self.plan.environment
        exchange: Exchange | None = None
        assertions: tuple[AssertionResult, ...] = ()
        variables: tuple[VariableResult, ...] = ()
        view: ResponseView | None = None
        if not errors:
            for source in _scripts(environment.pre_request_scripts, step.before_scripts):
                done, row = yield from self._script(source, "before", request_view(draft))
                scripts.append(row)
                if done.request is not None:
                    draft = apply_changes(draft, done.request)
            try:
                request, origin = compose(draft, user_agent=self.plan.user_agent)
            except UsageError as exc:
                errors.append(exc.message)
            else:
                exchange = yield Send(request, origin)
        if exchange is not None:
            if exchange.failure is not None:
                errors.append(exchange.failure.message)
            view = view_of(exchange)
        if exchange is not None and view is not None:
            variables = self._take(step.variables, view)
            seen = response_view(view)
            for source in _scripts(environment.post_response_scripts, step.scripts):
                done, row = yield from self._script(source, "after", request_view(draft), seen)
                scripts.append(row)
                exchange = edited(exchange, done.request or {}, done.response or {})
            # The answer as it was received: a script's changes to it are not seen here (runscope.md 4).
            assertions = self._judge(step.assertions, view)
        response = None if exchange is None else exchange.response
        yield from self._end(
            StepResult(
                number=number,
                step_type="request",
                result=outcome_of(assertions, variables, scripts, errors),
                note=step.note,
                method=draft.method,
                url=draft.url,
                status_code=None if response is None else response.status_code,
                response_time_ms=None if view is None else view.response_time_ms,
                response_size_bytes=None if response is None else response.content.size,
                assertions=assertions,
                variables=variables,
                scripts=tuple(scripts),
                errors=tuple(errors),
                started_at=None if exchange is None else exchange.started_at,
                duration_s=None
                if exchange is None or exchange.timings.total is None
                else exchange.timings.total / 1000,
            ),
            exchange,
        )

    def _draft(self, step: RequestStep, errors: list[str]) -> Draft:
        """Fill in the templates of a step; every problem is a sentence in `errors`."""
        url = self._fill(step.url, "url", errors)
        if step.args:
            # The oldest exports had query parameters of their own (1.3).
            url = with_arguments(url, self._fill_pairs(step.args, "params", errors))
        headers = self._fill_pairs(step.headers, "headers", errors)
        headers = merge_headers(self._headers, headers)
        auth = step.auth or self.plan.environment.auth
        if auth is not None:
            if auth.auth_type == "basic":
                login = [self._fill(auth.text(name), "auth", errors) for name in ("username", "password")]
                if not any(name.lower() == "authorization" for name, _ in headers):
                    headers = (*headers, ("Authorization", (basic_credentials(*login),)))
            else:
                errors.append(request_error("auth", f"{auth.auth_type!r} is not supported here; send a header"))
        body = None if step.body is None else self._fill(step.body, "body", errors)
        if step.graphql:
            filled = {name: self._fill_value(value, "body", errors) for name, value in step.graphql.items()}
            body = graphql_body(filled)
        if step.multipart or step.binary:
            errors.append(request_error("body", "uploaded files are not part of an export; put the text in `body`"))
        return Draft(
            method=self._fill(step.method, "method", errors),
            url=url,
            headers=headers,
            body=body,
            form=self._fill_pairs(step.form, "form", errors),
        )

    def _fill(self, text: str, part: str, errors: list[str]) -> str:
        filled = substitute(text, self.scope, self.plan.builtins)
        errors += [request_error(part, problem) for problem in filled.errors]
        return filled.text

    def _fill_value(self, value: Any, part: str, errors: list[str]) -> Any:  # noqa: ANN401 - any value of JSON
        return self._fill(value, part, errors) if isinstance(value, str) else value

    def _fill_pairs(self, pairs: HeaderValues, part: str, errors: list[str]) -> HeaderValues:
        return tuple((name, tuple(self._fill(value, part, errors) for value in values)) for name, values in pairs)

    def _take(self, extractions: tuple[Extraction, ...], view: ResponseView) -> tuple[VariableResult, ...]:
        taken = extract_all(extractions, view, self.scope, self.plan.builtins, "extracted")
        return tuple(
            VariableResult(
                result="pass" if one.passed else "fail",
                name=one.name,
                source=one.extraction.source,
                property=one.extraction.property,
                value=one.value,
                error=" ".join(filter(None, (one.error, one.detail))) or None,
            )
            for one in taken
        )

    def _judge(self, assertions: tuple[Assertion, ...], view: ResponseView) -> tuple[AssertionResult, ...]:
        judged = (evaluate(one, view, self.scope, self.plan.builtins) for one in assertions)
        return tuple(
            AssertionResult(
                result=_OUTCOMES[one.outcome],
                source=one.assertion.source,
                comparison=one.assertion.comparison,
                property=one.assertion.property,
                target_value=one.expected,
                actual_value=one.actual,
                message=one.message,
                error=one.error,
                place=one.place,
                number=number,
            )
            for number, one in enumerate(judged)
        )

    def _end(self, step: StepResult, exchange: Exchange | None = None) -> Doing[None]:
        if not step.passed and step.result != "canceled" and self.plan.stops and self._stopped is None:
            self._stopped = f"step {step.number} failed, and the run stops on failure"
        kept = yield Ended(step, exchange)
        # The driver may hand back the step as it was stored: with its ids, and without secrets.
        self.results.append(kept if isinstance(kept, StepResult) else step)


def title(step: Step) -> str:
    """Return a step in a few words."""
    if isinstance(step, RequestStep):
        return step.note.strip() or f"{step.method} {step.url}"
    if isinstance(step, PauseStep):
        return step.note.strip() or f"Pause {step.duration_s:g} s"
    return step.note.strip() or kind_of(step)


def kind_of(step: Step) -> str:
    """Return the type of a step, in the file's words."""
    match step:
        case RequestStep():
            return "request"
        case PauseStep():
            return "pause"
        case SubtestStep():
            return "subtest"
        case InboundStep():
            return "inbound"
        case _:
            return step.step_type


def _untouched(step: Step, number: str, result: RunOutcome) -> StepResult:
    made = StepResult(number=number, step_type=kind_of(step), result=result, note=step.note or title(step))
    return replace(made, method=step.method, url=step.url) if isinstance(step, RequestStep) else made


def _scripts(*groups: Sequence[str]) -> list[str]:
    return [source for group in groups for source in group if source.strip()]


def _as_text(value: Any) -> str:  # noqa: ANN401 - any value of JSON
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
