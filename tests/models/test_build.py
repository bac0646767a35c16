import copy

import pytest

from surgzoo.models.build import model_config
from surgzoo.models.layers.lora_config import LoraConfig


def test_overrides_are_made_together_and_stay_hashable():
    config = model_config(
        "surgvlm-tiny",
        {"text.mrope_sections": [4, 6, 6], "text.heads": 6, "vision.depth": 2, "init_std": 0.5},
    )
    assert (config.text.heads, config.text.mrope_sections) == (6, (4, 6, 6))
    assert (config.vision.depth, config.init_std) == (2, 0.5)
    hash(config)


@pytest.mark.parametrize(
    ("key", "nearest"), [("text.dept", "depth"), ("comput_dtype", "compute_dtype")]
)
def test_unknown_field_names_the_nearest(key, nearest):
    with pytest.raises(ValueError, match=f"nearest: {nearest}"):
        model_config("surgvlm-tiny", {key: 1})


@pytest.mark.parametrize(
    "overrides",
    [
        {"lora": {"rank": 8, "targets": "vision/.*"}},
        {"lora.rank": 8, "lora.targets": "vision/.*"},
        {"lora": {"rank": 4, "targets": "vision/.*"}, "lora.rank": 8},
        {"lora.rank": 8, "lora": {"targets": "vision/.*"}},
    ],
)
def test_a_config_that_is_none_starts_from_its_defaults(overrides):
    before = copy.deepcopy(overrides)
    config = model_config("surgvlm-tiny", overrides)
    assert config.lora == LoraConfig(rank=8, targets="vision/.*")
    hash(config)
    assert overrides == before


def test_a_config_can_be_given_whole_or_taken_away():
    assert model_config("surgvlm-tiny", {"lora": {}}).lora == LoraConfig()
    assert model_config("surgvlm-tiny", {"lora": LoraConfig(rank=2)}).lora == LoraConfig(rank=2)
    assert model_config("surgvlm-tiny", {"lora": None}).lora is None


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"lora": {"rnak": 8}}, "surgvlm-tiny: lora: no field 'rnak'; nearest: rank"),
        ({"remat": {"policy": "full"}}, r"'remat' has no fields to set \(policy\)"),
        ({"tokenizer": {"path": "x"}}, "'tokenizer' has no fields"),
        ({"lora": None, "lora.rank": 2}, "'lora.rank' goes into 'lora', which another one sets"),
    ],
)
def test_overrides_that_lead_nowhere(overrides, message):
    with pytest.raises(ValueError, match=message):
        model_config("surgvlm-tiny", overrides)
