"""How answers are decoded, as one value: what evaluation sets, and what its files say of it."""

from __future__ import annotations

import dataclasses

from surgzoo.decode.beam import make_beam
from surgzoo.decode.loop import Generate, make_generate
from surgzoo.decode.sampling import Sampling
from surgzoo.models.base import Model


@dataclasses.dataclass(frozen=True)
class Decoding:
    """Greedy by default.

    Attributes:
      temperature: above 0 draws tokens (`Sampling`); 0 takes the likeliest.
      top_k, top_p, min_p: cuts of what is drawn from; see `Sampling`.
      seed: of the draws.
      beams: above 1, the width of a beam search.
      length_penalty: of the beam search; see `make_beam`.
      constrained: questions whose task has a pattern get an answer that it admits.

    Raises ValueError for values that do not go together.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0
    beams: int = 1
    length_penalty: float = 1.0
    constrained: bool = False

    def __post_init__(self):
        if self.temperature < 0:
            raise ValueError(f"temperature must be 0 (greedy) or above, not {self.temperature}")
        if self.beams < 1:
            raise ValueError(f"beams must be 1 (no beam search) or more, not {self.beams}")
        if self.beams > 1 and self.temperature:
            raise ValueError(
                f"beams={self.beams} searches for the likeliest answer, "
                f"temperature={self.temperature} draws one: set one of the two"
            )
        if self.length_penalty != 1 and self.beams == 1:
            raise ValueError(
                f"length_penalty={self.length_penalty} is for a beam search: set beams above 1"
            )
        if self.temperature:
            self._sampling()  # checks the cuts
        else:
            for name, unused in (("top_k", 0), ("top_p", 1), ("min_p", 0)):
                if getattr(self, name) != unused:
                    raise ValueError(
                        f"{name}={getattr(self, name)} does nothing without sampling: set a "
                        "temperature above 0"
                    )

    def _sampling(self) -> Sampling:
        return Sampling(self.temperature, self.top_k, self.top_p, self.min_p)

    def make(self, model: Model, max_new_tokens: int, eos_id: int | tuple[int, ...]) -> Generate:
        """A compiled function of `make_generate` or `make_beam`, one answer a question."""
        if self.beams > 1:
            return make_beam(
                model, max_new_tokens, eos_id, self.beams, self.length_penalty, self.constrained
            )
        how = self._sampling() if self.temperature else None
        return make_generate(model, max_new_tokens, eos_id, how, constrain=self.constrained)

    def words(self, constrained: bool) -> str:
        """ "greedy", "beam search of 4, constrained": how one answer was decoded. `constrained`
        says whether a pattern bound it."""
        said = ["greedy"]
        if self.beams > 1:
            said = [f"beam search of {self.beams}"]
            if self.length_penalty != 1:
                said.append(f"length penalty {self.length_penalty:g}")
        elif self.temperature:
            said = [f"sampled at temperature {self.temperature:g}"]
            said += [f"top-k {self.top_k}"] * (self.top_k > 0)
            said += [f"top-p {self.top_p:g}"] * (self.top_p < 1)
            said += [f"min-p {self.min_p:g}"] * (self.min_p > 0)
            said.append(f"seed {self.seed}")
        return ", ".join(said + ["constrained"] * constrained)

    def tag(self) -> str:
        """A part of a folder's name, "-beams4-constrained"; "" for greedy decoding."""
        default, said = Decoding(), ""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != getattr(default, field.name):
                said += f"-{field.name}" if value is True else f"-{field.name}{value:g}"
        return said
