"""Extracted features on disk, so that a second run reads instead of computing.

Values are found by what a recording contains and by the feature's specification, so neither a
changed file nor a changed parameter can be served stale values. Any number of runs share a store
safely, and being killed at any moment costs the values that were not yet written and nothing else.
"""

from .info import ShelfInfo, StoreInfo
from .store import Store

__all__ = ["ShelfInfo", "Store", "StoreInfo"]
