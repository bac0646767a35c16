"""The procedure grammar: an operation is phases > steps > acts, laid out in time from a seed.

An `Act` is what the surgeon's hand does with one instrument at one site; `effect` says which
variables of the scene it drives, and where to (`calot` goes to 1 while a hook dissects). An
assistant's hand holds tissue meanwhile. `Timeline` answers every question about a time t without
having seen t - 1.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

NULL = ("null_verb", "null_target")


@dataclasses.dataclass(frozen=True)
class Act:
    """One action. `site` names a point of the scene; `effect` maps variables to end values."""

    instrument: str
    verb: str
    target: str
    action: str | None  # its name among the basic surgical actions
    site: str
    effect: dict[str, float] = dataclasses.field(default_factory=dict)
    seconds: tuple[float, float] = (2.5, 4.5)
    repeat: tuple[int, int] = (1, 1)


@dataclasses.dataclass(frozen=True)
class Step:
    name: str
    acts: tuple[Act, ...]


@dataclasses.dataclass(frozen=True)
class Hold:
    """What the assistant holds during a phase."""

    instrument: str
    verb: str
    target: str
    site: str


@dataclasses.dataclass(frozen=True)
class Phase:
    """`enter` sets variables when the phase begins; `view` is the camera's (x, y, zoom)."""

    name: str
    view: tuple[float, float, float]
    steps: tuple[Step, ...]
    hold: Hold | None = None
    visitors: tuple[str, ...] = ()  # instruments that may wait in view, off the tissue
    enter: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Procedure:
    name: str
    specialty: str
    initial: dict[str, float]
    phases: tuple[Phase, ...]


@dataclasses.dataclass(frozen=True)
class Span:
    """A labelled stretch [start, end) in seconds."""

    name: str
    start: float
    end: float


@dataclasses.dataclass(frozen=True)
class Entry:
    """One act laid out in time: the tip is on the tissue during [touch, leave)."""

    act: Act
    start: float
    touch: float
    leave: float
    end: float
    first: bool  # comes in from outside the view
    last: bool  # goes out of the view afterwards
    track: int
    wander: tuple[float, float, float]  # seed of the small movements

    def touching(self, t: float) -> bool:
        return self.touch <= t < self.leave


class Timeline:
    """An operation laid out in time.

    Attributes:
      duration: seconds. phases, steps: spans that cover it without gaps.
      surgeon, assistant, visitor: entries of the three hands, in order.
      actions: (Entry, span) of the surgeon's acts that have an action name.
    """

    def __init__(self, procedure: Procedure, rng: np.random.Generator, pace: float):
        """`pace` scales all durations: 1 makes an operation of 100 to 140 s."""
        self.procedure = procedure
        self.phases: list[Span] = []
        self.steps: list[Span] = []
        self.surgeon: list[Entry] = []
        self.assistant: list[Entry] = []
        self.visitor: list[Entry] = []
        self._keys = {name: [(0.0, value)] for name, value in procedure.initial.items()}
        self._views: list[tuple[float, tuple[float, float, float]]] = []
        self._tracks: dict[tuple[str, str], int] = {}
        # Phases begin between two stored frames, so that no frame shows a change half done.
        now = 0.0
        for phase in procedure.phases:
            now = self._lay_phase(phase, now, rng, pace)
        self.duration = now

    def _lay_phase(self, phase: Phase, start: float, rng, pace: float) -> float:
        for name, value in phase.enter.items():
            self._drive(name, start, start + 0.3, value)
        jitter = rng.normal(0, (0.015, 0.015, 0.03))
        self._views.append((start, tuple(np.array(phase.view) + jitter)))
        now = start
        step_starts = []
        for step in phase.steps:
            step_starts.append((step.name, now))
            for act in step.acts:
                for _ in range(int(rng.integers(act.repeat[0], act.repeat[1] + 1))):
                    now = self._lay_act(act, now, rng, pace)
        end = np.ceil(now - 0.5) + 0.5  # x.5 s
        self._stretch_last(end)
        bounds = [at for _, at in step_starts[1:]] + [end]
        for (name, at), until in zip(step_starts, bounds, strict=True):
            self.steps.append(Span(name, at, until))
        self.phases.append(Span(phase.name, start, end))
        if phase.hold:
            self._lay_hold(phase.hold, start, end, rng)
        if phase.visitors and rng.random() < 0.35:
            self._lay_visitor(str(rng.choice(phase.visitors)), start, end, rng)
        return float(end)

    def _lay_act(self, act: Act, now: float, rng, pace: float) -> float:
        before = self.surgeon[-1] if self.surgeon else None
        first = before is None or before.act.instrument != act.instrument
        approach = rng.uniform(0.75, 1.0) if first else rng.uniform(0.4, 0.9)
        end = now + approach + pace * rng.uniform(*act.seconds)
        if before is not None and first:
            # The old instrument goes out just before the new one comes in.
            self.surgeon[-1] = dataclasses.replace(
                before, leave=min(before.leave, before.end - 0.4), last=True
            )
        self.surgeon.append(
            Entry(
                act,
                now,
                now + approach,
                end,
                end,
                first,
                False,
                self._track("surgeon", act),
                _seed3(rng),
            )
        )
        for name, value in act.effect.items():
            self._drive(name, now + approach, end, value)
        return end

    def _stretch_last(self, end: float) -> None:
        self.surgeon[-1] = dataclasses.replace(self.surgeon[-1], leave=end, end=end)

    def _lay_hold(self, hold: Hold, start: float, end: float, rng) -> None:
        """The assistant holds, and now and then lets go and grasps again."""
        act = Act(hold.instrument, hold.verb, hold.target, "tissue_retraction", hold.site)
        grip = start + rng.uniform(0.3, 1.4)
        now = start
        before = self.assistant[-1] if self.assistant else None
        same = (
            before is not None and before.end == start and before.act.instrument == hold.instrument
        )
        if before is not None and not same:
            self.assistant[-1] = dataclasses.replace(before, leave=before.end - 0.4, last=True)
        first = not same
        while now < end:
            until = min(end, grip + rng.uniform(6.0, 11.0))
            if end - until < 3.0:
                until = end
            track = self._track("assistant", act)
            self.assistant.append(
                Entry(act, now, grip, until, until, first, False, track, _seed3(rng))
            )
            now, first = until, False
            grip = now + rng.uniform(0.8, 2.0)

    def _lay_visitor(self, name: str, start: float, end: float, rng) -> None:
        act = Act(name, *NULL, None, "idle")
        arrive = start + rng.uniform(0.2, 0.5) * (end - start)
        leave = min(end, arrive + rng.uniform(3.0, 6.0))
        self.visitor.append(
            Entry(
                act,
                arrive,
                leave,
                leave,
                leave,
                True,
                True,
                self._track("visitor", act),
                _seed3(rng),
            )
        )

    def _track(self, hand: str, act: Act) -> int:
        return self._tracks.setdefault((hand, act.instrument), len(self._tracks) + 1)

    def _drive(self, name: str, start: float, end: float, value: float) -> None:
        keys = self._keys[name]
        keys.append((max(start, keys[-1][0]), keys[-1][1]))
        keys.append((max(end, keys[-1][0] + 1e-3), value))

    # ---- questions about a time ------------------------------------------------------------------

    def values(self, t: float) -> dict[str, float]:
        """All variables of the scene at time t."""
        return {
            name: float(np.interp(t, *zip(*keys, strict=True))) for name, keys in self._keys.items()
        }

    def hands(self, t: float) -> dict[str, Entry | None]:
        """What each hand does at time t."""
        return {
            "surgeon": _at(self.surgeon, t),
            "assistant": _at(self.assistant, t),
            "visitor": _at(self.visitor, t),
        }

    def view(self, t: float) -> np.ndarray:
        """Camera (x, y, zoom): steady in a phase, moving to the next one within half a second."""
        out = np.array(self._views[0][1])
        for at, view in self._views[1:]:
            out = out + (np.array(view) - out) * _ease((t - at) / 0.45)
        return out

    def smoke(self, t: float, energised: frozenset[str]) -> float:
        """Smoke in the cavity: energy makes it, time clears it. 0 .. 1, exactly 0 below 0.04."""
        total = 0.0
        for entry in self.surgeon:
            if entry.act.verb in ("dissect", "coagulate") and entry.act.instrument in energised:
                strength = 0.25 + 0.50 * entry.wander[0]
                on = np.clip((t - entry.touch) / 2.0, 0.0, 1.0)
                off = np.exp(-max(0.0, t - entry.leave) / 1.6)
                total += strength * on * off * (t >= entry.touch)
        total = min(0.6, float(total))
        return total if total > 0.04 else 0.0

    @functools.cached_property
    def actions(self) -> list[tuple[Entry, Span]]:
        return [
            (entry, Span(entry.act.action, entry.touch, entry.leave))
            for entry in self.surgeon
            if entry.act.action is not None
        ]


def at(spans: list[Span], t: float) -> Span:
    """The span that holds t; the last one after the end."""
    return next((span for span in spans if span.start <= t < span.end), spans[-1])


def _at(entries: list[Entry], t: float) -> Entry | None:
    return next((entry for entry in entries if entry.start <= t < entry.end), None)


def _seed3(rng: np.random.Generator) -> tuple[float, float, float]:
    return tuple(float(v) for v in rng.random(3))


def _ease(u: float) -> float:
    u = float(np.clip(u, 0.0, 1.0))
    return u * u * (3.0 - 2.0 * u)
