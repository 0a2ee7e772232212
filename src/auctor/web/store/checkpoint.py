"""Checkpoints of the audit trail in a file outside the database: what shows that its tail was cut."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from auctor.web.store.errors import StoreError, StoreUnavailable
from auctor.web.store.tables import canonical


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How far the trail had come: the last entry's number and hash, and when it was written."""

    sequence: int
    hash: str
    at: str


class Checkpoints:
    """The file of checkpoints: one JSON line each, with an HMAC-SHA-256 over the line and the HMAC before it.

    Lines are appended and synced to disk under a lock, so that several processes can share the file. Keep it where those who may
    write to the database may not.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self.path, self._key = path, key

    def write(self, mark: Mark) -> None:
        """Append a checkpoint; one that is not beyond the last is left out. StoreUnavailable when the file cannot be written."""
        try:
            self._append(mark)
        except OSError as problem:
            what = "cannot be written; the change itself is in the database"
            raise StoreUnavailable(where="checkpoints", what=what, remedy="see the disk and the rights on the file") from problem

    def _append(self, mark: Mark) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            whole, last = _last_line(file.seek(0, os.SEEK_END), file)
            before: dict[str, Any] = json.loads(last) if last else {"hmac": "", "sequence": 0}
            if before["sequence"] >= mark.sequence:
                return
            fields = asdict(mark)
            file.seek(whole)
            file.truncate()  # a line that a crash left half-written
            file.write(canonical(fields | {"hmac": self._hmac(fields, before["hmac"])}).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> Iterator[Mark]:
        """Every checkpoint in order; StoreError where a line was changed, left out or moved."""
        if not self.path.exists():
            return
        before = ""
        with self.path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith("\n"):
                    return  # half-written when the power went: its entry stands in the database without it
                fields = _fields(line, number)
                if not hmac.compare_digest(fields.pop("hmac", ""), self._hmac(fields, before)):
                    raise _changed(number)
                before = self._hmac(fields, before)
                yield Mark(**fields)

    def _hmac(self, fields: dict[str, Any], before: str) -> str:
        return hmac.new(self._key, (before + canonical(fields)).encode(), hashlib.sha256).hexdigest()


def _last_line(size: int, file: IO[bytes], block: int = 4096) -> tuple[int, bytes]:
    """Where the last whole line ends, and the line."""
    start = max(0, size - block)
    file.seek(start)
    text = file.read(size - start)
    whole = text[: text.rfind(b"\n") + 1]
    return start + len(whole), whole.rstrip(b"\n").rpartition(b"\n")[2]


def _fields(line: str, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as problem:
        raise _changed(number) from problem
    if not isinstance(found, dict) or set(found) != {"sequence", "hash", "at", "hmac"}:
        raise _changed(number)
    return found


def _changed(number: int) -> StoreError:
    remedy = "somebody changed the file, or the secret is another: compare it with its copy"
    return StoreError(where=f"checkpoints, line {number}", what="does not carry its HMAC", remedy=remedy)
