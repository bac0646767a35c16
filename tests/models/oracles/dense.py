"""Depth Anything of transformers with as many outputs as the config has, and none of its ends."""

import json

import numpy as np
import torch
import transformers
from oracles.depth_anything_v2 import last_layer, maps
from safetensors.torch import load_file

from surgzoo.models.depth_anything_v2.config import DepthAnythingConfig
from surgzoo.models.depth_anything_v2.hf_config import describe


def parity(config, folder, inputs):
    model = read(config, folder)
    out = maps(model, inputs["images"])
    out = out[..., None] if config.outputs == 1 else out.transpose(0, 2, 3, 1)
    if config.kind == "residual":
        mean, std = (np.float32(x) for x in (config.input.mean, config.input.std))
        out = out + inputs["images"] * std + mean
    return {"image_to_image": out, "embed_frames": last_layer(model, inputs["images"])}


def read(config, folder):
    """Their model from our files, which have no config.json and another last layer."""
    shared = {name: getattr(config, name) for name in ("backbone", "neck", "input")}
    (folder / "config.json").write_text(json.dumps(describe(DepthAnythingConfig(**shared))))
    model = transformers.DepthAnythingForDepthEstimation.from_pretrained(
        folder, ignore_mismatched_sizes=True
    )
    state = load_file(folder / "model.safetensors")
    model.head.conv3 = torch.nn.Conv2d(config.neck.head, config.outputs, 1)
    model.head.conv3.load_state_dict(
        {name: state[f"head.conv3.{name}"] for name in ("weight", "bias")}
    )
    model.head.activation2 = torch.nn.Identity()
    return model
