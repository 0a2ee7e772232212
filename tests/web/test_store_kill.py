"""kill -9 at random points of writing, signing and importing (benchmarks/kill_store.py does 200)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from web_postgresql import installed


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_nothing_acknowledged_is_lost_and_nothing_is_half_there(root: Path, database: str) -> None:
    if database == "postgresql" and not installed():
        pytest.skip("needs PostgreSQL (make postgresql installs it)")
    command = [sys.executable, str(root / "benchmarks" / "kill_store.py"), "--points", "5", "--database", database, "--json"]
    environment = os.environ | {"PYTHONPATH": str(root / "src")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)[0]
    assert figures["faults"] == [] and figures["points"] == 5
    assert set(figures["acknowledged"]) >= {"write"} and figures["audit_entries"] > 5
