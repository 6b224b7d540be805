"""Any program that makes a tunnel: started, its URL read from what it prints, ended.

One rule: the tunnel is up when the program has told its URL (or, where the URL is known, has kept running for a
moment), and it is over when the program ends. Place in the flow: below the supervisor, which starts it again.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections import deque
from pathlib import Path
from typing import Any

from scimproxy.tunnel.contract import Change, Ended, Local, TunnelError, TunnelUp
from scimproxy.tunnel.ngrok_errors import clean
from scimproxy.tunnel.process import Program
from scimproxy.tunnel.recipes import Recipe, find_url

__all__ = ["Command"]

SETTLED_S = 1.5
"""A program whose URL is known is believed when it has run for so long."""
_KEPT_LINES = 20


class Command:
    """The provider behind `--tunnel command:...`, the recipes and ssh.

    Args:
        recipe: the program.
        to: what the user wrote after the recipe's name.
        public_url: the URL, where it is known already.
    """

    def __init__(self, recipe: Recipe, to: str = "", *, public_url: str | None = None) -> None:
        self.name = recipe.name
        self.traits = recipe.traits
        self._recipe = recipe
        self._to = to
        self._public_url = public_url
        self._settled = recipe.settled if public_url is not None else None
        self._program: Program | None = None
        self._told: asyncio.Future[str] | None = None
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)

    def check(self) -> None:
        """Look for the program.

        Raises:
            TunnelError: it is not installed.
        """
        program = self._recipe.command[0]
        if shutil.which(program) is None and not Path(program).is_file():
            where = f"install it: {self._recipe.install}" if self._recipe.install else "check the spelling"
            raise TunnelError(f"there is no program {program!r} on this machine", hint=where, fatal=True)

    async def open(self, local: Local, wanted: str | None = None) -> TunnelUp:
        """Start the program and wait for its URL.

        Raises:
            TunnelError: it ends, or does not tell a URL in time.
        """
        self.check()
        self._lines.clear()
        self._told = asyncio.get_running_loop().create_future()
        self._program = program = Program(self._recipe.argv(local, self._to, wanted), self._hear)
        patience = self._recipe.start_s
        if self._public_url is not None and self._settled is None:
            patience = SETTLED_S
        waited: set[asyncio.Future[Any]] = {self._told, program.ended}
        await asyncio.wait(waited, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if self._told.done() and not program.ended.done():
            return TunnelUp(url=self._told.result(), stable=self.traits.stable_url)
        if program.ended.done():
            error = self._over(program.ended.result())
        elif self._public_url is not None and self._settled is None:
            return TunnelUp(url=self._public_url, stable=True)
        else:
            error = TunnelError(
                f"{self.name} told no public URL within {patience:.0f} s{self._last_words()}",
                hint="name the pattern of its URL with --tunnel-url-pattern, or the URL with --public-url",
            )
        await self.close()
        raise error

    async def watch(self) -> Change:
        """Wait for the program's end."""
        program = self._program
        assert program is not None
        return Ended(self._over(await asyncio.shield(program.ended)))

    async def close(self, *, at_once: bool = False) -> None:
        """End the program and all that it started."""
        program, self._program = self._program, None
        if program is not None:
            await program.end(at_once=at_once)

    def _hear(self, line: str) -> None:
        if line and not (self._recipe.noise is not None and line.startswith(self._recipe.noise)):
            self._lines.append(line)
        if self._told is None or self._told.done():
            return
        if self._settled is not None and self._public_url is not None and re.search(self._settled, line):
            self._told.set_result(self._public_url)
        elif self._public_url is None and (url := find_url(line, self._recipe)) is not None:
            self._told.set_result(url)

    def _over(self, code: int) -> TunnelError:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return TunnelError(
            f"{self.name} has ended ({how}){self._last_words()}", hint="try its command by hand", fatal=code == 127
        )

    def _last_words(self) -> str:
        failure = self._recipe.failure
        told = [line for line in self._lines if failure is not None and re.search(failure, line)] or list(self._lines)
        return f": {clean(told[-1])}" if told else ""
