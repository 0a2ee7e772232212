"""Published first-dose studies again: E5 daptomycin (Rivals 2024) and E8 vancomycin in neonates (Ponthier 2022), scored by regret.

Whoever makes the truth is named in every table. Published numbers are those of the project's study notes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
from auctor.population.virtual import draw_covariates, stream
from auctor.validate.regret import regret_scores, roc_score

if TYPE_CHECKING:
    from rich.table import Table

Array = NDArray[np.float64]
Progress = Callable[[str, float], None]
PUBLISHED_E5 = "Rivals 2024 (Clin Pharmacokinet 63:1137): ROC-AUC 0.762 train, 0.761 test; attainment on patients not in the abstract"


def _quiet(_stage: str, _share: float) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class FirstDoseStudy:
    """One table. `truth` names the model that the probabilities are under; rows: method -> {P(target), regret}.

    `discrimination`: what -> ROC-AUC, empty where the study has none. All with bootstrap 95 % intervals over patients.
    """

    title: str
    trained_on: str
    truth: str
    patients: int
    published: str
    rows: Mapping[str, Mapping[str, Score]]
    discrimination: Mapping[str, Score]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; probabilities as fractions, rounded to six decimals."""
        head = {"title": self.title, "trained_on": self.trained_on, "truth": self.truth, "patients": self.patients}
        return {
            **head,
            "published": self.published,
            "methods": {m: {name: s.as_dict() for name, s in scores.items()} for m, scores in self.rows.items()},
            "roc_auc": {name: s.as_dict() for name, s in self.discrimination.items()},
            "notes": list(self.notes),
        }

    def table(self) -> Table:
        """For the terminal: per cent with 95 % bootstrap intervals."""
        from rich.table import Table

        lines = [f"ROC-AUC {name}: {s.value:.3f} ({s.low:.3f} to {s.high:.3f})" for name, s in self.discrimination.items()]
        title = f"{self.title}; trained on {self.trained_on}, truth {self.truth}, {self.patients} virtual patients"
        found = Table("method", "P(target)", "regret", title=title, caption="\n".join((*lines, *self.notes)))
        for method, scores in self.rows.items():
            found.add_row(method, str(scores["P(target)"]), str(scores["regret"]))
        return found


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a study is: profiles to train on, patients and eta draws to judge with, eta draws of the integration."""

    profiles: int
    patients: int
    draws: int
    own_draws: int
    courses: int


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
    "daptomycin_dvorchik_2004@woillard_code": "the group's code as it runs (precedence slip in Q and V2, infection left out)",
    "daptomycin_dvorchik_2004": "the same model with the slip corrected",
}
OTHER_E5 = "daptomycin_xu_2017"


def daptomycin_first_dose(*, quick: bool = False, progress: Progress = _quiet) -> tuple[FirstDoseStudy, ...]:
    """E5: for each coding of the generator the published design and ours; the corrected one also under another published model."""
    size, found = QUICK if quick else FULL, []
    for k, name in enumerate(list(GENERATORS_E5)[1:] if quick else GENERATORS_E5):
        progress(name, k / len(GENERATORS_E5))
        found += _daptomycin(read_model(name), GENERATORS_E5[name], size, other="@" not in name)
    return tuple(found)


def _daptomycin(model: DrugModel, about: str, size: Size, *, other: bool) -> list[FirstDoseStudy]:
    target, ladder = daptomycin_target(), daptomycin_ladder()
    choosers, roc, notes = _trained(model, target, ladder, size)
    covariates = draw_covariates(population_of(model), size.patients, seed=2)
    doses = ladder.doses_mg(covariates)
    picks = {f"{ladder.rungs[j].amount:g} mg/kg": np.full(size.patients, j) for j in (4, 8, 12)}
    picks |= {name: chosen(chooser, covariates, doses) for name, chooser in choosers.items()}
    prior = Prior.of(model)
    own = chance_table(
        model=prior.model, covariates=prior.covariates(covariates), target=target, ladder=ladder, etas=prior.etas(size.own_draws, seed=3)
    )
    picks["popPK integration over the prior"] = np.argmax(own, axis=1)

    def judged(truth: DrugModel, words: str, ranking: Mapping[str, Score]) -> FirstDoseStudy:
        table = _judge(truth, covariates, target, ladder, size)
        return FirstDoseStudy(
            title="E5 daptomycin, first dose: AUC/MIC above 666 and C0 below 24.3 mg/L, MIC 1 mg/L",
            trained_on=model.name,
            truth=f"{truth.name} ({words})",
            patients=size.patients,
            published=PUBLISHED_E5,
            rows=_regrets(table, picks),
            discrimination=ranking,
            notes=notes,
        )

    found = [judged(model, about, roc)]
    return found + ([judged(read_model(OTHER_E5), "another simulator, not seen in training", {})] if other else [])


def _trained(model: DrugModel, target: JointTarget, ladder: Ladder, size: Size) -> tuple[dict[str, Any], dict[str, Score], tuple[str, ...]]:
    """The published classifier with its ROC-AUC on the held-out quarter, and our learners on the same number of profiles."""
    covariates = draw_covariates(population_of(model), size.profiles, seed=1)
    cut = 3 * size.profiles // 4
    train, test = ({name: v[part] for name, v in covariates.items()} for part in (slice(None, cut), slice(cut, None)))
    seen = simulate_patients(model, target, ladder, covariates=train, seed=11)
    unseen = simulate_patients(model, target, ladder, covariates=test, seed=12)
    published = EventClassifier.fit(seen, published=True)
    roc = {"published design, test": _ranking(published, unseen), "published design, training part": _ranking(published, seen)}
    rows = np.arange(len(unseen))
    rungs = _one_rung_each(len(unseen), len(ladder.rungs))
    prior = Prior.of(model)
    known = prior.covariates({**{name: np.full(len(unseen), v) for name, v in unseen.held.items()}, **unseen.covariates})
    truth = chance_table(prior.model, known, target, ladder, prior.etas(size.own_draws, seed=13))
    roc["ceiling: the generator's own probability, test"] = roc_score(unseen.success[rows, rungs], truth[rows, rungs])
    ours = training_patients(model, target, ladder, n=size.profiles, courses=size.courses, seed=1)
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
    return stream(0, "rung of each test profile").integers(0, m, size=n)


def _ranking(classifier: EventClassifier, virtual: Any) -> Score:
    rungs = _one_rung_each(len(virtual), len(virtual.ladder.rungs))
    rows = np.arange(len(virtual))
    predicted = classifier.probability(virtual.covariates, virtual.doses_mg[rows, rungs], rungs)
    return roc_score(virtual.success[rows, rungs], predicted)


def _judge(truth: DrugModel, covariates: Mapping[str, Array], target: JointTarget, ladder: Ladder, size: Size) -> Array:
    """P(target) of every rung for every patient under the judging model, (n, rungs); covariates it alone uses stand at their reference."""
    prior, n = Prior.of(truth), size.patients
    known = {name: covariates.get(name, np.full(n, c.reference)) for name, c in truth.covariates.items()}
    return chance_table(prior.model, prior.covariates(known), target, ladder, prior.etas(size.draws, seed=5, name="judging"))


def _regrets(table: Array, picks: Mapping[str, NDArray[np.int64]]) -> dict[str, Mapping[str, Score]]:
    best = np.nanmax(table, axis=1)
    rows = np.arange(len(table))
    found = {name: regret_scores(table[rows, rungs], best) for name, rungs in picks.items()}
    return found | {"best possible of these doses": regret_scores(best, best)}
