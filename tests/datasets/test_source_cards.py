"""What holds for the card and the builder of every source in `datasets/`."""

import pytest

from surgzoo.db import ontology
from surgzoo.db.source_cards import CARD_FILE, LAYOUTS, read_card, shown_by
from surgzoo.db.sources import sources
from surgzoo.tasks import tasks

OURS = [name for name in sources.names() if sources.entry(name).origin == "surgzoo"]
GENERIC = {"folder", "web_video"}
SIX = (
    "hepatobiliary",
    "gastrointestinal",
    "urology",
    "gynecology",
    "ophthalmology",
    "neurosurgery",
)


@pytest.mark.parametrize("name", OURS)
def test_card_and_builder_agree(name):
    card, builder = sources.entry(name).card, sources.get(name)
    assert builder.source == builder.name == name
    assert set(card.details["tasks"]) <= set(tasks.names())
    assert card.details["layout"] in LAYOUTS
    assert card.licence and card.summary and card.details["evidence"]
    assert bool(shown_by(name)["specialties"]) == (name not in GENERIC)
    assert bool(builder.EXPECTED) == (name != "synthsurg")
    assert builder.generic == (name in GENERIC)
    if name not in GENERIC:
        assert name in ontology.sources()


def test_every_specialty_has_a_source():
    shown = {s for name in OURS for s in shown_by(name)["specialties"]}
    assert set(SIX) <= shown


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("licence = ", "lisence = "), "missing or unknown: licence, lisence"),
        (('layout = "owner"', 'layout = "seen"'), "layout 'seen' is none of"),
        (("[published]", "[published"), "card.toml"),
    ],
)
def test_a_wrong_card_is_named(tmp_path, change, message):
    import surgzoo.datasets.cholec80.cholec80 as module

    text = (type(tmp_path)(module.__file__).with_name(CARD_FILE)).read_text()
    (tmp_path / CARD_FILE).write_text(text.replace(*change))
    with pytest.raises(ValueError, match=message):
        read_card(tmp_path / CARD_FILE)
