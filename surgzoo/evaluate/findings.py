"""Pitfalls of a number, found by looking: leaks, how a checkpoint was chosen, what was left out.

Nothing here changes a score. A finding goes into the result file and below its table, so that the
number cannot be passed on without it.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from surgzoo.db import identity, schema, splits
from surgzoo.db.sources import sources
from surgzoo.db.store import NotPreparedError, Store

KINDS = (
    "leakage",  # test operations that the model was trained on
    "training_undeclared",  # nobody says what the model saw
    "suspected_overlap",  # likely, and listed nowhere by video
    "selected_on_test",  # the checkpoint was chosen by its test score
    "selection_undeclared",  # a checkpoint other than the last, and no word of how it was chosen
    "partial",  # sets without a score
    "sampled",  # fewer questions than the benchmark has
    "unanswered",
    "decoding",  # answers that were not decoded greedily: sampled, searched for, constrained
    "wrong_split",
    "frame_rate",  # predictions on another config of a source
    "unknown",  # predictions that answer no question of the benchmark
)
SHOWN = 12  # items that a text lists


@dataclasses.dataclass(frozen=True)
class Finding:
    """One pitfall. `counts` are its numbers by what they count, `items` what it is about."""

    kind: str
    text: str
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    items: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"'{self.kind}' is no kind of finding; known: {', '.join(KINDS)}")


def save(found: Sequence[Finding], path: str | Path) -> None:
    """Writes findings.json, beside the scores that they are about."""
    values = [dataclasses.asdict(finding) for finding in found]
    text = json.dumps(values, indent=1, ensure_ascii=False)
    Path(path).write_text(text + "\n", encoding="utf-8")


# ---- leakage -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Training:
    """What a model was trained on.

    Attributes:
      operations: canonical id -> the videos that show it, "source/id".
      unclear: what is declared and cannot be told video by video, in words.
    """

    operations: Mapping[str, tuple[str, ...]]
    unclear: tuple[str, ...] = ()


def of_videos(videos: Iterable[schema.Video], unclear: Sequence[str] = ()) -> Training:
    """What a mixture holds."""
    found: dict[str, dict[str, None]] = {}
    for video in videos:
        found.setdefault(video.canonical, {})[f"{video.source}/{video.id}"] = None
    return Training({key: tuple(names) for key, names in found.items()}, tuple(unclear))


def joined(one: Training, other: Training) -> Training:
    """What was seen in two parts of a training, such as before and in a run."""
    operations = dict(one.operations)
    for key, names in other.operations.items():
        operations[key] = tuple(dict.fromkeys((*operations.get(key, ()), *names)))
    return Training(operations, (*one.unclear, *other.unclear))


def declared(spec: Sequence[str], data_dir: str | Path) -> Training:
    """What a person declares, item by item or in files of one item a line (# begins a comment).

      cholec80              every video of the source, the careful reading
      cholec80:train        the training split of its default scheme
      cholec80:40_40:train  of another scheme
      cholec80/video07      one video

    Videos come from the table of official splits; of a source that has none there, from what is
    prepared in `data_dir`. Raises ValueError for an item of another form, UnknownNameError for a
    source that nobody knows (leave out data that no benchmark is made of).
    """
    operations: dict[str, dict[str, None]] = {}
    unclear = []
    for item in _items(spec):
        videos, problem = _declared(item, data_dir)
        if problem:
            unclear.append(problem)
        for source, video in videos:
            key = identity.canonical(source, video)
            operations.setdefault(key, {})[f"{source}/{video}"] = None
    return Training({key: tuple(names) for key, names in operations.items()}, tuple(unclear))


def _items(spec: Sequence[str]) -> list[str]:
    out = []
    for item in spec:
        path = Path(item)
        if not path.is_file():
            out.append(item.strip())
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        out += [line.partition("#")[0].strip() for line in lines]
    return [item for item in out if item]


def _declared(item: str, data_dir: str | Path) -> tuple[list[tuple[str, str]], str | None]:
    """(source, video) pairs of one item, and what cannot be told of it."""
    source = re.split(r"[/:.]", item)[0]
    if source not in splits.sources() and not (Path(data_dir) / source).is_dir():
        sources.entry(source)  # raises UnknownNameError with the nearest names
    if "/" in item:
        return [(source, item.partition("/")[2])], None
    rest = item.split(":")[1:]
    if len(rest) > 2 or (rest and rest[-1] not in splits.SPLITS):
        raise ValueError(
            f"'{item}' does not say what a model was trained on; write SOURCE, SOURCE:SPLIT, "
            f"SOURCE:SCHEME:SPLIT (splits: {', '.join(splits.SPLITS)}), SOURCE/VIDEO, or a file "
            "of such lines"
        )
    split = rest[-1] if rest else None
    known = splits.schemes(source)
    if known:
        scheme = rest[0] if len(rest) == 2 else splits.default(source)
        if scheme not in known:
            raise ValueError(f"{item}: {source} has the schemes {', '.join(known)}")
        chosen = [known[scheme]] if split else list(known.values())
        ids = {
            video
            for parts in chosen
            for name, videos in parts.items()
            if split in (None, name)
            for video in videos
        }
        if splits.EVERY not in ids:
            return [(source, video) for video in sorted(ids)], None
    try:
        store = Store.open(data_dir, source)
    except NotPreparedError:
        return [], f"{item}: no table lists its videos and it is not prepared in {data_dir}"
    if split is None:
        return [(source, stored.video.id) for stored in store.videos], None
    scheme = rest[0] if len(rest) == 2 else splits.DEFAULT
    return [(source, stored.video.id) for stored in store.select(split, scheme)], None


def leakage(
    training: Training | None, tested: Mapping[str, Iterable[schema.Video]]
) -> list[Finding]:
    """Operations of the test videos (set -> videos) that were trained on.

    `training` None: nothing is declared. Operations are compared, not names (`db/identity.py`).
    """
    if training is None:
        return [
            Finding(
                "training_undeclared",
                "training data not declared: whether the model has seen test videos is unknown "
                "(--trained_on=SOURCES or a file declares it)",
            )
        ]
    found = []
    for name, videos in tested.items():
        by_key: dict[str, list[str]] = {}
        for video in videos:
            by_key.setdefault(video.canonical, []).append(f"{video.source}/{video.id}")
        shared = sorted(by_key.keys() & training.operations.keys())
        if not shared:
            continue
        trained = sorted({v.partition("/")[0] for key in shared for v in training.operations[key]})
        found.append(
            Finding(
                "leakage",
                f"{name}: trained on {len(shared)} of its {len(by_key)} test operations, in "
                f"{', '.join(trained)}: {_listed(shared)}",
                {"shared": len(shared), "tested": len(by_key)},
                tuple(shared),
            )
        )
    found += [Finding("training_undeclared", text) for text in training.unclear]
    seen = {name.partition("/")[0] for v in training.operations.values() for name in v}
    asked = {video.source for videos in tested.values() for video in videos}
    alone = set(identity.suspected(seen)) | set(identity.suspected(asked))
    found += [
        Finding("suspected_overlap", text)
        for text in identity.suspected(seen | asked)
        if text not in alone
    ]
    return found


# ---- how a checkpoint was chosen -----------------------------------------------------------------

SELECTION = "selection"  # key of a checkpoint's meta: {"split": .., "metric": ..}
TESTED = "tested.jsonl"  # of a run's folder: which steps have been scored on test videos
_STEP = re.compile(r"@(\d+)$")


def selection_of_run(run_dir: Path, step: int, meta: Mapping[str, Any], last: int) -> list[Finding]:
    """How the checkpoint of a local run was chosen.

    The last step of a run is chosen by no score. For any other one the checkpoint's meta may say
    what it was chosen by. Scores of other steps on test videos, in the run's folder or in its list
    of them (`record`), mean that they were there to choose by, whichever step it is.

    Args:
      last: the number of steps that the run was to have.
    """
    chosen = meta.get(SELECTION)
    if chosen:
        return declared_selection(str(chosen.get("split", "")), f"step {step}")
    seen = {other for path in _score_files(run_dir) for other in _steps_on_test(path)}
    others = sorted((seen | _recorded(run_dir)) - {step})
    if others:
        steps = f"step{'s' if len(others) > 1 else ''} {', '.join(map(str, others))}"
        return [
            Finding(
                "selected_on_test",
                f"step {step}: test scores of {steps} of the same run have been seen; choosing "
                "among them is choosing on test",
                {"steps": len(others) + 1},
                tuple(map(str, others)),
            )
        ]
    if step == last:
        return []
    return [
        Finding(
            "selection_undeclared",
            f"step {step} of {last}: not the last checkpoint, and nothing says what it was "
            "chosen by",
        )
    ]


def record(run_dir: Path, step: int, on: str) -> None:
    """Notes that a step's score on test videos has been seen, so that removing it hides nothing."""
    line = json.dumps({"step": step, "on": on}) + "\n"
    path = run_dir / TESTED
    if not path.exists() or line not in path.read_text(encoding="utf-8").splitlines(keepends=True):
        with open(path, "a", encoding="utf-8", newline="\n") as file:
            file.write(line)


def _recorded(run_dir: Path) -> set[int]:
    path = run_dir / TESTED
    if not path.exists():
        return set()
    return {json.loads(line)["step"] for line in path.read_text(encoding="utf-8").splitlines()}


def declared_selection(split: str, what: str = "the model") -> list[Finding]:
    """What follows from the split that a checkpoint was chosen on ("" = not said)."""
    if split == "test":
        return [
            Finding(
                "selected_on_test",
                f"{what} was selected on the test split: its score is the best of several tries "
                "and no estimate of what new videos would give",
            )
        ]
    if split in ("train", "val", "none"):
        return []
    if split:
        raise ValueError(f"a checkpoint is selected on train, val, test or none, not '{split}'")
    return [
        Finding(
            "selection_undeclared",
            f"how {what} was selected is not declared (--selected_on=val, say)",
        )
    ]


def _score_files(run_dir: Path) -> list[Path]:
    return sorted([*run_dir.glob("eval-*/scores.json"), *run_dir.glob("bench-*/benchmark.json")])


def _steps_on_test(path: Path) -> set[int]:
    """Steps of the run whose scores on a test split a file holds; of any split of a benchmark."""
    values = json.loads(path.read_text(encoding="utf-8"))
    if values.get("split", "test") not in ("test", "all"):
        return set()
    found = (_STEP.search(model) for model in values["models"])
    return {int(match[1]) for match in found if match}


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
