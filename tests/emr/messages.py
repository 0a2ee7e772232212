"""HL7 v2 messages of an invented hospital, and its site file: what the tests and the mutation benchmark start from."""

from __future__ import annotations

from auctor.fhir.v2.site import LocalCode, Site

SITE = Site(
    time_zone="Europe/Paris",
    authorities=["HOSP", "1.2.250.1"],
    charset="8859/1",
    units={"ng/ml WB": "ng/mL"},
    routes={"PERF": "iv"},
    codes=[
        LocalCode(system="LN", code="11253-2", level="tacrolimus", matrix="whole blood"),
        LocalCode(system="LN", code="4092-3", level="vancomycin", matrix="serum", label="trough"),
        LocalCode(system="99LAB", code="TACRO", level="tacrolimus", matrix="whole blood"),
        LocalCode(system="LN", code="29463-7", covariate="WT"),
        LocalCode(system="LN", code="14682-9", covariate="SCR"),
        LocalCode(system="99PHA", code="VANCO", drug="vancomycin"),
        LocalCode(system="99PHA", code="TACRO", drug="tacrolimus"),
    ],
)
PID = "PID|1||123456^^^HOSP^MR~98^^^OTHER^SS||Doe^Jane||19700101|F"


def message(*segments: str) -> bytes:
    return ("\r".join(segments) + "\r").encode()


def msh(event: str, control: str = "M1", *, sent: str = "20260302101500+0100", **fields: str) -> str:
    """An MSH; `fields` are f3, f11, f12, f15, f16, f18."""
    structure = {"ORU^R01": "ORU_R01", "RAS^O17": "RAS_O17"}.get(event, "")
    found = {3: "LAB", 4: "HOSP", 5: "AUCTOR", 6: "HOSP", 7: sent, 9: f"{event}^{structure}", 10: control, 11: "P", 12: "2.5.1"}
    found |= {int(name[1:]): value for name, value in fields.items()}
    return "MSH|^~\\&|" + "|".join(found.get(n, "") for n in range(3, 19)).rstrip("|")


def obx(value: str = "6.8", *, kind: str = "NM", code: str = "11253-2^Tacrolimus^LN", unit: str = "ng/mL^^UCUM", **fields: str) -> str:
    """An OBX; `fields` are f4, f11, f14, f17, f18."""
    found = {1: "1", 2: kind, 3: code, 5: value, 6: unit, 11: "F", 14: "20260302074500+0100"}
    found |= {int(name[1:]): value for name, value in fields.items()}
    return "OBX|" + "|".join(found.get(n, "") for n in range(1, 20)).rstrip("|")


def oru(*results: str, head: str = "", pid: str = PID, obr: str = "OBR|1|P1^EHR|F1^LAB|LEVEL^Level^99LAB|||20260302074000+0100") -> bytes:
    return message(head or msh("ORU^R01"), pid, "ORC|RE|P1^EHR|F1^LAB", obr, *(results or (obx(),)))


def rxa(start: str = "20260302080000+0100", stop: str = "20260302090000+0100", **fields: str) -> str:
    """An RXA of 1000 mg vancomycin; `fields` are f1, f2, f5, f6, f7, f12, f13, f14, f20, f21, f23, f24."""
    found = {1: "0", 2: "1", 3: start, 4: stop, 5: "VANCO^Vancomycin^99PHA", 6: "1000", 7: "mg^^UCUM", 20: "CP", 21: "A"}
    found |= {int(name[1:]): value for name, value in fields.items()}
    return "RXA|" + "|".join(found.get(n, "") for n in range(1, 25)).rstrip("|")


def ras(*given: str, head: str = "", rxr: str = "RXR|IV^Intravenous^HL70162", orc: str = "ORC|RE|P9^EHR|F9^PHA") -> bytes:
    segments = [segment for one in (given or (rxa(),)) for segment in (one, *([rxr] if rxr else []))]
    return message(head or msh("RAS^O17"), PID, orc, *segments)
