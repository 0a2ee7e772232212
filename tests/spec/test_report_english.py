"""The English sentences of the report are what they were before they became messages of a catalogue: to the letter."""

from __future__ import annotations

from auctor.analysis import analyse
from auctor.case import Case, Covariates, Regimen, Route, Sample
from auctor.models.reader import read_model
from auctor.report.words import interpretations

TEXTS = [
    (
        "1 of 2 level(s) lies outside the 5-95 % range predicted beforehand: sample 1 at the 99.8th percentile. Check t"
        "imes and doses before trusting the fit."
    ),
    (
        "3 mg every 12 h: Cavg0-24 71.3 mg/L (90 % interval 63.6–79.7) at steady state (Posterior). In natural frequenc"
        "ies: 0 of 10 below, 0 of 10 within and 10 of 10 above the target."
    ),
    (
        "Posterior selects 3 mg every 24 h: Cavg0-24 35.7 mg/L (90 % interval 31.8–39.9) at steady state; 0 of 10 below"
        ", more than 9 of 10 within and fewer than 1 of 10 above the target. Other methods select: MAP: 3 mg every 24 h"
        "."
    ),
    (
        "The slowest half-life is about 9 days (Posterior), so a changed regimen comes near its steady state after 38 d"
        "ays. The estimate does not need steady state: a level with exact times from 9 days on already narrows it. Meas"
        "ure earlier when the condition, an interacting drug or the route changes."
    ),
]


def test_the_four_interpretations_of_one_patient_read_as_they_did() -> None:
    case = Case(
        label="A",
        drug="phenobarbital",
        history=Regimen.steady(3, every_h=12, route=Route.IV),
        samples=(Sample(time_h=6.0, value=90.0), Sample(time_h=12.0, value=60.0)),
        covariates=Covariates(series={"WT": ((0.0, 1.2),), "APGR": ((0.0, 7.0),)}),
    )
    assert [t.text for t in interpretations(analyse(case, read_model("phenobarbital_grasela_1985"), n_draws=500))] == TEXTS
