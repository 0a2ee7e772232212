"""Every `[[checks]]` of a model run: parameters by hand, figures of the simulated course, and invariants of the whole course."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from auctor.errors import ModelError
from auctor.models.checks import Check, CheckResult, at_eta_zero, entering, hand_results, hours, linear_clearance, read_checks
from auctor.models.model import DrugModel
from auctor.pk.balance import Balance
from auctor.pk.probe import TIMES, Probe

Array = NDArray[np.float64]

ZOOMS = 4


def run_checks(model: DrugModel) -> tuple[CheckResult, ...]:
    """Every expectation and invariant of every `[[checks]]` of a model, in file order.

    Parameters and individual formulas at eta zero; `C_trough`, `C_peak`, `C<hours>` and `AUC_tau` from the engine, AUC_tau of a linear
    model also as F * dose / CL; the invariants `auc`, `css` and `mass`. ModelError or CaseError when a check is malformed.

    >>> from auctor.models.reader import read_model
    >>> all(result.passed for result in run_checks(read_model("vancomycin_goti_2018")))
    True
    """
    return tuple(result for check in read_checks(model) for result in run_check(model, check))


def run_check(model: DrugModel, check: Check) -> tuple[CheckResult, ...]:
    """The results of one check."""
    simulated = [
        CheckResult(where=check.where, quantity=name, expected=check.expect[name], found=value, rtol=check.rtol, kind="figure")
        for name, value in _figures(model, check).items()
    ]
    return (*hand_results(model, check), *simulated, *(_INVARIANTS[check.invariant](model, check) if check.invariant else ()))


def _probe(model: DrugModel, check: Check, horizon: float = 0.0) -> Probe:
    places = [] if model.system is None else list(model.system.outputs)
    output = 0 if check.output is None else places.index(check.output)
    return Probe(model, check.regimen(horizon), check.patient, output=output)


def _figures(model: DrugModel, check: Check) -> dict[str, float]:
    if not check.figures:
        return {}
    at = {name: h for name in check.figures if (h := hours(name)) is not None}
    every = check.dose.every_h if check.dose is not None else 0.0
    probe = _probe(model, check, max(at.values(), default=0.0))
    found = {name: float(value) for name, value in zip(at, probe.read([*at.values(), 0.0]).concentration, strict=False)}
    if "C_trough" in check.expect:
        found["C_trough"] = float(probe.read([every]).concentration[0])
    if "C_peak" in check.expect:
        found["C_peak"] = _peak(probe, Balance(model, check))
    if "AUC_tau" in check.expect:
        found["AUC_tau"] = _area(model, check)
    return {name: found[name] for name in check.figures}


def _area(model: DrugModel, check: Check) -> float:
    """AUC over one interval: the engine's, which is that of the first output; of another output by quadrature."""
    assert check.dose is not None
    probe, every = _probe(model, check), check.dose.every_h
    if probe.output:
        return Balance(model, check).integral(lambda times: probe.read(times).concentration, every)
    start, end = probe.read([0.0, every]).area
    return float(end - start)


def _peak(probe: Probe, balance: Balance) -> float:
    """The largest concentration over the interval, or until one dose is gone: a grid with the times of kinks, zoomed into."""
    until = balance.window()
    kinks = balance.breaks(until)
    repeated = balance.check.dose is not None and balance.check.dose.steady_state
    room = TIMES - len(kinks) - 1
    grid = np.linspace(0.0, until, room) if repeated else np.geomspace(1e-3, until, room)
    times = np.unique([*grid, *kinks, 1e-9 * until])  # the last one is just after a bolus
    best = 0.0
    for _ in range(ZOOMS):
        values = probe.read(times).concentration
        k = int(np.argmax(values))
        best = max(best, float(values[k]))
        times = np.linspace(times[max(k - 1, 0)], times[min(k + 1, len(times) - 1)], TIMES)
    return best


def _auc(model: DrugModel, check: Check) -> tuple[CheckResult, ...]:
    """AUC_tau at steady state against F * dose / CL; of a written-out linear model against AUC0-inf of one dose (superposition)."""
    balance, clearance = Balance(model, check), linear_clearance(model)
    if clearance is None and (model.system is None or not model.system.linear):
        raise ModelError(where=f"{check.where}.invariant", what="auc holds for linear models", remedy="write 'css' or 'mass'")
    found = _area(model, check)
    if clearance is None:
        single = balance.alone()
        after = Probe(model, single.check.regimen(), check.patient).read([0.0, single.window()]).area
        return (_invariant(check, "auc: AUC_tau against AUC0-inf of one dose", float(after[1] - after[0]), found),)
    assert check.dose is not None
    values = at_eta_zero(model, check.patient)
    wanted = entering(model, check.dose, values, check.patient) / values[clearance] * model.scale
    probe = _probe(model, check)
    summed = balance.integral(lambda times: probe.read(times).concentration, check.dose.every_h)
    name = f"auc: F * dose / {clearance}"
    return _invariant(check, f"{name}, engine", wanted, found), _invariant(check, f"{name}, quadrature of the levels", wanted, summed)


def _eliminated(name: str, model: DrugModel, check: Check) -> tuple[CheckResult, ...]:
    """What is eliminated over the interval at steady state, or ever after one dose, against what entered (mg)."""
    balance = Balance(model, check)
    return (_invariant(check, f"{name}: eliminated against F * dose (mg)", balance.given(), balance.eliminated()),)


def _invariant(check: Check, name: str, expected: float, found: float) -> CheckResult:
    return CheckResult(where=check.where, quantity=name, expected=expected, found=found, rtol=check.rtol, kind="invariant")


_INVARIANTS: dict[str, Callable[[DrugModel, Check], tuple[CheckResult, ...]]] = {
    "auc": _auc,
    "css": partial(_eliminated, "css"),
    "mass": partial(_eliminated, "mass"),
}
