"""`auctor simulate`: virtual patients under one regimen, or the profiles of a training plan, as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auctor.case import Dose, Regimen, Route
from auctor.cli import quantities
from auctor.cli.command import AsJson
from auctor.cli.terminal import out, put_json, say, warn, working
from auctor.errors import CaseError, PlanError

if TYPE_CHECKING:
    from auctor.models.model import DrugModel
    from auctor.population.cohort import Cohort, Question
    from auctor.population.profiles import Profiles


def simulate(
    model: Annotated[str, typer.Argument(metavar="MODEL|PLAN.toml", help="A model, or a training plan.", show_default=False)],
    *,
    dose: Annotated[str, typer.Option(help="For example '1000 mg' or '15 mg/kg'.")] = "",
    every: Annotated[str, typer.Option(help="Dosing interval, for example 12h; without it the dose is given once.")] = "",
    route: Annotated[Route | None, typer.Option(help="Default: the one the model was built for.")] = None,
    duration: Annotated[str, typer.Option(help="Length of an infusion, for example 1h; default: none, a bolus.")] = "",
    steady_state: Annotated[bool, typer.Option("--steady-state", help="Start at steady state (needs --every).")] = False,
    n: Annotated[int, typer.Option(min=1, max=1_000_000, help="Virtual patients.")] = 1000,
    times: Annotated[str, typer.Option(help="Hours since the first dose: start:stop:step, or a,b,c.")] = "0:24:0.5",
    covariate: Annotated[list[str] | None, typer.Option(help="For example WT=70kg; repeat it; the others are drawn.")] = None,
    residual: Annotated[bool, typer.Option("--residual", help="Add residual error: column DV.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed; same input and seed, same bytes.")] = 0,
    table: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The table (.csv); of a plan .parquet, one row a patient, or .csv."),
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, max=1_000_000, help="Patients a row group of a .parquet file.")] = 16_384,
    as_json: AsJson = False,
) -> None:
    """Simulate virtual patients under one regimen, or the profiles of a training plan.

    Prints the 5th, 50th and 95th percentile at each time; --out writes every patient.
    """
    given = _Given(dose=dose, every=every, route=route, duration=duration, steady_state=steady_state)
    if _is_plan(model):
        _simulate_plan(model, given, table=table, rows=rows, as_json=as_json)
        return
    from auctor.models.reader import read_model
    from auctor.population.cohort import Question

    read = read_model(model)
    regimen, per = given.regimen(read, last_h=float(quantities.times(times)[-1]))
    fixed = dict(quantities.covariate(text, read) for text in covariate or ())
    question = Question(regimen=regimen, times_h=quantities.times(times), n=n, seed=seed, fixed=fixed, per=per, residual=residual)
    _simulate_model(read, question, table=table, as_json=as_json)


@dataclass(frozen=True, kw_only=True)
class _Given:
    """The dosing options as typed."""

    dose: str
    every: str
    route: Route | None
    duration: str
    steady_state: bool

    def regimen(self, model: DrugModel, *, last_h: float) -> tuple[Regimen, str]:
        """The regimen until `last_h` (per kg when the second value names the weight), checked against the model."""
        from auctor.population.virtual import route_of

        if not self.dose:
            raise CaseError(where="--dose", what="missing", remedy="write for example --dose '1000 mg' --every 12h")
        mg, per_kg = quantities.amount(self.dose, option="--dose")
        if per_kg and (("WT" not in model.covariates) or model.covariates["WT"].unit != "kg"):
            raise CaseError(where="--dose", what=f"per kg, but {model.name} has no weight", remedy="give the dose in mg")
        every = quantities.hours(self.every, option="--every") if self.every else 0.0
        if self.steady_state and not every:
            raise CaseError(where="--steady-state", what="no dosing interval", remedy="add --every, for example --every 12h")
        length = quantities.hours(self.duration, option="--duration") if self.duration else 0.0
        route = self.route or route_of(model)
        more = int(last_h / every) if every else 0
        one = Dose(
            time_h=0.0,
            amount_mg=mg,
            route=route,
            duration_h=length,
            every_h=every,
            additional=more,
            steady_state=self.steady_state,
        )
        return Regimen(doses=(one,)), "WT" if per_kg else ""


def _is_plan(name: str) -> bool:
    """A shipped plan's name, or a TOML file that says for which `models` it is: no model file does."""
    import tomllib

    from auctor.learn.store import shipped_plans

    if not name.endswith(".toml"):
        return name in shipped_plans()
    try:
        return "models" in tomllib.loads(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def _simulate_plan(name: str, given: _Given, *, table: Path | None, rows: int, as_json: bool) -> None:
    from auctor.learn.store import open_plan
    from auctor.population.virtual import simulate as simulate_profiles

    plan = open_plan(name)
    if given.dose or given.every:
        raise PlanError(
            where="--dose", what="a plan says itself how its patients are dosed", remedy="leave the dosing options out, or name a model"
        )
    if table is None or table.suffix not in (".parquet", ".csv"):
        raise PlanError(where="--out", what="missing, or neither .parquet nor .csv", remedy="name the file for the plan's profiles")
    with working(f"profiles of {plan.name}") as steps:
        profiles = simulate_profiles(plan, steps)
        _write_profiles(profiles, table, rows, steps)
    summary = _profile_summary(profiles, table)
    if as_json:
        put_json(summary)
    else:
        typer.echo(f"{summary['patients']} patients of plan {plan.name} in {table}")


def _write_profiles(profiles: Profiles, table: Path, rows: int, steps: Callable[[str, float], None]) -> None:
    from auctor.population.profile_files import write_parquet, write_profiles

    table.parent.mkdir(parents=True, exist_ok=True)
    if table.suffix == ".parquet":
        write_parquet(profiles, table, rows=rows, progress=steps)
    else:
        write_profiles(profiles, table)


def _profile_summary(profiles: Profiles, table: Path) -> dict[str, Any]:
    import numpy as np

    from auctor.population.profile_files import target_shown, target_unit

    plan, levels = profiles.plan, (0.05, 0.5, 0.95)
    found = target_shown(profiles)
    spread: dict[str, float] = {f"p{100 * level:g}": float(v) for level, v in zip(levels, np.quantile(found, levels), strict=True)}
    target = {"name": plan.target.name, "unit": target_unit(profiles), "mean": float(np.mean(found)), **spread}
    counts = {"patients": len(profiles), "left_out": plan.split.total - len(profiles)}
    below = {"below_lloq": float(np.mean(profiles.below[np.isfinite(profiles.sample_h)]))} if plan.assay.lloq is not None else {}
    return {"plan": plan.name, "sha256": plan.sha256, **counts, **below, "target": target, "file": str(table)}


def _simulate_model(model: DrugModel, question: Question, *, table: Path | None, as_json: bool) -> None:
    from auctor.models.domain import domain_notices
    from auctor.population.cohort import simulate_cohort

    notices = domain_notices(model, question.fixed)
    warn(notices)
    with working(f"{question.n} patients of {model.name}") as steps:
        cohort = simulate_cohort(model, question, steps)
    if table is not None:
        table.parent.mkdir(parents=True, exist_ok=True)
        _write(cohort, model, table)
        say(f"written: {table}")
    if as_json:
        put_json(_summary(cohort, model, question) | {"notices": [vars(n) for n in notices]})
    else:
        _print(cohort, model)


def _summary(cohort: Cohort, model: DrugModel, question: Question) -> dict[str, Any]:
    levels = (0.05, 0.5, 0.95)
    rows = cohort.quantiles(levels) * model.scale
    return {
        "model": model.name,
        "sha256": model.sha256,
        "n": len(cohort),
        "seed": question.seed,
        "unit": model.units["concentration"],
        "residual": question.residual,
        "time_h": cohort.times_h.tolist(),
        "percentiles": {f"p{100 * level:g}": row.tolist() for level, row in zip(levels, rows, strict=True)},
    }


def _print(cohort: Cohort, model: DrugModel) -> None:
    from rich.table import Table

    kind = "with residual error" if cohort.measured is not None else "without residual error"
    typer.echo(f"{len(cohort)} patients of {model.name}, {model.units['concentration']}, {kind}")
    shown = Table("h", "5 %", "median", "95 %", box=None, pad_edge=False)
    for time, row in zip(cohort.times_h, cohort.quantiles().T * model.scale, strict=True):
        shown.add_row(f"{time:g}", *(f"{value:.4g}" for value in row))
    out().print(shown)


def _write(cohort: Cohort, model: DrugModel, path: Path) -> None:
    """ID TIME CONC (and DV), then covariates and individual parameters; concentrations in the model's unit, full precision."""
    import csv

    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["ID", "TIME", "CONC", *(["DV"] if cohort.measured is not None else []), *cohort.covariates, *cohort.parameters])
        for i in range(len(cohort)):
            own = [repr(float(values[i])) for part in (cohort.covariates, cohort.parameters) for values in part.values()]
            for k, time in enumerate(cohort.times_h):
                read = [part[i, k] * model.scale for part in (cohort.concentration, cohort.measured) if part is not None]
                rows.writerow([i + 1, repr(float(time)), *(repr(float(value)) for value in read), *own])
