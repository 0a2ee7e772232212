"""JAX set up once: float64, two-core friendly, and compiled code kept under the user's cache folder.

Every module that uses JAX imports it from here, so that no array is ever made in float32.
"""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# XLA reports every load from the compilation cache as an error over tuning flags that are no CPU features (prefer-no-gather)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import jax.export
import jax.numpy as jnp

from auctor.cache import cache_dir
from auctor.pk.sizes import bucket


def _processor() -> str:
    """A name for this processor's instruction set: compiled code must never be read back on another one."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    return hashlib.sha256(f"{platform.machine()} {features}".encode()).hexdigest()[:12]


jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
jax.config.update("jax_compilation_cache_dir", str(cache_dir("jax") / _processor()))  # type: ignore[no-untyped-call]
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)  # type: ignore[no-untyped-call]
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)  # type: ignore[no-untyped-call]

__all__ = ["bucket", "jax", "jnp"]
