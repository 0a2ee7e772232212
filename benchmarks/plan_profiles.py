"""How long, and how much memory, the profiles of a plan take as Parquet: 100,000 patients of two shipped plans.

    python benchmarks/plan_profiles.py [--json] [--n 100000]

One process a plan runs `auctor simulate`; wall and processor time include its start, the peak is that of its resident memory.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from auctor.learn.store import PLANS

NAMES = ("tacrolimus_auc12", "vancomycin_auc24")


def enlarged(name: str, n: int) -> str:
    """The shipped plan with n patients, its parts as shares."""
    text = (PLANS / f"{name}.toml").read_text()
    text = re.sub(r"profiles = \d+", f"profiles = {n}", text)
    return re.sub(r"train = \d+\ncalibration = \d+\ntest = \d+", "train = 0.6\ncalibration = 0.2\ntest = 0.2", text)


def measured(name: str, n: int, folder: Path) -> dict[str, Any]:
    """Wall and processor seconds, peak MB and file MB of one plan."""
    plan, out = folder / f"{name}.toml", folder / f"{name}.parquet"
    plan.write_text(enlarged(name, n))
    start = time.perf_counter()
    command = [sys.executable, "-m", "auctor", "simulate", str(plan), "--out", str(out), "--json"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"auctor simulate left with {process.returncode}")
    wall, cpu = time.perf_counter() - start, used.ru_utime + used.ru_stime
    return {"plan": name, "wall_s": wall, "cpu_s": cpu, "peak_MB": used.ru_maxrss / 1024, "file_MB": out.stat().st_size / 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--n", type=int, default=100_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measured(name, asked.n, Path(folder)) for name in NAMES]
    if asked.json:
        print(json.dumps(rows))
        return
    for row in rows:
        took = f"{row['wall_s']:.1f} s ({row['cpu_s']:.1f} s of processor)"
        print(f"{row['plan']}: {took}, peak {row['peak_MB']:.0f} MB, file {row['file_MB']:.1f} MB")


if __name__ == "__main__":
    main()
