"""Trained amortised posteriors: an artefact of arrays (.npz), plan and card with the SHA-256 of each, in the user's cache keyed by content.

No pickle: the arrays are read with `allow_pickle=False`. The same plan gives the same bytes on the same machine.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from auctor.cache import cache_dir
from auctor.case import Case
from auctor.errors import ModelError
from auctor.learn.amortised.network import Shape
from auctor.learn.amortised.plan import ROLES, AmortisedPlan, read_amortised_plan
from auctor.learn.artefact import code_hash, kept, verified
from auctor.population.reading import plan_path, shipped
from auctor.population.virtual import Progress

if TYPE_CHECKING:
    from auctor.learn.amortised.posterior import AmortisedPosterior

PLANS = Path(__file__).parent / "plans"
FILES = ("arrays.npz", "plan.toml", "card.json")
CODE = ("models", "pk", "population", "estimate", "learn/amortised")
VERSIONS = ("numpy", "jax", "optax")


@dataclass(frozen=True, kw_only=True, eq=False)
class Amortised:
    """A trained amortised posterior: the plan, the network's `weights` and input `scale` by name, its `shape` and its model card."""

    plan: AmortisedPlan
    weights: dict[str, np.ndarray]
    scale: dict[str, NDArray[np.float64]]
    shape: Shape
    card: Mapping[str, Any]
    folder: Path

    @classmethod
    def load(cls, folder: str | Path) -> Amortised:
        """Read an artefact folder. Raises ModelError where a file is missing or differs from its recorded SHA-256."""
        where = Path(folder)
        content = verified(where, FILES, called="artefact")
        card = json.loads(content["card.json"])
        plan = read_amortised_plan(card["plan"]["source"], text=content["plan.toml"].decode())
        if plan.sha256 != card["plan"]["sha256"]:
            raise ModelError(where=where.name, what="was trained on another version of its models", remedy="train the plan again")
        arrays = dict(np.load(io.BytesIO(content["arrays.npz"]), allow_pickle=False))
        weights = {name.removeprefix("w:"): v.astype(np.float64) for name, v in arrays.items() if name.startswith("w:")}
        scale = {name.removeprefix("s:"): v for name, v in arrays.items() if name.startswith("s:")}
        shape = Shape(**{**card["network"]["shape"], "etas": tuple(card["network"]["shape"]["etas"])})
        return cls(plan=plan, weights=weights, scale=scale, shape=shape, card=card, folder=where)

    def estimate(self, case: Case, n_draws: int = 2000, seed: int = 0, *, correct: bool = True) -> AmortisedPosterior:
        """This patient's posterior. Raises OutOfDomain with the reason where the network was not trained for the patient."""
        from auctor.learn.amortised.posterior import amortised_estimate

        return amortised_estimate(self, case, n_draws, seed, correct=correct)


def shipped_amortised() -> tuple[str, ...]:
    """Names of the plans that auctor ships.

    >>> "valganciclovir_amortised" in shipped_amortised()
    True
    """
    return shipped(PLANS)


def open_amortised_plan(name_or_path: str | Path) -> AmortisedPlan:
    """A shipped plan by name, or any plan by path. Raises PlanError."""
    return read_amortised_plan(plan_path(name_or_path, PLANS))


def amortised_plan_of(model_name: str) -> str | None:
    """The shipped plan with this model among its own, one for the clinic before one for studies before a test's; None without.

    >>> amortised_plan_of("valganciclovir_vezina_2014")
    'valganciclovir_amortised'
    """
    plans = [open_amortised_plan(name) for name in shipped_amortised()]
    mine = [p for p in plans if model_name in [m.name for m in p.models]]
    return min(mine, key=lambda p: ROLES.index(p.role)).name if mine else None


def amortised_for(plan: str | Path | AmortisedPlan, progress: Progress | None = None) -> Amortised:
    """The amortised posterior of a plan (name, path or plan), trained when the cache does not hold it; minutes, once."""
    read = plan if isinstance(plan, AmortisedPlan) else open_amortised_plan(plan)
    folder = cache_dir("amortised") / f"{read.name}-{key(read)[:16]}"
    return kept(folder, Amortised.load, partial(_train, read, progress))


def _train(plan: AmortisedPlan, progress: Progress | None, folder: Path) -> None:
    from auctor.learn.amortised.train import train_amortised

    train_amortised(plan, folder, progress=progress)


def key(plan: AmortisedPlan) -> str:
    """SHA-256 over the plan and its models, the code that trains, and the versions it ran with."""
    return hashlib.sha256("\n".join([plan.sha256, code_hash(CODE), *(version(name) for name in VERSIONS)]).encode()).hexdigest()


def packed(weights: Mapping[str, np.ndarray], scale: Mapping[str, np.ndarray]) -> bytes:
    """The arrays as an .npz whose bytes hold no time of day."""
    named = {f"w:{k}": v for k, v in weights.items()} | {f"s:{k}": v for k, v in scale.items()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name in sorted(named):
            one = io.BytesIO()
            np.save(one, named[name], allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{name}.npy"), one.getvalue())
    return out.getvalue()
