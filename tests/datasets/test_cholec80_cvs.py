"""Cholec80-CVS: a workbook of intervals, written here as Excel and as spreadsheet programs do."""

import io
import zipfile

import pytest
from fixtures_cholec import write_text, write_video
from hypothesis import given, settings
from hypothesis import strategies as st
from prepared_sources import prepared

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.cholec80_cvs.cholec80_cvs import Cholec80CVS
from surgzoo.datasets.cholec80_cvs.labels import read_intervals
from surgzoo.datasets.layout import File, LayoutError
from surgzoo.db.sources import sources

SPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
HEADS = ["Video", "Initial time", "Final time", "two_structures", "cystic_plate"]
HEADS += ["hepatocystic_triangle", "Total"]
PAIRS = ["Video", "Initial Minute", "Initial Second", "Final minute", "Final second", *HEADS[3:]]
ROWS = [("video05", "0:01", "0:03", 2, 1, 0, 3), ("5", "0:03", "0:05", 2, 2, 2, 6)]


def workbook(rows, heads=HEADS, inline=False):
    """The bytes of a small .xlsx; texts are shared, as Excel writes them, or `inline`."""
    texts = []

    def cell(place, value):
        if isinstance(value, str) and inline:
            return f'<c r="{place}" t="inlineStr"><is><t>{value}</t></is></c>'
        if isinstance(value, str):
            texts.append(value)
            return f'<c r="{place}" t="s"><v>{len(texts) - 1}</v></c>'
        return f'<c r="{place}"><v>{value}</v></c>'

    lines = []
    for number, row in enumerate([heads, *rows], start=1):
        cells = "".join(cell(f"{chr(65 + n)}{number}", v) for n, v in enumerate(row))
        lines.append(f'<row r="{number}">{cells}</row>')
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
    sheet = f'{head}<worksheet xmlns="{SPACE}"><sheetData>{"".join(lines)}</sheetData></worksheet>'
    shared = "".join(f"<si><r><t>{text[:2]}</t></r><r><t>{text[2:]}</t></r></si>" for text in texts)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/worksheets/sheet1.xml", sheet)
        if texts:
            book.writestr("xl/sharedStrings.xml", f'{head}<sst xmlns="{SPACE}">{shared}</sst>')
    return out.getvalue()


def write(folder, data=None, name="cholec80-CVS.xlsx", video=5, seconds=6):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(workbook(ROWS) if data is None else data)
    write_video(folder / f"videos/video{video:02d}.mp4", 25 * seconds + 1)
    return folder


def read(tmp_path, data):
    path = tmp_path / "cholec80-CVS.xlsx"
    path.write_bytes(data)
    return read_intervals(File("cholec80-CVS.xlsx", path))


@pytest.mark.parametrize("name", ["cholec80-CVS.xlsx", "data/surgeons_annotations.xlsx"])
def test_criteria_of_the_intervals(tmp_path, name):
    (tmp_path / "raw" / "data").mkdir(parents=True)
    write(tmp_path / "raw", name=name)
    store = prepared(Cholec80CVS, tmp_path)
    found = [r.annotations.criteria for r in store.records(store.videos[0])]
    scores = [c and [item.score for item in c] for c in found]
    # Second 3 ends one interval and begins the next: the next counts.
    one, two = [1.0, 0.5, 0.0], [1.0, 1.0, 1.0]
    assert scores == [None, one, one, two, two, two, None]
    assert [c.label.native for c in found[1]] == HEADS[3:6]
    assert [c.met for c in found[1]] == [True, True, False]
    video = store.videos[0].video
    assert (video.splits["default"], video.canonical) == ("test", "cholec80/video05")


def test_texts_may_be_inline_and_times_in_two_columns(tmp_path):
    expected = {5: [(1.0, 3.0, (2, 1, 0)), (3.0, 5.0, (2, 2, 2))]}
    rows = [(5, 0, 1, 0, 3, 2, 1, 0, 3), (5, 0, 3, 0, 5, 2, 2, 2, 6)]
    for data in (workbook(ROWS), workbook(ROWS, inline=True), workbook(rows, PAIRS)):
        found = read(tmp_path, data)
        got = {n: [(i.start, i.end, i.scores) for i in items] for n, items in found.items()}
        assert got == expected


@pytest.mark.parametrize(
    ("rows", "heads", "message"),
    [
        ([("5", "0:01", "0:03", 3, 0, 0, 3)], HEADS, "row 2: the score 3 is none of 0, 1, 2"),
        ([("5", "0:01", "0:03", 2, 0, 0, "x")], HEADS, "row 2: 'x' is not a number"),
        ([("5", 0.5, "0:03", 2, 0, 0, 2)], HEADS, "row 2: the time '0.5' is not minute:second"),
        ([("five", "0:01", "0:03", 2, 0, 0, 2)], HEADS, "row 2: no video number in 'five'"),
        ([], HEADS, "no row below the heads"),
        (ROWS, ["Case", *HEADS[1:]], "0 columns for the video"),
        (ROWS, [*HEADS[:3], "x", *HEADS[4:]], "0 columns for two_structures"),
        (ROWS, ["Video", "From", *HEADS[2:]], "no one column .* with initial or start"),
    ],
)
def test_errors_name_the_row(tmp_path, rows, heads, message):
    with pytest.raises(AnnotationFileError, match=rf"cholec80-CVS\.xlsx.*{message}"):
        read(tmp_path, workbook(rows, heads))


def test_rows_that_nobody_can_mend_annotate_nothing(tmp_path):
    rows = [
        ("5", "0:03", "0:01", 2, 0, 0, 2),  # ends before it begins
        ("5", "0:03", "0:04", 2, 1, 0, 3),
        ("5", "0:05", "0:05", 2, 2, 2, 6),
        ("5", "0:06", "0:07", 2, 0, 0, 3),  # adds up to 2
    ]
    write(tmp_path / "raw", workbook(rows), seconds=8)
    store = prepared(Cholec80CVS, tmp_path)
    found = [r.annotations.criteria is not None for r in store.records(store.videos[0])]
    assert found == [False, False, False, True, True, False, False, False, False]
    assert store.videos[0].annotations.notes == tuple(
        f"row {row} of the workbook: {what}; its stretch is not annotated"
        for row, what in (
            (2, "it begins at 3 s and ends at 1 s"),
            (4, "it begins at 5 s and ends at 5 s"),
            (5, "its total is 3, its criteria add up to 2"),
        )
    )


def test_rows_that_differ_quarantine_their_frames(tmp_path):
    rows = [("5", "0:01", "0:04", 2, 1, 0, 3), ("5", "0:03", "0:05", 2, 2, 2, 6)]
    write(tmp_path / "raw", workbook(rows), seconds=60)
    store = prepared(Cholec80CVS, tmp_path)
    (bad,) = store.quarantined()
    assert bad.where.endswith("3.00 s")
    assert "the rows 2, 3 of the workbook overlap and differ" in bad.reason


def test_rows_behind_the_end_are_noted_and_videos_may_be_missing(tmp_path):
    rows = [("5", "0:01", "9:00", 2, 1, 0, 3), ("7", "0:01", "0:04", 2, 1, 0, 3)]
    write(tmp_path / "raw", workbook(rows), seconds=60)
    store = prepared(Cholec80CVS, tmp_path)
    assert store.videos[0].annotations.notes == ("rows 2 end after the video",)
    assert [item.where for item in store.quarantined()] == ["videos/video07.mp4"]


def test_wrong_folders(tmp_path):
    write_text(tmp_path / "raw" / "x.txt", "")
    with pytest.raises(LayoutError, match=r"0 workbooks(.|\n)*videoNN\.mp4"):
        prepared(Cholec80CVS, tmp_path)
    (tmp_path / "raw" / "cholec80-CVS.xlsx").write_bytes(workbook(ROWS))
    with pytest.raises(LayoutError, match="no video of Cholec80"):
        prepared(Cholec80CVS, tmp_path)
    assert sources.get("cholec80_cvs") is Cholec80CVS


WHOLE = workbook(ROWS)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=0, max_size=6), st.booleans())
def test_a_damaged_workbook_is_named(tmp_path_factory, place, data, cut):
    damaged = WHOLE[:place] if cut else WHOLE[:place] + data + WHOLE[place + len(data) :]
    try:
        read(tmp_path_factory.mktemp("damaged"), damaged)
    except AnnotationFileError as error:
        assert "cholec80-CVS.xlsx" in str(error)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.data())
def test_a_damaged_sheet_is_named(tmp_path_factory, data):
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    name = data.draw(st.sampled_from(sorted(parts)))
    place = data.draw(st.integers(0, len(parts[name]) - 1))
    new = data.draw(st.binary(max_size=4))
    parts[name] = parts[name][:place] + new + parts[name][place + len(new) :]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as book:
        for key, value in parts.items():
            book.writestr(key, value)
    try:
        read(tmp_path_factory.mktemp("damaged"), out.getvalue())
    except AnnotationFileError as error:
        assert "cholec80-CVS.xlsx" in str(error)
