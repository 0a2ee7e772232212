"""A model as a NONMEM control stream that evaluates it (MAXEVAL=0 POSTHOC): h, AMT in mg, DV in the model's concentration unit."""

from __future__ import annotations

import ast
import textwrap

from auctor.models.exchange.advan import SUBROUTINES, Subroutine
from auctor.models.exchange.course import course_of
from auctor.models.exchange.fortran import WIDTH, Code
from auctor.models.exchange.heading import ascii_text, heading
from auctor.models.exchange.names import Namer
from auctor.models.exchange.program import Array, Program, Spelling, program_of, residual_sd
from auctor.models.exchange.trees import ZERO, number
from auctor.models.model import DrugModel

COLUMNS = ("ID", "TIME", "AMT", "RATE", "EVID", "MDV", "CMT", "SS", "II", "ADDL", "DV")
_WORDS = """
    A DADT T F Y G H W E P THETA ETA EPS ERR OMEGA SIGMA IPRED LIPRED PRED RES WRES CWRES IRES NEWIND ICALL IREV TSTATE MIXNUM
    COM SC FO IF THEN ELSE ENDIF EXP LOG SQRT ABS SIN COS MOD INT MIN MAX DO CALL EXIT COMRES COMACT TNPRI PHI GAMLN
"""
_RESERVED = (*COLUMNS, *_WORDS.split())
_PATTERN = r"(F|S|R|D|A|P|ALAG|MU_|ETA|THETA|EPS|ERR|CP|IF)\d+"
INPUTS = {"F": "F", "lag": "ALAG", "duration": "D", "rate": "R"}


def nonmem_text(model: DrugModel, data: str = "data.csv") -> str:
    """The control stream of a model; `data` is the name put into $DATA. ModelError where it cannot be one.

    >>> from auctor.models.reader import read_model
    >>> text = nonmem_text(read_model("phenobarbital_grasela1985"))
    >>> [line for line in text.splitlines() if line.startswith(("$SUB", "  S1"))]
    ['$SUBROUTINES ADVAN1 TRANS2', '  S1 = V']
    """
    return _render(nonmem_program(model), data)


def nonmem_program(model: DrugModel) -> Program:
    """The program in NONMEM's symbols; `Program.names` says what each name of the model is called there."""
    routine = subroutine(model)
    own = _own_names(model, routine) if routine else {}
    reserved = set(_RESERVED) | {part for part in (routine.parts.values() if routine else ()) if own.get(part) is None}
    namer = Namer(reserved=reserved, pattern=_PATTERN, upper=True, longest=20)
    spelling = Spelling(
        namer=namer,
        theta=lambda k, _: f"THETA({k})",
        eta=lambda k, _: f"ETA({k})",
        time="T",
        amount=lambda k: f"A({k})",
    )
    return program_of(model, spelling)


def subroutine(model: DrugModel) -> Subroutine | None:
    """The ADVAN that is exactly the model's structure and compartment numbers; None where $DES is needed."""
    s = model.structure
    found = SUBROUTINES.get((s.absorption, s.disposition)) if model.system is None else None
    if found is None or s.maximum is not None or course_of(model).central != found.central:
        return None
    return found


def _own_names(model: DrugModel, routine: Subroutine) -> dict[str, str]:
    """NONMEM's names that already are the names of the parameters which play the part."""
    parts = {getattr(model.structure, field): wanted for field, wanted in routine.parts.items()}
    return {wanted: name for name, wanted in parts.items() if name == wanted}


def _render(program: Program, data: str) -> str:
    model = program.model
    routine = subroutine(model)
    inputs = [*COLUMNS, *(program.names[name] for name in model.covariates)]
    logged = any(e.kind == "log" for e in program.errors.values())
    etas = [f"ETA{k}" for k in range(1, len(program.etas) + 1)]
    parts = [
        *(f";; {row}" for row in heading(program)),
        *([";; log-transformed both sides: DV in the table is the natural logarithm"] if logged else []),
        f"$PROBLEM {ascii_text(f'{model.name}: {model.title}')[:70]}",
        *textwrap.wrap(f"$INPUT {' '.join(inputs)}", WIDTH, subsequent_indent="  ", break_on_hyphens=False),
        f"$DATA {data} IGNORE=@",
        *(_named(program, routine) if routine else _equations(program)),
        "$ERROR",
        _error(program, routine),
        *(f"$THETA {_initial(t.value)} ; {k}. {ascii_text(t.label)}" for k, t in enumerate(program.thetas, 1)),
        *omega_records(program),
        "$SIGMA 1 FIX",
        "$ESTIMATION METHOD=1 INTERACTION MAXEVAL=0 POSTHOC",
        *textwrap.wrap(" ".join(["$TABLE ID TIME CMT MDV DV IPRED PRED", *etas]), WIDTH, subsequent_indent="  "),
        "  NOAPPEND NOPRINT ONEHEADER FORMAT=s1PE23.16 FILE=sdtab",
    ]
    return "\n".join(parts) + "\n"


def _initial(value: float) -> str:
    return "0 FIX" if value == 0 else repr(value).upper()


def _statements(program: Program, code: Code) -> None:
    for name, tree in program.statements:
        code.assign(name, tree)


def _inputs(program: Program, code: Code) -> None:
    for key, table in program.inputs.items():
        for cmt, tree in table.items():
            code.assign(f"{INPUTS[key]}{cmt}", tree)


def _namer(program: Program) -> Namer:
    taken = {name for name, _ in program.statements} | set(program.names.values()) | set(_RESERVED)
    return Namer(reserved=taken, upper=True, longest=20)


def _named(program: Program, routine: Subroutine) -> list[str]:
    """$SUBROUTINES and $PK of an ADVAN: its names beside the model's, and the scale that makes F the concentration."""
    code = Code(_namer(program))
    _statements(program, code)
    s = program.model.structure
    for field, wanted in routine.parts.items():
        name = program.names[getattr(s, field)]
        if name != wanted:
            code.assign(wanted, ast.Name(name))
    volume: ast.expr = ast.Name(routine.parts["central"])
    scale = program.model.scale
    code.assign(f"S{routine.central}", volume if scale == 1 else ast.BinOp(volume, ast.Div(), number(scale)))
    _inputs(program, code)
    return [f"$SUBROUTINES {routine.advan} {routine.trans}", "$PK", code.text()]


def _equations(program: Program) -> list[str]:
    """$SUBROUTINES, $MODEL, $PK and $DES of a model written out."""
    course = program.course
    observed = next(iter(course.outputs))
    marks: dict[int, list[str]] = {k: [] for k in range(1, len(course.compartments) + 1)}
    marks[course.depot].append("DEFDOSE")
    marks[observed].append("DEFOBS")
    namer = _namer(program)
    pk, des = Code(namer), Code(namer)
    _statements(program, pk)
    _inputs(program, pk)
    for k, tree in enumerate(program.derivatives, 1):
        des.assign(f"DADT({k})", tree)
    labels = [f"C{k}" if name == f"A{k}" else name.upper() for k, name in enumerate(course.compartments, 1)]
    names = [f" COMP=({' '.join([label, *marks[k]])})" for k, label in enumerate(labels, 1)]
    return ["$SUBROUTINES ADVAN13 TOL=9", f"$MODEL NCOMPARTMENTS={len(names)}", *names, "$PK", pk.text(), "$DES", des.text()]


def _error(program: Program, routine: Subroutine | None) -> str:
    """IPRED, W and Y; where there are several outputs, by CMT."""
    code = Code(_namer(program))
    several = len(program.outputs) > 1
    for cmt, tree in program.outputs.items():
        prediction = ast.Name("F") if routine else tree
        if several:
            code.assign(f"CP{cmt}", prediction)
        else:
            code.assign("IPRED", prediction)
    if several:
        code.assign("IPRED", ZERO)
        for cmt in program.outputs:
            code.when(_observed_in(cmt), "IPRED", ast.Name(f"CP{cmt}"))
    sizes = {cmt: residual_sd(e, "IPRED") for cmt, e in program.errors.items()}
    shared = len({ast.dump(tree) for tree in sizes.values()}) == 1
    first = next(iter(sizes))
    code.assign("W", sizes[first])
    if not shared:
        for cmt, tree in list(sizes.items())[1:]:
            code.when(_observed_in(cmt), "W", tree)
    code.lines.append("IF (W.EQ.0) W = 1")
    if program.errors[first].kind == "log":
        code.lines += ["LIPRED = 0", "IF (IPRED.GT.0) LIPRED = LOG(IPRED)", "Y = LIPRED + W*EPS(1)"]
    else:
        code.lines.append("Y = IPRED + W*EPS(1)")
    return code.text()


def _observed_in(cmt: int) -> ast.expr:
    return ast.Compare(ast.Name("CMT"), [ast.Eq()], [ast.Constant(cmt)])


def omega_records(program: Program) -> list[str]:
    """$OMEGA: one record an eta, one BLOCK where etas covary."""
    records, first = [], 0
    for block in program.blocks:
        labels = [ascii_text(program.etas[first + k]) for k in range(len(block))]
        first += len(block)
        records += _block(block, labels)
    return records


def _block(block: Array, labels: list[str]) -> list[str]:
    if len(block) == 1:
        return [f"$OMEGA {repr(float(block[0, 0])).upper()} ; {labels[0]}"]
    rows = [f" {' '.join(repr(float(v)).upper() for v in row[: k + 1])} ; {labels[k]}" for k, row in enumerate(block)]
    return [f"$OMEGA BLOCK({len(block)})", *rows]
