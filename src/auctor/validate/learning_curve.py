"""A plan's learning curve beside its floor: the posterior mean under the generating model, which no learner can beat in RMSE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from auctor.learn.circular import marked
from auctor.learn.curve import MEASURES, Step, default_sizes, learning_curve
from auctor.learn.scores import Score, accuracy
from auctor.learn.train import Material, prepare
from auctor.population.plan import Plan
from auctor.population.virtual import Progress
from auctor.validate.comparators import Estimates, fitted, matched_error, patients, posterior, with_error
from auctor.validate.own_course import is_readable

if TYPE_CHECKING:
    from rich.table import Table

FLOOR = "posterior mean (the limit)"
NO_FLOOR = "several models made the patients, or the target is not in hours from their first dose: no single posterior is the limit"


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """Scores of each size, and of the limit (None where the plan has several models); all on the same `patients` test patients."""

    plan: str
    simulator: str
    metric: str
    noise: str
    circular: bool
    patients: int
    steps: tuple[Step, ...]
    floor: dict[str, Score] | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON; shares as fractions."""
        steps = [{"size": s.size, "trees": s.trees, **{n: v.as_dict() for n, v in s.scores.items()}} for s in self.steps]
        floor = None if self.floor is None else {name: value.as_dict() for name, value in self.floor.items()}
        head = {"plan": self.plan, "simulator": self.simulator, "metric": self.metric, "noise": self.noise, "circular_label": self.circular}
        return {**head, "patients": self.patients, "sizes": steps, "floor": floor}

    def table(self) -> Table:
        """For the terminal: percent with 95 % bootstrap intervals."""
        from rich.table import Table

        title = f"{marked(self.plan, circular=self.circular)}: {self.metric}, {self.patients} held-out patients of {self.simulator}"
        found = Table(title=title, caption=f"noise {self.noise}" if self.floor else f"noise {self.noise}; {NO_FLOOR}")
        found.add_column("trained on")
        for name in MEASURES:
            found.add_column("90 % interval covers" if name == "coverage" else name, justify="right")
        for step in self.steps:
            found.add_row(f"{step.size}", *(str(step.scores[name]) for name in MEASURES))
        if self.floor is not None:
            found.add_row(FLOOR, *(str(self.floor[name]) for name in MEASURES))
        return found


def curve_of(plan: Plan, sizes: Sequence[int] = (), *, draws: int = 1000, progress: Progress | None = None) -> LearningCurve:
    """The learning curve of a plan over `sizes` (default: halves of its training part). Raises PlanError, LeakageError."""
    made = prepare(plan, progress)
    steps = learning_curve(made, sizes or default_sizes(plan.split.train), progress)
    return LearningCurve(
        plan=plan.name,
        simulator=", ".join(m.name for m in plan.models),
        metric=plan.metric.name,
        noise=plan.noise,
        circular=plan.label == "map",
        patients=len(made.parts["test"]),
        steps=steps,
        floor=_floor(plan, made, draws, progress) if _has_floor(plan) else None,
    )


def _has_floor(plan: Plan) -> bool:
    return len(plan.models) == 1 and (plan.target.proportional or is_readable(plan.target))


def _floor(plan: Plan, made: Material, draws: int, progress: Progress | None) -> dict[str, Score]:
    rows = made.parts["test"]
    who = patients(made.profiles, rows)
    if plan.noise != "full":
        who = replace(who, model=with_error(who.model, matched_error(plan, who.model)))
    found: Estimates = posterior(who, fitted(who), draws if plan.noise != "none" else 5 * draws, progress).mean
    scores = accuracy(found.point, who.truth, interval=(found.low, found.high), seed=plan.seed)
    return {name: scores[name] for name in MEASURES}
