"""Rebuilds the tokenizer of surgvlm-tiny from the project's own prompts and label names.

  python -m surgzoo.tools.build_tokenizer

Run it when templates or ontology tables change much; checkpoints made with the old one then need
it. A word that it does not know is still spelt, from bytes.
"""

from __future__ import annotations

import string

from surgzoo.db import ontology
from surgzoo.db.sources import sources
from surgzoo.models.qwen2_5_vl import tokenizer
from surgzoo.tasks import grammar, templates

VOCABULARY = 1024


def texts() -> list[str]:
    """The short questions with every label name, every label name, and the forms of answers."""
    names = {
        kind: sorted({name for source in sources.names() for name in ontology.names(source, kind)})
        for kind in ("instrument", "verb", "target", "phase", "tissue", "action", "step")
    }
    everything = sorted({name for group in names.values() for name in group})
    out = ["user\n", "assistant\n", "system\n", "none", *everything, *(f" {n}" for n in everything)]
    for constant in templates.__all__:
        for template in grammar.first(getattr(templates, constant), grammar.MOST_SHORT):
            out += _filled(template, names)
    out += [f"{name} (100,200),(300,400); " for name in names["instrument"]]
    out += [f"{a}, {b}" for a in names["instrument"] for b in names["instrument"]]
    triplets = {t for source in sources.names() for t in ontology.triplets(source)}
    for i, v, t in sorted(triplets):
        shown = (
            ontology.name(k, c)
            for k, c in zip(("instrument", "verb", "target"), (i, v, t), strict=True)
        )
        out.append(" ".join(shown) + ", ")
    return out


def _filled(template: str, names: dict[str, list[str]]) -> list[str]:
    """A phrasing with every name in its field; free fields (captions, seconds) are left empty."""
    fields = [field for _, field, _, _ in string.Formatter().parse(template) if field]
    kind = next((field for field in fields if field in names), None)
    blank = dict.fromkeys(fields, "")
    return [
        template.format(**{**blank, kind: name} if kind else blank)
        for name in names.get(kind, [""])
    ]


def main() -> None:
    built = tokenizer.train_bpe(texts(), VOCABULARY)
    built.save(str(tokenizer.SHIPPED), pretty=False)
    longest = sorted(texts(), key=lambda text: -len(built.encode(text).ids))[:3]
    print(f"{built.get_vocab_size()} tokens in {tokenizer.SHIPPED}")
    for text in longest:
        print(f"  {len(built.encode(text).ids):3d} tokens: {text.strip()}")


if __name__ == "__main__":
    main()
