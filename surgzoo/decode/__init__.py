"""Decoding: what evaluation, serving and rollouts use to turn prompts into tokens."""
