"""The application in a real Chromium: a whole case by keyboard, no violation of the policy, WCAG 2.2 AA, laptop and phone."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from auctor.fhir.cds.cards import Card, Coding, Indicator
from auctor.fhir.cds.request import Verdict
from auctor.web.accounts.actor import Actor, Role
from auctor.web.accounts.passwords import hashed
from auctor.web.service.feedback import keep_feedback, keep_shown
from auctor.web.store.tables import Account, AccountWard
from web_site import INSTALLER, KIDNEY, LATE_TROUGH, PASSWORD, Opened, Site, add, case, make_site

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")]
LAPTOP, ZOOMED = {"width": 1366, "height": 768}, {"width": 320, "height": 256}  # the second: 1280x1024 at 400 %
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
EHR = Actor(account_id=None, login="cds:test", roles=frozenset({Role.VIEWER}), wards=frozenset(), channel="fhir")
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (e) => window.violations.push(e.violatedDirective + " " + e.blockedURI));
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The application on a port of this machine, served by the real server."""
    import uvicorn

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = make_site(tmp_path_factory.mktemp("site"), port=port)
    server = uvicorn.Server(uvicorn.Config(found.app, host="127.0.0.1", port=port, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield found
    server.should_exit = True
    thread.join(10)
    found.app.state.store.close()


@pytest.fixture(scope="module")
def opened(site: Site) -> Opened:
    """A trough that does not add up: findings stand on its pages."""
    return case(site.client("ada"), family="Kidney", identifier="K-7", drug="tacrolimus", entries=LATE_TROUGH)


@dataclass
class Tab:
    """A page of a browser with what went wrong on it."""

    page: Any
    origin: str
    wrong: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        self.page.goto(self.origin + path)
        self.page.wait_for_load_state("load")
        if self.page.locator("#interactive").count():
            self.page.wait_for_selector("#interactive canvas")

    def violations(self) -> list[str]:
        found: list[str] = self.page.evaluate("window.violations")
        return found


def new_tab(context: Any, site: Site) -> Tab:
    page = context.new_page()
    page.add_init_script(WATCH)
    tab = Tab(page=page, origin=site.origin)
    page.on("pageerror", lambda error: tab.wrong.append(str(error)))
    page.on("console", lambda said: tab.wrong.append(said.text) if said.type == "error" else None)
    page.on("request", lambda asked: None if asked.url.startswith((site.origin, "data:")) else tab.wrong.append(asked.url))
    return tab


def sign_in(tab: Tab, login: str = "ada") -> None:
    tab.page.goto(f"{tab.origin}/sign-in")
    tab.page.fill("[name=login]", login)
    tab.page.fill("[name=password]", PASSWORD)
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url("**/work")


@pytest.fixture
def tab(chromium: Any, site: Site) -> Iterator[Tab]:
    context = chromium.new_context(viewport=LAPTOP, locale="en-GB", timezone_id="America/New_York")
    found = new_tab(context, site)
    sign_in(found)
    yield found
    context.close()


# --- a whole case by keyboard -------------------------------------------------------------------------------------------


def press_to(page: Any, selector: str, *, most: int = 150) -> None:
    """Tab forward until the element has the focus."""
    for _ in range(most):
        if page.evaluate("(s) => document.activeElement.matches(s)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} is not reached by Tab on {page.url}")


def fill(page: Any, **values: str) -> None:
    """Type into fields in their order by keyboard alone; a box or choice is `on`, a choice of a list its first letters."""
    for name, value in values.items():
        selector = f'[name="{name}"]'
        press_to(page, selector)
        kind = page.evaluate("() => document.activeElement.type")
        if kind == "checkbox":
            page.keyboard.press("Space")
        elif kind == "radio":
            page.keyboard.press("Space")
            while page.evaluate("() => document.activeElement.value") != value:
                page.keyboard.press("ArrowDown")
        else:
            page.keyboard.press("Control+A") if kind != "select-one" else None
            page.keyboard.type(value)


def press(page: Any, selector: str) -> None:
    """Go to a button or link by Tab and press Enter; wait for the page that follows."""
    press_to(page, selector)
    with page.expect_navigation(timeout=10_000):
        page.keyboard.press("Enter")


def test_a_new_user_finishes_a_case_from_sign_in_to_pdf_by_keyboard_alone(chromium: Any, site: Site) -> None:
    context = chromium.new_context(viewport=LAPTOP, locale="en-GB")
    tab = new_tab(context, site)
    page = tab.page
    page.goto(site.origin)
    fill(page, login="ada", password=PASSWORD)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    press(page, 'a[href="/patients"]')
    press(page, 'a[href="/patients/new"]')
    fill(page, family="Keyboard", given="Kim", identifier="KB-1", birth_date="1961-07-23", sex="female", ward="Renal")
    press(page, "main button")
    fill(page, drug="tacrolimus")
    press(page, "form[action$=courses] button")
    fill(page, model="tacrolimus_woillard_2011")
    press(page, "form[action$=model] button")
    for kind, values in KIDNEY:
        press(page, f'a[href$="add/{kind}"]')
        fill(page, **{name: "on" if value == "on" else {"oral": "by mouth"}.get(value, value) for name, value in ordered(kind, values)})
        press(page, "main form button")
        assert page.locator(".note.good[role=status]").inner_text().endswith("Saved.")
    press(page, "form[action$=analyse] button")
    assert page.locator(".card .big").count() >= 2
    press(page, "#to-sign button")
    for k in range(page.locator('[name^="reason"]').count()):
        fill(page, **{f"reason{k}": "checked with the nephrologist"})
    fill(page, password=PASSWORD)
    press(page, "main form button")
    assert "Signed" in page.locator("#signed").inner_text()
    press(page, '#signed a[href$="/report"]')
    assert "NOT SIGNED" not in page.content() and "Kim" in page.content()
    made = context.request.get(page.url + ".pdf")
    assert made.status == 200 and made.body().startswith(b"%PDF")
    assert tab.wrong == []
    context.close()


def ordered(kind: str, values: dict[str, str]) -> list[tuple[str, str]]:
    """The fields in the order in which Tab reaches them."""
    order = {
        "dose": ["amount", "amount_unit", "route", "at", "every", "steady_state"],
        "sample": ["value", "value_unit", "lloq", "at", "matrix", "assay"],
        "covariate": ["at", "c_HCT", "c_CYP3A5", "c_FORM"],
        "order": ["amount", "amount_unit", "every", "route"],
    }[kind]
    return [(name, values[name]) for name in order if name in values]


# --- every page: policy, accessibility, width ---------------------------------------------------------------------------


def paths(opened: Opened) -> dict[str, str]:
    course, result = opened.course, opened.result
    return {
        "work": "/work",
        "patients": "/patients",
        "new patient": "/patients/new",
        "patient": opened.patient,
        "audit": f"{opened.patient}/audit",
        "course": course,
        "model": f"{course}/model",
        "suspicion": f"{course}/suspicion",
        **{f"add {kind}": f"{course}/add/{kind}" for kind in ("dose", "sample", "covariate", "order", "note")},
        "sign": f"/results/{result}/sign?regimen=4%20mg%20every%2012%20h",
        "report": f"/results/{result}/report",
        "help": "/help",
        "silent": "/silent",
        "cards": "/silent/cards",
        "account": "/account",
        "refused": "/courses/nothing",
    }


def doubts(site: Site, opened: Opened) -> dict[str, str]:
    """A finding, and the entry that it doubts with what it proposes in the form."""
    asked = site.client("ada").get(f"/api/v1{opened.course}/questions").json()["items"][0]
    entry = f"{opened.course}/facts/{asked['fact']}?finding={asked['id']}"
    return {"finding": f"{opened.course}/questions/{asked['id']}", "proposal": entry}


def answered_card(site: Site) -> None:
    """One card of CDS Hooks that was overridden, for the page that counts them."""
    name, topic = "4e0a3a1e-3283-4575-ab82-028d55fe2719", Coding(system="s", code="c", display="d")
    card = Card(uuid=name, summary="s", indicator=Indicator.WARNING, source="x", topic=topic, kind="draft", drug="vancomycin")
    reason = {"code": "not-convenient-feasible"}
    keep_shown(site.app.state.clinic, EHR, "tdm-order-sign", [card])
    keep_feedback(site.app.state.clinic, EHR, "tdm-order-sign", [Verdict(card=name, accepted=False, at=datetime.now(UTC), reason=reason)])


def check_width(tab: Tab, name: str) -> None:
    wide, window = tab.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide <= window, f"{name} scrolls sideways: {wide} > {window}"


def check_rules(tab: Tab, name: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(tab.page, options=RULES).response["violations"]
    assert not found, (name, [(v["id"], [n["html"][:160] for n in v["nodes"][:3]]) for v in found])


@pytest.mark.parametrize(("scheme", "viewport", "locale"), [("light", LAPTOP, "fr-FR"), ("dark", ZOOMED, "en-GB")])
def test_every_page_keeps_the_policy_is_accessible_and_fits(
    chromium: Any, site: Site, opened: Opened, scheme: str, viewport: dict[str, int], locale: str
) -> None:
    answered_card(site)
    context = chromium.new_context(viewport=viewport, color_scheme=scheme, locale=locale)
    tab = new_tab(context, site)
    tab.page.goto(f"{site.origin}/sign-in")
    check_rules(tab, "sign-in")
    sign_in(tab)
    for name, path in (paths(opened) | doubts(site, opened)).items():
        tab.go(path)
        assert tab.violations() == [], name
        check_width(tab, name)
        check_rules(tab, name)
    assert [text for text in tab.wrong if "404" not in text] == []
    context.close()


def test_the_states_of_a_page_are_accessible_too(tab: Tab, opened: Opened) -> None:
    tab.go(f"{opened.course}/add/dose")
    tab.page.fill("#amount", "1,5")
    tab.page.evaluate("document.querySelector('main form').noValidate = true")
    tab.page.click("main form button")
    tab.page.wait_for_selector("[role=alert]")
    check_rules(tab, "refused entry")
    tab.go(opened.course)
    tab.page.fill("#dose", "4.5")
    tab.page.wait_for_selector("#what-if-answer table")
    for summary in tab.page.locator("summary").all():
        summary.click()
    check_rules(tab, "what-if and everything open")
    tab.page.check("#log-scale")
    tab.page.wait_for_selector("#interactive canvas")
    assert tab.violations() == []


def test_trusted_types_hold_and_nothing_inline_runs(tab: Tab, opened: Opened) -> None:
    tab.go(opened.course)
    tab.page.evaluate("() => { try { setTimeout('window.ran = 1'); } catch (e) {} }")
    made = "() => { const s = document.createElement('script'); try { s.text = 'window.ran = 1'; document.body.append(s); } catch (e) {} }"
    tab.page.evaluate(made)
    tab.page.wait_for_timeout(100)
    assert tab.page.evaluate("window.ran") is None
    assert tab.violations() != [], "the policy is there and says so"


def test_the_curve_is_the_servers_on_the_wards_clock_and_a_new_measurement_can_be_hidden(tab: Tab, opened: Opened) -> None:
    asked = []
    tab.page.on("response", lambda answer: asked.append(answer) if "curve.json" in answer.url else None)
    tab.go(opened.course)
    data = asked[0].json()
    assert asked[0].status == 200 and tab.page.locator("#still").is_hidden()
    assert data["zone"] == "Europe/Paris" and len(data["samples"]) == 3 and len(data["measured"]) == 2
    for shown in (True, False):
        tab.page.set_checked("#show-measured", shown)
        labels = tab.page.locator(".u-legend .u-label").all_inner_texts()
        assert ("new measurement, 90 %" in labels) is shown


def test_a_page_that_nobody_used_is_cleared_also_when_the_server_cannot_be_reached(tab: Tab, opened: Opened) -> None:
    page = tab.page
    page.clock.install()
    tab.go(opened.course)
    page.clock.fast_forward("29:00")
    assert "Kidney" in page.inner_text("body")
    page.context.set_offline(True)
    page.clock.fast_forward("01:10")
    assert page.inner_text("body").strip() == "This page was not used for a while and has been cleared. Load it again"
    assert "Kidney" not in page.content() and page.title() == "auctor"


def test_without_javascript_the_curve_and_what_if_are_there(chromium: Any, site: Site, opened: Opened) -> None:
    context = chromium.new_context(viewport=LAPTOP, java_script_enabled=False, locale="en-GB")
    page = context.new_page()
    page.goto(f"{site.origin}/sign-in")
    page.fill("[name=login]", "ada")
    page.fill("[name=password]", PASSWORD)
    page.click("main button")
    page.goto(site.origin + opened.course)
    assert page.locator("#still svg").is_visible() and page.locator("#still .measured").is_visible()
    page.uncheck("#show-measured")
    assert not page.locator("#still .measured").is_visible()
    page.fill("#dose", "4.5")
    page.click("#what-if button")
    assert "4.5 mg every 12 h" in page.locator("#what-if-answer").inner_text()
    context.close()


def test_a_signer_without_a_password_signs_with_a_passkey(chromium: Any, site: Site) -> None:
    mine = case(site.client("ada"), family="Passkey", identifier="PK-1")
    context = chromium.new_context(viewport=LAPTOP, locale="en-GB")
    tab = new_tab(context, site)
    cdp = context.new_cdp_session(tab.page)
    cdp.send("WebAuthn.enable")
    held = {"hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True, "automaticPresenceSimulation": True}
    cdp.send("WebAuthn.addVirtualAuthenticator", {"options": {"protocol": "ctap2", "transport": "internal"} | held})
    account = signer(site, "pia")
    sign_in(tab, "pia")
    tab.go("/account")
    tab.page.fill("#passkey-name", "laptop")
    tab.page.click("[data-passkey=make] button")
    tab.page.wait_for_selector("[data-passkey=make] [role=status]:not(:empty)")
    with site.app.state.store.work(INSTALLER) as work:
        work.get(Account, account).password_hash = None
        work.record("test.no_password", "account", account)
    tab.go(f"/results/{mine.result}/sign?regimen=2%20mg%20every%2012%20h")
    assert tab.page.locator("#password").count() == 0
    for k in range(tab.page.locator('[name^="reason"]').count()):
        tab.page.fill(f"#reason{k}", "checked")
    with tab.page.expect_navigation():
        tab.page.click("[data-passkey=confirm] button")
    assert "Signed" in tab.page.locator("#signed").inner_text() and tab.wrong == [] and tab.violations() == []
    context.close()


def signer(site: Site, login: str) -> str:
    """One more signer of the intensive care unit; the account's identifier."""
    with site.app.state.store.work(INSTALLER) as work:
        account = Account(login=login, name=login.title(), roles=["signer"], password_hash=hashed(PASSWORD))
        work.session.add(account)
        work.session.flush()
        work.session.add(AccountWard(account_id=account.id, ward_id="icu"))
        work.record("test.person", "account", account.id)
        return account.id


# --- never another patient ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def other(site: Site) -> Opened:
    """A second patient of the same ward, analysed like the first."""
    return case(site.client("ada"), family="Stranger", identifier="X-9", drug="tacrolimus", entries=KIDNEY)


def try_dose(tab: Tab, dose: str) -> None:
    tab.page.fill("#dose", dose)
    tab.page.wait_for_selector("#what-if-answer table, #main > .note.bad, #what-if-answer .note.bad")


def assert_only(tab: Tab, name: str, never: str) -> None:
    text = tab.page.locator("body").inner_text()
    assert never not in text and name in text


def assert_refused(tab: Tab, never: str) -> None:
    tab.page.wait_for_selector("[role=alert]")
    text = tab.page.locator("body").inner_text()
    assert never not in text and ("another patient" in text or "data changed" in text)


def key(path: str) -> str:
    return path.rsplit("/", 1)[1]


def test_two_tabs_each_keep_their_own_patient(chromium: Any, site: Site, opened: Opened, other: Opened) -> None:
    context = chromium.new_context(viewport=LAPTOP, locale="en-GB")
    one, two = new_tab(context, site), new_tab(context, site)
    sign_in(one)
    one.go(opened.course)
    two.go(other.course)
    for tab, name, never in ((one, "Kidney", "Stranger"), (two, "Stranger", "Kidney, "), (one, "Kidney", "Stranger")):
        try_dose(tab, "4.5")
        assert_only(tab, name, never)
    context.close()


@pytest.mark.parametrize(
    "mixed_up",
    [
        "([p, c]) => document.body.addEventListener('htmx:configRequest', (e) => { e.detail.path = '/courses/' + c + '/what-if/part'; })",
        "([p, c]) => { document.querySelector('#what-if [name=patient]').value = p; }",
        "([p, c]) => { document.querySelector('#what-if [name=course]').value = c; }",
        "([p, c]) => { document.body.dataset.patient = p; }",
        "([p, c]) => { document.body.dataset.course = c; }",
        "([p, c]) => { document.querySelector('#what-if [name=revision]').value = '0'.repeat(16); }",
    ],
)
def test_a_mixed_up_page_is_refused_by_the_server(tab: Tab, opened: Opened, other: Opened, mixed_up: str) -> None:
    tab.go(opened.course)
    tab.page.evaluate(mixed_up, [key(other.patient), key(other.course)])
    tab.page.fill("#dose", "4.5")
    assert_refused(tab, "Stranger")


def test_an_answer_about_another_patient_is_not_put_into_the_page(tab: Tab, opened: Opened, other: Opened) -> None:
    wrong = {"X-Auctor-Patient": key(other.patient)}
    tab.go(opened.course)
    tab.page.route("**/what-if/part*", lambda route: route.fulfill(status=200, headers=wrong, body="<p>Stranger: 9 mg</p>"))
    tab.page.fill("#dose", "4.5")
    assert_refused(tab, "Stranger")


def test_a_curve_of_another_patient_is_not_drawn(tab: Tab, opened: Opened, other: Opened) -> None:
    wrong = {"X-Auctor-Patient": key(other.patient), "content-type": "application/json"}
    tab.page.route("**/curve.json*", lambda route: route.fulfill(status=200, headers=wrong, body="{}"))
    tab.page.goto(tab.origin + opened.course)
    tab.page.wait_for_timeout(300)
    assert tab.page.locator("#interactive canvas").count() == 0 and tab.page.locator("#still svg").is_visible()


def test_back_shows_the_present_state_not_a_remembered_page(tab: Tab, site: Site) -> None:
    mine = case(site.client("ada"), family="Backman", identifier="B-0")
    tab.go(mine.course)
    tab.go("/work")
    add(site.client("ada"), mine.course, "note", {"text": "written meanwhile"})
    tab.page.go_back()
    tab.page.wait_for_load_state("load")
    assert "written meanwhile" in tab.page.locator("body").inner_text()


def test_a_decision_on_a_page_that_is_out_of_date_is_refused(tab: Tab, site: Site) -> None:
    mine = case(site.client("ada"), family="Stale", identifier="ST-0")
    tab.go(mine.course)
    add(site.client("ada"), mine.course, "sample", {"value": "20", "value_unit": "mg/L", "at": "2026-03-03 09:00", "matrix": "serum"})
    tab.page.fill("#dose", "2.5")
    assert_refused(tab, "Kidney")


def test_signing_out_elsewhere_ends_this_page_too(chromium: Any, site: Site, opened: Opened) -> None:
    context = chromium.new_context(viewport=LAPTOP, locale="en-GB")
    one, two = new_tab(context, site), new_tab(context, site)
    sign_in(one)
    one.go(opened.course)
    two.go("/work")
    with two.page.expect_navigation():
        two.page.click("form[action='/sign-out'] button")
    one.page.fill("#dose", "4.5")
    one.page.wait_for_url(re.compile("/sign-in"))
    assert "Kidney" not in one.page.locator("body").inner_text()
    context.close()
