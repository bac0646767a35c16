"""BSA: basic surgical actions in clips, skill, and what comes next."""
