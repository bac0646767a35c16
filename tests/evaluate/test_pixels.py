"""Answers in pixels: files and pointers, loaded, compared and reported."""

import dataclasses
import json
import re
import shutil

import av
import cv2
import numpy as np
import pytest

from surgzoo.core.registry import Card
from surgzoo.data.media import MediaReader
from surgzoo.db.derive import depth, run
from surgzoo.db.store import Store
from surgzoo.evaluate import baselines
from surgzoo.evaluate.pixels import Judge, frechet_video_distance
from surgzoo.evaluate.predictions import Prediction
from surgzoo.evaluate.report import report
from surgzoo.evaluate.score import score
from surgzoo.evaluate.truth import load_truth
from surgzoo.tasks import tasks
from surgzoo.tasks.pixels import media_of

SOURCE = "synthsurg.small"
FEW = 6
NEW = (
    "action_remaining next_action image_captioning video_captioning instrument_segmentation "
    "depth_estimation desmoking next_frame video_generation"
)


@pytest.fixture(scope="module")
def asked(small_data):
    """task -> a few conversations of the test split, and the reader of their media."""
    names = ["instrument_segmentation", "depth_estimation", "desmoking", "video_generation"]
    truth = load_truth(small_data, [SOURCE], names)
    read = MediaReader(lambda source, config: truth.stores[f"{source}.{config}"])
    found = {
        name: [c for c in truth.conversations.values() if c.task == name][:FEW] for name in names
    }
    return found, read, truth


def row(write, lines, data_dir, task):
    return score(write(lines), data_dir).row(task)


def line(conversation, **said):
    return {"id": conversation.id, "text": None, **said}


def test_image_files_are_relative_to_the_predictions(asked, small_data, write, tmp_path):
    conversations, read, _ = asked
    lines = []
    for number, item in enumerate(conversations["instrument_segmentation"]):
        values = item.answer["values"]
        mask = np.isin(read.read(media_of(item.answer)), values).astype(np.uint8) * 255
        (tmp_path / "masks").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "masks" / f"{number}.png"), mask)
        lines.append(line(item, text=f"masks/{number}.png"))
    found = row(write, lines, small_data, "instrument_segmentation")
    assert found.value == 1 and found.predicted == FEW and not found.reasons


def test_depth_files_of_other_scale(asked, small_data, write, tmp_path):
    conversations, read, _ = asked
    lines = []
    for number, item in enumerate(conversations["depth_estimation"]):
        stored = read.read(media_of(item.answer))
        cv2.imwrite(str(tmp_path / f"{number}.png"), (stored // 2 + 900).astype(np.uint16))
        lines.append(line(item, answer={"path": f"{number}.png"}))
    found = row(write, lines, small_data, "depth_estimation")
    assert found.value == 1
    assert found.metrics["rmse"] < 1e-4


def test_folders_and_videos_of_clips(asked, small_data, write, tmp_path):
    conversations, read, _ = asked
    items = conversations["video_generation"]
    lines = []
    for number, item in enumerate(items):
        frames = read.read(media_of(item.answer))
        if number % 2:
            folder = tmp_path / f"clip {number}"
            folder.mkdir()
            for k, frame in enumerate(frames):
                cv2.imwrite(str(folder / f"{k:03d}.png"), frame[..., ::-1])
            lines.append(line(item, text=folder.name))
        else:
            path = tmp_path / f"{number}.mp4"
            with av.open(str(path), "w") as container:
                stream = container.add_stream("mpeg4", rate=1)
                stream.height, stream.width = frames.shape[1:3]
                stream.bit_rate, stream.pix_fmt = 8_000_000, "yuv420p"
                for frame in frames:
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
                container.mux(stream.encode())
            lines.append(line(item, text=path.name))
    files = row(write, lines[1::2], small_data, "video_generation")
    assert files.value == pytest.approx(1)
    video = row(write, lines[::2], small_data, "video_generation")
    assert 0.9 < video.value < 1 and video.metrics["psnr"] > 28


def test_the_frechet_distance_of_clips(asked):
    conversations, _, truth = asked
    judge, task = Judge(truth.stores, None), tasks.get("video_generation")()
    items = conversations["video_generation"]
    right = [(item, Prediction(item.id, answer=item.answer)) for item in items]
    same = frechet_video_distance(judge, task, right)
    assert same == {"fvd_grey16": pytest.approx(0, abs=1e-6)}
    lost = frechet_video_distance(judge, task, [*right[:-2], (items[-2], None), (items[-1], None)])
    black = frechet_video_distance(judge, task, [(item, None) for item in items])
    unread = [(item, Prediction(item.id, text="no.mp4")) for item in items]
    assert 0.1 < lost["fvd_grey16"] < black["fvd_grey16"]
    assert frechet_video_distance(judge, task, unread) == black
    with pytest.raises(ValueError, match="two or more"):
        frechet_video_distance(judge, task, right[:1])


def test_what_cannot_be_read_says_why(asked, small_data, write, tmp_path):
    conversations, _, _ = asked
    item = conversations["desmoking"][0]
    (tmp_path / "torn.png").write_bytes(b"\x89PNG not really")
    (tmp_path / "words.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    cv2.imwrite(str(tmp_path / "nan.tif"), np.full((16, 16), np.nan, np.float32))
    media = item.answer["media"]
    reasons = {
        "cannot be decoded": {"text": "torn.png"},
        "there is no file": {"text": "nowhere.png"},
        "names no file (File name too long)": {"text": "I cannot show this picture. " * 20},
        "names no file (Not a directory)": {"text": "words.txt/0.png"},
        "names no file (embedded null byte)": {"answer": {"path": "a\0b.png"}},
        "not finite": {"text": "nan.tif"},
        "is not an image file": {"text": "words.txt"},
        "names no file": {"text": "<image>"},
        "names no file: ": {"text": "I cannot\ndo this"},
        "needs": {"answer": "words"},
        "is no pointer": {"answer": {"media": {"first": 0}}},
        "has no field": {"answer": {"media": {**media, "colour": "red"}}},
        "which is not scored here": {"answer": {"media": {**media, "source": "cholec80"}}},
        "points at nothing": {"answer": {"media": {**media, "first": 99999}}},
        "has no map 'thermal'": {"answer": {"media": {**media, "kind": "thermal"}}},
        "the server was down": {"error": "the server was down"},
    }
    for reason, said in reasons.items():
        path = write([line(item, **said)])
        found = score(path, small_data).row("desmoking")
        assert (found.value, found.unparsed) == (0, 1)
        quoted = reason.strip(": ")
        assert quoted.split("'")[0].strip() in next(iter(found.reasons)), found.reasons
    clip = conversations["video_generation"][0]
    for text, reason in (
        ("empty", "holds no frame"),
        ("words.txt", "cannot be decoded as a video"),
    ):
        found = score(write([line(clip, text=text)]), small_data).row("video_generation")
        assert reason in next(iter(found.reasons))


def test_only_numbers_are_kept(asked, small_data, write):
    from surgzoo.evaluate.grade import grade
    from surgzoo.evaluate.score import read_all

    conversations, _, _ = asked
    items = [line(c, answer=c.answer) for found in conversations.values() for c in found]
    path = write(items)
    graded = grade(*read_all(path, small_data, split="test", scheme="default"), path.parent).graded
    assert len(graded) == len(items)
    for entry in graded.values():
        assert all(isinstance(value, float) for value in entry.answer.values())


def test_input_as_output_baseline(asked, small_data):
    conversations, _, truth = asked
    few = {c.id: c for found in conversations.values() for c in found}
    truth = dataclasses.replace(truth, conversations=few)
    predictions = baselines.baseline_predictions(truth, truth)
    assert {name: list(found) for name, found in predictions.items()} == {
        "instrument_segmentation": ["input", "empty mask"],
        "depth_estimation": ["input"],
        "desmoking": ["input"],
        "video_generation": ["last frame"],
    }
    for item in predictions["desmoking"]["input"][:3]:
        assert item.answer["media"].get("kind", "image") == "image"
    scored = baselines.score_baselines(truth, small_data)
    assert 10 < scored["desmoking"]["input"].row("desmoking").value < 40  # dB
    assert 0.2 < scored["depth_estimation"]["input"].row("depth_estimation").value < 1
    # Half of the questions show no image to begin with.
    row = scored["video_generation"]["last frame"].row("video_generation")
    assert row.missing == row.predicted


def test_the_mean_map_of_the_training_split(asked, small_data, tmp_path):
    conversations, read, truth = asked
    items = conversations["depth_estimation"]
    training = load_truth(small_data, [SOURCE], list(truth.tasks), split="train")
    few = dataclasses.replace(truth, conversations={c.id: c for c in items})
    (said, *_) = baselines.baseline_predictions(training, few, tmp_path)["depth_estimation"][
        "mean map"
    ]
    procedure = truth.video(items[0].id).procedure
    maps = [
        read.read(media_of(c.answer)) / 65535
        for c in training.conversations.values()
        if c.task == "depth_estimation" and training.video(c.id).procedure == procedure
    ]
    assert len(maps) < baselines.MEANS
    mean = cv2.imread(said.text, cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(mean, np.mean(maps, axis=0), atol=1e-6)
    scored = baselines.score_baselines(few, small_data)["depth_estimation"]
    value = {name: found.row("depth_estimation").value for name, found in scored.items()}
    assert 0 < value["mean map"] <= 1 and value.keys() == {"input", "mean map"}


def test_masks_of_nothing_and_of_the_usual_place(asked, small_data):
    conversations, _, truth = asked
    items = conversations["instrument_segmentation"]
    few = dataclasses.replace(truth, conversations={c.id: c for c in items})
    scored = baselines.score_baselines(few, small_data)["instrument_segmentation"]
    assert scored.keys() == {"input", "empty mask", "mean map"}
    free = sum(not item.answer["values"] for item in items)
    row = scored["empty mask"].row("instrument_segmentation")
    assert row.value == pytest.approx(free / len(items)) and row.unparsed == 0


def test_text_and_seconds_baselines():
    assert baselines.median([1, 2, 9, 10]) == 5.5
    assert baselines.frequent_caption(["a", "b", "b"]) == "b"


def test_report_with_every_new_task(small_data, tmp_path):
    names = NEW.split()
    truth = load_truth(small_data, [SOURCE], names)
    lines = []
    for name in names:
        items = [c for c in truth.conversations.values() if c.task == name][:FEW]
        for number, item in enumerate(items):
            other = items[(number + number % 2) % len(items)]
            if truth.tasks[name].answer_form == "pixels":
                said = {"answer": other.answer} if number else {"text": "nowhere.png"}
            else:
                said = {"text": other.target if number else ""}
            lines.append({"model": "m", **line(item, **said)})
    path = tmp_path / "predictions.jsonl"
    path.write_text("".join(json.dumps(x) + "\n" for x in lines))
    page = report(path, small_data, tmp_path / "out", baselines=False, max_examples=45)
    text = page.read_text(encoding="utf-8")
    assert "Input, Truth, Prediction side by side" in text
    assert "Truth side by side" in text  # unread, and nothing was shown
    assert re.search(r"\d dB", text)
    summary = page.with_name("summary.md").read_text(encoding="utf-8")
    assert re.search(r"\| Desmoking +\| PSNR +\| +\d+\.\d\d dB \|", summary)
    assert re.search(r"\| Next action +\| Accuracy +\| +\d+\.\d \|", summary)


def test_derived_depth_is_asked_and_scored_and_says_so(data_dir, write, tmp_path):
    """A source without depth gets it from a registered model."""
    shutil.copytree(data_dir / "toyscope", tmp_path / "data" / "toyscope")
    assert not load_truth(tmp_path / "data", ["toyscope.fps1"], ["depth_estimation"]).conversations
    card = Card("a stand-in", "none", "this test")
    depth.depth_models.register("left is near", _left_is_near, card)
    run.add_depth_model(Store.open(tmp_path / "data", "toyscope"), "left is near")
    truth = load_truth(tmp_path / "data", ["toyscope.fps1"], ["depth_estimation"])
    items = list(truth.conversations.values())
    assert len(items) == 120
    assert {c.derived for c in items} == {"pseudo-label of the depth model left is near"}
    lines = [line(c, answer=c.answer) for c in items[:5]]
    assert row(write, lines, tmp_path / "data", "depth_estimation").value == 1


def _left_is_near(image):
    return np.tile(np.arange(image.shape[1], dtype=float), (image.shape[0], 1))
