"""The registered models of this folder."""

from surgzoo.core.registry import Registry
from surgzoo.models.card import model_card

FRAME = "one RGB frame, shorter side 518 pixels, whole patches of 14"
SMALL_FRAME = "one RGB frame of 112 x 112 pixels"

_SEEN = (
    "Depth Anything V2: encoder on LVD-142M, all on 62 M photographs, labelled by a teacher that "
    "learnt from 595 K rendered images; no surgical video is named"
)


def register(models: Registry) -> None:
    for name, parameters, weights in (
        ("tiny", "630 K", ""),
        ("small", "24.7 M", "Apache-2.0"),
        ("base", "97.2 M", "CC-BY-NC-4.0"),
        ("large", "334 M", "CC-BY-NC-4.0"),
    ):
        card = model_card(
            "relative depth; DINOv2 encoder and DPT decoder",
            family="depth_anything_v2",
            parameters=parameters,
            reads="frames",
            tasks=("depth_estimation",),
            input=FRAME if weights else SMALL_FRAME,
            source="arXiv 2406.09414, 2304.07193 (DINOv2), 2103.13413 (DPT)",
            weights=f"the authors', {weights}" if weights else "none published",
            pre_training=_SEEN if weights else "",
        )
        target = f"surgzoo.models.depth_anything_v2.config:{name}"
        models.register(f"depth-anything-v2-{name}", target, card)
