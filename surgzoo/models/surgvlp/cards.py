"""The registered models of this folder: one graph, which different data were shown."""

from surgzoo.core.registry import Registry
from surgzoo.models.card import OF_PAIRS, model_card

_WEIGHTS = "the authors' without a licence file, see README.md"
_SEEN = (
    "SVL, surgical video lectures of the web, which are not released: whether one shows an "
    "operation that a benchmark tests on is not known"
)


def register(models: Registry) -> None:
    for name, made_by, parameters, text, paper in (
        ("surgvlp-tiny", "tiny", "229 K", "for the default data, trains on a CPU", "2307.15220"),
        ("surgvlp", "base", "133 M", "ResNet-50 and BERT-base", "2307.15220"),
        ("hecvl", "base", "133 M", "the graph of surgvlp, hierarchical pre-training", "2405.10075"),
        ("peskavlp", "base", "133 M", "the graph of surgvlp, procedure-aware", "2410.00263"),
    ):
        tiny = made_by == "tiny"
        side, length = (64, 96) if tiny else (224, 77)
        card = model_card(
            f"surgical dual encoder; {text}",
            family="surgvlp",
            parameters=parameters,
            reads="pairs",
            tasks=OF_PAIRS,
            input=f"a picture of {side} x {side} pixels and a text of up to {length} tokens",
            source=f"arXiv {paper}",
            weights="none published" if tiny else _WEIGHTS,
            pre_training="" if tiny else f"{name}: {_SEEN}",
        )
        models.register(name, f"surgzoo.models.surgvlp.config:{made_by}", card)
