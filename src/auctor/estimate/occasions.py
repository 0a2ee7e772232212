"""Which occasion every moment of a history belongs to, and the model with kappas for them (`auctor.models.occasions`).

visit (the default): samples of one dosing interval, and samples within 12 h of the first one, share an occasion, so that the trough before
a dose and the levels after it are one profile, as in the studies that published the IOV. It governs the doses since the visit before.
interval: the dosing interval that a sample lies in is an occasion of its own; an interval without a sample has no kappa.
windows: an occasion starts at each of the hours given. A table can also say it in a column. A sample at a dose time was drawn before it.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.case import Blq, Case, Covariates, FutureIov, OccasionKind, Occasions, given_times
from auctor.errors import CaseError
from auctor.models.model import OCCASION, DrugModel
from auctor.models.occasions import has_iov, iov_applies, padded, with_occasions
from auctor.pk.timeline import running_clock
from auctor.records import Records

Array = NDArray[np.float64]

VISIT_H = 12.0  # one profile of a twice-daily drug
SLACK_H = 1e-6
JUST_H = 1e-7  # an occasion begins so much before the dose that opens it, whose F and lag are already its own


class Span(NamedTuple):
    """One occasion: its number, from when until when (h; -inf and inf where open), and how many samples it holds."""

    number: int
    start_h: float
    end_h: float
    n_samples: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A model and a case ready for any estimator: with kappas and the covariate `OCC` where IOV applies, else as they were.

    `spans` are the occasions, `future` what a forecast does with the next one's kappas (None: there are none).
    """

    model: DrugModel
    case: Case
    spans: tuple[Span, ...] = ()
    future: FutureIov | None = None


def prepared(model: DrugModel, case: Case, *, occasions: Occasions | None = None, future: FutureIov = FutureIov.DRAW) -> Prepared:
    """Lay out a case's occasions: as asked for, else as the case says, else by visit.

    Every occasion gets kappas, and with `draw` the one that follows the last sample's dosing interval too: forecasts run under it. With
    `zero` they run without kappas. A model without IOV, or whose IOV does not apply to this patient, comes back as it is.
    Raises CaseError for a sample before the first window, ModelError for more than 16 occasions.

    >>> from auctor.case import Dose, Regimen, Route, Sample
    >>> from auctor.models.reader import read_model
    >>> course = Regimen(doses=(Dose(time_h=0.0, amount_mg=3.0, route=Route.ORAL, every_h=12.0, additional=20),))
    >>> samples = tuple(Sample(time_h=t, value=0.01) for t in (12.0, 13.0, 15.0, 180.0, 181.0))
    >>> known = Covariates.constant({"HCT": 35.0, "CYP3A5": 0.0, "FORM": 1.0})
    >>> case = Case(label="A", drug="tacrolimus", history=course, samples=samples, covariates=known)
    >>> [tuple(span) for span in prepared(read_model("tacrolimus_woillard2011"), case).spans]
    [(1, -inf, 24.0, 3), (2, 24.0, 192.0, 2)]
    """
    how = occasions or case.occasions or Occasions()
    if model.occasions or how.kind is OccasionKind.NONE or not has_iov(model) or not iov_applies(model, covariate_rows(case)):
        return Prepared(model=model, case=case)
    layout = _Layout.of_case(case, how)
    following = len(layout.spans) + 1 if future is FutureIov.DRAW else 0
    slots = max(len(layout.spans), following)
    if slots == 0:
        return Prepared(model=model, case=case)
    return Prepared(
        model=with_occasions(model, padded(slots, where="occasions")),
        case=_with_series(case, layout, following),
        spans=layout.spans,
        future=future,
    )


def covariate_rows(case: Case, until_h: float = np.inf) -> list[dict[str, float]]:
    """Every covariate row of a case in time order: before the first change, and after each one until `until_h`."""
    return [case.covariates.at(t) for t in (-np.inf, *(t for t in case.covariates.change_times() if t <= until_h))]


def sampled_rows(case: Case) -> list[dict[str, float]]:
    """Those up to the last sample that counts."""
    return covariate_rows(case, max((s.time_h for s in case.samples if case.counts(s)), default=-np.inf))


def _with_series(case: Case, layout: _Layout, following: int) -> Case:
    """The case with its course of `OCC`, and samples at the very end of an occasion kept within it."""
    series = {**case.covariates.series, OCCASION: layout.series(following)}
    kept = tuple(replace(s, time_h=layout.within(s.time_h)) for s in case.samples)
    return replace(case, covariates=Covariates(series=series), samples=kept)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Layout:
    """The occasions of one history. `spans` in order; between two of them no kappa applies."""

    spans: tuple[Span, ...]

    @classmethod
    def of_case(cls, case: Case, how: Occasions) -> _Layout:
        given = given_times(case.history)
        steady = {d.time_h for d in case.history.doses if d.steady_state}
        # before a dose at steady state there is no interval on record: a sample at its time lies in the one it opens
        bounds = sorted(t - 2 * SLACK_H if t in steady else t for t, _ in given)
        last = given[-1][1].every_h if given else 0.0
        every = last or (case.current.doses[-1].every_h if case.current and case.current.doses else 0.0)
        end = bounds[-1] + every if bounds and every > 0 else np.inf
        return cls.of([s.time_h for s in case.samples if case.counts(s)], [*bounds, end], how)

    @classmethod
    def of(cls, samples: Sequence[float], bounds: Sequence[float], how: Occasions) -> _Layout:
        """Occasions of samples (h, any order) among `bounds`: when each dosing interval opens, and when the last one ends."""
        times = sorted(samples)
        if how.kind is OccasionKind.WINDOWS:
            return cls(spans=_windows(times, how.starts_h, bounds[-1]))
        return cls(spans=_by_intervals(times, bounds, how.kind))

    def code(self, time_h: float) -> int:
        """The occasion of a sample at that time, 0 outside all of them."""
        return next((s.number for s in self.spans if s.start_h < time_h <= s.end_h + SLACK_H), 0)

    def series(self, following: int) -> tuple[tuple[float, float], ...]:
        """The course of `OCC` from each change on; `following` after the last occasion."""
        points = [(-np.inf, 0.0)]
        for span in self.spans:
            points += [(span.start_h - JUST_H, float(span.number)), (span.end_h - JUST_H, 0.0)]
        points = [*points[:-1], (points[-1][0] if self.spans else -np.inf, float(following))]
        course = dict(points)  # of two changes at one moment the later one counts
        return tuple((t, v) for k, (t, v) in enumerate(course.items()) if k == 0 or v != list(course.values())[k - 1])

    def within(self, time_h: float) -> float:
        """A sample's time, moved by less than a millisecond where the next occasion would begin before it."""
        ends = [s.end_h for s in self.spans if abs(s.end_h - time_h) <= SLACK_H]
        return min(time_h, ends[0] - 2 * JUST_H) if ends else time_h


def _by_intervals(times: Sequence[float], bounds: Sequence[float], kind: OccasionKind) -> tuple[Span, ...]:
    groups: list[list[float]] = []
    for t in times:
        place = _interval(bounds, t)
        same = bool(groups) and _interval(bounds, groups[-1][-1]) == place
        near = bool(groups) and kind is OccasionKind.VISIT and t - groups[-1][0] <= VISIT_H + SLACK_H
        groups = [*groups[:-1], [*groups[-1], t]] if same or near else [*groups, [t]]
    spans: list[Span] = []
    for k, group in enumerate(groups):
        opened, ended = _interval(bounds, group[0]), _interval(bounds, group[-1])
        start = bounds[opened - 1] if kind is OccasionKind.INTERVAL and opened else spans[-1].end_h if spans else -np.inf
        spans.append(Span(k + 1, start, max(bounds[ended] if ended < len(bounds) else -np.inf, group[-1]), len(group)))
    return tuple(spans)


def _interval(bounds: Sequence[float], time_h: float) -> int:
    """How many intervals have opened before a sample; one at the time of a dose was drawn before it."""
    return bisect.bisect_left(bounds, time_h - SLACK_H)


def _windows(times: Sequence[float], starts_h: Sequence[float], end: float) -> tuple[Span, ...]:
    starts = [t - 2 * SLACK_H for t in starts_h]  # a sample at the hour an occasion starts lies in it
    places = [_interval(starts, t) for t in times]
    if 0 in places:
        remedy = "start the first occasion at or before the first sample"
        raise CaseError(where="occasions", what="a sample before the first occasion", remedy=remedy)
    ends = [*starts[1:], max([end, starts[-1], *times])]
    return tuple(Span(k + 1, start, stop, places.count(k + 1)) for k, (start, stop) in enumerate(zip(starts, ends, strict=True)))


def prepared_records(
    model: DrugModel, records: Sequence[Records], occasions: Occasions | None = None, *, blq: Blq = Blq.M3
) -> tuple[DrugModel, tuple[Records, ...], tuple[float, ...]]:
    """The same for a table: model, records with the covariate `OCC`, and the code that each occasion stands for.

    Records that have the covariate already (`read_table` with the name of a column) keep its occasions, numbered by the rank of their code
    over the table; code 0 is no occasion. Else occasions are laid out for each subject, by the observations that count under `blq`. A model
    without IOV comes back as it is.
    """
    how = occasions or Occasions()
    if model.occasions or how.kind is OccasionKind.NONE or not has_iov(model):
        return model, tuple(records), ()
    coded = all(OCCASION in r.covariates for r in records)
    found = [r.covariates[OCCASION] if coded else _codes(r, how, opens=_opens(model), blq=blq) for r in records]
    codes = sorted({float(v) for column in found for v in column if v != 0})
    if not codes:
        return model, tuple(records), ()
    place = {code: float(k) for k, code in enumerate(codes, 1)} | {0.0: 0.0}
    columns = [np.asarray([place[float(v)] for v in column]) for column in found]
    numbered = tuple(replace(r, covariates={**r.covariates, OCCASION: c}) for r, c in zip(records, columns, strict=True))
    return with_occasions(model, padded(len(codes), where="occasions")), numbered, tuple(codes)


def _opens(model: DrugModel) -> bool:
    """Whether a dose at the end of an occasion must be in the next one, because its own F, lag or duration varies between them.

    A record's occasion also governs the time since the record before it (as in NONMEM), so otherwise the dose stays in the old one.
    """
    s = model.structure
    given = (s.bioavailability, s.lag, s.duration)
    return model.system is not None or any(model.parameters[name].iov is not None for name in given if name)


def _codes(records: Records, how: Occasions, *, opens: bool, blq: Blq) -> Array:
    """The occasion of every record; a level in the row below a dose of the same time was drawn after it."""
    counted = records.observed & (records.weight > 0) & ~(records.blq & (blq is Blq.M1))
    clock = running_clock(records)
    late = [records.observed[i] and bool((records.dosed[:i] & (clock[:i] == clock[i])).any()) for i in range(len(records))]
    at = clock + np.where(late, 2 * SLACK_H, 0.0)
    doses = np.flatnonzero(records.dosed)
    given = [(float(clock[i]) + k * float(records.ii[i]), bool(records.ss[i])) for i in doses for k in range(int(records.addl[i]) + 1)]
    bounds = sorted(t - 2 * SLACK_H if steady else t for t, steady in given if t <= clock[-1])
    layout = _Layout.of([float(t) for t in at[counted]], [*bounds, np.inf], how)
    return np.asarray(
        [layout.code(float(t) + (4 * SLACK_H if records.dosed[i] and opens else 0.0)) for i, t in enumerate(at)], dtype=np.float64
    )
