"""ETag and If-Match: a fact is changed by whoever saw its last revision, and by nobody else."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Header
from pydantic.json_schema import SkipJsonSchema

from auctor.web.api.problems import PreconditionNeeded


def etag(revision: int | str) -> str:
    """The ETag of a revision.

    >>> etag(3)
    '"3"'
    """
    return f'"{revision}"'


Match = Annotated[str | SkipJsonSchema[None], Header(alias="If-Match", description="the ETag of the fact as you saw it", examples=['"1"'])]


def _seen(if_match: Match = None) -> int:
    """The revision that was seen; 0, which is none, for what is not the ETag of a fact."""
    if if_match is None:
        raise PreconditionNeeded(where="If-Match", what="missing", remedy="send the ETag of the fact as you saw it")
    found = re.fullmatch(r'"([1-9][0-9]{0,8})"', if_match.strip())
    return int(found[1]) if found else 0


Seen = Annotated[int, Depends(_seen)]
