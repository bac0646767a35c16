"""The label tables, and that an error in one names the file and the line."""

import pytest

from surgzoo.db import ontology


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of tables beside the built-in ones, for one test."""
    monkeypatch.setattr(ontology, "_FOLDERS", list(ontology._FOLDERS))
    ontology.add_tables(tmp_path)
    yield tmp_path
    monkeypatch.undo()
    ontology.concepts.cache_clear()
    ontology.table.cache_clear()


def test_both_sources_share_seven_phases_in_order():
    assert ontology.names("cholec80", "phase") == ontology.names("cholect50", "phase")
    assert ontology.names("cholec80", "phase") == (
        "preparation",
        "calot triangle dissection",
        "clipping and cutting",
        "gallbladder dissection",
        "gallbladder packaging",
        "cleaning and coagulation",
        "gallbladder retraction",
    )


def test_the_hundred_triplets_are_in_the_order_of_their_ids():
    triplets = ontology.triplets("cholect50")
    assert len(triplets) == len(set(triplets)) == 100
    assert triplets[0] == ("grasper", "dissect", "cystic_plate")
    assert triplets[60] == ("hook", "dissect", "gallbladder")
    assert [t[0] for t in triplets[94:]] == [
        "grasper",
        "bipolar",
        "hook",
        "scissors",
        "clipper",
        "irrigator",
    ]
    assert {t[1:] for t in triplets[94:]} == {("null_verb", "null_target")}


def test_the_released_spelling_and_the_right_one_are_one_phase():
    for native in ("carlot-triangle-dissection", "calot-triangle-dissection"):
        label = ontology.label("cholect50", "phase", native)
        assert label.concept == "calot_triangle_dissection" and label.native == native


def test_an_unmapped_label_names_the_table_to_edit():
    with pytest.raises(ontology.UnmappedLabelError) as caught:
        ontology.label("cholec80", "instrument", "Stapler")
    assert "surgzoo/db/ontology/cholec80.tsv" in str(caught.value)
    assert "Grasper, Bipolar" in str(caught.value)


def test_names_are_plain_lower_case_words():
    for (_, concept), row in ontology.concepts().items():
        assert row.name.strip() and "_" not in row.name, concept


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ("instrument\tX\tgrasper\n", ValueError, r"lab\.tsv, line 2: need 4"),
        ("tool\tX\tgrasper\t-\n", ValueError, r"lab\.tsv, line 2: need 4 .* beginning with one of"),
        (
            "phase\tA\tpreparation\t-\n" * 2,
            ValueError,
            r"lab\.tsv, line 3: phase 'A' is mapped twice",
        ),
        (
            "phase\tA\tlunch\t-\n",
            ontology.UnmappedLabelError,
            r"lab\.tsv, line 2: there is no phase 'lunch'",
        ),
    ],
)
def test_a_bad_row_names_file_and_line(folder, rows, error, message):
    (folder / "lab.tsv").write_text("# comment\n" + rows)
    with pytest.raises(error, match=message):
        ontology.table("lab")


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (
            "triplet\tA\thook,dissect,lunch\t-\n",
            ontology.UnmappedLabelError,
            r"lab\.tsv, line 1: there is no target 'lunch'",
        ),
        ("triplet\tA\thook,dissect\t-\n", ValueError, "line 1: 'hook,dissect' is not instrument"),
        ("include\tnowhere\t*\t-\n", ValueError, r"lab\.tsv, line 1: No ontology table nowhere"),
        (
            "include\tcholec80\tverb,phase\t-\n",
            ValueError,
            r"lab\.tsv, line 1: cholec80\.tsv has no row of the kind verb",
        ),
        ("include\tlab\t*\t-\n", ValueError, r"lab\.tsv, line 1: lab includes lab"),
        (
            "phase\tPreparation\tpreparation\t-\ninclude\tcholec80\tphase\t-\n",
            ValueError,
            r"lab\.tsv, line 2: phase 'Preparation' is mapped twice",
        ),
    ],
)
def test_a_bad_triplet_or_include_names_file_and_line(folder, rows, error, message):
    (folder / "lab.tsv").write_text(rows)
    with pytest.raises(error, match=message):
        ontology.table("lab")


def test_includes_in_a_circle_are_told(folder):
    (folder / "one.tsv").write_text("include\ttwo\t*\t-\n")
    (folder / "two.tsv").write_text("include\tone\t*\t-\n")
    with pytest.raises(ValueError, match="one includes two includes one"):
        ontology.table("one")


def test_an_include_stands_in_its_place_and_keeps_its_origin(folder):
    (folder / "lab.tsv").write_text(
        "phase\tstart\ttrocar_placement\tlab\ninclude\tcholec80\tphase\tlab\nphase\tend\themostasis\tlab\n"
    )
    rows = ontology.rows("lab")
    assert [row.native for row in rows[:2]] == ["start", "Preparation"] and rows[-1].native == "end"
    assert {row.table for row in rows} == {"lab", "cholec80"} and len(rows) == 9
    assert ontology.label("lab", "phase", "ClippingCutting").concept == "clipping_and_cutting"


def test_a_name_shown_for_two_concepts_names_file_and_line(folder):
    (folder / "concepts.tsv").write_text("phase\tprep\tpreparation\tagain\n")
    with pytest.raises(ValueError, match=r"line 1: phase 'prep' is shown as 'preparation', as is"):
        ontology.concepts()


def test_a_concept_given_twice_names_file_and_line(folder):
    (folder / "concepts.tsv").write_text("phase\tpreparation\tpreparation\tagain\n")
    with pytest.raises(
        ValueError, match=r"concepts\.tsv, line 1: phase 'preparation' is given twice"
    ):
        ontology.concepts()


def test_an_outside_table_may_bring_concepts(folder):
    (folder / "concepts.tsv").write_text("phase\tlunch\tlunch break\t-\n")
    (folder / "lab.tsv").write_text("phase\tPause\tlunch\tthe lab\n")
    assert ontology.names("lab", "phase") == ("lunch break",)


def test_a_source_without_table_says_where_was_looked():
    with pytest.raises(FileNotFoundError, match=r"nowhere\.tsv"):
        ontology.table("nowhere")
