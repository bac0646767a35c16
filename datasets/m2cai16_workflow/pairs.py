"""The files of the two m2cai16 challenges: a video and a text of the same name, side by side."""

from __future__ import annotations

from surgzoo.datasets.layout import File, Tree

# Beside each video lie its label file and, from the challenge's own scripts, `_timestamp.txt` and
# `_pred.txt`, which are no labels.
_PAIR = r"(?:.*/)?({stem}_\d+)\.({extension})"


def pairs(tree: Tree, stem: str) -> dict[str, tuple[File | None, File]]:
    """Name -> (video or None, label file), whatever folders they are in.

    Args:
      stem: a regular expression of what precedes the number.

    Raises LayoutError for a name in two folders, a video without labels, or no video at all.
    """
    media = _by_name(tree, _PAIR.format(stem=stem, extension="mp4"))
    labels = _by_name(tree, _PAIR.format(stem=stem, extension="txt"))
    if not media:
        raise tree.error("there is no video")
    missing = [f"{name}.txt" for name in sorted(media.keys() - labels.keys())]
    if missing:
        raise tree.error(f"label files are missing: {', '.join(missing[:5])}")
    return {name: (media.get(name), labels[name]) for name in sorted(labels)}


def _by_name(tree: Tree, pattern: str) -> dict[str, File]:
    return tree.one_each(pattern, lambda match: match[1].lower(), "are the same file twice")
