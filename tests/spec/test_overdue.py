"""The rule of an overdue level against times worked out by hand: what is declared counts, what is not known says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auctor.dosing.overdue import Followed, Overdue, Since, Stated, changes, overdue
from auctor.errors import ModelError
from auctor.models.drug_file import Monitoring, list_drugs, read_drug
from auctor.models.monitoring import intervals_of, read_intervals


def rule(first: float | None = 72, change: float | None = 96, every: float | None = 168) -> Monitoring:
    return Monitoring(first_within_h=first, after_change_within_h=change, at_least_every_h=every, use="", verified=True, source="by hand")


def known(**said: Any) -> Followed:
    """A treatment with a dose every 12 h from 0 to 480 h."""
    return Followed(**{"first_dose_h": 0.0, "last_dose_h": 480.0} | said)


START, CHANGE, LEVEL, KNOWN = Since.START, Since.CHANGE, Since.LEVEL, Since.KNOWN


@pytest.mark.parametrize(
    ("said", "intervals", "now", "expected"),
    [
        ({}, rule(), 72.0, None),  # due, not yet overdue
        ({}, rule(), 72.1, (START, 72.0)),
        ({}, rule(first=None), 168.1, (START, 168.0)),
        ({}, rule(first=None), 168.0, None),
        ({"older": True}, rule(), 100.0, None),  # when it began is not known, so neither when a first level was due
        ({"older": True}, rule(), 169.0, (KNOWN, 168.0)),
        ({"levels_h": (70.0,)}, rule(), 238.0, None),
        ({"levels_h": (70.0,)}, rule(), 238.1, (LEVEL, 238.0)),
        ({"levels_h": (70.0, 10.0)}, rule(), 200.0, None),  # the last level counts, in whatever order they are
        ({"levels_h": (70.0,), "changes_h": (80.0,)}, rule(), 176.1, (CHANGE, 176.0)),
        ({"levels_h": (70.0,), "changes_h": (80.0,)}, rule(), 175.0, None),
        ({"levels_h": (70.0, 100.0), "changes_h": (80.0,)}, rule(), 260.0, None),  # a level after the change
        ({"levels_h": (80.0,), "changes_h": (80.0,)}, rule(), 176.1, (CHANGE, 176.0)),  # drawn as it changed: tells nothing of the new dose
        ({"levels_h": (70.0,), "changes_h": (80.0, 120.0)}, rule(), 217.0, (CHANGE, 216.0)),  # the last change
        ({"levels_h": (70.0,), "changes_h": (80.0,)}, rule(change=None), 239.0, (LEVEL, 238.0)),
        ({"levels_h": (70.0,)}, rule(every=None), 10_000.0, None),
        ({"changes_h": (20.0,)}, rule(), 300.0, (START, 72.0)),  # the one that has been overdue longest
        ({"last_dose_h": 60.0}, rule(), 300.0, None),  # the treatment may have ended before anything was due
        ({"last_dose_h": 72.0}, rule(), 300.0, (START, 72.0)),  # it had not
        ({"last_dose_h": 60.0, "ordered": True}, rule(), 300.0, (START, 72.0)),
        ({"last_dose_h": 100.0, "levels_h": (70.0,)}, rule(), 300.0, None),
        ({}, rule(None, None, None), 10_000.0, None),
    ],
)
def test_by_hand(said: dict[str, Any], intervals: Monitoring, now: float, expected: tuple[Since, float] | None) -> None:
    found = overdue(known(**said), intervals, now)
    assert (None if found is None else (found.since, found.due_h)) == expected


hours = st.floats(0, 500, allow_nan=False)
maybe = st.none() | st.floats(1, 500)


@given(levels=st.lists(hours, max_size=4), change=st.lists(hours, max_size=3), now=hours, a=maybe, b=maybe, c=maybe, ordered=st.booleans())
def test_a_level_drawn_now_ends_it_and_time_never_does(
    levels: list[float], change: list[float], now: float, a: float | None, b: float | None, c: float | None, ordered: bool
) -> None:
    treated = {"last_dose_h": now, "changes_h": tuple(h for h in change if h < now), "ordered": ordered}
    drawn = tuple(h for h in levels if h <= now)
    found = overdue(known(**treated, levels_h=drawn), rule(a, b, c), now)
    assert overdue(known(**treated, levels_h=(*drawn, now)), rule(a, b, c), now) is None
    if found is not None:
        assert found.due_h < now and found.within_h in (a, b, c)
        assert overdue(known(**treated, levels_h=drawn), rule(a, b, c), now + 1) == found


def test_a_change_is_another_amount_or_interval() -> None:
    stated = [(0, 500, 12), (24, 500, 12), (48, 750, 12), (72, 750, 8), (96, 750.0000001, 8)]
    assert changes([Stated(from_h=h, dose_mg=mg, every_h=every) for h, mg, every in reversed(stated)]) == (48, 72)


def test_the_librarys_intervals_have_a_source_and_are_few() -> None:
    declared = {name: found for name in list_drugs() if (found := read_drug(name).monitoring) is not None}
    assert set(declared) == {"lithium", "vancomycin"} and all(found.source for found in declared.values())
    assert (declared["lithium"].first_within_h, declared["lithium"].after_change_within_h) == (7 * 24, 7 * 24)
    assert declared["lithium"].at_least_every_h == 183 * 24 and declared["vancomycin"].at_least_every_h == 7 * 24


OWN = """
schema = 1
[[monitoring]]
drug = "Tacrolimus"
after_change_within_h = 96
verified = true
source = "pharmacy committee"
[[monitoring]]
drug = "vancomycin"
verified = true
source = "no rule here: every level is ordered by hand"
[[monitoring]]
drug = "digoxin"
at_least_every_h = 4000
verified = false
source = "NOT VERIFIED: proposed"
"""


def test_the_hospitals_own_file_comes_first_and_what_nobody_verified_holds_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "monitoring.toml"
    file.write_text(OWN)
    own = read_intervals(file)
    tacrolimus, vancomycin = intervals_of("tacrolimus", own), intervals_of("vancomycin", own)
    assert tacrolimus is not None and tacrolimus.after_change_within_h == 96 and tacrolimus.first_within_h is None
    assert vancomycin is not None and overdue(known(), vancomycin, 10_000) is None
    assert intervals_of("digoxin", own) is None and intervals_of("nothing", own) is None and intervals_of("lithium", own) is not None


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("schema = 1", "schema = 2", "schema"),
        ("after_change_within_h = 96", "after_change_within_h = 0", "after_change_within_h"),
        ("after_change_within_h = 96", 'after_change_within_h = "4 d"', "after_change_within_h"),
        ("after_change_within_h = 96", "after_change_within_h = 20000", "after_change_within_h"),
        ("after_change_within_h = 96", "after_change_h = 96", "after_change_h"),
        ('"pharmacy committee"', '"NOT VERIFIED: x"', "source"),
        ('"vancomycin"', '" tacrolimus"', "drug"),
        ("[[monitoring]]", "[[monitoring", "monitoring.toml"),
    ],
)
def test_a_file_that_cannot_be_used_names_the_place(tmp_path: Path, old: str, new: str, where: str) -> None:
    file = tmp_path / "monitoring.toml"
    file.write_text(OWN.replace(old, new, 1))
    with pytest.raises(ModelError) as refused:
        read_intervals(file)
    assert refused.value.where.endswith(where)


def test_the_words_of_a_drug_say_the_interval_and_its_source() -> None:
    from auctor.models.drug_file import describe_drug

    text = describe_drug(read_drug("lithium"))
    assert "within 7 days of the start, within 7 days of a change, at least every 183 days  [NHS" in text
    assert Overdue(since=START, from_h=1.0, within_h=2.0).due_h == 3.0
