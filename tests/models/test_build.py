import pytest

from surgzoo.models.build import model_config


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
