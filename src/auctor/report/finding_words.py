"""What a finding of the plausibility check says, written from its facts in whatever language: clock times where the case has them.

told = Telling(voice=ENGLISH, start=None)
told.what(finding)  # 'drawn 2 h earlier than recorded: at 46 h rather than at 48 h'
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from auctor.data.plausibility.finding import Facts, Finding, Kind, Labelled
from auctor.report.voice import ENGLISH, N_, Voice, time_of_day

AFTER_INFUSION = N_("drawn %(lag)s after the end of the infusion given %(dose)s: %(then)s rather than %(at)s")
AFTER_DOSE = N_("drawn %(lag)s after the dose given %(dose)s: %(then)s rather than %(at)s")
BEFORE_DOSE = N_("drawn just before the dose given %(dose)s rather than after it, %(at)s")
EARLIER = N_("drawn %(by)s earlier than recorded: %(then)s rather than %(at)s")
LATER = N_("drawn %(by)s later than recorded: %(then)s rather than %(at)s")
SWAPPED = N_("exchanged with %(other)s: drawn %(then)s, and that one %(at)s")
MISSED = N_("the dose recorded %(dose)s was not given")
DOSE_LATE = N_("the dose recorded %(dose)s was given %(then)s, %(by)s later")
DOSE_EARLY = N_("the dose recorded or due %(dose)s was given %(then)s, %(by)s earlier")
TROUGH = N_("labelled trough, but recorded %(after)s after a dose: drawn %(then)s?")
PEAK = N_("labelled peak, but recorded %(after)s after a dose: drawn %(then)s?")
DOSES_LARGER = N_("all doses are 1000 times larger than recorded: micrograms entered for milligrams")
DOSES_SMALLER = N_("all doses are 1000 times smaller than recorded: milligrams entered for micrograms")
TOO_LOW = N_("the level is ten times too low: a dilution was not counted")
TOO_HIGH = N_("the level is ten times too high: a dilution was counted twice")
LINE = N_("far above what the others lead to expect: drawn through the line of the infusion")
OTHER_PATIENT = N_("fits the drug's patients at large better than this patient's other levels: blood of somebody else")
ENTERED_AS = N_("%(meant)s entered as %(written)s")
OF_ONE_VALUE = N_("%(slip)s, in the value of %(day)s")
TWICE = N_("kg divided by 2.2 once too often")
LEVEL_UNITS: Mapping[
    tuple[str, bool], str
] = {  # by the unit that was written after the one that was meant, and whether all levels are meant
    ("ug/L>mg/L", False): N_("the level is 1000 times too large: ug/L (ng/mL) entered as mg/L"),
    ("ug/L>mg/L", True): N_("all levels are 1000 times too large: ug/L (ng/mL) entered as mg/L"),
    ("mg/L>ug/L", False): N_("the level is 1000 times too small: mg/L entered as ug/L (ng/mL)"),
    ("mg/L>ug/L", True): N_("all levels are 1000 times too small: mg/L entered as ug/L (ng/mL)"),
    ("umol/L>mg/L", False): N_("the level is an amount of substance (umol/L) entered as a mass (mg/L)"),
    ("umol/L>mg/L", True): N_("all levels are amounts of substance (umol/L) entered as masses (mg/L)"),
    ("mg/L>umol/L", False): N_("the level is a mass (mg/L) entered as an amount of substance (umol/L)"),
    ("mg/L>umol/L", True): N_("all levels are masses (mg/L) entered as amounts of substance (umol/L)"),
}
UNITS = {"pounds": N_("pounds"), "inches": N_("inches"), "metres": N_("metres"), "months": N_("months"), "year": N_("years")}
UNITS |= {"a fraction": N_("a fraction")}


QUESTIONS: Mapping[Kind, str] = {
    Kind.AFTER_DOSE: N_("ask when the blood was drawn and when that dose was given; correct the time if it was after the dose"),
    Kind.BEFORE_DOSE: N_("ask when the blood was drawn and when that dose was given; correct the time if it was before the dose"),
    Kind.EARLIER: N_("ask for the time on the tube or of the collection, not of its arrival; correct the time"),
    Kind.LATER: N_("ask for the time on the tube or of the collection, not of its arrival; correct the time"),
    Kind.SWAPPED_SAMPLES: N_("compare the labels of the two tubes with the collection list; exchange the two times if they were swapped"),
    Kind.DOSE_MISSED: N_("ask whether that dose was given; take it out of the history if it was not"),
    Kind.DOSE_LATE: N_("ask when that dose was really given; correct its time"),
    Kind.DOSE_EARLY: N_("ask when that dose was really given; correct its time"),
    Kind.LABEL: N_("go by the recorded times of blood and dose, not by the label; ask for both"),
    Kind.UNIT_THOUSAND: N_("look at the laboratory's own report: number and unit (mg/L, ug/L, ng/mL); correct the unit"),
    Kind.UNIT_MOLAR: N_("look at the laboratory's own report: mass (mg/L) or amount of substance (umol/L); correct the unit"),
    Kind.DOSE_UNIT: N_("look at the prescription: mg or micrograms; correct the unit of the dose"),
    Kind.DILUTION: N_("ask the laboratory whether the sample was diluted and the result multiplied by the dilution, once"),
    Kind.LINE: N_("ask from where the blood was drawn; repeat from another site if it was the line of the infusion"),
    Kind.OTHER_PATIENT: N_("check the identity on tube and request; have the sample repeated if it cannot be shown to be this patient's"),
    Kind.COVARIATE_UNIT: N_("measure or look it up again with its unit; correct the value"),
}


@dataclass(frozen=True, kw_only=True)
class Telling:
    """One voice, and time 0 of the case on the clock of the ward: None where its times are hours."""

    voice: Voice = ENGLISH
    start: datetime | None = None

    def what(self, finding: Finding) -> str:
        """The sentence of one finding, without a full stop."""
        return _WORDINGS[finding.kind](self, finding.facts)

    def question(self, finding: Finding) -> str:
        """What to ask, and what to correct if the answer is yes."""
        return self.voice.say(QUESTIONS[finding.kind])

    def at(self, hours: float | None, *, after: float | None = None) -> str:
        """`at 08:00 on 4 March`; without the day where it is that of `after`, which was said before; without a clock `at 72.5 h`."""
        assert hours is not None
        when, said = self._when(hours), None if after is None else self._when(after)
        if when is None:
            return self.voice.say(N_("at %(hours)s h"), hours=self.voice.local(f"{hours:g}"))
        if said is not None and said.date() == when.date():
            return self.voice.say(N_("at %(time)s"), time=time_of_day(when))
        return self.voice.say(N_("at %(time)s on %(day)s"), time=time_of_day(when), day=self._day(when))

    def day(self, hours: float) -> str:
        """`4 March`, or `72.5 h`."""
        when = self._when(hours)
        return self.span(hours) if when is None else self._day(when)

    def span(self, hours: float) -> str:
        """A length of time: minutes below an hour."""
        return self.voice.local(f"{60 * hours:.0f} min" if abs(hours) < 1 else f"{hours:.4g} h")

    def _when(self, hours: float) -> datetime | None:
        """The time on the ward's clock, to the minute."""
        if self.start is None:
            return None
        exact = self.start.timestamp() + 3600.0 * hours
        return datetime.fromtimestamp(60 * round(exact / 60), tz=self.start.tzinfo)

    def _day(self, when: datetime) -> str:
        return self.voice.day(when, year=self.start is not None and when.year != self.start.year)


Wording = Callable[[Telling, Facts], str]


def _after_dose(told: Telling, f: Facts) -> str:
    message = AFTER_INFUSION if f.infusion else AFTER_DOSE
    lag, dose, then = told.span(f.after_h or 0.0), told.at(f.dose_h), told.at(f.then_h, after=f.dose_h)
    return told.voice.say(message, lag=lag, dose=dose, then=then, at=told.at(f.at_h, after=f.then_h))


def _before_dose(told: Telling, f: Facts) -> str:
    return told.voice.say(BEFORE_DOSE, dose=told.at(f.dose_h), at=told.at(f.at_h, after=f.dose_h))


def _off(message: str) -> Wording:
    return lambda told, f: told.voice.say(message, by=told.span(abs(f.by_h)), then=told.at(f.then_h), at=told.at(f.at_h, after=f.then_h))


def _swapped(told: Telling, f: Facts) -> str:
    return told.voice.say(SWAPPED, other=told.voice.place(f.other), then=told.at(f.then_h), at=told.at(f.at_h, after=f.then_h))


def _missed(told: Telling, f: Facts) -> str:
    return told.voice.say(MISSED, dose=told.at(f.dose_h))


def _moved(message: str) -> Wording:
    return lambda told, f: told.voice.say(
        message, by=told.span(abs(f.by_h)), dose=told.at(f.dose_h), then=told.at(f.then_h, after=f.dose_h)
    )


def _labelled(told: Telling, f: Facts) -> str:
    message = TROUGH if f.label is Labelled.TROUGH else PEAK
    return told.voice.say(message, after=told.span(f.after_h or 0.0), then=told.at(f.then_h))


def _level_unit(told: Telling, f: Facts) -> str:
    return told.voice.say(LEVEL_UNITS[f"{f.meant}>{f.written}", f.every])


def _by_factor(larger: str, smaller: str) -> Wording:
    """One message where the true number is the larger one, another where it is the smaller."""
    return lambda told, f: told.voice.say(larger if (f.factor or 1.0) > 1 else smaller)


def _plainly(message: str) -> Wording:
    return lambda told, f: told.voice.say(message)


def _covariate(told: Telling, f: Facts) -> str:
    meant, written = (told.voice.say(UNITS[unit]) if unit in UNITS else unit for unit in (f.meant, f.written))
    slip = told.voice.say(TWICE) if f.meant == f.written else told.voice.say(ENTERED_AS, meant=meant, written=written)
    return slip if f.at_h is None else told.voice.say(OF_ONE_VALUE, slip=slip, day=told.day(f.at_h))


_WORDINGS: Mapping[Kind, Wording] = {
    Kind.AFTER_DOSE: _after_dose,
    Kind.BEFORE_DOSE: _before_dose,
    Kind.EARLIER: _off(EARLIER),
    Kind.LATER: _off(LATER),
    Kind.SWAPPED_SAMPLES: _swapped,
    Kind.DOSE_MISSED: _missed,
    Kind.DOSE_LATE: _moved(DOSE_LATE),
    Kind.DOSE_EARLY: _moved(DOSE_EARLY),
    Kind.LABEL: _labelled,
    Kind.UNIT_THOUSAND: _level_unit,
    Kind.UNIT_MOLAR: _level_unit,
    Kind.DOSE_UNIT: _by_factor(DOSES_LARGER, DOSES_SMALLER),
    Kind.DILUTION: _by_factor(TOO_LOW, TOO_HIGH),
    Kind.LINE: _plainly(LINE),
    Kind.OTHER_PATIENT: _plainly(OTHER_PATIENT),
    Kind.COVARIATE_UNIT: _covariate,
}
