"""One real `auctor serve` between a real FHIR server and a socket: what is followed is read by itself, what comes by MLLP is entered."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from auctor.web.emr.fhir_client import FhirClient
from auctor.web.emr.framing import Framer, framed
from auctor.web.emr.remote import Server
from emr.bundles import observed, transaction, vancomycin_record
from emr.messages import msh, obx, oru
from emr.servers import free_port, sekmet, wait_for
from emr.test_joined import NUMBER, SITE_FILE
from web_site import PASSWORD, Person, make_site, open_course, register

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")


@dataclass(frozen=True, kw_only=True)
class Running:
    """The process, where it listens, the hospital's server, and a signed-in person with a course of the patient whom it knows."""

    process: subprocess.Popen[str]
    hl7_port: int
    hospital: Server
    person: Person
    course: str
    log: Path


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An installation with accounts, served by `auctor serve`; sekmet-fhir with a record beside it."""
    folder = tmp_path_factory.mktemp("process")
    with sekmet(tmp_path_factory.mktemp("process-sekmet"), None) as base:
        hospital = Server(base_url=base, allowed=(base,))
        with FhirClient(hospital) as client:
            client.write(transaction(*(e["resource"] for e in vancomycin_record()["entry"])))
        (folder / "site.toml").write_text(SITE_FILE)
        (folder / "partners.toml").write_text(
            f'[[fhir]]\nname = "The hospital"\nbase_url = "{base}"\nwards = ["icu"]\nformula = "cockcroft-gault"\nfollow = true\n'
            '[[authorities]]\nsystem = "urn:oid:1.2.3"\nauthority = "manual"\n'
        )
        site = make_site(folder)
        site.app.state.store.close()
        port, hl7_port = free_port(), free_port()
        settings = {"data_folder": folder, "port": port, "hl7_port": hl7_port, "silent_minutes": 0}
        settings |= {"partners_file": folder / "partners.toml", "hl7_site_file": folder / "site.toml"}
        environment = os.environ | {f"AUCTOR_{name.upper()}": str(value) for name, value in settings.items()}
        environment |= {"PYTHONPATH": os.pathsep.join(sys.path)}
        log = folder / "log.txt"
        with log.open("w") as told:
            process = subprocess.Popen([sys.executable, "-m", "auctor", "serve"], env=environment, stderr=told, text=True)
        try:
            origin = f"http://localhost:{port}"
            wait_for(lambda: httpx.get(f"{origin}/health/live", trust_env=False).status_code == 200, f"auctor serve: {log}")
            with httpx.Client(base_url=origin, headers={"origin": origin}, follow_redirects=True, trust_env=False, timeout=60) as browser:
                person = Person(app=site.app, client=browser)  # type: ignore[arg-type]
                assert person.submit("/sign-in", {"login": "ada", "password": PASSWORD}).status_code == 200
                patient = register(person, family="Beispiel", identifier=NUMBER, birth_date="1961-05-17", demo=False)
                course = open_course(person, patient, "vancomycin")
                yield Running(process=process, hl7_port=hl7_port, hospital=hospital, person=person, course=course, log=log)
        finally:
            process.kill()
            process.wait(20)


def test_a_record_that_is_followed_is_read_again_when_the_server_rings(running: Running) -> None:
    """follow = true: the reading subscribes, the server calls the process, the process reads, and nobody pressed anything."""
    course = running.course
    assert "17.5 mg/L" not in running.person.get(course).text
    read = running.person.submit(course, {}, action=f"{course}/record/read")
    assert read.status_code == 200 and "new, 0 corrected" in re.sub(r"<[^>]+>", "", read.text)
    with FhirClient(running.hospital) as client:

        def subscribed() -> bool:
            found, _ = client._all_pages(f"{running.hospital.base}/Subscription", float("inf"))
            return [entry["resource"]["status"] for entry in found] == ["active"]

        wait_for(subscribed, "one active subscription")
        late = observed("late", "20578-1", 17.5, "mg/L", "2026-03-03T07:40:00+01:00")
        client.write(transaction(late))
        wait_for(lambda: "17.5 mg/L" in running.person.get(course).text, "the level that the server rang for")
        corrected = late | {"status": "corrected", "valueQuantity": late["valueQuantity"] | {"value": 7.5}}
        client.write(transaction(corrected))
        wait_for(lambda: "7.5 mg/L" in (text := running.person.get(course).text) and "17.5 mg/L" not in text, "its correction")


def test_the_listener_of_the_process_enters_what_comes_over_the_socket(running: Running) -> None:
    """A message and a batch: on disk and in the course when they are acknowledged."""

    def level(value: str, control: str, place: str) -> bytes:
        found = oru(obx(value, code="4092-3^Vancomycin^LN", unit="mg/L", f4=place), head=msh("ORU^R01", control))
        return found.replace(b"123456^^^HOSP^MR", f"{NUMBER}^^^manual^MR".encode())

    batch = b"BHS|^~\\&|LAB|HOSP|||||||B1\r" + level("16.2", "P2", "2") + level("six", "P3", "3") + b"BTS|3\r"
    with socket.create_connection(("127.0.0.1", running.hl7_port), timeout=60) as plug:
        plug.sendall(framed(level("15.1", "P1", "1")) + framed(batch))
        framer, answers = Framer(most=100_000), []
        while len(answers) < 2:
            chunk = plug.recv(65_536)
            assert chunk, running.log.read_text()
            answers += [frame.data for frame in framer.feed(chunk)]
    assert b"MSA|AA|P1" in answers[0]
    assert all(part in answers[1] for part in (b"MSA|AA|P2", b"MSA|AE|P3", b"BTS|2|BTS-1: 3 announced, 2 came"))
    text = running.person.get(running.course).text
    assert "15.1 mg/L" in text and "16.2 mg/L" in text
    waiting = running.person.get("/admin/messages").text
    assert "BHS" in waiting and "OBX[1]-5" in waiting


def test_the_process_stops_in_order(running: Running) -> None:
    """Last in this file: the listener and the thread of the records end, and the log names no patient."""
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(60) in {0, -signal.SIGTERM}
    lines = [json.loads(line) for line in running.log.read_text().splitlines() if line.startswith("{")]
    assert lines[-1]["event"] == "stop" and any(line["event"] == "hl7.listen" for line in lines)
    assert not re.search(rf"Beispiel|\b{NUMBER}\b|mg/L", running.log.read_text())
