"""The style sheet and the scripts without a browser: contrast of its colours, pure functions."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from surgzoo.evaluate.report import build

FOLDER = Path(build.__file__).parent
CSS = (FOLDER / "style.css").read_text(encoding="utf-8")
ENOUGH = 4.5  # WCAG 2.2, 1.4.3; of shapes and borders 3, 1.4.11
FIRST, DARK = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
SCHEMES = {"light": FIRST, "dark": FIRST + DARK}


def colours(scheme):
    """{name: (r, g, b)} of a scheme's variables; the dark ones override the light ones."""
    found = {}
    for name, value in re.findall(r"--([\w-]+): (#[0-9a-f]{6})", SCHEMES[scheme]):
        found[name] = tuple(int(value[i : i + 2], 16) for i in (1, 3, 5))
    return found


def luminance(colour):
    parts = [c / 255 for c in colour]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def over(colour, below, alpha):
    return tuple(alpha * c + (1 - alpha) * b for c, b in zip(colour, below, strict=True))


def test_contrast_by_hand():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_on_its_grounds(scheme):
    known = colours(scheme)
    words = ("ink", "soft", "teal", "right", "partly", "wrong", "unparsed")
    for text in words:
        for ground in ("paper", "card", "shade") if text in ("ink", "soft") else ("paper", "card"):
            assert contrast(known[text], known[ground]) >= ENOUGH, (text, ground)
    assert contrast(known["on-teal"], known["teal"]) >= ENOUGH
    for mark in ("right", "partly", "wrong", "unparsed"):  # the share bars and the marks
        assert contrast(known["card"], known[mark]) >= ENOUGH, mark
    for ground in ("paper", "card"):
        assert contrast(known["edge"], known[ground]) >= 3, "borders of controls"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_shaded_cells_stay_legible(scheme):
    """Confusion cells: ink on teal of up to 0.52; the marked line of the metrics: 0.1."""
    known = colours(scheme)
    triple = re.findall(r"--teal-rgb: (\d+), (\d+), (\d+)", SCHEMES[scheme])[-1]
    assert tuple(map(int, triple)) == known["teal"]
    assert "calc(.52 * var(--v, 0))" in CSS
    for share in range(101):
        cell = over(known["teal"], known["paper"], 0.52 * share / 100)
        assert contrast(known["ink"], cell) >= ENOUGH, share
    assert contrast(known["ink"], over(known["teal"], known["paper"], 0.1)) >= ENOUGH


@pytest.mark.parametrize("scheme", SCHEMES)
def test_numbers_on_phase_colours(scheme):
    known = colours(scheme)
    written = {}
    for names, value in re.findall(r"((?:\.on\d+,? ?)+)\{ color: (#[0-9a-f]+)", CSS):
        value = value if len(value) == 7 else "#" + "".join(2 * c for c in value[1:])
        for number in re.findall(r"\d+", names):
            written[number] = tuple(int(value[i : i + 2], 16) for i in (1, 3, 5))
    assert len(written) == 12
    for number, text in written.items():
        assert contrast(text, known[f"p{number}"]) >= ENOUGH, number


@pytest.mark.parametrize("scheme", SCHEMES)
def test_words_on_pictures(scheme):
    """White names below black pictures; labels of boxes have a dark outline of their own."""
    for value in re.findall(r"\.word\d \{ fill: (#[0-9a-f]{6})", CSS):
        colour = tuple(int(value[i : i + 2], 16) for i in (1, 3, 5))
        assert contrast(colour, over((0, 0, 0), colours(scheme)["card"], 0.8)) >= ENOUGH, value


def test_boxes_differ_without_colour():
    """Each kind of box has dashes of its own, the truth none; marks have signs."""
    dashes = dict(re.findall(r"\.(box\d) rect \{ stroke-dasharray: ([\d ]+);", CSS))
    assert set(dashes) == {"box1", "box2", "box3", "box4"}
    assert len(set(dashes.values())) == 4
    signs = re.findall(r'\.mark\.(\w+)::before \{ content: "(.)"', CSS)
    assert len(dict(signs)) == len({sign for _, sign in signs}) == 4


needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine")


@needs_node
@pytest.mark.parametrize("name", build.SCRIPTS)
def test_scripts_parse(name):
    subprocess.run(["node", "--check", FOLDER / name], check=True)


@needs_node
def test_order_of_cells_and_search():
    """The pure functions of page.js, with a document that is empty."""
    script = (
        (FOLDER / "page.js").read_text(encoding="utf-8")
        + """
      const sorted = (cells, down) => [...cells].sort((a, b) => compareCells(a, b, down));
      console.log(JSON.stringify([
        sorted(["10", "9", "", "-1.5", "1e-3"], false), sorted(["10", "9", "", "-1.5"], true),
        sorted(["hook", "", "Bipolar", "clip 2"], false), sorted(["b", "", "a"], true),
        findsAll("", "x"), findsAll("Hook  CLIP", "a clip and a hook"), findsAll("hook no", "hook"),
      ]));"""
    )
    empty = "globalThis.document = { querySelectorAll: () => [] };\n"
    run = subprocess.run(["node", "-e", empty + script], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == [
        ["-1.5", "1e-3", "9", "10", ""],
        ["10", "9", "-1.5", ""],
        ["Bipolar", "clip 2", "hook", ""],
        ["b", "a", ""],
        True,
        True,
        False,
    ]
