"""The engine behind the verbs: a case document in, a result out, by a worker, and each document computed once.

A result is the same bytes for the same document, model file and versions, so it is found again by `inputs`. What-if keeps the estimates of
the last documents in memory and answers a typed regimen at once.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from auctor import __version__
from auctor.web.service.workers import Workers, answer

if TYPE_CHECKING:
    from auctor.analysis.what_if import WhatIf
    from auctor.case import Case, Target
    from auctor.learn.learner import Learner
    from auctor.models.model import DrugModel

Answer = TypeVar("Answer")
KEPT = 32  # documents whose estimates stay in memory
SEED, DRAWS = 0, 2000


@dataclass(frozen=True, kw_only=True)
class Computed:
    """One analysis as it is stored: the text of result.json, and what it was computed with."""

    result: str
    model: str
    model_sha256: str
    engine: str
    seed: int
    settings: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Who computes, and what is remembered. Without `ml` the machine-learning column abstains.

    `workers` answer what can travel between processes; estimates that answer one what-if after another stay in `near`, threads of this one.
    """

    ml: bool = True
    workers: Workers = field(default_factory=Workers)

    near: Workers = field(default_factory=Workers)
    _results: OrderedDict[str, Future[Computed]] = field(default_factory=OrderedDict)
    _what_ifs: OrderedDict[str, Future[WhatIf]] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def compute(self, document: dict[str, Any], *, ml: bool | None = None) -> Computed:
        """The analysis of a case document that names its model; waits for a worker. Raises the typed errors of reading and estimating.

        `ml` overrides the engine's own, as a replay of an older result needs.
        """
        learned = self.ml if ml is None else ml
        return self._once(self._results, inputs(document, ml=learned), lambda: self.workers.submit(_compute, document, learned))

    def what_if(self, document: dict[str, Any]) -> WhatIf:
        """The estimates of a document, ready to judge a regimen."""
        return self._once(self._what_ifs, inputs(document, ml=self.ml), lambda: self.near.submit(_what_if, document, self.ml))

    def stop(self) -> None:
        """Let running jobs end, begin no other."""
        self.near.stop()
        self.workers.stop()

    def _once(self, kept: OrderedDict[str, Future[Answer]], key: str, begin: Callable[[], Future[Answer]]) -> Answer:
        """The job's answer, computed once however many ask for it at a time; a failure is not kept."""
        with self._lock:
            running = kept.get(key) or begin()
            kept[key] = running
            kept.move_to_end(key)
            while len(kept) > KEPT:
                kept.popitem(last=False)
        try:
            return answer(running)
        except BaseException:
            with self._lock:
                kept.pop(key, None)
            raise


def inputs(document: dict[str, Any], *, ml: bool) -> str:
    """SHA-256 of all that decides a result: the document, the model file, the learner, the engine's version, draws and seed."""
    _, model, goal = _read(document)
    learner = _learner(model, goal) if ml else None
    parts = [document, model.sha256, None if learner is None else str(learner.plan.sha256), __version__, DRAWS, SEED]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def document_sha256(document: dict[str, Any]) -> str:
    """SHA-256 of a case document's canonical JSON."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def check(document: dict[str, Any]) -> Case:
    """The case as the engine reads it, without computing anything; the typed errors of the readers."""
    return _read(document)[0]


def _read(document: dict[str, Any]) -> tuple[Case, DrugModel, Target]:
    from auctor.analysis.run import lay_out
    from auctor.data.casefile import case_of
    from auctor.data.document import check_document

    checked = check_document(document)
    model = read(str(checked.model))
    case = case_of(checked, model)
    return case, model, lay_out(case, model, n_draws=DRAWS, seed=SEED).question.target


@lru_cache(maxsize=256)
def read(name: str) -> DrugModel:
    """A library model, read once a process."""
    from auctor.models.reader import read_model

    return read_model(name)


@lru_cache(maxsize=64)
def _trained(name: str, metric: str) -> Learner | None:
    """The learner of the first clinical plan for this metric, only where the cache holds it: a request never trains one."""
    from auctor.cache import cache_dir
    from auctor.case import Metric
    from auctor.learn.learner import Learner
    from auctor.learn.store import key, open_plan, plans_for

    names = plans_for(name, Metric.parse(metric))
    if not names:
        return None
    plan = open_plan(names[0])
    folder = cache_dir("learners") / f"{plan.name}-{key(plan)[:16]}"
    return Learner.load(folder) if folder.exists() else None


def _learner(model: DrugModel, goal: Target) -> Learner | None:
    return _trained(model.name, goal.metric.name)


def _compute(document: dict[str, Any], ml: bool) -> Computed:
    from auctor.analysis import analyse
    from auctor.report.result import to_json

    case, model, goal = _read(document)
    found = analyse(case, model, target=goal, learner=_learner(model, goal) if ml else None, n_draws=DRAWS, seed=SEED)
    settings = {"draws": DRAWS, "ml": ml, "learner": None if found.learner is None else list(found.learner)}
    return Computed(result=to_json(found), model=model.name, model_sha256=model.sha256, engine=__version__, seed=SEED, settings=settings)


def _what_if(document: dict[str, Any], ml: bool) -> WhatIf:
    from auctor.analysis.what_if import WhatIf

    case, model, goal = _read(document)
    return WhatIf.of(case, model, target=goal, learner=_learner(model, goal) if ml else None, n_draws=DRAWS, seed=SEED)
