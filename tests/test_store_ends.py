from __future__ import annotations

import asyncio

from scimproxy.store.ends import Ends


async def test_one_that_raises_takes_nobody_with_it() -> None:
    loop = asyncio.get_running_loop()
    raised: list[object] = []
    told: list[object] = []
    loop.set_exception_handler(lambda _, context: raised.append(context["exception"]))
    ends = Ends(loop)
    problem = ValueError("no")
    ends.add(told.append, None)
    ends.add(lambda _: 1 / 0, None)
    ends.add(told.append, problem)
    loop.call_soon(ends.tell)
    for _ in range(3):
        await asyncio.sleep(0)
    assert told == [None, problem]
    assert [type(error) for error in raised] == [ZeroDivisionError]
