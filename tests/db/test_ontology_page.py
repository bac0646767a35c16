"""The page of the ontology holds every row, escaped, and says what is our choice."""

import html
import re

from surgzoo.db import ontology
from surgzoo.db.ontology import page


def test_every_row_of_every_table_is_collected_once_with_the_tables_that_include_it():
    kinds = page.collect(ontology.sources())
    natives = [n for kind in kinds for entry in kind.entries for n in entry.natives]
    written = {
        (row.table, row.line): row for source in ontology.sources() for row in ontology.rows(source)
    }
    assert len(natives) == len(written)
    assert {(n.row.table, n.row.line) for n in natives} == set(written)
    total = sum(len(ontology.rows(source)) for source in ontology.sources())
    assert sum(1 + len(n.also) for n in natives) == total
    triplet = next(n for n in natives if n.row.native == "hook,dissect,gallbladder")
    assert {"cholect45", "cholectrack20"} <= set(triplet.also)


def test_an_included_row_is_there_when_its_own_table_is_not_asked_for():
    kinds = page.collect(["cholect45"])
    assert {kind.name for kind in kinds} >= {"phase", "triplet", "verb"}
    phases = next(kind for kind in kinds if kind.name == "phase")
    rows = [n for entry in phases.entries for n in entry.natives]
    assert len(rows) == phases.rows == 8
    assert all(n.row.table == "cholect50" and n.also == ["cholect45"] for n in rows)


def test_the_page_stands_alone_and_marks_our_choices(tmp_path):
    path = page.write(tmp_path / "made" / "ontology.html")
    text = path.read_text(encoding="utf-8")
    assert not re.search(r'(?:src|href)="(?!#)', text)  # nothing beside itself
    items = re.findall(r"<li( class=\"ours\")? data-sources", text)
    rows = {(r.table, r.line): r for source in ontology.sources() for r in ontology.rows(source)}
    assert len(items) == len(rows)
    assert sum(map(bool, items)) == sum(row.ours for row in rows.values()) > 100
    for (_, _), concept in ontology.concepts().items():
        assert f"{html.escape(concept.name, quote=False)}".replace("'", "&#39;") in text, concept


def test_native_labels_are_escaped(tmp_path, monkeypatch):
    monkeypatch.setattr(ontology, "_FOLDERS", list(ontology._FOLDERS))
    (tmp_path / "lab.tsv").write_text("phase\t<b>A&B</b>\tpreparation\ta <script>\n")
    ontology.add_tables(tmp_path)
    try:
        text = page.html(["lab"])
    finally:
        monkeypatch.undo()
        ontology.concepts.cache_clear()
        ontology.table.cache_clear()
    assert "&lt;b&gt;A&amp;B&lt;/b&gt;" in text and "<b>A&B" not in text
    assert "a &lt;script&gt;" in text
