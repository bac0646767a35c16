"""Depth Anything's encoder and decoder with other outputs: masks, a frame again. See README.md."""
