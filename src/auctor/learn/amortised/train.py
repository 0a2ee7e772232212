"""Training an amortised posterior: simulate, fit, look at the held-out patients, store."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from auctor.learn.amortised.domain import span
from auctor.learn.amortised.fit import Fitted, fit_network
from auctor.learn.amortised.plan import AmortisedPlan
from auctor.learn.amortised.store import VERSIONS, Amortised, packed
from auctor.learn.amortised.wider import Wider
from auctor.learn.amortised.world import World, simulate_world
from auctor.learn.artefact import canonical, write
from auctor.population.virtual import Progress

USE = "Research: the posterior of one patient over several published models at once, beside other methods. Not a medical device."
LIMITS = (
    "Trained on simulations of the models named below: agreement with MAP or the posterior of one of them is not independent evidence.",
    "A patient of none of these models is answered as if of one of them; the effective sample size does not tell.",
    "The models weigh alike before any sample; with few samples the mixture is mostly that prior.",
    "Covariates are constant and doses within the ranges given under domain; outside it abstains.",
)


def train_amortised(plan: AmortisedPlan, out_dir: str | Path, *, progress: Progress | None = None) -> Amortised:
    """Train the plan and write the artefact into `out_dir`; returns it as loaded back from there."""
    world = simulate_world(plan, progress)
    fitted = fit_network(world, progress)
    content = {
        "arrays.npz": packed(fitted.weights, fitted.scale),
        "plan.toml": plan.text.encode(),
        "card.json": canonical(_card(world, fitted)).encode(),
    }
    write(Path(out_dir), content)
    return Amortised.load(out_dir)


def _multiples(wider: Wider) -> dict[str, Any]:
    """Multiples of the published residual SD and variances, with their prior probabilities."""
    both = {"residual_sd": wider.residual_sd, "iiv_variance": wider.iiv_variance}
    return {name: {"values": list(d.values), "probabilities": d.shares().round(4).tolist()} for name, d in both.items()}


def _card(world: World, fitted: Fitted) -> dict[str, Any]:
    plan, shape = world.plan, fitted.shape
    held = round(len(world) * plan.held)
    return {
        "name": plan.name,
        "title": plan.title,
        "intended_use": USE,
        "limits": list(LIMITS),
        "plan": {"sha256": plan.sha256, "source": f"{plan.name}.toml", "seed": plan.seed, "sources": list(plan.sources)},
        "models": [{"name": m.name, "sha256": m.sha256, "cite": m.reference.get("cite", ""), "status": m.status} for m in plan.models],
        "wider": _multiples(plan.wider),
        "data": {"kind": "simulated", "patients": {"train": len(world) - held, "held": held}},
        "network": {
            "shape": {
                "samples": shape.samples, "patient": shape.patient, "etas": list(shape.etas), "width": shape.width, "bins": shape.bins,
            },
            "epochs": plan.network.epochs,
            "weights": int(sum(w.size for w in fitted.weights.values())),
        },
        "metrics": {
            "negative log probability of the truth": {
                "normal approximation": round(fitted.normal_loss, 4),
                "network, training patients": round(fitted.losses[-1][0], 4),
                "network, held-out patients": round(fitted.losses[-1][1], 4),
            }
        },
        "domain": span(world, fitted.misfit),
        "versions": {name: version(name) for name in VERSIONS},
    }  # fmt: skip
