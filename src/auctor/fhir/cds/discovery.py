"""What the discovery endpoint says: three services, their hooks, and the FHIR queries that a client may send along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from auctor.report.voice import ENGLISH, N_, Voice

_PATIENT = "Patient/{{context.patientId}}"
_GIVEN = "MedicationAdministration?patient={{context.patientId}}&_sort=-effective-time&_count=100"
_MEASURED = "Observation?patient={{context.patientId}}&category=laboratory,vital-signs&_sort=-date&_count=200"
PREFETCH = {"patient": _PATIENT, "administrations": _GIVEN, "observations": _MEASURED}
_RECORD = N_("The patient's course must be open in auctor, or patient, administrations and observations be prefetched.")


@dataclass(frozen=True, kw_only=True)
class Service:
    """One CDS service as discovery describes it."""

    id: str
    hook: str
    hook_version: str
    title: str
    description: str
    prefetch: Mapping[str, str] = field(default_factory=dict)
    requirements: str = ""

    def as_data(self, voice: Voice = ENGLISH) -> dict[str, Any]:
        """As JSON; what is empty is left out."""
        said = {
            "hook": self.hook, "title": voice.say(self.title), "description": voice.say(self.description), "id": self.id,
            "prefetch": dict(self.prefetch), "usageRequirements": voice.say(self.requirements),
            "version": "1.0.0", "hookVersion": self.hook_version,
        }  # fmt: skip
        return {key: value for key, value in said.items() if value}


SERVICES = (
    Service(
        id="tdm-patient-view",
        hook="patient-view",
        hook_version="1.0",
        title=N_("Drug levels that wait or are overdue"),
        description=N_("Says when a drug level is not interpreted yet, was changed after its interpretation was signed, or is overdue."),
        requirements=_RECORD,
    ),
    Service(
        id="tdm-order-select",
        hook="order-select",
        hook_version="1.0",
        title=N_("Doses that reach the target"),
        description=N_("For a chosen order of a monitored drug: the doses most likely to reach this patient's exposure target."),
        prefetch=PREFETCH,
        requirements=_RECORD,
    ),
    Service(
        id="tdm-order-sign",
        hook="order-sign",
        hook_version="1.0",
        title=N_("What this dose would do in this patient"),
        description=N_("Simulates a drafted dose of a monitored drug in this patient and warns where it is likely to miss the target."),
        prefetch=PREFETCH,
        requirements=_RECORD,
    ),
)


def discovery(voice: Voice = ENGLISH) -> dict[str, Any]:
    """The body of GET /cds-services.

    >>> [service["id"] for service in discovery()["services"]]
    ['tdm-patient-view', 'tdm-order-select', 'tdm-order-sign']
    """
    return {"services": [service.as_data(voice) for service in SERVICES]}
