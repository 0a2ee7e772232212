"""The HL7 v2 interface of `auctor serve`: the MLLP listener beside the web server, its journal, and the messages that wait for a person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from auctor.errors import CaseError
from auctor.fhir.v2.site import read_site
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.emr.journal import Entry, Journal, State
from auctor.web.emr.mllp import Listener, tls
from auctor.web.emr.receiver import Receiver
from auctor.web.pages.language import language
from auctor.web.pages.voice import PageVoice
from auctor.web.service.clinic import Clinic
from auctor.web.service.messages import INTERFACE, take
from auctor.web.settings import Settings

JOURNAL = "hl7.sqlite"


@dataclass(frozen=True, kw_only=True)
class Interface:
    """The listener of one installation over its journal; messages become facts through the verbs, as the actor `hl7v2`."""

    journal: Journal
    receiver: Receiver
    listener: Listener

    @classmethod
    def of(cls, settings: Settings, clinic: Callable[[], Clinic]) -> Interface:
        """From the settings; CaseError for a site's file that cannot be used."""
        site, journal = read_site(settings.hl7_site_file), Journal(settings.data_folder / JOURNAL)
        voice = PageVoice(language(settings.language))
        receiver = Receiver(site=site, journal=journal, deliver=lambda reading, *, message: take(clinic(), INTERFACE, reading), voice=voice)
        security = None
        if settings.hl7_tls_certificate:
            authority = Path(settings.hl7_client_ca) if settings.hl7_client_ca else None
            security = tls(Path(settings.hl7_tls_certificate), Path(settings.hl7_tls_key), client_ca=authority)
        listener = Listener(receiver=receiver, host=settings.hl7_host, port=settings.hl7_port, security=security)
        return cls(journal=journal, receiver=receiver, listener=listener)

    def waiting(self, actor: Actor) -> int:
        """How many messages wait for a person."""
        demand(actor, Verb.OPERATE)
        return self.journal.counts()[State.DEAD.value]

    def dead(self, actor: Actor) -> tuple[Entry, ...]:
        """The messages that wait for a person, the oldest first."""
        demand(actor, Verb.OPERATE)
        return self.journal.entries(State.DEAD, most=200)

    def replay(self, actor: Actor, number: int) -> bool:
        """Read and deliver one of them again; whether it is done now."""
        demand(actor, Verb.OPERATE)
        entry = next((entry for entry in self.journal.entries(State.DEAD, most=1_000_000) if entry.id == number), None)
        if entry is None:
            raise CaseError(where="message", what="does not wait any more", remedy="go back to the list")
        return not self.receiver.replay(entry).problems

    async def start(self) -> int:
        """Listen; the port."""
        return await self.listener.start()

    async def stop(self) -> None:
        """Answer what is being received, and close."""
        await self.listener.stop()
        self.journal.close()
