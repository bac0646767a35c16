"""Surgical video-language pre-training: SurgVLP, HecVL, PeskaVLP. See README.md."""
