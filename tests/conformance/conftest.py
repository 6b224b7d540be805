"""Every test of this room runs against every engine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from conformance.rig import ENGINES, Rigs, rigs_of


@pytest.fixture(params=list(ENGINES))
async def rigs(request: pytest.FixtureRequest) -> AsyncIterator[Rigs]:
    """Make engines between a scripted upstream and raw clients."""
    async with rigs_of(request.param) as made:
        yield made
