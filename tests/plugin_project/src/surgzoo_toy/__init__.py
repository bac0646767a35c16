"""A plug-in: registers lazily, so that listing imports nothing heavy."""

from pathlib import Path

from surgzoo.core.registry import Card
from surgzoo.db import ontology
from surgzoo.db.sources import sources
from surgzoo.models import models
from surgzoo.models.card import model_card
from surgzoo.tasks import tasks

CARD = Card(summary="toy of a plug-in", licence="Apache-2.0", source="surgzoo's tests")
MODEL_CARD = model_card(
    "a smaller surgvlm-tiny",
    family="qwen2_5_vl",
    parameters="1.0 M",
    reads="turns",
    tasks=("text",),
    input="turns of text with pictures of 112 x 112 pixels",
    source="surgzoo's tests",
)


def register() -> None:
    ontology.add_tables(Path(__file__).parent)
    models.register("toy-vlm", "surgzoo_toy.model:toy", MODEL_CARD, origin="surgzoo-toy-plugin")
    tasks.register("toy_colour", "surgzoo_toy.task:Colour", CARD, origin="surgzoo-toy-plugin")
    sources.register("toy", "surgzoo_toy.source:Toy", CARD, origin="surgzoo-toy-plugin")
