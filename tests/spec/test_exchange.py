"""Importing a control stream: what is asked for, what is refused and where, and what each way of writing a model becomes."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from auctor.cli import app
from auctor.errors import ModelError, UnitError
from auctor.models.exchange.course import course_of
from auctor.models.exchange.imported import Imported, import_stream
from auctor.models.exchange.said import Said, covariate
from auctor.models.reader import read_model

STREAM = """$PROBLEM example
$INPUT ID TIME AMT RATE EVID MDV CMT SS II ADDL DV WT SEX OCC
$DATA data.csv IGNORE=@
$SUBROUTINES {advan} {trans}
{model}$PK
{pk}
{des}$ERROR
{error}
{theta}
{omega}
$SIGMA 0.04
$SIGMA 0.25
$ESTIMATION METHOD=1
"""
MODEL = "$MODEL COMP=(DEPOT DEFDOSE) COMP=(CENTRAL DEFOBS)\n"
PK = "CL = THETA(1)*EXP(ETA(1))\nV = THETA(2)\nS1 = V"
SAID = {"drug": "x", "dose_unit": "mg", "conc_unit": "mg/L", "time_unit": "h"}
COVARIATES = dict(map(covariate, ["WT=70 kg", "SEX=m:m=1,f=0", "OCC=1 1"]))


def stream(folder: Path, **parts: str) -> Path:
    own = {"advan": "ADVAN1", "trans": "TRANS2", "pk": PK, "error": "Y = F + F*EPS(1)", "des": "", "model": "", "omega": "$OMEGA 0.09"}
    own |= {"theta": "$THETA 5\n$THETA 50\n$THETA 0.5\n$THETA 2"} | parts
    path = folder / "example.mod"
    path.write_text(STREAM.format(**own))
    return path


def imported(folder: Path, said: dict[str, Any] | None = None, **parts: str) -> Imported:
    return import_stream(stream(folder, **parts), Said(**{**SAID, "covariates": COVARIATES, **(said or {})}))


def individual(found: Imported, eta: list[float], **covariates: float) -> dict[str, float]:
    values = found.model.individual(covariates, np.asarray(eta))
    return {name: float(value) for name, value in values.items()}


# --- what is asked for --------------------------------------------------------------------------------------------------


def test_everything_that_is_not_said_is_asked_for_at_once(tmp_path: Path) -> None:
    with pytest.raises(UnitError) as refused:
        import_stream(stream(tmp_path, pk=PK.replace("THETA(2)", "THETA(2)*WT")), Said())
    assert refused.value.what.endswith("drug, dose unit, concentration unit, time unit, covariate WT")
    for option in ("--drug", "--dose-unit", "--conc-unit", "--time-unit", "--covariate 'WT="):
        assert option in refused.value.remedy


@pytest.mark.parametrize(
    "text", ["WT", "WT=70", "WT=heavy kg", "SEX=male:female=1", "SEX=x:male=0,female=1", "SEX=m:m=zero,f=1", "WT=70 80"]
)
def test_a_covariate_without_its_unit_is_refused(text: str) -> None:
    with pytest.raises(UnitError):
        covariate(text)


@pytest.mark.parametrize(("key", "unit"), [("dose_unit", "L"), ("conc_unit", "mg"), ("time_unit", "mg"), ("dose_unit", "umol")])
def test_a_unit_of_the_wrong_kind_is_refused(tmp_path: Path, key: str, unit: str) -> None:
    with pytest.raises(ModelError) as refused:
        imported(tmp_path, {key: unit})
    assert refused.value.where == f"--{key.replace('_', '-')}"


def test_without_pharmpy_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pharmpy.modeling", None)
    with pytest.raises(ModelError) as refused:
        imported(tmp_path)
    assert "auctor[nonmem]" in refused.value.remedy


# --- what is refused, and where -----------------------------------------------------------------------------------------

REFUSED = [
    ({"pk": PK + "\nA_0(1) = 5"}, "$PK"),
    ({"pk": PK + '\n"FIRST'}, '$PK `"FIRST`'),
    ({"pk": PK + "\nCALL RANDOM(X)"}, "$PK `CALL RANDOM(X)`"),
    ({"pk": PK.replace("THETA(2)", "MAX(THETA(2), 3)")}, "$PK `MAX(THETA(2), 3)"),
    ({"pk": PK.replace("THETA(2)", "THETA(2)*TIME")}, "`V`"),
    ({"pk": PK.replace("THETA(2)", "THETA(2)*HT")}, "`V`"),
    ({"pk": PK.replace("THETA(2)", "SIN(THETA(2))")}, "$PK `V`"),
    ({"pk": "CL = THETA(1)*EXP(ETA(1))\nS1 = CL"}, "$PK"),
    ({"error": "IPRED = F"}, "$ERROR"),
    ({"error": "Y = F + F*EXP(ETA(1))*EPS(1)"}, "$ERROR `Y`"),
    ({"error": "Y = F + F*WT*EPS(1)"}, "$ERROR `Y`"),
    ({"error": "Y = F + F*EPS(1)*EPS(1)"}, "$ERROR `Y`"),
    ({"error": "Y = F + (1 + LOG(F)**2)*EPS(1)"}, "$ERROR `Y`"),
    ({"error": "IPRED = LOG(F)\nY = IPRED + F*EPS(1)"}, "$ERROR `Y`"),
    ({"advan": "ADVAN12", "trans": "TRANS6"}, ""),
    ({"advan": "", "trans": ""}, "$SUBROUTINES"),
    ({"theta": "$THETA (5"}, ""),
]


@pytest.mark.parametrize(("parts", "where"), REFUSED, ids=lambda v: str(v)[:40])
def test_a_refusal_names_the_statement(tmp_path: Path, parts: dict[str, str], where: str) -> None:
    with pytest.raises(ModelError) as refused:
        imported(tmp_path, **parts)
    assert refused.value.where.startswith("example.mod")
    assert where in refused.value.where
    assert refused.value.remedy


def test_a_model_under_pred_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.mod"
    path.write_text("$PROBLEM p\n$INPUT ID TIME DV\n$DATA d.csv\n$PRED\nY = THETA(1) + ETA(1) + EPS(1)\n$THETA 1\n$OMEGA 1\n$SIGMA 1\n")
    with pytest.raises(ModelError) as refused:
        import_stream(path, Said(**SAID))
    assert refused.value.where == "p.mod: $PRED"


def test_a_statement_that_nothing_needs_is_not_refused(tmp_path: Path) -> None:
    found = imported(tmp_path, pk=PK + "\nIF (AMT.GT.0) BTIME = TIME\nTAD = TIME - BTIME\nX = SIN(TAD)")
    assert found.model.structure.disposition == "one_compartment"
    assert found.model.covariates == {}


# --- IF blocks, which Pharmpy does not read as NONMEM does --------------------------------------------------------------

BLOCKS = """
X = 1
IF (SEX.EQ.1.AND.WT.GT.60) THEN
  X = 2
  IF (OCC.EQ.1) THEN
    X = X + 10
    Z = 1
  ELSEIF (OCC.EQ.2) THEN ; second
    X = X + 20
  ELSE
    X = X + 30
    IF (WT.GT.80) X = X*2
  ENDIF
ELSE
  X = X + 0.5
  U = X
ENDIF
IF (OCC.EQ.3) THEN
  Z = 7
END IF
"""


def by_hand(sex: float, weight: float, occasion: float) -> float:
    x, z, u = 1.0, 0.0, 0.0
    if sex == 1 and weight > 60:
        x = 2.0
        if occasion == 1:
            x, z = x + 10, 1.0
        elif occasion == 2:
            x += 20
        else:
            x += 30
            x = x * 2 if weight > 80 else x
    else:
        x += 0.5
        u = x
    z = 7.0 if occasion == 3 else z
    return x + 100 * z + 1000 * u


def test_blocks_within_blocks_mean_what_they_say(tmp_path: Path) -> None:
    found = imported(tmp_path, pk=f"{BLOCKS}CL = (X + 100*Z + 1000*U)*EXP(ETA(1))\nV = THETA(2)\nS1 = V")
    for sex in (0.0, 1.0):
        for weight in (50.0, 70.0, 90.0):
            for occasion in (1.0, 2.0, 3.0):
                values = individual(found, [0.1], SEX=sex, WT=weight, OCC=occasion)
                assert values["CL"] == pytest.approx(by_hand(sex, weight, occasion) * math.exp(0.1), rel=1e-13)


def test_a_name_without_a_value_is_an_open_question(tmp_path: Path) -> None:
    found = imported(tmp_path, pk=PK.replace("CL = THETA(1)", "IF (SEX.EQ.1) TVCL = THETA(1)\nIF (SEX.EQ.0) TVCL = THETA(4)\nCL = TVCL"))
    assert [individual(found, [0.0], SEX=s)["CL"] for s in (1.0, 0.0)] == [5.0, 2.0]
    assert any(q.startswith("TVCL has no value") for q in found.model.questions)


# --- ADVAN and TRANS ----------------------------------------------------------------------------------------------------

CL, V1, Q, V2, KA = 5.0, 50.0, 8.0, 90.0, 1.1
K, K12, K21 = CL / V1, Q / V1, Q / V2
_ROOT = math.sqrt((K + K12 + K21) ** 2 - 4 * K * K21)
ALPHA, BETA = ((K + K12 + K21 + sign * _ROOT) / 2 for sign in (1, -1))
AOB = (ALPHA - K21) / (K21 - BETA)
TRANS = {
    ("ADVAN1", "TRANS1"): {"K": K}, ("ADVAN1", "TRANS2"): {"CL": CL, "V": V1},
    ("ADVAN2", "TRANS1"): {"K": K, "KA": KA}, ("ADVAN2", "TRANS2"): {"CL": CL, "V": V1, "KA": KA},
    ("ADVAN3", "TRANS1"): {"K": K, "K12": K12, "K21": K21},
    ("ADVAN3", "TRANS3"): {"CL": CL, "V": V1, "Q": Q, "VSS": V1 + V2},
    ("ADVAN3", "TRANS4"): {"CL": CL, "V1": V1, "Q": Q, "V2": V2},
    ("ADVAN3", "TRANS5"): {"AOB": AOB, "ALPHA": ALPHA, "BETA": BETA},
    ("ADVAN3", "TRANS6"): {"ALPHA": ALPHA, "BETA": BETA, "K21": K21},
    ("ADVAN4", "TRANS1"): {"K": K, "K23": K12, "K32": K21, "KA": KA},
    ("ADVAN4", "TRANS3"): {"CL": CL, "V": V1, "Q": Q, "VSS": V1 + V2, "KA": KA},
    ("ADVAN4", "TRANS4"): {"CL": CL, "V2": V1, "Q": Q, "V3": V2, "KA": KA},
    ("ADVAN4", "TRANS5"): {"AOB": AOB, "ALPHA": ALPHA, "BETA": BETA, "KA": KA},
    ("ADVAN4", "TRANS6"): {"ALPHA": ALPHA, "BETA": BETA, "K32": K21, "KA": KA},
}  # fmt: skip


@pytest.mark.parametrize("routine", TRANS, ids=" ".join)
def test_every_trans_is_the_same_named_structure(tmp_path: Path, routine: tuple[str, str]) -> None:
    """The same compartments by whichever numbers the TRANS takes: K, K12 and K21 come back."""
    names = TRANS[routine]
    central = 2 if "KA" in names else 1
    two = routine[0] in ("ADVAN3", "ADVAN4")
    lines = [f"{name} = THETA({k})" for k, name in enumerate(names, 1)]
    # the first is varied, so that a formula with an eta goes through the TRANS as well
    lines[0] += "*EXP(ETA(1))"
    lines.append(f"S{central} = {V1!r}")
    found = imported(
        tmp_path, advan=routine[0], trans=routine[1], pk="\n".join(lines), theta="\n".join(f"$THETA {value!r}" for value in names.values())
    )
    s, values = found.model.structure, individual(found, [0.0])
    assert (s.absorption, s.disposition) == ("first_order" if "KA" in names else "none", "two_compartment" if two else "one_compartment")
    assert [values[s.clearance], values[s.central]] == pytest.approx([CL, V1], rel=1e-12)
    if two:
        assert [values[s.distribution or ""], values[s.peripheral or ""]] == pytest.approx([Q, V2], rel=1e-11)
    if "KA" in names:
        assert values[s.rate or ""] == pytest.approx(KA)
    assert found.model.typical({}) == pytest.approx({n: v for n, v in values.items() if n in found.model.parameters}, rel=1e-11)


def test_three_compartments(tmp_path: Path) -> None:
    names = {"CL": CL, "V2": V1, "Q3": Q, "V3": V2, "Q4": 2.0, "V4": 500.0, "KA": KA}
    pk = "\n".join(f"{name} = THETA({k})" for k, name in enumerate(names, 1)) + "\nS2 = V2"
    theta = "\n".join(f"$THETA {value!r}" for value in names.values())
    found = imported(tmp_path, advan="ADVAN12", trans="TRANS4", pk=pk.replace("CL = THETA(1)", "CL = THETA(1)*EXP(ETA(1))"), theta=theta)
    assert found.model.structure.disposition == "three_compartment"
    course = course_of(found.model)
    state = {"A1": 3.0, "A2": 7.0, "A3": 11.0, "A4": 13.0}
    slopes = [float(d.evaluate({**individual(found, [0.0]), **state})) for d in course.derivatives]
    into, third, fourth = KA * 3, Q * (7 / V1 - 11 / V2), 2 * (7 / V1 - 13 / 500)
    assert slopes == pytest.approx([-into, into - CL / V1 * 7 - third - fourth, third, fourth], rel=1e-12)


def test_lag_bioavailability_and_modelled_duration(tmp_path: Path) -> None:
    pk = "CL = THETA(1)*EXP(ETA(1))\nV = THETA(2)\nKA = THETA(4)\nALAG1 = THETA(3)\nF1 = THETA(3)/2\nS2 = V"
    oral = imported(tmp_path, advan="ADVAN2", pk=pk).model
    assert (oral.structure.lag, oral.structure.bioavailability) == ("ALAG1", "F1")
    zero = imported(tmp_path, pk=PK + "\nD1 = THETA(4)").model
    assert (zero.structure.absorption, zero.structure.duration) == ("zero_order", "D1")
    for more in ("\nF2 = 0.5", "\nR1 = 3"):  # no named structure has these
        written = imported(tmp_path, advan="ADVAN2", pk=pk + more).model
        assert written.system is not None


# --- units --------------------------------------------------------------------------------------------------------------

UNITS = [
    ({"dose_unit": "mg", "conc_unit": "ng/mL", "time_unit": "h"}, "S1 = V/1000", "L"),
    ({"dose_unit": "ug", "conc_unit": "ng/mL", "time_unit": "min"}, "S1 = V", "L"),
    ({"dose_unit": "mg", "conc_unit": "mg/L", "time_unit": "d"}, "S1 = V/1000", "mL"),
    ({"dose_unit": "g", "conc_unit": "ng/mL", "time_unit": "h"}, "S1 = V", None),
    ({"dose_unit": "umol", "conc_unit": "umol/L", "time_unit": "h", "molar_mass": 250.0}, "S1 = V", "L"),
]


@pytest.mark.parametrize(("units", "scale", "printed"), UNITS, ids=lambda v: str(v)[:60])
@pytest.mark.parametrize("written_out", [False, True])
def test_the_control_stream_s_units_become_the_engine_s(
    tmp_path: Path, units: dict[str, Any], scale: str, printed: str | None, written_out: bool
) -> None:
    """One dose of 40 in its unit: the concentration at once and its rate of change, computed in the control stream's units by hand."""
    dose, hour = (
        {"mg": 1.0, "ug": 1e-3, "g": 1e3, "umol": 0.25}[units["dose_unit"]],
        {"h": 1.0, "min": 1 / 60, "d": 24.0}[units["time_unit"]],
    )
    pk = PK.replace("S1 = V", scale)
    if written_out:
        model, des = "$MODEL COMP=(C1)\n", "$DES\nDADT(1) = -CL/V*A(1)\n"
        found = imported(tmp_path, units, advan="ADVAN13", trans="TRANS1", pk=pk, model=model, des=des)
    else:
        found = imported(tmp_path, units, pk=pk)
        assert found.model.system is None
        assert found.model.parameters["V"].unit == (printed or "L")
    course, values = course_of(found.model), individual(found, [0.2])
    names = {**values, "A1": 40 * dose}
    # F = A/S in the unit of DV; -CL/V is per TIME
    expected = 40 / (50 / (1000 if "/1000" in scale else 1))
    assert float(course.outputs[1].evaluate(names)) == pytest.approx(expected, rel=1e-12)
    rate = float(course.derivatives[0].evaluate(names)) / (40 * dose)
    assert rate == pytest.approx(-5 * math.exp(0.2) / 50 / hour, rel=1e-12)


def test_formulas_that_read_a_part_in_another_unit_are_written_out(tmp_path: Path) -> None:
    pk = "CL = THETA(1)*EXP(ETA(1))\nV = THETA(2)*EXP(ETA(1)*THETA(3))\nS1 = V/1000"
    found = imported(tmp_path, {"time_unit": "min"}, pk=pk)
    assert found.model.system is not None
    values = individual(found, [0.3])
    rate = float(course_of(found.model).derivatives[0].evaluate({**values, "A1": 1.0}))
    assert rate == pytest.approx(-60 * 5 * math.exp(0.3) / (50 * math.exp(0.15)), rel=1e-12)


# --- residual errors ----------------------------------------------------------------------------------------------------

ERRORS = [
    ("Y = F*(1 + EPS(1))", ("combined", 0.2, 0.0)),
    ("IPRED = F\nW = IPRED\nIF (W.EQ.0) W = 1\nY = IPRED + W*EPS(1)", ("combined", 0.2, 0.0)),
    ("Y = F + EPS(2)", ("combined", 0.0, 0.5)),
    ("Y = F + F*EPS(1) + EPS(2)", ("combined", 0.2, 0.5)),
    ("W = SQRT(THETA(3)**2*F**2 + THETA(4)**2)\nY = F + W*EPS(1)", ("combined", 0.1, 0.4)),
    ("W = THETA(3)*F + THETA(4)\nY = F + W*EPS(1)", ("combined1", 0.1, 0.4)),
    ("Y = F + F**THETA(3)*EPS(1)", ("power", 0.2, 0.0)),
    ("Y = F*EXP(EPS(1))", ("combined", 0.2, 0.0)),
    ("IF (F.GT.0) THEN\n IPRED = LOG(F)\nELSE\n IPRED = -5\nENDIF\nY = IPRED + EPS(1)", ("log", 0.2, 0.0)),
    ("Y = LOG(F + 0.00001*0) + THETA(4)*EPS(1)", ("log", 0.4, 0.0)),
]


@pytest.mark.parametrize(("code", "expected"), ERRORS, ids=lambda v: str(v)[:40])
def test_a_residual_error_however_it_is_coded(tmp_path: Path, code: str, expected: tuple[str, float, float]) -> None:
    residual = imported(tmp_path, error=code).model.residual
    assert residual.kind == expected[0]
    assert (residual.proportional, residual.additive) == pytest.approx(expected[1:], rel=1e-9)
    assert residual.power == (0.5 if residual.kind == "power" else 1.0)


def test_outputs_by_compartment_with_a_default(tmp_path: Path) -> None:
    des = "$DES\nDADT(1) = -CL/V*A(1)\nDADT(2) = CL/V*A(1)\n"
    error = "IPRED = A(2)/10\nIF (CMT.EQ.1) IPRED = A(1)/V\nY = IPRED + IPRED*EPS(1)"
    found = imported(tmp_path, advan="ADVAN13", trans="TRANS1", model=MODEL, des=des, error=error).model
    assert found.system is not None
    assert {cmt: e.text for cmt, e in found.system.outputs.items()} == {1: "A1 / V", 2: "0.1 * A2"}


# --- etas ---------------------------------------------------------------------------------------------------------------


def test_occasions_are_etas_with_the_same_variance(tmp_path: Path) -> None:
    pk = "IOV = 0\nIF (OCC.EQ.1) IOV = ETA(2)\nIF (OCC.EQ.2) IOV = ETA(3)\nCL = THETA(1)*EXP(ETA(1) + IOV)\nV = THETA(2)\nS1 = V"
    found = imported(tmp_path, pk=pk, omega="$OMEGA 0.09\n$OMEGA BLOCK(1) 0.04\n$OMEGA BLOCK(1) SAME")
    assert np.diag(found.model.omega).tolist() == pytest.approx([0.09, 0.04, 0.04])
    for occasion, shift in ((1.0, 0.2), (2.0, 0.3), (3.0, 0.0)):
        assert individual(found, [0.1, 0.2, 0.3], OCC=occasion)["CL"] == pytest.approx(5 * math.exp(0.1 + shift))
    assert found.model.typical({"OCC": 1.0})["CL"] == 5
    assert any("SAME" in question for question in found.model.questions)


def test_an_eta_without_variance_is_left_out(tmp_path: Path) -> None:
    found = imported(tmp_path, pk=PK.replace("V = THETA(2)", "V = THETA(2)*EXP(ETA(2))"), omega="$OMEGA 0.09\n$OMEGA 0 FIX")
    assert found.etas == ("CL",)


def test_a_shared_eta_keeps_both_parameters(tmp_path: Path) -> None:
    found = imported(tmp_path, pk="CL = THETA(1)*EXP(ETA(1))\nV = THETA(2)*EXP(ETA(1)*THETA(3))\nS1 = V")
    values = individual(found, [0.4])
    assert (values["CL"], values["V"]) == pytest.approx((5 * math.exp(0.4), 50 * math.exp(0.2)))
    assert found.model.system is None


# --- estimates and the command line -------------------------------------------------------------------------------------


def test_final_estimates_replace_the_initial_ones(tmp_path: Path) -> None:
    head = "ITERATION THETA1 THETA2 THETA3 THETA4 SIGMA(1,1) SIGMA(2,1) SIGMA(2,2) OMEGA(1,1) OBJ"
    ext = tmp_path / "run.ext"
    ext.write_text(f"TABLE NO. 1\n {head}\n 0 5 50 0.5 2 0.04 0 0.25 0.09 1\n -1000000000 6 60 0.5 2 0.01 0 0.25 0.16 1\n")
    found = import_stream(stream(tmp_path), Said(**SAID), ext)
    assert [found.model.parameters[n].value for n in ("CL", "V")] == [6.0, 60.0]
    assert (found.model.parameters["CL"].omega, found.model.residual.proportional) == pytest.approx((0.4, 0.1))
    ext.write_text("no table")
    with pytest.raises(ModelError, match=r"run\.ext"):
        import_stream(stream(tmp_path), Said(**SAID), ext)


def test_the_command_writes_a_file_that_reads_back(tmp_path: Path) -> None:
    out = tmp_path / "new" / "model.toml"
    units = ("--drug", "x", "--dose-unit", "mg", "--conc-unit", "mg/L", "--time-unit", "h")
    result = CliRunner().invoke(app, ["models", "import", str(stream(tmp_path)), *units, "--out", str(out), "--json"])
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["etas"] == ["CL"]
    assert document["text"] == out.read_text()
    assert list(read_model(out).questions) == document["questions"]


@pytest.mark.parametrize("program", ["nonmem", "mrgsolve", "nlmixr2"])
def test_the_command_prints_text_or_writes_it(tmp_path: Path, program: str) -> None:
    words = ["models", "export", "vancomycin_goti2018", "--to", program]
    shown = CliRunner().invoke(app, words).stdout
    document = json.loads(CliRunner().invoke(app, [*words, "--out", str(tmp_path / "x.txt"), "--json"]).stdout)
    assert (tmp_path / "x.txt").read_text() == shown == document["text"]
    assert shown.isascii()
    assert max(map(len, shown.splitlines())) <= 200


def test_compartment_numbers_that_leave_a_gap_are_not_exported(tmp_path: Path) -> None:
    from auctor.models.exchange.nonmem import nonmem_text
    from auctor.models.reader import library_path

    path = tmp_path / "gap.toml"
    text = library_path("vancomycin_goti2018").read_text()
    path.write_text(text.replace("[structure]", "[structure]\ncmt = { central = 5 }"))
    with pytest.raises(ModelError, match=r"structure\.cmt"):
        nonmem_text(read_model(path))


def test_a_name_without_a_counterpart_is_not_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later version's symbol in the equations must not be printed as if the other program knew it."""
    from dataclasses import replace

    from auctor.models.exchange import program
    from auctor.models.exchange.nonmem import nonmem_text
    from auctor.models.expressions import parse

    model = read_model("phenobarbital_grasela1985")
    course = replace(course_of(model), derivatives=(parse("-CL / V * A1 * tad", where="A1"),))
    monkeypatch.setattr(program, "course_of", lambda _: course)
    with pytest.raises(ModelError, match="reads tad"):
        nonmem_text(model)
