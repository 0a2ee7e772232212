"""Training: the example cases as invented patients of a ward of their own, with an account to look at them.

Hours of an example become clock times from a Monday morning; names are made up and every patient carries the training mark.
"""

from __future__ import annotations

import os
import secrets
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from auctor.errors import AuctorError
from auctor.web.accounts.actor import EVERY_WARD, Actor, Role
from auctor.web.accounts.passwords import hashed
from auctor.web.service.analyses import analyse
from auctor.web.service.clinic import Clinic
from auctor.web.service.courses import choose, open_course
from auctor.web.service.entering import Entered, enter
from auctor.web.service.patients import NewPatient, register
from auctor.web.store.tables import Account, AccountWard, Patient, Ward

WARD = "training"
LOGIN = "demo"
ZONE = "Europe/Paris"
MORNING = datetime(2026, 3, 2, 8, 0, tzinfo=ZoneInfo(ZONE))
PASSWORD_FILE = "demo-password.txt"


class TrainingError(AuctorError):
    """A store that training patients must not be put into."""


@dataclass(frozen=True, kw_only=True)
class Invented:
    """Who an example becomes."""

    family: str
    given: str
    born: date
    sex: str
    analysed: bool


INVENTED: Mapping[str, Invented] = {
    "tacrolimus_kidney": Invented(family="Linden", given="Karla", born=date(1971, 5, 14), sex="female", analysed=True),
    "vancomycin_two_levels": Invented(family="Sorrel", given="Victor", born=date(1963, 11, 2), sex="male", analysed=True),
    "phenobarbital_neonate": Invented(family="Thistle", given="Nora", born=date(2026, 3, 1), sex="female", analysed=False),
}


def install(clinic: Clinic, folder: Path, examples: Path) -> str:
    """Ward, account and the three patients in an empty store; the account's password, also written to a file that only its owner reads.

    Raises TrainingError where the store holds anybody already.
    """
    password = secrets.token_urlsafe(12)
    actor = _account(clinic, password)
    for name, who in INVENTED.items():
        load(clinic, actor, examples / f"{name}.toml", who)
    file = folder / PASSWORD_FILE
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
        opened.write(f"{LOGIN}\n{password}\n")
    return password


def _account(clinic: Clinic, password: str) -> Actor:
    installer = Actor.system("training", wards=frozenset({EVERY_WARD}))
    roles = [Role.VIEWER, Role.AUTHOR, Role.SIGNER, Role.ADMINISTRATOR]
    with clinic.store.work(installer) as work:
        if work.session.scalar(select(func.count()).select_from(Patient)) or work.session.scalar(select(func.count()).select_from(Account)):
            remedy = "give an empty folder"
            raise TrainingError(where="store", what="not empty: training patients are not mixed with others", remedy=remedy)
        account = Account(login=LOGIN, name="Demo", roles=sorted(role.value for role in roles), password_hash=hashed(password))
        account.password_changed_at = work.at
        work.session.add_all([account, Ward(id=WARD, name="Training ward")])
        work.session.flush()
        work.session.add(AccountWard(account_id=account.id, ward_id=WARD))
        work.record("training.install", "ward", WARD, ward=WARD, after={"login": LOGIN})
        return Actor(account_id=account.id, login=LOGIN, roles=frozenset(roles), wards=frozenset({WARD}), channel="cli")


def load(clinic: Clinic, actor: Actor, case: Path, who: Invented) -> str:
    """One case file as an invented patient; the identifier of its course."""
    raw = tomllib.loads(case.read_text(encoding="utf-8"))
    new = NewPatient(
        ward=WARD, identifier=f"DEMO-{case.stem}", family=who.family, given=who.given, birth_date=who.born, sex=who.sex, demo=True
    )
    patient = register(clinic, actor, new)
    course = open_course(clinic, actor, patient, drug=str(raw["drug"]), time_zone=ZONE)
    choose(clinic, actor, course, model=str(raw["model"]), target="", reason="as in the example")
    enter(clinic, actor, course, [*_entries(raw)])
    if who.analysed:
        analyse(clinic, actor, course)
    return course


def _entries(raw: Mapping[str, Any]) -> Iterator[Entered]:
    for kind, name in (("dose", "doses"), ("sample", "samples")):
        for body in raw.get(name, []):
            yield Entered(kind=kind, body=_clocked(body), source="import")
    for covariate, value in raw.get("covariates", {}).items():
        for point in value if isinstance(value, list) else [{"value": value}]:
            found = _clocked(point) | {"name": covariate}
            yield Entered(
                kind="covariate",
                body=found | ({"value": float(found["value"])} if isinstance(found["value"], int) else {}),
                source="import",
            )
    if "current" in raw:
        yield Entered(kind="order", body=dict(raw["current"]), source="import", at=MORNING)
    yield Entered(kind="note", body={"text": str(raw.get("source") or raw.get("note") or raw["label"])}, source="import", at=MORNING)


def _clocked(body: Mapping[str, Any]) -> dict[str, Any]:
    """The entry with every time on the clock of the ward, with its offset."""
    found = dict(body)
    for name in ("time", "stop", "until"):
        if f"{name}_h" in found:
            at = MORNING + timedelta(hours=float(found.pop(f"{name}_h")))
            found["at" if name == "time" else f"{name}_at"] = at.isoformat()
    for name in ("at", "stop_at", "until_at"):
        if name in found and datetime.fromisoformat(found[name]).tzinfo is None:
            found[name] = datetime.fromisoformat(found[name]).replace(tzinfo=ZoneInfo(ZONE)).isoformat()
    return found
