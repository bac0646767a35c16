"""SurgVLP against a torch oracle, through a .pth of its weights; and transformers' ResNet."""

import dataclasses
import re

import jax
import numpy as np
import pytest
import torch
import transformers
from oracles.surgvlp import TEXTS, SurgVLP

from surgzoo.models.base import parameter_count
from surgzoo.models.build import model_config
from surgzoo.models.layers.conv import conv2d
from surgzoo.models.layers.conv_batch_norm import max_pool
from surgzoo.models.layers.stack import unstack
from surgzoo.models.surgvlp import weights
from surgzoo.models.surgvlp.config import BertConfig, InputConfig, ResNetConfig, SurgVLPConfig
from surgzoo.models.surgvlp.processor import letters


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    """Config, oracle and params that went through a .pth file."""
    config = SurgVLPConfig(
        vision=ResNetConfig(stem=8, widths=(4, 6, 8, 10), depths=(2, 1, 1, 1)),
        text=BertConfig(vocab=120, width=32, depth=5, heads=2, mlp=48, positions=80),
        input=InputConfig(resize=(48, 80), crop=48),
        vocab="shipped",
    )
    oracle = SurgVLP(config, letters())
    file = tmp_path_factory.mktemp("surgvlp") / "small.pth"
    torch.save(oracle.state_dict(), file)
    return config, oracle, config.load_weights(file), file


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).standard_normal((4, 48, 48, 3)).astype(np.float32)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_images(setup, images):
    """With XLA's convolutions; the choice of a CPU is in test_zoo.py."""
    config, oracle, params, _ = setup
    model = dataclasses.replace(config, conv_impl="lax").build()
    with torch.no_grad():
        theirs = oracle.backbone_img(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    np.testing.assert_allclose(jax.jit(model.embed_image)(params, images), unit(theirs), atol=1e-4)
    np.testing.assert_allclose(jax.jit(model.raw_image)(params, images), theirs, atol=1e-4)


def test_texts(setup):
    """With more layers than are added up, side by side."""
    config, oracle, params, _ = setup
    tokens, mask = config.processor().texts(TEXTS)
    assert mask.sum(1).tolist() == [31, 6, 22, 10] and tokens.shape == (4, 77)
    with torch.no_grad():
        theirs = oracle.backbone_text(
            torch.from_numpy(tokens).long(), torch.from_numpy(mask).long()
        ).numpy()
    config, params = dataclasses.replace(config, scan_layers=False), unstack(params)
    model = config.build()
    ours = jax.jit(model.raw_text)(params, tokens, mask)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    ours = jax.jit(model.embed_text)(params, tokens, mask)
    np.testing.assert_allclose(ours, unit(theirs), atol=1e-4)


def test_resnet_against_transformers(setup, images):
    """The oracle above is ours; this one is not. Its names are turned into torchvision's."""
    config, oracle, params, _ = setup
    vision = config.vision
    other = transformers.ResNetModel(
        transformers.ResNetConfig(
            embedding_size=vision.stem, hidden_sizes=[4 * w for w in vision.widths],
            depths=list(vision.depths), layer_type="bottleneck", downsample_in_bottleneck=False,
        )
    ).eval()  # fmt: skip
    state = oracle.backbone_img.model.state_dict()

    def torchvision_name(key):
        key = key.replace("embedder.embedder.convolution", "conv1")
        key = key.replace("embedder.embedder.normalization", "bn1")
        key = re.sub(r"encoder\.stages\.(\d+)\.layers\.", lambda m: f"layer{int(m[1]) + 1}.", key)
        key = key.replace("shortcut.convolution", "downsample.0")
        key = key.replace("shortcut.normalization", "downsample.1")
        key = re.sub(r"layer\.(\d)\.convolution", lambda m: f"conv{int(m[1]) + 1}", key)
        return re.sub(r"layer\.(\d)\.normalization", lambda m: f"bn{int(m[1]) + 1}", key)

    other.load_state_dict({key: state[torchvision_name(key)] for key in other.state_dict()})
    with torch.no_grad():
        out = other(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).pooler_output
    ours = config.build().image_features(params, images).mean(axis=1)
    np.testing.assert_allclose(ours, out[:, :, 0, 0], atol=1e-4)


def test_round_trip(setup, tmp_path):
    config, oracle, params, _ = setup
    files = config.save_weights(params, tmp_path)
    assert {file.name for file in files} == {
        "model.safetensors", "config.json", "vocab.txt", "tokenizer_config.json"
    }  # fmt: skip
    again = config.load_weights(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, again, params)
    flat = dataclasses.replace(config, scan_layers=False)
    jax.tree.map(np.testing.assert_array_equal, flat.load_weights(tmp_path), unstack(params))
    from safetensors.torch import load_file

    kept = load_file(tmp_path / "model.safetensors")
    wanted = oracle.state_dict()
    lost = set(wanted) - set(kept)
    assert lost and all("pooler" in key or "num_batches" in key for key in lost)
    for key, value in kept.items():
        assert torch.equal(value, wanted[key]), key


def test_wrapped_checkpoint_and_wrong_ones(setup, tmp_path):
    config, oracle, params, _ = setup
    state = {f"module.{key}": value for key, value in oracle.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "wrapped.pth")
    again = weights.load(config, tmp_path / "wrapped.pth")
    jax.tree.map(np.testing.assert_array_equal, again, params)
    del state["module.backbone_img.global_embedder.bias"]
    torch.save(state, tmp_path / "short.pth")
    with pytest.raises(ValueError, match=r"global_embedder\.bias: expected \(32,\), found -"):
        weights.load(config, tmp_path / "short.pth")
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        weights.load(config, tmp_path / "none.pth")


def test_published_size():
    """ResNet-50 without its classes 23.5 M, Bio_ClinicalBERT without its pooler 107.7 M, 768 head;
    running statistics, which torch does not count, 53,120."""
    model = model_config("peskavlp").build()
    resnet, head, bert = 23_508_032, 2048 * 768 + 768, 108_310_272 - (768 * 768 + 768)
    assert parameter_count(model) == resnet + 53_120 + head + bert


def test_gradients(setup, images):
    """All but the statistics are trained, and the unused rows of the tables."""
    config, _, params, _ = setup
    model = config.build()
    tokens, mask = config.processor().texts(TEXTS)

    def loss(params):
        image = model.embed_image(params, images)
        return model.similarity(params, image, model.embed_text(params, tokens, mask)).std()

    grads = jax.jit(jax.grad(loss))(params)
    for path, value in jax.tree_util.tree_leaves_with_path(grads):
        name = jax.tree_util.keystr(path)
        still = name.endswith(("['mean']", "['var']"))
        if "['k']['bias']" not in name:  # moves all scores of a query alike
            assert np.any(np.asarray(value)) != still, name


@pytest.mark.parametrize("size,stride,padding", [(1, 1, 0), (1, 2, 0), (3, 2, 1)])
def test_convolution(size, stride, padding):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 9, 7, 5)).astype(np.float32)
    kernel = rng.standard_normal((size, size, 5, 6)).astype(np.float32)
    theirs = torch.nn.functional.conv2d(
        torch.from_numpy(x.transpose(0, 3, 1, 2).copy()),
        torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()),
        stride=stride, padding=padding,
    ).numpy().transpose(0, 2, 3, 1)  # fmt: skip
    for how in ("lax", "gemm", "auto"):
        np.testing.assert_allclose(conv2d(x, kernel, stride, padding, how), theirs, atol=1e-4)
    with pytest.raises(ValueError, match="conv_impl is auto, lax, gemm, not 'im2col'"):
        conv2d(x, kernel, implementation="im2col")
    pooled = torch.nn.functional.max_pool2d(
        torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), 3, 2, 1
    )
    np.testing.assert_array_equal(max_pool(x, 3, 2, 1), pooled.numpy().transpose(0, 2, 3, 1))
