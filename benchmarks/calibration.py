"""Are the posteriors calibrated: ranks of the truth among the draws, by importance resampling and by NUTS.

    python benchmarks/calibration.py [--json] [--n 1000] [--seed 2026] [--models tacrolimus vancomycin iov] [--methods resampling nuts]

Simulation-based calibration (Talts 2018, arXiv 1804.06788): patients drawn from the prior, levels with the full residual error, and the
rank of each eta and of the exposure among that patient's draws. A calibrated posterior gives uniform ranks; printed is the p value of a
chi-square test with 20 bins (10 below 400 patients), beside how far the two methods' means lie apart in posterior SDs. `iov` is tacrolimus
with its published inter-occasion variability over two profiles a week apart; its exposure is that of the occasion after them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import chisquare

from auctor.case import Case, Covariates, Dose, Metric, Regimen, Route, Sample
from auctor.estimate.map import Mode, map_batch
from auctor.estimate.nuts import sample_cases
from auctor.estimate.objective import variance
from auctor.estimate.occasions import prepared, sampled_rows
from auctor.estimate.patient import case_ofv
from auctor.estimate.patient import prepared as batched
from auctor.estimate.sir import resample_beside_idle
from auctor.models.model import DrugModel
from auctor.models.occasions import idle
from auctor.models.reader import read_model
from auctor.pk.exposure import curves, exposures

LANES, DRAWS, CHAIN, BATCH = 16, 999, 199, 500


@dataclass(frozen=True, kw_only=True)
class Design:
    """What every virtual patient of a model is given, and when its levels are taken."""

    model: str
    regimen: Regimen
    times: tuple[float, ...]
    covariates: dict[str, float]
    metric: str
    occasions: bool = False


INFUSIONS = Regimen(doses=tuple(Dose(time_h=12.0 * k, amount_mg=1000, route=Route.IV, duration_h=1.0) for k in range(4)))
DESIGNS = {
    "tacrolimus": Design(
        model="tacrolimus_woillard_2011",
        regimen=Regimen.steady(3.0, every_h=12, route=Route.ORAL),
        times=(0.0, 1.0, 3.0),
        covariates={"HCT": 35.0, "CYP3A5": 0.0, "FORM": 1.0},
        metric="AUC0-12",
    ),
    "iov": Design(
        model="tacrolimus_woillard_2011",
        regimen=Regimen(doses=(replace(Regimen.steady(3.0, every_h=12, route=Route.ORAL).doses[0], additional=14),)),
        times=(0.0, 1.0, 3.0, 168.0, 169.0, 171.0),
        covariates={"HCT": 35.0, "CYP3A5": 0.0, "FORM": 1.0},
        metric="AUC0-12",
        occasions=True,
    ),
    "phenytoin": Design(  # saturable elimination, from the first dose on: no steady state is assumed
        model="phenytoin_yukawa_1990",
        regimen=Regimen(doses=(Dose(time_h=0.0, amount_mg=250, route=Route.ORAL, every_h=24.0, additional=13),)),
        times=(167.0, 335.0),
        covariates={"WT": 60.0, "COAED": 0.0, "AGE": 30.0, "FORM": 0.0, "DOSE_MGKG": 4.2},
        metric="AUC312-336",
    ),
    "vancomycin": Design(
        model="vancomycin_goti_2018",
        regimen=INFUSIONS,
        times=(38.0, 47.5),
        covariates={"CRCL": 70.0, "WT": 80.0, "DIAL": 0.0},
        metric="AUC24-48",
    ),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """Virtual patients whose truth is known: etas (n, p), exposure (n,) and the cases with their simulated levels."""

    model: DrugModel
    design: Design
    etas: np.ndarray
    cases: list[Case]

    def exposures_of(self, etas: np.ndarray) -> np.ndarray:
        """Under the covariates that a forecast has, the next occasion among them."""
        covariates = Covariates.constant(self.cases[0].covariates.at(np.inf))
        return exposures(self.model, self.design.regimen, Metric.parse(self.design.metric), covariates, etas)


def simulated(design: Design, n: int, seed: int) -> World:
    """n patients from the prior."""
    rng, times = np.random.default_rng(seed), np.asarray(design.times)
    model, empty = blank(design)
    covariates = empty.covariates
    etas = rng.standard_normal((n, len(model.eta_names))) @ np.linalg.cholesky(model.omega).T
    f = curves(model, design.regimen, times, covariates, etas)
    y = f + np.sqrt(variance(model.residual, f)) * rng.standard_normal(f.shape)
    samples = [tuple(Sample(time_h=float(t), value=float(v)) for t, v in zip(times, row, strict=True)) for row in y]
    return World(model=model, design=design, etas=etas, cases=[replace(empty, samples=s) for s in samples])


def blank(design: Design) -> tuple[DrugModel, Case]:
    """The model and a patient whose levels are still to come, with occasions where the design has them."""
    model = read_model(design.model)
    samples = tuple(Sample(time_h=t, value=1.0) for t in design.times)
    known = Covariates.constant(design.covariates)
    case = Case(label="sbc", drug=model.drug, history=design.regimen, samples=samples, covariates=known)
    ready = prepared(model, case) if design.occasions else None
    return (ready.model, ready.case) if ready else (model, case)


def modes_of(world: World) -> list[tuple[Mode, ...]]:
    """Of every patient, searched side by side."""
    parts = [world.cases[i : i + BATCH] for i in range(0, len(world.cases), BATCH)]
    return [modes for part in parts for modes in map_batch(world.model, *batched(world.model, part)).modes]


def by_resampling(world: World, modes: Sequence[Sequence[Mode]]) -> list[np.ndarray]:
    """Each patient's draws (999, p)."""
    model, without = world.model, idle(world.model, sampled_rows(world.cases[0]))
    return [
        resample_beside_idle(own, lambda etas, case=case: case_ofv(model, case, etas), model.omega, without, n_draws=DRAWS, seed=i).etas
        for i, (case, own) in enumerate(zip(world.cases, modes, strict=True))
    ]


def by_nuts(world: World, modes: Sequence[Sequence[Mode]]) -> list[np.ndarray]:
    """Each patient's draws (199, p), one chain each after a warm-up of 250, 16 patients side by side."""
    draws: list[np.ndarray] = []
    for i in range(0, len(world.cases), LANES):
        cases, own = world.cases[i : i + LANES], list(modes[i : i + LANES])
        filled = [(cases + cases[-1:] * LANES)[:LANES], (own + own[-1:] * LANES)[:LANES]]
        drawn = sample_cases(world.model, *filled, n_draws=CHAIN + 1, seed=i, warmup=250, chains=1, longest=1)
        draws += list(drawn.etas[: len(cases), 0, :CHAIN])
    return draws


METHODS = {"resampling": by_resampling, "nuts": by_nuts}


def p_values(world: World, draws: Sequence[np.ndarray]) -> dict[str, float]:
    """Of the exposure and of every eta: the ranks 0 .. draws fall into bins of equal size, draws + 1 being a multiple of them."""
    bins = 20 if len(draws) >= 400 else 10
    truth = world.exposures_of(world.etas)
    ranks = [[np.sum(world.exposures_of(d) < truth[i]), *np.sum(d < world.etas[i], axis=0)] for i, d in enumerate(draws)]
    counts = [np.bincount(column * bins // (len(draws[0]) + 1), minlength=bins) for column in np.asarray(ranks).T]
    return {name: float(chisquare(c).pvalue) for name, c in zip((world.design.metric, *world.model.eta_names), counts, strict=True)}


def judged(name: str, n: int, seed: int, methods: Sequence[str]) -> dict[str, object]:
    """One model by every method."""
    world = simulated(DESIGNS[name], n, seed)
    modes = modes_of(world)
    drawn, found = {}, {}
    for method in methods:
        start = time.perf_counter()
        drawn[method] = METHODS[method](world, modes)
        found[method] = {"seconds": round(time.perf_counter() - start, 1), "p": p_values(world, drawn[method])}
    if len(drawn) == 2:
        a, b = drawn.values()
        gap = np.asarray([(x.mean(axis=0) - y.mean(axis=0)) / y.std(axis=0) for x, y in zip(a, b, strict=True)])
        found["mean difference, posterior SD"] = {
            "mean": gap.mean(axis=0).round(4).tolist(),
            "rms": round(float(np.sqrt((gap**2).mean())), 4),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=2026, help="of the patients")
    parser.add_argument("--models", nargs="+", choices=DESIGNS, default=list(DESIGNS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    result = {name: judged(name, args.n, args.seed, args.methods) for name in args.models}
    if args.json:
        print(json.dumps(result))
        return
    for name, found in result.items():
        for method, values in found.items():
            print(f"{name:12} {method:30} {values}")


if __name__ == "__main__":
    main()
