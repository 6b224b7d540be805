"""`scimproxy up` in a process of its own, for tests: started, asked over real sockets, ended by its pid."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent


def command(*args: str) -> list[str]:
    """The command line of scimproxy with this interpreter."""
    return [sys.executable, "-m", "scimproxy", *args]


def environment(**more: str) -> dict[str, str]:
    """Our environment, without what would change the output."""
    kept = {name: value for name, value in os.environ.items() if name not in {"FORCE_COLOR", "COLUMNS"}}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def run(*args: str, timeout: float = 60, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*args), capture_output=True, text=True, timeout=timeout, env=environment(**more), check=False
    )


class Up:
    """A recording with `--json`; its events are read one by one."""

    verb = "up"

    def __init__(self, target: str, db: Path, *args: str) -> None:
        given = [self.verb, target, "--port", "0", "--db", str(db), "--json", *args]
        self.process = subprocess.Popen(
            command(*given), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
        )
        self.seen: list[dict[str, Any]] = []
        self.ready = self.wait_for("ready")
        self.url: str = self.ready["url"]

    def event(self) -> dict[str, Any]:
        """The next event; fails with what the process said where there is none."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            assert self.process.stderr is not None
            raise AssertionError(f"exit code {self.process.wait()}: {self.process.stderr.read()}")
        self.seen.append(json.loads(line))
        return self.seen[-1]

    def wait_for(self, name: str, **fields: Any) -> dict[str, Any]:
        """The next event of a name, with these values."""
        while True:
            event = self.event()
            if event["event"] == name and all(event.get(key) == value for key, value in fields.items()):
                return event

    def wait_for_any(self, *names: str) -> dict[str, Any]:
        """The next event of one of these names."""
        while (event := self.event())["event"] not in names:
            pass
        return event

    def ask(
        self, method: str = "GET", path: str = "/Users", body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes]:
        """Send a request through the recorder; status and body of the answer."""
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        try:
            connection.request(method, parts.path + path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> dict[str, Any]:
        """End it in order; returns the last event."""
        self.process.send_signal(number)
        stopped = self.wait_for("stopped")
        self.code = self.process.wait(30)
        return stopped

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


class Mocking(Up):
    """A mock of a run, told like a recording."""

    verb = "mock"
