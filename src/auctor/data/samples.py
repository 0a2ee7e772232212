"""Sample entries of a case file to engine samples: value and limit in mg/L, censoring said, matrix compared with the model's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from auctor.case import Sample
from auctor.data.clock import Clock, Moment, moment
from auctor.data.limits import ANY_CONCENTRATION, CONCENTRATIONS, Limit
from auctor.data.measure import check_limit, measure, written
from auctor.errors import CaseError, Notice
from auctor.models.model import DrugModel
from auctor.units import convert

if TYPE_CHECKING:
    from auctor.data.schema import Measured, SampleEntry

    Given = str | float | Measured

MATRICES = ("whole blood", "plasma", "serum")
_SAME = {"blood": "whole blood", "wb": "whole blood", "plasma": "serum"}  # drug levels in plasma and serum are taken as equal


class _Level(NamedTuple):
    """What was measured, mg/L: the value (a limit where only that is known), the assay's limits, which of them was passed, notices."""

    value: float
    lloq: float | None
    uloq: float | None
    below: bool = False
    above: bool = False
    notices: tuple[Notice, ...] = ()


def read_sample(entry: SampleEntry, where: str, clock: Clock, *, drug: str, model: DrugModel | None) -> tuple[Sample, tuple[Notice, ...]]:
    """One entry as an engine sample with its notices. Outside the assay's limits, `value` is the limit itself and `below_lloq` or
    `above_uloq` is set.

    Raises CaseError for no value, a negative or zero one, a contradiction with its limits, or a level beyond what is possible.
    """
    drawn = moment(entry, where)
    time_h = clock.hours(drawn)
    _check_received(entry, where, clock, drawn)
    level = _level(entry, where, model)
    matrix = _matrix(entry.matrix, f"{where}.matrix")
    notices = level.notices
    if not level.below:
        notices += check_limit(level.value, _limit(drug), where=f"{where}.value")
    notices += _matrix_notices(matrix, model, f"{where}.matrix") + _use_notices(entry, where)
    sample = Sample(
        time_h=time_h, value=level.value, matrix=matrix, lloq=level.lloq, below_lloq=level.below, uloq=level.uloq, above_uloq=level.above,
        used=entry.used, weight=entry.weight, reason=entry.reason.strip(),
    )  # fmt: skip
    return sample, notices


def _check_received(entry: SampleEntry, where: str, clock: Clock, drawn: Moment) -> None:
    """The laboratory cannot have a sample before it was drawn: one of the two times is wrong."""
    if entry.received_at is None:
        return
    place = f"{where}.received_at"
    if drawn.clock is None:
        raise CaseError(where=place, what="a clock time in a case of hours", remedy="leave it out")
    if clock.between(drawn, Moment(place, None, entry.received_at)) < 0:
        raise CaseError(where=place, what="before the sample was drawn", remedy="correct one of the two times")


def _limit(drug: str) -> Limit:
    return CONCENTRATIONS.get(drug.casefold(), ANY_CONCENTRATION)


def _level(entry: SampleEntry, where: str, model: DrugModel | None) -> _Level:
    molar = model.molar_mass if model else None
    lloq, uloq = (_assay_limit(getattr(entry, name), entry.unit, f"{where}.{name}", molar) for name in ("lloq", "uloq"))
    _check_limits(entry, where, lloq, uloq)
    if entry.value is None:
        return _unmeasured(entry, where, lloq, uloq)
    found = written(entry.value, entry.unit, where=f"{where}.value")
    value = _positive(convert(found.value, found.unit, "mg/L", where=f"{where}.value", molar_mass=molar), f"{where}.value")
    if (found.below and entry.above_uloq) or (found.above and entry.below_lloq):
        raise CaseError(where=f"{where}.value", what="below one limit and above the other", remedy="keep what the laboratory reported")
    if found.below or entry.below_lloq:
        limit = _passed(where, value, lloq, exact=found.below, below=True)
        return _Level(limit, limit, uloq, below=True)
    if found.above or entry.above_uloq:
        limit = _passed(where, value, uloq, exact=found.above, below=False)
        return _Level(limit, lloq, limit, above=True)
    return _within(value, where, lloq, uloq)


def _within(value: float, where: str, lloq: float | None, uloq: float | None) -> _Level:
    """A number; one outside the assay's own limits counts as such."""
    if lloq is not None and value < lloq:
        return _Level(lloq, lloq, uloq, below=True, notices=(_outside_assay("below-lloq", "below", where, "lloq"),))
    if uloq is not None and value > uloq:
        return _Level(uloq, lloq, uloq, above=True, notices=(_outside_assay("above-uloq", "above", where, "uloq"),))
    return _Level(value, lloq, uloq)


def _outside_assay(code: str, side: str, where: str, name: str) -> Notice:
    what = f"a number {side} the assay's own limit; only '{side} the limit' is used"
    return Notice(code=code, where=f"{where}.value", what=what, remedy=f"check value and {name}")


def _assay_limit(given: Given | None, unit: str | None, where: str, molar_mass: float | None) -> float | None:
    if given is None:
        return None
    beside = None if isinstance(given, str) else unit
    return _positive(measure(given, "mg/L", where=where, beside=beside, molar_mass=molar_mass), where)


def _check_limits(entry: SampleEntry, where: str, lloq: float | None, uloq: float | None) -> None:
    if entry.below_lloq and entry.above_uloq:
        raise CaseError(where=f"{where}.above_uloq", what="below one limit and above the other", remedy="keep what the laboratory reported")
    if lloq is not None and uloq is not None and not lloq < uloq:
        raise CaseError(where=f"{where}.uloq", what="not above lloq", remedy="give the assay's lower and upper limit")


def _unmeasured(entry: SampleEntry, where: str, lloq: float | None, uloq: float | None) -> _Level:
    if entry.above_uloq:
        limit = _known(uloq, where, "uloq")
        return _Level(limit, lloq, limit, above=True)
    if not entry.below_lloq:
        remedy = "give the level, or below_lloq = true with lloq (above_uloq with uloq)"
        raise CaseError(where=f"{where}.value", what="no value", remedy=remedy)
    limit = _known(lloq, where, "lloq")
    return _Level(limit, limit, uloq, below=True)


def _known(limit: float | None, where: str, name: str) -> float:
    if limit is None:
        side, example = ("below", "2 ng/mL") if name == "lloq" else ("above", "40 ng/mL")
        what = f"{side} a limit that is not given"
        raise CaseError(where=f"{where}.{name}", what=what, remedy=f"give the assay's limit, {name} = '{example}'")
    return limit


def _passed(where: str, value: float, given: float | None, *, exact: bool, below: bool) -> float:
    """The limit that was passed; `exact`: the value was written with a sign (`<2.0 mg/L`) and so is the limit itself."""
    name = "lloq" if below else "uloq"
    limit = _known(given if given is not None else value if exact else None, where, name)
    if (exact and value != limit) or (value > limit if below else value < limit):
        sign = "<2.0" if below else ">40"
        raise CaseError(where=f"{where}.value", what=f"contradicts {name}", remedy=f"write '{sign} mg/L' with the limit that {name} gives")
    return limit


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
    if entry.used and entry.weight == 1:
        return ()
    if not entry.reason.strip():
        what = "weighted without a reason" if entry.used else "a sample left out without a reason"
        raise CaseError(where=f"{where}.reason", what=what, remedy="say why in reason")
    if entry.used and entry.weight > 0:
        what = "counts with another weight than 1 in the estimation, as the case file asks"
        return (Notice(code="sample-weight", where=where, what=what, remedy="see its weight and reason"),)
    return (Notice(code="sample-excluded", where=where, what="left out of the estimation, as the case file asks", remedy="see its reason"),)
