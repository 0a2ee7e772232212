"""Reference results of other engines live beside the repository; without them these tests skip and say so."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared"


@pytest.fixture(scope="session")
def oracles() -> Path:
    """The folder of reference results."""
    folder = SHARED / "oracles"
    if not folder.is_dir():
        pytest.skip("no ../shared/oracles here: the comparison with NONMEM is not run")
    return folder
