"""The experiment: everything a run is determined by, as one typed value.

A file in `configs/` returns one. It is written whole into every checkpoint's meta and into the
run's config.json, so that a checkpoint can be evaluated, continued and reported without the file.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from surgzoo.data.config import DataConfig


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Which registered model, and what to change in its config.

    Attributes:
      overrides: fields of the model's config, e.g. {"compute_dtype": "bfloat16"}; nested with dots.
      weights: Hugging Face folder to start from; None = random weights.
      adapter: folder of an adapter in peft's form that is put onto `weights` (`train/adapter.py`).
      tokenizer: folder with tokenizer.json; None = the one that the model ships or `weights`.
      trainable: regular expression over parameter paths ("/"-joined); others stay as they are.
    """

    name: str = "surgvlm-tiny"
    overrides: dict[str, Any] = dataclasses.field(default_factory=dict)
    weights: str | None = None
    adapter: str | None = None
    tokenizer: str | None = None
    trainable: str = ".*"


@dataclasses.dataclass(frozen=True)
class OptimConfig:
    """An optimizer with a schedule. `lr` is the peak; `final_lr` the last one as a share of it.

    muon: orthogonalised momentum for the weight matrices inside the network (arXiv 2502.16982), its
    updates scaled to the size of AdamW's so that `lr` means the same. Embeddings, the patch
    embedding and vectors get AdamW with Nesterov momentum, and weight decay like the rest.

    moments: how the running averages are kept between steps; they are always computed in float32.
    bfloat16 halves them. Both of Adam's and muon's momentum; see `train.optim` for its limit on b2.
    """

    name: Literal["adamw", "muon"] = "adamw"
    lr: float = 1e-3
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_steps: int = 100
    final_lr: float = 0.05
    weight_decay: float = 0.05
    b1: float = 0.9
    b2: float = 0.95
    eps: float = 1e-8
    clip_norm: float = 1.0
    accumulate: int = 1  # microbatches a step; the batch is cut, not multiplied
    ema: float | None = None  # decay of an averaged copy that evaluation then uses
    moments: Literal["float32", "bfloat16"] = "float32"


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """Sizes of the mesh axes; -1 takes what is left."""

    data: int = -1
    fsdp: int = 1
    tensor: int = 1
    seq: int = 1


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """What `surgzoo evaluate` asks. `limit` bounds the questions of a (source, task).

    A source may name its builder config: "synthsurg.small".

    Attributes:
      group: as many questions about one frame may share a row; 1 = none do.
      temperature, top_k, top_p, min_p, seed, beams, length_penalty, constrained: how answers are
        decoded (`decode/settings.py`); the default is greedy. For models that write text.
      prompts: file with the sentences that stand for a label, for models that compare pictures
        with texts; "" = the label in a plain sentence.
      history: predictions of what was done so far, for models that plan from it; "" = the truth.
    """

    sources: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    split: str = "test"
    scheme: str = "default"
    protocol: Literal["open", "choice"] = "open"  # or the possible answers listed as A, B, C
    limit: int | None = None
    batch_size: int = 64
    max_new_tokens: int = 64
    group: int = 8
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0
    beams: int = 1
    length_penalty: float = 1.0
    constrained: bool = False
    prompts: str = ""
    history: str = ""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One run. `steps` optimizer steps; periods are in steps, 0 = never."""

    name: str
    data: DataConfig
    model: ModelConfig = ModelConfig()
    objective: str = "causal_lm"
    optim: OptimConfig = OptimConfig()
    mesh: MeshConfig = MeshConfig()
    eval: EvalConfig = EvalConfig()
    steps: int = 1000
    seed: int = 0
    log_every: int = 10
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    tensorboard: bool = False
    profile_at: int = 0  # first step of a five-step profile; 0 = none
    check_memory: bool = True  # refuse before allocating what cannot fit, see train/plan.py
    allow_leak: bool = False  # train on videos that `eval` tests on; recorded in the checkpoint
