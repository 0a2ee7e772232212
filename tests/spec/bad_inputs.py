"""Hand-written bad inputs: one line each, what is wrong with a good file, and what must be said about it.

`BAD` is the table. Each line takes one of three good files, changes one thing, and names what must come of it: a typed error at a
place, or a notice with a code that is carried with the case. Nothing may end in another exception, and nothing may pass in silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from auctor.case import Case
from auctor.data.casefile import read_case
from auctor.data.subject import read_subject
from auctor.errors import AuctorError, CaseError, TableError, UnitError
from auctor.models.reader import read_model

ORAL = """
schema = 1
label = "kidney transplant"
drug = "tacrolimus"
model = "tacrolimus_woillard_2011"
doses = [{ amount = "3 mg", route = "oral", time_h = 0, every = "12 h", additional = 2, steady_state = true }]
samples = [
  { value = "6.8 ng/mL", time_h = 0, matrix = "whole blood", lloq = "1 ng/mL" },
  { value = "14.2 ng/mL", time_h = 3, matrix = "whole blood" },
]
covariates = { HCT = "32.3 %", CYP3A5 = "nonexpresser", FORM = "immediate" }
current = { amount = "3 mg", every = "12 h", route = "oral" }
target = { metric = "AUC0-12", low = 150, high = 200, unit = "ng*h/mL" }
"""

ORAL_DOSES = next(line for line in ORAL.splitlines() if line.startswith("doses"))

IV = """
schema = 1
label = "two levels"
drug = "vancomycin"
model = "vancomycin_goti_2018"
time_zone = "Europe/Paris"
now_at = "2026-03-30T00:00"
doses = [
  { amount = "1500 mg", route = "iv", at = "2026-03-28T08:00", stop_at = "2026-03-28T09:30" },
  { amount = "1000 mg", route = "iv", at = "2026-03-28T20:00", duration = "60 min", every = "12 h", additional = 1 },
]
samples = [{ value = "17.5 mg/L", at = "2026-03-28T19:30", matrix = "serum" }]
covariates = { WT = "82 kg", DIAL = "no", CRCL = [{ at = "2026-03-28T06:00", value = "65 mL/min" }] }
current = { amount = "1000 mg", every = "12 h", route = "iv", duration = "1 h" }
"""

TABLE = """ID,TIME,AMT,RATE,EVID,MDV,CMT,SS,II,ADDL,DV,BLQ,LLOQ,WT,APGR
1,0,25,0,1,1,1,0,0,0,.,0,0,1.4,7
1,2,0,0,0,0,1,0,0,0,17.3,0,0,1.4,7
1,12.5,3.5,0,1,1,1,0,12,3,.,0,0,1.4,7
1,58,0,0,0,0,1,0,0,0,21.5,0,0,1.4,7
2,0,15,0,1,1,1,0,0,0,.,0,0,1.5,9
2,2,0,0,0,0,1,0,0,0,9.7,0,0,1.5,9
"""

GOOD = {
    "oral": (ORAL, ".toml", "tacrolimus_woillard_2011"),
    "iv": (IV, ".toml", "vancomycin_goti_2018"),
    "table": (TABLE, ".csv", "phenobarbital_grasela_1985"),
}


@dataclass(frozen=True, kw_only=True)
class Bad:
    """One bad input: the text of a file, its kind, the model it is read with, and what must be said."""

    name: str
    text: str
    suffix: str
    model: str
    error: type[AuctorError] | None
    where: str
    code: str

    def write(self, folder: Path) -> Path:
        """The file, in `folder`."""
        path = folder / f"case{self.suffix}"
        path.write_text(self.text, encoding="utf-8")
        return path

    def read(self, folder: Path) -> Case:
        """Read it as the command line does: a table by its ID 1, anything else as a case file."""
        path, model = self.write(folder), read_model(self.model)
        return read_subject(path, "1", model) if self.suffix == ".csv" else read_case(path, model)


def _bad(base: str, name: str, change: tuple[str, str], expect: type[AuctorError] | str, where: str) -> Bad:
    text, suffix, model = GOOD[base]
    old, new = change
    assert text.count(old) >= 1, f"{name}: {old!r} is not in the good {base} file"
    error, code = (None, expect) if isinstance(expect, str) else (expect, "")
    return Bad(name=name, text=text.replace(old, new, 1), suffix=suffix, model=model, error=error, where=where, code=code)


def _whole(name: str, text: str, suffix: str, expect: type[AuctorError], where: str) -> Bad:
    return Bad(name=name, text=text, suffix=suffix, model="tacrolimus_woillard_2011", error=expect, where=where, code="")


_UNITS = (
    ("oral", "dose without a unit", ('"3 mg", route', "3, route"), UnitError, "doses[0].amount"),
    ("oral", "dose in an unknown unit", ('"3 mg", route', '"3 mgs", route'), UnitError, "doses[0].amount"),
    ("oral", "dose in a unit of volume", ('"3 mg", route', '"3 mL", route'), UnitError, "doses[0].amount"),
    ("oral", "dose per kilogram", ('"3 mg", route', '"0.04 mg/kg", route'), UnitError, "doses[0].amount"),
    ("oral", "dose with a decimal comma", ('"3 mg", route', '"3,5 mg", route'), UnitError, "doses[0].amount"),
    ("oral", "dose unit given twice", ('"3 mg", route', '"3 mg", unit = "mg", route'), CaseError, "doses[0].amount"),
    ("oral", "dose that is 'less than'", ('"3 mg", route', '"<3 mg", route'), CaseError, "doses[0].amount"),
    ("oral", "interval without a unit", ('every = "12 h", additional', "every = 12, additional"), UnitError, "doses[0].every"),
    ("oral", "interval in mg", ('every = "12 h", additional', 'every = "12 mg", additional'), UnitError, "doses[0].every"),
    ("oral", "level without a unit", ('"6.8 ng/mL"', "6.8"), UnitError, "samples[0].value"),
    ("oral", "level in a unit of amount", ('"6.8 ng/mL"', '"6.8 ng"'), UnitError, "samples[0].value"),
    ("oral", "limit without a unit", ('lloq = "1 ng/mL"', "lloq = 1"), UnitError, "samples[0].lloq"),
    ("oral", "haematocrit without a unit", ('"32.3 %"', "32.3"), UnitError, "covariates.HCT"),
    ("iv", "clearance per body surface for an absolute one", ('"65 mL/min"', '"65 mL/min/1.73m2"'), UnitError, "covariates.CRCL[0]"),
    ("oral", "target without a unit", (', unit = "ng*h/mL"', ""), UnitError, "target.unit"),
    ("oral", "target AUC in a unit of concentration", ('"ng*h/mL"', '"ng/mL"'), UnitError, "target.unit"),
)
_ABSURD = (
    ("oral", "level 1000 times too high: mg/L for ng/mL", ('"6.8 ng/mL"', '"6.8 mg/L"'), CaseError, "samples[0].value"),
    ("oral", "level far above the usual", ('"14.2 ng/mL"', '"240 ng/mL"'), "implausible", "samples[1].value"),
    ("iv", "level 1000 times too low: ng/mL for mg/L", ('"17.5 mg/L"', '"17.5 ng/mL"'), "implausible", "samples[0].value"),
    ("oral", "negative level", ('"6.8 ng/mL"', '"-6.8 ng/mL"'), CaseError, "samples[0].value"),
    ("oral", "level of zero", ('"6.8 ng/mL"', '"0 ng/mL"'), CaseError, "samples[0].value"),
    ("oral", "dose of zero", ('"3 mg", route', '"0 mg", route'), CaseError, "doses[0].amount"),
    ("oral", "negative dose", ('"3 mg", route', '"-3 mg", route'), CaseError, "doses[0].amount"),
    ("oral", "dose 1000 times too high: g for mg", ('"3 mg", route', '"3 g", route'), CaseError, "doses[0].amount"),
    ("iv", "dose 1000 times too low: ug for mg", ('"1500 mg"', '"1500 ug"'), "dose-below-strength", "doses[0].amount"),
    ("iv", "dose of a kilogram", ('"1500 mg"', '"1 kg"'), CaseError, "doses[0].amount"),
    ("iv", "dose above the cap", ('"1500 mg"', '"4500 mg"'), "dose-above-cap", "doses[0].amount"),
    ("iv", "weight of 700 kg", ('"82 kg"', '"700 kg"'), CaseError, "covariates.WT"),
    ("iv", "weight in grams written as kg", ('"82 kg"', '"3200 kg"'), CaseError, "covariates.WT"),
    ("iv", "negative weight", ('"82 kg"', '"-82 kg"'), CaseError, "covariates.WT"),
    ("iv", "weight of a child under an adult model", ('"82 kg"', '"12 kg"'), "outside-domain", "covariates.WT"),
    ("oral", "haematocrit as a fraction called %", ('"32.3 %"', '"0.323 %"'), CaseError, "covariates.HCT"),
    ("oral", "haematocrit of 95 %", ('"32.3 %"', '"95 %"'), CaseError, "covariates.HCT"),
    ("oral", "haematocrit outside the source population", ('"32.3 %"', '"18 %"'), "outside-domain", "covariates.HCT"),
    ("iv", "clearance of 6500 mL/min", ('"65 mL/min"', '"6500 mL/min"'), CaseError, "covariates.CRCL[0]"),
    ("iv", "clearance in mL/h called mL/min", ('"65 mL/min"', '"3900 mL/min"'), CaseError, "covariates.CRCL[0]"),
    ("oral", "level that is not a number", ('"6.8 ng/mL"', "nan"), CaseError, "samples[0].value"),
    ("oral", "infinite time", ("time_h = 3,", "time_h = inf,"), CaseError, "samples[1].time_h"),
)
_TIMES = (
    ("oral", "no time on a dose", ("time_h = 0, every", "every"), CaseError, "doses[0]"),
    ("oral", "no time on a sample", ("time_h = 3, ", ""), CaseError, "samples[1]"),
    ("oral", "hours and clock times mixed", ("time_h = 3,", 'at = "2026-03-28T08:00+01:00",'), CaseError, "samples[1].at"),
    ("oral", "a time given twice", ("time_h = 3,", 'time_h = 3, at = "2026-03-28T08:00+01:00",'), CaseError, "samples[1].at"),
    ("iv", "clock times without a zone", ('time_zone = "Europe/Paris"\n', ""), CaseError, "doses[0].at"),
    ("iv", "misspelt time zone", ("Europe/Paris", "Europe/Pariss"), CaseError, "time_zone"),
    ("iv", "a date without a time", ("2026-03-28T19:30", "2026-03-28"), CaseError, "samples[0].at"),
    ("iv", "a date that does not exist", ("2026-03-28T19:30", "2026-02-30T19:30"), CaseError, "samples[0].at"),
    ("iv", "a date written the other way round", ("2026-03-28T19:30", "28/03/2026 19:30"), CaseError, "samples[0].at"),
    ("iv", "a time that the clocks skip in spring", ("2026-03-28T19:30", "2026-03-29T02:30"), CaseError, "samples[0].at"),
    ("iv", "a time that comes twice in autumn", ("2026-03-28T19:30", "2026-10-25T02:30"), CaseError, "samples[0].at"),
    ("iv", "sample before the first dose", ("2026-03-28T19:30", "2026-03-28T07:00"), CaseError, "samples[0]"),
    ("iv", "sample at the first dose, before any drug", ("2026-03-28T19:30", "2026-03-28T08:00"), CaseError, "samples[0]"),
    ("oral", "sample more than an interval before a steady state", ("time_h = 3,", "time_h = -13,"), CaseError, "samples[1]"),
    ("oral", "sample in the interval before a steady state", ("time_h = 3,", "time_h = -2,"), "before-steady-state-dose", "samples[1]"),
    ("iv", "sample in the future", ("2026-03-28T19:30", "2026-03-31T19:30"), CaseError, "samples[0]"),
    ("iv", "dose in the future", ("additional = 1", "additional = 8"), "dose-after-now", "doses"),
    ("iv", "sample drawn during an infusion", ("2026-03-28T19:30", "2026-03-28T20:30"), "during-infusion", "samples[0]"),
    ("oral", "sample long after the last dose on record", ("time_h = 3,", "time_h = 96,"), "gap-before-sample", "samples[1]"),
    ("oral", "two different levels at one time", ("time_h = 3,", "time_h = 0,"), "samples-at-one-time", "samples[1]"),
    ("oral", "the same level twice", ('"14.2 ng/mL", time_h = 3', '"6.8 ng/mL", time_h = 0'), CaseError, "samples[1]"),
)
_DOSES = (
    ("iv", "infusion without its length", (', stop_at = "2026-03-28T09:30"', ""), CaseError, "doses[0].duration"),
    ("iv", "infusion that stops before it starts", ("2026-03-28T09:30", "2026-03-28T07:30"), CaseError, "doses[0].stop_at"),
    (
        "iv",
        "infusion with stop and duration",
        ('stop_at = "2026-03-28T09:30"', 'stop_at = "2026-03-28T09:30", duration = "2 h"'),
        CaseError,
        "doses[0]",
    ),
    ("iv", "infusion of 60 days", ('"60 min"', '"60 d"'), CaseError, "doses[1].duration"),
    (
        "iv",
        "oral dose under an intravenous model",
        ('"iv", at = "2026-03-28T08:00", stop_at = "2026-03-28T09:30"', '"oral", at = "2026-03-28T08:00"'),
        CaseError,
        "doses[0].route",
    ),
    (
        "oral",
        "intravenous dose under an oral model",
        ('route = "oral", time_h', 'route = "iv", bolus = true, time_h'),
        CaseError,
        "doses[0].route",
    ),
    (
        "oral",
        "oral dose with an infusion length",
        ("time_h = 0, every", 'time_h = 0, duration = "1 h", every'),
        CaseError,
        "doses[0].duration",
    ),
    ("oral", "a route that is neither oral nor iv", ('route = "oral", time_h', 'route = "po", time_h'), CaseError, "doses[0].route"),
    ("oral", "steady state without an interval", ('every = "12 h", additional = 2, ', ""), CaseError, "doses[0].every"),
    ("oral", "series without an end", ("additional = 2, steady_state = true", "steady_state = false"), CaseError, "doses[0].every"),
    (
        "oral",
        "additional doses without an interval",
        ('every = "12 h", additional = 2, steady_state = true', "additional = 2"),
        CaseError,
        "doses[0].every",
    ),
    ("oral", "additional that is not whole", ("additional = 2", "additional = 2.5"), CaseError, "doses[0].additional"),
    ("oral", "negative number of doses", ("additional = 2", "additional = -2"), CaseError, "doses[0].additional"),
    ("oral", "additional and until together", ("additional = 2", "additional = 2, until_h = 24"), CaseError, "doses[0].additional"),
    ("oral", "series that ends before it starts", ("additional = 2", "until_h = -24"), CaseError, "doses[0].until_h"),
    ("iv", "the same dose twice", ('"2026-03-28T20:00"', '"2026-03-28T08:00"'), "doses-at-one-time", "doses[1]"),
    ("iv", "infusions that overlap", ('"2026-03-28T20:00"', '"2026-03-28T09:00"'), "overlapping-infusions", "doses[1]"),
    ("oral", "no doses", (ORAL_DOSES, "doses = []"), CaseError, "doses"),
)
_WORDS = (
    ("oral", "misspelt key", ("amount = ", "amuont = "), CaseError, "doses[0].amuont"),
    ("oral", "misspelt key at the top", ("label", "lable"), CaseError, "lable"),
    ("oral", "unknown covariate", ("HCT", "HTC"), CaseError, "covariates.HTC"),
    (
        "oral",
        "covariate that the model does not use",
        ('HCT = "32.3 %"', 'HCT = "32.3 %", WT = "70 kg"'),
        "unused-covariate",
        "covariates.WT",
    ),
    ("oral", "covariate missing", ('HCT = "32.3 %", ', ""), "default-used", "covariates.HCT"),
    ("oral", "unknown category", ('"nonexpresser"', '"non-expressor"'), CaseError, "covariates.CYP3A5"),
    ("oral", "a unit on a category", ('"nonexpresser"', '{ value = 1, unit = "mg" }'), CaseError, "covariates.CYP3A5"),
    ("oral", "a word for a number", ('"32.3 %"', '"normal"'), CaseError, "covariates.HCT"),
    (
        "iv",
        "two values of a covariate at one time",
        ('"65 mL/min" }', '"65 mL/min" }, { at = "2026-03-28T06:00", value = "40 mL/min" }'),
        CaseError,
        "covariates.CRCL",
    ),
    (
        "oral",
        "level in another matrix",
        ('time_h = 0, matrix = "whole blood"', 'time_h = 0, matrix = "plasma"'),
        "matrix-mismatch",
        "samples[0].matrix",
    ),
    ("oral", "matrix not given", (', matrix = "whole blood" }', " }"), "matrix-not-given", "samples[1].matrix"),
    ("oral", "unknown matrix", ('matrix = "whole blood" }', 'matrix = "saliva" }'), CaseError, "samples[1].matrix"),
    ("oral", "another drug than the model's", ('"tacrolimus"', '"everolimus"'), CaseError, "drug"),
    ("oral", "level below its own limit", ('lloq = "1 ng/mL"', 'lloq = "10 ng/mL"'), "below-lloq", "samples[0].value"),
    ("oral", "below a limit that is not given", ('"14.2 ng/mL", ', '"14.2 ng/mL", below_lloq = true, '), CaseError, "samples[1].lloq"),
    ("oral", "neither a level nor a limit", ('value = "14.2 ng/mL", ', ""), CaseError, "samples[1].value"),
    ("oral", "left out without a reason", ('"14.2 ng/mL", ', '"14.2 ng/mL", used = false, '), CaseError, "samples[1].reason"),
    (
        "oral",
        "left out with a reason",
        ('"14.2 ng/mL", ', '"14.2 ng/mL", used = false, reason = "haemolysed", '),
        "sample-excluded",
        "samples[1]",
    ),
    ("oral", "target upside down", ("low = 150, high = 200", "low = 200, high = 150"), CaseError, "target.high"),
    ("oral", "target of an unknown metric", ('"AUC0-12"', '"AUCinf"'), CaseError, "target.metric"),
    ("oral", "a number in quotes", ("time_h = 3,", 'time_h = "3",'), CaseError, "samples[1].time_h"),
    ("oral", "another schema version", ("schema = 1", "schema = 2"), CaseError, "schema"),
    ("oral", "TOML that does not parse", ('label = "', "label = "), CaseError, "case.toml"),
)
_TABLES = (
    ("table", "text where a number is needed", ("17.3", "high"), TableError, "line 3, DV"),
    ("table", "censored level as text", ("17.3", "<17"), TableError, "line 3, DV"),
    ("table", "a clock time in TIME", ("1,12.5,", "1,12:30,"), TableError, "line 4, TIME"),
    ("table", "time going backwards", ("1,12.5,", "1,1.5,"), TableError, "line 4, TIME"),
    ("table", "no TIME column", (",TIME,", ",HOURS,"), TableError, "case.csv"),
    ("table", "missing time", ("1,12.5,", "1,.,"), TableError, "line 4, TIME"),
    (
        "table",
        "a row with a cell too few",
        ("1,2,0,0,0,0,1,0,0,0,17.3,0,0,1.4,7", "1,2,0,0,0,0,1,0,0,0,17.3,0,0,1.4"),
        TableError,
        "line 3",
    ),
    ("table", "a column twice", (",WT,", ",AMT,"), TableError, "line 1"),
    ("table", "a subject in two places", ("2,2,0,", "1,2,0,"), TableError, "line 7, ID"),
    ("table", "negative dose", ("1,0,25,", "1,0,-25,"), TableError, "line 2, AMT"),
    ("table", "dose of nothing", ("1,0,25,", "1,0,0,"), TableError, "line 2, AMT"),
    ("table", "amount on an observation", ("1,2,0,0,0", "1,2,5,0,0"), TableError, "line 3, AMT"),
    ("table", "modelled rate", ("1,0,25,0,", "1,0,25,-1,"), TableError, "line 2, RATE"),
    ("table", "modelled duration without a model of it", ("1,0,25,0,", "1,0,25,-2,"), TableError, "line 2, RATE"),
    ("table", "event type 7", ("1,0,25,0,1,", "1,0,25,0,7,"), TableError, "line 2, EVID"),
    ("table", "additional doses without an interval", ("0,12,3,", "0,0,3,"), TableError, "line 4, II"),
    ("table", "steady state without an interval", ("1,0,25,0,1,1,1,0,", "1,0,25,0,1,1,1,1,"), TableError, "line 2, II"),
    ("table", "negative level", ("17.3", "-17.3"), TableError, "line 3, DV"),
    ("table", "observation without a level", ("17.3", "."), TableError, "line 3, DV"),
    ("table", "below a limit that is not given", ("17.3,0,", "17.3,1,"), TableError, "line 3, LLOQ"),
    ("table", "no weight column", (",WT,", ",MASS,"), "default-used", "case.csv, WT"),
    ("table", "a column the model does not use", (",WT,", ",HEIGHT,"), "unused-column", "case.csv"),
    (
        "table",
        "weight of 1400 kg: grams",
        ("1,0,25,0,1,1,1,0,0,0,.,0,0,1.4", "1,0,25,0,1,1,1,0,0,0,.,0,0,1400"),
        CaseError,
        "covariates.WT",
    ),
    ("table", "Apgar score of 70", ("1,0,25,0,1,1,1,0,0,0,.,0,0,1.4,7", "1,0,25,0,1,1,1,0,0,0,.,0,0,1.4,70"), CaseError, "covariates.APGR"),
    ("table", "level before the first dose", ("1,0,25,0,1,1", "1,0,0,0,2,1"), CaseError, "line 3"),
    ("table", "level below the dose of the same time", ("1,2,0,0,0,0", "1,0,0,0,0,0"), CaseError, "line 3"),
)
_FILES = (
    _whole("empty TOML", "", ".toml", CaseError, ""),
    _whole("empty JSON", "", ".json", CaseError, "case.json"),
    _whole("JSON that is a list", "[]", ".json", CaseError, "case.json"),
    _whole("JSON with NaN", '{"label": NaN}', ".json", CaseError, "case.json"),
    _whole("JSON with a key twice", '{"label": "a", "label": "b"}', ".json", CaseError, "case.json"),
    _whole("JSON cut short", '{"label": "a"', ".json", CaseError, "case.json"),
    _whole("a case file of another kind", "label: a", ".yaml", CaseError, "case.yaml"),
    _whole("a table with a header only", "ID,TIME,AMT,DV\n", ".csv", TableError, "case.csv"),
    _whole("nobody of that ID", "ID,TIME,AMT,DV,HCT,CYP3A5,FORM\n7,0,3,.,32,0,1\n", ".csv", CaseError, "--id"),
    _whole("a subject without a dose", "ID,TIME,AMT,DV,HCT,CYP3A5,FORM\n1,0,0,6.8,32,0,1\n", ".csv", TableError, "ID 1"),
    _whole("an unknown category", "ID,TIME,AMT,DV,HCT,CYP3A5,FORM\n1,0,3,.,32,3,1\n", ".csv", TableError, "line 2, CYP3A5"),
    _whole("a date column", "ID,DATE,TIME,AMT,DV,HCT,CYP3A5,FORM\n1,2026-03-01,0,3,.,32,3,1\n", ".csv", TableError, "case.csv"),
    _whole("an empty table", "# nothing\n\n", ".csv", TableError, "case.csv"),
)

BAD: tuple[Bad, ...] = (*(_bad(*row) for part in (_UNITS, _ABSURD, _TIMES, _DOSES, _WORDS, _TABLES) for row in part), *_FILES)
