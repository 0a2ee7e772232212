"""The track record of silent mode."""

from __future__ import annotations

from pydantic import Field

from auctor.web.api.shapes.base import Measured, Shown


class Counts(Shown):
    """Every level of the caller's wards by what became of it."""

    levels: int
    scored: int
    waiting: int
    not_foretold: int
    left_out_by_a_person: int
    withdrawn: int


class Count(Shown):
    """Levels found where a share of `expected_share` should be; `low` to `high` is no surprise (99 %)."""

    found: int
    of: int
    expected_share: float = Field(description="a share of 1")
    low: int
    high: int


class Chart(Measured):
    """The bias chart: the last value of the EWMA of normal scores; it signals beyond +-`limit`, first at level `first_signal`."""

    limit: float
    first_signal: int | None


class Track(Shown):
    """One method of one model on the levels of one drug."""

    drug: str
    model: str
    method: str
    levels: int
    outside_limits_of_the_assay: int
    mean_error: Measured
    root_mean_square_error: Measured
    inside_50: Count
    inside_90: Count
    histogram: list[Count]
    ewma: Chart
    signals: list[str]


class Silent(Shown):
    """The record."""

    counts: Counts
    tracks: list[Track]
