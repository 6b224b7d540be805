"""What a script finds, what comes back, and that our Chai, Underscore, Moment and CryptoJS say what the real ones say."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import script_cases

from scimproxy.suite import script
from scimproxy.suite.script import (
    ScriptCall,
    ScriptCheck,
    ScriptEngine,
    ScriptEngineMissing,
    ScriptLimits,
    ScriptOutcome,
)

ROOT = Path(__file__).resolve().parent.parent
OKTA = ROOT.parent / "shared" / "okta"
REAL = ROOT / ".peers" / "js"


@pytest.fixture(name="engine", scope="module")
def _engine() -> Iterator[ScriptEngine]:
    with ScriptEngine() as engine:
        yield engine


REQUEST = {
    "method": "POST",
    "url": "https://h.example/Users?a=1",
    "scheme": "https",
    "host": "h.example",
    "path": "/Users",
    "params": [{"name": "a", "value": "1"}],
    "headers": {"Content-Type": ["application/json"], "X-Many": ["1", "2"]},
    "form": {},
    "body": '{"a":1}',
    "size_bytes": 7,
}
RESPONSE = {
    "status": 200,
    "reason": "OK",
    "headers": {"Content-Type": ["application/scim+json"]},
    "body": '{"totalResults": 0}',
    "response_time_ms": 12,
    "size_bytes": 19,
}


def passed(engine: ScriptEngine, source: str, **more: Any) -> ScriptOutcome:
    outcome = engine.run_blocking(ScriptCall(source, **{"request": REQUEST, "response": RESPONSE, **more}))
    assert outcome.error is None, outcome.error
    assert outcome.passed
    return outcome


def error_of(engine: ScriptEngine, source: str, **more: Any) -> str:
    outcome = engine.run_blocking(ScriptCall(source, **more))
    assert outcome.status in {"errored", "failed"}
    assert outcome.error
    return outcome.error


# ---- variables


@pytest.mark.parametrize(
    "value",
    [1, 0, -1.5, "a", "", "1", True, False, None, [], [1, "2", None], {}, {"a": {"b": [1]}}, "ä€😀", "a\u0000b"],
)
def test_a_variable_keeps_its_type(engine: ScriptEngine, value: Any) -> None:
    outcome = passed(engine, "variables.set('out', variables.get('in'))", variables={"in": value})
    assert outcome.variables == {"out": value}
    assert type(outcome.variables["out"]) is type(value)


def test_only_what_was_set_comes_back(engine: ScriptEngine) -> None:
    outcome = passed(engine, "variables.set('b', 2)", variables={"a": 1, "b": 1})
    assert outcome.variables == {"b": 2}


def test_an_unset_variable_is_falsy(engine: ScriptEngine) -> None:
    assert passed(engine, "variables.set('x', variables.get('no') || 'default')").variables == {"x": "default"}


def test_a_variable_is_what_it_was_when_it_was_set(engine: ScriptEngine) -> None:
    source = "var o={a:1}; variables.set('o',o); o.a=2; var p=variables.get('o'); p.a=3; log(variables.get('o').a)"
    outcome = passed(engine, source)
    assert outcome.variables == {"o": {"a": 1}}
    assert outcome.log == ("1",)


@pytest.mark.parametrize(
    ("value", "kept"),
    [("undefined", None), ("NaN", None), ("new Date(0)", "1970-01-01T00:00:00.000Z"), ("[undefined]", [None])],
)
def test_what_json_has_no_word_for(engine: ScriptEngine, value: str, kept: Any) -> None:
    assert passed(engine, f"variables.set('v', {value})").variables == {"v": kept}


@pytest.mark.parametrize("value", ["function(){}", "1n", "(function(){var o={};o.o=o;return o})()"])
def test_what_cannot_be_kept_is_said(engine: ScriptEngine, value: str) -> None:
    assert 'variables.set("v")' in error_of(engine, f"variables.set('v', {value})")


def test_names_of_objects_are_names_like_others(engine: ScriptEngine) -> None:
    source = (
        "['__proto__','constructor','toString'].forEach(function(n){ log(variables.get(n)); variables.set(n, n) })"
    )
    outcome = passed(engine, source)
    assert outcome.log == ("undefined", "undefined", "undefined")
    assert outcome.variables == {name: name for name in ("__proto__", "constructor", "toString")}


# ---- request, response, log and the rest


def test_what_a_script_sees(engine: ScriptEngine) -> None:
    source = """
    assert.equal(response.status, 200); assert.equal(response.reason, "OK");
    assert.equal(response.headers["content-TYPE"][0], "application/scim+json");
    assert.isTrue("CONTENT-type" in response.headers); assert.isUndefined(response.headers["x-none"]);
    assert.equal(JSON.parse(response.body).totalResults, 0); assert.equal(response.response_time_ms, 12);
    assert.equal(response.size_bytes, 19); assert.equal(request.method, "POST"); assert.equal(request.host, "h.example");
    assert.equal(request.path, "/Users"); assert.equal(request.scheme, "https"); assert.equal(request.params[0].name, "a");
    assert.deepEqual(request.headers["x-many"], ["1", "2"]); assert.deepEqual(Object.keys(request.headers), ["Content-Type", "X-Many"]);
    assert.equal(runscope_bucket, "b1"); assert.equal(get_secret("key"), "s3cret");
    """
    outcome = passed(engine, source, bucket="b1", secrets={"key": "s3cret"})
    assert outcome.check_count == 17
    assert outcome.request is None
    assert outcome.response is None


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("request.headers['X-New'] = 'v'", {"headers": {**REQUEST["headers"], "X-New": ["v"]}}),
        ("request.headers['content-type'] = 5", {"headers": {"Content-Type": ["5"], "X-Many": ["1", "2"]}}),
        ("delete request.headers['x-many']", {"headers": {"Content-Type": ["application/json"]}}),
        ("request.params.push({name:'b', value:2})", {"params": [["a", "1"], ["b", "2"]]}),
        ("request.params = {x:['1','2'], y:3}", {"params": [["x", "1"], ["x", "2"], ["y", "3"]]}),
        ("request.form['f'] = ['1','2']", {"form": {"f": ["1", "2"]}}),
        ("request.form = {g: 'h'}", {"form": {"g": ["h"]}}),
        ("request.body = 'other'", {"body": "other"}),
        ("request.url = 'http://o/'; request.method='PUT'", {"url": "http://o/", "method": "PUT"}),
        ("request.content_type = 'text/plain'", {"content_type": "text/plain"}),
        ("request.size_bytes = 9; request = null", None),
    ],
)
def test_changes_of_the_request_come_back(engine: ScriptEngine, source: str, changed: Any) -> None:
    assert passed(engine, source, kind="pre", response=None).request == changed


def test_changes_of_the_response_come_back(engine: ScriptEngine) -> None:
    outcome = passed(engine, "response.body = 'out'; response.headers['Set-Cookie'] = 'none'")
    assert outcome.response == {
        "body": "out",
        "headers": {"Content-Type": ["application/scim+json"], "Set-Cookie": ["none"]},
    }


def test_there_is_no_response_before_there_is_one(engine: ScriptEngine) -> None:
    assert "response is not defined" in error_of(engine, "response.body", kind="pre", request=REQUEST)


def test_log(engine: ScriptEngine) -> None:
    source = (
        "log('a'); log({b:[1]}); log(true); log(null); log(undefined); console.log('x', 1); var o={}; o.o=o; log(o)"
    )
    outcome = passed(engine, source)
    assert outcome.log == (
        "a",
        '{\n  "b": [\n    1\n  ]\n}',
        "true",
        "null",
        "undefined",
        "x 1",
        "{ o: [Circular] }",
    )


def test_base64(engine: ScriptEngine) -> None:
    text = "usér:pass€"
    source = """
    variables.set('e', encode_base64(variables.get('t'))); variables.set('d', decode_base64(variables.get('e')));
    variables.set('b', btoa('a?>b')); variables.set('a', atob('YT8-Yg'));
    """
    outcome = passed(engine, source, variables={"t": text})
    assert outcome.variables == {
        "e": base64.b64encode(text.encode()).decode(),
        "d": text,
        "b": "YT8+Yg==",
        "a": "a?>b",
    }


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        ("<a/>", {"a": ""}),
        ("<?xml version='1.0'?><!DOCTYPE a><!-- c --><a>x &amp; &#65;</a>", {"a": "x & A"}),
        ("<a b='1'>t<c>1</c><c>2</c></a>", {"a": {"-b": "1", "c": ["1", "2"], "#text": "t"}}),
        ("<s:E xmlns:s='u'><s:B><![CDATA[<x>]]></s:B></s:E>", {"s:E": {"-xmlns:s": "u", "s:B": "<x>"}}),
        ("<a><__proto__>1</__proto__></a>", {"a": {"__proto__": "1"}}),
    ],
)
def test_xmltojson(engine: ScriptEngine, xml: str, expected: Any) -> None:
    outcome = passed(engine, "variables.set('j', xmltojson(variables.get('x')))", variables={"x": xml})
    assert json.loads(str(outcome.variables["j"])) == expected


@pytest.mark.parametrize("xml", ["", "x", "<a>", "<a></b>", "<a/><b", "</a>", "<a>" * 300])
def test_xmltojson_refuses_what_is_not_xml(engine: ScriptEngine, xml: str) -> None:
    message = error_of(engine, "xmltojson(variables.get('x'))", variables={"x": xml})
    assert message.startswith("Error: xmltojson: ")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("_.zipWith([1])", "_.zipWith"),
        ("_([1]).zipWith()", "_.zipWith"),
        ("assert.jsonSchema({}, {})", "assert.jsonSchema"),
        ("moment().tz('x')", "moment().tz"),
        ("moment.tz('x')", "moment.tz"),
        ("moment.duration(1).format()", "moment.duration().format"),
        ("CryptoJS.SHA512('a')", "CryptoJS.SHA512"),
        ("CryptoJS.enc.Utf16.parse('a')", "CryptoJS.enc.Utf16"),
        ("chai.spy()", "chai.spy"),
        ("new marknote.Parser()", "marknote.Parser"),
        ("require('fs')", "require('fs')"),
        ("setTimeout(log, 1)", "setTimeout"),
        ("new XMLHttpRequest()", "XMLHttpRequest"),
    ],
)
def test_a_function_that_is_not_there_is_named(engine: ScriptEngine, source: str, name: str) -> None:
    message = error_of(engine, f"\n{source}")
    assert message == f"Error: {name} is not available in scimproxy; see docs/scripts.md (line 2)"


def test_require_gives_what_is_there_anyway(engine: ScriptEngine) -> None:
    source = """
    const _ = require('underscore'); const { expect } = require('chai'); const moment = require('moment');
    const CryptoJS = require('crypto-js'); var assert = chai.assert; var should = chai.should();
    expect(_.map([1], x => x + 1)).to.eql([2]); should.exist(moment()); (1).should.equal(1); should.not.exist(null);
    assert.equal(CryptoJS.MD5('').toString().length, 32);
    """
    assert passed(engine, source).check_count == 5


def test_a_secret_that_is_not_there(engine: ScriptEngine) -> None:
    assert "no secret of that name" in error_of(engine, "get_secret('toString')")


# ---- outcomes


def test_a_failed_assertion_fails_the_script_and_keeps_what_it_did(engine: ScriptEngine) -> None:
    source = "variables.set('a', 1); log('before'); assert.ok(true, 'first'); assert.equal(1, 2, 'one'); log('after')"
    outcome = engine.run_blocking(ScriptCall(source))
    assert (outcome.status, outcome.error, outcome.log) == ("failed", "one: expected 1 to equal 2", ("before",))
    assert outcome.variables == {"a": 1}
    assert [(check.passed, check.message) for check in outcome.checks] == [
        (True, "first"),
        (False, "one: expected 1 to equal 2"),
    ]


def test_a_failure_that_the_script_catches_is_its_own_business(engine: ScriptEngine) -> None:
    outcome = passed(engine, "try { assert.fail('x') } catch (e) { log(e.name + ': ' + e.message) }")
    assert outcome.log == ("AssertionError: x",)
    assert [check.passed for check in outcome.checks] == [False]


def test_assertions_of_an_initial_script_are_ignored(engine: ScriptEngine) -> None:
    outcome = passed(engine, "assert.equal(1, 2); expect(1).to.be.a('string'); variables.set('a', 1)", kind="initial")
    assert outcome.variables == {"a": 1}
    assert [check.passed for check in outcome.checks] == [False, False]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nothing.x", "ReferenceError: nothing is not defined (line 1)"),
        ("\n\nnull.x", "TypeError: cannot read property 'x' of null (line 3)"),
        ("function f() {\n  throw new Error('own')\n}\nf()", "Error: own (line 2)"),
        ("throw 'text'", "the script threw 'text'"),
        ("throw null", "the script threw null"),
        ("throw new Proxy({}, {get() { throw 1 }, getPrototypeOf() { throw 1 }})", "the script threw something that cannot be described"),
        ("JSON.parse('{')", None),
        ("var = 1", None),
    ],
)  # fmt: skip
def test_an_error_is_told_with_its_line(engine: ScriptEngine, source: str, message: str | None) -> None:
    outcome = engine.run_blocking(ScriptCall(source))
    assert outcome.status == "errored"
    assert outcome.error is not None
    assert outcome.error == message if message else outcome.error.startswith("SyntaxError: ")


@pytest.mark.parametrize(
    "source",
    ["Promise.resolve(1).then(log)", "async function f() { assert.equal(1, 2) } f()", "(async () => { await 1 })()"],
)
def test_promises_are_not_run_and_that_is_said(engine: ScriptEngine, source: str) -> None:
    assert "promises and async functions are not run" in error_of(engine, source)


def test_modern_javascript(engine: ScriptEngine) -> None:
    source = (
        "const f = (a, ...b) => `${a}-${b.length}`; let {x, ...y} = {x: 1, z: 2}; log(f(1, 2, 3), y?.z ?? 0, 2 ** 3)"
    )
    assert passed(engine, source).log == ("1-2 2 8",)


def test_declarations_of_one_script_are_unknown_to_the_next(engine: ScriptEngine) -> None:
    passed(engine, "var leak = 1; globalThis.leak2 = 2; _.mixin({leak3: function () {}}); Object.prototype.leak4 = 4")
    passed(engine, "assert.deepEqual([typeof leak, typeof leak2, ({}).leak4], ['undefined', 'undefined', undefined])")
    assert "_.leak3 is not available" in error_of(engine, "_.leak3()")


def test_an_empty_script_passes_without_a_process() -> None:
    engine = ScriptEngine()
    assert engine.run_blocking(ScriptCall("  \r\n")).passed
    assert engine._worker is None


def test_checks_are_counted_beyond_those_that_are_listed(engine: ScriptEngine) -> None:
    outcome = passed(engine, "for (var i = 0; i < 1000; i++) assert.ok(true)")
    assert (len(outcome.checks), outcome.check_count) == (200, 1000)


async def test_the_loop_goes_on_while_a_script_runs(engine: ScriptEngine) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    outcome = await engine.run(
        ScriptCall("var n = 0; for (var i = 0; i < 300000; i++) n += i; variables.set('n', n)")
    )
    ticking.cancel()
    assert outcome.variables == {"n": 44999850000}
    assert ticks > 1


async def until_it_runs(engine: ScriptEngine) -> None:
    while engine._running is None:  # noqa: ASYNC110 - the engine works in a thread and has no asyncio event to tell it
        await asyncio.sleep(0)


async def test_a_script_cancelled_before_it_runs_does_not_run(engine: ScriptEngine) -> None:
    task = asyncio.create_task(engine.run(ScriptCall("while (true);")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await engine.run(ScriptCall("variables.set('a', 1)"))).variables == {"a": 1}


async def test_a_cancelled_script_ends_with_its_process() -> None:
    with ScriptEngine() as engine:
        pid = engine.start()
        task = asyncio.create_task(engine.run(ScriptCall("while (true);")))
        await until_it_runs(engine)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await engine.run(ScriptCall("variables.set('a', 1)"))).variables == {"a": 1}
        assert engine.start() != pid


async def test_cancelling_one_that_waits_leaves_the_one_that_runs_alone(engine: ScriptEngine) -> None:
    source = "var n = 0; for (var i = 0; i < 1000000; i++) n += i; variables.set('n', n)"
    first = asyncio.create_task(engine.run(ScriptCall(source)))
    await asyncio.sleep(0)
    second = asyncio.create_task(engine.run(ScriptCall("while (true);")))
    await asyncio.sleep(0)
    second.cancel()
    assert (await first).variables == {"n": 499999500000}
    with pytest.raises(asyncio.CancelledError):
        await second


async def test_closing_ends_the_script_that_runs() -> None:
    with ScriptEngine() as engine:
        engine.start()
        task = asyncio.create_task(engine.run(ScriptCall("while (true);")))
        await until_it_runs(engine)
    assert (await task).status == "errored"


async def test_many_at_once_run_one_after_the_other(engine: ScriptEngine) -> None:
    calls = [engine.run(ScriptCall(f"variables.set('n', {n})")) for n in range(5)]
    assert [outcome.variables["n"] for outcome in await asyncio.gather(*calls)] == [0, 1, 2, 3, 4]


# ---- the engine's life


def test_the_process_is_kept_and_has_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    with ScriptEngine() as engine:
        pid = engine.start()
        engine.run_blocking(ScriptCall("1"))
        assert engine.start() == pid
        proc = Path(f"/proc/{pid}")
        if proc.exists():
            assert b"SECRET_TOKEN" not in (proc / "environ").read_bytes()
            assert sorted(path.name for path in (proc / "fd").iterdir()) == ["0", "1", "2"]


def test_a_worker_that_was_killed_is_replaced() -> None:
    with ScriptEngine() as engine:
        pid = engine.start()
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert engine.run_blocking(ScriptCall("variables.set('a', 1)")).variables == {"a": 1}
        assert engine.start() != pid


def test_after_close_nothing_runs() -> None:
    engine = ScriptEngine()
    engine.start()
    engine.close()
    engine.close()
    assert engine.run_blocking(ScriptCall("1")).cause == "closed"


def test_no_engine_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(script.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ScriptEngineMissing, match="not installed") as caught, ScriptEngine() as engine:
        engine.start()
    assert caught.value.hint == "pip install quickjs-ng"
    broken = tmp_path / "worker.py"
    broken.write_text("raise SystemExit(7)\n")
    monkeypatch.setattr(script, "WORKER", broken)
    with pytest.raises(ScriptEngineMissing, match="code 7"), ScriptEngine() as engine:
        engine.start()


LIAR = """
import struct, sys, json
def read():
    head = sys.stdin.buffer.read(4)
    return head and sys.stdin.buffer.read(struct.unpack(">I", head)[0])
def send(data):
    sys.stdout.buffer.write(struct.pack(">I", len(data)) + data); sys.stdout.buffer.flush()
read(); send(b'{"ready": true}'); read()
"""


@pytest.mark.parametrize(
    ("lie", "cause"),
    [
        ("send(b'not json')", "died"),
        ("send(b'[1]')", "died"),
        ("send(b'{}')", "died"),
        ("sys.stdout.buffer.write(struct.pack('>I', 1 << 31)); sys.stdout.buffer.flush(); read()", "died"),
        ("raise SystemExit(3)", "died"),
        ("send(b'[' * 100000)", "depth"),
        ("send(b'{\"status\": \"passed\", \"variables\": {\"a\": ' + b'[' * 150 + b']' * 150 + b'}}')", "depth"),
        ("send(json.dumps({'status': 'errored', 'cause': 'other', 'error': None}).encode())", "other"),
        ("read()", "time"),
    ],
)
def test_what_a_broken_worker_says_is_not_believed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lie: str, cause: str
) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(f"{LIAR}{lie}\n")
    monkeypatch.setattr(script, "WORKER", worker)
    monkeypatch.setattr(script, "GRACE_S", 0.2)
    with ScriptEngine(ScriptLimits(time_s=0.2 if cause == "time" else 20)) as engine:
        outcome = engine.run_blocking(ScriptCall("1"))
    assert (outcome.status, outcome.cause) == ("errored", cause)
    assert outcome.error


def test_odd_members_of_an_answer_are_dropped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer = {
        "status": "passed", "log": ["a", 1, None], "variables": [], "request": 1, "response": "x",
        "assertions": [1, {"passed": 1, "message": 2}, {"passed": True}], "assertion_count": "x", "cause": 1,
    }  # fmt: skip
    worker = tmp_path / "worker.py"
    worker.write_text(f"{LIAR}send({json.dumps(answer).encode()!r})\nread()\n")
    monkeypatch.setattr(script, "WORKER", worker)
    with ScriptEngine() as engine:
        outcome = engine.run_blocking(ScriptCall("1"))
    assert outcome == ScriptOutcome(
        "passed",
        log=("a",),
        checks=(ScriptCheck(passed=False, message="2"), ScriptCheck(passed=True, message="")),
        check_count=0,
    )


@pytest.mark.parametrize("value", [float("nan"), {1, 2}])
def test_values_that_json_cannot_carry_are_said(engine: ScriptEngine, value: Any) -> None:
    assert "cannot be handed over" in error_of(engine, "1", variables={"v": value})


# ---- the real packages as oracles


NODE = """
const { createRequire } = require("module");
const load = createRequire(process.argv[2] + "/x.js");
const chai = load("chai"), moment = load("moment");
Object.assign(globalThis, { chai, assert: chai.assert, expect: chai.expect, _: load("underscore"), moment, CryptoJS: load("crypto-js") });
chai.should();
moment.suppressDeprecationWarnings = true;
"""


@pytest.mark.skipif(
    not (REAL / "node_modules" / "chai").is_dir() or not shutil.which("node"),
    reason="the real packages are not installed: ./scripts/test installs them with npm",
)
def test_ours_say_what_the_real_ones_say(engine: ScriptEngine) -> None:
    cases = f"var CASES = {json.dumps(script_cases.ALL)};\n{script_cases.HARNESS}"
    node = shutil.which("node")
    assert node
    done = subprocess.run(
        [node, "-", str(REAL)],
        input=f"{NODE}{cases}process.stdout.write(JSON.stringify(answers))",
        capture_output=True,
        text=True,
        check=True,
        env={"TZ": "UTC", "PATH": os.environ["PATH"]},
    )
    theirs = json.loads(done.stdout)
    ours = passed(engine, f"{cases}variables.set('answers', answers)", request=None, response=None).variables[
        "answers"
    ]
    assert isinstance(ours, list)
    assert len(ours) == len(theirs) == len(script_cases.ALL) > 5000
    wrong = [(case, a, b) for case, a, b in zip(script_cases.ALL, theirs, ours, strict=True) if a != b]
    assert wrong == []


def test_digests_of_the_rfcs(engine: ScriptEngine) -> None:
    """Also where npm is absent: RFC 1321 A.5, RFC 2202 and RFC 4231 test case 2, FIPS 180-4's abc, FIPS 197 C.1."""
    source = """
    log(CryptoJS.MD5('message digest').toString()); log(CryptoJS.SHA1('abc').toString()); log(CryptoJS.SHA256('abc').toString());
    log(CryptoJS.HmacSHA1('what do ya want for nothing?', 'Jefe').toString());
    log(CryptoJS.HmacSHA256('what do ya want for nothing?', 'Jefe').toString());
    var key = CryptoJS.enc.Hex.parse('000102030405060708090a0b0c0d0e0f'), text = CryptoJS.enc.Hex.parse('00112233445566778899aabbccddeeff');
    log(CryptoJS.AES.encrypt(text, key, {mode: CryptoJS.mode.ECB, padding: CryptoJS.pad.NoPadding}).ciphertext.toString());
    """
    assert passed(engine, source).log == (
        "f96b697d7cb7938d525a2f31aaf161d0",
        "a9993e364706816aba3e25717850c26c9cd0d89d",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        "69c4e0d86a7b0430d8cdb78070b4c55a",
    )


# ---- Okta's own scripts


@pytest.mark.skipif(not OKTA.is_dir(), reason="Okta's files are not beside this repository")
def test_oktas_initial_scripts(engine: ScriptEngine) -> None:
    spec = passed(engine, (OKTA / "Initial_Script_Spec.txt").read_text(), kind="initial").variables
    assert set(spec) == {
        "randomGivenName", "randomFamilyName", "randomEmail", "randomUsername", "InvalidUserEmail",
        "UserIdThatDoesNotExist", "randomUsernameCaps",
    }  # fmt: skip
    assert spec["randomUsernameCaps"] == str(spec["randomEmail"]).upper()
    crud = passed(engine, (OKTA / "Initial_Script_CRUD.txt").read_text(), kind="initial").variables
    assert len(crud) == 8
    assert crud["okta_user_fullname"] == f"{crud['okta_user_firstname']} {crud['okta_user_lastname']}"


def oktas_scripts() -> list[tuple[str, str]]:
    found = []
    for path in sorted(OKTA.glob("*.json")):
        for number, step in enumerate(json.loads(path.read_text())["steps"], 1):
            for kind in ("before_scripts", "scripts"):
                found += [(f"{path.stem}-{number}", source) for source in step.get(kind) or [] if source]
    return found


@pytest.mark.parametrize(("place", "source"), oktas_scripts() or [("absent", "")])
def test_oktas_scripts(engine: ScriptEngine, place: str, source: str) -> None:
    if place == "absent":
        pytest.skip("Okta's files are not beside this repository")
    some = {**RESPONSE, "body": json.dumps({"totalResults": 1, "Resources": [{"id": "1"}]})}
    outcome = passed(engine, source, response=some)
    assert outcome.log == ("true",)
    assert outcome.check_count == 1
    none = engine.run_blocking(ScriptCall(source, response={**RESPONSE, "body": '{"totalResults": 0}'}))
    if "-20-" in place:
        assert (none.status, none.check_count) == ("passed", 1)
    else:
        assert (none.status, none.error) == ("failed", "Resources is of type Array: expected false to be truthy")
    broken = engine.run_blocking(ScriptCall(source, response={**RESPONSE, "body": "<html>"}))
    assert broken.status == "errored"
    assert str(broken.error).startswith("SyntaxError: ")


def test_the_documentation_lists_what_there_is(engine: ScriptEngine) -> None:
    text = (ROOT / "docs" / "scripts.md").read_text()
    source = """
    var names = Object.keys(_).filter(function (n) { return typeof _[n] === 'function' });
    names = names.concat(Object.keys(assert).map(function (n) { return 'assert.' + n }));
    ['variables.get', 'variables.set'].forEach(function (n) { names.push(n) });
    Object.keys(CryptoJS).forEach(function (n) { names.push('CryptoJS.' + n) });
    Object.getOwnPropertyNames(moment.fn).filter(function (n) { return n !== 'constructor' }).forEach(function (n) { names.push(n) });
    variables.set('names', names);
    """
    names = passed(engine, source).variables["names"]
    assert isinstance(names, list)
    assert len(names) > 250
    words = set(
        text.replace("`", " ").replace(",", " ").replace("(", " ").replace(")", " ").replace(".\n", " ").split()
    )
    assert [
        n for n in names if str(n).removeprefix("assert.").removeprefix("CryptoJS.") not in words and n not in words
    ] == []


def test_python_alone_is_enough_for_the_worker() -> None:
    """The worker imports nothing of ours: it runs with no site-packages but the engine's folder."""
    worker = Path(script.__file__).with_name("script_worker.py")
    done = subprocess.run([sys.executable, "-I", "-S", str(worker)], input=b"", capture_output=True, check=True)
    assert b"No module named 'quickjs'" in done.stdout
