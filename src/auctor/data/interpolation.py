"""How covariates go from one recorded value to the next: backwards (NOCB), forwards (LOCF) or along a line, as rows for the engine.

The engine holds covariates constant between the rows it is given: of a table the next record's value (NOCB, as NONMEM), of a case the
last one (LOCF). Another way is the same engine with other rows: here rows are added before a timeline is built, and none is taken away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case, Covariates, Interpolation
from auctor.errors import Notice
from auctor.models.model import OCCASION, DrugModel
from auctor.records import Records

STEP_H = 1.0  # a line is cut into pieces no longer than this,
MOST_PIECES = 240  # but at most so many between two values: longer gaps (over ten days) get longer pieces
JUST_BEFORE_H = 1e-6  # what holds between values ends this long before the next one's own time, and starts as long after the last one's

Subject = TypeVar("Subject", Case, Records)
Points = tuple[tuple[float, float], ...]


def interpolated(subject: Subject, model: DrugModel, how: Interpolation, *, step_h: float = STEP_H) -> Subject:
    """The same subject with its covariates between values as asked; what an estimator takes.

    A line is a staircase of pieces no longer than `step_h`, each at the value of its middle: the error falls with the square of the
    step. Categories have no line between them and are carried forward. A record keeps the values that are written on it, whatever
    holds before it, and so does a case at the time of a value; a cell that was left empty lies on the line too. A table's records
    carry a notice where this is not NONMEM's way. The number of an occasion (`OCC`) is no measurement: it stays as it was laid out.
    """
    how = Interpolation(how)
    if isinstance(subject, Records):
        if how is Interpolation.NOCB:
            return subject
        return _records(_filled(subject, model) if how is Interpolation.LINEAR else subject, model, how, step_h)
    return replace(subject, covariates=_series(subject.covariates, model, how, step_h))


def _pieces(gap_h: float, step_h: float) -> int:
    return int(min(np.ceil(gap_h / step_h), MOST_PIECES))


def _straight(name: str, model: DrugModel) -> bool:
    """Whether a line can be drawn between two values of this covariate."""
    return name not in model.covariates or model.covariates[name].levels is None


# --- records of a table ------------------------------------------------------------------------------------------------


def _filled(records: Records, model: DrugModel) -> Records:
    """Empty cells of a covariate on the line between those that were written."""
    # time that runs on where a reset starts the clock again
    time = np.cumsum(np.maximum(np.diff(records.time_h, prepend=records.time_h[0]), 0.0))
    lines = {
        name: np.interp(time, time[given], records.covariates[name][given])
        for name, given in records.given.items()
        if name != OCCASION and _straight(name, model) and given.any()
    }
    return replace(records, covariates={**records.covariates, **lines})


def _records(records: Records, model: DrugModel, how: Interpolation, step_h: float) -> Records:
    rows: list[tuple[int, float | None, dict[str, float]]] = []
    for i in range(len(records)):
        own = {name: float(values[i]) for name, values in records.covariates.items()}
        if i:
            before = {name: float(values[i - 1]) for name, values in records.covariates.items()}
            rows += [(i, time, values) for time, values in _between(records, i, (before, own), model, how, step_h)]
        rows.append((i, None, own))
    source = np.asarray([i for i, _, _ in rows])
    added = np.asarray([time is not None for _, time, _ in rows])
    columns = {f.name: _column(f.name, getattr(records, f.name), source, added) for f in fields(records) if f.name not in _KEPT}
    columns["time_h"] = np.asarray([records.time_h[i] if time is None else time for i, time, _ in rows])
    covariates = {name: np.asarray([values[name] for _, _, values in rows]) for name in records.covariates}
    return Records(id=records.id, given={}, covariates=covariates, notices=(*records.notices, *_notice(how, added)), **columns)


_KEPT = ("id", "covariates", "notices", "time_h", "given")
_OF_ADDED = {"evid": 2, "mdv": 1, "weight": 1.0}


def _column(name: str, values: NDArray[Any], source: NDArray[np.int64], added: NDArray[np.bool_]) -> NDArray[Any]:
    """A column with the added rows: no event (EVID 2), no observation, on the line and in the compartment of the record they precede."""
    taken = values[source]
    return taken if name in ("line", "cmt") else np.where(added, _OF_ADDED.get(name, 0), taken).astype(values.dtype)


def _between(
    records: Records, i: int, values: tuple[dict[str, float], dict[str, float]], model: DrugModel, how: Interpolation, step_h: float
) -> Iterator[tuple[float, dict[str, float]]]:
    """The rows that precede record i: until when each holds, and its covariates."""
    before, own = values
    start, end = float(records.time_h[i - 1]), float(records.time_h[i])
    changed = [name for name in own if name != OCCASION and own[name] != before[name]]
    if not changed or end - start <= JUST_BEFORE_H:
        return
    lines = [name for name in changed if how is Interpolation.LINEAR and _straight(name, model)]
    count = _pieces(end - start, step_h) if lines else 1
    held = {**before, OCCASION: own[OCCASION]} if OCCASION in own else before
    for k in range(count):
        until = start + (end - start) * (k + 1) / count if k + 1 < count else end - JUST_BEFORE_H
        share = (k + 0.5) / count
        yield until, held | {name: before[name] + share * (own[name] - before[name]) for name in lines}


def _notice(how: Interpolation, added: NDArray[np.bool_]) -> tuple[Notice, ...]:
    if not added.any():
        return ()
    words = {Interpolation.LOCF: "are carried forward (LOCF)", Interpolation.LINEAR: "follow a line"}
    what = f"covariates {words[how]} between records"
    return (Notice(code=f"covariates-{how.value}", where="covariates", what=what, remedy="NONMEM carries them backwards (NOCB)"),)


# --- a case ------------------------------------------------------------------------------------------------------------


def _series(covariates: Covariates, model: DrugModel, how: Interpolation, step_h: float) -> Covariates:
    drawn = {name: _drawn(points, _straight(name, model), how, step_h) for name, points in covariates.series.items() if name != OCCASION}
    return Covariates(series={**covariates.series, **drawn})


def _drawn(points: Points, straight: bool, how: Interpolation, step_h: float) -> Points:
    """The staircase of one covariate; the first value still holds before its time and the last one after.

    At its own time each value holds, whether the engine counts a change from its time on or from just after it.
    """
    how = Interpolation.LOCF if how is Interpolation.LINEAR and not straight else how
    steps = [points[0]]
    for (start, before), (end, own) in pairwise(points):
        if end - start > 2 * JUST_BEFORE_H and how is not Interpolation.LOCF:
            count = _pieces(end - start, step_h) if how is Interpolation.LINEAR and own != before else 1
            shares = [(k + 0.5) / count for k in range(count)] if how is Interpolation.LINEAR else [1.0]
            steps += [
                (start + max((end - start) * k / count, JUST_BEFORE_H), before + share * (own - before)) for k, share in enumerate(shares)
            ]
        if how is not Interpolation.NOCB:
            steps.append((end - JUST_BEFORE_H, own))
    return tuple(steps)
