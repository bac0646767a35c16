"""Weights of dual encoders: round trips, placement, errors, sizes of the published models."""

import dataclasses

import jax
import numpy as np
import pytest
from clip_small import random_params, small
from safetensors.numpy import load_file, save_file

from surgzoo.models.base import parameter_count
from surgzoo.models.build import model_config
from surgzoo.models.clip import config as configs
from surgzoo.models.clip.hf_config import read_config
from surgzoo.models.layers.stack import unstack


def assert_equal(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    jax.tree.map(np.testing.assert_array_equal, left, right)


@pytest.mark.parametrize("family", ["clip", "siglip", "siglip2"])
def test_round_trip(tmp_path, family):
    config = small(family)
    params = random_params(config)
    files = config.save_weights(params, tmp_path)
    assert {file.name for file in files} == {"model.safetensors", "config.json"}
    assert_equal(config.load_weights(tmp_path), params)
    flat = dataclasses.replace(config, scan_layers=False)
    assert_equal(flat.load_weights(tmp_path), unstack(params))
    flat.save_weights(unstack(params), tmp_path / "flat")
    assert_equal(config.load_weights(tmp_path / "flat"), params)
    read = read_config(tmp_path)
    assert read == config


def test_placed_as_asked(tmp_path):
    config = small("clip")
    params = random_params(config)
    config.save_weights(params, tmp_path)
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    abstract = jax.tree.map(
        lambda s: jax.ShapeDtypeStruct(s.shape, jax.numpy.bfloat16, sharding=sharding),
        config.build().abstract(),
    )
    loaded = config.load_weights(tmp_path, abstract)
    rounded = jax.tree.map(lambda a: np.asarray(a, jax.numpy.bfloat16), params)
    assert_equal(loaded, rounded)


def test_wrong_files_are_listed(tmp_path):
    config = small("clip")
    config.save_weights(random_params(config), tmp_path)
    file = tmp_path / "model.safetensors"
    content = load_file(file)
    content["text_model.embeddings.position_ids"] = np.zeros((1, 12), np.float32)  # older files
    save_file(content, file)
    config.load_weights(tmp_path)
    del content["visual_projection.weight"]
    content["logit_bias"] = np.zeros(1, np.float32)
    content["text_model.final_layer_norm.bias"] = np.zeros(3, np.float32)
    save_file(content, file)
    with pytest.raises(ValueError, match="3 keys differ") as caught:
        config.load_weights(tmp_path)
    for line in (
        "logit_bias: expected -, found (1,)",
        "visual_projection.weight: expected (48, 48), found -",
        "text_model.final_layer_norm.bias: expected (32,), found (3,)",
    ):
        assert line in str(caught.value)


def test_wrong_params(tmp_path):
    config = small("clip")
    with pytest.raises(ValueError, match="do not fit the config"):
        config.save_weights(random_params(small("siglip")), tmp_path)
    assert not list(tmp_path.iterdir())


def test_published_config_files(tmp_path):
    """What openai's ViT-B/32 folder says, with the token ids that are not its tokenizer's."""
    (tmp_path / "config.json").write_text(
        '{"model_type": "clip", "projection_dim": 512, '
        '"text_config": {"hidden_size": 512, "bos_token_id": 0, "eos_token_id": 2}, '
        '"vision_config": {"patch_size": 32}}'
    )
    assert read_config(tmp_path) == configs.clip_b32()
    (tmp_path / "config.json").write_text(
        '{"model_type": "siglip", "text_config": {"vocab_size": 256000}, '
        '"vision_config": {"model_type": "siglip_vision_model"}}'
    )
    assert read_config(tmp_path) == configs.siglip2_base()
    (tmp_path / "config.json").write_text(
        '{"model_type": "clip", "vision_config": {"hidden_act": "gelu"}}'
    )
    with pytest.raises(ValueError, match="'quick_gelu' in the text and 'gelu' in the vision"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="describes a 'bert'"):
        read_config(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        read_config(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name, millions",
    [
        ("clip-vit-b-32", 151.3), ("clip-vit-b-16", 149.6), ("clip-vit-l-14", 427.6),
        ("clip-vit-l-14-336", 427.9), ("siglip2-base", 375.2), ("siglip2-large", 881.5),
        ("siglip2-so400m", 1136.0), ("siglip2-giant", 1871.9),
    ],
)  # fmt: skip
def test_published_sizes(name, millions):
    """By shapes alone; the numbers are those of the published files."""
    model = model_config(name).build()
    assert abs(parameter_count(model) / (millions * 1e6) - 1) < 0.002


def test_impossible_configs():
    with pytest.raises(ValueError, match="not a multiple of the patch"):
        model_config("clip-vit-b-32", {"vision.image_size": 230})
    with pytest.raises(ValueError, match="must be the vision width"):
        model_config("siglip2-base", {"embed": 512})
    with pytest.raises(ValueError, match="takes \\(64, 64, 3\\)"):
        model = model_config("clip-tiny").build()
        jax.eval_shape(
            model.embed_image, model.abstract(), jax.ShapeDtypeStruct((1, 32, 32, 3), np.float32)
        )


def test_the_scale_of_clip_is_bounded():
    """2103.00020: at most 100. At the bound a step that leads back passes, one that leads on not.

    SigLIP's has no bound.
    """
    for family, free in (("clip", False), ("siglip", True)):
        config = small(family)
        model, params = config.build(), random_params(config)
        image, text = np.eye(config.embed, dtype=np.float32)[:1], np.ones((1, config.embed))

        def logit(log_scale, sign=1.0, model=model, params=params, image=image, text=text):
            scaled = {**params, "log_scale": log_scale}
            return sign * (model.similarity(scaled, image, text.astype(np.float32))[0, 0])

        offset = 0.0 if not free else float(params["bias"])
        for scale in (50.0, 100.0, 200.0):
            shown = float(logit(np.float32(np.log(scale)))) - offset
            assert shown == pytest.approx(scale if free else min(scale, 100), rel=1e-4)
        over = np.float32(np.log(200.0))
        assert jax.grad(logit)(over, 1.0) > 0
        assert (jax.grad(logit)(over, -1.0) == 0) == (not free)
        assert jax.grad(logit)(np.float32(np.log(50.0)), -1.0) == pytest.approx(-50, rel=1e-3)
