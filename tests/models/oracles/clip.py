"""CLIP, SigLIP and SigLIP 2 of transformers."""

import json

import numpy as np
import torch
import transformers
from safetensors.torch import load_file

CLASSES = {
    "clip": transformers.CLIPModel,
    "siglip": transformers.SiglipModel,
    "siglip2": transformers.Siglip2Model,
}


def inputs(config, rows):
    """Texts of different lengths, ended and padded; with CLIP these are the same token."""
    rng = np.random.default_rng(1)
    size, length = config.vision.image_size, config.text.length
    images = rng.standard_normal((rows, size, size, 3)).astype(np.float32)
    tokens = rng.integers(8, config.text.vocab, (rows, length)).astype(np.int32)
    mask = np.ones((rows, length), bool)
    for row, end in enumerate(rng.integers(1, length, rows)):
        tokens[row, end], tokens[row, end + 1 :] = config.text.end, config.text.pad
        mask[row, end + 1 :] = False
    return {"images": images, "tokens": tokens, "mask": mask}


def parity(config, folder, inputs):
    model, family = read(folder)
    seen = pixels(config, family, inputs["images"])
    out = model(
        input_ids=torch.tensor(inputs["tokens"]).long(),
        attention_mask=torch.tensor(inputs["mask"]).long(),
        **seen,
    )
    vision = model.vision_model(**seen)
    features, pooled = vision.last_hidden_state, vision.pooler_output
    return {
        "embed_frames": (model.visual_projection(pooled) if family == "clip" else pooled).numpy(),
        "embed_image": out.image_embeds.numpy(),
        "embed_text": out.text_embeds.numpy(),
        "similarity": out.logits_per_image.numpy(),
        "image_features": (features[:, 1:] if family == "clip" else features).numpy(),
    }


def text_embeds(config, folder, inputs):
    """Of length one; for models with CLIP's text tower beside another image tower."""
    text = config.text
    model = transformers.CLIPTextModelWithProjection(
        transformers.CLIPTextConfig(
            vocab_size=text.vocab, hidden_size=text.width, intermediate_size=text.mlp,
            num_hidden_layers=text.depth, num_attention_heads=text.heads,
            max_position_embeddings=text.length, hidden_act=config.activation,
            layer_norm_eps=config.norm_eps, projection_dim=config.embed, eos_token_id=text.end,
        )
    ).eval()  # fmt: skip
    state = load_file(folder / "model.safetensors")
    model.load_state_dict({k: v for k, v in state.items() if k.startswith("text_")})
    tokens, mask = (torch.tensor(inputs[name]).long() for name in ("tokens", "mask"))
    embeds = model(input_ids=tokens, attention_mask=mask).text_embeds
    return torch.nn.functional.normalize(embeds)


def read(folder):
    """The model of transformers that a folder describes, and which of the three it is."""
    family = json.loads((folder / "config.json").read_text())["model_type"]
    model, info = CLASSES[family].from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    return model.eval(), family


def pixels(config, family, images):
    """What transformers takes: channels first, or with SigLIP 2 flat patches and their grid."""
    if family != "siglip2":
        return {"pixel_values": torch.from_numpy(images.transpose(0, 3, 1, 2).copy())}
    b, patch = len(images), config.vision.patch
    grid = images.shape[1] // patch
    flat = images.reshape(b, grid, patch, grid, patch, 3).transpose(0, 1, 3, 2, 4, 5)
    return {
        "pixel_values": torch.from_numpy(flat.reshape(b, grid * grid, -1).copy()),
        "pixel_attention_mask": torch.ones(b, grid * grid, dtype=torch.long),
        "spatial_shapes": torch.tensor([[grid, grid]] * b),
    }
