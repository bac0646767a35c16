"""Qwen2.5-VL: windowed vision transformer, 2x2 merger, decoder with M-RoPE. See README.md."""
