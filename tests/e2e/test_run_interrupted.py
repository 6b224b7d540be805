"""Ctrl-C as a terminal sends it, to the whole process group, whatever the run is doing at that moment."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from recording import command, environment

from scimproxy.store import Reader

DOINGS: dict[str, dict[str, Any]] = {
    "waits for an answer": {"step_type": "request", "method": "GET", "url": "{{base}}/second"},
    "pauses": {"step_type": "pause", "duration": 100},
    "runs a script": {
        "step_type": "request",
        "method": "GET",
        "url": "{{base}}/second",
        "before_scripts": ["while (true) {}"],
    },
}


@pytest.mark.parametrize("doing", DOINGS)
def test_ctrl_c_keeps_what_ended_and_reports_it(doing: str, tmp_path: Path) -> None:
    first = {"step_type": "request", "method": "GET", "url": "{{base}}/first"}
    suite = tmp_path / "suite.json"
    suite.write_text(json.dumps({"name": "s", "steps": [first, DOINGS[doing], first]}))
    junit, db = tmp_path / "junit.xml", tmp_path / "a.db"
    with ExitStack() as held:
        listener = held.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(60)
        args = ["--var", f"base=http://127.0.0.1:{listener.getsockname()[1]}", "--junit", str(junit), "--db", str(db)]
        process = subprocess.Popen(
            [*command("run", str(suite)), *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            start_new_session=True,
        )
        try:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
                assert process.stdout is not None
                assert process.stdout.readline().startswith("pass     1  200")
                if doing == "waits for an answer":
                    unanswered, _ = listener.accept()
                    held.callback(unanswered.close)
                    assert b"GET /second" in unanswered.recv(65_536)
                os.killpg(process.pid, signal.SIGINT)
                out, err = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait(30)
    assert process.returncode == 130, err
    assert "Interrupted: 1 passed" in out
    assert "what ended before that is kept" in err
    assert "Traceback" not in err
    assert ET.fromstring(junit.read_text()).attrib["tests"] == "1"
    with Reader.open(db) as reader:
        result = reader.suite(1)
        assert result is not None
        assert [(step.number, step.result) for step in result.steps] == [("1", "pass")]
        (step,) = result.steps
        assert step.exchange_id is not None
        kept = reader.exchange(step.exchange_id)
        assert kept is not None and kept.request.target == "/first"
