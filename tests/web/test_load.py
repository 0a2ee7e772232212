"""People at work on a real server, page by page (benchmarks/load.py does fifty for five minutes)."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from web_api import benchmark

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
    with ThreadPoolExecutor(1) as apart:  # the browser of other tests has a loop in this thread
        found = apart.submit(benchmark(root, "load").measured, argparse.Namespace(quick=True, database="sqlite", seed=0)).result()
    assert found["errors"] == 0 and found["first_errors"] == []
    assert set(found["pages"]) >= KINDS
    assert found["pages"]["what-if"]["requests"] == 3 * found["pages"]["analyse"]["requests"] == 3 * found["users"]
    assert found["memory_mb"]["end"] >= found["memory_mb"]["listening"] > 0
