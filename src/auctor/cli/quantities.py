"""Quantities as typed on a command line: `1000 mg`, `12h`, `WT=70kg`, `0:24:0.5`, `AUC0-24:400-600 mg*h/L`.

A unit is always required and never guessed; what cannot be read is a UnitError or CaseError that names the option.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from auctor.case import Metric, MetricKind, Target
from auctor.errors import CaseError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from auctor.models.model import DrugModel

MOST_TIMES = 100_000
_NUMBER = r"\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"\s*(?P<name>[A-Za-z]\w*)\s*=\s*(?P<low>-?{_NUMBER})\s*[-–:]\s*(?P<high>-?{_NUMBER})(?P<unit>.*)")
_TARGET = re.compile(rf"\s*(?P<metric>[^:\s]+)\s*:\s*(?P<low>{_NUMBER})\s*[-–]\s*(?P<high>{_NUMBER})\s*(?P<unit>.*)")


def amount(text: str, *, option: str) -> tuple[float, bool]:
    """A dose in mg, and whether it is per kg of body weight.

    >>> amount("1000 mg", option="--dose"), amount("0.5 g", option="--dose"), amount("15 mg/kg", option="--dose")
    ((1000.0, False), (500.0, False), (15.0, True))
    """
    from auctor.units import convert, parse

    written = parse(text, where=option)
    per_kg = written.unit.endswith("/kg")
    return _positive(convert(written.value, written.unit, "mg/kg" if per_kg else "mg", where=option), option), per_kg


def hours(text: str, *, option: str) -> float:
    """A length of time above zero, in h.

    >>> hours("12h", option="--every"), hours("90 min", option="--duration")
    (12.0, 1.5)
    """
    from auctor.units import convert, parse

    written = parse(text, where=option)
    return _positive(convert(written.value, written.unit, "h", where=option), option)


def _positive(value: float, option: str) -> float:
    if value > 0:
        return value
    raise CaseError(where=option, what="not above zero", remedy="give a number above zero with its unit")


def times(text: str) -> NDArray[np.float64]:
    """Hours at which to read, shape (k,), in order: `start:stop:step` with both ends, or `a,b,c`.

    >>> times("0:2:0.5").tolist(), times("0, 1, 3").tolist()
    ([0.0, 0.5, 1.0, 1.5, 2.0], [0.0, 1.0, 3.0])
    """
    import numpy as np

    grid = re.fullmatch(rf"\s*({_NUMBER}):({_NUMBER}):({_NUMBER})\s*", text)
    if grid:
        start, stop, step = (float(part) for part in grid.groups())
        if step <= 0 or stop < start or (stop - start) / step > MOST_TIMES:
            raise _no_times()
        return np.asarray(start + step * np.arange(int((stop - start) / step + 1e-9) + 1), dtype=np.float64)
    if not re.fullmatch(rf"\s*{_NUMBER}(\s*,\s*{_NUMBER})*\s*", text):
        raise _no_times()
    return np.unique([float(part) for part in text.split(",")])


def _no_times() -> CaseError:
    return CaseError(where="--times", what="not times in hours", remedy="write start:stop:step as 0:24:0.5, or a list as 0,1,3")


def covariate(text: str, model: DrugModel) -> tuple[str, float]:
    """`WT=70kg` or `CYP3A5=expresser` as name and value in the unit of the model.

    >>> from auctor.models.reader import read_model
    >>> covariate("WT=70000 g", read_model("vancomycin_goti_2018"))
    ('WT', 70.0)
    """
    from auctor.models.domain import encode
    from auctor.models.table import suggestion
    from auctor.units import convert, parse

    name, equals, written = (part.strip() for part in text.partition("="))
    where = f"--covariate {name}"
    if not equals or not written:
        raise CaseError(where=where, what="no value", remedy="write NAME=VALUE with its unit, for example WT=70kg")
    if name not in model.covariates:
        raise CaseError(where=where, what=f"{model.name} does not use it", remedy=suggestion(name, model.covariates))
    known = model.covariates[name]
    if known.levels is not None:
        return name, encode(known, float(written) if re.fullmatch(_NUMBER, written) else written)
    quantity = parse(written, where=where)
    unit = quantity.unit or ("1" if known.unit in ("", "1") else "")
    return name, convert(quantity.value, unit, known.unit or "1", where=where)


def prior_weight(text: str) -> float | dict[str, float]:
    """`0.5` for every eta, or `CL=0.2,V1=1` by name; an empty text is 1.

    >>> prior_weight("0.5"), prior_weight("CL=0.2, V1=1"), prior_weight("")
    (0.5, {'CL': 0.2, 'V1': 1.0}, 1.0)
    """
    if re.fullmatch(rf"\s*({_NUMBER})?\s*", text):
        return float(text) if text.strip() else 1.0
    parts = [part.strip() for part in text.split(",")]
    found = [re.fullmatch(rf"(?P<name>[A-Za-z]\w*)\s*=\s*(?P<value>{_NUMBER})", part) for part in parts]
    names = [one["name"] for one in found if one]
    if len(names) < len(parts) or len(set(names)) < len(names):
        remedy = "write one number above 0, or a list by eta such as CL=0.2,V1=1"
        raise CaseError(where="--prior-weight", what="not a weight", remedy=remedy)
    return {one["name"]: float(one["value"]) for one in found if one}


def numbers(text: str, *, option: str) -> tuple[float, ...]:
    """A list of numbers from 0 up.

    >>> numbers("0.02, 0.05", option="--error")
    (0.02, 0.05)
    """
    if not re.fullmatch(rf"\s*{_NUMBER}(\s*,\s*{_NUMBER})*\s*", text):
        raise CaseError(where=option, what="not a list of numbers", remedy="write for example 0.02,0.05")
    return tuple(float(part) for part in text.split(","))


def parameter_range(text: str, model: DrugModel) -> tuple[str, tuple[float, float]]:
    """`CL=1-10 L/h` as name and range in engine units; the unit must have the dimension of the parameter's own.

    >>> from auctor.models.reader import read_model
    >>> parameter_range("CL=10-200 mL/min", read_model("vancomycin_goti2018"))
    ('CL', (0.6, 12.0))
    """
    from auctor.models.quantities import read_unit
    from auctor.models.table import suggestion

    found = _RANGE.fullmatch(text)
    if found is None:
        raise CaseError(where="--range", what="not a range", remedy="write for example 'CL=1-10 L/h'")
    name, where = found["name"], f"--range {found['name']}"
    if name not in model.parameters:
        raise CaseError(where=where, what=f"not a parameter of {model.name}", remedy=suggestion(name, model.parameters))
    own = model.parameters[name].unit
    unit = read_unit(found["unit"].strip(), where=where, molar_mass=model.molar_mass)
    if unit.powers != read_unit(own, where=where, molar_mass=model.molar_mass).powers:
        raise CaseError(where=where, what="not a unit of this parameter", remedy=f"give the range in {own or '1'}")
    low, high = (float(f"{float(found[end]) * unit.factor:.15g}") for end in ("low", "high"))
    if not low < high:
        raise CaseError(where=where, what="the upper end is not above the lower one", remedy="write LOW-HIGH")
    return name, (low, high)


def target(text: str, *, molar_mass: float | None = None) -> Target:
    """`METRIC:LOW-HIGH UNIT` as a therapeutic range in mg*h/L or mg/L.

    >>> target("AUC0-24:400-600 mg*h/L").low, target("C0:5-10 ng/mL").high
    (400.0, 0.01)
    """
    from auctor.units import convert

    found = _TARGET.fullmatch(text)
    if found is None:
        raise CaseError(where="--target", what="not a target", remedy="write for example 'AUC0-24:400-600 mg*h/L'")
    metric = Metric.parse(found["metric"])
    unit = "mg*h/L" if metric.kind is MetricKind.AUC else "mg/L"
    low, high = (convert(float(found[end]), found["unit"], unit, where="--target", molar_mass=molar_mass) for end in ("low", "high"))
    if not low < high:
        raise CaseError(where="--target", what="the upper end is not above the lower one", remedy="write LOW-HIGH")
    return Target(metric=metric, low=low, high=high, source="given on the command line")
