"""The allocator settings under which both sides of a comparison run: those of the Makefile.

XLA on a CPU asks for its work space anew at every call and pays a page fault for each of its pages;
with these settings glibc keeps it. They only act when a process starts with them. One arena for all
threads (MALLOC_ARENA_MAX=1) is not among them: threads then wait for one another, and starting a
step costs its caller 3 ms where it costs 0.3 (host_time.py).
"""

from __future__ import annotations

from collections.abc import Mapping

TUNED = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
}
NAMES = ("default", "tuned")


def variables(name: str, base: Mapping[str, str]) -> dict[str, str]:
    """`base` with the settings ("tuned") or without any of them ("default")."""
    if name not in NAMES:
        raise ValueError(f"environment '{name}': choose from {', '.join(NAMES)}")
    rest = {key: value for key, value in base.items() if key not in TUNED}
    return rest | (TUNED if name == "tuned" else {})
