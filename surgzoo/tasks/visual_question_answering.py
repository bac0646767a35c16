"""Visual question answering: questions that came with a source, some with a box in the answer.

No task of SurgΣ's table but an extension, as an outside package would add one. Sources: the VQA and
VQLA sets of EndoVis2018, Cholec80-VQA, PSI-AVA-VQA, PitVQA.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from surgzoo.db import boxes
from surgzoo.db.footage import Shot
from surgzoo.db.schema import Box, Conversation
from surgzoo.metrics import caption, classification, detection
from surgzoo.tasks import reading, reading_boxes
from surgzoo.tasks.base import Context, ImageTask, Parsed, Scored, Tally

_PREFIX = re.compile(r"^(?:the )?(?:final )?answer(?: is)?(?:(?<= is)|\s*:)\s*", re.IGNORECASE)
_PAST_BOX = " .,;:\n\t()[]"


class VisualQuestionAnswering(ImageTask):
    """The only phrasing is the source's own question; no trace, as a question may be on anything,
    and no first exchange, as that may answer it."""

    name = "visual_question_answering"
    reads = "questions"
    answer_form = "vqa"
    headline = "accuracy"
    templates = ("{question}",)
    leads = ()
    scales = {"cider_d": ""}

    def encode(self, shot: Shot, context: Context) -> list[Conversation]:
        """One conversation a question, parts in the source's order; none without any answer.

        Its answer has "accepted", the other answers that count as right, where there are such.
        """
        conversations = []
        for part, item in enumerate(shot.annotations.questions or ()):
            box = item.box
            answer = {
                "text": _one_line(item.answer),
                "box": None if box is None else [box.x1, box.y1, box.x2, box.y2],
            }
            if not answer["text"] and box is None:
                continue
            if item.accepted:
                answer["accepted"] = [_one_line(text) for text in item.accepted]
            conversations.append(
                self.conversation(shot, context, answer, part=part, question=item.text)
            )
        return conversations

    def render(self, answer: dict[str, Any]) -> str:
        """ "grasper", or with its box "grasper (12,30),(250,410)"."""
        text, box = answer["text"], answer["box"]
        if not isinstance(text, str):
            raise TypeError(f"the text of an answer is a string, not {text!r}")
        return text if box is None else f"{text} {boxes.to_text(Box(*box))}".strip()

    def parse(self, text: str, conversation: Conversation) -> Parsed:
        """The words before the first box, and the last box; "Answer:" before them is left out."""
        text, error = reading.spoken(text, conversation.choices)
        if error:
            return Parsed(None, error)
        box = None
        try:
            found = reading_boxes.find(text)
        except reading_boxes.BoxError as broken:
            return Parsed(None, str(broken))
        if found:
            last = found[-1].box
            box = [last.x1, last.y1, last.x2, last.y2]
            text = next((item.lead for item in found if item.lead.strip(_PAST_BOX)), "")
            text = text.rstrip(_PAST_BOX)
        text = _PREFIX.sub("", _one_line(text))
        if not text and box is None:
            return Parsed(None, "is empty")
        return Parsed({"text": text, "box": box})

    def metrics(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Fractions in [0, 1], but for cider_d (0 to 10); an unparsed answer is wrong.

        accuracy                    share of answers that are the same after `normal`; one of the
                                    accepted answers is the true one
        macro_precision, _recall, _f1  mean over the answers that occur in the truth, as classes
        miou                        mean over the true boxes of the IoU with the predicted one, 0
                                    without one; NaN where no answer has a box
        miou_legacy_vqla            no IoU, but what the localised VQA papers print as one, about
                                    0.5 for random boxes (`detection.miou_legacy_vqla`); as miou 0
                                    without a predicted box. For comparison with them only
        bleu1 .. bleu4, rouge_1, rouge_l, meteor, cider_d  of the answers that are words
                                    (`metrics/caption.py`). The truth itself gets less than the top
                                    in meteor (0.5 for one word) and cider_d; NaN for BLEU where no
                                    answer is so long, and for cider_d of a single answer
        parsed                      share of answers that could be read
        """
        if not scored:
            raise ValueError("no scored answers")
        truth = [normal(item.conversation.answer["text"]) for item in scored]
        said = [None if item.answer is None else _said(item) for item in scored]
        matrix = classification.confusion(truth, said, tuple(dict.fromkeys(truth)))
        macro = classification.macro(matrix)
        worded = [item for item in scored if item.conversation.answer["text"]]
        return {
            "accuracy": classification.accuracy(matrix),
            "macro_precision": macro.precision,
            "macro_recall": macro.recall,
            "macro_f1": macro.f1,
            "miou": _mean_over_boxes(detection.pair_iou, scored),
            "miou_legacy_vqla": _mean_over_boxes(detection.miou_legacy_vqla, scored),
            **caption.measures(
                [item.conversation.answer["text"] for item in worded],
                [None if item.answer is None else item.answer["text"] for item in worded],
            ),
            "parsed": sum(item.answer is not None for item in scored) / len(scored),
        }

    def tally(self, scored: Sequence[Scored]) -> Tally:
        """Right answers of all."""
        return {"": (sum(map(_right, scored)), len(scored))}

    def reward(self, conversation: Conversation, text: str) -> float:
        """1 for the right words, else 0; with a true box the mean of that and of its IoU."""
        answer = self.parse(text, conversation).answer
        if answer is None:
            return 0.0
        right = float(_right(Scored(conversation, answer)))
        if conversation.answer["box"] is None:
            return right
        iou = _mean_over_boxes(detection.pair_iou, [Scored(conversation, answer)])
        return (right + iou) / 2


def normal(text: str) -> str:
    """What makes two answers the same: words in lower case without articles, "_", "-" and stops."""
    words = re.findall(r"[^\W_]+(?:\.\d+)?", text.lower().replace("'", "").replace("’", ""))
    return (
        " ".join(word for word in words if word not in ("a", "an", "the")) or text.strip().lower()
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _said(item: Scored) -> str:
    """The words of an answer; the true ones when the source accepts these in their place."""
    said, truth = normal(item.answer["text"]), item.conversation.answer
    return normal(truth["text"]) if said in map(normal, truth.get("accepted", ())) else said


def _right(item: Scored) -> bool:
    return item.answer is not None and _said(item) == normal(item.conversation.answer["text"])


def _mean_over_boxes(
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray], scored: Sequence[Scored]
) -> float:
    """Mean over the true boxes: 0 where none is predicted; NaN where no answer has a box."""
    boxed = [item for item in scored if item.conversation.answer["box"] is not None]
    pairs = [
        (item.conversation.answer["box"], item.answer["box"])
        for item in boxed
        if item.answer is not None and item.answer["box"] is not None
    ]
    if not boxed:
        return float("nan")
    values = measure(*np.array(pairs, float).reshape(-1, 2, 4).swapaxes(0, 1))
    return float(values.sum() / len(boxed))
