"""A list in pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

from fastapi import Depends, Query, Request

from auctor.web.api.shapes.base import Page

Item = TypeVar("Item")
LONGEST, FARTHEST = 200, 1_000_000


@dataclass(frozen=True, kw_only=True)
class Paging:
    """Which part of a list was asked for."""

    request: Request
    limit: int
    offset: int

    def page(self, items: Sequence[Item], *, skipped: int = 0) -> Page[Any]:
        """The part of `items` that was asked for; `skipped` were left out before them already."""
        start = self.offset - skipped
        found = list(items[start : start + self.limit])
        more = len(items) > start + self.limit
        return Page(items=found, next=self._next() if more else None)

    def _next(self) -> str:
        query = dict(self.request.query_params) | {"limit": str(self.limit), "offset": str(self.offset + self.limit)}
        return f"{self.request.url.path}?{urlencode(query)}"


def _paging(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=LONGEST, description="items a page")] = 50,
    offset: Annotated[int, Query(ge=0, le=FARTHEST, description="items to skip")] = 0,
) -> Paging:
    return Paging(request=request, limit=limit, offset=offset)


Paged = Annotated[Paging, Depends(_paging)]
