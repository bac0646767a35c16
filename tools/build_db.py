"""Build SurgΣ-DB from prepared sources: conversations of every task, beside the media.

  surgzoo build_db --sources=synthsurg,cholect50 --tasks=all --data_dir=data
  surgzoo build_db --sources=synthsurg.small --tasks=phase_recognition --scheme=default
  surgzoo build_db --sources=cholec80,cholect50 --tasks=all --scheme='*=leak_free'

Writes DATA_DIR/surg_sigma_db/TASK/VERSION; read it with surgzoo.load(TASK, split="train").
Finished tasks are left as they are, and a build that was interrupted goes on where it was.
Conversations that fail a quality gate go to quarantine.jsonl, each with the reason.

  surgzoo build_db --sources=synthsurg.small --tasks=all --check

then reads every answer back from its text, scores the truth and the shuffled truth, and fails when
a task is not sound (docs/database.md).
"""

from __future__ import annotations

import dataclasses

from absl import flags

from surgzoo.db.conversation_store import ConversationStore

_SOURCES = flags.DEFINE_list("sources", [], "prepared sources, NAME or NAME.CONFIG, by comma")
_TASKS = flags.DEFINE_list("tasks", ["all"], "registered tasks, or all (surgzoo list tasks)")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "where prepared sources are, and the result")
_SCHEME = flags.DEFINE_list(
    "scheme", [], "split scheme: NAME for every source, or SOURCE=NAME; *=leak_free splits anew"
)
_SEED = flags.DEFINE_integer("seed", 0, "draws phrasings and protocols")
_PHRASINGS = flags.DEFINE_integer("phrasings", None, "only the first so many of each task")
_PROTOCOL = flags.DEFINE_enum(
    "protocol", "mixed", ["open", "choice", "dialogue", "mixed"], "how questions are put"
)
_THINKING = flags.DEFINE_bool("thinking", True, "with reasoning traces")
_IMAGES = flags.DEFINE_enum(
    "check_images", "decode", ["decode", "header", "off"], "how each frame is checked"
)
_QUARANTINED = flags.DEFINE_float("max_quarantined", 0.01, "largest share of a task held back")
_WORKERS = flags.DEFINE_integer("workers", 0, "processes; 0 = one a core")
_CHECK = flags.DEFINE_bool("check", False, "read all answers back, score truth and shuffled truth")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "build again what is built")


def main(argv: list[str]) -> None:
    from surgzoo.datasets.surg_sigma_db import plan as plan_lib
    from surgzoo.datasets.surg_sigma_db.surg_sigma_db import build

    wording = dataclasses.replace(
        plan_lib.WORDING,
        seed=_SEED.value,
        phrasings=_PHRASINGS.value,
        protocol=_PROTOCOL.value,
        thinking=_THINKING.value,
    )
    limits = dataclasses.replace(
        plan_lib.LIMITS, images=_IMAGES.value, quarantined=_QUARANTINED.value
    )
    plan = plan_lib.make(
        _DATA_DIR.value,
        _SOURCES.value,
        _TASKS.value,
        schemes=schemes(_SCHEME.value),
        wording=wording,
        limits=limits,
    )
    stores = build(plan, workers=_WORKERS.value, overwrite=_OVERWRITE.value)
    print(summary(stores))
    for source, count in plan.left_out.items():
        if count:
            print(f"{source}: {count} videos are in no split of the scheme and were left out")
    if _CHECK.value:
        report_check(_DATA_DIR.value, [name for name, store in stores.items() if store is not None])


def report_check(data_dir: str, names: list[str]) -> None:
    """Prints what `evaluate/check.py` finds. Raises ValueError when a task is not sound."""
    from surgzoo.evaluate import check

    found = check.check(data_dir, names)
    print(f"\n{check.table(found)}")
    if bad := [item.task for item in found if item.problem]:
        raise ValueError(f"not sound: {', '.join(bad)}; the verdicts above say why")


def schemes(items: list[str]) -> dict[str, str]:
    """["rdv", "cholec80=official"] -> {"*": "rdv", "cholec80": "official"}."""
    pairs = [item.split("=", 1) if "=" in item else ("*", item) for item in items]
    found = {source: scheme for source, scheme in pairs}
    if len(found) < len(pairs):
        raise ValueError(f"--scheme names a source twice: {','.join(items)}")
    return found


def summary(stores: dict[str, ConversationStore | None]) -> str:
    """Tasks x splits, with what was held back."""
    built = {name: store for name, store in stores.items() if store is not None}
    splits = sorted({s for store in built.values() for s in store.counts()}, key=_order)
    rows = [("task", *splits, "quarantined")]
    for name, store in built.items():
        counts = store.counts()
        held = sum(store.meta["quarantined"].values())
        rows.append((name, *(f"{counts.get(split, 0):,}" for split in splits), f"{held:,}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    total = sum(len(store) for store in built.values())
    lines.append(f"{total:,} conversations of {len(built)} task{'s' * (len(built) != 1)}")
    empty = [name for name, store in stores.items() if store is None]
    if empty:
        lines.append(f"no source has labels for: {', '.join(empty)}")
    return "\n".join(lines)


def _order(split: str) -> tuple[int, str]:
    known = ("train", "val", "test")
    return (known.index(split) if split in known else len(known)), split
