"""Set before anything imports NumPy or JAX: one thread a worker, and a cache inside the tree that outlives the run."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as auctor.pk.engine sets it, for tests that import JAX first
os.environ.setdefault("AUCTOR_CACHE", str(Path(__file__).parent / ".cache" / "auctor"))
