"""Trained learners in the user's cache folder, keyed by content: a plan is trained once, and again when anything it rests on changes."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

from auctor.cache import cache_dir
from auctor.case import Metric
from auctor.learn.artefact import code_hash, kept
from auctor.learn.learner import Learner, versions
from auctor.population.plan import Plan, read_plan
from auctor.population.reading import plan_path, shipped
from auctor.population.virtual import Progress

PLANS = Path(__file__).parent / "plans"
CODE = ("models", "pk", "population", "learn", "learn/estimators")


def shipped_plans() -> tuple[str, ...]:
    """Names of the plans that auctor ships.

    >>> "tacrolimus_auc12" in shipped_plans()
    True
    """
    return shipped(PLANS)


def open_plan(name_or_path: str | Path) -> Plan:
    """A shipped plan by name, or any plan by path. Raises PlanError."""
    return read_plan(plan_path(name_or_path, PLANS))


def plans_for(model_name: str, metric: Metric) -> tuple[str, ...]:
    """Shipped plans for clinical use that answer this metric under this model.

    >>> plans_for("tacrolimus_woillard_2011", Metric.parse("AUC0-12"))
    ('tacrolimus_auc12',)
    """
    plans = (open_plan(name) for name in shipped_plans())
    return tuple(p.name for p in plans if p.role == "clinic" and model_name in [m.name for m in p.models] and p.target.answers(metric))


def learner_for(plan: str | Path | Plan, progress: Progress | None = None) -> Learner:
    """The learner of a plan (name, path or Plan), trained when the cache does not hold it; minutes at most, once.

    The folder appears by one rename, so an interrupted training leaves nothing behind that looks complete.
    """
    read = plan if isinstance(plan, Plan) else open_plan(plan)
    folder = cache_dir("learners") / f"{read.name}-{key(read)[:16]}"
    return kept(folder, Learner.load, partial(_train, read, progress))


def _train(plan: Plan, progress: Progress | None, folder: Path) -> None:
    from auctor.learn.train import train

    train(plan, folder, progress=progress)


def key(plan: Plan) -> str:
    """SHA-256 over the plan and its models, the code that made the learner, and the versions it ran with."""
    parts = [plan.sha256, code_hash(CODE), *versions(plan).values()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
