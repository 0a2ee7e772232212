"""Sample entries of a case file to engine samples: value and limit in mg/L, censoring said, matrix compared with the model's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from auctor.case import Sample
from auctor.data.clock import Clock, moment
from auctor.data.limits import ANY_CONCENTRATION, CONCENTRATIONS, Limit
from auctor.data.measure import check_limit, measure, written
from auctor.errors import CaseError, Notice
from auctor.models.model import DrugModel
from auctor.units import convert

if TYPE_CHECKING:
    from auctor.data.schema import SampleEntry

MATRICES = ("whole blood", "plasma", "serum")
_SAME = {"blood": "whole blood", "wb": "whole blood", "plasma": "serum"}  # drug levels in plasma and serum are taken as equal


def read_sample(entry: SampleEntry, where: str, clock: Clock, *, drug: str, model: DrugModel | None) -> tuple[Sample, tuple[Notice, ...]]:
    """One entry as an engine sample with its notices. Below the limit, `value` is the limit itself and `below_lloq` is set.

    Raises CaseError for no value, a negative or zero one, a contradiction with its limit, or a level beyond what is possible.
    """
    time_h = clock.hours(moment(entry, where))
    lloq, value, below, notices = _level(entry, where, model)
    matrix = _matrix(entry.matrix, f"{where}.matrix")
    if not below:
        notices += check_limit(value, _limit(drug), where=f"{where}.value")
    notices += _matrix_notices(matrix, model, f"{where}.matrix") + _use_notices(entry, where)
    return Sample(time_h=time_h, value=value, matrix=matrix, lloq=lloq, below_lloq=below, used=entry.used), notices


def _limit(drug: str) -> Limit:
    return CONCENTRATIONS.get(drug.casefold(), ANY_CONCENTRATION)


def _level(entry: SampleEntry, where: str, model: DrugModel | None) -> tuple[float | None, float, bool, tuple[Notice, ...]]:
    """Limit (mg/L), value (mg/L), whether only "below the limit" is known, notices."""
    molar = model.molar_mass if model else None
    beside = entry.unit
    lloq = None
    if entry.lloq is not None:
        own = None if isinstance(entry.lloq, str) else beside
        lloq = _positive(measure(entry.lloq, "mg/L", where=f"{where}.lloq", beside=own, molar_mass=molar), f"{where}.lloq")
    if entry.value is None:
        return (*_unmeasured(entry, where, lloq), ())
    found = written(entry.value, beside, where=f"{where}.value")
    value = _positive(convert(found.value, found.unit, "mg/L", where=f"{where}.value", molar_mass=molar), f"{where}.value")
    if found.below or entry.below_lloq:
        return (*_censored(where, value, lloq, found.below), ())
    if lloq is not None and value < lloq:
        what = "a number below the assay's own limit; only 'below the limit' is used"
        return lloq, lloq, True, (Notice(code="below-lloq", where=f"{where}.value", what=what, remedy="check value and lloq"),)
    return lloq, value, False, ()


def _unmeasured(entry: SampleEntry, where: str, lloq: float | None) -> tuple[float, float, bool]:
    if not entry.below_lloq:
        raise CaseError(where=f"{where}.value", what="no value", remedy="give the level, or below_lloq = true with lloq")
    if lloq is None:
        raise CaseError(where=f"{where}.lloq", what="below a limit that is not given", remedy="give the assay's limit, lloq = '2 ng/mL'")
    return lloq, lloq, True


def _censored(where: str, value: float, lloq: float | None, written_below: bool) -> tuple[float, float, bool]:
    limit = lloq if lloq is not None else value if written_below else None
    if limit is None:
        raise CaseError(where=f"{where}.lloq", what="below a limit that is not given", remedy="give the assay's limit, lloq = '2 ng/mL'")
    if value > limit or (written_below and value < limit):
        raise CaseError(where=f"{where}.value", what="contradicts lloq", remedy="write '<2.0 ng/mL' with the limit that lloq gives")
    return limit, limit, True


def _positive(value: float, where: str) -> float:
    if value <= 0:
        what = "a negative concentration" if value < 0 else "a concentration of zero"
        raise CaseError(where=where, what=what, remedy="give the level; below the assay's limit write '<2.0 ng/mL'")
    return value


def _matrix(text: str | None, where: str) -> str:
    if text is None:
        return ""
    word = text.strip().casefold()
    word = "whole blood" if word in ("blood", "wb") else word
    if word not in MATRICES:
        raise CaseError(where=where, what="not a matrix that auctor knows", remedy=f"write one of {', '.join(MATRICES)}")
    return word


def _matrix_notices(matrix: str, model: DrugModel | None, where: str) -> tuple[Notice, ...]:
    if model is None or not model.matrix:
        return ()
    wanted = {_SAME.get(word, word) for word in re.split(r"\s+or\s+|,\s*", model.matrix.casefold())}
    if not matrix:
        what, code = f"not given; {model.name} describes levels in {model.matrix}", "matrix-not-given"
        return (Notice(code=code, where=where, what=what, remedy="say what was measured in"),)
    if _SAME.get(matrix, matrix) in wanted:
        return ()
    what = f"measured in {matrix}, but {model.name} describes levels in {model.matrix}"
    return (Notice(code="matrix-mismatch", where=where, what=what, remedy="use a model of that matrix", blocks_signing=True),)


def _use_notices(entry: SampleEntry, where: str) -> tuple[Notice, ...]:
    if entry.used:
        return ()
    if not entry.reason.strip():
        raise CaseError(where=f"{where}.reason", what="a sample left out without a reason", remedy="say why in reason")
    return (Notice(code="sample-excluded", where=where, what="left out of the estimation, as the case file asks", remedy="see its reason"),)
