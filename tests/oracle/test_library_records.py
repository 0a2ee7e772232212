"""Every library file against its fact record: parameters by a second reading of the equations, courses by brute force."""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auctor.case import Covariates
from auctor.models.checks import at_eta_zero
from auctor.models.reader import list_models, read_model
from auctor.pk.course import concentrations
from auctor.pk.probe import Probe
from auctor.pk.timeline import build, stack
from oracle.brute_force import course_of
from oracle.record_equations import evaluated, worth
from oracle.record_patients import ALIASES, HELD, PARAMETERS, patient

RECORDS = Path(__file__).parents[3] / "shared" / "models"

Record = Mapping[str, Any]

# the record's own table took another input than the record says (time-varying rates, transit chains), 1 to 17 % off at the trough
SANITY_DIFFERS = ("isavuconazole_desai2016_hepatic", "isavuconazole_desai2016_secure", "rifampicin_wilkins2008")


@functools.cache
def record(name: str) -> Record:
    """One fact record by its id."""
    yaml = pytest.importorskip("yaml")
    loaded: Record = yaml.safe_load((RECORDS / f"{name}.yaml").read_text(encoding="utf-8"))
    return loaded


def library_name(record_id: str) -> str:
    """`vancomycin_goti2018` -> `vancomycin_goti_2018`."""
    return re.sub(r"(?<=[a-z])(?=\d{4}(?:_|$))", "_", record_id)


def with_file(ids: list[str]) -> list[Any]:
    """The ids that have a library file; one that skips and says so where the records are not there."""
    found = [one for one in ids if library_name(one) in list_models()]
    return found or [
        pytest.param("none", marks=pytest.mark.skip(reason="needs ../shared/models, which only the developers' machines have"))
    ]


IDS = with_file(sorted(path.stem for path in RECORDS.glob("*.yaml")))


def _sanity() -> dict[str, dict[str, str]]:
    path = RECORDS / "SANITY.csv"
    return {row["id"]: row for row in csv.DictReader(path.read_text().splitlines())} if path.exists() else {}


def subjects(name: str) -> list[dict[str, Any]]:
    """The reference subject, and another with every number 17 % higher and every 0/1 turned over."""
    first = dict(record(name).get("reference_subject") or {})
    described = record(name).get("covariates") or {}
    second = {key: _other(described.get(key) or {}, value) for key, value in first.items()}
    return [{**subject, **HELD.get(name, {})} for subject in (first, second)]


def _other(described: Mapping[str, Any], value: Any) -> Any:
    if isinstance(value, str) or described.get("unit") == "category":
        return value
    if described.get("unit") == "binary" or (isinstance(value, int) and value in (0, 1)):
        return 1 - value
    return 1.17 * value


@pytest.mark.parametrize("name", IDS)
def test_parameters_are_those_of_the_record(name: str) -> None:
    model = read_model(library_name(name))
    compared: set[str] = set()
    for subject in subjects(name):
        theirs = evaluated(record(name), subject)
        ours = at_eta_zero(model, patient(record(name), model, subject))
        for own in (n for n in PARAMETERS if n in theirs):
            found, scale = _named(name, own, ours)
            if found is not None:
                assert ours[found] == pytest.approx(theirs[own] / scale, rel=1e-9), f"{own} of {subject}"
                compared.add(own)
    assert compared >= {"CL", "V1", "V2", "Q2", "ka", "ktr", "tlag"} & _equations(name)


def _named(name: str, own: str, ours: Mapping[str, float]) -> tuple[str | None, float]:
    """What the record's parameter is called in its file, and by what the record's number is larger for the sake of its unit."""
    if (name, own) in ALIASES:
        return ALIASES[name, own]
    day = 24.0 if record(name)["units"].get("time") == "day" and own in ("CL", "Q2", "Q3") else 1.0
    return next((other for other in PARAMETERS[own] if other in ours), None), day


def _equations(name: str) -> set[str]:
    return {line.partition("=")[0].strip() for line in record(name).get("equations") or ()}


@pytest.mark.parametrize("name", with_file(sorted(_sanity())))
def test_courses_are_those_of_brute_force(name: str) -> None:
    """Steady state of the record's dose at seven times of the interval within 1e-6, by the compiled engine and by what checks use."""
    model, subject = read_model(library_name(name)), subjects(name)[0]
    wanted = course_of(record(name), evaluated(record(name), subject), molar_mass=model.molar_mass)
    covariates = patient(record(name), model, subject)
    times = wanted.every * np.asarray([0.0, 0.02, 0.1, 0.25, 0.5, 0.8, 1.0])
    batch = stack([build(model, wanted.regimen, Covariates.constant(covariates), times)])
    expected = [wanted.level(t) for t in times]
    compiled = concentrations(model, batch, np.zeros((1, len(model.eta_names))))[0, : len(times)]
    np.testing.assert_allclose(compiled, expected, rtol=1e-6)
    np.testing.assert_allclose(Probe(model, wanted.regimen, covariates).read(times).concentration / model.scale, expected, rtol=1e-6)


@pytest.mark.parametrize("name", with_file([n for n in _sanity() if n not in SANITY_DIFFERS]))
def test_brute_force_is_that_of_the_records_own_table(name: str) -> None:
    """C0 of SANITY.csv has five digits and leaves out lags."""
    own = evaluated(record(name), record(name).get("reference_subject") or {})
    wanted = course_of(record(name), own, molar_mass=read_model(library_name(name)).molar_mass, lagged=False)
    assert wanted.level(wanted.every) * wanted.shown == pytest.approx(float(_sanity()[name]["C0_ss"]), rel=2e-4)


def test_the_language_of_the_records_is_arithmetic_and_nothing_else() -> None:
    names = {"A": 2.0, "TX": "kidney"}
    assert worth("(1 if TX == 'kidney' else 2)*A**2 + min(A, 1) if A > 1 and A <= 2 else 0", names) == 5.0
    assert worth("1 if A in (2, 3) else log10(A)", names) == 1
    for text in ("__import__('os')", "A.real", "[A for A in (1, 2)]", "open('x')", "lambda: A"):
        with pytest.raises((ValueError, KeyError)):
            worth(text, names)
