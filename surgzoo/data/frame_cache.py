"""Decoded frames that were asked for lately, so that none is decoded twice in a row."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future

import numpy as np


class FrameCache:
    """At most `limit` bytes of arrays, the least lately used leave first. Safe for threads.

    Two threads that want the same frame at the same time get one decoding: the second waits. Arrays
    are shared and therefore read-only.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._lock = threading.Lock()
        self._held: collections.OrderedDict[Hashable, Future] = collections.OrderedDict()
        self._sizes: dict[Hashable, int] = {}  # bytes, of what is finished
        self.bytes = 0

    def get(self, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """The array of `key`; `make()` where it is not held. What `make` raises is not kept."""
        with self._lock:
            found = self._held.get(key)
            mine = found is None
            if mine:
                found = self._held[key] = Future()
            else:
                self._held.move_to_end(key)
        if not mine:
            return found.result()
        try:
            array = make()
        except BaseException as error:
            with self._lock:
                del self._held[key]
            found.set_exception(error)
            raise
        array.flags.writeable = False
        found.set_result(array)
        with self._lock:
            self._sizes[key] = array.nbytes
            self.bytes += array.nbytes
            for old in list(self._held):
                if self.bytes <= self._limit:
                    break
                if old in self._sizes:  # else it is being made
                    del self._held[old]
                    self.bytes -= self._sizes.pop(old)
        return array
