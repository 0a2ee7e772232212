"""E8: the first vancomycin dose of neonates on continuous infusion, after Ponthier 2022 (Pharm Res 39:2497).

The published rule scales a standard regimen by a learner's prediction of its AUC: dose = 500 x standard dose / AUC. Exposure is
proportional to the dose, so that P(400 <= AUC0-24 <= 600) of any daily dose follows from draws of F/CL alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.dosing.first_dose.nomograms import CREATININE, NOMOGRAMS, Nomogram, read_nomogram
from auctor.dosing.first_dose.prior import Prior
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.population.distributions import Distribution
from auctor.population.virtual import Progress, exposure_per_rate, parameters, stream
from auctor.units import convert
from auctor.validate.first_dose_file import open_first_dose
from auctor.validate.first_dose_result import DoseTable, RunDesign, Size, virtual_table
from auctor.validate.regret import regret_scores

Array = NDArray[np.float64]
LOW, GOAL, HIGH = 400.0, 500.0, 600.0
GENERATOR, OTHER = "vancomycin_jacqzaigrain_2019", "vancomycin_dao_2020"
FULL = Size(profiles=1900, patients=1900, draws=4000, own_draws=2000, courses=1)
QUICK = Size(profiles=600, patients=300, draws=500, own_draws=500, courses=1)
MULTIPLES = np.linspace(0.6, 1.4, 81)  # of 500 CL for the typical patient
SEEDS = {"profiles": 1, "judged patients": 2, "integration": 3, "judging": 5}
STANDARD = "vancomycin_neonates_continuous"
STANDARD_ROW, EQUATION, INTEGRATION, BEST = (
    "standard regimen by postmenstrual age",
    "popPK equation: 500 x typical CL",
    "popPK integration over the prior",
    "best possible dose",
)
PUBLISHED_PERCENT = 46.9  # attainment of the paper's rule on simulated neonates
# median weight through the medians of two models' populations (1.35 kg at 32 weeks, Jacqz-Aigrain 2019; 2.9 kg at 39, Frymoyer 2014)
GROWTH_PER_WEEK = math.log(2.9 / 1.35) / 7.0
# ranges of the published app; the CVs are ours; 54 umol/L is Dao 2020's median
AGE = {"kind": "uniform", "low": 24.0, "high": 45.0}
WEIGHT = {"median": 1.35, "at_weeks": 32.0, "growth_per_week": GROWTH_PER_WEEK, "cv": 0.20, "low": 0.5, "high": 5.0}
CREATININE_DRAWN = {"kind": "lognormal", "median": 54.0, "cv": 0.40, "low": 40.0, "high": 145.0}


def neonates(n: int, *, seed: int) -> dict[str, Array]:
    """n virtual neonates in the app's ranges: PMA 24-45 weeks, WT 0.5-5 kg about a growth line, SCR 40-145 umol/L; each (n,)."""
    age = Distribution.read(AGE).draw(stream(seed, "PMA"), n)
    spread = Distribution.read({"kind": "lognormal", "median": 1.0, "cv": WEIGHT["cv"]}).draw(stream(seed, "WT"), n)
    line = WEIGHT["median"] * np.exp(WEIGHT["growth_per_week"] * (age - WEIGHT["at_weeks"]))
    weight = np.clip(line * spread, WEIGHT["low"], WEIGHT["high"])
    return {"PMA": age, "WT": weight, "SCR": Distribution.read(CREATININE_DRAWN).draw(stream(seed, "SCR"), n)}


def as_known_by(model: DrugModel, patients: Mapping[str, Array]) -> dict[str, Array]:
    """The covariates of a model in its own units; those it alone has at their reference."""
    n = len(patients["PMA"])
    by = convert(1.0, "umol/L", model.covariates["SCR"].unit, where="SCR", molar_mass=CREATININE)
    known = {**patients, "SCR": patients["SCR"] * by}
    return {name: known.get(name, np.full(n, c.reference)) for name, c in model.covariates.items()}


def auc_per_mg(model: DrugModel, patients: Mapping[str, Array], draws: int, *, seed: int, name: str) -> Array:
    """AUC0-24 per mg a day, h/L, (n, draws), over eta and the IOV of the occasion that begins; 0 draws: the typical patient."""
    prior, n = Prior.of(model), len(patients["PMA"])
    known = {key: values[:, None] for key, values in prior.covariates(as_known_by(model, patients)).items()}
    size = (n, max(1, draws), len(prior.model.eta_names))
    etas = prior.etas(size[0] * size[1], seed=seed, name=name).reshape(size) if draws else np.zeros(size)
    return exposure_per_rate(prior.model, parameters(prior.model, known, etas))


def attainment(per_mg: Array, daily_mg: Array) -> Array:
    """P(400 <= AUC0-24 <= 600) of each patient's daily dose (n,), over draws (n, draws)."""
    auc = per_mg * daily_mg[:, None]
    return np.asarray(np.mean((auc >= LOW) & (auc <= HIGH), axis=1), dtype=np.float64)


def best_daily(per_mg: Array, start: Array) -> tuple[Array, Array]:
    """The daily dose (n,) of the highest attainment among multiples of `start` (n,), and that attainment."""
    table = np.stack([attainment(per_mg, k * start) for k in MULTIPLES], axis=1)
    top = np.argmax(table, axis=1)
    return start * MULTIPLES[top], table[np.arange(len(start)), top]


@dataclass(frozen=True, kw_only=True)
class _Rules:
    """What the dosing rules rest on: the generating model, the standard regimen, and learners of its AUC."""

    model: DrugModel
    standard: Nomogram
    learners: Mapping[str, Any]

    @classmethod
    def trained(cls, model: DrugModel, size: Size) -> _Rules:
        """Learners of the AUC under the standard regimen, one simulated neonate a profile, without noise, as published."""
        standard, who = read_nomogram(STANDARD), neonates(size.profiles, seed=SEEDS["profiles"])
        auc = standard_daily(standard, who) * auc_per_mg(model, who, 1, seed=SEEDS["profiles"], name="profiles")[:, 0]
        x = _features(who, standard)
        return cls(model=model, standard=standard, learners={name: fit(x, auc) for name, fit in _LEARNERS.items()})

    def daily(self, who: Mapping[str, Array], size: Size) -> dict[str, Array]:
        """mg a day for each neonate (n,), by rule."""
        given = standard_daily(self.standard, who)
        typical = 1.0 / auc_per_mg(self.model, who, 0, seed=0, name="")[:, 0]
        own = auc_per_mg(self.model, who, size.own_draws, seed=SEEDS["integration"], name="integration")
        learned = {f"500 x standard / AUC by {name}": GOAL * given / f(_features(who, self.standard)) for name, f in self.learners.items()}
        return {
            STANDARD_ROW: given,
            EQUATION: GOAL * typical,
            **learned,
            INTEGRATION: best_daily(own, GOAL * typical)[0],
        }


def standard_daily(standard: Nomogram, who: Mapping[str, Array]) -> Array:
    """mg a day of the standard regimen, (n,)."""
    amount, every = standard.doses(dict(who))
    return np.asarray(amount * 24.0 / every, dtype=np.float64)


def _features(who: Mapping[str, Array], standard: Nomogram) -> Array:
    return np.column_stack([who["PMA"], who["WT"], who["SCR"], standard_daily(standard, who)])


def _boosted(x: Array, auc: Array) -> Callable[[Array], Array]:
    from xgboost import XGBRegressor

    shape: dict[str, Any] = {"n_estimators": 200, "max_depth": 3, "learning_rate": 0.05, "subsample": 0.8, "min_child_weight": 10}
    model = XGBRegressor(**shape, n_jobs=1, random_state=0).fit(x, auc)
    return lambda new: np.asarray(model.predict(new), dtype=np.float64)


def _elastic(x: Array, auc: Array) -> Callable[[Array], Array]:
    from sklearn.linear_model import ElasticNetCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), ElasticNetCV(l1_ratio=[0.2, 0.8], alphas=20, cv=5, max_iter=10_000, random_state=0))
    model.fit(np.log(x), np.log(auc))
    return lambda new: np.exp(np.asarray(model.predict(np.log(new)), dtype=np.float64))


_LEARNERS: Mapping[str, Callable[[Array, Array], Callable[[Array], Array]]] = {
    "XGBoost (published design)": _boosted,
    "elastic net on logarithms": _elastic,
}


_KINDS = {STANDARD_ROW: "fixed", EQUATION: "model", INTEGRATION: "model", BEST: "limit"}


def vancomycin_first_dose(*, quick: bool = False, progress: Progress = lambda _stage, _share: None) -> tuple[DoseTable, ...]:
    """E8: every rule in the simulator it was made with, and in a second published model."""
    size = QUICK if quick else FULL
    rules, design = _Rules.trained(read_model(GENERATOR), size), neonatal_design(size)
    who = neonates(size.patients, seed=SEEDS["judged patients"])
    daily = rules.daily(who, size)
    found = []
    for k, (name, words) in enumerate(
        {GENERATOR: "the simulator of the training", OTHER: "another simulator, not seen in training"}.items()
    ):
        progress(name, k / 2)
        found.append(_judged(read_model(name), words, who, daily, (size, design)))
    return tuple(found)


def neonatal_design(size: Size = FULL) -> RunDesign:
    """What determines a run: models, standard regimen, target, virtual neonates, sizes and seeds."""
    return RunDesign(
        seeds=SEEDS,
        covered={
            "study": "E8",
            "models": {name: read_model(name).sha256 for name in (GENERATOR, OTHER)},
            "standard regimen": hashlib.sha256((NOMOGRAMS / f"{STANDARD}.toml").read_bytes()).hexdigest(),
            "target": [LOW, GOAL, HIGH],
            "virtual neonates": {"PMA": AGE, "WT": WEIGHT, "SCR": CREATININE_DRAWN},
            "multiples tried": MULTIPLES.tolist(),
            "sizes": asdict(size),
        },
    )


def _judged(truth: DrugModel, words: str, who: Mapping[str, Array], daily: Mapping[str, Array], run: tuple[Size, RunDesign]) -> DoseTable:
    size, design = run
    per_mg = auc_per_mg(truth, who, size.draws, seed=SEEDS["judging"], name="judging")
    typical = 1.0 / auc_per_mg(truth, who, 0, seed=0, name="")[:, 0]
    best = best_daily(per_mg, GOAL * typical)[1]
    rows = {name: regret_scores(attainment(per_mg, mg), best) for name, mg in daily.items()}
    rows[BEST] = regret_scores(best, best)
    notes = (
        spread_note(truth),
        "the paper's popPK model is not named in what could be read; weight by age and the spread of creatinine are ours",
    )
    kinds = {name: _KINDS.get(name, "learner") for name in rows}
    return virtual_table(
        "E8 vancomycin in neonates, continuous infusion: AUC0-24 400 to 600 mg*h/L",
        trained_on=GENERATOR,
        truth=truth.name,
        about=words,
        patients=size.patients,
        published=open_first_dose("E8").printed,
        measured={"rows": rows, "kinds": kinds, "discrimination": {}, "notes": notes, "design": design},
    )


def ceiling(log_sd: float) -> float:
    """P(400 <= AUC <= 600) of the best dose when log AUC is normal with that SD: 2 Phi(ln(1.5) / (2 sd)) - 1.

    >>> round(ceiling(0.323), 3)
    0.47
    """
    from scipy.special import ndtr

    return float(2.0 * ndtr(math.log(HIGH / LOW) / (2.0 * log_sd)) - 1.0)


def spread_note(model: DrugModel) -> str:
    """The ceiling that the model's own spread of clearance sets, and the spread at which the published 46.9 % would be the ceiling."""
    from scipy.special import ndtri

    prior = Prior.of(model).model
    rows = [k for k, name in enumerate(prior.eta_names) if name.partition("@")[0] == model.structure.linear_clearance]
    sd = math.sqrt(sum(float(prior.omega[k, k]) for k in rows))
    published = math.log(HIGH / LOW) / (2.0 * float(ndtri((1.0 + PUBLISHED_PERCENT / 100) / 2.0)))
    return (
        f"log-SD of clearance {sd:.3f} (IIV, and IOV where the model has it): no dose can reach more than {100 * ceiling(sd):.1f} %; "
        f"{PUBLISHED_PERCENT:g} % would be the ceiling at a log-SD of {published:.3f}"
    )
