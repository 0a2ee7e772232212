"""Names that another program accepts: letters, digits and _, never twice, never a reserved word."""

from __future__ import annotations

import re
from collections.abc import Iterable


class Namer:
    """Gives each wanted name once; what is reserved, taken or too long is altered.

    >>> namer = Namer(reserved=["F"], upper=True, longest=8)
    >>> [namer(name) for name in ("F", "clearance", "V2", "v2", "1st")]
    ['FI', 'CLEARANC', 'V2', 'V2I', 'X1ST']
    """

    def __init__(self, *, reserved: Iterable[str] = (), pattern: str = "", upper: bool = False, longest: int = 40) -> None:
        self.upper, self.longest = upper, longest
        self.pattern = re.compile(pattern) if pattern else None
        self.taken = {self._cased(name) for name in reserved}

    def __call__(self, wanted: str) -> str:
        """A name as near to `wanted` as the rules allow, taken from now on."""
        plain = re.sub(r"\W", "_", self._cased(wanted), flags=re.ASCII)
        plain = plain if plain[:1].isalpha() and plain.isascii() else f"X{plain.strip('_')}"
        tails = ["", "I", *(f"I{k}" for k in range(2, 1000))]
        name = next(n for tail in tails if not self._refused(n := plain[: self.longest - len(tail)] + tail))
        self.taken.add(name)
        return name

    def _cased(self, name: str) -> str:
        return name.upper() if self.upper else name

    def _refused(self, name: str) -> bool:
        return name in self.taken or (self.pattern is not None and self.pattern.fullmatch(name) is not None)
