"""The database card against a count by hand of the same sources."""

import collections
import dataclasses
import html.parser
import json

import numpy as np
import pytest

from surgzoo.data import card
from surgzoo.data.card.collect import GRID, LENGTHS, SIZES, Boxes, boxes_of, labels
from surgzoo.data.conversations import conversations
from surgzoo.data.media import Stores
from surgzoo.datasets.surg_sigma_db import plan
from surgzoo.datasets.surg_sigma_db.surg_sigma_db import build
from surgzoo.tasks import tasks
from surgzoo.tasks.wording import Wording

NAMES = ("instrument_localization", "phase_recognition", "triplet_recognition")
MIXED = Wording(protocol="mixed")


@pytest.fixture(scope="module")
def found(stores):
    return card.collect([stores("synthsurg.small")], NAMES, wording=MIXED)


@pytest.fixture(scope="module")
def everything(stores):
    store = stores("synthsurg.small")
    return {
        name: [
            c for split in ("train", "val", "test")
            for c in conversations(store, name, split, wording=MIXED)
        ]
        for name in NAMES
    }  # fmt: skip


def test_counts(found, everything):
    for name, items in everything.items():
        assert found.total(task=name) == len(items)
        by_split = collections.Counter(item.split for item in items)
        assert {s: found.total(task=name, split=s) for s in by_split} == dict(by_split)
        counted = collections.Counter(
            label for item in items for label in labels(tasks.get(name)(), item.answer)
        )
        assert found.labels[name] == counted
        put = found.put[name]
        assert put["listed choices"] == sum(bool(item.choices) for item in items)
        assert put["first exchange"] == sum(len(item.turns) > 2 for item in items)
        words = np.zeros(len(LENGTHS) + 1, int)
        for item in items:
            words[sum(len(item.target.split()) > high for high in LENGTHS)] += 1
        np.testing.assert_array_equal(found.words[name, "answer"], words)
    assert found.total() == sum(map(len, everything.values()))
    assert found.values("split") == ["train", "val", "test"]
    assert set(found.values("specialty")) == {"hepatobiliary", "urology"}


def test_boxes(found, everything):
    boxes = [box for item in everything[NAMES[0]] for _, box in item.answer]
    assert found.boxes[NAMES[0]].count == len(boxes) == found.boxes[NAMES[0]].sizes.sum()
    middle = (GRID // 2 + 0.5) / GRID
    inside = sum(x1 <= middle < x2 and y1 <= middle < y2 for x1, y1, x2, y2 in boxes)
    assert found.boxes[NAMES[0]].cover[GRID // 2, GRID // 2] == inside


def test_a_box_by_hand():
    boxes = Boxes()
    boxes.add([0.0, 0.5, 0.25, 1.0])  # left quarter, lower half
    assert boxes.cover[GRID // 2 :, : GRID // 4].all() and boxes.cover.sum() == GRID * GRID / 8
    assert boxes.sizes[int(0.125**0.5 * SIZES)] == 1


def test_sources(found, stores):
    (facts,) = found.sources
    store = stores("synthsurg.small")
    assert facts.name == "synthsurg.small" and facts.version == store.path.name
    assert facts.videos == found.operations == 6 and facts.frames == len(store)
    assert facts.splits == {"train": 2, "val": 2, "test": 2}
    assert facts.seconds == pytest.approx(sum(v.video.duration for v in store.videos))
    assert facts.licences == {"Apache-2.0": 6} and facts.quarantined == 0


def test_samples_are_the_same_every_time_and_of_all_splits(found, stores):
    again = card.collect([stores("synthsurg.small")], NAMES, wording=MIXED)
    assert again.samples == found.samples
    assert all(len(items) == 6 for items in found.samples.values())
    assert len({item.split for items in found.samples.values() for item in items}) == 3


def test_mistakes_are_told(stores):
    """Every video of an unknown scheme would count as one without a split."""
    store = stores("synthsurg.small")
    with pytest.raises(ValueError, match="no split scheme 'rvd'; it has default, official"):
        card.collect([store], NAMES[:1], scheme="rvd")
    with pytest.raises(ValueError, match=r"synthsurg\.small is given twice"):
        card.collect([store, store], NAMES[:1])


def test_the_card_of_a_database_counts_its_rows(small_data, tmp_path):
    """With another wording and other splits than the sources have, and some that a gate held."""
    (tmp_path / "synthsurg").symlink_to(small_data / "synthsurg")
    stores = Stores(tmp_path)
    videos = [v.video.canonical for v in stores("synthsurg.small").videos]
    splits = dict(zip(videos[:3], ("train", "test", "test"), strict=True))
    said = [
        max(len(turn.text) for turn in item.turns)
        for name in NAMES
        for split in ("train", "val")
        for item in conversations(stores("synthsurg.small"), name, split, wording=plan.WORDING)
    ]
    longest = sorted(said)[-len(said) // 20]  # all but the longest five in a hundred
    limits = dataclasses.replace(plan.LIMITS, turn=longest, quarantined=0.5)
    made = plan.make(tmp_path, ["synthsurg.small"], NAMES, splits=splits, limits=limits)
    built = build(made, workers=1)
    found = card.collect_built(list(built.values()), stores)
    for name, table in built.items():
        rows = list(table)
        assert found.total(task=name) == len(rows) > 0
        for split, count in table.counts().items():
            assert found.total(task=name, split=split) == count
        counted = collections.Counter(
            label for item in rows for label in labels(tasks.get(name)(), item.answer)
        )
        assert found.labels[name] == counted
        assert found.held[name] == table.meta["quarantined"]
    some = next(name for name in NAMES if found.held[name])
    (facts,) = found.sources
    assert facts.videos == found.operations == 3 and facts.splits == {"train": 1, "test": 2}
    assert found.scheme == "synthsurg=given"
    path = card.write(found, stores, tmp_path / "card")
    numbers = json.loads((path.parent / "card.json").read_text(encoding="utf-8"))
    assert numbers["held"][some] == dict(found.held[some])
    assert "Held back by the quality gates" in path.read_text(encoding="utf-8")


def test_boxes_of_free_answers_count_too():
    task = tasks.get("visual_question_answering")()
    box = [0.1, 0.2, 0.3, 0.4]
    assert boxes_of(task, {"text": "there", "box": box}) == [("", box)]
    assert boxes_of(task, {"text": "nowhere", "box": None}) == []


class _Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = collections.Counter(), []

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1

    def handle_data(self, data):
        self.text.append(data)


def test_page_and_json(found, stores, tmp_path):
    path = card.write(found, stores, tmp_path, "Small")
    text = path.read_text(encoding="utf-8")
    assert "http" not in text.replace("http-equiv", "")  # needs nothing beside itself
    page = _Page()
    page.feed(text)
    assert page.tags["article"] == 3 * 6 and page.tags["img"] == 1 and page.tags["h1"] == 1
    words = " ".join(" ".join(page.text).split())
    assert "Instrument localization" in words and "Hepatobiliary" in words
    numbers = json.loads((tmp_path / "card.json").read_text(encoding="utf-8"))
    assert numbers["conversations"] == found.total()
    assert sum(cell["conversations"] for cell in numbers["cells"]) == found.total()
    assert numbers["labels"]["phase_recognition"] == dict(found.labels["phase_recognition"])


def test_quarantine_is_shown(stores, tmp_path, small_data):
    import shutil

    shutil.copytree(small_data, tmp_path / "data")
    (file,) = (tmp_path / "data").rglob("quarantine.jsonl")
    entry = {"video": "a", "where": "b", "reason": "not a readable image"}
    gone = {"video": "b", "where": "b.mp4", "reason": "the video is not there", "absent": True}
    lines = [json.dumps(entry)] * 3 + [json.dumps(gone)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    copy = Stores(tmp_path / "data")
    found = card.collect([copy("synthsurg.small")], ["phase_recognition"])
    assert (found.sources[0].quarantined, found.sources[0].absent) == (3, 1)
    text = card.write(found, copy, tmp_path / "card").read_text(encoding="utf-8")
    assert "not a readable image" in text and "the video is not there" in text
