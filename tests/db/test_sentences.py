"""Sentences that stand for labels: what ships fits the ontology, what is wrong is named."""

import pytest

from surgzoo.db import ontology
from surgzoo.db.sentences import NONE, Sentences, plain, shipped

KINDS = {"phase_recognition": "phase", "instrument_recognition": "instrument"}
LABELS = ("hook", "grasper")


def write(folder, text, name="mine.toml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", shipped())
def test_what_ships_has_just_the_labels_of_its_source(name):
    found = Sentences(name)
    text = found.path.read_text(encoding="utf-8")
    asked = {
        (task, ontology.names(name, kind)): None
        for task, kind in KINDS.items()
        if f"[{task}]" in text
    }
    assert asked
    found.check(asked)
    for task, options in asked:
        groups = found.of(task, options)
        assert all(groups) and len({text for group in groups for text in group}) == sum(
            map(len, groups)
        )
        if task == "instrument_recognition":
            assert found.of_none(task)


def test_plain_sentences_name_the_label():
    none = Sentences()
    assert none.of("phase_recognition", LABELS) == [
        ("The frame shows the phase of hook.",),
        ("The frame shows the phase of grasper.",),
    ]
    assert plain("instrument_recognition", NONE) == "No instrument is in view."
    assert plain("tissue_recognition", NONE) == "Nothing of the kind is in view."
    assert plain("next_action", "cutting") == "Cutting."
    said = plain("triplet_recognition", "hook, dissect, cystic duct")
    assert said == "The hook dissects the cystic duct."
    idle = plain("triplet_recognition", "hook, null verb, null target")
    assert idle == "The hook is off the tissue."


def test_a_file_gives_its_sentences_in_the_order_of_the_labels(tmp_path):
    path = write(
        tmp_path, '[instrument_recognition]\n"grasper" = ["G one. ", "G two."]\nhook = ["H."]\n'
    )
    found = Sentences(path)
    assert found.of("instrument_recognition", LABELS) == [("H.",), ("G one.", "G two.")]
    assert found.name.startswith("mine.toml ")
    path.write_text(path.read_text().replace("H.", "Another H."))
    assert Sentences(path).name != found.name  # so that answers by the two are told apart


def test_lines_are_the_classes_in_order(tmp_path):
    path = write(tmp_path, "I use the hook \nI use the grasper\n\n", "class_prompt.txt")
    found = Sentences(path)
    found.check([("instrument_recognition", LABELS)])
    assert found.of("instrument_recognition", LABELS) == [
        ("I use the hook",), ("I use the grasper",)
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"class_prompt\.txt has 2 lines, phase_recognition has 3"):
        found.of("phase_recognition", ("a", "b", "c"))
    with pytest.raises(ValueError, match="no sentence for nothing in view"):
        found.of_none("instrument_recognition")
    with pytest.raises(ValueError, match="the sentences of one task"):
        found.check([("instrument_recognition", LABELS), ("phase_recognition", ("a", "b"))])
    with pytest.raises(ValueError, match="line 2: a class without a sentence"):
        Sentences(write(tmp_path, "one\n\nthree\n", "gap.txt"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[instrument_recognition]\nhook = ["H."]', "no sentences for grasper"),
        (
            '[instrument_recognition]\nhook = ["H."]\ngraspr = ["G."]',
            r"no sentences for grasper \(did you mean 'graspr'",
        ),
        (
            '[instrument_recognition]\nhook = ["H."]\ngrasper = ["G."]\nhok = ["H."]',
            r"hok is no label of the questions \(did you mean 'hook'\?\)",
        ),
        ('[phase_recognition]\nhook = ["H."]', r"no table \[instrument_recognition\], only phase"),
        ("[instrument_recognition]\nhook = []", '"hook" needs a list of sentences'),
        ('[instrument_recognition]\nhook = "H."', '"hook" needs a list of sentences'),
        ('[instrument_recognition]\nhook = [" "]', '"hook" needs a list of sentences'),
        ('hook = ["H."]', "'hook' stands outside of a table"),
        ("[instrument_recognition\n", "is no TOML"),
    ],
)
def test_mistakes_are_named_with_the_file(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=message) as error:
        Sentences(path).check([("instrument_recognition", LABELS)])
    assert str(path) in str(error.value)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file of sentences"):
        Sentences(tmp_path / "none.toml")
    with pytest.raises(FileNotFoundError, match=r"neither .* one of this project's: autolaparo"):
        Sentences("cholec8o")
    broken = tmp_path / "latin.txt"
    broken.write_bytes(b"caf\xe9\n")
    with pytest.raises(ValueError, match=r"latin\.txt is not UTF-8"):
        Sentences(broken)
