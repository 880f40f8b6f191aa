"""Tests the pages for operators in a real browser.

Usage: test_page.py EXAMPLE [FOLDER]

EXAMPLE is the built example `directory`, which serves a made-up fleet on loopback. Screenshots go to FOLDER, or to a new one.
"""

import contextlib
import io
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from os import geteuid
from urllib.parse import urlsplit

import zxingcpp
from PIL import Image
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import expect, sync_playwright

POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
PAGES = [
    "/",
    "/clients",
    "/clients?state=suspended&label=site%3Doslo",
    "/clients/add",
    f"/clients/add?key={'09' * 32}",
    "/clients/import",
    "/refused",
    "/tokens",
    "/tokens?all=true",
    "/keys",
    "/keys/rotate",
    "/audit",
    "/audit?action=added",
]
HOSTILE = "<script>alert(1)</script>"
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 320, "height": 640}
WIDTHS = [390, 820, 1280]

# Each text with less contrast to what is behind it than WCAG 2 asks for (level AA).
LOW_CONTRAST = """() => {
    const channels = color => color.match(/[0-9.]+/g).map(Number);
    const luminance = ([r, g, b]) => [r, g, b].map(value => value / 255)
        .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
    const background = element => {
        for (let at = element; at; at = at.parentElement) {
            const color = channels(getComputedStyle(at).backgroundColor);
            if (color.length === 3 || color[3] === 1) return color;
        }
        return [255, 255, 255];
    };
    const found = [];
    for (const element of document.querySelectorAll('body *')) {
        const has_text = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
        if (!has_text && !element.matches('input, textarea, select')) continue;
        const pair = [luminance(channels(getComputedStyle(element).color)), luminance(background(element))];
        const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
        if (ratio < 4.5) found.push(`${element.tagName} ${element.className} ${element.textContent.trim()}: ${ratio.toFixed(2)}`);
    }
    return found;
}"""

UNLABELLED = """() => [...document.querySelectorAll('input, select, textarea')]
    .filter(field => field.type !== 'hidden' && !field.labels.length).map(field => field.outerHTML)"""


class Directory:
    """The example, while it runs."""

    def __init__(self, program):
        self.process = subprocess.Popen([program], stdout=subprocess.PIPE, text=True)
        printed = {}
        while "token" not in printed:
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit(f"{program} ended early")
            name, value = line.split(":", 1)
            printed[name] = value.strip()
        self.origin = printed["admin"]
        self.credentials = {"username": printed["name"], "password": printed["token"]}

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=30)


class Session:
    """A browser that an operator has opened, watched all the time."""

    def __init__(self, browser, directory, **options):
        options = {"viewport": DESKTOP, **options}
        self.origin, self.credentials = directory.origin, directory.credentials
        options = {"http_credentials": directory.credentials, **options}
        self.context = browser.new_context(base_url=directory.origin, ignore_https_errors=True, **options)
        self.context.set_default_timeout(15_000)
        self.complaints = []
        self.context.on("request", self._check_request)
        self.context.on("response", self._check_response)
        self.context.on("console", self._check_console)
        self.context.on("dialog", self._check_dialog)
        self.context.on("weberror", lambda error: self.complaints.append(f"error: {error.error}"))
        self.page = self.context.new_page()

    def close(self):
        self.context.close()
        assert not self.complaints, self.complaints

    def _check_request(self, request):
        parts = urlsplit(request.url)
        host = parts.netloc.rpartition("@")[2]
        if f"{parts.scheme}://{host}" != self.origin:
            self.complaints.append(f"another origin: {host}")

    def _check_response(self, response):
        headers = response.headers
        if headers.get("content-security-policy") != POLICY or headers.get("cache-control") != "no-store":
            self.complaints.append(f"headers of {response.url}: {headers}")

    def _check_console(self, message):
        # The first answer asks for the credential, and a test may ask for what is not there.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.complaints.append(f"console: {message.text}")

    def _check_dialog(self, dialog):
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()


def names(page):
    return page.locator("tbody th a").all_inner_texts()


def search(page, text="", state=""):
    page.goto("/clients")
    page.get_by_label("Name, label or key").fill(text)
    if state:
        page.get_by_text("Filter", exact=True).click()
        page.get_by_label("State", exact=True).select_option(state)
    page.get_by_role("button", name="Search").click()


def open_client(page, name):
    search(page, name)
    page.get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def tab_to(page, text, limit=120):
    """Presses the tab key until the focus is on what has this text, and sees that each step shows where it is."""
    for _ in range(limit):
        page.keyboard.press("Tab")
        label, outline = page.evaluate(
            """() => { const at = document.activeElement, style = getComputedStyle(at);
            return [at.labels?.[0]?.textContent ?? at.textContent, style.outlineStyle + ' ' + style.outlineWidth]; }"""
        )
        if label.strip() == text:
            assert outline == "solid 3px", outline
            return
    raise AssertionError(f"the tab key does not lead to {text!r}")


def test_fleet_is_listed_in_pages(session):
    page, seen = session.page, []
    page.goto("/clients")
    expect(page.get_by_text("50 of 123 clients")).to_be_visible()
    expect(page).to_have_title("Clients – PSSST directory")
    while True:
        seen += names(page)
        following = page.get_by_role("link", name="Next page")
        if not following.count():
            break
        following.click()
    assert len(seen) == 123 and seen == sorted(seen), seen
    page.get_by_role("link", name="First page").click()
    assert names(page) == seen[:50]


def test_fleet_is_searched(session):
    page = session.page
    search(page, "GAUGE-01")
    assert all(re.fullmatch("gauge-01[0-9]", name) for name in names(page)) and names(page), names(page)
    search(page, "site=oslo", "suspended")
    assert all(state == "suspended" for state in page.locator("tbody .badge").all_inner_texts())
    search(page, state="revoked")
    assert len(names(page)) == 1
    search(page, "nobody & <nothing>")
    expect(page.get_by_text("No client matches.")).to_be_visible()
    assert page.get_by_label("Name, label or key").input_value() == "nobody & <nothing>"
    page.get_by_role("link", name="Show all clients").click()
    assert len(names(page)) == 50
    page.get_by_role("link", name="site=oslo").first.click()
    assert page.get_by_label("Label", exact=True).input_value() == "site=oslo"
    expect(page.locator("summary")).to_have_text("Filter: label site=oslo")
    assert page.locator("tbody tr").count() == page.get_by_role("link", name="site=oslo").count() > 30
    search(page, "pump-001")
    assert page.locator("tbody .badge").all_inner_texts() == ["enrolled", "expired"]


def test_client_is_revoked_after_a_question(session):
    page = session.page
    open_client(page, "valve-006")
    page.get_by_role("link", name="Revoke").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Revoke valve-006?")
    page.get_by_role("link", name="Cancel").click()
    assert page.locator("dd .badge").inner_text() == "enrolled"
    page.get_by_role("link", name="Revoke").click()
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("status")).to_have_text("The client is revoked.")
    assert page.locator("dd .badge").inner_text() == "revoked"
    assert page.locator(".buttons a").all_inner_texts() == ["Edit name, labels and expiry", "Remove"]
    expect(page.get_by_role("row").filter(has_text="revoked")).to_contain_text("alice")
    # Reloading sends nothing again.
    page.reload()
    assert page.locator("dd .badge").inner_text() == "revoked"


def test_client_is_suspended_resumed_and_removed(session):
    page = session.page
    open_client(page, "valve-007")
    for verb, state in [("Suspend", "suspended"), ("Resume", "enrolled")]:
        page.get_by_role("link", name=verb).click()
        page.get_by_role("button", name=verb).click()
        assert page.locator("dd .badge").inner_text() == state
    page.get_by_role("link", name="Remove").click()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("status")).to_have_text("The client was removed.")
    search(page, "valve-007")
    assert names(page) == []


def test_token_is_created_shown_once_and_withdrawn(session):
    page = session.page
    page.goto("/tokens")
    page.get_by_label("Name of the client").fill("pump 9")
    page.get_by_label("Labels of the client").fill("site=oslo\nfloor=2")
    page.get_by_label("The client expires on").fill("2100-01-01")
    page.get_by_label("The token is valid for").select_option("7 days")
    page.get_by_role("button", name="Create token").click()
    expect(page.get_by_role("alert")).to_contain_text("is not a name")
    assert page.get_by_label("Name of the client").input_value() == "pump 9"
    assert page.get_by_label("Labels of the client").input_value() == "site=oslo\nfloor=2"
    page.get_by_label("Name of the client").fill("pump-9")
    page.get_by_role("button", name="Create token").click()
    token = page.locator("#token").inner_text()
    assert re.fullmatch("PSSST-TOKEN-1[A-Z0-9]{70}", token), token
    assert token not in page.url
    link = page.locator("#link").inner_text()
    assert link.startswith("pssst://") and f"token={token}" in link, link
    assert page.locator("#command").inner_text() == f"printf %s '{link}' | pssst enroll --identity pump-9.key"
    page.get_by_role("link", name="Back to the tokens").click()
    assert token not in page.content()
    row = page.get_by_role("row").filter(has_text="pump-9")
    name = row.locator("code").first.inner_text()
    expect(row).to_contain_text("pump-9")
    expect(row).to_contain_text("floor=2")
    row.get_by_role("link", name="Withdraw").click()
    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_role("status")).to_have_text("The token was withdrawn.")
    assert page.get_by_role("row").filter(has_text=name).count() == 0
    page.get_by_role("link", name="Show all tokens").click()
    expect(page.get_by_role("row").filter(has_text=name)).to_contain_text("withdrawn")


def test_keys_are_shown_and_rotated(session):
    page = session.page
    page.goto("/keys")
    # A key, and a master of pre-shared keys.
    assert page.locator("tbody .badge").all_inner_texts() == ["current", "current"]
    page.get_by_role("link", name="Start a rotation").click()
    page.get_by_label("Activation delay").fill("1")
    page.get_by_label("Grace period").fill("1")
    page.get_by_role("button", name="Start the rotation").click()
    expect(page.get_by_role("alert")).to_contain_text("twice the refresh interval")
    assert page.get_by_label("Grace period").input_value() == "1"
    page.get_by_label("Activation delay").fill("1 h")
    page.get_by_label("Grace period").fill("1 day")
    page.get_by_role("button", name="Start the rotation").click()
    expect(page.get_by_role("status")).to_contain_text("rotation has begun")
    assert page.locator("tbody .badge").all_inner_texts() == ["current", "next"] * 2
    expect(page.get_by_text("The next one can start in 59 min")).to_be_visible()
    assert page.get_by_role("link", name="Start a rotation").count() == 0
    page.goto("/")
    expect(page.get_by_text("in force in 59 min").first).to_be_visible()


def test_audit_log_names_the_operator(session):
    page = session.page
    page.goto("/audit")
    row = page.get_by_role("row").filter(has_text="rotation started")
    expect(row).to_contain_text("alice")
    page.get_by_role("link", name="Older entries").click()
    expect(page.locator("tbody")).to_contain_text("added")
    page.get_by_role("link", name="Latest entries").click()
    assert page.url.endswith("/audit")
    page.get_by_text("Filter", exact=True).click()
    page.get_by_label("Who").fill("example")
    page.get_by_label("What").select_option("suspended")
    page.get_by_label("First day").fill("2020-01-01")
    page.get_by_role("button", name="Show").click()
    assert page.locator("tbody tr").count() == 2
    expect(page.locator("summary")).to_have_text("Filter: who example, what suspended, from 2020-01-01")
    page.locator("summary").click()
    page.get_by_label("Client, name or key").fill("nobody")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("alert")).to_contain_text("no client has the name")
    assert page.get_by_label("Who").input_value() == "example"
    page.get_by_role("link", name="Show all").click()
    assert page.locator("tbody tr").count() == 50


def test_keyboard_is_enough_to_revoke(session):
    page = session.page
    page.goto("/clients")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    tab_to(page, "Name, label or key contains")
    page.keyboard.type("valve-008")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    tab_to(page, "valve-008")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    tab_to(page, "Revoke")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.get_by_role("heading", level=1).inner_text() == "Revoke valve-008?"
    tab_to(page, "Revoke")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("The client is revoked.")


def test_overview_is_the_state_of_the_pool(session):
    page = session.page
    page.goto("/")
    expect(page).to_have_title("Overview – PSSST directory")
    tiles = page.locator(".tiles")
    for text in ["suspended", "1 alive", "gateway-2 192.0.2.2:45678 silent", "in force", "master", "It expires at"]:
        expect(tiles).to_contain_text(text)
    page.get_by_role("link", name="suspended").click()
    assert set(page.locator("tbody .badge").all_inner_texts()) == {"suspended"}
    page.goto("/")
    expect(page.get_by_role("row").filter(has_text="Enrol this key")).to_contain_text("unknown")
    page.get_by_role("link", name="Enrol this key").click()
    page.get_by_label("Name of the client").fill("found-1")
    page.get_by_label("Labels").fill("site=oslo")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("status")).to_have_text("The client is enrolled.")
    page.goto("/")
    assert page.get_by_role("link", name="Enrol this key").count() == 0


def test_client_is_edited(session):
    page = session.page
    open_client(page, "valve-017")
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Labels").fill("site=oslo\nnonsense")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("nonsense")
    page.get_by_label("Labels").fill("site=bergen")
    page.get_by_label("It expires at").fill("2100-01-01T18:30")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("The client was changed.")
    expect(page.locator("dl")).to_contain_text("site=bergen")
    expect(page.locator("dl")).to_contain_text("2100-01-01 18:30")
    expect(page.get_by_role("row").filter(has_text="changed")).to_contain_text("labels site=bergen")


def test_clients_are_exported_and_imported(session):
    page = session.page
    search(page, "gauge-10")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export these").click()
    exported = pathlib.Path(download.value.path()).read_text()
    lines = [json.loads(line) for line in exported.splitlines()]
    assert lines and all("gauge-10" in client["name"] for client in lines), exported
    open_client(page, lines[0]["name"])
    page.get_by_role("link", name="Remove").click()
    page.get_by_role("button", name="Remove").click()
    page.goto("/clients/import")
    page.get_by_label("Or the lines themselves").fill(exported + "nonsense\n")
    page.get_by_role("button", name="Show what changes").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("This cannot be imported")
    assert page.locator("tbody th").all_inner_texts() == [str(len(lines) + 1)]
    page.get_by_role("link", name="Another text").click()
    file = {"name": "clients.jsonl", "mimeType": "application/jsonl", "buffer": exported.encode()}
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Show what changes").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Import 1 client?")
    expect(page.locator("main")).to_contain_text("enrolled already")
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("status")).to_have_text("The clients were imported.")
    search(page, lines[0]["name"])
    assert names(page) == [lines[0]["name"]]


def test_code_is_the_link(session):
    """In the colours and the size in which a camera sees it."""
    page = session.page
    page.goto("/tokens")
    page.get_by_role("button", name="Create token").click()
    picture = Image.open(io.BytesIO(page.locator("#qr").screenshot()))
    found = zxingcpp.read_barcodes(picture)
    assert [code.text for code in found] == [page.locator("#link").inner_text()], found


def test_keys_are_copied_whole(session):
    page = session.page
    search(page, "boiler-001")
    key = page.locator("tbody .whole").first
    shown = key.bounding_box()
    assert shown["width"] < 220, shown
    key.click()
    copied = page.evaluate("getSelection().toString()")
    page.get_by_role("link", name="boiler-001").click()
    assert copied == page.locator("dd .copy").inner_text() and copied.startswith("pssst1"), copied


def test_phone_shows_clients_first(session):
    page = session.page
    page.goto("/clients")
    header = page.locator("header").bounding_box()
    assert header["height"] <= 100, header
    first = page.locator("tbody tr").first.bounding_box()
    assert first["y"] < 0.6 * page.viewport_size["height"], first
    # The navigation is one line, which scrolls by itself.
    tops = page.locator("nav a").evaluate_all("links => links.map(link => link.getBoundingClientRect().top)")
    assert len(set(tops)) == 1, tops
    assert page.evaluate("document.querySelector('nav').scrollWidth <= document.querySelector('nav').clientWidth"), "a page is out of sight"


def test_operator_signs_out(session):
    """Of a browser that keeps name and token as browsers do, and is not given them again.

    Without a window it cannot ask for others, and shows no page for a refusal.
    """
    page = session.page
    scheme, host = session.origin.split("://")
    credentials = session.credentials
    page.goto(f"{scheme}://{credentials['username']}:{credentials['password']}@{host}/")
    page.goto("/clients")
    expect(page).to_have_title("Clients – PSSST directory")
    with page.expect_response("**/sign-out") as answer:
        page.get_by_role("button", name="Sign out").click()
    assert answer.value.status == 401, answer.value.status
    with page.expect_response("**/clients") as answer, contextlib.suppress(PlaywrightError):
        page.goto("/clients")
    assert answer.value.status == 401, "the browser kept name and token"


def all_pages(page):
    """Every page there is, one after the other."""
    search(page, HOSTILE)
    client = page.get_by_role("link", name=HOSTILE).get_attribute("href")
    for path in [*PAGES, client, f"{client}/edit", f"{client}/suspend", "/nowhere"]:
        page.goto(path)
        yield path


def test_hostile_names_are_text(session):
    page = session.page
    for path in all_pages(page):
        assert page.locator("script, main img").count() == 0, path
        assert page.evaluate("document.querySelectorAll('[style], [onclick], [onload]').length") == 0, path
    open_client(page, HOSTILE)
    page.get_by_role("link", name="Suspend").click()
    page.get_by_role("button", name="Suspend").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)


def test_pages_can_be_understood(session):
    page = session.page
    for path in all_pages(page):
        assert page.locator("html").get_attribute("lang") == "en", path
        assert page.locator("h1").count() == 1 and page.locator("main").count() == 1, path
        assert page.evaluate(UNLABELLED) == [], path
        assert page.evaluate(LOW_CONTRAST) == [], path
        if path in PAGES and "?" not in path and path.count("/") == 1:
            assert page.locator("nav [aria-current=page]").get_attribute("href") == path, path


def test_pages_fit_the_screen(session):
    page = session.page
    for path in all_pages(page):
        width, visible = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert width <= visible, f"{path}: {width} > {visible}"


def test_other_origins_cannot_send_forms(session):
    page = session.page
    open_client(page, "valve-016")
    target = f"{session.origin}{urlsplit(page.url).path}/revoke"
    other = session.context.new_page()
    # A page of no origin of ours, in the same browser, that knows the address.
    other.set_content(f'<form method="post" action="{target}"><button>Win a prize</button></form>')
    with other.expect_response(target) as answer:
        other.get_by_role("button").click()
    assert answer.value.status == 403, answer.value.status
    other.close()
    page.reload()
    assert page.locator("dd .badge").inner_text() == "enrolled"


def take_screenshots(session, folder, kind):
    for place, path in enumerate(all_pages(session.page)):
        # The fleet is long.
        session.page.screenshot(path=folder / f"{kind}-{place}.png", full_page=path not in ("/clients", "/audit"))
    session.page.goto("/tokens")
    session.page.get_by_role("button", name="Create token").click()
    session.page.screenshot(path=folder / f"{kind}-token.png")


def main():
    program = sys.argv[1]
    folder = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="pssst-pages-"))
    folder.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        raise SystemExit("there is no chromium on the path")
    # Its sandbox does not run as root.
    arguments = ["--no-sandbox"] if geteuid() == 0 else []
    without_script = {"java_script_enabled": False}
    phone = {"viewport": PHONE, "has_touch": True, "is_mobile": True}
    dark = {"color_scheme": "dark"}
    runs = [
        (test_fleet_is_listed_in_pages, {}),
        (test_overview_is_the_state_of_the_pool, without_script),
        (test_client_is_edited, without_script),
        (test_clients_are_exported_and_imported, without_script),
        (test_keys_are_copied_whole, {}),
        (test_phone_shows_clients_first, {**phone, "viewport": {"width": 390, "height": 844}}),
        (test_operator_signs_out, {"http_credentials": None}),
        (test_fleet_is_searched, without_script),
        (test_client_is_revoked_after_a_question, without_script),
        (test_client_is_suspended_resumed_and_removed, without_script),
        (test_token_is_created_shown_once_and_withdrawn, without_script),
        (test_keys_are_shown_and_rotated, without_script),
        (test_audit_log_names_the_operator, without_script),
        (test_keyboard_is_enough_to_revoke, without_script),
        (test_hostile_names_are_text, {}),
        (test_pages_can_be_understood, {}),
        (test_pages_can_be_understood, dark),
        (test_pages_fit_the_screen, phone),
        *[
            (test, {"viewport": {"width": width, "height": 844}, "color_scheme": scheme})
            for test in (test_pages_fit_the_screen, test_code_is_the_link)
            for width in WIDTHS
            for scheme in ("light", "dark")
        ],
        (test_other_origins_cannot_send_forms, {}),
    ]
    failed = 0
    directory = Directory(program)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
            print(f"Chromium {browser.version}")
            for test, options in runs:
                label = " ".join([test.__name__, *(f"{name}={value}" for name, value in options.items())])
                try:
                    with contextlib.closing(Session(browser, directory, **options)) as session:
                        test(session)
                    print(f"ok      {label}")
                except Exception:
                    failed += 1
                    print(f"FAILED  {label}")
                    traceback.print_exc()
            for kind, options in [("desktop", {}), ("dark", dark), ("phone", {**phone, **without_script})]:
                # They are for people. What can be tested was tested.
                with contextlib.suppress(PlaywrightError), contextlib.closing(Session(browser, directory, **options)) as session:
                    take_screenshots(session, folder, kind)
            browser.close()
    finally:
        directory.stop()
    print(f"screenshots in {folder}")
    print(f"{len(runs) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
