"""The work of scripts/record-samples."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from e2e.proxy import Proxy  # noqa: E402 - the path is set above
from okta_like import OktaLike  # noqa: E402
from servers import Peer, scim2_server, scimmy  # noqa: E402


def sanity(peer: Peer, url: str) -> None:
    """Run scim-sanity's probe."""
    code = "import sys; from scim_sanity.cli import main; sys.argv[0] = 'scim-sanity'; main()"
    options = ["probe", url, "--token", peer.token, "--i-accept-side-effects"]
    subprocess.run([sys.executable, "-c", code, *options], capture_output=True, check=False)


def okta(peer: Peer, url: str) -> None:
    """Run the client with Okta's shapes."""
    OktaLike(url, peer.token).everything()


def make(name: str, peer: Peer, client: Callable[[Peer, str], None], folder: Path) -> None:
    """Record one run and write it as a HAR file."""
    db = folder / f"{name}.db"
    with Proxy(f"http://127.0.0.1:{peer.port}{peer.base_path}", db, "--name", name) as proxy:
        client(peer, proxy.url)
    out = ROOT / "recordings" / f"{name}.har"
    command = [
        sys.executable,
        "-m",
        "scimproxy",
        "export",
        "last",
        "--format",
        "har",
        "-o",
        str(out),
        "--db",
        str(db),
    ]
    subprocess.run(command, check=True, env={**os.environ, "NO_COLOR": "1"})
    print(f"{out.relative_to(ROOT)}: {out.stat().st_size:,} bytes")


def main() -> None:
    """Make all of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with contextmanager(scim2_server)() as peer:
            make("okta-lifecycle-scim2server", peer, okta, folder)
        with contextmanager(scim2_server)() as peer:
            make("sanity-probe-scim2server", peer, sanity, folder)
        with contextmanager(scimmy)(ROOT / ".peers" / "express5") as peer:
            make("okta-lifecycle-scimmy", peer, okta, folder)


if __name__ == "__main__":
    main()
