"""Named variants of a model file: an alternative that its source leaves open, written as new values for keys of the file itself."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from auctor.models.model import Variant
from auctor.models.table import Table, suggestion

SIGN = "@"
_WORD = re.compile(r"[A-Za-z0-9_]+")


def split_name(text: str) -> tuple[str, str]:
    """(name or path, variant) of `name@variant` or `file.toml@variant`; the variant is "" where none is asked for.

    >>> split_name("tacrolimus_x_2014@sd"), split_name("me@home/mine.toml")
    (('tacrolimus_x_2014', 'sd'), ('me@home/mine.toml', ''))
    """
    last = PurePath(text).name
    if SIGN not in last or last.endswith(".toml"):
        return text, ""
    name, _, variant = text.rpartition(SIGN)
    return name, variant


def identity(content: bytes, variant: str) -> str:
    """SHA-256 of a file's bytes and the variant read from it; of the bytes alone where there is none.

    >>> identity(b"x", "")[:8], identity(b"x", "sd")[:8]
    ('2d711642', '8086200c')
    """
    return hashlib.sha256(content + (SIGN + variant).encode() if variant else content).hexdigest()


def read_variants(top: Table) -> dict[str, Variant]:
    """The `[variants]` table: `about` and `set` (dotted path -> value) of each. ModelError for a path that the file does not have."""
    bare = {key: value for key, value in top.data.items() if key != "variants"}
    return {name: _variant(name, row, bare) for name, row in top.tables("variants")}


def _variant(name: str, row: Table, data: Mapping[str, Any]) -> Variant:
    if not _WORD.fullmatch(name):
        raise row.fault("about", "the variant's name is not usable", "use letters, digits and _")
    table = row.only(required=("about", "set"))
    changes = Table.free(table.get("set"), table.at("set"))
    if not table.text("about").strip() or not changes.data:
        raise table.fault("set", "says nothing", "say in about what differs and who says so, and give at least one new value")
    if _changed(data, changes) == data:
        raise table.fault("set", "leaves everything as it is", "give the values that differ")
    return Variant(about=table.text("about"), changes=dict(changes.data))


def varied(top: Table, variant: str) -> dict[str, Any]:
    """The file's content with the variant's values in place and without `[variants]`; `""` is the file as it stands.

    ModelError for an unknown variant, with a did-you-mean.
    """
    bare = {key: value for key, value in top.data.items() if key != "variants"}
    known = dict(top.tables("variants"))
    if not variant:
        return bare
    if variant not in known:
        raise top.fault(f"variants.{variant}", "no such variant", suggestion(variant, known))
    changes = known[variant].table("set", optional=known[variant].data.get("set", ()))
    return _changed(bare, changes)


def _changed(data: Mapping[str, Any], changes: Table) -> dict[str, Any]:
    result = copy.deepcopy(dict(data))
    for path, value in changes.data.items():
        _put(result, path, value, changes)
    return result


def _put(data: dict[str, Any], path: str, value: Any, changes: Table) -> None:
    """Replace what stands at the dotted path; a number in it counts the rows of a list from 0."""
    *outer, last = path.split(".")
    if not outer and isinstance(value, Mapping):
        raise changes.fault(path, "a whole table", 'write the path in quotes, as "parameters.CL.iiv" = 0.3')
    place: Any = data
    for step in outer:
        place = place[_key(place, step, path, changes)]
    place[_key(place, last, path, changes)] = copy.deepcopy(value)


def _key(place: Any, step: str, path: str, changes: Table) -> str | int:
    if isinstance(place, list) and step.isdigit() and int(step) < len(place):
        return int(step)
    if isinstance(place, dict) and step in place:
        return step
    known = place if isinstance(place, dict) else [str(k) for k in range(len(place))] if isinstance(place, list) else ()
    raise changes.fault(path, f"the file has no {step!r} there", suggestion(step, known))
