"""What is handed to Locust: arguments, secrets, exit codes. tests/e2e/test_exports.py runs the real one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from driving import RUN
from factories import exchange, request, response

from scimproxy import load as module
from scimproxy.errors import ScimproxyError, UsageError
from scimproxy.exchange import Exchange, fingerprint
from scimproxy.exports.variables import Plan, plan
from scimproxy.load import Load, run_locust, secrets_for

MARK, OTHER = fingerprint("tok"), fingerprint("key")


def sent(**headers: str) -> Exchange:
    return exchange(request=request(headers={name.replace("_", "-"): value for name, value in headers.items()}))


def planned(*exchanges: Exchange) -> Plan:
    return plan(RUN, exchanges)


def test_the_token_is_taken_without_its_scheme() -> None:
    bearer = planned(sent(Authorization=f"Bearer {MARK}"))
    for given in ("Bearer tok", "bearer  tok ", "tok"):
        assert secrets_for(bearer, given, {"SCIM_AUTH": "other"}) == {"SCIM_AUTH": "tok"}
    assert secrets_for(bearer, None, {"SCIM_AUTH": "Bearer tok"}) == {"SCIM_AUTH": "tok"}
    assert secrets_for(bearer, "Basic eDp5", {}) == {"SCIM_AUTH": "Basic eDp5"}
    bare = planned(exchange(), sent(Authorization=MARK))
    assert secrets_for(bare, "Bearer tok", {}) == {"SCIM_AUTH": "Bearer tok"}
    assert secrets_for(planned(exchange()), "Bearer tok", {}) == {}


def test_what_is_missing_is_named() -> None:
    with pytest.raises(UsageError, match=f"a secret, {MARK}") as caught:
        secrets_for(planned(sent(Authorization=f"Bearer {MARK}")), None, {})
    assert caught.value.hint is not None and "--auth" in caught.value.hint
    password = exchange("POST", body={"password": MARK})
    assert secrets_for(planned(password), None, {}) == {}
    refused = exchange(request=request(headers={"Authorization": f"Bearer {OTHER}"}), response=response(401))
    right = sent(Authorization=f"Bearer {MARK}")
    assert secrets_for(planned(refused, right), "tok", {}) == {"SCIM_AUTH": "tok"}
    two = planned(right, right, sent(Authorization=f"Bearer {OTHER}"))
    with pytest.raises(UsageError) as caught:
        secrets_for(two, "tok", {})
    assert caught.value.hint == "give it in the environment: SCIM_SECRET_2=... scimproxy replay ..."


STANDIN = """
import json, os, sys
json.dump({"argv": sys.argv, "env": dict(os.environ), "file": open(sys.argv[sys.argv.index("-f") + 1]).read()}, open("told.json", "w"))
if "--wait" in os.environ.get("SCIM_AUTH", ""):
    print("ready", flush=True)
    sys.stdin.read()
sys.exit(int(os.environ["CODE"]))
"""


@pytest.fixture
def standin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module named locust, which notes what it was given."""
    (tmp_path / "locust.py").write_text(STANDIN, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "told.json"


@pytest.mark.parametrize(("code", "given"), [("0", 0), ("1", 1)])
def test_arguments(code: str, given: int, standin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODE", code)
    monkeypatch.setenv("LOCUST_USERS", "5")
    load = Load(
        host="http://h/scim",
        users=40,
        duration_s=90.4,
        report=Path("r.html"),
        processes=2,
        as_json=True,
        pause_s=0.5,
        secrets={"SCIM_AUTH": "tok-secret"},
    )
    assert run_locust(planned(sent(Authorization=f"Bearer {MARK}")), load) == given
    told = json.loads(standin.read_text(encoding="utf-8"))
    assert "tok-secret" not in repr(load) + told["file"] + " ".join(told["argv"])
    assert " ".join(told["argv"][3:]) == (
        "--host http://h/scim --headless --users 40 --spawn-rate 4 --only-summary --loglevel WARNING"
        " --run-time 90s --html r.html --processes 2 --json"
    )
    assert (told["env"]["SCIM_AUTH"], told["env"]["SCIM_PAUSE"]) == ("tok-secret", "0.5")
    assert "LOCUST_USERS" not in told["env"] and not Path(told["argv"][2]).exists()
    assert run_locust(planned(), Load(host="http://h", spawn_rate=2.5)) == given
    assert "--spawn-rate 2.5" in " ".join(json.loads(standin.read_text(encoding="utf-8"))["argv"])


def test_other_ends_are_errors(standin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODE", "7")
    with pytest.raises(ScimproxyError, match="Locust ended with 7"):
        run_locust(planned(), Load(host="http://h"))


def test_a_load_that_sent_nothing_is_an_error(standin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODE", "3")
    with pytest.raises(ScimproxyError, match="no request came to an end"):
        run_locust(planned(), Load(host="http://h"))


def test_without_locust(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ScimproxyError) as caught:
        run_locust(planned(), Load(host="http://h"))
    assert caught.value.hint is not None and "scimproxy[load]" in caught.value.hint


WAITING = "import signal, sys\nsignal.signal(signal.SIGINT, {handler})\nprint('up', flush=True)\nsys.stdin.read()\nwhile True: signal.pause()"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("handler", ["lambda *_: sys.exit(0)", "signal.SIG_IGN"])
def test_ctrl_c_ends_locust(handler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GRACE_S", 0.2)
    code = WAITING.format(handler=handler)
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        wait, pressed = child.wait, iter([True])

        def interrupted(timeout: float | None = None) -> int:
            if next(pressed, False):
                raise KeyboardInterrupt
            return wait(timeout)

        monkeypatch.setattr(child, "wait", interrupted)
        assert module._waited(child) == 130
        assert child.returncode in {0, -signal.SIGKILL}


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_term_ends_locust_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locust.py").write_text("import signal\nopen('up', 'w').close()\nsignal.pause()", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)

    def end_us() -> None:
        until = time.monotonic() + 30
        while not Path("up").exists() and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=end_us)
    thread.start()
    assert run_locust(planned(), Load(host="http://h")) == 130
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
