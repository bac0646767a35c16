"""The scores of one task: the task's own metrics over everything and over each group."""

from __future__ import annotations

import collections
import dataclasses
import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import get_args

from surgzoo.evaluate import workflow
from surgzoo.evaluate.grade import Graded
from surgzoo.evaluate.intervals import interval
from surgzoo.evaluate.scores import Group, Policy, Row
from surgzoo.evaluate.truth import Truth, place
from surgzoo.tasks.base import Scored


def task_rows(
    truth: Truth,
    task: str,
    graded: Mapping[str, Graded],
    missing: Policy,
    groups: Collection[Group],
) -> list[Row]:
    """All rows of one task: everything, then the groups in the order of `Group`, as stored."""
    members: dict[tuple[Group, str], list[str]] = collections.defaultdict(list)
    for id, conversation in truth.conversations.items():
        if conversation.task == task:
            members["all", "all"].append(id)
            members["source", id.split("/", 1)[0]].append(id)
            members["specialty", truth.video(id).specialty].append(id)
            members["procedure", truth.video(id).procedure].append(id)
            members["video", place(id)].append(id)
    order: tuple[Group, ...] = get_args(Group)
    keys = sorted(members, key=lambda key: order.index(key[0]))  # stable: stored order inside
    rows: list[Row] = []
    for key in keys:
        if key[0] not in groups:
            continue
        if rows and len(members[key]) == rows[0].expected:  # one source, one procedure: the same
            rows.append(dataclasses.replace(rows[0], group=key[0], name=key[1]))
        else:
            rows.append(_row(truth, task, key, members[key], graded, missing))
    return rows


def _row(
    truth: Truth,
    name: str,
    key: tuple[Group, str],
    ids: list[str],
    graded: Mapping[str, Graded],
    missing: Policy,
) -> Row:
    task = truth.tasks[name]
    answered = [graded[id] for id in ids if id in graded]
    counted = ids if missing == "wrong" else [id for id in ids if id in graded]
    scored = [
        Scored(truth.conversations[id], graded[id].answer, graded[id].prediction.scores)
        if id in graded
        else Scored(truth.conversations[id], None)
        for id in counted
    ]
    metrics = task.metrics(scored) if scored else {}
    metrics |= workflow.metrics(truth, task, zip(counted, scored, strict=True))
    unparsed = [item for item in answered if item.answer is None]
    latencies = [i.prediction.latency for i in answered if i.prediction.latency is not None]
    return Row(
        task=task.name,
        group=key[0],
        name=key[1],
        headline=task.headline,
        metrics={name: _finite(value) for name, value in metrics.items()},
        expected=len(ids),
        predicted=len(answered),
        unparsed=len(unparsed),
        reasons=count_reasons(item.error for item in unparsed),
        latency=sum(latencies) / len(latencies) if latencies else None,
        interval=None if key[0] == "video" else interval(truth, name, counted, scored),
    )


def count_reasons(errors: Iterable[str | None]) -> dict[str, int]:
    """How often each reason occurs, most frequent first, without what it quotes of the text."""
    quoted = re.compile(r":? ?(?:'[^']*'|\"[^\"]*\")(?:, (?:'[^']*'|\"[^\"]*\"))*")
    counts = collections.Counter(quoted.sub("", error or "no reason given") for error in errors)
    return dict(counts.most_common())


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
