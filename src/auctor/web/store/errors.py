"""The store's typed errors: what was refused, and that nothing was lost by it."""

from __future__ import annotations

from auctor.errors import AuctorError


class StoreError(AuctorError):
    """A write or a store that cannot be used as it stands; the transaction was rolled back."""


class StaleError(StoreError):
    """Somebody else wrote first: what this was made from is no longer the latest. Nothing was written, nothing was lost."""


class NotFound(StoreError):
    """There is no such object, or it belongs to a ward of somebody else; the two are not told apart."""


class AuditError(StoreError):
    """A unit of work that changed something without exactly one audit entry."""


class SignatureError(StoreError):
    """A result that cannot be signed as it stands."""


class StoreUnavailable(StoreError):
    """The database does not answer, or is busy for too long."""

    exit_code = 3


class Tampered(StoreError):
    """A store that is not as it was written."""

    exit_code = 3
