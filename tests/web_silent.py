"""Simulated neonates on phenobarbital who go through the real store, level by level, for the tests and the benchmark of silent mode."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from auctor.case import Covariates, Dose, Regimen, Route
from auctor.estimate.objective import variance
from auctor.models.model import DrugModel
from auctor.pk.exposure import curves
from auctor.web.accounts.actor import Actor, Role
from auctor.web.service import courses, entering, patients
from auctor.web.service.clinic import Clinic
from auctor.web.service.engine import read
from auctor.web.service.entering import Entered
from auctor.web.service.patients import NewPatient
from auctor.web.store.tables import Ward

MODEL, START = "phenobarbital_grasela_1985", datetime(2026, 3, 2, 8, tzinfo=UTC)
DOSES_H, LEVELS_H = (0.0, 12.0, 24.0, 36.0, 48.0, 60.0), (10.0, 47.0)
AUTHOR = Actor(account_id=None, login="doctor", roles=frozenset({Role.AUTHOR}), wards=frozenset({"icu"}), channel="page")


@dataclass(frozen=True, kw_only=True)
class Neonate:
    """A simulated patient: weight in kg, Apgar score, doses in mg, and levels in mg/L as measured."""

    weight: float
    apgar: float
    doses: tuple[float, ...]
    levels: tuple[float, ...]


def simulate(n: int, *, seed: int, bias: float = 1.0, noise: float = 1.0) -> list[Neonate]:
    """Patients drawn from the model; `bias` multiplies every level, `noise` the SD of the residual error."""
    model, rng = read(MODEL), np.random.default_rng(seed)
    return [_one(model, rng, bias, noise) for _ in range(n)]


def _one(model: DrugModel, rng: Any, bias: float, noise: float) -> Neonate:
    weight, apgar = round(float(rng.uniform(0.8, 3.0)), 2), float(rng.integers(1, 11))
    amounts = tuple(round(weight * (20.0 if t == 0 else 2.5), 1) for t in DOSES_H)
    given = tuple(Dose(time_h=t, amount_mg=a, route=Route.IV) for t, a in zip(DOSES_H, amounts, strict=True))
    eta = rng.multivariate_normal(np.zeros(len(model.eta_names)), model.omega)
    known = Covariates.constant({"WT": weight, "APGR": apgar})
    true = curves(model, Regimen(doses=given), np.asarray(LEVELS_H), known, eta[None])[0]
    error = noise * np.sqrt(np.asarray(variance(model.residual, true), dtype=np.float64)) * rng.standard_normal(len(true))
    return Neonate(weight=weight, apgar=apgar, doses=amounts, levels=tuple(max(0.01, float(y)) for y in bias * (true + error)))


def at(hours: float) -> str:
    return (START + timedelta(hours=hours)).isoformat()


def pushed(neonate: Neonate, k: int) -> Entered:
    return Entered(kind="dose", body={"amount": f"{neonate.doses[k]} mg", "route": "iv", "bolus": True, "at": at(DOSES_H[k])})


def level(neonate: Neonate, k: int, **fields: Any) -> Entered:
    return Entered(kind="sample", body={"value": f"{neonate.levels[k]:.6g} mg/L", "at": at(LEVELS_H[k]), "matrix": "serum"} | fields)


def found_ward(clinic: Clinic) -> None:
    with clinic.store.work(Actor.system("install")) as work:
        work.session.add(Ward(id="icu", name="Intensive care"))
        work.record("ward.create", "ward", "icu", ward="icu")


def admit(clinic: Clinic, number: str, neonate: Neonate) -> str:
    """A patient with an open course, its model chosen, weight and Apgar score entered; the course."""
    new = NewPatient(ward="icu", identifier=number, family="Doe", given="Ann", birth_date=START.date(), sex="female")
    patient = patients.register(clinic, AUTHOR, new)
    course = courses.open_course(clinic, AUTHOR, patient, drug="phenobarbital", time_zone="Europe/Paris")
    courses.choose(clinic, AUTHOR, course, model=MODEL, target="", reason="")
    known = {"WT": f"{neonate.weight} kg", "APGR": neonate.apgar}
    entering.enter(clinic, AUTHOR, course, [Entered(kind="covariate", body={"name": name, "value": v}) for name, v in known.items()])
    return course


def stay(clinic: Clinic, number: str, neonate: Neonate) -> str:
    """The whole stay, entered as it happens: doses until a level, the level, doses until the next one, the level."""
    course, given = admit(clinic, number, neonate), 0
    for k, time in enumerate(LEVELS_H):
        due = sum(t < time for t in DOSES_H)
        entering.enter(clinic, AUTHOR, course, [pushed(neonate, one) for one in range(given, due)])
        entering.enter(clinic, AUTHOR, course, [level(neonate, k)])
        given = due
    return course
