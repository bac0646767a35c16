"""List what is registered, plug-ins included.

  surgzoo list models
  surgzoo list models --pattern='clip-*' --cost     memory and operations of one input, computed
  surgzoo list sources --json
  surgzoo list benchmarks --data_dir=data       and what of them is prepared there

Without a kind it lists models, tasks, sources, benchmarks and the extractors of FVD. Licences are
those of the code, the weights or the data, as their owners publish them.
"""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Sequence

from absl import flags

from surgzoo.core.registry import Registry
from surgzoo.db.source_cards import LAYOUTS, shown_by
from surgzoo.db.sources import sources
from surgzoo.evaluate.benchmarks import benchmarks
from surgzoo.metrics.distribution import extractors
from surgzoo.models import models
from surgzoo.models.card import in_words
from surgzoo.models.listing import columns, list_models
from surgzoo.tasks import tasks

_JSON = flags.DEFINE_bool("json", False, "print JSON instead of a table")
_PATTERN = flags.DEFINE_string("pattern", "*", "shell-style wildcard over the names")
_COST = flags.DEFINE_bool("cost", False, "of models: what one input costs, in place of their cards")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "where benchmarks look for prepared sources")

KINDS: dict[str, Registry] = {
    "models": models,
    "tasks": tasks,
    "sources": sources,
    "benchmarks": benchmarks,
    "extractors": extractors,
}


def main(argv: list[str]) -> None:
    kinds = argv[1:] or list(KINDS)
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"cannot list {', '.join(unknown)}; choose from {', '.join(KINDS)}")
    if _COST.value and kinds != ["models"]:
        raise ValueError("--cost goes with models: surgzoo list models --cost")
    listing = {kind: _rows(KINDS[kind], _PATTERN.value) for kind in kinds}
    if _JSON.value:
        print(json.dumps(listing[kinds[0]] if len(kinds) == 1 else listing, indent=2))
        return
    for kind, rows in listing.items():
        print(f"{kind} ({len(rows)})")
        if kind == "models":
            print(_indented(_costs(rows) if _COST.value else str(list_models(_PATTERN.value))))
            continue
        if kind == "sources":
            print(_table(rows))
            continue
        if kind == "benchmarks":
            print(_benchmarks(rows))
            continue
        width = max((len(row["name"]) for row in rows), default=0)
        for row in rows:
            summary = textwrap.shorten(row["summary"], 90)
            print(f"  {row['name']:<{width}}  {summary}  [{row['licence']}]")


def _table(rows: list[dict]) -> str:
    """Sources as columns; `--json` has the rest (homepage, citation, evidence, procedures)."""
    cells = {
        "source": lambda row: row["name"],
        "specialty": lambda row: ", ".join(row["specialties"]) or "any",
        "size": lambda row: textwrap.shorten(row.get("size", ""), 44, placeholder="…"),
        "licence": lambda row: textwrap.shorten(row["licence"], 22, placeholder="…"),
        "layout": lambda row: row.get("layout", "?"),
        "tasks": lambda row: _short(row.get("tasks", ())),
    }
    lines = [list(cells), *([read(row) for read in cells.values()] for row in rows)]
    known = "\n".join(f"  layout {name}: {text}" for name, text in LAYOUTS.items())
    return f"{_indented(columns(lines))}\n{known}"


def _benchmarks(rows: list[dict]) -> str:
    """Benchmarks as columns: what of them can be asked from the prepared data."""
    lines = [["benchmark", "sets", "tasks", f"prepared in {_DATA_DIR.value}", "about"]]
    for row in rows:
        sets = row["sets"]
        here = [name for name, ready in row["prepared"].items() if ready]
        shown = "all" if sets and len(here) == len(sets) else f"{len(here)} of {len(sets)}"
        if here and shown != "all":
            shown += f" ({textwrap.shorten(', '.join(here), 40, placeholder='…')})"
        tasks_shown = textwrap.shorten(_short(row["tasks"]) if sets else "–", 44, placeholder="…")
        about = textwrap.shorten(row["summary"], 76, placeholder="…")
        lines.append([row["name"], str(len(sets)), tasks_shown, shown, about])
    return _indented(columns(lines))


def _costs(rows: list[dict]) -> str:
    """Parameters, and what one input takes beside them."""
    lines = [["variant", "parameters", "GB", "GFLOP an input", "MB beside", "input"]]
    for row in rows:
        lines.append(
            [
                row["name"],
                in_words(row["parameter_count"]),
                f"{row['parameter_bytes'] / 1e9:.3g}",
                _rounded(row["flops"] / 1e9),
                _rounded(row["activation_bytes"] / 1e6),
                textwrap.shorten(row.get("input", "?"), 60, placeholder="…"),
            ]
        )
    return (
        f"{columns(lines)}\n"
        "GB: parameters in float32. GFLOP: matrix products and convolutions, two operations for a\n"
        "multiplication and an addition. MB beside: the most that is held at once, by the trace."
    )


def _rounded(number: float) -> str:
    return f"{number:,.{2 if number < 10 else 0}f}"


def _cost(name: str) -> dict:
    """Traces the model; nothing is allocated."""
    from surgzoo.models.build import create_model
    from surgzoo.train.cost import cost

    return dataclasses.asdict(cost(create_model(name)))


def _indented(table: str) -> str:
    return textwrap.indent(table, "  ")


def _short(tasks: Sequence[str]) -> str:
    """Names of tasks for a table: "phase" is recognized, the others say what they do."""
    return ", ".join(name.removesuffix("_recognition").replace("_", " ") for name in tasks) or "any"


def _rows(registry: Registry, pattern: str) -> list[dict]:
    rows = []
    for name in registry.names(pattern):
        entry = registry.entry(name)
        card = entry.card
        rows.append(
            {
                "name": name,
                "summary": card.summary,
                "licence": card.licence,
                "source": card.source,
                "origin": entry.origin,
                **card.details,
                **(shown_by(name) if registry is sources else {}),
                **(_sets(name) if registry is benchmarks else {}),
                **(_cost(name) if registry is models and _COST.value else {}),
            }
        )
    return rows


def _sets(name: str) -> dict:
    """The sets of a benchmark on the prepared data, its tasks, and which sets are ready."""
    found = benchmarks.get(name).sets_of(_DATA_DIR.value)
    return {
        "sets": [item.name for item in found],
        "tasks": sorted({item.build().name for item in found}),
        "prepared": {item.name: item.lacking(_DATA_DIR.value) is None for item in found},
    }
