"""Masks of the classes of one kind, instruments or tissues: white inside, the rest black.

Two forms of question, as in localization: one class ("Segment the hook."; options: the class alone)
and all of the kind as one mask (options: all classes of the source). The answer is
{"media": <the map>, "values": [..]}: the pixels with these values are white.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from surgzoo.db import ontology
from surgzoo.db.footage import Shot
from surgzoo.db.schema import Conversation, Media
from surgzoo.metrics import dense, segmentation
from surgzoo.metrics.classification import nanmean
from surgzoo.tasks import reading
from surgzoo.tasks.base import Context, ImageTask, Scored
from surgzoo.tasks.pixels import Comparison, PixelTask, fit, grey, media_of, pointer, still

WHITE = 255
HIGH = 1080  # rows of the frames that the tolerance of nsd was set for


class Segmentation(PixelTask, ImageTask):
    """A subclass says of what: `reads` is the map, and an annotation's `mask` its value there."""

    headline = "dice"
    worst = {"dice": 0.0, "iou": 0.0, "nsd": 0.0}
    kind: ClassVar[Literal["instrument", "tissue"]]  # also the field of `of_one`
    of_one: ClassVar[tuple[str, ...]]  # phrasings of the question about one class
    of_all: ClassVar[tuple[str, ...]]

    def encode(self, shot: Shot, context: Context) -> list[Conversation]:
        """A question for each class in view (parts 0, 1, ... in the source's order), one for all.

        What has no mask makes no question about its class, and none about all. A frame annotated
        as free of the kind has the question about all, with a black answer.
        """
        annotated = getattr(shot.annotations, f"{self.kind}s")
        if self.reads not in shot.maps or annotated is None:
            return []
        options = ontology.names(context.source, self.kind)
        classes: dict[str, list[int]] = {}
        for item in annotated:
            classes.setdefault(ontology.name(self.kind, item.label.concept), []).append(item.mask)
        masked = {name: values for name, values in classes.items() if 0 not in values}
        frame = shot.frame
        media = Media(context.source, context.config, frame.video, frame.index, kind=self.reads)

        def ask(values: Iterable[int], **words: Any) -> Conversation:
            answer = pointer(media, values=sorted(set(values)))
            return self.conversation(shot, context, answer, **words)

        conversations = [
            ask(
                masked[name],
                part=part,
                options=(name,),
                templates=self.of_one,
                **{self.kind: name},
            )
            for part, name in enumerate(reading.in_order(masked, options))
        ]
        # With one class in all, the question about all would be the one above once more.
        if len(masked) == len(classes) and not (len(options) == 1 and masked):
            every = (value for found in masked.values() for value in found)
            conversations.append(
                ask(every, part=len(masked), options=options, templates=self.of_all)
            )
        return conversations

    def about_all(self, conversation: Conversation) -> bool:
        """Whether the answer's mask holds all of the kind that the frame shows.

        A source with one class asks about that alone, and only where all of it has a mask.
        """
        if len(conversation.options) > 1:
            return True
        return len(ontology.names(media_of(conversation.answer).source, self.kind)) == 1

    def pixels(self, stored: np.ndarray, answer: Any) -> np.ndarray:
        """White where the map has one of the answer's values; other images as they are."""
        if "values" not in answer:
            return stored
        return np.where(np.isin(stored, answer["values"]), WHITE, 0).astype(np.uint8)

    def compare(self, truth: np.ndarray, said: np.ndarray, answer: Any) -> dict[str, float]:
        """Dice, IoU and NSD of the white pixels: brighter than the middle of the file's range.

        Floats range from 0 to 1. The outlines of nsd may be apart by 10 pixels of a frame of 1080
        rows, the tolerance of SAR-RARP50, and in proportion in other frames.
        """
        said = still(said)
        middle = np.iinfo(said.dtype).max // 2 if said.dtype.kind == "u" else 0.5
        white = fit(grey(said), truth, nearest=True) > middle
        tolerance = segmentation.SAR_RARP50_TOLERANCE * len(truth) / HIGH
        nsd = segmentation.surface_dice(truth > 127, white, tolerance)
        return {**dense.overlap(truth > 127, white)._asdict(), "nsd": nsd}

    def metrics(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Fractions in [0, 1], means over questions; a missing answer is 0.

        dice, iou, nsd  over all questions. A class that is in neither mask is 1, in only one of
                    them 0; a question about one class is only asked where the class is in view.
                    nsd: Dice of the outlines within a tolerance (`segmentation.surface_dice`)
        class_dice  mean over the classes that are asked about, of each class's mean
        class_iou   the same of the IoU. No class is asked about where it is not, so this is no
                    mcIoU, which charges that (`segmentation.mean_class_iou`, for label maps)
        ch_iou      mean over frames of the mean IoU of the classes in view: the challenge IoU of
                    EndoVis 2018, but that each class has a mask of its own here
        all_dice    the questions about all of the kind
        parsed      share of answers that could be read
        """
        out = super().metrics(scored)
        parsed = out.pop("parsed")
        classes: dict[str, list[Comparison]] = {}
        frames: dict[tuple, list[float]] = {}
        whole: list[float] = []
        for item in scored:
            options, found = item.conversation.options, item.answer or self.worst
            if len(options) != 1:
                whole.append(found["dice"])
                continue
            classes.setdefault(options[0], []).append(found)
            place = media_of(item.conversation.answer)
            frame = (place.source, place.config, place.video, place.first)
            frames.setdefault(frame, []).append(found["iou"])
        dice, iou = (
            nanmean([np.mean([found[name] for found in group]) for group in classes.values()])
            for name in ("dice", "iou")
        )
        return {
            **out,
            "class_dice": dice,
            "class_iou": iou,
            "ch_iou": nanmean([np.mean(values) for values in frames.values()]),
            "all_dice": nanmean(whole),
            "parsed": parsed,
        }
