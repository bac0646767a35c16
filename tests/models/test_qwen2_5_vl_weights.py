"""Safetensors: round trips, both key namings, errors, sizes of the published models."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from qwen_small import random_params, small_config
from safetensors.numpy import load_file, save_file

from surgzoo.models.base import parameter_count
from surgzoo.models.layers.stack import stack, unstack
from surgzoo.models.qwen2_5_vl import config as configs
from surgzoo.models.qwen2_5_vl import weights
from surgzoo.models.qwen2_5_vl.hf_config import read_config


def assert_equal(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    jax.tree.map(np.testing.assert_array_equal, left, right)


def untied(config):
    return dataclasses.replace(config, text=dataclasses.replace(config.text, tied=False))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("max_file_bytes", [10**9, 10**5])
def test_round_trip(tmp_path, tied, max_file_bytes):
    config = small_config() if tied else untied(small_config())
    params = random_params(config)
    files = weights.save(config, params, tmp_path, max_file_bytes=max_file_bytes)
    assert (len(files) > 3) == (max_file_bytes < 10**9)
    assert_equal(weights.load(config, tmp_path), params)
    read = read_config(tmp_path)
    assert (read.text, read.vision) == (config.text, config.vision)
    read.processor()  # the tokenizer is there too


def test_stacked_and_side_by_side(tmp_path):
    config = small_config()
    params = random_params(config)
    assert_equal(stack(unstack(params)), params)
    weights.save(config, unstack(params), tmp_path)
    assert_equal(weights.load(config, tmp_path), params)
    flat = dataclasses.replace(config, scan_layers=False)
    assert_equal(weights.load(flat, tmp_path), unstack(params))


def test_older_key_names(tmp_path):
    config = small_config()
    params = random_params(config)
    weights.save(config, params, tmp_path)
    file = tmp_path / "model.safetensors"
    older = {
        key.replace("model.visual.", "visual.").replace("model.language_model.", "model."): value
        for key, value in load_file(file).items()
    }
    assert (
        "model.layers.0.self_attn.q_proj.weight" in older and "visual.merger.ln_q.weight" in older
    )
    older["lm_head.weight"] = older["model.embed_tokens.weight"]  # stored twice by some writers
    save_file(older, file)
    assert_equal(weights.load(config, tmp_path), params)


def test_bfloat16(tmp_path):
    config = small_config()
    params = random_params(config)
    weights.save(config, params, tmp_path, dtype="bfloat16")
    rounded = jax.tree.map(lambda a: np.asarray(a, jax.numpy.bfloat16).astype(np.float32), params)
    assert_equal(weights.load(config, tmp_path), rounded)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"


def test_sharded_load(tmp_path):
    """Stacked and cut along the layers and along the width: each shard is what it should be."""
    config = small_config(text=dataclasses.replace(small_config().text, depth=2))
    params = random_params(config)
    weights.save(config, params, tmp_path)
    count = min(2, len(jax.devices()))
    mesh = jax.make_mesh(
        (count,), ("x",), devices=jax.devices()[:count], axis_types=(jax.sharding.AxisType.Auto,)
    )

    def place(leaf):
        axis = next((i for i, n in enumerate(leaf.shape) if n % count == 0), None)
        spec = [None] * len(leaf.shape)
        if axis is not None:
            spec[axis] = "x"
        sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec))
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    abstract = jax.tree.map(place, config.build().abstract())
    loaded = weights.load(config, tmp_path, abstract)
    jax.tree.map(lambda a, b: a.sharding == b.sharding or pytest.fail(), loaded, abstract)
    assert_equal(jax.device_get(loaded), params)


def test_wrong_files_are_listed(tmp_path):
    config = small_config()
    weights.save(config, random_params(config), tmp_path)
    file = tmp_path / "model.safetensors"
    content = load_file(file)
    del content["model.visual.blocks.1.norm2.weight"]
    content["model.visual.pos_embed"] = np.zeros((2, 3), np.float32)
    content["model.language_model.norm.weight"] = np.zeros(7, np.float32)
    save_file(content, file)
    with pytest.raises(ValueError) as caught:
        weights.load(config, tmp_path)
    lines = [line.split(maxsplit=1) for line in str(caught.value).splitlines()[2:]]
    assert [line[0] for line in lines] == [
        "model.language_model.norm.weight",
        "model.visual.blocks.1.norm2.weight",
        "model.visual.pos_embed",
    ]
    assert "(96,)" in lines[0][1] and "(7,)" in lines[0][1]
    assert lines[1][1].split()[-1] == "-" and lines[2][1].startswith("-")


def test_a_line_stands_for_all_layers_alike(tmp_path):
    """The folder of a deeper, wider model."""
    config = untied(small_config())
    deeper = dataclasses.replace(config, text=dataclasses.replace(config.text, depth=5, mlp=224))
    weights.save(deeper, random_params(deeper), tmp_path)
    with pytest.raises(ValueError) as caught:
        weights.load(config, tmp_path)
    first, _, *lines = str(caught.value).splitlines()
    assert "33 keys differ, 0 missing, 24 not expected, 9 of another shape" in first
    assert "read_config" in first
    assert len(lines) == 3 + 12
    assert "layers.0-2.mlp.up_proj.weight" in "".join(lines)
    cells = [line.rsplit(maxsplit=4) for line in lines if "0-2.mlp.up" in line or "3-4" in line]
    assert len(cells) == 13
    assert cells[0][0].endswith("layers.0-2.mlp.up_proj.weight")
    assert cells[1][0].endswith("layers.3-4.input_layernorm.weight")


def test_wrong_params_and_empty_folder(tmp_path):
    config = small_config()
    with pytest.raises(ValueError, match="do not fit"):
        weights.save(untied(config), random_params(config), tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no \.safetensors"):
        weights.load(config, tmp_path)


def test_flat_published_config(tmp_path):
    """The published config.json keeps the text fields at the top level."""
    expected = configs.b7()
    text, vision = expected.text, expected.vision
    content = {
        "hidden_size": text.width,
        "intermediate_size": text.mlp,
        "num_attention_heads": text.heads,
        "num_hidden_layers": text.depth,
        "num_key_value_heads": text.kv_heads,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
        "tie_word_embeddings": False,
        "vocab_size": text.vocab,
        "vision_config": {
            "depth": vision.depth,
            "hidden_size": vision.width,
            "intermediate_size": vision.mlp,
            "num_heads": vision.heads,
            "in_chans": 3,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "window_size": 112,
            "fullatt_block_indexes": [7, 15, 23, 31],
            "tokens_per_second": 2,
            "temporal_patch_size": 2,
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert read_config(tmp_path, compute_dtype="bfloat16", remat="dots") == expected


@pytest.mark.parametrize(
    "make, billions",
    [(configs.b3, 3.75), (configs.b7, 8.29), (configs.b32, 33.5), (configs.b72, 73.4)],
)
def test_published_sizes(make, billions):
    """By shapes alone: no memory is used."""
    model = make().build()
    assert abs(parameter_count(model) / (billions * 1e9) - 1) < 0.02
