"""A table as text: aligned for a terminal, and valid Markdown."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def table(
    head: Sequence[str], lines: Sequence[Sequence[str]], numeric: Collection[int] = ()
) -> str:
    """`numeric` columns are set to the right. A bar inside a cell is escaped."""
    lines = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]

    def join(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if number in numeric else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join(padded) + " |"

    rule = "|".join(
        "-" * (w + 1) + (":" if number in numeric else "-") for number, w in enumerate(widths)
    )
    return "\n".join([join(head), f"|{rule}|", *map(join, lines)])
