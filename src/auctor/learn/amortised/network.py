"""The network, as pure functions of a dictionary of arrays, in NumPy (one patient) and JAX (training): the same lines for both.

A set encoder (deep sets) over the samples and the patient's own inputs give a context; from it the log probabilities of the models, and for
each model an autoregressive spline flow over its whitened etas: u_k is shifted, scaled and bent by what the context and u_1 .. u_(k-1) say.
References: Zaheer M et al., Deep Sets, NeurIPS 2017 (arXiv 1703.06114); Papamakarios G, Murray I, NeurIPS 2016 (arXiv 1605.06376).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from auctor.learn.amortised.spline import forward, inverse, knots

Weights = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Inputs of a sample and of a patient, `etas` of each model, `width` of the layers and `bins` of the splines."""

    samples: int
    patient: int
    etas: tuple[int, ...]
    width: int
    bins: int

    @property
    def numbers(self) -> int:
        """What the flow needs for one eta: shift, log scale, and the spline's numbers."""
        return 2 + 3 * self.bins - 1


def start(shape: Shape, seed: int) -> dict[str, np.ndarray]:
    """Weights (float32) to begin with: the last layers are 0, so that the first answer is the normal approximation."""
    rng, w = np.random.default_rng(seed), shape.width
    sizes = {"s1": (shape.samples, w), "s2": (w, w), "c1": (w + shape.patient, w), "c2": (w, w), "m": (w, len(shape.etas))}
    found: dict[str, np.ndarray] = {}
    for name, (a, b) in sizes.items():
        found[f"{name}w"] = rng.normal(0, math.sqrt(2 / a), (a, b)) * (name != "m")
        found[f"{name}b"] = np.zeros(b)
    for m, p in enumerate(shape.etas):
        found[f"f{m}c"] = rng.normal(0, math.sqrt(2 / w), (w, p, w))
        found[f"f{m}u"] = rng.normal(0, 0.3, (p, p, w))
        found[f"f{m}b"] = np.zeros((p, w))
        found[f"f{m}o"] = np.zeros((p, w, shape.numbers))
        found[f"f{m}a"] = np.zeros((p, shape.numbers))
    return {name: values.astype(np.float32) for name, values in found.items()}


def _bent(x: Any, xp: ModuleType) -> Any:
    """SiLU without overflow."""
    return x * 0.5 * (1 + xp.tanh(0.5 * x))


def context(weights: Weights, inputs: tuple[Any, Any, Any], xp: ModuleType) -> Any:
    """(n, width) from samples (n, k, a), used (n, k) and patient (n, b)."""
    samples, used, patient = inputs
    one = _bent(samples @ weights["s1w"] + weights["s1b"], xp)
    one = _bent(one @ weights["s2w"] + weights["s2b"], xp) * used[..., None]
    pooled = xp.sum(one, axis=1) / (1 + xp.sum(used, axis=1))[:, None]
    both = _bent(xp.concatenate([pooled, patient], axis=-1) @ weights["c1w"] + weights["c1b"], xp)
    return _bent(both @ weights["c2w"] + weights["c2b"], xp)


def log_models(weights: Weights, found: Any, evidence: Any, xp: ModuleType) -> Any:
    """Log probabilities of the models (n, n_models): the approximation's evidence, corrected."""
    raw = evidence + found @ weights["mw"] + weights["mb"]
    top = raw - xp.max(raw, axis=-1, keepdims=True)
    return top - xp.log(xp.sum(xp.exp(top), axis=-1, keepdims=True))


def log_density(weights: Weights, shape: Shape, m: int, given: tuple[Any, Any], xp: ModuleType) -> Any:
    """log q(u | context) (n,) for model m; `given` is the context (n, width) and u (n, p)."""
    found, u = given
    p = shape.etas[m]
    earlier = u[:, None, :] * np.tril(np.ones((p, p), dtype=np.float32), -1)
    hidden = xp.einsum("nw,wph->nph", found, weights[f"f{m}c"]) + xp.einsum("npj,pjh->nph", earlier, weights[f"f{m}u"])
    out = xp.einsum("nph,pho->npo", _bent(hidden + weights[f"f{m}b"], xp), weights[f"f{m}o"]) + weights[f"f{m}a"]
    shift, log_scale, spline = _split(out, shape.bins, xp)
    base, log_slope = forward(spline, (u - shift) * xp.exp(-log_scale), xp)
    return xp.sum(log_slope - log_scale - 0.5 * base**2, axis=-1) - 0.5 * p * math.log(2 * math.pi)


def _split(out: Any, bins: int, xp: ModuleType) -> tuple[Any, Any, Any]:
    return out[..., 0], 2.0 * xp.tanh(0.5 * out[..., 1]), knots(out[..., 2:], bins, xp)


def draw(weights: Weights, shape: Shape, m: int, given: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """u (n, p) of model m from base normals (n, p), for one patient's context (width,); NumPy."""
    found, base = given
    u = np.zeros_like(base)
    for k in range(shape.etas[m]):
        hidden = found @ weights[f"f{m}c"][:, k] + u[:, :k] @ weights[f"f{m}u"][k, :k] + weights[f"f{m}b"][k]
        out = _bent(hidden, np) @ weights[f"f{m}o"][k] + weights[f"f{m}a"][k]
        shift, log_scale, spline = _split(out, shape.bins, np)
        u[:, k] = shift + np.exp(log_scale) * inverse(spline, base[:, k], np)
    return u
