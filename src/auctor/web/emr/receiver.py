"""What happens to one received message: kept, read, delivered, settled, answered. No socket here, and nothing raises."""

from __future__ import annotations

import logging
import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from auctor.errors import AuctorError
from auctor.fhir.v2.ack import Outcome, Verdict, best_header, problem_of, replies
from auctor.fhir.v2.batch import Transmission, answer, is_batch, split
from auctor.fhir.v2.facts import Problem, Reading
from auctor.fhir.v2.header import Header
from auctor.fhir.v2.message import V2Error
from auctor.fhir.v2.read import read
from auctor.fhir.v2.site import Site
from auctor.report.voice import ENGLISH, Voice
from auctor.web.emr.framing import Fault, Frame
from auctor.web.emr.journal import Entry, Journal, State

_LOG = logging.getLogger("auctor.hl7")
INTERNAL = "207"


class Deliver(Protocol):
    """Hands the facts of a message to the clinical store.

    Must be idempotent: a message may be delivered again. Facts of one key come with rising versions only; later ones may be missing.
    """

    def __call__(self, reading: Reading, *, message: int) -> tuple[Problem, ...]:
        """What could not be taken, if anything; an exception leaves the message to be delivered again."""
        ...


def discard(reading: Reading, *, message: int) -> tuple[Problem, ...]:
    """Deliver to nobody: the journal keeps the message, and `auctor hl7 replay` can deliver it later."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Receiver:
    """Receives messages of one site into one journal; `voice` says what people read in the answers."""

    site: Site
    journal: Journal
    deliver: Deliver = discard
    voice: Voice = ENGLISH
    now: Callable[[], datetime] = field(default=lambda: datetime.now().astimezone())

    def receive(self, frame: Frame) -> tuple[bytes, ...]:
        """The acknowledgements of one frame; the message is on disk before an accepting one is made. Never raises.

        A batch is answered by one batch that holds those of its messages, each handled as if it came alone.
        """
        return (self._batch(frame),) if is_batch(frame.data) else self._single(frame)

    def _batch(self, frame: Frame) -> bytes:
        found = split(frame.data)
        if frame.fault:
            found = found.refused(_misframed(frame.fault).problems[0])
        answers = [[reply for message in batch.messages for reply in self._single(Frame(data=message))] for batch in found.batches]
        if found.every_problem:
            self._keep_envelope(found, frame.data)
        return answer(found, answers, at=self.now(), new_id=secrets.token_hex(8), receiver=self.site.name)

    def _keep_envelope(self, found: Transmission, data: bytes) -> None:
        """An envelope that does not fit what is inside waits for a person as a message of its own; its messages do not."""
        try:
            kept = self.journal.keep(found.first, data)
            if kept.outcome is None:
                self.journal.settle(kept.id, _of_envelope(found))
        except sqlite3.Error as error:
            _LOG.error("a batch's envelope not kept: %s", type(error).__name__)

    def _single(self, frame: Frame) -> tuple[bytes, ...]:
        header = Header()
        try:
            header = best_header(frame.data)
            outcome = self._outcome(header, frame)
        except Exception as error:  # the listener must go on, whatever a message does
            _LOG.error("message not handled: %s", type(error).__name__)
            outcome = _internal("the message could not be handled", kept=False)
        return replies(header, outcome, at=self.now(), new_id=secrets.token_hex(8), receiver=self.site.name, voice=self.voice)

    def _outcome(self, header: Header, frame: Frame) -> Outcome:
        try:
            kept = self.journal.keep(header, frame.data)
        except sqlite3.Error as error:
            _LOG.error("message not kept: %s", type(error).__name__)
            return _internal("the message could not be kept", kept=False)
        if kept.outcome is not None:
            return kept.outcome
        outcome = _reused() if kept.reused else _misframed(frame.fault) if frame.fault else self.process(frame.data, message=kept.id)
        self.journal.settle(kept.id, outcome)
        return outcome

    def process(self, data: bytes, *, message: int) -> Outcome:
        """Read and deliver a message that is kept; an outcome whatever happens. Of a batch, what is wrong with its envelope."""
        if is_batch(data):
            return _of_envelope(split(data))
        try:
            reading = read(data, self.site)
            problems = (*reading.problems, *self._delivered(reading, message))
        except V2Error as refused:
            return Outcome(
                verdict=Verdict.REJECT if refused.fatal else Verdict.ERROR, problems=(problem_of(refused),), kept=not refused.fatal
            )
        except AuctorError as refused:
            return Outcome(
                verdict=Verdict.ERROR, problems=(Problem(code=INTERNAL, where=refused.where, what=refused.what, remedy=refused.remedy),)
            )
        except Exception as error:
            _LOG.error("message %d not read or delivered: %s", message, type(error).__name__)
            return _internal("kept, and not read or delivered", kept=True)
        return Outcome(verdict=Verdict.ERROR if problems else Verdict.ACCEPT, problems=problems)

    def _delivered(self, reading: Reading, message: int) -> tuple[Problem, ...]:
        """Deliver what is not older than what was delivered before; facts that are late say nothing new."""
        patients = [replace(patient, facts=self.journal.newer(patient.facts)) for patient in reading.patients]
        patients = [patient for patient in patients if patient.facts or patient.unread]
        problems = self.deliver(replace(reading, patients=tuple(patients)), message=message) if patients else ()
        self.journal.delivered(fact for patient in patients for fact in patient.facts)
        return problems

    def resume(self) -> int:
        """Process what was kept and not settled when the listener stopped; how many messages that were."""
        waiting = self.journal.entries(State.KEPT)
        for entry in waiting:
            self.replay(entry)
        return len(waiting)

    def replay(self, entry: Entry) -> Outcome:
        """Read and deliver a message of the journal again, for example after the site's table was completed."""
        outcome = self.process(entry.raw, message=entry.id)
        self.journal.settle(entry.id, outcome)
        return outcome


def _internal(what: str, *, kept: bool) -> Outcome:
    problem = Problem(code=INTERNAL, where="message", what=what, remedy="look at the log" if kept else "send it again later")
    return Outcome(verdict=Verdict.ERROR if kept else Verdict.REJECT, problems=(problem,), kept=kept)


def _of_envelope(found: Transmission) -> Outcome:
    problems = found.every_problem
    return Outcome(verdict=Verdict.ERROR if problems else Verdict.ACCEPT, problems=problems)


def _reused() -> Outcome:
    what, remedy = "another message had this control id", "send a new control id; this message waits for a person"
    return Outcome(verdict=Verdict.ERROR, problems=(Problem(code="205", where="MSH-10", what=what, remedy=remedy),))


def _misframed(fault: Fault) -> Outcome:
    return Outcome(
        verdict=Verdict.REJECT, problems=(Problem(code="100", where="message", what=fault.value, remedy="send it again whole"),), kept=False
    )
