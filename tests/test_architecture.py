"""The layout, kept: who may import whom, and which module owns which third-party package.

The table is the only copy. A module that is not in it fails; so does an import that its row does not allow.
`PURE` modules also import nothing of the standard library that does IO or knows a clock.
"""

from __future__ import annotations

import ast
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "scimproxy"


@dataclass(frozen=True)
class Row:
    """What a room may import: `ours` by prefix below `scimproxy.`, `theirs` by top-level package name."""

    ours: tuple[str, ...] = ()
    theirs: tuple[str, ...] = ()
    pure: bool = False


PURE_ROOMS = (
    "exchange",
    "passed",
    "errors",
    "redact",
    "echoes",
    "secret_bodies",
    "decode",
    "hiding",
    "clients",
    "plain",
    "har_reading",
    "har",
    "exports.formats",
    "exports",
    "bounded_json",
    "hops",
    "spans",
    "exports.raw_messages",
    "imports.ngrok_requests",
    "imports.runscope_results",
    "imports.formats",
    "query",
    "faults",
    "drills",
    "suite.results",
    "scim",
    "proxy.forwarding",
    "proxy.answers",
    "proxy.locations",
    "proxy.guard",
    "proxy.passage",
    "proxy.intervention",
    "proxy.directing",
    "proxy.destinations",
    "proxy.h2_heads",
    "suite.model",
    "suite.runscope",
    "suite.evaluate",
    "suite.urls",
    "bodies",
    "bind",
    "diff.match",
    "diff.elements",
    "diff.judging",
    "diff.rank",
    "diff.moving",
    "diff.differences",
    "diff.masks",
    "diff.runs",
    "diff.report",
    "replay.spots",
    "replay.json_text",
    "replay.names",
    "replay.learning",
    "replay.replayer",
    "replay.order",
    "replay.request_text",
    "mock.recorded",
    "mock.answers",
    "mock.matching",
    "mock.table",
    "mock.words",
    "mock.inferring",
    "mock.inferring_schemas",
    "mock.stateful",
    "mock.intervening",
    "web.aside",
    "web.door",
    "web.suggest",
    "web.whole",
    "amounts",
    "outline",
    "detail",
    "report.unescaping",
    "report.json_strings",
    "report.pseudonyms",
    "report.personal",
    "report.figures",
)

TABLE: dict[str, Row] = {
    "scimproxy": Row(),
    "scimproxy.mock": Row(),
    "scimproxy.replay": Row(),
    "scimproxy.diff": Row(),
    "scimproxy.report": Row(),
    "scimproxy.imports": Row(),
    "scimproxy.__main__": Row(ours=("cli",)),
    "scimproxy.exchange": Row(pure=True),
    "scimproxy.errors": Row(pure=True),
    "scimproxy.passed": Row(ours=("exchange",), pure=True),
    "scimproxy.redact": Row(ours=("exchange", "errors", "passed", "decode", "echoes", "secret_bodies"), pure=True),
    "scimproxy.echoes": Row(ours=("exchange",), pure=True),
    "scimproxy.secret_bodies": Row(ours=("exchange",), pure=True),
    "scimproxy.decode": Row(ours=("exchange",), theirs=("brotli", "zstandard"), pure=True),
    "scimproxy.hiding": Row(ours=("exchange", "errors", "decode", "proxy.engine"), pure=True),
    "scimproxy.clients": Row(ours=("exchange",), pure=True),
    "scimproxy.plain": Row(ours=("exchange", "errors"), pure=True),
    "scimproxy.har_reading": Row(ours=("exchange", "errors", "bounded_json", "decode", "plain"), pure=True),
    "scimproxy.bounded_json": Row(ours=("errors",), pure=True),
    "scimproxy.hops": Row(pure=True),
    "scimproxy.spans": Row(pure=True),
    "scimproxy.exports.raw_messages": Row(ours=("errors", "exchange"), pure=True),
    "scimproxy.imports.ngrok_requests": Row(
        ours=("bounded_json", "errors", "exchange", "plain", "exports.raw_messages"), pure=True
    ),
    "scimproxy.imports.runscope_results": Row(ours=("bounded_json", "errors", "exchange"), pure=True),
    # `flows` is imported when a flow file is there; it is the edge that owns mitmproxy's format.
    "scimproxy.imports.formats": Row(
        ours=(
            "bounded_json",
            "errors",
            "exchange",
            "imports.flows",
            "har",
            "imports.ngrok_requests",
            "imports.runscope_results",
        ),
        pure=True,
    ),
    "scimproxy.har": Row(ours=("exchange", "errors", "decode", "har_reading", "plain"), pure=True),
    "scimproxy.exports.formats": Row(
        ours=("exchange", "errors", "decode", "exports", "imports.flows", "har"), pure=True
    ),
    "scimproxy.exports": Row(pure=True),
    "scimproxy.exports.secret_names": Row(pure=True),
    "scimproxy.exports.templating": Row(ours=("exports.secret_names",), pure=True),
    "scimproxy.exports.reading": Row(
        ours=("bind", "bodies", "decode", "exchange", "exports", "scim", "spans"), pure=True
    ),
    "scimproxy.exports.giving": Row(ours=("bind", "bodies", "exports", "scim"), pure=True),
    "scimproxy.exports.variables": Row(
        ours=("bind", "bodies", "errors", "exchange", "exports", "hops", "redact", "scim", "spans"), pure=True
    ),
    "scimproxy.exports.python_code": Row(ours=("exports.templating",), pure=True),
    "scimproxy.exports.hurl": Row(ours=("exports",), pure=True),
    "scimproxy.exports.locust_file": Row(ours=("exports",), pure=True),
    "scimproxy.exports.postman": Row(ours=("exports",), pure=True),
    "scimproxy.exports.pytest_file": Row(ours=("exports",), pure=True),
    "scimproxy.exports.runscope": Row(ours=("exports", "suite.model", "suite.writing"), pure=True),
    "scimproxy.query": Row(ours=("exchange", "errors", "decode", "clients", "scim"), pure=True),
    "scimproxy.faults": Row(
        ours=("exchange", "errors", "query", "scim", "proxy.answers", "proxy.intervention"), pure=True
    ),
    "scimproxy.drills": Row(ours=("bodies", "faults"), pure=True),
    "scimproxy.scim": Row(ours=("exchange", "errors", "bounded_json", "decode", "scim"), pure=True),
    "scimproxy.bodies": Row(ours=("exchange", "bounded_json", "decode", "scim"), pure=True),
    "scimproxy.bind": Row(ours=("bodies", "errors", "scim"), pure=True),
    "scimproxy.diff.match": Row(ours=("bind", "bodies"), pure=True),
    "scimproxy.diff.elements": Row(ours=("bind",), pure=True),
    "scimproxy.diff.judging": Row(pure=True),
    "scimproxy.diff.rank": Row(pure=True),
    "scimproxy.amounts": Row(pure=True),
    "scimproxy.outline": Row(ours=("amounts", "bounded_json"), pure=True),
    "scimproxy.detail": Row(ours=("amounts", "decode", "exchange", "outline", "scim"), pure=True),
    "scimproxy.report.unescaping": Row(pure=True),
    "scimproxy.report.json_strings": Row(pure=True),
    "scimproxy.report.pseudonyms": Row(ours=("report.unescaping",), pure=True),
    "scimproxy.report.personal": Row(
        ours=("bind", "decode", "exchange", "report.json_strings", "report.pseudonyms", "scim", "suite.results"),
        pure=True,
    ),
    "scimproxy.replay.spots": Row(ours=("bind", "bodies", "errors", "scim"), pure=True),
    "scimproxy.replay.json_text": Row(ours=("errors", "replay.spots", "spans"), pure=True),
    "scimproxy.replay.names": Row(ours=("bind", "bodies", "replay.spots"), pure=True),
    "scimproxy.replay.learning": Row(ours=("bind", "bodies", "replay.names", "scim", "replay.spots"), pure=True),
    "scimproxy.replay.replayer": Row(
        ours=(
            "bind",
            "bodies",
            "decode",
            "exchange",
            "hops",
            "replay.json_text",
            "replay.learning",
            "replay.names",
            "proxy.engine",
            "replay.spots",
        ),
        pure=True,
    ),
    "scimproxy.replay.order": Row(ours=("bodies", "errors", "scim", "replay.spots"), pure=True),
    "scimproxy.replay.request_text": Row(ours=("errors", "exchange"), pure=True),
    "scimproxy.mock.words": Row(ours=("bind", "bodies", "diff.differences", "errors", "exchange", "scim"), pure=True),
    "scimproxy.mock.table": Row(ours=("bind", "mock.words"), pure=True),
    "scimproxy.mock.matching": Row(ours=("bind", "bodies", "diff.differences", "errors", "mock.words"), pure=True),
    "scimproxy.mock.answers": Row(ours=("bind", "bodies", "exchange", "hops", "mock.table", "mock.words"), pure=True),
    "scimproxy.mock.recorded": Row(
        ours=(
            "bind",
            "bodies",
            "exchange",
            "mock.answers",
            "mock.matching",
            "mock.table",
            "mock.words",
            "redact",
        ),
        pure=True,
    ),
    "scimproxy.mock.inferring_schemas": Row(ours=("bodies", "scim"), pure=True),
    "scimproxy.mock.inferring": Row(ours=("bodies", "mock.inferring_schemas", "scim"), pure=True),
    "scimproxy.mock.stateful": Row(
        ours=("exchange", "mock.inferring", "mock.recorded", "mock.words", "redact", "scim"), pure=True
    ),
    "scimproxy.mock.intervening": Row(
        ours=("exchange", "mock.recorded", "mock.answers", "mock.stateful", "proxy.intervention"), pure=True
    ),
    "scimproxy.diff.moving": Row(pure=True),
    "scimproxy.diff.differences": Row(
        ours=("exchange", "bind", "bodies", "diff.elements", "diff.judging", "scim", "diff.moving"), pure=True
    ),
    "scimproxy.diff.masks": Row(ours=("bodies", "diff.differences", "errors", "scim"), pure=True),
    "scimproxy.diff.runs": Row(
        ours=("bind", "bodies", "diff.differences", "diff.judging", "diff.match", "diff.rank", "diff.masks"),
        pure=True,
    ),
    "scimproxy.diff.report": Row(ours=("bodies", "diff.differences", "diff.runs", "diff.judging"), pure=True),
    "scimproxy.suite": Row(),
    "scimproxy.suite.model": Row(pure=True),
    "scimproxy.suite.casts": Row(ours=("bounded_json", "suite.model"), pure=True),
    "scimproxy.suite.jsonpath": Row(ours=("errors", "suite.model"), pure=True),
    "scimproxy.suite.xpath": Row(ours=("errors", "suite.model"), theirs=("lxml",), pure=True),
    "scimproxy.suite.builtins": Row(pure=True),
    "scimproxy.suite.templates": Row(ours=("suite.builtins", "suite.casts", "suite.model"), pure=True),
    "scimproxy.suite.urls": Row(ours=("suite.model",), pure=True),
    "scimproxy.suite.response": Row(ours=("exchange", "decode", "suite.casts", "suite.model"), pure=True),
    "scimproxy.suite.evaluate": Row(ours=("errors", "suite"), pure=True),
    "scimproxy.suite.writing": Row(ours=("suite.model",), pure=True),
    "scimproxy.suite.remarks": Row(ours=("suite.model",), pure=True),
    "scimproxy.suite.runscope": Row(ours=("errors", "suite"), pure=True),
    # ---- edge: one outside thing each
    "scimproxy.suite.script": Row(ours=("errors",)),
    "scimproxy.suite.script_worker": Row(theirs=("quickjs",)),
    "scimproxy.store.entries": Row(ours=("exchange", "store.rows"), theirs=("msgspec",), pure=True),
    "scimproxy.store": Row(ours=(*PURE_ROOMS, "memory", "store"), theirs=("msgspec", "sqlite_utils")),
    "scimproxy.proxy": Row(),
    "scimproxy.proxy.intervention": Row(ours=("exchange",), pure=True),
    "scimproxy.proxy.directing": Row(
        ours=(
            "exchange",
            "passed",
            "proxy.answers",
            "proxy.engine",
            "proxy.forwarding",
            "proxy.heads",
            "proxy.http1",
            "proxy.intervention",
            "proxy.passage",
        ),
        pure=True,
    ),
    "scimproxy.proxy.engine": Row(ours=("exchange", "errors", "passed", "proxy.intervention")),
    "scimproxy.proxy.tap": Row(ours=("exchange", "secret_bodies"), pure=True),
    "scimproxy.proxy.forwarding": Row(ours=("exchange", "errors", "decode", "proxy.engine", "proxy.tap"), pure=True),
    "scimproxy.proxy.answers": Row(ours=("exchange", "errors", "proxy.engine", "proxy.forwarding"), pure=True),
    "scimproxy.proxy.guard": Row(ours=("exchange", "proxy.answers", "proxy.engine", "proxy.forwarding"), pure=True),
    "scimproxy.proxy.locations": Row(ours=("exchange", "proxy.engine"), pure=True),
    "scimproxy.proxy.passage": Row(ours=("exchange", "passed", "proxy.forwarding"), pure=True),
    "scimproxy.proxy.mitm": Row(ours=("exchange", "errors", "proxy"), theirs=("mitmproxy", "OpenSSL")),
    "scimproxy.proxy.mitm_details": Row(
        ours=("exchange", "errors", "proxy"), theirs=("mitmproxy", "OpenSSL", "cryptography", "certifi")
    ),
    "scimproxy.proxy.mitm_heads": Row(ours=("exchange", "proxy"), pure=True),
    "scimproxy.proxy.mitm_dial": Row(ours=("exchange", "proxy")),
    "scimproxy.proxy.mitm_desk": Row(ours=("exchange", "errors", "proxy"), theirs=("mitmproxy",)),
    "scimproxy.proxy.mitm_router": Row(ours=("proxy",), theirs=("mitmproxy",)),
    "scimproxy.proxy.mitm_h2": Row(ours=("exchange", "proxy"), theirs=("mitmproxy", "h2")),
    "scimproxy.proxy.mitm_h2_side": Row(ours=("exchange", "proxy"), theirs=("mitmproxy", "h2", "hyperframe")),
    "scimproxy.proxy.mitm_handler": Row(ours=("exchange", "errors", "proxy"), theirs=("mitmproxy",)),
    "scimproxy.proxy.mitm_forward": Row(ours=("exchange", "errors", "proxy"), theirs=("mitmproxy", "OpenSSL")),
    "scimproxy.proxy.mitm_client_tls": Row(ours=("proxy",), theirs=("mitmproxy", "OpenSSL")),
    "scimproxy.proxy.mitm_websocket": Row(ours=("exchange", "proxy"), theirs=("wsproto",)),
    "scimproxy.proxy.authority": Row(ours=("errors",), theirs=("cryptography",)),
    "scimproxy.proxy.destinations": Row(ours=("exchange", "proxy"), pure=True),
    "scimproxy.proxy.h2_heads": Row(ours=("exchange", "proxy"), pure=True),
    "scimproxy.proxy.mitm_events": Row(ours=("exchange", "errors", "proxy"), theirs=("mitmproxy",)),
    "scimproxy.proxy.mitm_layers": Row(ours=("exchange", "proxy"), theirs=("mitmproxy", "h11")),
    "scimproxy.proxy.mitm_directed": Row(ours=("exchange", "proxy"), theirs=("mitmproxy",)),
    "scimproxy.proxy.mitm_stream": Row(ours=("exchange", "errors", "proxy"), theirs=("mitmproxy",)),
    "scimproxy.proxy.http1": Row(ours=("exchange",), theirs=("httptools",), pure=True),
    "scimproxy.proxy.shapes": Row(ours=("exchange", "proxy"), pure=True),
    "scimproxy.proxy.heads": Row(ours=("exchange", "proxy"), pure=True),
    "scimproxy.proxy.certificates": Row(ours=("exchange",), theirs=("cryptography",), pure=True),
    "scimproxy.proxy.unrecorded": Row(ours=("exchange", "errors"), pure=True),
    "scimproxy.proxy.pool": Row(ours=("exchange", "errors", "proxy")),
    "scimproxy.proxy.native": Row(ours=("exchange", "errors", "proxy"), theirs=("uvloop",)),
    "scimproxy.proxy.native_flow": Row(ours=("exchange", "errors", "proxy")),
    "scimproxy.proxy.native_directed": Row(ours=("exchange", "proxy")),
    "scimproxy.bending": Row(ours=("exchange", "scim"), pure=True),
    "scimproxy.defects": Row(ours=("bending", "scim"), pure=True),
    "scimproxy.demo": Row(ours=("exchange", "errors", "scim", "bending", "defects"), theirs=("aiohttp",)),
    "scimproxy.client": Row(ours=("exchange", "errors"), theirs=("aiohttp", "multidict", "yarl")),
    "scimproxy.imports.ngrok_agent_api": Row(ours=("client", "errors", "exchange")),
    "scimproxy.imports.flows": Row(ours=("errors", "exchange", "plain"), theirs=("mitmproxy",)),
    "scimproxy.addon": Row(),
    "scimproxy.addon.scimproxy_addon": Row(
        ours=("errors", "exchange", "imports.flows", "redact", "store"), theirs=("mitmproxy",)
    ),
    "scimproxy.load": Row(ours=("errors", "exports")),
    "scimproxy.okta_ranges": Row(ours=("client", "errors", "exchange")),
    "scimproxy.suite.composing": Row(ours=("errors", "exchange", "suite"), pure=True),
    "scimproxy.suite.views": Row(ours=("decode", "exchange", "suite"), pure=True),
    "scimproxy.suite.effects": Row(ours=("exchange", "suite"), pure=True),
    "scimproxy.suite.verdicts": Row(ours=("suite.results",), pure=True),
    "scimproxy.suite.runner": Row(ours=("errors", "exchange", "suite"), pure=True),
    "scimproxy.suite.unify": Row(ours=("exchange", "suite"), pure=True),
    "scimproxy.suite.recognising": Row(ours=("decode", "exchange", "suite"), pure=True),
    "scimproxy.suite.following": Row(ours=("clients", "exchange", "suite"), pure=True),
    "scimproxy.suite.preflight": Row(ours=("suite",), pure=True),
    "scimproxy.suite.masking": Row(ours=("exchange", "suite.results"), pure=True),
    "scimproxy.suite.hints": Row(ours=("suite.results",), pure=True),
    "scimproxy.suite.library": Row(ours=("errors", "suite")),
    "scimproxy.report.figures": Row(ours=("detail", "exchange", "scim"), pure=True),
    "scimproxy.report.page": Row(
        ours=(
            "__version__",
            "amounts",
            "detail",
            "diff.report",
            "exchange",
            "pages",
            "report.suites",
            "report.suites_html",
            "diff.runs",
            "report.figures",
            "scim",
            "suite.results",
        )
    ),
    "scimproxy.report.material": Row(
        ours=(
            "bodies",
            "exchange",
            "report.personal",
            "query",
            "redact",
            "report.page",
            "diff.runs",
            "scim",
            "store",
            "suite.masking",
        )
    ),
    "scimproxy.share_site": Row(
        ours=("errors", "pages", "report.material", "report.page", "store"), theirs=("aiohttp",)
    ),
    "scimproxy.report.bundle": Row(ours=("exchange", "suite.masking")),
    "scimproxy.report.suites": Row(ours=("suite",), pure=True),
    "scimproxy.report.suites_html": Row(ours=("detail", "exchange", "pages", "redact", "report.suites", "suite")),
    "scimproxy.pages": Row(ours=("amounts",), theirs=("jinja2",)),
    "scimproxy.diff.html": Row(ours=("diff.report", "diff.judging", "pages", "diff.runs")),
    "scimproxy.tunnel": Row(),
    "scimproxy.tunnel.contract": Row(ours=("errors",), pure=True),
    "scimproxy.tunnel.supervisor": Row(ours=("exchange", "tunnel.contract")),
    "scimproxy.tunnel.proof": Row(
        ours=("client", "exchange", "tunnel.ngrok_errors", "tunnel.probe", "tunnel.supervisor")
    ),
    "scimproxy.tunnel.probe": Row(pure=True),
    "scimproxy.tunnel.leash": Row(),
    "scimproxy.tunnel.process": Row(ours=("tunnel.contract",)),
    "scimproxy.tunnel.leftovers": Row(ours=("tunnel.process",)),
    "scimproxy.tunnel.recipes": Row(ours=("errors", "tunnel.contract"), pure=True),
    "scimproxy.tunnel.ssh": Row(ours=("errors", "tunnel.contract", "tunnel.recipes")),
    "scimproxy.tunnel.policy": Row(ours=("errors",), theirs=("yaml",), pure=True),
    "scimproxy.tunnel.command": Row(ours=("tunnel",)),
    "scimproxy.tunnel.manual": Row(ours=("tunnel.contract",)),
    "scimproxy.tunnel.ngrok": Row(ours=("tunnel",), theirs=("pyngrok",)),
    "scimproxy.tunnel.ngrok_agent": Row(ours=("tunnel",), theirs=("pyngrok",)),
    "scimproxy.tunnel.ngrok_binary": Row(ours=("tunnel",), theirs=("pyngrok",)),
    "scimproxy.tunnel.ngrok_config": Row(ours=("tunnel.contract",), theirs=("yaml",), pure=True),
    "scimproxy.tunnel.ngrok_errors": Row(ours=("tunnel.contract",), pure=True),
    # ---- wiring
    "scimproxy.exposure": Row(ours=("errors", "exchange", "proxy.engine", "tunnel")),
    "scimproxy.retrying": Row(ours=("client", "exchange")),
    "scimproxy.suite_beside": Row(ours=("stopping", "suite", "suite_run")),
    "scimproxy.drill_run": Row(ours=(*PURE_ROOMS, "app", "client", "stopping", "store", "suite_beside", "suite_run")),
    "scimproxy.suite_run": Row(ours=(*PURE_ROOMS, "app", "client", "store", "suite", "retrying")),
    "scimproxy.suite_follow": Row(ours=(*PURE_ROOMS, "store", "suite", "suite_run")),
    "scimproxy.run_reading": Row(ours=("bodies", "errors", "exchange", "redact", "store", *PURE_ROOMS)),
    "scimproxy.replay_run": Row(ours=(*PURE_ROOMS, "client", "proxy.engine", "run_reading", "stopping", "store")),
    "scimproxy.recorder": Row(ours=("exchange", "errors", "passed", "redact")),
    "scimproxy.memory": Row(),
    "scimproxy.outlet": Row(),
    "scimproxy.events": Row(ours=("exchange", "proxy.engine", "store")),
    "scimproxy.stopping": Row(),
    "scimproxy.telling": Row(ours=("events", "outlet", "proxy.engine", "proxy.locations", "stopping", "store")),
    "scimproxy.first_look": Row(ours=("probe", "proxy.engine")),
    "scimproxy.probe": Row(ours=("proxy.engine",)),
    "scimproxy.doctor": Row(ours=("errors", "probe", "proxy.engine", "store", "doctor_tunnel")),
    "scimproxy.doctor_tunnel": Row(ours=("doctor", "tunnel")),
    "scimproxy.app": Row(
        ours=(
            *PURE_ROOMS,
            "store",
            "proxy",
            "memory",
            "events",
            "stopping",
            "telling",
            "first_look",
            "recorder",
            "exposure",
            "tunnel.probe",
        )
    ),
    # ---- faces
    "scimproxy.overview": Row(ours=("amounts", "exchange", "store")),
    "scimproxy.web": Row(
        ours=(
            *PURE_ROOMS,
            "overview",
            "pages",
            "replay_run",
            "report.suites",
            "run_reading",
            "share_site",
            "stopping",
            "store",
            "suite",
            "suite_follow",
            "suite_run",
            "web",
        ),
        theirs=("aiohttp", "jinja2"),
    ),
    "scimproxy.web.aside": Row(ours=("decode", "exchange", "outline"), pure=True),
    "scimproxy.web.door": Row(pure=True),
    "scimproxy.web.searching": Row(ours=("query", "store")),
    "scimproxy.web.suggest": Row(ours=("clients", "query", "scim"), pure=True),
    "scimproxy.web.whole": Row(ours=("amounts", "decode", "detail", "exchange", "redact", "scim"), pure=True),
    "scimproxy.cli": Row(
        ours=(
            *PURE_ROOMS,
            "app",
            "events",
            "overview",
            "stopping",
            "web",
            "cli",
            "store",
            "doctor",
            "demo",
            "okta_ranges",
            "defects",
            "recorder",
            "exposure",
            "tunnel",
            "proxy.engine",
            "proxy.intervention",
            "proxy.authority",
            "suite",
            "suite_run",
            "suite_beside",
            "suite_follow",
            "drill_run",
            "report.suites",
            "report.suites_html",
            "report.page",
            "report.material",
            "share_site",
            "stopping",
            "report.bundle",
            "diff.html",
            "load",
            "imports.ngrok_agent_api",
            "replay_run",
            "run_reading",
            "stopping",
            "run_reading",
        ),
        theirs=("click", "rich", "aiohttp"),
    ),
}

CLOCKS_AND_IO = {"asyncio", "os", "pathlib", "random", "select", "shutil", "socket", "sqlite3", "subprocess", "time"}


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def row_of(module: str) -> Row:
    name = module
    while name:
        if name in TABLE and (name != "scimproxy" or module == "scimproxy"):
            return TABLE[name]
        name = name.rpartition(".")[0]
    raise AssertionError(f"{module} stands in no row of the import table: give it a room")


def imports(module: str, path: Path) -> set[str]:
    found: set[str] = set()
    is_package = path.name == "__init__.py"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parts, base] if base else parts)
            if base == "scimproxy" or (
                base.startswith("scimproxy.") and (PACKAGE.parent / Path(*base.split("."))).is_dir()
            ):
                found |= {f"{base}.{alias.name}" for alias in node.names}
            else:
                found.add(base)
    return found


def is_ours_allowed(name: str, row: Row) -> bool:
    inner = name.removeprefix("scimproxy.")
    return inner.startswith("__") or any(inner == room or inner.startswith(f"{room}.") for room in row.ours)


MODULES = modules()


@pytest.mark.parametrize("module", MODULES)
def test_imports_are_allowed(module: str) -> None:
    import sys

    row = row_of(module)
    for name in sorted(imports(module, MODULES[module])):
        top = name.partition(".")[0]
        if top == "scimproxy":
            assert name == module or is_ours_allowed(name, row), f"{module} may not import {name}"
        elif top in sys.stdlib_module_names:
            assert not (row.pure and top in CLOCKS_AND_IO), f"{module} is pure and may not import {top}"
        else:
            assert top in row.theirs, f"{module} may not import the package {top}"


def test_every_row_is_used() -> None:
    unused = [name for name in TABLE if not any(m == name or m.startswith(f"{name}.") for m in MODULES)]
    assert unused == []


@pytest.mark.parametrize("module", MODULES)
def test_docstring_says_what_the_module_owns(module: str) -> None:
    text = ast.get_docstring(ast.parse(MODULES[module].read_text(encoding="utf-8")))
    assert text, f"{module} has no docstring"


def test_no_pure_module_loads_a_heavy_package() -> None:
    """The pure rooms import in a fresh interpreter without aiohttp, mitmproxy, click or sqlite_utils."""
    import sys

    names = ", ".join(f"scimproxy.{room}" for room in PURE_ROOMS)
    code = (
        f"import sys, {names}\n"
        "print(sorted({'aiohttp', 'mitmproxy', 'click', 'sqlite_utils', 'rich', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_named_alike() -> None:
    """No room is called after nothing in particular."""
    vague = {"utils", "helpers", "common", "base", "manager"}
    assert [m for m in MODULES if m.rpartition(".")[2] in vague] == []
