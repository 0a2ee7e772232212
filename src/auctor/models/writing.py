"""A mapping as the text of a model file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(raw: Mapping[str, Any]) -> str:
    """A mapping as TOML: scalars and lists first, then one table a key, deeper ones inline.

    >>> print(toml_text({"a": 1, "b": {"x y": 0.5, "c": {"d": [1, 2]}}, "e": [{"f": True}]}))
    a = 1
    <BLANKLINE>
    [b]
    "x y" = 0.5
    c = { d = [1, 2] }
    <BLANKLINE>
    [[e]]
    f = true
    <BLANKLINE>
    """
    plain = [f"{_key(k)} = {_value(v)}" for k, v in raw.items() if not isinstance(v, dict) and not _is_tables(v)]
    parts = ["\n".join(plain)]
    for key, value in raw.items():
        if isinstance(value, dict):
            parts.append(_table(f"[{_key(key)}]", value))
        elif _is_tables(value):
            parts += [_table(f"[[{_key(key)}]]", row) for row in value]
    return "\n\n".join(parts) + "\n"


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _table(head: str, rows: Mapping[str, Any]) -> str:
    return "\n".join([head, *(f"{_key(k)} = {_value(v)}" for k, v in rows.items())])


def _key(key: str) -> str:
    return key if BARE.fullmatch(key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    return repr(value) if isinstance(value, int) else repr(float(value))
