"""Memory of a process of many threads: how many separate heaps the C library may open for them."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

M_ARENA_MAX = -8  # of glibc's malloc.h
ARENAS = 2


def few_heaps() -> None:
    """Let all threads of this process share `ARENAS` heaps; before it starts threads.

    glibc gives each of forty request threads a heap of its own and hands back none of them: the server grew by 10 % in minutes of load.
    An installation that says MALLOC_ARENA_MAX itself keeps its own number; another C library is left alone.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        with suppress(AttributeError, OSError, TypeError):
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)
