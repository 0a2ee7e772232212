"""Mutated ORU^R01 and RAS^O17 through the MLLP listener over a real socket: always an answer, no crash, no duplicate, any order of replay.

    python benchmarks/hl7_mutation.py [--messages 100000] [--seed 0] [--batched 0.3] [--quick] [--folder DIR] [--json]

Messages go in groups, some of them (--batched) as one HL7 batch (BHS, BTS) and some of those in a file (FHS, FTS). After every group, and
as the last of every batch, a sound message must still be accepted. A message may stay without an answer only where its MSH-15 and MSH-16
ask for that; in a batch also where it lost the line of its MSH and so became part of the one before: the answer must then tell the count.
Deliveries are counted by sender and control id; the facts of all are put together in random orders, which must agree.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from auctor.fhir.v2.ack import best_header
from auctor.fhir.v2.facts import Fact, Problem, Reading, latest
from auctor.web.emr.framing import Framer, framed
from auctor.web.emr.journal import Journal, State
from auctor.web.emr.mllp import Listener
from auctor.web.emr.receiver import Receiver
from emr.messages import SITE, msh, obx, oru, ras, rxa

GROUP, ORDERS, BATCHED = 25, 10, 0.3
BHS = b"BHS|^~\\&|LAB|HOSP|AUCTOR|HOSP|20260302101500+0100||NIGHT||B1\r"
FHS = b"FHS|^~\\&|LAB|HOSP|AUCTOR|HOSP|20260302101500+0100||FILE||F1\r"
UGLY = [
    b"", b'""', b"\\", b"\\X\\", b"\\XZZ\\", b"|||||", b"^^^^^^", b"~", b"~~~", b"&", b"-1", b"0", b"1e309", b"NaN", b"<", b"<^",
    b"<^2.0", b">^^^", b"99999999999999999999", b"20260329023000", b"20261025023000", b"00000000000000", b"20260302074500+9999", b"2026",
    b"x" * 5000, b"\x00", b"\xff\xfe", "é".encode("latin-1"), "é".encode(), b"\r", b"\n", b"\r\r\r", b"MSH|",
    b"W", b"D", b"C", b"PA", b"NA", b"AL", b"NE", b"UNICODE",
]  # fmt: skip


def bases() -> list[bytes]:
    """Sound messages to start from."""
    levels = [
        obx("6.8"),
        obx("<^2.0", kind="SN"),
        obx("14.2", code="4092-3^V^LN", unit="mg/L"),
        obx("70", code="29463-7^W^LN", unit="kg", f4="9"),
    ]
    several = oru(obx(f4="1"), obx("7", f4="2"), *levels[2:])
    given = [ras(), ras(rxa(f2="1"), rxa(f2="2", f12="H1")), ras(rxa(f20="NA")), ras(rxa(f6="100", f7="mL", f13="10", f14="mg/mL"))]
    return [*(oru(level) for level in levels), several, *given, oru(head=msh("ORU^R01", f15="AL", f16="AL", f18="UNICODE UTF-8"))]


def mutate(data: bytes, draw: random.Random) -> bytes:
    """One to four changes of bytes, fields or segments; framing characters are left out, framing has its own tests."""
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        data = draw.choice(CHANGES)(data, draw)
    return data.replace(b"\x0b", b"").replace(b"\x1c", b"")


def _flip(data: bytes, draw: random.Random) -> bytes:
    k = draw.randrange(len(data) + 1)
    return data[:k] + bytes([draw.randrange(256)]) + data[k + draw.randrange(2) :]


def _cut(data: bytes, draw: random.Random) -> bytes:
    a, b = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    return draw.choice((data[:a], data[:a] + data[b:], data[:b] + data[a:]))


def _field(data: bytes, draw: random.Random) -> bytes:
    fields = data.split(b"|")
    fields[draw.randrange(len(fields))] = draw.choice(UGLY)
    return b"|".join(fields)


def _segments(data: bytes, draw: random.Random) -> bytes:
    lines = data.split(b"\r")
    k = draw.randrange(len(lines))
    draw.choice((lambda: lines.insert(k, lines[draw.randrange(len(lines))]), lambda: lines.pop(k), lambda: draw.shuffle(lines)))()
    return b"\r".join(lines)


def _control(data: bytes, draw: random.Random) -> bytes:
    return data.replace(b"|M1|", f"|M{draw.randrange(10**6)}|".encode(), 1)


CHANGES: list[Callable[[bytes, random.Random], bytes]] = [_flip, _cut, _field, _field, _field, _segments, _control, _control]


class Ward:
    """Keeps what is delivered, by the number of its message."""

    def __init__(self) -> None:
        self.delivered: list[tuple[int, tuple[Fact, ...]]] = []

    def __call__(self, reading: Reading, *, message: int) -> tuple[Problem, ...]:
        self.delivered.append((message, tuple(fact for patient in reading.patients for fact in patient.facts)))
        return ()


@contextmanager
def listening(receiver: Receiver) -> Iterator[int]:
    """A listener on a free port, in a thread of its own."""
    loop, listener = asyncio.new_event_loop(), Listener(receiver=receiver, port=0)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(listener.start(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(listener.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@dataclass(frozen=True)
class Group:
    """Messages that are sent together, the last of them sound: each in its frame, or as one batch or file in one frame."""

    messages: tuple[bytes, ...]
    batched: bool = False
    filed: bool = False

    @property
    def stream(self) -> bytes:
        """The bytes on the wire."""
        if not self.batched:
            return b"".join(framed(one) for one in self.messages)
        inside = b"".join(one.rstrip(b"\r\n") + b"\r" for one in self.messages)
        sent = BHS + inside + f"BTS|{len(self.messages)}\r".encode()
        return framed(FHS + sent + b"FTS|1\r" if self.filed else sent)


def exchange(port: int, groups: Iterator[Group]) -> dict[str, int]:
    """Send groups and count the answers."""
    import socket

    found: Counter[str] = Counter(in_batches=0, batches=0, counts_told=0)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plug:
        for number, group in enumerate(groups):
            sound = oru(head=msh("ORU^R01", f"SOUND{number}"), obr=f"OBR|1|S{number}|S{number}|L|||20260302074000+0100")
            plug.sendall(replace(group, messages=(*group.messages, sound)).stream)
            frames = _until(plug, f"|SOUND{number}".encode())
            answers = _acknowledgements(frames, group)
            found["accepted"] += sum(b"MSA|AA" in a for a in answers[:-1])
            found["refused"] += sum(b"MSA|AE" in a or b"MSA|AR" in a or b"MSA|CR" in a for a in answers[:-1])
            found["crashes"] += b"MSA|AA" not in answers[-1] or (len(frames) != 1 and group.batched)
            told = group.batched and b"BTS-1: " in frames[-1]
            silent = sum(best_header(one).enhanced for one in group.messages)
            found["unanswered"] += 0 if told else max(0, len(group.messages) - silent - (len(answers) - 1))
            found["messages"] += len(group.messages)
            found["batches"] += group.batched
            found["in_batches"] += len(group.messages) if group.batched else 0
            found["counts_told"] += told
    return dict(found)


def _acknowledgements(frames: list[bytes], group: Group) -> list[bytes]:
    """Each acknowledgement for itself."""
    if not group.batched:
        return frames
    return [b"MSH" + part for frame in frames for part in frame.split(b"\rMSH")[1:]]


def _until(plug: object, mark: bytes) -> list[bytes]:
    framer, answers = Framer(most=1_000_000), []
    while not (answers and mark in answers[-1]):
        chunk = plug.recv(65_536)  # type: ignore[attr-defined]
        if not chunk:
            raise ConnectionError("the listener closed the connection")
        answers += [frame.data for frame in framer.feed(chunk)]
    return answers


def run(messages: int, *, seed: int, batched: float = BATCHED, folder: str | None = None) -> dict[str, float]:
    """The whole experiment with so many mutated messages, a share of the groups as batches; the journal lies in `folder`."""
    draw, sound, ward, begun = random.Random(seed), bases(), Ward(), time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder) as made, Journal(Path(made) / "hl7.sqlite") as journal:
        with listening(Receiver(site=SITE, journal=journal, deliver=ward)) as port:
            found: dict[str, float] = dict(exchange(port, _groups(messages, sound, draw, batched)))
        seconds = time.perf_counter() - begun
        keys = {e.id: (e.application, e.facility, e.control_id) for s in State for e in journal.entries(s, most=10**9)}
        internal = [e for e in journal.entries(State.DEAD, most=10**9) if e.outcome and any(p.code == "207" for p in e.outcome.problems)]
    found["crashes"] += len(internal)
    found["duplicates"] = len(ward.delivered) - len({keys[number] for number, _ in ward.delivered})
    found["orders_that_differ"] = _orders(ward, draw)
    found["facts"] = len(latest(fact for _, facts in ward.delivered for fact in facts))
    return found | {"seconds": round(seconds, 1), "per_second": round(found["messages"] / seconds, 1)}


def _groups(messages: int, sound: list[bytes], draw: random.Random, batched: float) -> Iterator[Group]:
    """Mutated messages, one in ten of them sent again."""
    left, before = messages, b""
    while left:
        group = []
        for _ in range(min(GROUP, left)):
            before = before if before and draw.random() < 0.1 else mutate(draw.choice(sound), draw)
            group.append(before)
        left -= len(group)
        yield Group(tuple(group), batched=draw.random() < batched, filed=draw.random() < 0.5)


def _orders(ward: Ward, draw: random.Random) -> int:
    """In how many of some random orders the deliveries end in another state."""
    delivered = list(ward.delivered)
    first = latest(fact for _, facts in delivered for fact in facts)
    differ = 0
    for _ in range(ORDERS):
        draw.shuffle(delivered)
        differ += latest(fact for _, facts in delivered for fact in facts) != first
    return differ


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--messages", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--batched", type=float, default=BATCHED, help="share of the groups that go as a batch")
    options.add_argument("--quick", action="store_true", help="1,000 messages")
    options.add_argument("--folder", help="where the journal lies; /dev/shm spares the disk 10^5 flushes")
    options.add_argument("--json", action="store_true")
    asked = options.parse_args()
    found = run(1000 if asked.quick else asked.messages, seed=asked.seed, batched=asked.batched, folder=asked.folder)
    print(json.dumps(found) if asked.json else "\n".join(f"{name:20} {value:g}" for name, value in found.items()))
    bad = ("unanswered", "crashes", "duplicates", "orders_that_differ")
    sys.exit(any(found[name] for name in bad))


if __name__ == "__main__":
    main()
