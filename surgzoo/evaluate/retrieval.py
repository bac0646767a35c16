"""Retrieval: does a picture find its caption among all, and a caption its picture?

Frames of one operation are often described in the same words. Every distinct caption stands once,
so a picture looks for its own among them, and a caption is found when any picture that it describes
is. What chance gives is computed for just these pictures and captions.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from surgzoo.data.media import Stores
from surgzoo.data.rows.pairs import cut_share, form, picture
from surgzoo.evaluate import findings
from surgzoo.evaluate.predictors.embedding import Embedder
from surgzoo.evaluate.predictors.local import restore
from surgzoo.evaluate.predictors.questions import questions
from surgzoo.evaluate.run import load_experiment, pitfalls
from surgzoo.metrics import retrieval as metric

DEPTHS = (1, 5, 10)
_BLOCK = 1024  # queries that are ranked at a time


@dataclasses.dataclass(frozen=True)
class Retrieval:
    """What retrieval.json holds.

    `image_to_text` and `text_to_image` have recall@1, recall@5, recall@10 as fractions and the
    median rank, `chance` the same of a random order by direction. `cut_texts` is the share of
    captions of which the model reads the beginning alone, `broken` names pictures that could not be
    read, which are left out.
    """

    model: str
    sources: tuple[str, ...]
    split: str
    task: str
    pictures: int
    texts: int
    cut_texts: float
    image_to_text: dict[str, float]
    text_to_image: dict[str, float]
    chance: dict[str, dict[str, float]]
    broken: tuple[str, ...] = ()
    findings: tuple[findings.Finding, ...] = ()

    def save(self, path: str | Path) -> None:
        """Writes retrieval.json."""
        text = json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False, allow_nan=False)
        Path(path).write_text(text + "\n", encoding="utf-8")

    def table(self) -> str:
        """Both directions with chance below, in percent."""
        head = (
            f"{self.model}, {self.task} of {', '.join(self.sources)}, {self.split}: "
            f"{self.pictures} pictures, {self.texts} different captions"
        )
        names = "".join(f"{f'R@{k}':>9}" for k in DEPTHS)
        lines = [head, f"{'':<16}{names}  median rank"]
        for name in ("image_to_text", "text_to_image"):
            rows = (name.replace("_", " "), getattr(self, name)), ("  chance", self.chance[name])
            for title, values in rows:
                shares = "".join(f"{100 * values[f'recall@{k}']:>7.2f} %" for k in DEPTHS)
                lines.append(f"{title:<16}{shares}{values['median_rank']:>13g}")
        if self.cut_texts:
            lines.append(f"{self.cut_texts:.1%} of the captions are longer than the model reads")
        if self.broken:
            lines.append(f"{len(self.broken)} pictures could not be read, see retrieval.json")
        return "\n".join(lines + [f"{item.kind}: {item.text}" for item in self.findings])


def retrieve(
    run_dir: str | Path,
    *,
    data_dir: str | None = None,
    sources: Sequence[str] = (),
    split: str | None = None,
    task: str = "image_captioning",
    step: int | None = None,
    limit: int | None = None,
    batch_size: int | None = None,
) -> Retrieval:
    """Ranks the captions of a split with one checkpoint of a run, and writes
    `<run_dir>/eval-<split>/retrieval.json`.

    Sources, split and batch size are by default those of the run's config; `limit` bounds the
    captions of a source, evenly spaced. Raises ValueError for a model that does not compare
    pictures with texts, a task without captions, fewer than two different ones, and as `evaluate`
    does.
    """
    run_dir = Path(run_dir)
    experiment = load_experiment(run_dir)
    settings = dataclasses.replace(
        experiment.eval,
        sources=tuple(sources) or experiment.eval.sources,
        split=split or experiment.eval.split,
        batch_size=batch_size or experiment.eval.batch_size,
    )
    if form(task) != "text":
        raise ValueError(f"the answers of {task} are no captions: ask them with surgzoo evaluate")
    stores = Stores(data_dir or experiment.data.data_dir)
    found = restore(run_dir, experiment, step)
    if found.model.config.reads != "pairs":
        raise ValueError(
            f"{found.name} reads {found.model.config.reads}; retrieval is for models that compare "
            "pictures with texts, such as clip, siglip2 and surgvlp"
        )
    wording = dataclasses.replace(experiment.data.wording, protocol="open", thinking=False)
    items = questions(
        stores,
        settings.sources,
        (task,),
        settings.split,
        scheme=settings.scheme,
        wording=wording,
        limit=limit,
    )
    embedder = Embedder(found, stores, settings.batch_size)
    seen = list(embedder.pictures([picture(item) for item in items]))
    broken = {n: error for batch in seen for n, error in batch.errors.items()}
    kept = [item for n, item in enumerate(items) if n not in broken]
    numbers: dict[str, int] = {}
    own = np.array([numbers.setdefault(item.target, len(numbers)) for item in kept])
    if len(numbers) < 2:
        raise ValueError(f"{len(numbers)} different captions in the {settings.split} split")
    images = np.concatenate([batch.embeddings for batch in seen])
    texts = embedder.texts(list(numbers), truncate=True)
    result = Retrieval(
        model=found.name,
        sources=settings.sources,
        split=settings.split,
        task=task,
        pictures=len(kept),
        texts=len(numbers),
        cut_texts=round(cut_share(found.processor, list(numbers)), 4),
        **ranked(images, texts, own),
        broken=tuple(f"{items[n].id}: {error}" for n, error in broken.items()),
        findings=pitfalls(run_dir, experiment, found, settings, stores),
    )
    if settings.split in ("test", "all"):
        findings.record(run_dir, found.step, settings.split)
    folder = run_dir / f"eval-{settings.split}"
    folder.mkdir(exist_ok=True)
    result.save(folder / "retrieval.json")
    return result


def ranked(
    images: Float[np.ndarray, "N E"], texts: Float[np.ndarray, "M E"], own: Int[np.ndarray, " N"]
) -> dict[str, Any]:
    """Both directions and chance, of embeddings of length one; `own` is the text of each image.

    By cosine, whose order a model's scale and bias do not change.
    """
    forth = _ranks(images, texts, lambda rows: own[rows, None] == np.arange(len(texts)))
    back = _ranks(texts, images, lambda rows: rows[:, None] == own)
    of_images, of_texts = np.ones(len(images), int), np.bincount(own, minlength=len(texts))
    return {
        "image_to_text": _measured(forth),
        "text_to_image": _measured(back),
        "chance": {
            "image_to_text": _by_chance(of_images, len(texts)),
            "text_to_image": _by_chance(of_texts, len(images)),
        },
    }


def _ranks(queries: np.ndarray, candidates: np.ndarray, right: Any) -> np.ndarray:
    """Block by block: all against all may not fit into memory."""
    out = []
    for start in range(0, len(queries), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(queries)))
        out.append(metric.first_right(queries[rows] @ candidates.T, right(rows)))
    return np.concatenate(out)


def _measured(ranks: np.ndarray) -> dict[str, float]:
    found = {f"recall@{k}": metric.recall(ranks, k) for k in DEPTHS}
    return found | {"median_rank": float(np.median(ranks))}


def _by_chance(right: np.ndarray, candidates: int) -> dict[str, float]:
    found = {f"recall@{k}": metric.chance_recall(right, candidates, k) for k in DEPTHS}
    return found | {"median_rank": metric.chance_rank(right, candidates)}
