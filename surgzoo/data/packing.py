"""Packing: many short rows into few long ones of static shape. Pure numpy, nothing random.

`pack` decides which pieces share a row, from their sizes alone; `join` puts finished rows of the
batch contract one behind the other so that none sees another. Attention is kept apart by segment,
window and frame ids, which is all that the model looks at (`core/contract.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from surgzoo.core.contract import Bucket, Example

# What an array's entries count or name decides what joining does to them, and how it is padded.
_OF_TOKENS = {
    "tokens": 0,  # any id will do: where segments == 0 nothing is seen and nothing is weighed
    "positions": 0,  # those of every row start anew
    "segments": 0,
    "prefix": 0,
    "loss_mask": 0,
    "vision_index": -1,
}
_OF_PATCHES = {"patches": 0, "patch_hw": 0, "patch_window": -1, "patch_frame": -1}


def pack(sizes: Int[np.ndarray, "N D"], capacity: Sequence[int]) -> list[list[int]]:
    """Numbers of the pieces that share a row, row by row: first fit, the largest pieces first.

    Args:
      sizes: what each piece takes of D quantities (here tokens and patches).
      capacity: what a row has of each; all D must hold.

    First-fit decreasing needs at most 11/9 of the best possible number of rows, in one dimension
    (Johnson et al., SIAM J. Comput. 3, 1974); a piece counts as large by the quantity of which it
    takes the largest share. Equal pieces keep their order, so the result is a function of `sizes`.

    Raises ValueError for a piece that no row holds.
    """
    sizes, room = np.asarray(sizes), np.asarray(capacity)
    if (sizes > room).any():
        worst = int((sizes > room).any(axis=1).argmax())
        raise ValueError(
            f"piece {worst} of size {tuple(sizes[worst].tolist())} exceeds a row of "
            f"{tuple(room.tolist())}"
        )
    share = (sizes / np.maximum(room, 1)).max(axis=1) if len(sizes) else np.zeros(0)
    free = np.tile(room, (len(sizes), 1)).T.copy()  # [D, rows]: one search runs along memory
    rows: list[list[int]] = []
    for piece in np.argsort(-share, kind="stable").tolist():
        size = sizes[piece]
        fits = free[0, : len(rows) + 1] >= size[0]  # the one behind the last is still empty
        for quantity in range(1, len(room)):
            fits &= free[quantity, : len(rows) + 1] >= size[quantity]
        row = int(fits.argmax())
        if row == len(rows):
            rows.append([])
        rows[row].append(piece)
        free[:, row] -= size
    return rows


def join(rows: Sequence[Example], bucket: Bucket) -> Example:
    """One row of `bucket` with the contents of several, in order, none of which sees another.

    Padding at the end of the parts is dropped; segment, prefix, window and frame ids and the places
    in `vision_index` go on from part to part; positions, and with them M-RoPE, start anew.

    Raises ValueError when the parts do not fit, when a part lacks tokens of its own images or has
    tokens of images that are not there (an image is never cut), when it weighs its first token
    (which another part would have to predict), or for an array that it does not know.
    """
    if not rows:
        raise ValueError("there is no row to join")
    unknown = rows[0].keys() ^ (_OF_TOKENS.keys() | _OF_PATCHES.keys())
    if unknown:
        raise ValueError(f"joining does not know what to do with {', '.join(sorted(unknown))}")
    lengths = [_used(row["segments"], 1) for row in rows]
    patches = [_used(row["patch_frame"], 0) for row in rows]
    if sum(lengths) > bucket.tokens or sum(patches) > bucket.patches:
        raise ValueError(
            f"{len(rows)} rows of {sum(lengths)} tokens and {sum(patches)} patches do not fit a "
            f"row of {bucket.tokens} tokens and {bucket.patches} patches"
        )
    out = {}
    for key, fill in _OF_TOKENS.items():
        like = rows[-1][key]
        out[key] = np.full((*like.shape[:-1], bucket.tokens), fill, like.dtype)
    for key, fill in _OF_PATCHES.items():
        like = rows[-1][key]
        out[key] = np.empty((bucket.patches, *like.shape[1:]), like.dtype)
        out[key][sum(patches) :] = fill

    token = patch = segment = window = frame = 0
    per_token = 0  # patches of a merged vision token, the same in all parts
    for number, (row, length, count) in enumerate(zip(rows, lengths, patches, strict=True)):
        here, there = slice(token, token + length), slice(patch, patch + count)
        for key in _OF_TOKENS:
            out[key][..., here] = row[key][..., :length]
        for key in _OF_PATCHES:
            out[key][there] = row[key][:count]
        if length and row["loss_mask"][0]:
            raise ValueError(f"row {number} weighs its first token, which nothing predicts")
        out["segments"][here] += segment
        out["prefix"][here] += np.where(out["prefix"][here] > 0, segment, 0)
        segment = int(out["segments"][here].max(initial=segment))
        if count:
            per_token = _patches_per_token(row, length, count, per_token, number)
            index = out["vision_index"][here]
            index[index >= 0] += patch // per_token
            for key, before in (("patch_window", window), ("patch_frame", frame)):
                ids = out[key][there]
                ids[ids >= 0] += before
            window = int(out["patch_window"][there].max()) + 1
            frame = int(out["patch_frame"][there].max()) + 1
        elif (row["vision_index"][:length] >= 0).any():
            raise ValueError(f"row {number} has vision tokens and no patches")
        token, patch = here.stop, there.stop
    return out


def _used(ids: np.ndarray, least: int) -> int:
    """One more than the last place that is not padding; padding ids are below `least`."""
    if len(ids) and ids[-1] >= least:  # no padding: as pieces of a packed row are made
        return len(ids)
    places = np.flatnonzero(ids >= least)
    return int(places[-1]) + 1 if len(places) else 0


def _patches_per_token(row: Example, length: int, count: int, known: int, number: int) -> int:
    """Patches that one vision token stands for. Raises ValueError when images are cut."""
    index = row["vision_index"][:length]
    index = np.sort(index[index >= 0])
    seen = int((row["patch_frame"][:count] >= 0).sum())
    whole = len(index) and (np.diff(index) > 0).all() and seen % len(index) == 0
    each = seen // len(index) if whole else 0
    if not whole or count % each or (known and each != known) or index[-1] >= count // each:
        raise ValueError(
            f"row {number} has {len(index)} vision tokens for {seen} patches"
            f"{f', where others have {known} patches a token' if known else ''}: an image must "
            "stand whole in its row, each of its tokens once"
        )
    return each
