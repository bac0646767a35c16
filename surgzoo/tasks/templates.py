"""The phrasings of all questions, by task; the grammar expands them once, at import.

Each begins with short ones written by hand: a question is repeated millions of times and its tokens
are paid for each time (`grammar.first`). No phrasing stands twice, in one task or in two, so a
question also tells which task it is.
"""

from surgzoo.tasks.templates_language import IMAGE_CAPTIONING, VIDEO_CAPTIONING
from surgzoo.tasks.templates_objects import (
    ALL_INSTRUMENTS_LOCALIZATION,
    ALL_TISSUES_LOCALIZATION,
    INSTRUMENT_LOCALIZATION,
    INSTRUMENT_RECOGNITION,
    TISSUE_AREA_LOCALIZATION,
    TISSUE_LOCALIZATION,
    TISSUE_RECOGNITION,
)
from surgzoo.tasks.templates_pixels import (
    ALL_INSTRUMENTS_SEGMENTATION,
    ALL_TISSUES_SEGMENTATION,
    DEPTH_ESTIMATION,
    DESMOKING,
    INSTRUMENT_SEGMENTATION,
    NEXT_FRAME,
    TISSUE_SEGMENTATION,
    VIDEO_CONTINUATION,
    VIDEO_GENERATION,
)
from surgzoo.tasks.templates_workflow import (
    ACTION_RECOGNITION,
    ACTION_REMAINING,
    ACTOR_ACTION_RECOGNITION,
    NEXT_ACTION,
    PHASE_RECOGNITION,
    SAFETY_ASSESSMENT,
    STEP_RECOGNITION,
    TRIPLET_RECOGNITION,
)

__all__ = [
    "ACTION_RECOGNITION",
    "ACTION_REMAINING",
    "ACTOR_ACTION_RECOGNITION",
    "ALL_INSTRUMENTS_LOCALIZATION",
    "ALL_INSTRUMENTS_SEGMENTATION",
    "ALL_TISSUES_LOCALIZATION",
    "ALL_TISSUES_SEGMENTATION",
    "DEPTH_ESTIMATION",
    "DESMOKING",
    "IMAGE_CAPTIONING",
    "INSTRUMENT_LOCALIZATION",
    "INSTRUMENT_RECOGNITION",
    "INSTRUMENT_SEGMENTATION",
    "NEXT_ACTION",
    "NEXT_FRAME",
    "PHASE_RECOGNITION",
    "SAFETY_ASSESSMENT",
    "STEP_RECOGNITION",
    "TISSUE_AREA_LOCALIZATION",
    "TISSUE_LOCALIZATION",
    "TISSUE_RECOGNITION",
    "TISSUE_SEGMENTATION",
    "TRIPLET_RECOGNITION",
    "VIDEO_CAPTIONING",
    "VIDEO_CONTINUATION",
    "VIDEO_GENERATION",
]
