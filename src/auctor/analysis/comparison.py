"""The models of a drug side by side for one patient: whom each was built in, what each predicts before and after samples, its weight.

A model that cannot take the patient stays in the table with the reason. A model outside whose source population the patient lies, or one
of whose covariates is not known, is computed and shown; it has no part in the average unless that is asked for.
Weights are marginal likelihoods, see `auctor.estimate.averaging`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from auctor.case import Case, Metric, MetricKind, Regimen, Target
from auctor.dosing.current import current_regimen
from auctor.errors import AuctorError, CaseError, Notice
from auctor.estimate.averaging import Average, joined
from auctor.estimate.occasions import Prepared, covariate_rows, prepared
from auctor.estimate.patient import Estimate, a_priori, fit, posterior_estimate
from auctor.models.domain import domain_text, inside
from auctor.models.model import Covariate, DrugModel
from auctor.models.spelled import spelled
from auctor.pk.direct import is_direct
from auctor.predictor import Draws

FAR = 3.0  # how many times larger or smaller than the reference value is far, where a source gives no range: ours
NOT_COMPILED = "needs the compiled engine, which was not asked for"


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One covariate of one model. `state`: inside or outside the source population; missing; where its range is not known, `far` from the
    model's reference value or `unlimited`.
    """

    name: str
    label: str
    state: str
    domain: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Exposures:
    """Draws of the AUC, the trough and the target's metric (None without a target), mg*h/L or mg/L; `map_*` at the mode."""

    auc: Draws
    trough: Draws
    target: Draws | None = None

    @property
    def finite(self) -> bool:
        """Whether every draw of every exposure is a number."""
        drawn = (d for d in (self.auc, self.trough, self.target) if d is not None)
        return all(bool(np.isfinite(d.values).all()) and np.isfinite(d.point) for d in drawn)


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One model. `refused` says why it has no answer; `posterior` and `mode` are None without samples.

    `log_marginal` is log p(samples | model), (mg/L)^-n; `weight` its share in the average, None where it has no part in it.
    """

    model: DrugModel
    fits: tuple[Fit, ...] = ()
    refused: str = ""
    prior: Exposures | None = None
    posterior: Exposures | None = None
    mode: Exposures | None = None
    log_marginal: float | None = None
    weight: float | None = None
    notices: tuple[Notice, ...] = ()

    @property
    def applicable(self) -> bool:
        """Whether it answers, and the patient is inside its source population as far as that is known, with nothing missing."""
        return not self.refused and all(f.state in ("inside", "unlimited") for f in self.fits)

    def named(self, state: str) -> tuple[str, ...]:
        """Names of the covariates in that state."""
        return tuple(f.name for f in self.fits if f.state == state)


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Every model of the drug for one patient, under one regimen at steady state; `average` None where no model takes part."""

    drug: str
    regimen: Regimen
    auc: Metric
    target: Target | None
    sampled: bool
    rows: tuple[Row, ...]
    average: Exposures | None = None
    notices: tuple[Notice, ...] = ()


def compare(
    models: Sequence[DrugModel],
    cases: Mapping[str, Case | AuctorError],
    *,
    every_model: bool = False,
    compiled: bool = True,
    n_draws: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare models on one patient, `cases` being the patient as each model (by name) reads it, or its refusal.

    The regimen is the current one of the case at steady state; exposures are AUC0-24 (over one interval where that is not a divisor of
    24 h), the trough C0, and the metric of the case's target, else of the first model that has one. `every_model` averages over models out
    of their domain too. Without `compiled` models that have no closed form are not run. Raises CaseError when no model takes the patient.
    """
    usable = [case for case in cases.values() if isinstance(case, Case)]
    if not usable:
        refusal = next(iter(cases.values()))
        raise refusal if isinstance(refusal, AuctorError) else CaseError(where="models", what="none given", remedy="name a drug")
    regimen, derived = _regimen(usable[0], models)
    asked = _Asked(
        regimen=regimen,
        auc=_window(regimen),
        target=usable[0].target or _target(models),
        compiled=compiled,
        n_draws=n_draws,
        seed=seed,
    )
    found = [asked.answer(model, cases[model.name]) for model in models]
    rows, average = _averaged(found, asked, every_model=every_model)
    return Comparison(
        drug=models[0].drug,
        regimen=regimen,
        auc=asked.auc,
        target=asked.target,
        sampled=any(s.used for s in usable[0].samples),
        rows=rows,
        average=average,
        notices=_once((*derived, *(n for case in usable for n in case.notices if n.code not in _IN_TABLE))),
    )


def _once(notices: Sequence[Notice]) -> tuple[Notice, ...]:
    """One notice a place and code: the readings by several models differ only in the model's name."""
    return tuple({(n.code, n.where): n for n in reversed(notices)}.values())[::-1]


_IN_TABLE = ("default-used", "outside-domain", "unused-covariate")  # a model's own, which its row says


def _regimen(case: Case, models: Sequence[DrugModel]) -> tuple[Regimen, tuple[Notice, ...]]:
    intervals = next((m.dosing.intervals_h for m in models if m.dosing is not None), ())
    regimen, notices = current_regimen(case, intervals_h=intervals)
    if regimen is None:
        raise CaseError(where="current", what="not given, and the history shows no repeated dose", remedy="give `current`")
    return regimen, notices


def _window(regimen: Regimen) -> Metric:
    every = regimen.doses[-1].every_h
    length = 24.0 if (24.0 / every) % 1 == 0 else every
    return Metric(kind=MetricKind.AUC, start_h=0.0, stop_h=length)


def is_quick(model: DrugModel) -> bool:
    """Whether many draws of the model take no compiling and no long sums: a closed form, and no dose that arrives by a density."""
    return is_direct(model) and not spelled(model).densities


def _target(models: Sequence[DrugModel]) -> Target | None:
    """The first target that is not a peak or a least level, which would need the whole course."""
    quick = (MetricKind.AUC, MetricKind.CAVG, MetricKind.CONC)
    return next((t for m in models for t in m.targets if t.metric.kind in quick), None)


TROUGH = Metric(kind=MetricKind.CONC, start_h=0.0, stop_h=0.0)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What every model is asked."""

    regimen: Regimen
    auc: Metric
    target: Target | None
    compiled: bool
    n_draws: int
    seed: int

    def answer(self, model: DrugModel, case: Case | AuctorError) -> tuple[Row, Estimate | None]:
        """The model's row, and the estimate that the average takes."""
        if isinstance(case, AuctorError):
            return Row(model=model, refused=f"{case.where}: {case.what}"), None
        row = Row(model=model, fits=fits(model, case))
        if not self.compiled and not is_quick(model):
            return replace(row, refused=NOT_COMPILED), None
        try:
            with np.errstate(all="ignore"):  # what is not finite is refused below
                found, estimate = self._estimated(row, prepared(model, case))
        except AuctorError as error:
            return replace(row, refused=f"{error.where}: {error.what}"), None
        if not all(e.finite for e in (found.prior, found.posterior, found.mode) if e is not None):
            return replace(row, refused="no finite exposure at these covariates"), None
        return found, estimate

    def _estimated(self, row: Row, ready: Prepared) -> tuple[Row, Estimate]:
        before = a_priori(ready.model, ready.case, self.n_draws, self.seed)
        row = replace(row, prior=self.exposures(before), notices=before.notices)
        if not any(s.used for s in ready.case.samples):
            return row, before
        after = posterior_estimate(ready.model, ready.case, self.n_draws, self.seed, found=fit(ready.model, ready.case))
        best = after.modes[0].eta
        mode = replace(after, etas=best[None], eta_point=best, mean_is_point=False)
        log_marginal = float(joined([after]).log_marginals[0])
        found = replace(row, posterior=self.exposures(after), mode=self.exposures(mode), log_marginal=log_marginal, notices=after.notices)
        return found, after

    def exposures(self, predictor: Estimate | Average) -> Exposures:
        """The three exposures under the common regimen."""
        ask = predictor.exposure
        own = {self.auc: ask(self.regimen, self.auc), TROUGH: ask(self.regimen, TROUGH)}
        goal = None if self.target is None else self.target.metric
        third = None if goal is None else own[goal] if goal in own else ask(self.regimen, goal)
        return Exposures(auc=own[self.auc], trough=own[TROUGH], target=third)


def fits(model: DrugModel, case: Case) -> tuple[Fit, ...]:
    """How the patient's covariates, over their whole course, lie in the source population of the model, in file order."""
    missing = {n.where.removeprefix("covariates.") for n in case.notices if n.code == "default-used"}
    rows = covariate_rows(case)
    return tuple(
        Fit(
            name=c.name,
            label=c.label,
            state="missing" if c.name in missing or c.name not in rows[0] else _state(c, [row[c.name] for row in rows]),
            domain=domain_text(c),
        )
        for c in model.covariates.values()
    )


def _state(covariate: Covariate, values: Sequence[float]) -> str:
    if not all(inside(covariate, value) for value in values):
        return "outside"
    if covariate.levels is not None or covariate.low is not None or covariate.high is not None:
        return "inside"
    near = covariate.reference <= 0 or all(covariate.reference / FAR <= value <= covariate.reference * FAR for value in values)
    return "unlimited" if near else "far"


def _averaged(
    found: Sequence[tuple[Row, Estimate | None]], asked: _Asked, *, every_model: bool
) -> tuple[tuple[Row, ...], Exposures | None]:
    """The rows with their weights, and the average of those that take part."""
    part = [(row, e) for row, e in found if e is not None and (every_model or row.applicable)]
    if not part:
        return tuple(row for row, _ in found), None
    mixture = joined([e for _, e in part])
    weights = {row.model.name: float(w) for (row, _), w in zip(part, mixture.weights, strict=True)}
    rows = tuple(replace(row, weight=weights.get(row.model.name)) for row, _ in found)
    return rows, asked.exposures(mixture)
