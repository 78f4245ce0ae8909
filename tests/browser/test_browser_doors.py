"""Every page under the policy of what browsers may load, and files for the browser they were made for alone."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests import clinic

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
SLOW_MS = 120_000
#: Page -> what shows that it was drawn, charts and components too.
PAGES = {
    "": "[data-testid=stDataFrame] canvas",
    "intake": "[data-testid=stFileUploader]",
    "review": ".twin-viewer canvas",
    "compare": ".twin-viewer canvas",
    "trajectory": ".js-plotly-plot .main-svg",
    "cohort": ".js-plotly-plot .main-svg",
    "evidence": "[data-testid=stImage] img",
    "quality": ".js-plotly-plot .main-svg",
    "system": "[data-testid=stDataFrame] canvas",
}
#: What the policy kept from a page is noted in the page itself.
WATCH = """
window.kept = [];
document.addEventListener("securitypolicyviolation", (e) => window.kept.push(`${e.violatedDirective} ${e.blockedURI}`));
"""


@pytest.fixture(scope="module")
def dashboard(start_server, tmp_path_factory):
    root = tmp_path_factory.mktemp("doors")
    clinic.build(root)
    return start_server(root)


def test_no_page_needs_what_the_policy_forbids(dashboard, page):
    said = []
    page.on("console", lambda m: said.append(m.text) if "Content Security Policy" in m.text else None)
    page.add_init_script(WATCH)
    for name, drawn in PAGES.items():
        page.goto(f"{dashboard.url}/{name}?patient_id=BEN")
        expect(page.locator(drawn).first).to_be_visible(timeout=SLOW_MS)
        expect(page.get_by_test_id("stAlertContentError")).to_have_count(0)
        if drawn.startswith(".twin"):
            expect(page.locator(".twin-viewer")).not_to_contain_text("could not be loaded")
        assert page.evaluate("window.kept") == [], name
    assert said == []
    # The watch sees: the policy keeps a picture of another site, a script of the page and a frame away.
    page.evaluate(
        """() => { const img = new Image(); img.src = "http://192.0.2.1/x.png";
        const script = document.createElement("script"); script.textContent = "window.ran = true";
        const frame = document.createElement("iframe"); frame.src = "http://192.0.2.1/";
        document.body.append(img, script, frame); }"""
    )
    page.wait_for_function("window.kept.length >= 3", timeout=SLOW_MS)
    assert not page.evaluate("window.ran ?? false")


def test_no_other_page_shows_ours_in_a_frame(dashboard, page):
    page.goto(f"{dashboard.url}/api/health")
    page.set_content(f'<iframe src="{dashboard.url}/"></iframe>')
    page.wait_for_timeout(2000)
    assert page.frames[-1].locator("#root").count() == 0


def test_a_table_is_downloaded_by_the_browser_it_was_made_for_and_by_no_other(dashboard, page, browser):
    page.goto(f"{dashboard.url}/cohort")
    button = page.get_by_test_id("stDownloadButton").last.get_by_role("button")
    expect(button).to_be_visible(timeout=SLOW_MS)
    with page.expect_download(timeout=SLOW_MS) as download:
        button.click()
    assert b"ANNA" in download.value.path().read_bytes()
    address = download.value.url
    assert "/media/" in address
    assert page.request.get(address).status == 200

    other = browser.new_context()
    assert other.request.get(address).status == 403
    other_page = other.new_page()  # a cookie of its own does not help
    other_page.goto(dashboard.url)
    expect(other_page.get_by_role("heading", name="Who is working?")).to_be_visible(timeout=SLOW_MS)
    assert {c["name"] for c in other.cookies()} >= {"twin-browser"}
    refused = other.request.get(address)
    assert refused.status == 403
    assert "another browser" in refused.text()
    other.close()
    assert page.request.get(address).status == 200


def test_a_file_is_uploaded_by_the_tab_s_own_browser_alone(dashboard, page, browser, tmp_path):
    (tmp_path / "scan.nii.gz").write_bytes(b"no image")
    page.goto(f"{dashboard.url}/intake")
    with page.expect_response(lambda answer: "/upload_file/" in answer.url, timeout=SLOW_MS) as sent:
        page.locator("[data-testid=stFileUploader] input[type=file]").first.set_input_files(tmp_path / "scan.nii.gz")
    assert sent.value.status == 204
    expect(page.get_by_text("scan.nii.gz").first).to_be_visible(timeout=SLOW_MS)
    other = browser.new_context()
    other.request.get(dashboard.url, headers={"Accept": "text/html"})
    assert {c["name"] for c in other.cookies()} >= {"twin-browser"}
    for method in ("PUT", "DELETE"):
        assert other.request.fetch(sent.value.url, method=method).status == 403
        assert "another browser" in other.request.fetch(sent.value.url, method=method).text()
    other.close()
