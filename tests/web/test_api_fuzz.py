"""Schemathesis over the whole OpenAPI document, a bounded run of `benchmarks/api_fuzz.py`: no 5xx, no answer that is not described."""

from __future__ import annotations

from pathlib import Path

import pytest

from web_api import benchmark

pytestmark = pytest.mark.filterwarnings("ignore")  # schemathesis and what it imports have their own


def test_no_request_of_any_shape_breaks_the_api(root: Path, quick_folder: Path) -> None:
    api_fuzz = benchmark(root, "api_fuzz")
    app, key, known = api_fuzz.installed(quick_folder)
    tally = api_fuzz.fuzz(app, key, known, examples=1, seconds=300, seed=7, enough=200)
    app.state.store.close()
    assert not tally.failures, tally.failures
    assert tally.requests >= 200 and {200, 400, 401, 404} <= set(tally.statuses)
    assert max(tally.statuses) < 500
