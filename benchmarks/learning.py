"""Where the time of one exposure learner goes: simulate, build features, tune, train, calibrate, test.

    python benchmarks/learning.py [PLAN] [--algorithm NAME]

Prints wall and processor seconds of each step of a plan (default: tacrolimus_auc12, 9,000 profiles), one thread. The aim for one XGBoost
learner of 9,000 profiles is 60 s on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

AIM_S = 60.0


@contextmanager
def timed(name: str, rows: list[tuple[str, float, float]]) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    rows.append((name, time.perf_counter() - wall, time.process_time() - cpu))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", nargs="?", default="tacrolimus_auc12")
    parser.add_argument("--algorithm", default="")
    asked = parser.parse_args()
    rows: list[tuple[str, float, float]] = []
    start = time.perf_counter()
    with timed("import and read the plan", rows):
        from auctor.learn import train as training
        from auctor.learn.store import open_plan

        plan = open_plan(asked.plan)
        if asked.algorithm and asked.algorithm != plan.learning.algorithm:
            plan = replace(plan, learning=replace(plan.learning, algorithm=asked.algorithm, grid={}))
    steps = {"prepare": "simulate, features", "tune": "tune", "_calibrated": "train, calibrate", "_judged": "test, coverage, abstention"}
    for name, title in steps.items():
        setattr(training, name, _watched(getattr(training, name), title, rows))
    with tempfile.TemporaryDirectory() as folder, timed("all of training", rows):
        learner = training.train(plan, Path(folder))
    tried = len(learner.card["tuning"]["table"])
    print(f"{plan.name}: {plan.split.total} profiles, {plan.learning.algorithm}, {plan.learning.folds} folds, {tried} configurations")
    for name, wall, cpu in rows:
        print(f"{name:28} {wall:7.2f} s wall {cpu:7.2f} s processor")
    whole = time.perf_counter() - start
    print(f"{'from start to learner':28} {whole:7.2f} s wall, aim {AIM_S:g} s: {'met' if whole <= AIM_S else 'missed'}")


def _watched(function, title, rows):  # type: ignore[no-untyped-def]
    def run(*args, **more):  # type: ignore[no-untyped-def]
        with timed(title, rows):
            return function(*args, **more)

    return run


if __name__ == "__main__":
    main()
