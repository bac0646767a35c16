"""Checkpoints written by torch, read without it; what is no tensor is refused, not run."""

import os
import zipfile

import numpy as np
import pytest
import torch

from surgzoo.models.torch_file import TorchFile


def test_every_dtype_and_layout(tmp_path):
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    state = {
        "whole": base,
        "turned": base.T,  # shares its storage, strides are turned
        "part": base[1:3, ::2],
        "half": torch.randn(3).half(),
        "brain": torch.randn(2, 2).bfloat16(),
        "double": torch.randn(2).double(),
        "long": torch.arange(5),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    torch.save(state, tmp_path / "a.pth")
    with TorchFile(tmp_path / "a.pth") as file:
        assert file.shapes == {key: tuple(value.shape) for key, value in state.items()}
        for key, value in state.items():
            ours = file.read(key)
            assert ours.shape == tuple(value.shape)
            np.testing.assert_array_equal(
                ours.astype(np.float64), value.detach().double().numpy(), err_msg=key
            )
        assert file.read("brain").dtype.name == "bfloat16"


@pytest.mark.parametrize("name", ["state_dict", "model_state_dict", "model"])
def test_inside_a_training_checkpoint(tmp_path, name):
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    optimizer = torch.optim.Adam(module.parameters())
    content = {name: module.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 4}
    torch.save(content, tmp_path / "a.pth")
    with TorchFile(tmp_path / "a.pth", rename=lambda key: f"x.{key}") as file:
        assert file.shapes["x.0.weight"] == (3, 2)
        np.testing.assert_array_equal(file.read("x.0.weight"), module[0].weight.detach().numpy())


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trap-was-sprung",)


def test_code_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": torch.ones(2), "more": Trap()}, "trap.pth")
    with pytest.raises(ValueError, match=r"wants to call (posix|nt)\.mkdir"):
        TorchFile("trap.pth")
    assert not os.path.exists("trap-was-sprung")
    torch.save(torch.nn.Linear(2, 2), "module.pth")  # a whole pickled model
    with pytest.raises(ValueError, match="save the state dict alone"):
        TorchFile("module.pth")


def test_damaged_files(tmp_path):
    file = tmp_path / "a.pth"
    torch.save({"weight": torch.arange(100.0)}, file)
    content = file.read_bytes()
    (tmp_path / "cut.pth").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="not a whole one"):
        TorchFile(tmp_path / "cut.pth")
    with zipfile.ZipFile(tmp_path / "other.pth", "w") as other:
        other.writestr("a.txt", "text")
    with pytest.raises(ValueError, match="no torch checkpoint"):
        TorchFile(tmp_path / "other.pth")
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(tmp_path / "short.pth", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data[:40] if name.endswith("data/0") else data)
    with (
        TorchFile(tmp_path / "short.pth") as short,
        pytest.raises(ValueError, match="beyond its storage"),
    ):
        short.read("weight")
    torch.save({"epoch": 3}, file)
    with pytest.raises(ValueError, match="holds no tensors; its keys: epoch"):
        TorchFile(file)
    torch.save({"a": torch.ones(1), "b": torch.ones(1)}, file)
    with pytest.raises(ValueError, match="two keys are 'x'"):
        TorchFile(file, rename=lambda key: "x")
