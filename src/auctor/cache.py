"""Where auctor keeps what it can recompute: compiled code and trained learners, under the user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir(kind: str) -> Path:
    """The folder for `kind` (`jax`, `learners`), made if missing; `AUCTOR_CACHE` overrides the user's cache folder."""
    base = os.environ.get("AUCTOR_CACHE")
    if base is None:
        from platformdirs import user_cache_dir

        base = user_cache_dir("auctor")
    folder = Path(base) / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder
