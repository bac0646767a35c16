"""Tissue segmentation: one channel, the tissue or organ white and the rest black.

No task of SurgΣ-DB, which locates tissues by boxes; the form is that of its instrument masks.
"""

from __future__ import annotations

from surgzoo.tasks import templates
from surgzoo.tasks.segmentation import Segmentation


class TissueSegmentation(Segmentation):
    """The questions of `Segmentation` about tissues and organs."""

    name = "tissue_segmentation"
    reads = "tissue_mask"
    kind = "tissue"
    of_one = templates.TISSUE_SEGMENTATION
    of_all = templates.ALL_TISSUES_SEGMENTATION
    templates = of_one + of_all
