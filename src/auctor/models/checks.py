"""The hand-checkable `[[checks]]` of a model file: typical parameters and steady-state AUC, redone in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from auctor.models.domain import encode
from auctor.models.model import DrugModel
from auctor.models.table import Table

CHECK_KEYS = ("patient", "expect", "regimen", "how")


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One expected number beside the one computed, in engine units (AUC in the model's concentration unit times h)."""

    where: str
    quantity: str
    expected: float
    found: float
    rtol: float

    @property
    def passed(self) -> bool:
        """Whether the two agree within the relative tolerance.

        >>> CheckResult(where="x", quantity="CL", expected=2.0, found=2.001, rtol=0.001).passed
        True
        """
        return math.isclose(self.expected, self.found, rel_tol=self.rtol)


def run_checks(model: DrugModel) -> tuple[CheckResult, ...]:
    """Every expectation of every `[[checks]]` of a model, in file order.

    `expect` names parameters (typical value for `patient`, engine units) and `AUC_tau` = F * dose / CL over one
    interval at steady state. ModelError when a check is malformed.

    >>> from auctor.models.reader import read_model
    >>> all(result.passed for result in run_checks(read_model("vancomycin_goti_2018")))
    True
    """
    tables = [Table(row, f"{model.name}: checks[{k}]") for k, row in enumerate(model.checks)]
    return tuple(result for table in tables for result in _results(model, table))


def _results(model: DrugModel, table: Table) -> list[CheckResult]:
    quantities = (*model.parameters, "AUC_tau")
    expect = table.table("expect", optional=(*quantities, "rtol"))
    rtol = expect.number("rtol", 1e-3)
    found: dict[str, Any] = model.typical(_patient(model, table), math)
    if "AUC_tau" in expect.data:
        found["AUC_tau"] = _auc(model, table, found)
    wanted = [name for name in quantities if name in expect.data]
    return [
        CheckResult(where=table.where, quantity=name, expected=expect.number(name), found=float(found[name]), rtol=rtol) for name in wanted
    ]


def _patient(model: DrugModel, table: Table) -> dict[str, float]:
    patient = table.table("patient", required=model.covariates)
    return {name: encode(model.covariates[name], value) for name, value in patient.data.items()}


def _auc(model: DrugModel, table: Table, params: dict[str, Any]) -> float:
    regimen = table.table("regimen", required=("dose", "every"), optional=("steady_state",))
    if not regimen.flag("steady_state"):
        raise regimen.fault("steady_state", "not true", "write steady_state = true: AUC_tau is F * dose / CL")
    fraction = params[model.structure.bioavailability] if model.structure.bioavailability else 1.0
    return float(fraction * regimen.positive("dose") / params[model.structure.clearance] * model.scale)
