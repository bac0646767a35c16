"""Running a benchmark: what is there, the questions for any model, and the score of its answers."""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import surgzoo
from surgzoo.db import schema
from surgzoo.db.schema import Conversation
from surgzoo.evaluate import findings
from surgzoo.evaluate.baselines import score_baselines
from surgzoo.evaluate.benchmarks import benchmarks, questions
from surgzoo.evaluate.benchmarks.definition import Benchmark, BenchmarkSet, Protocol
from surgzoo.evaluate.benchmarks.result import BenchmarkResult, SetResult, totals
from surgzoo.evaluate.findings import Finding, Training
from surgzoo.evaluate.predictions import Prediction, PredictionsError, read_predictions
from surgzoo.evaluate.score import score_predictions
from surgzoo.evaluate.truth import Truth, place

EVERY_SET = ()


@dataclasses.dataclass(frozen=True)
class Asked:
    """A benchmark on prepared data: the sets that can be asked, and why others cannot.

    Attributes:
      truths: name of the set -> its questions with the true answers.
      lacking: name of the set -> what is missing and how to get it.
    """

    benchmark: Benchmark
    protocol: Protocol
    data_dir: Path
    sets: tuple[BenchmarkSet, ...]
    truths: Mapping[str, Truth]
    lacking: Mapping[str, str]
    limit: int | None = None

    def conversations(self) -> list[Conversation]:
        """All questions, set by set; one that several sets ask stands once."""
        found: dict[str, Conversation] = {}
        for truth in self.truths.values():
            for id, conversation in truth.conversations.items():
                other = found.setdefault(id, conversation)
                if other.turns != conversation.turns:
                    raise ValueError(
                        f"{self.benchmark.name}: two sets ask {id} in different words; give one "
                        "of their tasks another name"
                    )
        return list(found.values())


def ask(
    name: str,
    data_dir: str | Path,
    *,
    protocol: Protocol = "open",
    sets: Sequence[str] = EVERY_SET,
    limit: int | None = None,
) -> Asked:
    """The questions of a benchmark, as far as its sources are prepared in `data_dir`.

    `sets` names those to ask, by default all; `limit` draws at most so many questions of each.
    Raises UnknownNameError for the benchmark, ValueError for a set that it has not.
    """
    benchmark = benchmarks.get(name)
    known = benchmark.sets_of(data_dir)
    strangers = sorted(set(sets) - {item.name for item in known})
    if strangers:
        raise ValueError(
            f"{name} has no set {', '.join(strangers)}; it has "
            f"{', '.join(item.name for item in known) or 'none on this data'}"
        )
    lacking: dict[str, str] = {}
    for item in known:
        unasked = sets and item.name not in sets
        why = "not asked for (--sets)" if unasked else item.lacking(data_dir)
        if why:
            lacking[item.name] = why
    here = [item for item in known if item.name not in lacking]
    truths = questions.load(here, data_dir, protocol, limit=limit)
    for item in here:
        if not truths[item.name].conversations:
            del truths[item.name]
            task = item.task.rpartition(":")[2]
            lacking[item.name] = f"{item.source} holds no label for {task} in {item.split}"
    return Asked(benchmark, protocol, Path(data_dir), known, truths, lacking, limit)


def write_questions(asked: Asked, path: str | Path, images: str | Path | None = None) -> int:
    """Writes the questions file (JSON lines), returns the number of questions.

    With `images`, the frames that they show are written there as JPEG and named in each line.
    """
    path, count = Path(path), 0
    path.parent.mkdir(parents=True, exist_ok=True)
    seen: set[str] = set()
    asked.conversations()  # raises where one id has two wordings
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for item in asked.sets:
            truth = asked.truths.get(item.name)
            if truth is None:
                continue
            new = [c for c in truth.conversations.values() if c.id not in seen]
            seen.update(c.id for c in new)
            lines: Iterable[dict] = (questions.line(item, truth, c) for c in new)
            if images is not None:
                lines = questions.with_images(iter(lines), truth, Path(images))
            for values in lines:
                file.write(json.dumps(values, ensure_ascii=False) + "\n")
                count += 1
    return count


def score_file(
    asked: Asked,
    predictions: str | Path,
    *,
    training: Training | None = None,
    selected_on: str = "",
    baselines: bool = True,
) -> BenchmarkResult:
    """Scores a predictions file of any model. Raises PredictionsError.

    Args:
      training: what the model was trained on; None = not declared.
      selected_on: the split that its checkpoint was chosen on, "" = not declared.
    """
    items = list(read_predictions(predictions))
    if not items:
        raise PredictionsError(f"{predictions} holds no prediction")
    chosen = findings.declared_selection(selected_on)
    return score(
        asked,
        items,
        training=training,
        selection=chosen,
        baselines=baselines,
        folder=Path(predictions).parent,
    )


def score(
    asked: Asked,
    predictions: Sequence[Prediction],
    *,
    training: Training | None,
    selection: Sequence[Finding],
    baselines: bool = True,
    folder: str | Path | None = None,
) -> BenchmarkResult:
    """As `score_file`, for predictions in memory. `folder` is where paths in them begin.

    A question without an answer counts as wrong in a set that has any; a set without any answer is
    not scored.
    """
    by_id = {item.id: item for item in predictions}
    results = [_score_set(asked, item, by_id, folder) for item in asked.sets]
    if baselines:
        results = _with_baselines(asked, results)
    scored = {result.name for result in results if result.status == "scored"}
    tested = {name: _videos(truth) for name, truth in asked.truths.items() if name in scored}
    found = [
        *findings.leakage(training, tested),
        *selection,
        *_coverage(asked, results),
        *_strays(asked, predictions),
        *_decoding(predictions),
    ]
    benchmark = asked.benchmark
    return BenchmarkResult(
        benchmark=benchmark.name,
        protocol=asked.protocol,
        models=tuple(sorted({item.model for item in predictions if item.model})),
        sets=tuple(results),
        totals=totals(benchmark.combine, benchmark.total, results, benchmark.parts),
        findings=tuple(found),
        facts=benchmark.facts,
        ours=benchmark.ours,
        surgzoo=surgzoo.__version__,
    )


def describe(asked: Asked) -> str:
    """What can be asked and what cannot, with the way out, and how each set's question reads."""
    lines = [f"{asked.benchmark.name} ({asked.protocol})", ""]
    for item in asked.sets:
        truth = asked.truths.get(item.name)
        if truth is None:
            lines.append(f"- {item.name}: missing. {asked.lacking[item.name]}")
            continue
        task = item.build()
        lines.append(
            f"- {item.name}: {len(truth.conversations):,} questions on "
            f"{len({v.canonical for v in _videos(truth)})} operations of {item.source}, "
            f"{item.split} ({item.scheme}), {item.sampling}; headline {task.headline}"
        )
        first = next(iter(truth.conversations.values()))
        whose = f" [{item.prompt.wording}]" if item.prompt else " [the task's phrasings; ours]"
        lines += [f"    {line}" for line in (first.prompt + whose).splitlines()]
    if not asked.sets:
        lines.append("no set: nothing is prepared (`surgzoo prepare`)")
    for text in (asked.benchmark.facts, asked.benchmark.ours):
        lines += ["", text] if text else []
    return "\n".join(lines)


# ---- one set -------------------------------------------------------------------------------------


def _score_set(
    asked: Asked,
    item: BenchmarkSet,
    by_id: Mapping[str, Prediction],
    folder: str | Path | None,
) -> SetResult:
    task = item.build()
    about = SetResult(
        name=item.name,
        source=item.source,
        task=task.name,
        split=item.split,
        scheme=item.scheme,
        sampling=item.sampling,
        metric=task.headline,
        status="not prepared",
        why=asked.lacking.get(item.name, ""),
        unit=task.scales.get(task.headline),
        shown=item.shown,
        wording=item.prompt.wording if item.prompt else "the task's phrasings; ours",
        facts=item.facts,
        ours=item.ours,
    )
    truth = asked.truths.get(item.name)
    if truth is None:
        return about
    mine = [by_id[id] for id in truth.conversations if id in by_id]
    about = dataclasses.replace(
        about,
        asked=len(truth.conversations),
        operations=len({video.canonical for video in _videos(truth)}),
        prompt=next(iter(truth.conversations.values())).prompt,
    )
    if not mine:
        why = f"no prediction answers one of its {about.asked:,} questions"
        return dataclasses.replace(about, status="not answered", why=why)
    row = score_predictions(mine, truth, missing="wrong", folder=folder).row(task.name)
    return dataclasses.replace(
        about,
        status="scored",
        why="",
        value=row.value,
        interval=row.interval,
        metrics=row.metrics,
        answered=row.predicted,
        unparsed=row.unparsed,
    )


def _with_baselines(asked: Asked, results: Sequence[SetResult]) -> list[SetResult]:
    """Adds the trivial baselines to scored sets; a training split is read once for all of them."""
    groups: dict[tuple, list[str]] = {}
    tasks = {result.name: result.task for result in results}
    for item in asked.sets:
        if any(r.name == item.name and r.status == "scored" for r in results):
            key = (item.source, item.split, item.scheme, item.train)
            while tasks[item.name] in [tasks[name] for name in groups.get(key, ())]:
                key = (*key, item.name)  # two sets of one task
            groups.setdefault(key, []).append(item.name)
    found: dict[str, dict[str, float | None]] = {}
    for (*_, train), names in ((key[:4], names) for key, names in groups.items()):
        truths = [asked.truths[name] for name in names]
        together = dataclasses.replace(
            truths[0],
            conversations={id: c for truth in truths for id, c in truth.conversations.items()},
            tasks={name: task for truth in truths for name, task in truth.tasks.items()},
        )
        scores = score_baselines(together, asked.data_dir, train_split=train, missing="wrong")
        for name in names:
            rivals = scores[tasks[name]]
            found[name] = {rule: s.row(tasks[name]).value for rule, s in rivals.items()}
    return [dataclasses.replace(r, baselines=found.get(r.name, {})) for r in results]


def _videos(truth: Truth) -> list[schema.Video]:
    """The videos that are asked about."""
    places = dict.fromkeys(place(id) for id in truth.conversations)
    return [truth.videos[name].video for name in places]


# ---- what does not fit ---------------------------------------------------------------------------


def _coverage(asked: Asked, results: Sequence[SetResult]) -> list[Finding]:
    found = []
    lacking = tuple(result.name for result in results if result.value is None)
    if lacking:
        found.append(
            Finding(
                "partial",
                f"{len(lacking)} of {len(results)} sets have no score: {', '.join(lacking)}",
                {"lacking": len(lacking), "sets": len(results)},
                lacking,
            )
        )
    if asked.limit is not None and any(result.asked >= asked.limit for result in results):
        found.append(
            Finding(
                "sampled",
                f"at most {asked.limit} questions a set were asked (--limit): not the benchmark's "
                "number",
                {"limit": asked.limit},
            )
        )
    for result in results:
        gone = result.asked - result.answered
        if result.status == "scored" and gone:
            found.append(
                Finding(
                    "unanswered",
                    f"{result.name}: {gone:,} of {result.asked:,} questions have no prediction "
                    "and count as wrong",
                    {"missing": gone, "asked": result.asked},
                )
            )
    return found


def _decoding(predictions: Sequence[Prediction]) -> list[Finding]:
    """How answers were decoded, where the file says so and it was not greedily."""
    ways = collections.Counter(item.decoding for item in predictions if item.decoding)
    del ways["greedy"]
    return [
        Finding(
            "decoding", f"{count:,} answers were decoded in this way: {way}", {"answers": count}
        )
        for way, count in sorted(ways.items())
    ]


def _strays(asked: Asked, predictions: Sequence[Prediction]) -> list[Finding]:
    """Predictions that answer no question, by why."""
    known = {id for truth in asked.truths.values() for id in truth.conversations}
    configs = collections.defaultdict(set)
    for item in asked.sets:
        source, _, config = item.source.partition(".")
        configs[source].add(config)
    others = {p for truth in asked.truths.values() for p in truth.others}
    reasons: dict[str, list[str]] = collections.defaultdict(list)
    for prediction in predictions:
        if prediction.id in known:
            continue
        source, config, _ = questions.of_source(prediction.id)
        if source in configs and config not in configs[source]:
            reasons["frame_rate"].append(prediction.id)
        elif place(prediction.id) in others:
            reasons["wrong_split"].append(prediction.id)
        else:
            reasons["unknown"].append(prediction.id)
    texts = {
        "frame_rate": "predictions are on another frame rate (config) of a source than is asked",
        "wrong_split": "predictions are on videos outside the asked split",
        "unknown": "predictions answer no question of this benchmark (frames that it does not "
        "sample, another task, or another preparation)",
    }
    return [
        Finding(
            kind,
            f"{len(ids):,} {texts[kind]}, first {ids[0]}; they were left out",
            {"predictions": len(ids)},
            tuple(ids[:3]),
        )
        for kind, ids in sorted(reasons.items())
    ]
