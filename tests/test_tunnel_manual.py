from __future__ import annotations

import asyncio

from scimproxy.tunnel.contract import Local, TunnelUp
from scimproxy.tunnel.manual import Manual


async def test_it_knows_its_url_and_nothing_else() -> None:
    provider = Manual("https://abc.example")
    provider.check()
    up = await provider.open(Local("127.0.0.1", 1))
    assert up == TunnelUp(url="https://abc.example", stable=True, detail="a tunnel that you run yourself")
    assert not provider.traits.vouches_for_client
    watching = asyncio.create_task(provider.watch())
    await asyncio.sleep(0)
    assert not watching.done()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await provider.close()
