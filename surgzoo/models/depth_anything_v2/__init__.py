"""Depth Anything V2: DINOv2 encoder, DPT decoder, one map of inverse depth. See README.md."""
