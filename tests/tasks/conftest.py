"""A slow moment of a busy machine is no failure: the tests of this room have no deadline."""

from hypothesis import settings

settings.register_profile("tasks", deadline=None)
settings.load_profile("tasks")
