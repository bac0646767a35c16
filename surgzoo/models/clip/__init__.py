"""Dual encoders of images and texts: CLIP and SigLIP 2. See README.md."""
