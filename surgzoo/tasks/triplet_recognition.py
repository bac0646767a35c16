"""Triplet recognition: which instrument does what to which tissue.

The answer is a list of [instrument, verb, target] names, and its text "grasper retract gallbladder,
hook dissect cystic duct". An instrument that does nothing to nothing is "hook null verb null
target", as the ontology names it. `Conversation.options` holds the source's valid triplets as
"hook, dissect, cystic duct", so that the three parts can be told apart.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from surgzoo.core.pattern import Pattern
from surgzoo.db import ontology
from surgzoo.db.footage import Shot
from surgzoo.db.schema import Conversation
from surgzoo.metrics import multilabel, triplet
from surgzoo.tasks import answers, reading, templates
from surgzoo.tasks.base import Context, ImageTask, Parsed, Scored, Tally, have_scores

BETWEEN = ", "  # the parts of an option
KINDS = ("instrument", "verb", "target")


class TripletRecognition(ImageTask):
    name = "triplet_recognition"
    reads = "triplets"
    number = 9
    answer_form = "triplets"
    headline = "ivt_f1"
    templates = templates.TRIPLET_RECOGNITION
    reasoning = 2
    leads = ("procedure", "phase")

    def encode(self, shot: Shot, context: Context) -> list[Conversation]:
        """One conversation, or none where triplets are not annotated.

        Order: that of the source's instruments, then verbs, then targets. A triplet that is not
        among the source's valid ones is kept: the options say what is usual, the annotation what is
        true.
        """
        if shot.annotations.triplets is None:
            return []
        options = _options(context.source)
        seen = {
            (
                ontology.name("instrument", item.instrument.concept),
                ontology.name("verb", item.verb.concept),
                ontology.name("target", item.target.concept),
            )
            for item in shot.annotations.triplets
        }
        answer = _roles(options).in_order(seen)
        return [self.conversation(shot, context, answer, options=options)]

    def render(self, answer: Sequence[Sequence[str]]) -> str:
        """ "grasper retract gallbladder, hook dissect cystic duct", or "none"."""
        return ", ".join(self.units(answer)) or answers.NONE

    def parse(self, text: str, conversation: Conversation) -> Parsed:
        """The triplets in a text; an instrument opens one, its verb and target follow.

        Several verbs or targets after one instrument make several triplets ("hook dissects the
        cystic duct and the cystic artery"). A known instrument whose verb or target is not said
        keeps "" in its place: right as an instrument, wrong as a triplet. In a bare list an unknown
        word in the place of a part ("scalpel cut liver", "hook burn liver") is kept too, as a false
        positive.
        """
        text, error = reading.spoken(text, conversation.choices)
        if error:
            return Parsed(None, error)
        roles = _roles(conversation.options)
        items = reading.vocabulary(roles.names).scan(text)
        said = assemble(roles.parts(items, keep_unknown=not reading.prose(items)))
        if said:
            return Parsed(roles.in_order(said))
        if reading.says_none(text):
            return Parsed([])
        what = "instrument" if any(item.kind == "name" for item in items) else "triplet"
        return Parsed(None, f"names no known {what}: {reading.quote(text)}")

    def units(self, answer: Sequence[Sequence[str]]) -> list[str]:
        return [" ".join(filter(None, parts)) for parts in answer]

    def shown(self, option: str) -> str:
        return option.replace(BETWEEN, " ")

    def pattern(self, conversation: Conversation) -> Pattern:
        """Some of the options in the order of an answer, or "none". A triplet outside the options,
        as an annotation may be, is not admitted."""
        options = conversation.options
        parts = _roles(options).in_order(option.split(BETWEEN) for option in options)
        options = tuple(map(BETWEEN.join, parts))
        return answers.some_of(self.said(dataclasses.replace(conversation, options=options)))

    def metrics(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Fractions in [0, 1]. Components: i instrument, v verb, t target, iv, it, ivt the whole.

        ivt_f1, i_f1, ...  over all instances (micro); an unparsed answer is one false positive and
                           misses all that is true
        ivt_macro_f1       mean over the triplet classes in the truth
        exact_match        share of frames with exactly the right set of triplets
        ivt_ap, i_ap, ...  ivtmetrics' video-wise mean AP from 0/1 scores (`metrics/triplet.py`; a
                           silent model scores the prevalence); NaN where the truth has no triplet
        parsed             share of answers that could be read

        Only where all answers have scores, by the same definitions:
        ivt_ap_from_scores, i_ap_from_scores, ...  video-wise mean AP (`compute_video_AP`)
        ivt_ap_from_scores_absent_as_zero          what ivtmetrics prints over a scikit-learn that
                           answers 0 for absent classes; for comparison with such numbers alone
        ivt_global_ap_from_scores, ...             one curve over all frames (`compute_global_AP`)
        ivt_top5, ivt_top10, ivt_top15, ivt_top20  share of true triplets among so many scores
        """
        if not scored:
            raise ValueError("no scored answers")
        truth = [_tuples(item.conversation.answer) for item in scored]
        prediction = [_tuples(item.answer) for item in scored]
        videos = [item.conversation.video for item in scored]
        counted = {name: triplet.counts(truth, prediction, name) for name in triplet.COMPONENTS}
        f1 = {f"{name}_f1": multilabel.micro(value).f1 for name, value in counted.items()}
        return {
            "ivt_f1": f1.pop("ivt_f1"),
            **f1,
            "ivt_macro_f1": multilabel.macro(counted["ivt"]).f1,
            "exact_match": multilabel.exact_match(truth, prediction),
            **{
                f"{name}_ap": triplet.video_ap(truth, prediction, videos, name)[1]
                for name in triplet.COMPONENTS
            },
            "parsed": sum(answer is not None for answer in prediction) / len(prediction),
            **(_from_scores(scored) if have_scores(scored) else {}),
        }

    def tally(self, scored: Sequence[Scored]) -> Tally:
        """F1 of whole triplets over all instances."""
        truth = [_tuples(item.conversation.answer) for item in scored]
        said = [_tuples(item.answer) for item in scored]
        return {"": multilabel.f1_parts(triplet.counts(truth, said))}

    def reward(self, conversation: Conversation, text: str) -> float:
        """Mean F1 of the six components: 1 for the exact set, part of it for the right parts."""
        truth = conversation.answer
        said = self.parse(text, conversation).answer
        return float(
            np.mean(
                [
                    multilabel.set_f1(triplet.component(truth, name), triplet.component(said, name))
                    for name in triplet.COMPONENTS
                ]
            )
        )


def _tuples(answer: Sequence[Sequence[str]] | None) -> list[tuple[str, ...]] | None:
    return None if answer is None else [tuple(parts) for parts in answer]


def _from_scores(scored: Sequence[Scored]) -> dict[str, float]:
    """Classes are the options, and after them true triplets that are none; nobody scores those."""
    named = [BETWEEN.join(parts) for item in scored for parts in item.conversation.answer]
    options = (item.conversation.options for item in scored)
    classes = tuple(dict.fromkeys([*itertools.chain.from_iterable(dict.fromkeys(options)), *named]))
    place = {label: number for number, label in enumerate(classes)}
    truth = np.zeros((len(scored), len(classes)), bool)
    scores = np.zeros((len(scored), len(classes)))
    for row, item in enumerate(scored):
        truth[row, [place[BETWEEN.join(parts)] for parts in item.conversation.answer]] = True
        scores[row, [place[label] for label in item.scores]] = list(item.scores.values())
    triplets = [tuple(label.split(BETWEEN)) for label in classes]
    videos = [item.conversation.video for item in scored]
    found = {}
    for name in triplet.COMPONENTS:
        by_video = triplet.scored_video_ap(truth, scores, videos, triplets, name)
        overall = triplet.scored_global_ap(truth, scores, triplets, name)
        found |= {f"{name}_ap_from_scores": by_video[1]}
        found |= {f"{name}_global_ap_from_scores": overall[1]}
    printed = triplet.scored_video_ap(truth, scores, videos, triplets, absent="zero")
    found["ivt_ap_from_scores_absent_as_zero"] = printed[1]
    for k in triplet.TOP:
        found[f"ivt_top{k}"] = triplet.scored_top_k(truth, scores, triplets, k)
    return found


@functools.cache
def _options(source: str) -> tuple[str, ...]:
    options = tuple(
        BETWEEN.join(ontology.name(kind, part) for kind, part in zip(KINDS, parts, strict=True))
        for parts in ontology.triplets(source)
    )
    if not options:
        raise ValueError(
            f"{source} annotates triplets, but its ontology table {source}.tsv has no triplet row; "
            "list the valid triplets there"
        )
    return options


class Part(NamedTuple):
    """A name in a text and the places (0 instrument, 1 verb, 2 target) that it can take."""

    text: str
    places: frozenset[int]


class _Roles:
    """The names of a source's triplets and the places that each can take."""

    def __init__(self, options: Sequence[str]):
        columns = zip(*(option.split(BETWEEN) for option in options), strict=True)
        self.columns = tuple(tuple(dict.fromkeys(column)) for column in columns) or ((), (), ())
        self.names = tuple(dict.fromkeys(itertools.chain(*self.columns)))
        self._places = {
            name: frozenset(i for i, column in enumerate(self.columns) if name in column)
            for name in self.names
        }

    def in_order(self, triplets: Iterable[Sequence[str]]) -> list[list[str]]:
        """Sorted by the source's instruments, verbs, targets; unknown names last; no duplicates."""
        ranks = [{name: rank for rank, name in enumerate(column)} for column in self.columns]

        def key(parts):
            return [(r.get(part, len(r)), part) for r, part in zip(ranks, parts, strict=True)]

        return [list(parts) for parts in sorted(set(map(tuple, triplets)), key=key)]

    def parts(self, items: Iterable[reading.Item], *, keep_unknown: bool) -> list[Part]:
        """The scanned text as parts; with `keep_unknown` other words whose place is clear too."""
        out: list[Part] = []
        for is_break, group in itertools.groupby(items, key=lambda item: item.kind == "break"):
            if not is_break:
                piece = list(self._piece(group))
                known = [part for part in piece if part.places]
                out += _placed(piece) if keep_unknown and known else known
        return out

    def _piece(self, items: Iterable[reading.Item]) -> Iterator[Part]:
        """Names with their places, and each run of other words as a part without a place."""
        for is_name, group in itertools.groupby(items, key=lambda item: item.kind == "name"):
            if is_name:
                yield from (Part(item.text, self._places[item.text]) for item in group)
            else:
                yield from (Part(words, frozenset()) for words in reading.extras(group))


@functools.lru_cache(maxsize=64)
def _roles(options: tuple[str, ...]) -> _Roles:
    return _Roles(options)


def _placed(piece: Sequence[Part]) -> Iterator[Part]:
    """Gives unknown words the place that their known neighbours leave open, or drops them."""
    nothing = Part("", frozenset())
    for index, part in enumerate(piece):
        before = piece[index - 1] if index else nothing
        after = piece[index + 1] if index + 1 < len(piece) else nothing
        if part.places:
            yield part
        elif index == 0 and 1 in after.places:
            yield Part(part.text, frozenset({0}))
        elif 0 in before.places and 2 in after.places:
            yield Part(part.text, frozenset({1}))
        elif 1 in before.places and after is nothing:
            yield Part(part.text, frozenset({2}))


def assemble(parts: Iterable[Part]) -> list[tuple[str, str, str]]:
    """Parts in reading order to triplets; "" where one is not said.

    What comes before the first instrument belongs to none. An instrument that stands alone is left
    out if it opens another triplet elsewhere: it was mentioned before it was described.
    """
    out: list[tuple[str, str, str]] = []
    instrument, verbs, targets = "", [], []

    def close():
        if instrument:
            out.extend(itertools.product([instrument], verbs or [""], targets or [""]))

    for part in parts:
        if instrument and 1 in part.places and not (verbs and 2 in part.places):
            if targets:  # a second action of the same instrument
                close()
                verbs, targets = [], []
            verbs.append(part.text)
        elif (
            instrument
            and 2 in part.places
            and (verbs or 0 not in part.places)
            and not (targets and 0 in part.places)
        ):
            targets.append(part.text)
        elif 0 in part.places:
            close()
            instrument, verbs, targets = part.text, [], []
    close()
    active = {i for i, verb, target in out if verb or target}
    return [parts for parts in out if parts[1] or parts[2] or parts[0] not in active]
