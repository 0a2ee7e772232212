"""Checked access to one table of a model file: every refusal names the file and the key."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from auctor.errors import ModelError

_MISSING = object()


def suggestion(word: str, known: Iterable[str]) -> str:
    """A did-you-mean, or the list of what is known.

    >>> suggestion("valeu", ["value", "unit"])
    "did you mean 'value'?"
    """
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(names) or 'nothing'}"


@dataclass(frozen=True)
class Table:
    """One TOML table with its place (`file.toml: parameters.CL`). Made by `Table.of`, read by the typed getters."""

    data: Mapping[str, Any]
    where: str

    @classmethod
    def of(cls, value: Any, where: str, *, required: Iterable[str] = (), optional: Iterable[str] = ()) -> Table:
        """Check that `value` is a table with the required keys and no unknown ones; ModelError otherwise."""
        if not isinstance(value, Mapping):
            raise ModelError(where=where, what="not a table", remedy="write key = value pairs, see docs/model-file.md")
        known = {*required, *optional}
        for key in value:
            if key not in known:
                raise ModelError(where=f"{where}.{key}", what="unknown key", remedy=suggestion(key, known))
        for key in required:
            if key not in value:
                raise ModelError(where=f"{where}.{key}", what="missing", remedy="add it, see docs/model-file.md")
        return cls(value, where)

    @classmethod
    def free(cls, value: Any, where: str) -> Table:
        """A table whose keys are names of the author's choosing."""
        return cls.of(value, where, optional=value if isinstance(value, Mapping) else ())

    def at(self, key: str) -> str:
        """The place of a key, for an error."""
        return f"{self.where}.{key}"

    def fault(self, key: str, what: str, remedy: str) -> ModelError:
        """A ModelError that names the key."""
        return ModelError(where=self.at(key), what=what, remedy=remedy)

    def get(self, key: str, default: Any = _MISSING) -> Any:
        """The raw value; ModelError when it is missing and there is no default."""
        value = self.data.get(key, default)
        if value is _MISSING:
            raise self.fault(key, "missing", "add it, see docs/model-file.md")
        return value

    def text(self, key: str, default: Any = _MISSING) -> str:
        """A string."""
        value = self.get(key, default)
        if not isinstance(value, str):
            raise self.fault(key, "not a text", "write it in quotes")
        return value

    def choice(self, key: str, allowed: Iterable[str], default: Any = _MISSING) -> str:
        """One of a few words."""
        value, words = self.text(key, default), tuple(allowed)
        if value not in words:
            raise self.fault(key, f"{value!r} is not one of {', '.join(words)}", suggestion(value, words))
        return value

    def number(self, key: str, default: Any = _MISSING, *, low: float = -math.inf) -> float:
        """A finite number not below `low`."""
        return self._checked(key, self.get(key, default), low)

    def maybe(self, key: str, *, low: float = -math.inf) -> float | None:
        """A finite number, or None when the key is absent."""
        return self.number(key, low=low) if key in self.data else None

    def positive(self, key: str, default: Any = _MISSING) -> float:
        """A finite number above zero."""
        value = self.number(key, default)
        if value <= 0:
            raise self.fault(key, f"{value:g} is not above zero", "leave the key out when there is none")
        return value

    def numbers(self, key: str) -> tuple[float, ...]:
        """A list of finite numbers, at least one."""
        value = self.get(key)
        if not isinstance(value, list) or not value:
            raise self.fault(key, "not a list of numbers", "write [1, 2, 3]")
        return tuple(self._checked(f"{key}[{k}]", item, -math.inf) for k, item in enumerate(value))

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; empty when absent."""
        value = self.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.fault(key, "not a list of texts", 'write ["first", "second"]')
        return tuple(value)

    def flag(self, key: str, default: bool = False) -> bool:
        """True or false."""
        value = self.get(key, default)
        if not isinstance(value, bool):
            raise self.fault(key, "not true or false", "write true or false")
        return value

    def table(self, key: str, *, required: Iterable[str] = (), optional: Iterable[str] = ()) -> Table:
        """A table below this one."""
        return Table.of(self.get(key), self.at(key), required=required, optional=optional)

    def tables(self, key: str) -> tuple[tuple[str, Table], ...]:
        """The named tables below `key`, in file order; empty when absent."""
        below = Table.free(self.get(key, {}), self.at(key))
        return tuple((name, Table.free(value, below.at(name))) for name, value in below.data.items())

    def rows(self, key: str) -> tuple[Table, ...]:
        """An array of tables (`[[key]]`); empty when absent."""
        value = self.get(key, [])
        if not isinstance(value, list):
            raise self.fault(key, "not an array of tables", f"write [[{key}]]")
        return tuple(Table.free(item, self.at(f"{key}[{k}]")) for k, item in enumerate(value))

    def only(self, *, required: Iterable[str] = (), optional: Iterable[str] = ()) -> Table:
        """The same table, now checked against its keys."""
        return Table.of(self.data, self.where, required=required, optional=optional)

    def _checked(self, key: str, value: Any, low: float) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self.fault(key, "not a finite number", "write a number without quotes; the unit has a key of its own")
        if value < low:
            raise self.fault(key, f"{value:g} is below {low:g}", "check the sign and the source")
        return float(value)
