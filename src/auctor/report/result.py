"""result.json: an analysis as data, with a unit beside every number and nothing that changes from run to run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from auctor import __version__
from auctor.analysis.result import Analysis, Band, MethodResult, SampleRow
from auctor.dosing.candidates import Option
from auctor.dosing.recommend import Forecast, Recommendation
from auctor.errors import Notice
from auctor.predictor import Array, Draws
from auctor.report.shown import Shown, concentration, exposure
from auctor.report.words import interpretations, next_dose, preselected

SCHEMA = 1
DIGITS = 8  # significant: beyond the accuracy of any method, within that of the arithmetic


def as_dict(analysis: Analysis) -> dict[str, Any]:
    """The analysis as plain data: dicts, lists, strings, numbers in display units rounded to 8 significant digits.

    No time stamp, no path of the machine. `schema` counts versions of this layout.
    """
    level, metric = concentration(analysis.model), exposure(analysis.model, analysis.target.metric)
    found = {
        "schema": SCHEMA,
        "auctor": __version__,
        "statement": "Research software, not a medical device. Unsigned.",
        "case": {"label": analysis.case.label, "drug": analysis.case.drug, "covariates": _covariates(analysis)},
        "model": _model(analysis),
        "learner": None if analysis.learner is None else dict(zip(("plan", "sha256"), analysis.learner, strict=True)),
        "settings": _settings(analysis),
        "target": _target(analysis, metric),
        "current": None if analysis.current is None else _option(analysis.current),
        "methods": {m.key: _method(m, metric) for m in analysis.methods},
        "concordance": _concordance(analysis),
        "occasions": _occasions(analysis),
        "samples": [_sample(row, level) for row in analysis.samples],
        "curve": _curve(analysis, level),
        "preferred": analysis.preferred.key,
        "preselected": None if (best := preselected(analysis)) is None else best.option.label,
        "next_dose": next_dose(analysis),
        "interpretation": [{"name": t.name, "question": t.question, "text": t.text} for t in interpretations(analysis)],
        "notices": [_notice(n) for n in analysis.notices],
        "signing_blocked": bool(analysis.blocking),
    }
    if analysis.amortised is not None:
        found["amortised"] = dict(zip(("plan", "sha256"), analysis.amortised, strict=True))
    return {key: _rounded(value) for key, value in found.items()}


def to_json(analysis: Analysis) -> str:
    """The text of result.json: sorted keys, UTF-8, a last newline; the same analysis gives the same bytes."""
    return json.dumps(as_dict(analysis), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(analysis: Analysis, path: Path | str) -> Path:
    """Write result.json and return its path."""
    target = Path(path)
    target.write_text(to_json(analysis), encoding="utf-8")
    return target


_SHORT = f"%.{DIGITS}g"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):  # curves: most of all numbers
        return [float(_SHORT % inner) if type(inner) is float else _rounded(inner) for inner in value]
    return float(_SHORT % value) if isinstance(value, float) else value


def _measured(value: float | None, unit: str) -> dict[str, Any] | None:
    return None if value is None else {"value": float(value), "unit": unit}


def _covariates(analysis: Analysis) -> list[dict[str, Any]]:
    given, model = analysis.case.covariates.series, analysis.model
    return [
        {
            "name": c.name,
            "label": c.label,
            "unit": c.unit,
            "series": [[float(t), float(value)] for t, value in given[c.name]],
            "time_unit": "h",
            "default_used": c.name in analysis.defaults,
        }
        for c in model.covariates.values()
    ]


def _settings(analysis: Analysis) -> dict[str, Any]:
    return {
        "draws": analysis.n_draws,
        "seed": analysis.seed,
        "blq": analysis.case.blq.value,
        "prior_weight": dict(analysis.prior_weight),
        "covariates": analysis.interpolation,
    }


def _model(analysis: Analysis) -> dict[str, Any]:
    model = analysis.model
    return {
        "name": model.name,
        "sha256": model.sha256,
        "title": model.title,
        "status": model.status,
        "population": model.population,
        "reference": dict(model.reference),
        "questions": list(model.questions),
    }


def _target(analysis: Analysis, metric: Shown) -> dict[str, Any]:
    goal = analysis.target
    low, high = metric.value(goal.low), metric.value(goal.high)
    return {"metric": goal.metric.name, "low": low, "high": high, "unit": metric.unit, "source": goal.source}


def _option(option: Option) -> dict[str, Any]:
    return {
        "label": option.label,
        "kind": option.kind.value,
        "dose": _measured(option.dose_mg, "mg"),
        "every": _measured(option.every_h, "h"),
        "duration": _measured(option.duration_h, "h"),
        "daily": _measured(option.daily_mg, "mg/d"),
        "over_cap": option.over_cap,
    }


def _method(method: MethodResult, metric: Shown) -> dict[str, Any]:
    found = method.recommendation
    return {
        "title": method.title,
        "how": method.how,
        "abstained": method.abstained,
        "doubt": method.doubt,
        "explained": method.explained,
        "effective_draws": method.ess,
        "parameters": {"values": dict(method.params), "unit": "engine units: h, mg, L"},
        "current": None if found is None or found.current is None else forecast_data(found.current, metric),
        "sampled_occasion": None if method.sampled is None else _exposure(method.sampled, metric),
        "recommendation": None if found is None else _recommendation(found),
        "candidates": [] if found is None else [forecast_data(f, metric) for f in found.forecasts],
    }


def _recommendation(found: Recommendation) -> dict[str, Any]:
    return {
        "action": None if found.action is None else found.action.value,
        "selected": None if found.best is None else found.best.option.label,
        "favoured": None if found.favoured is None else found.favoured.option.label,
        "needs_confirmation": bool(found.favoured and found.favoured.needs_confirmation),
    }


def forecast_data(forecast: Forecast, metric: Shown) -> dict[str, Any]:
    """One regimen's forecast as it stands in result.json; rounding is left to the whole."""
    option = _option(forecast.option)
    if forecast.exposure is None:
        return {"option": option, "abstained": forecast.abstained}
    return {
        "option": option,
        "exposure": _exposure(forecast.exposure, metric),
        "share": {"below": forecast.below, "in": forecast.inside, "above": forecast.above, "unit": "1"},
        "needs_confirmation": forecast.needs_confirmation,
    }


def _exposure(draws: Draws, metric: Shown) -> dict[str, Any]:
    low, high = draws.interval(0.9)
    return {
        "unit": metric.unit,
        "point": metric.value(draws.point),
        "median": metric.value(float(np.median(draws.values))),
        "interval90": [metric.value(low), metric.value(high)],
    }


def _concordance(analysis: Analysis) -> dict[str, Any]:
    found = analysis.concordance
    return {
        "state": found.state.value,
        "methods": list(found.methods),
        "reasons": list(found.reasons),
        "largest_ratio": found.largest_ratio,
        "caveat": found.caveat,
    }


def _sample(row: SampleRow, level: Shown) -> dict[str, Any]:
    def shown(value: float | None) -> dict[str, Any] | None:
        return None if value is None else _measured(level.value(value), level.unit)

    return {
        "time": _measured(row.time_h, "h"),
        "after_dose": _measured(row.after_dose_h, "h"),
        "observed": None if row.censored else shown(row.observed),
        "below_lloq": row.below_lloq,
        "lloq": shown(row.lloq),
        "above_uloq": row.above_uloq,
        "uloq": shown(row.uloq),
        "used": row.used,
        "weight": _measured(row.weight, "1"),
        "reason": row.reason,
        "pred": shown(row.pred),
        "ipred": shown(row.ipred),
        "a_priori_percentile": _measured(row.percentile, "%"),
        "iwres": _measured(row.iwres, "1"),
        "occasion": row.occasion,
    }


def _occasions(analysis: Analysis) -> dict[str, Any] | None:
    """The occasions of the history; an end that is open is None."""
    if analysis.future_iov is None:
        return None
    spans = [
        {
            "number": s.number,
            "start": _measured(s.start_h if s.start_h > -math.inf else None, "h"),
            "end": _measured(s.end_h if s.end_h < math.inf else None, "h"),
            "samples": s.n_samples,
        }
        for s in analysis.occasions
    ]
    return {"found": spans, "forecast": analysis.future_iov.value}


def _curve(analysis: Analysis, level: Shown) -> dict[str, Any]:
    found = analysis.curve
    return {
        "time": {"unit": "h", "values": _floats(found.times_h)},
        "unit": level.unit,
        "a_priori": _band(found.prior, level),
        "a_posteriori": None if found.posterior is None else _band(found.posterior, level),
        "a_posteriori_method": found.posterior_method,
        "doses": {"units": ["h", "mg"], "values": [[float(t), float(mg)] for t, mg in found.doses]},
        "forecast_from": _measured(found.forecast_from_h, "h"),
        "measured": {name: [level.value(v) for v in _floats(getattr(found.measured, name))] for name in ("q05", "q95")},
    }


def _band(band: Band, level: Shown) -> dict[str, list[float]]:
    names = ("q05", "q25", "q50", "q75", "q95")
    return {name: [level.value(value) for value in _floats(getattr(band, name))] for name in names}


def _floats(values: Array | Iterable[float]) -> list[float]:
    return [float(value) for value in values]


def _notice(notice: Notice) -> dict[str, Any]:
    return {
        "code": notice.code,
        "where": notice.where,
        "what": notice.what,
        "remedy": notice.remedy,
        "blocks_signing": notice.blocks_signing,
    }
