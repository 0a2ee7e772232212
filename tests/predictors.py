"""Every method that answers for one patient: the contract tests of `tests/spec/test_predictors.py` run over `ALL`.

A new method is one file in `auctor` and one line here.
"""

from __future__ import annotations

from collections.abc import Callable

from auctor.case import Case
from auctor.estimate.nuts import nuts_estimate
from auctor.estimate.patient import a_priori, laplace_estimate, map_estimate, posterior_estimate
from auctor.learn.amortised.store import amortised_for
from auctor.learn.store import learner_for
from auctor.models.model import DrugModel
from auctor.predictor import Predictor

Method = Callable[[DrugModel, Case], Predictor]

ALL: dict[str, Method] = {
    "a priori": a_priori,
    "MAP": map_estimate,
    "Laplace": laplace_estimate,
    "posterior": posterior_estimate,
    "NUTS": nuts_estimate,
    "machine learning": lambda model, case: learner_for("tacrolimus_quick").predictor(case, model),
    "amortised": lambda model, case: amortised_for("tacrolimus_amortised_quick").estimate(case),
}
