"""E5: the first dose of daptomycin again, after Rivals 2024 (Clin Pharmacokinet 63:1137), scored by regret.

Whoever makes the truth is named in every table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.case import Metric, Route
from auctor.dosing.first_dose.goals import Goal, JointTarget, Mic
from auctor.dosing.first_dose.ladder import Ladder, Rung
from auctor.dosing.first_dose.learned import DirectDose, DoseTree, EventClassifier, ExposureRegressor, chosen
from auctor.dosing.first_dose.prior import Prior, chance_table
from auctor.dosing.first_dose.training import population_of, simulate_patients, training_patients
from auctor.learn.scores import Score
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.population.virtual import Progress, draw_covariates, stream
from auctor.validate.first_dose_file import open_first_dose
from auctor.validate.first_dose_result import DoseTable, RunDesign, Size, virtual_table
from auctor.validate.regret import regret_scores, roc_score

Array = NDArray[np.float64]
# Every stream of random numbers; whose event, course or rung it draws.
SEEDS = {
    "profiles": 1,
    "judged patients": 2,
    "integration": 3,
    "judging": 5,
    "training events": 11,
    "test events": 12,
    "ceiling": 13,
    "rung of a test profile": 0,
}
PER_KG = (6.0, 8.0, 10.0)  # the doses of a label, mg/kg


def _quiet(_stage: str, _share: float) -> None:
    return None


FULL = Size(profiles=4950, patients=1000, draws=4000, own_draws=2000, courses=24)
QUICK = Size(profiles=900, patients=100, draws=400, own_draws=400, courses=8)


def daptomycin_target(mic_mg_l: float = 1.0) -> JointTarget:
    """AUC0-24/MIC above 666 and C0 below 24.3 mg/L, the event of Rivals 2024."""
    auc = Goal(metric=Metric.parse("AUC0-24"), low=666.0, high=math.inf, per_mic=True)
    trough = Goal(metric=Metric.parse("C0"), low=0.0, high=24.3)
    return JointTarget(goals=(auc, trough), mic=Mic(values=(mic_mg_l,)))


def daptomycin_ladder() -> Ladder:
    """4 to 12 mg/kg in steps of 0.5 mg/kg once a day over half an hour."""
    rungs = tuple(Rung(amount=4.0 + 0.5 * k, every_h=24.0, duration_h=0.5) for k in range(17))
    return Ladder(rungs=rungs, route=Route.IV, per_kg=True)


GENERATORS_E5 = {
    "daptomycin_dvorchik_2004@woillard_code": "the group's code as it runs, with its precedence slip in Q and V2 and without infection",
    "daptomycin_dvorchik_2004": "the same model with the slip corrected",
}
OTHER_E5 = "daptomycin_xu_2017"
INTEGRATION, BEST = "popPK integration over the prior", "best possible of these doses"
CEILING, ON_TRAINING = "ceiling: the generator's own probability, test", "published design, training part"
KINDS = {INTEGRATION: "model", BEST: "limit", CEILING: "limit", ON_TRAINING: "seen"}


def daptomycin_first_dose(*, quick: bool = False, progress: Progress = _quiet) -> tuple[DoseTable, ...]:
    """E5: for each coding of the generator the published design and ours; the corrected one also under another published model."""
    size, found = QUICK if quick else FULL, []
    design = daptomycin_design(size)
    for k, name in enumerate(list(GENERATORS_E5)[1:] if quick else GENERATORS_E5):
        progress(name, k / len(GENERATORS_E5))
        found += _daptomycin(read_model(name), GENERATORS_E5[name], size, design, other="@" not in name)
    return tuple(found)


def daptomycin_design(size: Size = FULL) -> RunDesign:
    """What determines a run: models, target, doses, sizes and seeds; each model's source population is part of its file."""
    target, ladder = daptomycin_target(), daptomycin_ladder()
    return RunDesign(
        seeds=SEEDS,
        covered={
            "study": "E5",
            "models": {name: read_model(name).sha256 for name in (*GENERATORS_E5, OTHER_E5)},
            "target": [goal.label for goal in target.goals],
            "MIC": target.mic.values if target.mic else (),
            "doses": {"rungs": [asdict(rung) for rung in ladder.rungs], "route": ladder.route.value, "per_kg": ladder.per_kg},
            "fixed doses": PER_KG,
            "sizes": asdict(size),
        },
    )


def _daptomycin(model: DrugModel, about: str, size: Size, design: RunDesign, *, other: bool) -> list[DoseTable]:
    target, ladder = daptomycin_target(), daptomycin_ladder()
    choosers, roc, notes = _trained(model, target, ladder, size)
    covariates = draw_covariates(population_of(model), size.patients, seed=SEEDS["judged patients"])
    doses = ladder.doses_mg(covariates)
    amounts = [rung.amount for rung in ladder.rungs]
    picks = {f"{amount:g} mg/kg": np.full(size.patients, amounts.index(amount)) for amount in PER_KG}
    kinds = dict.fromkeys(picks, "fixed") | dict.fromkeys((*choosers, *roc), "learner") | KINDS
    picks |= {name: chosen(chooser, covariates, doses) for name, chooser in choosers.items()}
    prior = Prior.of(model)
    own = chance_table(
        model=prior.model,
        covariates=prior.covariates(covariates),
        target=target,
        ladder=ladder,
        etas=prior.etas(size.own_draws, seed=SEEDS["integration"]),
    )
    picks[INTEGRATION] = np.argmax(own, axis=1)

    def judged(truth: DrugModel, words: str, ranking: Mapping[str, Score]) -> DoseTable:
        table = _judge(truth, covariates, target, ladder, size)
        return virtual_table(
            "E5 daptomycin, first dose: AUC/MIC above 666 and C0 below 24.3 mg/L, MIC 1 mg/L",
            trained_on=model.name,
            truth=truth.name,
            about=words,
            patients=size.patients,
            published=open_first_dose("E5").printed,
            measured={"rows": _regrets(table, picks), "kinds": kinds, "discrimination": ranking, "notes": notes, "design": design},
        )

    found = [judged(model, about, roc)]
    return found + ([judged(read_model(OTHER_E5), "another simulator, not seen in training", {})] if other else [])


def _trained(model: DrugModel, target: JointTarget, ladder: Ladder, size: Size) -> tuple[dict[str, Any], dict[str, Score], tuple[str, ...]]:
    """The published classifier with its ROC-AUC on the held-out quarter, and our learners on the same number of profiles."""
    covariates = draw_covariates(population_of(model), size.profiles, seed=SEEDS["profiles"])
    cut = 3 * size.profiles // 4
    train, test = ({name: v[part] for name, v in covariates.items()} for part in (slice(None, cut), slice(cut, None)))
    seen = simulate_patients(model, target, ladder, covariates=train, seed=SEEDS["training events"])
    unseen = simulate_patients(model, target, ladder, covariates=test, seed=SEEDS["test events"])
    published = EventClassifier.fit(seen, published=True)
    roc = {"published design, test": _ranking(published, unseen), ON_TRAINING: _ranking(published, seen)}
    rows = np.arange(len(unseen))
    rungs = _one_rung_each(len(unseen), len(ladder.rungs))
    prior = Prior.of(model)
    known = prior.covariates({**{name: np.full(len(unseen), v) for name, v in unseen.held.items()}, **unseen.covariates})
    truth = chance_table(prior.model, known, target, ladder, prior.etas(size.own_draws, seed=SEEDS["ceiling"]))
    roc[CEILING] = roc_score(unseen.success[rows, rungs], truth[rows, rungs])
    ours = training_patients(model, target, ladder, n=size.profiles, courses=size.courses, seed=SEEDS["profiles"])
    several = EventClassifier.fit(ours)
    roc[f"classifier, {size.courses} courses a patient, test"] = _ranking(several, unseen)
    choosers = {
        "classifier, published design": published,
        f"classifier, {size.courses} courses a patient": several,
        "exposure regressed, with its spread": ExposureRegressor.fit(ours),
        "dose regressed directly": DirectDose.fit(ours),
        "decision tree": DoseTree.fit(ours),
    }
    lost = seen.left_out + unseen.left_out
    notes = (f"{lost} of {size.profiles} profiles left out: a clearance or volume of zero or less",) if lost else ()
    return choosers, roc, ("doses every 0.5 mg/kg; the paper's grid and MIC are not in what could be read", *notes)


def _one_rung_each(n: int, m: int) -> NDArray[np.int64]:
    return stream(SEEDS["rung of a test profile"], "rung of each test profile").integers(0, m, size=n)


def _ranking(classifier: EventClassifier, virtual: Any) -> Score:
    rungs = _one_rung_each(len(virtual), len(virtual.ladder.rungs))
    rows = np.arange(len(virtual))
    predicted = classifier.probability(virtual.covariates, virtual.doses_mg[rows, rungs], rungs)
    return roc_score(virtual.success[rows, rungs], predicted)


def _judge(truth: DrugModel, covariates: Mapping[str, Array], target: JointTarget, ladder: Ladder, size: Size) -> Array:
    """P(target) of every rung for every patient under the judging model, (n, rungs); covariates it alone uses stand at their reference."""
    prior, n = Prior.of(truth), size.patients
    known = {name: covariates.get(name, np.full(n, c.reference)) for name, c in truth.covariates.items()}
    return chance_table(prior.model, prior.covariates(known), target, ladder, prior.etas(size.draws, seed=SEEDS["judging"], name="judging"))


def _regrets(table: Array, picks: Mapping[str, NDArray[np.int64]]) -> dict[str, Mapping[str, Score]]:
    best = np.nanmax(table, axis=1)
    rows = np.arange(len(table))
    found = {name: regret_scores(table[rows, rungs], best) for name, rungs in picks.items()}
    return found | {BEST: regret_scores(best, best)}
