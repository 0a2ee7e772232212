"""The picture of a model: the typical patient's curve under one regimen, with the bands that hold 50 and 90 % of such patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from auctor.analysis.comparison import is_quick
from auctor.analysis.result import Band
from auctor.case import Covariates, Dose
from auctor.models.checks import Check, at_eta_zero, read_checks
from auctor.models.model import DrugModel
from auctor.models.plausible_ranges import terminal_half_life
from auctor.pk.exposure import curves
from auctor.predictor import Array
from auctor.report.curve_svg import Frame, axes, bands, opening
from auctor.report.shown import concentration, covariate_value

DRAWS, POINTS = 500, 121
LONGEST_H = 24.0 * 90


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Whose curve is drawn: the patient and the dose of one of the file's own checks, so that picture and arithmetic belong together."""

    check: Check
    dose: Dose

    def words(self, model: DrugModel) -> str:
        """The patient and the regimen: `WT 79 kg, CRCL 90 mL/min; 1000 mg iv over 1 h every 12 h, at steady state`."""
        patient = ", ".join(f"{c.name} {covariate_value(c, self.check.patient[c.name])}" for c in model.covariates.values())
        return f"{patient or 'no covariates'}; {dose_words(self.dose)}"

    def span(self, model: DrugModel) -> float:
        """How many hours are drawn: the dosing interval, or four half-lives after a single dose."""
        if self.dose.every_h > 0:
            return self.dose.every_h
        patient = dict(self.check.patient)
        half_life = terminal_half_life(model, at_eta_zero(model, patient), patient)
        return min(max(24.0, 4 * (half_life or 24.0)), LONGEST_H)


def dose_words(dose: Dose) -> str:
    """A dose with its schedule in words.

    >>> from auctor.case import Route
    >>> dose_words(Dose(time_h=0, amount_mg=5, route=Route.ORAL, every_h=12, steady_state=True))
    '5 mg oral every 12 h, at steady state'
    """
    over = f" over {dose.duration_h:g} h" if dose.duration_h else ""
    return f"{dose.amount_mg:g} mg {dose.route.value}{over}" + (f" every {dose.every_h:g} h, at steady state" if dose.every_h else ", once")


def scene(model: DrugModel) -> Scene | None:
    """The first check that reads levels off a course, else the first with a dose; None where no check has one."""
    dosed = [Scene(check=c, dose=c.dose) for c in read_checks(model) if c.dose is not None]
    levels = [s for s in dosed if set(s.check.figures) - {"AUC_tau"}]
    return next(iter([*levels, *dosed]), None)


def typical_svg(model: DrugModel, found: Scene, *, compiled: bool = False) -> str | None:
    """The picture, or None for a model that is slow and was not asked for with `compiled`; the same model gives the same text."""
    if not (compiled or is_quick(model)):
        return None
    times, band = _band(model, found)
    shown = concentration(model)
    frame = Frame(start=0.0, end=float(times[-1]), top=1.06 * max(shown.value(float(band.q95.max())), 1e-12))
    varied = len(model.eta_names) > 0
    text = f"{found.words(model)}. Line: the typical patient." + (
        " Bands: 50 and 90 % of patients with these covariates, without measurement error and without variability between occasions."
        if varied
        else ""
    )
    parts = (
        opening(f"{model.name}: concentration over time", text).replace("<svg ", '<svg style="background:#ffffff" ', 1),
        '<g clip-path="url(#plot)">',
        bands(band, times, shown, frame, "post"),
        "</g>",
        axes(frame, shown, since="dose"),
        "</svg>",
    )
    return "\n".join(parts)


def _band(model: DrugModel, found: Scene) -> tuple[Array, Band]:
    """Times (h) and quantiles over the draws, the middle line being the typical patient (eta zero)."""
    span, p = found.span(model), len(model.eta_names)
    kinks = [t for t in (1e-3, found.dose.duration_h) if 0 < t < span]
    times = np.unique([*np.linspace(0.0, span, POINTS), *kinks])
    rng = np.random.default_rng(0)
    etas = rng.standard_normal((DRAWS if p else 1, p)) @ np.linalg.cholesky(model.omega).T if p else np.zeros((1, 0))
    regimen = found.check.regimen(span)
    with np.errstate(all="ignore"):
        values = curves(model, regimen, times, Covariates.constant(found.check.patient), np.vstack([np.zeros((1, p)), etas]))
    q05, q25, q75, q95 = np.quantile(values[1:], [0.05, 0.25, 0.75, 0.95], axis=0)
    return times, Band(q05=q05, q25=q25, q50=values[0], q75=q75, q95=q95)
