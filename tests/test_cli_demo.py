from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from recording import command, environment, run

from scimproxy.cli import cli
from scimproxy.demo import DEFECTS
from scimproxy.store import Reader


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_the_demo_records_a_whole_session(tmp_path: Path) -> None:
    done = run("demo", "--db", str(tmp_path / "a.db"), COLUMNS="80")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    lines = done.stdout.splitlines()
    assert {len(line) for line in lines} == {80}
    assert [line.split()[-3].rstrip("!") for line in lines] == [
        "200", "200", "201", "200", "200", "200", "200", "409", "200", "204", "404",
    ]  # fmt: skip
    assert "Create User aturing@example.com" in lines[2]
    for words in ("Token", "Stopped (the session is over). Run 1: 11 exchanges in", "scimproxy log 1"):
        assert words in done.stderr
    with Reader.open(tmp_path / "a.db") as reader:
        recorded = reader.run(1)
        assert recorded is not None
        assert (recorded.kind, recorded.name, recorded.exchange_count) == ("demo", "demo", 11)
    assert not leaks(tmp_path, b"never-stored-by-the-recorder")


def leaks(folder: Path, secret: bytes) -> bool:
    return any(secret in file.read_bytes() for file in folder.iterdir())


def test_the_demo_as_json_with_defects(tmp_path: Path) -> None:
    given = ["--json", "--defect", "create-200", "--defect", "error-html"]
    done = run("demo", "--db", str(tmp_path / "a.db"), *given)
    assert done.returncode == 0
    first, *rest = events(done.stdout)
    assert first["event"] == "demo"
    assert first["token"]
    assert [event["event"] for event in rest] == ["ready", *["exchange"] * 11, "stopped"]
    assert rest[3]["status_code"] == 200


def test_a_server_that_cuts_its_answers_does_not_stop_the_demo(tmp_path: Path) -> None:
    done = run("demo", "--db", str(tmp_path / "a.db"), "--defect", "closes-early", "--json")
    assert done.returncode == 0
    stopped = events(done.stdout)[-1]
    assert stopped["event"] == "stopped"
    assert stopped["failures"] > 0


def test_the_demo_serves_until_it_is_told(tmp_path: Path) -> None:
    with subprocess.Popen(
        command("demo", "--serve", "--json", "--db", str(tmp_path / "a.db")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stderr is not None
        assert "go on until Ctrl-C" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert events(out)[-1]["reason"] == "SIGINT"


def test_the_defects_are_listed() -> None:
    result = CliRunner().invoke(cli, ["demo", "--list-defects"])
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    listed = events(CliRunner().invoke(cli, ["demo", "--list-defects", "--json"]).stdout)
    assert [it["name"] for it in listed] == list(DEFECTS)


def test_an_unknown_defect(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["demo", "--defect", "create200", "--db", str(tmp_path / "a.db")])
    assert result.exit_code == 2
    assert "there is no defect 'create200'; did you mean 'create-200'?" in result.stderr
    assert not (tmp_path / "a.db").exists()
