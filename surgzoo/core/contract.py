"""What enters a model: typed contracts of static shapes. `READS` lists them; first the largest.

Of a vision-language model:

A model's *processor* turns text turns and decoded images into an `Example` (numpy, one row).
`data/` stacks the rows of one bucket into a `Batch`; the model reads a `Batch` and nothing else.
All ragged geometry (image grids, attention windows, M-RoPE positions) is index arithmetic, done
once on the host by the processor; the device sees rectangles of static shape.

Sizes: B rows, S tokens, P vision patches a row, M = P / merge**2 merged vision tokens a row,
D = channels * temporal_patch * patch * patch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, NotRequired, Protocol, TypedDict

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

# What a model reads: its config says so (`reads`). By it a run's rows are made (`data/rows`), and
# the model is asked (`evaluate/predictors`).
#   turns      conversations with pictures and clips: `Example`
#   pairs      a picture and a text that belongs to it: `Pair`; or several of both: `Stretch`
#   clips      the frames of a clip, and its label: `LabelledClip`
#   frames     one frame, and a map or frame of the same size: `FrameAndMap`
#   features   stored features of a video's frames, and their labels: `FeatureSequence`
#   histories  the actions of a video in order: `History`
Reads = Literal["turns", "pairs", "clips", "frames", "features", "histories"]


class Example(TypedDict):
    """One row, as a processor makes it. Padding is at the end of S and of P."""

    tokens: Int[np.ndarray, S]  # int32, pad id where segments == 0
    positions: Int[np.ndarray, "3 S"]  # int32 M-RoPE (time, height, width)
    segments: Int[np.ndarray, S]  # int32, 0 = padding; tokens attend inside their segment ...
    # int32 ... and in this earlier segment of the row (0 = none). A batch leaves it out where no
    # row of the run has one: known when tracing, it lets attention take a kernel for segments.
    prefix: NotRequired[Int[np.ndarray, S]]
    loss_mask: Float[np.ndarray, S]  # float32, weight of *predicting* tokens[i] (0 on the prompt)
    vision_index: Int[
        np.ndarray, S
    ]  # int32, row of the merged vision tokens that stands here, or -1
    patches: Float[np.ndarray, "P D"]  # float32, normalised pixels; those of a token adjoin,
    # ... the tokens of a window adjoin, and the windows of a frame
    patch_hw: Int[np.ndarray, "P 2"]  # int32 row and column of the patch in its image's grid
    patch_window: Int[np.ndarray, P]  # int32 window id, unique in the row; -1 = padding
    patch_frame: Int[np.ndarray, P]  # int32 id of the image or temporal slice; -1 = padding


# The same keys with a leading batch axis B. (A TypedDict cannot say so; the loader guarantees it.)
Batch = Example


class Pair(TypedDict):
    """Row i of a batch's pictures belongs to row i of its texts, as the processor makes both."""

    images: Float[np.ndarray, "H W 3"]
    tokens: Int[np.ndarray, S]  # int32
    mask: Bool[np.ndarray, S]  # True where the text is read
    views: NotRequired[Float[np.ndarray, "V H W 3"]]  # the same frame, changed


class Stretch(TypedDict):
    """T pictures of a stretch of video, its text, and the texts of N parts of it, in order."""

    frames: Float[np.ndarray, "T H W 3"]
    tokens: Int[np.ndarray, S]  # int32
    mask: Bool[np.ndarray, S]
    child_tokens: Int[np.ndarray, "N S"]  # int32
    child_mask: Bool[np.ndarray, "N S"]


class LabelledClip(TypedDict):
    """Normalised frames, and the numbers of the clip's labels: -1 where it has none."""

    video: Float[np.ndarray, "T H W 3"]
    action: Int[np.ndarray, ""]  # int32
    balance: Float[np.ndarray, ""]  # float32, what the clip weighs against the imbalance of labels
    skill: NotRequired[Int[np.ndarray, ""]]  # int32


class FrameAndMap(TypedDict):
    """A normalised frame and one of `labels`, `depth` and `targets`, in the same size."""

    images: Float[np.ndarray, "H W 3"]
    labels: NotRequired[Int[np.ndarray, "H W"]]  # int32; 255 says nothing
    depth: NotRequired[Float[np.ndarray, "H W"]]  # float32, near is large
    valid: NotRequired[Bool[np.ndarray, "H W"]]  # of depth: where it is known
    targets: NotRequired[Float[np.ndarray, "H W 3"]]  # float32, RGB from 0 to 1


class FeatureSequence(TypedDict):
    """A video of T frames at most; behind its end features are 0 and labels -1."""

    features: Float[np.ndarray, "T F"]
    labels: Int[np.ndarray, T]  # int32, -1 where a frame has none


class History(TypedDict):
    """The actions of a video in order, -1 behind the last."""

    actions: Int[np.ndarray, S]  # int32
    history: NotRequired[Float[np.ndarray, "S A"]]  # float32, as it was recognised; else certain


class Bucket(NamedTuple):
    """The static shape of a row: tokens S and vision patches P."""

    tokens: int
    patches: int


class Message(NamedTuple):
    """One turn for a processor. `images` says how many of the row's media stand at its start."""

    role: str
    text: str
    images: int = 0


class GroupSize(NamedTuple):
    """What conversations about the same visuals take of a row."""

    prefix: int  # tokens that stand once: up to the end of the visuals
    questions: tuple[int, ...]  # tokens of each conversation behind them
    patches: int


class Vocabulary(NamedTuple):
    """The tokens of a processor, for decoding that admits only some texts.

    `pieces` are the bytes of each id, None for one that stands for no text. `encode` spells a text
    as the tokenizer does, without special tokens.
    """

    pieces: tuple[bytes | None, ...]
    encode: Callable[[str], Sequence[int]]


class Processor(Protocol):
    """Text and pixels in, `Example` out; and back from token ids to text.

    `visuals` holds one entry per image (uint8 RGB, shape H W 3) or video (uint8 RGB, shape T H W 3,
    with its frame rate in `fps`). They come as stored, or `fitted`: already in the size that this
    processor gives for the stored one, so that who decodes them can aim at that size. Whatever
    is said of places in a picture is relative to its sides and means the same in both.
    """

    buckets: tuple[Bucket, ...]
    eos_id: int
    most_segments: int  # that a row without `prefix` may have for this model, padding being one

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
        """One row in the smallest bucket that holds it (or in `bucket`).

        With `generate` the row ends after the opening of the assistant's turn, ready to be
        continued. Raises ValueError, naming the sizes, when no bucket holds the row: nothing is
        cut.
        """
        ...

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
        """One row with several conversations about the same visuals, and how many of them fitted.

        The visuals stand once, in a prefix segment that every conversation sees; conversations do
        not see each other, and the positions of each go on from the prefix. So each computes
        exactly what it would compute in a row of its own. With `generate` each ends after the
        opening of the assistant's turn. Raises ValueError when not even the first fits.
        """
        ...

    def resized_size(self, height: int, width: int, *, video: bool = False) -> tuple[int, int]:
        """Height and width in pixels that a stored image, or video frame, is resized to."""
        ...

    def clip_size(
        self, height: int, width: int, frames: int, tokens: int | None = None
    ) -> tuple[int, int]:
        """Height and width in pixels of the frames of a clip that may take `tokens` vision tokens.

        Raises ValueError, naming the sizes, when that many frames cannot be made small enough.
        """
        ...

    def resize(
        self, frame: UInt8[np.ndarray, "h w 3"], height: int, width: int
    ) -> UInt8[np.ndarray, "height width 3"]:
        """A frame in another size, as `encode` resizes what is not fitted."""
        ...

    def measure_group(
        self,
        conversations: Sequence[Sequence[Message]],
        visuals: Sequence[np.ndarray],
        *,
        fps: Sequence[float] = (),
        fitted: bool = False,
    ) -> GroupSize:
        """What `encode_group` would fill of a row that holds all of them; pixels are not looked at.

        The visuals need no memory of their own: of each, the shape is read.
        """
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Token ids to text; stops at the first end token, special tokens are left out."""
        ...

    def vocabulary(self) -> Vocabulary:
        """The tokens; only constrained decoding asks for them."""
        ...


class PairProcessor(Protocol):
    """Both sides of a model that reads pairs, each on its own.

    Attributes:
      image_shape: (H, W, 3) of what `images` makes.
      text_length: S, tokens of a text, those around it counted.
    """

    image_shape: tuple[int, int, int]
    text_length: int

    def images(self, frames: Sequence[UInt8[np.ndarray, "h w 3"]]) -> Float[np.ndarray, "B H W 3"]:
        """Normalised pixels of RGB frames of any sizes."""
        ...

    def texts(
        self, texts: Sequence[str], *, truncate: bool = False
    ) -> tuple[Int[np.ndarray, "B S"], Bool[np.ndarray, "B S"]]:
        """Tokens and mask. Raises ValueError, naming the text, for one that is too long unless
        `truncate`, and without a tokenizer."""
        ...
