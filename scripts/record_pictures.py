"""Pictures of the hospital record's pages for docs/fhir.md: sekmet-fhir as the hospital, one file a page.

PYTHONPATH=src:tests python scripts/record_pictures.py docs/img/app      (AUCTOR_CHROMIUM, or a Chromium on the path)
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn
from picture import find_browser

from auctor.web.emr.fhir_client import FhirClient
from auctor.web.emr.remote import Server
from emr.bundles import bundle, given, observed, patient, transaction, vancomycin_record
from emr.servers import free_port, sekmet
from web_site import PASSWORD, make_site, open_course, register

SYSTEM = "urn:oid:1.2.3"


def serve(folder: Path, hospital: str) -> tuple[Any, str, str]:
    """An application whose hospital is that server: the uvicorn server, its address, and the course of the server's patient."""
    (folder / "partners.toml").write_text(
        f'[[fhir]]\nname = "Hospital record"\nbase_url = "{hospital}"\nformula = "cockcroft-gault"\n'
        f'[[authorities]]\nsystem = "{SYSTEM}"\nauthority = "manual"\n'
    )
    site = make_site(folder, port=free_port(), partners_file=str(folder / "partners.toml"))
    server = uvicorn.Server(uvicorn.Config(site.app, port=site.settings.port, log_level="critical"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.1)
    ada = site.client("ada")
    return server, site.origin, open_course(ada, register(ada, family="Beispiel", identifier="4711", birth_date="1961-05-17"), "vancomycin")


def take(page: Any, origin: str, course: str, out: Path) -> None:
    """Sign in, read the record, look at a file, open the question."""
    page.goto(f"{origin}/sign-in")
    page.fill("[name=login]", "ada")
    page.fill("[name=password]", PASSWORD)
    page.click("main button")
    page.goto(origin + course)
    page.get_by_role("button", name="Read the record").click()
    page.goto(f"{origin}{course}/record")
    level = observed("t2", "4092-3", 12.2, "mg/L", "2026-03-03T07:40:00+01:00")
    more = bundle(patient(identifier=[{"system": SYSTEM, "value": "4711"}]), given("a5", "2026-03-02T22:00:00+01:00"), level)
    page.set_input_files("#file", files=[{"name": "r.json", "mimeType": "application/json", "buffer": json.dumps(more).encode()}])
    page.get_by_role("button", name="Show what would be taken").click()
    page.screenshot(path=str(out / "record.jpg"), type="jpeg", quality=70)
    page.goto(origin + course)
    page.locator("#questions a").first.click()
    page.screenshot(path=str(out / "question.jpg"), type="jpeg", quality=70, full_page=True)


def main(out: Path) -> None:
    """All of them."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as data, sekmet(Path(name), None) as hospital:
        record = [entry["resource"] for entry in vancomycin_record()["entry"]]
        with FhirClient(Server(base_url=hospital, allowed=(hospital,))) as client:
            client.write(transaction(*record, given("a4", "2026-03-02T20:05:00+01:00")))
        server, origin, course = serve(Path(data), hospital)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
            take(browser.new_page(viewport={"width": 1366, "height": 768}), origin, course, out)
            browser.close()
        server.should_exit = True
        time.sleep(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
