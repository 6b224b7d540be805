"""Hosted Runscope, as a recorder behind a tunnel sees it: one request after another over real sockets.

It plays a suite with random values of its own, sends what Runscope sends (`runscope-radar/2.0` where the step says
nothing else, gzip accepted as Go's client does), never follows redirects, and knows the verdicts of what it got.
"""

from __future__ import annotations

import asyncio
import http.client
import random
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from scimproxy.demo import Demo, serve
from scimproxy.exchange import Content, Exchange, Headers, Request, Response, Timings
from scimproxy.suite.builtins import Builtins
from scimproxy.suite.effects import Began, Ended, Plan, RunScript, Send
from scimproxy.suite.model import Environment, Suite
from scimproxy.suite.results import StepResult
from scimproxy.suite.runner import Runner
from scimproxy.suite.script import ScriptEngine
from scimproxy.suite_run import Sandbox

LOCATION = "54.67.28.47"


class Server:
    """The embedded SCIM server on a port of its own, until `close`."""

    def __init__(self, **options: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.demo: Demo = asyncio.run_coroutine_threadsafe(serve(**options), self.loop).result(30)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.demo.close(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@dataclass
class Runscope:
    """Runs of one suite. `before` is called before each request with its step's number."""

    suite: Suite
    variables: Mapping[str, Any]
    initial_scripts: tuple[str, ...] = ()
    leaves_out: Collection[str] = ()
    before: Callable[[str], None] = lambda _: None
    ends_before: str | None = None
    address: str = LOCATION
    steps: list[StepResult] = field(default_factory=list)

    def run(self) -> list[StepResult]:
        """Run it once; the steps with their verdicts."""
        dice = random.Random()
        environment: Environment = self.suite.environment
        runner = Runner(
            Plan(
                suite=self.suite,
                environment=environment,
                builtins=Builtins(now=time.time, random_below=dice.randrange),
                pinned=self.variables,
                initial_scripts=self.initial_scripts,
            )
        )
        play = runner.play()
        answer: object = None
        number = "0"
        with ScriptEngine() as engine:
            sandbox = Sandbox(engine)
            while True:
                try:
                    effect = play.send(answer)
                except StopIteration:
                    break
                answer = None
                match effect:
                    case Began():
                        number = effect.number
                        if number == self.ends_before:
                            break
                    case RunScript():
                        answer = asyncio.run(sandbox.run(effect))
                    case Send() if number not in self.leaves_out:
                        self.before(number)
                        answer = self.send(effect.request, effect.origin)
                    case Ended():
                        if effect.result.number in self.leaves_out:
                            answer = replace(effect.result, result="skipped")
        self.steps = [one for one in runner.results if one.step_type == "request"]
        return self.steps

    def send(self, request: Request, origin: str) -> Exchange:
        """Send a request on a connection of its own."""
        parts = urlsplit(origin)
        assert parts.hostname is not None
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        began = time.time()
        try:
            connection.putrequest(request.method, request.target, skip_accept_encoding=True)
            for name, value in request.headers:
                connection.putheader(name, value.encode("latin-1"))
            connection.putheader("Accept-Encoding", "gzip")
            connection.putheader("X-Forwarded-For", self.address)
            data = request.content.data
            if data or request.method in {"POST", "PUT", "PATCH"}:
                connection.putheader("Content-Length", str(len(data)))
            connection.endheaders(data or None)
            came = connection.getresponse()
            content = Content.of(came.read())
            headers = Headers((name, value) for name, value in came.getheaders())
        finally:
            connection.close()
        took = Timings(total=(time.time() - began) * 1000)
        response = Response(came.status, came.reason, headers=headers, content=content)
        return Exchange(request=request, response=response, started_at=began, ended_at=time.time(), timings=took)
