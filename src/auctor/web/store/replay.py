"""Replay: a kept result computed again from its own record, and compared byte by byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from auctor.web.store.results import Computed
from auctor.web.store.store import Store
from auctor.web.store.tables import Result
from auctor.web.store.verify import AUDITOR

Compute = Callable[[dict[str, Any], Mapping[str, Any]], Computed]


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """Whether a result came out the same, byte by byte; otherwise why not, as far as that can be told."""

    result: str
    identical: bool
    why: str = ""


def replay(result: Result, compute: Compute) -> Replayed:
    """Compute a kept result again and compare every byte; `compute` gets its document and its settings."""
    again = compute(json.loads(result.document), result.settings)
    if again.result == result.result:
        return Replayed(result=result.id, identical=True)
    for name in ("engine", "model", "model_sha256", "seed", "settings"):
        if getattr(again, name) != getattr(result, name):
            return Replayed(result=result.id, identical=False, why=f"{name} is another than it was")
    return Replayed(result=result.id, identical=False, why="the same inputs gave another result")


def replay_all(store: Store, compute: Compute) -> Iterator[Replayed]:
    """Every kept result of the store, oldest first."""
    with store.read(AUDITOR) as reading:
        results = reading.session.scalars(select(Result.id).order_by(Result.made_at, Result.id)).all()
    for found in results:
        with store.read(AUDITOR) as reading:
            row = reading.get(Result, found)
        yield replay(row, compute)
