"""A simulation and training plan: one TOML file that says who, what dose, when sampled, with what noise, and how to learn.

The format is documented in docs/plan-file.md. Reading is strict: a key that is not known is refused (PlanError).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auctor.case import Metric, Route
from auctor.errors import PlanError
from auctor.models.expressions import Expression
from auctor.models.model import DrugModel
from auctor.population.copula import CopulaSource
from auctor.population.dosage import Adherence, Dosage, read_adherence, read_dosage, route_of
from auctor.population.learning import Interval, Learning, read_density, read_interval, read_learning
from auctor.population.people import People, read_people
from auctor.population.reading import Table, plan_digest, plan_model, plan_text
from auctor.population.targets import PlanTarget, check_target, proportional, read_target
from auctor.population.variability import Assay, CovariatePath, SimulatedIov, read_assay, read_iov, read_path

NOISE = ("none", "assay", "full")
ROLES = ("clinic", "study", "test")
SIMULATED_ONLY = Learning(features=(), folds=2, configurations=1, seed=0, grid={})


@dataclass(frozen=True, kw_only=True)
class NominalSample:
    """A sample due `at_h` after the dose (0: just before the next), truly drawn up to `early_min` before or `late_min` after.

    `imprecision` uniform over that window, or normal with SD `sd_min` truncated to it; minutes. With history "start", `dose` is the number
    of the dose (from 1) that it follows; 0 at steady state. `recorded`: the methods are told the `true` time, or the `nominal` one.
    """

    name: str
    at_h: float
    early_min: float
    late_min: float
    imprecision: str = "uniform"
    sd_min: float = 0.0
    dose: int = 0
    recorded: str = "true"

    @property
    def doses_before(self) -> int:
        """How many intervals lie between the first dose and the one it follows."""
        return max(self.dose - 1, 0)


@dataclass(frozen=True, kw_only=True)
class Irregular:
    """`count` samples (one of these numbers) after random doses of the history, all within [from_h, to_h] of the first dose.

    Each is drawn uniformly between `after_dose_h` (and the end of the infusion) and the end of its dosing interval.
    """

    count: tuple[int, ...]
    from_h: float
    to_h: float
    after_dose_h: float


@dataclass(frozen=True, kw_only=True)
class Split:
    """How many virtual patients train, calibrate and test; nobody is in two parts."""

    train: int
    calibration: int
    test: int

    @property
    def total(self) -> int:
        """All virtual patients of the plan."""
        return self.train + self.calibration + self.test


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A whole plan. `sha256` covers its canonical content and the content of its models; `text` is the file as read.

    `target` is what to learn and what of it is modelled; `people` who the patients are; `nominal` and `irregular` how they are sampled
    (neither: no samples, what is known before the first one). `density` is the share of patients like the training ones that the density
    check lets pass (1: no check).
    """

    name: str
    title: str
    role: str
    models: tuple[DrugModel, ...]
    seed: int
    noise: str
    assay: Assay
    target: PlanTarget
    people: People
    dosage: Dosage
    adherence: Adherence | None
    iov: SimulatedIov | None
    paths: tuple[CovariatePath, ...]
    nominal: tuple[NominalSample, ...]
    irregular: Irregular | None
    split: Split
    learning: Learning
    margin: float
    sources: tuple[str, ...]
    sha256: str
    text: str = field(repr=False)
    interval: Interval = field(default_factory=Interval)
    density: float = 1.0

    @property
    def model(self) -> DrugModel:
        """The first model: the one that typical values and PRED features refer to."""
        return self.models[0]

    @property
    def metric(self) -> Metric:
        """The metric that is learned. Raises PlanError where the target is a clearance or an event."""
        return self.target.metric

    @property
    def scale(self) -> str:
        """What of the target is modelled."""
        return self.target.scale

    @property
    def label(self) -> str:
        """What stands for the target in training: the simulated truth, or the MAP estimate (a circular label)."""
        return self.target.label

    @property
    def assay_cv(self) -> float:
        """The relative SD of noise "assay"."""
        return self.assay.cv

    @property
    def covariates(self) -> tuple[str, ...]:
        """Names of all covariates that the virtual patients have."""
        return self.people.names

    @property
    def needed(self) -> tuple[str, ...]:
        """The covariates that a patient must have: those of the models and of the features."""
        own = {name for model in self.models for name in model.covariates}
        features = [name.removeprefix("log:") for name in self.learning.features]
        own |= {name.removeprefix("cov:") for name in features if name.startswith("cov:")}
        return tuple(name for name in self.covariates if name in own)

    @property
    def proportional(self) -> bool:
        """Whether exposure at steady state is F dose / CL under every model of the plan."""
        return all(proportional(model) for model in self.models)

    @property
    def route(self) -> Route:
        """How doses are given: as the plan says, else as the first model takes them."""
        return self.dosage.route or route_of(self.model)

    @property
    def horizon_h(self) -> float:
        """Hours from the first dose until which histories with a first dose are laid out: the last sample, and the target's window."""
        longest = max(self.dosage.intervals_h)
        nominal = max((s.doses_before * longest + (s.at_h or longest) + s.late_min / 60 for s in self.nominal), default=0.0)
        sampled = self.irregular.to_h if self.irregular else nominal
        if self.target.at == "steady":
            return sampled
        ends = [c.metric.stop_h for c in self.target.event] or [self.metric.stop_h]
        return max(sampled, *ends)

    @property
    def sample_names(self) -> tuple[str, ...]:
        """Names of the samples: C0, C1, ... or, for irregular sampling, L1 (the latest), L2, ..."""
        if self.irregular is None:
            return tuple(s.name for s in self.nominal)
        return tuple(f"L{k + 1}" for k in range(max(self.irregular.count)))


def read_plan(source: str | Path, *, text: str | None = None) -> Plan:
    """Read a plan file (`source` a path), or `text` with `source` as its name.

    Models are library names, or paths of TOML files relative to the plan. Errors: PlanError naming the key and the remedy.
    """
    content, raw = plan_text(Path(source), text, page="docs/plan-file.md")
    table = Table(content, where=Path(source).stem)
    if table.integer("schema") != 1:
        raise table.refuse("schema", "is not a known version of the plan format", "write schema = 1")
    models = tuple(_model(table, name, Path(source).parent) for name in table.texts("models"))
    people = read_people(table.table("covariates", optional=True), models, Path(source).parent)
    sampling = table.table("sampling") if table.has("sampling") else None
    plan = Plan(
        name=table.text("name"),
        title=table.text("title"),
        role=table.text("role", default="study", choices=ROLES),
        models=models,
        seed=table.integer("seed", high=2**63),
        noise=table.text("noise", choices=NOISE),
        assay=read_assay(table.table("assay", optional=True), models[0], table.number("assay_cv", low=0, high=1, default=0.05)),
        target=read_target(table.table("target"), models[0]),
        people=people,
        dosage=read_dosage(table.table("regimen"), people.names),
        adherence=read_adherence(table.table("adherence")) if table.has("adherence") else None,
        iov=read_iov(table.table("iov"), models) if table.has("iov") else None,
        paths=tuple(read_path(row, set(people.names) - set(people.derived)) for row in table.rows("paths")) if table.has("paths") else (),
        **(_sampling(sampling) if sampling else {"nominal": (), "irregular": None}),
        split=_split(table),
        learning=read_learning(table.table("learner")) if table.has("learner") else SIMULATED_ONLY,
        interval=read_interval(table.table("interval", optional=True)),
        density=read_density(table.table("domain", optional=True)),
        margin=table.number("margin", low=0, high=1, default=0.0),
        sources=table.texts("sources") if table.has("sources") else (),
        sha256=_digest(content, models, people),
        text=raw,
    )
    table.done()
    _check(plan)
    return plan


def _digest(content: Mapping[str, Any], models: tuple[DrugModel, ...], people: People) -> str:
    covered: dict[str, Any] = {"plan": content, "models": [m.sha256 for m in models]}
    if isinstance(people.joint, CopulaSource) and people.joint.fingerprint:
        covered["copula"] = people.joint.fingerprint
    return plan_digest(covered)


def _model(table: Table, name: str, folder: Path) -> DrugModel:
    model = plan_model(table, name, folder)
    if model.system is not None and not model.structure.cmt:
        raise table.refuse("models", f"{name!r} takes no dose", "choose a model of a drug's concentration")
    return model


def _sampling(table: Table) -> dict[str, Any]:
    if table.has("irregular") == table.has("nominal"):
        raise table.refuse("nominal", "and sampling.irregular are alternatives", "give one of the two")
    if table.has("irregular"):
        found = {"nominal": (), "irregular": _irregular(table.table("irregular"))}
    else:
        rows = table.any("nominal")
        if not isinstance(rows, list) or not rows:
            raise table.refuse("nominal", "is not a list of tables", "write [[sampling.nominal]] for each sample")
        found = {
            "nominal": tuple(_nominal(Table(row, where=f"{table.where}.nominal[{k}]")) for k, row in enumerate(rows)),
            "irregular": None,
        }
    table.done()
    return found


def _nominal(row: Table) -> NominalSample:
    found = NominalSample(
        name=row.text("name"),
        at_h=row.number("at_h", low=0),
        early_min=row.number("early_min", low=0),
        late_min=row.number("late_min", low=0),
        imprecision=row.text("imprecision", default="uniform", choices=("uniform", "normal")),
        sd_min=row.number("sd_min", low=0, default=0.0),
        dose=row.integer("dose", low=1, high=10_000) if row.has("dose") else 0,
        recorded=row.text("recorded", default="true", choices=("true", "nominal")),
    )
    row.done()
    if found.at_h == 0 and found.late_min > 0:
        raise row.refuse("late_min", "would draw the trough after the next dose", "write late_min = 0 for a sample at_h = 0")
    if found.imprecision == "normal" and found.sd_min == 0:
        raise row.refuse("sd_min", "is needed for normal imprecision", "give the SD in minutes")
    return found


def _irregular(table: Table) -> Irregular:
    count = tuple(int(c) for c in table.numbers("count", low=1))
    found = Irregular(
        count=count,
        from_h=table.number("from_h", low=0),
        to_h=table.number("to_h", low=0),
        after_dose_h=table.number("after_dose_h", low=0),
    )
    table.done()
    if found.to_h <= found.from_h:
        raise table.refuse("to_h", "is not after from_h", "give from_h < to_h")
    return found


def _split(table: Table) -> Split:
    """Counts of patients, or shares of `profiles` that add up to 1."""
    total, part = table.integer("profiles", low=30), table.table("split")
    given = [part.number(key, low=0) for key in ("train", "calibration", "test")]
    part.done()
    if max(given) < 1 and abs(sum(given) - 1) < 1e-9:
        calibration, test = (round(total * share) for share in given[1:])
        given = [total - calibration - test, calibration, test]
    if sum(given) != total or min(given) < 10:
        raise part.refuse(
            "train", "and the other parts do not add up to profiles", "give counts that do (each at least 10), or shares that add up to 1"
        )
    return Split(train=int(given[0]), calibration=int(given[1]), test=int(given[2]))


def _check(plan: Plan) -> None:
    """What no single key can tell: samples fit the interval, the window holds whole intervals, covariates exist and are used."""
    shortest = min(plan.dosage.intervals_h)
    start = plan.dosage.start
    if any(max(s.at_h, 0) + s.late_min / 60 > shortest or (s.dose > 0) != start for s in plan.nominal):
        raise PlanError(
            where=f"{plan.name}.sampling.nominal",
            what="does not fit the regimen",
            remedy='give times within the dosing interval, at history = "steady", or with the number of the dose at history = "start"',
        )
    if plan.irregular and (not start or plan.irregular.after_dose_h >= shortest):
        raise PlanError(
            where=f"{plan.name}.sampling.irregular",
            what="does not fit the regimen",
            remedy='use history = "start" and after_dose_h below the dosing interval',
        )
    if not start and (plan.adherence or plan.paths):
        raise PlanError(
            where=f"{plan.name}.regimen.history",
            what="has no place for missed doses or changing covariates",
            remedy='write history = "start"',
        )
    if plan.adherence and plan.nominal:
        raise PlanError(
            where=f"{plan.name}.adherence",
            what="leaves samples without the dose they are named after",
            remedy="use [sampling.irregular] where doses may be missed",
        )
    check_target(plan.target, plan.name, models=plan.models, start=start, covariates=plan.covariates)
    if plan.target.proportional:
        _check_window(plan)
    _check_used(plan)
    if len({m.drug for m in plan.models}) > 1:
        raise PlanError(where=f"{plan.name}.models", what="belong to different drugs", remedy="a plan is for one drug")


def _check_window(plan: Plan) -> None:
    window = plan.metric.stop_h - plan.metric.start_h
    if any(abs(window / every - round(window / every)) > 1e-9 or window < every for every in plan.dosage.intervals_h):
        raise PlanError(
            where=f"{plan.name}.target.metric", what="is not a whole number of dosing intervals", remedy="choose a window that is"
        )


def _check_used(plan: Plan) -> None:
    """Refuse a covariate that no model, formula, rule or feature reads: most likely its name is misspelt."""
    people, dosage = plan.people, plan.dosage
    rules = [f for band in dosage.bands for f in (band.when, band.dose)] + [dosage.loading, people.possible, *people.derived.values()]
    read = {name for formula in rules if isinstance(formula, Expression) for name in formula.names}
    read |= {dosage.per, *(p.covariate for p in plan.paths), *(c.mic for c in plan.target.event if isinstance(c.mic, str))}
    read |= {people.growth.age, people.growth.sex} if people.growth else set()
    read |= {one.by for one in people.by_age.values()}
    for name in (*people.independent, *people.by_age, *people.derived):
        if name not in plan.needed and name not in read:
            raise PlanError(
                where=f"{plan.name}.covariates.{name}",
                what="is not a key of a plan: neither a model nor a formula or rule reads it",
                remedy="check the spelling; docs/plan-file.md lists every key",
            )
