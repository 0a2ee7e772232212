"""What one analysis and its report promise, on a real neonate's regimen under a published model (one compartment: fast)."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from statistics import NormalDist
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auctor.analysis import Analysis, analyse
from auctor.case import Case, Covariates, Dose, Metric, MetricKind, Regimen, Route, Sample, Target
from auctor.dosing.candidates import OptionKind
from auctor.dosing.concordance import State
from auctor.dosing.current import current_regimen
from auctor.errors import CaseError, Notice, OutOfDomain
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.predictor import Array, Draws, Prediction
from auctor.report import as_dict, summary_table, to_html, to_json, write_html, write_json
from auctor.report.curve_svg import curve_svg
from auctor.report.shown import frequencies, parts
from auctor.report.words import interpretations

DRAWS = 400
TIMES = (12.5, 24.5, 37.0, 48.0, 60.5, 72.5, 85.3, 96.5, 108.5)


@dataclass(frozen=True)
class NomogramPlan:
    """Where the nomogram comes from, as a training plan says it."""

    name: str = "weight_nomogram"
    sha256: str = "0" * 64


@dataclass(frozen=True)
class WeightNomogram:
    """A real, tiny learner: clearance per kg with a lognormal spread; it abstains above the weights it was made from."""

    clearance_per_kg: float = 0.0047
    sd: float = 0.19
    plan: NomogramPlan = NomogramPlan()

    def predictor(self, case: Case, model: DrugModel) -> ByWeight:
        weight = case.covariates.at(0.0)["WT"]
        if weight > 2.0:
            raise OutOfDomain(where="covariates.WT", what="above the weights of the training patients", remedy="use another method")
        levels = (np.arange(DRAWS) + 0.5) / DRAWS
        spread = np.array([NormalDist(0.0, self.sd).inv_cdf(p) for p in levels])
        return ByWeight(clearance=self.clearance_per_kg * weight * np.exp(spread), point=self.clearance_per_kg * weight)


@dataclass(frozen=True)
class ByWeight:
    """Steady-state exposure by dose rate over clearance."""

    clearance: Array
    point: float
    name: str = "Machine learning"
    notices: tuple[Notice, ...] = ()

    def predict(self, regimen: Regimen, times_h: Array) -> Prediction:
        raise OutOfDomain(where="ml", what="exposure only", remedy="use MAP")

    def exposure(self, regimen: Regimen, metric: Metric) -> Draws:
        factor = regimen.daily_mg / 24 * (metric.stop_h - metric.start_h if metric.kind is MetricKind.AUC else 1.0)
        return Draws(values=factor / self.clearance, point=factor / self.point)


def neonate(**changes: Any) -> Case:
    doses = [Dose(time_h=0, amount_mg=25, route=Route.IV), *(Dose(time_h=t, amount_mg=3.5, route=Route.IV) for t in TIMES)]
    case = Case(
        label="Neonate 1",
        drug="phenobarbital",
        history=Regimen(doses=tuple(doses)),
        samples=(Sample(time_h=2.0, value=17.3), Sample(time_h=112.5, value=31.0), Sample(time_h=60.0, value=12.0, used=False)),
        covariates=Covariates.constant({"WT": 1.4, "APGR": 7}),
    )
    return replace(case, **changes)


@pytest.fixture(scope="module")
def model() -> DrugModel:
    return read_model("phenobarbital_grasela_1985")


@pytest.fixture(scope="module")
def analysis(model: DrugModel) -> Analysis:
    return analyse(neonate(), model, learner=WeightNomogram(), n_draws=DRAWS)


@pytest.fixture(scope="module")
def page(analysis: Analysis) -> str:
    return to_html(analysis)


class Links(HTMLParser):
    """Collects everything that could make a browser ask for something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.requests: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.requests += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "srcset", "action", "data", "poster", "style")]


def links(page: str) -> Links:
    parser = Links()
    parser.feed(page)
    return parser


# --- the analysis -------------------------------------------------------------------------------------------------------


def test_four_methods_answer_in_order(analysis: Analysis) -> None:
    assert [m.key for m in analysis.methods] == ["a_priori", "map", "posterior", "ml"]
    assert all(m.recommendation is not None and not m.abstained for m in analysis.methods)


def test_the_a_priori_exposure_is_the_closed_form_of_the_typical_patient(analysis: Analysis) -> None:
    """Cavg at steady state = dose / (interval * CL), CL = 0.0047 L/h/kg * 1.4 kg."""
    now = analysis.method("a_priori").reference
    assert now is not None and now.exposure is not None
    assert now.exposure.point == pytest.approx(3.5 / 12 / (0.0047 * 1.4), rel=1e-6)


def test_map_and_posterior_are_narrower_than_the_prior(model: DrugModel) -> None:
    """By 8 %: 4,000 draws, since the width from 400 of them varies by 5 %."""
    widths, closer = {}, analyse(neonate(), model, n_draws=4000)
    for key in ("a_priori", "map", "posterior"):
        found = closer.method(key).reference
        assert found is not None and found.interval90 is not None
        widths[key] = found.interval90[1] - found.interval90[0]
    assert widths["map"] < widths["a_priori"] and widths["posterior"] < widths["a_priori"]


def test_the_a_priori_prediction_of_each_sample_is_the_sum_of_its_doses(analysis: Analysis) -> None:
    clearance, volume = 0.0047 * 1.4, 0.96 * 1.4
    for row in analysis.samples:
        given = [(0.0, 25.0), *((t, 3.5) for t in TIMES if t < row.time_h)]
        expected = sum(mg / volume * np.exp(-clearance / volume * (row.time_h - t)) for t, mg in given)
        assert row.pred == pytest.approx(expected, rel=1e-6)


def test_each_sample_has_its_time_after_dose_percentile_and_residual(analysis: Analysis) -> None:
    first, second, unused = analysis.samples
    assert (first.after_dose_h, second.after_dose_h) == (2.0, pytest.approx(4.0))
    assert first.percentile is not None and 5 < first.percentile < 95
    assert second.iwres == pytest.approx((31.0 - second.ipred) / (0.115 * second.ipred)) if second.ipred else False
    assert not unused.used and unused.percentile is not None and unused.percentile < 5


def test_the_current_regimen_is_derived_from_equal_regular_doses_and_has_to_be_confirmed(analysis: Analysis) -> None:
    assert analysis.current is not None
    assert (analysis.current.dose_mg, analysis.current.every_h) == (3.5, 12.0)
    assert "current-derived" in {n.code for n in analysis.notices}


def test_irregular_doses_give_no_current_regimen() -> None:
    doses = tuple(Dose(time_h=t, amount_mg=3.5, route=Route.IV) for t in (0.0, 12.0, 31.0))
    found, notices = current_regimen(neonate(history=Regimen(doses=doses)), intervals_h=(12.0, 24.0))
    assert found is None and [n.code for n in notices] == ["current-unknown"] and notices[0].blocks_signing


def test_the_cases_own_current_regimen_is_never_replaced() -> None:
    own = Regimen.steady(5.0, every_h=24, route=Route.IV)
    assert current_regimen(neonate(current=own)) == (own, ())


def test_current_and_hold_are_in_every_column(analysis: Analysis) -> None:
    for method in analysis.methods:
        assert method.recommendation is not None
        assert [f.option.kind for f in method.recommendation.forecasts[:2]] == [OptionKind.CURRENT, OptionKind.HOLD]


def test_the_curve_covers_the_samples_and_a_forecast_of_at_least_a_day(analysis: Analysis) -> None:
    curve = analysis.curve
    assert curve.times_h[0] <= 0.0 and curve.times_h[-1] >= 112.5 + 24
    assert curve.forecast_from_h == 112.5
    assert np.all(curve.prior.q05 <= curve.prior.q50) and np.all(curve.prior.q50 <= curve.prior.q95)
    assert curve.posterior is not None and np.all(np.isfinite(curve.posterior.q95))


def test_the_forecast_goes_on_with_the_current_regimen_when_it_is_due(analysis: Analysis) -> None:
    planned = [(t, mg) for t, mg in analysis.curve.doses if t > 112.5]
    assert planned == [(120.5, 3.5), (132.5, 3.5)]


def test_a_method_that_abstains_shows_its_reason_and_makes_the_methods_disagree(model: DrugModel) -> None:
    heavy = neonate(covariates=Covariates.constant({"WT": 3.0, "APGR": 7}))
    found = analyse(heavy, model, learner=WeightNomogram(), n_draws=DRAWS)
    assert found.method("ml").abstained == "covariates.WT: above the weights of the training patients"
    assert found.concordance.state is State.DISAGREE
    text = to_html(found)
    assert "no regimen is preselected, because the methods disagree" in text
    assert "methods-disagree" in {n.code for n in found.blocking}
    assert 'class="selected"' not in text


def test_a_patient_outside_the_population_is_flagged_and_puts_every_method_in_doubt(model: DrugModel) -> None:
    found = analyse(neonate(covariates=Covariates.constant({"WT": 9.0, "APGR": 7})), model, n_draws=DRAWS)
    assert "outside-domain" in {n.code for n in found.notices}
    assert all("covariates.WT" in m.doubt for m in found.methods)
    assert found.concordance.state is State.DISAGREE


def test_without_a_sample_only_the_a_priori_column_answers(model: DrugModel) -> None:
    found = analyse(neonate(samples=()), model, n_draws=DRAWS)
    assert found.method("map").abstained.startswith("no usable sample")
    assert found.curve.posterior is None and found.samples == ()
    assert "no level to judge" in interpretations(found)[0].text
    assert "<svg" in to_html(found)


def test_a_level_the_model_cannot_explain_blocks_signing(model: DrugModel) -> None:
    odd = neonate(samples=(Sample(time_h=2.0, value=17.3), Sample(time_h=3.0, value=90.0), Sample(time_h=112.5, value=31.0)))
    found = analyse(odd, model, n_draws=DRAWS)
    assert {"bad-fit", "unexpected-level"} <= {n.code for n in found.notices}
    assert any("bad fit" in reason for reason in found.concordance.reasons)


def test_a_missing_covariate_uses_the_reference_visibly(model: DrugModel) -> None:
    found = analyse(neonate(covariates=Covariates.constant({"WT": 1.4})), model, n_draws=DRAWS)
    assert found.defaults == ("APGR",)
    assert "default used" in to_html(found)
    assert any(n.code == "default-used" and n.blocks_signing for n in found.notices)


def test_per_kg_doses_are_never_computed_from_an_assumed_weight(model: DrugModel) -> None:
    found = analyse(neonate(covariates=Covariates.constant({"APGR": 7})), model, n_draws=DRAWS)
    assert {o.kind for o in found.options} == {OptionKind.CURRENT, OptionKind.HOLD}
    assert "no-candidates" in {n.code for n in found.notices}


def test_no_target_anywhere_is_refused(model: DrugModel) -> None:
    with pytest.raises(CaseError, match="target"):
        analyse(neonate(), replace(model, targets=()), n_draws=DRAWS)


def test_a_draft_model_blocks_signing_and_its_questions_are_printed(analysis: Analysis, page: str) -> None:
    assert "model-status" in {n.code for n in analysis.blocking}
    assert "The residual error is not in the abstract" in page


# --- result.json --------------------------------------------------------------------------------------------------------


def walk(value: Any) -> Any:
    yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        yield from walk(one)


def test_the_same_input_gives_the_same_bytes(model: DrugModel, analysis: Analysis, page: str) -> None:
    again = analyse(neonate(), model, learner=WeightNomogram(), n_draws=DRAWS)
    assert to_json(again) == to_json(analysis)
    assert to_html(again) == page


def test_the_written_file_is_sorted_finite_and_names_its_versions(analysis: Analysis, tmp_path: Path) -> None:
    text = write_json(analysis, tmp_path / "result.json").read_text(encoding="utf-8")
    found = json.loads(text)
    assert text == json.dumps(found, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    assert found["schema"] == 1 and found["auctor"]
    assert found["model"]["sha256"] == analysis.model.sha256 and len(found["model"]["sha256"]) == 64
    assert found["learner"] == {"plan": "weight_nomogram", "sha256": "0" * 64}
    assert found["signing_blocked"] is True


def test_floats_are_rounded_to_eight_significant_digits(analysis: Analysis) -> None:
    floats = [v for v in walk(as_dict(analysis)) if isinstance(v, float)]
    assert len(floats) > 1000
    assert all(v == float(f"{v:.8g}") for v in floats)


def test_every_quantity_has_its_unit(analysis: Analysis) -> None:
    found = as_dict(analysis)
    quantities = [v for v in walk(found) if isinstance(v, dict) and "value" in v]
    assert len(quantities) > 50 and all(isinstance(q["unit"], str) and q["unit"] for q in quantities)
    assert found["methods"]["map"]["current"]["exposure"]["unit"] == "mg/L"


def test_nothing_of_the_machine_or_the_clock_is_in_the_result(analysis: Analysis, page: str) -> None:
    for text in (to_json(analysis), page):
        assert str(Path.home()) not in text and str(Path(__file__).parents[2]) not in text
        assert not re.search(r"20[2-9]\d-\d\d-\d\dT", text)


def test_the_shares_of_each_candidate_add_to_one(analysis: Analysis) -> None:
    for method in as_dict(analysis)["methods"].values():
        for candidate in method["candidates"]:
            assert sum(candidate["share"][k] for k in ("below", "in", "above")) == pytest.approx(1.0, abs=1e-6)


# --- report.html --------------------------------------------------------------------------------------------------------


def test_the_page_asks_nothing_of_the_network_and_runs_no_script(page: str) -> None:
    found = links(page)
    assert "script" not in found.tags and "link" not in found.tags and "img" not in found.tags
    assert found.requests == []
    assert "@import" not in page and not re.search(r"url\((?!#)", page)
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page


def test_the_page_says_what_it_is_and_is_not(page: str) -> None:
    for words in ("UNSIGNED", "Research software, not a medical device", 'lang="en"', "not independent evidence", "Laplace"):
        assert words in page


def test_the_four_interpretations_are_there(analysis: Analysis, page: str) -> None:
    assert [t.name for t in interpretations(analysis)] == ["Expectedness", "Suitability", "Prediction", "Remonitoring"]
    assert all(f"<h3>{t.name}</h3>" in page and t.text for t in interpretations(analysis))


def test_a_patient_label_is_escaped(analysis: Analysis) -> None:
    evil = replace(analysis, case=replace(analysis.case, label="<script>alert(1)</script>"))
    assert "<script" not in to_html(evil)
    assert "&lt;script&gt;" in to_html(evil)


def test_every_table_has_a_caption_and_scoped_headings(page: str) -> None:
    assert page.count("<table") == page.count("<caption") >= 4
    assert not re.search(r"<th(?![^>]*scope=)[ >]", page)


def test_text_colours_have_enough_contrast() -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1 for text, against the darkest light background of the page."""
    import auctor.report

    css = (Path(auctor.report.__file__).parent / "report.css").read_text(encoding="utf-8")
    colours = set(re.findall(r"[{;\s]color: (#[0-9a-f]{6});", css))
    assert len(colours) >= 4
    assert min(contrast(colour, "#e8f2fb") for colour in colours) >= 4.5
    assert contrast("#ffffff", "#5b1a12") >= 4.5


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


# --- the curve ----------------------------------------------------------------------------------------------------------

SVG = "{http://www.w3.org/2000/svg}"


def test_the_chart_is_well_formed_and_described(analysis: Analysis) -> None:
    root = ElementTree.fromstring(curve_svg(analysis))
    assert root.find(f"{SVG}title") is not None and root.find(f"{SVG}desc") is not None
    assert {"prior-90", "prior-50", "prior-median", "post-90", "post-50", "post-median"} <= {e.get("class") for e in root.iter()}


def test_the_chart_has_each_sample_and_dose_once_and_unused_samples_hollow(analysis: Analysis) -> None:
    root = ElementTree.fromstring(curve_svg(analysis))
    dots = [e for e in root.iter(f"{SVG}circle") if e.get("class") == "sample"]
    assert [dot.get("fill") == "#ffffff" for dot in dots] == [not row.used for row in analysis.samples]
    marks = [e for e in root.iter(f"{SVG}path") if e.get("class") == "dose"]
    assert len(marks) == len(analysis.curve.doses)
    assert sum(mark.get("fill") == "#ffffff" for mark in marks) == 2


def test_the_target_band_is_drawn_only_for_a_concentration(analysis: Analysis) -> None:
    auc = replace(analysis, target=Target(metric=Metric.parse("AUC0-24"), low=360, high=960, source="test"))
    assert 'class="target"' in curve_svg(analysis)
    assert 'class="target"' not in curve_svg(auc)


def test_numbers_and_text_of_the_terminal_table(analysis: Analysis) -> None:
    from rich.console import Console

    console = Console(width=200, file=io.StringIO())
    console.print(summary_table(analysis))
    text = console.file.getvalue() if isinstance(console.file, io.StringIO) else ""
    assert "Posterior" in text and "Cavg0-24" in text and "not a medical device" in text


def test_a_whole_report_can_be_written(analysis: Analysis, tmp_path: Path) -> None:
    assert write_html(analysis, tmp_path / "report.html").stat().st_size > 20_000


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ((0.65, 0.23, 0.12), ("7 of 10", "2 of 10", "1 of 10")),  # rounded one by one they would be 6, 2 and 1 of 10
        ((0.0, 0.98, 0.02), ("0 of 10", "more than 9 of 10", "fewer than 1 of 10")),
        ((0.0, 0.0, 1.0), ("0 of 10", "0 of 10", "10 of 10")),
        ((0.35, 0.35, 0.3), ("4 of 10", "3 of 10", "3 of 10")),
    ],
)
def test_risk_is_said_in_natural_frequencies_that_add_up(shares: tuple[float, ...], words: tuple[str, ...]) -> None:
    assert frequencies(shares) == words


@given(st.lists(st.integers(0, 4000), min_size=3, max_size=3).filter(any), st.sampled_from([10, 100]))
def test_parts_add_up_and_none_is_a_whole_one_away(counts: list[int], whole: int) -> None:
    shares = [n / sum(counts) for n in counts]
    found = parts(shares, whole)
    assert sum(found) == whole
    assert all(abs(n - whole * share) < 1 + 1e-6 and n >= 0 for n, share in zip(found, shares, strict=True))
