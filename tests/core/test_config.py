import dataclasses
from typing import Any, Literal

import pytest

from surgzoo.core import config as config_lib
from surgzoo.core.config import ConfigError


@dataclasses.dataclass(frozen=True)
class Optim:
    lr: float = 1e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    ema: float | None = None


@dataclasses.dataclass(frozen=True)
class Part:
    source: str = "a"
    weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class Root:
    optim: Optim = Optim()
    parts: tuple[Part, ...] = (Part(), Part("b"))
    bucket: tuple[int, int] = (96, 64)
    steps: int = 10
    flag: bool = False
    overrides: dict[str, Any] = dataclasses.field(default_factory=dict)


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("optim.lr", "1e-4", Root(optim=Optim(lr=1e-4))),
        ("optim.schedule", "constant", Root(optim=Optim(schedule="constant"))),
        ("optim.ema", "0.99", Root(optim=Optim(ema=0.99))),
        ("optim.ema", "None", Root()),
        ("parts.1.weight", "3", Root(parts=(Part(), Part("b", 3.0)))),
        ("bucket", "(128, 64)", Root(bucket=(128, 64))),
        ("steps", "1_000", Root(steps=1000)),
        ("flag", "true", Root(flag=True)),
        ("overrides.compute_dtype", "bfloat16", Root(overrides={"compute_dtype": "bfloat16"})),
        ("overrides.lora.rank", "8", Root(overrides={"lora.rank": 8})),
    ],
)
def test_override(key, text, expected):
    assert config_lib.override(Root(), key, text) == expected


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("optim.lrr", "1", r"no field 'lrr'. Nearest: --config.optim.lr\b"),
        ("optm.lr", "1", r"no field 'optm'. Nearest: --config.optim\b"),
        ("steps", "many", r"--config.steps=many: not a int"),
        ("optim.schedule", "cosin", r"one of cosine, constant"),
        ("parts.7.weight", "1", r"'7' is not an index below 2"),
        ("steps.more", "1", r"has no fields"),
        ("flag", "maybe", r"true or false"),
    ],
)
def test_bad_override_says_what_to_do(key, text, message):
    with pytest.raises(ConfigError, match=message):
        config_lib.override(Root(), key, text)


def test_split_argv_takes_both_spellings():
    rest, found = config_lib.split_argv(
        ["--config=c.py", "--config.optim.lr=1", "--config.steps", "5", "--run_dir=x"]
    )
    assert rest == ["--config=c.py", "--run_dir=x"]
    assert found == {"optim.lr": "1", "steps": "5"}


def test_load_applies_overrides_and_explains_failures(tmp_path):
    file = tmp_path / "exp.py"
    file.write_text("from tests.core.test_config import Root\ndef get_config(): return Root()\n")
    assert config_lib.load(file, {"steps": "7"}).steps == 7
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(ConfigError, match=r"defines no get_config"):
        config_lib.load(tmp_path / "empty.py")
    with pytest.raises(
        ConfigError, match=r"no config file .*nothing.py. Shipped configs: .*synthsurg"
    ):
        config_lib.load(tmp_path / "nothing.py")


def test_a_shipped_config_is_found_by_name():
    assert config_lib.load("configs/synthsurg.py").name == "synthsurg"


def test_dict_round_trip():
    root = Root(optim=Optim(ema=0.5), parts=(Part("z", 2.0),), overrides={"a": 1})
    assert config_lib.from_dict(Root, config_lib.to_dict(root)) == root
    with pytest.raises(ConfigError, match="no field"):
        config_lib.from_dict(Root, {"stepss": 1})
