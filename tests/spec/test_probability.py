"""Probabilities of an event: recalibration against logistic regression, scores against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from auctor.learn.probability import Recalibration, event_scores, logit, reliability, roc_auc


@pytest.fixture(scope="module")
def patients() -> tuple[np.ndarray, np.ndarray]:
    """What was said, and what happened with log odds 0.5 + 0.6 of it: an estimator that is too sure."""
    rng = np.random.default_rng(3)
    said = 1 / (1 + np.exp(-rng.normal(0, 2, 4000)))
    return said, (rng.uniform(size=4000) < 1 / (1 + np.exp(-(0.5 + 0.6 * logit(said))))).astype(float)


def test_recalibration_is_a_logistic_regression_on_the_logit(patients: tuple[np.ndarray, np.ndarray]) -> None:
    said, happened = patients
    found = Recalibration.fit(said, happened)
    exact = LogisticRegression(C=np.inf).fit(logit(said)[:, None], happened)
    assert (found.a, found.b) == pytest.approx((exact.intercept_[0], exact.coef_[0, 0]), abs=5e-3)
    assert (found.a, found.b) == pytest.approx((0.5, 0.6), abs=0.1)
    after = found(said)
    assert after.mean() == pytest.approx(happened.mean(), abs=1e-3)
    for fifth in reliability(after, happened):
        assert fifth["said"] == pytest.approx(fifth["happened"], abs=0.05)


def test_few_patients_and_a_perfect_split_leave_it_finite_and_nearly_as_it_is() -> None:
    one = Recalibration.fit(np.array([0.9]), np.array([1.0]))
    assert (one.a, one.b) == pytest.approx((0.0, 1.0), abs=0.2)
    split = Recalibration.fit(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert 1.0 < split.b < 3.0 and abs(split.a) < 0.1


def test_scores_are_those_of_scikit_learn(patients: tuple[np.ndarray, np.ndarray]) -> None:
    said, happened = (column[:300] for column in patients)
    found = event_scores(said, happened, 0.5, seed=1)
    assert found["log loss"].value == pytest.approx(log_loss(happened, said))
    assert found["ROC-AUC"].value == pytest.approx(roc_auc_score(happened, said))
    assert found["ROC-AUC"].value == pytest.approx(roc_auc(happened, said))
    assert found["Brier of the prevalence"].value == pytest.approx(0.25)
    assert all(one.low <= one.value <= one.high for one in found.values())
