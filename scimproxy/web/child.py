"""The inspector beside a recording: in a process of its own, started again when it dies, ended with its parent.

One rule: nothing of it runs in the recorder's process, so that a page that is looked at takes nothing from the hot
path but what any other program on this machine takes. The token goes through the child's standard input: it stands in
no command line, no environment and no file. The end of that input is the wish to stop, whatever made it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scimproxy.errors import EngineError

__all__ = ["ChildOptions", "beside", "main"]

USUAL_PORT = 8081
"""Where it listens unless told otherwise, if nobody else does."""

_BEGIN = "import sys; sys.path[:] = sys.argv[1:]; from scimproxy.web.child import main; main()"
_AGAIN_S = 1.0
_STARTS_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildOptions:
    """What to show. `port` None: the usual one, or any where that is taken."""

    db: Path
    token: str
    host: str = "127.0.0.1"
    port: int | None = None
    suites: tuple[str, ...] = ()
    """Suites to look for in the recording that begins next."""
    share_port: int = 0
    """Of the listener for shareable runs; 0: any."""


class _Child:
    def __init__(self, options: ChildOptions) -> None:
        self._options = options
        self._process: asyncio.subprocess.Process | None = None
        self.port = 0
        self._after_run: int | None = None

    async def start(self) -> None:
        given = self._options
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-c", _BEGIN, *map(str, sys.path),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        # Started again it takes the port that it had: pages that are open find it there.
        told = {
            "db": str(given.db.absolute()),
            "token": given.token,
            "host": given.host,
            "port": self.port or given.port,
            "suites": list(given.suites),
            "after_run": self._after_run,
            "share_port": given.share_port,
        }
        process.stdin.write(json.dumps(told).encode() + b"\n")
        try:
            async with asyncio.timeout(_STARTS_S):
                line = await process.stdout.readline()
        except TimeoutError:
            line = b""
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the inspector did not start", "hint": None}
        if "error" in answer:
            await self.stop()
            raise EngineError(answer["error"], hint=answer["hint"])
        self.port = answer["port"]
        self._after_run = answer["after_run"]

    async def keep(self) -> None:
        """Start it again whenever it ends, for ever."""
        while True:
            if self._process is not None:
                await self._process.wait()
            await asyncio.sleep(_AGAIN_S)
            with contextlib.suppress(EngineError, OSError, ValueError):  # no process to be had, half a line of it
                await self.start()

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(3.0):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@asynccontextmanager
async def beside(options: ChildOptions) -> AsyncIterator[str]:
    """Run an inspector during the block; gives its URL, with the token in the fragment.

    Raises:
        EngineError: it cannot listen there.
    """
    child = _Child(options)
    await child.start()
    keeping = asyncio.create_task(child.keep())
    host = f"[{options.host}]" if ":" in options.host else options.host
    try:
        yield f"http://{host}:{child.port}/#token={options.token}"
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await child.stop()


# --- in the child


async def _serve(given: dict[str, Any]) -> None:
    from scimproxy.web.server import Inspector, InspectorOptions  # noqa: PLC0415 - the parent needs nothing of it

    port = given["port"]
    inspector = None
    for one in [USUAL_PORT, 0] if port is None else [port]:
        inspector = Inspector(
            InspectorOptions(
                db=Path(given["db"]),
                token=given["token"],
                host=given["host"],
                port=one,
                read_only=False,
                beside_recorder=True,
                suites=tuple(given["suites"]),
                after_run=given["after_run"],
                share_port=given["share_port"],
            )
        )
        try:
            await inspector.start()
        except EngineError as exc:
            if port is None and one:
                continue
            _tell({"error": exc.message, "hint": exc.hint})
            return
        break
    assert inspector is not None
    _tell({"port": inspector.port, "after_run": inspector.after_run})
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the parent ends
    await inspector.stop()


def _tell(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201 - the way to the parent


def main() -> None:
    """Serve what the first line of the standard input says, until that input ends."""
    line = sys.stdin.readline()
    if line:
        asyncio.run(_serve(json.loads(line)))
