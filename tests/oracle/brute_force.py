"""Courses at steady state straight from a fact record: matrix exponentials, and an adaptive solver where the input varies with time.

Nothing here knows auctor's engine: compartments in order depot, transits, central, peripherals; x' = K x between doses; the steady state is
the fixed point of one interval.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from scipy.special import gammaln

from auctor.case import Regimen, Route

Array = NDArray[np.float64]

# record -> number of first-order steps before central, and the name of their rate
CHAINS = {
    "tacrolimus_woillard2011": (3, "ktr"),
    "tacrolimus_moes2016": (4, "ka"),
    "ciclosporin_press2010": (2, "ka"),
    "ciclosporin_woillard2014": (5, "ktr"),
    "lithium_yuan2021": (7, "ktr"),
}
# record -> (plateau, rate inside the exponential) of ka; the hepatic record leaves open which is which, the file's default is taken
WEIBULL = {"isavuconazole_desai2016_hepatic": ("KAMAX", "RA"), "isavuconazole_desai2016_secure": ("RA", "KAMAX")}
DOSE_OF_FILE = {"warfarin_hamberg2007": 2.0}  # the record's dose is S-warfarin, half of what the file is given
SAVIC = ("rifampicin_wilkins2008",)
DOSE_IN_MG = {"ug": 1e-3, "mg": 1.0}


@dataclass(frozen=True, kw_only=True)
class Course:
    """A steady state: the level (mg/L) at a time after the dose, the interval (h), auctor's regimen for it, and what mg/L is shown as."""

    level: Callable[[float], float]
    every: float
    regimen: Regimen
    shown: float


def course_of(record: Mapping[str, Any], values: Mapping[str, Any], *, molar_mass: float | None, lagged: bool = True) -> Course:
    """The course under the record's `sanity_dose`, given for ever; an intravenous dose as a bolus."""
    name, day = record["id"], 24.0 if record["units"].get("time") == "day" else 1.0
    dose, every = _mg(record, molar_mass), float(record["sanity_dose"]["ii"]) * day
    oral = "none" not in str(record["structure"].get("absorption")) and "zero-order input" not in str(record["structure"]["absorption"])
    body = _body(values, day)
    share, lag = float(values.get("F", 1.0)) if oral else 1.0, float(values.get("tlag", 0.0)) if oral and lagged else 0.0
    if name in WEIBULL:
        plateau, speed = (float(values[key]) for key in WEIBULL[name])
        level = _weibull(body, (plateau, speed, float(values["GAM"])), share * dose, every)
    elif name in SAVIC:
        level = _savic(body, values, share * dose, every)
    else:
        steps, rate = CHAINS.get(name, (1, "ka")) if oral else (0, "")
        level = _linear(_chained(body, steps, float(values[rate]) if steps else 0.0), share * dose, every)
    middle = float(values["V1"])

    def shifted(time: float) -> float:
        return level((time - lag) % every if time != lag else every) / middle if lag else level(time) / middle

    route = Route.ORAL if oral else Route.IV
    regimen = Regimen.steady(dose * DOSE_OF_FILE.get(name, 1.0), every_h=every, route=route, horizon_h=every)
    return Course(level=shifted, every=every, regimen=regimen, shown=_shown(record))


def _mg(record: Mapping[str, Any], molar_mass: float | None) -> float:
    unit = str(record["units"]["dose"]).split()[0]
    factor = molar_mass if unit == "mmol" else DOSE_IN_MG[unit]
    assert factor is not None
    return float(record["sanity_dose"]["dose"]) * factor


def _shown(record: Mapping[str, Any]) -> float:
    text, unit = str(record["units"].get("scale", "")), str(record["units"]["concentration"]).split()[0]
    if "2.2" in text:
        return 2.2
    return 1e3 if "1000" in text or unit == "ug/L" else 1 / 6.94 if unit == "mmol/L" else 1.0


def _body(values: Mapping[str, Any], day: float) -> Array:
    """Central and peripheral compartments: d amounts / dt = matrix @ amounts, 1/h."""
    pairs = [(values[q], values[v]) for q, v in (("Q2", "V2"), ("Q3", "V3")) if q in values and v in values]
    matrix = np.zeros((len(pairs) + 1, len(pairs) + 1))
    matrix[0, 0] = -values["CL"] / values["V1"] / day
    for k, (q, v) in enumerate(pairs, 1):
        matrix[0, 0] -= q / values["V1"] / day
        matrix[k, 0], matrix[0, k], matrix[k, k] = q / values["V1"] / day, q / v / day, -q / v / day
    return matrix


def _chained(body: Array, steps: int, rate: float) -> Array:
    matrix = np.zeros((steps + len(body), steps + len(body)))
    matrix[steps:, steps:] = body
    for k in range(steps):
        matrix[k, k] -= rate
        matrix[k + 1, k] += rate
    return matrix


def _linear(matrix: Array, dose: float, every: float) -> Callable[[float], float]:
    """Amount in central `time` h after a dose into the first compartment; at time 0 the trough."""
    size = len(matrix)
    after = np.linalg.solve(np.eye(size) - expm(matrix * every), dose * np.eye(size)[0])
    return lambda time: float((expm(matrix * (time if time > 0 else every)) @ after)[_central(matrix)])


def _central(matrix: Array) -> int:
    """The compartment that drug leaves for good: the column whose sum is below zero."""
    return int(np.argmin(matrix.sum(axis=0)))


def _weibull(body: Array, absorption: tuple[float, float, float], dose: float, every: float) -> Callable[[float], float]:
    """ka = plateau (1 - exp(-(speed tad)^shape)); linear in the amounts, so the fixed point is that of the map over one interval."""
    size, (plateau, speed, shape) = len(body) + 1, absorption

    def slope(time: float, x: Array) -> Array:
        rate = plateau * (1 - math.exp(-((speed * time) ** shape)))
        return np.concatenate([[-rate * x[0]], body @ x[1:] + np.eye(len(body))[0] * rate * x[0]])

    def run(start: Array, until: float) -> Array:
        return np.asarray(solve_ivp(slope, (0.0, until), start, method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1])

    columns = np.stack([run(np.eye(size)[k], every) for k in range(size)], axis=1)
    after = np.linalg.solve(np.eye(size) - columns, np.eye(size)[0] * dose)
    return functools.cache(lambda time: float(run(after, time if time > 0 else every)[1]))


def _savic(body: Array, values: Mapping[str, Any], dose: float, every: float) -> Callable[[float], float]:
    """Savic's transit chain (J Pharmacokinet Pharmacodyn 2007;34:711): a gamma density into the depot, earlier doses' tails included."""
    number, mtt = float(values["NN"]), float(values.get("MTTi", values["MTT"]))
    rate, ka = (number + 1) / mtt, float(values["ka"])
    size = len(body) + 1

    def density(time: float) -> float:
        times = [time + k * every for k in range(40) if time + k * every > 0]
        return sum(math.exp((number + 1) * math.log(rate) + number * math.log(t) - rate * t - gammaln(number + 1)) for t in times)

    def slope(time: float, x: Array) -> Array:
        inner = np.concatenate([[-ka * x[0]], body @ x[1:] + np.eye(len(body))[0] * ka * x[0]])
        return inner + np.eye(size)[0] * dose * density(time)

    def run(start: Array, until: float) -> Array:
        return np.asarray(solve_ivp(slope, (0.0, until), start, method="DOP853", rtol=1e-12, atol=1e-13, max_step=0.1).y[:, -1])

    kept = expm(_chained(body, 1, ka) * every)
    before = np.linalg.solve(np.eye(size) - kept, run(np.zeros(size), every))
    return functools.cache(lambda time: float(run(before, time)[1]) if time > 0 else float(before[1]))
