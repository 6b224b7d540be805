"""How the C library keeps memory: big blocks go back to the system when they are freed.

One rule: it is about how much stays resident and changes nothing else; where it does not apply, nothing happens.
glibc by itself keeps blocks as big as those it has freed before: a recorder would hold several bodies for good.
"""

from __future__ import annotations

import ctypes
import sys

__all__ = ["give_back"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt(3)
_BIG = 1024 * 1024
_SPARE = 4 * 1024 * 1024
"""So much free memory is kept at hand: what sockets give is allocated and freed all the time."""


def give_back() -> bool:
    """Return whether this process gives big blocks back from now on."""
    if sys.platform != "linux":
        return False
    try:
        option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, with ways of its own
        return False
    return bool(option(_MMAP_THRESHOLD, _BIG) and option(_TRIM_THRESHOLD, _SPARE))
