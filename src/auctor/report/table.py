"""The short table of an analysis for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auctor.analysis.result import Analysis, MethodResult
from auctor.report.shown import Shown, exposure, percents

if TYPE_CHECKING:
    from rich.table import Table

HEADINGS = ("Method", "Exposure now", "90 % interval", "Below", "In", "Above", "Action", "Selected regimen", "In then")


def summary_table(analysis: Analysis) -> Table:
    """A rich table: one row per method, exposure of the current regimen and the selected one, unit in the title."""
    from rich.table import Table

    metric = exposure(analysis.model, analysis.target.metric)
    goal = f"{analysis.target.metric.name} {metric.span((analysis.target.low, analysis.target.high))} {metric.pretty}"
    table = Table(title=f"{analysis.case.label}: {analysis.model.drug}, target {goal}", title_justify="left", caption=_caption(analysis))
    for heading in HEADINGS:
        table.add_column(heading)
    for method in analysis.methods:
        table.add_row(*summary_row(method, metric))
    return table


def summary_row(method: MethodResult, metric: Shown) -> tuple[str, ...]:
    """One method as nine texts; a method that abstains gives its reason in the last but one."""
    found = method.recommendation
    if found is None:
        return (method.title, *["–"] * 5, "abstains", method.abstained, "–")
    now, best = found.current, found.best
    known = now is not None and now.exposure is not None
    seen = [metric.text(now.exposure.point), metric.span(now.interval90)] if now and now.exposure else ["–", "–"]
    shares = percents(now.shares) if now and known else ["–"] * 3
    chosen = [best.option.label, percents(best.shares)[1]] if best else ["none", "–"]
    return (method.title, *seen, *shares, found.action.value if found.action else "–", *chosen)


def _caption(analysis: Analysis) -> str:
    state = analysis.concordance
    return f"{state.state.value}: {'; '.join(state.reasons)}. Unsigned. Research software, not a medical device."
