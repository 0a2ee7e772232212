"""Batches and files of HL7 v2 messages: each message as if it came alone, one batch of answers, and a count that is wrong is told.

python-hl7's own reader of batches and files judges our answers.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import hl7
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auctor.fhir.v2.batch import answer, is_batch, split
from auctor.fhir.v2.facts import Fact, Problem, Reading
from auctor.web.emr.framing import Fault, Frame, Framer, framed
from auctor.web.emr.journal import Journal, State
from auctor.web.emr.receiver import Receiver
from emr.messages import SITE, msh, obx, oru, ras, rxa
from emr.test_mllp import _auctor, _site_file, listening

BHS = "BHS|^~\\&|LAB|HOSP|AUCTOR|HOSP|20260302120000+0100||NIGHT||{control}\r"
FHS = "FHS|^~\\&|LAB|HOSP|AUCTOR|HOSP|20260302120000+0100||FILE||{control}\r"
LEVELS = [oru(obx(value, f4=str(k)), head=msh("ORU^R01", f"L{k}")) for k, value in enumerate(("6.8", "7.1", "9.2"))]
BROKEN = oru(obx("six", f4="9"), head=msh("ORU^R01", "BAD"))


def batch(*messages: bytes, count: int | None = None, control: str = "B1", trailer: bool = True) -> bytes:
    """A batch with its trailer, whose count may be wrong."""
    end = f"BTS|{len(messages) if count is None else count}\r".encode() if trailer else b""
    return BHS.format(control=control).encode() + b"".join(messages) + end


def file(*batches: bytes, count: int | None = None) -> bytes:
    """Batches in a file."""
    return FHS.format(control="F1").encode() + b"".join(batches) + f"FTS|{len(batches) if count is None else count}\r".encode()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "hl7.sqlite") as kept:
        yield kept


class Ward:
    """What was delivered, in order."""

    def __init__(self) -> None:
        self.values: list[str] = []
        self.facts: list[Fact] = []

    def __call__(self, reading: Reading, *, message: int) -> tuple[Problem, ...]:
        new = [fact for patient in reading.patients for fact in patient.facts]
        self.facts += new
        self.values += [str(fact.body.get("value") or fact.body.get("amount")) for fact in new]
        return ()


def answered(journal: Journal, data: bytes, ward: Ward | None = None, **frame: Fault) -> str:
    (reply,) = Receiver(site=SITE, journal=journal, deliver=ward or Ward()).receive(Frame(data=data, **frame))
    return reply.decode("ascii")


def codes(reply: str) -> list[tuple[str, str]]:
    """Each acknowledgement of an answer as python-hl7 reads it: its code and the control id that it is about."""
    batches = hl7.parse_file(reply) if reply.startswith("FHS") else [hl7.parse_batch(reply)]
    return [(str(ack["MSA"][0][1]), str(ack["MSA"][0][2])) for one in batches for ack in one]


def line(reply: str, name: str) -> list[str]:
    return next(text for text in reply.split("\r") if text.startswith(name)).split("|")


def test_each_message_is_answered_in_one_batch_that_names_the_one_it_answers(journal: Journal) -> None:
    ward = Ward()
    reply = answered(journal, batch(*LEVELS, ras(head=msh("RAS^O17", "D1"))), ward)
    assert codes(reply) == [("AA", "L0"), ("AA", "L1"), ("AA", "L2"), ("AA", "D1")]
    head = line(reply, "BHS")
    assert head[2:6] == ["AUCTOR", "HOSP", "LAB", "HOSP"] and head[11] == "B1" and head[10] not in ("", "B1")
    assert line(reply, "BTS") == ["BTS", "4"]
    assert ward.values == ["6.8 ng/mL", "7.1 ng/mL", "9.2 ng/mL", "1000 mg"]
    assert journal.counts() == {"kept": 0, "done": 4, "dead": 0}


def test_a_message_of_a_batch_is_the_same_message_as_alone(journal: Journal) -> None:
    ward = Ward()
    receiver = Receiver(site=SITE, journal=journal, deliver=ward)
    receiver.receive(Frame(data=LEVELS[1]))
    for _ in range(2):
        assert codes(receiver.receive(Frame(data=batch(*LEVELS)))[0].decode()) == [("AA", f"L{k}") for k in range(3)]
    receiver.receive(Frame(data=LEVELS[2]))
    assert sorted(ward.values) == ["6.8 ng/mL", "7.1 ng/mL", "9.2 ng/mL"] and journal.counts()["done"] == 3


@pytest.mark.parametrize("place", [0, 1, 3])
@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (BROKEN, "AE"),
        (msh("ADT^A01", "BAD").encode() + b"\r", "AR"),
        (oru(head=msh("ORU^R01", "BAD")).replace(b"MSH|", b"MSX|", 1), "AR"),
        (b"MSH\r", "AR"),
        (b"MSH|^~\\&|LAB|HOSP|\xff\xfe\r", "AR"),
        (b"MSH||||||\r", "AR"),
    ],
)
def test_a_broken_message_loses_none_of_the_others(journal: Journal, broken: bytes, code: str, place: int) -> None:
    ward, sent = Ward(), [*LEVELS]
    sent.insert(place, broken)
    found = codes(answered(journal, batch(*sent), ward))
    assert found[place][0] == code and [c for k, (c, _) in enumerate(found) if k != place] == ["AA"] * 3
    assert ward.values == ["6.8 ng/mL", "7.1 ng/mL", "9.2 ng/mL"]
    assert journal.counts() == {"kept": 0, "done": 3, "dead": 1}


def test_the_first_message_without_its_header_is_refused_and_not_taken_for_the_envelope(journal: Journal) -> None:
    ward = Ward()
    headless = LEVELS[0].split(b"\r", 1)[1]
    assert [code for code, _ in codes(answered(journal, batch(headless, *LEVELS[1:]), ward))] == ["AR", "AA", "AA"]
    assert ward.values == ["7.1 ng/mL", "9.2 ng/mL"]


@pytest.mark.parametrize(("count", "said"), [(4, "BTS-1: 4 announced, 3 came"), (2, "BTS-1: 2 announced, 3 came")])
def test_a_wrong_count_is_told_and_waits_for_a_person_and_the_messages_are_taken(journal: Journal, count: int, said: str) -> None:
    ward = Ward()
    reply = answered(journal, batch(*LEVELS, count=count), ward)
    assert [code for code, _ in codes(reply)] == ["AA"] * 3 and said in line(reply, "BTS")[2] and line(reply, "BTS")[1] == "3"
    (dead,) = journal.entries(State.DEAD)
    assert (dead.event, dead.control_id, dead.facility) == ("BHS", "B1", "HOSP")
    assert dead.outcome is not None and said in str(dead.outcome.problems[0])
    assert answered(journal, batch(*LEVELS, count=count), ward).count("MSA|AA") == 3 and len(ward.values) == 3
    receiver = Receiver(site=SITE, journal=journal, deliver=ward)
    assert receiver.replay(dead).problems and len(ward.values) == 3  # nobody can make the count right; nothing is delivered again


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (batch(*LEVELS, trailer=False), "BTS: not there"),
        (batch(*LEVELS).replace(b"BTS|3", b"BTS|three"), "BTS-1: not a count"),
        (file(batch(*LEVELS), count=2), "FTS-1: 2 announced, 1 came"),
        (FHS.format(control="F1").encode() + batch(*LEVELS), "FTS: not there"),
        (file(batch(*LEVELS), FHS.format(control="F2").encode(), count=1), "FHS: a second one"),
    ],
)
def test_what_else_is_wrong_with_an_envelope(journal: Journal, data: bytes, said: str) -> None:
    reply = answered(journal, data)
    assert reply.count("MSA|AA") == 3 and said in reply
    assert len(journal.entries(State.DEAD)) == 1


@pytest.mark.parametrize("data", [batch(*LEVELS).replace(b"BTS|3", b"BTS"), batch(), file(batch(*LEVELS), batch(control="B2")), file()])
def test_an_envelope_that_is_well_says_nothing(journal: Journal, data: bytes) -> None:
    reply = answered(journal, data)
    assert "announced" not in reply and not journal.entries(State.DEAD)


def test_a_file_is_answered_by_a_file_batch_by_batch(journal: Journal) -> None:
    reply = answered(journal, file(batch(LEVELS[0], BROKEN), batch(*LEVELS[1:], control="B2")))
    assert codes(reply) == [("AA", "L0"), ("AE", "BAD"), ("AA", "L1"), ("AA", "L2")]
    assert line(reply, "FHS")[11] == "F1" and line(reply, "FTS") == ["FTS", "2"]
    assert [text.split("|")[11] for text in reply.split("\r") if text.startswith("BHS")] == ["B1", "B2"]


def test_messages_of_a_file_without_a_batch_around_them_are_taken(journal: Journal) -> None:
    assert codes(answered(journal, file(*LEVELS, count=1))) == [("AA", "L0"), ("AA", "L1"), ("AA", "L2")]


def test_a_message_that_wants_no_answer_has_none_in_the_batch(journal: Journal) -> None:
    silent = oru(head=msh("ORU^R01", "Q", f15="NE", f16="NE"))
    both = oru(obx(f4="7"), head=msh("ORU^R01", "E", f15="AL", f16="AL"))
    assert codes(answered(journal, batch(silent, both))) == [("CA", "E"), ("AA", "E")]


@pytest.mark.parametrize("fault", list(Fault))
def test_a_batch_that_is_not_whole_is_not_taken_and_says_so(journal: Journal, fault: Fault) -> None:
    ward = Ward()
    reply = answered(journal, batch(*LEVELS, trailer=False), ward, fault=fault)
    assert "MSA" not in reply and not ward.values and fault.value[:20] in line(reply, "BTS")[2] and line(reply, "BHS")[11] == "B1"
    assert len(journal.entries(State.DEAD)) == 1


def test_the_last_word_holds_whatever_the_order_in_a_batch(journal: Journal) -> None:
    first = oru(obx("5.0", f11="F"), head=msh("ORU^R01", "V1", sent="20260302110000+0100"))
    last = oru(obx("5.5", f11="C"), head=msh("ORU^R01", "V2", sent="20260302120000+0100"))
    ward = Ward()
    answered(journal, batch(last, first), ward)
    assert ward.values == ["5.5 ng/mL"]


@pytest.mark.parametrize("mark", ["\r", "\n", "\r\n"])
def test_line_ends_that_senders_use(mark: str) -> None:
    data = batch(*LEVELS).replace(b"\r", mark.encode())
    found = split(data)
    assert is_batch(data) and not found.every_problem and len(found.batches[0].messages) == 3
    assert b"".join(found.batches[0].messages) in data


@pytest.mark.parametrize("data", [b"BHS", b"FHS\r", b"BHS|\rBTS|1|\r", b"BHS|^~\\&", b"FHS|^~\\&\rBTS\rFTS|x", b"BHS\xff|\x00\rMSH|\xff\r"])
def test_envelopes_of_nothing_are_answered(journal: Journal, data: bytes) -> None:
    assert answered(journal, data)[:3] in ("BHS", "FHS")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [b"BHS|^~\\&|A|B|||||||1", b"BTS|2", b"BTS", b"FHS|^~\\&", b"FTS|1", LEVELS[0], b"MSH|^~\\&|", b"MSH", b"\r", b"\n", b"\x00"]
        )
        | st.binary(max_size=12),
        max_size=12,
    )
)
def test_no_envelope_breaks_it_and_no_byte_of_a_message_is_lost_or_counted_twice(pieces: list[bytes]) -> None:
    data = b"BHS|^~\\&|\r" + b"\r".join(pieces)
    found = split(data)
    messages = [message for one in found.batches for message in one.messages]
    assert all(message in data for message in messages) and sum(map(len, messages)) <= len(data)
    assert b"".join(messages).count(b"PID|1||123456") == data.count(b"PID|1||123456")
    replies = [[b"MSH|\r"] * len(one.messages) for one in found.batches]
    text = answer(found, replies, at=datetime(2026, 3, 2, tzinfo=UTC), new_id="1")
    assert text.isascii() and text.count(b"MSH|") == len(messages) and text.startswith((b"BHS|", b"FHS|"))


def test_a_batch_over_a_socket_is_one_answer(journal: Journal) -> None:
    ward = Ward()
    with (
        listening(Receiver(site=SITE, journal=journal, deliver=ward)) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as plug,
    ):
        plug.sendall(framed(batch(*LEVELS)) + framed(oru(obx(f4="8"), head=msh("ORU^R01", "AFTER"))))
        framer, frames = Framer(most=100_000), []
        while len(frames) < 2:
            frames += framer.feed(plug.recv(65_536))
    assert len(codes(frames[0].data.decode())) == 3 and b"MSA|AA|AFTER" in frames[1].data and len(ward.values) == 4


def _run(words: Sequence[str]) -> tuple[int, str]:
    found = _auctor(*words)
    return found.exit_code, found.stdout


def test_the_commands_read_a_batch_and_take_a_file(tmp_path: Path) -> None:
    site, sent, kept = _site_file(tmp_path), tmp_path / "night.hl7", tmp_path / "hl7.sqlite"
    sent.write_bytes(file(batch(ras(), BROKEN, count=3)))
    code, text = _run(["parse", str(sent), "--site", str(site), "--json"])
    read = json.loads(text)
    assert code == 0 and [one["event"] for one in read["messages"]] == ["RAS^O17", "ORU^R01"]
    assert read["messages"][0]["patients"][0]["facts"][0]["body"]["amount"] == "1000 mg" and "3 announced, 2 came" in str(read["problems"])
    plain = _run(["parse", str(sent), "--site", str(site)])[1]
    assert "message 1 of 2" in plain and "not read: BTS-1: 3 announced, 2 came" in plain
    words = ["receive", str(sent), "--site", str(site), "--journal", str(kept), "--keep-only"]
    out = tmp_path / "answer.hl7"
    code, text = _run([*words, "--answer", str(out), "--json"])
    assert code == 0 and json.loads(text) == {
        "answers": [{"control_id": "M1", "code": "AA"}, {"control_id": "BAD", "code": "AE"}],
        "problems": ["BTS-1: 3 announced, 2 came; send what is missing"],
        "counts": {"kept": 0, "done": 1, "dead": 2},
    }
    assert codes(out.read_bytes().decode()) == [("AA", "M1"), ("AE", "BAD")]
    assert "M1: AA" in _run(words)[1]
    sent.write_bytes(framed(ras(rxa(f2="4"), head=msh("RAS^O17", "ALONE"))))
    assert "ALONE: AA" in _run(words)[1]
