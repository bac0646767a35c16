"""Depth Anything of transformers."""

import torch
import transformers


def parity(config, folder, inputs):
    model, info = transformers.DepthAnythingForDepthEstimation.from_pretrained(
        folder, output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    images = inputs["images"]
    return {
        "image_to_image": maps(model, images)[..., None],
        "embed_frames": last_layer(model, images),
    }


def last_layer(model, images):
    """The mean over the patches of what the encoder ends with."""
    pixels = torch.tensor(images.transpose(0, 3, 1, 2))
    return model.eval().backbone(pixels).feature_maps[-1][:, 1:].mean(1).detach().numpy()


def maps(model, images):
    """Their output, as they shape it."""
    pixels = torch.tensor(images.transpose(0, 3, 1, 2))
    return model.eval()(pixel_values=pixels).predicted_depth.detach().numpy()
