"""What tests of several folders share: the repository's root, the reference figures beside it, and a browser."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAPS, MOST_MAPS = Path("/proc/self/maps"), 20_000
# modules with tests of half a minute without compiled code: begun last, one of them would leave the other worker idle
LONGEST = (
    "oracle/test_nonlinear.py",
    "test_docs.py",
    "spec/test_cli.py",
    "web/test_pages_browser.py",
    "web/test_matrix.py",
    "spec/test_model_linter.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest modules first, each whole, in the order of `LONGEST`; the others as they were."""
    ranks = {ROOT / "tests" / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(LONGEST)))


@pytest.fixture(scope="module", autouse=True)
def _room() -> Iterator[None]:
    """Tests compile thousands of functions in one process, whose memory maps Linux limits: let them go between modules."""
    yield
    jax = sys.modules.get("jax")
    if jax is not None and MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference figures beside the checkout, which is not part of the repository."""
    return _beside("shared", needs="the reference figures in ../shared")


@pytest.fixture(scope="session")
def oracles() -> Path:
    """Figures that NONMEM, Monolix and others printed."""
    return _beside("shared/oracles", needs="the reference figures in ../shared/oracles")


@pytest.fixture(scope="session")
def open_data() -> Path:
    """Open real data sets."""
    return _beside("shared/data", needs="the open data sets in ../shared/data")


def _beside(name: str, *, needs: str) -> Path:
    folder = ROOT.parent / name
    if not folder.is_dir():
        pytest.skip(f"needs {needs}, which only the developers' machines have")
    return folder


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A running Chromium (a playwright Browser), without a network."""
    path = _browser_path()
    if path is None:
        pytest.skip("needs Chromium: install it, or set AUCTOR_CHROMIUM to a browser's path")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def _browser_path() -> str | None:
    names = (os.environ.get("AUCTOR_CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((found for name in names if name and (found := shutil.which(name))), None)
