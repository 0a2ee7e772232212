"""What surrounds the parameters in a model file: residual error, targets, and what can really be given."""

from __future__ import annotations

import math
from collections.abc import Callable

from auctor.case import Metric, MetricKind, Target
from auctor.errors import CaseError
from auctor.models.model import Dosing, Residual
from auctor.models.quantities import AUC, CONCENTRATION, MASS, factor
from auctor.models.table import Table

RESIDUALS = ("combined", "combined1", "log", "power")


def read_residuals(top: Table, molar_mass: float | None, outputs: tuple[int, ...]) -> dict[int, Residual]:
    """`[residual]`: `concentration` for every output, or one table by the output's CMT number; key 0 stands for all."""
    outer = top.table("residual", optional=("concentration", *(str(cmt) for cmt in outputs)))
    shown = top.table("units", required=("time", "dose", "concentration"))
    worth = factor(shown.text("concentration"), CONCENTRATION, where=shown.at("concentration"), molar_mass=molar_mass)
    if "concentration" in outer.data:
        return {0: _residual(outer, "concentration", molar_mass, worth)}
    missing = [cmt for cmt in outputs if str(cmt) not in outer.data]
    if missing or not outputs:
        raise outer.fault("concentration", "missing", "give the residual error of the concentration, or of every output by its number")
    found = {cmt: _residual(outer, str(cmt), molar_mass, worth) for cmt in outputs}
    if len({r.kind for r in found.values()}) > 1:
        raise top.fault("residual", "outputs with different kinds of residual error", "write them all as one kind")
    return found


def _residual(outer: Table, name: str, molar_mass: float | None, shown: float) -> Residual:
    """SDs of the proportional (fraction) and additive (mg/L) parts; `shown` is the model's concentration unit in mg/L."""
    optional = ("proportional", "additive", "unit", "kind", "printed_as", "power")
    table = outer.table(name, required=("source",), optional=optional)
    sd = math.sqrt if table.choice("printed_as", ("sd", "cv", "variance"), "sd") == "variance" else float
    proportional, additive = (sd(table.number(key, 0.0, low=0.0)) for key in ("proportional", "additive"))
    kind = table.choice("kind", RESIDUALS, "combined")
    if proportional + additive == 0 or (kind == "log" and additive > 0):
        raise table.fault("proportional", "no usable residual error", "give proportional, additive or both; log takes proportional alone")
    if ("power" in table.data) != (kind == "power"):
        raise table.fault("power", "belongs to kind = power, and only to it", "give both or neither")
    worth = factor(table.text("unit"), CONCENTRATION, where=table.at("unit"), molar_mass=molar_mass) if additive > 0 else 1.0
    power = table.positive("power") if kind == "power" else 1.0
    # a coefficient of f^power was printed for f in the model's own unit
    scaled = proportional * shown ** (1.0 - power)
    return Residual(proportional=scaled, additive=additive * worth, kind=kind, source=table.text("source"), power=power)


def read_targets(top: Table, molar_mass: float | None) -> tuple[Target, ...]:
    """`[[targets]]` in file order; the first is the default."""
    keys = ("metric", "low", "high", "unit", "source")
    return tuple(_target(row.only(required=keys), molar_mass) for row in top.rows("targets"))


def _target(table: Table, molar_mass: float | None) -> Target:
    try:
        metric = Metric.parse(table.text("metric"))
    except CaseError as error:
        raise table.fault("metric", error.what, error.remedy) from error
    dimension = AUC if metric.kind is MetricKind.AUC else CONCENTRATION
    worth = factor(table.text("unit"), dimension, where=table.at("unit"), molar_mass=molar_mass)
    low, high = table.number("low", low=0.0), table.number("high")
    if not low < high:
        raise table.fault("high", "not above low", "give low < high")
    # low * 0.001 leaves digits that a printed target never had
    low, high = (float(f"{bound * worth:.12g}") for bound in (low, high))
    return Target(metric=metric, low=low, high=high, source=table.text("source"))


def read_dosing(top: Table) -> Dosing | None:
    """`[dosing]`: strengths (or a step), intervals and caps in mg; with `per_kg` every amount is per kg of WT."""
    if "dosing" not in top.data:
        return None
    required = ("route", "unit", "intervals_h", "max_dose", "max_daily", "source")
    table = top.table("dosing", required=required, optional=("strengths", "step", "infusion_h", "infusion_rate_max", "per_kg"))
    mg = _scaled(table, factor(table.text("unit"), MASS, where=table.at("unit")))
    intervals = table.numbers("intervals_h")
    if min(intervals) <= 0:
        raise table.fault("intervals_h", "an interval of zero or less", "give hours between doses")
    return Dosing(
        route=table.choice("route", ("oral", "iv")),
        strengths_mg=_strengths(table, mg),
        intervals_h=intervals,
        max_dose_mg=mg("max_dose"),
        max_daily_mg=mg("max_daily"),
        infusion_h=table.number("infusion_h", 0.0, low=0.0),
        infusion_rate_max_mg_h=mg("infusion_rate_max") if "infusion_rate_max" in table.data else None,
        per_kg=table.flag("per_kg"),
        source=table.text("source"),
    )


def _scaled(table: Table, worth: float) -> Callable[[str], float]:
    return lambda key: table.positive(key) * worth


def _strengths(table: Table, mg: Callable[[str], float]) -> tuple[float, ...]:
    if ("strengths" in table.data) == ("step" in table.data):
        raise table.fault("strengths", "needs exactly one of strengths and step", "list the strengths, or the smallest measurable step")
    if "step" in table.data:
        step = mg("step")
        return tuple(round(step * k, 9) for k in range(1, int(mg("max_dose") / step + 1e-9) + 1))
    worth = mg("max_dose") / table.number("max_dose")
    strengths = table.numbers("strengths")
    if min(strengths) <= 0:
        raise table.fault("strengths", "a strength of zero or less", "list the amounts that can be given")
    return tuple(worth * amount for amount in strengths)
