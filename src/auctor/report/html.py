"""report.html: one self-contained page that needs no script and asks nothing of the network, and prints on A4."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from auctor import __version__
from auctor.analysis.result import Analysis, MethodResult, SampleRow
from auctor.case import Blq, Interpolation
from auctor.dosing.candidates import OptionKind
from auctor.dosing.concordance import State
from auctor.dosing.recommend import Forecast
from auctor.report.curve_svg import curve_svg, table_times
from auctor.report.shown import Shown, concentration, covariate_value, exposure, frequencies, percents, significant
from auctor.report.words import interpretations, next_dose, occasions, preselected, risk

ICONS = {State.AGREE: "✔", State.CAUTION: "▲", State.DISAGREE: "✖", State.ALONE: "–"}
MEANING = {
    State.AGREE: "The methods agree",
    State.CAUTION: "Caution: the methods differ somewhat; none is preferred",
    State.DISAGREE: "The methods disagree, or one cannot be trusted here: signing needs a reason",
    State.ALONE: "Only one method answered: nothing to compare",
}
BASIS = {
    "a_priori": "covariates only",
    "map": "mode; shares by Laplace",
    "posterior": "importance resampling",
    "ml": "conformal interval",
    "amortised": "several models, by weight",
}
BLQ = {
    Blq.M1: "levels below the LLOQ are left out (M1)",
    Blq.M3: "levels below the LLOQ count with their probability (M3)",
    Blq.M4: "levels below the LLOQ count with their probability, given that every level is above 0 (M4)",
}
BETWEEN = {
    Interpolation.LOCF: "the last one holds",
    Interpolation.NOCB: "the next one holds",
    Interpolation.LINEAR: "a line is followed",
}
MOST_ROWS = 8  # candidates shown at once; the others are one click away and in result.json
BAR_WIDTH = 120


def to_html(analysis: Analysis) -> str:
    """The page as text; the same analysis gives the same text. Every value is escaped by the template engine."""
    from jinja2 import Environment, StrictUndefined

    folder = files("auctor.report")
    style = folder.joinpath("report.css").read_text(encoding="utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = page.from_string(folder.joinpath("report.html.j2").read_text(encoding="utf-8"))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return template.render(style=style, style_hash=f"sha256-{digest}", **view(analysis))


def write_html(analysis: Analysis, path: Path | str) -> Path:
    """Write report.html and return its path."""
    target = Path(path)
    target.write_text(to_html(analysis), encoding="utf-8")
    return target


def view(analysis: Analysis) -> dict[str, Any]:
    """What the template shows, as texts and rows; no computation is left to the template."""
    metric, level = exposure(analysis.model, analysis.target.metric), concentration(analysis.model)
    shown, rest = _candidate_rows(analysis, metric)
    return {
        "analysis": analysis,
        "model": analysis.model,
        "version": __version__,
        "target": f"{analysis.target.metric.name} {metric.span((analysis.target.low, analysis.target.high))} {metric.pretty}",
        "metric": metric,
        "level": level,
        "covariates": _covariates(analysis),
        "prior_weight": ", ".join(f"{name} × {weight:g}" for name, weight in analysis.prior_weight.items()),
        "between": BETWEEN[Interpolation(analysis.interpolation)],
        "blq": BLQ[analysis.case.blq] if any(row.below_lloq for row in analysis.samples) else "",
        "state": _state(analysis.concordance.state),
        "now": _now(analysis, metric),
        "sampled": _sampled(analysis, metric),
        "next_dose": next_dose(analysis),
        "then": None if (best := preselected(analysis)) is None else {"exposure": _interval(best, metric), "risk": risk(best)},
        "columns": [_column(m, metric) for m in analysis.methods],
        "explained": [(m.title, m.explained) for m in analysis.methods if m.explained],
        "svg": curve_svg(analysis),
        "curve_rows": _curve_rows(analysis, level),
        "candidates": shown,
        "more_candidates": rest,
        "others": [m.title for m in _others(analysis)],
        "samples": [_sample(k, row, level) for k, row in enumerate(analysis.samples, start=1)],
        "occasions": occasions(analysis),
        "texts": interpretations(analysis),
        "carried": [n for n in analysis.notices if not n.blocks_signing],
    }


def _interval(forecast: Forecast, metric: Shown) -> str:
    return f"median {metric.text(forecast.median)} {metric.pretty} (90 % interval {metric.span(forecast.interval90)})"


def _now(analysis: Analysis, metric: Shown) -> dict[str, str] | None:
    found = analysis.preferred.recommendation
    now = None if found is None else found.current
    return None if now is None or now.exposure is None else {"exposure": _interval(now, metric), "risk": risk(now)}


def _sampled(analysis: Analysis, metric: Shown) -> str:
    """Exposure under the current regimen at the last sampled occasion, by the preferred method; empty without occasions."""
    draws = analysis.preferred.sampled
    if draws is None:
        return ""
    span = metric.span(draws.interval(0.9))
    return f"median {metric.text(float(np.median(draws.values)))} {metric.pretty} (90 % interval {span}) at the last sampled occasion"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One method's column as texts."""

    title: str
    basis: str
    abstained: str
    rows: dict[str, str]
    doubt: str


_METHOD_ROWS = (
    "Exposure now",
    "Median",
    "90 % interval",
    "Below target",
    "In target",
    "Above target",
    "Action",
    "Selected regimen",
    "Exposure then",
    "In target then",
)


def _column(method: MethodResult, metric: Shown) -> Column:
    found = method.recommendation
    now = None if found is None else found.current
    best = None if found is None else found.best
    cells = dict.fromkeys(_METHOD_ROWS, "–")
    if now is not None and now.exposure is not None:
        cells |= {"Exposure now": f"{metric.text(now.exposure.point)} {metric.pretty}"}
        cells |= {"Median": metric.text(now.median), "90 % interval": metric.span(now.interval90)}
        cells |= dict(zip(_METHOD_ROWS[3:6], frequencies(now.shares), strict=True))
    if found is not None:
        cells |= {"Action": "no selection" if found.action is None else found.action.value}
        unpicked = {"Selected regimen": "none: needs confirmation" if found.favoured else "none"}
        cells |= unpicked if best is None else _selected(best, metric)
    doubt = "–" if method.abstained else method.doubt or "no"
    return Column(title=method.title, basis=BASIS[method.key], abstained=method.abstained, rows=cells, doubt=doubt)


def _selected(best: Forecast, metric: Shown) -> dict[str, str]:
    point = None if best.exposure is None else best.exposure.point
    interval = f"{metric.text(point)} ({metric.span(best.interval90)})"
    return {"Selected regimen": best.option.label, "Exposure then": interval, "In target then": frequencies(best.shares)[1]}


def _state(state: State) -> dict[str, str]:
    return {"name": state.value, "icon": ICONS[state], "words": MEANING[state]}


def _covariates(analysis: Analysis) -> list[dict[str, Any]]:
    last = analysis.case.covariates.at(float("inf"))
    series = analysis.case.covariates.series
    return [
        {
            "label": c.label,
            "name": c.name,
            "value": covariate_value(c, last[c.name]),
            "default": c.name in analysis.defaults,
            "changes": len(series[c.name]) - 1,
        }
        for c in analysis.model.covariates.values()
    ]


def _others(analysis: Analysis) -> list[MethodResult]:
    own = analysis.preferred.key
    return [m for m in analysis.methods if m.key not in (own, "a_priori") and m.recommendation is not None]


def _candidate_rows(analysis: Analysis, metric: Shown) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Candidates of the preferred method: current, hold, what any method selects and the likeliest first; then the others."""
    method = analysis.preferred
    forecasts = method.recommendation.forecasts if method.recommendation else ()
    picked = {m.recommendation.best.option for m in analysis.methods if m.recommendation and m.recommendation.best}
    must = {f.option for f in forecasts if f.option.kind is not OptionKind.OFFERED} | picked
    likely = sorted((f for f in forecasts if f.option not in must), key=lambda f: -f.inside)
    keep = must | {f.option for f in likely[: max(0, MOST_ROWS - len(must))]}
    rows = [(f.option in keep, _candidate(f, analysis, metric)) for f in sorted(forecasts, key=_table_order)]
    return [row for kept, row in rows if kept], [row for kept, row in rows if not kept]


def _table_order(forecast: Forecast) -> tuple[float, float]:
    return forecast.option.daily_mg, forecast.option.every_h


def _candidate(forecast: Forecast, analysis: Analysis, metric: Shown) -> dict[str, Any]:
    option, chosen = forecast.option, preselected(analysis)
    answered = forecast.exposure is not None
    return {
        "label": option.label,
        "marks": _marks(forecast, analysis),
        "selected": chosen is not None and chosen.option == option,
        "daily": significant(option.daily_mg) if option.daily_mg else "0",
        "median": metric.text(forecast.median),
        "interval": metric.span(forecast.interval90),
        "shares": percents(forecast.shares) if answered else ["–"] * 3,
        "bar": _bar(forecast) if answered else [],
        "others": [_share_of(m, forecast) for m in _others(analysis)],
    }


def _marks(forecast: Forecast, analysis: Analysis) -> list[tuple[str, str]]:
    """Words beside a regimen: what it is, and which methods select it."""
    picking = [m.title for m in analysis.methods if m.key != "a_priori" and _selects(m, forecast)]
    marks = [("current", "")] if forecast.option.kind is OptionKind.CURRENT else []
    marks += [(f"selected by {', '.join(picking)}", "")] if picking else []
    marks += [("above a cap", "warn")] if forecast.option.over_cap else []
    marks += [("needs confirmation", "warn")] if forecast.needs_confirmation else []
    return marks


def _selects(method: MethodResult, forecast: Forecast) -> bool:
    found = method.recommendation
    return found is not None and found.best is not None and found.best.option == forecast.option


def _share_of(method: MethodResult, forecast: Forecast) -> str:
    forecasts = method.recommendation.forecasts if method.recommendation else ()
    same = next((f for f in forecasts if f.option == forecast.option and f.exposure is not None), None)
    return "–" if same is None else percents(same.shares)[1]


def _bar(forecast: Forecast) -> list[dict[str, float | str]]:
    """Three segments of one bar, in pixels; the numbers stand beside it as text."""
    left = 0.0
    parts: list[dict[str, float | str]] = []
    for kind, share in (("below", forecast.below), ("in", forecast.inside), ("above", forecast.above)):
        parts.append({"kind": kind, "x": round(left, 1), "width": round(BAR_WIDTH * share, 1)})
        left += BAR_WIDTH * share
    return parts


def _sample(number: int, row: SampleRow, level: Shown) -> dict[str, str]:
    limit = "outside the limits" if row.limit is None else f"{'<' if row.below_lloq else '>'} {level.text(row.limit)}"
    return {
        "number": str(number),
        "time": f"{row.time_h:.4g}",
        "after": "–" if row.after_dose_h is None else f"{row.after_dose_h:.3g}",
        "observed": limit if row.censored else level.text(row.observed),
        "pred": level.text(row.pred),
        "ipred": level.text(row.ipred),
        "percentile": "–" if row.percentile is None else f"{row.percentile:.0f}",
        "iwres": "–" if row.iwres is None else f"{row.iwres:+.2f}",
        "used": _use(row),
        "occasion": "–" if row.occasion is None else str(row.occasion),
    }


def _use(row: SampleRow) -> str:
    """`yes`, `no`, or the weight; with the reason where there is one."""
    word = "no" if not row.used else "yes" if row.weight == 1 else f"weight {row.weight:g}"
    return f"{word}: {row.reason}" if row.reason and word != "yes" else word


def _curve_rows(analysis: Analysis, level: Shown) -> list[dict[str, str]]:
    curve = analysis.curve
    return [
        {
            "time": f"{curve.times_h[k]:.4g}",
            "prior": level.text(float(curve.prior.q50[k])),
            "prior90": level.span((float(curve.prior.q05[k]), float(curve.prior.q95[k]))),
            "post": "–" if curve.posterior is None else level.text(float(curve.posterior.q50[k])),
            "post90": "–" if curve.posterior is None else level.span((float(curve.posterior.q05[k]), float(curve.posterior.q95[k]))),
        }
        for k in table_times(analysis)
    ]
