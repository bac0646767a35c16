"""Depth Anything V2 against transformers with the same random weights."""

import dataclasses
import functools
import json

import jax
import numpy as np
import pytest
from oracles.depth_anything_v2 import maps
from qwen_small import picture

from surgzoo.models import models
from surgzoo.models.base import parameter_count
from surgzoo.models.depth_anything_v2 import config as configs
from surgzoo.models.depth_anything_v2 import weights
from surgzoo.models.depth_anything_v2.hf_config import read_config
from surgzoo.models.layers.resize import corners, cubic

ATOL = 1e-4


def small_config(**changes) -> configs.DepthAnythingConfig:
    """Narrow, with a table of positions that images of other sizes must interpolate."""
    fields = {
        "backbone": configs.BackboneConfig(32, depth=5, heads=2, taps=(1, 2, 4, 5), grid=5),
        "neck": configs.NeckConfig((8, 12, 16, 20), fusion=16, head=8),
        "input": configs.InputConfig(size=70),
    }
    return configs.DepthAnythingConfig(**fields | changes)


def random_params(config, seed: int = 0):
    """Parameters with nothing at zero or one."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        noise = rng.normal(size=leaf.shape).astype(np.float32)
        name, fan = path[-1].key, leaf.shape[-2] if len(leaf.shape) > 1 else 1
        if name == "kernel":
            conv = len(leaf.shape) == 4 and leaf.shape[0] == 3
            return noise * np.float32((9 * fan if conv else leaf.shape[-2]) ** -0.5)
        return np.float32(0.5 if name.startswith("scale") else 0.1) + np.float32(0.2) * noise

    return jax.tree_util.tree_map_with_path(draw, config.build().abstract())


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    """(config, params, folder, the model of transformers that was read from the folder)."""
    transformers = pytest.importorskip("transformers")
    config = small_config()
    params = random_params(config)
    folder = tmp_path_factory.mktemp("depth")
    config.save_weights(params, folder)
    model, info = transformers.DepthAnythingForDepthEstimation.from_pretrained(
        folder, output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    return config, params, folder, model.eval()


@functools.cache
def compiled(config):
    return jax.jit(config.build().image_to_image)


def depth(config, params, x):
    return np.asarray(compiled(config)(params, x))


def images(height, width, count=2):
    rng = np.random.default_rng(3)
    return rng.normal(size=(count, height, width, 3)).astype(np.float32)


@pytest.mark.parametrize("size", [(56, 98), (126, 84)])
def test_depth_matches(oracle, size):
    config, params, _, model = oracle
    x = images(*size)
    wanted = maps(model, x)
    ours = depth(config, params, x)
    assert ours.shape == (2, *size, 1)
    assert wanted.std() > 0.05  # the comparison means something
    np.testing.assert_allclose(ours[..., 0], wanted, atol=ATOL, rtol=0)


def test_metric_depth_matches(oracle, tmp_path):
    transformers = pytest.importorskip("transformers")
    config, params = dataclasses.replace(oracle[0], max_depth=20.0), oracle[1]
    config.save_weights(params, tmp_path)
    assert read_config(tmp_path) == config
    model = transformers.DepthAnythingForDepthEstimation.from_pretrained(tmp_path).eval()
    x = images(70, 84)
    ours = depth(config, params, x)
    np.testing.assert_allclose(ours[..., 0], maps(model, x), atol=ATOL, rtol=0)


def test_scanned_equals_side_by_side(oracle):
    config, params, folder, _ = oracle
    flat = dataclasses.replace(config, scan_layers=False)
    other = flat.load_weights(folder)
    assert set(other["backbone"]["layers"]) == {"0", "1", "2", "3", "4"}
    x = images(70, 70)
    np.testing.assert_allclose(depth(flat, other, x), depth(config, params, x), atol=1e-5, rtol=0)


def test_weights_round_trip(oracle, tmp_path):
    config, params, folder, _ = oracle
    loaded = config.load_weights(folder)
    jax.tree.map(np.testing.assert_array_equal, loaded, params)
    flat = dataclasses.replace(config, scan_layers=False)
    flat.save_weights(flat.load_weights(folder), tmp_path)
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert read_config(folder) == config


def test_reads_what_transformers_writes(oracle, tmp_path):
    config, params, _, model = oracle
    model.save_pretrained(tmp_path)
    assert read_config(tmp_path) == config
    loaded = config.load_weights(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, loaded, params)


def test_newer_names_are_read():
    newer = "backbone.encoder.layer.3.attention.{}.bias"
    for new, old in (("q_proj", "attention.query"), ("o_proj", "output.dense")):
        assert weights._published(newer.format(new)) == newer.format(old)


def test_placed_as_asked(oracle):
    config, params, folder, _ = oracle
    place = jax.sharding.SingleDeviceSharding(jax.devices()[-1])
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, jax.numpy.bfloat16, sharding=place),
        config.build().abstract(),
    )
    loaded = config.load_weights(folder, like)
    leaf = loaded["backbone"]["patch"]["kernel"]
    assert leaf.dtype == jax.numpy.bfloat16 and leaf.sharding == place
    np.testing.assert_allclose(
        np.float32(leaf), params["backbone"]["patch"]["kernel"], rtol=1e-2, atol=1e-3
    )


def test_other_weights_are_refused(oracle, tmp_path):
    config, params, folder, _ = oracle
    wider = dataclasses.replace(config, neck=configs.NeckConfig((8, 12, 16, 20), 18, head=8))
    with pytest.raises(ValueError, match=r"(?s)keys differ.*head\.conv1\.weight: expected"):
        wider.load_weights(folder)
    with pytest.raises(ValueError, match="do not fit the config"):
        wider.save_weights(params, tmp_path)
    deeper = dataclasses.replace(config.backbone, depth=6, taps=(1, 2, 4, 6))
    with pytest.raises(
        ValueError, match=r"layers/norm1/scale: expected \(6, 32\), found \(5, 32\)"
    ):
        dataclasses.replace(config, backbone=deeper).save_weights(params, tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match=r"no \.safetensors"):
        config.load_weights(tmp_path)


def test_configs_that_cannot_be(oracle, tmp_path):
    base = small_config().backbone
    for change, message in (
        ({"heads": 5}, "not a multiple"),
        ({"taps": (1, 2, 2, 5)}, "rising order"),
        ({"taps": (1, 2, 3, 4)}, "must be the last layer 5"),
    ):
        with pytest.raises(ValueError, match=message):
            small_config(backbone=dataclasses.replace(base, **change))
    said = json.loads((oracle[2] / "config.json").read_text())
    said["backbone_config"]["use_swiglu_ffn"] = True
    (tmp_path / "config.json").write_text(json.dumps(said))
    with pytest.raises(ValueError, match=r"backbone_config\.use_swiglu_ffn is True"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "dpt"}')
    with pytest.raises(ValueError, match="model_type 'dpt'"):
        read_config(tmp_path)


def test_images_must_be_whole_patches():
    config = small_config()
    with pytest.raises(ValueError, match="72 x 70 pixels are not whole patches of 14"):
        jax.eval_shape(config.build().image_to_image, config.build().abstract(), images(72, 70))


@pytest.mark.parametrize(
    ("name", "millions"),
    [("small", 24.8), ("base", 97.5), ("large", 335.3)],  # as published
)
def test_published_sizes(name, millions):
    config = models.get(f"depth-anything-v2-{name}")()
    model = config.build()
    count = parameter_count(model) + sum(np.prod(s) for s in weights.unused(config).values())
    assert count / 1e6 == pytest.approx(millions, abs=0.05)


def test_gradients_reach_every_parameter():
    model = small_config(
        backbone=dataclasses.replace(small_config().backbone, depth=4, taps=(1, 2, 3, 4)),
        scan_layers=False,
    ).build()
    params = jax.jit(model.init)(jax.random.key(0))
    x = images(28, 42, count=1)

    def loss(params):
        return ((model.image_to_image(params, x) - 3.0) ** 2).mean()

    for path, leaf in jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(loss))(params)):
        name = "/".join(key.key for key in path)
        if not name.endswith("attention/k/bias"):  # softmax does not see what all keys share
            assert np.abs(leaf).max() > 0, name


def test_bfloat16_stays_near(oracle):
    config, params, _, _ = oracle
    x = images(70, 70)
    half = depth(dataclasses.replace(config, compute_dtype="bfloat16"), params, x)
    full = depth(config, params, x)
    assert half.dtype == np.float32
    assert np.abs(half - full).mean() < 0.05 * np.abs(full).mean()


@pytest.mark.parametrize(("old", "new"), [(5, 9), (9, 5), (1, 4), (37, 74), (4, 1)])
def test_resizing_as_torch_defines_it(old, new):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=old).astype(np.float32)
    image = torch.tensor(x)[None, None, :, None].expand(1, 1, old, 2)
    for weights_of, options in (
        (corners, {"mode": "bilinear", "align_corners": True}),
        (cubic, {"mode": "bicubic", "align_corners": False}),
    ):
        wanted = torch.nn.functional.interpolate(image, size=(new, 2), **options)[0, 0, :, 0]
        np.testing.assert_allclose(weights_of(old, new) @ x, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(540, 960), (1080, 1920), (600, 518), (719, 533)])
def test_pixels_match_transformers(size):
    """For frames at least as large as the model's input, where both choose the same size."""
    pil = pytest.importorskip("transformers.models.dpt.image_processing_pil_dpt")
    theirs = pil.DPTImageProcessorPil(
        size={"height": 518, "width": 518}, keep_aspect_ratio=True, ensure_multiple_of=14,
        image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225],
    )  # fmt: skip
    frame = picture(*size)
    wanted = theirs(frame, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    ours = configs.small().processor().encode(frame)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, wanted, atol=1e-5, rtol=0)


def test_sizes_are_bounded_from_below():
    processor = configs.small().processor()
    # By hand: 518 / 240 * 320 = 690.7 = 49.3 patches; 518 / 518 * 525 = 37.5 patches, to even 38.
    assert processor.size(240, 320) == (518, 686)
    assert processor.size(518, 525) == (518, 532)
    assert processor.size(518, 518) == (518, 518)
    assert configs.tiny().processor().size(256, 480) == (112, 112)
    assert dataclasses.replace(
        configs.small(), input=configs.InputConfig(size=100)
    ).processor().size(100, 100) == (112, 112)  # never below the size that was asked for


def test_maps_there_and_back():
    torch = pytest.importorskip("torch")
    processor = configs.tiny().processor()
    labels = np.kron(np.arange(16, dtype=np.uint16).reshape(4, 4), np.ones((7, 7), np.uint16))
    np.testing.assert_array_equal(
        processor.encode_map(labels), np.kron(labels, np.ones((4, 4), np.uint16))
    )
    maps = np.random.default_rng(0).normal(size=(16, 20, 1)).astype(np.float32)
    wanted = torch.nn.functional.interpolate(
        torch.tensor(maps.transpose(2, 0, 1))[None], (33, 11), mode="bicubic"
    )
    np.testing.assert_allclose(processor.decode(maps, 33, 11)[..., 0], wanted[0, 0], atol=1e-5)


def test_frames_are_checked():
    processor = configs.tiny().processor()
    with pytest.raises(ValueError, match="uint8 RGB"):
        processor.encode(np.zeros((20, 20, 3), np.float32))
