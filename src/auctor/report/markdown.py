"""Pieces of a Markdown page: tables, lists and admonitions from plain text, with what Markdown would read as markup escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_MARKUP = re.compile(r"([\\`*_\[\]|])")


def plain(text: str) -> str:
    r"""Text that shows as it is, on one line.

    >>> plain("a_b < c")
    'a\\_b &lt; c'
    """
    folded = " ".join(str(text).split())
    return _MARKUP.sub(r"\\\1", folded.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are Markdown already."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def bullets(texts: Iterable[str]) -> str:
    """A list; items are Markdown already."""
    return "\n".join(f"- {text}" for text in texts)


def admonition(kind: str, title: str, body: str) -> str:
    """A box of mkdocs-material."""
    inner = "\n".join(f"    {line}" if line else "" for line in body.splitlines())
    return f'!!! {kind} "{title.replace(chr(34), chr(39))}"\n\n{inner}'
