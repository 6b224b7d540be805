"""Scripts that mean harm: each is one script that ended badly, with a sentence, and nothing else is touched."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scimproxy.suite.script import ScriptCall, ScriptEngine, ScriptLimits

ROOT = Path(__file__).resolve().parent.parent
SHORT = ScriptLimits(time_s=0.3, memory_bytes=32 << 20)


@pytest.fixture(name="engine", scope="module")
def _engine() -> Iterator[ScriptEngine]:
    with ScriptEngine(SHORT) as engine:
        yield engine


TIME = "the script ran longer than 0.3 s and was stopped"
MEMORY = "the script needs more than 32 MB of memory and was stopped"
STACK = "the script calls itself too deeply: its stack is used up"
PROMISE = "promises and async functions are not run"

HOSTILE = {
    "endless loop": ("while (true);", TIME),
    "loop that catches": ("while (true) { try { while (true); } catch (e) {} }", TIME),
    "loop in finally": ("try { while (true); } finally { while (true); }", TIME),
    "endless generator": ("function* g() { while (true) yield 1 } for (var x of g());", TIME),
    "catastrophic regex": ("/^(a+)+$/.test('a'.repeat(40) + 'b')", TIME),
    "catastrophic replace": ("'a'.repeat(50).replace(/(a*)*b/, '')", TIME),
    "endless sort": ("[3, 1, 2].sort(function () { while (true); })", TIME),
    "endless predicate": ("_.filter([1], function () { while (true); })", TIME),
    "endless toJSON": ("variables.set('a', { toJSON: function () { while (true); } })", TIME),
    "endless getter": ("variables.set('a', { get b() { while (true); } })", TIME),
    "endless toJSON of all": ("Object.prototype.toJSON = function () { while (true); }; variables.set('a', {})", TIME),
    "endless proxy": ("log(new Proxy({}, { ownKeys: function () { while (true); } }))", TIME),
    "endless promise": ("Promise.resolve().then(function () { while (true); })", TIME),
    "promise chain": ("(function again() { Promise.resolve().then(again) })()", PROMISE),
    "endless allocation": ("var a = []; while (true) a.push(new Array(1000).fill(1))", MEMORY),
    "allocation that catches": ("var a = []; while (true) { try { while (true) a.push('x'.repeat(1e5) + a.length) } catch (e) {} }", None),
    "doubling text": ("var s = 'x'; while (true) { s = s + s; s.indexOf('y') }", None),
    "huge text": ("'x'.repeat(1e8)", MEMORY),
    "huge buffer": ("new ArrayBuffer(1e9)", MEMORY),
    "huge shared buffer": ("new SharedArrayBuffer(1e9)", MEMORY),
    "huge list": ("new Array(4294967295).fill(0)", None),
    "endless recursion": ("function r() { r() } r()", STACK),
    "recursion that catches": ("function r() { try { r() } catch (e) { r() } } r()", None),
    "recursion of toString": ("var o = { toString: function () { return '' + o } }; '' + o", STACK),
    "deep JSON": ("JSON.parse('['.repeat(1e6))", None),
    "deep regex": ("new RegExp('('.repeat(1e5) + ')'.repeat(1e5))", None),
    "deep list": ("var o = 1; for (var i = 0; i < 1e5; i++) o = [o]; variables.set('o', o)", None),
    "nested list": ("var o = 1; for (var i = 0; i < 500; i++) o = [o]; variables.set('o', o)", "nested deeper than 100 levels"),
    "huge log": ("log('x'.repeat(1e6))", "the script's log is longer than 262144 characters"),
    "100 MB log": ("for (var i = 0; i < 1e5; i++) log('x'.repeat(1000))", "the script's log is longer than 262144 characters"),
    "log that catches": ("while (true) try { log('x'.repeat(1000)) } catch (e) {}", None),
    "huge variable": ("variables.set('x', 'y'.repeat(9e6))", "the values given to variables.set are longer than 8388608"),
    "many variables": ("for (var i = 0; i < 1e6; i++) variables.set('x' + i, 'yyyyyyyyyyyyyyyyyyyy')", None),
    "huge body": ("request.body = 'x'.repeat(2e7); request.url = 'y'.repeat(2e7)", None),
    "python": ("python.eval('1')", "python is not defined"),
    "import": ("import('os')", PROMISE),
    "import of a file": ("import('/etc/passwd')", PROMISE),
    "import statement": ("import * as os from 'os'", "SyntaxError"),
    "require": ("require('child_process').exec('id')", "require('child_process') is not available"),
    "process": ("process.env", "process is not defined"),
    "std": ("std.open('/etc/passwd', 'r')", "std is not defined"),
    "os": ("os.exec(['id'])", "os is not defined"),
    "constructor's constructor": ("this.constructor.constructor('return process')()", "process is not defined"),
    "constructor of log": ("log.constructor('return kit')()", "kit is not defined"),
    "caller": ("(function f() { return f.caller.arguments })()", None),
    "network": ("fetch('http://localhost')", "fetch is not available"),
    "blocking": ("Atomics.wait(new Int32Array(new SharedArrayBuffer(8)), 0, 0)", "cannot block"),
    "thrown getter": ("throw { get message() { throw this }, toString() { throw this } }", "the script threw"),
    "thrown loop": ("throw Object.defineProperty(new Error(), 'message', { get() { while (true); } })", TIME),
    "getter on a header": ("Object.defineProperty(request.headers, 'X', { enumerable: true, get() { throw new Error('no') } })", "cannot be read"),
    "getter on the request": ("Object.defineProperty(request, 'body', { get() { while (true); } })", TIME),
    "own stack": ("Error.prepareStackTrace = function () { while (true); }; null.x", None),
}  # fmt: skip

REQUEST = {"method": "GET", "url": "http://h/", "headers": {"A": ["b"]}, "params": [], "form": {}, "body": ""}


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_one_errored_script(engine: ScriptEngine, name: str) -> None:
    source, sentence = HOSTILE[name]
    outcome = engine.run_blocking(ScriptCall(source, request=REQUEST))
    assert outcome.status == "errored", outcome
    assert outcome.error
    assert len(outcome.error) <= 4000
    if sentence:
        assert sentence in outcome.error
    after = engine.run_blocking(ScriptCall("variables.set('alive', 1)"))
    assert after.variables == {"alive": 1}


GAMES = (
    "Object.prototype.status = 'passed'; Object.prototype.error = null; assert.equal(1, 2)",
    'JSON.stringify = function () { return \'{"status":"passed"}\' }; assert.equal(1, 2)',
    "Array.prototype.map = Array.prototype.push = Object.keys = null; assert.equal(1, 2)",
    "chai.AssertionError.prototype.name = 'Fine'; assert.equal(1, 2)",
    "Object.setPrototypeOf(variables, null); String = Number = Object = Error = undefined; assert.equal(1, 2)",
    "globalThis.eval = globalThis.log = globalThis.assert = null; expect(1).to.equal(2)",
    "Object.defineProperty(Object.prototype, 'flags_', { get() { return {} } }); assert.equal(1, 2)",
    "variables.__proto__.polluted = 1; ({}).__proto__.get = 5; Object.freeze(Object.prototype); assert.equal(1, 2)",
    "delete globalThis.JSON; delete globalThis.Object; assert.equal(1, 2)",
    "WeakSet.prototype.has = function () { return false }; RegExp.prototype.exec = null; assert.equal(1, 2)",
)


@pytest.mark.parametrize("source", GAMES)
def test_prototype_games_do_not_make_a_pass_and_reach_no_other_script(engine: ScriptEngine, source: str) -> None:
    outcome = engine.run_blocking(ScriptCall(source))
    assert outcome.status in {"failed", "errored"}
    assert outcome.error
    clean = "assert.equal(({}).polluted, undefined); assert.equal(({}).status, undefined); _.map([1], JSON.stringify); log(String(1))"
    after = engine.run_blocking(ScriptCall(clean))
    assert (after.status, after.log, after.check_count) == ("passed", ("1",), 2)


def test_what_a_stopped_script_had_done_is_kept(engine: ScriptEngine) -> None:
    outcome = engine.run_blocking(ScriptCall("variables.set('a', 1); log('here'); while (true);"))
    assert (outcome.error, outcome.log, outcome.variables) == (TIME, ("here",), {"a": 1})


def test_half_a_surrogate_pair_can_be_stored(engine: ScriptEngine) -> None:
    outcome = engine.run_blocking(ScriptCall("variables.set('\\ud800', '\\udc00x'); log('\\ud800')"))
    assert outcome.variables == {"\ufffd": "\ufffdx"}
    assert outcome.log == ("\ufffd",)


def test_too_large_is_not_even_sent(engine: ScriptEngine) -> None:
    pid = engine.start()
    assert "longer than 1048576 characters" in str(engine.run_blocking(ScriptCall("1;" * (1 << 20))).error)
    huge = engine.run_blocking(ScriptCall("1", response={"body": "x" * (65 << 20)}))
    assert "more than 64 MB" in str(huge.error)
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]
    assert "cannot be handed over" in str(engine.run_blocking(ScriptCall("1", variables={"d": deep})).error)  # type: ignore[dict-item]  # too deep on purpose
    while isinstance(deep, list):
        deep = deep.pop()
    assert engine.start() == pid


def test_a_body_of_ten_megabytes_is_handed_over() -> None:
    body = (
        '{"Resources": ['
        + ",".join(f'{{"id": "{n}", "userName": "user-{n}@example.com"}}' for n in range(180_000))
        + "]}"
    )
    with ScriptEngine() as engine:
        outcome = engine.run_blocking(
            ScriptCall("variables.set('n', JSON.parse(response.body).Resources.length)", response={"body": body})
        )
    assert outcome.variables == {"n": 180_000}


def resident(pid: int | str = "self") -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_worker_that_ends_itself_is_told(engine: ScriptEngine) -> None:
    """As a crash of the engine would: the process is gone in the middle of a script."""
    pid = engine.start()
    killer = subprocess.Popen(
        [sys.executable, "-c", f"import os, time\ntime.sleep(0.1)\nos.kill({pid}, {signal.SIGKILL})"]
    )
    outcome = engine.run_blocking(ScriptCall("while (true);"))
    assert killer.wait() == 0
    assert outcome.status == "errored"
    assert outcome.cause in {"died", "time"}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_a_hundred_in_a_row_leave_memory_flat() -> None:
    limits = ScriptLimits(time_s=0.05, memory_bytes=16 << 20)
    sources = [source for source, _ in HOSTILE.values()]
    with ScriptEngine(limits) as engine:
        for source in sources:
            engine.run_blocking(ScriptCall(source, request=REQUEST))
        gc.collect()
        before, files = resident(), open_files()
        for number in range(100):
            outcome = engine.run_blocking(ScriptCall(sources[number % len(sources)], request=REQUEST))
            assert outcome.status == "errored"
        gc.collect()
        assert resident() - before < 8 << 20
        assert open_files() <= files
        pid = engine.start()
        assert resident(pid) < 64 << 20
    assert not Path(f"/proc/{pid}").exists()


PARENT = """
import sys
from scimproxy.suite.script import ScriptCall, ScriptEngine
engine = ScriptEngine()
print(engine.start(), flush=True)
if sys.argv[1] == "run":
    engine.run_blocking(ScriptCall("while (true);"))
elif sys.argv[1] == "wait":
    sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["run", "wait", "leave"])
def test_no_worker_outlives_its_parent(how: str) -> None:
    """Killed while a script loops, killed while idle, or ended without closing the engine."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, how], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    worker = int(parent.stdout.readline())
    watch = os.pidfd_open(worker) if hasattr(os, "pidfd_open") else None
    if how != "leave":
        parent.kill()
    parent.wait(20)
    parent.stdin.close()
    parent.stdout.close()
    if watch is None:
        pytest.skip("only Linux can wait for a process that is not a child")
    import select

    ended, _, _ = select.select([watch], [], [], 10)
    os.close(watch)
    assert ended


def test_an_interrupt_of_the_terminal_does_not_reach_the_worker(engine: ScriptEngine) -> None:
    pid = engine.start()
    os.kill(pid, signal.SIGINT)
    assert engine.run_blocking(ScriptCall("variables.set('a', 1)")).variables == {"a": 1}
    assert engine.start() == pid
