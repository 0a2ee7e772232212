"""Small plans for the tests of virtual populations: a dictionary of a plan file, with parts exchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from auctor.models.writing import toml_text
from auctor.population.plan import Plan, read_plan

STEADY: dict[str, Any] = {
    "schema": 1,
    "name": "small",
    "title": "Tacrolimus at steady state, in small",
    "models": ["tacrolimus_woillard_2011"],
    "seed": 7,
    "profiles": 60,
    "noise": "none",
    "split": {"train": 40, "calibration": 10, "test": 10},
    "target": {"metric": "AUC0-12", "scale": "dose_rate"},
    "covariates": {"FORM": {"kind": "constant", "value": "immediate"}},
    "regimen": {
        "history": "steady",
        "dose": {"kind": "grid", "from": 1, "to": 10, "step": 0.5},
        "every_h": {"kind": "choice", "values": [12]},
    },
    "sampling": {
        "nominal": [
            {"name": "C0", "at_h": 0, "early_min": 10, "late_min": 0},
            {"name": "C2", "at_h": 2, "early_min": 10, "late_min": 10},
        ]
    },
    "learner": {
        "features": ["C0/dose", "C2/dose", "cov:HCT"],
        "folds": 2,
        "configurations": 1,
        "seed": 1,
        "grid": {"rounds": [30], "max_depth": [3], "learning_rate": [0.1]},
    },
}
START: dict[str, Any] = STEADY | {
    "title": "Phenobarbital from the first dose on, in small",
    "models": ["phenobarbital_pheno_nonmem"],
    "target": {"metric": "AUC0-24", "scale": "typical"},
    "covariates": {},
    "regimen": {
        "history": "start",
        "per": "WT",
        "dose": {"kind": "uniform", "low": 2, "high": 4},
        "loading": {"kind": "constant", "value": 20},
        "every_h": {"kind": "choice", "values": [12]},
    },
    "sampling": {"irregular": {"count": [1, 2], "from_h": 0, "to_h": 96, "after_dose_h": 1}},
    "learner": STEADY["learner"] | {"features": ["log_ratio:L1", "slope_CL:L1", "log_typical"]},
}


def plan_of(base: dict[str, Any], folder: Path | str = ".", **parts: Any) -> Plan:
    """The plan with some top-level parts exchanged; `None` leaves a part out."""
    content = {key: value for key, value in (base | parts).items() if value is not None}
    return read_plan(Path(folder) / "small.toml", text=toml_text(content))
