"""People at work on a real server, page by page (benchmarks/load.py does fifty for five minutes)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

KINDS = {
    "work list",
    "course",
    "curve data",
    "patient",
    "level form",
    "save a level",
    "analyse",
    "what-if",
    "report",
    "report, PDF",
    "sign-in",
}


def test_people_work_at_once_without_an_error(root: Path) -> None:
    """Every kind of page was asked for, and each answer was the one that was asked for."""
    command = [sys.executable, str(root / "benchmarks" / "load.py"), "--quick", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, env=os.environ | {"PYTHONPATH": str(root / "src")})
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["errors"] == 0 and found["first_errors"] == []
    assert set(found["pages"]) >= KINDS
    assert found["pages"]["what-if"]["requests"] == 3 * found["pages"]["analyse"]["requests"] == 3 * found["users"]
    assert found["memory_mb"]["end"] >= found["memory_mb"]["listening"] > 0
