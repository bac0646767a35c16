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

_CLIP = "surgzoo.models.clip.config"
for _name, _target, _size, _text in (
    ("clip-tiny", "clip_tiny", "0.3 M", "for the default data, trains on a CPU"),
    ("clip-vit-b-32", "clip_b32", "151 M", "ViT-B/32 at 224 pixels"),
    ("clip-vit-b-16", "clip_b16", "150 M", "ViT-B/16 at 224 pixels"),
    ("clip-vit-l-14", "clip_l14", "428 M", "ViT-L/14 at 224 pixels"),
    ("clip-vit-l-14-336", "clip_l14_336", "428 M", "ViT-L/14 at 336 pixels"),
):
    models.register(
        _name,
        f"{_CLIP}:{_target}",
        Card(
            summary=f"{_size} parameters, CLIP dual encoder; {_text}",
            licence="code Apache-2.0; OpenAI's weights MIT",
            source="arXiv 2103.00020",
            details={
                "parameters": _size,
                "family": "clip",
                "input": "image, text",
                "pre-training": "400 M image-text pairs of the web, not published",
            },
        ),
    )
for _name, _target, _size, _text in (
    ("siglip2-tiny", "siglip2_tiny", "0.4 M", "for the default data, trains on a CPU"),
    ("siglip2-base", "siglip2_base", "375 M", "ViT-B/16 at 224 pixels"),
    ("siglip2-base-naflex", "siglip2_base_naflex", "375 M", "any-resolution files, square grid"),
    ("siglip2-large", "siglip2_large", "882 M", "ViT-L/16 at 256 pixels"),
    ("siglip2-so400m", "siglip2_so400m", "1.1 B", "So400m/14 at 224 pixels"),
    ("siglip2-giant", "siglip2_giant", "1.9 B", "g-opt/16 at 256 pixels"),
):
    models.register(
        _name,
        f"{_CLIP}:{_target}",
        Card(
            summary=f"{_size} parameters, SigLIP 2 dual encoder; {_text}",
            licence="code Apache-2.0; Google's weights Apache-2.0",
            source="arXiv 2502.14786",
            details={
                "parameters": _size,
                "family": "clip",
                "input": "image, text",
                "pre-training": "WebLI, not published",
            },
        ),
    )

for _name, _target, _text, _source in (
    ("surgvlp-tiny", "tiny", "0.2 M parameters, for the default data", "2307.15220"),
    ("surgvlp", "base", "133 M parameters, ResNet-50 and BERT-base", "2307.15220"),
    ("hecvl", "base", "the graph of surgvlp, hierarchical pre-training", "2405.10075"),
    ("peskavlp", "base", "the graph of surgvlp, procedure-aware pre-training", "2410.00263"),
):
    models.register(
        _name,
        f"surgzoo.models.surgvlp.config:{_target}",
        Card(
            summary=f"surgical dual encoder; {_text}",
            licence="code Apache-2.0; weights: no licence file, see README.md",
            source=f"arXiv {_source}",
            details={
                "parameters": "0.2 M" if _target == "tiny" else "133 M",
                "family": "surgvlp",
                "input": "image, text",
                "pre-training": "SVL, surgical video lectures of the web, not released",
            },
        ),
    )

_BSA_CARD = {"family": "bsa", "tasks": "action_recognition, skill"}
for _name, _target, _size, _text in (
    ("bsa-tiny", "tiny", "0.4 M", "4 frames of 64 x 64, trains on a CPU"),
    ("bsa-base", "base", "121 M", "ViT-B/16, 8 frames of 224 x 224"),
):
    models.register(
        _name,
        f"surgzoo.models.bsa.config:{_target}",
        Card(
            summary=f"{_size} parameters, TimeSformer with BSA's heads; {_text}",
            licence="code Apache-2.0; no weights of BSA are published",
            source="arXiv 2603.12787, architecture of arXiv 2102.05095",
            details={"parameters": _size, **_BSA_CARD},
        ),
    )
models.register(
    "bsa-planner",
    "surgzoo.models.bsa.config:planner",
    Card(
        summary="0.5 M parameters, causal transformer: the next action after a recognised history",
        licence="code Apache-2.0; no weights are published",
        source="the task of arXiv 2603.12787; the architecture is ours",
        details={"parameters": "0.5 M", "family": "bsa", "tasks": "next_action"},
    ),
)

for _name, _target, _size, _text in (
    ("tecno-tiny", "tiny", "0.01 M", "64 features a frame, trains on a CPU in seconds"),
    ("tecno-base", "base", "0.13 M", "2048 features a frame, as ResNet-50's"),
):
    models.register(
        _name,
        f"surgzoo.models.temporal.config:{_target}",
        Card(
            summary=f"{_size} parameters, causal MS-TCN over stored frame features; {_text}",
            licence="code Apache-2.0; bring weights of your own",
            source="arXiv 2003.10751, architecture of arXiv 1903.01945",
            details={"parameters": _size, "family": "temporal", "tasks": "phase_recognition"},
        ),
    )

_DEPTH = "surgzoo.models.depth_anything_v2.config"
_OWN = "code Apache-2.0, no weights are published"
_OPEN, _CLOSED = "code and weights Apache-2.0", "code Apache-2.0, weights CC-BY-NC-4.0"
_FRAME = "one RGB frame, shorter side 518 pixels, whole patches of 14"
_SMALL_FRAME = "one RGB frame, 112 x 112 pixels"
_PHOTOGRAPHS = (
    "encoder on LVD-142M, all on 62 M photographs, labelled by a teacher that learnt from 595 K "
    "rendered images; no surgical video is named"
)
for _name, _size, _licence, _input, _seen in (
    ("tiny", "0.6 M", _OWN, _SMALL_FRAME, "nothing"),
    ("small", "25 M", _OPEN, _FRAME, _PHOTOGRAPHS),
    ("base", "97 M", _CLOSED, _FRAME, _PHOTOGRAPHS),
    ("large", "335 M", _CLOSED, _FRAME, _PHOTOGRAPHS),
):
    models.register(
        f"depth-anything-v2-{_name}",
        f"{_DEPTH}:{_name}",
        Card(
            summary=f"{_size} parameters, relative depth; DINOv2 encoder and DPT decoder",
            licence=_licence,
            source="arXiv 2406.09414, 2304.07193 (DINOv2), 2103.13413 (DPT)",
            details={
                "parameters": _size,
                "family": "depth_anything_v2",
                "tasks": "depth_estimation",
                "input": _input,
                "trained on": _seen,
            },
        ),
    )

_DENSE = "surgzoo.models.dense.config"
for _name, _output in (
    ("instrument_segmentation", "a mask of the instruments, or one of each kind"),
    ("tissue_segmentation", "labels of tissues"),
    ("desmoking", "the frame without its smoke"),
    ("next_frame", "the frame a fixed time later"),
):
    for _size, _count, _input in (("tiny", "0.6 M", _SMALL_FRAME), ("small", "25 M", _FRAME)):
        models.register(
            f"{_name.replace('_', '-')}-{_size}",
            f"{_DENSE}:{_name}_{_size}",
            Card(
                summary=f"{_count} parameters, {_output}; Depth Anything's encoder and decoder",
                licence=_OWN,
                source="architecture of arXiv 2406.09414, outputs and losses ours",
                details={"parameters": _count, "family": "dense", "input": _input},
            ),
        )
