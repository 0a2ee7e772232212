"""DrugModel: one published population model as frozen data in the engine's units (h, mg, L, mg/L)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.case import Target
from auctor.errors import ModelError
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

    `absorption`: none | first_order | erlang | zero_order | sequential | mixed | parallel | transit | weibull | double_gamma, with its
    parameters in `parts`. `rate` is ka or ktr; `stages` counts the first-order steps of a path before the central compartment
    (0 none, 1 first order, n Erlang). `duration` is the modelled length of a zero-order input.
    `disposition`: one_, two_ or three_compartment, with `clearance`, `central`, `distribution` (Q), `peripheral`, and `distribution2` (Q3),
    `peripheral2`. Saturable elimination, instead of or beside CL: `maximum` (Vmax, mg/h) and `half` (Km, mg/L).
    `cmt` gives the NONMEM compartment number of `depot`, `depot2` and `central`.
    """

    absorption: str
    stages: int
    disposition: str
    clearance: str | None
    central: str
    distribution: str | None = None
    peripheral: str | None = None
    distribution2: str | None = None
    peripheral2: str | None = None
    maximum: str | None = None
    half: str | None = None
    rate: str | None = None
    lag: str | None = None
    duration: str | None = None
    bioavailability: str | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    cmt: Mapping[str, int] = field(default_factory=dict)

    @property
    def linear_clearance(self) -> str:
        """The parameter that AUC = F dose / CL needs; ModelError where elimination is saturable and there is no such clearance."""
        if self.clearance is None or self.maximum is not None:
            raise ModelError(where="structure", what="elimination is saturable: AUC is not F dose / CL", remedy="simulate the regimen")
        return self.clearance

    @property
    def linear(self) -> bool:
        """Whether the amounts follow linear equations with constant coefficients, so that a closed form exists."""
        return self.maximum is None and self.absorption != "weibull"

    @property
    def peripherals(self) -> tuple[tuple[str, str], ...]:
        """(distribution clearance, volume) of each peripheral compartment."""
        pairs = ((self.distribution, self.peripheral), (self.distribution2, self.peripheral2))
        return tuple((q, v) for q, v in pairs if q is not None and v is not None)


@dataclass(frozen=True, kw_only=True)
class Density:
    """A dose that arrives by a gamma density: share * rate^shape t^(shape-1) e^(-rate t) / Gamma(shape), t hours after it is given.

    `into` is the number (from 0) of the compartment that it enters. Savic's transit chain of n compartments has shape n + 1.
    """

    share: Expression
    shape: Expression
    rate: Expression
    into: int


@dataclass(frozen=True, kw_only=True)
class System:
    """Compartments A1 .. An (mg), compartment i being NONMEM's CMT i: the differential equations, what doses carry, and what is read.

    `derivatives` dA/dt in mg/h, formulas of amounts, parameters, covariates, `t` (h since the first record) and `tad` (h since the last
    dose). `outputs` CMT -> concentration in the model's own unit. `inputs` holds NONMEM's F, lag, duration and rate formulas by dose
    number: 1 .. n are the compartments, larger numbers further doors (`doors`: the compartment from 0 each of them leads to).
    `densities` are the doors whose doses arrive by gamma densities. `linear`: the derivatives are linear in the amounts and free of time.
    """

    derivatives: tuple[Expression, ...]
    outputs: Mapping[int, Expression]
    inputs: Mapping[str, Mapping[int, Expression]]
    linear: bool
    doors: tuple[int, ...] = ()
    densities: Mapping[int, tuple[Density, ...]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of compartments."""
        return len(self.derivatives)

    @property
    def into(self) -> tuple[int, ...]:
        """The compartment (from 0) that each dose number leads to."""
        return (*range(self.size), *self.doors)


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
class Variant:
    """A named alternative of a model file: `about` says what differs and who says so, `changes` is dotted path -> new value."""

    about: str
    changes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class DrugModel:
    """One published model. Equality and hash are those of `sha256` (file and variant), so compiled code is kept per content.

    `formulas` are individual parameters built from the others after their etas (shared etas, occasions, logit scales), in order.
    `system` replaces the named structure where the model is written as differential equations; `residuals` then may differ by output.
    `variants` are those the file offers; `variant` is the one this model is, "" for the file as it stands.
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
    exempt: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    matrix: str = ""
    molar_mass: float | None = None
    sha256: str = ""
    variant: str = ""
    variants: Mapping[str, Variant] = field(default_factory=dict)

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
