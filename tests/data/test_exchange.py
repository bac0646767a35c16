"""Exports for other trainers: what they hold, and that what was written is read back the same."""

import dataclasses
import json

import numpy as np
import pyarrow.json  # comes with TFDS
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from surgzoo.data.conversations import conversations
from surgzoo.data.exchange import chat, coco, medvidbench
from surgzoo.data.exchange.pictures import Pictures, address
from surgzoo.data.media import Stores, decode_jpeg
from surgzoo.db.derive import maps
from surgzoo.db.schema import Media
from surgzoo.db.store import Store
from surgzoo.tasks.wording import Wording

FORMATS = ("llava", "sharegpt", "swift")
TASK = "triplet_recognition"


@pytest.fixture(scope="module")
def items(stores):
    store = stores("synthsurg.small")
    found = list(conversations(store, TASK, "test", wording=Wording(protocol="mixed")))[:40]
    assert {len(item.turns) for item in found} == {2, 4} and any(item.choices for item in found)
    return [
        *found[:20],
        *(dataclasses.replace(item, thinking="Level 1: so.") for item in found[20:]),
    ]


@pytest.fixture(scope="module")
def clips(items):
    """The same talks about a clip of three frames each."""
    return [
        dataclasses.replace(
            item, media=(dataclasses.replace(item.media[0], first=2, count=3, kind="clip"),)
        )
        for item in items
    ]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("what", ["items", "clips"])
def test_what_is_written_is_read_back(form, what, request, stores, tmp_path):
    wanted = request.getfixturevalue(what)
    path, count = chat.write(wanted, Pictures(tmp_path, stores), form, TASK)
    assert count == len(wanted)
    assert list(chat.read(path)) == wanted


@pytest.mark.parametrize("form", FORMATS)
def test_marks_and_pictures_agree(form, items, clips, stores, tmp_path):
    """What the trainers check: as many <image> or <video> in the text as pictures beside it."""
    roles = ["human", "gpt"] if form == "llava" else ["user", "assistant"]
    for wanted, mark in ((items, "<image>"), (clips, "<video>")):
        path, _ = chat.write(wanted, Pictures(tmp_path, stores), form, TASK)
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        records = [json.loads(x) for x in lines] if form == "swift" else json.loads(text)
        for record, item in zip(records, wanted, strict=True):
            turns = record["conversations" if form == "llava" else "messages"]
            said = [turn["value" if form == "llava" else "content"] for turn in turns]
            assert said[0].startswith(f"{mark}\n") and "".join(said).count(mark) == 1
            spoke = [turn["from" if form == "llava" else "role"] for turn in turns]
            assert spoke == roles * (len(said) // 2)
            names = json.dumps([record.get(k) for k in ("image", "images", "video", "videos")])
            assert names.count(".jpg") == item.media[0].count


def test_pictures_are_the_stored_bytes_written_once(items, stores, tmp_path):
    pictures = Pictures(tmp_path, stores)
    media = items[0].media[0]
    (name,) = pictures(media)
    stored = stores("synthsurg.small").frame(media.video, media.first).image
    assert (tmp_path / name).read_bytes() == stored
    assert address(name) == ("synthsurg", "small", media.video, media.first, "image")
    (tmp_path / name).write_bytes(b"as it was")
    assert Pictures(tmp_path, stores)(media) == [name]
    assert (tmp_path / name).read_bytes() == b"as it was"
    assert not list(tmp_path.rglob("*.part"))


def test_maps_are_written_too_and_a_lacking_one_is_an_error(items, stores, tmp_path):
    media = dataclasses.replace(items[0].media[0], kind="instrument_mask")
    (name,) = Pictures(tmp_path, stores)(media)
    assert name.endswith(".png") and (tmp_path / name).read_bytes()[1:4] == b"PNG"
    with pytest.raises(ValueError, match=r"nothing to export: .*frame 0 has no map 'heat'"):
        Pictures(tmp_path, stores)(dataclasses.replace(media, kind="heat"))


def test_llama_factory_finds_the_file(items, clips, stores, tmp_path):
    for wanted, key in ((items, "images"), (clips, "videos")):
        chat.write(wanted, Pictures(tmp_path, stores), "sharegpt", key)
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    assert set(info) == {"images", "videos"}
    for key, entry in info.items():
        assert (tmp_path / entry["file_name"]).exists()
        assert entry["columns"] == {"messages": "messages", key: key}


def test_a_task_whose_first_question_is_in_words_alone(items, clips, stores, tmp_path):
    """The columns are those of all records: LLaMA-Factory looks for pictures in no other."""
    mixed = [dataclasses.replace(items[0], media=()), *clips[:3]]
    path, _ = chat.write(mixed, Pictures(tmp_path, stores), "sharegpt", "mixed")
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    assert info["mixed"]["columns"] == {"messages": "messages", "videos": "videos"}
    assert list(chat.read(path)) == mixed


@pytest.mark.parametrize("task", ["instrument_localization", "safety_assessment"])
@pytest.mark.parametrize("form", FORMATS)
def test_every_field_has_one_type(task, form, stores, tmp_path):
    """The trainers read a file as a table; [["hook", [0.1, ..]]] and ["c1", true] fit no column."""
    wanted = list(conversations(stores("synthsurg.small"), task, "test"))
    assert any(isinstance(part, list) for item in wanted for part in item.answer)
    path, _ = chat.write(wanted, Pictures(tmp_path, stores), form, task)
    assert list(chat.read(path)) == wanted
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines() if form == "swift" else [json.dumps(r) for r in json.loads(text)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    table = pyarrow.json.read_json(tmp_path / "rows.jsonl")
    assert table.num_rows == len(wanted)


def test_a_mark_in_the_text_is_an_error(items, stores, tmp_path):
    """Readers count them against the pictures."""
    said = dataclasses.replace(items[0].turns[0], text="<image> What is this?")
    bad = dataclasses.replace(items[0], turns=(said, *items[0].turns[1:]))
    with pytest.raises(ValueError, match=f"{items[0].id}: turn 0 says <image>"):
        chat.record(bad, Pictures(tmp_path, stores), "llava")


def test_several_pictures_have_a_mark_each(items, stores, tmp_path):
    medium = items[0].media[0]
    pair = dataclasses.replace(items[0], media=(medium, dataclasses.replace(medium, first=3)))
    for form in FORMATS:
        path, _ = chat.write([pair], Pictures(tmp_path, stores), form, form)
        assert path.read_text(encoding="utf-8").count("<image><image>\\n") == 1
        assert list(chat.read(path)) == [pair]


@pytest.mark.parametrize("video", ["../../outside", "..", "a/b", ".hidden", ""])
def test_nothing_is_written_outside_the_folder(items, tmp_path, video):
    """A release that somebody else made names the videos."""
    media = dataclasses.replace(items[0].media[0], video=video)
    pictures = Pictures(tmp_path / "out", lambda *_: pytest.fail("it was read"))
    with pytest.raises(ValueError, match="cannot be the name of a folder"):
        pictures(media)
    assert not list(tmp_path.iterdir())


def test_derived_maps_are_written(items, small_data, tmp_path):
    (tmp_path / "synthsurg").symlink_to(small_data / "synthsurg")
    store = Store.open(tmp_path, "synthsurg", "small")
    media = dataclasses.replace(items[0].media[0], kind="smoke")
    folder = maps.place(store.path, "smoke")
    path = maps.file_of(maps.begin(folder), "smoke", media.video, media.first)
    path.parent.mkdir(parents=True)
    image = store.frame(media.video, media.first).image
    path.write_bytes(image)
    maps.finish(folder, maps.Manifest("smoke", store.path.name, "for a test"))
    (name,) = Pictures(tmp_path / "out", Stores(tmp_path))(media)
    assert name.endswith(".jpg") and (tmp_path / "out" / name).read_bytes() == image


def test_reasoning_goes_before_the_answer(items, stores, tmp_path):
    record = chat.record(items[-1], Pictures(tmp_path, stores), "swift")
    said = record["messages"][-1]["content"]
    assert said == f"<think>Level 1: so.</think><answer>{items[-1].target}</answer>"


def test_what_a_chat_cannot_hold(items, stores, tmp_path):
    pictures = Pictures(tmp_path, stores)
    pixels = dataclasses.replace(items[0], answer={"media": {}})
    clip = dataclasses.replace(items[0].media[0], count=2, kind="clip")
    mixed = dataclasses.replace(items[0], media=(items[0].media[0], clip))
    with pytest.raises(ValueError, match="pixels"):
        chat.record(pixels, pictures, "llava")
    with pytest.raises(ValueError, match="mixes clips and images"):
        chat.record(mixed, pictures, "llava")
    with pytest.raises(ValueError, match="pixels"):
        medvidbench.record(pixels, pictures, stores)


def test_a_foreign_file_is_told(tmp_path):
    path = tmp_path / "other.json"
    path.write_text('[{"id": "1", "conversations": []}]')
    with pytest.raises(ValueError, match=r"other.json, record 0: has no 'surgzoo' entry"):
        list(chat.read(path))


def test_medvidbench(clips, stores, tmp_path):
    path, count = medvidbench.write(clips, Pictures(tmp_path, stores), stores, TASK)
    records = json.loads(path.read_text())
    assert len(records) == count == len(clips)
    first = records[0]
    assert first["qa_type"] == TASK and first["data_source"] == "synthsurg"
    assert first["metadata"] == {
        "fps": 1.0,
        "video_id": clips[0].media[0].video,
        "start_frame": 2,
        "end_frame": 4,
    }
    assert len(first["video"]) == 3 and all((tmp_path / name).exists() for name in first["video"])
    assert first["conversations"][0]["value"].startswith("<video>\n")
    assert list(chat.read(path)) == clips
    assert all("<think>" not in turn["value"] for r in records for turn in r["conversations"])


def test_medvidbench_of_frames_is_read_back(items, stores, tmp_path):
    path, _ = medvidbench.write(items, Pictures(tmp_path, stores), stores, TASK)
    assert list(chat.read(path)) == items


@pytest.mark.parametrize("kind", ["instrument", "tissue"])
def test_coco_is_read_by_its_own_tools(kind, stores, tmp_path):
    store = stores("synthsurg.small")
    path, count = coco.write(store, Pictures(tmp_path, stores), kind, kind=kind, split="test")
    api = COCO(str(path))
    assert len(api.anns) == count > 50
    expected = {}
    for stored in store.select("test"):
        for record in store.records(stored):
            expected[stored.video.id, record.frame.index] = record
    assert len(api.imgs) == len(expected)
    for image in api.imgs.values():
        record = expected[image["video"], image["frame"]]
        pixels = decode_jpeg((tmp_path / image["file_name"]).read_bytes(), "")
        assert pixels.shape[:2] == (image["height"], image["width"])
        found = api.imgToAnns[image["id"]]
        wanted = getattr(record.annotations, f"{kind}s")
        assert len(found) == len(wanted)
        for entry, item in zip(found, wanted, strict=True):
            x, y, w, h = entry["bbox"]
            side = image["width"]
            box = (item.box.x1, item.box.y1, item.box.x2, item.box.y2)
            assert (x / side, y / side, (x + w) / side, (y + h) / side) == pytest.approx(box)
            # The mask's own extent, by pycocotools, is the annotated box.
            mask = api.annToRLE(entry)
            np.testing.assert_allclose(coco_mask.toBbox(mask), entry["bbox"], atol=1e-6)
            assert coco_mask.area(mask) == entry["area"]
    boxes = dict(coco.read(path))
    some = next(iter(api.imgs.values()))
    record = expected[some["video"], some["frame"]]
    assert [box for _, box in boxes[some["file_name"]]] == [
        item.box for item in getattr(record.annotations, f"{kind}s")
    ]


class Boxless:
    """Two frames of a store: in the second one an instrument is named and not located."""

    def __init__(self, store, count):
        self.source, self.config = store.source, store.config
        self._records = [store.frame(store.videos[0].video.id, k) for k in range(40)]
        self._records = [r for r in self._records if r.annotations.instruments][:count]

    def select(self, split, scheme):
        return [None]

    def records(self, stored):
        first, *rest = self._records[-1].annotations.instruments
        bare = dataclasses.replace(first, box=None, mask=0)
        annotations = dataclasses.replace(self._records[-1].annotations, instruments=(bare, *rest))
        yield from self._records[:-1]
        yield dataclasses.replace(self._records[-1], annotations=annotations)


def test_a_frame_with_an_unboxed_instrument_is_no_frame_without_it(stores, tmp_path):
    """Cholec80 names the tools of a frame; as images without objects they would teach a lie."""
    store = stores("synthsurg.small")
    path, _ = coco.write(Boxless(store, 2), Pictures(tmp_path, stores), "boxes")
    whole = json.loads(path.read_text())
    assert len(whole["images"]) == 1 and whole["annotations"]
    with pytest.raises(ValueError, match="no frame has all its instruments boxed"):
        coco.write(Boxless(store, 1), Pictures(tmp_path, stores), "boxes")


@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=7))
def test_run_lengths_are_cocos(rows):
    mask = np.array(rows, bool)
    encoded = {"size": list(mask.shape), "counts": coco.run_lengths(mask)}
    decoded = coco_mask.decode(coco_mask.frPyObjects(encoded, *mask.shape))
    np.testing.assert_array_equal(decoded.astype(bool), mask)


def test_a_broken_coco_file_is_told(tmp_path):
    path = tmp_path / "boxes.json"
    path.write_text('{"images": []}')
    with pytest.raises(ValueError, match="has no annotations, categories; it has images"):
        list(coco.read(path))
    image = {"id": 1, "file_name": "a.jpg", "height": 10, "width": 10}
    box = {"id": 7, "image_id": 1, "category_id": 1, "bbox": [2, 2, 0, 3]}
    whole = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "hook"}]}
    path.write_text(json.dumps(whole))
    with pytest.raises(ValueError, match=r"boxes.json, annotation 7: .*empty"):
        list(coco.read(path))


def test_media_survive_as_paths():
    from surgzoo.data.exchange.pictures import media_of

    media = Media("cholect50", "fps1", "VID01", 7, 2, "clip")
    names = ["images/cholect50.fps1/VID01/000007.jpg", "images/cholect50.fps1/VID01/000008.jpg"]
    assert media_of(names, clip=True) == (media,)
    with pytest.raises(ValueError, match="is not a path of an export"):
        media_of(["a.jpg"], clip=False)
