"""config.json of published checkpoints: reading and writing it."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from surgzoo.models.qwen2_5_vl import tokenizer as bpe
from surgzoo.models.qwen2_5_vl.config import InputConfig, Qwen25VLConfig, TextConfig, VisionConfig

# Ids in the published tokenizer, which all published sizes share.
_PUBLISHED_IDS = {
    bpe.END_OF_TEXT: 151643,
    bpe.TURN_END: 151645,
    bpe.VISION_START: 151652,
    bpe.VISION_END: 151653,
    bpe.IMAGE_PAD: 151655,
    bpe.VIDEO_PAD: 151656,
}


def write_config(
    config: Qwen25VLConfig, dtype: str = "float32", tokenizer: pathlib.Path | None = None
) -> dict[str, Any]:
    """The content of config.json, in the nested form of transformers from 4.52 on.

    The ids of the special tokens are those of `tokenizer`, or without one the published ones.
    """
    text, vision = config.text, config.vision
    ids = _PUBLISHED_IDS
    if tokenizer is not None:
        loaded = bpe.load(tokenizer)
        ids = {token: loaded.token_to_id(token) for token in _PUBLISHED_IDS}
    return {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "model_type": "qwen2_5_vl",
        "dtype": dtype,
        "tie_word_embeddings": text.tied,
        "bos_token_id": ids[bpe.END_OF_TEXT],
        "eos_token_id": ids[bpe.TURN_END],
        "pad_token_id": ids[bpe.END_OF_TEXT],
        "image_token_id": ids[bpe.IMAGE_PAD],
        "video_token_id": ids[bpe.VIDEO_PAD],
        "vision_start_token_id": ids[bpe.VISION_START],
        "vision_end_token_id": ids[bpe.VISION_END],
        "text_config": {
            "model_type": "qwen2_5_vl_text",
            "vocab_size": text.vocab,
            "hidden_size": text.width,
            "intermediate_size": text.mlp,
            "num_hidden_layers": text.depth,
            "num_attention_heads": text.heads,
            "num_key_value_heads": text.kv_heads,
            "hidden_act": "silu",
            "max_position_embeddings": 128000,
            "rms_norm_eps": text.norm_eps,
            "rope_theta": text.rope_theta,
            "rope_scaling": {"type": "mrope", "mrope_section": list(text.mrope_sections)},
            "use_sliding_window": False,
            "tie_word_embeddings": text.tied,
            "bos_token_id": ids[bpe.END_OF_TEXT],
            "eos_token_id": ids[bpe.TURN_END],
            "pad_token_id": ids[bpe.END_OF_TEXT],
        },
        "vision_config": {
            "model_type": "qwen2_5_vl",
            "depth": vision.depth,
            "hidden_size": vision.width,
            "hidden_act": "silu",
            "intermediate_size": vision.mlp,
            "num_heads": vision.heads,
            "in_channels": vision.channels,
            "patch_size": vision.patch,
            "spatial_merge_size": vision.merge,
            "temporal_patch_size": vision.temporal_patch,
            "tokens_per_second": config.input.tokens_per_second,
            "window_size": vision.window,
            "fullatt_block_indexes": list(vision.full_attention_layers),
            "out_hidden_size": text.width,
        },
    }


def read_config(folder: str | pathlib.Path, **changes: Any) -> Qwen25VLConfig:
    """The config of a folder's config.json, flat (as published) or nested.

    `changes` are further fields of `Qwen25VLConfig`, e.g. compute_dtype="bfloat16".
    """
    folder = pathlib.Path(folder)
    outer = json.loads((folder / "config.json").read_text())
    text, vision = outer.get("text_config") or outer, outer["vision_config"]
    rope = text.get("rope_parameters") or text.get("rope_scaling") or {}
    has_tokenizer = (folder / "tokenizer.json").is_file()
    fields: dict[str, Any] = {
        "text": TextConfig(
            vocab=text["vocab_size"],
            width=text["hidden_size"],
            depth=text["num_hidden_layers"],
            heads=text["num_attention_heads"],
            kv_heads=text["num_key_value_heads"],
            mlp=text["intermediate_size"],
            tied=outer.get("tie_word_embeddings", text.get("tie_word_embeddings", False)),
            mrope_sections=tuple(rope.get("mrope_section", (16, 24, 24))),
            rope_theta=float(rope.get("rope_theta", text.get("rope_theta", 1e6))),
            norm_eps=text["rms_norm_eps"],
        ),
        "vision": VisionConfig(
            width=vision["hidden_size"],
            depth=vision["depth"],
            heads=vision["num_heads"],
            mlp=vision["intermediate_size"],
            full_attention_layers=tuple(vision["fullatt_block_indexes"]),
            channels=vision.get("in_channels", vision.get("in_chans", 3)),
            patch=vision["patch_size"],
            temporal_patch=vision["temporal_patch_size"],
            merge=vision["spatial_merge_size"],
            window=vision["window_size"],
        ),
        "input": InputConfig(tokens_per_second=vision["tokens_per_second"]),
        "tokenizer": str(folder) if has_tokenizer else None,
    }
    return Qwen25VLConfig(**fields | changes)


def tokenizer_file(
    config: Qwen25VLConfig, tokenizer: str | pathlib.Path | None = None
) -> pathlib.Path | None:
    """The tokenizer.json of a model; None for a model of the published vocabulary without one."""
    path = tokenizer or config.tokenizer
    if path is None and config.text.vocab > max(_PUBLISHED_IDS.values()):
        return None
    return bpe.tokenizer_json(path)
