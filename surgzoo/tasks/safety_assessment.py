"""Safety assessment: which criteria of a safe view the frame meets, in the source's order.

"Criterion 1: Yes. Criterion 2: No. Criterion 3: Yes."
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from surgzoo.core.pattern import Pattern
from surgzoo.db import ontology
from surgzoo.db.footage import Shot
from surgzoo.db.schema import Conversation
from surgzoo.metrics import criteria
from surgzoo.tasks import answers, reading, reading_criteria, templates
from surgzoo.tasks.base import Context, ImageTask, Parsed, Scored, Tally, have_scores

# What a set of criteria is called in a question. The guideline of SurgΣ-DB has these two.
VIEWS = {
    "critical view of safety": ("two_structures", "hepatocystic_triangle", "cystic_plate"),
    "safe window of seminal vesicle dissection": (
        "vas_and_vesicles_identified",
        "boundaries_delineated",
        "denonvilliers_layer_tensed",
    ),
}


class SafetyAssessment(ImageTask):
    """Task 11 of the annotation guideline (surgsigma.github.io): the critical view of safety in
    cholecystectomy, the safe window in prostatectomy. A criterion with a vote of at least 0.5 is
    met (Endoscapes2023, arXiv 2312.12429)."""

    name = "safety_assessment"
    reads = "criteria"
    number = 11
    answer_form = "criteria"
    headline = "criterion_accuracy"
    templates = templates.SAFETY_ASSESSMENT
    reasoning = 3
    leads = ("procedure", "instruments")

    def encode(self, shot: Shot, context: Context) -> list[Conversation]:
        """One conversation, or none where no criterion is annotated.

        Options are the annotated criteria. Raises ValueError for criteria of no known view.
        """
        if not shot.annotations.criteria:
            return []
        scores = {item.label.concept: item.met for item in shot.annotations.criteria}
        concepts = reading.in_order(scores, ontology.ids(context.source, "criterion"))
        answer = [[ontology.name("criterion", concept), scores[concept]] for concept in concepts]
        names = tuple(name for name, _ in answer)
        numbered = ", ".join(f"{number} {name}" for number, name in enumerate(names, 1))
        return [
            self.conversation(
                shot, context, answer, options=names, view=_view(concepts), criteria=numbered
            )
        ]

    def render(self, answer: Sequence[Sequence]) -> str:
        """ "Criterion 1: Yes. Criterion 2: No." Raises TypeError where yes or no is no bool."""
        said = []
        for number, (name, met) in enumerate(answer, 1):
            if not isinstance(met, bool):
                raise TypeError(f"criterion '{name}' is met or not, a bool, not {met!r}")
            said.append(f"Criterion {number}: {'Yes' if met else 'No'}.")
        return " ".join(said)

    def parse(self, text: str, conversation: Conversation) -> Parsed:
        """Yes or no of every criterion; see `reading_criteria`. One left out is an error."""
        text, error = reading.spoken(text, conversation.choices)
        if error:
            return Parsed(None, error)
        names = conversation.options
        met, error = reading_criteria.find(text, names)
        if met is None:
            return Parsed(None, error)
        return Parsed([list(pair) for pair in zip(names, met, strict=True)])

    def pattern(self, conversation: Conversation) -> Pattern:
        """Yes or no of every criterion in order."""
        return answers.verdicts(len(conversation.options))

    def metrics(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Fractions in [0, 1]; an unparsed answer is wrong about every criterion.

        criterion_accuracy  mean over criteria of their accuracy over frames (SurgVLM-Bench's "mean
                            criterion accuracy")
        balanced_accuracy   mean over criteria of the mean recall of met and of not met; a side that
                            never occurs is left out
        exact_match         share of frames with every criterion right
        parsed              share of answers that could be read
        accuracy/NAME       accuracy of one criterion
        balanced_accuracy/NAME  of one criterion
        ap, ap/NAME         only where all answers have scores: average precision of each criterion
                            that is met somewhere, and the mean (Endoscapes2023's mAP)
        """
        if not scored:
            raise ValueError("no scored answers")
        truth: dict[str, list[bool]] = {}
        said: dict[str, list[bool | None]] = {}
        exact = []
        for conversation, answer, _ in scored:
            given = {} if answer is None else dict(map(tuple, answer))
            for name, met in conversation.answer:
                truth.setdefault(name, []).append(met)
                said.setdefault(name, []).append(given.get(name))
            exact.append(_right(conversation.answer, given) == 1.0)
        accuracies = {name: criteria.accuracy(truth[name], said[name]) for name in truth}
        balanced = {name: criteria.balanced_accuracy(truth[name], said[name]) for name in truth}
        return {
            "criterion_accuracy": criteria.mean_over(accuracies),
            "balanced_accuracy": criteria.mean_over(balanced),
            "exact_match": sum(exact) / len(exact),
            "parsed": sum(item.answer is not None for item in scored) / len(scored),
            **{f"accuracy/{name}": value for name, value in accuracies.items()},
            **{f"balanced_accuracy/{name}": value for name, value in balanced.items()},
            **(_average_precisions(scored) if have_scores(scored) else {}),
        }

    def tally(self, scored: Sequence[Scored]) -> Tally:
        """Right answers about each criterion."""
        sums: dict[str, tuple[int, int]] = {}
        for conversation, answer, _ in scored:
            given = {} if answer is None else dict(map(tuple, answer))
            for name, met in conversation.answer:
                right, asked = sums.get(name, (0, 0))
                sums[name] = right + (given.get(name) == met), asked + 1
        return sums

    def reward(self, conversation: Conversation, text: str) -> float:
        """Share of the criteria that are right."""
        answer = self.parse(text, conversation).answer
        return _right(conversation.answer, {} if answer is None else dict(map(tuple, answer)))


def _right(truth: Sequence[Sequence], given: dict[str, bool]) -> float:
    return sum(given.get(name) == met for name, met in truth) / len(truth)


def _average_precisions(scored: Sequence[Scored]) -> dict[str, float]:
    """Of each criterion over the frames that ask for it, and the mean."""
    pairs: dict[str, list[tuple[bool, float]]] = {}
    for item in scored:
        for name, met in item.conversation.answer:
            pairs.setdefault(name, []).append((met, item.scores.get(name, 0.0)))
    found = {
        f"ap/{name}": criteria.average_precision(*zip(*rows, strict=True))
        for name, rows in pairs.items()
    }
    return {"ap": criteria.mean_over(found), **found}


def _view(concepts: Iterable[str]) -> str:
    concepts = set(concepts)
    for name, members in VIEWS.items():
        if concepts <= set(members):
            return name
    raise ValueError(
        f"the criteria {', '.join(sorted(concepts))} belong to no view that "
        f"surgzoo/tasks/safety_assessment.py names; add it to VIEWS"
    )
