"""EndoVis-18-VQA and the two VQLA sets: questions, kinds, boxes, images from elsewhere, quirks."""

import functools

import pytest
import simplejpeg
from fixtures_cholec import numbered_image, read_number, write_image, write_text
from fixtures_robotic import (
    CLASSIFICATION,
    LOCALIZED,
    SENTENCE,
    ev17_image,
    ev18_mask,
    frames_of,
    pack,
    still_image,
    write_ev18_sequence,
    write_questions,
    write_stills,
)
from given_tasks import given, promised
from prepared_sources import prepared

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.endovis2017_vqla.endovis2017_vqla import EndoVis2017Vqla
from surgzoo.datasets.endovis2018_vqa.endovis2018_vqa import EndoVis2018Vqa
from surgzoo.datasets.endovis2018_vqla.endovis2018_vqla import EndoVis2018Vqla
from surgzoo.datasets.layout import File, LayoutError
from surgzoo.datasets.source_builder import prepare
from surgzoo.datasets.still_questions import kind_of_answer, kind_of_question, read_questions
from surgzoo.db import ontology, splits
from surgzoo.db.schema import Box
from surgzoo.db.sources import sources

BUILDERS = {
    "endovis2018_vqa": EndoVis2018Vqa,
    "endovis2018_vqla": EndoVis2018Vqla,
    "endovis2017_vqla": EndoVis2017Vqla,
}
VQA = "vqa/Classification"


def told(record):
    return [(q.text, q.answer, q.kind, q.box) for q in record.annotations.questions]


# ---- EndoVis-18-VQA ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vqa")
    for number in (2, 5):
        sequence = folder / "raw" / "EndoVis-18-VQA" / f"seq_{number}"
        write_stills(sequence, (0, 1, 2))
        write_questions(sequence, {0: CLASSIFICATION, 2: CLASSIFICATION}, VQA)
        write_questions(sequence, {1: SENTENCE}, "vqa/Sentence")
    return folder


@pytest.fixture(scope="module")
def vqa(asked):
    return prepared(EndoVis2018Vqa, asked)


def test_questions_have_the_kind_of_their_answer(vqa):
    first, second = frames_of(vqa, "seq_2")
    assert [read_number(simplejpeg.decode_jpeg(r.image)) for r in (first, second)] == [0, 2]
    assert [r.frame.time for r in (first, second)] == [0.0, 1.0]
    assert told(first) == [
        ("What organ is being operated?", "kidney", "tissue", None),
        ("What is the state of bipolar_forceps?", "Tissue_Manipulation", "action", None),
        ("Where is bipolar_forceps located?", "left-top", "place", None),
    ]
    assert told(second) == told(first)
    assert vqa.quarantined() == ()


def test_sentences_are_a_config_of_their_own(asked):
    store = prepared(EndoVis2018Vqa, asked, config="fps2_sentence")
    (record,) = frames_of(store, "seq_5")
    assert read_number(simplejpeg.decode_jpeg(record.image)) == 1
    assert [(answer, kind) for _, answer, kind, _ in told(record)] == [
        ("organ being operated is kidney", "tissue"),
        ("action done by bipolar forceps is tissue manipulation", "action"),
        ("bipolar forceps is located at left-top", "place"),
        ("it is red", ""),
    ]


def test_the_videos_of_the_question_sets_say_what_they_are(vqa):
    train, val = (stored.video for stored in vqa.videos)
    assert (train.id, val.id) == ("seq_2", "seq_5")
    assert train.splits == {"official": "train", "default": "train"}
    assert val.splits == {"official": "val", "default": "val"}
    assert train.canonical == "endovis2018/seq_2"  # the operation of EndoVis 2018
    assert (train.specialty, train.procedure, train.fps) == ("urology", "nephrectomy", 2.0)
    assert (train.height, train.width, train.duration) == (128, 160, 1.5)


def test_the_records_give_the_tasks_of_the_card(vqa):
    assert promised("endovis2018_vqa") <= given(vqa, "fps2")


def test_images_may_come_from_the_challenges_own_folders(tmp_path):
    raw = tmp_path / "raw"
    write_questions(raw / "questions" / "seq_2", {3: CLASSIFICATION}, VQA)
    write_ev18_sequence(
        raw / "ev18" / "miccai_challenge_2018_release_1" / "seq_2", {3: ev18_mask()}
    )
    # The test's seq_2 is another operation.
    write_stills(raw / "ev18" / "test_data" / "seq_2", (3, 4))
    pack(raw / "ev18", raw / "ev18.zip", "ev18")
    (record,) = frames_of(prepared(EndoVis2018Vqa, tmp_path), "seq_2")
    assert simplejpeg.decode_jpeg(record.image).shape == numbered_image(3).shape
    write_stills(raw / "questions" / "seq_2", (3,), "left_fr")  # a copy beside the questions
    assert len(frames_of(prepared(EndoVis2018Vqa, tmp_path, overwrite=True), "seq_2")) == 1


def test_the_loaders_own_name_of_the_image_folder(tmp_path):
    folder = write_stills(tmp_path / "raw" / "seq_2", (3,), "left_fr")
    write_questions(folder, {3: CLASSIFICATION}, VQA)
    assert len(frames_of(prepared(EndoVis2018Vqa, tmp_path), "seq_2")) == 1


def test_questions_without_images(tmp_path):
    raw = tmp_path / "raw"
    write_questions(raw / "seq_2", {0: CLASSIFICATION, 1: CLASSIFICATION}, VQA)
    with pytest.raises(
        LayoutError, match="2 question files and no image of theirs; the images com"
    ):
        prepared(EndoVis2018Vqa, tmp_path)
    write_stills(raw / "seq_2", (1,))
    store = prepared(EndoVis2018Vqa, tmp_path)
    assert store.videos[0].annotations.notes == ("1 of 2 question files have no image",)
    # A whole sequence without images: one of 31 items.
    write_questions(raw / "seq_3", {0: CLASSIFICATION}, VQA)
    write_stills(
        write_questions(raw / "seq_4", dict.fromkeys(range(30), CLASSIFICATION), VQA), range(30)
    )
    store = prepared(EndoVis2018Vqa, tmp_path, overwrite=True)
    assert [(item.where, item.reason) for item in store.quarantined()] == [
        ("seq_3", "questions are there, their images are not")
    ]


def test_the_other_answers_are_not_taken_for_those_that_are_missing(tmp_path):
    write_stills(write_questions(tmp_path / "raw" / "seq_2", {0: SENTENCE}, "vqa/Sentence"), (0,))
    with pytest.raises(LayoutError, match="no question file in a folder seq_N/vqa/Classification"):
        prepared(EndoVis2018Vqa, tmp_path)


# ---- boxes ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vqla(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vqla")
    sequence = write_stills(folder / "raw" / "EndoVis-18-VQLA" / "seq_16", range(40))
    texts = dict.fromkeys(range(40), LOCALIZED)
    texts |= {7: "Where is suction located?|left-top|9,9,9,20\n"}
    write_questions(sequence, texts)
    return prepared(EndoVis2018Vqla, folder)


def test_boxes_are_pixels_from_one_of_an_image_of_1280_by_1024(vqla):
    records = frames_of(vqla, "seq_16")
    assert len(records) == 39
    assert told(records[0]) == [
        ("What organ is being operated?", "kidney", "tissue", Box(0, 0, 1, 1)),
        ("What is the state of suction?", "Suction", "action", Box(0.25, 0.25, 0.5, 0.5)),
        ("Where is suction located?", "left-top", "place", Box(0.25, 0.25, 0.5, 0.5)),
    ]
    assert vqla.videos[0].video.splits == {"official": "val", "default": "val"}
    assert promised("endovis2018_vqla") <= given(vqla, "fps2")


def test_an_empty_box_quarantines_its_frame(vqla):
    (bad,) = vqla.quarantined()
    assert bad.where.endswith("seq_16/left_frames/frame007.png")
    assert "frame007_QA.txt, line 1: box" in bad.reason and "empty" in bad.reason


def test_an_image_with_its_black_frame_is_quarantined(tmp_path):
    raw = tmp_path / "raw" / "seq_1"
    write_stills(write_questions(raw, dict.fromkeys(range(40), LOCALIZED)), range(40))
    write_image(raw / "left_frames" / "frame005.png", ev17_image(5))
    (bad,) = prepared(EndoVis2018Vqla, tmp_path).quarantined()
    assert bad.where.endswith("frame005.png")
    assert "the image is 1920x1080, and the boxes are of images of 1280x1024" in bad.reason


def write_seventeen(raw, names, suffix="_QA", text=LOCALIZED):
    for name in names:
        write_image(raw / "left_frames" / f"{name}.png", still_image(int(name[-3:])))
        write_text(raw / "vqla" / "label" / f"{name}{suffix}.txt", text)


@pytest.mark.parametrize("suffix", ["_QA", ""])
def test_names_of_endovis_17_vqla_tell_the_sequence(tmp_path, suffix):
    raw = tmp_path / "raw" / "EndoVis-17-VQLA"
    write_seventeen(raw, ["seq1_frame015", "seq1_frame003", "seq_10_frame000"], suffix)
    # EndoVis-18-VQLA beside it is another source.
    write_stills(
        write_questions(tmp_path / "raw" / "EndoVis-18-VQLA" / "seq_1", {0: LOCALIZED}), (0,)
    )
    store = prepared(EndoVis2017Vqla, tmp_path)
    assert [stored.video.id for stored in store.videos] == ["seq_1", "seq_10"]
    got = frames_of(store, "seq_1")
    assert [read_number(simplejpeg.decode_jpeg(r.image)) for r in got] == [3, 15]
    assert [r.frame.time for r in got] == [1.5, 7.5]
    assert told(got[0])[1] == (
        "What is the state of suction?",
        "Suction",
        "action",
        Box(0.25, 0.25, 0.5, 0.5),
    )
    video = store.video("seq_10").video
    assert video.splits == {"official": "test", "default": "test"}
    assert (video.canonical, video.specialty) == ("endovis2017/seq_10", "training")
    assert promised("endovis2017_vqla") <= given(store, "fps2")


def test_a_name_without_its_sequence_is_an_error(tmp_path):
    write_seventeen(tmp_path / "raw", ["seq1_frame015", "frame003"])
    with pytest.raises(LayoutError, match=r"frame003_QA\.txt does not tell its sequence"):
        prepared(EndoVis2017Vqla, tmp_path)


# ---- the files -----------------------------------------------------------------------------------


def questions(tmp_path, text, source="endovis2018_vqla", boxed=True):
    path = tmp_path / "frame000_QA.txt"
    write_text(path, text)
    return read_questions(File.at(path), functools.partial(kind_of_answer, source), boxed)


def test_an_overshoot_of_a_pixel_or_two_is_cut_off(tmp_path):
    (question,) = questions(tmp_path, "Where is suction located?|left-top|0,0,1283,513\n")
    assert question.box == Box(0, 0, 1, 0.5)


def test_crlf_and_bom_are_tolerated(tmp_path):
    text = "\ufeff" + LOCALIZED.replace("\n", "\r\n") + "\r\n\r\n"
    assert questions(tmp_path, text) == questions(tmp_path, LOCALIZED)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Where is it located?|left-top", "need 3 texts"),
        ("Where is it located?||1,2,3,4", "need 3 texts"),
        ("Where is it located?|left|1,2,3,4", "endovis2018_vqla has no answer 'left'"),
        ("Where is it located?|left-top|1,2,3", "'1,2,3' is not a box"),
        ("Where is it located?|left-top|1,2,3,x", "'1,2,3,x' is not a box"),
        ("Where is it located?|left-top|1,2,3,nan", "is not a box"),
        ("Where is it located?|left-top|1,2,1400,30", "reaches more than"),
        ("Where is it located?|left-top|300,2,100,30", "empty or inverted"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, message):
    with pytest.raises(AnnotationFileError, match=rf"frame000_QA\.txt, line 4.*{message}"):
        questions(tmp_path, LOCALIZED + line + "\n")


def test_an_empty_file_is_no_file_without_questions(tmp_path):
    with pytest.raises(AnnotationFileError, match=r"frame000_QA\.txt: holds no question"):
        questions(tmp_path, "\n \n")


def test_a_file_with_boxes_is_not_read_as_one_without(tmp_path):
    with pytest.raises(AnnotationFileError, match="need 2 texts"):
        questions(tmp_path, LOCALIZED, boxed=False)


def test_the_kind_of_a_question_by_its_form():
    assert kind_of_question("What organ is being operated?", "") == "tissue"
    assert kind_of_question("What is the state of suction?", "") == "action"
    assert kind_of_question("Where is suction located?", "") == "place"
    assert kind_of_question("How many are there?", "") == ""


@pytest.mark.parametrize("source", BUILDERS)
def test_the_eighteen_answers(source):
    table = [kind for kind, _ in ontology.table(source) if kind in ("tissue", "action", "place")]
    assert (table.count("tissue"), table.count("action"), table.count("place")) == (1, 13, 4)


def test_the_official_split_holds_fourteen_sequences():
    for source in ("endovis2018_vqa", "endovis2018_vqla"):
        parts = splits.schemes(source)["official"]
        assert (len(parts["train"]), len(parts["val"])) == (11, 3)


@pytest.mark.parametrize("source", BUILDERS)
def test_another_folder_shows_what_is_expected(tmp_path, source):
    builder = BUILDERS[source]
    assert sources.get(source) is builder
    write_image(tmp_path / "raw" / "videos" / "a.png", numbered_image(0))
    with pytest.raises(LayoutError, match=r"no question file(.*\n)*.*left_frames/"):
        prepared(builder, tmp_path)
    with pytest.raises(ValueError, match=r"github\.com/l.*--manual_dir"):
        prepare(builder, tmp_path)
