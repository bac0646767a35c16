"""What `surgzoo bench` makes of the files that programs wrote: a check, and one table.

An entry says what became of a program: {"program", "status": ran | not run | failed}, with "reason"
(and "log", the last lines) or "seconds" and "result" (what the program wrote).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from surgzoo.evaluate.report.markdown import table

SIDES = ("ours", "peer")
MARKS = {True: "yes", False: "MISSED", None: ""}


def check_rows(result: dict[str, Any]) -> None:
    """Raises ValueError when a program's file is not as bench/rows.py says."""
    rows = result.get("rows")
    if not isinstance(rows, list) or not rows:
        raise ValueError("it wrote no rows")
    for row in rows:
        lacks = {"row", "ours", "peer", "unit", "ratio", "must", "met"} - set(row)
        if lacks:
            raise ValueError(f"row {row.get('row')} lacks {', '.join(sorted(lacks))}")
        for key in ("ours", "peer", "ratio"):
            if not isinstance(row[key], int | float | None):
                raise ValueError(f"row {row['row']}: {key} is no number: {row[key]!r}")
        for key in ("must", "aim"):
            if not isinstance(row.get(key), str | None):
                raise ValueError(f"row {row['row']}: {key} is no text: {row[key]!r}")
        if row["met"] not in (True, False, None):
            raise ValueError(f"row {row['row']}: met is true, false or null, not {row['met']!r}")


def all_rows(done: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of all programs, each with the program's name."""
    return [
        row | {"program": entry["program"]}
        for entry in done
        for row in entry.get("result", {}).get("rows", [])
    ]


def results(done: Sequence[dict[str, Any]]) -> str:
    """All rows as one table, and below it what did not run."""
    lines = []
    for row in all_rows(done):
        unit = f" {row['unit']}" if row["unit"] else ""
        sides = [number(row[key]) + (unit if row[key] is not None else "") for key in SIDES]
        asked = [row["must"] or "", row.get("aim") or "", MARKS[row["met"]]]
        lines.append([row["row"], *sides, number(row["ratio"]), *asked])
    head = ["row", "ours", "peer", "ratio", "must", "aim", "met"]
    parts = [table(head, lines, numeric=(1, 2, 3))] if lines else []
    rest = [entry for entry in done if entry["status"] != "ran"]
    parts += [f"{entry['program']}: {in_words(entry)}" for entry in rest]
    return "\n".join(parts)


def number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def in_words(entry: dict[str, Any]) -> str:
    """What became of a program, in a line; of a failed one with the end of its messages."""
    if entry["status"] == "not run":
        return f"not run: {entry['reason']}"
    if entry["status"] == "failed":
        return "\n  ".join([f"FAILED: {entry['reason']}", *entry["log"]])
    missed = sum(row["met"] is False for row in entry["result"]["rows"])
    return f"{entry['seconds']:.0f} s" + (f", missed: {missed}" if missed else "")
