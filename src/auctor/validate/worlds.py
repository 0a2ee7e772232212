"""The worlds of a study: virtual patients of the training simulators and of others, all under one design.

Covariates are those of a plan file (`auctor.population.people`), the same for all models of a study. Models that count the same drug under
another name, or give it by another route, are what no plan file has.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.learn.observed import movable
from auctor.models.model import DrugModel
from auctor.models.writing import toml_text
from auctor.population.people import People, read_people
from auctor.population.plan import Plan, Split, read_plan
from auctor.population.reading import Table
from auctor.population.virtual import Profiles, can_exist, simulate
from auctor.validate.study_file import FOLDER, Design, Other, Sizes, StudyFile

Array = NDArray[np.float64]
MORE = 7919  # added to a study's seed for further patients; other simulators add small numbers


def people_of(study: StudyFile, design: Design) -> People:
    """The covariates of the study, those of the design in the place of its own: as a plan file has them, a formula being `formula`."""
    given = dict(study.covariates) | dict(design.covariates)
    content = {name: {"expr": row["formula"]} if "formula" in row else dict(row) for name, row in given.items()}
    return read_people(Table(content, where=f"{study.slug}.covariates"), (), FOLDER)


def draw_covariates(study: StudyFile, design: Design, n: int, seed: int) -> dict[str, Array]:
    """Every covariate of `n` patients of the study, name -> (n,)."""
    return people_of(study, design).draw(n, seed=seed)


def intravenous(model: DrugModel) -> DrugModel:
    """The same patients given the drug into the blood: absorption and bioavailability play no part."""
    bare = replace(model.structure, absorption="none", stages=0, rate=None, lag=None, duration=None, bioavailability=None, parts={})
    return replace(model, structure=bare, sha256=f"{model.sha256}+iv")


def model_of(study: StudyFile, design: Design, label: str) -> DrugModel:
    """A model of the study under the name of its drug, and by the design's route."""
    model = replace(study.models[label], drug=study.drug)
    infused = any(key in design.plan["regimen"] for key in ("infusion_h", "infusion_mg_h"))
    return intravenous(model) if infused and model.structure.absorption != "none" else model


def training_plan(study: StudyFile, design: Design, noise: str, sizes: Sizes) -> Plan:
    """The plan that a design trains on: read like a plan file for its first model, then given its other models and its covariates."""
    models = tuple(model_of(study, design, label) for label in design.train)
    bare = read_plan(f"{study.slug}.toml", text=_text(study, design, noise, sizes))
    dosage = replace(bare.dosage, per=str(design.plan["regimen"].get("per", "")))
    return replace(bare, models=models, people=people_of(study, design), dosage=dosage)


def _text(study: StudyFile, design: Design, noise: str, sizes: Sizes) -> str:
    """The design as the text of a plan file; covariates stand at a constant, since the study draws them itself."""
    first = study.models[design.train[0]]
    held = {name: {"kind": "constant", "value": covariate.reference} for name, covariate in first.covariates.items()}
    content: dict[str, Any] = {
        "schema": 1,
        "name": study.slug,
        "title": f"{study.title}: {design.name}",
        "models": [first.name],
        "seed": study.seed,
        "profiles": sizes.train + sizes.calibration + sizes.test,
        "noise": noise,
        "assay_cv": study.assay_cv,
        "split": {"train": sizes.train, "calibration": sizes.calibration, "test": sizes.test},
        "target": dict(design.target) or {"metric": f"AUC0-{_interval(design):g}", "scale": study.scale},
        "covariates": held,
        # small sizes have nobody to calibrate a subgroup with
        **({"interval": {"groups": [dict(group) for group in design.groups]}} if design.groups and sizes.coverage else {}),
        "learner": {**study.learner, "features": list(features(design, first)), "configurations": sizes.configurations},
    }
    regimen = {key: value for key, value in design.plan["regimen"].items() if key != "per"}  # it may be a covariate of the study's own
    sampling = {"sampling": dict(design.plan["sampling"])} if design.plan["sampling"] else {}
    return toml_text(content | {"regimen": regimen} | sampling)


def _interval(design: Design) -> float:
    """The longest dosing interval, h."""
    regimen = design.plan["regimen"]
    return max(float(value) for row in regimen.get("band", [regimen]) for value in row["every_h"]["values"])


def features(design: Design, model: DrugModel) -> tuple[str, ...]:
    """The features of a design, those it adds itself, and the covariates it lets be seen.

    Dose-free levels and their ratios, levels relative to PRED of `model` with the slopes that it has, or, for a target that is no F/CL,
    logarithms of levels, ratios and dose.
    """
    covariates = [*design.features, *(f"cov:{name}" for name in design.seen)]
    sampling = design.plan["sampling"]
    if "irregular" in sampling:
        levels = [f"L{k + 1}" for k in range(int(max(sampling["irregular"]["count"])))]
        kinds = ("log_ratio", *(f"slope_{role}" for role in movable(model)), "noise", "after", "log_since")
        return (*(f"{kind}:{level}" for level in levels for kind in kinds), "log_typical", *covariates)
    names = [str(row["name"]) for row in sampling.get("nominal", [])]
    ratios = [f"{b}/{a}" for i, a in enumerate(names) for b in names[i + 1 :]]
    if design.target:
        return (*(f"log:{name}" for name in names), *(f"log:{ratio}" for ratio in ratios), "log:dose_mg", *covariates)
    return (*(f"{name}/dose" for name in names), *ratios, "trapezoid/dose", *(f"noise:{name}" for name in names), "dose_mg", *covariates)


def other_world(study: StudyFile, design: Design, plan: Plan, other: Other, n: int) -> Profiles:
    """`n` patients of another simulator under the design of `plan`; samples drawn at another time carry the time that was told."""
    models = tuple(model_of(study, design, label) for label in other.models)
    seed = study.seed + 1 + [o.name for o in study.others].index(other.name)
    nominal = tuple(replace(s, at_h=other.drawn_at_h.get(s.name, s.at_h)) for s in plan.nominal)
    split = Split(train=0, calibration=0, test=n)
    made = simulate(replace(plan, models=models, nominal=nominal, split=split, seed=seed))
    late = np.asarray([told.at_h - true.at_h for told, true in zip(plan.nominal, nominal, strict=True)])
    return replace(made, sample_h=made.sample_h + late) if late.any() else made


def more_patients(plan: Plan, n: int) -> Profiles:
    """`n` further patients of the training simulators, under the same design: enough to see what share of them an interval holds."""
    return simulate(replace(plan, split=Split(train=0, calibration=0, test=n), seed=plan.seed + MORE))


def possible(profiles: Profiles) -> NDArray[np.bool_]:
    """Which patients can exist, (n,): every structural parameter above zero and every level above zero and finite."""
    levels = profiles.true
    sound = (levels > 0) & np.isfinite(levels) | np.isnan(profiles.sample_h)
    found: NDArray[np.bool_] = np.all(sound, axis=1)
    for m, model in enumerate(profiles.plan.models):
        rows = np.flatnonzero(profiles.model_index == m)
        known = {name: values[rows] for name, values in profiles.covariates.items()}
        found[rows] &= can_exist(model, known, profiles.eta[rows, : len(model.eta_names)])
    return found
