"""Rows of pairs: which picture, which text, and what a batch holds."""

import dataclasses
import itertools

import numpy as np
import pytest

from surgzoo.data import feed
from surgzoo.data.config import DataConfig, Part
from surgzoo.data.conversations import conversations
from surgzoo.data.media import MediaReader
from surgzoo.data.mixture import Pools
from surgzoo.data.pair_config import PairConfig
from surgzoo.data.rows import changes, rows_of, stretches
from surgzoo.data.rows.pairs import PairRows, picture
from surgzoo.db import ontology
from surgzoo.db.sentences import Sentences
from surgzoo.models.build import model_config
from surgzoo.tasks.wording import Wording

TINY = model_config("clip-tiny", {"text.length": 80})
SHORT = model_config("clip-tiny")


def config(*tasks, **changes):
    parts = tuple(Part("synthsurg", task, config="small") for task in tasks)
    return DataConfig(**{"mixture": parts, "batch_size": 4, **changes})


def rows(data, stores, architecture=TINY):
    made = rows_of(data, architecture, architecture.processor())
    made.open(stores, Pools(data, stores, made.by))
    return made


def test_a_caption_and_its_frame(stores):
    made = rows(config("image_captioning"), stores)
    assert isinstance(made, PairRows) and made.meta()["cut_texts"] == 0
    item = next(conversations(stores("synthsurg", "small"), "image_captioning", "train"))
    row = made.row([item], np.random.default_rng(0))
    frame = MediaReader(stores).read(item.media[0])
    np.testing.assert_array_equal(row["images"], TINY.processor().images([frame])[0])
    tokens, mask = TINY.processor().texts([item.target])
    np.testing.assert_array_equal(row["tokens"], tokens[0])
    np.testing.assert_array_equal(row["mask"], mask[0])


@pytest.mark.parametrize("architecture", [TINY, model_config("siglip2-tiny", {"text.length": 80})])
def test_batches_are_what_the_spec_says_and_resume(stores, architecture):
    data = config("image_captioning", "phase_recognition", augment=True, pairs=PairConfig(views=2))

    def batches(start=0):
        return feed.batches(data, architecture, architecture.processor(), stores, start=start)

    whole = list(itertools.islice(batches(), 3))
    found = {name: (value.shape, value.dtype) for name, value in whole[0].items()}
    assert found == feed.batch_shapes(data, architecture) and found["views"][0][:2] == (4, 2)
    again = next(batches(start=8))
    assert all(np.array_equal(whole[2][name], again[name]) for name in again)
    assert not np.array_equal(whole[0]["views"][:, 0], whole[0]["views"][:, 1])


def test_a_clip_shows_its_middle_frame(stores):
    item = next(conversations(stores("synthsurg", "small"), "video_captioning", "train"))
    clip = item.media[0]
    shown = picture(item)
    assert clip.kind == "clip" and clip.count > 1
    assert (shown.first, shown.count, shown.kind) == (clip.first + clip.count // 2, 1, "image")
    with pytest.raises(ValueError, match="shows no picture"):
        picture(dataclasses.replace(item, media=()))


def test_labels_are_said_in_the_sentences_of_the_file(stores, tmp_path):
    made = rows(config("phase_recognition", pairs=PairConfig(prompts="synthsurg")), stores)
    items = list(conversations(stores("synthsurg", "small"), "phase_recognition", "train"))
    for item in items[::40]:
        said = {made.text(item, np.random.default_rng(n)) for n in range(20)}
        place = item.options.index(item.answer)
        assert said == set(Sentences("synthsurg").of(item.task, item.options)[place])


def test_of_a_set_one_label_is_drawn_or_none(stores):
    made = rows(config("instrument_recognition", "triplet_recognition"), stores)
    source = stores("synthsurg", "small")
    items = list(conversations(source, "instrument_recognition", "train"))
    several = next(item for item in items if len(item.answer) > 1)
    said = {made.text(several, np.random.default_rng(n)) for n in range(30)}
    assert said == {f"In view: the {label}." for label in several.answer}
    empty = dataclasses.replace(several, answer=[])
    assert made.text(empty, np.random.default_rng(0)) == "No instrument is in view."
    triplet = next(
        item for item in conversations(source, "triplet_recognition", "train") if item.answer
    )
    said = made.text(triplet, np.random.default_rng(0))
    assert any(said.startswith(f"The {instrument}") for instrument, _, _ in triplet.answer)


def test_the_wording_of_questions_does_not_matter(stores):
    items = []
    for protocol in ("open", "choice"):
        wording = Wording(protocol=protocol)
        source = stores("synthsurg", "small")
        items.append(next(conversations(source, "phase_recognition", "train", wording=wording)))
    made = rows(config("phase_recognition"), stores)
    one, other = (made.text(item, np.random.default_rng(0)) for item in items)
    assert one == other and items[1].choices


def test_texts_that_are_cut_are_counted_and_said(stores, caplog):
    made = rows(config("image_captioning"), stores, SHORT)
    assert 0.1 < made.meta()["cut_texts"] < 0.9
    assert "longer than the model reads (48 tokens) and are cut" in caplog.text


def test_changes_keep_the_form_and_are_drawn():
    frame = np.random.default_rng(0).integers(256, size=(40, 60, 3)).astype(np.uint8)
    seen = [changes.changed(frame, np.random.default_rng(n)) for n in range(20)]
    assert all(x.dtype == np.uint8 and x.shape[2] == 3 for x in seen)
    areas = [x.shape[0] * x.shape[1] / (40 * 60) for x in seen]
    assert changes.LEAST - 0.05 < min(areas) < max(areas) <= 1 and len(set(areas)) > 10
    np.testing.assert_array_equal(seen[3], changes.changed(frame, np.random.default_rng(3)))
    # A part is a part, not mirrored: it is found in the frame as it is.
    part = changes.part(frame, np.random.default_rng(1))
    height, width = part.shape[:2]
    assert any(
        np.array_equal(frame[y : y + height, x : x + width], part)
        for y in range(41 - height)
        for x in range(61 - width)
    )
    dark = changes.light(np.full((4, 4, 3), 128, np.uint8), np.random.default_rng(0))
    assert len(np.unique(dark.reshape(-1, 3), axis=0)) == 1 and not np.all(dark == 128)


def test_a_step_has_the_frames_and_texts_inside_of_it(stores):
    pairs = PairConfig(level="step", frames=3, children=2)
    data = config("video_captioning", "image_captioning", pairs=pairs)
    made = rows(data, stores)
    assert made.by == "video"
    source = stores("synthsurg", "small")
    captions = list(conversations(source, "image_captioning", "train"))
    clips = list(conversations(source, "video_captioning", "train"))
    video = clips[0].media[0].video
    unit = [item for item in (*clips, *captions) if item.media[0].video == video]
    texts = {}
    for item in unit:
        key = tuple(TINY.processor().texts([item.target], truncate=True)[0][0])
        texts.setdefault(key, []).append(item)
    for seed in range(5):
        row = made.row(unit, np.random.default_rng(seed))
        said = [item for item in texts[tuple(row["tokens"])] if item.task == "video_captioning"]
        spans = [(c.media[0].first, c.media[0].first + c.media[0].count) for c in said]
        for child in row["child_tokens"]:
            places = [item.media[0].first for item in texts[tuple(child)]]
            assert any(a <= place < b for a, b in spans for place in places)
    batch = next(feed.batches(data, TINY, TINY.processor(), stores))
    found = {name: (value.shape, value.dtype) for name, value in batch.items()}
    assert found == feed.batch_shapes(data, TINY) and found["frames"][0][:2] == (4, 3)


def test_a_video_has_its_captions_in_order(stores):
    pairs = PairConfig(level="video", frames=4, children=3)
    made = rows(config("video_captioning", pairs=pairs), stores)
    clips = list(conversations(stores("synthsurg", "small"), "video_captioning", "train"))
    unit = [item for item in clips if item.media[0].video == clips[0].media[0].video]
    row = made.row(unit, np.random.default_rng(0))
    inner = [unit[int(n)].target for n in stretches.evenly(len(unit), 3)]
    wanted = TINY.processor().texts([" ".join(c.target for c in unit), *inner], truncate=True)[0]
    np.testing.assert_array_equal(row["tokens"], wanted[0])
    np.testing.assert_array_equal(row["child_tokens"], wanted[1:])
    assert stretches.evenly(8, 4).tolist() == [1, 3, 5, 7]
    assert stretches.evenly(2, 4).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("tasks", "changes", "message"),
    [
        (("instrument_localization",), {}, "there is no text to a picture in it"),
        (("image_captioning",), {"pairs": PairConfig(level="step")}, "level=step is made of image"),
        (("phase_recognition",), {"pairs": PairConfig(level="video")}, "made of video_captioning"),
    ],
)
def test_mixtures_that_do_not_fit_are_refused(tasks, changes, message):
    with pytest.raises(ValueError, match=message):
        rows_of(config(*tasks, **changes), TINY, TINY.processor())


def test_configs_that_do_not_fit_are_refused(stores, tmp_path):
    with pytest.raises(ValueError, match="views are of level frame"):
        PairConfig(level="step", views=2)
    with pytest.raises(ValueError, match="children is 0"):
        PairConfig(children=0)
    with pytest.raises(ValueError, match="level is one of frame, step, video"):
        PairConfig(level="phase")
    path = tmp_path / "mine.toml"
    path.write_text('[phase_recognition]\n"preparation" = ["One looks around."]\n')
    with pytest.raises(ValueError, match=r"mine\.toml, \[phase_recognition\]: no sentences for"):
        rows(config("phase_recognition", pairs=PairConfig(prompts=str(path))), stores)
    path.write_text('[instrument_recognition]\n"grasper" = ["A grasper."]\n')
    with pytest.raises(ValueError, match=r"\[instrument_recognition\]: no sentences for bipolar"):
        rows(config("instrument_recognition", pairs=PairConfig(prompts=str(path))), stores)
    names = stores("synthsurg", "small").source, "instrument"
    lines = "".join(f'"{name}" = ["A {name}."]\n' for name in ontology.names(*names))
    path.write_text(f"[instrument_recognition]\n{lines}")
    with pytest.raises(ValueError, match=r"\[instrument_recognition\]: no sentences for none"):
        rows(config("instrument_recognition", pairs=PairConfig(prompts=str(path))), stores)
    bare = model_config("clip-vit-b-32")
    assert rows_of(config("image_captioning"), bare, bare.processor()).spec()["tokens"] == (
        (77,), np.int32
    )  # fmt: skip
    with pytest.raises(ValueError, match="has no tokenizer"):
        rows(config("image_captioning"), stores, bare)
