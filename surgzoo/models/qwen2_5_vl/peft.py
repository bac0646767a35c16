"""Adapters in and out in the form of the peft library: the folder that Hugging Face tools pass on.

`adapter_config.json` says rank, alpha and modules; `adapter_model.safetensors` holds for every
adapted module `base_model.model.<module>.lora_A.weight` [rank, in] and `lora_B.weight` [out, rank].
Of the patch embedding, a convolution there, A is [rank, channels, frames, y, x] and B
[out, rank, 1, 1, 1]. Source: the checkpoint format page of peft's documentation.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jaxtyping import PyTree
from safetensors import safe_open
from safetensors.numpy import save_file

from surgzoo.models.base import Params
from surgzoo.models.layers.lora import adapters_of, with_adapters, without_adapters
from surgzoo.models.layers.lora_config import LoraConfig
from surgzoo.models.layers.stack import stack
from surgzoo.models.qwen2_5_vl import weights
from surgzoo.models.qwen2_5_vl.config import Qwen25VLConfig

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."

# Fields of adapter_config.json with which the adapter would compute something else than
# W + alpha / rank * A B with one rank and alpha.
_OTHER_FORMS = (
    "alora_invocation_tokens", "alpha_pattern", "arrow_config", "kasa_config", "layer_replication",
    "monteclora_config", "rank_pattern", "use_bdlora", "use_dora", "use_qalora", "velora_config",
)  # fmt: skip
# Beginnings from which the base weights stay what they are.
_BEGINNINGS = (True, False, None, "gaussian", "orthogonal", "eva")


class _Module(NamedTuple):
    """A linear layer of the model, one for each number of a layer."""

    path: str  # ours, with {} for the number
    number: int | None
    name: str  # theirs
    a: weights.Transform
    b: weights.Transform

    @property
    def target(self) -> str:
        """The path as `LoraConfig.targets` matches it."""
        return self.path.replace("/{}", "")


def save(
    config: Qwen25VLConfig,
    params: Params,
    folder: str | pathlib.Path,
    *,
    base: str | None = None,
    dtype: str = "float32",
) -> list[pathlib.Path]:
    """Writes the adapters of `params`, for peft and the servers that read its folders.

    Args:
      config: the model, with `lora`; `params` may be stacked or side by side whatever it says.
      params: with adapters.
      folder: made when missing.
      base: the model that the adapters belong to, a folder or a name that transformers finds.
      dtype: float32 or bfloat16.

    Returns the files. Raises ValueError when the config has no adapters.
    """
    if config.lora is None:
        raise ValueError("the model has no adapters: its config's `lora` is None")
    kinds = {"float32": np.dtype(np.float32), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
    if dtype not in kinds:
        raise ValueError(f"dtype is float32 or bfloat16, not '{dtype}'")
    stacked = "0" not in params["text"]["layers"]
    adapted = [module for module in _modules(config) if config.lora.adapts(module.target)]
    tensors = {}
    for module in adapted:
        for letter, transform in (("a", module.a), ("b", module.b)):
            leaf = weights.leaf_of(params, f"{module.path}/lora_{letter}", module.number, stacked)
            leaf = np.asarray(leaf[module.number] if stacked and "{}" in module.path else leaf)
            key = f"{_PREFIX}{module.name}.lora_{letter.upper()}.weight"
            tensors[key] = np.ascontiguousarray(transform.write(leaf).astype(kinds[dtype]))
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / TENSORS, metadata={"format": "pt"})
    patterns = {re.sub(r"\.\d+\.", r".\\d+.", module.name) for module in adapted}
    described = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": config.lora.rank,
        "lora_alpha": config.lora.alpha,
        # One expression for whole names: the last parts alone (gate_proj) would also mean the
        # other tower.
        "target_modules": "|".join(sorted(patterns)),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "modules_to_save": None,
    }
    (folder / CONFIG).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    return [folder / CONFIG, folder / TENSORS]


def lora_of(config: Qwen25VLConfig, folder: str | pathlib.Path) -> LoraConfig:
    """Rank, alpha and targets of the adapters in a folder, by which `config` can have them.

    Only the names of tensors are read of the large file. Raises as `load` does.
    """
    folder = pathlib.Path(folder)
    for name in (CONFIG, TENSORS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"no {name} in {folder}: not an adapter that peft has saved")
    described = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    _check_form(described, folder / CONFIG)
    with safe_open(folder / TENSORS, framework="numpy") as file:
        keys = [_newer(key) for key in file.keys()]  # noqa: SIM118
    modules = {module.name: module for module in _modules(config)}
    found = {re.sub(r"\.lora_[AB]\.weight$", "", key.removeprefix(_PREFIX)) for key in keys}
    targets = sorted({modules[name].target for name in found if name in modules})
    if not targets:
        raise ValueError(
            f"{folder / TENSORS} adapts no linear layer of this model; its first key is "
            f"'{min(keys, default='-')}'"
        )
    rank, alpha = described["r"], float(described["lora_alpha"])
    if described.get("use_rslora"):
        alpha *= rank**0.5  # scaled by alpha / sqrt(rank) there (arXiv 2312.03732)
    return LoraConfig(rank, alpha, "|".join(targets))


def adapts_alike(config: Qwen25VLConfig, one: LoraConfig, other: LoraConfig) -> bool:
    """Whether two configs mean the same adapters, whatever expressions their targets are."""
    targets = {module.target for module in _modules(config)}
    return (one.rank, one.alpha) == (other.rank, other.alpha) and all(
        one.adapts(target) == other.adapts(target) for target in targets
    )


def load(
    config: Qwen25VLConfig,
    params: Params,
    folder: str | pathlib.Path,
    abstract: PyTree[jax.ShapeDtypeStruct] | None = None,
) -> tuple[Qwen25VLConfig, Params]:
    """The config with the adapters of a folder, and `params` with them in.

    Args:
      config: the model; `lora`, if set, is replaced.
      params: base weights, stacked or side by side; adapters in them are replaced.
      folder: of peft, or of `save`. Module names from before transformers 4.52 are read too.
      abstract: of all parameters, with the dtypes and shardings that the adapters get; default
        float32 on the first device.

    Raises FileNotFoundError without the two files, ValueError when they hold another form of
    adapter than plain LoRA or adapters that do not fit (with a table).
    """
    folder = pathlib.Path(folder)
    config = dataclasses.replace(config, lora=lora_of(config, folder))
    with safe_open(folder / TENSORS, framework="numpy") as file:
        tensors = {_newer(key): file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    weights.check_shapes(
        _their_shapes(config),
        {key: tuple(tensor.shape) for key, tensor in tensors.items()},
        f"{folder} does not hold adapters of this model with rank {config.lora.rank}",
    )

    adapters: dict[str, Any] = {}
    for module in _modules(config):
        if config.lora.adapts(module.target):
            node = adapters
            for part in module.path.replace("{}", str(module.number)).split("/"):
                node = node.setdefault(part, {})
            for letter, transform in (("a", module.a), ("b", module.b)):
                tensor = tensors[f"{_PREFIX}{module.name}.lora_{letter.upper()}.weight"]
                node[f"lora_{letter}"] = transform.read(tensor.astype(np.float32))
    # Put together on the host: each process places what its own devices hold.
    if "0" not in params["text"]["layers"]:
        adapters = stack(adapters, np.stack)
    if abstract is None:
        adapters = jax.tree.map(jnp.asarray, adapters)
    else:
        adapters = jax.tree.map(_placed, adapters, adapters_of(abstract))
    return config, with_adapters(without_adapters(params), adapters)


def _placed(array: np.ndarray, like: jax.ShapeDtypeStruct) -> jax.Array:
    array = array.astype(like.dtype)
    if like.sharding is None:
        return jnp.asarray(array)
    return jax.make_array_from_callback(array.shape, like.sharding, lambda part: array[part])


def _modules(config: Qwen25VLConfig) -> Iterator[_Module]:
    """Every linear layer, in the order of the table of keys."""
    for row in weights.table(config):
        path, _, name = row.ours.rpartition("/")
        if name != "kernel":
            continue
        theirs = row.theirs.removesuffix(".weight")
        if path == "vision/patch":
            yield _Module(path, None, theirs, row.transform, _CONVOLUTION_B)
            continue
        if "{}" not in path:
            yield _Module(path, None, theirs, _TRANSPOSED, row.transform)
            continue
        depth = (config.text if path.startswith("text/") else config.vision).depth
        for number in range(depth):
            yield _Module(path, number, theirs.format(number), _TRANSPOSED, row.transform)


_TRANSPOSED = weights.Transform(lambda a: a.T, lambda a: a.T)
_CONVOLUTION_B = weights.Transform(
    lambda b: b[:, :, 0, 0, 0].T, lambda b: b.T[:, :, None, None, None]
)


def _their_shapes(config: Qwen25VLConfig) -> weights.Shapes:
    """Keys and shapes of the tensors of an adapter of this config."""
    abstract = dataclasses.replace(config, scan_layers=False).build().abstract()
    shapes = {}
    for module in _modules(config):
        if config.lora.adapts(module.target):
            for letter, transform in (("a", module.a), ("b", module.b)):
                leaf = weights.leaf_of(
                    abstract, f"{module.path}/lora_{letter}", module.number, False
                )
                key = f"{_PREFIX}{module.name}.lora_{letter.upper()}.weight"
                shapes[key] = transform.write(np.broadcast_to(np.float32(0), leaf.shape)).shape
    return shapes


def _newer(key: str) -> str:
    """A key with the module names from transformers 4.52 on."""
    return _PREFIX + weights.newer_key(key.removeprefix(_PREFIX))


def _check_form(described: dict[str, Any], path: pathlib.Path) -> None:
    """Raises ValueError when the adapter computes something else than plain LoRA."""
    if described.get("peft_type") != "LORA":
        raise ValueError(f"{path}: peft_type is {described.get('peft_type')}, only LORA is read")
    other = [name for name in _OTHER_FORMS if described.get(name)]
    if described.get("bias", "none") != "none":
        other.append("bias")
    if described.get("init_lora_weights", True) not in _BEGINNINGS:
        other.append("init_lora_weights")  # PiSSA and others change the base weights
    if other:
        raise ValueError(
            f"{path}: {', '.join(f'{name}={described[name]!r}' for name in other)} is not plain "
            "LoRA. Merge the adapter into its base with peft (merge_and_unload), save that model "
            "and load its folder"
        )
