"""The pages: HTML made on the server (Jinja2, autoescape), static files, words for what went wrong.

One rule: nothing in a page is markup but the templates': every value is escaped, bodies are text, and no page holds a
script or a style of its own (the content security policy would refuse it).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader

from scimproxy import __version__, pages
from scimproxy.detail import detail
from scimproxy.diff.report import shown
from scimproxy.errors import ScimproxyError, UsageError
from scimproxy.exchange import Exchange, Run
from scimproxy.outline import outline
from scimproxy.overview import run_json
from scimproxy.query import parse_query
from scimproxy.redact import redact
from scimproxy.report.suites import counts, problems
from scimproxy.scim.message import operation_of
from scimproxy.store import Reader
from scimproxy.store.suites import StepMark
from scimproxy.suite.masking import without_secrets
from scimproxy.suite.results import SuiteResult
from scimproxy.web.api import RECORDINGS, Api, row_json
from scimproxy.web.aside import aside
from scimproxy.web.asking import NotThere, name_of, number
from scimproxy.web.comparing import compare_exchanges, compare_runs
from scimproxy.web.door import Refused
from scimproxy.web.mocks import command_line
from scimproxy.web.readers import Readers
from scimproxy.web.resources import before_and_after, touching
from scimproxy.web.routes import Route
from scimproxy.web.sharing import open_shares

__all__ = ["Pages"]

_HERE = Path(__file__).parent
_KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_RUNS = 50
_COUNTED = 50_000
"""Of runs with more exchanges no outcomes are counted, and the page asks for their number when it is there."""
_COUNTED_EACH = 10_000
"""The same in a list of many runs."""
_HISTORY = 30
_WARM_AFTER_S = 0.2
_CHOICES = 200
_MOST_BESIDE = 200
_BEFORE = 50
"""So many exchanges before its first step are looked at for what Okta sent for a run."""


class Pages:
    """The pages of one inspector."""

    def __init__(self, readers: Readers, api: Api, *, read_only: bool, home: str) -> None:
        self._readers = readers
        self._api = api
        self._read_only = read_only
        self._files = {
            path.name: path.read_bytes() for path in sorted((_HERE / "static").iterdir()) if path.suffix in _KINDS
        }
        self._files["look.css"] = pages.style().encode()
        made = pages.environment().overlay(loader=FileSystemLoader([_HERE / "templates", pages.TEMPLATES]))
        made.filters = {**made.filters, "shown": shown}
        made.globals = {
            **made.globals,
            "live": True,
            "home": home,
            "assets": "/static",
            "version": __version__,
            "read_only": read_only,
            "database": readers.path.name,
            "nav": "",
        }
        self._environment: Environment = made
        for name in ("live.html", "door.html", "part.html", "exchange.html"):
            made.get_template(name)  # compiled now, so that the first page is as fast as the next

    async def warm(self) -> None:
        """Do once, unseen, what a first detail has to do: compile templates, import, read the newest exchange."""
        await asyncio.sleep(_WARM_AFTER_S)  # who asks at once is answered first
        for name in self._environment.list_templates():
            if name.endswith(".html"):
                await asyncio.to_thread(self._environment.get_template, name)

        def work(reader: Reader) -> None:
            newest = next(reader.exchanges(limit=1, newest_first=True), None)
            found = None if newest is None else reader.exchange(newest.id)
            if found is not None:
                self._part(found, None)
                before_and_after(reader, found)

        with contextlib.suppress(ScimproxyError):  # whoever asks is told
            await self._readers.ask(work)

    def routes(self) -> list[Route]:
        """Return the routes of pages, parts of pages and static files."""
        return [
            Route("GET", "/", self.live),
            Route("GET", "/exchanges/{exchange}", self.live),
            Route("GET", "/parts/exchanges/{exchange}", self.part),
            Route("GET", "/parts/exchanges/{exchange}/resource", self.resource_part),
            Route("GET", "/runs", self.runs),
            Route("GET", "/runs/{run}", self.run),
            Route("GET", "/parts/runs/{run}", self.run_part),
            Route("GET", "/diff", self.diff),
            Route("GET", "/resources", self.resource),
            Route("GET", "/tunnel", self.tunnel),
            Route("GET", "/static/{file}", self.static, open=True),
        ]

    # --- without a token ---

    def door(self, request: web.Request, *, api: bool) -> web.Response:
        """Answer a request without the token: a page that exchanges it, or an error for a program."""
        if api:
            return web.Response(
                body=json.dumps(
                    {
                        "title": "The token is missing or wrong.",
                        "status": 401,
                        "hint": "send it as `Authorization: Bearer TOKEN`, or open the URL that scimproxy printed",
                    }
                ).encode(),
                status=401,
                content_type="application/problem+json",
                headers={"WWW-Authenticate": "Bearer"},
            )
        # A browser that a person sends here gets a page, not an error: its console stays clean.
        visit = request.headers.get("Sec-Fetch-Mode") == "navigate"
        return self._page("door.html", status=200 if visit else 401)

    def say(self, refused: Refused) -> web.Response:
        """Tell a person why not; who is refused is not told where the pages are."""
        return self._page("message.html", home="", status=refused.status, title=refused.message, hint=refused.hint)

    def error(self, error: ScimproxyError) -> web.Response:
        """Tell a person what went wrong."""
        status = 404 if isinstance(error, NotThere) else 400 if isinstance(error, UsageError) else 503
        return self._page("message.html", status=status, title=_begin(error.message), hint=error.hint or "")

    async def static(self, request: web.Request) -> web.Response:
        """Give a file of our own."""
        name = request.match_info["file"]
        if name not in self._files:
            raise NotThere("there is no such file")
        return web.Response(body=self._files[name], content_type=_KINDS[Path(name).suffix], charset="utf-8")

    # --- with it ---

    async def live(self, _request: web.Request) -> web.Response:
        """Show the list of exchanges; its rows come through the API."""
        return self._page("live.html", nav="live")

    async def part(self, request: web.Request) -> web.Response:
        """Show an exchange, as a part of a page."""
        found = await self._api.whole(request)

        def step(reader: Reader) -> StepMark | None:
            if found.run_id is None or found.id is None:
                return None
            suites = [found.run_id, *(run.id or 0 for run in reader.seen_in([found.run_id]))]
            return next(iter(reader.marks(run_ids=suites, exchanges={found.id}, limit=1)), None)

        return _html(self._part(found, await self._readers.ask(step)))

    def _part(self, found: Exchange, step: StepMark | None) -> str:
        operation = operation_of(found)
        clean, _ = redact(found)
        return self._environment.get_template("part.html").render(
            d=detail(clean, operation),
            run_id=found.run_id,
            parent_id=found.parent_id,
            resource_type=operation.resource_type or "",
            resource_id=operation.resource_id,
            can_replay=not self._read_only,
            step=step,
        )

    async def resource_part(self, request: web.Request) -> web.Response:
        """Show the resource before and after an exchange, as a part of a page."""
        exchange = await self._api.whole(request)
        found = await self._readers.ask(lambda reader: before_and_after(reader, exchange))

        def side(told: dict[str, Any] | None) -> dict[str, Any] | None:
            read = None if told is None else outline(told["text"], most_lines=1_000, longest=2_000)
            return None if told is None or read is None else {"exchange": told["from"], "lines": read.lines}

        before, after = side(found["before"]), side(found["after"])
        if before is None and after is None and not found["gone"]:
            return web.Response(status=204)
        return self._page("resource_part.html", id=exchange.id, before=before, after=after, gone=found["gone"])

    async def runs(self, request: web.Request) -> web.Response:
        """List the runs."""
        before = number(request, "before")
        page = await self._readers.ask(lambda reader: _counted(reader, before))
        shared = await self._readers.ask(lambda _: open_shares(self._readers.path))
        return self._page(
            "runs.html", nav="runs", runs=page, shared=shared, more=page[-1]["id"] if len(page) == _RUNS else None
        )

    async def run(self, request: web.Request) -> web.Response:
        """Show a run."""
        found = await self._of_run(request)
        run_id = found["run"]["id"]
        mocks = [one for one in self._api.mocks.all() if one["run_id"] == run_id]
        command = shlex.join(command_line(self._readers.path, run_id))
        return self._page("run.html", nav="runs", mocks=mocks, mock_command=command, **found)

    async def run_part(self, request: web.Request) -> web.Response:
        """Show what changes of a run while it goes on, as a part of a page."""
        return self._page("run_part.html", **await self._of_run(request))

    async def _of_run(self, request: web.Request) -> dict[str, Any]:
        number_of = name_of(request, "run")

        def read(reader: Reader) -> dict[str, Any]:
            seq = reader.newest_seq()  # before all else: what comes meanwhile comes as an event too
            run = reader.run(number_of, count_to=_COUNTED)
            if run is None:
                raise NotThere(f"there is no run {number_of}", hint="it may have been pruned")
            suite = reader.suite(number_of)
            return {
                "run": _run(run),
                "seq": seq,
                "share": open_shares(self._readers.path).get(number_of),
                "outcomes": [] if run.exchange_count is None else reader.outcomes(number_of),
                "suite": None if suite is None else _suite(suite),
                "again": None if suite is None else _again(self._readers.path, run, without_secrets(suite)),
                "history": [] if suite is None else _history(reader, run),
                "beside": {} if suite is None else _beside(reader, run, suite),
                "seen_in": run.seen_in,
                "seen": _seen(reader, number_of) if run.kind in RECORDINGS else [],
                "tunnel": reader.tunnel_events(number_of),
            }

        found = await self._readers.ask(read)
        is_recording = found["run"]["kind"] in RECORDINGS
        return {
            **found,
            "progress": self._api.follows.progress(number_of),
            "follows": self._api.follows.told(number_of) if is_recording else None,
        }

    async def diff(self, request: web.Request) -> web.Response:
        """Show what differs."""
        a, b = number(request, "a"), number(request, "b")
        of = "exchanges" if request.query.get("of") == "exchanges" else "runs"
        found = None
        if a is not None and b is not None:
            compare = compare_exchanges if of == "exchanges" else compare_runs
            found = await self._readers.ask(lambda reader: compare(reader, a, b), limit_s=60)
        if of == "exchanges":
            more = await self._readers.ask(lambda reader: _to_compare(reader, a, b, shown=found is not None))
        else:
            runs = await self._readers.ask(lambda reader: [run_json(one) for one in reader.run_page(limit=100)])
            more = {"runs": runs, "sides": []}
        return self._page("compare.html", nav="runs", found=found, a=a, b=b, of=of, **more)

    async def resource(self, request: web.Request) -> web.Response:
        """Show every exchange that touched a resource."""
        kind, key = request.query.get("type", "")[:200], request.query.get("id", "")
        if not key or len(key) > 1000:
            raise UsageError("say which resource", hint="open it from an exchange's tab SCIM")
        found = await self._readers.ask(lambda reader: touching(reader, kind, key, 500))
        rows = [{**row_json(row), "started_at": row.started_at, "touch": how} for row, how in found]
        names = (row["operation"]["resource_name"] for row in reversed(rows) if row["touch"] == "about")
        name = next((one for one in names if one), None)
        return self._page("resource.html", nav="live", kind=kind, key=key, name=name, rows=rows)

    async def tunnel(self, _request: web.Request) -> web.Response:
        """Show the tunnel of the newest recording, and what to paste where."""

        def read(reader: Reader) -> dict[str, Any]:
            runs = reader.run_page(limit=50)
            run = next((one for one in runs if one.kind in {"record", "demo"}), None)
            if run is None or run.id is None:
                return {"run": None, "events": []}
            return {"run": _run(run), "events": reader.tunnel_events(run.id)[::-1][:200]}

        return self._page("tunnel.html", nav="tunnel", **await self._readers.ask(read))

    def _page(self, template: str, *, status: int = 200, **values: Any) -> web.Response:  # noqa: ANN401 - for a template
        return _html(self._environment.get_template(template).render(**values), status)


def _html(text: str, status: int = 200) -> web.Response:
    return web.Response(
        body=text.encode("utf-8", "replace"), status=status, content_type="text/html", charset="utf-8"
    )


def _run(run: Run) -> dict[str, Any]:
    more = {"started_at": run.started_at, "ended_at": run.ended_at, "seen_in": run.seen_in}
    return {**run_json(run), **more, "any": run.exchange_count != 0}


def _counted(reader: Reader, before: int | None) -> list[dict[str, Any]]:
    """Return a page of runs with their counts and outcomes."""
    found = []
    for one in reader.run_page(before=before, limit=_RUNS):
        assert one.id is not None
        run = reader.run(one.id, count_to=_COUNTED_EACH)
        if run is not None:
            suite = reader.suite(one.id) if one.kind == "suite" else None
            found.append({**_run(run), "result": None if suite is None else suite.result})
    return found


def _to_compare(reader: Reader, a: int | None, b: int | None, *, shown: bool) -> dict[str, Any]:
    """Return exchanges to choose from, those of A's run first, and the two side by side where both are given."""
    one, two = (None if number is None else reader.exchange(number) for number in (a, b))
    near = one or two
    rows = list(reader.exchanges(None if near is None else near.run_id, newest_first=True, limit=_CHOICES))
    return {
        "choices": [row_json(row) for row in rows],
        "sides": aside(redact(one)[0], redact(two)[0]) if shown and one and two else [],
    }


def _suite(suite: SuiteResult) -> dict[str, Any]:
    suite = without_secrets(suite)
    assertions = [it for step in suite.executed for it in step.assertions]
    return {
        "result": suite.result,
        "running": suite.ended_at is None,
        "counts": counts(suite.steps),
        "held": sum(it.result == "pass" for it in assertions),
        "asserted": len(assertions),
        "environment": suite.environment,
        "source": suite.source,
        "canceled": suite.canceled,
        "warnings": suite.warnings,
        "variables": suite.initial_variables,
        "steps": [{"it": step, "problems": problems(step)} for step in suite.steps],
    }


def _again(db: Path, run: Run, suite: SuiteResult) -> dict[str, Any] | None:
    """Return the command that runs a suite again, and what of it has to be filled in; None where it is not known.

    Older runs do not know how they were begun: then it is what their file and their target make of it.
    """
    words = suite.command
    if not words:
        source, target = suite.source or "", suite.target or run.target
        if not source or source.startswith("-"):
            return None
        words = (source, *(() if target is None else ("--target", target, "--auth", "-")))
    line = shlex.join(["scimproxy", "run", *words, "--db", str(db.absolute())])
    if suite.command and suite.folder:
        line = f"cd {shlex.quote(suite.folder)} && {line}"
    if not line.isprintable():
        return None
    missing = [word.partition("=")[0] for word in words if re.fullmatch(r"(.+)=<\1>", word)]
    return {"line": line, "asks": "-" in words, "missing": missing, "guessed": not suite.command}


def _history(reader: Reader, run: Run) -> list[dict[str, Any]]:
    """Return how the runs of one suite came out, oldest first: those of the same name."""
    found: list[dict[str, Any]] = []
    before: int | None = None
    while len(found) < _HISTORY and (page := reader.run_page(before=before, limit=200)):
        for one in page:
            if one.kind == "suite" and one.name == run.name and one.id is not None and len(found) < _HISTORY:
                suite = reader.suite(one.id)
                if suite is not None:
                    found.append({"id": one.id, "started_at": one.started_at, "result": suite.result})
        before = page[-1].id
        if before is None or (run.id or 0) - before > 2_000:
            break
    return found[::-1]


def _beside(reader: Reader, run: Run, suite: SuiteResult) -> dict[int, list[dict[str, Any]]]:
    """Return what Okta sent between the steps of a run that was seen, by the exchange of the step after it.

    A step that went to an Okta org makes Okta provision; what came of it stands in the same recording.
    """
    if run.source_run_id is None or not suite.steps:
        return {}
    ids = sorted(step.exchange_id for step in suite.steps if step.exchange_id is not None)
    elsewhere = any(step.step_type == "request" and step.exchange_id is None for step in suite.steps)
    found: dict[int, list[dict[str, Any]]] = {}
    if not ids or not elsewhere:
        return found
    query = parse_query("client:okta")
    for row in reader.exchanges(run.source_run_id, query, after=ids[0] - _BEFORE, before=ids[-1], limit=_MOST_BESIDE):
        after = next(number for number in ids if number > row.id)
        found.setdefault(after, []).append({"id": row.id, "summary": row.summary, "status_code": row.status_code})
    return found


def _seen(reader: Reader, run_id: int) -> list[dict[str, Any]]:
    """Return the suites' runs that were seen in a recording, by suite, each suite's oldest first."""
    runs = reader.seen_in([run_id])
    results = reader.suite_results([run.id or 0 for run in runs])
    found: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        result = "going" if run.ended_at is None else results.get(run.id or 0, "canceled")
        found.setdefault(run.name, []).append({"id": run.id, "started_at": run.started_at, "result": result})
    return [{"name": name, "runs": told[-_HISTORY:]} for name, told in found.items()]


def _begin(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")
