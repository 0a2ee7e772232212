"""NONMEM-style tables: ID TIME AMT RATE EVID MDV CMT SS II ADDL DV, limits, weights and covariates, as `Records` checked row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.data.limits import MAX_ADDITIONAL, MAX_INTERVAL_H
from auctor.data.sheet import Array, Sheet, read_sheet
from auctor.errors import Notice, TableError
from auctor.models.model import OCCASION, Covariate, DrugModel
from auctor.models.quantities import MASS, factor
from auctor.records import Records

Ints = NDArray[np.int64]
ALIASES = {"WGT": "WT", "WEIGHT": "WT", "CLCR": "CRCL", "SUBJ": "ID", "SUBJECT": "ID", "CONC": "DV"}
EVENTS = ("ID", "TIME", "AMT", "RATE", "EVID", "MDV", "CMT", "SS", "II", "ADDL", "DV")
RESERVED = (*EVENTS, "BLQ", "ALQ", "CENS", "LLOQ", "ULOQ", "DVWT")
_MOST = 1e6
ROUNDING = 1e-9
CLOCK = ("DATE", "DAT1", "DAT2", "DAT3")


def read_table(path: Path | str, model: DrugModel, *, occasion: str = "") -> tuple[Records, ...]:
    """Every subject of a NONMEM-style table, in the order of the file.

    Column names in any case, `WGT` taken as `WT`; a missing cell (empty, `.`, `NA`) is 0, except for a covariate, which
    keeps the value of the record before, and for DVWT, which is then 1. Without EVID a row is a dose when AMT is above 0. BLQ (0/1)
    needs LLOQ and ALQ (0/1) ULOQ; with CENS (1 below, -1 above, 0 neither) the limit is DV where LLOQ or ULOQ does not give it, as
    Monolix has it. DVWT multiplies an observation's part of the objective; 0 leaves it out. DV, LLOQ and ULOQ are in the model's
    concentration unit, TIME and II in hours, AMT and RATE in the model's dose unit (mg and mg/h in what is returned). A covariate
    of the model that the table lacks takes the model's reference, with a notice. `occasion` names the column of occasions (whole
    numbers, 0 for none), which becomes the covariate `OCC` of the records.

    Raises TableError with file, line and column for anything that is not a number, decreasing times within a subject
    (EVID 3 and 4 may restart the clock), RATE below -2 or -1, a subject in two places, and doses that contradict themselves.
    """
    sheet = read_sheet(Path(path), aliases=_aliases(model))
    for name in ("ID", "TIME"):
        if name not in sheet.columns:
            raise TableError(where=sheet.name, what=f"no column {name}", remedy="a NONMEM-style table has ID, TIME, AMT, DV and covariates")
    clock = [name for name in CLOCK if name in sheet.columns]
    if clock:
        raise TableError(where=sheet.name, what=f"column {clock[0]}", remedy="give TIME as hours and leave dates out")
    events = _in_mg(_events(sheet, logarithmic=model.residual.kind == "log"), model)
    covariates = {name: _covariate(sheet, covariate) for name, covariate in model.covariates.items()}
    if occasion:
        covariates[OCCASION] = _occasions(sheet, occasion)
    notices = _table_notices(sheet, model, used=occasion)
    return tuple(_subject(sheet, rows, events, covariates, notices) for rows in _subjects(sheet))


def _in_mg(events: dict[str, Any], model: DrugModel) -> dict[str, Any]:
    """Amounts and rates in mg and mg/h; a rate below zero is a code."""
    worth = factor(model.units["dose"], MASS, where=f"{model.name}.units.dose", molar_mass=model.molar_mass)
    rate = events["rate"]
    return {**events, "amt": events["amt"] * worth, "rate": np.where(rate > 0, rate * worth, rate)}


def _aliases(model: DrugModel) -> dict[str, str]:
    own = {name.upper(): name for name in model.covariates}
    return {alias: name for alias, name in ALIASES.items() if alias not in own and name in (*own, *RESERVED)} | own


@dataclass(frozen=True)
class _Column:
    """A covariate over the whole table: values (n_rows,) and where the table gives one."""

    values: Array
    given: NDArray[np.bool_]
    reference: float
    name: str


def _covariate(sheet: Sheet, covariate: Covariate) -> _Column:
    n = len(sheet)
    if covariate.name not in sheet.columns:
        return _Column(np.full(n, covariate.reference), np.zeros(n, np.bool_), covariate.reference, covariate.name)
    values, given = sheet.numbers(covariate.name, words=covariate.levels)
    if covariate.levels:
        for row in np.flatnonzero(given & ~np.isin(values, list(covariate.levels.values()))):
            codes = ", ".join(f"{word} ({code:g})" for word, code in covariate.levels.items())
            raise sheet.fault(int(row), covariate.name, "not one of the model's categories", f"write {codes}")
    return _Column(values, given, covariate.reference, covariate.name)


def _occasions(sheet: Sheet, column: str) -> _Column:
    """The column of occasions; an empty cell keeps the occasion of the record before."""
    name = next((known for known in sheet.columns if known.upper() == column.upper()), None)
    if name is None:
        raise TableError(where=f"{sheet.name}, {column}", what="no such column", remedy="name the column that numbers the occasions")
    values, given = sheet.numbers(name)
    for row in np.flatnonzero(given & ((values != np.round(values)) | (values < 0))):
        raise sheet.fault(int(row), name, "not the number of an occasion", "write 1, 2, ..., or 0 where none applies")
    return _Column(values, given, 0.0, OCCASION)


def _table_notices(sheet: Sheet, model: DrugModel, *, used: str) -> tuple[Notice, ...]:
    known = (*RESERVED, *model.covariates, used.upper())
    spare = [name for name in sheet.columns if name not in known and name.upper() not in known]
    absent = [c.name for c in model.covariates.values() if c.name not in sheet.columns]
    notices = [_default_used(f"{sheet.name}, {name}", "no such column", "add the column") for name in absent]
    if spare:
        what = f"columns {', '.join(spare)} are not used by {model.name}"
        notices.append(Notice(code="unused-column", where=sheet.name, what=what, remedy="check that no covariate is misspelt"))
    return tuple(notices)


def _default_used(where: str, what: str, remedy: str) -> Notice:
    return Notice(code="default-used", where=where, what=f"{what}: set to the model's reference", remedy=remedy, blocks_signing=True)


def _events(sheet: Sheet, *, logarithmic: bool) -> dict[str, Any]:
    columns: dict[str, Any] = {"time_h": _required(sheet, "TIME")}
    for name in ("AMT", "RATE", "II", "LLOQ", "ULOQ"):
        columns[name.lower()] = sheet.numbers(name)[0] if name in sheet.columns else np.zeros(len(sheet))
    for name in ("CMT", "SS", "ADDL"):
        columns[name.lower()] = _whole(sheet, name)
    columns["evid"] = _evid(sheet, columns["amt"])
    columns["dv"], columns["mdv"] = _observations(sheet, columns["evid"])
    columns |= _censoring(sheet, columns)
    columns["weight"] = _weights(sheet)
    _check(sheet, columns, logarithmic)
    return columns


def _required(sheet: Sheet, name: str) -> Array:
    values, given = sheet.numbers(name)
    for row in np.flatnonzero(~given):
        raise sheet.fault(int(row), name, "missing", "give it on every row")
    return values


def _whole(sheet: Sheet, name: str, default: int = 0) -> Ints:
    if name not in sheet.columns:
        return np.full(len(sheet), default, np.int64)
    values, given = sheet.numbers(name)
    for row in np.flatnonzero((values != np.round(values)) | (values < 0) | (values > _MOST)):
        raise sheet.fault(int(row), name, "not a whole number from 0 up, or beyond a million", "write 0, 1, 2, ...")
    return np.where(given, values, default).astype(np.int64)


def _evid(sheet: Sheet, amt: Array) -> Ints:
    mdv = _whole(sheet, "MDV")
    inferred = np.where(amt > 0, 1, np.where(mdv == 1, 2, 0))
    if "EVID" not in sheet.columns:
        return inferred.astype(np.int64)
    evid, given = _whole(sheet, "EVID"), sheet.numbers("EVID")[1]
    return np.where(given, evid, inferred).astype(np.int64)


def _observations(sheet: Sheet, evid: Ints) -> tuple[Array, Ints]:
    """DV and MDV: an observation row without a DV is a time to predict at, unless MDV says 0."""
    n = len(sheet)
    dv, given = sheet.numbers("DV") if "DV" in sheet.columns else (np.zeros(n), np.zeros(n, np.bool_))
    said = sheet.numbers("MDV")[1] if "MDV" in sheet.columns else np.zeros(n, np.bool_)
    mdv = np.where(said, _whole(sheet, "MDV"), ~given)
    for row in np.flatnonzero((evid == 0) & (mdv == 0) & ~given):
        raise sheet.fault(int(row), "DV", "missing on an observation (MDV 0)", "give DV, or MDV 1 for a time to predict at")
    # a simulator's rounding below zero (-1e-14) is no negative concentration
    dv = np.where((dv < 0) & (dv > -ROUNDING), 0.0, dv)
    return np.where(evid == 0, dv, 0.0), np.where(evid == 0, mdv, 1).astype(np.int64)


def _censoring(sheet: Sheet, columns: dict[str, Any]) -> dict[str, Any]:
    """`blq`, `alq` and the limits they refer to; `beyond`: a DV above the row's own ULOQ, which nobody flagged, counts as above it."""
    observed = (columns["evid"] == 0) & (columns["mdv"] == 0)
    cens = _cens(sheet) * observed
    below, above = ((_whole(sheet, name) == 1) & observed for name in ("BLQ", "ALQ"))
    lloq = np.where((cens == 1) & (columns["lloq"] <= 0), columns["dv"], columns["lloq"])
    uloq = np.where((cens == -1) & (columns["uloq"] <= 0), columns["dv"], columns["uloq"])
    blq, alq = below | (cens == 1), above | (cens == -1)
    for row in np.flatnonzero(blq & (lloq <= 0)):
        raise sheet.fault(int(row), "LLOQ", "missing where the level is below it", "give the assay's limit in LLOQ on that row")
    for row in np.flatnonzero(alq & (uloq <= 0)):
        raise sheet.fault(int(row), "ULOQ", "missing where the level is above it", "give the assay's limit in ULOQ on that row")
    for row in np.flatnonzero(blq & alq):
        raise sheet.fault(int(row), "ALQ", "below one limit and above the other", "keep what the laboratory reported")
    beyond = observed & ~blq & ~alq & (uloq > 0) & (columns["dv"] > uloq)
    return {"blq": blq, "alq": alq | beyond, "lloq": lloq, "uloq": uloq, "beyond": beyond}


def _cens(sheet: Sheet) -> Ints:
    if "CENS" not in sheet.columns:
        return np.zeros(len(sheet), np.int64)
    values, _ = sheet.numbers("CENS")
    for row in np.flatnonzero(~np.isin(values, (-1, 0, 1))):
        raise sheet.fault(int(row), "CENS", "not -1, 0 or 1", "write 1 below the lower limit, -1 above the upper one, 0 otherwise")
    return values.astype(np.int64)


def _weights(sheet: Sheet) -> Array:
    if "DVWT" not in sheet.columns:
        return np.ones(len(sheet))
    values, given = sheet.numbers("DVWT")
    for row in np.flatnonzero(values < 0):
        raise sheet.fault(int(row), "DVWT", "negative weight", "write 1 to count the observation once, 0 to leave it out")
    return np.where(given, values, 1.0)


@dataclass(frozen=True)
class _Rule:
    """A thing a row may not say: the column to name, the rows that say it, and the words for them."""

    column: str
    bad: Callable[[dict[str, Any]], Any]
    what: str
    remedy: str


def _dosed(c: dict[str, Any]) -> Any:
    return (c["evid"] == 1) | (c["evid"] == 4)


def _timeless(c: dict[str, Any]) -> Any:
    return c["ii"] <= 0


_NO_INTERVAL = "give the hours between doses in II"
_RULES = (
    _Rule("EVID", lambda c: c["evid"] > 4, "not an event type", "write 0 observation, 1 dose, 2 other, 3 reset, 4 reset and dose"),
    _Rule("MDV", lambda c: c["mdv"] > 1, "not 0 or 1", "write 0 for an observation, 1 otherwise"),
    _Rule("SS", lambda c: c["ss"] > 2, "not 0, 1 or 2", "write 1 for a dose at steady state"),
    _Rule("AMT", lambda c: c["amt"] < 0, "negative dose", "give the amount as a positive number"),
    _Rule("AMT", lambda c: (c["amt"] > 0) & ~_dosed(c), "an amount on a row that is not a dose", "set EVID 1, or AMT 0"),
    _Rule("AMT", lambda c: _dosed(c) & (c["amt"] == 0) & ~((c["ss"] > 0) & (c["rate"] > 0)), "a dose of nothing", "give AMT, or EVID 0"),
    _Rule("RATE", lambda c: c["rate"] == -1, "a modelled rate (RATE -1)", "give the rate as a number, or -2 for a modelled duration"),
    _Rule("RATE", lambda c: (c["rate"] < 0) & (c["rate"] != -2), "negative rate", "give amount per hour, or 0 for a bolus"),
    _Rule("II", lambda c: c["ii"] < 0, "negative interval", _NO_INTERVAL),
    _Rule("II", lambda c: (c["addl"] > 0) & _timeless(c), "no interval although ADDL is above 0", _NO_INTERVAL),
    _Rule("II", lambda c: _dosed(c) & (c["ss"] > 0) & (c["amt"] > 0) & _timeless(c), "no interval at steady state", _NO_INTERVAL),
    _Rule("ADDL", lambda c: c["addl"] > MAX_ADDITIONAL, f"more than {MAX_ADDITIONAL} doses", "check ADDL and II"),
    _Rule("TIME", lambda c: np.abs(c["time_h"]) > 24 * 366 * 1000, "more than a thousand years", "give hours"),
    _Rule("AMT", lambda c: c["amt"] > 1e12, "more than 1e12", "check AMT and its unit"),
    _Rule("RATE", lambda c: (c["rate"] > 0) & (c["amt"] > MAX_INTERVAL_H * c["rate"]), "an infusion of more than a year", "check RATE"),
    _Rule("LLOQ", lambda c: c["lloq"] < 0, "negative limit", "give the assay's limit as a positive number"),
    _Rule("ULOQ", lambda c: c["uloq"] < 0, "negative limit", "give the assay's limit as a positive number"),
    _Rule("ULOQ", lambda c: (c["uloq"] > 0) & (c["uloq"] <= c["lloq"]), "not above LLOQ", "give the assay's lower and upper limit"),
)
_NEGATIVE_DV = _Rule("DV", lambda c: (c["dv"] < 0) & (c["mdv"] == 0), "negative concentration", "give DV as measured, or BLQ 1 with LLOQ")


def _check(sheet: Sheet, columns: dict[str, Any], logarithmic: bool) -> None:
    for rule in (*_RULES, *(() if logarithmic else (_NEGATIVE_DV,))):
        for row in np.flatnonzero(rule.bad(columns)):
            raise sheet.fault(int(row), rule.column, rule.what, rule.remedy)
    ids, restarts = sheet.columns["ID"], columns["evid"] >= 3
    for row in np.flatnonzero((np.diff(columns["time_h"]) < 0) & ~restarts[1:]):
        if ids[row] == ids[row + 1]:
            raise sheet.fault(int(row) + 1, "TIME", "earlier than the row before it", "sort by time; EVID 3 or 4 restarts the clock")


def _subjects(sheet: Sheet) -> list[NDArray[np.int64]]:
    """Rows of each subject; TableError when a subject comes back after another one."""
    groups: dict[str, list[int]] = {}
    for row, id in enumerate(sheet.columns["ID"]):
        if not id or id == ".":
            raise sheet.fault(row, "ID", "missing", "give it on every row")
        if groups.get(id, [row - 1])[-1] != row - 1:
            raise sheet.fault(row, "ID", "a subject in two places", "keep the rows of one subject together, in time order")
        groups.setdefault(id, []).append(row)
    return [np.array(rows) for rows in groups.values()]


def _subject(sheet: Sheet, rows: Ints, events: dict[str, Any], covariates: dict[str, _Column], notices: tuple[Notice, ...]) -> Records:
    id = _plain(sheet.columns["ID"][rows[0]])
    own = {name: values[rows] for name, values in events.items()}
    beyond = bool(own.pop("beyond").any())
    filled = {name: _filled(column, rows) for name, column in covariates.items()}
    given = {name: column.given[rows] for name, column in covariates.items() if column.given[rows].any()}
    absent = [c for name, c in covariates.items() if name in sheet.columns and not c.given[rows].any()]
    more = [_default_used(f"{sheet.name} ID {id}, {c.name}", "never given", "fill it in") for c in absent]
    more += _observation_notices(f"{sheet.name} ID {id}", own, beyond)
    return Records(id=id, **own, covariates=filled, line=np.array(sheet.line)[rows], notices=(*notices, *more), given=given)


def _observation_notices(where: str, own: dict[str, Any], beyond: bool) -> list[Notice]:
    """What was changed about a subject's observations: weights, and numbers above the assay's own limit."""
    observed = (own["evid"] == 0) & (own["mdv"] == 0)
    left_out, weighted = observed & (own["weight"] == 0), observed & ~np.isin(own["weight"], (0, 1))
    found = []
    if left_out.any():
        what = f"{left_out.sum()} of {observed.sum()} observations left out (DVWT 0)"
        found.append(Notice(code="sample-excluded", where=where, what=what, remedy="check that it is meant"))
    if weighted.any():
        what = f"{weighted.sum()} of {observed.sum()} observations with a weight other than 1 (DVWT)"
        found.append(Notice(code="sample-weight", where=where, what=what, remedy="check that it is meant"))
    if beyond:
        what = "a number above the assay's own limit; only 'above the limit' is used"
        found.append(Notice(code="above-uloq", where=where, what=what, remedy="check DV and ULOQ"))
    return found


def _filled(column: _Column, rows: Ints) -> Array:
    given = np.flatnonzero(column.given[rows])
    if given.size == 0:
        return np.full(len(rows), column.reference)
    last = np.searchsorted(given, np.arange(len(rows)), side="right") - 1
    return column.values[rows][given[np.maximum(last, 0)]]


def _plain(id: str) -> str:
    whole, _, rest = id.partition(".")
    return whole if whole.isdigit() and rest.strip("0") == "" else id
