"""Silent mode: simulated stays through the real store. A right model passes, a biased laboratory does not, nothing is left out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import binom, norm
from sqlalchemy import select

from auctor.analysis.foretell import PROBABILITIES, mixture, percentile, quantiles
from auctor.models.model import Residual
from auctor.validate.control_chart import LIMIT, RUN_LENGTH, WEIGHT, counted, ewma, histogram, inside
from auctor.web.accounts.actor import EVERY_WARD, Actor, Role
from auctor.web.service import courses, entering, silent
from auctor.web.service.clinic import Clinic
from auctor.web.service.entering import Entered
from auctor.web.service.track_record import Track, as_data, track_record
from auctor.web.store import Store
from auctor.web.store.tables import Audit, Prediction, Score
from web_silent import AUTHOR, DOSES_H, admit, found_ward, level, pushed, simulate, stay

SECRET = b"a secret of the tests and of nothing else"
EVERYBODY = Actor(account_id=None, login="test", roles=frozenset({Role.VIEWER}), wards=frozenset({EVERY_WARD}), channel="cli")


def _clinic(folder: Path) -> Clinic:
    clinic = Clinic(store=Store.open(f"sqlite:///{folder}/auctor.db", secret=SECRET))
    found_ward(clinic)
    return clinic


@pytest.fixture
def clinic(quick_folder: Path) -> Iterator[Clinic]:
    found = _clinic(quick_folder)
    yield found
    found.store.close()


def tracks(clinic: Clinic) -> dict[str, Track]:
    return {track.method: track for track in track_record(clinic, EVERYBODY).tracks}


# --- the predictive distribution ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "residual",
    [
        Residual(proportional=0.1, additive=0.5),
        Residual(proportional=0.2, additive=0.0, kind="log"),
        Residual(proportional=0.1, additive=0.2, kind="combined1"),
        Residual(proportional=0.0, additive=3.0),
    ],
    ids=lambda residual: residual.kind,
)
def test_a_percentile_read_from_kept_quantiles_is_that_of_the_mixture(residual: Residual) -> None:
    f = np.exp(np.random.default_rng(1).normal(2.5, 0.4, 2000))
    kept = quantiles(residual, f)
    for y in np.quantile(f, [0.01, 0.1, 0.3, 0.5, 0.8, 0.97]) * 1.05:
        assert percentile(kept, float(y)) == pytest.approx(100 * float(mixture(residual, f, np.asarray([y]))[0]), abs=0.05)


def test_the_quantiles_of_one_normal_are_its_own() -> None:
    kept = quantiles(Residual(proportional=0.0, additive=2.0), np.full(10, 20.0))
    assert [kept[f"{p:g}"] for p in PROBABILITIES] == pytest.approx(list(20.0 + 2.0 * ndtri(PROBABILITIES)), abs=2e-3)


# --- the charts -----------------------------------------------------------------------------------------------------------------


def _chain(shift: float, states: int = 201) -> tuple[NDArray[np.float64], int]:
    """The EWMA as a Markov chain between its limits (Brook D, Evans DA, Biometrika 1972;59:539): transitions, and where it starts."""
    edges = np.linspace(-1, 1, states + 1) * LIMIT * math.sqrt(WEIGHT / (2 - WEIGHT))
    middles = (edges[1:] + edges[:-1]) / 2
    to = (edges[None, :] - (1 - WEIGHT) * middles[:, None]) / WEIGHT
    return np.diff(norm.cdf(to - shift), axis=1), states // 2


@pytest.mark.parametrize(("shift", "expected", "within"), [(0.0, RUN_LENGTH, 0.02), (0.5, 31.3, 0.02), (1.0, 10.3, 0.02)])
def test_the_run_lengths_are_those_of_lucas_and_saccucci(shift: float, expected: float, within: float) -> None:
    steps, start = _chain(shift)
    lengths = np.linalg.solve(np.eye(len(steps)) - steps, np.ones(len(steps)))
    assert lengths[start] == pytest.approx(expected, rel=within)


def test_false_alarms_come_as_often_as_declared_and_a_shift_is_seen() -> None:
    n, charts, rng = 100, 300, np.random.default_rng(5)
    steps, start = _chain(0.0)
    declared = 1 - float(np.linalg.matrix_power(steps, n)[start].sum())
    alarms = sum(ewma(100 * rng.uniform(size=n)).first_signal is not None for _ in range(charts))
    assert binom.ppf(0.001, charts, declared) <= alarms <= binom.ppf(0.999, charts, declared)
    shifted = [ewma(100 * norm.cdf(rng.normal(0.5, 1, n))).first_signal for _ in range(30)]
    assert sum(found is not None for found in shifted) >= 27


def test_binomial_limits_hold_what_they_promise() -> None:
    for n, p in ((20, 0.9), (100, 0.5), (7, 0.1)):
        count = counted(0, n, p)
        below, above = binom.cdf(count.low - 1, n, p), binom.sf(count.high, n, p)
        assert below <= 0.005 and above <= 0.005
    assert [one.found for one in histogram([5, 15, 15, 95])] == [1, 2, 0, 0, 0, 0, 0, 0, 0, 1]
    assert not inside([99.0] * 30, 0.9).within and inside([50.0] * 3, 0.9).within


# --- through the store ----------------------------------------------------------------------------------------------------------


def test_a_right_model_is_calibrated_and_its_scores_are_those_computed_directly(clinic: Clinic) -> None:
    stays = [(stay(clinic, str(k), one), one) for k, one in enumerate(simulate(18, seed=11))]
    assert silent.follow(clinic) == 36 and silent.follow(clinic) == 0
    found = tracks(clinic)
    assert {method: track.n for method, track in found.items()} == {"a_priori": 36, "map": 18, "posterior": 18}
    for track in found.values():
        assert not track.signals, track
        assert abs(track.mean_error) < 0.15
    _check_directly(clinic, stays[0])
    data = json.dumps(as_data(track_record(clinic, EVERYBODY)), allow_nan=False)
    assert "Doe" not in data and stays[0][0] not in data


def _check_directly(clinic: Clinic, stay: tuple[str, Any]) -> None:
    """The second level's posterior prediction, made again from the case as it was, with the draws themselves instead of kept quantiles."""
    from auctor.analysis.run import lay_out
    from auctor.data.casefile import case_of
    from auctor.data.document import check_document
    from auctor.estimate import patient
    from auctor.web.service.engine import DRAWS, SEED, read

    course, neonate = stay
    document = courses.look(clinic, AUTHOR, course).document
    before = document | {"samples": document["samples"][:1]}
    model = read(document["model"])
    ready = lay_out(case_of(check_document(before), model), model, n_draws=DRAWS, seed=SEED).question.ready
    f = patient.posterior_estimate(ready.model, ready.case, DRAWS, SEED).predict(ready.case.history, np.asarray([47.0])).values[:, 0]
    y = float(f"{neonate.levels[1]:.6g}")
    with clinic.store.read(EVERYBODY) as reading:
        query = select(Score).join(Prediction).where(Prediction.course_id == course, Prediction.method == "posterior")
        (score,) = reading.session.scalars(query)
    assert score.percentile == pytest.approx(100 * float(mixture(model.residual, f, np.asarray([y]))[0]), abs=0.1)
    median = float(quantiles(model.residual, f)["0.5"])
    assert score.observed == pytest.approx(y) and score.error == pytest.approx((median - y) / y, rel=1e-6)


def test_a_laboratory_that_reads_high_trips_the_chart(clinic: Clinic) -> None:
    for k, one in enumerate(simulate(12, seed=12, bias=1.6)):
        stay(clinic, str(k), one)
    silent.follow(clinic)
    track = tracks(clinic)["a_priori"]
    assert "bias" in track.signals and track.chart.first_signal is not None and track.chart.first_signal <= 15
    assert track.mean_error < -0.2


def test_the_level_is_not_among_its_inputs_and_the_order_of_work_does_not_matter(clinic: Clinic) -> None:
    """The same stay, scored at each level or at the end, and with another second level: the same predictions from the same inputs."""
    (one,) = simulate(1, seed=13)
    other = SimpleNamespace(**vars(one) | {"levels": (one.levels[0], 3 * one.levels[1])})
    kept = []
    for number, neonate, often in (("1", one, True), ("2", one, False), ("3", other, False)):
        course = admit(clinic, number, neonate)
        for k, due in enumerate((1, 4)):
            given = 0 if k == 0 else 1
            entering.enter(clinic, AUTHOR, course, [pushed(neonate, dose) for dose in range(given, due)])
            entering.enter(clinic, AUTHOR, course, [level(neonate, k)])
            if often:
                assert silent.follow(clinic) == 1
        silent.follow(clinic)
        with clinic.store.read(EVERYBODY) as reading:
            rows = reading.session.scalars(select(Prediction).where(Prediction.course_id == course))
            kept.append({(row.method, row.for_at): row.quantiles for row in rows})
    assert len(kept[0]) == 4 and kept[0] == kept[1] == kept[2]


def test_corrections_are_scored_again_and_nothing_is_left_out_silently(clinic: Clinic) -> None:
    (one,) = simulate(1, seed=14)
    course = admit(clinic, "1", one)
    entering.enter(clinic, AUTHOR, course, [pushed(one, k) for k in range(len(DOSES_H))])
    (first,) = entering.enter(clinic, AUTHOR, course, [level(one, 0)])
    (second,) = entering.enter(clinic, AUTHOR, course, [level(one, 1)])
    below = Entered(kind="sample", body={"value": "<1 mg/L", "at": "2026-03-06T08:00:00+00:00", "matrix": "serum"})
    entering.enter(clinic, AUTHOR, course, [below])
    patient = courses.look(clinic, AUTHOR, course).patient.id
    empty = courses.open_course(clinic, AUTHOR, patient, drug="tacrolimus", time_zone="Europe/Paris")
    entering.enter(clinic, AUTHOR, empty, [Entered(kind="sample", body=below.body | {"value": "5 ng/mL", "matrix": "whole blood"})])
    assert silent.follow(clinic) == 4
    record = track_record(clinic, EVERYBODY)
    assert (record.levels, record.scored, record.not_foretold, record.waiting) == (4, 3, 1, 0)
    assert {track.method: track.outside_limits for track in record.tracks} == {"a_priori": 1, "map": 1, "posterior": 1}
    before = tracks(clinic)["a_priori"]
    entering.correct(clinic, AUTHOR, first, made_from=1, body=level(one, 0).body | {"value": "90 mg/L"}, reason="typing error")
    entering.use(clinic, AUTHOR, first, made_from=2, used=False, reason="haemolysed")
    entering.withdraw(clinic, AUTHOR, second, made_from=1, reason="another patient's")
    assert track_record(clinic, EVERYBODY).waiting == 1
    assert silent.follow(clinic) == 1
    record = track_record(clinic, EVERYBODY)
    assert (record.levels, record.scored, record.left_out_by_a_person, record.withdrawn) == (3, 2, 1, 1)
    assert tracks(clinic)["a_priori"].root_mean_square_error > before.root_mean_square_error


def test_scoring_leaves_one_entry_a_level_and_shows_each_ward_its_own(clinic: Clinic) -> None:
    stay(clinic, "1", simulate(1, seed=15)[0])
    silent.follow(clinic)
    with clinic.store.read(EVERYBODY) as reading:
        entries = reading.session.scalars(select(Audit).where(Audit.action == "silent.score")).all()
    assert len(entries) == 2 and all(entry.ward == "icu" for entry in entries)
    stranger = Actor(account_id=None, login="x", roles=frozenset({Role.VIEWER}), wards=frozenset({"renal"}), channel="page")
    hidden = track_record(clinic, stranger)
    assert hidden.levels == 0 and hidden.tracks == ()
