"""The registered models of this folder."""

from surgzoo.core.registry import Registry
from surgzoo.models.card import OF_PAIRS, model_card

# Name, function of config.py, parameters, what of it, pixels of a side.
_CLIP = (
    ("clip-tiny", "clip_tiny", "344 K", "for the default data, trains on a CPU", 64),
    ("clip-vit-b-32", "clip_b32", "151 M", "ViT-B/32", 224),
    ("clip-vit-b-16", "clip_b16", "150 M", "ViT-B/16", 224),
    ("clip-vit-l-14", "clip_l14", "428 M", "ViT-L/14", 224),
    ("clip-vit-l-14-336", "clip_l14_336", "428 M", "ViT-L/14", 336),
)
_SIGLIP2 = (
    ("siglip2-tiny", "siglip2_tiny", "389 K", "for the default data, trains on a CPU", 64),
    ("siglip2-base", "siglip2_base", "375 M", "ViT-B/16", 224),
    ("siglip2-base-naflex", "siglip2_base_naflex", "375 M", "any-resolution files", 256),
    ("siglip2-large", "siglip2_large", "882 M", "ViT-L/16", 256),
    ("siglip2-so400m", "siglip2_so400m", "1.1 B", "So400m/14", 224),
    ("siglip2-giant", "siglip2_giant", "1.9 B", "g-opt/16", 256),
)


def register(models: Registry) -> None:
    for variants, family, what, source, weights, seen in (
        (
            _CLIP, "clip", "CLIP dual encoder", "arXiv 2103.00020", "OpenAI's, MIT",
            "CLIP: 400 M image-text pairs of the web, of which no list is published",
        ),
        (
            _SIGLIP2, "siglip2", "SigLIP 2 dual encoder", "arXiv 2502.14786",
            "Google's, Apache-2.0", "SigLIP 2: WebLI, of which no list is published",
        ),
    ):  # fmt: skip
        for name, made_by, parameters, text, side in variants:
            tiny = name.endswith("-tiny")
            card = model_card(
                f"{what}; {text}",
                family=family,
                parameters=parameters,
                reads="pairs",
                tasks=OF_PAIRS,
                input=f"a picture of {side} x {side} pixels and a text",
                source=source,
                weights="none published" if tiny else weights,
                pre_training="" if tiny else seen,
            )
            models.register(name, f"surgzoo.models.clip.config:{made_by}", card)
