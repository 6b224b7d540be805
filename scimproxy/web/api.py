"""The JSON API: what the pages read and do, for programs too; the table of its routes is what OpenAPI describes.

One rule: reading goes through `Readers`, changing through `Edits`; a GET changes nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from aiohttp import web

from scimproxy import __version__
from scimproxy.errors import SyntaxProblem, UsageError
from scimproxy.exchange import Exchange, Run
from scimproxy.exports.formats import FORMATS, curl, export
from scimproxy.exports.formats import pieces as export_pieces
from scimproxy.overview import exchange_json, run_json
from scimproxy.query import parse_query
from scimproxy.redact import redact, redact_target
from scimproxy.report.suites import runscope_json
from scimproxy.secret_bodies import Keep
from scimproxy.store import Reader, Row
from scimproxy.suite.masking import without_secrets
from scimproxy.web.asking import MOST_PAGE, NotThere, answer, body, filter_of, name_of, number
from scimproxy.web.comparing import compare_exchanges, compare_runs
from scimproxy.web.edits import Edits
from scimproxy.web.following import Follows
from scimproxy.web.mocks import HOW, Mocks
from scimproxy.web.nearby import comparable
from scimproxy.web.openapi import document
from scimproxy.web.readers import Readers
from scimproxy.web.replaying import Replaying
from scimproxy.web.replays import Replays
from scimproxy.web.resources import before_and_after, touching
from scimproxy.web.routes import Route
from scimproxy.web.searching import Looked, look_back
from scimproxy.web.sharing import Sharing, open_shares
from scimproxy.web.suggest import suggestions
from scimproxy.web.whole import iso, whole

__all__ = ["API", "RECORDINGS", "Api", "mark_json", "row_json"]

API = "/api/v1"
_PAGE = 100
_RUNS = 50
_MARKS = 5_000
_CODE = ("curl", "hurl", "pytest")
RECORDINGS = ("record", "demo", "import", "mock")
"""Kinds of runs in which others' runs of a suite are looked for."""


class Api:
    """The handlers of one inspector."""

    def __init__(
        self,
        readers: Readers,
        edits: Edits,
        *,
        replaying: Replaying,
        replays: Replays,
        sharing: Sharing,
        mocks: Mocks,
        follows: Follows,
    ) -> None:
        self._readers = readers
        self._edits = edits
        self._replaying = replaying
        self._replays = replays
        self._sharing = sharing
        self.mocks = mocks
        self.follows = follows
        self.described: list[Route] = []
        """Every route of the API: the server's own beside these."""

    def routes(self) -> list[Route]:
        """Return the routes, each with what OpenAPI says of it."""
        run, exchange = f"{API}/runs/{{run}}", f"{API}/exchanges/{{exchange}}"
        page = {"before": "ids below this one", "limit": "at most so many"}
        return [
            Route("GET", API, self.info, "What this is: version, database, the newest write"),
            Route("GET", f"{API}/openapi.json", self.openapi, "This document"),
            Route("GET", f"{API}/runs", self.runs, "Runs, the newest first", query=page),
            Route("GET", run, self.run, "A run, with its number of exchanges"),
            Route("PATCH", run, self.edit_run, "Rename or note a run", body={"name": "string", "note": "string"}),
            Route("DELETE", run, self.delete_run, "Delete a run with all its exchanges"),
            Route("GET", f"{run}/suite", self.suite, "How the suite of a run came out, with Runscope's names"),
            Route("GET", f"{run}/tunnel", self.tunnel, "What became of the tunnel of a run"),
            Route("GET", f"{run}/share", self.share_of, "Whether a run is shareable, and until when; never the link"),
            Route("POST", f"{run}/share", self.share, "Make a run shareable: its link, told once; older ones die",
                  body={"keep_names": "boolean"}),
            Route("DELETE", f"{run}/share", self.unshare, "Make a run private: its link is dead at once"),
            Route(
                "POST", f"{run}/replay", self.replay_run, "Begin to send a run again, as a new run",
                body={"to": "string", "auth": "string", "fresh_names": "boolean"},
            ),
            Route("GET", f"{run}/replay", self.replay_of, "How far the replay is that makes this run"),
            Route("DELETE", f"{run}/replay", self.stop_replay, "End the replay that makes this run, in order"),
            Route("POST", f"{run}/mock", self.begin_mock, "Start a mock of a run, in a process of its own",
                  body={"how": "string"}),
            Route("GET", f"{run}/match", self.match_of, "Suites followed in a recording, how far they are"),
            Route("POST", f"{run}/match", self.match, "Follow a suite in a recording: bundled, or a file's text",
                  body={"suite": "string", "text": "string", "name": "string"}),
            Route("DELETE", f"{run}/match", self.end_match, "Follow nothing in a recording any more"),
            Route("GET", f"{API}/mocks", self.list_mocks, "The mocks that were started here and run"),
            Route("DELETE", f"{API}/mocks/{{mock}}", self.end_mock, "End a mock"),
            Route(
                "GET", f"{run}/export", self.export_run, "A run as a file", query={"format": ", ".join(FORMATS)},
                media="application/octet-stream",
            ),
            Route(
                "GET",
                f"{API}/exchanges",
                self.exchanges,
                "Exchanges in short, the newest first",
                query={
                    "run": "of this run",
                    "filter": "the filter language of `scimproxy help filters`",
                    "before": "ids below this one",
                    "after": "ids above this one; then the oldest come first",
                    "limit": f"at most so many, up to {MOST_PAGE}",
                },
            ),
            Route("GET", exchange, self.exchange, "All of an exchange"),
            Route("PATCH", exchange, self.edit_exchange, "Set note, tags", body={"note": "string", "tags": "array"}),
            Route("GET", f"{exchange}/replay", self.prepare_replay, "The request as a text to edit"),
            Route(
                "POST", f"{exchange}/replay", self.replay, "Send it again, as it was or edited",
                body={"text": "string", "to": "string", "auth": "string"},
            ),
            Route("GET", f"{exchange}/curl", self.curl, "The request as a curl command", media="text/plain"),
            Route(
                "GET", f"{exchange}/code", self.code, "The request as code to run",
                query={"as": ", ".join(_CODE)}, media="text/plain",
            ),
            Route("GET", f"{exchange}/comparable", self.comparable, "Exchanges to compare it with, and why these"),
            Route("GET", f"{exchange}/resource", self.resource, "The resource before and after, where known"),
            Route(
                "GET", f"{exchange}/{{side}}/content", self.content, "A body as stored; side is request or response",
                media="application/octet-stream",
            ),
            Route("GET", f"{API}/resources", self.resource_history, "Exchanges that touched a resource, in order",
                  query={"type": "its type", "id": "its id", "limit": "at most so many"}),
            Route(
                "GET", f"{API}/suggestions", self.suggest, "What may be meant in a filter, and whether it parses",
                query={"text": "the filter so far", "at": "the cursor; default: the end"},
            ),
            Route(
                "GET", f"{API}/diff", self.diff, "What differs between two runs or two exchanges",
                query={"a": "the first", "b": "the second", "of": "runs (default) or exchanges"},
            ),
        ]  # fmt: skip

    # --- reading ---

    async def info(self, _request: web.Request) -> web.Response:
        """Say what this is."""

        def read(reader: Reader) -> dict[str, Any]:
            newest = reader.run_page(limit=1)
            return {"newest_seq": reader.newest_seq(), "newest_run": newest[0].id if newest else None}

        found = await self._readers.ask(read)
        return answer(
            {"version": __version__, "database": str(self._readers.path), "read_only": self._edits.read_only, **found}
        )

    async def openapi(self, _request: web.Request) -> web.Response:
        """Describe the API."""
        return answer(document(self.described))

    async def runs(self, request: web.Request) -> web.Response:
        """List runs."""
        before = number(request, "before")
        limit = number(request, "limit", default=_RUNS, most=MOST_PAGE)
        found = await self._readers.ask(lambda reader: reader.run_page(before=before, limit=limit or _RUNS))
        return answer({"runs": [run_json(run) for run in found], "more": len(found) == limit})

    async def run(self, request: web.Request) -> web.Response:
        """Tell of a run."""
        return answer(run_json(await self._run(request)))

    async def suite(self, request: web.Request) -> web.Response:
        """Tell how a suite came out."""
        number_of = name_of(request, "run")
        found = await self._readers.ask(lambda reader: reader.suite(number_of))
        if found is None:
            raise NotThere(f"run {number_of} is no suite's")
        return answer(runscope_json(without_secrets(found)))

    async def tunnel(self, request: web.Request) -> web.Response:
        """Tell what became of a tunnel."""
        number_of = name_of(request, "run")
        events = await self._readers.ask(lambda reader: reader.tunnel_events(number_of))
        return answer(
            {"events": [{"at": one.at, "state": one.state, "url": one.url, "message": one.message} for one in events]}
        )

    async def exchanges(self, request: web.Request) -> web.Response:
        """List exchanges, page by page: ids are the keys, nothing is counted and nothing is skipped over."""
        query, run = filter_of(request), number(request, "run")
        before, after = number(request, "before"), number(request, "after")
        limit = number(request, "limit", default=_PAGE, most=MOST_PAGE) or _PAGE

        def read(reader: Reader) -> dict[str, Any]:
            seq = reader.newest_seq()  # before the rows: what comes in between comes as an event too
            if after is None:
                looked = look_back(reader, query, run=run, before=before, limit=limit)
            else:
                rows = list(reader.exchanges(run, query, before=before, after=after, limit=limit + 1))
                looked = Looked(rows[:limit], len(rows) > limit)
            shown = looked.rows
            runs = [found for one in dict.fromkeys(row.run_id for row in shown) if (found := _light_run(reader, one))]
            seen = reader.seen_in([run.id or 0 for run in runs])
            suites = [run.id or 0 for run in (*runs, *seen) if run.kind == "suite"]
            wanted = {row.id for row in shown}
            marks = reader.marks(run_ids=suites, exchanges=wanted, limit=_MARKS) if wanted else []
            return {
                "seq": seq,
                "exchanges": [row_json(row) for row in shown],
                "runs": [run_json(run) for run in runs],
                "steps": [mark_json(mark) for mark in marks],
                "more": looked.more,
                "searched": looked.searched,
                "doubts": list(query.doubts) if query is not None else [],
            }

        return answer(await self._readers.ask(read))

    async def exchange(self, request: web.Request) -> web.Response:
        """Tell all of an exchange."""
        return answer(whole(await self.whole(request)))

    async def curl(self, request: web.Request) -> web.Response:
        """Give the request as a command."""
        exchange, _ = redact(await self.whole(request))
        return web.Response(text=curl(exchange), content_type="text/plain", charset="utf-8")

    async def code(self, request: web.Request) -> web.Response:
        """Give the request as code: a command, a file for Hurl, a file of tests for pytest."""
        form = request.query.get("as", "curl")
        if form not in _CODE:
            raise UsageError(f"there is no code of the kind {form[:40]!r}", hint=f"there are {', '.join(_CODE)}")
        if form == "curl":
            return await self.curl(request)
        exchange, _ = redact(await self.whole(request))
        run_id = exchange.run_id
        run = None if run_id is None else await self._readers.ask(lambda reader: _light_run(reader, run_id))
        if run is None:
            raise NotThere(f"the run of exchange {exchange.id} is not there", hint="it may have been pruned")
        made = await asyncio.to_thread(export, run, [exchange], form)
        return web.Response(body=made, content_type="text/plain", charset="utf-8")

    async def content(self, request: web.Request) -> web.StreamResponse:
        """Give a body's bytes, as a file and never as a page."""
        exchange, _ = redact(await self.whole(request))
        side = request.match_info["side"]
        message = {"request": exchange.request, "response": exchange.response}.get(side)
        if message is None:
            raise NotThere(f"there is no {side[:20]!r} of exchange {exchange.id}")
        return _file(message.content.data, f"exchange-{exchange.id}-{side}.bin")

    async def comparable(self, request: web.Request) -> web.Response:
        """Suggest what to compare with."""
        exchange = await self.whole(request)
        found = await self._readers.ask(lambda reader: comparable(reader, exchange))
        return answer({"exchanges": [{**row_json(row), "near": why} for row, why in found]})

    async def resource(self, request: web.Request) -> web.Response:
        """Tell the resource before and after."""
        exchange = await self.whole(request)
        return answer(await self._readers.ask(lambda reader: before_and_after(reader, exchange)))

    async def resource_history(self, request: web.Request) -> web.Response:
        """Tell what touched a resource."""
        kind, key = request.query.get("type", ""), request.query.get("id", "")
        if not key or len(key) > 1000:
            raise UsageError("say which resource: type and id")
        limit = number(request, "limit", default=200, most=MOST_PAGE) or 200
        found = await self._readers.ask(lambda reader: touching(reader, kind, key, limit))
        return answer({"exchanges": [{**row_json(row), "touch": how} for row, how in found]})

    async def suggest(self, request: web.Request) -> web.Response:
        """Suggest what a filter may go on with."""
        text = request.query.get("text", "")[:4096]
        found = suggestions(text, number(request, "at"))
        return answer(
            {
                "suggestions": [{"text": it.text, "meaning": it.meaning, "start": it.start} for it in found],
                "problem": _fault(text),
            }
        )

    async def diff(self, request: web.Request) -> web.Response:
        """Compare."""
        a, b = number(request, "a"), number(request, "b")
        if a is None or b is None:
            raise UsageError("say what to compare: a and b")
        compare = compare_exchanges if request.query.get("of") == "exchanges" else compare_runs
        return answer(await self._readers.ask(lambda reader: compare(reader, a, b)))

    async def export_run(self, request: web.Request) -> web.StreamResponse:
        """Give a run as a file."""
        run = await self._run(request)
        form = request.query.get("format", "har")
        if form not in FORMATS:
            raise UsageError(f"there is no format {form[:40]!r}", hint=f"there are {', '.join(FORMATS)}")
        assert run.id is not None
        run_id = run.id

        def read(reader: Reader) -> bytes:
            clean = (redact(one)[0] for one in reader.all_whole(run_id))
            found = bytearray()
            for piece in export_pieces(run, clean, form):
                found += piece
                if len(found) > _LARGEST_FILE:
                    raise UsageError(
                        "this run is too large for the page", hint=f"`scimproxy export {run_id} --format {form}`"
                    )
            return bytes(found)

        return _file(await self._readers.ask(read, limit_s=120), f"run-{run.id}{FORMATS[form].suffix}")

    # --- changing ---

    async def edit_exchange(self, request: web.Request) -> web.Response:
        """Set note and tags."""
        exchange = await self.whole(request)
        given = await body(request, note=str, tags=list)
        assert exchange.id is not None
        note = given.get("note", exchange.note)
        await self._edits.annotate(exchange.id, note, given["tags"] or [] if "tags" in given else list(exchange.tags))
        return answer(whole(await self.whole(request)))

    async def prepare_replay(self, request: web.Request) -> web.Response:
        """Give the request to edit."""
        exchange = await self.whole(request)
        assert exchange.id is not None
        return answer(await self._replaying.prepared(exchange.id))

    async def replay(self, request: web.Request) -> web.Response:
        """Send the request again."""
        exchange = await self.whole(request)
        given = await body(request, text=str, to=str, auth=str)
        assert exchange.id is not None
        found = await self._replaying.send(
            exchange.id, text=given.get("text"), to=given.get("to"), auth=given.get("auth")
        )
        return answer(found)

    async def edit_run(self, request: web.Request) -> web.Response:
        """Rename a run."""
        run = await self._run(request)
        given = await body(request, name=str, note=str)
        assert run.id is not None
        await self._edits.rename(run.id, given.get("name") or run.name, given.get("note", run.note))
        return answer(run_json(await self._run(request)))

    async def delete_run(self, request: web.Request) -> web.Response:
        """Delete a run."""
        run = await self._run(request)
        assert run.id is not None
        await self._edits.delete(run.id)
        return web.Response(status=204)

    async def replay_run(self, request: web.Request) -> web.Response:
        """Begin to send a run again."""
        run = await self._run(request)
        given = await body(request, to=str, auth=str, fresh_names=bool)
        assert run.id is not None
        return answer(
            await self._replays.begin(
                run.id, to=given.get("to"), auth=given.get("auth"), fresh_names=bool(given.get("fresh_names"))
            )
        )

    async def replay_of(self, request: web.Request) -> web.Response:
        """Tell how far a replay is."""
        return answer(self._replays.of(name_of(request, "run")))

    async def stop_replay(self, request: web.Request) -> web.Response:
        """End a replay."""
        self._replays.stop(name_of(request, "run"))
        return web.Response(status=204)

    async def match_of(self, request: web.Request) -> web.Response:
        """Tell which suites are followed."""
        run = await self._run(request)
        return answer(self.follows.told(run.id or 0))

    async def match(self, request: web.Request) -> web.Response:
        """Follow a suite."""
        run = await self._run(request)
        given = await body(request, suite=str, text=str, name=str)
        if run.kind not in RECORDINGS:
            raise UsageError(
                f"run {run.id} is no recording, but of kind {run.kind}", hint="suites are looked for in recordings"
            )
        told = await self.follows.begin(
            run.id or 0, suite=given.get("suite"), text=given.get("text"), name=given.get("name")
        )
        return answer(told)

    async def end_match(self, request: web.Request) -> web.Response:
        """Follow nothing in a run any more."""
        self.follows.stop(name_of(request, "run"))
        return web.Response(status=204)

    async def begin_mock(self, request: web.Request) -> web.Response:
        """Start a mock."""
        run = await self._run(request)
        given = await body(request, how=str)
        assert run.id is not None
        return answer(await self.mocks.begin(run.id, given.get("how") or next(iter(HOW))))

    async def list_mocks(self, _request: web.Request) -> web.Response:
        """List the mocks."""
        return answer({"mocks": self.mocks.all()})

    async def end_mock(self, request: web.Request) -> web.Response:
        """End a mock."""
        await self.mocks.end(name_of(request, "mock"))
        return web.Response(status=204)

    async def share_of(self, request: web.Request) -> web.Response:
        """Tell whether a run is shareable."""
        run = await self._run(request)
        found = await self._readers.ask(lambda _: open_shares(self._readers.path).get(run.id or 0))
        return answer(
            {"shareable": False}
            if found is None
            else {
                "shareable": True,
                "keep_names": found.keep_names,
                "created_at": iso(found.created_at),
                "expires_at": iso(found.expires_at),
            }
        )

    async def share(self, request: web.Request) -> web.Response:
        """Make a run shareable."""
        run = await self._run(request)
        given = await body(request, keep_names=bool)
        assert run.id is not None
        link = await self._sharing.share(run.id, keep_names=bool(given.get("keep_names")))
        return answer({"url": link["url"], "expires_at": iso(link["expires_at"])})

    async def unshare(self, request: web.Request) -> web.Response:
        """Make a run private."""
        run = await self._run(request)
        assert run.id is not None
        await self._sharing.unshare(run.id)
        return web.Response(status=204)

    # --- shared with the pages ---

    async def whole(self, request: web.Request) -> Exchange:
        """Return the exchange that the path names; raises NotThere."""
        number_of = name_of(request, "exchange")
        found = await self._readers.ask(lambda reader: reader.exchange(number_of))
        if found is None:
            raise NotThere(f"there is no exchange {number_of}", hint="it may have been pruned")
        return found

    async def _run(self, request: web.Request) -> Run:
        number_of = name_of(request, "run")
        found = await self._readers.ask(lambda reader: reader.run(number_of))
        if found is None:
            raise NotThere(f"there is no run {number_of}", hint="it may have been pruned")
        return found


_LARGEST_FILE = 256 * 1024 * 1024


def _fault(text: str) -> dict[str, Any] | None:
    """Return why a filter does not parse; None where it does."""
    try:
        parse_query(text)
    except SyntaxProblem as exc:
        return {"title": exc.message, "hint": exc.hint, "position": exc.position}
    return None


def _light_run(reader: Reader, run_id: int) -> Run | None:
    page = reader.run_page(before=run_id + 1, limit=1)
    return page[0] if page and page[0].id == run_id else None


def row_json(row: Row) -> dict[str, Any]:
    """Return an exchange of the list; a run that was kept with its secrets may have some in the query."""
    return exchange_json(replace(row, target=redact_target(row.target, Keep({}))))


def mark_json(mark: Any) -> dict[str, Any]:  # noqa: ANN401 - store's StepMark
    """Return which step made an exchange."""
    return {
        "exchange_id": mark.exchange_id,
        "run_id": mark.run_id,
        "number": mark.number,
        "note": mark.note,
        "result": mark.result,
    }


def _file(data: bytes, name: str) -> web.Response:
    return web.Response(
        body=data,
        content_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Content-Security-Policy": "sandbox"},
    )
