"""`auctor average`: several models of a drug weighed by how likely the samples are under each, and the exposure they give together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auctor.case import Blq, Interpolation, Metric
from auctor.cli.command import AsJson
from auctor.cli.options import BlqMethod, CaseCovariates
from auctor.cli.quantities import numbers
from auctor.cli.question import Question, read, several_models
from auctor.cli.terminal import out, put_json, put_table, warn, working
from auctor.errors import AuctorError, CaseError, Notice

if TYPE_CHECKING:
    from auctor.case import Case, Regimen
    from auctor.estimate.averaging import Average
    from auctor.models.model import DrugModel
    from auctor.predictor import Draws
    from auctor.report.shown import Shown


class Weights(StrEnum):
    """What a model is weighed by."""

    IMPORTANCE = "importance"
    LAPLACE = "laplace"
    OFV = "ofv"
    AIC = "aic"


def average(
    models: Annotated[list[str], typer.Argument(metavar="DRUG|MODEL...", help="A drug (all its models), or models.", show_default=False)],
    *,
    case: Annotated[Path, typer.Option(metavar="CASE", help="A case (.json, .toml), or a table (.csv) with --id.", show_default=False)],
    patient: Annotated[str, typer.Option("--id", help="Which ID of the table.")] = "",
    weights: Annotated[
        Weights, typer.Option(help="Marginal likelihood by importance sampling or laplace; mapbayr's ofv or aic, to compare.")
    ] = Weights.IMPORTANCE,
    prior: Annotated[str, typer.Option(metavar="P,P,...", help="Weight of each model before the samples; default: equal.")] = "",
    metric: Annotated[str, typer.Option(help="For example AUC0-24; default: the case's target, else the first model's.")] = "",
    blq: BlqMethod = Blq.M3,
    covariates: CaseCovariates = Interpolation.LOCF,
    draws: Annotated[int, typer.Option(min=100, max=1_000_000, help="Draws of the mixture.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws; same input and seed, same bytes.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Weigh several models by the patient's samples, and average the exposure of the current regimen over them."""
    read_models, places = several_models(models)
    given = None if not prior else numbers(prior, option="--prior")
    if given is not None and len(given) != len(read_models):
        named = ", ".join(m.name for m in read_models)
        raise CaseError(where="--prior", what="not one number per model", remedy=f"give {len(read_models)}, in the order {named}")
    asked = _Asked(
        question=Question(case=case, patient=patient, interpolation=covariates),
        blq=blq,
        weights=weights,
        metric=metric,
        draws=draws,
        seed=seed,
    )
    with working(f"{len(read_models)} models of {places}") as steps:
        steps("estimating", 0.2)
        found = asked.run(read_models, given)
    warn(found.notices)
    if as_json:
        put_json(found.as_dict())
    else:
        found.show()


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What was asked of the models."""

    question: Question
    blq: Blq
    weights: Weights
    metric: str
    draws: int
    seed: int

    def run(self, models: Sequence[DrugModel], prior: Sequence[float] | None) -> _Found:
        """Read the case with every model, leave out those that cannot, weigh the others."""
        from auctor.dosing.current import current_regimen
        from auctor.estimate.averaging import average_estimate

        cases, refused = self._cases(models)
        kept = [m for m in models if m.name in cases]
        own = None if prior is None else [p for p, m in zip(prior, models, strict=True) if m.name in cases]
        found = average_estimate(kept, [cases[m.name] for m in kept], self.draws, self.seed, prior=own, weights=self.weights.value)
        regimen, derived = current_regimen(found.case, intervals_h=kept[0].dosing.intervals_h if kept[0].dosing else ())
        notices = tuple(dict.fromkeys((*refused, *(n for c in cases.values() for n in c.notices), *derived, *found.notices)))
        return _Found(average=found, weights=self.weights, metric=self._metric(found.case, kept), regimen=regimen, notices=notices)

    def _cases(self, models: Sequence[DrugModel]) -> tuple[dict[str, Case], tuple[Notice, ...]]:
        """The case as each model reads it, and a notice for every model that refuses it; the refusal itself when all do."""
        from auctor.data.interpolation import interpolated

        cases: dict[str, Case] = {}
        refused: tuple[Notice, ...] = ()
        for model in models:
            try:
                case = replace(read(self.question, model), blq=self.blq)
                cases[model.name] = interpolated(case, model, self.question.interpolation)
            except AuctorError as problem:
                if len(refused) == len(models) - 1:
                    raise
                what = f"{problem.where}: {problem.what}"
                refused += (Notice(code="model-left-out", where=model.name, what=what, remedy=problem.remedy),)
        return cases, refused

    def _metric(self, case: Case, models: Sequence[DrugModel]) -> Metric:
        if self.metric:
            return Metric.parse(self.metric)
        goal = case.target or next((m.targets[0] for m in models if m.targets), None)
        if goal is None:
            raise CaseError(where="--metric", what="neither the case nor a model has a target", remedy="add --metric AUC0-24")
        return goal.metric


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The mixture with the exposure metric it is asked for, under the current regimen (None when it is not known)."""

    average: Average
    weights: Weights
    metric: Metric
    regimen: Regimen | None
    notices: tuple[Notice, ...]

    def as_dict(self) -> dict[str, Any]:
        """The answer as data: a weight a model, marginal likelihoods, exposures in the models' unit."""
        found, shown = self.average, self._shown()
        each = zip(found.estimates, found.weights.tolist(), found.log_marginals.tolist(), found.laplace_log_marginals.tolist(), strict=True)
        return {
            "schema": 1,
            "case": {"label": found.case.label, "drug": found.case.drug},
            "weights": self.weights.value,
            "metric": self.metric.name,
            "unit": shown.unit,
            "regimen": "current" if self.regimen else None,
            "models": [
                {
                    "name": e.model.name,
                    "sha256": e.model.sha256,
                    "status": e.model.status,
                    "weight": weight,
                    "log_marginal": None if e.log_marginal is None else importance,
                    "log_marginal_laplace": laplace,
                    "ofv": e.ofv,
                    "exposure": self._exposure(e.exposure, shown),
                }
                for e, weight, importance, laplace in each
            ],
            "log_marginal_is": "log p(samples | model), concentrations in mg/L, every constant included; 0 without samples",
            "average": self._exposure(found.exposure, shown),
            "heaviest": found.estimates[int(found.weights.argmax())].model.name,
            "notices": [vars(n) for n in self.notices],
        }

    def show(self) -> None:
        """The same as a table."""
        from rich.table import Column, Table

        said = self.as_dict()
        heads = ("weight", "log p, importance", "log p, Laplace", f"{self.metric.name}, {self._shown().pretty}", "90 % interval")
        table = Table(Column("model", no_wrap=True), *heads)
        for row in said["models"]:
            marginals = ("–" if row[name] is None else f"{row[name]:.3f}" for name in ("log_marginal", "log_marginal_laplace"))
            table.add_row(row["name"], f"{row['weight']:.3f}", *marginals, *_words(row["exposure"]))
        table.add_row("average", "1", "", "", *_words(said["average"]))
        out().print(f"{said['case']['label']}: {said['case']['drug']}, weights by {self.weights.value}", markup=False)
        put_table(table)

    def _shown(self) -> Shown:
        from auctor.report.shown import exposure

        return exposure(self.average.estimates[0].model, self.metric)

    def _exposure(self, ask: Any, shown: Shown) -> dict[str, Any] | None:
        if self.regimen is None:
            return None
        drawn: Draws = ask(self.regimen, self.metric)
        low, high = drawn.interval(0.9)
        return {"point": shown.value(drawn.point), "interval90": [shown.value(low), shown.value(high)]}


def _words(exposure: dict[str, Any] | None) -> tuple[str, str]:
    from auctor.report.shown import significant

    if exposure is None:
        return "–", "–"
    low, high = exposure["interval90"]
    return significant(exposure["point"]), f"{significant(low)}–{significant(high)}"
