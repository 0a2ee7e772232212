"""How the covariates and parameters of a fact record are called in its library file: the hand-made part of the comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from auctor.models.model import DrugModel

# a record's 0/1 -> (covariate, the words of 0 and of 1)
WORDS: dict[str, tuple[str, tuple[str, str]]] = {
    "SEX_F": ("SEX", ("male", "female")),
    "MALE": ("SEX", ("female", "male")),
    "CYP3A5_EXPR": ("CYP3A5", ("nonexpresser", "expresser")),
    "CYP3A4_22": ("CYP3A4", ("noncarrier", "carrier")),
    "PROGRAF": ("FORM", ("extended", "immediate")),
    "POWDER": ("FORM", ("tablet", "powder")),
    "SDC": ("FORM", ("fixed_combination", "single_drug")),
    "GIST": ("DISEASE", ("cml", "gist")),
    "HF": ("HEPIMP", ("no", "yes")),
    "ASSAY": ("SCR_ASSAY", ("plain", "factor_0_72")),
    "ECOG1": ("ECOG", ("zero", "one_or_more")),
    "CYP_ADULT_HEM_PM": ("CYP2C19", ("extensive", "heterozygous_or_poor")),
}
RENAMED = {
    "TPT": ("POD",),
    "CRCL4H": ("CRCL",),
    "CR": ("SCR",),
    "CREAT": ("SCR",),
    "CLCR": ("CRCL",),
    "GFR": ("EGFR",),
    "DX": ("DISEASE",),
    "CRCL": ("CRCL", "EGFR"),
}
# (unit of the record, unit of the file) -> factor; every other pair of units is the same unit in two spellings
SCALED = {("fraction", "%"): 100.0, ("g/dL", "g/L"): 10.0, ("m", "cm"): 100.0}

Subject = Mapping[str, Any]


def _phenobarbital(subject: Subject) -> dict[str, Any]:
    return {"APGR": 4.0 if subject["APGR_LT5"] else 7.0}


def _passot(subject: Subject) -> dict[str, Any]:
    return {"DISEASE": 1.0 if subject["CD"] else 2.0 if subject["UC"] else 0.0}


def _moes(subject: Subject) -> dict[str, Any]:
    both = subject["BOTH"]
    return {"CYP3A5": float(subject["REC_ONLY"] or both), "CYP3A5_DONOR": float(subject["DON_ONLY"] or both)}


def _ganciclovir(subject: Subject) -> dict[str, Any]:
    """Doses of the record are mg of ganciclovir, not of valganciclovir."""
    return {"FORM": 1.0}


def _perrottet(subject: Subject) -> dict[str, Any]:
    return {"EGFR": subject["GFR"] / 0.06, "BSA": 1.73, "FORM": 1.0}  # L/h of the whole body -> mL/min at 1.73 m2


SPECIAL: dict[str, Callable[[Subject], dict[str, Any]]] = {
    "phenobarbital_grasela1985": _phenobarbital,
    "infliximab_passot2016": _passot,
    "tacrolimus_moes2016": _moes,
    "ganciclovir_perrottet2009": _perrottet,
    "ganciclovir_caldes2009": _ganciclovir,
    "ganciclovir_lalagkas2023": _ganciclovir,
}
# covariates of a record that are time in its file (CL is that of the start there), or exclude each other
HELD = {
    "cabozantinib_nguyen2019": dict.fromkeys(("CRPC", "MTC", "GB", "OTHER", "HCC"), 0) | {"RCC": 1},  # a patient has one tumour
    "busulfan_mccune2014": {"T": 0},
    "busulfan_shukla2020": {"DAY2": 0},
    "tacrolimus_moes2016": {"REC_ONLY": 0, "DON_ONLY": 0},
}
# (record, its name) -> (name in the file, its number divided by the file's) where it is not as in PARAMETERS
ALIASES = {
    ("phenytoin_yukawa1990", "VMAXi"): ("VMAX", 24.0),  # mg/day
    ("ibrutinib_gallais2020", "CL"): ("CLORAL", 1.0),  # apparent clearance of both paths
}

# a record's name -> names it may have in a file, the first of them that is there
PARAMETERS = {
    "CL": ("CL",), "V1": ("V1", "V"), "V2": ("V2",), "V3": ("V3",), "Q2": ("Q", "Q2"), "Q3": ("Q3",), "ka": ("KA",), "ktr": ("KTR", "KA"),
    "tlag": ("TLAG",), "F": ("F",), "VMAXi": ("VMAX",), "KMi": ("KM",), "MTTi": ("MTT",), "CL_METAB": ("CLM",), "CIRC0": ("CIRC0",),
    "SLOPE": ("SLOPE",), "EC50": ("EC50",), "LBW": ("LBW",), "FFM": ("FFM",), "VSS": ("VSS",), "EH": ("EH",),
}  # fmt: skip


def patient(record: Mapping[str, Any], model: DrugModel, subject: Subject) -> dict[str, float]:
    """The subject of a record as the covariates of the model: codes and numbers in the file's units; its own reference for what is new."""
    found = {name: covariate.reference for name, covariate in model.covariates.items()}
    for name, value in subject.items():
        found |= _covariate(record, model, name, value)
    return {**found, **SPECIAL.get(record["id"], lambda _: {})(subject)}


def _covariate(record: Mapping[str, Any], model: DrugModel, name: str, value: Any) -> dict[str, float]:
    if name in WORDS and name not in model.covariates:
        own, words = WORDS[name]
        levels = model.covariates[own].levels or {}
        return {own: levels[words[int(value)]]}
    own = next((n for n in RENAMED.get(name, (name,)) if n in model.covariates), "")
    if not own:
        return {}
    if isinstance(value, str):
        return {own: (model.covariates[own].levels or {})[value]}
    described = (record.get("covariates") or {}).get(name) or {}
    return {own: float(value) * SCALED.get((str(described.get("unit")), model.covariates[own].unit), 1.0)}
