"""A model of this zoo as a predictor: the checkpoint of a run, and its answers to any questions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from surgzoo.core import parallel
from surgzoo.core.contract import Bucket
from surgzoo.core.registry import resolve
from surgzoo.data.config import DataConfig
from surgzoo.data.media import Stores
from surgzoo.db.schema import Conversation
from surgzoo.decode.loop import for_decoding, layers_side_by_side
from surgzoo.decode.settings import Decoding
from surgzoo.evaluate.predict import Throughput, predict
from surgzoo.models.base import Model
from surgzoo.models.build import model_config
from surgzoo.models.layers.lora import merge_lora
from surgzoo.train import adapter, vocabulary
from surgzoo.train.checkpoint import Checkpointer
from surgzoo.train.experiment import EvalConfig, Experiment, ModelConfig

# What a model reads -> who asks it; turns of text are decoded by `evaluate/predict.py`.
# Each is answer(found, conversations, stores, path, settings) -> Throughput, as `answer` below.
ANSWERS: dict[str, str] = {
    "pairs": "surgzoo.evaluate.predictors.pairs:answer",
    "clips": "surgzoo.evaluate.predictors.clips:answer",
    "frames": "surgzoo.evaluate.predictors.frames:answer",
    "features": "surgzoo.evaluate.predictors.features:answer",
    "histories": "surgzoo.evaluate.predictors.histories:answer",
}
_KINDS = {int: "a whole number", float: "a number"}


@dataclasses.dataclass(frozen=True)
class Restored:
    """A model with the parameters of a checkpoint. `name` says which: model/run@step.

    `meta` is what was saved with it (`train/checkpoint.py`), `data` how media were shown to it.
    Its "rows" are what `data/rows` wrote, such as the names of the classes. `processor` is None for
    a model that reads neither frames nor text.
    """

    name: str
    step: int
    meta: dict[str, Any]
    model: Any
    params: Any
    processor: Any
    mesh: Any
    data: DataConfig


def restore(run_dir: str | Path, experiment: Experiment, step: int | None = None) -> Restored:
    """The model of a run, of its newest checkpoint by default.

    Its processor also has the rows of training: what fitted one of those can be asked. Raises
    FileNotFoundError when there is no checkpoint.
    """
    mesh = parallel.make_mesh(**dataclasses.asdict(experiment.mesh))
    architecture = model_config(experiment.model.name, experiment.model.overrides)
    model = architecture.build()
    processor = architecture.processor(vocabulary.of(experiment.model, run_dir))
    if architecture.reads == "turns":
        trained = Bucket(*experiment.data.bucket)
        processor.buckets = tuple(sorted({*processor.buckets, trained}))
    folder = Path(run_dir) / "checkpoints"
    checkpoints = Checkpointer(folder)
    step = step if step is not None else checkpoints.latest
    if step is None:
        raise FileNotFoundError(f"{folder} holds no finished checkpoint")
    params = checkpoints.restore_params(_placed(model, mesh), step)
    meta = checkpoints.meta(step)
    checkpoints.close()
    name = f"{experiment.model.name}/{experiment.name}@{step}"
    return Restored(name, step, meta, model, params, processor, mesh, experiment.data)


def from_weights(settings: ModelConfig) -> Restored:
    """A model with the weights of a folder, of no run: step 0 and no meta. Over all devices.

    Raises ValueError without `settings.weights`.
    """
    if not settings.weights:
        raise ValueError(f"{settings.name} has no weights: name the folder that holds them")
    mesh = parallel.make_mesh()
    settings = adapter.with_lora(settings)
    architecture = model_config(settings.name, settings.overrides)
    model = architecture.build()
    params = adapter.load_weights(settings, architecture, _placed(model, mesh), jax.random.key(0))
    processor = architecture.processor(settings.tokenizer)
    name = f"{settings.name}/{Path(settings.weights).resolve().name}"
    return Restored(name, 0, {}, model, params, processor, mesh, DataConfig())


def to_answer(found: Restored) -> Restored:
    """The same model as answers are decoded with: adapters merged, layers side by side, kernels in
    the compute dtype. Of a model that reads no turns as it is.

    Done once, decoding finds nothing left to do in each batch; and who keeps only the result holds
    no float32 parameters and no second copy beside them.
    """
    config = found.model.config
    if config.reads != "turns":
        return found
    lora = getattr(config, "lora", None)
    plain = {} if lora is None else {"lora": None}
    model = layers_side_by_side(Model(dataclasses.replace(config, **plain), found.model.module))

    def prepare(params):
        return for_decoding(model, params if lora is None else merge_lora(params, lora))

    shardings = jax.tree.map(lambda leaf: leaf.sharding, _placed(model, found.mesh))
    params = jax.jit(prepare, out_shardings=shardings)(found.params)
    return dataclasses.replace(found, model=model, params=params)


def _placed(model: Any, mesh: Any) -> Any:
    """Shapes of the parameters, and where they belong on the mesh."""
    shapes = model.abstract()
    shardings = parallel.shardings(parallel.param_specs(shapes, model.logical_axes(), mesh), mesh)
    return parallel.placed(shapes, shardings)


def decoding_of(settings: EvalConfig) -> Decoding:
    """How answers are decoded. Raises ValueError, naming fields, for what does not go together."""
    if settings.group < 1:
        raise ValueError(f"group must be 1 (each question alone) or more, not {settings.group}")
    fields = dataclasses.fields(Decoding)
    return Decoding(**{field.name: getattr(settings, field.name) for field in fields})


def read_decoding(settings: Sequence[str]) -> dict[str, Any]:
    """Fields of EvalConfig about decoding, from a command line: ["constrained", "beams=4"].

    Raises ValueError for a name that there is not, and for a value that is none of its type.
    """
    names = ("group", *(field.name for field in dataclasses.fields(Decoding)))
    default, found = EvalConfig(), {}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in names:
            raise ValueError(f"'{name}' is no way of decoding; there are {', '.join(names)}")
        kind = type(getattr(default, name))
        if kind is bool:
            values = {"": True, "true": True, "false": False}
            if text.lower() not in values:
                raise ValueError(f"{name} is true or false, not '{text}'")
            found[name] = values[text.lower()]
            continue
        try:
            found[name] = kind(text)
        except ValueError:
            raise ValueError(f"{name} needs {_KINDS[kind]}, as {name}=1, not '{text}'") from None
    return found


def answer(
    found: Restored,
    conversations: Sequence[Conversation],
    stores: Stores,
    path: str | Path,
    settings: EvalConfig,
) -> Throughput:
    """Appends an answer to every question that `path` does not answer yet.

    Raises PredictionsError when the file holds the answers of another model, or answers that were
    decoded in another way, ValueError for a question that the model cannot be asked.
    """
    reads = found.model.config.reads
    if settings.prompts and reads != "pairs":
        raise ValueError(
            f"prompts ({settings.prompts}) are for models that compare pictures with texts; "
            f"{found.name} reads {reads}"
        )
    if settings.history and reads != "histories":
        raise ValueError(
            f"a history ({settings.history}) is for models that plan from one; {found.name} reads "
            f"{reads}"
        )
    if reads != "turns":
        if reads not in ANSWERS:
            raise ValueError(f"nobody asks models that read '{reads}'; there are {list(ANSWERS)}")
        return resolve(ANSWERS[reads])(found, conversations, stores, path, settings)
    return predict(
        found.model,
        found.params,
        found.processor,
        conversations,
        stores,
        path,
        name=found.name,
        mesh=found.mesh,
        batch_size=settings.batch_size,
        max_new_tokens=settings.max_new_tokens,
        data=found.data,
        group=settings.group,
        decoding=decoding_of(settings),
    )
