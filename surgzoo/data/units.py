"""What one visit of the training stream asks about: conversations grouped by what they look at.

Held as numbers, a conversation costs 16 bytes here and the text stays where it is: in a list, or on
disk in the built database.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from surgzoo.db.schema import Conversation


class Units:
    """A random-access sequence of units; a unit is a list of (conversation, weight).

    Conversations with the same media key form one unit, whatever part they came with. Units stand
    in the order in which their first conversation was added, conversations in a unit as added.
    """

    def __init__(self):
        self._parts: list[Sequence[Conversation]] = []
        self._weights: list[float] = []
        self._keys: list[np.ndarray | None] = []
        self._order: np.ndarray | None = None  # numbers of conversations, unit after unit
        self._edges = np.zeros(1, np.int64)  # unit u is order[edges[u] : edges[u + 1]]
        self._firsts = np.zeros(1, np.int64)  # number of the first conversation of each part

    def add(self, items: Sequence[Conversation], keys: np.ndarray | None, weight: float) -> None:
        """Adds a part. `keys`: (len(items),) uint64; None makes each conversation its own unit."""
        if keys is not None and len(keys) != len(items):
            raise ValueError(f"{len(items)} conversations with {len(keys)} media keys")
        if self._keys and (keys is None) != (self._keys[0] is None):
            raise ValueError("either all parts of a pool are grouped or none is")
        self._parts.append(items)
        self._weights.append(weight)
        self._keys.append(keys)
        self._order = None

    def _group(self) -> np.ndarray:
        if self._order is None:
            self._firsts = np.cumsum([0, *map(len, self._parts)])
            total = int(self._firsts[-1])
            if not self._keys or self._keys[0] is None:
                self._edges, self._order = np.arange(total + 1), np.arange(total)
            else:
                keys = np.concatenate(self._keys)
                _, first, unit = np.unique(keys, return_index=True, return_inverse=True)
                rank = np.empty(len(first), np.int64)
                rank[np.argsort(first)] = np.arange(len(first))  # by first appearance
                unit = rank[unit]
                self._edges = np.concatenate(([0], np.cumsum(np.bincount(unit))))
                self._order = np.argsort(unit, kind="stable")
        return self._order

    def __len__(self) -> int:
        self._group()
        return len(self._edges) - 1

    def __getitem__(self, index: int) -> list[tuple[Conversation, float]]:
        order = self._group()
        numbers = order[self._edges[index] : self._edges[index + 1]]
        unit = []
        for number in numbers.tolist():
            part = int(np.searchsorted(self._firsts, number, side="right")) - 1
            item = self._parts[part][number - int(self._firsts[part])]
            unit.append((item, self._weights[part]))
        return unit
