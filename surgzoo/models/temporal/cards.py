"""The registered models of this folder. No weights are published in this form."""

from surgzoo.core.registry import Registry
from surgzoo.models.card import model_card


def register(models: Registry) -> None:
    for name, made_by, parameters, text in (
        ("tecno-tiny", "tiny", "9.9 K", "64 features a frame, trains on a CPU in seconds"),
        ("tecno-base", "base", "133 K", "2048 features a frame, as ResNet-50's"),
    ):
        card = model_card(
            f"causal MS-TCN over stored frame features; {text}",
            family="temporal",
            parameters=parameters,
            reads="features",
            tasks=("phase_recognition", "step_recognition"),
            input="the features of a video's frames; costs are those of 60 frames",
            source="arXiv 2003.10751, architecture of arXiv 1903.01945",
        )
        models.register(name, f"surgzoo.models.temporal.config:{made_by}", card)
