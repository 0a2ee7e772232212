"""Michaelis-Menten by its equation, profiles a second: 10,000 patients, 14 days of twice-daily oral doses, 25 reading times.

    python benchmarks/nonlinear.py [--json] [--n 10000]

The baseline is SciPy's LSODA at the same tolerance, one patient at a time from dose to dose; the reference for a few patients is SciPy's
DOP853 at 1e-13. Then the steady state by Newton's method against doses given until nothing changes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.integrate import solve_ivp

from auctor.case import Covariates, Dose, Regimen, Route
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.pk.adaptive import RTOL
from auctor.pk.course import compiled_draws
from auctor.pk.timeline import build, stack

MODEL = """
schema = 1
drug = "phenytoin"
status = "draft"
population = "an example, not a published model"
reference = { cite = "none" }
units = { time = "h", dose = "mg", concentration = "mg/L" }
variability = { distribution = "lognormal", printed_as = "sd" }
[structure]
cmt = { depot = 1, central = 2 }
[parameters]
VMAX = { value = 18, unit = "1", iiv = 0.3, source = "example" }
KM = { value = 5, unit = "mg/L", iiv = 0.4, source = "example" }
V = { value = 45, unit = "L", iiv = 0.2, source = "example" }
KA = { value = 0.6, unit = "1/h", iiv = 0.3, source = "example" }
[odes]
A1 = "-KA * A1"
A2 = "KA * A1 - VMAX * (A2 / V) / (KM + A2 / V)"
[outputs]
2 = "A2 / V"
[residual]
concentration = { proportional = 0.15, source = "example" }
"""
AMOUNT, EVERY, DOSES = 150.0, 12.0, 28
TIMES = np.linspace(0.0, DOSES * EVERY, 26)[1:]


def model() -> DrugModel:
    """The example as a model file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "phenytoin.toml"
        path.write_text(MODEL)
        return read_model(path)


def regimen(*, steady: bool) -> Regimen:
    dose = Dose(time_h=0.0, amount_mg=AMOUNT, route=Route.ORAL, every_h=EVERY, additional=0 if steady else DOSES - 1, steady_state=steady)
    return Regimen(doses=(dose,))


def door(m: DrugModel, *, steady: bool, times: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Concentrations (n, times) for etas (n, p), by the engine's own compiled batch."""
    batch = stack([build(m, regimen(steady=steady), Covariates(), times)])
    one = {name: values[0] for name, values in batch.arrays.items()}
    return lambda etas: np.asarray(compiled_draws(m)(one, etas)[0])[:, : len(times)]


def by_scipy(p: dict[str, float], method: str, rtol: float) -> np.ndarray:
    """The same profile by solve_ivp, restarted at each dose."""

    def slope(_: float, a: np.ndarray) -> list[float]:
        c = a[1] / p["V"]
        return [-p["KA"] * a[0], p["KA"] * a[0] - p["VMAX"] * c / (p["KM"] + c)]

    state, found = np.zeros(2), []
    for k in range(DOSES):
        start, stop = k * EVERY, (k + 1) * EVERY
        state = state + np.asarray([AMOUNT, 0.0])
        inside = np.asarray([t for t in TIMES if start < t <= stop])
        run = solve_ivp(
            slope, (start, stop), state, method=method, rtol=rtol, atol=1e-10, t_eval=[*inside, *([] if stop in inside else [stop])]
        )
        found += list(run.y[1, : len(inside)] / p["V"])
        state = run.y[:, -1]
    return np.asarray(found)


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def profiles(m: DrugModel, etas: np.ndarray, few: int) -> dict[str, object]:
    run = door(m, steady=False, times=TIMES)
    cold, warm = timed(lambda: run(etas)), min(timed(lambda: run(etas)) for _ in range(3))
    values = run(etas)
    each = [{name: float(v) for name, v in m.individual({}, eta).items()} for eta in etas[:few]]
    baseline = timed(lambda: [by_scipy(p, "LSODA", RTOL) for p in each]) / few
    worst = max(np.max(np.abs(values[k] / by_scipy(each[k], "DOP853", 1e-13) - 1)) for k in range(min(few, 10)))
    return {
        "patients x times": f"{len(etas)} x {len(TIMES)}",
        "cold, profiles/s (compile or its cache included)": round(len(etas) / cold),
        "warm, profiles/s": round(len(etas) / warm),
        f"SciPy LSODA at rtol {RTOL:g}, profiles/s": round(1 / baseline, 1),
        "ratio warm / SciPy": round(len(etas) / warm * baseline),
        "largest relative error against DOP853 at 1e-13": float(f"{worst:.1e}"),
    }


def steady(m: DrugModel, etas: np.ndarray, doses: int) -> dict[str, object]:
    """The trough at steady state by Newton's method, and after `doses` doses."""
    run = door(m, steady=True, times=np.asarray([0.0]))
    first = run(etas)[:, 0]
    warm = min(timed(lambda: run(etas)) for _ in range(3))
    reached = np.isfinite(first)
    input_share = AMOUNT / EVERY / np.asarray([m.individual({}, eta)["VMAX"] for eta in etas])
    given = Regimen(doses=(Dose(time_h=0.0, amount_mg=AMOUNT, route=Route.ORAL, every_h=EVERY, additional=doses - 1),))
    quick = np.flatnonzero(input_share < 0.6)[:64]
    batch = stack([build(m, given, Covariates(), np.asarray([doses * EVERY]))])
    brute = np.asarray(compiled_draws(m)({k: v[0] for k, v in batch.arrays.items()}, etas[quick])[0])[:, 0]
    return {
        "steady states/s": round(len(etas) / warm),
        "without a steady state": int((~reached).sum()),
        "of these, dose rate below Vmax": int((~reached & (input_share < 1)).sum()),
        f"largest relative difference from {doses} doses (dose rate < 0.6 Vmax)": float(f"{np.max(np.abs(first[quick] / brute - 1)):.1e}"),
    }


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--few", type=int, default=20, help="patients that SciPy solves")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    m = model()
    etas = np.random.default_rng(1).standard_normal((options.n, len(m.eta_names))) @ np.linalg.cholesky(m.omega).T
    rows = {**profiles(m, etas, min(options.few, options.n)), **steady(m, etas, 400)}
    print(json.dumps(rows, indent=1) if options.json else "\n".join(f"{name:<75}{value}" for name, value in rows.items()))


if __name__ == "__main__":
    main()
