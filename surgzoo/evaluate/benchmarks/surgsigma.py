"""SurgΣ-DB's 18 tasks on every source that is prepared: which sets there are depends on the data.

No benchmark of all 18 tasks is published, so everything but the tasks is this project's choice.
"""

from __future__ import annotations

from pathlib import Path

from surgzoo.db.sources import sources
from surgzoo.db.store import Store, newest
from surgzoo.evaluate.benchmarks.definition import Benchmark, BenchmarkSet
from surgzoo.tasks import tasks

# The table's 18; visual question answering is an extension.
TASKS = tuple(name for name in tasks.names() if tasks.entry(name).origin == "surgzoo")
_FRACTIONS = tuple(name for name in TASKS if tasks.get(name).headline not in tasks.get(name).scales)


def prepared(data_dir: str | Path) -> tuple[BenchmarkSet, ...]:
    """A set for each prepared source and each task that its card promises.

    The usual config of a source, its default scheme, its test split, or the validation split where
    it has no test. A source without any split is left out.
    """
    found = []
    for name in sources.names():
        configs = sorted(p.name for p in (Path(data_dir) / name).glob("*") if newest(p))
        if not configs:
            continue
        store = Store.open(data_dir, name, "fps1" if "fps1" in configs else configs[0])
        splits = {v.video.splits.get("default") for v in store.videos}
        split = next((s for s in ("test", "val") if s in splits), None)
        if split is None:
            continue
        promised = sources.entry(name).card.details.get("tasks") or TASKS
        found += [
            BenchmarkSet(
                name=f"{task}/{name}",
                source=f"{name}.{store.config}",
                task=task,
                split=split,
                facts=f"default split scheme of {name}",
            )
            for task in TASKS
            if task in promised
        ]
    return tuple(found)


SURGSIGMA_18 = Benchmark(
    name="surgsigma_18",
    sets=prepared,
    combine="tasks",
    total="mean of tasks",
    parts=_FRACTIONS,
    facts="The 18 tasks: arXiv 2603.16822, table 1.",
    ours=(
        "Sources, splits, headline metrics and the sum: the mean over tasks of the mean over "
        "sources of the headline; a headline in dB is left out of it. Whole only when all tasks "
        "have a score."
    ),
)
