"""Adapters against the peft library: it loads what we write, we load what it writes."""

import dataclasses
import json
import warnings

import jax
import numpy as np
import pytest
from qwen_small import Oracle, picture, random_params, stack_rows
from safetensors.numpy import load_file, save_file

from surgzoo.core.contract import Message
from surgzoo.models.layers.lora import adapters_of, with_adapters
from surgzoo.models.layers.lora_config import LoraConfig
from surgzoo.models.layers.stack import unstack
from surgzoo.models.qwen2_5_vl import peft as ours

# Modest alphas: sharp attention, which large random adapters make, turns rounding into differences.
TARGETS = {
    "language model": LoraConfig(rank=4, alpha=6.0),
    "everything, patch convolution too": LoraConfig(rank=3, alpha=1.5, targets=".*"),
    "tower's qkv and merger": LoraConfig(2, 1.0, targets="vision/.*/qkv|vision/merger/.*"),
}


@pytest.fixture(scope="module")
def peft():
    return pytest.importorskip("peft")


@pytest.fixture(scope="module")
def row(small):
    talk = [Message("user", "Which instrument is this?", 1), Message("assistant", "a hook")]
    return small.processor.encode(talk, [picture(112, 84)])


def our_logits(config, params, row):
    return np.asarray(jax.jit(config.build().forward)(params, stack_rows([row]))[0])


def their_logits(small, model, row):
    inputs = small.oracle.inputs(small.processor, row, [picture(112, 84)])
    with small.oracle.torch.no_grad():
        return model(**inputs).logits[0].numpy()


def fresh_base(small):
    return Oracle(small.folder).model  # peft changes the model that it wraps


def adapted(small, lora):
    """The small model's base weights, with random adapters."""
    config = dataclasses.replace(small.config, lora=lora)
    return config, with_adapters(small.params, adapters_of(random_params(config, seed=7)))


@pytest.mark.parametrize("lora", TARGETS.values(), ids=TARGETS)
def test_peft_loads_ours(small, row, peft, tmp_path, lora):
    config, params = adapted(small, lora)
    ours.save(config, params, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # of keys that are missing or not used
        model = peft.PeftModel.from_pretrained(fresh_base(small), tmp_path).eval()
    theirs = their_logits(small, model, row)
    mine = our_logits(config, params, row)[: len(theirs)]
    plain = our_logits(small.config, small.params, row)[: len(theirs)]
    assert np.abs(plain - theirs).max() > 0.1  # the adapters do something
    np.testing.assert_allclose(mine, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["q_proj", "v_proj"], "r": 4, "lora_alpha": 8},
        {"target_modules": r".*visual.*\.(qkv|proj|gate_proj)", "r": 2, "lora_alpha": 3},
        {"target_modules": ["down_proj"], "r": 4, "lora_alpha": 4, "use_rslora": True},
    ],
    ids=["short names", "vision", "rank-stabilised"],
)
def test_ours_loads_what_peft_trained(small, row, peft, tmp_path, settings):
    """One step of torch's own training, from peft's random beginning, then saved by peft."""
    torch = small.oracle.torch
    torch.manual_seed(0)
    config = peft.LoraConfig(init_lora_weights=False, **settings)
    model = peft.get_peft_model(fresh_base(small), config)
    inputs = small.oracle.inputs(small.processor, row, [picture(112, 84)])
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(**inputs, labels=inputs["input_ids"]).loss.backward()
    optimizer.step()
    model.eval().save_pretrained(tmp_path)
    theirs = their_logits(small, model, row)
    for params in (small.params, unstack(small.params)):
        config = dataclasses.replace(small.config, scan_layers=params is small.params)
        config, params = ours.load(config, params, tmp_path)
        mine = our_logits(config, params, row)[: len(theirs)]
        np.testing.assert_allclose(mine, theirs, atol=1e-4, rtol=0)
    assert config.lora.rank == settings["r"]


@pytest.mark.parametrize("lora", TARGETS.values(), ids=TARGETS)
def test_round_trip(small, tmp_path, lora):
    config, params = adapted(small, lora)
    ours.save(config, params, tmp_path, base="somewhere")
    again, loaded = ours.load(small.config, small.params, tmp_path)
    assert (again.lora.rank, again.lora.alpha) == (lora.rank, lora.alpha)
    assert jax.tree.structure(loaded) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, loaded, params)
    described = json.loads((tmp_path / ours.CONFIG).read_text())
    assert described["base_model_name_or_path"] == "somewhere"


def test_bfloat16_and_side_by_side(small, tmp_path):
    config, params = adapted(small, TARGETS["language model"])
    ours.save(config, unstack(params), tmp_path, dtype="bfloat16")
    _, loaded = ours.load(small.config, small.params, tmp_path)

    def rounded(leaf):
        return np.asarray(leaf).astype(jax.numpy.bfloat16).astype(np.float32)

    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a, rounded(b)),
        adapters_of(loaded),
        adapters_of(params),
    )
    with pytest.raises(ValueError, match="float32 or bfloat16, not 'int8'"):
        ours.save(config, params, tmp_path, dtype="int8")


def test_older_module_names(small, tmp_path):
    config, params = adapted(small, TARGETS["everything, patch convolution too"])
    ours.save(config, params, tmp_path)
    older = {
        key.replace("model.model.visual.", "model.visual.").replace("language_model.", ""): value
        for key, value in load_file(tmp_path / ours.TENSORS).items()
    }
    assert "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight" in older
    assert "base_model.model.visual.merger.mlp.0.lora_B.weight" in older
    save_file(older, tmp_path / ours.TENSORS)
    _, loaded = ours.load(small.config, small.params, tmp_path)
    jax.tree.map(np.testing.assert_array_equal, loaded, params)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type is IA3"),
        ({"use_dora": True}, r"use_dora=True is not plain LoRA.*merge_and_unload"),
        ({"rank_pattern": {"q_proj": 8}}, "rank_pattern="),
        ({"bias": "all"}, "bias='all'"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa'"),
        ({"r": 8}, r"with rank 8: (.|\n)*\(8, 96\) +\(4, 96\)"),
    ],
)
def test_other_forms_are_refused(small, tmp_path, changes, message):
    config, params = adapted(small, TARGETS["language model"])
    ours.save(config, params, tmp_path)
    described = json.loads((tmp_path / ours.CONFIG).read_text()) | changes
    (tmp_path / ours.CONFIG).write_text(json.dumps(described))
    with pytest.raises(ValueError, match=message):
        ours.load(small.config, small.params, tmp_path)


def test_adapters_that_do_not_fit_are_listed(small, tmp_path):
    config, params = adapted(small, TARGETS["language model"])
    ours.save(config, params, tmp_path)
    content = load_file(tmp_path / ours.TENSORS)
    layer = "base_model.model.model.language_model.layers.1.self_attn.q_proj"
    moved = content.pop(f"{layer}.lora_A.weight")
    content["base_model.model.lm_head.lora_A.weight"] = moved
    save_file(content, tmp_path / ours.TENSORS)
    with pytest.raises(ValueError, match="2 keys differ") as caught:
        ours.load(small.config, small.params, tmp_path)
    assert "lm_head.lora_A" in str(caught.value) and f"{layer}.lora_A" in str(caught.value)

    save_file({"base_model.model.lm_head.lora_A.weight": moved}, tmp_path / ours.TENSORS)
    with pytest.raises(ValueError, match="adapts no linear layer of this model"):
        ours.load(small.config, small.params, tmp_path)
    (tmp_path / ours.TENSORS).unlink()
    with pytest.raises(FileNotFoundError, match=r"no adapter_model.safetensors in"):
        ours.load(small.config, small.params, tmp_path)
    with pytest.raises(ValueError, match="`lora` is None"):
        ours.save(small.config, small.params, tmp_path)
