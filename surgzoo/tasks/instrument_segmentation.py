"""Instrument segmentation: one channel, the instrument white and the rest black (SurgΣ's format).

Two forms of question, as in instrument localization: one class ("Segment the hook."; options: the
class alone) and all instruments as one mask (options: all classes of the source). The answer is
{"media": <the instrument_mask>, "values": [..]}: the pixels with these values are white.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from surgzoo.db import ontology
from surgzoo.db.footage import Shot
from surgzoo.db.schema import Conversation, Media
from surgzoo.metrics import dense
from surgzoo.tasks import reading, templates
from surgzoo.tasks.base import Context, ImageTask, Scored
from surgzoo.tasks.pixels import PixelTask, fit, grey, pointer, still

MAP = "instrument_mask"
WHITE = 255


class InstrumentSegmentation(PixelTask, ImageTask):
    name = "instrument_segmentation"
    reads = MAP
    headline = "dice"
    templates = templates.INSTRUMENT_SEGMENTATION + templates.ALL_INSTRUMENTS_SEGMENTATION
    worst = {"dice": 0.0, "iou": 0.0}

    def encode(self, shot: Shot, context: Context) -> list[Conversation]:
        """A question for each class in view (parts 0, 1, ... in the source's order), one for all.

        An instrument without a mask makes no question about its class, and none about all. A frame
        annotated as free of instruments has the question about all, with a black answer.
        """
        if MAP not in shot.maps or shot.annotations.instruments is None:
            return []
        options = ontology.names(context.source, "instrument")
        classes: dict[str, list[int]] = {}
        for item in shot.annotations.instruments:
            classes.setdefault(ontology.name("instrument", item.label.concept), []).append(
                item.mask
            )
        masked = {name: values for name, values in classes.items() if 0 not in values}
        frame = shot.frame
        media = Media(context.source, context.config, frame.video, frame.index, kind=MAP)
        conversations = []
        for part, name in enumerate(reading.in_order(masked, options)):
            answer = pointer(media, values=sorted(set(masked[name])))
            conversations.append(
                _ONE.conversation(
                    shot, context, answer, part=part, options=(name,), instrument=name
                )
            )
        # With one class in all, the question about all would be the one above once more.
        if len(masked) == len(classes) and not (len(options) == 1 and masked):
            values = sorted({value for found in masked.values() for value in found})
            conversations.append(
                _ALL.conversation(
                    shot, context, pointer(media, values=values), part=len(masked), options=options
                )
            )
        return conversations

    def pixels(self, stored: np.ndarray, answer: Any) -> np.ndarray:
        """White where the map has one of the answer's values; other images as they are."""
        if "values" not in answer:
            return stored
        return np.where(np.isin(stored, answer["values"]), WHITE, 0).astype(np.uint8)

    def compare(self, truth: np.ndarray, said: np.ndarray, answer: Any) -> dict[str, float]:
        """Dice and IoU of the white pixels: brighter than the middle of the file's range.

        Floats range from 0 to 1.
        """
        said = still(said)
        middle = np.iinfo(said.dtype).max // 2 if said.dtype.kind == "u" else 0.5
        white = fit(grey(said), truth, nearest=True) > middle
        return dense.overlap(truth > 127, white)._asdict()

    def metrics(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Fractions in [0, 1], means over questions; a missing answer is 0.

        dice, iou   over all questions. A class that is in neither mask is 1, in only one of them 0;
                    a question about one class is only asked where the class is in view
        class_dice  mean over the classes that are asked about, of each class's mean
        all_dice    the questions about all instruments
        parsed      share of answers that could be read
        """
        out = super().metrics(scored)
        kinds: dict[str, list[float]] = {}
        for item in scored:
            options = item.conversation.options
            kind = options[0] if len(options) == 1 else ""
            kinds.setdefault(kind, []).append(item.answer["dice"] if item.answer else 0.0)
        whole = kinds.pop("", [])
        classes = [float(np.mean(values)) for values in kinds.values()]
        parsed = out.pop("parsed")
        return {
            **out,
            "class_dice": float(np.mean(classes)) if classes else float("nan"),
            "all_dice": float(np.mean(whole)) if whole else float("nan"),
            "parsed": parsed,
        }


class _OneClass(InstrumentSegmentation):
    """The question about one class."""

    templates = templates.INSTRUMENT_SEGMENTATION


class _AllClasses(InstrumentSegmentation):
    """The question about all instruments as one mask."""

    templates = templates.ALL_INSTRUMENTS_SEGMENTATION


_ONE, _ALL = _OneClass(), _AllClasses()
