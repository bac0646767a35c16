"""The model registry. Importing it is cheap: models are imported when one is asked for."""

from surgzoo.core.registry import Card, Registry

models: Registry = Registry("model")

_QWEN = "surgzoo.models.qwen2_5_vl.config"
for _name, _target, _size, _text in (
    ("surgvlm-tiny", "tiny", "3 M", "for the default data, trains on a CPU"),
    ("surgvlm-3b", "b3", "3.8 B", "not part of the SurgVLM paper"),
    ("surgvlm-7b", "b7", "8.3 B", "tuned whole"),
    ("surgvlm-32b", "b32", "33 B", "merger tuned"),
    ("surgvlm-72b", "b72", "73 B", "LoRA"),
):
    models.register(
        _name,
        f"{_QWEN}:{_target}",
        Card(
            summary=f"{_size} parameters, Qwen2.5-VL architecture; {_text}",
            licence="code Apache-2.0, weights as published",
            source="arXiv 2506.02555, architecture of arXiv 2502.13923",
            details={"parameters": _size, "family": "qwen2_5_vl"},
        ),
    )
