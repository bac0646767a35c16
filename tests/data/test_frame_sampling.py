"""Which frames of a clip are shown, and the rate that is said of them."""

import itertools

import numpy as np
import pytest

from surgzoo.data.sampling import VideoConfig, pick, sample


def test_frames_are_picked_as_the_policies_say():
    assert pick(9, 3) == [0, 4, 8]
    assert pick(9, 3, "middle") == [1, 4, 7]
    assert pick(9, 3, "last") == [6, 7, 8]
    assert pick(9, 1) == [4] and pick(9, 1, "last") == [8]
    assert pick(2, 3) == [0, 1]
    for count, most, policy in itertools.product(range(1, 40), range(1, 20), ("even", "middle")):
        found = pick(count, most, policy)
        assert len(set(found)) == min(count, most) and found == sorted(found)
        assert found[0] >= 0 and found[-1] < count
        gaps = np.diff(found)
        assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1  # evenly
    with pytest.raises(ValueError, match="0 frames"):
        pick(3, 0)


def shown(count, stored, /, **fields):
    return sample(count, stored, VideoConfig(**fields))


def test_a_rate_is_kept_to_the_frame_before():
    assert shown(100, 25.0, policy="fps", fps=1.0) == ([0, 25, 50, 75], 1.0)
    assert shown(26, 25.0, policy="fps", fps=4.0) == ([0, 6, 12, 18, 25], 4.0)
    assert shown(31, 30.0, policy="fps", fps=2.5, min_frames=1).frames == list(range(0, 31, 12))
    # No frame is made up: at a lower stored rate all frames are shown, at theirs.
    assert shown(7, 1.0, policy="fps", fps=2.0) == (list(range(7)), 1.0)
    # 29.97 Hz: the k-th frame is the last one at or before k / 2 seconds.
    frames, fps = shown(600, 30000 / 1001, policy="fps", fps=2.0)
    late = np.arange(len(frames)) / 2 - np.array(frames) * 1001 / 30000
    assert fps == 2.0 and late.min() > -1e-6 and late.max() < 1001 / 30000


def test_a_clip_too_long_for_a_rate():
    with pytest.raises(ValueError, match=r"150 frames, more than max_frames 100.*dense_then_even"):
        shown(300, 2.0, policy="fps", fps=1.0, max_frames=100)
    frames, fps = shown(300, 2.0, fps=1.0, max_frames=100)
    assert frames == pick(300, 100) and fps == pytest.approx(2.0 * 99 / 299)
    assert shown(300, 2.0, fps=1.0, max_frames=150) == (list(range(0, 300, 2)), 1.0)


def test_the_last_frames_end_with_the_last():
    assert shown(100, 25.0, policy="last", fps=5.0, max_frames=4) == ([84, 89, 94, 99], 5.0)
    assert shown(12, 25.0, policy="last", fps=5.0, min_frames=2) == ([1, 6, 11], 5.0)


def test_short_clips_show_enough():
    assert shown(25, 25.0, fps=1.0) == ([0, 8, 16, 24], 25.0 * 3 / 24)
    assert shown(3, 25.0, fps=1.0) == ([0, 1, 2], 25.0)
    assert shown(1, 25.0).frames == [0]


@pytest.mark.parametrize("policy", ["fps", "dense_then_even", "even", "middle", "last"])
@pytest.mark.parametrize("count, fps", [(250, 25.0), (77, 30000 / 1001), (300, 1.0), (9, 0.5)])
def test_the_rate_spans_the_true_time(policy, count, fps):
    """At the stated rate the shown frames last as long as they do in the stored video."""
    most = 300 if policy == "fps" else 40
    frames, rate = shown(count, fps, policy=policy, fps=3.0, max_frames=most)
    assert 1 < len(frames) <= most and frames == sorted(set(frames)) and frames[-1] < count
    true = (frames[-1] - frames[0]) / fps
    assert (len(frames) - 1) / rate == pytest.approx(true, abs=1.01 / fps)


def test_qwen_vl_utils():
    """Numbers worked out by hand from version 0.0.8: smart_nframes, linspace, the stated rate."""
    assert shown(250, 25.0, policy="qwen", fps=2.0) == (
        [0, 13, 26, 39, 52, 66, 79, 92, 105, 118, 131, 144, 157, 170, 183, 197, 210, 223, 236, 249],
        20 / 250 * 25.0,
    )
    assert shown(30, 30.0, policy="qwen", fps=2.0).frames == [0, 10, 19, 29]  # at least four
    frames, fps = shown(1000, 1.0, policy="qwen", max_frames=256)
    assert len(frames) == 256 and fps == 0.256
    assert len(shown(7, 1.0, policy="qwen").frames) == 6  # even


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"policy": "nearest"}, r"policy is one of fps, .*, not 'nearest'"),
        ({"fps": 0.0}, "positive rate"),
        ({"min_frames": 9, "max_frames": 8}, "min_frames <= max_frames"),
        ({"tokens": 0}, "tokens must be positive"),
    ],
)
def test_config_errors(fields, message):
    with pytest.raises(ValueError, match=message):
        VideoConfig(**fields)
    with pytest.raises(ValueError, match="without frames"):
        sample(0, 1.0, VideoConfig())
