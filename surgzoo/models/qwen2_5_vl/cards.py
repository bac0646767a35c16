"""The registered models of this folder."""

from surgzoo.core.registry import Registry
from surgzoo.models.card import model_card

_WEIGHTS = "Qwen's, terms by size; SurgVLM's own are not published"
_SEEN = "Qwen2.5-VL: pictures, videos and texts of the web, of which no list is published"

# Name, function of config.py, parameters, what of it.
_VARIANTS = (
    ("surgvlm-tiny", "tiny", "3.3 M", "for the default data, trains on a CPU"),
    ("surgvlm-3b", "b3", "3.8 B", "not part of the SurgVLM paper"),
    ("surgvlm-7b", "b7", "8.3 B", "tuned whole"),
    ("surgvlm-32b", "b32", "33.5 B", "merger tuned"),
    ("surgvlm-72b", "b72", "73.4 B", "LoRA"),
)


def register(models: Registry) -> None:
    for name, made_by, parameters, text in _VARIANTS:
        tiny = made_by == "tiny"
        card = model_card(
            f"vision-language model, Qwen2.5-VL architecture; {text}",
            family="qwen2_5_vl",
            parameters=parameters,
            reads="turns",
            tasks=("text",),
            input="turns of text with pictures and clips, "
            + ("112 x 112 pixels" if tiny else "resized by area to multiples of 28 pixels"),
            source="arXiv 2506.02555, architecture of arXiv 2502.13923",
            weights="none published" if tiny else _WEIGHTS,
            pre_training="" if tiny else _SEEN,
        )
        models.register(name, f"surgzoo.models.qwen2_5_vl.config:{made_by}", card)
