"""Pictures of the pages for docs/application.md: the training patients of `auctor demo` in a Chromium, one file a page.

python scripts/pages_pictures.py docs/img/app      (AUCTOR_CHROMIUM, or a Chromium on the path; about a minute)
"""

from __future__ import annotations

import re
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from picture import find_browser

ROOT = Path(__file__).resolve().parents[1]
LAPTOP, PHONE = {"width": 1366, "height": 768}, {"width": 390, "height": 844}


def serve(folder: Path) -> tuple[Any, str, str]:
    """An application with the training patients on a free port: the server, its address, the demo account's password."""
    import uvicorn

    from auctor.web.app import application
    from auctor.web.service.clinic import Clinic
    from auctor.web.service.training import install
    from auctor.web.settings import read_settings

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = read_settings({}, data_folder=folder, port=port)
    app = application(settings)
    app.state.clinic = Clinic(store=app.state.store)
    password = install(app.state.clinic, folder, ROOT / "examples")
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    return server, settings.origin, password


def take(page: Any, origin: str, path: str, file: Path, *, whole: bool = True) -> None:
    """One page as a JPEG: small, and sharp enough to read."""
    answer = page.goto(origin + path)
    assert answer.status == 200, (path, answer.status)
    if page.locator("#interactive").count():
        page.wait_for_selector("#interactive canvas")
    page.screenshot(path=file, full_page=whole, type="jpeg", quality=34)


def pictures(origin: str, password: str, folder: Path) -> None:
    """Every page of the walk-through."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        light = browser.new_context(viewport=LAPTOP, color_scheme="light", locale="en-GB")
        page = light.new_page()
        take(page, origin, "/sign-in", folder / "sign-in.jpg")
        page.fill("[name=login]", "demo")
        page.fill("[name=password]", password)
        page.keyboard.press("Enter")
        page.wait_for_url("**/work")
        seen = page.content()
        courses = dict(reversed(pair) for pair in re.findall(r'href="(/courses/\w+)">(\w+),', seen))
        kidney, vancomycin = courses["Linden"], courses["Sorrel"]
        page.goto(origin + kidney)
        result = re.findall(r"/results/(\w+)/report", page.content())[0]
        fact = re.findall(rf'href="({kidney}/facts/\w+)"', page.content())[0]
        patient = re.findall(r'href="(/patients/\w+)"', page.content())[0]
        shown = {
            **{"work-list": "/work", "patients": "/patients", "new-patient": "/patients/new", "patient": patient, "course": kidney},
            **{name: f"{vancomycin}/add/{kind}" for name, kind in (("dose", "dose"), ("sample", "sample"), ("covariates", "covariate"))},
            **{"model": f"{kidney}/model", "sign": f"/results/{result}/sign?regimen=4%20mg%20every%2012%20h"},
            **{"report": f"/results/{result}/report", "audit": f"{patient}/audit", "suspicion": f"{vancomycin}/suspicion"},
            **{"fact": fact, "silent": "/silent", "cards": "/silent/cards", "account": "/account", "help": "/help"},
            **{"accounts": "/admin/accounts", "wards": "/admin/wards"},
        }
        for name, path in shown.items():
            take(page, origin, path, folder / f"{name}.jpg")
        kept = light.storage_state()
        for name, scheme, size, locale in (("course-dark", "dark", LAPTOP, "en-GB"), ("course-french-phone", "light", PHONE, "fr-FR")):
            other = browser.new_context(viewport=size, color_scheme=scheme, locale=locale, storage_state=kept)
            take(other.new_page(), origin, kidney, folder / f"{name}.jpg", whole=scheme == "light")
        doubted(page, origin, kidney, folder)
        browser.close()


def doubted(page: Any, origin: str, course: str, folder: Path) -> None:
    """A trough as if drawn after the dose: what the check asks, where it is asked, and what it proposes."""
    page.goto(origin + course)
    page.click("a:has-text('6.8 ng/mL')")
    page.fill("#value", "17.5")
    page.fill("#reason", "an example")
    page.click("form[action$=correct] button")
    page.click("form[action$=analyse] button")
    page.wait_for_selector("#findings")
    page.locator("#findings").screenshot(path=folder / "findings.jpg", type="jpeg", quality=34)
    page.click("#findings .note:has-text('30 min after') a")
    page.screenshot(path=folder / "finding.jpg", full_page=True, type="jpeg", quality=34)
    page.click("a:has-text('To the entry')")
    page.screenshot(path=folder / "proposal.jpg", full_page=True, type="jpeg", quality=34)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        running, address, word = serve(Path(place))
        pictures(address, word, target)
        running.should_exit = True
    print(f"{len(list(target.glob('*.jpg')))} pictures, {sum(p.stat().st_size for p in target.glob('*.jpg')) / 1e6:.2f} MB in {target}")
