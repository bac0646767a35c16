"""A model of an outside package: here a smaller member of a known family."""

import dataclasses

from surgzoo.models.qwen2_5_vl import config


def toy():
    base = config.tiny()
    return dataclasses.replace(
        base,
        text=dataclasses.replace(base.text, depth=1, mlp=128),
        vision=dataclasses.replace(base.vision, depth=1, full_attention_layers=(0,)),
    )
