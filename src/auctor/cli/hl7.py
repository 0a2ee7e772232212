"""`auctor hl7`: listen for messages, take a file of them, read one to see what it says, list and replay those that wait for a person."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auctor.cli.command import AsJson
from auctor.cli.terminal import put_json, put_text, say

if TYPE_CHECKING:
    from auctor.fhir.v2.facts import Reading
    from auctor.fhir.v2.site import Site
    from auctor.web.emr.journal import Entry
    from auctor.web.emr.mllp import Listener
    from auctor.web.emr.receiver import Deliver

SiteFile = Annotated[Path, typer.Option("--site", metavar="FILE", help="The site's TOML file, see docs/hl7.md.", show_default=False)]
JournalFile = Annotated[
    Path, typer.Option("--journal", metavar="FILE", help="The SQLite file that received messages are kept in.", show_default=False)
]
TlsFile = Annotated[Path | None, typer.Option(metavar="FILE", show_default=False)]


def listen(
    *,
    site: SiteFile,
    journal: JournalFile,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 2575,
    tls_certificate: TlsFile = None,
    tls_key: TlsFile = None,
    client_ca: TlsFile = None,
    keep_only: Annotated[bool, typer.Option("--keep-only", help="Keep messages in the journal and enter nothing into the store.")] = False,
    as_json: AsJson = False,
) -> None:
    """Receive ORU^R01 and RAS^O17 over MLLP until interrupted; each is on disk before it is acknowledged.

    Levels, doses and covariates go into the open courses of the installation's store (AUCTOR_* settings, as for `auctor serve`).
    """
    import asyncio

    from auctor.fhir.v2.site import read_site
    from auctor.web.emr.journal import Journal
    from auctor.web.emr.mllp import Listener, tls
    from auctor.web.emr.receiver import Receiver, discard

    security = tls(tls_certificate, tls_key, client_ca=client_ca) if tls_certificate and tls_key else None
    with Journal(journal) as kept:
        receiver = Receiver(site=read_site(site), journal=kept, deliver=discard if keep_only else _into_store())
        asyncio.run(_until_told(Listener(receiver=receiver, host=host, port=port, security=security), as_json=as_json))
        if as_json:
            put_json(kept.counts())


def _into_store() -> Deliver:
    """Delivery into the store of this installation."""
    from auctor.web.app import open_store
    from auctor.web.service.clinic import Clinic
    from auctor.web.service.messages import INTERFACE, take
    from auctor.web.settings import read_settings

    clinic = Clinic(store=open_store(read_settings()))
    return lambda reading, *, message: take(clinic, INTERFACE, reading)


async def _until_told(listener: Listener, *, as_json: bool) -> None:
    """Listen until SIGINT or SIGTERM, then finish the message at hand."""
    import asyncio
    import signal

    told = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, told.set)
    port = await listener.start()
    say(f"listening on {listener.host}:{port}{' with TLS' if listener.security else ''}")
    await told.wait()
    await listener.stop()


def parse(
    message: Annotated[
        Path, typer.Argument(metavar="MESSAGE", help="A file with one message, or a batch (BHS, FHS); framed or not.", show_default=False)
    ],
    *,
    site: SiteFile,
    as_json: AsJson = False,
) -> None:
    """What auctor reads in a message, or in each of a batch: facts in the words of a case file. Nothing is stored."""
    from auctor.fhir.v2.batch import is_batch
    from auctor.fhir.v2.read import read
    from auctor.fhir.v2.site import read_site

    data, rules = _unframed(message), read_site(site)
    if is_batch(data):
        _parse_batch(data, rules, as_json=as_json)
        return
    reading = read(data, rules)
    if as_json:
        put_json(as_data(reading))
        return
    put_text("".join(f"{line}\n" for line in _lines(reading)))


def _unframed(file: Path) -> bytes:
    return file.read_bytes().strip(b"\x0b\x1c\r\n ")


def _parse_batch(data: bytes, rules: Site, *, as_json: bool) -> None:
    from auctor.fhir.v2.batch import split

    found = split(data + b"\r")
    read = [_read_or_refused(message, rules) for batch in found.batches for message in batch.messages]
    if as_json:
        messages = [as_data(one) if not isinstance(one, str) else {"not_read": one} for one in read]
        put_json({"messages": messages, "problems": [asdict(problem) for problem in found.every_problem]})
        return
    rows: list[str] = []
    for k, one in enumerate(read, start=1):
        said = [f"not read: {one}"] if isinstance(one, str) else _lines(one)
        rows += [f"message {k} of {len(read)}", *(f"  {row}" for row in said)]
    put_text("".join(f"{row}\n" for row in [*rows, *(f"not read: {problem}" for problem in found.every_problem)]))


def _read_or_refused(message: bytes, rules: Site) -> Reading | str:
    from auctor.fhir.v2.message import V2Error
    from auctor.fhir.v2.read import read

    try:
        return read(message, rules)
    except V2Error as refused:
        return str(refused)


def receive(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A message, a batch or a file of batches, framed or not.", show_default=False)
    ],
    *,
    site: SiteFile,
    journal: JournalFile,
    answer: Annotated[
        Path | None, typer.Option("--answer", metavar="FILE", help="Write the acknowledgements there.", show_default=False)
    ] = None,
    keep_only: Annotated[bool, typer.Option("--keep-only", help="Keep messages in the journal and enter nothing into the store.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take a file of messages as the listener would: each kept once, entered, and answered; a batch by a batch of answers."""
    from auctor.fhir.v2.site import read_site
    from auctor.web.emr.framing import Frame
    from auctor.web.emr.journal import Journal
    from auctor.web.emr.receiver import Receiver, discard

    data = _unframed(file) + b"\r"
    with Journal(journal) as kept:
        deliver = discard if keep_only else _into_store()
        replies = Receiver(site=read_site(site), journal=kept, deliver=deliver).receive(Frame(data=data))
        counts = kept.counts()
    if answer is not None:
        answer.write_bytes(b"".join(replies))
    _put_answers(data, replies, counts, as_json=as_json)


def _put_answers(data: bytes, replies: tuple[bytes, ...], counts: dict[str, int], *, as_json: bool) -> None:
    """The code that each message was answered with, and what is wrong with a batch's envelope."""
    from auctor.fhir.v2.batch import is_batch, split

    lines = [line.split("|") for reply in replies for line in reply.decode("latin-1").split("\r")]
    answers = [{"control_id": line[2], "code": line[1]} for line in lines if line[0] == "MSA"]
    problems = [str(problem) for problem in split(data).every_problem] if is_batch(data) else []
    if as_json:
        put_json({"answers": answers, "problems": problems, "counts": counts})
        return
    rows = [*(f"{one['control_id']}: {one['code']}" for one in answers), *(f"not as it should be: {problem}" for problem in problems)]
    put_text("".join(f"{row}\n" for row in [*rows, f"{counts['done']} message(s) are done; {counts['dead']} wait for a person"]))


def as_data(reading: Reading) -> dict[str, Any]:
    """A reading as plain data. It holds patient values: it is for the one who asked, not for a log."""
    return {
        "event": reading.event,
        "sent": reading.sent.isoformat(),
        "patients": [
            {
                "identity": asdict(patient.identity),
                "facts": [
                    {
                        "kind": fact.kind.value,
                        "key": fact.key,
                        "status": fact.status.name.lower(),
                        "about": fact.about,
                        "body": dict(fact.body),
                        "notices": [asdict(notice) for notice in fact.notices],
                    }
                    for fact in patient.facts
                ],
            }
            for patient in reading.patients
        ],
        "problems": [asdict(problem) for problem in reading.problems],
        "passed_over": reading.passed_over,
    }


def _lines(reading: Reading) -> list[str]:
    lines = [f"{reading.event} sent {reading.sent.isoformat()}"]
    for patient in reading.patients:
        lines.append(f"patient of {patient.identity.authority}: {len(patient.facts)} fact(s)")
        for fact in patient.facts:
            body = ", ".join(f"{name} {value}" for name, value in fact.body.items())
            lines.append(f"  {fact.kind.value} {fact.about}: {fact.status.name.lower()} {body}".rstrip())
            lines += [f"    {notice}" for notice in fact.notices]
    lines += [f"not read: {problem}" for problem in reading.problems]
    return [*lines, f"of no concern here: {reading.passed_over}"]


def dead_letters(
    *,
    journal: JournalFile,
    site: Annotated[
        Path | None, typer.Option("--site", metavar="FILE", help="The site's TOML file, to replay.", show_default=False)
    ] = None,
    keep_only: Annotated[bool, typer.Option("--keep-only", help="Replay without entering anything into the store.")] = False,
    replay: Annotated[int | None, typer.Option(metavar="NUMBER", help="Read this message again.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """The messages that wait for a person, and why; with --replay and --site one of them is read again. No patient value is shown."""
    from auctor.web.emr.journal import Journal, State

    with Journal(journal) as kept:
        if replay is not None:
            _replay(kept, replay, site, keep_only=keep_only)
        found = [_shown(entry) for entry in kept.entries(State.DEAD)]
        counts = kept.counts()
    if as_json:
        put_json({"dead": found, "counts": counts})
        return
    rows = [f"{e['id']}: {e['event']} {e['received']} from {e['from']}: {'; '.join(e['problems'])}" for e in found]
    put_text("".join(f"{row}\n" for row in [*rows, f"{len(found)} message(s) wait; {counts['done']} are done"]))


def _replay(kept: Any, number: int, site: Path | None, *, keep_only: bool) -> None:
    from auctor.errors import CaseError
    from auctor.fhir.v2.site import read_site
    from auctor.web.emr.journal import State
    from auctor.web.emr.receiver import Receiver, discard

    entry = next((e for e in kept.entries(State.DEAD, most=1_000_000) if e.id == number), None)
    if entry is None or site is None:
        what = "no dead letter of this number" if entry is None else "the site's file is needed to read it"
        raise CaseError(where="--replay", what=what, remedy="see the list" if entry is None else "add --site FILE")
    deliver = discard if keep_only else _into_store()
    outcome = Receiver(site=read_site(site), journal=kept, deliver=deliver).replay(entry)
    say(f"message {number}: {'done' if not outcome.problems else 'still not read'}")


def _shown(entry: Entry) -> dict[str, Any]:
    problems = entry.outcome.problems if entry.outcome else ()
    return {
        "id": entry.id,
        "event": entry.event,
        "from": "^".join(filter(None, (entry.application, entry.facility))),
        "control_id": entry.control_id,
        "received": entry.received,
        "problems": [str(problem) for problem in problems],
    }
