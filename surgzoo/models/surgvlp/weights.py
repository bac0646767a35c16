"""The published .pth in, safetensors under the same keys in and out."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re

import jax
from jaxtyping import PyTree

from surgzoo.models import key_table
from surgzoo.models.base import Params
from surgzoo.models.key_table import Row, conv, dense, norm
from surgzoo.models.surgvlp.config import SurgVLPConfig
from surgzoo.models.surgvlp.processor import letters, lowers, vocab_file
from surgzoo.models.tensor_files import TensorFolder
from surgzoo.models.torch_file import TorchFile

# Beside what is read: BERT's pooler, whose output is not used, buffers, and batch counters.
_IGNORE = (
    r"backbone_text\.model\.(pooler\..*|embeddings\.(position_ids|token_type_ids))"
    r"|backbone_img\.model\..*num_batches_tracked"
)


def _batch_norm(ours: str, theirs: str) -> list[Row]:
    return [
        *norm(ours, theirs),
        Row(f"{ours}/mean", f"{theirs}.running_mean"),
        Row(f"{ours}/var", f"{theirs}.running_var"),
    ]


def table(config: SurgVLPConfig) -> list[Row]:
    """The rows of a model: torchvision's names of a ResNet, transformers' of a BERT."""
    image, text, layer = (
        "backbone_img.model", "backbone_text.model", "backbone_text.model.encoder.layer.{}"
    )  # fmt: skip
    ours = "text/layers/{}"
    rows = [
        *conv("vision/conv", f"{image}.conv1"),
        *_batch_norm("vision/norm", f"{image}.bn1"),
        *dense("vision/project", "backbone_img.global_embedder"),
        Row("text/word", f"{text}.embeddings.word_embeddings.weight"),
        Row("text/position", f"{text}.embeddings.position_embeddings.weight"),
        Row("text/kind", f"{text}.embeddings.token_type_embeddings.weight"),
        *norm("text/norm", f"{text}.embeddings.LayerNorm"),
        *dense(f"{ours}/attention/q", f"{layer}.attention.self.query"),
        *dense(f"{ours}/attention/k", f"{layer}.attention.self.key"),
        *dense(f"{ours}/attention/v", f"{layer}.attention.self.value"),
        *dense(f"{ours}/attention/out", f"{layer}.attention.output.dense"),
        *norm(f"{ours}/norm1", f"{layer}.attention.output.LayerNorm"),
        *dense(f"{ours}/mlp/fc1", f"{layer}.intermediate.dense"),
        *dense(f"{ours}/mlp/fc2", f"{layer}.output.dense"),
        *norm(f"{ours}/norm2", f"{layer}.output.LayerNorm"),
    ]
    for stage, depth in enumerate(config.vision.depths, 1):
        for number in range(depth):
            block, theirs = f"vision/block_{stage}_{number}", f"{image}.layer{stage}.{number}"
            for i in (1, 2, 3):
                rows += conv(f"{block}/conv{i}", f"{theirs}.conv{i}")
                rows += _batch_norm(f"{block}/norm{i}", f"{theirs}.bn{i}")
            rows += conv(f"{block}/short", f"{theirs}.downsample.0")  # of some blocks
            rows += _batch_norm(f"{block}/short_norm", f"{theirs}.downsample.1")
    return rows


def load(
    config: SurgVLPConfig,
    path: str | pathlib.Path,
    abstract: PyTree[jax.ShapeDtypeStruct] | None = None,
    rng: jax.Array | None = None,
) -> Params:
    """Parameters from a .pth file as published, or from a folder that `save` wrote.

    Nothing in the .pth is run. `abstract` has dtypes and, if set, shardings of the result; default
    float32 on the first device. BERT's pooler, which the model does not use, is not kept.

    Raises FileNotFoundError without the file, ValueError for damaged or other files and, with a
    list, for missing, unexpected and wrongly shaped keys.
    """
    del rng  # files of this family lack nothing
    path = pathlib.Path(path)
    abstract = config.build().abstract() if abstract is None else abstract
    if not path.exists():
        raise FileNotFoundError(f"no checkpoint at {path}: give a .pth file or a folder")
    # Wrappers for several devices put "module." before every key.
    opened = TensorFolder(path) if path.is_dir() else TorchFile(path, _without_module)
    with opened as tensors:
        return key_table.load(table(config), tensors, abstract, str(path), _IGNORE)


def save(
    config: SurgVLPConfig,
    params: Params,
    folder: str | pathlib.Path,
    *,
    tokenizer: str | pathlib.Path | None = None,
) -> list[pathlib.Path]:
    """Writes float32 model.safetensors under the published keys; without BERT's unused pooler.

    Beside it config.json (the fields of `config`) and, where a vocabulary is known, vocab.txt and
    tokenizer_config.json, which says whether texts are lowered: `model.weights` reads the folder
    alone. `tokenizer` is what `SurgVLPConfig.processor` takes; default the config's.

    Returns the files. Raises ValueError when the parameters are not those of `config`,
    FileNotFoundError without vocab.txt in `tokenizer`.
    """
    folder = pathlib.Path(folder)
    source = config.vocab if tokenizer is None else tokenizer
    if source is not None and pathlib.Path(source).suffix in (".pth", ".pt"):
        source = config.vocab  # weights alone, see `processor`
    described = {"model_type": "surgvlp"} | dataclasses.asdict(config)
    words, lowercase = None, config.input.lowercase
    if source == "shipped":
        words = "\n".join(letters()) + "\n"
    elif source is not None:
        file = vocab_file(source)
        words, lowercase = file.read_text(encoding="utf-8"), lowers(config, file)
    written = key_table.save(table(config), params, config.build().abstract(), folder, described)
    if words is not None:
        (folder / "vocab.txt").write_text(words, encoding="utf-8")
        described = {"tokenizer_class": "BertTokenizer", "do_lower_case": lowercase}
        (folder / "tokenizer_config.json").write_text(json.dumps(described, indent=2) + "\n")
        written += [folder / "vocab.txt", folder / "tokenizer_config.json"]
    return written


def _without_module(key: str) -> str:
    return re.sub(r"^module\.", "", key)
