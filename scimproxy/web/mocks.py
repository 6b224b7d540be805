"""Mocks that a page asked for: `scimproxy mock RUN`, each in a process of its own, ended with the inspector.

One rule: a mock is the program that a person would start, with the command line that the page shows; it lives as long
as its standard input, which ends with this process however that ends. Bounded: a few at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scimproxy.errors import EngineError, UsageError
from scimproxy.web.asking import NotThere
from scimproxy.web.edits import ReadOnly

__all__ = ["HOW", "Mocks", "command_line"]

HOW = {"recorded": (), "stateful": ("--stateful",)}
"""How a mock may answer, and the options that say so."""

_MOST = 4
_STARTS_S = 30.0
_ENDS_S = 5.0
_WORDS = 2_000
_BEGIN = """\
import os, signal, sys, threading
cut = sys.argv.index("--")
sys.path[:] = sys.argv[1:cut]
def leash():
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=leash, daemon=True).start()
from scimproxy.cli import cli
cli(sys.argv[cut + 1:])
"""


def command_line(db: Path, run_id: int, how: str = "recorded") -> list[str]:
    """Return what a person would write to start such a mock."""
    return ["scimproxy", "mock", str(run_id), *HOW[how], "--db", str(db.absolute())]


@dataclass(frozen=True, slots=True)
class _Mock:
    run_id: int
    how: str
    process: asyncio.subprocess.Process
    ready: dict[str, Any]
    draining: asyncio.Task[None]


class Mocks:
    """The mocks of one inspector, by the number of the run that each records."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self._path = path
        self._read_only = read_only
        self._one = asyncio.Lock()
        self._all: dict[int, _Mock] = {}
        self._closed = False

    def all(self) -> list[dict[str, Any]]:
        """Return those that run."""
        return [
            {
                "id": number,
                "run_id": one.run_id,
                "how": one.how,
                "url": one.ready["url"],
                "command": shlex.join(command_line(self._path, one.run_id, one.how)),
            }
            for number, one in self._all.items()
            if one.process.returncode is None
        ]

    async def begin(self, run_id: int, how: str) -> dict[str, Any]:
        """Start a mock of a run; return it when it listens.

        Raises:
            UsageError: nothing may be started here, or enough runs, or there is no such `how`.
            EngineError: it did not start; with its own words.
        """
        if self._read_only:
            raise ReadOnly("this inspector only shows", hint="`scimproxy mock RUN` starts a mock")
        if how not in HOW:
            raise UsageError(f"there is no mock {how[:40]!r}", hint=f"there are {', '.join(HOW)}")
        async with self._one:
            for number in [key for key, one in self._all.items() if one.process.returncode is not None]:
                await _end(self._all.pop(number))
            if self._closed or len(self._all) >= _MOST:
                raise UsageError(f"{_MOST} mocks run", hint="stop one")
            made = await _start(self._path, run_id, how)
            number = int(made.ready["run_id"])
            self._all[number] = made
        return next(one for one in self.all() if one["id"] == number)

    async def end(self, number: int) -> None:
        """End a mock in order; raises NotThere."""
        async with self._one:
            found = self._all.pop(number, None)
            if found is None:
                raise NotThere(f"there is no mock {number} that was started here")
            await _end(found)

    async def close(self) -> None:
        """End them all."""
        async with self._one:
            self._closed = True
            await asyncio.gather(*map(_end, self._all.values()))
            self._all.clear()


async def _start(db: Path, run_id: int, how: str) -> _Mock:
    arguments = [*command_line(db, run_id, how)[1:], "--port", "0", "--json"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-c", _BEGIN, *map(str, sys.path), "--", *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    said = bytearray()
    try:
        async with asyncio.timeout(_STARTS_S):
            while line := await process.stdout.readline():
                with contextlib.suppress(ValueError):
                    told = json.loads(line)
                    if isinstance(told, dict) and told.get("event") == "ready":
                        return _Mock(run_id, how, process, told, asyncio.create_task(_drain(process.stdout)))
                said += line[: max(0, _WORDS - len(said))]
    except (TimeoutError, ValueError):  # ValueError: a line without an end
        pass
    except BaseException:
        await _kill(process)
        raise
    await _kill(process)
    words = " ".join(said.decode("utf-8", "replace").split())
    raise EngineError(f"the mock did not start: {words or 'it said nothing'}")


async def _drain(stream: asyncio.StreamReader) -> None:
    """Read what it tells, so that it is never held up; it is in the database too."""
    while await stream.read(65_536):
        pass


async def _end(mock: _Mock) -> None:
    if mock.process.stdin is not None:
        mock.process.stdin.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ENDS_S):
            await mock.process.wait()
    await _kill(mock.process)
    mock.draining.cancel()
    await asyncio.gather(mock.draining, return_exceptions=True)


async def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    await process.wait()
