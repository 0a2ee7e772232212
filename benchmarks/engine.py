"""The engine's speed: simulation, batched and single MAP, posterior, cold start; ratios against SciPy in the same run.

    python benchmarks/engine.py [--json] [--n 10000] [--only simulation map single posterior cold]

Warm figures are the best of several repeats on this machine. `aim` is what the engine was asked to reach on two cores. Baselines: SciPy's
`solve_ivp` (LSODA, rtol 1e-8) for a profile, SciPy's L-BFGS-B on the same objective (in NumPy, gradient by differences) for a MAP.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

from auctor.case import Case, Covariates, Dose, Regimen, Route, Sample
from auctor.estimate import map as search
from auctor.estimate.map import map_batch
from auctor.estimate.objective import sample_terms, variance
from auctor.estimate.observations import Observations
from auctor.estimate.patient import fit, penalty, posterior_estimate
from auctor.models.model import DrugModel
from auctor.models.reader import library_path, read_model
from auctor.pk.course import concentrations
from auctor.pk.direct import readings
from auctor.pk.steady import compiled_steady
from auctor.pk.timeline import Batch, build, stack

ROOT = Path(__file__).resolve().parents[1]
TEXT = """
schema = 1
drug = "benchmark"
status = "draft"
population = "four etas on a two-compartment model"
reference = {{ cite = "none" }}
units = {{ time = "h", dose = "mg", concentration = "mg/L" }}
variability = {{ distribution = "lognormal", printed_as = "sd" }}
[structure]
absorption = {{ {absorption} }}
disposition = {{ kind = "two_compartment", CL = "CL", V1 = "V1", Q = "Q", V2 = "V2" }}
[parameters]
CL = {{ value = 4.5, unit = "L/h", iiv = 0.35, source = "none" }}
V1 = {{ value = 40, unit = "L", iiv = 0.35, source = "none" }}
Q = {{ value = 6, unit = "L/h"{q}, source = "none" }}
V2 = {{ value = 40, unit = "L", iiv = 0.35, source = "none" }}
{more}
[residual]
concentration = {{ proportional = 0.1, additive = 0.2, unit = "mg/L", source = "none" }}
"""
INFUSION = TEXT.format(absorption='kind = "none"', q=", iiv = 0.35", more="")
ERLANG = TEXT.format(
    absorption='kind = "erlang", stages = 3, rate = "KTR"', q="", more='KTR = { value = 3, unit = "1/h", iiv = 0.3, source = "none" }'
)


class Row(NamedTuple):
    """One line of the table: what, how many a unit, what was asked for, and how many times the baseline."""

    name: str
    value: float
    unit: str
    aim: str = ""
    ratio: float | None = None


def model_of(text: str) -> DrugModel:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.toml"
        path.write_text(text)
        return read_model(path)


def best(call: Callable[[], object], repeats: int = 7) -> float:
    """Seconds of the fastest of several calls, the first (which may compile) left out."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


# --- simulation -------------------------------------------------------------------------------------------------------


def simulation(n: int) -> Iterator[Row]:
    """Profiles a second: analytic infusion, Erlang at steady state, irregular histories of 39 events."""
    times = np.linspace(0.0, 12.0, 25)
    for name, text, length, aim in (("infusion", INFUSION, 1.0, ""), ("Erlang, oral", ERLANG, 0.0, ">= 2,000,000")):
        model = model_of(text)
        params = individuals(model, n)
        columns = (np.full(n, 500.0), np.full(n, 12.0), np.full(n, length), np.tile(times, (n, 1)))
        run = compiled_steady(model)
        seconds = best(lambda run=run, params=params, columns=columns: np.asarray(run(params, *columns)[0]))
        baseline = by_solver(model, {k: v[0] for k, v in params.items()}, length)
        yield Row(f"{name}, steady state, {n} x 25", n / seconds, "profiles/s", aim, n / seconds * baseline)
    model, batch = model_of(INFUSION), histories(model_of(INFUSION), n)
    etas = np.random.default_rng(2).standard_normal((n, 4)) * 0.3
    seconds = best(lambda: concentrations(model, batch, etas))
    yield Row(f"irregular histories of 39 events, {n}", n / seconds, "profiles/s", ">= 500,000")


def individuals(model: DrugModel, n: int) -> dict[str, np.ndarray]:
    etas = np.random.default_rng(1).standard_normal((n, len(model.eta_names))) * 0.3
    return {name: np.broadcast_to(np.asarray(v, dtype=float), (n,)).copy() for name, v in model.individual({}, etas).items()}


def histories(model: DrugModel, n: int) -> Batch:
    """12 infusions at irregular times and 15 readings: 39 events a patient; 200 different ones, repeated."""
    rng = np.random.default_rng(3)
    made = []
    for _ in range(200):
        starts = np.cumsum(rng.uniform(4, 16, 12))
        doses = tuple(Dose(time_h=float(t), amount_mg=float(rng.uniform(300, 900)), route=Route.IV, duration_h=1.0) for t in starts)
        made.append(build(model, Regimen(doses=doses), Covariates(), np.sort(rng.uniform(1, 150, 15))))
    batch = stack(made)
    rows = np.arange(n) % 200
    return Batch({name: values[rows] for name, values in batch.arrays.items()}, n, batch.n_wanted[rows])


def by_solver(model: DrugModel, p: dict[str, float], length: float) -> float:
    """Seconds of one profile by solve_ivp: twenty doses to steady state, then 25 readings."""
    stages = model.structure.stages

    def slope(t: float, a: np.ndarray, rate: float) -> list[float]:
        chain = [-p["KTR"] * a[0]] + [p["KTR"] * (a[i - 1] - a[i]) for i in range(1, stages)] if stages else []
        c, d = a[stages], a[stages + 1]
        arriving = p["KTR"] * a[stages - 1] if stages else rate
        central = arriving - (p["CL"] + p["Q"]) / p["V1"] * c + p["Q"] / p["V2"] * d
        return [*chain, central, p["Q"] / p["V1"] * c - p["Q"] / p["V2"] * d]

    start, state = time.perf_counter(), np.zeros(stages + 2)
    for k in range(21):
        state[0] += 0 if length else 500.0
        for rate, span in ((500.0 / length, length), (0.0, 12.0 - length)) if length else ((0.0, 12.0),):
            t = np.linspace(0, span, 25) if k == 20 else [span]
            state = solve_ivp(slope, (0, span), state, t_eval=t, args=(rate,), method="LSODA", rtol=1e-8, atol=1e-10).y[:, -1]
    return time.perf_counter() - start


# --- MAP and posterior ------------------------------------------------------------------------------------------------


class World(NamedTuple):
    """Virtual patients with three levels each."""

    model: DrugModel
    batch: Batch
    seen: Observations
    cases: list[Case]


def world(text: str, n: int, cases: int = 200) -> World:
    """Four infusions (or oral doses at steady state) and three levels with the full residual error."""
    model, rng = model_of(text), np.random.default_rng(4)
    oral = model.structure.absorption != "none"
    route, length = (Route.ORAL, 0.0) if oral else (Route.IV, 1.0)
    times = np.asarray([1.0, 3.0, 12.0]) if oral else np.asarray([26.0, 30.0, 35.9])
    made = []
    for _ in range(200):
        amount = float(rng.uniform(400, 1200))
        steady = Regimen(doses=(Dose(time_h=0, amount_mg=amount, route=route, every_h=12, steady_state=True),))
        single = tuple(Dose(time_h=12.0 * k, amount_mg=amount, route=route, duration_h=length) for k in range(4))
        regimen = steady if oral else Regimen(doses=single[:3])
        made.append((regimen, build(model, regimen, Covariates(), times + rng.uniform(-0.2, 0.2, 3))))
    small = stack([timeline for _, timeline in made])
    rows = np.arange(n) % 200
    batch = Batch({name: values[rows] for name, values in small.arrays.items()}, n, small.n_wanted[rows])
    etas = rng.standard_normal((n, len(model.eta_names))) @ np.linalg.cholesky(model.omega).T
    f = concentrations(model, batch, etas)
    y = np.maximum(f + np.sqrt(variance(model.residual, f)) * rng.standard_normal(f.shape), 0.01)
    weight = (np.arange(f.shape[1]) < 3) * np.ones_like(f)
    seen = Observations(np.where(weight > 0, y, 0.0), weight, np.zeros((n, 0), dtype=np.int64), np.zeros_like(f))
    ordered = [np.sort(times) for _ in range(cases)]
    people = [
        Case(
            label=f"b{i}", drug="benchmark", history=made[i % 200][0],
            samples=tuple(Sample(time_h=float(t), value=float(v)) for t, v in zip(ordered[i], y[i, :3], strict=True)),
        )
        for i in range(cases)
    ]  # fmt: skip
    return World(model, batch, seen, people)


def batched_map(n: int) -> Iterator[Row]:
    """MAP of n patients, four etas, three samples: from one start, and from the default nine."""
    for name, text, aim in (("infusion", INFUSION, ">= 40,000"), ("Erlang", ERLANG, ">= 20,000")):
        w = world(text, n)
        single = map_batch(w.model, w.batch, w.seen, starts=1)
        several = map_batch(w.model, w.batch, w.seen)
        seconds = best(lambda w=w: map_batch(w.model, w.batch, w.seen, starts=1), 5)
        baseline = by_lbfgs(w, 20)
        yield Row(f"batched MAP, {name}, 4 etas, 3 samples, {n}", n / seconds, "patients/s", aim, n / seconds * baseline)
        yield Row("  of them at their gradient tolerance", float(single.converged.mean()) * 100, "%", "100")
        yield Row("  a better mode from nine starts", float((several.ofv < single.ofv - 1e-6).mean()) * 100, "%")
        yield Row("  from nine starts", n / best(lambda w=w: map_batch(w.model, w.batch, w.seen), 3), "patients/s")


def by_lbfgs(w: World, count: int) -> float:
    """Seconds a patient by L-BFGS-B."""
    start = time.perf_counter()
    for i in range(count):
        case = w.cases[i]
        timeline = build(w.model, case.history, case.covariates, [s.time_h for s in case.samples])
        own = Observations(np.asarray([s.value for s in case.samples]), np.ones(3), np.zeros(0, dtype=int), np.zeros(3))

        def ofv(eta: np.ndarray, timeline=timeline, own=own) -> float:
            f = readings(w.model, timeline, eta[None])[0]
            return float(sample_terms(w.model.residual, f, own).sum() + penalty(w.model, eta[None])[0])

        minimize(ofv, np.zeros(len(w.model.eta_names)), method="L-BFGS-B")
    return (time.perf_counter() - start) / count


def single(n: int) -> Iterator[Row]:
    """From a case to its modes: compiled and in NumPy, nine starts."""
    del n
    for name, text in (("infusion", INFUSION), ("Erlang", ERLANG)):
        w = world(text, 200)
        for how, compiled in (("compiled", True), ("NumPy, nothing to compile", False)):
            fit(w.model, w.cases[0], compiled=compiled)
            took = []
            for case in w.cases:
                start = time.perf_counter()
                fit(w.model, case, compiled=compiled)
                took.append(1000 * (time.perf_counter() - start))
            aim = "<= 0.5" if compiled else ""
            yield Row(f"single MAP, {name}, {how}, p50", float(np.median(took)), "ms", aim)
            yield Row(f"single MAP, {name}, {how}, p95", float(np.quantile(took, 0.95)), "ms")
            if compiled:
                yield Row("  of it in the compiled descents, p50", 1000 * in_descents(w), "ms")


def in_descents(w: World) -> float:
    """Median seconds of a patient that pass inside the two compiled calls, Fisher's and Newton's; the rest is laying out and regrouping."""
    found, compiled = [], search.compiled

    def timed(model: DrugModel, what: str) -> Callable[..., list[np.ndarray]]:
        def run(*args: object) -> list[np.ndarray]:
            start = time.perf_counter()
            made = [np.asarray(v) for v in compiled(model, what)(*args)]
            found[-1] += time.perf_counter() - start
            return made

        return run

    search.compiled = timed
    try:
        for case in w.cases:
            found.append(0.0)
            fit(w.model, case, compiled=True)
    finally:
        search.compiled = compiled
    return float(np.median(found))


def posterior(n: int) -> Iterator[Row]:
    """Draws whose effective number is at least 2,000, the search for the modes not counted."""
    del n
    for name, text in (("infusion", INFUSION), ("Erlang", ERLANG)):
        w = world(text, 200)
        took, ess = [], []
        for case in w.cases[:50]:
            found = fit(w.model, case)
            start = time.perf_counter()
            drawn = posterior_estimate(w.model, case, n_draws=2000, found=found)
            took.append(1000 * (time.perf_counter() - start))
            ess.append(drawn.ess or 0.0)
        yield Row(f"posterior of 2,000 draws, {name}, p50", float(np.median(took)), "ms", "<= 25")
        yield Row("  effective number of its proposals, median", float(np.median(ess)), "draws", ">= 2,000")


# --- cold start -------------------------------------------------------------------------------------------------------


def cold(n: int) -> Iterator[Row]:
    """`auctor analyse` in a new process (best of three): a model with a closed form, and one written out as differential equations."""
    del n
    case = ROOT / "examples" / "vancomycin_two_levels.toml"
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "written.toml"
        written.write_text(case_written(case))
        (Path(folder) / "model.toml").write_text(written_out())
        for name, path, cache, aim in (
            ("closed form (NumPy)", case, "cache", "<= 1.0"),
            ("linear equations, no cache", written, "fresh", ""),
            ("linear equations, cache", written, "fresh", "<= 3"),
        ):
            runs = 1 if "no cache" in name else 3  # the first one fills the cache
            yield Row(f"auctor analyse, {name}", min(seconds_of(path, Path(folder) / cache) for _ in range(runs)), "s", aim)


def seconds_of(case: Path, cache: Path) -> float:
    environment = {**os.environ, "AUCTOR_CACHE": str(cache)}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "auctor", "analyse", str(case), "--no-ml", "--json"], check=True, capture_output=True, env=environment
    )
    return time.perf_counter() - start


def case_written(case: Path) -> str:
    """The example with a model of its own beside it."""
    lines = ['model = "model.toml"' if line.startswith("model") else line for line in case.read_text().splitlines()]
    return "\n".join(lines)


def written_out() -> str:
    """The vancomycin model of the library with its structure spelled out as differential equations."""
    lines = library_path("vancomycin_goti_2018").read_text().splitlines()
    kept = ["cmt = { central = 1 }" if line.startswith("disposition") else line for line in lines]
    odes = ['A1 = "-(CL + Q) / V1 * A1 + Q / V2 * A2"', 'A2 = "Q / V1 * A1 - Q / V2 * A2"']
    return "\n".join([*kept, "[odes]", *odes, "[outputs]", '1 = "A1 / V1"'])


PARTS = {"simulation": simulation, "map": batched_map, "single": single, "posterior": posterior, "cold": cold}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = []
    for part in args.only:
        for row in PARTS[part](args.n):
            rows.append(row)
            if not args.json:
                ratio = "" if row.ratio is None else f"{row.ratio:12,.0f} x SciPy"
                print(f"{row.name:58s}{row.value:16,.2f} {row.unit:12s}{row.aim:14s}{ratio}", flush=True)
    if args.json:
        print(json.dumps([row._asdict() for row in rows], indent=1))


if __name__ == "__main__":
    main()
