"""The hospital's records of one installation: which server knows a ward, what is sent in the background, what is read when it rings."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from auctor.errors import AuctorError
from auctor.web.accounts.actor import EVERY_WARD, Actor, Role
from auctor.web.emr.fhir_client import FhirClient
from auctor.web.emr.fhir_hook import PATH, Ping, secret_of
from auctor.web.emr.hospital import Hospital, Refreshed, follow, read_record, send_back
from auctor.web.emr.partners import Partners, read_partners
from auctor.web.pages.language import language
from auctor.web.pages.reporting import pdf_of
from auctor.web.pages.voice import PageVoice
from auctor.web.service import sending
from auctor.web.service.clinic import Clinic
from auctor.web.service.courses import look
from auctor.web.settings import Settings
from auctor.web.store.tables import Outbox

_LOG = logging.getLogger("auctor.record")
FEED = Actor(account_id=None, login="system:record", roles=frozenset({Role.AUTHOR}), wards=frozenset({EVERY_WARD}), channel="fhir")
PAUSE_S = 30.0


@dataclass(kw_only=True)
class Records:
    """Reads and sends for people at once, and in a thread of its own for a signature or a call of the hospital's server."""

    settings: Settings
    clinic: Callable[[], Clinic]
    _rung: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    _wake: threading.Event = field(default_factory=threading.Event)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def partners(self) -> Partners:
        """Those of the partners' file."""
        return read_partners(Path(self.settings.partners_file) if self.settings.partners_file else None)

    def of_ward(self, ward: str) -> Hospital | None:
        """The server that knows the patients of a ward, None where there is none."""
        setup = self.partners.record_of(ward)
        return None if setup is None else _hospital(setup.base, Path(self.settings.partners_file))

    def read(self, actor: Actor, course_id: str) -> Refreshed:
        """The record of a course, read now and imported; subscribed to where the server is followed. RemoteError, RecordError."""
        file = look(self.clinic(), actor, course_id)
        hospital = self._needed(file.patient.ward_id)
        found = read_record(self.clinic(), actor, course_id, hospital, file.patient)
        if hospital.setup.follow:
            with suppress(AuctorError):  # what was read stands; the next reading asks again
                secret = secret_of(self.hook_key, course_id)
                follow(hospital, file.patient, endpoint=f"{self.settings.origin}{PATH}/{course_id}", secret=secret)
        return found

    @property
    def hook_key(self) -> bytes:
        """The key that the secrets of the hooks are made from."""
        return self.settings.key("fhir-hook")

    def send(self, actor: Actor, result_id: str) -> AuctorError | None:
        """A result to its patient's server now; why it did not arrive. The outbox keeps either."""
        clinic = self.clinic()
        file = look(clinic, actor, _course_of(clinic, actor, result_id))
        hospital = self._needed(file.patient.ward_id)
        row = sending.put(clinic, actor, result_id, hospital.server.base)
        return self._deliver(actor, row, result_id, hospital)

    def destination(self, ward: str) -> str:
        """Where a result goes by itself when it is signed, "" where it does not."""
        setup = self.partners.record_of(ward)
        return setup.base if setup is not None and setup.send_when_signed else ""

    def _needed(self, ward: str) -> Hospital:
        found = self.of_ward(ward)
        if found is None:
            raise NoRecord(where="record", what="no hospital record is set up for this ward", remedy="an administrator adds it")
        return found

    def _deliver(self, actor: Actor, row: str, result_id: str, hospital: Hospital) -> AuctorError | None:
        clinic = self.clinic()
        try:
            tongue = language(hospital.setup.report_language or self.settings.language)
            file, pdf = pdf_of(clinic, actor, result_id, tongue)
            with FhirClient(hospital.server) as client:
                patient = hospital.patient(client, file.patient)
            written = send_back(clinic, actor, result_id, hospital.server, patient, pdf=pdf, voice=PageVoice(tongue))
        except AuctorError as error:
            sending.failed(clinic, actor, row, error)
            return error
        places = [place for _, place in written.entries if "DiagnosticReport" in place]
        sending.sent(clinic, actor, row, reference=(places or [""])[0])
        return None

    # --- in the background -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to send what waits, and to read what rings."""
        self._thread = threading.Thread(target=self._run, name="auctor-record", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what is under way, and end."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(self.settings.stop_seconds)

    def wake(self) -> None:
        """Something was put into the outbox."""
        self._wake.set()

    def ring(self, ping: Ping) -> None:
        """The hospital's server says that a course's record has something new."""
        self._rung.put(ping.course)
        self._wake.set()

    def work_off(self) -> int:
        """Read what rang, once each, and send what is due; how many of either were tried. What fails is noted with the course or result."""
        courses = set()
        with suppress(queue.Empty):
            while True:
                courses.add(self._rung.get_nowait())
        for course in sorted(courses):
            self._quietly(lambda course=course: self.read(FEED, course))  # type: ignore[misc]
        rows = sending.due(self.clinic())
        for row in rows:
            self._quietly(lambda row=row: self._send_row(row))  # type: ignore[misc]
        return len(courses) + len(rows)

    def _send_row(self, row: Outbox) -> None:
        clinic = self.clinic()
        file = look(clinic, sending.COURIER, _course_of(clinic, sending.COURIER, row.result_id))
        hospital = self._needed(file.patient.ward_id)
        if hospital.server.base == row.destination:
            self._deliver(sending.COURIER, row.id, row.result_id, hospital)

    def _quietly(self, job: Callable[[], object]) -> None:
        """One job whose failure must not end the others; no text of an error is logged."""
        try:
            job()
        except Exception as error:
            _LOG.warning("not done: %s", type(error).__name__)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            self._quietly(self.work_off)
            self._wake.wait(PAUSE_S)


class NoRecord(AuctorError):
    """A ward whose patients no FHIR server of the installation knows."""


@lru_cache(maxsize=16)
def _hospital(base: str, file: Path) -> Hospital:
    partners = read_partners(file)
    return Hospital.of(next(server for server in partners.fhir if server.base == base), partners, file)


def _course_of(clinic: Clinic, actor: Actor, result_id: str) -> str:
    from auctor.web.store.tables import Result

    with clinic.store.read(actor) as reading:
        return reading.get(Result, result_id).course_id
