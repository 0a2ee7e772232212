"""Failed sign-ins slow the next ones down; the counts lie in the store, shared by every process, and survive a restart."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from auctor.web.accounts.actor import Actor
from auctor.web.accounts.rates import MEMORY, Rates, TooMany
from auctor.web.store.tables import SignInFailure

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
DOOR = Actor.system("sign-in")


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        return self.at

    def later(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _kept(store: Any) -> list[SignInFailure]:
    with store.read(DOOR) as reading:
        return list(reading.session.scalars(select(SignInFailure)))


def _waits(rates: Rates, account: str, address: str) -> int:
    with pytest.raises(TooMany) as refused:
        rates.check(account=account, address=address)
    return refused.value.seconds


def test_the_wait_doubles_is_forgotten_and_tells_accounts_and_addresses_apart(store: Any, clock: Clock) -> None:
    rates = Rates(store, clock)
    for _ in range(7):
        rates.failed(account="Ada", address="10.0.0.1")
    assert _waits(rates, "ada ", "10.0.0.1") == 4
    rates.check(account="ada", address="10.0.0.2")  # an attacker elsewhere does not lock her out
    rates.check(account="bob", address="10.0.0.1")
    clock.later(4)
    rates.check(account="ada", address="10.0.0.1")
    with store.work(DOOR) as work:
        rates.succeeded(work, account="ada", address="10.0.0.1")
        work.record("sign-in", "account", "a1")
    rates.failed(account="ada", address="10.0.0.1")
    rates.check(account="ada", address="10.0.0.1")


def test_an_address_that_tries_many_accounts_and_an_account_tried_from_many_addresses_slow_down(store: Any, clock: Clock) -> None:
    rates = Rates(store, clock)
    for number in range(52):
        rates.failed(account=f"a{number}", address="10.0.0.1")
    for number in range(103):
        rates.failed(account="ada", address=f"10.1.0.{number}")
    assert _waits(rates, "fresh", "10.0.0.1") == 4
    assert _waits(rates, "ada", "10.9.9.9") == 8


def test_another_process_counts_on_and_a_restart_forgets_nothing(database: Any, clock: Clock) -> None:
    first, second = database.open(), database.open()
    for store in (first, second) * 3:
        Rates(store, clock).failed(account="ada", address="10.0.0.1")
    first.close()
    second.close()
    again = database.open()
    assert _waits(Rates(again, clock), "ada", "10.0.0.1") == 2
    again.close()


def test_failures_at_the_same_time_are_all_counted(store: Any, clock: Clock) -> None:
    rates = Rates(store, clock)
    with ThreadPoolExecutor(4) as several:
        list(several.map(lambda _: rates.failed(account="ada", address="10.0.0.1"), range(20)))
    assert {row.failures for row in _kept(store)} == {20}


def test_neither_login_nor_address_is_kept_and_old_counts_are_deleted(store: Any, clock: Clock) -> None:
    rates = Rates(store, clock)
    rates.failed(account="ada", address="10.0.0.1")
    assert len(_kept(store)) == 3 and not any("ada" in row.key or "10.0" in row.key for row in _kept(store))
    clock.later(MEMORY.total_seconds() + 1)
    rates.failed(account="bob", address="10.0.0.2")
    assert {row.last_at for row in _kept(store)} == {clock.at}


def test_passkeys_that_fail_elsewhere_slow_nobody_else_down(store: Any, clock: Clock) -> None:
    """They come without a login: were that counted as an account, anyone could keep everyone from signing in so."""
    rates = Rates(store, clock)
    for number in range(110):
        rates.failed(account="", address=f"10.1.{number}.1")
    rates.check(account="", address="10.9.9.9")
    for _ in range(6):
        rates.failed(account="", address="10.9.9.9")
    assert _waits(rates, "", "10.9.9.9") == 2
