from __future__ import annotations

import os
import signal

from scimproxy.stopping import Stop


async def test_the_first_wish_is_in_order_and_the_second_at_once() -> None:
    stop = Stop()
    assert not stop.requested.is_set()
    stop("one")
    assert (stop.reason, stop.at_once.is_set()) == ("one", False)
    stop("two")
    assert (stop.reason, stop.at_once.is_set()) == ("one", True)


async def test_a_signal_asks_inside_the_block_only() -> None:
    before = signal.getsignal(signal.SIGTERM)
    stop = Stop()
    with stop.on_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.requested.wait()
    assert stop.reason == "SIGTERM"
    assert signal.getsignal(signal.SIGTERM) == before
