"""Turns of talk and pixels to a row of the batch contract, in numpy.

All geometry that the model needs (patch rows and columns, attention windows, M-RoPE positions) is
worked out here, once, on the host. Source: arXiv 2502.13923, section 2.1, and arXiv 2409.12191.
"""

from __future__ import annotations

import functools
import math
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from surgzoo.core.contract import Bucket, Example, GroupSize, Message, Vocabulary
from surgzoo.models.qwen2_5_vl import tokenizer as bpe

if TYPE_CHECKING:
    from surgzoo.models.qwen2_5_vl.config import Qwen25VLConfig

# Of the images that CLIP was trained on; Qwen kept them.
_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
_STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)

_MAX_ASPECT = 200


class Grid(NamedTuple):
    """Patches of one image (time = 1) or video: temporal slices, rows, columns."""

    time: int
    rows: int
    columns: int


class _Piece(NamedTuple):
    """A run of tokens. A visual piece stands for its grid's merged tokens."""

    ids: Sequence[int]
    weight: float = 0.0
    grid: Grid | None = None
    seconds_per_slice: float = 0.0  # 0 for an image


class _Layout(NamedTuple):
    """The patches of a grid, window by window. `order` says which of `patchify` stands where."""

    order: Int[np.ndarray, " P"]
    hw: Int[np.ndarray, "P 2"]
    window: Int[np.ndarray, " P"]
    frame: Int[np.ndarray, " P"]
    place: Int[np.ndarray, " M"]  # where the token of each place of the picture comes to stand


class QwenProcessor:
    """Implements `surgzoo.core.contract.Processor` for Qwen2.5-VL."""

    def __init__(
        self,
        config: Qwen25VLConfig,
        tokenizer: str | pathlib.Path | None = None,
        buckets: Iterable[Bucket] = (),
    ):
        """Raises ValueError when the tokenizer does not fit the model or a bucket is malformed."""
        self.config = config
        self.tokenizer = bpe.load(tokenizer)
        self.__setstate__({})
        largest = max(self.tokenizer.get_vocab().values())
        if largest >= config.text.vocab:
            raise ValueError(
                f"the tokenizer has ids up to {largest}, the model {config.text.vocab} embeddings"
            )
        self.buckets = tuple(sorted(Bucket(*b) for b in buckets))
        unit = config.vision.merge**2
        for bucket in self.buckets:
            if bucket.tokens < 1 or bucket.patches < 0 or bucket.patches % unit:
                raise ValueError(f"{bucket}: patches must be a multiple of {unit}, tokens positive")
        self.eos_id = self._id(bpe.TURN_END)
        self.pad_id = self._id(bpe.END_OF_TEXT)
        self.most_segments = config.attention_segments

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        # Text that spells a special token stays text: a caption cannot open a turn or an image.
        # Pickling, on the way to a worker process, loses this switch.
        self.tokenizer.encode_special_tokens = True

    def encode(
        self,
        messages: Sequence[Message],
        visuals: Sequence[np.ndarray],
        *,
        fps: Sequence[float] = (),
        generate: bool = False,
        bucket: Bucket | None = None,
        fitted: bool = False,
    ) -> Example:
        """One row; see the contract. `fps` has one entry per visual; images ignore theirs.

        With `generate` a last assistant message is left out. `fitted` visuals have the size that
        `resized_size` or `clip_size` gave for the stored one; they are not resized again.

        Raises ValueError when the messages do not place all visuals, or no bucket holds the row.
        """
        self._check_visuals(messages, visuals, fps, fitted)
        if generate and messages and messages[-1].role == "assistant":
            messages = messages[:-1]
        grids, seconds = self._grids(visuals, fps, fitted)
        pieces = self._pieces(messages, grids, seconds, generate)
        tokens = sum(len(p.ids) for p in pieces)
        patches = sum(math.prod(g) for g in grids)
        bucket = self._bucket(tokens, patches, bucket)
        row = self._row(bucket)
        self._fill(row, pieces)
        return row | self._patches(visuals, grids, bucket, fitted)

    def encode_group(
        self,
        conversations: Sequence[Sequence[Message]],
        visuals: Sequence[np.ndarray],
        *,
        fps: Sequence[float] = (),
        generate: bool = False,
        bucket: Bucket | None = None,
        fitted: bool = False,
    ) -> tuple[Example, int]:
        """Several conversations about the same visuals in one row; see the contract.

        Conversations are taken in order while they fit; the number that did is returned. Each must
        begin with a user turn that places all visuals. With `generate` last assistant messages are
        left out.

        Raises ValueError when not even the first fits, or when they begin differently.
        """
        for messages in conversations:
            self._check_visuals(messages, visuals, fps, fitted)
        grids, seconds = self._grids(visuals, fps, fitted)
        patches = sum(math.prod(g) for g in grids)
        limit = max(b.tokens for b in ((bucket,) if bucket else self.buckets))
        prefix: list[_Piece] = []
        parts: list[list[_Piece]] = []
        total = 0
        for prefix, part in self._group(conversations, grids, seconds, generate):
            size = _length(part)
            total = total or _length(prefix)
            if parts and total + size > limit:
                break
            parts.append(part)
            total += size
        bucket = self._bucket(total, patches, bucket)
        row = self._row(bucket)
        at, position = self._fill(row, prefix)
        for segment, part in enumerate(parts, start=2):
            at, _ = self._fill(row, part, at, position, segment, prefix=1)
        return row | self._patches(visuals, grids, bucket, fitted), len(parts)

    def measure_group(
        self,
        conversations: Sequence[Sequence[Message]],
        visuals: Sequence[np.ndarray],
        *,
        fps: Sequence[float] = (),
        fitted: bool = False,
    ) -> GroupSize:
        """What `encode_group` fills when there is room for all; see the contract.

        Raises ValueError as it does.
        """
        for messages in conversations:
            self._check_visuals(messages, visuals, fps, fitted)
        grids, seconds = self._grids(visuals, fps, fitted)
        group = list(self._group(conversations, grids, seconds, generate=False))
        prefix = _length(group[0][0]) if group else 0
        parts = tuple(_length(part) for _, part in group)
        return GroupSize(prefix, parts, sum(math.prod(g) for g in grids))

    def _group(
        self,
        conversations: Sequence[Sequence[Message]],
        grids: Sequence[Grid],
        seconds: Sequence[float],
        generate: bool,
    ) -> Iterator[tuple[list[_Piece], list[_Piece]]]:
        """Each conversation's shared opening and what is its own. Raises ValueError."""
        first: list[_Piece] = []
        for number, messages in enumerate(conversations):
            if generate and messages and messages[-1].role == "assistant":
                messages = messages[:-1]
            pieces = self._pieces(messages, grids, seconds, generate)
            # What stands before the first text after the visuals is the same in all of them.
            cut = 1 + max((i for i, p in enumerate(pieces) if p.grid), default=-2) + 1
            if number and pieces[:cut] != first:
                raise ValueError(
                    f"conversation {number} of a group does not begin as the first does: before "
                    "and around the visuals all must have the same turns"
                )
            first = pieces[:cut]
            yield first, pieces[cut:]

    def frames(self, frames: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """What `embed_frames` reads of uint8 RGB frames: patches alone, no text.

        Frames of different sizes are padded to the patches of the largest.
        """
        self._check_visuals([Message("user", "", images=len(frames))], frames, (), fitted=False)
        grids, _ = self._grids(frames, (), fitted=False)
        bucket = Bucket(0, max(math.prod(grid) for grid in grids))
        rows = [
            self._patches([frame], [grid], bucket, fitted=False)
            for frame, grid in zip(frames, grids, strict=True)
        ]
        return {key: np.stack([row[key] for row in rows]) for key in rows[0]}

    def decode(self, tokens: Sequence[int]) -> str:
        """Token ids to text up to the first end token; special tokens are left out."""
        ids = [int(t) for t in tokens]
        stops = [i for i, t in enumerate(ids) if t in (self.eos_id, self.pad_id)]
        return self.tokenizer.decode(ids[: stops[0]] if stops else ids, skip_special_tokens=True)

    def vocabulary(self) -> Vocabulary:
        """See `surgzoo.core.contract.Processor.vocabulary`."""
        return Vocabulary(bpe.pieces(self.tokenizer), self._ids)

    def resized_size(self, height: int, width: int, *, video: bool = False) -> tuple[int, int]:
        """Height and width in pixels that an image, or a frame of a video, is resized to.

        Absolute boxes of this family are in these pixels.
        """
        options, vision = self.config.input, self.config.vision
        factor = vision.patch * vision.merge
        if options.image_size is not None:
            return options.image_size, options.image_size
        if video:
            return fit(height, width, factor, options.video_min_pixels, options.video_max_pixels)
        return fit(height, width, factor, options.min_pixels, options.max_pixels)

    def clip_size(
        self, height: int, width: int, frames: int, tokens: int | None = None
    ) -> tuple[int, int]:
        """Height and width in pixels of each of a clip's frames, within a budget of vision tokens.

        The budget is shared out as qwen-vl-utils does with its VIDEO_TOTAL_PIXELS, but kept: frames
        whose share is just above the smallest size do not get 5 % more than that.

        Raises ValueError when the smallest frames of the model take more than `tokens`.
        """
        options, vision = self.config.input, self.config.vision
        if tokens is None:
            return self.resized_size(height, width, video=True)
        factor = vision.patch * vision.merge
        slices = -(-frames // vision.temporal_patch)
        if options.image_size is None:
            share = min(options.video_max_pixels, tokens * factor**2 // slices)
            most = max(share, options.video_min_pixels)
            size = fit(height, width, factor, options.video_min_pixels, most)
        else:
            size = options.image_size, options.image_size
        each = size[0] * size[1] // factor**2
        if slices * each > tokens:
            raise ValueError(
                f"{frames} frames of {size[1]} x {size[0]} pixels, the smallest that the model "
                f"takes, are {slices * each} vision tokens; {tokens} are allowed, which "
                f"{tokens // each * vision.temporal_patch} frames would fit"
            )
        return size

    def grid(self, height: int, width: int, *, frames: int | None = None) -> Grid:
        """The patch grid of an image, or of a video of `frames` frames, before it is resized."""
        vision = self.config.vision
        height, width = self.resized_size(height, width, video=frames is not None)
        slices = -(-(frames or 1) // vision.temporal_patch)
        return Grid(slices, height // vision.patch, width // vision.patch)

    def patchify(
        self,
        visual: UInt8[np.ndarray, "H W C"] | UInt8[np.ndarray, "T H W C"],
        fitted: bool = False,
    ) -> Float[np.ndarray, "P D"]:
        """Resized, normalised patches of one visual; the merge x merge ones of a token adjoin."""
        vision = self.config.vision
        height, width = visual.shape[-3:-1]
        if not fitted:
            height, width = self.resized_size(height, width, video=visual.ndim == 4)
        frames = visual if visual.ndim == 4 else visual[None]
        frames = np.stack([self.resize(frame, height, width) for frame in frames])
        short = -len(frames) % vision.temporal_patch
        if short:  # an image, or the end of a video: the last frame is repeated
            frames = np.concatenate([frames, np.repeat(frames[-1:], short, axis=0)])
        pixels = (frames.astype(np.float32) / np.float32(255) - _MEAN) / _STD
        p, m = vision.patch, vision.merge
        pixels = pixels.reshape(
            -1, vision.temporal_patch, height // (p * m), m, p, width // (p * m), m, p, 3
        )
        #                          slice, row, column, row in token, column in token,
        pixels = pixels.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7)  # channel, frame, y, x
        return pixels.reshape(-1, vision.patch_dim)

    def resize(
        self, frame: UInt8[np.ndarray, "h w C"], height: int, width: int
    ) -> UInt8[np.ndarray, "height width C"]:
        """A frame in another size, resampled as the model's own processor does (PIL)."""
        if frame.shape[:2] == (height, width):
            return frame
        resample = Image.Resampling.BICUBIC
        if self.config.input.image_size is not None and min(frame.shape[:2]) >= height:
            resample = Image.Resampling.BOX  # area mean: cheap, and keeps thin instruments
        return np.asarray(Image.fromarray(frame).resize((width, height), resample))

    def _grids(
        self, visuals: Sequence[np.ndarray], fps: Sequence[float], fitted: bool
    ) -> tuple[list[Grid], list[float]]:
        """The patch grid of each visual, and the seconds of one of its slices (0 for an image)."""
        patch, slice_frames = self.config.vision.patch, self.config.vision.temporal_patch
        grids = []
        for visual in visuals:
            (height, width), frames = visual.shape[-3:-1], _frames(visual)
            grid = self.grid(height, width, frames=frames)
            grids.append(
                grid._replace(rows=height // patch, columns=width // patch) if fitted else grid
            )
        seconds = [slice_frames / fps[i] if v.ndim == 4 else 0.0 for i, v in enumerate(visuals)]
        return grids, seconds

    def _pieces(
        self,
        messages: Sequence[Message],
        grids: Sequence[Grid],
        seconds: Sequence[float],
        generate: bool,
    ) -> list[_Piece]:
        """The chat template: <|im_start|>role, newline, visuals, text, <|im_end|>, newline."""
        system = self.config.input.system_prompt
        if system is not None and (not messages or messages[0].role != "system"):
            messages = [Message("system", system), *messages]
        start, end, newline = self._id(bpe.TURN_START), self._id(bpe.TURN_END), self._ids("\n")
        pieces, used = [], 0
        for message in messages:
            opening = self._ids(message.role + "\n")
            pieces.append(_Piece([start, *opening]))
            for grid, duration in zip(
                grids[used : used + message.images], seconds[used:], strict=False
            ):
                pieces += self._visual(grid, duration)
            used += message.images
            weight = 1.0 if message.role == "assistant" else 0.0
            pieces.append(_Piece([*self._ids(message.text), end], weight))
            pieces.append(_Piece(newline))
        if generate:
            pieces.append(_Piece([start, *self._ids("assistant\n")]))
        return pieces

    def _visual(self, grid: Grid, seconds_per_slice: float) -> list[_Piece]:
        count = math.prod(grid) // self.config.vision.merge**2
        pad = self._id(bpe.VIDEO_PAD if seconds_per_slice else bpe.IMAGE_PAD)
        return [
            _Piece([self._id(bpe.VISION_START)]),
            _Piece([pad] * count, grid=grid, seconds_per_slice=seconds_per_slice),
            _Piece([self._id(bpe.VISION_END)]),
        ]

    def _row(self, bucket: Bucket) -> dict[str, np.ndarray]:
        """The arrays of length S, all padding."""
        size = bucket.tokens
        return {
            "tokens": np.full(size, self.pad_id, np.int32),
            "positions": np.zeros((3, size), np.int32),
            "segments": np.zeros(size, np.int32),
            "prefix": np.zeros(size, np.int32),
            "loss_mask": np.zeros(size, np.float32),
            "vision_index": np.full(size, -1, np.int32),
        }

    def _fill(
        self,
        row: dict[str, np.ndarray],
        pieces: Sequence[_Piece],
        at: int = 0,
        position: int = 0,
        segment: int = 1,
        prefix: int = 0,
    ) -> tuple[int, int]:
        """Writes pieces from token `at` on; returns the next token and the next position."""
        start, merged = at, 0
        for piece in pieces:
            here = slice(at, at + len(piece.ids))
            row["tokens"][here] = piece.ids
            row["loss_mask"][here] = piece.weight
            if piece.grid is None:
                row["positions"][:, here] = position + np.arange(len(piece.ids))
                position += len(piece.ids)
            else:
                row["vision_index"][here] = merged + self._layout(piece.grid).place
                merged += len(piece.ids)
                offsets = self._visual_positions(piece.grid, piece.seconds_per_slice)
                row["positions"][:, here] = position + offsets
                after_time = self.config.input.text_after_time
                position += 1 + int((offsets if after_time else offsets[1:]).max())
            at = here.stop
        row["segments"][start:at] = segment
        row["prefix"][start:at] = prefix
        return at, position

    def _visual_positions(self, grid: Grid, seconds_per_slice: float) -> Int[np.ndarray, "3 M"]:
        """M-RoPE offsets of a visual's merged tokens: time, row, column."""
        merge = self.config.vision.merge
        offsets = np.indices((grid.time, grid.rows // merge, grid.columns // merge)).reshape(3, -1)
        step = np.float32(self.config.input.tokens_per_second * seconds_per_slice)
        offsets[0] = (offsets[0].astype(np.float32) * step).astype(np.int64)  # whole steps, down
        return offsets

    def _patches(
        self,
        visuals: Sequence[np.ndarray],
        grids: Sequence[Grid],
        bucket: Bucket,
        fitted: bool,
    ) -> dict[str, np.ndarray]:
        """The arrays of length P."""
        size = bucket.patches
        patches = np.zeros((size, self.config.vision.patch_dim), np.float32)
        hw = np.zeros((size, 2), np.int32)
        window = np.full(size, -1, np.int32)
        frame = np.full(size, -1, np.int32)
        at = windows = frames = 0
        for visual, grid in zip(visuals, grids, strict=True):
            here = slice(at, at + math.prod(grid))
            layout = self._layout(grid)
            patches[here] = self.patchify(visual, fitted)[layout.order]
            hw[here], window[here], frame[here] = layout.hw, layout.window, layout.frame
            window[here] += windows
            frame[here] += frames
            at, frames = here.stop, frames + grid.time
            windows = int(window[here].max()) + 1
        return {"patches": patches, "patch_hw": hw, "patch_window": window, "patch_frame": frame}

    def _layout(self, grid: Grid) -> _Layout:
        vision = self.config.vision
        return _layout(grid, vision.merge, vision.window // vision.patch)

    def _bucket(self, tokens: int, patches: int, wanted: Bucket | None) -> Bucket:
        for bucket in self.buckets if wanted is None else (Bucket(*wanted),):
            if tokens <= bucket.tokens and patches <= bucket.patches:
                return bucket
        known = ", ".join(f"({b.tokens}, {b.patches})" for b in self.buckets)
        given = f"bucket ({wanted[0]}, {wanted[1]})" if wanted else f"any bucket of {known or '-'}"
        raise ValueError(
            f"a row of {tokens} tokens and {patches} patches does not fit {given} (tokens, "
            "patches): add a larger bucket, shorten the text, or use fewer or smaller visuals"
        )

    def _check_visuals(
        self,
        messages: Sequence[Message],
        visuals: Sequence[np.ndarray],
        fps: Sequence[float],
        fitted: bool,
    ) -> None:
        unit = self.config.vision.patch * self.config.vision.merge
        placed = sum(m.images for m in messages)
        if placed != len(visuals):
            raise ValueError(f"the messages place {placed} visuals, {len(visuals)} were given")
        for i, visual in enumerate(visuals):
            if visual.dtype != np.uint8 or visual.ndim not in (3, 4) or visual.shape[-1] != 3:
                raise ValueError(
                    f"visual {i} must be uint8 RGB of shape (H, W, 3) or (T, H, W, 3), not "
                    f"{visual.dtype} {visual.shape}"
                )
            if fitted and any(side % unit for side in visual.shape[-3:-1]):
                raise ValueError(
                    f"visual {i} of shape {visual.shape} is said to be fitted, but its sides are "
                    f"not multiples of {unit}"
                )
            if visual.ndim == 4 and (i >= len(fps) or not fps[i] > 0):
                raise ValueError(f"visual {i} is a video: fps[{i}] must be its frame rate")

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def _id(self, token: str) -> int:
        return self.tokenizer.token_to_id(token)


def fit(height: int, width: int, factor: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """The multiples of `factor` nearest to a size, with an area within the two limits.

    Raises ValueError for an aspect ratio above 200.
    """
    if max(height, width) > _MAX_ASPECT * min(height, width):
        raise ValueError(f"an image of {height} x {width} has an aspect ratio above {_MAX_ASPECT}")
    new_height, new_width = (round(side / factor) * factor for side in (height, width))
    if new_height * new_width > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        new_height, new_width = (
            max(factor, math.floor(side / shrink / factor) * factor) for side in (height, width)
        )
    elif new_height * new_width < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        new_height, new_width = (
            math.ceil(side * grow / factor) * factor for side in (height, width)
        )
    return new_height, new_width


@functools.lru_cache(maxsize=64)
def _layout(grid: Grid, m: int, side: int) -> _Layout:
    """Of a grid whose tokens join m x m patches and whose windows are side x side patches.

    Windows start at the top left corner; those at the right and lower edge may be smaller.
    """
    time, row, column = np.indices(grid).reshape(
        3, grid.time, grid.rows // m, m, grid.columns // m, m
    ).transpose(0, 1, 2, 4, 3, 5).reshape(3, -1)  # fmt: skip
    down, across = -(-grid.rows // side), -(-grid.columns // side)
    window = (time * down + row // side) * across + column // side
    order = np.argsort(window, kind="stable")  # patches of a token stay together
    tokens = order[:: m * m] // (m * m)
    place = np.empty_like(tokens)
    place[tokens] = np.arange(len(tokens))
    hw = np.stack([row, column], axis=1)[order]
    return _Layout(order, hw, window[order], time[order], place)


def _length(pieces: Iterable[_Piece]) -> int:
    return sum(len(piece.ids) for piece in pieces)


def _frames(visual: np.ndarray) -> int | None:
    return len(visual) if visual.ndim == 4 else None
