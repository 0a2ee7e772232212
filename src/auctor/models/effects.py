"""Covariates and their effects on the parameters, cross-checked name by name."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from auctor.errors import ModelError
from auctor.models.expressions import Expression, parse
from auctor.models.model import Covariate, Effect, Parameter
from auctor.models.quantities import Unit
from auctor.models.table import Table, suggestion

COVARIATE_KEYS = ("unit", "reference", "label", "low", "high", "levels", "distribution", "note", "source")
DISTRIBUTION_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "truncnormal": (("mean", "sd", "low", "high"), ()),
    "normal": (("mean", "sd"), ("low", "high")),
    "lognormal": (("median",), ("sd_log", "cv", "low", "high")),
    "uniform": (("low", "high"), ()),
    "bernoulli": (("p",), ()),
    "choice": (("values",), ("weights",)),
    "grid": (("from", "to", "step"), ()),
    "constant": (("value",), ()),
}


def read_covariates(top: Table) -> dict[str, Covariate]:
    """The `[covariates]` table: numeric with a unit, or categorical with `levels` and a reference word."""
    return {name: _covariate(name, row.only(required=("reference",), optional=COVARIATE_KEYS)) for name, row in top.tables("covariates")}


def _covariate(name: str, table: Table) -> Covariate:
    levels = _levels(table) if "levels" in table.data else None
    if levels is None and "unit" not in table.data:
        raise table.fault("unit", "missing", "give the unit the values come in, or levels for a categorical covariate")
    distribution = _distribution(table) if "distribution" in table.data else None
    bounds = {key: _bound(table, key, distribution) for key in ("low", "high")}
    if bounds["low"] is not None and bounds["high"] is not None and not bounds["low"] < bounds["high"]:
        raise table.fault("high", "not above low", "give the range of the source population")
    return Covariate(
        name=name,
        unit=table.text("unit", ""),
        label=table.text("label", name),
        reference=_coded(table, levels),
        low=bounds["low"],
        high=bounds["high"],
        levels=levels,
        distribution=distribution,
        note="; ".join(text for key in ("note", "source") if (text := table.text(key, ""))),
    )


def _levels(table: Table) -> dict[str, float]:
    row = Table.free(table.get("levels"), table.at("levels"))
    levels = {word: row.number(word) for word in row.data}
    if len(levels) < 2 or len(set(levels.values())) != len(levels):
        raise table.fault("levels", "not two or more words with different codes", "write levels = { no = 0, yes = 1 }")
    return levels


def _coded(table: Table, levels: Mapping[str, float] | None) -> float:
    if levels is None:
        return table.number("reference")
    return levels[table.choice("reference", levels)]


def _distribution(table: Table) -> dict[str, Any]:
    raw = Table.free(table.get("distribution"), table.at("distribution"))
    kind = raw.choice("kind", DISTRIBUTION_KEYS)
    required, optional = DISTRIBUTION_KEYS[kind]
    checked = raw.only(required=("kind", *required), optional=(*optional, "source"))
    for key in set(checked.data) & {"sd", "sd_log", "cv", "median", "step"}:
        checked.positive(key)
    for key in set(checked.data) & {"mean", "low", "high", "from", "to"}:
        checked.number(key)
    if "p" in checked.data and not 0 <= checked.number("p") <= 1:
        raise checked.fault("p", "not a probability", "give the share of code 1, between 0 and 1")
    if kind == "lognormal" and ("sd_log" in checked.data) == ("cv" in checked.data):
        raise checked.fault("sd_log", "needs exactly one of sd_log and cv", "give the spread once")
    return {key: value for key, value in checked.data.items() if key != "source"}


def _bound(table: Table, key: str, distribution: Mapping[str, Any] | None) -> float | None:
    if key in table.data:
        return table.number(key)
    return float(distribution[key]) if distribution and key in distribution else None


def read_effects(top: Table, parameters: Mapping[str, Parameter], covariates: Mapping[str, Covariate]) -> tuple[Effect, ...]:
    """The `[effects]` table in file order; each entry one table or a list of them. Every name must be known."""
    found = []
    for table, name in _entries(top):
        if name not in parameters:
            raise ModelError(where=table.where, what="not a parameter", remedy=suggestion(name, parameters))
        found.append(_effect(table, name))
        _check_names(table, found[-1], (parameters, covariates))
    return tuple(found)


def _entries(top: Table) -> Iterator[tuple[Table, str]]:
    below = Table.free(top.get("effects", {}), top.at("effects"))
    for name, value in below.data.items():
        rows = below.rows(name) if isinstance(value, list) else (Table.free(value, below.at(name)),)
        yield from ((row, name) for row in rows)


def _effect(table: Table, name: str) -> Effect:
    forms = [key for key in ("expr", "typical") if key in table.data]
    if len(forms) != 1:
        raise table.fault("expr", "needs exactly one of expr and typical", "expr multiplies the value, typical is the whole formula")
    constants = {key: table.number(key) for key in table.data if key not in (*forms, "source")}
    expr = parse(table.text(forms[0]), where=table.at(forms[0]))
    return Effect(parameter=name, expr=expr, constants=constants, replaces=forms == ["typical"], source=table.text("source"))


def _check_names(table: Table, effect: Effect, known: tuple[Mapping[str, Parameter], Mapping[str, Covariate]]) -> None:
    parameters, covariates = known
    for name in effect.constants:
        if name in parameters or name in covariates:
            raise table.fault(name, "already the name of a parameter or covariate", "give the constant another name")
        if name not in effect.expr.names:
            raise table.fault(name, "not used by the formula", suggestion(name, effect.expr.names))
    for name in sorted(effect.expr.names - set(effect.constants)):
        if name not in parameters and name not in covariates:
            what = "used, but neither a covariate, a parameter nor a constant"
            raise table.fault(name, what, suggestion(name, {*covariates, *parameters}))


def check_units(top: Table, effects: tuple[Effect, ...], units: Mapping[str, Unit]) -> None:
    """Per-body units need a covariate effect, and formulas may only read parameters printed in engine units."""
    scaled = {e.parameter for e in effects}
    for name, unit in units.items():
        if unit.per_body and name not in scaled:
            raise top.fault(f"parameters.{name}", f"unit {unit.text!r} without an effect of body size", "add it under [effects]")
    for effect in effects:
        read = (effect.expr.names & units.keys()) | ({effect.parameter} if effect.replaces else frozenset())
        for name in sorted(n for n in read if units[n].factor != 1.0):
            remedy = "print the value in h, mg, L, L/h for use in a formula"
            raise top.fault(f"effects.{effect.parameter}", f"the formula works on {name} in {units[name].text}", remedy)


def fill_typical(
    top: Table, parameters: dict[str, Parameter], effects: tuple[Effect, ...], *, at: Mapping[str, float]
) -> dict[str, Parameter]:
    """Give a parameter without `value` the worth of its `typical` formula at the reference covariates; ModelError if it has none."""
    filled = dict(parameters)
    for effect in (e for e in effects if e.replaces and math.isnan(filled[e.parameter].value)):
        names = {**{n: p.value for n, p in filled.items()}, **at, **effect.constants}
        worth = float(_worth(effect.expr, names))
        filled[effect.parameter] = replace(filled[effect.parameter], value=worth, printed=worth)
    for name, parameter in filled.items():
        if not math.isfinite(parameter.value):
            raise top.fault(f"parameters.{name}.value", "missing", "give the value as printed, or a typical formula under [effects]")
    return filled


def _worth(expr: Expression, names: Mapping[str, float]) -> float:
    return float(expr.evaluate(names, math))
