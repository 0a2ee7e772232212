"""ETag and If-Match: a fact is changed by whoever saw its last revision, and by nobody else."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Header

from auctor.web.api.problems import Malformed, PreconditionNeeded


def etag(revision: int | str) -> str:
    """The ETag of a revision.

    >>> etag(3)
    '"3"'
    """
    return f'"{revision}"'


def _seen(
    if_match: Annotated[str | None, Header(alias="If-Match", description="the ETag of the fact as you saw it", examples=['"1"'])] = None,
) -> int:
    if if_match is None:
        raise PreconditionNeeded(where="If-Match", what="missing", remedy="send the ETag of the fact as you saw it")
    found = re.fullmatch(r'"([1-9]\d{0,8})"', if_match.strip())
    if found is None:
        raise Malformed(where="If-Match", what="not the ETag of a fact", remedy='send the ETag as you got it, such as "1"')
    return int(found[1])


Seen = Annotated[int, Depends(_seen)]
