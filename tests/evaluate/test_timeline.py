"""Ribbons of true and predicted labels over time."""

import pytest

from surgzoo.evaluate.report.timeline import UNPARSED, Ribbon


@pytest.mark.parametrize(("differs", "path"), [([(1.0, 3.0, 1)], "M1 0h2v1H1z"), ([], "")])
def test_wrong_stretches_need_no_second_label(differs, path):
    """With one label in all, 1 ("differs") is the number of none."""
    ribbon = Ribbon(
        video="a", duration=4.0, agreement=0.5, truth=[(0.0, 4.0, 0)],
        said=[(0.0, 1.0, 0), (1.0, 3.0, UNPARSED), (3.0, 4.0, 0)], differs=differs,
        labels=("calot",), ticks=[],
    )  # fmt: skip
    assert ribbon.wrong_path == path
    assert [name for _, name, _ in ribbon.paths(ribbon.said)] == ["unparsed", "calot"]
