"""Files beside a plan: tables of covariates and charts. The plan names their SHA-256, so that its own hash covers what it draws from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auctor.errors import PlanError
from auctor.population.reading import Table

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class File:
    """A file and the SHA-256 that its content must have."""

    path: Path
    sha256: str


def read_file(table: Table, folder: Path) -> File:
    """The keys `file` (relative to the plan) and `sha256`; the file itself is opened when patients are drawn."""
    found = File(folder / table.text("file"), table.text("sha256"))
    if len(found.sha256) != 64:
        raise table.refuse("sha256", "is not a SHA-256", "write the 64 hexadecimal digits that sha256sum prints for the file")
    return found


def content_of(file: File, where: str) -> bytes:
    """The bytes of a file. Raises PlanError where it is absent or not the one the plan means."""
    try:
        raw = file.path.read_bytes()
    except OSError as error:
        raise PlanError(where=f"{where}.file", what=f"{file.path.name} cannot be read", remedy="check its path") from error
    found = hashlib.sha256(raw).hexdigest()
    if found != file.sha256:
        raise PlanError(
            where=f"{where}.sha256", what="is not that of the file", remedy=f"get the file that the plan means, or write {found}"
        )
    return raw


def read_table(file: File, columns: Sequence[str], where: str) -> dict[str, list[Any]]:
    """The columns of a CSV or Parquet table as lists, None where a cell is empty. Errors: PlanError."""
    return columns_of(content_of(file, where), file.path, columns, where)


def columns_of(raw: bytes, path: Path, columns: Sequence[str], where: str) -> dict[str, list[Any]]:
    """The same of a table's content; the ending of `path` says what it is."""
    import pyarrow as pa

    try:
        table = _arrow(raw, path.suffix)
    except pa.ArrowException as error:
        raise PlanError(where=f"{where}.file", what="is neither a CSV nor a Parquet table", remedy="give one with a header") from error
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise PlanError(where=f"{where}.columns", what=f"{path.name} has no column {missing[0]}", remedy="check the spelling")
    return {name: table.column(name).to_pylist() for name in dict.fromkeys(columns)}


def _arrow(raw: bytes, suffix: str) -> pa.Table:
    import pyarrow as pa

    if suffix == ".parquet":
        from pyarrow import parquet

        return parquet.read_table(pa.BufferReader(raw), use_threads=False)
    from pyarrow import csv

    options = csv.ConvertOptions(strings_can_be_null=True, null_values=["", "NA", "NaN", "."])
    return csv.read_csv(pa.BufferReader(raw), read_options=csv.ReadOptions(use_threads=False), convert_options=options)
