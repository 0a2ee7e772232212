"""A strict reader of one TOML table (every key by type and bounds, an unread key refused), and what all kinds of plan files share."""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from auctor.errors import AuctorError, ModelError, PlanError
from auctor.models.expressions import Expression, parse
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.models.variants import split_name


class Table:
    """One table of a plan with its path, for errors that say where.

    Each reader takes the key out; `done()` refuses whatever is left, so a misspelt key is never ignored.

    >>> table = Table({"seed": 3}, where="plan")
    >>> table.integer("seed", low=0)
    3
    >>> table.done()
    """

    def __init__(self, content: Mapping[str, Any], *, where: str) -> None:
        self.left = dict(content)
        self.where = where

    def refuse(self, key: str, what: str, remedy: str) -> PlanError:
        """The typed error for a key of this table."""
        return PlanError(where=f"{self.where}.{key}", what=what, remedy=remedy)

    def has(self, key: str) -> bool:
        """Whether the key is given and not yet read."""
        return key in self.left

    def any(self, key: str) -> Any:
        """The value of a key that must be there."""
        if key not in self.left:
            raise self.refuse(key, "is missing", "add it; docs/plan-file.md lists every key")
        return self.left.pop(key)

    def text(self, key: str, *, default: str | None = None, choices: tuple[str, ...] = ()) -> str:
        """A string, one of `choices` where given."""
        value = self.any(key) if default is None or self.has(key) else default
        if not isinstance(value, str) or (choices and value not in choices):
            raise self.refuse(key, "is not an accepted text", f"write one of {', '.join(choices)}" if choices else "write a text in quotes")
        return value

    def number(self, key: str, *, low: float = -math.inf, high: float = math.inf, default: float | None = None) -> float:
        """A finite number in [low, high]."""
        value = self.any(key) if default is None or self.has(key) else default
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not low <= value <= high:
            raise self.refuse(key, "is not a number in the accepted range", f"write a number from {low:g} to {high:g}")
        return float(value)

    def integer(self, key: str, *, low: int = 0, high: int = 10_000_000, default: int | None = None) -> int:
        """A whole number in [low, high]."""
        value = self.number(key, low=low, high=high, default=default)
        if value != int(value):
            raise self.refuse(key, "is not a whole number", "write it without decimals")
        return int(value)

    def numbers(self, key: str, *, low: float = -math.inf) -> tuple[float, ...]:
        """A non-empty list of finite numbers, none below `low`."""
        value = self.any(key)
        good = isinstance(value, list) and value and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
        if not good or not all(math.isfinite(v) and v >= low for v in value):
            raise self.refuse(key, "is not a list of accepted numbers", "write for example [1, 2, 3]")
        return tuple(float(v) for v in value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A non-empty list of different strings."""
        value = self.any(key)
        if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value) or len(set(value)) < len(value):
            raise self.refuse(key, "is not a list of different texts", 'write for example ["C0", "C1"]')
        return tuple(value)

    def strings(self, key: str) -> dict[str, str]:
        """A non-empty table of texts."""
        found = self.table(key).left
        if not found or not all(isinstance(v, str) for v in found.values()):
            raise self.refuse(key, "is not a table of texts", 'write for example { AGE = "Age" }')
        return {name: str(value) for name, value in found.items()}

    def formula(self, key: str, *, names: Container[str] | None = None) -> Expression:
        """A formula of the expression language; every name it reads is one of `names` where those are given."""
        text = self.text(key)
        try:
            found = parse(text, where=f"{self.where}.{key}")
        except ModelError as error:
            raise self.refuse(key, f"is not a formula: {error.what}", error.remedy) from error
        for name in sorted(found.names):
            if names is not None and name not in names:
                raise self.refuse(key, f"reads {name}, which is not defined before it", "use covariates that the plan draws")
        return found

    def rows(self, key: str) -> tuple[Table, ...]:
        """A non-empty list of tables, each with its own path."""
        value = self.any(key)
        if not isinstance(value, list) or not value or not all(isinstance(row, Mapping) for row in value):
            raise self.refuse(key, "is not a list of tables", f"write [[{self.where}.{key}]] for each")
        return tuple(Table(row, where=f"{self.where}.{key}[{k}]") for k, row in enumerate(value))

    def table(self, key: str, *, optional: bool = False) -> Table:
        """A sub-table with its own path."""
        value = {} if optional and not self.has(key) else self.any(key)
        if not isinstance(value, Mapping):
            raise self.refuse(key, "is not a table", f"write [{self.where}.{key}] or {key} = {{ ... }}")
        return Table(value, where=f"{self.where}.{key}")

    def done(self) -> None:
        """Refuse keys nobody asked for."""
        for key in self.left:
            raise self.refuse(key, "is not a key of a plan", "check the spelling; docs/plan-file.md lists every key")


def plan_text(path: Path, text: str | None, *, page: str) -> tuple[dict[str, Any], str]:
    """A plan's content and its text: `text`, or what is at `path`; `page` documents the format. Raises PlanError."""
    try:
        raw = path.read_text(encoding="utf-8") if text is None else text
        return tomllib.loads(raw), raw
    except OSError as error:
        raise PlanError(where=path.name, what="cannot be read", remedy="check the path of the plan") from error
    except ValueError as error:
        raise PlanError(where=path.name, what=f"is not TOML: {error}", remedy=f"see {page}") from error


def plan_model(table: Table, name: str, folder: Path) -> DrugModel:
    """A model that a plan in `folder` names: a library name, or the path of a TOML file relative to the plan. Raises PlanError."""
    try:
        return read_model(folder / name if split_name(name)[0].endswith(".toml") else name)
    except AuctorError as error:
        raise table.refuse("models", f"{name!r} cannot be loaded ({error.what})", error.remedy) from error


def plan_digest(covered: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical form of what a plan's hash covers."""
    return hashlib.sha256(json.dumps(covered, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def shipped(folder: Path) -> tuple[str, ...]:
    """Names of the plans in a folder that auctor ships."""
    return tuple(sorted(path.stem for path in folder.glob("*.toml")))


def plan_path(name_or_path: str | Path, folder: Path) -> Path:
    """The file of a plan shipped in `folder` by name, or of any plan by path. Raises PlanError."""
    text, names = str(name_or_path), shipped(folder)
    if text in names:
        return folder / f"{text}.toml"
    if Path(text).suffix != ".toml":
        remedy = f"choose one of {', '.join(names)}, or give the path of a .toml file"
        raise PlanError(where=text, what="is not a plan that auctor ships", remedy=remedy)
    return Path(text)
