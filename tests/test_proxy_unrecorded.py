"""Nothing is kept, nothing waits, and a fault of ours is counted all the same."""

from __future__ import annotations

from factories import connection, exchange

from scimproxy.errors import ScimproxyError
from scimproxy.proxy.engine import Recorder
from scimproxy.proxy.unrecorded import Unrecorded


async def test_an_answer_is_released_at_once_and_nothing_is_kept() -> None:
    recorder = Unrecorded()
    engines: Recorder = recorder  # what an engine asks for
    released: list[ScimproxyError | None] = []
    engines.pending(exchange())
    engines.connection(connection("client"))
    engines.submit(exchange(), released.append)
    assert released == [None]
    await engines.opened(exchange())
    await engines.record(exchange())
    assert engines.refusing() is None
    assert vars(recorder) == {"faults": 0}


def test_faults_are_counted() -> None:
    recorder = Unrecorded()
    recorder.lost("it broke")
    recorder.lost("it broke again")
    assert recorder.faults == 2
