"""Which numbers of a model a refit may change, as one unconstrained vector; and the model's curves with those numbers as data.

A number is named by its place in the model file: `CL` (a parameter), `CL.hct_cl` (a constant of its covariate effect), `omega.CL` (the
variance of its eta), `omega.CL,V1` (a covariance), `sigma.proportional`, `sigma.additive` (SDs of the residual error).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.errors import EstimationError
from auctor.estimate.observations import of_records, stack_observations
from auctor.estimate.outputs import residual_at
from auctor.models.model import DrugModel, Residual
from auctor.models.occasions import occasion_of
from auctor.pk.course import course
from auctor.pk.engine import bucket, jax
from auctor.pk.kept import Kept
from auctor.pk.timeline import from_records, stack
from auctor.records import Records

Array = NDArray[np.float64]
SIGMAS = ("proportional", "additive")


@dataclass(frozen=True, kw_only=True, eq=False)
class Population:
    """One value of everything a refit may change: `theta` in the order of `Free.theta` (engine units), Omega, residual error."""

    theta: Array
    omega: Array
    residual: Residual


@dataclass(frozen=True, kw_only=True, eq=False)
class Free:
    """The free numbers of `model`: theta names, blocks of eta indices whose covariance is free, and SDs of the residual error.

    The vector holds log theta for a parameter above zero, the logit of its share of the range for a logit-normal one (value / scale
    for any other theta), the lower Cholesky factor of each block with a logarithmic diagonal, and the logarithms of the SDs.

    >>> from auctor.models.reader import read_model
    >>> free_of(read_model("phenobarbital_pheno_nonmem"), fixed=["V.apgr_v"]).names
    ('CL', 'V', 'omega.CL', 'omega.V', 'sigma.proportional')
    """

    model: DrugModel
    theta: tuple[str, ...]
    blocks: tuple[tuple[int, ...], ...]
    sigma: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the free numbers, in the order of `natural`."""
        etas = self.model.eta_names
        pairs = [(etas[i], etas[j]) for block in self.blocks for k, i in enumerate(block) for j in block[: k + 1]]
        omegas = tuple(f"omega.{a}" if a == b else f"omega.{b},{a}" for a, b in pairs)
        return (*self.theta, *omegas, *(f"sigma.{s}" for s in self.sigma))

    @property
    def start(self) -> Population:
        """The model's own numbers."""
        return Population(theta=_theta_values(self.model, self.theta), omega=self.model.omega, residual=self.model.residual)

    @property
    def _scales(self) -> Array:
        """0 where theta goes by its logarithm, else what it is divided by, (n_theta,)."""
        values = _theta_values(self.model, self.theta)
        own = self.model.parameters
        plain = ("normal", "logitnormal")
        logged = [name in own and value > 0 and own[name].distribution not in plain for name, value in zip(self.theta, values, strict=True)]
        return np.where(logged, 0.0, np.maximum(np.abs(values), 0.1))

    @property
    def _bounds(self) -> tuple[Array, Array]:
        """Low and high of each theta (n_theta,), NaN where it is not a logit-normal parameter."""
        own = [self.model.parameters.get(name) for name in self.theta]
        bounded = [p if p is not None and p.distribution == "logitnormal" else None for p in own]
        return np.asarray([p.low if p else np.nan for p in bounded]), np.asarray([p.high if p else np.nan for p in bounded])

    def held(self, theta: Array) -> Array:
        """`theta` with logit-normal parameters kept within a millionth of their range."""
        low, high = self._bounds
        return np.where(np.isnan(low), theta, np.clip(theta, low + 1e-6 * (high - low), high - 1e-6 * (high - low)))

    @property
    def logged(self) -> NDArray[np.bool_]:
        """Which thetas go by their logarithm, (n_theta,)."""
        return np.asarray(self._scales == 0)

    def vector(self, at: Population) -> Array:
        """The unconstrained vector of a population, (k,)."""
        scale = self._scales
        logged = scale == 0
        theta = np.where(logged, np.log(np.where(logged, at.theta, 1.0)), at.theta / np.where(logged, 1.0, scale))
        low, high = self._bounds
        theta = np.where(np.isnan(low), theta, np.log((self.held(at.theta) - low) / (high - self.held(at.theta))))
        parts = [theta]
        for block in self.blocks:
            root = np.linalg.cholesky(at.omega[np.ix_(block, block)])
            parts.append(
                np.where(np.eye(len(block)) > 0, np.log(np.where(np.eye(len(block)) > 0, root, 1.0)), root)[np.tril_indices(len(block))]
            )
        parts.append(np.log([getattr(at.residual, s) for s in self.sigma]))
        return np.concatenate(parts)

    def population(self, x: Array) -> Population:
        """The population of an unconstrained vector (k,)."""
        n, scale = len(self.theta), self._scales
        theta = np.where(scale == 0, np.exp(np.where(scale == 0, x[:n], 0.0)), x[:n] * scale)
        low, high = self._bounds
        theta = np.where(np.isnan(low), theta, low + (high - low) / (1 + np.exp(-x[:n].clip(-30, 30))))
        omega = self.model.omega.copy()
        for block in self.blocks:
            size = len(block)
            root = np.zeros((size, size))
            root[np.tril_indices(size)] = x[n : n + size * (size + 1) // 2]
            root[np.diag_indices(size)] = np.exp(np.diag(root))
            omega[np.ix_(block, block)] = root @ root.T
            n += size * (size + 1) // 2
        sds = {name: float(np.exp(value)) for name, value in zip(self.sigma, x[n:], strict=True)}
        return Population(theta=theta, omega=omega, residual=with_sds(self.model.residual, sds))

    def natural(self, at: Population) -> Array:
        """The free numbers themselves, in the order of `names`: thetas in engine units, variances and covariances, SDs; (k,)."""
        omegas = [at.omega[i, j] for block in self.blocks for k, i in enumerate(block) for j in block[: k + 1]]
        return np.asarray([*at.theta, *omegas, *(getattr(at.residual, s) for s in self.sigma)])


def with_sds(residual: Residual, sds: Mapping[str, float]) -> Residual:
    """The residual error with those SDs (`proportional`, `additive`) replaced."""
    return replace(residual, proportional=sds.get("proportional", residual.proportional), additive=sds.get("additive", residual.additive))


def free_of(model: DrugModel, fixed: Iterable[str] = ()) -> Free:
    """Everything of `model` free except the names in `fixed` (`omega` and `sigma` alone fix all of those).

    A covariance can only be fixed with its whole block. Numbers that change nothing, and SDs of 0, are never free.
    Raises EstimationError for a name the model does not have, or when nothing is left.
    """
    fixed = tuple(fixed)
    etas = [occasion_of(name) == 0 for name in model.eta_names]  # variances of kappas stay as published
    blocks = tuple(block for block in _blocks(model.omega) if etas[block[0]])
    everything = Free(model=model, theta=_theta_names(model), blocks=blocks, sigma=_sigma_names(model))
    for name in fixed:
        if name not in (*everything.names, "omega", "sigma"):
            raise EstimationError(
                where="fixed", what=f"{name!r} is no free number of {model.name}", remedy=f"one of {', '.join(everything.names)}"
            )
    held = {name for name in fixed if name.startswith("omega.")}

    def is_free(block: tuple[int, ...]) -> bool:
        named = {model.eta_names[i] for i in block}
        return "omega" not in fixed and not any(named & {*name.removeprefix("omega.").split(",")} for name in held)

    free = replace(
        everything,
        theta=tuple(t for t in everything.theta if t not in fixed),
        blocks=tuple(b for b in everything.blocks if is_free(b)),
        sigma=tuple(s for s in everything.sigma if f"sigma.{s}" not in fixed and "sigma" not in fixed),
    )
    if not free.names:
        raise EstimationError(where="fixed", what="nothing is left to estimate", remedy="fix fewer numbers")
    return free


def _blocks(omega: Array) -> tuple[tuple[int, ...], ...]:
    """Indices of etas that covary, directly or through others."""
    left, blocks = list(range(len(omega))), []
    while left:
        block = [left.pop(0)]
        for i in block:
            joined = [j for j in left if omega[i, j] != 0]
            block += joined
            left = [j for j in left if j not in joined]
        blocks.append(tuple(sorted(block)))
    return tuple(blocks)


def _sigma_names(model: DrugModel) -> tuple[str, ...]:
    """None with several outputs: their residual errors stay as they are."""
    return tuple(s for s in SIGMAS if getattr(model.residual, s) > 0) if len(model.residuals) < 2 else ()


def _theta_names(model: DrugModel) -> tuple[str, ...]:
    """Parameters and effect constants that some typical value depends on."""
    names = [*model.parameters, *(f"{e.parameter}.{c}" for e in model.effects for c in e.constants)]
    reference = _some_covariates(model)
    before = model.individual(reference, np.zeros(len(model.eta_names)))
    return tuple(n for n in names if _matters(model, n, reference, before))


def _some_covariates(model: DrugModel) -> dict[str, Array]:
    """Values on both sides of each covariate's reference, so that no effect is at its neutral point in all of them."""
    found = {}
    for k, (name, c) in enumerate(model.covariates.items()):
        values = (
            list(c.levels.values())
            if c.levels
            else [0.61 * c.reference, c.low, c.high, 1.37 * c.reference, 0.0 if c.low is None else c.low]
        )
        known = [float(v) for v in values if v is not None]
        found[name] = np.asarray([known[(i // (k + 1)) % len(known)] for i in range(24)])
    return found


def _matters(model: DrugModel, name: str, covariates: Mapping[str, Array], before: Mapping[str, Any]) -> bool:
    """Whether the number moves anything that the course is computed from."""
    (value,) = _theta_values(model, (name,))
    moved = with_theta(model, (name,), np.asarray([value * 1.01 + (0.01 if value == 0 else 0.0)]))
    after = moved.individual(covariates, np.zeros(len(model.eta_names)))
    read = _read_by_the_course(model)
    return any(n in read and not np.array_equal(np.asarray(after[n]), np.asarray(before[n]), equal_nan=True) for n in after)


def _read_by_the_course(model: DrugModel) -> set[str]:
    if model.system is None:
        return {v for v in vars(model.structure).values() if isinstance(v, str)}
    inputs = [e for by_compartment in model.system.inputs.values() for e in by_compartment.values()]
    return {n for e in (*model.system.derivatives, *model.system.outputs.values(), *inputs) for n in e.names}


def _theta_values(model: DrugModel, names: Iterable[str]) -> Array:
    constants = {f"{e.parameter}.{c}": value for e in model.effects for c, value in e.constants.items()}
    return np.asarray([constants[n] if n in constants else model.parameters[n].value for n in names], dtype=np.float64)


def with_theta(model: DrugModel, names: tuple[str, ...], values: Any) -> DrugModel:
    """`model` with those numbers replaced; they may be traced.

    The result keeps the SHA-256, so it is for evaluating directly (`course`, `individual`), never for functions compiled per model.
    """
    given = {name: values[k] for k, name in enumerate(names)}
    parameters = {n: replace(p, value=given.get(n, p.value)) for n, p in model.parameters.items()}
    effects = tuple(replace(e, constants={c: given.get(f"{e.parameter}.{c}", v) for c, v in e.constants.items()}) for e in model.effects)
    return replace(model, parameters=parameters, effects=effects)


@lru_cache(maxsize=64)
def _compiled(model: DrugModel, names: tuple[str, ...], with_slopes: bool) -> Kept:
    """Predictions of many subjects (and their derivatives by eta) with theta as data: one trace for a whole refit."""

    def predicted(timeline: Any, theta: Any, eta: Any) -> Any:
        return course(with_theta(model, names, theta), timeline, eta).concentration

    def both(timeline: Any, theta: Any, eta: Any) -> Any:
        def twice(x: Any) -> Any:
            f = predicted(timeline, theta, x)
            return f, f

        slope, f = jax.jacfwd(twice, has_aux=True)(eta)
        return f, slope

    function = both if with_slopes else lambda timeline, theta, eta: (predicted(timeline, theta, eta),)
    return Kept(jax.vmap(function, in_axes=(0, None, 0)), f"population {with_slopes} {model.sha256} {names}")


class Table:
    """The subjects of a table ready for a population fit: padded timelines, observations (n, O), and curves with theta as data."""

    def __init__(self, free: Free, records: tuple[Records, ...]) -> None:
        batch = stack([from_records(free.model, r) for r in records])
        self.free, self.records, self.n = free, records, batch.n
        self.seen = stack_observations([of_records(free.model, r) for r in records], batch.arrays["wanted"].shape[1])
        self.size = bucket(batch.n, 8)
        self.arrays = {name: _padded(values, self.size) for name, values in batch.arrays.items()}

    @property
    def n_observations(self) -> int:
        """Samples that count."""
        return int((self.seen.weight > 0).sum())

    def residual(self, at: Population) -> Residual:
        """The residual error; with several outputs the model's own, by sample."""
        several = len(self.free.model.residuals) > 1
        return residual_at(self.free.model, {"output": self.arrays["output"][: self.n]}) if several else at.residual

    def slopes(self, theta: Array, eta: Array) -> tuple[Array, Array]:
        """Predictions (n, O) mg/L and their derivatives by eta (n, O, p), at theta (k,) and eta (n, p)."""
        f, slope = _compiled(self.free.model, self.free.theta, True)(self.arrays, theta, _padded(eta, self.size))
        return np.asarray(f)[: self.n], np.asarray(slope)[: self.n]

    def predictions(self, theta: Array, eta: Array) -> Array:
        """Predictions (n, O) mg/L."""
        (f,) = _compiled(self.free.model, self.free.theta, False)(self.arrays, theta, _padded(eta, self.size))
        return np.asarray(f)[: self.n]


def _padded(values: NDArray[Any], size: int) -> NDArray[Any]:
    return np.concatenate([values, np.repeat(values[-1:], size - len(values), axis=0)]) if len(values) < size else values
