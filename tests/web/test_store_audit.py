"""The audit trail shows every tampering: edit, delete, insert, reorder, cut tail, rewriting, and rows changed behind its back."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from auctor.web.store import Store
from auctor.web.store.audit import START, link
from auctor.web.store.tables import Audit
from auctor.web.store.verify import AUDITOR, chain, checkpoints, verify
from web_people import DOCTOR, INSTALLER, admit, know, open_course

ENTRIES = 24


def fill(store: Store, entries: int = ENTRIES) -> None:
    for k in range(entries):
        with store.work(INSTALLER) as work:
            work.record("account.sign-in", "account", f"a{k}", before={"k": k}, after={"k": k + 1}, reason="right password")


def trail(store: Store) -> list[Audit]:
    """The entries as objects of their own, free of the session."""
    with store.read(AUDITOR) as reading:
        rows = reading.session.scalars(select(Audit).order_by(Audit.sequence)).all()
        return [copied(row) for row in rows]


def copied(entry: Audit) -> Audit:
    return Audit(**deepcopy({column.key: getattr(entry, column.key) for column in Audit.__table__.columns}))


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Audit], list[Any]]:
    """A trail with its checkpoints."""
    folder: Path = tmp_path_factory.mktemp("trail")
    store = Store.open(str(folder / "auctor.db"), secret=b"a secret of the tests and of nothing else")
    fill(store)
    found = trail(store), list(store.checkpoints.read())
    store.close()
    return found


FIELDS = [column.key for column in Audit.__table__.columns if column.key != "sequence"]


@pytest.mark.parametrize("field", FIELDS)
def test_every_edit_of_every_field_of_every_entry_is_found(entries: tuple[list[Audit], list[Any]], field: str) -> None:
    for place in range(ENTRIES):
        changed = [copied(entry) for entry in entries[0]]
        old = getattr(changed[place], field)
        setattr(changed[place], field, f"{old}x" if isinstance(old, str) else [["fact", "f/1", "0" * 64]] if field == "rows" else "x")
        assert list(chain(changed))


def test_every_deletion_insertion_and_exchange_is_found(entries: tuple[list[Audit], list[Any]]) -> None:
    for place in range(ENTRIES - 1):
        rest = [copied(entry) for entry in entries[0]]
        gone = rest.pop(place)
        assert list(chain(rest))
        assert list(chain(renumbered(rest)))
        forged = copied(gone)
        forged.login = "somebody"
        forged.hash = link(forged)
        assert list(chain(renumbered([*rest[:place], forged, copied(gone), *rest[place:]])))
        swapped = [copied(entry) for entry in entries[0]]
        swapped[place], swapped[place + 1] = swapped[place + 1], swapped[place]
        assert list(chain(swapped)) and list(chain(renumbered(swapped)))


def test_every_cut_of_the_tail_is_found_by_the_checkpoints(entries: tuple[list[Audit], list[Any]]) -> None:
    for length in range(ENTRIES):
        assert list(chain(entries[0][:length])) == []
        assert list(checkpoints(entries[0][:length], entries[1]))


def test_a_trail_rewritten_with_right_hashes_is_found_by_the_checkpoints(entries: tuple[list[Audit], list[Any]]) -> None:
    for place in range(ENTRIES):
        forged, previous = [copied(entry) for entry in entries[0]], START
        forged[place].login = "somebody"
        for entry in forged:
            entry.previous, entry.hash = previous, ""
            entry.hash = previous = link(entry)
        assert list(chain(forged)) == []
        assert list(checkpoints(forged, entries[1]))


def renumbered(entries: list[Audit]) -> list[Audit]:
    found = [copied(entry) for entry in entries]
    for number, entry in enumerate(found, start=1):
        entry.sequence = number
    return found


def test_an_untouched_store_is_whole(store: Store) -> None:
    course = open_course(store)
    know(store, course, "dose", {"amount": "1 g", "route": "oral", "at": "2026-03-01T08:00:00Z"})
    found = verify(store)
    assert found.whole and (found.entries, found.rows, found.checkpoints) == (4, 1, 4)


TAMPERED = {
    "edit": ("UPDATE audit SET login = 'somebody' WHERE sequence = 3", "audit 3"),
    "delete": ("DELETE FROM audit WHERE sequence = 2", "audit 3"),
    "cut": ("DELETE FROM audit WHERE sequence = 4", "audit 4"),
    "insert": (
        'INSERT INTO audit SELECT 5, at, account_id, login, channel, action, kind, object_id, ward, "before", "after", reason, "rows", '
        "hash, previous FROM audit WHERE sequence = 4",
        "audit 5",
    ),
    "a fact's body": ("UPDATE fact SET body = replace(body, '1 g', '2 g')", "fact/"),
    "a fact deleted": ("DELETE FROM fact", "fact/"),
    "a fact from nowhere": (
        "INSERT INTO fact SELECT 'f2', revision, course_id, kind, body, at, source, reference, entered_by, entered_at, reason, withdrawn "
        "FROM fact",
        "fact/f2/1",
    ),
}


@pytest.mark.parametrize("kind", TAMPERED)
def test_what_a_database_administrator_does_behind_its_back_is_found(store: Store, kind: str, force: Callable[[str], None]) -> None:
    know(store, open_course(store), "dose", {"amount": "1 g", "route": "oral", "at": "2026-03-01T08:00:00Z"})
    statement, where = TAMPERED[kind]
    force(statement)
    assert any(finding.where.startswith(where) for finding in verify(store).findings)


def test_a_changed_or_shortened_file_of_checkpoints_is_found(store: Store) -> None:
    fill(store, 4)
    path = store.checkpoints.path
    lines = path.read_text().splitlines(keepends=True)
    for changed in (lines[1:], [lines[1], lines[0], *lines[2:]], [*lines[:-1], lines[-1].replace("4", "5", 1)], ["nonsense\n"]):
        path.write_text("".join(changed))
        assert not verify(store).whole
    path.write_text("".join(lines) + '{"at":"2026')  # the power went while a line was written
    assert verify(store).whole
    fill(store, 1)
    assert verify(store).whole and len(path.read_text().splitlines()) == 5


def test_the_entries_of_a_ward_name_what_was_written(store: Store) -> None:
    course = open_course(store)
    fact = know(store, course, "dose", {"amount": "1 g", "route": "oral", "at": "2026-03-01T08:00:00Z"})
    with store.read(DOCTOR) as reading:
        last = reading.session.scalars(select(Audit).order_by(Audit.sequence.desc())).first()
    assert last is not None and [row[:2] for row in last.rows] == [["fact", f"{fact}/1"]]


def test_two_processes_append_to_one_trail(database: Any) -> None:
    first, second = database.open(), database.open()
    for k in range(4):
        fill((first, second)[k % 2], 1)
    assert verify(first).whole and verify(second).entries == 4
    first.close()
    second.close()


def test_a_patient_of_another_ward_is_not_named_in_a_trail(store: Store) -> None:
    patient = admit(store, "renal", family="Roe", identifier="9")
    know(store, open_course(store), "note", {"text": "the trail goes on after an entry that its author may not read"})
    with store.read(DOCTOR) as reading:
        seen = [entry.object_id for entry in reading.session.scalars(select(Audit))]
    assert patient not in seen and seen[0] == "renal" and len(seen) == 5
    assert verify(store).entries == 6
