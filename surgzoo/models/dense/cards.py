"""The registered models of this folder. No weights are published for these outputs."""

from surgzoo.core.registry import Registry
from surgzoo.models.card import model_card
from surgzoo.models.depth_anything_v2.cards import FRAME, SMALL_FRAME

# What config.py's functions begin with, tasks, parameters of both sizes, what comes out.
_MODELS = (
    (
        "instrument_segmentation",
        ("instrument_segmentation",),
        "630 K",
        "24.7 M",
        "a mask of instruments",
    ),
    ("tissue_segmentation", ("tissue_segmentation",), "631 K", "24.7 M", "labels of tissues"),
    ("desmoking", ("desmoking",), "630 K", "24.7 M", "the frame without its smoke"),
    ("next_frame", ("next_frame",), "630 K", "24.7 M", "the frame a fixed time later"),
)


def register(models: Registry) -> None:
    for name, tasks, tiny, small, output in _MODELS:
        for size, parameters, frame in (("tiny", tiny, SMALL_FRAME), ("small", small, FRAME)):
            card = model_card(
                f"{output}; Depth Anything's encoder and decoder",
                family="dense",
                parameters=parameters,
                reads="frames",
                tasks=tasks,
                input=frame,
                source="architecture of arXiv 2406.09414, outputs and losses ours",
                weights="none published; starts from Depth Anything V2's",
                pre_training="where it starts from Depth Anything V2: 62 M photographs, see its "
                "card; no surgical video is named",
            )
            target = f"surgzoo.models.dense.config:{name}_{size}"
            models.register(f"{name.replace('_', '-')}-{size}", target, card)
