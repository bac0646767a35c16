"""The registered models of this folder. No weights of BSA are published."""

from surgzoo.core.registry import Registry
from surgzoo.models.card import model_card

_CONFIG = "surgzoo.models.bsa.config"


def register(models: Registry) -> None:
    for name, made_by, parameters, text, frames in (
        ("bsa-tiny", "tiny", "443 K", "trains on a CPU", "4 frames of 64 x 64 pixels"),
        ("bsa-base", "base", "121 M", "ViT-B/16", "8 frames of 224 x 224 pixels"),
    ):
        card = model_card(
            f"TimeSformer with BSA's heads; {text}",
            family="bsa",
            parameters=parameters,
            reads="clips",
            tasks=("action_recognition",),
            input=f"a clip, of which {frames} are seen",
            source="arXiv 2603.12787, architecture of arXiv 2102.05095",
        )
        models.register(name, f"{_CONFIG}:{made_by}", card)
    card = model_card(
        "causal transformer: the next action after a recognised history",
        family="bsa_planner",
        parameters="541 K",
        reads="histories",
        tasks=("next_action",),
        input="the actions of a video so far, up to 64",
        source="the task of arXiv 2603.12787; the architecture is ours",
    )
    models.register("bsa-planner", f"{_CONFIG}:planner", card)
