"""Records: one subject of a NONMEM-style table as columns, one row per record, before any interpretation as doses and samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.errors import Notice

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Records:
    """One subject of a NONMEM-style table; every array has shape (n_records,), in the order of the file.

    `time_h` h as in the table; `evid` 0 observation, 1 dose, 2 other, 3 reset, 4 reset and dose; `amt` mg; `rate` mg/h (0 bolus,
    -2 modelled duration); `cmt` compartment (0 when the table does not say);
    `ii` h; `addl` doses still to come; `ss` 0, 1 or 2; `mdv` 1 when DV is not an observation; `dv` in the model's own
    concentration unit (0 where there is none: read it only where `observed`); `blq` the observation is only known to be
    below `lloq`, `alq` above `uloq` (limits 0 where none is given); `weight` multiplies its part of the objective (0: left out).
    `covariates`: name -> one value per record, a missing one filled from the record before (the first ones from the next known
    one); which record's value holds *between* records is the engine's choice, and `given` says on which records one was written
    (every one, where absent). `line` is the line of the file each record came from; `notices` are the warnings raised while
    reading the subject.

    >>> r = Records.make("1", time_h=[0, 2], evid=[1, 0], amt=[100, 0], dv=[0, 3.5], covariates={"WT": [70, 70]})
    >>> r.observed.tolist(), r.dosed.tolist(), len(r)
    ([False, True], [True, False], 2)
    """

    id: str
    time_h: Array
    evid: Ints
    amt: Array
    rate: Array
    cmt: Ints
    ii: Array
    addl: Ints
    ss: Ints
    mdv: Ints
    dv: Array
    blq: Flags
    lloq: Array
    alq: Flags
    uloq: Array
    weight: Array
    covariates: Mapping[str, Array]
    line: Ints
    notices: tuple[Notice, ...] = field(default=())
    given: Mapping[str, Flags] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.time_h)

    @property
    def observed(self) -> Flags:
        """Rows that hold an observation: EVID 0 and MDV 0."""
        flags: Flags = np.logical_and(self.evid == 0, self.mdv == 0)
        return flags

    @property
    def dosed(self) -> Flags:
        """Rows that give a dose: EVID 1 or 4."""
        flags: Flags = np.logical_or(self.evid == 1, self.evid == 4)
        return flags

    @classmethod
    def make(cls, id: str, *, covariates: Mapping[str, Any] | None = None, **columns: Any) -> Records:
        """Build from plain lists, absent columns being 0 (`mdv` 1 where EVID is not 0, `weight` 1); needs `time_h` and `evid`.

        >>> Records.make("7", time_h=[0.0], evid=[1], amt=[5]).mdv.tolist()
        [1]
        """
        n = len(np.atleast_1d(np.asarray(columns["time_h"])))
        columns.setdefault("mdv", (np.asarray(columns["evid"]) != 0).astype(int))
        columns.setdefault("weight", np.ones(n))
        columns.setdefault("line", np.arange(2, n + 2))
        arrays: dict[str, Any] = {name: np.asarray(columns.get(name, np.zeros(n)), dtype=_KINDS.get(name, np.float64)) for name in _COLUMNS}
        extra = {name: np.asarray(values, dtype=np.float64) for name, values in (covariates or {}).items()}
        return cls(id=id, covariates=extra, **arrays)


_COLUMNS = ("time_h", "evid", "amt", "rate", "cmt", "ii", "addl", "ss", "mdv", "dv", "blq", "lloq", "alq", "uloq", "weight", "line")
_KINDS: dict[str, type] = {**dict.fromkeys(("evid", "cmt", "addl", "ss", "mdv", "line"), np.int64), "blq": np.bool_, "alq": np.bool_}
