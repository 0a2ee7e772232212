"""`read`: the bytes of one ORU^R01 or RAS^O17 to its patients' facts, and what in it could not be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from auctor.fhir.v2.administrations import Given, Ordered, administration, drug_of
from auctor.fhir.v2.facts import Fact, Identity, Kind, PatientFacts, Problem, Reading, Unread, Version
from auctor.fhir.v2.header import check_header, header_of, identity, sent_at
from auctor.fhir.v2.message import Message, Segment, V2Error, parse
from auctor.fhir.v2.results import Order, meaning_of, result
from auctor.fhir.v2.site import Site
from auctor.fhir.v2.values import Unreadable


def read(data: bytes, site: Site) -> Reading:
    """Bytes without the frame to facts. V2Error when nothing of the message can be used, `fatal` when it is to be rejected.

    A result that cannot be read is a `Problem` and leaves the others as they are.
    """
    return read_message(parse(data, charset=site.charset), site)


def read_message(message: Message, site: Site) -> Reading:
    """The same of a message that was cut already."""
    header = header_of(message)
    check_header(header, site)
    sender = f"{header.application}^{header.facility}"
    walk = _Walk(site=site, version=sent_at(message, site), sender=sender, control_id=header.control_id)
    for place, segment in _placed(message):
        walk.take(place, segment)
    walk.finish()
    if not walk.patients:
        raise V2Error(where="PID", what="no patient", remedy="send PID before the orders", code="100")
    patients = tuple(
        PatientFacts(identity=who, facts=tuple(facts), unread=tuple(walk.unread[k]))
        for k, (who, facts) in enumerate(walk.patients)
        if who is not None
    )
    return Reading(event=header.event, sent=walk.version[0], patients=patients, problems=tuple(walk.problems), passed_over=walk.passed_over)


def _placed(message: Message) -> Iterator[tuple[str, Segment]]:
    """Each segment with its name and which one of that name it is: `OBX[2]`."""
    seen: dict[str, int] = {}
    for segment in message.segments[1:]:
        seen[segment.name] = seen.get(segment.name, 0) + 1
        yield f"{segment.name}[{seen[segment.name]}]", segment


@dataclass(kw_only=True)
class _Walk:
    """The state of going through a message from segment to segment."""

    site: Site
    version: Version
    sender: str
    control_id: str
    patients: list[tuple[Identity | None, list[Fact]]] = field(default_factory=list)
    unread: list[list[Unread]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    passed_over: int = 0
    keys: set[str] = field(default_factory=set)
    obr: tuple[str, Segment] | None = None
    orc: Segment | None = None
    pending: list[tuple[str, Segment]] = field(default_factory=list)

    def take(self, place: str, segment: Segment) -> None:
        """Go on by one segment."""
        steps: dict[str, Callable[[str, Segment], None]] = {
            "PID": self._patient, "ORC": self._order, "OBR": self._request, "OBX": self._result, "RXA": self._given, "RXR": self._route,
        }  # fmt: skip
        if segment.name not in ("RXA", "RXR", "NTE"):
            self.finish()
        if segment.name in steps:
            steps[segment.name](place, segment)

    def finish(self) -> None:
        """The message ends."""
        if self.pending:
            self._administer(None)

    def _patient(self, place: str, pid: Segment) -> None:
        self.obr = self.orc = None
        self.unread.append([])
        try:
            self.patients.append((identity(pid, self.site, where=place), []))
        except Unreadable as fault:
            self.problems.append(fault.problem)
            self.patients.append((None, []))

    def _order(self, place: str, orc: Segment) -> None:
        self.orc, self.obr = orc, None

    def _request(self, place: str, obr: Segment) -> None:
        self.obr = (place, obr)

    def _result(self, place: str, obx: Segment) -> None:
        if self.obr is not None:
            order = Order(obr=self.obr[1], place=self.obr[0], sender=self.sender, version=self.version)
            self._keep(partial(result, obx, place, order, self.site), place, lambda: self._measured(obx))

    def _given(self, place: str, rxa: Segment) -> None:
        """An RXA waits for the RXR that ends its group."""
        self.pending.append((place, rxa))

    def _route(self, place: str, rxr: Segment) -> None:
        self._administer(rxr)

    def _administer(self, rxr: Segment | None) -> None:
        waiting, self.pending = self.pending, []
        order = Ordered(orc=self.orc, sender=self.sender, version=self.version)
        for place, rxa in waiting:
            given = Given(rxa, rxr, place)
            self._keep(partial(administration, given, order, self.site), place, partial(self._drug, given))

    def _measured(self, obx: Segment) -> tuple[Kind, str] | None:
        meaning = meaning_of(obx, self.site)
        return None if meaning is None else (Kind.SAMPLE if meaning.kind == "level" else Kind.COVARIATE, meaning.about)

    def _drug(self, given: Given) -> tuple[Kind, str] | None:
        drug = drug_of(given, self.site)
        return None if drug is None else (Kind.DOSE, drug)

    def _keep(self, attempt: Callable[[], Fact | None], place: str, about: Callable[[], tuple[Kind, str] | None]) -> None:
        """One fact, a problem, or a result of no concern; without a readable patient only the latter two."""
        try:
            fact = attempt()
        except Unreadable as fault:
            self.problems.append(fault.problem)
            known = about() if self.patients else None
            if known is not None:
                key = "|".join(("unread", self.sender, self.control_id, place))
                self.unread[-1].append(Unread(kind=known[0], about=known[1], key=key, problem=fault.problem))
            return
        if fact is None:
            self.passed_over += 1
        elif self.patients and self.patients[-1][0] is not None:
            self._add(fact, self.patients[-1][1])

    def _add(self, fact: Fact, facts: list[Fact]) -> None:
        """One more fact; where its key was there already, neither of the two can be told to be the right one."""
        if fact.key not in self.keys:
            self.keys.add(fact.key)
            facts.append(fact)
            return
        for _, known in self.patients:
            known[:] = [other for other in known if other.key != fact.key]
        what, remedy = "the same result or administration twice in one message", "send OBX-4 or RXA-2 to tell them apart"
        self.problems.append(Problem(code="205", where=f"{fact.kind.value}", what=what, remedy=remedy))
