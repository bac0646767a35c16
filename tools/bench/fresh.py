"""A call in a process of its own, which what was measured before cannot have warmed or filled."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def fresh(function: Callable[..., T], *arguments) -> T:
    """What the function returns in a fresh process; its error, or its death, is raised here."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()
