"""Is a built database sound? What each task of it says is read back, and the truth is scored.

Three things are measured for a task, all with the code that models are scored with:

  read back   every conversation's target text is parsed: it must give the stored answer, but for
              the thousandths that boxes are written in. The text of an answer in pixels is a token;
              there the token and the pointer are compared.
  truth       the stored answers, as predictions: the best that the headline metric can be
  shuffled    the same answers dealt out to other questions, mean of several deals. It has to be
              near chance: what an answer scores that is drawn from the task's answers whatever the
              question is, measured on pairs that are drawn independently.

A shuffle near chance and far below the truth says that the metric tells right from wrong, and that
the answers are not all alike. Pixels are compared for a sample, as each costs a decoding.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from surgzoo.data.media import Stores
from surgzoo.db.conversation_store import ConversationStore
from surgzoo.db.schema import Conversation
from surgzoo.evaluate.grade import read_answer
from surgzoo.evaluate.pixels import Judge
from surgzoo.evaluate.predictions import Prediction
from surgzoo.metrics.picture import PSNR_CAP
from surgzoo.tasks import tasks as registry
from surgzoo.tasks.base import Scored, Task
from surgzoo.tasks.pixels import PixelTask, media_of

SCORED = 2000  # conversations a task that are scored, spread over the database; all are read back
SCORED_PIXELS = 60
DEALS = 20  # of the shuffle, and pairs a conversation for the chance
DEALS_PIXELS = 5
FEWEST = 10  # scored conversations below which only reading back and the truth are judged
THOUSANDTH = 1e-3  # boxes are written in them
NEAR = 0.05  # of the best score: how far the shuffle may be from chance
APART = 0.1  # of the best score: how far below the truth the shuffle has to be


@dataclasses.dataclass(frozen=True)
class Checked:
    """What was found about one task.

    Attributes:
      conversations: in the database. read_back: those whose text gives their answer.
      scored: conversations that the scores are about.
      best: the best that the headline metric can be. truth, shuffled, chance: the headline.
      unread: id and reason of the first ones that are not read back.
    """

    task: str
    headline: str
    conversations: int
    read_back: int
    scored: int
    best: float
    truth: float
    shuffled: float
    chance: float
    unread: tuple[tuple[str, str], ...] = ()

    @property
    def problem(self) -> str | None:
        """What is wrong, None when nothing is."""
        if self.unread:
            id, reason = self.unread[0]
            return f"{self.conversations - self.read_back} not read back, first {id}: {reason}"
        if math.isnan(self.truth):
            return "nothing to score: the headline metric is defined for no conversation"
        if abs(self.truth - self.best) > 1e-6 * self.best:
            return f"the truth scores {self.truth:.4f} and not {self.best:g}"
        if self.scored < FEWEST:
            return None  # a shuffle of a handful says nothing
        if abs(self.shuffled - self.chance) > NEAR * self.best:
            return "the shuffled truth is not near chance"
        if self.shuffled > self.truth - APART * self.best:
            return "the shuffled truth scores almost like the truth"
        return None


def check(
    data_dir: str | Path, names: Iterable[str], *, split: str = "all", seed: int = 0
) -> list[Checked]:
    """Checks built tasks of a database in `data_dir`, in the order of `names`.

    Memory does not grow with the database. Raises NotPreparedError for a task that is not built
    and for a source that has gone, UnknownNameError for a task that is not registered.
    """
    found = []
    for name in names:
        store = ConversationStore.open(data_dir, name)
        judge = judge_of(store, data_dir)
        found.append(check_task(registry.get(name)(), store.select(split), judge, seed=seed))
    return found


def check_task(
    task: Task, conversations: Sequence[Conversation], judge: Judge, *, seed: int = 0
) -> Checked:
    """Checks one task on its conversations, which are read one by one.

    Raises ValueError when there are no conversations.
    """
    total = len(conversations)
    if not total:
        raise ValueError(f"{task.name}: there is no conversation to check")
    pixels = isinstance(task, PixelTask)
    most, deals = (SCORED_PIXELS, DEALS_PIXELS) if pixels else (SCORED, DEALS)
    step = -(-total // most)
    sample, unread, read_back = [], [], 0
    for row, conversation in enumerate(conversations):
        reason = misread(task, conversation)
        read_back += reason is None
        if reason is not None and len(unread) < 10:
            unread.append((conversation.id, reason))
        if row % step == 0:
            sample.append(conversation)
    rng = random.Random(f"{seed} {task.name}")
    answers = [conversation.answer for conversation in sample]
    truth = _headline(task, [_told(task, item, judge) for item in sample])
    shuffled = []
    for _ in range(deals):
        dealt = rng.sample(answers, len(answers))
        shuffled.append(_headline(task, paired(task, sample, dealt, judge)))
    count = deals * len(sample)
    drawn = paired(task, rng.choices(sample, k=count), rng.choices(answers, k=count), judge)
    return Checked(
        task.name,
        task.headline,
        total,
        read_back,
        len(sample),
        PSNR_CAP if task.headline == "psnr" else 1.0,
        truth,
        sum(shuffled) / deals,
        _headline(task, drawn),
        tuple(unread),
    )


def misread(task: Task, conversation: Conversation) -> str | None:
    """Why the target text does not give the stored answer; None when it does."""
    answer = conversation.answer
    if isinstance(task, PixelTask):
        media_of(answer)
        token, said = task.render(answer), conversation.target
        return None if said == token else f"says {said[:100]!r} and not {token!r}"
    parsed, error = task.parse(conversation.target, conversation)
    if error is not None:
        return error
    # An answer may hold more than its text says, such as other answers that are accepted.
    if alike(parsed, answer) or task.render(parsed) == task.render(answer):
        return None
    return f"{answer!r} is read back as {parsed!r}"[:300]


def alike(a: Any, b: Any) -> bool:
    """Whether two structured answers are the same, but for the thousandths of boxes."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, float) or isinstance(b, float):
        numbers = all(isinstance(v, (int, float)) for v in (a, b))
        return numbers and abs(a - b) <= THOUSANDTH + 1e-9
    return a == b


def judge_of(store: ConversationStore, data_dir: str | Path) -> Judge:
    """Compares pixels of the sources that a task was built from. Raises NotPreparedError."""
    sources = Stores(data_dir)
    return Judge({name: sources(name) for name in store.sources}, None)


def _told(task: Task, conversation: Conversation, judge: Judge) -> Scored:
    """A conversation with its own answer, through the reader of a predictions file."""
    prediction = Prediction(conversation.id, answer=conversation.answer)
    if isinstance(task, PixelTask):
        return Scored(conversation, judge.grade(task, conversation, prediction).answer)
    return Scored(conversation, read_answer(prediction, conversation, task).answer)


def paired(
    task: Task, asked: Sequence[Conversation], answers: Sequence[Any], judge: Judge
) -> list[Scored]:
    """Conversations with answers of others, as they are: an answer to another question need not
    be one that the options admit, and is to be scored, not refused."""
    pairs = zip(asked, answers, strict=True)
    if not isinstance(task, PixelTask):
        return [Scored(conversation, answer) for conversation, answer in pairs]
    return [
        Scored(c, judge.grade(task, c, Prediction(c.id, answer=answer)).answer)
        for c, answer in pairs
    ]


def _headline(task: Task, scored: Sequence[Scored]) -> float:
    return float(task.metrics(scored)[task.headline])


def verdict(item: Checked) -> str:
    """In words, for the table."""
    if item.problem:
        return item.problem
    return "sound" if item.scored >= FEWEST else "read back; too few to shuffle"


def table(found: Sequence[Checked]) -> str:
    """A line a task: what was measured, and what is wrong with it."""
    rows = [
        ("task", "asked", "read back", "scored", "metric", "truth", "shuffled", "chance", "verdict")
    ]
    for item in found:
        counts = (f"{item.conversations:,}", f"{item.read_back:,}", f"{item.scored:,}")
        values = (f"{v:.3f}" for v in (item.truth, item.shuffled, item.chance))
        rows.append((item.task, *counts, item.headline, *values, verdict(item)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = (0, 4, 8)
    return "\n".join(
        "  ".join(
            text.ljust(width) if place in left else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
