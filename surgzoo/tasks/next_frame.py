"""Next-frame generation (No. 17): the frame at t + k seconds, k = 1 to 10.

The prompt carries the interval and either the phase and step, or the action and the direction in
which the instruments move, computed from their masks in both frames (SurgΣ's guideline page of task
17). k and the form are drawn by a hash of the frame. Phase, step and action are those at t.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from surgzoo.db import captions, ontology
from surgzoo.db.derive import motion
from surgzoo.db.footage import Footage
from surgzoo.db.schema import Conversation, FrameAnnotations, Media
from surgzoo.metrics import picture
from surgzoo.tasks import reading_seconds, templates, wording
from surgzoo.tasks.base import Context
from surgzoo.tasks.pixels import PixelTask, fit, pointer, rgb, still

SECONDS = range(1, 11)
MASK = "instrument_mask"
EXACT = 0.1  # seconds by which a stored frame may miss t + k


class NextFrame(PixelTask):
    name = "next_frame"
    number = 17
    headline = "ssim"
    templates = templates.NEXT_FRAME
    worst = {"ssim": 0.0, "psnr": 0.0}
    scales = {"psnr": "dB"}

    def encode_video(self, footage: Footage, context: Context) -> Iterator[Conversation]:
        """A conversation for each frame with a frame after it and something to say about it."""
        # A mask serves as the first and as the second frame of several questions.
        mask_of = functools.lru_cache(maxsize=2 * max(SECONDS))(
            functools.partial(motion.mask, footage)
        )
        for index, shot in enumerate(footage.shots):
            later = [(k, at) for k in SECONDS if (at := frame_after(footage, index, k)) is not None]
            if not later:
                continue
            identity = f"{context.source}.{context.config}/{footage.video.id}/{index}"
            seconds, target = later[wording.draw(identity, 0, len(later), "seconds")]
            stage, acting = stage_of(shot.annotations), action_of(footage, index)
            maps = shot.maps & footage.shots[target].maps
            directed = acting and MASK in maps and footage.dense is not None
            facts, derived = stage, None
            if directed and (not stage or wording.draw(identity, 0, 2, "facts")):
                moves = motion.of_instruments(footage, index, target, mask_of)
                if moves:
                    said = [f"{_instrument(concept)} {word}" for concept, word in moves]
                    facts, derived = ", ".join([acting, *said]), motion.DERIVED
            if not facts:
                continue
            frame = footage.shots[target].frame
            media = Media(context.source, context.config, frame.video, frame.index)
            yield self.conversation(
                shot,
                context,
                pointer(media),
                derived=derived,
                seconds=reading_seconds.render(seconds),
                facts=captions.sentence(facts),
            )

    def compare(self, truth: np.ndarray, said: np.ndarray, answer: Any) -> dict[str, float]:
        """SSIM and PSNR in dB (`metrics/picture.py`)."""
        said = fit(rgb(still(said)), truth)
        return {"ssim": picture.ssim(truth, said), "psnr": picture.psnr(truth, said)}


def frame_after(footage: Footage, index: int, seconds: float) -> int | None:
    """The stored frame nearest to `seconds` after frame `index`; None where none is near enough."""
    wanted = footage.shots[index].frame.time + seconds

    def error(number: int) -> float:
        return abs(footage.shots[number].frame.time - wanted)

    at = footage.index_at(wanted) or 0
    found = min(range(at, min(at + 2, len(footage.shots))), key=error)
    return found if error(found) <= EXACT + 1e-6 else None


def stage_of(annotations: FrameAnnotations) -> str:
    """ "phase preparation, step adhesiolysis"; "" where neither is annotated."""
    said = [
        f"{kind} {ontology.name(kind, label.concept)}"
        for kind, label in (("phase", annotations.phase), ("step", annotations.step))
        if label is not None
    ]
    return ", ".join(said)


def action_of(footage: Footage, index: int) -> str:
    """The actions at a frame, "dissection"; "" where none is annotated."""
    shot = footage.shots[index]
    labels = list(shot.annotations.actions or ())
    if not labels:
        time = shot.frame.time
        labels = [s.label for s in footage.segments("action") if s.start <= time < s.end]
    return ", ".join(dict.fromkeys(ontology.name("action", label.concept) for label in labels))


def _instrument(concept: str) -> str:
    return ontology.name("instrument", concept)
