"""subject_case: one subject of a NONMEM-style table as a `Case`, for `auctor analyse TABLE.csv --id 12`."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from auctor.case import Case, Covariates, Dose, Regimen, Route, Sample
from auctor.data.covariates import outside
from auctor.data.doses import check_route, current_from, dose_notices
from auctor.data.limits import COVARIATES
from auctor.data.measure import check_limit
from auctor.data.nonmem import read_table
from auctor.data.plausible import check_history, put_back, shifted, steady_before
from auctor.errors import AuctorError, CaseError, Notice, TableError
from auctor.models.model import DrugModel
from auctor.models.table import suggestion
from auctor.records import Records
from auctor.units import convert


def read_subject(path: Path | str, id: str, model: DrugModel) -> Case:
    """One subject of a NONMEM-style table as a `Case`; CaseError naming the nearest when the table has no such ID."""
    subjects = read_table(path, model)
    found = next((records for records in subjects if records.id == id), None)
    if found is None:
        raise CaseError(where="--id", what="no such subject in the table", remedy=suggestion(id, [records.id for records in subjects]))
    return subject_case(found, model)


def subject_case(records: Records, model: DrugModel) -> Case:
    """Doses, samples and covariates of one subject in engine units, time 0 at the first dose; covariates hold until the next value.

    A table says less than a case file: CMT decides the route (0 is the model's own), the matrix is unknown, RATE 0 is a bolus.
    Raises TableError for what a `Case` cannot say: resets (EVID 3, 4), SS 2, a modelled duration, a level before the first dose.
    """
    _check(records, model)
    try:
        case = _case(records, model)
    except AuctorError as problem:
        raise type(problem)(where=_by_line(problem.where, records), what=problem.what, remedy=problem.remedy) from problem
    return replace(case, notices=tuple(replace(notice, where=_by_line(notice.where, records)) for notice in case.notices))


def _by_line(where: str, records: Records) -> str:
    """`samples[1]` of a case is a line of the table."""
    for field, rows in (("doses", records.dosed), ("samples", records.observed)):
        found = re.match(rf"{field}\[(\d+)\]", where)
        if found:
            return f"ID {records.id}, line {records.line[np.flatnonzero(rows)[int(found[1])]]}{where[found.end() :]}"
    return where


def _case(records: Records, model: DrugModel) -> Case:
    origin = float(records.time_h[records.dosed].min())
    doses = tuple(_dose(records, int(row), origin, model) for row in np.flatnonzero(records.dosed))
    samples = tuple(_sample(records, int(row), origin, model) for row in np.flatnonzero(records.observed))
    covariates = _covariates(records, origin)
    notices = (*records.notices, *_impossible(covariates, model), *outside(covariates, model), *dose_notices(doses, covariates, model))
    back, moved = steady_before(doses, samples)
    doses, samples = put_back(doses, back), tuple(replace(sample, time_h=sample.time_h + back) for sample in samples)
    current, derived = current_from(Regimen(doses=doses))
    return Case(
        label=f"ID {records.id}",
        drug=model.drug.casefold(),
        history=Regimen(doses=doses),
        samples=samples,
        covariates=shifted(covariates, back) if back else covariates,
        current=current,
        notices=(*notices, *_after_dose(records), *moved, *check_history(Regimen(doses=doses), samples), *derived),
    )


def _check(records: Records, model: DrugModel) -> None:
    where = f"ID {records.id}"
    if not records.dosed.any():
        raise TableError(where=where, what="no dose", remedy="add its doses: rows with AMT above 0")
    for name, bad, what in (
        ("EVID", records.evid >= 3, "a reset (EVID 3 or 4)"),
        ("SS", records.ss == 2, "SS 2"),
        ("RATE", (records.rate == -2) & (model.structure.absorption != "zero_order"), "a modelled duration (RATE -2)"),
        ("AMT", records.dosed & (records.amt <= 0), "an infusion without an amount"),
    ):
        for row in np.flatnonzero(bad):
            remedy = "use `auctor estimate` for this table, or write the subject as a case file"
            raise TableError(
                where=f"{where}, line {records.line[row]}, {name}", what=f"{what} cannot be analysed as one case", remedy=remedy
            )


def _after_dose(records: Records) -> tuple[Notice, ...]:
    """A level in a row below a dose of the same time was drawn after it; a `Case` takes every such level as drawn before."""
    for row in np.flatnonzero(records.observed):
        above = records.dosed[:row] & (records.time_h[:row] == records.time_h[row])
        if above.any():
            where = f"ID {records.id}, line {records.line[row]}, TIME"
            remedy = "give a level after the dose its own time, a minute later"
            what = "at the time of a dose: taken as drawn before it, although its row comes after"
            return (Notice(code="sample-at-dose-time", where=where, what=what, remedy=remedy, blocks_signing=True),)
    return ()


def _dose(records: Records, row: int, origin: float, model: DrugModel) -> Dose:
    rate = float(records.rate[row])
    route = _route(int(records.cmt[row]), model)
    check_route(route, model, f"ID {records.id}, line {records.line[row]}, CMT")
    return Dose(
        time_h=round(float(records.time_h[row]) - origin, 9),
        amount_mg=float(records.amt[row]),
        route=route,
        duration_h=float(records.amt[row]) / rate if rate > 0 else 0.0,
        every_h=float(records.ii[row]),
        additional=int(records.addl[row]),
        steady_state=bool(records.ss[row]),
    )


def _route(cmt: int, model: DrugModel) -> Route:
    absorbed = model.structure.absorption != "none"
    return Route.ORAL if absorbed and cmt in (0, model.structure.cmt.get("depot", 0)) else Route.IV


def _sample(records: Records, row: int, origin: float, model: DrugModel) -> Sample:
    lloq, uloq, dv = (float(values[row]) / model.scale for values in (records.lloq, records.uloq, records.dv))
    below, above = bool(records.blq[row]), bool(records.alq[row])
    return Sample(
        time_h=round(float(records.time_h[row]) - origin, 9),
        value=lloq if below else uloq if above else dv,
        lloq=lloq if lloq > 0 else None,
        below_lloq=below,
        uloq=uloq if uloq > 0 else None,
        above_uloq=above,
        used=bool(records.weight[row] > 0),
        weight=float(records.weight[row]),
        reason="" if records.weight[row] == 1 else "DVWT of the table",
    )


def _covariates(records: Records, origin: float) -> Covariates:
    """Change points only; of several records at one time the last one counts."""
    times = [round(float(t) - origin, 9) for t in records.time_h]
    series = {}
    for name, values in records.covariates.items():
        points = dict(zip(times, (float(v) for v in values), strict=True))
        kept = [(t, v) for k, (t, v) in enumerate(points.items()) if k == 0 or v != list(points.values())[k - 1]]
        series[name] = tuple(kept)
    return Covariates(series=series)


def _impossible(covariates: Covariates, model: DrugModel) -> tuple[Notice, ...]:
    notices: tuple[Notice, ...] = ()
    for name, covariate in model.covariates.items():
        limit = COVARIATES.get(name)
        if limit is None or covariate.levels is not None:
            continue
        for value in sorted({value for _, value in covariates.series[name]}):
            where = f"covariates.{name}"
            notices += check_limit(
                convert(value, covariate.unit or "1", limit.unit, where=where, molar_mass=limit.molar_mass), limit, where=where
            )
    return notices
