"""Rows of a video's actions in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Int

from surgzoo.core.contract import History
from surgzoo.data.histories import in_order
from surgzoo.data.media import Stores
from surgzoo.data.rows.base import Rows, Spec
from surgzoo.db.schema import Conversation

# What `augment` draws; the numbers are ours.
SURE = (0.3, 1.0)  # least probability of the action that is taken for the right one
WRONG = 0.1  # share of actions that are taken for any other
SPREAD = 0.3  # concentration of the rest of the probabilities: a few actions get most of it


def doubted(
    actions: Int[np.ndarray, " S"], kinds: int, rng: np.random.Generator
) -> Float[np.ndarray, "S A"]:
    """Actions as a recogniser might give them: probabilities, of which the action has a part drawn
    from `SURE`; a share `WRONG` of the actions is taken for another. Zeros where there is none."""
    rest = rng.dirichlet(np.full(kinds, SPREAD), len(actions))
    sure = rng.uniform(*SURE, len(actions))
    taken = np.where(
        rng.random(len(actions)) < WRONG, rng.integers(0, kinds, len(actions)), actions
    )
    out = (1 - sure)[:, None] * rest + sure[:, None] * np.eye(kinds)[taken]
    out[actions < 0] = 0
    return out.astype(np.float32)


class HistoryRows(Rows):
    """`History` of each video: the answers to its questions about actions."""

    by = "video"
    tasks = ("action_recognition",)

    @property
    def room(self) -> int:
        """Actions that a row holds: what the model reads, or less."""
        return min(self.config.longest, self.architecture.longest)

    def spec(self) -> Spec:
        spec: Spec = {"actions": ((self.room,), np.int32)}
        if self.config.augment:
            spec["history"] = ((self.room, self.architecture.actions), np.float32)
        return spec

    def open(self, stores: Stores, conversations: Iterable[Conversation]) -> None:
        super().open(stores, conversations)
        self.count_labels(conversations)
        self.check_classes("actions")
        self._number = {name: number for number, name in enumerate(self.labels)}

    def row(self, unit: Sequence[Conversation], rng: np.random.Generator) -> History:
        """A video with more actions than there is room gives a stretch of them that `rng` draws,
        as a question late in a video is asked with the latest alone."""
        actions = [self._number[item.answer] for item in in_order(unit)]
        first = int(rng.integers(0, max(len(actions) - self.room, 0) + 1))
        actions = actions[first : first + self.room]
        out = np.full(self.room, -1, np.int32)
        out[: len(actions)] = actions
        if not self.config.augment:
            return {"actions": out}
        return {"actions": out, "history": doubted(out, len(self.labels), rng)}
