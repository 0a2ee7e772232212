"""IF blocks of abbreviated code as single-statement IFs with the same meaning.

Pharmpy drops a block within a block, and lets an assignment that stands in one branch leak into the others; neither can happen after this.
Which branch of block n is taken is the number QIFn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

SELECTOR = re.compile(r"QIF\d+")
RECORDS = ("PK", "DES", "ERROR")
_IF = re.compile(r"(ELSE\s*IF|IF)\s*\(", re.IGNORECASE)


def records(text: str) -> Iterator[tuple[str, str]]:
    """Every record of a control stream: its name in capitals ("" before the first) and its text."""
    for part in re.split(r"^(?=[ \t]*\$)", text, flags=re.MULTILINE):
        found = re.match(r"[ \t]*\$(\w+)", part)
        yield (found[1].upper() if found else ""), part


def is_code(record: str) -> bool:
    """Whether a record holds abbreviated code; ERROR may be written ERR and so on."""
    return record in RECORDS or (len(record) >= 3 and "ERROR".startswith(record))


def plain_blocks(text: str) -> str:
    r"""The control stream with the IF blocks of $PK, $DES and $ERROR written as single IFs.

    >>> print(plain_blocks("$PK\nIF (SEX.EQ.1) THEN\n  V = 1\nELSE\n  V = 2\nENDIF\n"))
    $PK
    QIF1 = 2
    IF (SEX.EQ.1) QIF1 = 1
    IF (QIF1.EQ.1) V = 1
    IF (QIF1.EQ.2) V = 2
    <BLANKLINE>
    """
    blocks = _Blocks()
    return "".join(blocks.rewritten(part) if is_code(record) else part for record, part in records(text))


def logical_lines(part: str) -> list[str]:
    """Lines without comments, continued ones joined."""
    bare = re.sub(r"[ \t]*;[^\n]*", "", part)
    return re.sub(r"&[ \t]*\n", " ", bare).split("\n")


@dataclass
class _Open:
    """A block that has begun: its number, the branch its lines stand in, and where its selector lines belong."""

    number: int
    branch: int
    tests: list[str] = field(default_factory=list)
    start: int = 0
    closed: bool = False


class _Blocks:
    def __init__(self) -> None:
        self.count = 0

    def rewritten(self, part: str) -> str:
        """One record; the first line may carry code after the record's name."""
        self.out: list[str] = []
        self.stack: list[_Open] = []
        for line in logical_lines(part):
            self._line(line)
        return "\n".join(self.out)

    def _line(self, line: str) -> None:
        word = line.strip().upper()
        found = _IF.match(line.strip())
        test, rest = _split(line.strip()[found.end() - 1 :]) if found else ("", "")
        if found and rest.upper() == "THEN":
            self._branch(test, fresh=word.startswith("IF"))
        elif word == "ELSE":
            self.stack[-1].branch += 1
            self.stack[-1].closed = True
        elif re.fullmatch(r"END\s*IF", word):
            self._close()
        elif not self.stack or not word:
            self.out.append(line)
        elif found:
            self.count += 1
            self.out += [f"QIF{self.count} = 2", f"IF ({test}) QIF{self.count} = 1"]
            self.out.append(f"IF ({self._guard()}.AND.QIF{self.count}.EQ.1) {rest}")
        else:
            self.out.append(f"IF ({self._guard()}) {line.strip()}")

    def _branch(self, test: str, *, fresh: bool) -> None:
        if fresh:
            self.count += 1
            self.stack.append(_Open(number=self.count, branch=0, start=len(self.out)))
        self.stack[-1].branch += 1
        self.stack[-1].tests.append(test)

    def _guard(self) -> str:
        return ".AND.".join(f"QIF{b.number}.EQ.{b.branch}" for b in self.stack)

    def _close(self) -> None:
        """The selector's lines go before the block; the first test that holds wins, so it is assigned last."""
        block = self.stack.pop()
        last = len(block.tests)
        rows = [f"QIF{block.number} = {last + 1}", *(f"IF ({block.tests[k]}) QIF{block.number} = {k + 1}" for k in reversed(range(last)))]
        self.out[block.start : block.start] = rows


def _split(text: str) -> tuple[str, str]:
    """`(test) rest` at the bracket that closes the first one."""
    depth = 0
    for k, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if depth == 0:
            return text[1:k], text[k + 1 :].strip()
    return text[1:], ""
