"""The load of the bench: wrk for many small requests, our own sender for 64 MiB bodies, and single checked requests.

One rule: what comes back is judged. wrk counts statuses and bytes; the sender compares every byte of a blob; `check`
compares an answer with what the upstream must have said. A figure without that is no figure.
Run as a program (`bench_load.py down|up URL SECONDS FIRST-NUMBER`) it is the sender, in a process of its own.
"""

from __future__ import annotations

import http.client
import json
import ssl
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench_payload import BLOB, DIGITS, PIECE, POST_BODY, answer

__all__ = ["WORKLOADS", "Sample", "Workload", "check", "load", "parse_figures"]

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Workload:
    """What is asked for; `size` is the least number of bytes of an answer."""

    name: str
    title: str
    method: str = "GET"
    prefix: str = "/scim/v2/Users/"
    connections: int = 8
    close: bool = False
    tls: bool = False
    blob: bool = False
    of: int = 0
    """Numbers begin again with 0 after so many; 0: none is used twice."""

    @property
    def size(self) -> int:
        """Return the bytes of one answer's content."""
        made = answer(self.method, self.prefix + "0" * DIGITS, len(POST_BODY))
        return BLOB * len(PIECE) if made is None else len(made[2])


WORKLOADS = {
    each.name: each
    for each in (
        Workload("get1", "GET 0.5 kB, 1 connection", connections=1),
        Workload("get", "GET 0.5 kB, 8 connections"),
        Workload("get32", "GET 0.5 kB, 32 connections", connections=32),
        Workload("post", "POST 2 kB, 8 connections", "POST", "/scim/v2/Users?n="),
        Workload("list", "GET a list of 200 kB, 8 connections", prefix="/scim/v2/Users?startIndex="),
        Workload("new", "GET 0.5 kB, a new connection each, 8 at a time", close=True),
        Workload("tls", "GET 0.5 kB, 8 connections, TLS upstream", tls=True),
        Workload("down", "64 MiB down, 1 connection", prefix="/blob?n=", connections=1, blob=True),
        Workload("up", "64 MiB up, 1 connection", "PUT", "/blob?n=", connections=1, blob=True),
    )
}


@dataclass(frozen=True)
class Sample:
    """The figures of one turn. Durations in milliseconds but `seconds`, the turn's length."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    error: str | None = None


def parse_figures(output: str, workload: Workload) -> Sample:
    """Return what wrk (through bench_load.lua) or the sender said."""
    line = next((line for line in output.splitlines() if line.startswith("BENCH ")), None)
    if line is None:
        return Sample(0, 0, 0, 0, "the load generator said nothing")
    figures = json.loads(line.removeprefix("BENCH "))
    requests, error = figures["requests"], None
    if figures["errors"]:
        error = f"{figures['errors']} of {requests} failed"
    elif not requests:
        error = "no request was answered"
    elif figures["bytes"] < requests * workload.size:
        error = "answers were too short"
    return Sample(requests, figures["seconds"], figures["p50_ms"], figures["p99_ms"], error)


def load(url: str, workload: Workload, seconds: float, first: int, *, same: bool, scratch: Path) -> Sample:
    """Send requests for so long and return the figures. `first` must not repeat: it numbers the requests."""
    parts = urlsplit(url)
    if workload.blob:
        command = [sys.executable, str(HERE / "bench_load.py"), workload.method, url, str(seconds), str(first)]
        limit = seconds + 120
    else:
        prefix = ("/same" if same else "") + workload.prefix
        if parts.path:  # a forward proxy: `url` is the proxy's, its path the upstream's origin
            prefix = "http://" + parts.path.lstrip("/") + prefix
        command = ["wrk", "-t1", f"-c{workload.connections}", f"-d{max(1, round(seconds))}s", "--timeout", "20s"]
        command += ["-s", str(HERE / "bench_load.lua"), f"{parts.scheme}://{parts.netloc}/", "--"]
        command += [
            workload.method,
            prefix,
            parts.path.lstrip("/") or parts.netloc,
            str(int(workload.close)),
            str(first),
            str(workload.of),
        ]
        if workload.method == "POST":
            body = scratch / "post.json"
            body.write_bytes(POST_BODY)
            command.append(str(body))
        limit = seconds + 60
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return Sample(0, seconds, 0, 0, "no end")
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        return Sample(0, seconds, 0, 0, said[-1][:200] if said else f"exit code {done.returncode}")
    return parse_figures(done.stdout, workload)


def _connect(url: str, timeout: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    assert parts.hostname
    if parts.scheme == "https":
        # The proxies verify the upstream; when we ask it directly, the figures are about something else.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout, context=context)
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)


def check(url: str, workload: Workload, first: int, count: int, *, as_json: bool = False) -> str | None:
    """Send a few requests and compare status, media type and every byte; return what is wrong.

    Blobs are left to the sender, which compares them all. `as_json`: compare JSON values, not bytes.
    """
    if workload.blob:
        return None
    conn = _connect(url, 60)
    forward = urlsplit(url).path.lstrip("/")
    try:
        for number in range(first, first + count):
            number = number % workload.of if workload.of else number  # noqa: PLW2901 - as the load generator does
            target = f"{workload.prefix}{number:0{DIGITS}d}"
            body = POST_BODY.replace(b"0" * DIGITS, b"%012d" % number) if workload.method == "POST" else None
            headers = {"Content-Type": "application/scim+json"} if body else {}
            conn.request(workload.method, f"http://{forward}{target}" if forward else target, body, headers)
            response = conn.getresponse()
            got = (response.status, response.getheader("Content-Type"), response.read())
            wanted = answer(workload.method, target, len(body or b""))
            same = got == wanted
            if as_json and wanted is not None and got[:2] == wanted[:2]:
                same = json.loads(got[2]) == json.loads(wanted[2])
            if not same:
                return f"wrong answer: {got[0]} {got[1]} {got[2][:60]!r}"
    except (OSError, http.client.HTTPException) as exc:
        return f"{type(exc).__name__}: {exc}"
    finally:
        conn.close()
    return None


def _down(conn: http.client.HTTPConnection, target: str, buffer: memoryview) -> int:
    """Fetch a blob; every byte is compared. Returns its size."""
    conn.request("GET", target)
    response = conn.getresponse()
    if response.status != 200:
        raise ValueError(f"status {response.status}: {response.read(100)!r}")
    size, twice = 0, PIECE * 2
    while count := response.readinto(buffer):
        at = size % len(PIECE)
        if twice[at : at + count] != buffer[:count].tobytes():
            raise ValueError("a byte is not what the upstream sent")
        size += count
    return size


def _up(conn: http.client.HTTPConnection, target: str, body: bytes) -> int:
    conn.request("PUT", target, body, {"Content-Type": "application/scim+json"})
    response = conn.getresponse()
    text = response.read()
    if response.status != 200 or not json.loads(text)["right"]:
        raise ValueError(f"status {response.status}: {text[:100]!r}")
    return int(json.loads(text)["size"])


def send(method: str, url: str, seconds: float, first: int) -> dict[str, float]:
    """Send or fetch blobs one after the other, for so long or at least one."""
    conn = _connect(url, 120)
    body = PIECE * BLOB if method == "PUT" else b""
    buffer = memoryview(bytearray(1 << 18))
    taken: list[float] = []
    total = 0
    while sum(taken) < seconds:
        target = f"/blob?n={first + len(taken):0{DIGITS}d}"
        begun = time.perf_counter()
        size = _up(conn, target, body) if body else _down(conn, target, buffer)
        taken.append(time.perf_counter() - begun)
        if size != BLOB * len(PIECE):
            raise ValueError(f"{size} bytes instead of {BLOB * len(PIECE)}")
        total += size
    return {
        "requests": len(taken),
        "seconds": sum(taken),
        "bytes": total,
        "p50_ms": statistics.median(taken) * 1000,
        "p99_ms": max(taken) * 1000,
        "errors": 0,
    }


if __name__ == "__main__":
    print("BENCH " + json.dumps(send(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))))
