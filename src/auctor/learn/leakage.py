"""The leakage guard on data: tests that arrays pass or not, whatever was declared; `guarded` runs them over a table from outside.

Each refusal is a LeakageError that names the table and the column, never a patient.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.errors import LeakageError
from auctor.learn.provenance import LABELS, Array, Frame, Source, TableSpec, Verdict, undeclared

Mask = NDArray[np.bool_]
CLOSE = 1e-7  # relative: beyond what another order of summation changes
SAME_LABEL = 1e-4  # relative distance below which two estimates of an AUC are the same estimate
PUSH = 1.37  # the factor by which what must not be seen is changed
DIGITS = 9
FEW = 10


def guarded(spec: TableSpec, frame: Frame) -> Verdict:
    """Every check that the table allows. Raises LeakageError at the first leak.

    >>> from auctor.learn.provenance import Provenance
    >>> table = {"id": [1, 2], "part": ["train", "test"], "C0": [4.0, 5.0], "AUC": [80.0, 120.0]}
    >>> spec = TableSpec(name="t", patient="id", part="part", target="AUC", features={"C0": Provenance.of("measured", samples=("C0",))})
    >>> guarded(spec, table).circular
    False
    """
    held = {name: np.asarray(frame[name]) for name in _columns(frame)}
    parts, y = held[spec.part].astype(str), held[spec.target].astype(np.float64)
    x = {name: held[name].astype(np.float64) for name in spec.features}
    _declared(spec)
    require_one_part(held[spec.patient], parts, where=spec.name, what="a patient")
    if not spec.coincidences:
        require_one_part(fingerprints([*x.values(), y]), parts, where=spec.name, what="an identical profile")
    _blind(spec, held, x)
    for name, values in x.items():
        require_not_target(values, y, where=f"{spec.name}.{name}")
        require_local(values, y, parts == "train", where=f"{spec.name}.{name}")
    for name, (step, columns) in spec.steps.items():
        require_refit(step, np.column_stack([held[c] for c in columns]), y, parts == "train", where=f"{spec.name}.steps.{name}")
    circular = _label(spec, held, y)
    checks = ("provenance", "one part a patient", "distinct profiles", "blind to the target", "training statistics", "label")
    return Verdict(
        checks=tuple(c for c in checks if c != "distinct profiles" or not spec.coincidences),
        circular=circular,
        provenance=dict(spec.features),
    )


def _columns(frame: Frame) -> list[str]:
    return [str(name) for name in (frame.columns if hasattr(frame, "columns") else frame)]


def _declared(spec: TableSpec) -> None:
    """What declarations alone give away."""
    hidden = {spec.target, *spec.target_columns}
    if spec.label not in LABELS:
        raise LeakageError(where=f"{spec.name}.label", what="is not a known kind of label", remedy=f"write one of {', '.join(LABELS)}")
    for name, found in spec.features.items():
        where = f"{spec.name}.{name}"
        if not found.sources:
            raise undeclared(where)
        if name in hidden or hidden & set(found.samples):
            raise _used_target(where)
        if Source.INDIVIDUAL in found.sources and spec.label == "map":
            raise LeakageError(
                where=where,
                what="is an individual estimate, and so is the label",
                remedy="leave the feature out, or take a label that is measured",
            )
        if Source.INDIVIDUAL in found.sources and name not in spec.recompute:
            raise LeakageError(
                where=where,
                what="is an individual estimate that cannot be computed again",
                remedy="give recompute for it: a claim is not enough",
            )


def _used_target(where: str) -> LeakageError:
    return LeakageError(
        where=where,
        what="is made from what it is to predict",
        remedy="compute it from samples before the target alone, or leave it out",
    )


def require_one_part(keys: NDArray[Any], parts: NDArray[Any], *, where: str, what: str) -> None:
    """Refuse a key (a patient's identifier, a profile's hash) that is in more than one part; both (n,)."""
    seen: dict[Any, Any] = {}
    for key, part in zip(keys.tolist(), parts.tolist(), strict=True):
        if seen.setdefault(key, part) != part:
            raise LeakageError(
                where=where, what=f"{what} is in the parts {seen[key]} and {part}", remedy="split by patient, and remove copies first"
            )


def fingerprints(columns: Sequence[Array]) -> NDArray[Any]:
    """A hash of each row of the columns, equal for rows equal to nine digits; (n,)."""
    rows = np.column_stack([np.asarray(c, dtype=np.float64) for c in columns])
    return np.asarray([hashlib.sha256(",".join(f"{v:.{DIGITS}g}" for v in row).encode()).hexdigest() for row in rows])


def require_blind(before: Array, after: Array, names: Sequence[str], *, where: str) -> None:
    """Refuse a feature that changed although only what it must not see was changed; both (n, n_features)."""
    for j, name in enumerate(names):
        if not same(before[:, j], after[:, j]):
            raise _used_target(f"{where}.{name}")


def same(a: Array, b: Array) -> bool:
    """Equal but for rounding; NaN in the same places."""
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=CLOSE, atol=1e-12, equal_nan=True))


def _blind(spec: TableSpec, held: Mapping[str, NDArray[Any]], x: Mapping[str, Array]) -> None:
    """Features that can be computed again: they give the column, and do not move with the target."""
    hidden = [name for name in {spec.target, *spec.target_columns} if name in held]
    pushed = {**held, **{name: held[name].astype(np.float64) * PUSH for name in hidden}}
    for name, again in spec.recompute.items():
        before, after = (np.asarray(again(table), dtype=np.float64) for table in (held, pushed))
        where = f"{spec.name}.{name}"
        if not same(before, after):
            raise _used_target(where)
        if name in x and not np.allclose(before, x[name], rtol=1e-4, equal_nan=True):
            raise LeakageError(
                where=where,
                what="is not what its own computation gives without the target",
                remedy="store the feature as it is computed for a new patient",
            )


def require_not_target(values: Array, y: Array, *, where: str) -> None:
    """Refuse a column that orders all patients exactly as the target does: it is the target in another unit."""
    known = np.isfinite(values) & np.isfinite(y)
    if known.sum() < FEW or len(np.unique(values[known])) < known.sum():
        return
    order = np.argsort(values[known])
    steps = np.diff(y[known][order])
    if np.all(steps > 0) or np.all(steps < 0):
        raise LeakageError(where=where, what="is a function of the target", remedy="leave it out")


def require_local(values: Array, y: Array, train: Mask, *, where: str) -> None:
    """Refuse a column that carries a statistic of all parts: standardised, scaled to 0-1, imputed or target-encoded over everybody."""
    if train.all() or not np.isfinite(values).all():
        return
    for name, carries in _STATISTICS.items():
        if carries(values, y) and not carries(values[train], y[train]):
            raise LeakageError(
                where=where,
                what=f"carries a statistic ({name}) of all patients, the held-out ones included",
                remedy="fit it on the training part alone",
            )


def _standardised(v: Array, y: Array) -> bool:
    del y
    spread = [float(np.std(v)), float(np.std(v, ddof=1))] if len(v) > 1 else []
    return abs(float(np.mean(v))) < CLOSE and any(abs(s - 1) < CLOSE for s in spread)


def _unit_range(v: Array, y: Array) -> bool:
    del y
    return len(np.unique(v)) > 2 and bool(abs(v.min()) < CLOSE and abs(v.max() - 1) < CLOSE)


def _imputed(v: Array, y: Array) -> bool:
    """The most frequent value is the mean or the median of the others."""
    del y
    found, counts = np.unique(v, return_counts=True)
    others = v[v != found[np.argmax(counts)]]
    if counts.max() < 2 or len(others) < FEW or len(found) < FEW:
        return False
    return any(abs(found[np.argmax(counts)] - center) < CLOSE * max(abs(center), 1e-9) for center in (np.mean(others), np.median(others)))


def _target_encoded(v: Array, y: Array) -> bool:
    """Each of several groups of equal value has that value as its mean target."""
    groups, place = np.unique(v, return_inverse=True)
    if not 2 <= len(groups) <= len(v) / 2:
        return False
    means = np.bincount(place, weights=y) / np.bincount(place)
    return bool(np.allclose(means, groups, rtol=CLOSE))


_STATISTICS = {
    "mean and SD": _standardised,
    "minimum and maximum": _unit_range,
    "filled-in average": _imputed,
    "mean target": _target_encoded,
}


def require_refit(step: Any, x: NDArray[Any], y: Array, train: Mask, *, where: str) -> None:
    """Refuse a fitted transformer (scaler, imputer, selection, encoder) that a refit on the training rows alone does not give again."""
    from sklearn.base import clone

    fresh = clone(step).fit(x[train], y[train])
    given, again = (np.asarray(s.transform(x), dtype=np.float64) for s in (step, fresh))
    if not same(given, again):
        raise LeakageError(
            where=where, what="was not fitted on the training part alone", remedy="fit it on the training rows, then apply it to the others"
        )


def require_declared_label(y: Array, map_label: Array, *, where: str, model: str) -> None:
    """Refuse a label that coincides with the MAP estimate of the same model in most patients; both (n,)."""
    near = np.abs(y - map_label) <= SAME_LABEL * np.abs(map_label)
    if np.mean(near) > 0.5:
        raise LeakageError(
            where=where,
            what=f"is the MAP estimate of {model or 'the model'} without saying so",
            remedy='write label = "map": it is then shown as a circular label, or take the true or a measured exposure',
        )


def _label(spec: TableSpec, held: Frame, y: Array) -> bool:
    if spec.label == "map":
        return True
    if spec.map_label is not None:
        found = np.asarray(spec.map_label(held), dtype=np.float64)
        require_declared_label(y, found, where=f"{spec.name}.{spec.target}", model=spec.label_model)
    return False
