"""The picture in the README: the first screen of one report of the demo, taken in Chromium.

python scripts/picture.py DEMO_FOLDER docs/img/report.png [WORD]   (WORD picks the patient's folder, default tacrolimus)
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def find_report(folder: Path, word: str) -> Path:
    """The report whose path holds `word`, or the first one."""
    reports = sorted(folder.rglob("report.html"))
    if not reports:
        sys.exit(f"no report.html under {folder}: run `make demo` first")
    return next((report for report in reports if word in str(report)), reports[0])


def find_browser() -> str:
    """AUCTOR_CHROMIUM, or a Chromium on the path."""
    names = (os.environ.get("AUCTOR_CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    return found or sys.exit("no Chromium found: install it, or set AUCTOR_CHROMIUM to a browser's path")


def take(report: Path, picture: Path) -> None:
    """A 1200 x 900 picture of the top of the page, at twice the resolution, in the light scheme."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900}, device_scale_factor=2, color_scheme="light")
        page.goto(report.resolve().as_uri())
        picture.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    take(find_report(Path(sys.argv[1]), (sys.argv[3:] or ["tacrolimus"])[0]), Path(sys.argv[2]))
