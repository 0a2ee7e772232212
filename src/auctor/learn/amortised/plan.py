"""The plan of an amortised posterior: which models of a drug, which patients, doses and samples, and how large a network.

One TOML file, `kind = "amortised"`; docs/amortised.md lists the keys. Reading is strict: a key that is not known is refused (PlanError).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from auctor.case import Case, Covariates
from auctor.errors import PlanError
from auctor.learn.amortised.wider import Wider
from auctor.models.model import DrugModel
from auctor.population.distributions import Distribution
from auctor.population.reading import Table, plan_digest, plan_model, plan_text

ROLES = ("clinic", "study", "test")


@dataclass(frozen=True, kw_only=True)
class Dosing:
    """What training patients are given: the share `steady` at steady state, the others `doses` (fewest, most) from the first one on.

    Amounts in mg, or per unit of the covariate `per`, rounded to `round_mg` and kept in [min_mg, max_mg]; `loading` multiplies the first
    dose. Intervals from `every_h` (h), each dose up to the share `jitter` of an interval early or late. Infusions last `infusion_h`,
    or amount / `infusion_mg_h`.
    """

    steady: float
    doses: tuple[int, int]
    dose: Distribution
    every_h: Distribution
    loading: Distribution
    per: str
    round_mg: float
    min_mg: float
    max_mg: float
    infusion_h: float
    infusion_mg_h: float
    jitter: float


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """`count` (fewest, most) samples, after any of the last `within` doses, at any time from the end of the infusion on.

    At steady state a sample may be the trough before the dose. The LLOQ is drawn from `lloq` (mg/L); a level under it is only known to be.
    """

    count: tuple[int, int]
    within: int
    lloq: Distribution


@dataclass(frozen=True, kw_only=True)
class Network:
    """Size and training: `width` of every layer, spline `bins`, `epochs` over the patients with fresh noise, `batch`, Adam's `rate`."""

    width: int
    bins: int
    epochs: int
    batch: int
    rate: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class AmortisedPlan:
    """A whole plan. `same` names covariates that take the value of another one; `sha256` covers the plan and its models.

    The models weigh alike before any sample. `held` is the share of the patients kept out of training.
    """

    name: str
    title: str
    role: str
    models: tuple[DrugModel, ...]
    seed: int
    patients: int
    held: float
    margin: float
    same: Mapping[str, str]
    covariates: Mapping[str, Distribution]
    dosing: Dosing
    sampling: Sampling
    network: Network
    wider: Wider
    sources: tuple[str, ...]
    sha256: str
    text: str = field(repr=False)

    @property
    def drugs(self) -> tuple[str, ...]:
        """The drugs as the model files name them (ganciclovir and valganciclovir are one here)."""
        return tuple(sorted({m.drug for m in self.models}))

    def filled(self, case: Case) -> Case:
        """The case with the covariates of `same` that it does not give itself."""
        series = dict(case.covariates.series)
        more = {name: series[other] for name, other in self.same.items() if name not in series and other in series}
        return replace(case, covariates=Covariates(series=series | more)) if more else case


def read_amortised_plan(source: str | Path, *, text: str | None = None) -> AmortisedPlan:
    """Read a plan file (`source` a path), or `text` with `source` as its name.

    Models are library names, or paths of TOML files relative to the plan. Errors: PlanError naming the key and the remedy.
    """
    content, raw = plan_text(Path(source), text, page="docs/amortised.md")
    table = Table(content, where=Path(source).stem)
    if table.integer("schema") != 1 or table.text("kind") != "amortised":
        raise table.refuse("schema", "is not a plan of an amortised posterior", 'write schema = 1 and kind = "amortised"')
    models = tuple(plan_model(table, name, Path(source).parent) for name in table.texts("models"))
    same = _same(table.table("same", optional=True), models)
    plan = AmortisedPlan(
        name=table.text("name"),
        title=table.text("title"),
        role=table.text("role", default="study", choices=ROLES),
        models=models,
        seed=table.integer("seed", high=2**63),
        patients=table.integer("patients", low=100),
        held=table.number("held", low=0.01, high=0.5),
        margin=table.number("margin", low=0, high=1),
        same=same,
        covariates=_covariates(table.table("covariates", optional=True), models, same),
        dosing=_dosing(table.table("regimen")),
        sampling=_sampling(table.table("sampling")),
        network=_network(table.table("network")),
        wider=Wider.read(table.table("wider", optional=True)),
        sources=table.texts("sources") if table.has("sources") else (),
        sha256=plan_digest({"plan": content, "models": [m.sha256 for m in models]}),
        text=raw,
    )
    table.done()
    _check(plan)
    return plan


def _same(table: Table, models: tuple[DrugModel, ...]) -> dict[str, str]:
    known = {name for m in models for name in m.covariates}
    found = {name: table.text(name) for name in tuple(table.left)}
    for name, other in found.items():
        if name not in known or other not in known or other in found:
            raise table.refuse(name, "does not name two covariates of the models", "write for example EGFR = 'CRCL'")
    return found


def _covariates(own: Table, models: tuple[DrugModel, ...], same: Mapping[str, str]) -> dict[str, Distribution]:
    """Every covariate of every model but those of `same`: the plan's distribution, else that of the first model that has one."""
    found: dict[str, Distribution] = {}
    for name, covariate in ((n, c) for m in models for n, c in m.covariates.items() if n not in same):
        if own.has(name):
            found[name] = Distribution.read(own.table(name).left, where=f"{own.where}.{name}", levels=covariate.levels)
        elif name not in found:
            if covariate.distribution is None:
                raise own.refuse(name, "has no distribution in the model file", "give one in the plan")
            found[name] = Distribution.read(covariate.distribution, where=f"{own.where}.{name}", levels=covariate.levels)
    own.left = {k: v for k, v in own.left.items() if k not in found}
    own.done()
    return found


def _distribution(table: Table, key: str) -> Distribution:
    return Distribution.read(table.table(key).left, where=f"{table.where}.{key}")


def _dosing(table: Table) -> Dosing:
    one = Distribution.read({"kind": "constant", "value": 1.0})
    found = Dosing(
        steady=table.number("steady", low=0, high=1),
        doses=_pair(table, "doses"),
        dose=_distribution(table, "dose"),
        every_h=_distribution(table, "every_h"),
        loading=_distribution(table, "loading") if table.has("loading") else one,
        per=table.text("per", default=""),
        round_mg=table.number("round_mg", low=0, default=0.0),
        min_mg=table.number("min_mg", low=0, default=0.0),
        max_mg=table.number("max_mg", low=0, default=1e9),
        infusion_h=table.number("infusion_h", low=0, default=0.0),
        infusion_mg_h=table.number("infusion_mg_h", low=0, default=0.0),
        jitter=table.number("jitter", low=0, high=0.4, default=0.0),
    )
    table.done()
    if not found.every_h.values or min(found.every_h.values) <= 0:
        raise table.refuse("every_h", "is not a choice of positive intervals", 'write { kind = "choice", values = [12] }')
    return found


def _pair(table: Table, key: str, low: int = 1) -> tuple[int, int]:
    values = table.numbers(key, low=low)
    if len(values) != 2 or values[0] > values[1] or any(v != int(v) for v in values):
        raise table.refuse(key, "is not the fewest and the most", "write for example [1, 4]")
    return int(values[0]), int(values[1])


def _sampling(table: Table) -> Sampling:
    found = Sampling(count=_pair(table, "count", low=0), within=table.integer("within", low=1), lloq=_distribution(table, "lloq"))
    table.done()
    if found.lloq.low <= 0 or found.count[1] < 1:
        raise table.refuse("lloq", "is not above 0, or no sample is taken", "give mg/L above 0 and at least one sample")
    return found


def _network(table: Table) -> Network:
    found = Network(
        width=table.integer("width", low=4, high=1024),
        bins=table.integer("bins", low=2, high=64),
        epochs=table.integer("epochs", low=1, high=10_000),
        batch=table.integer("batch", low=8, high=100_000),
        rate=table.number("rate", low=1e-6, high=0.1),
        seed=table.integer("seed"),
    )
    table.done()
    return found


def _check(plan: AmortisedPlan) -> None:
    """What no single key can tell: etas and residual error to learn, one route, and covariates that exist."""
    if plan.dosing.per and plan.dosing.per not in plan.covariates:
        raise PlanError(where=f"{plan.name}.regimen.per", what="is not a covariate of the plan's models", remedy="name one")
    if len({m.structure.absorption == "none" for m in plan.models if m.system is None}) > 1:
        raise PlanError(where=f"{plan.name}.models", what="are oral and intravenous", remedy="give models of one route")
    for model in plan.models:
        if model.system is not None or not model.eta_names:
            what = f"{model.name} is written as differential equations or has no variability"
            raise PlanError(where=f"{plan.name}.models", what=what, remedy="use models with a named structure and etas")
