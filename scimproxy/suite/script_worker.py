"""The process in which scripts run: QuickJS, a pipe in, a pipe out, and nothing else.

Started by `script.py` as a file (never imported by it), so it imports nothing of ours: an empty environment, no
files, no sockets. Frames both ways are a 4-byte big-endian length and that much JSON. Its one rule: one script, one
fresh JavaScript runtime, made ready while nobody waits. A second thread reads the pipe, so that the process ends
with its standard input (the parent's death) even in the middle of an endless loop.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import struct
import sys
import threading
from pathlib import Path
from typing import Any

type Loose = Any  # the engine's package has no types

EAGER = ("printing", "host")
LATE = {  # compiled when a script first names them
    "assertions": ("assertions", "asserts"),
    "collections": ("collections",),
    "dates": ("dates",),
    "digests": ("digests",),
    "records": ("records",),
}
STACK_BYTES = 512 * 1024  # of the 1 MB that the main thread has on Windows
LAST_WORDS_BYTES = 16 << 20  # what a script that used up its memory gets for telling what it had
LAST_WORDS_S = 0.5
FIRST_LINE = 20_000  # ours start here, so that a line number below it is the script's


def prelude() -> tuple[str, list[str]]:
    """Return our JavaScript: a function of the libraries' texts that gives `door(operation, text)`, and the texts."""
    folder = Path(__file__).with_name("js")

    def joined(files: tuple[str, ...]) -> str:
        texts = ((folder / f"{name}.js").read_text(encoding="utf-8").strip().removesuffix(";") for name in files)
        return "".join(f"{text}(kit);\n" for text in texts)

    above = "\n" * FIRST_LINE
    names = ", ".join(LATE)
    eager = f"(function ({names}) {{ const kit = {{libraries: {{{names}}}}};\n{joined(EAGER)}return kit.door; }})"
    return above + eager, [f"{above}(function (kit) {{ {joined(files)}}})" for files in LATE.values()]


def limit_ourselves(memory_bytes: int) -> None:
    """Take from this process what a script never needs; where the platform has no such limits, nothing happens."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return
    wanted = [
        ("RLIMIT_CORE", 0),  # a dump would hold the variables
        ("RLIMIT_FSIZE", 0),  # no file is ever written (pipes are not files)
        ("RLIMIT_NOFILE", 3),  # nothing can be opened any more: the pipes are 0 and 1, and 2 leads nowhere
        ("RLIMIT_AS", memory_bytes * 4 + (1 << 30)),
        ("RLIMIT_DATA", memory_bytes * 4 + (1 << 29)),
    ]
    for name, value in wanted:
        try:
            kind = getattr(resource, name)
            resource.setrlimit(kind, (value, value))
        except (
            AttributeError,
            ValueError,
            OSError,
        ):  # the platform has another idea of it; QuickJS has its own bound
            continue


def read_exactly(size: int) -> bytes:
    """Read that many bytes of standard input; the end of it is the end of the process, at once."""
    parts = []
    while size:
        part = os.read(0, min(size, 1 << 20))
        if not part:
            os._exit(0)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def read_calls(calls: queue.SimpleQueue[bytes]) -> None:
    """Feed whole frames to the thread that runs scripts."""
    try:
        while True:
            (size,) = struct.unpack(">I", read_exactly(4))
            calls.put(read_exactly(size))
    finally:
        os._exit(1)  # without this thread nobody would notice the parent's death


def send(answer: str) -> None:
    """Write one frame; a parent that is gone ends us."""
    data = answer.encode()
    view = memoryview(struct.pack(">I", len(data)) + data)
    try:
        while view:
            view = view[os.write(1, view) :]
    except OSError:
        os._exit(0)


def tell_failure(door: Loose, context: Loose, problem: str, limits: dict[str, Any]) -> str:
    """Ask the runtime for what the script had done when it was stopped; say only why, where that fails too."""
    if "interrupted" in problem:
        cause = "time"
    elif "out of memory" in problem:
        cause = "memory"
    else:
        cause = "other"
    try:
        context.set_memory_limit(limits["memory_bytes"] + LAST_WORDS_BYTES)
        context.set_time_limit(LAST_WORDS_S)
        answer = door("stopped", json.dumps({"cause": cause, "problem": problem[:2000]}))
        if isinstance(answer, str):
            return answer
    except Exception as exc:  # noqa: BLE001 - whatever a broken runtime raises; the rest says the same in fewer words
        problem = problem or str(exc)
    return json.dumps({"status": "errored", "cause": cause, "error": problem[:2000], "spent": True})


def serve(calls: queue.SimpleQueue[bytes], engine: Loose) -> None:
    """Answer one call after the other, for ever; the runtime for the next one is made while the parent works."""
    source, libraries = prelude()
    first: bytes | None = None
    limits: dict[str, Any] = json.loads(read_exactly(struct.unpack(">I", read_exactly(4))[0]))
    limit_ourselves(limits["memory_bytes"])
    threading.Thread(target=read_calls, args=(calls,), daemon=True).start()
    while True:
        context = engine.Context()
        context.set_max_stack_size(STACK_BYTES)
        context.set_memory_limit(limits["memory_bytes"])
        door = context.eval(source)(*libraries)
        if first is None:
            first = b""
            send('{"ready": true}')
        call = calls.get().decode()
        context.set_time_limit(limits["time_s"])
        try:
            answer = door("run", call)
            if not isinstance(answer, str):
                answer = tell_failure(door, context, "the script broke its own surroundings", limits)
            elif context.execute_pending_job():
                answer = door("promised", "")
        except Exception as exc:  # noqa: BLE001 - the engine has several kinds of error and all end one script
            answer = tell_failure(door, context, str(exc), limits)
        if len(answer) > limits["result_bytes"]:
            answer = json.dumps({"status": "errored", "cause": "size", "spent": True})
        del call
        send(answer)
        del answer, door, context


def main() -> None:
    """Take the pipes, load the engine, say that we are ready (or why not), serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business; we end with our standard input
    for folder in sys.argv[1:]:
        sys.path.append(folder)
    try:
        import quickjs  # noqa: PLC0415 - its absence is told to the parent, in a frame
    except ImportError as exc:
        send(json.dumps({"ready": False, "problem": str(exc)}))
        return
    serve(queue.SimpleQueue(), quickjs)


if __name__ == "__main__":
    main()
