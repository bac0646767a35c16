"""A task of an outside package: the phase label, which the toy source uses for a colour."""

from surgzoo.db import ontology
from surgzoo.tasks.base import ImageTask, Parsed


class Colour(ImageTask):
    name = "toy_colour"
    answer_form = "label"
    headline = "accuracy"
    templates = ("Which colour is it?", "What is the colour?")

    def encode(self, shot, context):
        if shot.annotations.phase is None:
            return []
        answer = ontology.name("phase", shot.annotations.phase.concept)
        options = ontology.names(context.source, "phase")
        return [self.conversation(shot, context, answer, options=options)]

    def render(self, answer):
        return answer

    def parse(self, text, conversation):
        found = [option for option in conversation.options if option in text.lower()]
        if len(found) != 1:
            return Parsed(None, f"names {len(found)} colours")
        return Parsed(found[0])

    def metrics(self, scored):
        right = [item.answer == item.conversation.answer for item in scored]
        return {"accuracy": sum(right) / len(right)}

    def tally(self, scored):
        return {"": (sum(item.answer == item.conversation.answer for item in scored), len(scored))}

    def reward(self, conversation, text):
        return float(self.parse(text, conversation).answer == conversation.answer)
