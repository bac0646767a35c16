"""Hierarchical reasoning: traces composed from labels, and the check of any text against them.

`compose` writes a trace that climbs from what is in view over what it does to what it means;
`facts` reads what a text states; `verify` lists what in it is wrong or not annotated.
"""

from surgzoo.db.reasoning.check import Problem, verify
from surgzoo.db.reasoning.compose import compose
from surgzoo.db.reasoning.labels import Labels
from surgzoo.db.reasoning.read import Fact, facts

__all__ = ["Fact", "Labels", "Problem", "compose", "facts", "verify"]
