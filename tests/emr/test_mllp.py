"""The MLLP listener over a real socket: acknowledged only when on disk, once, whatever comes; hl7's client and a strict reader judge it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hl7
import hl7.client
import hl7apy.parser
import pytest
from click.testing import Result
from typer.testing import CliRunner

from auctor.errors import EstimationError
from auctor.fhir.v2.facts import Fact, Problem, Reading, latest
from auctor.web.emr.framing import Fault, Frame, Framer, framed
from auctor.web.emr.journal import Journal, State
from auctor.web.emr.mllp import Bounds, Listener, tls
from auctor.web.emr.receiver import Receiver, discard
from certificates import made_certificate
from emr.messages import SITE, msh, obx, oru, ras, rxa

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "src")}


@contextmanager
def listening(receiver: Receiver, *, bounds: Bounds | None = None, security: ssl.SSLContext | None = None) -> Iterator[int]:
    """A listener on a free port of its own thread."""
    loop = asyncio.new_event_loop()
    listener = Listener(receiver=receiver, port=0, bounds=bounds or Bounds(), security=security)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    port = asyncio.run_coroutine_threadsafe(listener.start(), loop).result(10)
    try:
        yield port
    finally:
        asyncio.run_coroutine_threadsafe(listener.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "hl7.sqlite") as kept:
        yield kept


class Ward:
    """Where facts are delivered in these tests: what a store does with them."""

    def __init__(self, fails: bool = False) -> None:
        self.facts: list[Fact] = []
        self.fails = fails

    def __call__(self, reading: Reading, *, message: int) -> tuple[Problem, ...]:
        if self.fails:
            raise OSError("the store cannot be reached")
        self.facts += [fact for patient in reading.patients for fact in patient.facts]
        return ()


def _sent(port: int, *messages: bytes) -> list[hl7.Message]:
    with hl7.client.MLLPClient("127.0.0.1", port) as client:
        client.socket.settimeout(10)
        return [hl7.parse(client.send_message(message).decode().strip("\x0b\x1c\r") + "\r") for message in messages]


def _code(answer: hl7.Message) -> str:
    return str(answer["MSA"][0][1])


def test_a_message_is_acknowledged_on_disk_and_delivered(journal: Journal) -> None:
    ward = Ward()
    with listening(Receiver(site=SITE, journal=journal, deliver=ward)) as port:
        level, dose = _sent(port, oru(head=msh("ORU^R01", "A1")), ras(head=msh("RAS^O17", "A2")))
    assert (_code(level), str(level["MSA"][0][2]), _code(dose)) == ("AA", "A1", "AA")
    assert [fact.about for fact in ward.facts] == ["tacrolimus", "vancomycin"]
    assert [e.control_id for e in journal.entries(State.DONE)] == ["A1", "A2"]
    assert hl7apy.parser.parse_message(str(level), validation_level=1, find_groups=False).validate()


def test_a_strict_reader_takes_our_test_messages_so_they_are_fair() -> None:
    for data in (oru(), ras()):
        assert hl7apy.parser.parse_message(data.decode(), validation_level=2).msh.msh_10.value == "M1"


def test_a_repeated_message_is_acknowledged_again_and_stored_once(journal: Journal) -> None:
    ward = Ward()
    with listening(Receiver(site=SITE, journal=journal, deliver=ward)) as port:
        answers = _sent(port, oru(), oru(), oru())
    assert [_code(a) for a in answers] == ["AA"] * 3 and len(ward.facts) == 1 and journal.counts() == {"kept": 0, "done": 1, "dead": 0}


def test_a_control_id_with_another_content_waits_for_a_person(journal: Journal) -> None:
    ward = Ward()
    with listening(Receiver(site=SITE, journal=journal, deliver=ward)) as port:
        first, other = _sent(port, oru(obx("6.8")), oru(obx("99")))
    assert (_code(first), _code(other)) == ("AA", "AE") and "205" in str(other) and len(ward.facts) == 1
    assert [e.raw for e in journal.entries(State.DEAD)] == [oru(obx("99"))]


def test_a_poisonous_message_does_not_hold_up_the_next(journal: Journal) -> None:
    def deliver(reading: Reading, *, message: int) -> tuple[Problem, ...]:
        if reading.patients[0].facts[0].body["value"] == "6.66 ng/mL":
            raise ZeroDivisionError
        return ()

    with listening(Receiver(site=SITE, journal=journal, deliver=deliver)) as port:
        bad, good = _sent(port, oru(obx("6.66"), head=msh("ORU^R01", "B1")), oru(head=msh("ORU^R01", "B2")))
    assert (_code(bad), _code(good)) == ("AE", "AA")
    assert [e.outcome.problems[0].code for e in journal.entries(State.DEAD) if e.outcome] == ["207"]


def test_a_refusal_of_the_store_is_an_error_with_its_words(journal: Journal) -> None:
    def deliver(reading: Reading, *, message: int) -> tuple[Problem, ...]:
        raise EstimationError(where="course", what="closed", remedy="open it")

    answer = Receiver(site=SITE, journal=journal, deliver=deliver).receive(Frame(data=oru()))[0]
    assert b"course: closed; open it" in answer


def test_what_could_not_be_kept_is_rejected_so_that_it_is_sent_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "hl7.sqlite")
    receiver = Receiver(site=SITE, journal=journal)
    journal.close()
    assert b"MSA|AR|M1" in receiver.receive(Frame(data=oru()))[0]


def test_what_was_kept_and_not_settled_is_processed_at_the_next_start(tmp_path: Path) -> None:
    from auctor.fhir.v2.ack import best_header

    with Journal(tmp_path / "hl7.sqlite") as journal:
        journal.keep(best_header(oru()), oru())
        assert journal.counts()["kept"] == 1
        ward = Ward()
        with listening(Receiver(site=SITE, journal=journal, deliver=ward)) as port:
            (again,) = _sent(port, oru())
    assert _code(again) == "AA" and len(ward.facts) == 1


def test_a_delivery_that_failed_is_replayed(journal: Journal) -> None:
    receiver = Receiver(site=SITE, journal=journal, deliver=Ward(fails=True))
    assert b"MSA|AE" in receiver.receive(Frame(data=oru()))[0]
    (dead,) = journal.entries(State.DEAD)
    ward = Ward()
    assert not Receiver(site=SITE, journal=journal, deliver=ward).replay(dead).problems
    assert len(ward.facts) == 1 and journal.counts() == {"kept": 0, "done": 1, "dead": 0}


def test_messages_sent_in_pieces_and_in_one_piece(journal: Journal) -> None:
    two = framed(oru(head=msh("ORU^R01", "C1"))) + b"\r\nnoise" + framed(oru(head=msh("ORU^R01", "C2")))
    with listening(Receiver(site=SITE, journal=journal)) as port, socket.create_connection(("127.0.0.1", port), timeout=10) as plug:
        for k in range(0, len(two), 37):
            plug.sendall(two[k : k + 37])
        framer, answers = Framer(most=10_000), []
        while len(answers) < 2:
            answers += framer.feed(plug.recv(4096))
    assert [a.data.split(b"MSA|")[1][:5] for a in answers] == [b"AA|C1", b"AA|C2"]


def test_a_message_that_is_too_large_is_answered_and_bounded(journal: Journal) -> None:
    with listening(Receiver(site=SITE, journal=journal), bounds=Bounds(most_bytes=2000)) as port:
        large, small = _sent(port, oru(obx(f4="x" * 500_000), head=msh("ORU^R01", "D1")), oru(head=msh("ORU^R01", "D2")))
    assert (_code(large), str(large["MSA"][0][2]), _code(small)) == ("AR", "D1", "AA")
    assert all(len(e.raw) <= 2000 for e in journal.entries(State.DEAD))


def test_a_message_that_stops_in_the_middle_ends_the_connection(journal: Journal) -> None:
    with listening(Receiver(site=SITE, journal=journal), bounds=Bounds(within_s=0.2)) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plug:
            plug.sendall(b"\x0bMSH|")
            assert plug.recv(10) == b""
        assert _code(_sent(port, oru())[0]) == "AA"


def test_more_connections_than_allowed_are_closed(journal: Journal) -> None:
    with (
        listening(Receiver(site=SITE, journal=journal), bounds=Bounds(most_connections=1)) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as first,
    ):
        first.sendall(framed(oru()))
        assert first.recv(4096)
        with socket.create_connection(("127.0.0.1", port), timeout=10) as second:
            assert second.recv(10) == b""


def test_enhanced_mode_sends_both_acknowledgements(journal: Journal) -> None:
    answers = Receiver(site=SITE, journal=journal).receive(Frame(data=oru(head=msh("ORU^R01", f15="AL", f16="AL"))))
    assert [a.split(b"MSA|")[1][:2] for a in answers] == [b"CA", b"AA"]
    assert not Receiver(site=SITE, journal=journal).receive(Frame(data=oru(head=msh("ORU^R01", "E", f15="NE", f16="NE"))))


def test_a_new_start_in_the_middle_of_a_message_loses_only_the_cut_one() -> None:
    frames = Framer(most=1000).feed(b"\x0bMSH|cut" + framed(b"MSH|whole"))
    assert [(f.data, f.fault) for f in frames] == [(b"MSH|cut", Fault.CUT), (b"MSH|whole", None)]


@pytest.mark.parametrize("size", [1, 2, 7, 4096])
def test_framing_does_not_depend_on_how_bytes_arrive(size: int) -> None:
    stream = framed(b"a" * 10) + b"zz\x1c\r" + framed(b"b" * 300) + framed(b"") + framed(b"c\x1cd\re") + b"\x0bx" + framed(b"e")
    framer, found = Framer(most=100), []
    for k in range(0, len(stream), size):
        found += framer.feed(stream[k : k + size])
    assert [(f.data, f.fault) for f in found] == [
        (b"a" * 10, None), (b"b" * 100, Fault.TOO_LARGE), (b"", None), (b"c\x1cd\re", None), (b"x", Fault.CUT), (b"e", None),
    ]  # fmt: skip


def test_the_journal_writes_a_message_through_to_the_disk(journal: Journal) -> None:
    from auctor.fhir.v2.ack import best_header

    said: list[str] = []
    journal._db.set_trace_callback(said.append)
    journal.keep(best_header(oru()), oru())
    assert said[0] == "PRAGMA synchronous = FULL" and said[-1] == "COMMIT"
    assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_tls_with_certificates_of_both_sides(journal: Journal, tmp_path: Path) -> None:
    certificate, key = made_certificate(tmp_path)
    with listening(Receiver(site=SITE, journal=journal), security=tls(certificate, key, client_ca=certificate)) as port:
        context = ssl.create_default_context(cafile=str(certificate))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _over_tls(port, context)
        context.load_cert_chain(certificate, key)
        assert b"MSA|AA|M1" in _over_tls(port, context)


def _over_tls(port: int, context: ssl.SSLContext) -> bytes:
    """The answer to a message; ConnectionError where there is none."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plug, context.wrap_socket(plug, server_hostname="127.0.0.1") as safe:
        safe.sendall(framed(oru()))
        answer = safe.recv(4096)
        if not answer:
            raise ConnectionError
        return answer


def _site_file(folder: Path) -> Path:
    file = folder / "site.toml"
    file.write_text(
        'schema = 1\ntime_zone = "Europe/Paris"\nauthorities = ["HOSP"]\n'
        '[[codes]]\nsystem = "99PHA"\ncode = "VANCO"\ndrug = "vancomycin"\n'
        '[[codes]]\nsystem = "LN"\ncode = "11253-2"\nlevel = "tacrolimus"\n'
    )
    return file


def _auctor(*words: str) -> Result:
    from auctor.cli import app

    return CliRunner().invoke(app, ["hl7", *words])


def test_the_commands_listen_parse_and_list_dead_letters(tmp_path: Path) -> None:
    site, kept = _site_file(tmp_path), tmp_path / "hl7.sqlite"
    command = [
        sys.executable,
        "-m",
        "auctor",
        "hl7",
        "listen",
        "--site",
        str(site),
        "--journal",
        str(kept),
        "--port",
        "0",
        "--keep-only",
        "--json",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as running:
        assert running.stderr is not None and running.stdout is not None
        port = int(running.stderr.readline().strip().rsplit(":", 1)[1])
        assert [_code(a) for a in _sent(port, ras(), oru(obx("six"), head=msh("ORU^R01", "Z")))] == ["AA", "AE"]
        running.send_signal(signal.SIGTERM)
        assert json.loads(running.stdout.read()) == {"kept": 0, "done": 1, "dead": 1} and running.wait(20) == 0
    listed = json.loads(_auctor("dead-letters", "--journal", str(kept), "--json").stdout)
    assert listed["dead"][0]["problems"] == ["OBX[1]-5: not a number; send the number, or '<' and the limit as SN"]
    again = _auctor("dead-letters", "--journal", str(kept), "--keep-only", "--site", str(site), "--replay", str(listed["dead"][0]["id"]))
    assert again.exit_code == 0 and "still not read" in again.stderr and "123456" not in again.stdout
    (tmp_path / "ras.hl7").write_bytes(framed(ras()))
    read = json.loads(_auctor("parse", str(tmp_path / "ras.hl7"), "--site", str(site), "--json").stdout)
    assert read["patients"][0]["facts"][0]["body"]["amount"] == "1000 mg"


def test_a_bounded_run_of_the_mutation_benchmark() -> None:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import hl7_mutation
    finally:
        sys.path.pop(0)
    found = hl7_mutation.run(200, seed=7)
    assert found["unanswered"] == found["crashes"] == found["duplicates"] == found["orders_that_differ"] == 0
    assert found["messages"] == 200 and found["accepted"] > 20 and found["refused"] > 50 and 0 < found["in_batches"] < 200


def test_discarding_keeps_the_journal_whole(journal: Journal) -> None:
    Receiver(site=SITE, journal=journal, deliver=discard).receive(Frame(data=ras(rxa(f20="NA"))))
    assert journal.counts()["done"] == 1 and not latest(())
