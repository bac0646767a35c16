"""Tasks that a benchmark asks and SurgΣ's table lacks, or measures by another headline.

They are not registered: their questions exist inside a benchmark. One that asks something else than
the registered task has another name, as a conversation's id holds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from surgzoo.db import boxes, ontology
from surgzoo.db.derive import motion
from surgzoo.db.footage import Footage, Shot
from surgzoo.db.schema import Box, Conversation
from surgzoo.metrics import triplet
from surgzoo.tasks import reading
from surgzoo.tasks.base import Context, ImageTask, Scored
from surgzoo.tasks.instrument_localization import InstrumentLocalization
from surgzoo.tasks.one_label import OneLabel
from surgzoo.tasks.phase_recognition import PhaseRecognition
from surgzoo.tasks.safety_assessment import SafetyAssessment
from surgzoo.tasks.step_recognition import StepRecognition
from surgzoo.tasks.triplet_recognition import TripletRecognition

Tally = dict[str, tuple[float, float]]

_COMPONENTS = ("i", "v", "t", "ivt")
_MASK = "instrument_mask"


class FrameAction(OneLabel, ImageTask):
    """Which action a single frame shows: the registered task asks about whole action clips.

    A frame with no action or with several at once is not asked about.
    """

    name = "frame_action"
    reads = "actions"
    kind = "action"
    templates = (
        "Which surgical action is shown?",
        "Which action is being performed in this frame?",
        "Name the surgical action of this frame.",
    )
    leads = ()

    def encode(self, shot: Shot, context: Context) -> list[Conversation]:
        found = {label.concept for label in shot.annotations.actions or ()}
        if len(found) != 1:
            return []
        options = ontology.names(context.source, "action")
        return [
            self.conversation(shot, context, ontology.name("action", found.pop()), options=options)
        ]


class MaskBoxes(InstrumentLocalization):
    """Where each instrument class is: the one box around all pixels of the class.

    For sources whose masks hold classes, not instances (the test of EndoVis 2017). Two instruments
    of a class share a box.
    """

    name = "mask_boxes"

    def encode_video(self, footage: Footage, context: Context) -> Iterator[Conversation]:
        """One question for each class in view; none for a frame without masks."""
        options = ontology.names(context.source, self.kind)
        for index, shot in enumerate(footage.shots):
            values: dict[str, list[int]] = {}
            for item in shot.annotations.instruments or ():
                if item.mask:
                    name = ontology.name(self.kind, item.label.concept)
                    values.setdefault(name, []).append(item.mask)
            if not values or _MASK not in shot.maps:
                continue
            mask = motion.mask(footage, index)
            for part, name in enumerate(reading.in_order(values, options)):
                box = _around(np.isin(mask, values[name]))
                if box is None:
                    continue
                phrasings, words = self.ask(name, [box])
                yield self.conversation(
                    shot,
                    context,
                    [[name, [box.x1, box.y1, box.x2, box.y2]]],
                    part=part,
                    options=(name,),
                    derived="box around the pixels of the class",
                    templates=phrasings,
                    text=self.box_text(box),
                    **words,
                )


class TripletAccuracy(TripletRecognition):
    """Triplets, with the share of frames whose set is exactly right as the headline.

    ivt_accuracy  the whole triplets (what the registered task calls exact_match)
    i_accuracy, v_accuracy, t_accuracy  the set of instruments, of verbs, of targets
    """

    headline = "ivt_accuracy"

    def metrics(self, scored: Sequence[Scored]) -> dict[str, float]:
        found = super().metrics(scored)
        right = _exact(scored)
        return {
            **{f"{name}_accuracy": float(np.mean(right[name])) for name in _COMPONENTS},
            **found,
        }

    def tally(self, scored: Sequence[Scored]) -> Tally:
        right = _exact(scored)["ivt"]
        return {"": (float(sum(right)), float(len(right)))}


class BoxedFrames(SafetyAssessment):
    """Safety assessment on the frames that also have boxes (Endoscapes-BBox201)."""

    def encode(self, shot: Shot, context: Context) -> list[Conversation]:
        annotations = shot.annotations
        things = [annotations.tissues, annotations.instruments]
        if all(items is None for items in things):
            return []
        return super().encode(shot, context)


class _ByVideo(OneLabel):
    """One label a frame, with the mean over videos of their accuracy as the headline."""

    headline = "video_accuracy"

    def tally(self, scored: Sequence[Scored]) -> Tally:
        right: dict[str, list[bool]] = {}
        for conversation, answer, _ in scored:
            right.setdefault(conversation.video, []).append(answer == conversation.answer)
        return {"": (sum(sum(r) / len(r) for r in right.values()), float(len(right)))}


class VideoPhase(_ByVideo, PhaseRecognition):
    """Phases video-wise."""


class VideoStep(_ByVideo, StepRecognition):
    """Steps video-wise."""


def _exact(scored: Sequence[Scored]) -> dict[str, list[bool]]:
    """For each component, whether the set of each answer is exactly right."""
    out: dict[str, list[bool]] = {name: [] for name in _COMPONENTS}
    for conversation, answer, _ in scored:
        for name in _COMPONENTS:
            truth = triplet.component([tuple(parts) for parts in conversation.answer], name)
            said = triplet.component(
                None if answer is None else [tuple(parts) for parts in answer], name
            )
            out[name].append(said is not None and set(truth) == set(said))
    return out


def _around(mask: np.ndarray) -> Box | None:
    """The box around all set pixels of a bool [H, W]."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return None
    corners = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    return boxes.from_xyxy([float(corner) for corner in corners], mask.shape)
