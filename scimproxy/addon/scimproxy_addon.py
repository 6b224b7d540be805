"""An addon that records into scimproxy's database from any mitmproxy: `mitmdump -s "$(scimproxy addon)"`.

One rule: an answer is let through when its exchange is committed, redacted as in every recording; what cannot be
stored is told, counted as lost, and let through (mitmproxy is not ours to stop). Options: `--set scimproxy_db=FILE`,
`--set scimproxy_run=NAME`, `--set scimproxy_keep_secrets=true`. It runs inside mitmproxy's Python.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from mitmproxy import ctx, http
from mitmproxy.addonmanager import Loader

try:
    from scimproxy import __version__
    from scimproxy.errors import ScimproxyError
    from scimproxy.exchange import Run
    from scimproxy.imports.flows import exchange_of
    from scimproxy.redact import redact
    from scimproxy.store import Store
except ImportError as exc:
    raise ImportError(
        f"scimproxy cannot be imported by the Python that runs this mitmproxy ({sys.executable}): {exc}. "
        "Install it there: `pip install scimproxy` in the same environment, `pipx inject mitmproxy scimproxy`, or "
        "`uv tool install mitmproxy --with scimproxy`; mitmproxy's standalone binaries cannot load it"
    ) from exc

__all__ = ["Recording", "addons"]

_log = logging.getLogger(__name__)
_DEFAULT_DB = os.environ.get("SCIMPROXY_DB") or "recordings/scimproxy.db"


class Recording:
    """One run, for as long as this mitmproxy runs."""

    def __init__(self) -> None:
        self._store: Store | None = None
        self._run_id: int | None = None
        self._lost = 0
        self._count = 0

    def load(self, loader: Loader) -> None:
        """Add the options."""
        loader.add_option("scimproxy_db", str, _DEFAULT_DB, "The database that scimproxy's addon records into.")
        loader.add_option("scimproxy_run", str, "mitmproxy", "Name of the run.")
        loader.add_option("scimproxy_keep_secrets", bool, default=False, help="Store secrets as they are. Careful.")

    def running(self) -> None:
        """Open the database, once the options are known."""
        if self._store is not None:
            return
        path = Path(ctx.options.scimproxy_db).expanduser()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._store = Store.open(path)
            run = Run(
                kind="record",
                name=ctx.options.scimproxy_run,
                started_at=time.time(),
                engine="mitmproxy (addon)",
                version=__version__,
            )
            self._run_id = self._store.start_run(run).id
        except (ScimproxyError, OSError) as exc:
            self._store = None
            hint = f" ({exc.hint})" if isinstance(exc, ScimproxyError) and exc.hint else ""
            _log.error("scimproxy records nothing: %s%s", exc, hint)
            ctx.master.shutdown()  # type: ignore[no-untyped-call]  # mitmproxy's
            return
        _log.info("scimproxy records into %s, run %s", path, self._run_id)

    async def response(self, flow: http.HTTPFlow) -> None:
        """Store an exchange before its answer goes on."""
        await self._record(flow)

    async def error(self, flow: http.HTTPFlow) -> None:
        """Store an exchange that has no whole answer."""
        await self._record(flow)

    async def _record(self, flow: http.HTTPFlow) -> None:
        if self._store is None or flow.request.method == "CONNECT":
            return
        exchange = replace(exchange_of(flow), run_id=self._run_id)
        if not ctx.options.scimproxy_keep_secrets:
            exchange = redact(exchange)[0]
        try:
            await asyncio.wrap_future(self._store.submit(exchange))
            self._count += 1
        except ScimproxyError as exc:
            self._lost += 1
            _log.error("scimproxy lost an exchange: %s", exc)

    def done(self) -> None:
        """End the run."""
        store, self._store = self._store, None
        if store is None or self._run_id is None:
            return
        try:
            store.finish_run(self._run_id, ended_at=time.time(), lost=self._lost)
        finally:
            store.close()
        _log.info("scimproxy recorded %d exchanges as run %d, lost %d", self._count, self._run_id, self._lost)


addons = [Recording()]
