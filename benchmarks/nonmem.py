"""Every run of the mapbayr validation against NONMEM: predictions at NONMEM's etas, and MAP; one line a run, then the sum.

    python benchmarks/nonmem.py [RUN ...]

Needs the reference results beside the checkout (../shared/oracles). Reference: Le Louedec 2021, CPT PSP 10:1208.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from auctor.data.nonmem import read_table  # noqa: E402
from auctor.estimate.objective import sample_terms  # noqa: E402
from auctor.estimate.observations import of_records, stack_observations  # noqa: E402
from auctor.estimate.outputs import residual_at  # noqa: E402
from auctor.estimate.patient import penalty  # noqa: E402
from auctor.estimate.table import estimate_table  # noqa: E402
from auctor.models.reader import read_model  # noqa: E402
from auctor.pk.course import concentrations  # noqa: E402
from auctor.pk.timeline import from_records, stack  # noqa: E402
from oracle.written_out import mapbayr_file  # noqa: E402

ORACLE = ROOT.parent / "shared" / "oracles" / "mapbayr_cptpsp2021"


def rows_of(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((ORACLE / "small" / name).read_text().splitlines()))


def one(run: str, spec: dict[str, object], folder: Path) -> tuple[int, int, int, float]:
    """Subjects, close ones, good ones, and the largest relative error of PRED or IPRED."""
    model = read_model(mapbayr_file(spec, folder / f"run{run}.toml"))
    subjects = read_table(ORACLE / "small" / f"run{run}_data.csv", model)
    theirs = np.asarray([[float(r[f"ETA{k + 1}"]) for k in range(len(model.eta_names))] for r in rows_of(f"run{run}_nonmem_eta.csv")])
    batch = stack([from_records(model, r) for r in subjects])
    observed = np.concatenate([r.observed for r in subjects])
    seen = stack_observations([of_records(model, r) for r in subjects], batch.arrays["wanted"].shape[1])
    worst = 0.0
    for name, at in (("PRED", np.zeros_like(theirs)), ("IPRED", theirs)):
        f = concentrations(model, batch, at)
        ours = np.concatenate([c[: len(r)] for c, r in zip(f, subjects, strict=True)])[observed]
        ours = np.log(ours) if model.residual.kind == "log" and name == "PRED" else ours
        printed = np.asarray([float(r[name]) for r in rows_of(f"run{run}_nonmem_pred.csv")])
        worst = max(worst, float(np.max(np.abs(ours - printed) / np.maximum(np.abs(printed), 1e-9))))
    at_theirs = sample_terms(residual_at(model, batch.arrays), concentrations(model, batch, theirs), seen).sum(axis=1) + penalty(
        model, theirs
    )
    found = estimate_table(model, subjects).subjects
    close = np.abs(np.expm1(np.stack([s.eta for s in found]) - theirs)).max(axis=1) < 1e-3
    ofv = np.asarray([s.ofv for s in found])
    for i in np.flatnonzero(~(close | (ofv <= at_theirs + 1e-4))):
        print(f"    miss: run {run} ID {found[i].id}: OFV {ofv[i]:.6f}, at NONMEM's eta {at_theirs[i]:.6f}")
    return len(found), int(close.sum()), int((close | (ofv <= at_theirs + 1e-4)).sum()), worst


def main() -> None:
    """Run them all, or the runs named."""
    if not ORACLE.is_dir():
        sys.exit("needs ../shared/oracles/mapbayr_cptpsp2021 beside the checkout")
    specs = json.loads((ORACLE / "models.json").read_text())
    total = np.zeros(3, dtype=int)
    print("run  subjects  within 0.1 %  within, or OFV no higher  PRED/IPRED worst  seconds")
    with tempfile.TemporaryDirectory() as folder:
        for run in sys.argv[1:] or sorted(specs):
            start = time.perf_counter()
            n, close, good, worst = one(run, specs[run], Path(folder))
            total += (n, close, good)
            print(f"{run}  {n:8d}  {close:12d}  {good:24d}  {worst:16.1e}  {time.perf_counter() - start:7.1f}", flush=True)
    print(f"all  {total[0]:8d}  {total[1]:12d}  {total[2]:24d}")


if __name__ == "__main__":
    main()
