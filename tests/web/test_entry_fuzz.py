"""Cases of any shape through the API, a few of `benchmarks/entry_fuzz.py`: no crash, no NaN, no dose above a cap."""

from __future__ import annotations

from pathlib import Path

import pytest

from web_api import benchmark, program
from web_site import make_site

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")


def test_no_case_breaks_the_entry_and_no_dose_passes_a_cap(root: Path, quick_folder: Path) -> None:
    site = make_site(quick_folder)
    tally = benchmark(root, "entry_fuzz").run(program(site), n=80, analysed=3, start=3)
    site.app.state.store.close()
    assert tally.cases == 80 and tally.statuses[201] >= 10 and tally.statuses[422] >= 10
    assert tally.analysed >= 1 and sum(tally.tried.values()) == tally.analysed
