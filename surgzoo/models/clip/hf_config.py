"""Our config from the config.json of a checkpoint folder, and back."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
from typing import Any

from surgzoo.models.clip.config import DualEncoderConfig, TextConfig, VisionConfig

_ACTIVATIONS = {"quick_gelu": "quick_gelu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh"}
# Fields with the value of the library's classes, which files leave out where they are unchanged.
_TEXT = {
    "clip": {"vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048,
             "num_hidden_layers": 12, "num_attention_heads": 8, "max_position_embeddings": 77,
             "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5},
    "siglip": {"vocab_size": 32000, "hidden_size": 768, "intermediate_size": 3072,
               "num_hidden_layers": 12, "num_attention_heads": 12, "max_position_embeddings": 64,
               "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6},
}  # fmt: skip
# How inputs are made stands in other files of the published folders, or in none. Under this key of
# what we write it is said; transformers reads past it.
_OURS = "surgzoo"
_VISION = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
           "num_attention_heads": 12}  # fmt: skip


def read_config(folder: str | pathlib.Path, **changes: Any) -> DualEncoderConfig:
    """The config of a folder with a CLIP, SigLIP or SigLIP 2 checkpoint.

    `changes` are further fields, such as compute_dtype. Raises FileNotFoundError without a
    config.json, ValueError when it describes another model.
    """
    file = pathlib.Path(folder) / "config.json"
    if not file.is_file():
        raise FileNotFoundError(f"no config.json in {folder}")
    content = json.loads(file.read_text(encoding="utf-8"))
    kind = content.get("model_type")
    if kind not in ("clip", "siglip", "siglip2"):
        raise ValueError(f"{file} describes a '{kind}', not a clip, siglip or siglip2 model")
    style = "clip" if kind == "clip" else "siglip"
    text = _TEXT[style] | content.get("text_config", {})
    vision = _VISION | content.get("vision_config", {})
    act = text["hidden_act"]
    if act not in _ACTIVATIONS or vision.get("hidden_act", act) != act:
        raise ValueError(
            f"{file}: hidden_act is '{act}' in the text and '{vision.get('hidden_act', act)}' in "
            f"the vision tower; both must be the same of {', '.join(_ACTIVATIONS)}"
        )
    patch = vision.get("patch_size", 32 if style == "clip" else 16)
    if kind == "siglip2":
        size = patch * math.isqrt(vision.get("num_patches", 256))
    else:
        size = vision.get("image_size", 224)
    small = style == "siglip" and text["vocab_size"] <= 32000  # SentencePiece of the first SigLIP
    if style == "siglip":
        start, end = None, 1
    else:
        start, end = text.get("bos_token_id", 49406), text.get("eos_token_id", 49407)
        if end == 2:  # published files say so; their tokenizer has its last two tokens there
            start, end = text["vocab_size"] - 2, text["vocab_size"] - 1
    config = DualEncoderConfig(
        style=style,
        text=TextConfig(
            text["vocab_size"], text["hidden_size"], text["num_hidden_layers"],
            text["num_attention_heads"], text["intermediate_size"],
            length=text["max_position_embeddings"],
            start=start,
            end=end,
            pad=end if style == "clip" else (1 if small else 0),
            lowercase=style == "siglip",
        ),
        vision=VisionConfig(
            vision["hidden_size"], vision["num_hidden_layers"], vision["num_attention_heads"],
            vision["intermediate_size"], patch, size,
        ),
        embed=content.get("projection_dim", 512) if style == "clip" else vision["hidden_size"],
        activation=_ACTIVATIONS[act],
        norm_eps=text["layer_norm_eps"],
        naflex_files=kind == "siglip2",
        resample="bicubic" if style == "clip" or small else "bilinear",
        init_scale=1 / 0.07 if style == "clip" else 10.0,
    )  # fmt: skip
    ours = dict(content.get(_OURS, {}))
    if ours:
        resample = ours.pop("resample")
        text = dataclasses.replace(config.text, **ours)
        config = dataclasses.replace(config, text=text, resample=resample)
    return dataclasses.replace(config, **changes)


def write_config(config: DualEncoderConfig) -> dict[str, Any]:
    """The config.json that transformers reads."""
    text, vision = config.text, config.vision
    names = {ours: theirs for theirs, ours in _ACTIVATIONS.items()}
    common = {"hidden_act": names[config.activation], "layer_norm_eps": config.norm_eps}
    kind = "clip" if config.style == "clip" else "siglip2" if config.naflex_files else "siglip"
    text_config = common | {
        "vocab_size": text.vocab, "hidden_size": text.width, "intermediate_size": text.mlp,
        "num_hidden_layers": text.depth, "num_attention_heads": text.heads,
        "max_position_embeddings": text.length, "bos_token_id": text.start,
        "eos_token_id": text.end, "pad_token_id": text.pad,
    }  # fmt: skip
    vision_config = common | {
        "hidden_size": vision.width, "intermediate_size": vision.mlp,
        "num_hidden_layers": vision.depth, "num_attention_heads": vision.heads,
        "patch_size": vision.patch,
    }  # fmt: skip
    if config.naflex_files:
        vision_config["num_patches"] = vision.patches
    else:
        vision_config["image_size"] = vision.image_size
    names = ("start", "end", "pad", "lowercase")
    inputs = {name: getattr(text, name) for name in names} | {"resample": config.resample}
    out = {
        _OURS: inputs,
        "model_type": kind,
        "text_config": text_config,
        "vision_config": vision_config,
    }
    if config.style == "clip":
        text_config["projection_dim"] = vision_config["projection_dim"] = config.embed
        return out | {"architectures": ["CLIPModel"], "projection_dim": config.embed}
    text_config["projection_size"] = config.embed
    return out | {"architectures": ["Siglip2Model" if config.naflex_files else "SiglipModel"]}
