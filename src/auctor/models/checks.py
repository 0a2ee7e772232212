"""The `[[checks]]` of a model file, read into typed data; what is redone by hand here, what needs the engine in `auctor.pk.checks`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from auctor.case import Dose, Regimen, Route
from auctor.models.domain import encode
from auctor.models.expressions import Expression
from auctor.models.model import DrugModel
from auctor.models.systems import TIMES, read_formula
from auctor.models.table import Table, suggestion

CHECK_KEYS = ("patient", "expect", "regimen", "how", "invariant", "output", "compartments", "eliminated", "variant")
INVARIANTS = ("auc", "css", "mass")
INTERVAL_FIGURES = ("C_trough", "AUC_tau")
FIGURES = (*INTERVAL_FIGURES, "C_peak")
_AT = re.compile(r"C(\d+(?:\.\d+)?)")
RTOL = 1e-3


@dataclass(frozen=True, kw_only=True)
class Check:
    """One `[[checks]]` table: a patient (codes and numbers), a dose where something is simulated, and what is expected.

    `expect` maps parameters, `[individual]` names and figures (`C_trough`, `C_peak`, `AUC_tau`, `C6`) to numbers. `dose` is at time 0,
    at steady state when it repeats; None also in a model that takes no dose. `output` is the CMT number of the output to read and
    `compartments` those whose amounts are drug; `eliminated` is the rate (mg/h) at which drug leaves where their sum does not say it.
    `variant` is the one that the check was written for, "" for the file as it stands.
    """

    where: str
    patient: Mapping[str, float]
    expect: Mapping[str, float]
    rtol: float = RTOL
    dose: Dose | None = None
    invariant: str = ""
    output: int | None = None
    compartments: tuple[int, ...] = ()
    eliminated: Expression | None = None
    how: str = ""
    variant: str = ""

    @property
    def figures(self) -> tuple[str, ...]:
        """The expectations that are read off a simulated course."""
        return tuple(name for name in self.expect if is_figure(name))

    @property
    def parameters(self) -> tuple[str, ...]:
        """The expectations that are parameters or individual formulas."""
        return tuple(name for name in self.expect if not is_figure(name))

    def regimen(self, horizon_h: float = 0.0) -> Regimen:
        """The dose alone, or at steady state and repeated until `horizon_h`; no dose where there is none."""
        if self.dose is None:
            return Regimen(doses=())
        if not self.dose.steady_state:
            return Regimen(doses=(self.dose,))
        d = self.dose
        return Regimen.steady(d.amount_mg, every_h=d.every_h, route=d.route, duration_h=d.duration_h, horizon_h=max(horizon_h, d.every_h))


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One expected number beside the one computed: parameters in engine units, figures in the model's concentration unit (times h)."""

    where: str
    quantity: str
    expected: float
    found: float
    rtol: float
    kind: str = field(default="parameter")

    @property
    def passed(self) -> bool:
        """Whether the two agree within the relative tolerance.

        >>> CheckResult(where="x", quantity="CL", expected=2.0, found=2.001, rtol=0.001).passed
        True
        """
        return math.isclose(self.expected, self.found, rel_tol=self.rtol)


def is_figure(name: str) -> bool:
    """Whether a name in `expect` is read off a course: `C_trough`, `C_peak`, `AUC_tau`, or `C` and hours after the dose.

    >>> [is_figure(name) for name in ("C_peak", "C6", "C0.5", "CL", "C_peek")]
    [True, True, True, False, False]
    """
    return name in FIGURES or _AT.fullmatch(name) is not None


def hours(figure: str) -> float | None:
    """The hours of `C<hours>`, None for the other figures.

    >>> hours("C6"), hours("C_peak")
    (6.0, None)
    """
    found = _AT.fullmatch(figure)
    return float(found[1]) if found else None


def read_checks(model: DrugModel) -> tuple[Check, ...]:
    """Every `[[checks]]` of a model, in file order; of a variant those that name it, where there are any, else the file's.

    ModelError (CaseError for a covariate's value) when one is malformed.

    >>> from auctor.models.reader import read_model
    >>> read_checks(read_model("vancomycin_goti_2018"))[0].patient
    {'CRCL': 90.0, 'WT': 79.0, 'DIAL': 0.0}
    """
    tables = [Table(row, f"{model.name}: checks[{k}]") for k, row in enumerate(model.checks)]
    meant = {table.where: table.choice("variant", model.variants) if "variant" in table.data else "" for table in tables}
    own = model.variant if model.variant in meant.values() else ""
    return tuple(_check(model, table) for table in tables if meant[table.where] == own)


def _check(model: DrugModel, table: Table) -> Check:
    patient = table.table("patient", required=model.covariates)
    expect = _expect(model, table)
    check = Check(
        where=table.where,
        patient={name: encode(model.covariates[name], value) for name, value in patient.data.items()},
        expect={name: expect.number(name) for name in expect.data if name != "rtol"},
        rtol=expect.positive("rtol", RTOL),
        dose=_dose(model, table) if "regimen" in table.data else None,
        invariant=table.choice("invariant", INVARIANTS) if "invariant" in table.data else "",
        output=_output(model, table),
        compartments=_compartments(model, table),
        eliminated=_eliminated(model, table),
        how=table.text("how", ""),
        variant=table.text("variant", ""),
    )
    _settled(check, table, dosed=takes_dose(model))
    return check


def _expect(model: DrugModel, table: Table) -> Table:
    expect = Table.free(table.get("expect"), table.at("expect"))
    names = {*model.parameters, *model.formulas}
    for name in expect.data:
        if name != "rtol" and name not in names and not is_figure(name):
            raise expect.fault(name, "unknown key", suggestion(name, {*names, *FIGURES, "rtol"}) + "; C6 is the level 6 h after the dose")
    return expect


def takes_dose(model: DrugModel) -> bool:
    """Whether any dose can enter; not into a model of a response that is driven by a concentration over time.

    >>> from auctor.models.reader import read_model
    >>> takes_dose(read_model("neutropenia_kloft_2006_docetaxel"))
    False
    """
    return model.system is None or bool(model.structure.cmt)


def _settled(check: Check, table: Table, *, dosed: bool) -> None:
    """Refuse a check that expects nothing, or asks for what its regimen does not say."""
    if not check.expect and not check.invariant:
        raise table.fault("expect", "expects nothing", "name a parameter, a figure (C_trough, C_peak, AUC_tau, C6) or an invariant")
    timed = all(hours(name) is not None for name in check.figures)
    if (check.figures or check.invariant) and check.dose is None and (dosed or check.invariant or not timed):
        raise table.fault("regimen", "missing", "a figure or an invariant needs regimen = { dose, every, route, steady_state }")
    repeated = check.dose is not None and check.dose.steady_state
    needing = [name for name in (*check.figures, check.invariant) if name in (*INTERVAL_FIGURES, "auc", "css")]
    if needing and not repeated:
        raise table.fault("regimen.every", f"missing for {needing[0]}", "write every = 12 (hours) and steady_state = true")


def _dose(model: DrugModel, table: Table) -> Dose:
    row = table.table("regimen", required=("dose",), optional=("every", "route", "infusion_h", "steady_state"))
    every = row.positive("every", 0.0) if "every" in row.data else 0.0
    if row.flag("steady_state") != (every > 0):
        raise row.fault("steady_state", "not true where the dose repeats", "write every and steady_state = true, or neither for one dose")
    route = Route(row.choice("route", [r.value for r in Route])) if "route" in row.data else _only_route(model, row)
    infusion = row.positive("infusion_h") if "infusion_h" in row.data else 0.0
    if infusion > 0 and route is Route.ORAL:
        raise row.fault("infusion_h", "given for an oral dose", "leave it out, or write route = 'iv'")
    return Dose(
        time_h=0.0, amount_mg=row.positive("dose"), route=route, duration_h=infusion, every_h=every, steady_state=row.flag("steady_state")
    )


def _only_route(model: DrugModel, row: Table) -> Route:
    """The one way a dose can enter; ModelError where there are two."""
    if model.system is not None:
        routes = [route for route, place in ((Route.ORAL, "depot"), (Route.IV, "central")) if place in model.structure.cmt]
    elif model.structure.absorption == "none":
        routes = [Route.IV]
    else:
        routes = [Route.ORAL] if model.structure.bioavailability is None else [Route.ORAL, Route.IV]
    if len(routes) != 1:
        raise row.fault("route", "missing, and the model takes more than one", "write route = 'oral' or route = 'iv'")
    return routes[0]


def _output(model: DrugModel, table: Table) -> int | None:
    if "output" not in table.data:
        return None
    number, known = int(table.number("output")), () if model.system is None else tuple(model.system.outputs)
    if number not in known:
        raise table.fault("output", f"{number} is not a number under [outputs]", suggestion(str(number), map(str, known)))
    return number


def _compartments(model: DrugModel, table: Table) -> tuple[int, ...]:
    if "compartments" not in table.data:
        return ()
    numbers, size = tuple(int(k) for k in table.numbers("compartments")), 0 if model.system is None else model.system.size
    if not all(1 <= k <= size for k in numbers):
        raise table.fault("compartments", "not numbers of compartments under [odes]", f"use 1 to {size}")
    return numbers


def _eliminated(model: DrugModel, table: Table) -> Expression | None:
    if "eliminated" not in table.data:
        return None
    if model.system is None:
        raise table.fault("eliminated", "given without [odes]", "leave it out: a named structure eliminates by CL, VMAX and KM")
    states = (f"A{k + 1}" for k in range(model.system.size))
    return read_formula(table, "eliminated", {*model.parameters, *model.formulas, *model.covariates, *states, *TIMES})


def at_eta_zero(model: DrugModel, patient: Mapping[str, float]) -> dict[str, float]:
    """Every parameter and individual formula of the typical patient with these covariates, in engine units.

    >>> from auctor.models.reader import read_model
    >>> round(at_eta_zero(read_model("vancomycin_goti_2018"), {"CRCL": 90.0, "WT": 79.0, "DIAL": 0.0})["CL"], 4)
    3.5749
    """
    values = model.individual(dict(patient), np.zeros(len(model.eta_names)), np)
    return {name: float(value) for name, value in values.items()}


def entering(model: DrugModel, dose: Dose, values: Mapping[str, float], patient: Mapping[str, float]) -> float:
    """The amount (mg) of a dose that enters the system: F times the dose, where F applies to its route."""
    if model.system is not None:
        place = "depot" if dose.route is Route.ORAL else "central"
        formula = model.system.inputs.get("F", {}).get(model.structure.cmt[place])
        return dose.amount_mg * (1.0 if formula is None else float(formula.evaluate({**patient, **values}, np)))
    absorbed = dose.route is Route.ORAL or model.structure.absorption == "none"
    name = model.structure.bioavailability
    return dose.amount_mg * (values[name] if name is not None and absorbed else 1.0)


def linear_clearance(model: DrugModel) -> str | None:
    """The parameter that is the whole clearance, so that AUC_tau = F * dose / CL; None for saturable and written-out models."""
    return None if model.system is not None or saturable(model) is not None else model.structure.clearance or None


def saturable(model: DrugModel) -> tuple[str, str] | None:
    """The parameters (Vmax, Km) of a named structure with saturable elimination."""
    s = model.structure
    return None if s.maximum is None or s.half is None else (s.maximum, s.half)


def hand_results(model: DrugModel, check: Check) -> tuple[CheckResult, ...]:
    """What arithmetic alone decides: parameters at the patient's covariates, and AUC_tau = F * dose / CL of a linear model.

    Reference: Gibaldi & Perrier, Pharmacokinetics, 2nd ed., 1982, eq. 3.18.
    """
    values = at_eta_zero(model, check.patient)
    named = [_result(check, name, values[name]) for name in check.parameters]
    clearance = linear_clearance(model)
    if "AUC_tau" in check.expect and clearance is not None and check.dose is not None:
        auc = entering(model, check.dose, values, check.patient) / values[clearance] * model.scale
        named.append(_result(check, "AUC_tau", auc, shown=f"AUC_tau as F * dose / {clearance}"))
    return tuple(named)


def _result(check: Check, name: str, found: float, *, shown: str = "") -> CheckResult:
    return CheckResult(where=check.where, quantity=shown or name, expected=check.expect[name], found=found, rtol=check.rtol)
