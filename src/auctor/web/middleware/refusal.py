"""Which HTTP status a typed error has."""

from __future__ import annotations

from auctor.errors import AuctorError
from auctor.web.store import NotFound, StaleError, StoreUnavailable

STATUS = {NotFound: 404, StaleError: 409, StoreUnavailable: 503}


def status_of(error: AuctorError, otherwise: int = 422) -> int:
    """The status that the error's class names (`status`), or that of the store's errors, else `otherwise`.

    >>> status_of(NotFound(where="patient", what="no such object", remedy="go back"))
    404
    """
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), getattr(error, "status", otherwise))
