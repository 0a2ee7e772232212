"""Actor: who does something, with which roles, for which wards, and by which door. Every verb takes one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

EVERY_WARD = "*"


class Role(StrEnum):
    """What an account may do; `permissions` says which verbs each role has."""

    VIEWER = "viewer"
    AUTHOR = "author"
    SIGNER = "signer"
    ADMINISTRATOR = "administrator"


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who acts: an account with its roles and wards, through a channel (`page`, `api`, `fhir`, `hl7v2`, `cli`, `system`).

    `scopes` narrows what a program's key may do below its account's roles; None is a person, whom nothing narrows. `name` is for pages.

    >>> nurse = Actor(account_id="a1", login="nurse", roles=frozenset({Role.AUTHOR}), wards=frozenset({"icu"}), channel="page")
    >>> nurse.sees("icu"), nurse.sees("renal"), nurse.has(Role.SIGNER)
    (True, False, False)
    """

    account_id: str | None
    login: str
    roles: frozenset[Role]
    wards: frozenset[str]
    channel: str
    scopes: frozenset[str] | None = None
    name: str = ""

    @classmethod
    def system(cls, task: str, *, wards: frozenset[str] = frozenset(), channel: str = "system") -> Actor:
        """The program itself at a task that no account asked for; it sees no ward unless some are named (`EVERY_WARD` for all).

        >>> Actor.system("sign-in").login
        'system:sign-in'
        """
        return cls(account_id=None, login=f"system:{task}", roles=frozenset(), wards=wards, channel=channel)

    def has(self, *roles: Role) -> bool:
        """Whether it has one of the roles."""
        return bool(self.roles.intersection(roles))

    def sees(self, ward: str) -> bool:
        """Whether patients of this ward are its own."""
        return ward in self.wards or EVERY_WARD in self.wards
