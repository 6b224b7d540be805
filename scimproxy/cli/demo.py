"""`scimproxy demo`: an embedded SCIM server, the recorder before it, a short session of our own client, a suite.

One rule: nothing in it is pretended: the session goes over real sockets through the same recorder that `up` runs.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scimproxy import __version__
from scimproxy.cli.group import INTERRUPTED
from scimproxy.cli.options import db_option, json_option
from scimproxy.cli.printer import Printer, notice
from scimproxy.cli.ui import inspecting, ui_options
from scimproxy.errors import ScimproxyError, UsageError

if TYPE_CHECKING:
    import aiohttp

    from scimproxy.app import Event, RecordOptions, Stop, Stopped
    from scimproxy.demo import Demo

__all__ = ["demo_command"]

_USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"
_PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_NAME = "aturing@example.com"
_TELLING_S = 5.0
"""How long to wait until the session is told; a terminal that does not read is not waited for."""


@click.command("demo")
@db_option
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Port of the recorder.  [default: any]")
@click.option("--serve", "keep", is_flag=True, help="Keep running after the session, until Ctrl-C.")
@click.option("--defect", "defects", multiple=True, metavar="NAME", help="Break the server this way; repeatable.")
@click.option("--list-defects", is_flag=True, help="List the defects and exit.")
@ui_options
@json_option("events")
def demo_command(
    *,
    db: Path,
    port: int,
    keep: bool,
    defects: tuple[str, ...],
    list_defects: bool,
    ui: bool,
    ui_port: int | None,
    share_port: int,
    as_json: bool,
) -> None:
    """See it work: a SCIM server, the recorder before it, a client that uses it, and a suite that checks it.

    The client creates, reads, changes and deletes a user through the recorder; then the bundled suite
    scim2-spec runs. Everything is in the database afterwards. With --defect the server misbehaves like
    some real ones do, and the suite says what is wrong. The server speaks SCIM 1.1 as well, at /scim/v1.
    """
    if list_defects:
        _list_defects(as_json=as_json)
        return
    from scimproxy.app import run_in_loop

    _check_defects(defects)

    async def play() -> Stopped:
        # Without --serve it is over before anybody has opened a page.
        async with inspecting(db, ui=ui and keep, ui_port=ui_port, share_port=share_port) as url:
            return await _play(db, port, keep=keep, defects=defects, as_json=as_json, inspector=url)

    stopped = run_in_loop(play())
    if not as_json:
        _what_next(stopped)
    if stopped.at_once:
        click.get_current_context().exit(INTERRUPTED)


def _check_defects(names: tuple[str, ...]) -> None:
    from difflib import get_close_matches

    from scimproxy.demo import DEFECTS

    for name in names:
        if name not in DEFECTS:
            near = get_close_matches(name, DEFECTS, n=1)
            raise UsageError(
                f"there is no defect {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
                hint="`scimproxy demo --list-defects` lists them",
            )


def _list_defects(*, as_json: bool) -> None:
    from scimproxy.cli.terminal import echo_json
    from scimproxy.demo import DEFECTS

    for name, defect in DEFECTS.items():
        if as_json:
            echo_json({"name": name, "breaks": defect.breaks, "reported_of": defect.reported_of})
            continue
        click.secho(name, bold=True)
        click.echo(click.wrap_text(defect.breaks, 78, "  ", "  "))
        if defect.reported_of not in {"", "-"}:
            click.echo(click.wrap_text(f"Reported of: {defect.reported_of}", 78, "  ", "    "))


async def _play(
    db: Path, port: int, *, keep: bool, defects: tuple[str, ...], as_json: bool, inspector: str | None = None
) -> Stopped:
    """Run server, recorder and session; return how it ended."""
    import asyncio

    from scimproxy.app import Ready, RecordOptions, Stop, record
    from scimproxy.demo import serve
    from scimproxy.proxy.engine import EngineOptions, Target

    async with await serve(defects=defects) as server:
        options = RecordOptions(
            engine=EngineOptions(target=Target.parse(server.url), listen_port=port),
            db=db,
            name="demo",
            kind="demo",
            tell_all=True,
        )
        printer = _printer(options, server, as_json=as_json)
        printer.inspector = inspector
        loop = asyncio.get_running_loop()
        listening: asyncio.Future[str] = loop.create_future()
        stop = Stop()
        check = _Check(db, server.token, as_json=as_json)

        def tell(event: Event) -> None:
            if check.hides(event):
                loop.call_soon_threadsafe(check.seen.set)
                return
            printer(event)
            if isinstance(event, Ready):
                loop.call_soon_threadsafe(listening.set_result, event.url)

        recording = asyncio.create_task(record(options, tell, stop))
        session = asyncio.create_task(_session(listening, server.token, stop, check, keep=keep))
        try:
            return await recording
        finally:
            session.cancel()
            await asyncio.gather(session, return_exceptions=True)


def _printer(options: RecordOptions, server: Demo, *, as_json: bool) -> Printer:
    from scimproxy.cli.terminal import echo_json

    if as_json:
        echo_json(
            {
                "event": "demo",
                "server": server.url,
                "server_1": server.url_1,
                "token": server.token,
                "user_id": server.user_id,
            }
        )
        return Printer(options, as_json=True)
    click.secho("A SCIM server runs inside this process, with a user and a group.", bold=True, err=True)
    click.echo(f"  {'Server':<12}{server.url}", err=True)
    click.echo(f"  {'SCIM 1.1':<12}{server.url_1}", err=True)
    click.echo(f"  {'Token':<12}{server.token}", err=True)
    return Printer(options, as_json=False, banner=_banner)


def _banner(url: str, database: str) -> None:
    click.echo(f"  {'Recorder':<12}{url}", err=True)
    click.echo(f"  {'Database':<12}{database}", err=True)
    click.echo("\nNow a client talks to the server through the recorder:\n", err=True)


async def _session(listening: Any, token: str, stop: Stop, check: _Check, *, keep: bool) -> None:  # noqa: ANN401 - a future
    """Use the server through the recorder, then end the recording (or leave it running)."""
    import aiohttp

    url = await listening
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/scim+json",
        "User-Agent": f"scimproxy-demo/{__version__}",
    }
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=30)) as http:
        await _Client(http, url).walk()
    await check.run(url)
    if keep:
        notice("note", "the session is over; the recorder and the server go on until Ctrl-C")
    else:
        stop("the session is over")


class _Check:
    """The suite after the session. Its exchanges are recorded like all others, but a person is not shown each."""

    def __init__(self, db: Path, token: str, *, as_json: bool) -> None:
        import asyncio

        self.seen = asyncio.Event()
        self._db = db
        self._token = token
        self._as_json = as_json
        self._began: float | None = None
        self._ended: float | None = None

    def hides(self, event: Event) -> bool:
        """Whether the event is an exchange of the suite, and its reader a person."""
        from scimproxy.app import Seen

        if self._as_json or self._began is None or not isinstance(event, Seen):
            return False
        return event.row.started_at >= self._began and (self._ended is None or event.row.started_at < self._ended)

    async def run(self, url: str) -> None:
        """Run the suite and say how it came out."""
        import asyncio

        from scimproxy.cli.demo_suite import SUITE, DemoSuite, print_result, suite_event
        from scimproxy.cli.run import _progress
        from scimproxy.cli.terminal import echo_json

        self._began = time.time()
        moves: list[Callable[[], None]] = []
        waiting = 0

        def moved() -> None:
            nonlocal waiting
            waiting += 1
            for move in moves:
                move()

        suite = DemoSuite(self._db, url, self._token, moved)
        running = asyncio.create_task(suite.run())
        told = asyncio.create_task(self.seen.wait())
        try:
            if self._as_json:
                echo_json(suite_event(await running))
                return
            # The first exchange of the suite comes to be told when all of the session have been.
            await asyncio.wait({running, told}, return_when=asyncio.FIRST_COMPLETED)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(told, _TELLING_S)
            click.echo(f"\nNow the suite {SUITE} checks the server, through the recorder:", err=True)
            with _progress(suite.options) as progress:
                if progress is not None:
                    moves.append(lambda: progress.update(0, completed=waiting))
                result = await running
            print_result(result, self._db)
        except ScimproxyError as exc:
            notice("warning", f"the suite could not be run: {exc.message}", exc.hint)
        finally:
            told.cancel()
            running.cancel()
            await asyncio.gather(running, told, return_exceptions=True)
            self._ended = time.time()


class _Client:
    """A SCIM client as simple as they come; a server with defects may answer anything, or nothing."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url

    async def walk(self) -> None:
        """Do what a provisioning client does with a new employee, from the first look to the last day."""
        await self._send("GET", "/ServiceProviderConfig")
        search = {"filter": f'userName eq "{_NAME}"', "startIndex": "1", "count": "100"}
        await self._send("GET", "/Users", query=search)
        made = await self._send("POST", "/Users", body=_new_user())
        user_id = str(made.get("id") or "no-id-was-given")
        await self._send("GET", f"/Users/{user_id}")
        await self._patch(f"/Users/{user_id}", [{"op": "replace", "path": "displayName", "value": "Alan M. Turing"}])
        groups = await self._send("GET", "/Groups", query={"filter": 'displayName eq "Tour Guides"'})
        found = groups.get("Resources")
        if isinstance(found, list) and found and isinstance(found[0], dict):
            member = [{"op": "add", "path": "members", "value": [{"value": user_id}]}]
            await self._patch(f"/Groups/{found[0].get('id')}", member)
        await self._send("POST", "/Users", body=_new_user())  # once more: a conflict, 409
        await self._patch(f"/Users/{user_id}", [{"op": "replace", "path": "active", "value": False}])
        await self._send("DELETE", f"/Users/{user_id}")
        await self._send("GET", f"/Users/{user_id}")  # gone: 404

    async def _patch(self, path: str, operations: list[dict[str, Any]]) -> None:
        await self._send("PATCH", path, body={"schemas": [_PATCH_URN], "Operations": operations})

    async def _send(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the JSON object of the answer; an empty one where there is none."""
        import aiohttp

        content = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/scim+json"}
        try:
            async with self._http.request(
                method, self._url + path, params=query, data=content, headers=headers
            ) as answer:
                document = json.loads(await answer.read() or b"{}")
        except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
            notice("note", f"the client got no usable answer to {method} {path}: {type(exc).__name__}")
            return {}
        return document if isinstance(document, dict) else {}


def _new_user() -> dict[str, Any]:
    return {
        "schemas": [_USER_URN],
        "userName": _NAME,
        "name": {"givenName": "Alan", "familyName": "Turing"},
        "emails": [{"value": _NAME, "type": "work", "primary": True}],
        "password": "never-stored-by-the-recorder",
        "active": True,
    }


def _what_next(stopped: Stopped) -> None:
    click.echo("\nTry next:", err=True)
    for command, what in (
        (f"scimproxy log {stopped.run_id}", "the exchanges again"),
        ("scimproxy results", "the suite, step by step"),
        ("scimproxy show ID", "one of them, with all of it"),
        ("scimproxy ui", "all of it in the browser"),
        ("scimproxy search Turing", "everything that holds a text"),
        (f"scimproxy export {stopped.run_id} --format curl", "the same requests as commands"),
        ("scimproxy demo --defect NAME", "a server that misbehaves"),
        ("scimproxy up http://127.0.0.1:8000/scim/v2", "your own server"),
    ):
        click.echo(f"  {command:<44}{what}", err=True)
