"""What the tests of FHIR share: one analysis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emr.results import real_result


@pytest.fixture(scope="session")
def result(root: Path) -> dict[str, Any]:
    """A result.json as a dict; tests that change it copy it first."""
    return real_result(root)
