"""SurgVU24's reader on small trees in the released layout: logs, boxes, questions, every quirk."""

import json
import zipfile

import pytest
import simplejpeg
from fixtures_cholec import HEIGHT, WIDTH, read_number, write_text
from fixtures_surgvu import (
    CATEGORIES,
    TASK_HEADER,
    TASKS,
    TOOL_HEADER,
    TOOLS,
    coco,
    log,
    task,
    tool,
    write_boxes,
    write_question,
    write_session,
)
from given_tasks import given, promised

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.inspection import inspect
from surgzoo.datasets.layout import File, LayoutError
from surgzoo.datasets.source_builder import prepare
from surgzoo.datasets.surgvu24 import labels
from surgzoo.datasets.surgvu24.surgvu24 import SurgVU24
from surgzoo.db import ontology, records
from surgzoo.db.schema import Box, Question
from surgzoo.db.sources import sources
from surgzoo.db.store import Store

ANSWERS = [f"Yes, a clip applier is used ({n})." for n in range(5)]
BOXES = {
    0: [("needle driver", (48.0, 16.0, 48.0, 32.0)), ("clip applier", (0.0, 0.0, 96.0, 64.0))],
    1: [],
    3: [("monopolar curved scissor", (96.0, 32.0, 96.0, 32.0))],
}


def prepared(manual_dir, tmp_path, **options):
    options = {"workers": 1, **options}
    return Store(prepare(SurgVU24, tmp_path / "out", manual_dir=manual_dir, **options))


def quarantine(store):
    lines = (store.path / records.QUARANTINE_FILE).read_text().splitlines()
    return [json.loads(line) for line in lines]


def all_records(store, video):
    return list(store.records(store.video(video)))


def natives(record):
    found = record.annotations.instruments
    return found if found is None else tuple(item.label.native for item in found)


def shown(record):
    return read_number(simplejpeg.decode_jpeg(record.image))


def read(tmp_path, name, text):
    path = tmp_path / f"{name}.csv"
    path.write_bytes(text.encode())
    return {"tools": labels.read_tools, "tasks": labels.read_tasks}[name](File.at(path))


def boxes(tmp_path, value):
    path = tmp_path / "1_fps1_coco.json"
    path.write_text(json.dumps(value, indent=1))
    return labels.read_boxes(File.at(path))


@pytest.fixture(scope="module")
def all_kinds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("surgvu24")
    write_session(folder / "raw", 0)
    write_boxes(folder / "raw", 3, BOXES)
    write_question(folder / "raw", 122, "Is a clip applier used?", ANSWERS)
    return prepared(folder / "raw", folder, workers=2)


def test_all_kinds_of_videos(all_kinds):
    assert [(v.video.id, v.count) for v in all_kinds.videos] == [
        ("case_000_video_part_001", 5),
        ("case_000_video_part_002", 4),
        ("cat1_3", 4),
        ("case122", 4),
    ]
    assert quarantine(all_kinds) == []
    for stored in all_kinds.videos:
        step = 1 if stored.video.id == "cat1_3" else 25
        for second, record in enumerate(all_kinds.records(stored)):
            assert (record.frame.time, shown(record)) == (float(second), step * second)


def test_what_the_videos_are(all_kinds):
    part = all_kinds.video("case_000_video_part_002").video
    assert (part.canonical, part.specialty) == ("surgvu24/case_000", "training")
    assert (part.procedure, part.duration) == ("robotic_training", 4.0)
    assert (part.height, part.width, part.fps) == (HEIGHT, WIDTH, 1.0)
    found = {v.video.id: v.video.splits["default"] for v in all_kinds.videos}
    assert found == {
        "case_000_video_part_001": "train",
        "case_000_video_part_002": "train",
        "cat1_3": "val",
        "case122": "test",
    }
    # A question's clip is of the session with its number: both are tested on, or neither.
    assert all_kinds.video("case122").video.canonical == "surgvu24/case_122"


# ---- logs ----------------------------------------------------------------------------------------


def test_installed_tools_across_parts(all_kinds):
    """Each part has a clock of its own; an interval may go on in the next part."""
    first = all_records(all_kinds, "case_000_video_part_001")
    assert [natives(r) for r in first] == [
        ("needle driver",),
        ("needle driver",),
        ("needle driver", "cadiere forceps"),
        ("cadiere forceps",),
        ("cadiere forceps",),
    ]
    second = all_records(all_kinds, "case_000_video_part_002")
    assert [natives(r) for r in second] == [("cadiere forceps",)] * 2 + [()] * 2
    assert first[0].annotations.instruments[0].label.concept == "needle_driver"
    assert first[0].annotations.derived == {
        "instruments": "installed on an arm by the system's log; it may be out of view"
    }


def test_tasks_are_steps_of_frames_and_segments(all_kinds):
    first = all_records(all_kinds, "case_000_video_part_001")
    assert [r.annotations.step and r.annotations.step.native for r in first] == [
        None,
        "Suturing",
        "Suturing",
        "Uterine horn",
        "Uterine horn",
    ]
    second = all_records(all_kinds, "case_000_video_part_002")
    assert [r.annotations.step is not None for r in second] == [True, True, False, False]
    spans = {
        v.video.id: [(s.kind, s.label.concept, s.start, s.end) for s in v.annotations.segments]
        for v in all_kinds.videos
    }
    assert spans["case_000_video_part_001"] == [
        ("step", "suturing", 1.0, 3.0),
        ("step", "uterine_horn", 3.0, 5.0),
    ]
    assert spans["case_000_video_part_002"] == [("step", "uterine_horn", 0.0, 2.0)]


def test_the_camera_and_rows_without_a_name_are_no_tools(tmp_path):
    rows = [*TOOLS, tool("", (1, 0.0), (1, 3.0)), tool("nan", (1, 0.0), (1, 3.0))]
    found = read(tmp_path, "tools", log(TOOL_HEADER, rows))
    assert (len(found.intervals), found.unnamed, found.bad) == (2, 3, ())
    raw = write_session(tmp_path / "raw", tools=rows)
    store = prepared(raw, tmp_path)
    assert store.videos[0].annotations.notes == ("3 rows of tools.csv name the camera or nothing",)


def test_names_in_any_case_with_blanks(tmp_path):
    rows = [tool("Clip Applier ", (1, 0.0), (1, 1.0)), tool("clip applier", (1, 2.0), (1, 3.0))]
    found = read(tmp_path, "tools", log(TOOL_HEADER, rows))
    assert {i.label.native for i in found.intervals} == {"clip applier"}
    rows = [task(name, (1, n), (1, n + 1)) for n, name in enumerate(("suturing", "SUTURING "))]
    found = read(tmp_path, "tasks", log(TASK_HEADER, rows))
    assert {i.label.native for i in found.intervals} == {"Suturing"}


def test_every_tool_and_every_task(tmp_path):
    names = [native for kind, native in ontology.table("surgvu24") if kind == "instrument"]
    rows = [tool(name, (1, n), (1, n + 1)) for n, name in enumerate(names)]
    found = read(tmp_path, "tools", log(TOOL_HEADER, rows))
    assert [found.at(1, n + 0.5)[0].native for n in range(len(names))] == names
    assert found.at(1, 12.5)[0].concept == "irrigator"  # the first of the rarer tools
    tasks = [native for kind, native in ontology.table("surgvu24") if kind == "step"]
    rows = [task(name, (1, n), (1, n + 1)) for n, name in enumerate(tasks)]
    found = read(tmp_path, "tasks", log(TASK_HEADER, rows))
    assert [found.at(1, n + 0.5)[0].native for n in range(8)] == tasks


def test_rows_given_twice_count_once_and_two_arms_are_one_class(tmp_path):
    one = tool("stapler", (1, 0.0), (1, 3.0))
    other = tool("stapler", (1, 1.0), (1, 3.0), "USM2")
    found = read(tmp_path, "tools", log(TOOL_HEADER, [one, one, other]))
    assert len(found.intervals) == 2
    assert [label.native for label in found.at(1, 2.0)] == ["stapler"]


def test_two_tasks_at_once_leave_the_step_open(tmp_path):
    rows = [task("Suturing", (1, 0.0), (1, 3.0)), task("Range of motion", (1, 2.0), (1, 4.0))]
    store = prepared(write_session(tmp_path / "raw", parts=(100,), tasks=rows), tmp_path)
    found = [r.annotations.step for r in all_records(store, "case_000_video_part_001")]
    assert [step and step.native for step in found] == [
        "Suturing",
        "Suturing",
        None,
        "Range of motion",
    ]


def test_a_part_between_two_others_is_covered_whole(tmp_path):
    found = read(tmp_path, "tools", log(TOOL_HEADER, [tool("stapler", (1, 90.0), (3, 5.0))]))
    assert found.intervals[0].within(2) == (0.0, float("inf"))
    assert [len(found.at(part, 6.0)) for part in (1, 2, 3, 4)] == [0, 1, 0, 0]


GOOD = [tool("stapler", (1, n), (1, n + 1)) for n in range(20)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (tool("stapler", (1, 3.0), (1, 0.0)), "it ends at 00:00:00.000000 of part 1.0, before"),
        (tool("stapler", (2, 3.0), (1, 9.0)), "it ends at"),
        ("1.0,nan,1.0,00:00:03.0,USM1,X,stapler", "'nan' is no time"),
        ("1.0,,1.0,00:00:03.0,USM1,X,stapler", "'' is no time"),
        ("nan,00:00:01.0,1.0,00:00:03.0,USM1,X,stapler", "'nan' is no part"),
        ("0.0,00:00:01.0,1.0,00:00:03.0,USM1,X,stapler", "'0.0' is no part"),
        ("1.0,00:00:01.0,1.0,00:00:03.0,USM1,X,stapler,more", "9 fields, not 8"),
        ('1.0,00:00:01.0,1.0,00:00:03.0,USM1,X, Site"', "torn out of its quotes"),
    ],
)
def test_rows_that_cannot_be_used_are_reported_with_their_line(tmp_path, row, reason):
    raw = write_session(tmp_path / "raw", parts=(1000, 25), tools=[*GOOD, row])
    store = prepared(raw, tmp_path)
    (bad,) = quarantine(store)
    assert bad["where"] == "labels/case_000/tools.csv, line 22" and reason in bad["reason"]
    assert bad["video"] == "case_000_video_part_001"
    assert [v.count for v in store.videos] == [40, 1]


def test_negative_times_of_tasks(tmp_path):
    rows = [*[task("Suturing", (1, n), (1, n + 1)) for n in range(15)]]
    rows.append(task("Suturing", (1, -2.0), (1, 4.0)))
    found = read(tmp_path, "tasks", log(TASK_HEADER, rows))
    assert len(found.intervals) == 15 and found.bad == ((17, "'-2.0' is no time"),)


def test_a_file_with_many_unusable_rows_is_an_error(tmp_path):
    rows = [*GOOD[:8], *["1.0,x,1.0,y,USM1,X,stapler"] * 2]
    with pytest.raises(AnnotationFileError, match=r"tools\.csv: 2 of 10 rows(.*\n)+.*line 10: 'x'"):
        read(tmp_path, "tools", log(TOOL_HEADER, rows))


@pytest.mark.parametrize(("name", "row"), [("tools", tool), ("tasks", task)])
def test_an_unknown_name_names_line_and_table(tmp_path, name, row):
    header = TOOL_HEADER if name == "tools" else TASK_HEADER
    text = log(header, [row("lunch", (1, 0.0), (1, 1.0))])
    with pytest.raises(
        ontology.UnmappedLabelError, match=rf"{name}\.csv, line 2: .*'lunch'.*surgvu24\.tsv"
    ):
        read(tmp_path, name, text)


def test_extra_and_reordered_columns_are_fine_and_missing_ones_are_not(tmp_path):
    header = "groundtruth_taskname,taskname,duration,stop_time,stop_part,start_time,start_part,case"
    found = read(tmp_path, "tasks", f"{header}\nSuturing,x,2,3.5,2,1.5,1,case_000\n")
    (one,) = found.intervals
    assert (one.first, one.start, one.last, one.end) == (1, 1.5, 2, 3.5)
    with pytest.raises(AnnotationFileError, match=r"tasks\.csv, line 1: the header is .*expected"):
        read(tmp_path, "tasks", f"{TASK_HEADER.replace('stop_part', 'part')}\n1,1,1,1,2,Suturing\n")
    with pytest.raises(AnnotationFileError, match="no row below the header"):
        read(tmp_path, "tasks", f"{TASK_HEADER}\n")
    with pytest.raises(AnnotationFileError, match="the header is empty"):
        read(tmp_path, "tasks", "")


def test_bom_and_crlf_are_tolerated(tmp_path):
    plain = read(tmp_path, "tools", log(TOOL_HEADER, TOOLS))
    assert read(tmp_path, "tools", "\ufeff" + log(TOOL_HEADER, TOOLS, "\r\n") + "\r\n") == plain


# ---- boxes ---------------------------------------------------------------------------------------


def test_boxes(all_kinds):
    """Frames count from 0; one without a box is free of instruments, one not listed unknown."""
    got = all_records(all_kinds, "cat1_3")
    assert [natives(r) for r in got] == [
        ("needle driver", "clip applier"),
        (),
        None,
        ("monopolar curved scissors",),
    ]
    first, third = got[0].annotations.instruments[0], got[3].annotations.instruments[0]
    assert first.box == Box(0.25, 0.25, 0.5, 0.75)
    assert (third.box, third.label.concept) == (Box(0.5, 0.5, 1, 1), "monopolar_curved_scissors")
    assert got[0].annotations.step is None


def test_every_category_of_the_boxes_has_a_tool(tmp_path):
    found = boxes(tmp_path, coco({n: [(c, (0, 0, 9, 9))] for n, c in enumerate(CATEGORIES)}))
    concepts = [found[n][0].label.concept for n in range(14)]
    assert concepts[1:5:3] == ["monopolar_curved_scissors", "tip_up_fenestrated_grasper"]
    assert concepts[8:13:4] == ["irrigator", "permanent_cautery_hook_or_spatula"]
    assert len(set(concepts)) == 14


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"category_id": 15}, "there is no category 15"),
        ({"bbox": [48, 16, 0, 32]}, "empty"),
        ({"bbox": [48, 16, 480, 32]}, "reaches more than"),
        ({"bbox": [48, 16, 48]}, "3 numbers, not 4"),
    ],
)
def test_wrong_boxes_quarantine_their_frame(tmp_path, change, message):
    raw = write_boxes(tmp_path / "raw", 1, {n: [] for n in range(30)} | BOXES, seconds=30)
    path = raw / "cat1_test_set_public" / "1_fps1_coco.json"
    value = json.loads(path.read_text())
    value["annotations"][0] |= change
    path.write_text(json.dumps(value))
    store = prepared(raw, tmp_path)
    (bad,) = quarantine(store)
    assert bad["where"] == "cat1_test_set_public/1_fps1.mp4, 0.00 s" and message in bad["reason"]
    assert store.video("cat1_1").count == 29


@pytest.mark.parametrize(
    ("edit", "error", "message"),
    [
        (lambda v: v["annotations"][0].update(image_id=9), AnnotationFileError, "no image 9"),
        (
            lambda v: v["images"][0].update(file_name="a.jpg"),
            AnnotationFileError,
            r"images\[0\]\.file_name: 'a.jpg' is no number",
        ),
        (lambda v: v["images"].append(v["images"][0]), AnnotationFileError, "given twice"),
        (lambda v: v["categories"][0].update(id=2), AnnotationFileError, "id 2 is given twice"),
        (
            lambda v: v["categories"][0].update(name="lunch"),
            ontology.UnmappedLabelError,
            r"1_fps1_coco.json \(categories\[0\]\).*lunch",
        ),
    ],
)
def test_a_wrong_file_of_boxes_is_an_error(tmp_path, edit, error, message):
    value = coco(BOXES)
    edit(value)
    with pytest.raises(error, match=message):
        boxes(tmp_path, value)


def test_boxes_behind_the_end_are_noted(tmp_path):
    raw = write_boxes(tmp_path / "raw", 1, {0: [], 9: []})
    assert prepared(raw, tmp_path).videos[0].annotations.notes == (
        "1 of 2 frames with boxes are behind the video's end",
    )


# ---- questions -----------------------------------------------------------------------------------


def test_a_question_is_put_at_the_middle_of_its_clip_with_all_answers(all_kinds):
    got = all_records(all_kinds, "case122")
    assert [r.annotations.questions is not None for r in got] == [False, False, True, False]
    found = got[2].annotations
    first, *others = ANSWERS
    assert found.questions == (Question("Is a clip applier used?", first, accepted=tuple(others)),)
    assert found.derived == {"questions": "of the whole clip, put at its middle frame"}
    assert found.instruments is None


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("case122_question.json", '""', "case122_question.json, top level: is empty"),
        ("case122_question.json", "{}", "is not a text"),
        ("case122.json", "[]", "case122.json: holds no answer"),
        ("case122.json", '["a", 3]', r"case122.json, \[1\]: 3 is not a text"),
        ("case122.json", '"a"', "is not a list"),
    ],
)
def test_a_wrong_question_is_an_error(tmp_path, name, text, message):
    raw = write_question(tmp_path / "raw", 122, "Q?", ANSWERS)
    (raw / "case122" / name).write_text(text)
    with pytest.raises(AnnotationFileError, match=message):
        prepared(raw, tmp_path)


# ---- incomplete trees ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "labels/case_000/tools.csv",
        "labels/case_000/tasks.csv",
        "cat1_test_set_public/3_fps1_coco.json",
        "case122/case122_question.json",
        "case122/case122.json",
    ],
)
def test_media_without_labels_are_an_error(tmp_path, path):
    raw = write_session(tmp_path / "raw")
    write_boxes(raw, 3, BOXES)
    write_question(raw, 122, "Q?", ANSWERS)
    (raw / path).unlink()
    with pytest.raises(LayoutError, match=f"label files are missing: .*{path.split('/')[-1]}"):
        prepared(raw, tmp_path)


def test_labels_without_media_are_reported(tmp_path):
    raw = write_session(tmp_path / "raw", 0, parts=(3000,))
    write_session(raw, 1, parts=())
    write_boxes(raw, 3, BOXES)
    write_question(raw, 122, "Q?", ANSWERS)
    (raw / "cat1_test_set_public" / "3_fps1.mp4").unlink()
    (raw / "case122" / "case122.mp4").unlink()
    store = prepared(raw, tmp_path)
    assert [(item["video"], item["reason"]) for item in quarantine(store)] == [
        ("case_001", "labels are there, the video is not"),
        ("cat1_3", "boxes are there, the video is not"),
        ("case122", "a question is there, the video is not"),
    ]
    assert store.videos[0].annotations.notes == (
        "1 rows of tools.csv name the camera or nothing",
        "the logs go on in part 2, which is not there",
    )
    assert inspect(SurgVU24, raw).videos == 1


def test_archives_are_read_in_place(tmp_path):
    raw = write_session(tmp_path / "unpacked", parts=(50,), tasks=TASKS[:1], tools=TOOLS[:1])
    (tmp_path / "raw").mkdir()
    for top, name in (
        ("surgvu24", "surgvu24_videos_only.zip"),
        ("labels", "surgvu24_labels_updated_v2.zip"),
    ):
        with zipfile.ZipFile(
            tmp_path / "raw" / name, "w", compression=zipfile.ZIP_DEFLATED
        ) as archive:
            for path in sorted(p for p in (raw / top).rglob("*") if p.is_file()):
                archive.write(path, path.relative_to(raw))
            archive.writestr(f"__MACOSX/{top}/case_000/._tools.csv", b"litter")
    store = prepared(tmp_path / "raw", tmp_path)
    got = all_records(store, "case_000_video_part_001")
    assert [natives(r) for r in got] == [("needle driver",)] * 2


def test_another_folder_and_a_part_given_twice(tmp_path):
    write_text(tmp_path / "other" / "readme.txt", "nothing")
    with pytest.raises(
        LayoutError, match=r"no video and no label file(.*\n)+.*labels/case_000/tools\.csv"
    ):
        prepared(tmp_path / "other", tmp_path)
    raw = write_session(tmp_path / "raw", parts=(25,))
    write_session(raw / "copy", parts=(25,))
    with pytest.raises(LayoutError, match="are the same part"):
        prepared(raw, tmp_path)
    for path in (raw / "copy" / "surgvu24").rglob("*.mp4"):
        path.unlink()
    with pytest.raises(LayoutError, match="are of the same video"):
        prepared(raw, tmp_path)


# ---- facts ---------------------------------------------------------------------------------------


def test_the_registry_finds_the_builder_and_the_records_give_the_tasks(all_kinds):
    assert sources.get("surgvu24") is SurgVU24
    assert SurgVU24.name == SurgVU24.source == "surgvu24"
    assert given(all_kinds) >= promised("surgvu24")
