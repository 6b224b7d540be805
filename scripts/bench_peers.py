"""The proxies that the bench measures: how each is started, what it needs, and how to count what it recorded.

One rule: each is set up as its makers mean it for this use and, where there is a choice, in its own favour; what was
chosen stands beside it and in docs/performance.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_process import Tree, free_port, reachable

from scimproxy.store import Reader

__all__ = [
    "DIRECT",
    "PEERS",
    "Peer",
    "Place",
    "Running",
    "Upstream",
    "count_flows",
    "count_rows",
    "start",
    "upstream",
]

ROOT = Path(__file__).resolve().parent.parent
NODE = ROOT / ".peers" / "bench"


@dataclass(frozen=True)
class Place:
    """Where a peer runs: its folder, its port, the upstream's origin, the authority that signed the upstream."""

    folder: Path
    port: int
    admin_port: int
    target: str
    authority: Path
    program: Path | None

    @property
    def secure(self) -> bool:
        """Whether the upstream speaks TLS."""
        return self.target.startswith("https:")


@dataclass(frozen=True)
class Peer:
    """A proxy. `recorded` counts the exchanges that it has written down; None: it records nothing."""

    name: str
    command: Callable[[Place], list[str]]
    recorded: Callable[[Place], int] | None = None
    ours: bool = False
    needs: tuple[Path | str, ...] = ()
    forward: bool = False
    slow_blobs: bool = False
    """A body of 64 MiB takes it many seconds: left out of short runs."""
    option: str | None = None
    """The option that names its program, where it is not installed by us."""
    writes_json_anew: bool = False
    """Its answers are the same JSON, and other bytes."""

    def missing(self) -> str | None:
        """Say what has to be there and is not."""
        for need in self.needs:
            found = shutil.which(need) if isinstance(need, str) else need.exists()
            if not found:
                return f"{need if isinstance(need, str) else need.name} is not installed"
        return None


def _scimproxy(*options: str) -> Callable[[Place], list[str]]:
    def command(place: Place) -> list[str]:
        trust = ["--upstream-ca", str(place.authority)] if place.secure else []
        return [
            sys.executable, "-m", "scimproxy", "up", place.target, "--no-ui", "--port", str(place.port),
            "--db", str(place.folder / "bench.db"), *trust, *options,
        ]  # fmt: skip

    return command


def count_rows(place: Place) -> int:
    """Count the complete exchanges in a peer's database, when what it answered has got there."""
    with Reader.open(place.folder / "bench.db") as reader:
        reader.settle()  # for a second at most; here twice
    with contextlib.closing(sqlite3.connect(f"file:{place.folder / 'bench.db'}?mode=ro", uri=True)) as conn:
        return int(conn.execute("SELECT count(*) FROM exchanges WHERE state = 'complete'").fetchone()[0])


def _mitmdump(place: Place) -> list[str]:
    trust = ["--set", f"ssl_verify_upstream_trusted_ca={place.authority}"] if place.secure else []
    return [
        str(Path(sys.executable).with_name("mitmdump")), "-q", "--mode", f"reverse:{place.target}",
        "--listen-host", "127.0.0.1", "-p", str(place.port), "-w", str(place.folder / "flows"),
        "--set", f"confdir={place.folder}", *trust,
    ]  # fmt: skip


def count_flows(path: Path) -> int:
    """Count the flows in a file of mitmdump: netstrings, `LENGTH:PAYLOAD}`, one after the other."""
    count = 0
    with path.open("rb") as file:
        while digits := file.read(16):
            length, colon, _ = digits.partition(b":")
            if not colon:
                break
            file.seek(int(length) + 1 - (len(digits) - len(length) - 1), os.SEEK_CUR)
            if file.tell() > path.stat().st_size:
                break  # the last one is not written to its end
            count += 1
    return count


def _node(script: str) -> Callable[[Place], list[str]]:
    def command(place: Place) -> list[str]:
        return ["node", str(NODE / script), str(place.port), place.target, str(place.folder / "tapes")]

    return command


def _nginx(place: Place) -> list[str]:
    user = "user root;" if os.getuid() == 0 else ""
    scheme, _, authority = place.target.partition("://")
    trust = f"""
      proxy_ssl_trusted_certificate {place.authority}; proxy_ssl_verify on;
      proxy_ssl_name localhost; proxy_ssl_server_name on;"""
    place.folder.joinpath("nginx.conf").write_text(
        f"""{user} worker_processes 1; daemon off; pid {place.folder}/pid; error_log {place.folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_max_body_size 0; keepalive_requests 100000000; tcp_nodelay on;
  client_body_temp_path {place.folder}/body; proxy_temp_path {place.folder}/proxy;
  fastcgi_temp_path {place.folder}/f; uwsgi_temp_path {place.folder}/u; scgi_temp_path {place.folder}/s;
  upstream bench {{ server {authority}; keepalive 64; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{place.port};
    location / {{
      proxy_pass {scheme}://bench; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_request_buffering off; proxy_max_temp_file_size 0;{trust if place.secure else ""}
    }}
  }}
}}
""",
        encoding="utf-8",
    )
    return ["nginx", "-e", f"{place.folder}/error.log", "-p", str(place.folder), "-c", f"{place.folder}/nginx.conf"]


def _hoverfly(place: Place) -> list[str]:
    ports = ["-pp", str(place.port), "-ap", str(place.admin_port)]
    return [str(place.program), "-capture", *ports, "-listen-on-host", "127.0.0.1", "-log-level", "error"]


def _count_pairs(place: Place) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{place.admin_port}/api/v2/simulation", timeout=60) as response:
        return len(json.load(response)["data"]["pairs"])


def _wiremock(place: Place) -> list[str]:
    return [
        "java", "-jar", str(place.program), "--port", str(place.port), "--bind-address", "127.0.0.1",
        "--proxy-all", place.target, "--record-mappings", "--root-dir", str(place.folder), "--disable-banner",
    ]  # fmt: skip


def _files(folder: str) -> Callable[[Place], int]:
    return lambda place: sum(1 for path in (place.folder / folder).rglob("*") if path.is_file())


_MITMDUMP = Path(sys.executable).with_name("mitmdump")
PEERS = {
    each.name: each
    for each in (
        Peer("native", _scimproxy("--engine", "native"), count_rows, ours=True),
        Peer("durable", _scimproxy("--engine", "native", "--durable"), count_rows, ours=True),
        Peer("mitm", _scimproxy("--engine", "mitmproxy"), count_rows, ours=True),
        Peer("mitmdump", _mitmdump, lambda place: count_flows(place.folder / "flows"), needs=(_MITMDUMP,)),
        Peer(
            "talkback",
            _node("talkback.mjs"),
            _files("tapes"),
            needs=("node", NODE / "node_modules" / "talkback"),
            slow_blobs=True,
        ),
        Peer("hoverfly", _hoverfly, _count_pairs, forward=True, option="hoverfly"),
        Peer("wiremock", _wiremock, _files("mappings"), needs=("java",), option="wiremock"),
        Peer("http-proxy", _node("http-proxy.mjs"), needs=("node", NODE / "node_modules" / "http-proxy")),
        Peer("nginx", _nginx, needs=("nginx",)),
    )
}
"""In the order in which tables show them: ours, others that record, others that do not."""

DIRECT = "direct"
"""The name of no proxy at all: the upstream itself."""


@dataclass(frozen=True)
class Upstream:
    """The running upstream: its origins, and the file of the authority that signed its certificate."""

    http: str
    https: str
    authority: Path


@contextlib.contextmanager
def upstream(folder: Path, work_us: int = 0) -> Iterator[Upstream]:
    """Start the upstream; it ends with the block. `work_us`: CPU time that it burns for each answer."""
    import trustme  # noqa: PLC0415 - a development package: --help works without it

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(
        str(folder / "own.pem")
    )
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "bench_upstream.py"), str(folder / "own.pem"), str(work_us)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    try:
        ports: dict[str, Any] = json.loads(process.stdout.readline())
        yield Upstream(
            f"http://127.0.0.1:{ports['http']}", f"https://127.0.0.1:{ports['https']}", folder / "authority.pem"
        )
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


@dataclass
class Running:
    """A peer that runs. `url` is where the load goes; for a forward proxy its path is the upstream's origin."""

    peer: Peer
    place: Place
    tree: Tree
    url: str
    before: int = 0
    """So many exchanges were in its database when it started."""

    def recorded(self) -> int | None:
        """Return how many exchanges it has recorded since it started; None where it records nothing."""
        return None if self.peer.recorded is None else self.peer.recorded(self.place) - self.before


def start(peer: Peer, folder: Path, target: str, authority: Path, program: Path | None = None) -> Running:
    """Start a peer in its own folder; call `tree.end()` at the end.

    Raises:
        RuntimeError: it did not start, with what it said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = Place(folder, free_port(), free_port(), target, authority, program)
    said = folder / "said.txt"
    before = peer.recorded(place) if peer.ours and (folder / "bench.db").exists() and peer.recorded else 0
    with said.open("wb") as out:
        process = subprocess.Popen(
            peer.command(place),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if peer.ours else out,
            stderr=out,
            cwd=folder,
            env={**os.environ, "NODE_EXTRA_CA_CERTS": str(authority), "NODE_NO_WARNINGS": "1"},
        )
    tree = Tree(process)
    if not reachable(place.port, process):
        tree.end()
        lines = said.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise RuntimeError(f"did not start: {lines[-1] if lines else 'it said nothing'}")
    url = f"http://127.0.0.1:{place.port}" + (f"/{target.partition('://')[2]}" if peer.forward else "")
    return Running(peer, place, tree, url, before)
