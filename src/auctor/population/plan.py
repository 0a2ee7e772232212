"""A simulation and training plan: one TOML file that says who, what dose, when sampled, with what noise, and how to learn.

The format is documented in docs/plan-file.md. Reading is strict: a key that is not known is refused (PlanError).
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auctor.case import Metric, MetricKind
from auctor.errors import AuctorError, PlanError
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.models.variants import split_name
from auctor.population.distributions import Distribution
from auctor.population.reading import Table

NOISE = ("none", "assay", "full")
SCALES = ("dose_rate", "typical")
ROLES = ("clinic", "study", "test")


@dataclass(frozen=True, kw_only=True)
class Dosage:
    """How virtual patients are dosed: at steady state (`steady`), or from the first dose on (`start`, with a loading dose).

    Doses in mg, or per unit of the covariate `per` (mg/kg when it is WT), then rounded to `round_mg` and kept in
    [min_mg, max_mg]. Infusions last `infusion_h`, or amount / `infusion_mg_h`.
    """

    history: str
    dose: Distribution
    every_h: Distribution
    loading: Distribution | None = None
    per: str = ""
    round_mg: float = 0.0
    min_mg: float = 0.0
    max_mg: float = float("inf")
    infusion_h: float = 0.0
    infusion_mg_h: float = 0.0


@dataclass(frozen=True, kw_only=True)
class NominalSample:
    """A sample due `at_h` after the dose (0: just before it), truly drawn up to `early_min` before or `late_min` after.

    `imprecision` uniform over that window, or normal with SD `sd_min` truncated to it; minutes.
    """

    name: str
    at_h: float
    early_min: float
    late_min: float
    imprecision: str = "uniform"
    sd_min: float = 0.0


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
class Learning:
    """Named features, and how the learner is tuned: k `folds` over `configurations` random points of `grid`."""

    features: tuple[str, ...]
    folds: int
    configurations: int
    seed: int
    grid: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A whole plan. `sha256` covers its canonical content and the content of its models; `text` is the file as read.

    `metric` is the exposure to learn, at steady state; `scale` says what is modelled: `dose_rate` log(F/CL), or
    `typical` log of F/CL over that of the typical patient with the same covariates. `assay_cv` is used by noise "assay".
    """

    name: str
    title: str
    role: str
    models: tuple[DrugModel, ...]
    seed: int
    noise: str
    assay_cv: float
    metric: Metric
    scale: str
    covariates: Mapping[str, Distribution]
    dosage: Dosage
    nominal: tuple[NominalSample, ...]
    irregular: Irregular | None
    split: Split
    learning: Learning
    margin: float
    sources: tuple[str, ...]
    sha256: str
    text: str = field(repr=False)
    label: str = "truth"  # or "map", the MAP estimate of the same model from the same samples: a circular label

    @property
    def model(self) -> DrugModel:
        """The first model: the one that typical values and PRED features refer to."""
        return self.models[0]

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
    content, raw = _content(Path(source), text)
    table = Table(content, where=Path(source).stem)
    if table.integer("schema") != 1:
        raise table.refuse("schema", "is not a known version of the plan format", "write schema = 1")
    models = tuple(_model(table, name, Path(source).parent) for name in table.texts("models"))
    split = _split(table)
    target = table.table("target")
    plan = Plan(
        name=table.text("name"),
        title=table.text("title"),
        role=table.text("role", default="study", choices=ROLES),
        label=table.text("label", default="truth", choices=("truth", "map")),
        models=models,
        seed=table.integer("seed", high=2**63),
        noise=table.text("noise", choices=NOISE),
        assay_cv=table.number("assay_cv", low=0, high=1, default=0.05),
        metric=_metric(target),
        scale=target.text("scale", choices=SCALES),
        covariates=_covariates(table, models),
        dosage=_dosage(table.table("regimen")),
        **_sampling(table.table("sampling")),
        split=split,
        learning=_learning(table.table("learner")),
        margin=table.number("margin", low=0, high=1, default=0.0),
        sources=table.texts("sources") if table.has("sources") else (),
        sha256=_digest(content, models),
        text=raw,
    )
    target.done()
    table.done()
    _check(plan)
    return plan


def _content(path: Path, text: str | None) -> tuple[dict[str, Any], str]:
    try:
        raw = path.read_text(encoding="utf-8") if text is None else text
        return tomllib.loads(raw), raw
    except OSError as error:
        raise PlanError(where=path.name, what="cannot be read", remedy="check the path of the plan") from error
    except ValueError as error:
        raise PlanError(where=path.name, what=f"is not TOML: {error}", remedy="see docs/plan-file.md") from error


def _digest(content: Mapping[str, Any], models: tuple[DrugModel, ...]) -> str:
    canonical = json.dumps({"plan": content, "models": [m.sha256 for m in models]}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _model(table: Table, name: str, folder: Path) -> DrugModel:
    try:
        model = read_model(folder / name if split_name(name)[0].endswith(".toml") else name)
    except AuctorError as error:
        raise table.refuse("models", f"{name!r} cannot be loaded ({error.what})", error.remedy) from error
    if model.system is not None:
        raise table.refuse("models", f"{name!r} is written as differential equations", "a plan needs a named structure so far")
    return model


def _metric(target: Table) -> Metric:
    try:
        metric = Metric.parse(target.text("metric"))
    except AuctorError as error:
        raise target.refuse("metric", error.what, "write AUC0-12, AUC0-24 or Cavg0-24") from error
    if metric.kind not in (MetricKind.AUC, MetricKind.CAVG):
        raise target.refuse(
            "metric", "is not an area or an average", "only AUC and Cavg are proportional to the dose rate: use one of them"
        )
    return metric


def _covariates(table: Table, models: tuple[DrugModel, ...]) -> dict[str, Distribution]:
    """The distribution of every covariate of every model: the plan's own, else that of the model's source population."""
    own = table.table("covariates", optional=True)
    found: dict[str, Distribution] = {}
    for name, covariate in ((n, c) for m in models for n, c in m.covariates.items()):
        if own.has(name):
            found[name] = Distribution.read(own.table(name).left, where=f"{own.where}.{name}", levels=covariate.levels)
        elif name not in found:
            if covariate.distribution is None:
                raise own.refuse(name, "has no distribution in the model file", "give one in the plan")
            found[name] = Distribution.read(covariate.distribution, where=f"{own.where}.{name}", levels=covariate.levels)
    own.left = {k: v for k, v in own.left.items() if k not in found}
    own.done()
    return found


def _dosage(table: Table) -> Dosage:
    def distribution(key: str) -> Distribution:
        sub = table.table(key)
        return Distribution.read(sub.left, where=sub.where)

    found = Dosage(
        history=table.text("history", choices=("steady", "start")),
        dose=distribution("dose"),
        every_h=distribution("every_h"),
        loading=distribution("loading") if table.has("loading") else None,
        per=table.text("per", default=""),
        round_mg=table.number("round_mg", low=0, default=0.0),
        min_mg=table.number("min_mg", low=0, default=0.0),
        max_mg=table.number("max_mg", low=0, default=1e9),
        infusion_h=table.number("infusion_h", low=0, default=0.0),
        infusion_mg_h=table.number("infusion_mg_h", low=0, default=0.0),
    )
    table.done()
    if not found.every_h.values or min(found.every_h.values) <= 0:
        raise table.refuse("every_h", "is not a choice of positive intervals", 'write { kind = "choice", values = [12] }')
    return found


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


def _learning(table: Table) -> Learning:
    grid = table.table("grid")
    found = Learning(
        features=table.texts("features"),
        folds=table.integer("folds", low=2, high=20),
        configurations=table.integer("configurations", low=1, high=200),
        seed=table.integer("seed"),
        grid={key: grid.numbers(key, low=0) for key in tuple(grid.left)},
    )
    table.done()
    return found


def _check(plan: Plan) -> None:
    """What no single key can tell: samples fit the interval, the window holds whole intervals, covariates exist."""
    shortest = min(plan.dosage.every_h.values)
    if plan.nominal and (plan.dosage.history != "steady" or max(s.at_h + s.late_min / 60 for s in plan.nominal) > shortest):
        raise PlanError(
            where=f"{plan.name}.sampling.nominal",
            what="does not fit the regimen",
            remedy='use history = "steady" and times within the dosing interval',
        )
    if plan.irregular and (plan.dosage.history != "start" or plan.irregular.after_dose_h >= shortest):
        raise PlanError(
            where=f"{plan.name}.sampling.irregular",
            what="does not fit the regimen",
            remedy='use history = "start" and after_dose_h below the dosing interval',
        )
    window = plan.metric.stop_h - plan.metric.start_h
    if any(abs(window / every - round(window / every)) > 1e-9 or window < every for every in plan.dosage.every_h.values):
        raise PlanError(
            where=f"{plan.name}.target.metric", what="is not a whole number of dosing intervals", remedy="choose a window that is"
        )
    if plan.dosage.per and plan.dosage.per not in plan.covariates:
        raise PlanError(
            where=f"{plan.name}.regimen.per", what="is not a covariate of the plan's models", remedy="name one, or leave it out"
        )
    if len({m.drug for m in plan.models}) > 1:
        raise PlanError(where=f"{plan.name}.models", what="belong to different drugs", remedy="a plan is for one drug")
