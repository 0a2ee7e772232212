"""A comparison of models as data: numbers in one unit for all models, every covariate's state, and what the columns mean."""

from __future__ import annotations

from typing import Any

from auctor.analysis.comparison import TROUGH, Comparison, Exposures, Row
from auctor.models.model import DrugModel
from auctor.predictor import Draws
from auctor.report.shown import Shown, exposure, significant

STATES = {
    "inside": "inside the source population",
    "outside": "outside the source population",
    "unlimited": "range of the source population not known; within a factor of three of the model's reference value",
    "far": "range of the source population not known; more than a factor of three from the model's reference value",
    "missing": "not given: the model's reference value is used",
}
ONLY_COVARIATES = "Domains are those of the covariates a model reads: whether disease, age, organ or formulation fit is not judged."


def regimen_text(found: Comparison) -> str:
    """The common regimen in words: `1000 mg iv over 1 h every 12 h, at steady state`."""
    dose = found.regimen.doses[-1]
    over = f" over {dose.duration_h:g} h" if dose.duration_h else ""
    return f"{dose.amount_mg:g} mg {dose.route.value}{over} every {dose.every_h:g} h, at steady state"


def short(value: float) -> str:
    """Three significant digits; with an exponent below a thousandth, where nothing is left of a drug.

    >>> short(0.0123), short(1.6e-9)
    ('0.0123', '1.6e-09')
    """
    return significant(value) if value == 0 or abs(value) >= 1e-3 else f"{value:.1e}"


def unit_of(found: Comparison) -> DrugModel:
    """The model in whose units the comparison is shown: the first that answers."""
    return next((row.model for row in found.rows if not row.refused), found.rows[0].model)


def as_dict(found: Comparison) -> dict[str, Any]:
    """The whole comparison as JSON-able data."""
    shown = _Units(found)
    return {
        "schema": 1,
        "drug": found.drug,
        "regimen": regimen_text(found),
        "auc_metric": found.auc.name,
        "units": {"auc": shown.auc.unit, "trough": shown.level.unit},
        "target": None if found.target is None else shown.target_words(),
        "sampled": found.sampled,
        "models": [_row(row, shown) for row in found.rows],
        "average": None if found.average is None else shown.exposures(found.average),
        "weights_are": "share of exp(log p(samples | model)) among the models that take part, which weigh alike before the samples",
        "states": STATES,
        "about": about(found),
        "notices": [vars(n) for n in found.notices],
    }


def about(found: Comparison) -> str:
    """What was asked, in one paragraph."""
    part = sum(row.weight is not None for row in found.rows)
    took = (
        f"The average is over {part} of {len(found.rows)} models, those inside their domain with nothing missing unless all were asked for."
    )
    before = " Without samples the models weigh alike." if not found.sampled else ""
    return f"{regimen_text(found)}. Point and 90 % interval, measurement error not included. {took}{before} {ONLY_COVARIATES}"


class _Units:
    """Numbers of a comparison in the units they are shown in."""

    def __init__(self, found: Comparison) -> None:
        self.found = found
        self.auc, self.level = (exposure(unit_of(found), m) for m in (found.auc, TROUGH))

    def exposures(self, of: Exposures) -> dict[str, Any]:
        goal = self.found.target
        share = None if goal is None or of.target is None else of.target.shares(goal.low, goal.high)[1]
        return {"auc": _drawn(of.auc, self.auc), "trough": _drawn(of.trough, self.level), "in_target": share}

    def target_words(self) -> dict[str, Any]:
        goal = self.found.target
        assert goal is not None
        shown = exposure(unit_of(self.found), goal.metric)
        low, high = (float(f"{shown.value(bound):.12g}") for bound in (goal.low, goal.high))
        text = f"{goal.metric.name} {low:g}–{high:g} {shown.pretty}"
        return {"metric": goal.metric.name, "low": low, "high": high, "unit": shown.unit, "text": text, "source": goal.source}


def _drawn(draws: Draws, shown: Shown) -> dict[str, Any]:
    low, high = draws.interval(0.9)
    return {"point": shown.value(draws.point), "interval90": [shown.value(low), shown.value(high)]}


def _row(row: Row, shown: _Units) -> dict[str, Any]:
    parts = {key: getattr(row, key) for key in ("prior", "posterior", "mode")}
    return {
        "name": row.model.name,
        "sha256": row.model.sha256,
        "status": row.model.status,
        "refused": row.refused,
        "applicable": row.applicable,
        "covariates": [vars(fit) for fit in row.fits],
        **{key: None if value is None else shown.exposures(value) for key, value in parts.items()},
        "log_marginal": row.log_marginal,
        "weight": row.weight,
        "notices": [vars(n) for n in row.notices],
    }
