"""Passwords known from breaches: a file of their SHA-1 digests in order, as Have I Been Pwned gives them, looked up without any network."""

from __future__ import annotations

import hashlib
import mmap
from pathlib import Path

DIGEST = 40  # hexadecimal digits of SHA-1: the file's own choice, and nothing is protected by it


def is_breached(password: str, file: Path) -> bool:
    """Whether the password's digest starts a line of the file, whose lines are sorted (`DIGEST:COUNT`); some thirty looks into any size.

    Raises OSError where the file cannot be read.
    """
    sought = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper().encode()
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as text:
        low, high = 0, len(text)
        while low < high:
            start = text.rfind(b"\n", low, (low + high) // 2) + 1 or low
            found = text[start : start + DIGEST].upper()
            if found == sought:
                return True
            end = text.find(b"\n", start, high)
            low, high = (low, start) if found > sought else (high if end < 0 else end + 1, high)
    return False
