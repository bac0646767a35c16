"""What was done before a question about the next action: the true actions, or recognised ones.

The history of a question is what `action_recognition` asks of the video up to the end of the clip
that the question shows last. Its answers are the true ones, or those of a predictions file, whose
probabilities are taken where it has them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from surgzoo.data.conversations import address, of_video
from surgzoo.data.histories import seen
from surgzoo.data.media import Stores
from surgzoo.db.schema import Conversation
from surgzoo.evaluate.grade import read_answer
from surgzoo.evaluate.predictions import Prediction, read_predictions
from surgzoo.tasks import tasks

TASK, HISTORY = "next_action", "action_recognition"
TRUE = "from the true actions so far"
NAMED = 3  # names that are told of an action, at most,
LEAST = 0.05  # and the probability from which on


class Past:
    """Histories of questions, by the predictions file `path`, or by the truth where that is "".

    Attributes:
      way: where they come from, for `decoding`; of a file with the first signs of a hash of its
        answers, so that two states of it are told apart.

    Raises PredictionsError for a file that is not there or damaged.
    """

    def __init__(self, path: str, stores: Stores):
        self._path, self._stores = path, stores
        self.way, self._given = TRUE, dict[str, Prediction]()
        if not path:
            return
        found = [one for one in read_predictions(path) if address(one.id)[4] == HISTORY]
        self._given = {one.id: one for one in found}
        models = ", ".join(sorted({one.model or "?" for one in found}))
        self.way = (
            f"from the actions so far as {models} recognised them "
            f"({Path(path).name} {_signs(found)})"
        )

    def of(self, questions: Sequence[Conversation]) -> dict[str, list[Conversation]]:
        """Id of a question -> what was asked about actions so far, the first first."""
        videos: dict[tuple[str, str, str], list[Conversation]] = {}
        for item in questions:
            videos.setdefault(address(item.id)[:3], []).append(item)
        out = {}
        for (source, config, video), items in videos.items():
            store = self._stores(source, config)
            actions = list(of_video(store, HISTORY, store.video(video), items[0].split))
            out |= {item.id: seen(item, actions) for item in items}
        return out

    def believed(self, item: Conversation, labels: Sequence[str]) -> Float[np.ndarray, " A"]:
        """Probabilities of the `labels` for one action of a history.

        All alike where the file's answer cannot be read. Raises ValueError when the file lacks an
        answer, and for an action that is not among the labels.
        """
        if not self._path:
            return _certain(item.answer, item, labels)
        found = self._given.get(item.id)
        if found is None:
            raise ValueError(
                f"{self._path} has no answer to {item.id}, which a history needs: let the model "
                f"that wrote it answer {HISTORY} of the same split first, all of it"
            )
        if not found.scores:
            said = read_answer(found, item, tasks.get(HISTORY)()).answer
            if said is None:
                return np.full(len(labels), 1 / len(labels), np.float32)
            return _certain(said, item, labels)
        row = np.array([found.scores.get(name, 0.0) for name in labels], np.float32)
        if not row.any():
            raise ValueError(
                f"{self._path}: the scores of {item.id} name none of the actions that are planned "
                f"with ({', '.join(labels)})"
            )
        return row / row.sum()

    def told(self, questions: Sequence[Conversation]) -> dict[str, str]:
        """Id of a question -> its history in words, for models that read text. Raises as
        `believed`, whose labels are the question's options."""
        past = self.of(questions)
        return {
            item.id: _words([self.believed(one, item.options) for one in past[item.id]], item)
            for item in questions
        }


def _signs(found: Sequence[Prediction]) -> str:
    """Of the answers alone: not of their order, nor of how long they took."""
    lines = sorted((one.id, one.text, one.answer, one.scores) for one in found)
    return hashlib.blake2b(json.dumps(lines, sort_keys=True).encode(), digest_size=3).hexdigest()


def _certain(name: str, item: Conversation, labels: Sequence[str]) -> Float[np.ndarray, " A"]:
    if name not in labels:
        raise ValueError(
            f"{item.id} is '{name}', which the planner does not know ({', '.join(labels)})"
        )
    return np.array([name == label for label in labels], np.float32)


def _words(rows: Sequence[Float[np.ndarray, " A"]], question: Conversation) -> str:
    """The wording is ours."""
    lines = ["The actions of this operation so far, in order:"]
    for number, row in enumerate(rows, start=1):
        if np.ptp(row) < 1e-6:
            lines.append(f"{number}. not recognised")
            continue
        best = [n for n in np.argsort(-row, kind="stable")[:NAMED] if row[n] >= LEAST]
        named = [
            question.options[n] + ("" if row[n] == 1 else f" ({row[n]:.0%} sure)") for n in best
        ]
        lines.append(f"{number}. {', or '.join(named)}")
    lines.append("No clip is shown: the question is about what comes after the last of them.")
    return "\n".join(lines)
