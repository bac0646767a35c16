"""What a benchmark is: sets of questions, how each is put and scored, and how they add up."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from surgzoo.core.registry import resolve
from surgzoo.db.store import NotPreparedError, Store
from surgzoo.tasks import tasks
from surgzoo.tasks.base import Task

Protocol = Literal["open", "choice"]  # the question alone; possible answers listed ("MCQ")

# How the headlines of the sets become one number:
#   sum    of percentages, of all sets together or not at all (SurgVLM-Bench's Arena)
#   folds  mean and sample deviation of the sets whose names begin alike ("crossval/fold1")
#   tasks  mean over tasks of the mean over sets
#   none   the sets stand for themselves
Combine = Literal["sum", "folds", "tasks", "none"]


@dataclasses.dataclass(frozen=True)
class Prompt:
    """The words of a question; {fields} are filled in by `questions.put`.

    Fields: {question} as the task puts it, {options} the possible answers, {lettered} the same as
    A, B, C ..., {name} the one option of a question about one class, {criteria} numbered.

    Attributes:
      open, choice: the two protocols; `choice` None = no answers can be listed, the same words.
      wording: whose words they are.
    """

    open: str
    choice: str | None = None
    wording: str = "ours"

    def text(self, protocol: Protocol) -> str:
        """The template of a protocol."""
        return self.open if protocol == "open" or self.choice is None else self.choice


@dataclasses.dataclass(frozen=True)
class BenchmarkSet:
    """One set of questions of one task on one split of one source, and its headline metric.

    Attributes:
      source: "source.config" as it is prepared.
      task: a registered task, or "module:Class" of one that this set alone asks. Its headline is
        the set's.
      every: seconds; only the first stored frame of each such stretch of a video is asked.
      most: a draw of so many questions, by a hash of the id and `seed`; None = all.
      prompt: None puts the task's own question.
      answers: kinds of the ontology whose native names are the possible answers, for questions
        that carry no options (VQA).
      shown: further metrics of the task that the table shows where they are there.
      facts: where split, sampling and metric come from. ours: what is this project's choice.
    """

    name: str
    source: str
    task: str
    split: str = "test"
    scheme: str = "default"
    train: str = "train"  # split that trivial baselines are fitted on
    every: float | None = None
    most: int | None = None
    seed: int = 0
    prompt: Prompt | None = None
    answers: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    facts: str = ""
    ours: str = ""

    def build(self) -> Task:
        """The task as an object. Raises UnknownNameError."""
        return resolve(self.task)() if ":" in self.task else tasks.get(self.task)()

    @property
    def sampling(self) -> str:
        """Which questions of the split are asked, in words."""
        said = "every question" if self.every is None else f"one frame in {self.every:g} s"
        return (
            said
            if self.most is None
            else f"{said}, a draw of at most {self.most} (seed {self.seed})"
        )

    @property
    def command(self) -> str:
        """What prepares the source, but for the folders."""
        source, _, config = self.source.partition(".")
        return f"surgzoo prepare --source={source} --builder_config={config}"

    def lacking(self, data_dir: str | Path) -> str | None:
        """Why the set cannot be asked from what is prepared, with the way out; None if it can."""
        source, _, config = self.source.partition(".")
        try:
            store = Store.open(data_dir, source, config)
        except NotPreparedError:
            return (
                f"{self.source} is not prepared: {self.command} --manual_dir=FOLDER "
                f"--data_dir={data_dir}"
            )
        if self.split != "all" and self.scheme not in store.schemes():
            there = ", ".join(store.schemes()) or "none"
            return f"{self.source} has no split scheme '{self.scheme}' (prepared: {there})"
        if not store.select(self.split, self.scheme):
            return (
                f"no video of {self.source} is in {self.split} ({self.scheme}): the prepared part "
                "of the dataset lacks them"
            )
        return None


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """Sets of questions under one name.

    Attributes:
      sets: the sets, or a function of the data_dir for those that depend on what is prepared.
      total: what the combined number is called.
      parts: of "tasks", those that a whole number needs, whatever sets there are.
      facts, ours: about all sets, as in `BenchmarkSet`.
    """

    name: str
    sets: tuple[BenchmarkSet, ...] | Callable[[str | Path], tuple[BenchmarkSet, ...]]
    combine: Combine = "none"
    total: str = ""
    parts: tuple[str, ...] = ()
    facts: str = ""
    ours: str = ""

    def sets_of(self, data_dir: str | Path) -> tuple[BenchmarkSet, ...]:
        """The sets, in order. Raises ValueError when two have one name."""
        found = self.sets(data_dir) if callable(self.sets) else self.sets
        names = [item.name for item in found]
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"benchmark {self.name}: two sets are called {', '.join(twice)}")
        return found
