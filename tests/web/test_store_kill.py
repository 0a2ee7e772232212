"""kill -9 at random points of writing, signing and importing (benchmarks/kill_store.py does 200)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from web_postgresql import installed

POINTS = 5


def test_nothing_acknowledged_is_lost_and_nothing_is_half_there(root: Path) -> None:
    """On SQLite, and on PostgreSQL where it is installed."""
    command = [sys.executable, str(root / "benchmarks" / "kill_store.py"), "--points", str(POINTS), "--json"]
    environment = os.environ | {"PYTHONPATH": str(root / "src")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert [one["database"] for one in figures] == ["sqlite", "postgresql"][: 1 + installed()]
    for one in figures:
        assert one["faults"] == [] and one["points"] == POINTS
        assert sum(one["acknowledged"].values()) >= POINTS and one["audit_entries"] > POINTS
