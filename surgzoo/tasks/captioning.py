"""What the two captioning tasks share: free text, and how well it tells the facts.

A fact is a label of the source that the caption names: an instrument, verb, target, phase or step
(an action, where its name is no form of a verb's). `Conversation.options` lists the names that are
looked for, and one tolerant scan finds them in the true caption and in the model's, so that the
two are read alike.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from surgzoo.db import ontology
from surgzoo.db.schema import Conversation
from surgzoo.metrics import multilabel
from surgzoo.metrics import text as metric
from surgzoo.tasks import reading
from surgzoo.tasks.base import Parsed, Scored, Tally, Task

KINDS = ("phase", "step", "instrument", "verb", "target", "action")
_NOT_SAID = ("null verb", "null target")  # a caption puts it in other words


@functools.cache
def facts(source: str) -> tuple[str, ...]:
    """The names of a source that a caption may state."""
    names = (name for kind in KINDS for name in ontology.names(source, kind))
    return reading.distinct(name for name in names if name not in _NOT_SAID)


def named(caption: str | None, options: Sequence[str]) -> list[str] | None:
    """The facts that a caption names, in its order, repetitions kept; None for no caption."""
    if caption is None:
        return None
    return list(_named(caption, tuple(options)))


@functools.lru_cache(maxsize=1 << 14)  # scoring reads a caption for each table that it is in
def _named(caption: str, options: tuple[str, ...]) -> tuple[str, ...]:
    items = reading.vocabulary(options).scan(caption)
    return tuple(item.text for item in items if item.kind == "name")


class CaptionTask(Task):
    """A task whose answer is a caption."""

    answer_form = "text"
    headline = "fact_f1"
    leads = ()  # whatever is asked first would be part of the caption

    def render(self, answer: Any) -> str:
        """The caption as it is. Raises TypeError for anything that is not text."""
        if not isinstance(answer, str):
            raise TypeError(f"a caption is text, not {answer!r}")
        return answer

    def parse(self, text: str, conversation: Conversation) -> Parsed:
        """The text without thinking, tags and special tokens."""
        text, error = reading.spoken(text)
        return Parsed(None, error) if error else Parsed(text)

    def metrics(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Fractions in [0, 1].

        fact_f1, fact_precision, fact_recall  over the names in all captions (micro, each once a
                         caption); an unparsed answer is one false name and misses all true ones
        fact_order       mean F1 of the longest common subsequence of the named facts: are they
                         told in the right order
        bleu1 .. bleu4   of the corpus (`metrics/text.py`)
        rouge_l          mean over captions
        parsed           share of answers that could be read
        """
        if not scored:
            raise ValueError("no scored answers")
        truth = [item.conversation.answer for item in scored]
        said = [item.answer for item in scored]
        options = [item.conversation.options for item in scored]
        wanted = [named(*pair) for pair in zip(truth, options, strict=True)]
        given = [named(*pair) for pair in zip(said, options, strict=True)]
        rates = multilabel.micro(multilabel.counts(wanted, given))
        orders = [
            0.0 if g is None else metric.overlap_f1(w, g)
            for w, g in zip(wanted, given, strict=True)
        ]
        rouge = [metric.rouge_l(t, s) for t, s in zip(truth, said, strict=True)]
        return {
            "fact_f1": rates.f1,
            "fact_precision": rates.precision,
            "fact_recall": rates.recall,
            "fact_order": float(np.mean(orders)),
            **{f"bleu{order}": value for order, value in metric.bleu(truth, said).items()},
            "rouge_l": float(np.mean(rouge)),
            "parsed": sum(answer is not None for answer in said) / len(said),
        }

    def tally(self, scored: Sequence[Scored]) -> Tally:
        """F1 of the named facts over all captions."""
        wanted = [named(c.answer, c.options) for c, _ in scored]
        given = [named(said, c.options) for c, said in scored]
        return {"": multilabel.f1_parts(multilabel.counts(wanted, given))}

    def reward(self, conversation: Conversation, text: str) -> float:
        """F1 of the facts of this caption; ROUGE-L for one that states no fact."""
        said = self.parse(text, conversation).answer
        options = conversation.options
        wanted = named(conversation.answer, options)
        if not wanted:  # or any text without a fact would be perfect
            return metric.rouge_l(conversation.answer, said)
        return multilabel.set_f1(wanted, named(said, options))
