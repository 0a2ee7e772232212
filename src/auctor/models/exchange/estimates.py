"""NONMEM's final estimates (.ext) in place of the initial ones of a control stream."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auctor.errors import ModelError
from auctor.models.exchange.stream import Stream

FINAL = -1_000_000_000  # the ITERATION of the row of final estimates
REMEDY = "give the .ext file that NONMEM wrote for this control stream"


def with_estimates(stream: Stream, path: Path) -> Stream:
    """The stream with the last table's final estimates; ModelError unless the file has one for every theta, omega and sigma."""
    found = _final(path)
    return replace(
        stream,
        thetas={name: _of(found, name, path) for name in stream.thetas},
        omega=_matrix(found, "OMEGA", stream.omega, path),
        sigma=_matrix(found, "SIGMA", stream.sigma, path),
    )


def _final(path: Path) -> dict[str, float]:
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(where=str(path), what="this file cannot be read", remedy=REMEDY) from error
    heads = [row for row in lines if row and row[0] == "ITERATION"]
    finals = [row for row in lines if row and re.fullmatch(r"-?\d+", row[0]) and int(row[0]) == FINAL]
    if not heads or not finals or len(heads[-1]) != len(finals[-1]):
        raise ModelError(where=path.name, what="no row of final estimates", remedy=REMEDY)
    return dict(zip(heads[-1], map(float, finals[-1]), strict=True))


def _of(found: dict[str, float], name: str, path: Path) -> float:
    if name not in found:
        raise ModelError(where=path.name, what=f"no {name}", remedy=REMEDY)
    return found[name]


def _matrix(found: dict[str, float], word: str, before: NDArray[np.float64], path: Path) -> NDArray[np.float64]:
    size = len(before)
    rows = [[_of(found, f"{word}({max(i, j) + 1},{min(i, j) + 1})", path) for j in range(size)] for i in range(size)]
    return np.asarray(rows, dtype=np.float64).reshape(size, size)
