"""What each role may do: one table, role x verb, that the service, the routes, the programs' keys and the tests all read.

Wards are the second half of every answer: a verb on a patient is asked with the patient's ward, and a ward out of reach looks like an
object that is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fastapi import Depends

from auctor.errors import AuctorError
from auctor.web.accounts.actor import Actor, Role
from auctor.web.middleware.visit import CurrentActor

VIEWER, AUTHOR, SIGNER, ADMINISTRATOR = Role.VIEWER, Role.AUTHOR, Role.SIGNER, Role.ADMINISTRATOR
READERS = frozenset({VIEWER, AUTHOR, SIGNER})
WRITERS = frozenset({AUTHOR, SIGNER})
SIGNERS = frozenset({SIGNER})
ADMINISTRATORS = frozenset({ADMINISTRATOR})
EVERYONE = frozenset(Role)


class Forbidden(AuctorError):
    """The actor's roles, or the scopes of its key, do not hold this verb."""

    status = 403


class Hidden(AuctorError):
    """The object is in a ward out of reach, which looks the same as an object that does not exist."""

    status = 404


class Scope(StrEnum):
    """What a program's key may be narrowed to."""

    READ = "read"
    WRITE = "write"
    ANALYSE = "analyse"
    ADMINISTER = "administer"
    OPERATE = "operate"


class Verb(StrEnum):
    """Everything that can be done."""

    READ = "read"  # patients, courses, facts, results, reports of one's wards
    TRY = "try"  # what-if on a candidate regimen, comparison of models: nothing is kept
    REGISTER = "register"  # a patient, a course
    ENTER = "enter"  # a fact: dose, sample, covariate, order, note
    CORRECT = "correct"  # a revision or a withdrawal of a fact, use or not of a sample
    ANALYSE = "analyse"  # a result that is kept
    SIGN = "sign"
    MOVE = "move"  # a patient to another ward
    EXPORT = "export"  # a report, a FHIR bundle, a write-back to the hospital record
    IMPORT = "import"  # a case file, a FHIR bundle, messages
    TRACK = "track"  # the running prospective error of silent mode
    READ_AUDIT = "read_audit"
    OWN_ACCOUNT = "own_account"  # one's password, second factors, sessions, keys
    MANAGE_ACCOUNTS = "manage_accounts"
    MANAGE_WARDS = "manage_wards"
    OPERATE = "operate"  # metrics, dead letters, checkpoints, back-up


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Who may: one of these roles (`anybody`: without any too), and for a program's key also this scope (None: a person has to)."""

    roles: frozenset[Role]
    scope: Scope | None
    anybody: bool = False


TABLE: Mapping[Verb, Rule] = {
    Verb.READ: Rule(roles=READERS, scope=Scope.READ),
    Verb.TRY: Rule(roles=READERS, scope=Scope.ANALYSE),
    Verb.REGISTER: Rule(roles=WRITERS, scope=Scope.WRITE),
    Verb.ENTER: Rule(roles=WRITERS, scope=Scope.WRITE),
    Verb.CORRECT: Rule(roles=WRITERS, scope=Scope.WRITE),
    Verb.ANALYSE: Rule(roles=WRITERS, scope=Scope.ANALYSE),
    Verb.SIGN: Rule(roles=SIGNERS, scope=None),
    Verb.MOVE: Rule(roles=WRITERS, scope=Scope.WRITE),
    Verb.EXPORT: Rule(roles=READERS, scope=Scope.READ),
    Verb.IMPORT: Rule(roles=WRITERS, scope=Scope.WRITE),
    Verb.TRACK: Rule(roles=EVERYONE, scope=Scope.READ),
    Verb.READ_AUDIT: Rule(roles=ADMINISTRATORS, scope=Scope.OPERATE),
    Verb.OWN_ACCOUNT: Rule(roles=EVERYONE, scope=None, anybody=True),
    Verb.MANAGE_ACCOUNTS: Rule(roles=ADMINISTRATORS, scope=Scope.ADMINISTER),
    Verb.MANAGE_WARDS: Rule(roles=ADMINISTRATORS, scope=Scope.ADMINISTER),
    Verb.OPERATE: Rule(roles=ADMINISTRATORS, scope=Scope.OPERATE),
}


def allowed(actor: Actor, verb: Verb) -> bool:
    """Whether the actor's roles, and the scopes of its key where it has one, hold the verb. Says nothing about wards.

    >>> ada = Actor(account_id="1", login="ada", roles=frozenset({Role.AUTHOR}), wards=frozenset(), channel="page")
    >>> allowed(ada, Verb.ENTER), allowed(ada, Verb.SIGN)
    (True, False)
    """
    rule = TABLE[verb]
    in_scope = actor.scopes is None or (rule.scope is not None and rule.scope in actor.scopes)
    return in_scope and (rule.anybody or actor.has(*rule.roles))


def demand(actor: Actor, verb: Verb, *, ward: str | None = None) -> None:
    """Go on only if the actor may do this, to an object of this ward where one is given. Raises `Forbidden`, `Hidden`."""
    if ward is not None and not actor.sees(ward):
        raise Hidden(where="object", what="not found", remedy="check the address, or ask for access to its ward")
    if not allowed(actor, verb):
        holders = ", ".join(sorted(TABLE[verb].roles))
        raise Forbidden(where=verb.value, what="not in your roles", remedy=f"it takes one of: {holders}")


def may(verb: Verb) -> Any:
    """A route's dependency: the signed-in actor, who may do this. `verbs_of` finds it again on the route.

    Use it as `actor: Annotated[Actor, may(Verb.READ)]`, or in `dependencies=[may(Verb.READ)]`.
    """

    def actor_who_may(actor: CurrentActor) -> Actor:
        demand(actor, verb)
        return actor

    actor_who_may.verb = verb  # type: ignore[attr-defined]
    return Depends(actor_who_may)


def verbs_of(route: Any) -> frozenset[Verb]:
    """The verbs that a route demands by `may`, anywhere among its dependencies; empty for a public route."""
    return frozenset(_verbs(route.dependant))


def _verbs(dependant: Any) -> set[Verb]:
    own = getattr(dependant.call, "verb", None)
    return {verb for inner in dependant.dependencies for verb in _verbs(inner)} | ({own} if isinstance(own, Verb) else set())
