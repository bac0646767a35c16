"""The stream of packed rows: which units share row n, for any n, before a pixel is decoded.

The endless stream of units is cut into windows of a fixed number of units, and each window is
packed by itself. So what is in window w is a function of (config, w), and row n is the n-th row
when the windows' rows are counted from the start: a function of (config, n), whatever the number of
processes. Only the count is sequential: to know where row n lies, all windows before must be
planned, unless a `Place` from an earlier run says where one of them begins.

Grain's own packers (FirstFitPackIterDataset, BestFitPackIterDataset) are not used: they pack what
is decoded already, so every process would decode all media or pack its own share (and the rows
would change with the number of processes); their state is the open rows with their pixels; and they
put no two-level segments, window or frame ids on.
"""

from __future__ import annotations

import bisect
import concurrent.futures
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from surgzoo.core.contract import Bucket, GroupSize
from surgzoo.data.packing import pack
from surgzoo.db.schema import Conversation


class Place(NamedTuple):
    """A window of units and the number of its first row."""

    window: int = 0
    row: int = 0


class Piece(NamedTuple):
    """Conversations about the same media, with what they take of the row that holds them."""

    items: Sequence[Conversation]
    size: Bucket


def pieces(items: Sequence[Conversation], size: GroupSize, bucket: Bucket) -> list[Piece]:
    """A unit in as few pieces as rows of `bucket` ask for; nearly always one.

    When not all conversations fit, those from the first on that does not go to a further piece,
    with the media once more: none is lost, and an image is never cut.

    Raises ValueError that names a conversation which does not fit even alone.
    """
    out: list[Piece] = []
    begin, tokens = 0, size.prefix
    for number, length in enumerate(size.questions):
        if size.prefix + length > bucket.tokens or size.patches > bucket.patches:
            raise ValueError(
                f"{items[number].id}: {size.prefix + length} tokens and {size.patches} patches do "
                f"not fit a row of {bucket.tokens} tokens and {bucket.patches} patches: set a "
                "larger data.bucket, shorten the text, or use fewer or smaller pictures"
            )
        if tokens + length > bucket.tokens:
            out.append(Piece(items[begin:number], Bucket(tokens, size.patches)))
            begin, tokens = number, size.prefix
        tokens += length
    out.append(Piece(items[begin:], Bucket(tokens, size.patches)))
    return out


class PackedRows(Sequence[list[Piece]]):
    """Row number n as the pieces that it holds, in an order that says nothing about their size.

    Thread-safe; the next window is planned in the background.
    """

    def __init__(
        self,
        units: Sequence[Sequence[Conversation]],
        measure: Callable[[Sequence[Conversation]], GroupSize],
        bucket: Bucket,
        *,
        window: int,
        seed: int,
        most: int | None = None,
        in_flight: int = 0,
        place: Place | None = None,
    ):
        """`units` is endless; `measure` says what a unit would take of a row; a row holds
        `most` pieces (None: as many as fit). Plans of the newest `in_flight` rows are kept: older
        ones can be asked for too, and are then planned again.

        Raises ValueError for a window of no units.
        """
        if window < 1:
            raise ValueError(f"data.pack_window is {window}: units packed together, at least 1")
        self._units, self._measure, self._bucket = units, measure, bucket
        self._window, self._seed, self._most, self._in_flight = window, seed, most, in_flight
        place = place or Place()
        self._first = place.window
        self._starts = [place.row]  # of the windows from `_first` on; the last is not planned yet
        self._plans: dict[int, list[list[Piece]]] = {}
        self._lock = threading.Lock()
        self._worker = concurrent.futures.ThreadPoolExecutor(1, "packing")
        self._ahead: concurrent.futures.Future[Any] | None = None

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, row: int) -> list[Piece]:
        with self._lock:
            place = self._find(row)
            if place.window not in self._plans:
                self._keep(place.window, self._plan(place.window))
            return self._plans[place.window][row - place.row]

    def place(self, row: int) -> Place:
        """The window of a row: given to another `PackedRows`, it saves planning what is before."""
        with self._lock:
            return self._find(row)

    def _find(self, row: int) -> Place:
        if row < self._starts[0]:
            raise IndexError(f"row {row} is before row {self._starts[0]}, where this stream begins")
        while row >= self._starts[-1]:
            window = self._first + len(self._starts) - 1
            plan = self._ahead.result() if self._ahead else self._plan(window)
            self._keep(window, plan)
            self._starts.append(self._starts[-1] + len(plan))
            self._ahead = self._worker.submit(self._plan, window + 1)
        number = bisect.bisect_right(self._starts, row) - 1
        return Place(self._first + number, self._starts[number])

    def _keep(self, window: int, plan: list[list[Piece]]) -> None:
        self._plans[window] = plan
        for old in list(self._plans)[:-2]:
            if sum(map(len, self._plans.values())) - len(self._plans[old]) < self._in_flight:
                break
            del self._plans[old]

    def _plan(self, window: int) -> list[list[Piece]]:
        """The rows of a window, shuffled: as packed, the first would hold the largest pieces."""
        found: list[Piece] = []
        for number in range(window * self._window, (window + 1) * self._window):
            items = self._units[number]
            found += pieces(items, self._measure(items), self._bucket)
        sizes = np.array([piece.size for piece in found], np.int64)
        capacity = tuple(self._bucket)
        if self._most is not None:
            sizes = np.column_stack([sizes, np.ones(len(sizes), np.int64)])
            capacity += (self._most,)
        rows = pack(sizes, capacity)
        rng = np.random.default_rng((self._seed, window))
        return [
            [found[number] for number in rng.permutation(rows[row])]
            for row in rng.permutation(len(rows))
        ]
