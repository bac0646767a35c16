"""State, objectives, step, loop, checkpoints and writers: one sharded loop for every model."""
