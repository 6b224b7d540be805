"""The wiring of a suite's run: runner, client, scripts, store; it does what the runner asks and decides nothing.

One rule: a step is stored when it ends, its exchange before it, and neither with a secret in it; so a run that is
interrupted keeps what it had. Place in the flow: cli -> run_suite -> Runner.play, Client.send, ScriptEngine -> store.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from scimproxy import __version__
from scimproxy.app import Stop
from scimproxy.client import Client
from scimproxy.exchange import Content, Exchange, Headers, Request, Run
from scimproxy.redact import redact
from scimproxy.retrying import send_retrying
from scimproxy.store import Store
from scimproxy.store.suites import SuiteRows
from scimproxy.suite.builtins import Builtins
from scimproxy.suite.composing import DEFAULT_USER_AGENT
from scimproxy.suite.effects import Began, Ended, Pause, Plan, RunScript, ScriptDone, Send
from scimproxy.suite.masking import masked, secrets_of
from scimproxy.suite.model import Environment, Suite, all_steps
from scimproxy.suite.results import SuiteResult
from scimproxy.suite.runner import Runner
from scimproxy.suite.script import Kind, ScriptCall, ScriptEngine

__all__ = [
    "Finding",
    "Sandbox",
    "Scripts",
    "Started",
    "SuiteOptions",
    "inspect_target",
    "run_suite",
    "seed_user",
]

RUN_LIMIT_S = 600.0
"""Runscope ends a run after ten minutes (runscope.md 5); here it is a warning."""


_KINDS: Mapping[str, Kind] = {"initial": "initial", "before": "pre", "after": "post"}


class Scripts(Protocol):
    """What runs scripts: the sandbox behind suite/script.py, or nothing at all."""

    async def run(self, call: RunScript) -> ScriptDone:
        """Run one script to its end; never raises for what the script does."""


class Sandbox:
    """Runs the runner's scripts in the JavaScript engine."""

    def __init__(self, engine: ScriptEngine, secrets: Mapping[str, str] | None = None) -> None:
        self._engine = engine
        self._secrets = secrets or {}

    async def run(self, call: RunScript) -> ScriptDone:
        """Run one script to its end.

        Raises:
            ScriptEngineMissing: there is no engine on this machine.
        """
        began = time.monotonic()
        done = await self._engine.run(
            ScriptCall(
                source=call.source,
                kind=_KINDS[call.kind],
                variables=call.variables,
                request=call.request,
                response=call.response,
                secrets=self._secrets,
            )
        )
        return ScriptDone(
            variables=done.variables,
            request=done.request,
            response=done.response,
            output="\n".join(done.log),
            failed=done.error if done.status == "failed" else None,
            error=done.error if done.status == "errored" else None,
            duration_ms=(time.monotonic() - began) * 1000,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteOptions:
    """What to run, against what, and how. `secrets` are texts that may never be stored or shown."""

    suite: Suite
    db: Path
    environment: Environment
    source: str
    target: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict, repr=False)
    pinned: Mapping[str, Any] = field(default_factory=dict, repr=False)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    named_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What `get_secret` gives, in templates and scripts, by name."""
    initial_scripts: tuple[str, ...] = ()
    only: frozenset[int] | None = None
    stop_on_failure: bool | None = None
    pause_scale: float = 1.0
    user_agent: str = DEFAULT_USER_AGENT
    timeout_s: float = 60.0
    insecure: bool = False
    ca: Path | None = None
    others: tuple[Suite, ...] = ()
    keep_secrets: bool = False
    retries: int = 0
    """How often a request is sent again that met a busy or broken server (`retrying`); Runscope never does."""
    command: tuple[str, ...] = ()
    """The words after `scimproxy run` that run it again, without secrets."""
    folder: str | None = None
    """Where they were typed."""


@dataclass(frozen=True, slots=True)
class Started:
    """The run begins; `steps` is how many the file has, inner ones included."""

    run: Run
    steps: int


type News = Started | Began | Ended


async def run_suite(options: SuiteOptions, scripts: Scripts, tell: Callable[[News], None], stop: Stop) -> SuiteResult:
    """Run a suite and return its result; what happens is told as it happens, without secrets.

    Raises:
        StoreError: the database cannot be used.
    """
    store = Store.open(options.db)
    with contextlib.closing(store):
        return await _SuiteRun(options, scripts, tell, stop, store).run()


class _SuiteRun:
    """One run while it goes on."""

    def __init__(
        self, options: SuiteOptions, scripts: Scripts, tell: Callable[[News], None], stop: Stop, store: Store
    ) -> None:
        self._options = options
        self._scripts = scripts
        self._tell = tell
        self._stop = stop
        self._store = store
        dice = random.SystemRandom()
        self._runner = Runner(
            Plan(
                suite=options.suite,
                environment=options.environment,
                builtins=Builtins(
                    now=time.time,
                    random_below=dice.randrange,
                    secrets=options.named_secrets,
                    facts={
                        "runscope_environment": options.environment.name,
                        "runscope_environment_uuid": options.environment.id or "",
                        "runscope_test_uuid": options.suite.id or "",
                        "runscope_test_name": options.suite.name,
                        "runscope_region": "local",
                    },
                ),
                variables=options.variables,
                pinned=options.pinned,
                initial_scripts=options.initial_scripts,
                only=options.only,
                stop_on_failure=options.stop_on_failure,
                user_agent=options.user_agent,
                others=options.others,
            )
        )

    async def run(self) -> SuiteResult:
        options, store = self._options, self._store
        began = time.time()
        run = store.start_run(
            Run(
                kind="suite",
                name=options.suite.name or options.source,
                started_at=began,
                target=options.target,
                version=__version__,
            )
        )
        assert run.id is not None
        rows = SuiteRows(store, run.id)

        def with_facts(result: SuiteResult) -> SuiteResult:
            return self._masked(
                replace(
                    result,
                    source=options.source,
                    target=options.target,
                    started_at=began,
                    run_id=run.id,
                    command=options.command,
                    folder=options.folder,
                )
            )

        result = self._runner.result(canceled="the run was ended from outside")
        rows.save(with_facts(result))
        self._tell(Started(run, sum(1 for _ in all_steps(options.suite.steps))))
        environment = options.environment
        client = Client(
            timeout_s=options.timeout_s,
            verify_tls=environment.verifies_tls and not options.insecure,
            ca=options.ca,
            cookies=environment.keeps_cookies,
        )
        try:
            async with client:
                with self._stop.on_signals():
                    result = await self._play(client, rows, run.id)
        finally:
            ended = time.time()
            warnings: tuple[str, ...] = ()
            if ended - began > RUN_LIMIT_S:
                warnings = (f"the run took {ended - began:.0f} s; Runscope ends one after {RUN_LIMIT_S:.0f} s",)
            result = with_facts(replace(result, ended_at=ended, warnings=warnings))
            rows.save(result)
            store.finish_run(run.id, ended_at=ended)
        return result

    async def _play(self, client: Client, rows: SuiteRows, run_id: int) -> SuiteResult:
        """Do what the runner asks until it is done or somebody asks to stop."""
        play = self._runner.play()
        answer: object = None
        stopping = asyncio.create_task(self._stop.requested.wait())
        try:
            while True:
                if self._stop.requested.is_set():
                    return self._interrupted()
                try:
                    effect = play.send(answer)
                except StopIteration as done:
                    result: SuiteResult = done.value
                    return result
                match effect:
                    case Send():
                        sending = send_retrying(client, effect.request, effect.origin, retries=self._options.retries)
                        answer = await self._unless(stopping, sending)
                    case Pause():
                        answer = await self._unless(
                            stopping, asyncio.sleep(effect.seconds * self._options.pause_scale)
                        )
                    case RunScript():
                        answer = await self._unless(stopping, self._scripts.run(effect))
                    case Ended():
                        answer = await self._store_step(effect, rows, run_id)
                    case Began():
                        self._tell(effect)
                        answer = None
                if self._stop.requested.is_set() and not isinstance(effect, Ended | Began):
                    return self._interrupted()
        finally:
            stopping.cancel()
            play.close()

    def _interrupted(self) -> SuiteResult:
        return self._runner.result(canceled=f"interrupted ({self._stop.reason})")

    @staticmethod
    async def _unless[T](stopping: asyncio.Task[bool], doing: Awaitable[T]) -> T | None:
        """Wait for something, or give it up when somebody asks to stop."""
        task = asyncio.ensure_future(doing)
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return None
        return task.result()

    async def _store_step(self, ended: Ended, rows: SuiteRows, run_id: int) -> object:
        step = self._masked(ended.result)
        exchange = ended.exchange
        if exchange is not None:
            exchange = replace(exchange, run_id=run_id, note=step.note or None)
            if not self._options.keep_secrets:
                exchange, _ = redact(self._without_secrets(exchange))
            number = await asyncio.wrap_future(self._store.submit(exchange))
            step = replace(step, exchange_id=number)
        step = replace(step, id=rows.add(step))
        self._tell(Ended(step, exchange))
        return step

    def _secrets(self) -> frozenset[str]:
        # Scripts and answers may have brought new ones.
        return self._options.secrets | secrets_of(self._runner.scope.as_dict())

    def _masked[T](self, value: T) -> T:
        return value if self._options.keep_secrets else masked(value, self._secrets())

    def _without_secrets(self, exchange: Exchange) -> Exchange:
        """Take known secrets out of where redact does not look: a target, header or body that repeats them."""
        secrets = self._secrets()
        needles = [one.encode("utf-8", "replace") for one in secrets]
        request = replace(exchange.request, target=masked(exchange.request.target, secrets))
        request = replace(
            request, headers=_masked_headers(request.headers, secrets), content=_clean(request.content, needles)
        )
        response = exchange.response
        if response is not None:
            headers = _masked_headers(response.headers, secrets)
            response = replace(response, headers=headers, content=_clean(response.content, needles))
        return replace(exchange, request=request, response=response)


def _masked_headers(headers: Headers, secrets: frozenset[str]) -> Headers:
    return Headers((name, masked(value, secrets)) for name, value in headers)


def _clean(content: Content, needles: list[bytes]) -> Content:
    if not any(one in content.data for one in needles):
        return content
    data = masked(content.data.decode("latin-1"), frozenset(one.decode("latin-1") for one in needles)).encode(
        "latin-1"
    )
    return replace(Content.of(data), size=content.size, redacted=True)


# --- before the run


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look at the target brought: `problem` a sentence or None, `users` how many it tells of."""

    problem: str | None = None
    hint: str | None = None
    users: int | None = None
    blocks: bool = False


async def inspect_target(url: str, auth: str | None, *, insecure: bool = False, ca: Path | None = None) -> Finding:
    """Ask a SCIM server for one user, and say what would make every step fail."""
    exchange = await _ask(Request("GET", "/Users?count=1&startIndex=1"), url, auth, insecure=insecure, ca=ca)
    if exchange.failure is not None or exchange.response is None:
        reason = "no answer" if exchange.failure is None else exchange.failure.message
        return Finding(f"{url}: {reason}", "is the server running, and is this its address?", blocks=True)
    status = exchange.response.status_code
    if status in {401, 403}:
        return Finding(f"{url}/Users answers {status}", "check --auth: the scheme word, and the token itself")
    if status == 404:
        return Finding(f"{url}/Users answers 404", "is the base path right? SCIM servers often live at /scim/v2")
    if not 200 <= status < 300:
        return Finding(f"{url}/Users answers {status}")
    try:
        document = json.loads(exchange.response.content.data)
    except ValueError:
        return Finding(f"{url}/Users answers no JSON", "is the base path that of the SCIM API?")
    total = document.get("totalResults") if isinstance(document, dict) else None
    if not isinstance(total, int):
        return Finding(f"{url}/Users answers no SCIM list (totalResults is missing)")
    if not total:
        return Finding(
            f"{url} holds no user; the suites read the first one",
            "--seed-user creates one before the run",
            users=0,
        )
    return Finding(users=total)


async def seed_user(url: str, auth: str | None, *, insecure: bool = False, ca: Path | None = None) -> str | None:
    """Create a user for suites that need one to be there; return why that failed, or None."""
    name = f"seed-{random.SystemRandom().randrange(10**9):09}@example.com"
    user = {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": name,
        "name": {"givenName": "Seed", "familyName": "User"},
        "displayName": "Seed User",
        "emails": [{"value": name, "type": "work", "primary": True}],
        "active": True,
    }
    request = Request(
        "POST",
        "/Users",
        headers=Headers([("Content-Type", "application/scim+json")]),
        content=Content.of(json.dumps(user).encode()),
    )
    exchange = await _ask(request, url, auth, insecure=insecure, ca=ca)
    if exchange.response is None:
        return "no answer" if exchange.failure is None else exchange.failure.message
    status = exchange.response.status_code
    return None if status == 201 else f"POST {url}/Users answered {status}"


async def _ask(request: Request, url: str, auth: str | None, *, insecure: bool, ca: Path | None) -> Exchange:
    scheme, _, rest = url.rstrip("/").partition("://")
    authority, slash, path = rest.partition("/")
    headers = request.headers.with_added("Accept", "application/scim+json")
    if auth:
        headers = headers.with_added("Authorization", auth)
    headers = headers.with_added("User-Agent", f"scimproxy/{__version__}")
    async with Client(timeout_s=15.0, verify_tls=not insecure, ca=ca) as client:
        request = replace(request, target=f"{slash}{path}{request.target}", headers=headers)
        return await client.send(request, f"{scheme}://{authority}")
