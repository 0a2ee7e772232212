"""Nothing is compiled per patient, and a thousand estimates in a row come back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import auctor
from auctor.case import Case, Covariates, Dose, Metric, Regimen, Route, Sample
from auctor.estimate import patient
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.pk import kept
from auctor.pk.kept import Kept


def case_of(k: int) -> Case:
    """Patients that differ in doses, their number, infusions, levels, their number, and covariates."""
    doses = tuple(Dose(time_h=12.0 * i, amount_mg=750 + 250 * k, route=Route.IV, duration_h=1 + 0.5 * (k % 2)) for i in range(1 + k))
    samples = tuple(Sample(time_h=12.0 * k + 2 + 3 * j, value=25.0 - 4 * j + k) for j in range(1 + k % 3))
    covariates = Covariates.constant({"CRCL": 60.0 + 15 * k, "WT": 60.0 + 8 * k, "DIAL": 0.0})
    return Case(label=f"p{k}", drug="vancomycin", history=Regimen(doses=doses), samples=samples, covariates=covariates)


def analysed(model: DrugModel, case: Case) -> tuple[float, float]:
    """AUC0-24 of the next regimen, by MAP and by the posterior: every compiled function of one patient's analysis."""
    plan = Regimen.steady(1000, every_h=12, route=Route.IV, duration_h=1)
    found = patient.fit(model, case)
    mode = patient.map_estimate(model, case, found=found).exposure(plan, Metric.parse("AUC0-24"))
    return mode.point, patient.posterior_estimate(model, case, n_draws=500, found=found).exposure(plan, Metric.parse("AUC0-24")).point


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of what was compiled (or read back), in order."""
    keys: list[str] = []
    compile_one: Callable[..., Any] = Kept._compiled

    def counted(self: Kept, *args: Any) -> Any:
        keys.append(self.key)
        return compile_one(self, *args)

    monkeypatch.setattr(Kept, "_compiled", counted)
    return keys


def test_the_second_patient_compiles_nothing(compiled: list[str]) -> None:
    """Five patients of one model with different doses, samples and covariates: only the first one may compile."""
    model = read_model("vancomycin_goti_2018")
    first = analysed(model, case_of(0))
    at_first = len(compiled)
    rest = [analysed(model, case_of(k)) for k in range(1, 5)]
    assert compiled[at_first:] == []
    assert len({first, *rest}) == 5 and np.isfinite([first, *rest]).all()


THOUSAND = """
import numpy as np
from test_compilations import case_of
from auctor.estimate import patient
from auctor.models.reader import read_model

model = read_model("vancomycin_goti_2018")
found = np.asarray([patient.fit(model, case_of(k % 5)).eta[0] for k in range(1000)])
assert np.isfinite(found).all() and (found[:5] == found[-5:]).all()
print("done")
"""


def test_a_thousand_estimates_in_a_row() -> None:
    """jaxlib 0.10 deadlocks on two cores within a few calls (docs/adr); in a process of its own, so that a deadlock ends as a failure."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(Path(auctor.__file__).parents[1])])}
    run = subprocess.run([sys.executable, "-c", THOUSAND], capture_output=True, text=True, timeout=200, env=environment)
    assert run.returncode == 0 and run.stdout.strip() == "done", run.stderr


def test_compiled_functions_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest one goes when there are too many, and is compiled again when it is wanted."""
    monkeypatch.setattr(kept, "MOST_LIVE", 2)
    monkeypatch.setattr(kept, "_LIVE", deque())
    double = Kept(lambda x: 2 * x, "test of room")
    assert [float(double(np.ones(n))[0].sum()) for n in (1, 2, 3)] == [2.0, 4.0, 6.0]
    assert len(double._calls) == 2
    assert float(double(np.ones(1))[0][0]) == 2.0


def test_memory_maps_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process out of memory maps dies without a word: the oldest functions go before that, the last few never."""
    monkeypatch.setattr(kept, "MOST_MAPS", 1)
    monkeypatch.setattr(kept, "LEAST_LIVE", 2)
    monkeypatch.setattr(kept, "_LIVE", deque())
    triple = Kept(lambda x: 3 * x, "test of maps")
    assert [float(triple(np.ones(n))[0].sum()) for n in (1, 2, 3, 4)] == [3.0, 6.0, 9.0, 12.0]
    assert len(triple._calls) == 2
