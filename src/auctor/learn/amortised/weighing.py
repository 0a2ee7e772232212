"""Importance weights of the network's draws: the true prior and likelihood of each model over what the draws came from.

Proposals are drawn model by model, the numbers fixed in advance (stratified), with a part from the prior itself, so that no weight exceeds
what the likelihood allows (a defensive mixture); w = p(m) p(z) p(levels | m, z) / q(m, z) and ESS = (sum w)^2 / sum w^2.
References: Hesterberg T, Technometrics 1995;37:185-194 (defensive mixture); Dax M et al., Phys Rev Lett 2023;130:171403 (neural proposals).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auctor.learn.amortised.network import Shape, draw, log_density
from auctor.learn.amortised.normal import Normal
from auctor.learn.amortised.wider import Wider

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Target = Callable[[int, Array], Array]  # model, z (n, p) -> log of prior times likelihood, (n,)
FROM_PRIOR = 0.1  # share of the proposals drawn from the prior
LEAST_MODEL = 0.02  # of the proposals go to every model, however improbable the network thinks it


@dataclass(frozen=True, kw_only=True, eq=False)
class Proposal:
    """What the network says of one patient: `context` (width,), log probability of each model, and the normal approximations.

    `wider` is the prior of the etas.
    """

    weights: dict[str, np.ndarray]
    shape: Shape
    context: Array
    log_models: Array
    normals: Sequence[Normal]
    wider: Wider

    def drawn(self, m: int, n: int, rng: np.random.Generator) -> Array:
        """Standardised etas (n, p) of model m from the network alone."""
        base = rng.standard_normal((n, self.shape.etas[m]))
        u = draw(self.weights, self.shape, m, (self.context, base))
        one = self.normals[m]
        return np.asarray(one.mean[0] + np.linalg.solve(one.root[0].T, u.T).T)

    def log_q(self, m: int, z: Array) -> Array:
        """log q(z | m), (n,), of the network alone."""
        one = self.normals[m]
        u = (z - one.mean[0]) @ one.root[0]
        context = np.broadcast_to(self.context, (len(z), len(self.context)))
        inside = log_density(self.weights, self.shape, m, (context, u), np)
        return np.asarray(inside + np.log(np.diagonal(one.root[0])).sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class Weighed:
    """Proposals of every model: `z` one array (n_m, p_m) a model and log weights (n_m,) of it, on one scale over all of them."""

    z: tuple[Array, ...]
    log_weight: tuple[Array, ...]

    @property
    def share(self) -> tuple[Array, ...]:
        """The weights, normalised over all models together."""
        top = max(float(w.max()) for w in self.log_weight if len(w))
        raw = [np.exp(w - top) for w in self.log_weight]
        total = sum(float(w.sum()) for w in raw)
        return tuple(w / total for w in raw)

    @property
    def ess(self) -> float:
        """The effective sample size over all models."""
        return 1.0 / sum(float(np.sum(w**2)) for w in self.share)

    @property
    def models(self) -> Array:
        """The probability of each model."""
        return np.asarray([float(w.sum()) for w in self.share])

    def __len__(self) -> int:
        return sum(len(w) for w in self.log_weight)

    def and_more(self, other: Weighed) -> Weighed:
        """Two rounds with the same numbers a model, together."""
        return Weighed(
            z=tuple(np.concatenate(pair) for pair in zip(self.z, other.z, strict=True)),
            log_weight=tuple(np.concatenate(pair) for pair in zip(self.log_weight, other.log_weight, strict=True)),
        )


def weigh(proposal: Proposal, target: Target, n: int, rng: np.random.Generator) -> Weighed:
    """About `n` proposals with their weights; a proposal without a finite likelihood weighs nothing."""
    model_share = np.exp(proposal.log_models)
    counts = np.ceil(n * np.maximum(model_share, LEAST_MODEL)).astype(np.int64)
    pairs = [_of_model(proposal, target, (m, int(count)), rng) for m, count in enumerate(counts)]
    return Weighed(z=tuple(z for z, _ in pairs), log_weight=tuple(w for _, w in pairs))


def _of_model(proposal: Proposal, target: Target, which: tuple[int, int], rng: np.random.Generator) -> tuple[Array, Array]:
    m, count = which
    prior = math.ceil(FROM_PRIOR * count)
    z = np.concatenate([proposal.drawn(m, count - prior, rng), proposal.wider.drawn(rng, prior, proposal.shape.etas[m])])
    log_prior = proposal.wider.log_prior(z)
    mixed = np.logaddexp(
        math.log1p(-prior / count) + proposal.log_q(m, z) if prior < count else -np.inf, math.log(prior / count) + log_prior
    )
    log_weight = log_prior + target(m, z) - mixed - math.log(count)
    return z, np.where(np.isfinite(log_weight), log_weight, -np.inf)


def resampled(found: Weighed, n: int, rng: np.random.Generator) -> tuple[Array, ...]:
    """Equally weighted z of each model, `n` in all: systematic resampling over all models together."""
    share = np.concatenate(found.share)
    places = np.searchsorted(np.cumsum(share), (np.arange(n) + rng.random()) / n).clip(0, len(share) - 1)
    edges = np.cumsum([0, *(len(w) for w in found.log_weight)])
    return tuple(z[places[(places >= a) & (places < b)] - a] for z, a, b in zip(found.z, edges[:-1], edges[1:], strict=True))
