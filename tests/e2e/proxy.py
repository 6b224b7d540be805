"""`scimproxy up` in a process of its own, as a user starts it; ends with TERM, or with KILL where a test says so."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self


class Proxy:
    """A running recorder: `url` is where clients go, `events` what it printed so far."""

    def __init__(
        self, target: str, db: Path, *options: str, env: dict[str, str] | None = None, drain: bool = True
    ) -> None:
        self.db = db
        folder = db.parent if db.parent.is_dir() else db.parent.parent  # scimproxy makes the database's own folder
        self.errors = folder / f"{db.stem}.{os.getpid()}.err"
        self._err = self.errors.open("a+", encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "scimproxy", "up", target, "--db", str(db), "--port", "0", "--json", *options],
            stdout=subprocess.PIPE,
            stderr=self._err,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self.events: list[dict[str, Any]] = []
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reading = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.ready = self.wait_for("ready")
        self.url: str = self.ready["url"]
        if drain:
            self._reading.set()
        self.port = int(self.url.split("/")[2].rpartition(":")[2])

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line)
            self._reading.wait()
        self._lines.put(None)

    def _next(self) -> dict[str, Any] | None:
        line = self._lines.get(timeout=60)
        if line is None:
            return None
        event: dict[str, Any] = json.loads(line)
        self.events.append(event)
        return event

    def wait_for(self, kind: str) -> dict[str, Any]:
        """Read events until one of this kind comes."""
        while (event := self._next()) is not None:
            if event["event"] == kind:
                return event
        raise AssertionError(f"scimproxy ended before {kind!r}:\n{self.errors.read_text(encoding='utf-8')}")

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop, read what it still says, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sign)
        if self._reading.is_set():
            while self._next() is not None:
                pass
        code = self.process.wait(30)
        self._reading.set()
        self._close()
        return code

    def _close(self) -> None:
        self._reader.join(10)
        if self.process.stdout:
            self.process.stdout.close()
        self._err.close()

    def kill(self) -> None:
        """End it with KILL, as a crash would."""
        self.process.kill()
        self._reading.set()
        self.process.wait(10)
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.stop()
