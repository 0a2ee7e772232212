"""`auctor models show NAME --patient ...`: one patient's arithmetic, line by line, as it would be done on paper."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from auctor.case import Dose, Route
from auctor.cli import quantities
from auctor.cli.terminal import put_json, warn
from auctor.errors import CaseError

if TYPE_CHECKING:
    from auctor.models.hand import Step
    from auctor.models.model import Covariate, DrugModel

_BARE = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


@dataclass(frozen=True, kw_only=True)
class Typed:
    """The options as typed. A bare number is in the model's own unit (covariates), in mg (dose) or in h, and printed with that unit."""

    patient: str
    dose: str = ""
    every: str = ""
    duration: str = ""
    route: Route | None = None

    def covariates(self, model: DrugModel) -> dict[str, float]:
        """What is given, in the model's units; CaseError for a name twice or unknown."""
        pairs = [self._covariate(part, model) for part in self.patient.split(",") if part.strip()]
        if len(dict(pairs)) < len(pairs):
            raise CaseError(where="--patient", what="a covariate twice", remedy="keep one of them")
        return dict(pairs)

    def _covariate(self, text: str, model: DrugModel) -> tuple[str, float]:
        name, _, written = (part.strip() for part in text.partition("="))
        known = model.covariates.get(name)
        bare = known is not None and known.levels is None and _BARE.fullmatch(written)
        return (name, float(written)) if bare else quantities.covariate(text, model)

    def given(self, model: DrugModel, patient: dict[str, float]) -> Dose | None:
        """The dose, at steady state where it repeats; None without one."""
        from auctor.population.virtual import route_of

        if not self.dose:
            return None
        mg, per_kg = quantities.amount(_with(self.dose, "mg"), option="--dose")
        if per_kg and "WT" not in patient:
            raise CaseError(where="--dose", what=f"per kg, but {model.name} has no weight", remedy="give the dose in mg")
        every, length = (
            quantities.hours(_with(t, "h"), option=o) if t else 0.0 for t, o in ((self.every, "--every"), (self.duration, "--duration"))
        )
        return Dose(
            time_h=0.0,
            amount_mg=mg * patient["WT"] if per_kg else mg,
            route=self.route or route_of(model),
            duration_h=length,
            every_h=every,
            steady_state=every > 0,
        )


def _with(text: str, unit: str) -> str:
    return f"{text} {unit}" if _BARE.fullmatch(text.strip()) else text


def show_by_hand(model: DrugModel, typed: Typed, *, as_json: bool) -> None:
    """Print the patient, each parameter with the numbers put in, and what follows for the dose; warn outside the domain."""
    from auctor.models.domain import domain_notices
    from auctor.models.hand import exposure_steps, parameter_steps

    given = typed.covariates(model)
    patient = {name: given.get(name, c.reference) for name, c in model.covariates.items()}
    dose = typed.given(model, patient)
    notices = domain_notices(model, patient)
    parameters, exposure = parameter_steps(model, patient), exposure_steps(model, patient, dose)
    warn(notices)
    if as_json:
        put_json(
            {
                "model": model.name,
                "sha256": model.sha256,
                "patient": patient,
                "not_given": [name for name in patient if name not in given],
                "parameters": [_row(step) for step in parameters],
                "exposure": [_row(step) for step in exposure],
                "notices": [vars(n) for n in notices],
            }
        )
        return
    known = [_shown(c, patient[name], given=name in given) for name, c in model.covariates.items()]
    lines = [f"{model.name} ({model.status}): the typical patient, every eta zero", *(f"  {line}" for line in known)]
    lines += ["", "Parameters", *(f"  {step.text}" for step in parameters)]
    title = f"{dose.amount_mg:g} mg {_schedule(dose)}" if dose else "Half-lives"
    lines += ["", title, *(f"  {step.text}" for step in exposure)] if exposure else []
    typer.echo("\n".join([*lines, *_source(model)]))


def _row(step: Step) -> dict[str, object]:
    return {**vars(step), "engine": list(step.engine) if step.engine else None, "text": step.text}


def _shown(covariate: Covariate, value: float, *, given: bool) -> str:
    from auctor.report.shown import covariate_value

    word, code = covariate_value(covariate, value), f" (code {value:g})" if covariate.levels is not None else ""
    return f"{covariate.name} = {word}{code}" + ("" if given else ", the model's reference: not given")


def _schedule(dose: Dose) -> str:
    over = f" over {dose.duration_h:g} h" if dose.duration_h else ""
    return f"{dose.route.value}{over}" + (f" every {dose.every_h:g} h, at steady state" if dose.every_h else ", once")


def _source(model: DrugModel) -> list[str]:
    return ["", f"Source: {model.reference['cite']}", *(f"Open question: {text}" for text in model.questions)]
