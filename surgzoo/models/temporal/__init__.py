"""Causal temporal convolutions over the features of frames."""
