"""How many steady-state profiles a second, and how exact: 10,000 virtual patients x 25 times, 2 compartments, 3 Erlang stages.

    python benchmarks/profiles.py [--json] [--n 10000]

The reference is the whole linear system solved at 30 digits (mpmath) for a random sample of patients; the baseline is a SciPy matrix
exponential per patient and time.
"""

from __future__ import annotations

import argparse
import json
import time

import mpmath
import numpy as np
from scipy.linalg import expm

from auctor.models.reader import read_model
from auctor.pk.steady import compiled_steady

MODEL = "tacrolimus_woillard_2011"
DOSE, EVERY, TIMES = 3.0, 12.0, np.linspace(0.0, 12.0, 25)


def patients(n: int) -> dict[str, np.ndarray]:
    """Individual parameters of n virtual patients, (n,) each."""
    model = read_model(MODEL)
    rng = np.random.default_rng(1)
    etas = rng.standard_normal((n, len(model.eta_names))) @ np.linalg.cholesky(model.omega).T
    covariates = {"HCT": rng.uniform(21, 46, n), "CYP3A5": (rng.random(n) < 0.08) * 1.0, "FORM": (rng.random(n) < 0.5) * 1.0}
    return {name: np.broadcast_to(np.asarray(v, dtype=float), (n,)) for name, v in model.individual(covariates, etas).items()}


def exact(p: dict[str, float]) -> list[float]:
    """Concentrations at TIMES to 30 digits: the steady state of the full linear system, solved with mpmath."""
    with mpmath.workdps(30):
        ktr, cl, v1, q, v2 = (mpmath.mpf(p[k]) for k in ("KTR", "CL", "V1", "Q", "V2"))
        g = mpmath.zeros(5)
        for i in range(3):
            g[i, i], g[i + 1, i] = -ktr, ktr
        g[3, 3], g[3, 4], g[4, 3], g[4, 4] = -(cl + q) / v1, q / v2, q / v1, -q / v2
        dose = mpmath.matrix([DOSE, 0, 0, 0, 0])
        after = mpmath.lu_solve(mpmath.eye(5) - mpmath.expm(g * EVERY), dose)
        phases = [t if t > 0 else EVERY for t in TIMES]
        return [float((mpmath.expm(g * t) * after)[3] / v1) for t in phases]


def by_matrix_exponential(params: dict[str, np.ndarray], n: int) -> float:
    """Seconds for n patients by scipy.linalg.expm, one matrix per time."""
    start = time.perf_counter()
    for k in range(n):
        ktr, cl, v1, q, v2 = (params[name][k] for name in ("KTR", "CL", "V1", "Q", "V2"))
        g = np.diag([-ktr, -ktr, -ktr, -(cl + q) / v1, -q / v2])
        g[1, 0] = g[2, 1] = g[3, 2] = ktr
        g[3, 4], g[4, 3] = q / v2, q / v1
        after = np.linalg.solve(np.eye(5) - expm(g * EVERY), [DOSE, 0, 0, 0, 0])
        _ = expm(g[None] * TIMES[:, None, None]) @ after
    return time.perf_counter() - start


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--sample", type=int, default=100, help="patients compared with the reference")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    n, params = options.n, patients(options.n)
    run = compiled_steady(read_model(MODEL))
    columns = (np.full(n, DOSE), np.full(n, EVERY), np.zeros(n), np.tile(TIMES, (n, 1)))

    def once() -> np.ndarray:
        return np.asarray(run(params, *columns)[0])

    start = time.perf_counter()
    values = once()
    cold = time.perf_counter() - start
    warm = min(_timed(once) for _ in range(5))
    chosen = np.random.default_rng(2).choice(n, min(options.sample, n), replace=False)
    worst = max(np.max(np.abs(values[k] / exact({name: v[k] for name, v in params.items()}) - 1)) for k in chosen)
    baseline = by_matrix_exponential(params, min(n, 300)) / min(n, 300)
    rows = {
        "patients x times": f"{n} x {len(TIMES)}",
        "cold, profiles/s (compile or its cache included)": round(n / cold),
        "warm, profiles/s": round(n / warm),
        "SciPy matrix exponential, profiles/s": round(1 / baseline),
        "ratio warm / SciPy": round(n / warm * baseline, 1),
        f"largest relative error, {len(chosen)} patients against 30 digits": float(f"{worst:.2e}"),
    }
    print(json.dumps(rows, indent=1) if options.json else "\n".join(f"{name:<62}{value}" for name, value in rows.items()))


def _timed(call: object) -> float:
    start = time.perf_counter()
    call()  # type: ignore[operator]
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
