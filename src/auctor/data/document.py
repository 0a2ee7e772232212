"""A case file's text to the checked schema: JSON or TOML, every fault a CaseError that names the field and a way out."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from auctor.errors import CaseError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from auctor.data.schema import CaseFile

REMEDIES = {
    "missing": "add it",
    "float_type": "write a number without quotes",
    "int_type": "write a whole number without quotes",
    "string_type": "write it in quotes",
    "bool_type": "write true or false without quotes",
    "literal_error": "write one of the words it may be: see docs/case-file.md",
    "finite_number": "give the measured number, or leave the field out",
    "too_short": "give at least one",
    "greater_than": "give a number above 0",
    "greater_than_equal": "give a number from 0 up",
    "list_type": "give a list of tables, [[name]] in TOML",
    "model_type": "give a table of keys and values",
    "dict_type": "give a table of keys and values",
}


def read_document(path: Path | str) -> CaseFile:
    """Read and check a `.json` or `.toml` case file; CaseError for anything that the schema does not allow."""
    return check_document(_parse(Path(path)))


def check_document(raw: dict[str, Any]) -> CaseFile:
    """A case that was parsed already against the schema; CaseError as in `read_document`."""
    from pydantic import ValidationError

    from auctor.data.schema import CaseFile

    try:
        return CaseFile.model_validate(raw)
    except ValidationError as problem:
        faults = problem.errors(include_input=False, include_url=False)
        raise _refusal(raw, min(faults, key=_rank)) from problem


def field_path(parts: Iterable[int | str]) -> str:
    """A field's place as people write it.

    >>> field_path(["doses", 0, "amount"])
    'doses[0].amount'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".") or "case"


def _parse(path: Path) -> dict[str, Any]:
    text = _text(path)
    try:
        raw = tomllib.loads(text) if path.suffix.lower() == ".toml" else parse_json(text)
    except ValueError as problem:  # json.JSONDecodeError and tomllib.TOMLDecodeError are ValueErrors
        what = f"not {'TOML' if path.suffix.lower() == '.toml' else 'JSON'} ({_place(problem)})"
        raise CaseError(where=path.name, what=what, remedy="correct the syntax there, see docs/case-file.md") from problem
    if not isinstance(raw, dict):
        raise CaseError(where=path.name, what="not a table of keys and values", remedy="start from examples/, see docs/case-file.md")
    return raw


def parse_json(text: str) -> Any:
    """JSON as it is defined: NaN, infinities and a key twice in one table are a ValueError."""
    return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_repeats)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key twice in one table")
    return dict(pairs)


def _place(problem: ValueError) -> str:
    """Where the syntax breaks, without the text that stands there: that could be a patient's."""
    if isinstance(problem, json.JSONDecodeError):
        return f"line {problem.lineno}, column {problem.colno}"
    words = str(problem)
    return words[words.rindex("at line") :].rstrip(")") if "at line" in words else words[:60].split(":")[0]


def _text(path: Path) -> str:
    if path.suffix.lower() not in (".json", ".toml"):
        raise CaseError(where=path.name, what="neither .json nor .toml", remedy="name it case.toml or case.json; a .csv table needs --id")
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as problem:
        raise CaseError(where=path.name, what="cannot be read", remedy="check the path and the permissions") from problem
    except UnicodeDecodeError as problem:
        raise CaseError(where=path.name, what="not UTF-8 text", remedy="save it as UTF-8") from problem


def _rank(fault: ErrorDetails) -> tuple[int, int]:
    """Unknown keys first (they explain what is missing), then the deepest place: of a union, the branch that fits best."""
    return (0 if fault["type"] == "extra_forbidden" else 1, -len(fault["loc"]))


def _refusal(raw: dict[str, Any], fault: ErrorDetails) -> CaseError:
    parts, container = _located(raw, fault)
    where = field_path(parts)
    if fault["type"] == "extra_forbidden":
        known = _known(parts[:-1])
        near = difflib.get_close_matches(str(parts[-1]), known, n=1, cutoff=0.5)
        remedy = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}"
        return CaseError(where=where, what="unknown key", remedy=remedy)
    if fault["type"] == "missing":
        near = difflib.get_close_matches(str(parts[-1]), [str(key) for key in container], n=1, cutoff=0.7)
        return CaseError(where=where, what="missing", remedy=f"add it{f' (is it {near[0]!r}?)' if near else ''}; see docs/case-file.md")
    allowed = fault.get("ctx", {}).get("expected")
    remedy = f"write {allowed}" if allowed else REMEDIES.get(fault["type"], "see docs/case-file.md")
    return CaseError(where=where, what=_what(fault), remedy=remedy)


def _what(fault: ErrorDetails) -> str:
    return fault["msg"].replace("Input should", "should")


def _located(raw: dict[str, Any], fault: ErrorDetails) -> tuple[list[int | str], Any]:
    """The parts of pydantic's location that exist in the document (it also names the branches of a union), and the last table."""
    parts: list[int | str] = []
    here: Any = raw
    for part in fault["loc"]:
        inside = (isinstance(here, dict) and part in here) or (isinstance(here, list) and isinstance(part, int) and part < len(here))
        if inside:
            parts, here = [*parts, part], here[part]
    if fault["type"] == "missing":
        return [*parts, fault["loc"][-1]], here if isinstance(here, dict) else {}
    return parts, here


def _known(parts: list[int | str]) -> list[str]:
    from auctor.data import schema

    tables: dict[str, type[schema.Entry]] = {
        "doses": schema.DoseEntry, "samples": schema.SampleEntry, "covariates": schema.Point,
        "current": schema.CurrentEntry, "target": schema.TargetEntry, "occasions": schema.OccasionsEntry,
    }  # fmt: skip
    names = [str(part) for part in parts if not isinstance(part, int)]
    entry = tables[names[0]] if names else schema.CaseFile
    if names and names[-1] not in tables and isinstance(parts[-1], str):
        entry = schema.Measured
    return [field.alias or name for name, field in entry.model_fields.items()]
