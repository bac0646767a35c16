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
from surgzoo.metrics.caption import measures
from surgzoo.tasks import reading
from surgzoo.tasks.base import Parsed, Scored, Tally, Task

KINDS = ("phase", "step", "instrument", "verb", "target", "action")
_NOT_SAID = ("null verb", "null target")  # a caption puts it in other words


@functools.cache
def facts(source: str) -> tuple[str, ...]:
    """The names of a source that a caption may state."""
    names = (name for kind in KINDS for name in ontology.names(source, kind))
    return reading.distinct(name for name in names if name not in _NOT_SAID)


@functools.cache
def kind_of(source: str) -> dict[str, str]:
    """The kind of each fact of a source; the first of KINDS where several have a name."""
    return {name: kind for kind in reversed(KINDS) for name in ontology.names(source, kind)}


def named(caption: str | None, options: Sequence[str]) -> list[str] | None:
    """The facts that a caption names, in its order, repetitions kept; None for no caption."""
    return None if caption is None else list(_scan(caption, tuple(options)))


@functools.lru_cache(maxsize=1 << 18)  # captions are alike, and are scored video by video again
def _scan(caption: str, options: tuple[str, ...]) -> tuple[str, ...]:
    items = reading.vocabulary(options).scan(caption)
    return tuple(item.text for item in items if item.kind == "name")


class CaptionTask(Task):
    """A task whose answer is a caption."""

    answer_form = "text"
    headline = "fact_f1"
    leads = ()  # whatever is asked first would be part of the caption
    scales = {"cider_d": ""}

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
        """Fractions in [0, 1], but for cider_d, which runs from 0 to 10.

        fact_f1, fact_precision, fact_recall  over the names in all captions (micro, each once a
                         caption); an unparsed answer is one false name and misses all true ones
        fact_order       mean F1 of the longest common subsequence of the named facts: are they
                         told in the right order
        bleu1 .. bleu4   of the corpus (`metrics/text.py`)
        rouge_1, rouge_l, meteor, cider_d  means over captions (`metrics/caption.py`); the truth
                         itself gets a little less than 1 in meteor, and NaN where no caption is so
                         long (BLEU) or there is one alone (cider_d)
        parsed           share of answers that could be read
        fact_f1/instrument, fact_precision/.., fact_recall/..  the same over the names of one kind
                         (KINDS), for kinds that some caption names, the true or the model's; an
                         unparsed answer is a false name of each kind that its true caption names
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
        return {
            "fact_f1": rates.f1,
            "fact_precision": rates.precision,
            "fact_recall": rates.recall,
            "fact_order": float(np.mean(orders)),
            **measures(truth, said),
            "parsed": sum(answer is not None for answer in said) / len(said),
            **_by_kind(scored, wanted, given),
        }

    def tally(self, scored: Sequence[Scored]) -> Tally:
        """F1 of the named facts over all captions."""
        wanted = [named(c.answer, c.options) for c, _, _ in scored]
        given = [named(said, c.options) for c, said, _ in scored]
        return {"": multilabel.f1_parts(multilabel.counts(wanted, given))}

    def reward(self, conversation: Conversation, text: str) -> float:
        """F1 of the facts of this caption; ROUGE-L for one that states no fact."""
        said = self.parse(text, conversation).answer
        options = conversation.options
        wanted = named(conversation.answer, options)
        if not wanted:  # or any text without a fact would be perfect
            return metric.rouge_l(conversation.answer, said)
        return multilabel.set_f1(wanted, named(said, options))


def _by_kind(
    scored: Sequence[Scored], wanted: Sequence[list[str]], given: Sequence[list[str] | None]
) -> dict[str, float]:
    """Micro rates of the facts of each kind; kinds without any fact on either side are left out."""
    kinds = [kind_of(item.conversation.media[0].source) for item in scored]
    out = {}
    for kind in KINDS:
        truth = [
            [n for n in names if known.get(n) == kind]
            for names, known in zip(wanted, kinds, strict=True)
        ]
        said = [
            (None if mine else []) if names is None else [n for n in names if known.get(n) == kind]
            for names, known, mine in zip(given, kinds, truth, strict=True)
        ]
        if any(truth) or any(said):
            for name, value in multilabel.micro(multilabel.counts(truth, said))._asdict().items():
                out[f"fact_{name}/{kind}"] = value
    return out
