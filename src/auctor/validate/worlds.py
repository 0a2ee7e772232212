"""The worlds of a study: virtual patients of the training simulators and of others, all under one design.

Covariates are drawn once for all models of a study, in the order of its file; a table by age, and models that count the same drug under
another name or give it by another route, are what no plan file has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.errors import PlanError
from auctor.models.model import DrugModel
from auctor.models.writing import toml_text
from auctor.population.distributions import Distribution
from auctor.population.people import People
from auctor.population.plan import Plan, Split, read_plan
from auctor.population.virtual import Profiles, parameters, simulate, stream
from auctor.validate.study_file import Design, Other, Sizes, StudyFile, formula

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Given(Distribution):
    """Values drawn already, one a virtual patient: what a covariate that follows from others looks like to a plan."""

    table: Array

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """The values themselves; `n` must be their number."""
        del rng
        if n != len(self.table):
            raise PlanError(where="covariates", what=f"{n} values are asked of {len(self.table)}", remedy="draw the covariates again")
        return self.table


def draw_covariates(study: StudyFile, design: Design, n: int, seed: int) -> dict[str, Array]:
    """Every covariate of the study, in the order of the file: drawn, taken from a table by age, or worked out from the ones before."""
    found: dict[str, Array] = {}
    for name, content in (dict(study.covariates) | dict(design.covariates)).items():
        expression = formula(study, name) if name not in design.covariates else None
        if expression is not None:
            found[name] = np.broadcast_to(np.asarray(expression.evaluate(found, np), dtype=np.float64), (n,)).copy()
        elif "by" in content:
            found[name] = _by_age(content, found, name, seed)
        else:
            found[name] = Distribution.read(content, where=f"{study.slug}.covariates.{name}").draw(stream(seed, f"covariate:{name}"), n)
    return found


def _by_age(content: Mapping[str, Any], known: Mapping[str, Array], name: str, seed: int) -> Array:
    """A truncated normal whose mean, sd, low and high are listed by whole years, the first entry being one year."""
    years = known[content["by"]].astype(np.int64) - 1
    rng, found = stream(seed, f"covariate:{name}"), np.empty(len(years))
    for year in np.unique(years):
        own = np.flatnonzero(years == year)
        row = {key: content[key][year] for key in ("mean", "sd", "low", "high")}
        found[own] = Distribution.read({"kind": "truncnormal", **row}, where=f"{name}[{year}]").draw(rng, len(own))
    return found


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
    total = sizes.train + sizes.calibration + sizes.test
    bare = read_plan(f"{study.slug}.toml", text=_text(study, design, noise, sizes))
    drawn = draw_covariates(study, design, total, study.seed)
    dosage = replace(bare.dosage, per=str(design.plan["regimen"].get("per", "")))
    return replace(bare, models=models, people=_given(bare, drawn), dosage=dosage)


def _given(plan: Plan, drawn: Mapping[str, Array]) -> People:
    given = {name: Given(kind="given", low=float(v.min()), high=float(v.max()), table=v) for name, v in drawn.items()}
    return People(where=plan.name, independent=given, derived={}, factors={})


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
        "target": dict(design.target) or {"metric": f"AUC0-{max(design.plan['regimen']['every_h']['values']):g}", "scale": study.scale},
        "covariates": held,
        "learner": {**study.learner, "features": list(features(design)), "configurations": sizes.configurations},
    }
    regimen = {key: value for key, value in design.plan["regimen"].items() if key != "per"}  # it may be a covariate of the study's own
    sampling = {"sampling": dict(design.plan["sampling"])} if design.plan["sampling"] else {}
    return toml_text(content | {"regimen": regimen} | sampling)


def features(design: Design) -> tuple[str, ...]:
    """The features of a design, and the covariates it lets be seen.

    Dose-free levels and their ratios, levels relative to PRED, or, for a target that is no F/CL, logarithms of levels, ratios and dose.
    """
    covariates = [f"cov:{name}" for name in design.seen]
    sampling = design.plan["sampling"]
    if "irregular" in sampling:
        levels = [f"L{k + 1}" for k in range(int(max(sampling["irregular"]["count"])))]
        kinds = ("log_ratio", "slope_CL", "slope_V", "noise", "after", "log_since")
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
    drawn = _given(plan, draw_covariates(study, design, n, seed))
    split = Split(train=0, calibration=0, test=n)
    made = simulate(replace(plan, models=models, people=drawn, nominal=nominal, split=split, seed=seed))
    late = np.asarray([told.at_h - true.at_h for told, true in zip(plan.nominal, nominal, strict=True)])
    return replace(made, sample_h=made.sample_h + late) if late.any() else made


def possible(profiles: Profiles) -> NDArray[np.bool_]:
    """Which patients can exist, (n,): every structural parameter above zero and every level above zero and finite.

    Only a model whose formulas can cross zero has others (the public daptomycin code gives a tenth of its light patients a negative Q).
    """
    levels = profiles.true
    sound = (levels > 0) & np.isfinite(levels) | np.isnan(profiles.sample_h)
    found: NDArray[np.bool_] = np.all(sound, axis=1)
    for m, model in enumerate(profiles.plan.models):
        rows = np.flatnonzero(profiles.model_index == m)
        known = {name: values[rows] for name, values in profiles.covariates.items()}
        params = parameters(model, known, profiles.eta[rows, : len(model.eta_names)])
        s = model.structure
        names = [name for name in (s.clearance, s.central, *(n for pair in s.peripherals for n in pair)) if name]
        found[rows] &= np.all([params[name] > 0 for name in names], axis=0)
    return found
