from __future__ import annotations

from scimproxy.exchange import SECRET_HEADERS
from scimproxy.tunnel.probe import HEADER, PROBED


def test_a_probe_can_be_found_again_in_what_is_recorded() -> None:
    assert HEADER.lower() not in SECRET_HEADERS
    assert PROBED == "/ServiceProviderConfig"
