"""Node: checked access to FHIR JSON. Whatever was sent, a getter gives the type it says or a RecordError that names the place."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from auctor.data.document import parse_json
from auctor.errors import RecordError

MAX_BYTES = 50_000_000
_FORM = "correct it at its source: auctor does not read around it"


@dataclass(frozen=True)
class Node:
    """One JSON object with its place (`Observation/7.valueQuantity`); absent things are None or empty."""

    data: Mapping[str, Any]
    where: str

    @classmethod
    def of(cls, value: Any, where: str) -> Node:
        """A JSON object; RecordError for anything else."""
        if not isinstance(value, Mapping):
            raise RecordError(where=where, what="not a JSON object", remedy=_FORM)
        return cls(value, where)

    def at(self, key: str) -> str:
        """The place of a key."""
        return f"{self.where}.{key}"

    def has(self, *keys: str) -> bool:
        """Whether any of the keys is there."""
        return any(key in self.data for key in keys)

    def text(self, key: str) -> str:
        """A text, "" when absent."""
        value = self.data.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise RecordError(where=self.at(key), what="not a text", remedy=_FORM)
        return value.strip()

    def flag(self, key: str) -> bool:
        """True or false, false when absent."""
        value = self.data.get(key, False)
        if not isinstance(value, bool):
            raise RecordError(where=self.at(key), what="not true or false", remedy=_FORM)
        return value

    def number(self, key: str) -> float | None:
        """A finite number, None when absent. A number in quotes is not a number in FHIR."""
        value = self.data.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
            raise RecordError(where=self.at(key), what="not a finite number", remedy=_FORM)
        return float(value)

    def node(self, key: str) -> Node | None:
        """The object below a key, None when absent."""
        return None if self.data.get(key) is None else Node.of(self.data[key], self.at(key))

    def nodes(self, key: str) -> tuple[Node, ...]:
        """The list of objects below a key."""
        value = self.data.get(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise RecordError(where=self.at(key), what="not a list", remedy=_FORM)
        return tuple(Node.of(item, f"{self.at(key)}[{k}]") for k, item in enumerate(value))

    def texts(self, key: str) -> tuple[str, ...]:
        """The list of texts below a key."""
        value = self.data.get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise RecordError(where=self.at(key), what="not a list of texts", remedy=_FORM)
        return tuple(item.strip() for item in value)

    def choices(self, prefix: str) -> Iterator[str]:
        """The keys of a choice element that are there: `choices("value")` of `valueQuantity`."""
        return (key for key in self.data if key.startswith(prefix) and key[len(prefix) : len(prefix) + 1].isupper())


def _finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:  # an integer beyond a float
        return False


def parse_resource(text: str | bytes, where: str) -> dict[str, Any]:
    """FHIR JSON as a dict; RecordError for what is not UTF-8, not JSON, too large, too deep, or no object."""
    if len(text) > MAX_BYTES:
        raise RecordError(where=where, what="larger than 50 MB", remedy="ask for less: one patient, fewer days")
    try:
        found = parse_json(text if isinstance(text, str) else text.decode("utf-8-sig"))
    except RecursionError as problem:
        raise RecordError(where=where, what="nested too deeply", remedy=_FORM) from problem
    except ValueError as problem:
        place = f" (line {problem.lineno}, column {problem.colno})" if isinstance(problem, json.JSONDecodeError) else ""
        raise RecordError(where=where, what=f"not JSON{place}", remedy=_FORM) from problem
    return dict(Node.of(found, where).data)
