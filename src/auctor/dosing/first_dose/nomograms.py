"""Published first-dose rules as data: a row for each kind of patient, with its source, whether it was read, and its domain."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auctor.case import Route
from auctor.dosing.candidates import INFUSION_STEP_H
from auctor.dosing.first_dose.ladder import WEIGHT, Caps, Ladder, Rung, lowest
from auctor.errors import ModelError, OutOfDomain
from auctor.models.drug_file import DOUBT
from auctor.models.expressions import Expression, parse
from auctor.models.model import DrugModel
from auctor.models.table import Table, suggestion
from auctor.units import convert

Array = NDArray[np.float64]
NOMOGRAMS = Path(__file__).parents[1] / "nomograms"
SCHEMA = 1
CREATININE = 113.12  # g/mol, so that mg/dL and umol/L of serum creatinine convert
_TOP = ("schema", "drug", "title", "verified", "source", "route", "unit", "infusion_h", "covariates", "rows")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line: the amount (mg, or mg/kg where the nomogram says so) and interval of patients for whom `when` holds (None: all)."""

    when: Expression | None
    amount: float
    every_h: float


@dataclass(frozen=True, kw_only=True)
class Limit:
    """The range of a covariate for which the nomogram is meant, and why."""

    covariate: str
    low: float
    high: float
    why: str


@dataclass(frozen=True, kw_only=True)
class Nomogram:
    """A dosing rule of one drug. `covariates` name -> unit in which rows and limits are written."""

    name: str
    drug: str
    title: str
    verified: bool
    source: str
    route: Route
    per_kg: bool
    infusion_h: float
    most_mg: float
    covariates: Mapping[str, str]
    limits: tuple[Limit, ...]
    rows: tuple[Row, ...]

    def ladder(self, model: DrugModel, covariates: Mapping[str, float], caps: Sequence[Caps] = ()) -> Ladder:
        """The one regimen it gives this patient (covariates in the model's units), kept under its own cap and `caps`.

        Its infusion is stretched until their rate holds. Raises OutOfDomain for a patient outside its limits, a covariate that the model
        does not have, or where no row fits.
        """
        known = self.in_own_units(model, {name: np.asarray([value]) for name, value in covariates.items()})
        self._require_inside(known)
        dose, every = (float(values[0]) for values in self.doses(known))
        if not math.isfinite(dose):
            raise OutOfDomain(where=f"nomogram {self.name}", what="no row fits", remedy="this rule is not meant for such a patient")
        most, daily, rate = (float(cap[0]) for cap in lowest(caps, {name: np.asarray([value]) for name, value in covariates.items()}))
        amount = min(dose, most, daily * every / 24.0)
        length = self._length(amount, rate)
        if length > every:
            raise OutOfDomain(where=f"nomogram {self.name}", what="its infusion would outlast the interval", remedy="use another rule")
        rung = Rung(amount=amount, every_h=every, duration_h=length)
        return Ladder(rungs=(rung,), route=self.route, caps=tuple(caps))

    def _length(self, amount: float, rate: float) -> float:
        """Its infusion length in h, stretched by quarters of an hour until the rate cap (mg/h) holds."""
        if self.route is not Route.IV or amount <= rate * self.infusion_h * (1 + 1e-9):
            return self.infusion_h
        return math.ceil(amount / rate / INFUSION_STEP_H - 1e-9) * INFUSION_STEP_H

    def in_own_units(self, model: DrugModel, covariates: Mapping[str, Array]) -> dict[str, Array]:
        """Its covariates from the model's units to its own, any shape. OutOfDomain for one that the model does not have."""
        missing = [name for name in self.covariates if name not in covariates]
        if missing:
            what = f"{self.name} asks for {', '.join(missing)}, which {model.name} does not use"
            raise OutOfDomain(where=f"nomogram {self.name}", what=what, remedy="use a model that has it")
        by = {name: self._factor(name, model.covariates[name].unit) for name in self.covariates}
        return {name: np.asarray(covariates[name], dtype=np.float64) * by[name] for name in self.covariates}

    def doses(self, known: Mapping[str, Array]) -> tuple[Array, Array]:
        """mg a dose and interval in h, (n,), for covariates (n,) in its own units; NaN where no row fits. Limits are not looked at."""
        n = len(next(iter(known.values())))
        amount, every = np.full(n, np.nan), np.full(n, np.nan)
        for row in reversed(self.rows):
            fits = np.ones(n, dtype=bool) if row.when is None else np.asarray(row.when.evaluate(known), dtype=bool)
            amount, every = np.where(fits, row.amount, amount), np.where(fits, row.every_h, every)
        return np.minimum(amount * (known[WEIGHT] if self.per_kg else 1.0), self.most_mg), every

    def _factor(self, name: str, unit: str) -> float:
        molar = CREATININE if name == "SCR" else None
        return convert(1.0, unit, self.covariates[name], where=f"nomogram {self.name}", molar_mass=molar)

    def _require_inside(self, known: Mapping[str, Array]) -> None:
        for limit in self.limits:
            if not limit.low <= float(known[limit.covariate][0]) <= limit.high:
                name, unit = limit.covariate, self.covariates[limit.covariate]
                what = f"{name} is outside {limit.low:g} to {limit.high:g} {unit} ({limit.why})"
                raise OutOfDomain(where=f"nomogram {self.name}", what=what, remedy="this rule is not meant for such a patient")


def list_nomograms(drug: str = "") -> tuple[str, ...]:
    """Names of the nomograms shipped, of one drug or of all.

    >>> list_nomograms("gentamicin")
    ('gentamicin_neonates',)
    """
    names = sorted(path.stem for path in NOMOGRAMS.glob("*.toml"))
    return tuple(name for name in names if not drug or name.partition("_")[0] == drug.casefold())


def read_nomogram(name_or_path: str | Path) -> Nomogram:
    """A nomogram by name, or a file of one's own. ModelError says where a file is wrong.

    >>> read_nomogram("vancomycin_neonates_continuous").rows[0].amount
    20.0
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        if str(name_or_path) not in list_nomograms():
            what = f"none is called {str(name_or_path)[:40]!r}"
            raise ModelError(where="nomogram", what=what, remedy=suggestion(str(name_or_path), list_nomograms()))
        path = NOMOGRAMS / f"{name_or_path}.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(where=path.name, what="cannot be read as TOML in UTF-8", remedy="check the path and the syntax") from error
    return _nomogram(Table.of(data, path.name, required=_TOP, optional=("domain", "max_dose_mg")), path.stem)


def _nomogram(top: Table, name: str) -> Nomogram:
    if top.number("schema") != SCHEMA:
        raise top.fault("schema", f"not schema {SCHEMA}", f"write schema = {SCHEMA}")
    verified, source = top.flag("verified"), top.text("source")
    if verified == (DOUBT in source):
        remedy = f"write verified = false and {DOUBT} in the source, or true and where it was read"
        raise top.fault("source", "does not go with verified", remedy)
    units = {key: str(value) for key, value in Table.free(top.get("covariates"), top.at("covariates")).data.items()}
    per_kg = top.choice("unit", ("mg", "mg/kg")) == "mg/kg"
    if per_kg and units.get(WEIGHT) != "kg":
        raise top.fault("covariates.WT", "needed in kg for a dose in mg/kg", 'write WT = "kg"')
    return Nomogram(
        name=name,
        drug=top.text("drug"),
        title=top.text("title"),
        verified=verified,
        source=source,
        route=Route(top.choice("route", ("oral", "iv"))),
        per_kg=per_kg,
        infusion_h=top.number("infusion_h", low=0.0),
        most_mg=top.positive("max_dose_mg") if "max_dose_mg" in top.data else math.inf,
        covariates=units,
        limits=tuple(_limit(row, units) for row in top.rows("domain")),
        rows=tuple(_row(row, units) for row in top.rows("rows")),
    )


def _limit(row: Table, units: Mapping[str, str]) -> Limit:
    table = row.only(required=("covariate", "why"), optional=("low", "high"))
    low, high = table.maybe("low"), table.maybe("high")
    return Limit(
        covariate=table.choice("covariate", units),
        low=-math.inf if low is None else low,
        high=math.inf if high is None else high,
        why=table.text("why"),
    )


def _row(row: Table, units: Mapping[str, str]) -> Row:
    table = row.only(required=("amount", "every_h"), optional=("when",))
    when = parse(table.text("when"), where=table.at("when")) if "when" in table.data else None
    if when is not None and not when.names <= set(units):
        raise table.fault("when", "uses a covariate that is not declared", f"declared are {', '.join(units)}")
    return Row(when=when, amount=table.positive("amount"), every_h=table.positive("every_h"))
