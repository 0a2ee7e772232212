"""Sheet: a delimited text table as named columns that remember their line in the file; any oddity is a TableError with its line."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auctor.errors import TableError

Array = NDArray[np.float64]
MISSING = frozenset({"", ".", "NA"})  # an empty cell, NONMEM's dot, R's NA
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d{1,3})?")


@dataclass(frozen=True, kw_only=True, eq=False)
class Sheet:
    """Columns of text by upper-case name, each cell stripped, with the line of the file every row came from."""

    name: str
    columns: Mapping[str, tuple[str, ...]]
    line: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.line)

    def at(self, row: int, column: str) -> str:
        """The place of a cell, for an error: `table.csv line 12, AMT`."""
        return f"{self.name} line {self.line[row]}, {column}"

    def fault(self, row: int, column: str, what: str, remedy: str) -> TableError:
        """A TableError that names the cell."""
        return TableError(where=self.at(row, column), what=what, remedy=remedy)

    def numbers(self, column: str, *, words: Mapping[str, float] | None = None) -> tuple[Array, NDArray[np.bool_]]:
        """Values (n_rows,) and which of them were given; a missing cell is 0 and not given, `words` are codes of a category.

        Raises TableError for anything that is not a number: a decimal comma, a date, an unknown word.
        """
        cells = self.columns[column]
        codes = {word.casefold(): code for word, code in (words or {}).items()}
        values = [0.0 if cell in MISSING else self._number(k, column, codes) for k, cell in enumerate(cells)]
        return np.array(values, dtype=np.float64), np.array([cell not in MISSING for cell in cells], dtype=np.bool_)

    def _number(self, row: int, column: str, codes: Mapping[str, float]) -> float:
        cell = self.columns[column][row]
        if cell.casefold() in codes:
            return codes[cell.casefold()]
        value = float(re.sub("[dD]", "e", cell)) if _NUMBER.fullmatch(cell) else np.inf
        if not np.isfinite(value):
            raise self.fault(row, column, "not a number", _remedy(cell, codes))
        return value


def read_sheet(path: Path, *, aliases: Mapping[str, str] | None = None) -> Sheet:
    """Read a table delimited by `;`, `,`, tab or blanks, its first row being the header, in any case.

    Lines that start with `#` and rows whose first cell is `C` are comments, as in NONMEM. `aliases` renames columns.
    Raises TableError when the file is missing, empty, not text, repeats a column, or has a row of another length.
    """
    lines = _lines(path)
    delimiter = _delimiter(lines[0][1])
    header = [(aliases or {}).get(name.upper(), name.upper()) for name in _cells(lines[0][1], delimiter)]
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise TableError(where=f"{path.name} line {lines[0][0]}", what=f"column {repeated[0]} twice", remedy="keep one of them")
    rows = [(number, _cells(text, delimiter)) for number, text in lines[1:]]
    kept = [(number, cells) for number, cells in rows if cells[0].upper() != "C"]
    return _sheet(path.name, header, kept)


def _sheet(name: str, header: list[str], rows: list[tuple[int, list[str]]]) -> Sheet:
    for number, cells in rows:
        if len(cells) != len(header):
            remedy = "give every row one cell a column; write . for a missing one"
            raise TableError(where=f"{name} line {number}", what=f"{len(cells)} cells under {len(header)} column names", remedy=remedy)
    if not rows:
        raise TableError(where=name, what="no rows below the header", remedy="add one row a dose and one row a sample")
    columns = {title: tuple(cells[k] for _, cells in rows) for k, title in enumerate(header)}
    return Sheet(name=name, columns=columns, line=tuple(number for number, _ in rows))


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as problem:
        raise TableError(where=path.name, what="cannot be read", remedy="check the path and the permissions") from problem
    except UnicodeDecodeError as problem:
        raise TableError(where=path.name, what="not UTF-8 text", remedy="export it as CSV in UTF-8") from problem
    lines = [(k, line) for k, line in enumerate(text.splitlines(), start=1) if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise TableError(where=path.name, what="empty", remedy="give a header (ID TIME AMT DV ...) and rows")
    return lines


def _delimiter(header: str) -> str | None:
    return next((mark for mark in (";", ",", "\t") if mark in header), None)


def _cells(line: str, delimiter: str | None) -> list[str]:
    cells = line.split() if delimiter is None else next(csv.reader([line], delimiter=delimiter))
    return [cell.strip() for cell in cells]


def _remedy(cell: str, codes: Mapping[str, float]) -> str:
    if codes:
        return f"write one of {', '.join(sorted(codes))}, or its code"
    if re.fullmatch(r"[-+]?\d+,\d+", cell):
        return "write a decimal point, not a comma"
    if re.search(r"\d[:/-]\d", cell):
        return "give times as hours, not as clock times or dates"
    return "write a number, or . when it is missing"
