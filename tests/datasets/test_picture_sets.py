"""Sets of pictures without a clock: DSAD, ROBUST-MIS, LapGyn4, Kvasir-Instrument, HyperKvasir."""

import json

import cv2
import numpy as np
import pytest
from fixtures_cholec import HEIGHT, WIDTH, numbered_image, write_image, write_text
from fuzzing import fuzz

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.dsad.dsad import DSAD
from surgzoo.datasets.hyper_kvasir.hyper_kvasir import HyperKvasir, polyps
from surgzoo.datasets.kvasir_instrument.kvasir_instrument import KvasirInstrument
from surgzoo.datasets.lapgyn4.lapgyn4 import LapGyn4
from surgzoo.datasets.layout import LayoutError
from surgzoo.datasets.robust_mis.robust_mis import RobustMIS
from surgzoo.datasets.source_builder import prepare
from surgzoo.db import ontology
from surgzoo.db.schema import Box, Question
from surgzoo.db.sources import sources
from surgzoo.db.store import Store
from surgzoo.tasks import clips

BUILDERS = (DSAD, HyperKvasir, KvasirInstrument, LapGyn4, RobustMIS)


def prepared(builder, folder, **options):
    options = {"workers": 1, **options}
    return Store(prepare(builder, folder / "out", manual_dir=folder / "raw", **options))


def quarantine(store):
    lines = (store.path / "quarantine.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def frames(store, video):
    return list(store.records(store.video(video)))


def rectangle(x1, y1, x2, y2, value=255):
    """A mask as a file has it; corners as shares of the picture."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[int(y1 * HEIGHT) : int(y2 * HEIGHT), int(x1 * WIDTH) : int(x2 * WIDTH)] = value
    return mask


def write_mask(path, mask):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), mask)


def decoded(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize("builder", BUILDERS)
def test_another_folder_shows_what_is_expected(tmp_path, builder):
    write_text(tmp_path / "raw" / "readme.txt", "nothing")
    first = builder.EXPECTED.strip().splitlines()[0].split()[0]
    with pytest.raises(LayoutError) as caught:
        prepared(builder, tmp_path)
    assert first in str(caught.value) and "readme.txt" in str(caught.value)
    assert sources.get(builder.source) is builder


# ---- DSAD ----------------------------------------------------------------------------------------

LEFT, RIGHT = Box(0, 0, 0.5, 0.5), Box(0.5, 0.5, 1, 1)


def write_dsad(raw):
    for number in (0, 1, 2):
        write_image(raw / f"liver/04/image{number:02d}.png", numbered_image(number))
    write_mask(raw / "liver/04/mask00.png", rectangle(0, 0, 0.5, 0.5))
    write_mask(raw / "liver/04/mask01.png", rectangle(0, 0, 0, 0))
    write_image(raw / "multilabel/02/image00.png", numbered_image(7))
    write_mask(raw / "multilabel/02/mask00_liver.png", rectangle(0, 0, 0.5, 0.5, 250))
    write_mask(raw / "multilabel/02/mask00_colon.png", rectangle(0.5, 0.5, 1, 1))
    write_mask(raw / "multilabel/02/mask00_spleen.png", rectangle(0, 0, 0, 0))
    return raw


def test_dsad_one_organ_is_a_question_and_several_are_tissues(tmp_path):
    write_dsad(tmp_path / "raw")
    store = prepared(DSAD, tmp_path)
    yes, no, bare = frames(store, "liver_04")
    assert yes.annotations.questions == (
        Question("Is the liver in view?", "yes", LEFT, kind="tissue"),
    )
    assert no.annotations.questions[0].answer == "no" and no.annotations.questions[0].box is None
    assert yes.annotations.tissues is None  # the others are there, and nobody marked them
    assert yes.annotations.derived["questions"] == "the mask of one organ"
    natives = [native for kind, native in ontology.table("dsad") if kind == "tissue"]
    liver = natives.index("liver") + 1
    np.testing.assert_array_equal(
        decoded(yes.dense["tissue_mask"]), rectangle(0, 0, 0.5, 0.5, liver)
    )
    assert bare.annotations.questions is None and not bare.dense
    assert "1 of 3 images have no mask" in store.video("liver_04").annotations.notes
    (several,) = frames(store, "multilabel_02")
    found = {t.label.native: t.box for t in several.annotations.tissues}
    assert found == {"colon": RIGHT, "liver": LEFT}
    assert several.annotations.derived == {"tissues.box": "the box around the mask"}
    train, test = store.video("liver_04").video, store.video("multilabel_02").video
    assert (train.splits["default"], test.splits["default"]) == ("train", "test")
    assert (train.canonical, train.procedure) == ("dsad/04", "colorectal_surgery")


def test_dsad_one_number_in_two_folders_is_one_operation(tmp_path):
    write_dsad(tmp_path / "raw")
    write_image(tmp_path / "raw/colon/04/image00.png", numbered_image(1))
    store = prepared(DSAD, tmp_path)
    assert store.video("colon_04").video.canonical == store.video("liver_04").video.canonical


def test_dsad_bad_masks(tmp_path):
    write_dsad(tmp_path / "raw")
    for number in range(3, 60):
        write_image(tmp_path / f"raw/liver/04/image{number:02d}.png", numbered_image(number))
    write_mask(tmp_path / "raw/multilabel/02/mask00_colon.png", rectangle(0, 0, 1, 1))
    write_mask(tmp_path / "raw/liver/04/mask00.png", np.zeros((3, 3), np.uint8))
    reasons = [q["reason"] for q in quarantine(prepared(DSAD, tmp_path))]
    assert "the mask is 3x3" in reasons[0]
    assert reasons[1].endswith("mask00_liver.png: overlaps the mask of colon")
    write_mask(tmp_path / "raw/multilabel/02/mask00_knee.png", rectangle(0, 0, 1, 1))
    with pytest.raises(LayoutError, match="'knee' is no organ"):
        prepared(DSAD, tmp_path, overwrite=True)


# ---- ROBUST-MIS ----------------------------------------------------------------------------------


def write_robust(raw, part="Training", procedure="Rectal resection", case="3", frames=(9, 100)):
    mask = rectangle(0, 0, 0.5, 0.5, 1) + rectangle(0.5, 0.5, 1, 1, 2)
    for frame in frames:
        folder = raw / part / procedure / case / str(frame)
        write_image(folder / "raw.png", numbered_image(frame))
        write_mask(folder / "instrument_instances.png", mask)
        write_text(folder / "10s_video.zip.txt", "not read")
    return raw


def test_robust_mis_instances(tmp_path):
    write_robust(tmp_path / "raw")
    (tmp_path / "raw/Training/Rectal resection/3/100/instrument_instances.png").unlink()
    write_robust(tmp_path / "raw", "Testing/Stage_1", "Rectal_Resection", "3", (5,))
    write_robust(tmp_path / "raw", "Testing/Stage_3", "Sigmoid", "1", (5,))
    store = prepared(RobustMIS, tmp_path)
    first, second = frames(store, "training_rectal_resection_3")
    one, two = first.annotations.instruments
    assert [(i.label.concept, i.box, i.mask) for i in (one, two)] == [
        ("any_instrument", LEFT, 1),
        ("any_instrument", RIGHT, 2),
    ]
    assert first.annotations.derived == {"instruments.box": "the box around the mask"}
    assert set(np.unique(decoded(first.dense["instrument_mask"]))) == {0, 1, 2}
    # 9 comes before 100, as numbers; the second has no mask, so nothing is known of it.
    assert second.annotations.instruments is None
    train, stage1, stage3 = (
        store.video(name).video
        for name in (
            "training_rectal_resection_3",
            "stage1_rectal_resection_3",
            "stage3_sigmoid_resection_1",
        )
    )
    assert train.splits == {"default": "train", "official": "train"}
    assert stage1.splits == {"default": "test", "official": "test", "stage1": "test"}
    assert train.canonical == stage1.canonical != stage3.canonical
    assert (train.procedure, stage3.procedure) == ("rectal_resection", "sigmoid_resection")


def test_robust_mis_wrong_trees(tmp_path):
    write_robust(tmp_path / "raw", procedure="Appendectomy")
    with pytest.raises(LayoutError, match="Appendectomy is of no known procedure"):
        prepared(RobustMIS, tmp_path)


# ---- LapGyn4 -------------------------------------------------------------------------------------


def write_lapgyn4(raw):
    for name in (
        "Surgical_Actions/Cutting_HF",
        "Anatomical_Structures/Ovary",
        "Instrument_Count/2",
        "Actions_on_Anatomy/Suturing_Uterus",
    ):
        for number in (1, 2):
            write_image(raw / name / f"{number}.jpg", numbered_image(number))
    return raw


def test_lapgyn4_folders_are_labels(tmp_path):
    write_lapgyn4(tmp_path / "raw")
    store = prepared(LapGyn4, tmp_path)
    first, second = frames(store, "Surgical_Actions_Cutting_HF")
    (action,) = first.annotations.actions
    assert (action.concept, first.annotations.tissues) == ("high_frequency_cutting", None)
    assert (first.frame.time, second.frame.time) == (0.0, 10.0)
    (organ,) = frames(store, "Anatomical_Structures_Ovary")[0].annotations.tissues
    assert (organ.label.concept, organ.box) == ("ovary", None)
    counted = frames(store, "Instrument_Count_2")[0].annotations
    assert counted.questions == (Question("How many instruments are in view?", "2", kind="count"),)
    assert counted.derived == {"questions": "the folder of the picture"}
    sewn = frames(store, "Actions_on_Anatomy_Suturing_Uterus")[0].annotations
    assert (sewn.actions[0].concept, sewn.actions[0].native) == ("suturing", "Suturing_Uterus")
    assert store.videos[0].video.splits == {}


def test_pictures_are_no_clip(tmp_path):
    write_lapgyn4(tmp_path / "raw")
    store = prepared(LapGyn4, tmp_path)
    footage = store.footage(store.video("Surgical_Actions_Cutting_HF"))
    found, derived = clips.actions(footage)
    assert [(s.start, s.end) for s in found] == [(0.0, 1.0), (10.0, 11.0)]
    assert derived == clips.FROM_FRAMES


def test_lapgyn4_an_unknown_folder_is_an_error(tmp_path):
    write_image(write_lapgyn4(tmp_path / "raw") / "Surgical_Actions/Lunch/1.jpg", numbered_image(1))
    with pytest.raises(LayoutError, match=r"Surgical_Actions/Lunch.*action 'Lunch'"):
        prepared(LapGyn4, tmp_path)


# ---- Kvasir-Instrument ---------------------------------------------------------------------------


def kvasir_boxes(*corners, size=(HEIGHT, WIDTH)):
    keys = ("xmin", "ymin", "xmax", "ymax")
    rows = [{"label": "instrument", **dict(zip(keys, c, strict=True))} for c in corners]
    return {"height": size[0], "width": size[1], "bbox": rows}


def write_kvasir(raw, more=0, **changes):
    names = ["a", "b", *(f"n{n}" for n in range(more))]
    known = {name: kvasir_boxes() for name in names}
    known["a"] = kvasir_boxes((0, 0, WIDTH // 2, HEIGHT // 2), (WIDTH // 2, 32, WIDTH, HEIGHT))
    known["t"] = kvasir_boxes((0, 0, WIDTH // 4, HEIGHT))
    for name in (*names, "t"):
        write_image(raw / f"images/{name}.jpg", numbered_image(3))
        write_mask(raw / f"masks/{name}.png", rectangle(0, 0, 0.5, 0.5, 200))
    write_text(raw / "bboxes.json", json.dumps(known | changes, indent=1))
    write_text(raw / "train.txt", "\n".join([*names, "gone"]))
    write_text(raw / "test.txt", "t\n")
    return raw


def test_kvasir_instrument(tmp_path):
    write_kvasir(tmp_path / "raw")
    store = prepared(KvasirInstrument, tmp_path)
    first, second = frames(store, "train")
    assert [(i.label.concept, i.box, i.mask) for i in first.annotations.instruments] == [
        ("any_instrument", LEFT, 1),
        ("any_instrument", RIGHT, 1),
    ]
    assert second.annotations.instruments == ()
    assert set(np.unique(decoded(first.dense["instrument_mask"]))) == {0, 1}
    assert "1 of 3 listed images are missing" in store.video("train").annotations.notes
    assert store.video("test").video.splits["default"] == "test"


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (kvasir_boxes(size=(9, 9)), "of an image of 9x9"),
        (kvasir_boxes((0, 0, 3 * WIDTH, 9)), "reaches"),
        (kvasir_boxes((9, 9, 9, 9)), "empty"),
        ({"height": HEIGHT, "width": WIDTH}, "the key 'bbox' is missing"),
    ],
)
def test_kvasir_bad_boxes_quarantine_their_picture(tmp_path, boxes, message):
    write_kvasir(tmp_path / "raw", more=40, b=boxes)
    (bad,) = quarantine(prepared(KvasirInstrument, tmp_path))
    assert bad["where"] == "images/b.jpg" and message in bad["reason"]


def test_kvasir_a_picture_in_both_lists_is_an_error(tmp_path):
    write_text(write_kvasir(tmp_path / "raw") / "test.txt", "t\na\n")
    with pytest.raises(AnnotationFileError, match=r"test\.txt: a is listed twice"):
        prepared(KvasirInstrument, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["bboxes.json", "train.txt"])
def test_damaged_lists_and_boxes(tmp_path, path):
    fuzz(KvasirInstrument, write_kvasir(tmp_path), path)


# ---- HyperKvasir ---------------------------------------------------------------------------------


def write_hyper(raw):
    write_image(
        raw / "labeled-images/lower-gi-tract/pathological-findings/polyps/1.jpg", numbered_image(1)
    )
    for name, mask in (
        ("bright", rectangle(0.25, 0.25, 0.5, 0.5)),
        ("dark", 255 - rectangle(0.25, 0.25, 0.5, 0.5)),
        ("nothing", rectangle(0, 0, 0, 0)),
    ):
        write_image(raw / f"segmented-images/images/{name}.jpg", numbered_image(2))
        write_mask(raw / f"segmented-images/masks/{name}.png", mask)
    return raw


def test_hyper_kvasir_findings_and_both_polarities(tmp_path):
    write_hyper(tmp_path / "raw")
    store = prepared(HyperKvasir, tmp_path)
    (finding,) = frames(store, "polyps")
    assert finding.annotations.questions == (
        Question("What does the picture show?", "polyps", kind="finding"),
    )
    bright, dark, nothing = (r.annotations.questions[0] for r in frames(store, "segmented"))
    assert bright.box == dark.box == Box(0.25, 0.25, 0.5, 0.5)
    assert (bright.answer, nothing.answer, nothing.box) == ("polyps", "none", None)


def test_a_polyp_at_the_rim_is_no_background():
    mask = rectangle(0, 0, 0.6, 0.9) > 0
    np.testing.assert_array_equal(polyps(mask), mask)
    np.testing.assert_array_equal(polyps(~mask), mask)


def test_hyper_kvasir_an_unknown_class_is_an_error(tmp_path):
    path = tmp_path / "raw/labeled-images/upper-gi-tract/pathological-findings/lunch/1.jpg"
    write_image(path, numbered_image(1))
    with pytest.raises(LayoutError, match="finding 'lunch'"):
        prepared(HyperKvasir, tmp_path)
