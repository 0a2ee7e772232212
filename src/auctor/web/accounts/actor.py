"""`Actor`: who does something, in which roles, for which wards, through which door. Every verb of the service takes one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a person or program is trusted with; an account may hold several."""

    VIEWER = "viewer"
    AUTHOR = "author"
    SIGNER = "signer"
    ADMINISTRATOR = "administrator"


class Channel(StrEnum):
    """The door a request came through; it stands in each audit entry."""

    PAGE = "page"
    API = "api"
    EMR = "emr"
    COMMAND = "command"
    SYSTEM = "system"


@dataclass(frozen=True, kw_only=True)
class Actor:
    """A person or program, as the session, the API key or the command line identified it.

    `id` is the account's stable identifier, `name` what the audit trail and pages show, `wards` the identifiers of the wards whose
    patients it may see. `scopes` narrows the roles of a program (`None`: a person, not narrowed).

    >>> ada = Actor(id="a1", name="Ada", roles=frozenset({Role.AUTHOR}), wards=frozenset({"w1"}), channel=Channel.PAGE)
    >>> ada.sees("w1"), ada.sees("w2")
    (True, False)
    """

    id: str
    name: str
    roles: frozenset[Role]
    wards: frozenset[str]
    channel: Channel
    scopes: frozenset[str] | None = None

    def sees(self, ward: str) -> bool:
        """Whether patients of this ward are within reach."""
        return ward in self.wards
