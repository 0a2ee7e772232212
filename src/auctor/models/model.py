"""DrugModel: one published population model as frozen data in the engine's units (h, mg, L, mg/L)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.case import Target
from auctor.models.distributions import varied
from auctor.models.expressions import Expression

Array = NDArray[np.float64]
OCCASION = "OCC"  # the covariate that says which occasion's kappas apply: 1, 2, ..; 0 for none


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One fixed effect with its variability.

    `value` in engine units; `printed` and `unit` as in the paper. `omega` and `iov` are standard deviations of eta and kappa on the
    scale of `distribution` (`auctor.models.distributions.varied`); None when absent. `low` and `high` bound a `logitnormal` one, in
    engine units; `shape` is that of `boxcox`. `iov_when`: the covariates under which the IOV applies (always when None).
    """

    name: str
    value: float
    printed: float
    unit: str
    source: str
    omega: float | None = None
    iov: float | None = None
    distribution: str = "lognormal"
    low: float = 0.0
    high: float = 1.0
    shape: float = 0.0
    iov_when: Expression | None = None


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A covariate effect: `expr` multiplies the parameter's value, or, when `replaces`, is the whole typical value."""

    parameter: str
    expr: Expression
    constants: Mapping[str, float]
    replaces: bool
    source: str


@dataclass(frozen=True, kw_only=True)
class Covariate:
    """A covariate the model uses: unit, reference value, and the source population (which is the domain of validity).

    `levels` maps words to codes for a categorical one (`{"expresser": 1, "nonexpresser": 0}`).
    `distribution` is the file's table, e.g. kind = truncnormal with mean, sd, low, high; kind = bernoulli with p.
    """

    name: str
    unit: str
    label: str
    reference: float
    low: float | None = None
    high: float | None = None
    levels: Mapping[str, float] | None = None
    distribution: Mapping[str, Any] | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Structure:
    """A named structure; every entry is the name of a parameter (or None).

    `absorption`: none | first_order | erlang | zero_order. `rate` is ka or ktr; `stages` counts the first-order steps
    before the central compartment (0 none, 1 first order, n Erlang). `duration` is the modelled length of a zero-order input.
    `disposition`: one_compartment | two_compartment, with `clearance`, `central`, `distribution` (Q), `peripheral`.
    `cmt` gives the NONMEM compartment number of `depot` and `central`.
    """

    absorption: str
    stages: int
    disposition: str
    clearance: str
    central: str
    distribution: str | None = None
    peripheral: str | None = None
    rate: str | None = None
    lag: str | None = None
    duration: str | None = None
    bioavailability: str | None = None
    cmt: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class System:
    """A model written as differential equations of the amounts A1 .. An (mg), compartment i being NONMEM's CMT i.

    `derivatives` dA/dt in mg/h, formulas of amounts, parameters, covariates and `t` (h since the first record). `outputs` CMT ->
    concentration in the model's own unit. `inputs` holds NONMEM's F, lag, duration and rate formulas by compartment.
    `linear`: the derivatives are linear in the amounts and free of `t`, so no ODE solver is needed.
    """

    derivatives: tuple[Expression, ...]
    outputs: Mapping[int, Expression]
    inputs: Mapping[str, Mapping[int, Expression]]
    linear: bool

    @property
    def size(self) -> int:
        """Number of compartments."""
        return len(self.derivatives)


@dataclass(frozen=True, kw_only=True)
class Residual:
    """Residual error: SD of the proportional part (fraction) and of the additive part (mg/L).

    `kind` combined: variance = (proportional*f)^2 + additive^2; combined1: sd = additive + proportional*f;
    log: additive on the logarithm of the concentration (SD `proportional`); power: sd = additive + proportional * f^power.
    """

    proportional: float
    additive: float
    kind: str = "combined"
    source: str = ""
    power: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Dosing:
    """What can really be given: dose steps (mg), intervals (h), caps (mg), infusion length, and its source."""

    route: str
    strengths_mg: tuple[float, ...]
    intervals_h: tuple[float, ...]
    max_dose_mg: float
    max_daily_mg: float
    infusion_h: float = 0.0
    infusion_rate_max_mg_h: float | None = None
    per_kg: bool = False
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class DrugModel:
    """One published model. Equality and hash are those of the file's SHA-256, so compiled code is kept per content.

    `formulas` are individual parameters built from the others after their etas (shared etas, occasions, logit scales), in order.
    `system` replaces the named structure where the model is written as differential equations; `residuals` then may differ by output.
    `occasions` counts the occasions that have kappas of their own among the etas (`auctor.models.occasions.with_occasions`).
    """

    name: str
    drug: str
    title: str
    reference: Mapping[str, str]
    status: str
    population: str
    units: Mapping[str, str]
    scale: float
    structure: Structure
    covariates: Mapping[str, Covariate]
    parameters: Mapping[str, Parameter]
    effects: tuple[Effect, ...]
    eta_names: tuple[str, ...]
    omega: Array
    residual: Residual
    formulas: Mapping[str, Expression] = field(default_factory=dict)
    system: System | None = None
    residuals: Mapping[int, Residual] = field(default_factory=dict)
    occasions: int = 0
    targets: tuple[Target, ...] = ()
    dosing: Dosing | None = None
    checks: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    matrix: str = ""
    molar_mass: float | None = None
    sha256: str = ""

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, DrugModel) and self.sha256 != "" and other.sha256 == self.sha256)

    def __hash__(self) -> int:
        return hash(self.sha256)

    def typical(self, covariates: Mapping[str, Any], xp: ModuleType = np) -> dict[str, Any]:
        """Typical value of every parameter, broadcast over the covariates' shape; engine units."""
        values: dict[str, Any] = {name: p.value for name, p in self.parameters.items()}
        for effect in self.effects:
            names = {**values, **covariates, **effect.constants}
            worth = effect.expr.evaluate(names, xp)
            values[effect.parameter] = worth if effect.replaces else values[effect.parameter] * worth
        return values

    def individual(self, covariates: Mapping[str, Any], eta: Any, xp: ModuleType = np) -> dict[str, Any]:
        """Individual parameters: typical value with eta (..., n_eta) applied in the order of `eta_names`.

        Of a model with occasions the kappas of the occasion that the covariate `OCC` names add to their parameter's eta.
        """
        values = self.typical(covariates, xp)
        for name, shift in self._shifts(covariates, eta, xp).items():
            values[name] = varied(self.parameters[name], values[name], shift, xp)
        for name, formula in self.formulas.items():
            values[name] = formula.evaluate({**covariates, **values}, xp)
        return values

    def _shifts(self, covariates: Mapping[str, Any], eta: Any, xp: ModuleType) -> dict[str, Any]:
        """Parameter -> eta, or eta + kappa of the occasion in force."""
        shifts: dict[str, Any] = {}
        for k, eta_name in enumerate(self.eta_names):
            name, _, occasion = eta_name.partition("@")
            part = eta[..., k]
            if occasion:
                part = part * (covariates[OCCASION] == int(occasion))
            if occasion and (when := self.parameters[name].iov_when) is not None:
                part = part * (when.evaluate(covariates, xp) != 0)
            shifts[name] = shifts[name] + part if name in shifts else part
        return shifts
