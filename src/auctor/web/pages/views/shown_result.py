"""A stored result as the page shows it: method cards, risk index, candidates, samples, what blocks signing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from auctor.dosing.concordance import State
from auctor.report.html import BAR_WIDTH, ICONS, MOST_ROWS
from auctor.report.shown import frequencies, parts
from auctor.web.pages.engine_words import translated
from auctor.web.pages.language import N_, Language
from auctor.web.pages.views.axis import Axis

SHOWN_METHODS = ("map", "ml", "posterior")
TITLES = {"a_priori": N_("A priori"), "map": N_("MAP"), "posterior": N_("Posterior"), "ml": N_("Machine learning")}
ACTIONS = {
    "increase": N_("increase"),
    "keep": N_("keep"),
    "decrease": N_("decrease"),
    "hold": N_("hold"),
    "start": N_("start"),
}
STATES = {
    "agree": N_("The methods agree"),
    "caution": N_("Caution: the methods differ somewhat; none is preferred"),
    "disagree": N_("The methods disagree, or one cannot be trusted here: signing needs a reason"),
    "alone": N_("Only one method answered: nothing to compare"),
}


@dataclass(frozen=True)
class ShownResult:
    """One result in one language; numbers stand beside their unit."""

    result: dict[str, Any]
    language: Language
    axis: Axis

    @property
    def unit(self) -> str:
        """The unit of the exposure."""
        return str(self.result["target"]["unit"]).replace("*", "·")

    @property
    def target(self) -> str:
        """The target in one phrase."""
        goal, n = self.result["target"], self.language.number
        return f"{goal['metric']} {n(goal['low'])}–{n(goal['high'])} {self.unit}"

    @property
    def state(self) -> dict[str, Any]:
        """Concordance: a word, a sign and a sentence, so that no colour carries it alone."""
        found = self.result["concordance"]
        return {
            "name": found["state"],
            "icon": ICONS[State(found["state"])],
            "words": self.language.say(STATES[found["state"]]),
            "reasons": found["reasons"],
            "caveat": found["caveat"],
        }

    def regimen(self, option: dict[str, Any]) -> str:
        """A regimen in this language: `1000 mg every 12 h over 1 h`."""
        say, n = self.language.say, self.language.number
        if option["kind"] == "hold":
            return say("hold (no dose)")
        text = say("%(dose)s mg every %(every)s h", dose=n(option["dose"]["value"], 6), every=n(option["every"]["value"], 6))
        over = option["duration"]["value"]
        return f"{text} {say('over %(hours)s h', hours=n(over))}" if over else text

    @cached_property
    def cards(self) -> list[dict[str, Any]]:
        """MAP, machine learning and posterior side by side."""
        return [self._card(key) for key in SHOWN_METHODS if key in self.result["methods"]]

    @cached_property
    def preferred(self) -> dict[str, Any]:
        """The method whose candidates are tabulated."""
        return dict(self.result["methods"][self.result["preferred"]])

    @property
    def preferred_title(self) -> str:
        """Its name."""
        return self.language.say(TITLES[self.result["preferred"]])

    @property
    def now(self) -> dict[str, Any] | None:
        """Exposure and risk under the current regimen; None where it is not known."""
        found = self.preferred["current"]
        return None if found is None or "exposure" not in found else self.forecast(found)

    @property
    def then(self) -> dict[str, Any] | None:
        """The same for the preselected regimen, only where the methods do not contradict each other."""
        label = self.result["preselected"]
        found = next((c for c in self.preferred["candidates"] if c["option"]["label"] == label), None)
        return None if found is None or "exposure" not in found else self.forecast(found)

    def forecast(self, found: dict[str, Any]) -> dict[str, Any]:
        """One regimen's exposure and its shares, as texts and as a bar."""
        exposure, share, n = found["exposure"], found["share"], self.language.number
        three = [share[k] for k in ("below", "in", "above")]
        below, inside, above = (translated(words, self.language)[0] for words in frequencies(three))
        low, high = exposure["interval90"]
        return {
            "regimen": self.regimen(found["option"]),
            "median": n(exposure["median"]),
            "interval": f"{n(low)}–{n(high)}",
            "unit": self.unit,
            "below": below,
            "inside": inside,
            "above": above,
            "percent": parts(three, 100),
            "bar": _bar(share),
            "confirm": bool(found.get("needs_confirmation")),
            "over_cap": bool(found["option"]["over_cap"]),
        }

    @cached_property
    def candidates(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Current, hold, what a method selects and the likeliest; then the others. Order: daily dose, interval."""
        every = sorted(self.preferred["candidates"], key=lambda c: (c["option"]["daily"]["value"], c["option"]["every"]["value"]))
        picked = {m["recommendation"]["selected"] for m in self.result["methods"].values() if m["recommendation"]}
        must = [c["option"]["label"] for c in every if c["option"]["kind"] != "offered" or c["option"]["label"] in picked]
        rest = sorted((c for c in every if c["option"]["label"] not in must), key=lambda c: -c.get("share", {"in": 0.0})["in"])
        keep = {*must, *(c["option"]["label"] for c in rest[: max(0, MOST_ROWS - len(must))])}
        rows = [(c["option"]["label"] in keep, self._candidate(c)) for c in every]
        return [row for kept, row in rows if kept], [row for kept, row in rows if not kept]

    def _candidate(self, found: dict[str, Any]) -> dict[str, Any]:
        label = found["option"]["label"]
        shown = self.forecast(found) if "exposure" in found else None
        return {
            "label": label,
            "regimen": self.regimen(found["option"]),
            "kind": found["option"]["kind"],
            "over_cap": bool(found["option"]["over_cap"]),
            "selected": label == self.result["preselected"],
            "by": [self.language.say(TITLES[key]) for key, m in self.result["methods"].items() if key != "a_priori" and _selects(m, label)],
            "shown": shown,
            "abstained": found.get("abstained", ""),
        }

    def _card(self, key: str) -> dict[str, Any]:
        method, say, n = self.result["methods"][key], self.language.say, self.language.number
        current, found = method["current"], method["recommendation"]
        card: dict[str, Any] = {"key": key, "title": say(TITLES[key]), "abstained": method["abstained"], "doubt": method["doubt"]}
        card |= {"how": method["how"], "explained": method["explained"], "now": None, "delta": "", "action": "", "selected": ""}
        if current is not None and "exposure" in current:
            low, high = current["exposure"]["interval90"]
            card["now"] = {"point": n(current["exposure"]["point"]), "interval": f"{n(low)}–{n(high)}"}
            card["delta"] = self._delta(key, float(current["exposure"]["point"]))
        if found is not None:
            card["action"] = say(ACTIONS[found["action"]]) if found["action"] else ""
            picked = next((c for c in method["candidates"] if c["option"]["label"] == found["selected"]), None)
            card["selected"] = self.regimen(picked["option"]) if picked else ""
        return card

    def _delta(self, key: str, point: float) -> str:
        """Difference to MAP in per cent."""
        base = self.result["methods"]["map"]["current"]
        if key == "map" or base is None or "exposure" not in base or not base["exposure"]["point"]:
            return ""
        return f"{100 * (point / base['exposure']['point'] - 1):+.0f} %"

    @cached_property
    def samples(self) -> list[dict[str, Any]]:
        """The samples against the model."""
        return [self._sample(k, row) for k, row in enumerate(self.result["samples"], start=1)]

    def _sample(self, number: int, row: dict[str, Any]) -> dict[str, Any]:
        n = self.language.number
        value, percentile = row["observed"], row["a_priori_percentile"]
        limit = (
            f"< {n(row['lloq']['value'])}" if row["below_lloq"] and row["lloq"] else f"> {n(row['uloq']['value'])}" if row["uloq"] else "–"
        )
        return {
            "number": number,
            "time": self.language.moment(self.axis.at(row["time"]["value"])),
            "after": "–" if row["after_dose"] is None else n(row["after_dose"]["value"]),
            "value": n(value["value"]) if value else limit,
            "unit": (value or row["lloq"] or row["uloq"] or {"unit": ""})["unit"],
            "pred": n(row["pred"]["value"] if row["pred"] else None),
            "ipred": n(row["ipred"]["value"] if row["ipred"] else None),
            "percentile": "–" if percentile is None else f"{percentile['value']:.0f}",
            "odd": percentile is not None and not 5 <= percentile["value"] <= 95,
            "iwres": "–" if row["iwres"] is None else self.language.local(f"{row['iwres']['value']:+.2f}"),
            "used": row["used"],
            "reason": row["reason"],
        }

    @property
    def blocking(self) -> list[dict[str, Any]]:
        """Notices that need a resolution or a written reason, each with the name its reason is filed under."""
        return [{**n, "key": f"{n['code']}@{n['where']}"} for n in self.result["notices"] if n["blocks_signing"]]

    @property
    def carried(self) -> list[dict[str, Any]]:
        """The other notices."""
        return [n for n in self.result["notices"] if not n["blocks_signing"]]


def _selects(method: dict[str, Any], label: str) -> bool:
    found = method["recommendation"]
    return found is not None and found["selected"] == label


def _bar(share: dict[str, float]) -> list[dict[str, Any]]:
    left, pieces = 0.0, []
    for kind in ("below", "in", "above"):
        pieces.append({"kind": kind, "x": round(left, 1), "width": round(BAR_WIDTH * share[kind], 1)})
        left += BAR_WIDTH * share[kind]
    return pieces
