"""The database: one writer (`Store`, or `StoreApart` under load), any number of readers (`Reader`).

One rule: what travelled is written once, at once, and committed before anybody is told; everything computed from it
(operations, labels, the search index) is derived later and can be deleted and made again. All SQL is in here.
"""

from __future__ import annotations

from scimproxy.store.apart import StoreApart
from scimproxy.store.inside import StoreInside
from scimproxy.store.prune import Pruned, prune
from scimproxy.store.reader import Reader, Row
from scimproxy.store.writer import Store

__all__ = ["Pruned", "Reader", "Row", "Store", "StoreApart", "StoreInside", "prune"]
