"""Logits and positions against transformers, with the same random weights."""

import dataclasses

import jax
import numpy as np
import pytest
from qwen_small import picture, stack_rows

from surgzoo.core.contract import Message

ATOL = 1e-4

# Frame rates at which a video lasts no longer than its grid is wide: there all versions of
# transformers agree on the positions (see test_long_video_in_both_conventions).
CASES = {
    "text": ([Message("user", "Which phase?"), Message("assistant", "preparation")], [], ()),
    "image": ([Message("user", "Is the liver visible?", 1)], [picture(168, 140)], ()),
    "image of one window": ([Message("user", "Where is it?", 1)], [picture(56, 56)], ()),
    "two images of different sizes": (
        [Message("user", "Compare them.", 2), Message("assistant", "The first is larger.")],
        [picture(196, 140, 1), picture(84, 252, 2)],
        (),
    ),
    "images in two turns": (
        [
            Message("user", "What is this?", 1),
            Message("assistant", "a hook"),
            Message("user", "And this?", 1),
        ],
        [picture(84, 140, 3), picture(140, 84, 4)],
        (),
    ),
    "video": ([Message("user", "What happens?", 1)], [picture(112, 84, 5, frames=6)], (4.0,)),
    "video of odd length": (
        [Message("user", "What happens?", 1)], [picture(84, 112, 6, frames=5)], (4.0,)
    ),
    "image and video": (
        [Message("user", "Does the frame belong to the clip?", 2), Message("assistant", "yes")],
        [picture(140, 112, 7), picture(84, 84, 8, frames=4)],
        (1.0, 3.0),
    ),
}  # fmt: skip


def encode(small, case, **kwargs):
    messages, visuals, fps = CASES[case]
    return small.processor.encode(messages, visuals, fps=fps, **kwargs)


@pytest.mark.parametrize("case", CASES)
def test_logits_match(small, case):
    _, visuals, fps = CASES[case]
    row = encode(small, case)
    ours = jax.jit(small.model.forward)(small.params, stack_rows([row]))[0]
    theirs = small.oracle.logits(small.oracle.inputs(small.processor, row, visuals, fps))
    assert np.abs(theirs).max() > 1  # the comparison means something
    np.testing.assert_allclose(ours[: len(theirs)], theirs, atol=ATOL, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_positions_match(small, case):
    _, visuals, fps = CASES[case]
    row = encode(small, case)
    theirs = small.oracle.positions(small.oracle.inputs(small.processor, row, visuals, fps))
    np.testing.assert_array_equal(row["positions"][:, : theirs.shape[1]], theirs)


def test_long_video_in_both_conventions(small):
    """A video longer than its grid is wide: text goes on after its time, or after its columns."""
    messages, visuals, fps = CASES["video"]
    fps = (1.0,)  # three slices, two seconds and so four steps apart: times 0, 4, 8; grid 4 x 3
    for after_time, step in ((True, 9), (False, 4)):
        options = dataclasses.replace(small.config.input, text_after_time=after_time)
        processor = dataclasses.replace(small.config, input=options).processor()
        row = processor.encode(messages, visuals, fps=fps)
        seen = np.flatnonzero(row["vision_index"] >= 0)
        start = row["positions"][1, seen[0]]
        assert sorted(set(row["positions"][0, seen] - start)) == [0, 4, 8]
        assert (row["positions"][:, seen[-1] + 1] == start + step).all()
        if not after_time:
            theirs = small.oracle.positions(small.oracle.inputs(processor, row, visuals, fps))
            np.testing.assert_array_equal(row["positions"][:, : theirs.shape[1]], theirs)


@pytest.mark.parametrize("fps", [0.2, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 25 * 39 / 249, 30 / 1.001])
def test_times_of_videos_at_any_rate(small, fps):
    """Whole steps of half a second, for rates as frame sampling gives them."""
    options = dataclasses.replace(small.config.input, text_after_time=False)
    processor = dataclasses.replace(small.config, input=options).processor()
    visuals = [picture(56, 56, 5, frames=21)]
    row = processor.encode([Message("user", "What happens?", 1)], visuals, fps=(fps,))
    theirs = small.oracle.positions(small.oracle.inputs(processor, row, visuals, (fps,)))
    np.testing.assert_array_equal(row["positions"][:, : theirs.shape[1]], theirs)
    seen = row["vision_index"] >= 0
    last = int(np.ptp(row["positions"][0, seen]))
    assert last == int(np.float32(10) * np.float32(2 * 2 / fps))  # the eleventh pair of frames


def test_rows_of_a_batch_do_not_touch(small):
    """Mixed lengths, sizes and numbers of images in one padded batch."""
    cases = ("text", "image", "two images of different sizes", "video")
    bucket = small.processor.buckets[-1]
    rows = [encode(small, case, bucket=bucket) for case in cases]
    logits = jax.jit(small.model.forward)(small.params, stack_rows(rows))
    for ours, row, case in zip(logits, rows, cases, strict=True):
        _, visuals, fps = CASES[case]
        theirs = small.oracle.logits(small.oracle.inputs(small.processor, row, visuals, fps))
        np.testing.assert_allclose(ours[: len(theirs)], theirs, atol=ATOL, rtol=0)


def test_packed_segments_do_not_touch(small):
    """Two conversations in one row, told apart by their segment ids, equal two rows."""
    rows = [encode(small, "text"), encode(small, "text")]
    rows[1] = dict(rows[1], tokens=rows[1]["tokens"][::-1].copy())
    packed = {
        "tokens": np.concatenate([r["tokens"] for r in rows]),
        "positions": np.concatenate([r["positions"] for r in rows], axis=1),
        "segments": np.repeat([1, 2], len(rows[0]["tokens"])),
        "prefix": np.zeros(2 * len(rows[0]["tokens"]), np.int32),
        "loss_mask": np.concatenate([r["loss_mask"] for r in rows]),
        "vision_index": np.concatenate([r["vision_index"] for r in rows]),
    }
    packed |= {k: v for k, v in rows[0].items() if k not in packed}
    rows = [dict(r, segments=np.ones_like(r["segments"])) for r in rows]
    alone = jax.jit(small.model.forward)(small.params, stack_rows(rows))
    together = jax.jit(small.model.forward)(small.params, stack_rows([packed]))
    np.testing.assert_allclose(together.reshape(alone.shape), alone, atol=ATOL, rtol=0)
