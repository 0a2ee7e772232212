"""Traced functions kept on disk: a second process neither traces nor compiles what the first one did.

Tracing a model through two derivatives costs a second or more of Python; the exported StableHLO is read back in milliseconds and XLA's
own cache holds the machine code. The key covers the model file, the engine's source and JAX's version, so nothing stale is ever used.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np

from auctor.cache import cache_dir
from auctor.pk.engine import jax

PACKAGE = Path(__file__).resolve().parents[1]
THREADS = 2
# compiled functions in one process, the memory maps at which older ones are let go, and how many are never let go
MOST_LIVE, MOST_MAPS, LEAST_LIVE = 300, 30_000, 40
MAPS = Path("/proc/self/maps")
_LIVE: deque[tuple[dict[Any, Callable[..., Any]], Any]] = deque()
_ROOM = Lock()
Part = TypeVar("Part")
Result = TypeVar("Result")
SOURCES = ("pk", "estimate", "models")


@cache
def _source_hash() -> str:
    """A hash of everything that decides what a trace contains."""
    digest = hashlib.sha256(jax.__version__.encode())
    for folder in SOURCES:
        for path in sorted((PACKAGE / folder).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


class Kept:
    """A function of pytrees of arrays, traced once per shape and kept under the cache folder; returns the leaves of its result.

    `key` must determine the function (its name and the model's content hash). Raises what `function` raises while tracing.
    """

    def __init__(self, function: Callable[..., Any], key: str) -> None:
        self.function, self.key = function, key
        self._calls: dict[Any, Callable[..., Any]] = {}

    def __call__(self, *args: Any) -> tuple[Any, ...]:
        """Run on arrays (or pytrees of them) of any shape: the first call of a shape traces, or reads the kept trace."""
        leaves, tree = jax.tree.flatten(args)
        leaves = [leaf if isinstance(leaf, np.ndarray) else np.asarray(leaf) for leaf in leaves]
        key = (tree, *((leaf.shape, leaf.dtype) for leaf in leaves))
        call = self._calls.get(key)
        if call is None:
            call = self._calls[key] = self._compiled(leaves, tree, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves))
            _make_room(self._calls, key)
        return tuple(call(*leaves))

    def _compiled(self, leaves: list[Any], tree: Any, shapes: Any) -> Callable[..., Any]:
        name = hashlib.sha256(f"{self.key} {tree} {shapes} {_source_hash()}".encode()).hexdigest()[:32]
        path = cache_dir("traces") / name
        content = path.read_bytes() if path.exists() else self._traced(leaves, tree, path)
        return jax.jit(jax.export.deserialize(bytearray(content)).call)

    def _traced(self, leaves: list[Any], tree: Any, path: Path) -> bytes:
        def flat(*values: Any) -> list[Any]:
            return jax.tree.leaves(self.function(*jax.tree.unflatten(tree, values)))

        shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]  # type: ignore[no-untyped-call]
        content = bytes(jax.export.export(jax.jit(flat))(*shapes).serialize())
        _write_whole(path, content)
        return content


def _make_room(calls: dict[Any, Callable[..., Any]], key: Any) -> None:
    """Let the oldest compiled functions of the process go: each holds up to a hundred memory maps, of which Linux grants some 65,000."""
    with _ROOM:
        _LIVE.append((calls, key))
        while len(_LIVE) > MOST_LIVE or (len(_LIVE) > LEAST_LIVE and _maps() > MOST_MAPS):
            oldest, name = _LIVE.popleft()
            gone = oldest.pop(name, None)
            if gone is not None:
                gone.clear_cache()  # type: ignore[attr-defined]


def _maps() -> int:
    """The process's memory maps; 0 where the system does not say."""
    return MAPS.read_bytes().count(b"\n") if MAPS.exists() else 0


def side_by_side(call: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """`call` on each part, in order: the first alone, since it may compile, the others on a thread for each of two cores."""
    first = [call(part) for part in parts[:1]]
    if len(parts) < 2:
        return first
    with ThreadPoolExecutor(THREADS) as pool:
        return first + list(pool.map(call, parts[1:]))


def _write_whole(path: Path, content: bytes) -> None:
    """Write beside and rename, so that another process never reads half a file."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    Path(name).replace(path)
