"""What one dose of a case or of a table is to a model: which door it goes through, and NONMEM's RATE, SS, II, ADDL as they stand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from auctor.case import Dose, Regimen, Route
from auctor.errors import CaseError, TableError
from auctor.models.model import DrugModel, System
from auctor.models.spelled import doors, place, spelled
from auctor.records import Records

GIVEN, MODELLED_DURATION, MODELLED_RATE = 1, 2, 3
BARE = "bare"
DEPOTS = ("depot", "depot2")


class Given(NamedTuple):
    """One dose in the table's terms; `door` is the dose number from 0, `mode` how its length is known (0: a bolus)."""

    time: float
    order: float
    amount: float
    rate: float
    door: int
    every: float
    additional: int
    steady: int
    mode: int
    of_table: bool


def of_regimen(model: DrugModel, regimen: Regimen) -> Iterator[Given]:
    """Each dose of a case, once for each door that an oral dose goes through.

    Raises CaseError for a route that the model does not describe.
    """
    for dose in regimen.doses:
        for k, door in enumerate(_doors_of(model, dose)):
            # a steady state empties the body first: what comes through a second door is added to it (SS=2)
            yield _given(spelled(model), dose, door, steady=min(k + 1, 2) if dose.steady_state else 0)


def _given(system: System, dose: Dose, door: int, *, steady: int) -> Given:
    lengths = {"duration": -2.0, "rate": -1.0}
    modelled = next((code for key, code in lengths.items() if door + 1 in system.inputs.get(key, {})), 0.0)
    # an intravenous dose of known length keeps it; one into a compartment with a modelled length cannot have another
    rate = modelled or dose.rate_mg_h
    given = Given(
        time=dose.time_h, order=1.0, amount=dose.amount_mg, rate=rate, door=door, every=dose.every_h, additional=dose.additional,
        steady=steady, mode=0, of_table=False,
    )  # fmt: skip
    return _checked(system, given, "doses")


def _doors_of(model: DrugModel, dose: Dose) -> tuple[int, ...]:
    if model.system is not None:
        return _written_doors(model, dose)
    s = model.structure
    oral = s.absorption != "none"
    if dose.route is Route.ORAL:
        if not oral:
            raise CaseError(
                where="doses.route",
                what=f"{model.name} has no absorption: it cannot take an oral dose",
                remedy="use a model with absorption, or correct the route",
            )
        roles = [d.role for d in doors(s)]
        return tuple(place(s, r) for r in DEPOTS if r in roles) or (place(s, "central"),)
    if oral and s.bioavailability is None:
        raise CaseError(
            where="doses.route",
            what=f"{model.name} describes swallowed doses only (its clearance is CL/F)",
            remedy="use a model fitted to intravenous doses, or correct the route",
        )
    return (place(s, BARE if s.absorption == "zero_order" else "central"),)


def _written_doors(model: DrugModel, dose: Dose) -> tuple[int, ...]:
    roles = DEPOTS if dose.route is Route.ORAL else ("central",)
    found = tuple(model.structure.cmt[r] - 1 for r in roles if r in model.structure.cmt)
    if not found:
        raise CaseError(where="doses.route", what=f"{model.name} takes no {dose.route.value} dose", remedy=f"set structure.cmt.{roles[0]}")
    return found


def of_record(model: DrugModel, records: Records, i: int, time: float) -> Given:
    """Dose record `i` of a table at `time`; TableError for a compartment, RATE or SS the model does not define."""
    where = f"line {records.line[i]}"
    given = Given(
        time=time, order=10.0 * i, amount=float(records.amt[i]), rate=float(records.rate[i]), door=_door(model, records, i, where),
        every=float(records.ii[i]), additional=int(records.addl[i]), steady=int(records.ss[i]), mode=0, of_table=True,
    )  # fmt: skip
    return _checked(spelled(model), given, where)


def _door(model: DrugModel, records: Records, i: int, where: str) -> int:
    cmt = int(records.cmt[i])
    if model.system is not None:
        if not 0 <= cmt <= model.system.size:
            remedy = f"use 1 to {model.system.size}"
            raise TableError(where=f"{where}, CMT", what=f"compartment {cmt} is not in the model", remedy=remedy)
        return max(cmt, 1) - 1
    s = model.structure
    roles = {number: role for role, number in s.cmt.items()}
    if cmt == 0:
        return place(s, "depot" if "depot" in s.cmt else "central")
    if cmt not in roles:
        raise TableError(
            where=f"{where}, CMT",
            what=f"compartment {cmt} is not one of {model.name}'s {dict(s.cmt)}",
            remedy="correct CMT, or set structure.cmt in the model file",
        )
    if s.absorption == "mixed" and roles[cmt] == "central" and records.rate[i] == -2:
        return place(s, "depot2")  # NONMEM's second record: the part of a swallowed dose that enters by zero order
    return place(s, roles[cmt])


def _checked(system: System, given: Given, where: str) -> Given:
    mode = _mode(system, given, where)
    constant = given.amount <= 0 and given.rate > 0
    if given.steady and given.every <= 0 and not constant:
        raise TableError(where=f"{where}, II", what="a steady-state dose needs its interval", remedy="give the dosing interval in hours")
    if given.steady == 2 and constant:
        raise TableError(where=f"{where}, SS", what="SS=2 of a constant infusion is not supported", remedy="use SS=1")
    if given.door + 1 in system.densities and given.steady == 2:
        what = "SS=2 into a compartment whose doses arrive by a transit chain or a density"
        raise TableError(where=f"{where}, SS", what=what, remedy="write the doses out one by one")
    if given.door + 1 in system.densities and mode:
        what = "an infusion into a compartment whose doses arrive by a transit chain or a density"
        raise TableError(where=f"{where}, RATE", what=what, remedy="give the dose without a rate, or into the central compartment")
    return given._replace(mode=mode)


def _mode(system: System, given: Given, where: str) -> int:
    needs = {-2.0: ("duration", MODELLED_DURATION), -1.0: ("rate", MODELLED_RATE)}
    if given.rate not in needs:
        return GIVEN if given.rate > 0 else 0
    key, mode = needs[given.rate]
    if given.door + 1 not in system.inputs.get(key, {}):
        raise TableError(
            where=f"{where}, RATE",
            what=f"RATE={given.rate:g} needs a modelled {key}, which the model does not give for this compartment",
            remedy=f"give the rate, or add doses.{key} (or zero-order absorption) to the model file",
        )
    return mode
