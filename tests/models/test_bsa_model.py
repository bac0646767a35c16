"""The video model: transformers' Timesformer, round trips, forms, errors, processor."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import torch
import transformers
from bsa_small import random_params, small_config, video
from safetensors.numpy import load_file, save_file

from surgzoo.models.base import parameter_count
from surgzoo.models.bsa import config as configs
from surgzoo.models.bsa import weights
from surgzoo.models.bsa.dirichlet import joint_opinion, opinion
from surgzoo.models.layers.stack import unstack


def assert_equal(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    jax.tree.map(np.testing.assert_array_equal, left, right)


def as_theirs(clips):
    return torch.tensor(clips.transpose(0, 1, 4, 2, 3))


def test_parity_of_what_they_write(tmp_path):
    fields = {
        "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 3,
        "intermediate_size": 64, "image_size": 48, "patch_size": 16, "num_frames": 4,
    }  # fmt: skip
    torch.manual_seed(0)
    model = transformers.TimesformerForVideoClassification(
        transformers.TimesformerConfig(**fields, num_labels=7, initializer_range=0.2)
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.eval().save_pretrained(tmp_path)
    config = weights.read_config(tmp_path)
    assert (config.actions, config.dual, config.skills) == (7, False, 0)
    clips = video(config)
    with torch.no_grad():
        wanted = model(as_theirs(clips)).logits.numpy()
    params = config.load_weights(tmp_path)
    found = config.build().label_logits(params, clips)
    assert list(found) == ["action"]
    np.testing.assert_allclose(found["action"], wanted, atol=1e-4)

    # Their tower under our heads.
    ours = dataclasses.replace(config, actions=10, dual=True, skills=3)
    with pytest.raises(
        ValueError, match=r"balanced_classifier.weight: expected \(10, 48\), found -"
    ):
        ours.load_weights(tmp_path)
    with pytest.warns(UserWarning, match="no fitting action, balanced_action, skill: drawn anew"):
        tuned = ours.load_weights(tmp_path, rng=jax.random.key(0))
    assert_equal(tuned["video"], params["video"])
    assert_equal(jax.tree.map(np.shape, tuned), jax.tree.map(np.shape, ours.build().abstract()))
    assert np.std(tuned["balanced_action"]["kernel"]) > 0
    assert not np.array_equal(tuned["balanced_action"]["kernel"], tuned["action"]["kernel"])


def test_round_trip_stacked_and_side_by_side(tmp_path):
    config = small_config()
    params = random_params(config)
    files = config.save_weights(params, tmp_path)
    assert [file.name for file in files] == ["model.safetensors", "config.json"]
    assert sorted(f.name for f in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    assert weights.read_config(tmp_path) == config

    flat = dataclasses.replace(config, scan_layers=False)
    config.save_weights(unstack(params), tmp_path / "flat")
    left, right = (load_file(f / "model.safetensors") for f in (tmp_path, tmp_path / "flat"))
    assert_equal(left, right)
    clips = video(config)
    np.testing.assert_allclose(
        config.build().classify(params, clips),
        flat.build().classify(unstack(params), clips),
        atol=1e-5,
    )


def test_a_run_starts_from_weights_saved_here(tmp_path, recwarn):
    """Heads that fit are kept; drawn are those that are not there or have another shape."""
    config, rng = small_config(), jax.random.key(3)
    params = random_params(config)
    config.save_weights(params, tmp_path)
    assert_equal(config.load_weights(tmp_path, rng=rng), params)
    bare = dataclasses.replace(config, dual=False, skills=0)  # what it lacks is left where it is
    assert_equal(
        bare.load_weights(tmp_path, rng=rng), {name: params[name] for name in ("video", "action")}
    )
    assert not recwarn.list
    with pytest.raises(ValueError, match="skill_classifier"):
        bare.load_weights(tmp_path)
    other = dataclasses.replace(config, skills=5)
    with pytest.warns(UserWarning, match="no fitting skill: drawn anew"):
        found = other.load_weights(tmp_path, rng=rng)
    assert found["skill"]["kernel"].shape == (32, 5)
    assert np.std(found["skill"]["kernel"]) > 0
    assert_equal(
        {k: found[k] for k in params if k != "skill"},
        {k: params[k] for k in params if k != "skill"},
    )
    tower = tmp_path / "model.safetensors"
    tensors = load_file(tower)
    del tensors["timesformer.layernorm.bias"]
    save_file(tensors, tower)
    with pytest.raises(ValueError, match=r"timesformer\.layernorm\.bias"):  # no tower is drawn
        config.load_weights(tmp_path, rng=rng)


def test_loads_where_and_as_asked(tmp_path):
    config = small_config()
    params = random_params(config)
    config.save_weights(params, tmp_path)
    mesh = jax.make_mesh((8,), ("x",))
    cut = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "x"))
    abstract = config.build().abstract()
    kernel = abstract["video"]["layers"]["time_dense"]["kernel"]
    abstract["video"]["layers"]["time_dense"]["kernel"] = jax.ShapeDtypeStruct(
        kernel.shape, "bfloat16", sharding=cut
    )
    loaded = config.load_weights(tmp_path, abstract)["video"]["layers"]["time_dense"]["kernel"]
    assert loaded.sharding == cut
    assert loaded.dtype == "bfloat16"
    wanted = params["video"]["layers"]["time_dense"]["kernel"].astype("bfloat16")
    np.testing.assert_array_equal(np.asarray(loaded), wanted)


def test_errors_name_the_key_and_the_way_out(tmp_path):
    config = small_config()
    params = random_params(config)
    config.save_weights(params, tmp_path)
    with pytest.raises(
        ValueError,
        match=r"(?s)do not fit the config.*mlp/fc1/bias: expected \(\d+, 64\), found \(\d+, 48\)",
    ):
        dataclasses.replace(config, mlp=64).save_weights(params, tmp_path / "wrong")
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    tensors["stranger"] = tensors.pop("timesformer.layernorm.bias")
    save_file(tensors, path)
    with pytest.raises(
        ValueError, match=r"(?s)read_config.*2 keys.*stranger: expected -, found \(32,\)"
    ):
        config.load_weights(tmp_path)
    described = tmp_path / "config.json"
    described.write_text(
        json.dumps(json.loads(described.read_text()) | {"attention_type": "space_only"})
    )
    with pytest.raises(ValueError, match=r"config.json: attention_type is 'space_only'"):
        weights.read_config(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 5}, "width 32 is not a multiple of the 5 heads"),
        ({"image_size": 30}, "image_size 30 is not a multiple"),
        ({"compute_dtype": "float16"}, "float32 or bfloat16"),
    ],
)
def test_wrong_configs(changes, message):
    with pytest.raises(ValueError, match=message):
        small_config(**changes)


def test_heads_are_the_config_s():
    config = small_config(dual=False, skills=0)
    params, clips = random_params(config), video(config)
    found = config.build().label_logits(params, clips)
    assert list(found) == ["action"]
    np.testing.assert_allclose(
        np.exp(config.build().classify(params, clips)), opinion(found["action"]).probabilities,
        rtol=1e-5,
    )  # fmt: skip
    config = small_config()
    params = random_params(config)
    found = config.build().label_logits(params, clips)
    assert {name: x.shape for name, x in found.items()} == {
        "action": (2, 5), "balanced_action": (2, 5), "skill": (2, 3)
    }  # fmt: skip
    both = joint_opinion(found["action"], found["balanced_action"])
    np.testing.assert_allclose(
        np.exp(config.build().classify(params, clips)), both.probabilities, rtol=1e-5
    )
    with pytest.raises(ValueError, match=r"reads clips of shape \(3, 32, 32, 3\), not \(2, 32"):
        config.build().classify(params, clips[:, :2])


def test_bfloat16_and_remat_are_the_same_model():
    config = small_config()
    params, clips = random_params(config), video(config)
    plain = config.build().classify(params, clips)
    half = dataclasses.replace(config, compute_dtype="bfloat16").build()
    np.testing.assert_allclose(half.classify(params, clips), plain, atol=0.1)

    def gradient(model):
        return jax.jit(jax.grad(lambda p: model.classify(p, clips)[:, 0].sum()))(params)

    remat = dataclasses.replace(config, remat="full", scan_unroll=2).build()
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
        gradient(remat),
        gradient(config.build()),
    )


def test_order_of_frames_matters_and_a_new_model_ignores_it():
    """The time attention starts at zero: at first the model is an image model over all frames."""
    config = small_config()
    clips = video(config)
    model, params = config.build(), random_params(config)
    turned = clips[:, ::-1]
    assert np.abs(model.classify(params, clips) - model.classify(params, turned)).max() > 1e-3
    fresh = model.init(jax.random.key(0))
    np.testing.assert_allclose(
        model.classify(fresh, clips), model.classify(fresh, turned), atol=1e-5
    )


def test_opinion_without_evidence_is_ignorance():
    alone = opinion(np.full(4, -50.0))
    np.testing.assert_allclose(alone.probabilities, 0.25)
    assert alone.uncertainty == pytest.approx(1.0)
    sure = opinion(np.array([100.0, -50, -50, -50]))
    assert sure.uncertainty == pytest.approx(4 / 104)
    assert sure.probabilities[0] == pytest.approx(101 / 104)


def test_sizes():
    count = parameter_count(configs.base().build())
    # A ViT-B/16 has 85.8 M without its head; time attention adds its own to each of 12 layers.
    time = 12 * (2 * 768 + 768 * 3 * 768 + 3 * 768 + 2 * (768 * 768 + 768))
    heads = 23 * 769
    assert count == 85_798_656 + time + 8 * 768 + heads
    assert parameter_count(configs.tiny().build()) < 1e6


def test_processor():
    processor = small_config().processor()
    assert processor.pick(300).tolist() == [50, 150, 250]
    assert processor.pick(1).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="at least one frame"):
        processor.pick(0)
    picked = np.array([processor.pick(300, np.random.default_rng(n)) for n in range(50)])
    assert (picked // 100 == [0, 1, 2]).all() and np.ptp(picked, axis=0).min() > 50
    clip = np.zeros((6, 40, 60, 3), np.uint8)
    clip[1, :, :30], clip[3] = 255, 90
    found = processor(clip)
    assert found.shape == (3, 32, 32, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0, :, :14], (1 - 0.45) / 0.225, rtol=1e-5)
    np.testing.assert_allclose(found[0, :, 18:], -2, rtol=1e-5)
    np.testing.assert_allclose(found[1], (90 / 255 - 0.45) / 0.225, rtol=1e-4)
    with pytest.raises(ValueError, match="uint8"):
        processor(clip.astype(np.float32))
